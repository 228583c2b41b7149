/* cache.c: an application with a cache that gives it back when memory gets short, instead of dying for it.
 *
 *     cc -std=c99 -I../c -o cache cache.c ../c/lmkd.c
 *     ./cache [--mib N] [--socket PATH] [--priority P] [--signal | --deaf]
 *
 * It prints what it does, with the seconds of the kernel's monotonic clock (the t_ms of lmkd's records, over 1000).
 * --signal: without lmkd.h, the way of a program that links nothing: it drops its cache at SIGUSR1, which lmkd's
 * configuration says it is to get (notify: {signal: SIGUSR1}). --deaf: with neither, to see what becomes of it.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 The lmkd authors; the text of the licence is in lmkd.h.
 */
#define _DEFAULT_SOURCE /* madvise, MAP_ANONYMOUS */

#include "lmkd.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)
#define STEP_MS 20 /* the cache comes back a piece at a time: not all at once into memory that was short just now */

static struct {
    unsigned char *at;
    size_t size, filled;
} cache;

static void say(const char *format, ...)
{
    struct timespec now;
    va_list arguments;
    clock_gettime(CLOCK_MONOTONIC, &now);
    printf("%lld.%03ld ", (long long)now.tv_sec, now.tv_nsec / 1000000);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
    fflush(stdout);
}

/* Make one MiB more of it. It stands for compressed pictures: nothing that the kernel could still make smaller. */
static void fill(void)
{
    uint32_t random = 2463534242u ^ (uint32_t)cache.filled;
    unsigned char *piece = cache.at + cache.filled;
    for (size_t i = 0; i < MIB; i += sizeof random) {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        memcpy(piece + i, &random, sizeof random);
    }
    cache.filled += MIB;
    if (cache.filled == cache.size)
        say("full %zu MiB", cache.size / MIB);
}

/* Give back what is above `keep`. The pages go to the kernel at once, and the addresses stay. What came from malloc
 * in small pieces would stay in the process after free(): there, call malloc_trim(0) (glibc) after it. */
static void drop(size_t keep, const char *why)
{
    if (cache.filled <= keep)
        return;
    madvise(cache.at + keep, cache.filled - keep, MADV_DONTNEED);
    say("dropped %zu MiB (%s)", (cache.filled - keep) / MIB, why);
    cache.filled = keep;
}

static void handle(const struct lmkd_event *event)
{
    switch (event->kind) {
    case LMKD_LEVEL:
        say("level %s", lmkd_level_name(event->level));
        if (event->level == LMKD_MODERATE)
            drop(cache.size / 8, "moderate");
        else if (event->level == LMKD_CRITICAL)
            drop(0, "critical");
        break;
    case LMKD_ABOUT_TO_KILL:
        /* Save what the user would miss; then there is nothing to wait for. */
        say("about to be killed, %lld ms left", event->grace_ms);
        exit(0);
    case LMKD_REGISTERED:
        say("registered, priority %d", event->priority);
        break;
    case LMKD_REFUSED:
        say("refused %s: %s", event->name, event->text);
        break;
    case LMKD_GONE:
        say("lmkd is gone");
        break;
    case LMKD_RECORD:
    case LMKD_NOTHING:
        break;
    }
}

static int told[2]; /* a pipe: a handler may do little more than write, and poll must not miss it */

static void on_signal(int number)
{
    (void)number;
    if (write(told[1], "", 1) < 0)
        return; /* it is full: there is enough to read */
}

static int hear_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    if (pipe(told) != 0 || fcntl(told[0], F_SETFL, O_NONBLOCK) != 0 || fcntl(told[1], F_SETFL, O_NONBLOCK) != 0)
        return -1;
    return sigaction(SIGUSR1, &action, NULL);
}

int main(int argc, char **argv)
{
    struct lmkd lmkd;
    struct lmkd_event event;
    const char *path = NULL, *priority = "background";
    bool deaf = false, signals = false;
    enum lmkd_level level = LMKD_CALM;
    char byte;
    cache.size = 40 * MIB;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--deaf") == 0)
            deaf = true;
        else if (strcmp(argv[i], "--signal") == 0)
            deaf = signals = true;
        else if (strcmp(argv[i], "--socket") == 0 && i + 1 < argc)
            path = argv[++i];
        else if (strcmp(argv[i], "--priority") == 0 && i + 1 < argc)
            priority = argv[++i];
        else if (strcmp(argv[i], "--mib") == 0 && i + 1 < argc && atoi(argv[i + 1]) > 0)
            cache.size = (size_t)atoi(argv[++i]) * MIB;
        else
            return fprintf(stderr, "usage: %s [--mib N] [--socket P] [--priority P] [--signal | --deaf]\n", argv[0]), 2;
    }
    cache.at = mmap(NULL, cache.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (cache.at == MAP_FAILED)
        return perror("cache"), 1;
    if (signals && hear_signals() != 0)
        return perror("cache"), 1;
    if (!deaf) {
        /* Whether it is there or not: nothing here depends on it. */
        lmkd_open(&lmkd, path);
        if (lmkd_register(&lmkd, &(struct lmkd_registration){.name = "cache", .priority = priority, .trim = LMKD_YES}))
            return fprintf(stderr, "%s: that priority is too long\n", argv[0]), 2;
        lmkd_subscribe(&lmkd, true, NULL);
    }
    say("pid %ld, %s", (long)getpid(),
        signals ? "waits for signals" : deaf ? "deaf" : lmkd_fd(&lmkd) >= 0 ? "lmkd is there" : "lmkd is not there");
    for (;;) {
        /* An application has its own descriptors and its own time to wait here too. */
        bool filling = cache.filled < cache.size && level == LMKD_CALM;
        struct pollfd waits = {.fd = signals ? told[0] : deaf ? -1 : lmkd_fd(&lmkd), .events = POLLIN};
        int wait_ms = deaf ? -1 : lmkd_timeout_ms(&lmkd);
        if (filling && (wait_ms < 0 || wait_ms > STEP_MS))
            wait_ms = STEP_MS;
        poll(&waits, 1, wait_ms);
        while (signals && read(told[0], &byte, 1) == 1) {
            drop(0, "signal");
            level = LMKD_MODERATE; /* how it goes on nobody tells: what is wanted again is made when it is asked for */
        }
        while (!deaf && lmkd_next(&lmkd, &event)) {
            if (event.kind == LMKD_LEVEL)
                level = event.level;
            handle(&event);
        }
        if (filling && level == LMKD_CALM)
            fill();
    }
}
