/* Owns the C client's requests from inside an application (ask), also one that signals interrupt all the time, and what
 * becomes of a connection after fork (fork). */
#define _DEFAULT_SOURCE

#include "lmkd.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t ticks;

static void tick(int number)
{
    (void)number;
    ticks++;
}

/* From now on every call that waits is interrupted, and none is started again by itself. */
static void be_interrupted(void)
{
    struct sigaction action = {.sa_handler = tick};
    struct itimerval often = {{0, 3000}, {0, 3000}};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
}

static bool show_row(const struct lmkd_candidate *row, void *left)
{
    printf("%d %d %s %d %s %lld %lld %lld\n", row->order, row->pid, row->name, row->priority, row->class_name,
           row->resident_kib, row->swapped_kib, row->gain_kib);
    return --*(int *)left > 0;
}

/* ask PATH MS OP ARGUMENTS: the error, and what was answered. */
static int ask(int argc, char **argv)
{
    static char buffer[LMKD_REPLY_MAX];
    const char *path = argv[0], *op = argv[2];
    struct lmkd_status status;
    struct lmkd_answer answer = {.why = ""};
    int timeout_ms = atoi(argv[1]), pid = argc > 3 ? atoi(argv[3]) : 0, error = 0;
    if (strcmp(op, "status") == 0) {
        error = lmkd_status(path, &status, timeout_ms);
        if (error == 0)
            printf("%s %lld %lld %lld %lld\n", lmkd_level_name(status.level), status.headroom_kib, status.exhaustion_ms,
                   status.rate_kib_s, status.kills);
    } else if (strcmp(op, "candidates") == 0) {
        error = lmkd_candidates(path, buffer, sizeof buffer, show_row, &pid, timeout_ms);
    } else {
        if (strcmp(op, "set") == 0)
            error = lmkd_set(path, pid, argv[4], &answer, timeout_ms);
        else if (strcmp(op, "clear") == 0)
            error = lmkd_clear(path, pid, &answer, timeout_ms);
        else if (strcmp(op, "trim") == 0)
            error = lmkd_trim(path, pid, atoi(argv[4]), &answer, timeout_ms);
        else
            error = lmkd_kill(path, pid, argc > 4 ? NULL : &answer, timeout_ms);
        printf("%d %s %d %d %s\n", answer.pid, answer.name, answer.priority, answer.previous, answer.why);
    }
    printf("%d%s%s\n", -error, error != 0 ? " " : "", error != 0 ? strerror(-error) : "");
    return ticks < 0;
}

/* What comes until the time is over, each line begun by who says it. */
static void listen_for(const char *who, struct lmkd *lmkd, int count)
{
    struct lmkd_event event;
    while (count-- > 0 && lmkd_wait(lmkd, &event, 10000)) {
        if (event.kind == LMKD_LEVEL)
            printf("%s: %s\n", who, lmkd_level_name(event.level));
        else
            printf("%s: %d %d\n", who, (int)event.kind, event.pid);
        fflush(stdout);
    }
}

/* fork PATH: the parent is told of three levels, the child of what there is and of one more. */
static int in_two(char **argv)
{
    struct lmkd lmkd;
    lmkd_open(&lmkd, argv[0]);
    lmkd_register(&lmkd, &(struct lmkd_registration){.priority = "cached"});
    lmkd_subscribe(&lmkd, true, NULL);
    listen_for("parent", &lmkd, 2);
    pid_t child = fork();
    if (child == 0) {
        listen_for("child", &lmkd, 3);
        lmkd_close(&lmkd);
        exit(0);
    }
    listen_for("parent", &lmkd, 1);
    waitpid(child, NULL, 0);
    listen_for("parent", &lmkd, 1);
    lmkd_close(&lmkd);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc >= 5 && strcmp(argv[1], "ask") == 0)
        return ask(argc - 2, argv + 2);
    if (argc >= 5 && strcmp(argv[1], "interrupted") == 0) {
        be_interrupted();
        return ask(argc - 2, argv + 2);
    }
    if (argc == 3 && strcmp(argv[1], "fork") == 0)
        return in_two(argv + 2);
    return 2;
}
