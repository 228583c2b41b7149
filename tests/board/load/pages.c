/* Owns the contents of memory: cheap pages of a wanted compressibility, no two alike. */
#include "load.h"

#include <string.h>
#include <sys/mman.h>

#define POOL_SIZE (256u * 1024)
#define POOL_STEP 64u

/* Random bytes, written by the driver before it forks and only read afterwards: one copy for all. */
static unsigned char pool[POOL_SIZE + PAGE] __attribute__((aligned(64)));

void pages_prepare(uint32_t seed)
{
    uint32_t x = mix(seed + 1) | 1;
    for (size_t i = 0; i < sizeof pool; i += sizeof x) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        memcpy(pool + i, &x, sizeof x);
    }
}

size_t pages_random_bytes(double compress)
{
    size_t bytes = (size_t)(PAGE / compress) & ~(size_t)7;
    return bytes < 8 ? 8 : bytes;
}

/* The page must be zero beyond random_bytes, as fresh memory is. */
void page_write(unsigned char *page, size_t random_bytes, uint32_t seed, uint32_t number)
{
    uint32_t id[2] = {seed, number};
    uint32_t step = mix(seed ^ mix(number)) % (POOL_SIZE / POOL_STEP);
    memcpy(page, pool + step * POOL_STEP, random_bytes);
    memcpy(page, id, sizeof id);
}

bool memory_reserve(struct memory *memory, double bytes, double compress, uint32_t seed)
{
    memory->capacity = ((size_t)bytes + PAGE - 1) / PAGE;
    memory->pages = 0;
    memory->random_bytes = pages_random_bytes(compress);
    memory->seed = seed;
    memory->base = mmap(NULL, memory->capacity * PAGE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory->base == MAP_FAILED)
        return false;
    madvise(memory->base, memory->capacity * PAGE, MADV_NOHUGEPAGE);
    return true;
}

bool memory_grow(struct memory *memory, struct slot *slot)
{
    if (memory->pages == memory->capacity)
        return false;
    page_write(memory->base + memory->pages * PAGE, memory->random_bytes, memory->seed,
               (uint32_t)memory->pages);
    memory->pages++;
    atomic_store_explicit(&slot->pages, (uint32_t)memory->pages, memory_order_relaxed);
    return true;
}

/* Writes to `count` pages from `first` (less than pages) on, going round at the end. */
void memory_touch(struct memory *memory, size_t first, size_t count)
{
    for (size_t page = first; count > 0; count--) {
        *(volatile uint32_t *)(memory->base + page * PAGE) += 1;
        if (++page >= memory->pages)
            page = 0;
    }
}

/* Reads every byte back and compares it with what was written; nobody may have touched the pages since. */
void memory_check(const struct memory *memory, struct slot *slot)
{
    static unsigned char expected[PAGE];
    for (size_t page = 0; page < memory->pages; page++) {
        page_write(expected, memory->random_bytes, memory->seed, (uint32_t)page);
        if (memcmp(expected, memory->base + page * PAGE, PAGE) != 0)
            atomic_fetch_add(&slot->corrupt, 1);
        atomic_fetch_add(&slot->checked, 1);
    }
}
