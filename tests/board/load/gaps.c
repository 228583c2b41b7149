/* Owns the arithmetic on gaps between the ends of successive beats. */
#include "load.h"

#include <stdlib.h>
#include <string.h>

static int compare(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

static double percentile(const uint32_t *sorted, uint32_t count, uint32_t percent)
{
    uint32_t rank = (uint32_t)(((uint64_t)count * percent + 99) / 100);
    return sorted[rank ? rank - 1 : 0] / 1000.0;
}

static void keep_worst(struct gaps *gaps, struct gap gap)
{
    uint32_t at = gaps->worst_count;
    while (at > 0 && gaps->worst[at - 1].ms < gap.ms)
        at--;
    if (at == TOP_GAPS)
        return;
    if (gaps->worst_count < TOP_GAPS)
        gaps->worst_count++;
    memmove(&gaps->worst[at + 1], &gaps->worst[at], (gaps->worst_count - 1 - at) * sizeof gap);
    gaps->worst[at] = gap;
}

/* `ends` in microseconds since the start; a gap's time is that of its end. What the emulator overslept is no gap. */
void gaps_measure(const uint32_t *ends, const struct spent *spent, uint32_t count, struct gaps *gaps)
{
    *gaps = (struct gaps){0};
    uint32_t *sorted = count > 1 ? malloc((count - 1) * sizeof *sorted) : NULL;
    if (!sorted)
        return;
    gaps->count = count - 1;
    for (uint32_t i = 1; i < count; i++) {
        const struct spent *from = &spent[i - 1], *to = &spent[i];
        uint32_t raw = ends[i] - ends[i - 1];
        uint32_t us = sorted[i - 1] = raw > to->overslept ? raw - to->overslept : 0;
        gaps->over_33ms += us > 33000;
        gaps->over_100ms += us > 100000;
        gaps->overslept_ms += to->overslept / 1000.0;
        gaps->raw_worst_ms = raw / 1000.0 > gaps->raw_worst_ms ? raw / 1000.0 : gaps->raw_worst_ms;
        keep_worst(gaps, (struct gap){us / 1000.0, ends[i] / 1e6, (to->run - from->run) / 1000.0,
                                      (to->wait - from->wait) / 1000.0, (to->busy - from->busy) / 1000.0,
                                      to->overslept / 1000.0, to->minor - from->minor, to->major - from->major});
    }
    qsort(sorted, gaps->count, sizeof *sorted, compare);
    gaps->p50_ms = percentile(sorted, gaps->count, 50);
    gaps->p99_ms = percentile(sorted, gaps->count, 99);
    free(sorted);
}
