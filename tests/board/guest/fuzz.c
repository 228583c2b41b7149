/* Owns hostile clients of both control sockets: argv[1] is a seed, argv[2] how many messages go to each socket, argv[3]
 * and argv[4] are the native and Android's socket. root and an unprivileged user send them over several connections
 * each; two more users hold as many connections as they get, subscribe, and never read. Beside them root asks what is
 * right, over connections that it keeps and over new ones. Prints one JSON object and ends.
 */
#include <errno.h>
#include <grp.h>
#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fuzz_messages.h"

enum { CONNECTIONS = 12, OF_ROOT = 3, HELD = 200, FULL = 16000, ASKED_MAX = 4000, NOBODY = 65534, APP = 1000 };
enum { KEPT_NATIVE, KEPT_ANDROID, NEW_NATIVE, NEW_ANDROID, WAYS };

struct shared {
    unsigned sent[2], by_root[2], replies[2], ended, left, held_most, forbidden;
    unsigned asked[WAYS], unanswered[WAYS];
    unsigned us[WAYS][ASKED_MAX];
    volatile int done;
};

static struct shared *shared;
static const char *paths[2];
static int decoys[2];
static char reply[70000];

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

static int connected(int android)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int made = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    strncpy(to.sun_path, paths[android], sizeof to.sun_path - 1);
    for (int tries = 0; tries < 1000; tries++) { /* EAGAIN: so many wait to be let in */
        if (connect(made, (struct sockaddr *)&to, sizeof to) == 0)
            return made;
        if (errno == EACCES) {
            __sync_fetch_and_add(&shared->forbidden, 1);
            break;
        }
        usleep(5000);
    }
    close(made);
    return -1;
}

/* How it is sent. */

static ssize_t sent_with(int channel, size_t size, int passed)
{
    struct iovec part = {message, size};
    union { char room[CMSG_SPACE(3 * sizeof(int))]; struct cmsghdr head; } control = {{0}};
    struct msghdr whole_message = {.msg_iov = &part, .msg_iovlen = 1};
    if (passed >= 0) {
        int three[3] = {passed, passed, passed};
        whole_message.msg_control = control.room;
        whole_message.msg_controllen = sizeof control.room;
        control.head = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof three), .cmsg_level = SOL_SOCKET,
                                        .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.head), three, sizeof three);
    }
    return sendmsg(channel, &whole_message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void read_all(int channel, int android)
{
    while (recv(channel, reply, sizeof reply, MSG_DONTWAIT) > 0)
        __sync_fetch_and_add(&shared->replies[android], 1);
}

static int waiting_in(int channel) /* bytes that have not been read, with what the kernel needs for them */
{
    int left = 0;
    return ioctl(channel, SIOCOUTQ, &left) != 0 ? 0 : left;
}

static void send_many(int android, bool root, unsigned count)
{
    int channels[CONNECTIONS], pipes[2], number = root ? OF_ROOT : CONNECTIONS; /* an eighth of all is root's */
    for (int i = 0; i < number; i++)
        channels[i] = connected(android);
    if (pipe(pipes) != 0)
        exit(1);
    for (unsigned sent = 0, stuck = 0; sent < count && channels[0] >= 0;) {
        uint32_t which = chance((uint32_t)number), end = chance(1000);
        if (waiting_in(channels[which]) > FULL) { /* else what is closed takes hundreds with it */
            if (which >= 2 || chance(50) == 0)
                read_all(channels[which], android);
            if (++stuck % (2 * CONNECTIONS) == 0)
                usleep(2000);
            if (which < 2 && chance(1000) == 0)
                close(channels[which]), channels[which] = connected(android);
            continue;
        }
        size_t size = android ? android_message(decoys[!root], root) : native_message(decoys[!root]);
        ssize_t went = sent_with(channels[which], size, chance(20) ? -1 : chance(2) ? pipes[0] : channels[which]);
        bool over = went < 0 && errno != EAGAIN && errno != EMSGSIZE;
        sent += went > 0;
        if (which >= 2 || chance(50) == 0) /* the first two hardly ever read */
            read_all(channels[which], android);
        if (went < 0 && errno == EAGAIN && ++stuck % 64 == 0)
            usleep(10000);
        for (int tries = 0; went > 0 && end < 4 && chance(64) && waiting_in(channels[which]) && tries < 100; tries++)
            usleep(10000), read_all(channels[which], android); /* few messages end unread */
        if (went > 0 && end < 2)
            shutdown(channels[which], end ? SHUT_WR : SHUT_RD);
        if (went > 0 && end == 2)
            over = send(channels[which], "", 0, MSG_NOSIGNAL) == 0;
        if (over || (went > 0 && end == 3) || (which < 2 && went < 0 && chance(500) == 0)) {
            __sync_fetch_and_add(over ? &shared->ended : &shared->left, 1);
            close(channels[which]);
            channels[which] = connected(android);
        }
        if (went > 0) {
            __sync_fetch_and_add(&shared->sent[android], 1);
            __sync_fetch_and_add(&shared->by_root[android], root);
        }
    }
    for (int tries = 0; tries < 500; tries++) { /* until what was sent has been read */
        int waiting = 0;
        for (int i = 2; i < number; i++) {
            read_all(channels[i], android);
            waiting += waiting_in(channels[i]) > 0;
        }
        if (!waiting)
            break;
        usleep(20000);
    }
}

static void hold_many(void) /* connections, as many as there are for one; now and then some are closed */
{
    static const char subscribe[] = "{\"v\":1,\"op\":\"subscribe\",\"events\":[\"*\"]}";
    int channels[HELD];
    unsigned held = 0;
    for (int i = 0; i < HELD; i++)
        channels[i] = -1;
    while (!shared->done) {
        int i = (int)chance(HELD), android = chance(4) == 0;
        if (channels[i] >= 0 && (chance(8) == 0 || send(channels[i], subscribe, 40, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)) {
            close(channels[i]);
            channels[i] = -1;
        } else if (channels[i] < 0 && (channels[i] = connected(android)) >= 0) {
            send(channels[i], subscribe, sizeof subscribe - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
        }
        usleep(2000);
        for (int n = held = 0; n < HELD; n++)
            held += channels[n] >= 0 && recv(channels[n], reply, 1, MSG_DONTWAIT | MSG_PEEK) != 0;
        if (held > shared->held_most)
            shared->held_most = held;
    }
}

/* Who asks what is right. */

static void ask(int channel, int way)
{
    static const uint32_t count[3] = {0x04000000, 0, 0};
    static const char right[] = "{\"v\":1,\"op\":\"unsubscribe\"}";
    bool android = way == KEPT_ANDROID || way == NEW_ANDROID;
    struct pollfd waits = {.fd = channel, .events = POLLIN};
    double began = now_us();
    ssize_t went = android ? send(channel, count, sizeof count, MSG_NOSIGNAL)
                           : send(channel, right, sizeof right - 1, MSG_NOSIGNAL);
    unsigned number = shared->asked[way]++;
    if (went < 0 || poll(&waits, 1, 5000) <= 0 || recv(channel, reply, sizeof reply, 0) < 8)
        shared->unanswered[way]++;
    else if (number < ASKED_MAX)
        shared->us[way][number] = (unsigned)(now_us() - began);
}

static void ask_on(void)
{
    int kept[2] = {connected(0), connected(1)};
    if (setpriority(PRIO_PROCESS, 0, 0) != 0)
        exit(1);
    while (!shared->done) {
        for (int way = KEPT_NATIVE; way < WAYS; way++) {
            int channel = way < NEW_NATIVE ? kept[way] : connected(way - NEW_NATIVE);
            ask(channel, way);
            if (way >= NEW_NATIVE)
                close(channel);
        }
        usleep(50000);
    }
}

static int by_size(const void *one, const void *other)
{
    return (int)(*(const unsigned *)one) - (int)(*(const unsigned *)other);
}

/* The whole. */

static int started(uint64_t seed, gid_t user, void (*begin)(void))
{
    int child = fork();
    if (child)
        return child;
    chance_state = seed * 2654435761u + 88172645463325252u + user;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (user && (setgroups(0, NULL) != 0 || setgid(user) != 0 || setuid(user) != 0))
        _exit(1);
    begin();
    _exit(0);
}

static unsigned count;

static void native_root(void) { send_many(0, true, count - count / 2); }
static void native_user(void) { send_many(0, false, count / 2); }
static void android_root(void) { send_many(1, true, count); }
static void android_user(void) { send_many(1, false, count / 4); }
static void do_nothing(void) { for (;;) pause(); }

static void tell(void)
{
    static const char *names[WAYS] = {"kept_native", "kept_android", "new_native", "new_android"};
    printf("{\"sent\": [%u, %u], \"by_root\": [%u, %u], \"replies\": [%u, %u], \"ended\": %u, \"left\": %u, "
           "\"held_most\": %u, \"forbidden\": %u, \"asked\": {", shared->sent[0], shared->sent[1], shared->by_root[0],
           shared->by_root[1], shared->replies[0], shared->replies[1], shared->ended, shared->left, shared->held_most,
           shared->forbidden);
    for (int way = 0; way < WAYS; way++) {
        unsigned number = shared->asked[way] < ASKED_MAX ? shared->asked[way] : ASKED_MAX, *us = shared->us[way];
        qsort(us, number, sizeof *us, by_size);
        printf("%s\"%s\": {\"asked\": %u, \"unanswered\": %u, \"median_us\": %u, \"p99_us\": %u, \"worst_us\": %u}",
               way ? ", " : "", names[way], shared->asked[way], shared->unanswered[way], us[number / 2],
               us[number ? number - 1 - number / 100 : 0], us[number ? number - 1 : 0]);
    }
    printf("}}\n");
}

int main(int argc, char **argv)
{
    int senders[4], holders[3], status, failed = 0;
    uint64_t seed = argc > 4 ? strtoull(argv[1], NULL, 10) : 0;
    if (argc < 5)
        return 2;
    count = (unsigned)atoi(argv[2]);
    paths[0] = argv[3], paths[1] = argv[4];
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return 1;
    decoys[0] = started(seed, 0, do_nothing), decoys[1] = started(seed, NOBODY, do_nothing);
    holders[0] = started(seed, 0, ask_on);
    holders[1] = started(seed + 1, NOBODY, hold_many), holders[2] = started(seed + 2, APP, hold_many);
    senders[0] = started(seed + 3, 0, native_root), senders[1] = started(seed + 4, NOBODY, native_user);
    senders[2] = started(seed + 5, 0, android_root), senders[3] = started(seed + 6, NOBODY, android_user);
    for (int i = 0; i < 4; i++)
        failed += waitpid(senders[i], &status, 0) < 0 || status != 0;
    shared->done = 1;
    for (int i = 0; i < 3; i++)
        failed += waitpid(holders[i], &status, 0) < 0 || status != 0;
    for (int i = 0; i < 2; i++)
        kill(decoys[i], SIGKILL), waitpid(decoys[i], NULL, 0);
    tell();
    return failed;
}
