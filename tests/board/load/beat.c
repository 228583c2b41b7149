/* Owns the heartbeat: the foreground, and the background application that becomes a second one. */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* The loop in work() takes five ARM instructions: a microsecond of a 500 MIPS core is 100 rounds. */
#define ROUNDS_PER_US 100

struct beat {
    const struct app *app;
    uint64_t start, period;
    struct memory memory;
    const volatile unsigned char *file;
    size_t file_pages, memory_step, file_step, memory_at, file_at;
    uint64_t last, ended;     /* `ended`: of the last beat, when `busy` was the processor's */
    uint32_t busy, overslept; /* microseconds */
    int tracing;
};

static void map_file(struct beat *beat)
{
    const struct spec *spec = beat->app->spec;
    struct stat status;
    if (!*spec->path || spec->file < 1)
        return;
    int fd = open(spec->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) != 0)
        app_give_up(beat->app, errno);
    size_t size = status.st_size < spec->file ? (size_t)status.st_size : (size_t)spec->file;
    beat->file_pages = size / PAGE;
    if (beat->file_pages > 0) {
        void *mapped = mmap(NULL, beat->file_pages * PAGE, PROT_READ, MAP_SHARED, fd, 0);
        if (mapped == MAP_FAILED)
            app_give_up(beat->app, errno);
        beat->file = mapped;
    }
    close(fd);
}

static void read_file(struct beat *beat, size_t count)
{
    for (size_t i = 0; i < count; i++)
        (void)beat->file[(beat->file_at + i) % beat->file_pages * PAGE];
}

static void work(double microseconds)
{
    static volatile uint32_t result = 1;
    uint32_t x = result;
    for (uint32_t rounds = (uint32_t)(microseconds * ROUNDS_PER_US); rounds > 0; rounds--) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
    }
    result = x;
}

/* What many a frame does: memory is taken, written and given back. */
static void churn(const struct app *app)
{
    size_t size = (size_t)app->spec->churn / PAGE * PAGE;
    if (!size)
        return;
    unsigned char *taken = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (taken == MAP_FAILED)
        app_give_up(app, errno);
    for (size_t at = 0; at < size; at += PAGE)
        taken[at] = 1;
    munmap(taken, size);
}

/* Fills and reads everything once, and puts the cursors where the seed says. */
static void prepare(struct beat *beat, const struct app *app)
{
    const struct spec *spec = app->spec;
    *beat = (struct beat){.app = app, .period = (uint64_t)(spec->period_ms * (double)MS)};
    app_fill(app, &beat->memory);
    map_file(beat);
    spent_open();
    beat->tracing = spec->trace_stop_ms > 0 ? open("/sys/kernel/tracing/tracing_on", O_WRONLY | O_CLOEXEC) : -1;
    read_file(beat, beat->file_pages);
    beat->memory_step = (size_t)((double)beat->memory.pages / spec->touch) + 1;
    beat->file_step = beat->file_pages ? (size_t)((double)beat->file_pages / spec->file_touch) + 1 : 0;
    beat->memory_at = app->seed % beat->memory.pages;
    beat->file_at = beat->file_pages ? app->seed % beat->file_pages : 0;
}

static void record(struct beat *beat, uint64_t ns)
{
    const struct app *app = beat->app;
    uint32_t index = atomic_load_explicit(&app->slot->beats, memory_order_relaxed);
    if (index >= app->ends_size)
        return;
    app->ends[index] = (uint32_t)((ns - beat->start) / 1000);
    spent_read(&app->spent[index]);
    app->spent[index].overslept = beat->overslept;
    beat->ended = ns;
    beat->busy = app->spent[index].busy;
    beat->overslept = 0;
    atomic_store(&app->slot->beats, index + 1);
}

/* Keeps the kernel's trace of what a long gap was made of: the buffer stops at the first one. */
static void stop_trace(struct beat *beat, uint64_t now)
{
    double limit = beat->app->spec->trace_stop_ms;
    if (limit > 0 && beat->tracing >= 0 && beat->last && (double)(now - beat->last) > limit * (double)MS)
        if (write(beat->tracing, "0", 1) == 1) {
            close(beat->tracing);
            beat->tracing = -1;
        }
    beat->last = now;
}

static void beat_once(struct beat *beat)
{
    memory_touch(&beat->memory, beat->memory_at, beat->memory_step);
    beat->memory_at = (beat->memory_at + beat->memory_step) % beat->memory.pages;
    if (beat->file_pages) {
        read_file(beat, beat->file_step);
        beat->file_at = (beat->file_at + beat->file_step) % beat->file_pages;
    }
    churn(beat->app);
    work(beat->app->spec->work_us);
    uint64_t now = now_ns();
    record(beat, now);
    stop_trace(beat, now);
}

/* Beats at multiples of the period from `deadline` on; those missed are left out, as frames are. */
static _Noreturn void beat_for_ever(struct beat *beat, uint64_t deadline)
{
    for (;;) {
        sleep_until(deadline);
        beat->overslept = spent_overslept(beat->ended, deadline, beat->busy);
        beat_once(beat);
        deadline += beat->period;
        uint64_t now = now_ns();
        if (now > deadline)
            deadline += (now - deadline + beat->period - 1) / beat->period * beat->period;
    }
}

_Noreturn void beat_foreground(const struct run *run, const struct app *app)
{
    struct beat beat;
    prepare(&beat, app);
    beat.start = app_await_start(run, app);
    uint64_t first = beat.start + app->seed % beat.period;
    record(&beat, first); /* so that a first beat that is late shows as a gap */
    beat_for_ever(&beat, first + beat.period);
}

_Noreturn void beat_switch(const struct run *run, const struct app *app)
{
    struct beat beat;
    prepare(&beat, app);
    beat.start = app_await_start(run, app);
    uint64_t first = beat.start + (uint64_t)(app->spec->at * (double)SECOND);
    sleep_until(first);
    record(&beat, first);
    if (app->spec->at_adj < ADJ_UNCHANGED)
        identity_adj((int)app->spec->at_adj);
    beat_for_ever(&beat, first);
}
