/* Owns a source of page faults that take no memory: touches 1 MB, gives it back, again, for argv[1] seconds. */
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#define BYTES (1 << 20)

int main(int argc, char **argv)
{
    char *memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (argc != 2 || memory == MAP_FAILED)
        return 1;
    for (time_t end = time(NULL) + atoi(argv[1]); time(NULL) < end;) {
        for (size_t at = 0; at < BYTES; at += 4096)
            ((volatile char *)memory)[at] = 1;
        madvise(memory, BYTES, MADV_DONTNEED);
    }
    return 0;
}
