/* Owns subscribers of the control socket: argv[1] connections, of which the last argv[2] never read; argv[3]: registrations
 * of the process itself by each. Prints a line for each level that the readers are told, with how long after the sample
 * that changed it (microseconds): "notice LEVEL FIRST LAST COUNT", the first and the last reader of COUNT. On SIGTERM ends.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define MAX 256

static const char subscribe[] = "{\"v\":1,\"op\":\"subscribe\",\"levels\":true,\"events\":[\"*\"]}";
static struct pollfd waits[MAX];

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

static int connected(void)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = "/run/lmkd/control"};
    for (int tries = 0; tries < 600; tries++) {
        int made = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        if (connect(made, (struct sockaddr *)&to, sizeof to) == 0)
            return made;
        close(made);
        usleep(100000);
    }
    return -1;
}

int main(int argc, char **argv)
{
    int count = argc > 2 ? atoi(argv[1]) : 0, stuck = argc > 2 ? atoi(argv[2]) : 0;
    int readers = count - stuck, told = 0, waiting = 0;
    static char text[70000], level[32];
    double first = 0, last = 0, at = 0;
    if (count < 1 || count > MAX || readers < 1)
        return 2;
    for (int i = 0; i < count; i++) {
        waits[i].fd = connected();
        waits[i].events = POLLIN;
        if (waits[i].fd < 0 || send(waits[i].fd, subscribe, sizeof subscribe - 1, 0) < 0)
            return perror("listeners"), 1;
    }
    printf("subscribed %d, %d never read\n", count, stuck);
    fflush(stdout);
    for (;;) {
        int ready = poll(waits, (nfds_t)readers, waiting ? 200 : -1);
        if (ready <= 0 && waiting) { /* all that come have come */
            printf("notice %s %.0f %.0f %d\n", level, first * 1e3, last * 1e3, told);
            fflush(stdout);
            waiting = told = 0;
            continue;
        }
        for (int i = 0; i < readers; i++) {
            ssize_t size = waits[i].revents ? recv(waits[i].fd, text, sizeof text - 1, MSG_DONTWAIT) : -1;
            const char *found, *when;
            if (waits[i].revents && (size == 0 || (size < 0 && errno != EAGAIN)))
                return printf("ended %d\n", i), 0;
            if (size <= 0)
                continue;
            text[size] = 0;
            found = strstr(text, "\"level\":{\"level\":\"");
            when = found ? strstr(found, "\"t_ms\":") : NULL;
            if (!when)
                continue;
            double sampled = strtod(when + 7, NULL), late = now_ms() - sampled;
            if (!waiting || sampled != at) {
                if (waiting)
                    printf("notice %s %.0f %.0f %d\n", level, first * 1e3, last * 1e3, told);
                sscanf(found + 18, "%31[a-z]", level);
                at = sampled, first = late, told = 0;
            }
            waiting = 1, last = late, told++;
        }
    }
}
