/* Owns applications whose memory lies in the store in turn: weave SECONDS COUNT MB PIECE RATIO...
 * Starts COUNT processes "woven-N" of that size, which live until they are killed; their pages compress to one RATIO after
 * the other on average, each page a little better or worse. SECONDS later the kernel is asked to page out PIECE pages of
 * each in turn (1: page by page; 0: one application after the other). Prints their process ids in one line, and ends. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGE 4096u
#define COUNT_MAX 64
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif
#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

static uint32_t next(uint32_t x)
{
    x ^= x << 13;
    x ^= x >> 17;
    return x ^ x << 5;
}

static void fill(unsigned char *base, size_t pages, double ratio, uint32_t seed)
{
    uint32_t x = seed * 2654435761u | 1;
    for (size_t i = 0; i < pages; i++) {
        x = next(x);
        size_t random_bytes = (size_t)(PAGE / ratio * (0.5 + (x >> 8) % 1000 / 1000.0)) & ~(size_t)3;
        random_bytes = random_bytes > PAGE ? PAGE : random_bytes;
        base[i * PAGE + PAGE - 1] = 1;
        for (size_t at = 0; at < random_bytes; at += sizeof x) {
            x = next(x);
            memcpy(base + i * PAGE + at, &x, sizeof x);
        }
    }
}

static _Noreturn void live(unsigned number, unsigned char *base, size_t pages, double ratio, int ready)
{
    char name[16];
    FILE *adj = fopen("/proc/self/oom_score_adj", "w");
    snprintf(name, sizeof name, "woven-%u", number);
    prctl(PR_SET_NAME, name);
    if (!adj || fprintf(adj, "900") < 0 || fclose(adj) != 0)
        _exit(3);
    fill(base, pages, ratio, number + 1);
    if (write(ready, "", 1) != 1)
        _exit(3);
    for (int descriptor = 0; descriptor < 64; descriptor++)
        close(descriptor);
    setsid();
    for (;;)
        pause();
}

int main(int argc, char **argv)
{
    unsigned count = argc > 5 ? (unsigned)atoi(argv[2]) : 0;
    size_t pages = argc > 5 ? (size_t)atoi(argv[3]) * 256 : 0;
    size_t piece = argc > 5 ? (size_t)atoi(argv[4]) : 0;
    unsigned char *base = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pid_t pids[COUNT_MAX];
    int descriptors[COUNT_MAX], ends[2];
    char byte;
    if (count == 0 || count > COUNT_MAX || pages == 0 || base == MAP_FAILED || pipe(ends) != 0)
        return 2;
    for (unsigned i = 0; i < count; i++) {
        pids[i] = fork();
        if (pids[i] == 0)
            live(i, base, pages, atof(argv[5 + i % (unsigned)(argc - 5)]), ends[1]);
        descriptors[i] = (int)syscall(SYS_pidfd_open, pids[i], 0);
        if (pids[i] < 0 || descriptors[i] < 0 || read(ends[0], &byte, 1) != 1)
            return 3;
    }
    sleep((unsigned)atoi(argv[1]));
    piece = piece == 0 || piece > pages ? pages : piece;
    for (size_t from = 0; from < pages; from += piece)
        for (unsigned i = 0; i < count; i++) {
            size_t length = pages - from < piece ? pages - from : piece;
            struct iovec range = {base + from * PAGE, length * PAGE};
            if (syscall(SYS_process_madvise, descriptors[i], &range, 1, MADV_PAGEOUT, 0) < 0)
                return 4;
        }
    for (unsigned i = 0; i < count; i++)
        printf("%d ", (int)pids[i]);
    printf("\n");
    return 0;
}
