/* Owns the list of applications made from the options, and the memory they share with the driver. */
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static void *share(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        fail("shared memory", strerror(errno));
    memset(memory, 0, size);
    return memory;
}

static size_t count_apps(const struct plan *plan)
{
    double count = 0;
    for (size_t i = 0; i < plan->count; i++)
        count += plan->specs[i].n;
    if (count > MAX_APPS)
        fail("too many applications", "at most 2048");
    return (size_t)count;
}

/* bg-0, bg-1 ... for groups; grow, grow-1 ... for single applications. */
static void name_app(const struct run *run, struct app *app)
{
    enum kind kind = app->spec->kind;
    unsigned before = 0;
    for (const struct app *other = run->apps; other < app; other++)
        before += strcmp(other->spec->name, app->spec->name) == 0;
    if (kind != SMALL && kind != BACKGROUND && before == 0)
        snprintf(app->name, NAME_SIZE, "%s", app->spec->name);
    else
        snprintf(app->name, NAME_SIZE, "%.10s-%u", app->spec->name, before % 10000);
}

static void add_app(struct run *run, const struct spec *spec, size_t index)
{
    struct app *app = &run->apps[run->count];
    double step = spec->n > 1 ? (spec->adj_last - spec->adj) / (spec->n - 1) : 0;
    app->spec = spec;
    app->adj = (int)(spec->adj + step * (double)index);
    app->seed = mix(run->plan->seed * 4096u + (uint32_t)run->count + 1);
    app->slot += run->count;
    name_app(run, app);
    if (spec->period_ms > 0) {
        app->ends_size = (uint32_t)(run->plan->seconds * 1000.0 / spec->period_ms) + 64;
        app->ends = share(app->ends_size * sizeof *app->ends);
        app->spent = share(app->ends_size * sizeof *app->spent);
    }
    run->count++;
}

void roster_make(struct run *run, const struct plan *plan)
{
    size_t count = count_apps(plan);
    run->plan = plan;
    run->start_ns = share(PAGE);
    run->apps = calloc(count + 1, sizeof *run->apps);
    struct slot *slots = share((count + 1) * sizeof *slots);
    if (!run->apps)
        fail("memory", strerror(errno));
    for (size_t i = 0; i < count; i++)
        run->apps[i].slot = slots;
    for (int kind = 0; kind < KINDS; kind++)
        for (size_t i = 0; i < plan->count; i++)
            for (size_t n = 0; plan->specs[i].kind == (enum kind)kind && n < (size_t)plan->specs[i].n; n++)
                add_app(run, &plan->specs[i], n);
}
