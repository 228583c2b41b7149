/* Owns the record of the board's memory over time and of every late beat: for pictures, taken only when asked for. */
#include "load.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LATE_US 25000

enum field { MEM_FREE, MEM_CACHE, MEM_SHMEM, MEM_ANON, MEM_STORE, MEM_SWAPPED, FIELDS };

struct sample {
    int64_t ns;
    int64_t kib[FIELDS]; /* -1: not readable */
};

static struct sample *samples;
static size_t count, size;
static int64_t total_kib;
static uint64_t step_ns, due_ns;
static int meminfo = -1, store = -1;

/* With the driver's memory locked: the place for all samples is taken before the measured time. */
void sample_prepare(const struct plan *plan)
{
    if (plan->sample_ms <= 0)
        return;
    step_ns = (uint64_t)(plan->sample_ms * (double)MS);
    size = (size_t)(plan->seconds * 1000 / plan->sample_ms) + 16;
    samples = calloc(size, sizeof *samples);
    meminfo = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
}

static int64_t value(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    return at ? strtoll(at + strlen(name), NULL, 10) : -1;
}

/* mm_stat: original, compressed, used bytes (Documentation/admin-guide/blockdev/zram.rst). */
static int64_t store_kib(void)
{
    char text[160], *rest;
    if (store < 0)
        store = open("/sys/block/zram0/mm_stat", O_RDONLY | O_CLOEXEC);
    ssize_t length = store < 0 ? -1 : pread(store, text, sizeof text - 1, 0);
    if (length <= 0)
        return -1;
    text[length] = '\0';
    strtoll(text, &rest, 10);
    strtoll(rest, &rest, 10);
    return strtoll(rest, NULL, 10) / 1024;
}

static void take(struct sample *sample)
{
    char text[4096];
    ssize_t length = meminfo < 0 ? -1 : pread(meminfo, text, sizeof text - 1, 0);
    text[length > 0 ? length : 0] = '\0';
    sample->ns = (int64_t)now_ns();
    total_kib = value(text, "MemTotal:");
    sample->kib[MEM_FREE] = value(text, "MemFree:");
    sample->kib[MEM_SHMEM] = value(text, "\nShmem:");
    sample->kib[MEM_CACHE] = value(text, "\nCached:") + value(text, "Buffers:") - sample->kib[MEM_SHMEM];
    sample->kib[MEM_ANON] = value(text, "AnonPages:");
    sample->kib[MEM_STORE] = store_kib();
    sample->kib[MEM_SWAPPED] = value(text, "SwapTotal:") - value(text, "SwapFree:");
}

/* Takes a sample when one is due; returns when the next one is, or `latest`. */
uint64_t sample_take(uint64_t latest)
{
    uint64_t now = now_ns();
    if (!samples || count == size)
        return latest;
    if (now >= due_ns) {
        take(&samples[count++]);
        due_ns = now + step_ns;
    }
    return due_ns < latest ? due_ns : latest;
}

/* More members of the result: `beats` ends of the first heartbeat count. */
void sample_print(const struct run *run, const struct app *app, uint32_t beats)
{
    int64_t start_ns = (int64_t)atomic_load(run->start_ns);
    const char *separator = "";
    if (!samples)
        return;
    printf(",\"start_monotonic_ms\":%.3f,\"memory_total_kib\":%lld,\"samples\":[", (double)start_ns / (double)MS,
           (long long)total_kib);
    for (size_t i = 0; i < count; i++, separator = ",") {
        printf("%s[%.3f", separator, (double)(samples[i].ns - start_ns) / (double)SECOND);
        for (int field = 0; field < FIELDS; field++)
            printf(",%lld", (long long)samples[i].kib[field]);
        printf("]");
    }
    printf("],\"late_beats\":[");
    separator = "";
    for (uint32_t i = 1; i < beats; i++) {
        uint32_t us = app->ends[i] - app->ends[i - 1] - app->spent[i].overslept;
        if (us <= LATE_US || us > app->ends[i])
            continue;
        printf("%s[%.3f,%.3f]", separator, app->ends[i] / 1e6, us / 1000.0);
        separator = ",";
    }
    printf("]");
}
