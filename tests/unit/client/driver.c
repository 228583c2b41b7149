/* Owns the C client's tests from inside an application: a poll loop that prints every event (run), one event (wait), how
 * long it waits for lmkd (delays), the bytes of its requests (write), and what its readers make of each message of a
 * file (parse, fuzz). Includes lmkd.c itself: the readers of replies are static. */
#include "lmkd.c"

#include <stdio.h>
#include <stdlib.h>

static void show(const struct lmkd_event *event)
{
    switch (event->kind) {
    case LMKD_LEVEL:
        printf("level %s from %s headroom %lld exhaustion %lld", lmkd_level_name(event->level),
               lmkd_level_name(event->previous), event->headroom_kib, event->exhaustion_ms);
        break;
    case LMKD_ABOUT_TO_KILL:
        printf("about_to_kill %d (%s) %s grace %lld", event->pid, event->name, event->signal, event->grace_ms);
        break;
    case LMKD_RECORD:
        printf("record %s pid %d", event->name, event->pid);
        break;
    case LMKD_REGISTERED:
        printf("registered %d priority %d", event->pid, event->priority);
        break;
    case LMKD_REFUSED:
        printf("refused %s: %s", event->name, event->text);
        break;
    case LMKD_GONE:
        printf("gone: %s", event->text);
        break;
    case LMKD_NOTHING:
        printf("nothing");
    }
    if (event->dropped != 0)
        printf(" dropped %lld", event->dropped);
    printf("\n");
    fflush(stdout);
}

/* run PATH [RECORDS]: until standard input ends; the line "again" there registers anew, "stop" unregisters. */
static int run(char **argv)
{
    struct lmkd lmkd;
    struct lmkd_event event;
    char line[16];
    printf("open %s\n", lmkd_open(&lmkd, argv[0]) == 0 ? "there" : "absent");
    fflush(stdout);
    if (lmkd_register(&lmkd, &(struct lmkd_registration){.name = "player \"x\"\\", .priority = "700", .trim = LMKD_YES}))
        return 1;
    if (lmkd_subscribe(&lmkd, true, argv[1]) != 0)
        return 1;
    for (;;) {
        struct pollfd waits[2] = {{.fd = 0, .events = POLLIN}, {.fd = lmkd_fd(&lmkd), .events = POLLIN}};
        poll(waits, 2, lmkd_timeout_ms(&lmkd));
        if (waits[0].revents != 0) {
            ssize_t size = read(0, line, sizeof line);
            if (size <= 0)
                break;
            if (line[0] == 'a')
                lmkd_register(&lmkd, &(struct lmkd_registration){.pid = 77, .priority = "cached", .freeze = LMKD_NO});
            else
                lmkd_unregister(&lmkd);
        }
        while (lmkd_next(&lmkd, &event))
            show(&event);
    }
    lmkd_close(&lmkd);
    return lmkd_next(&lmkd, &event) || lmkd_timeout_ms(&lmkd) != -1 || lmkd_wait(&lmkd, &event, -1);
}

/* wait PATH MS: one event in this time, by lmkd_wait. */
static int wait_one(char **argv)
{
    struct lmkd lmkd;
    struct lmkd_event event;
    lmkd_open(&lmkd, argv[0]);
    lmkd_subscribe(&lmkd, true, NULL);
    if (lmkd_wait(&lmkd, &event, atoi(argv[1])))
        show(&event);
    else
        printf("none\n");
    lmkd_close(&lmkd);
    return 0;
}

/* delays PATH: what is waited after each of ten attempts in vain. */
static int delays(char **argv)
{
    struct lmkd lmkd;
    int error = lmkd_open(&lmkd, argv[0]);
    for (int i = 0; i < 10 && error != 0; i++) {
        printf("%d ", lmkd_timeout_ms(&lmkd));
        error = lmkd_reconnect(&lmkd);
    }
    lmkd_close(&lmkd);
    return error == 0;
}

/* write NAME PRIORITY GROUP RECORDS: the bytes of both requests, a line each; the error where there is one. */
static int write_requests(char **argv)
{
    struct lmkd lmkd;
    int error = lmkd_open(&lmkd, "/nowhere/at/all");
    if (error != -ENOENT)
        return 1;
    error = lmkd_register(&lmkd, &(struct lmkd_registration){.name = argv[0], .priority = argv[1], .group = argv[2]});
    if (error == 0)
        fwrite(lmkd.registration, 1, lmkd.registration_size, stdout);
    printf("%d\n", error);
    error = lmkd_subscribe(&lmkd, false, argv[3]);
    if (error == 0)
        fwrite(lmkd.subscription, 1, lmkd.subscription_size, stdout);
    printf("%d\n", error);
    lmkd_close(&lmkd);
    return 0;
}

/* The next message of a file, each after its size in two bytes, in memory that ends where it does; NULL: no more. */
static char *next_message(FILE *file, size_t *size)
{
    unsigned char head[2];
    if (file == NULL || fread(head, 1, 2, file) != 2)
        return NULL;
    *size = (size_t)head[0] << 8 | head[1];
    char *line = malloc(*size > 0 ? *size : 1);
    if (line == NULL || fread(line, 1, *size, file) != *size)
        abort();
    return line;
}

/* parse FILE: every message as a notice, shown. */
static int parse(char **argv)
{
    struct lmkd_event event;
    size_t size;
    char *line;
    FILE *file = fopen(argv[0], "rb");
    while ((line = next_message(file, &size)) != NULL) {
        lmkd_parse(line, size, &event);
        show(&event);
        free(line);
    }
    return file == NULL || fclose(file) != 0;
}

static bool pass(const struct lmkd_candidate *row, void *context)
{
    (void)context;
    return memchr(row->name, 0, sizeof row->name) != NULL;
}

/* fuzz FILE: every message as a notice, and as one received. Prints how many of each kind there were. */
static int fuzz(char **argv)
{
    static struct lmkd lmkd;
    struct lmkd_event event;
    unsigned long kinds[2][LMKD_GONE + 1] = {{0}};
    size_t size;
    char *line;
    FILE *file = fopen(argv[0], "rb");
    lmkd.levels = true;
    while ((line = next_message(file, &size)) != NULL) {
        kinds[0][lmkd_parse(line, size, &event)]++;
        if (memchr(event.name, 0, sizeof event.name) == NULL || memchr(event.signal, 0, sizeof event.signal) == NULL)
            return 1;
        if (size <= LMKD_MESSAGE_MAX) {
            memcpy(lmkd.message, line, size);
            lmkd.message[size] = '\0';
            clear(&event);
            read_reply(&lmkd, size, &event);
            kinds[1][event.kind]++;
        }
        (void)value_end(line, line + size);
        (void)member((struct slice){line, size}, "ok");
        if (size > 0)
            (void)rows((struct slice){line, size}, pass, NULL);
        free(line);
    }
    for (int i = 0; i < 2; i++)
        for (int kind = 0; kind <= LMKD_GONE; kind++)
            printf("%lu ", kinds[i][kind]);
    printf("\n");
    return file == NULL || fclose(file) != 0;
}

int main(int argc, char **argv)
{
    if (argc >= 3 && strcmp(argv[1], "run") == 0)
        return run(argv + 2);
    if (argc == 4 && strcmp(argv[1], "wait") == 0)
        return wait_one(argv + 2);
    if (argc == 3 && strcmp(argv[1], "delays") == 0)
        return delays(argv + 2);
    if (argc == 6 && strcmp(argv[1], "write") == 0)
        return write_requests(argv + 2);
    if (argc == 3 && strcmp(argv[1], "parse") == 0)
        return parse(argv + 2);
    if (argc == 3 && strcmp(argv[1], "fuzz") == 0)
        return fuzz(argv + 2);
    return 2;
}
