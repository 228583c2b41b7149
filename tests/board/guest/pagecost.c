/* Owns the cost of one page on its way to the store and back: pagecost MB RATIO [random|forward].
 * Fills that much memory with pages that lz4 compresses to RATIO (1: not at all), has the kernel page all of it out, and
 * touches every page. One JSON object: microseconds a page out; back the mean, median, 99th percentile and worst, and
 * MB/s; pages whose fault was a major one, that is, which came from the store; pages that came back other than written. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

#define PAGE 4096u

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint32_t next(uint32_t x)
{
    x ^= x << 13;
    x ^= x >> 17;
    return x ^ x << 5;
}

static void fill(unsigned char *page, uint32_t number, size_t random_bytes)
{
    uint32_t x = number * 2654435761u | 1;
    for (size_t i = 0; i < random_bytes; i += sizeof x) {
        x = next(x);
        memcpy(page + i, &x, sizeof x);
    }
}

static long major_faults(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_majflt;
}

static int by_size(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return left < right ? -1 : left > right;
}

int main(int argc, char **argv)
{
    size_t pages = argc > 2 ? (size_t)atoi(argv[1]) * 256 : 0;
    size_t random_bytes = argc > 2 ? (size_t)(PAGE / atof(argv[2])) & ~(size_t)3 : 0;
    int random = argc > 3 && strcmp(argv[3], "random") == 0;
    unsigned char *base = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint32_t *order = calloc(pages, sizeof *order), *took = calloc(pages, sizeof *took);
    static unsigned char expected[PAGE];
    uint64_t sum = 0;
    long corrupt = 0;
    uint32_t x = 12345;
    if (pages == 0 || random_bytes > PAGE || base == MAP_FAILED || !order || !took)
        return 2;
    mlock(order, pages * sizeof *order);
    mlock(took, pages * sizeof *took);
    for (size_t i = 0; i < pages; i++)
        fill(base + i * PAGE, (uint32_t)i, random_bytes), order[i] = (uint32_t)i;
    for (size_t i = pages - 1; random && i > 0; i--) {
        size_t other = (x = next(x)) % (i + 1);
        uint32_t kept = order[i];
        order[i] = order[other];
        order[other] = kept;
    }
    uint64_t begun = now_ns();
    int refused = madvise(base, pages * PAGE, MADV_PAGEOUT);
    uint64_t out = now_ns() - begun;
    long major = major_faults();
    uint64_t back = now_ns();
    for (size_t i = 0; i < pages; i++) {
        begun = now_ns();
        (void)*(volatile unsigned char *)(base + (size_t)order[i] * PAGE);
        took[i] = (uint32_t)(now_ns() - begun);
        sum += took[i];
    }
    back = now_ns() - back;
    major = major_faults() - major;
    for (size_t i = 0; i < pages; i++) {
        fill(expected, (uint32_t)i, random_bytes);
        corrupt += memcmp(expected, base + i * PAGE, PAGE) != 0;
    }
    qsort(took, pages, sizeof *took, by_size);
    printf("{\"pages\": %zu, \"refused\": %d, \"out_us\": %.2f, \"in_mean_us\": %.2f, \"in_p50_us\": %.2f, \"in_p99_us\": %.2f, "
           "\"in_worst_us\": %.1f, \"in_mb_s\": %.1f, \"from_store\": %ld, \"corrupt\": %ld}\n",
           pages, refused, (double)out / 1e3 / (double)pages, (double)sum / 1e3 / (double)pages, took[pages / 2] / 1e3,
           took[pages * 99 / 100] / 1e3, took[pages - 1] / 1e3,
           (double)pages * PAGE / 1048576.0 / ((double)back / 1e9), major, corrupt);
    return corrupt != 0;
}
