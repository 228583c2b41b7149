/* Owns what moves at a rate: growing memory, the tmpfs writer and the page-cache flood. */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>

#define SLICE (10 * MS)
#define RETRY (100 * MS)
#define JITTER_MS 100u
#define CHUNK_PAGES 16u
#define ENDLESS (1024.0 * MIB) /* address space of one that grows without a limit */

struct pace {
    uint64_t begin, limit; /* bytes; limit 0: none */
    double rate;
};

/* Waits for the start and the delay; one that is started again begins at once. */
static struct pace begin(const struct run *run, const struct app *app)
{
    uint64_t start = app_await_start(run, app);
    uint64_t delay = (uint64_t)(app->spec->delay * (double)SECOND) + app->seed % JITTER_MS * MS;
    if (app->starts > 1)
        start = now_ns();
    else
        sleep_until(start += delay);
    return (struct pace){start, (uint64_t)app->spec->limit, app->spec->rate};
}

/* Whole pages that should have been moved by now. */
static uint64_t pages_due(const struct pace *pace)
{
    double bytes = (double)(now_ns() - pace->begin) / (double)SECOND * pace->rate;
    uint64_t limit = (pace->limit + PAGE - 1) / PAGE;
    uint64_t due = (uint64_t)(bytes / PAGE);
    return limit && due > limit ? limit : due;
}

static bool at_limit(const struct pace *pace, uint64_t pages)
{
    return pace->limit && pages * PAGE >= pace->limit;
}

_Noreturn void flow_grow(const struct run *run, const struct app *app)
{
    struct memory memory;
    double most = app->spec->limit > 0 ? app->spec->limit : ENDLESS;
    if (!memory_reserve(&memory, most, app->spec->compress, app->seed))
        app_give_up(app, errno);
    struct pace pace = begin(run, app);
    while (memory.pages < memory.capacity) {
        uint64_t due = pages_due(&pace);
        while (memory.pages < due && memory_grow(&memory, app->slot))
            ;
        sleep_until(now_ns() + SLICE);
    }
    app_idle(app, &memory);
}

static void note_error(const struct app *app, int error)
{
    uint32_t none = 0;
    atomic_compare_exchange_strong(&app->slot->error, &none, (uint32_t)error);
}

void flow_tmpfs_path(const struct app *app, char *path, size_t size)
{
    snprintf(path, size, "%s/load-%s", app->spec->path, app->name);
}

/* Where the writer's pages go: a file, or (base) System V memory. */
struct sink {
    int fd;
    unsigned char *base;
    uint64_t first; /* page number at which the present file begins */
    unsigned files;
};

static int open_tmpfs(const struct app *app, unsigned number)
{
    char path[PATH_SIZE + 2 * NAME_SIZE];
    flow_tmpfs_path(app, path, sizeof path);
    if (app->spec->rotate > 0)
        snprintf(path + strlen(path), 16, ".%u.log", number % 1000000);
    mkdir(app->spec->path, 0755);
    int fd = app->spec->memfd > 0 ? memfd_create(app->name, MFD_CLOEXEC)
                                  : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        app_give_up(app, errno);
    if (app->spec->unlink > 0)
        unlink(path);
    return fd;
}

/* A segment that is marked for removal at once, as System V memory should be. */
static unsigned char *open_sysv(const struct app *app)
{
    int id = shmget(IPC_PRIVATE, (size_t)app->spec->limit, 0600);
    void *base = id < 0 ? (void *)-1 : shmat(id, NULL, 0);
    if (base == (void *)-1)
        app_give_up(app, errno);
    shmctl(id, IPC_RMID, NULL);
    return base;
}

/* The next log: a file that is full is closed, and stays. */
static void rotate(const struct app *app, struct sink *sink, uint64_t from)
{
    uint64_t most = (uint64_t)app->spec->rotate / PAGE;
    if (!most || from - sink->first < most)
        return;
    close(sink->fd);
    sink->fd = open_tmpfs(app, ++sink->files);
    sink->first = from;
}

/* Writes `pages` pages, at most a chunk, from page number `from` on; false: the file system is full. */
static bool write_chunk(const struct app *app, struct sink *sink, uint64_t from, uint64_t pages)
{
    static unsigned char chunk[CHUNK_PAGES * PAGE];
    size_t random_bytes = pages_random_bytes(app->spec->compress);
    unsigned char *to = sink->base ? sink->base + from * PAGE : chunk;
    for (uint64_t i = 0; i < pages; i++)
        page_write(to + i * PAGE, random_bytes, app->seed, (uint32_t)(from + i));
    ssize_t written = (ssize_t)(pages * PAGE);
    if (!sink->base)
        written = pwrite(sink->fd, chunk, (size_t)pages * PAGE, (off_t)((from - sink->first) * PAGE));
    if (written < (ssize_t)PAGE) {
        note_error(app, written < 0 ? errno : ENOSPC);
        return false;
    }
    atomic_fetch_add(&app->slot->moved, (uint32_t)(written / PAGE));
    return true;
}

_Noreturn void flow_tmpfs(const struct run *run, const struct app *app)
{
    bool sysv = app->spec->sysv > 0;
    struct sink sink = {.fd = sysv ? -1 : open_tmpfs(app, 0), .base = sysv ? open_sysv(app) : NULL};
    struct pace pace = begin(run, app);
    uint64_t done = 0;
    while (!at_limit(&pace, done)) {
        uint64_t due = pages_due(&pace);
        uint64_t nap = SLICE;
        while (done < due && nap == SLICE) {
            uint64_t pages = due - done < CHUNK_PAGES ? due - done : CHUNK_PAGES;
            rotate(app, &sink, done);
            if (!write_chunk(app, &sink, done, pages))
                nap = RETRY;
            done = atomic_load(&app->slot->moved);
        }
        sleep_until(now_ns() + nap);
    }
    for (;;)
        pause();
}

/* Reads a chunk, from the beginning again at the end of the file; false: nothing can be read. */
static bool read_chunk(const struct app *app, int fd)
{
    static unsigned char chunk[CHUNK_PAGES * PAGE];
    ssize_t got = read(fd, chunk, sizeof chunk);
    if (got == 0 && lseek(fd, 0, SEEK_SET) == 0)
        got = read(fd, chunk, sizeof chunk);
    if (got <= 0) {
        note_error(app, got < 0 ? errno : ENODATA);
        return false;
    }
    atomic_fetch_add(&app->slot->moved, ((uint32_t)got + PAGE - 1) / PAGE);
    return true;
}

_Noreturn void flow_cache(const struct run *run, const struct app *app)
{
    int fd = open(app->spec->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        app_give_up(app, errno);
    struct pace pace = begin(run, app);
    while (!at_limit(&pace, atomic_load(&app->slot->moved))) {
        uint64_t due = pages_due(&pace);
        uint64_t nap = SLICE;
        while (atomic_load(&app->slot->moved) < due && nap == SLICE)
            if (!read_chunk(app, fd))
                nap = RETRY;
        sleep_until(now_ns() + nap);
    }
    for (;;)
        pause();
}
