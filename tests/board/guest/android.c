/*
 * A client of Android's lmkd protocol: argv[1] is the socket, each further word a command with its numbers, done in
 * order on one connection; "-" as the socket prints the messages in hexadecimal instead. Replies and notices go to
 * standard output, a line each. Written from the documented layout: 32-bit integers, network byte order, the command
 * first; a record of a process is (pid, uid, adj, type[, not for the kernel]).
 *
 *   target PAGES ADJ      prio PID UID ADJ     prio4 PID UID ADJ TYPE     prio5 PID UID ADJ TYPE ONLY_LMKD
 *   remove PID    purge    count LOW HIGH    subscribe EVENT    props    monitor    boot
 *   batch PID PID UID ADJ (two processes in one message)        raw COMMAND (a bare one)
 *   notices N: wait for so many, of all since the beginning       hold: wait for the end of standard input
 */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { TARGET, PROCPRIO, PROCREMOVE, PROCPURGE, GETKILLCNT, SUBSCRIBE, PROCKILL, UPDATE_PROPS, STAT_KILL,
       START_MONITORING, BOOT_COMPLETED, PROCS_PRIO };

struct process {
    int32_t pid;
    uint32_t uid;
    int32_t adj;
    int32_t type;
    int32_t only_lmkd;
};

struct statistics {
    int64_t wide[6];  /* faults, major faults, rss, cache, swap, start in ns */
    int32_t narrow[8]; /* uid, adj, lowest adj, free KiB, free swap KiB, cause, thrashing, its limit */
    uint16_t length;
    char name[128];
};

static int channel = -1;
static uint32_t packet[16];
static size_t filled;

static void put(int32_t number)
{
    if (filled == sizeof packet / sizeof *packet) {
        fprintf(stderr, "the message is too long\n");
        exit(2);
    }
    packet[filled++] = htonl((uint32_t)number);
}

static void put_process(struct process process, int fields)
{
    put(process.pid);
    put((int32_t)process.uid);
    put(process.adj);
    if (fields > 3)
        put(process.type);
    if (fields > 4)
        put(process.only_lmkd);
}

static void dispatch(void)
{
    size_t size = filled * sizeof *packet;
    if (channel < 0) {
        for (size_t i = 0; i < size; i++)
            printf("%02x", ((unsigned char *)packet)[i]);
        printf("\n");
    } else if (write(channel, packet, size) != (ssize_t)size) {
        perror("write");
        exit(1);
    }
    filled = 0;
}

static void show_statistics(const unsigned char *message, size_t size)
{
    struct statistics seen;
    size_t at = sizeof(int32_t);
    if (size < at + sizeof seen.wide + sizeof seen.narrow + sizeof seen.length + 1) {
        printf("short statistics\n");
        return;
    }
    memcpy(seen.wide, message + at, sizeof seen.wide);
    at += sizeof seen.wide;
    memcpy(seen.narrow, message + at, sizeof seen.narrow);
    at += sizeof seen.narrow;
    memcpy(&seen.length, message + at, sizeof seen.length);
    at += sizeof seen.length;
    seen.length = ntohs(seen.length);
    if (seen.length >= sizeof seen.name || size != at + seen.length + 1) {
        printf("odd statistics\n");
        return;
    }
    memcpy(seen.name, message + at, seen.length + 1);
    printf("statistics %s", seen.name);
    for (int i = 0; i < 8; i++)
        printf(" %d", (int32_t)ntohl((uint32_t)seen.narrow[i]));
    for (int i = 0; i < 6; i++)
        printf(" %lld", (long long)be64toh((uint64_t)seen.wide[i]));
    printf("\n");
}

static int32_t noticed;

/* Shows one message; true for a reply, which notices may come before. */
static bool take(void)
{
    unsigned char message[256];
    ssize_t size = read(channel, message, sizeof message);
    if (size < (ssize_t)sizeof(int32_t)) {
        printf(size == 0 ? "closed\n" : "error %s\n", strerror(errno));
        exit(1);
    }
    uint32_t words[4] = {0};
    memcpy(words, message, (size_t)size < sizeof words ? (size_t)size : sizeof words);
    int32_t command = (int32_t)ntohl(words[0]), first = (int32_t)ntohl(words[1]);
    if (command == STAT_KILL)
        show_statistics(message, (size_t)size);
    else if (command == PROCKILL && size == 12)
        printf("killed %d %u\n", first, ntohl(words[2]));
    else if (command == PROCKILL && size == 16)
        printf("killed %d %u %d\n", first, ntohl(words[2]), (int32_t)ntohl(words[3]));
    else if (size == 8)
        printf("reply %d %d\n", command, first);
    else
        printf("odd message of %zd bytes\n", size);
    fflush(stdout);
    noticed += size != 8;
    return size == 8;
}

static void await_reply(void)
{
    while (channel >= 0 && !take())
        ;
}

static char **next;

static int32_t number(void)
{
    if (!*next) {
        fprintf(stderr, "a number is missing\n");
        exit(2);
    }
    return (int32_t)strtoll(*next++, NULL, 10);
}

static struct process process_of(int32_t pid, int fields)
{
    struct process process = {.pid = pid};
    process.uid = (uint32_t)number();
    process.adj = number();
    if (fields > 3)
        process.type = number();
    if (fields > 4)
        process.only_lmkd = number();
    return process;
}

static void bare(int32_t command)
{
    put(command);
    dispatch();
}

static void obey(const char *word)
{
    static const struct { const char *word; int32_t command; int numbers, answered; } plain[] = {
        {"target", TARGET, 2, 0}, {"remove", PROCREMOVE, 1, 0}, {"purge", PROCPURGE, 0, 0},
        {"count", GETKILLCNT, 2, 1}, {"subscribe", SUBSCRIBE, 1, 0}, {"props", UPDATE_PROPS, 0, 1},
        {"monitor", START_MONITORING, 0, 0}, {"boot", BOOT_COMPLETED, 0, 1},
    };
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        if (strcmp(word, plain[i].word) != 0)
            continue;
        put(plain[i].command);
        for (int n = 0; n < plain[i].numbers; n++)
            put(number());
        dispatch();
        if (plain[i].answered)
            await_reply();
        return;
    }
    if (strncmp(word, "prio", 4) == 0) {
        int fields = word[4] ? word[4] - '0' : 3;
        put(PROCPRIO);
        put_process(process_of(number(), fields), fields);
        dispatch();
    } else if (strcmp(word, "batch") == 0) {
        int32_t first = number(), second = number();
        struct process process = process_of(first, 3);
        put(PROCS_PRIO);
        put_process(process, 4);
        process.pid = second;
        put_process(process, 4);
        dispatch();
    } else if (strcmp(word, "raw") == 0) {
        bare(number());
    } else if (strcmp(word, "notices") == 0) {
        for (int32_t wanted = number(); noticed < wanted;)
            take();
    } else if (strcmp(word, "hold") == 0) {
        while (getchar() != EOF)
            ;
    } else {
        fprintf(stderr, "%s: not known\n", word);
        exit(2);
    }
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    if (strcmp(argv[1], "-") != 0) {
        struct sockaddr_un name = {.sun_family = AF_UNIX};
        if (strlen(argv[1]) >= sizeof name.sun_path)
            return 2;
        strcpy(name.sun_path, argv[1]);
        channel = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        if (channel < 0 || connect(channel, (struct sockaddr *)&name, sizeof name) != 0) {
            perror(argv[1]);
            return 1;
        }
        printf("connected %d\n", (int)getpid());
        fflush(stdout);
    }
    next = argv + 2;
    while (*next)
        obey(*next++);
    return 0;
}
