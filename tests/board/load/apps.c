/* Owns the life of an application: being started, filling its memory, waiting, idling. */
#include "load.h"

#include <errno.h>
#include <unistd.h>

_Noreturn void app_give_up(const struct app *app, int error)
{
    atomic_store(&app->slot->error, (uint32_t)error);
    _exit(3);
}

void app_fill(const struct app *app, struct memory *memory)
{
    const struct spec *spec = app->spec;
    if (!memory_reserve(memory, spec->size, spec->compress, app->seed))
        app_give_up(app, errno);
    while (memory_grow(memory, app->slot))
        ;
}

/* Returns the start of the measured time; sleeps until then, too. */
uint64_t app_await_start(const struct run *run, const struct app *app)
{
    atomic_store(&app->slot->ready, 1);
    while (atomic_load(run->start_ns) == 0)
        sleep_until(now_ns() + 5 * MS);
    uint64_t start = atomic_load(run->start_ns);
    sleep_until(start);
    return start;
}

_Noreturn void app_idle(const struct app *app, struct memory *memory)
{
    bool checks = app->spec->check_ms > 0;
    uint64_t period = (uint64_t)((checks ? app->spec->check_ms : app->spec->touch_ms) * (double)MS);
    if (period == 0)
        for (;;)
            pause();
    uint64_t next = now_ns() + app->seed % period;
    for (;;) {
        sleep_until(next);
        if (checks)
            memory_check(memory, app->slot);
        else
            memory_touch(memory, 0, memory->pages);
        next = now_ns() + period;
    }
}

static _Noreturn void idle_from_the_beginning(const struct app *app)
{
    struct memory memory;
    app_fill(app, &memory);
    atomic_store(&app->slot->ready, 1);
    app_idle(app, &memory);
}

_Noreturn void app_main(const struct run *run, const struct app *app)
{
    identity_become(app);
    switch (app->spec->kind) {
    case HEARTBEAT:
        beat_foreground(run, app);
    case SWITCH:
        beat_switch(run, app);
    case TMPFS:
        flow_tmpfs(run, app);
    case CACHE:
        flow_cache(run, app);
    case GROW:
    case RESPAWN:
        flow_grow(run, app);
    default:
        idle_from_the_beginning(app);
    }
}
