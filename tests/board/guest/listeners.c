/* Owns applications that listen: argv[1] processes with a connection each, of which the last argv[2] never read; argv[3]:
 * of "r" (each registers itself) and "s" (each subscribes; those that never read to all records as well), with neither
 * nobody connects. On SIGUSR1 it prints how late they were told, for each change of the level one line,
 *     {"level": NAME, "t_ms": of the sample that changed it, "sent_us": [...], "late_us": [...]}
 * when each reader had it in its socket (by the kernel) and when it had read it, after that sample, in order of the
 * last; and how many connected, were told that somebody ends, and lost the connection. Then it ends.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "connected.h"

#define MAX 128
#define TOLD_MAX 8000
#define TEXT 144
#define REGISTER "{\"v\":1,\"op\":\"register\",\"name\":\"app %d\",\"priority\":\"visible\"}"
#define SUBSCRIBE "{\"v\":1,\"op\":\"subscribe\""

/* Kept as it came, and read when all is over: what a reader does with it takes the processor from the foreground. */
struct told {
    double t_ms, sent_ms, read_ms;
    char text[TEXT], level[12];
};

static struct shared {
    atomic_uint ready, count, ended;
    struct told told[TOLD_MAX];
} *shared;

static double ms_of(struct timespec time)
{
    return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

static double now_ms(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return ms_of(now);
}

static void ask(int to, const char *request, char *answer, size_t size)
{
    ssize_t got = send(to, request, strlen(request), 0) < 0 ? -1 : recv(to, answer, size - 1, 0);
    answer[got > 0 ? got : 0] = 0;
    if (!strstr(answer, "\"ok\":true"))
        fprintf(stderr, "%s: %s\n", request, answer), _exit(1);
}

static void listen_on(int number, int reads, const char *how)
{
    char text[4096], request[256];
    int made = -1;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (*how && (made = connected()) < 0)
        _exit(1);
    if (strchr(how, 'r')) {
        snprintf(request, sizeof request, REGISTER, number);
        ask(made, request, text, sizeof text);
    }
    if (strchr(how, 's'))
        ask(made, reads ? SUBSCRIBE "}" : SUBSCRIBE ",\"events\":[\"*\"]}", text, sizeof text);
    if (made >= 0)
        setsockopt(made, SOL_SOCKET, SO_TIMESTAMPNS, &(int){1}, sizeof(int));
    atomic_fetch_add(&shared->ready, 1);
    while (made >= 0 && reads) {
        union { struct cmsghdr head; char room[CMSG_SPACE(sizeof(struct timespec))]; } extra;
        struct iovec part = {text, sizeof text - 1};
        struct msghdr message = {
            .msg_iov = &part, .msg_iovlen = 1, .msg_control = &extra, .msg_controllen = sizeof extra};
        ssize_t size = recvmsg(made, &message, 0);
        double at_ms = now_ms(CLOCK_MONOTONIC), sent_ms = at_ms - now_ms(CLOCK_REALTIME);
        struct cmsghdr *stamp = CMSG_FIRSTHDR(&message);
        if (size <= 0)
            break;
        if (stamp && stamp->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec when;
            memcpy(&when, CMSG_DATA(stamp), sizeof when);
            sent_ms += ms_of(when);
        }
        unsigned int mine = atomic_fetch_add(&shared->count, 1);
        if (mine >= TOLD_MAX)
            continue;
        shared->told[mine].sent_ms = sent_ms;
        shared->told[mine].read_ms = at_ms;
        memcpy(shared->told[mine].text, text, size < TEXT ? (size_t)size : TEXT - 1);
    }
    if (made >= 0 && reads)
        atomic_fetch_add(&shared->ended, 1);
    for (;;)
        pause();
}

static int by_time(const void *one, const void *other)
{
    const struct told *a = one, *b = other;
    double order = a->t_ms != b->t_ms ? a->t_ms - b->t_ms : a->read_ms - b->read_ms;
    return order < 0 ? -1 : order > 0;
}

static unsigned int understood(unsigned int count) /* the levels move to the front; returns how many they are */
{
    unsigned int levels = 0, about_to_kill = 0;
    for (unsigned int i = 0; i < count; i++) {
        struct told one = shared->told[i];
        const char *level = strstr(one.text, "\"level\":{\"level\":\"");
        const char *when = level ? strstr(level, "\"t_ms\":") : NULL;
        about_to_kill += strstr(one.text, "\"about_to_kill\":") != NULL;
        if (!when || sscanf(level + 18, "%11[a-z]", one.level) != 1)
            continue;
        one.t_ms = strtod(when + 7, NULL);
        shared->told[levels++] = one;
    }
    printf("about_to_kill %u\n", about_to_kill);
    return levels;
}

static void print(void)
{
    unsigned int count = understood(shared->count < TOLD_MAX ? shared->count : TOLD_MAX);
    qsort(shared->told, count, sizeof *shared->told, by_time);
    for (unsigned int first = 0, next; first < count; first = next) {
        double t_ms = shared->told[first].t_ms;
        for (next = first; next < count && shared->told[next].t_ms == t_ms;)
            next++;
        printf("{\"level\": \"%s\", \"t_ms\": %.3f, \"sent_us\": [", shared->told[first].level, t_ms);
        for (unsigned int i = first; i < next; i++)
            printf("%s%.0f", i > first ? ", " : "", (shared->told[i].sent_ms - t_ms) * 1e3);
        printf("], \"late_us\": [");
        for (unsigned int i = first; i < next; i++)
            printf("%s%.0f", i > first ? ", " : "", (shared->told[i].read_ms - t_ms) * 1e3);
        puts("]}");
    }
}

int main(int argc, char **argv)
{
    int count = argc > 3 ? atoi(argv[1]) : 0, stuck = argc > 3 ? atoi(argv[2]) : 0, signal;
    sigset_t wanted;
    if (count < 1 || count > MAX || stuck < 0 || stuck >= count)
        return 2;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGUSR1);
    sigprocmask(SIG_BLOCK, &wanted, NULL);
    while (*argv[3] && access(PATH, F_OK) != 0)
        usleep(100000);
    for (int i = 0; i < count; i++) {
        pid_t child = fork();
        if (child < 0)
            return perror("fork"), 1;
        if (child == 0)
            listen_on(i, i < count - stuck, argv[3]);
    }
    printf("asked %d, %d never read\n", count, stuck);
    fflush(stdout);
    sigwait(&wanted, &signal);
    printf("ready %u\nended %u\n", shared->ready, shared->ended);
    print();
    return 0;
}
