/* Owns what a heartbeat knows of its own time: running, waiting for the processor, and the emulator's lateness. */
#include "load.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define BUSY_FIELD 7 /* of "cpu0": all processes' time on it, in nanoseconds (Documentation/scheduler/sched-stats.rst) */

#define LATE_NS (2 * MS)

static int own = -1, processor = -1;

/* In the application itself: /proc/self is resolved by the open. */
void spent_open(void)
{
    own = open("/proc/self/schedstat", O_RDONLY | O_CLOEXEC);
    if (sysconf(_SC_NPROCESSORS_ONLN) == 1)
        processor = open("/proc/schedstat", O_RDONLY | O_CLOEXEC);
}

static bool text(int descriptor, char *buffer, size_t size)
{
    ssize_t length = descriptor < 0 ? -1 : pread(descriptor, buffer, size - 1, 0);
    buffer[length > 0 ? length : 0] = 0;
    return length > 0;
}

static uint32_t busy_us(void)
{
    char buffer[512], *field;
    if (!text(processor, buffer, sizeof buffer) || !(field = strstr(buffer, "cpu0 ")))
        return 0;
    field += strlen("cpu0 ");
    for (int number = 1; number < BUSY_FIELD; number++)
        strtoull(field, &field, 10);
    return (uint32_t)(strtoull(field, NULL, 10) / 1000);
}

void spent_read(struct spent *spent)
{
    char buffer[80], *rest;
    struct rusage usage;
    *spent = (struct spent){.busy = busy_us()};
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        spent->minor = (uint32_t)usage.ru_minflt;
        spent->major = (uint32_t)usage.ru_majflt;
    }
    if (text(own, buffer, sizeof buffer)) { /* nanoseconds: run, waited */
        spent->run = (uint32_t)(strtoull(buffer, &rest, 10) / 1000);
        spent->wait = (uint32_t)(strtoull(rest, NULL, 10) / 1000);
    }
}

/* The moment of the last interrupt that found the processor in deep idle (kernel/time/tick-sched.c, idle_waketime,
   on this clock); 0 when that is not known. */
static uint64_t idle_until(void)
{
    static char buffer[8192];
    size_t length = 0;
    int timers = open("/proc/timer_list", O_RDONLY | O_CLOEXEC);
    for (ssize_t got = 1; timers >= 0 && got > 0 && length < sizeof buffer - 1; length += got > 0 ? (size_t)got : 0)
        got = read(timers, buffer + length, sizeof buffer - 1 - length);
    if (timers >= 0)
        close(timers);
    buffer[length] = 0;
    char *field = strstr(buffer, ".idle_waketime");
    return field ? strtoull(field + strcspn(field, "0123456789"), NULL, 10) : 0;
}

/* Microseconds that an idle processor let pass after `deadline`. A board's timer fires when it is idle; under counted
   instructions idle time is the emulating machine's, which may be late. Asked right after a sleep since `since`: what
   is waited for inside a beat (a page, a lock, reclaim's throttle) never counts. Two witnesses, either is enough: it
   idled longer than was meant to be slept at all; or the late timer itself found it idle, so nobody had it at the
   deadline, else the timer would have found him. */
uint32_t spent_overslept(uint64_t since, uint64_t deadline, uint32_t busy_before)
{
    uint64_t now = now_ns();
    if (processor < 0 || since >= deadline || now < deadline + LATE_NS)
        return 0;
    uint64_t late = (now - deadline) / 1000, slept = (now - since) / 1000, meant = (deadline - since) / 1000;
    uint32_t busy = busy_us() - busy_before;
    uint64_t idle = slept > busy ? slept - busy : 0;
    uint64_t overslept = idle > meant ? idle - meant : 0;
    uint64_t woke = idle_until();
    if (woke > deadline && woke <= now && (woke - deadline) / 1000 > overslept)
        overslept = (woke - deadline) / 1000;
    return (uint32_t)(overslept < late ? overslept : late);
}
