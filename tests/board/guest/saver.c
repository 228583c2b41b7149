/* Owns an application with work to save: argv[1] MiB that do not compress, registered as cached; argv[2] is the file.
 * SIGTERM it only notes; told that it is about to be killed it writes the file, prints one line of JSON and ends.
 * With argv[3] it is a child that is registered, and that hears nothing: the parent prints what it is told of its end.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "connected.h"

static volatile double asked_ms;

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

static void note(int number)
{
    (void)number;
    asked_ms = now_ms();
}

static void fill(size_t octets)
{
    uint32_t random = 2463534242u;
    volatile uint32_t *at = malloc(octets); /* else the compiler leaves all of it out */
    for (size_t i = 0; at != NULL && i < octets / sizeof *at; i++) {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        at[i] = random;
    }
}

static double number_in(const char *message, const char *key)
{
    const char *found = strstr(message, key);
    return found != NULL ? atof(found + strlen(key)) : -1;
}

static double save(const char *path)
{
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (file < 0 || write(file, "the work of an hour\n", 20) != 20 || fsync(file) != 0 || close(file) != 0)
        return -1;
    return now_ms();
}

int main(int argc, char **argv)
{
    static char message[70000];
    struct sigaction noted = {.sa_handler = note};
    pid_t child = 0;
    if (argc < 3)
        return 2;
    if (argc > 3 && (child = fork()) == 0) {
        prctl(PR_SET_NAME, "holder");
        fill((size_t)atoi(argv[1]) << 20);
        for (;;)
            pause();
    }
    if (child == 0) {
        sigaction(SIGTERM, &noted, NULL);
        fill((size_t)atoi(argv[1]) << 20);
    }
    int talk = connected();
    int size = snprintf(message, sizeof message, "{\"v\":1,\"op\":\"register\",\"priority\":\"cached\",\"pid\":%d}",
                        child != 0 ? child : getpid());
    if (talk < 0 || send(talk, message, (size_t)size, 0) < 0 || recv(talk, message, sizeof message, 0) <= 0)
        return perror("saver"), 1;
    fprintf(stderr, "registered %d\n", child != 0 ? child : getpid());
    for (;;) {
        ssize_t got = recv(talk, message, sizeof message - 1, 0);
        if (got < 0 && errno == EINTR)
            continue;
        double told_ms = now_ms();
        if (got <= 0) {
            puts("{\"ended\": true}");
            return 1;
        }
        message[got] = 0;
        if (strstr(message, "\"about_to_kill\"") == NULL)
            continue;
        double saved_ms = child == 0 ? save(argv[2]) : -1;
        printf("{\"asked_ms\": %.2f, \"told_ms\": %.2f, \"saved_ms\": %.2f, \"grace_ms\": %.0f, \"killed\": %s}\n", asked_ms,
               told_ms, saved_ms, number_in(message, "\"grace_ms\":"), strstr(message, "SIGKILL") != NULL ? "true" : "false");
        return 0;
    }
}
