/* Owns the one line of JSON that tells the results. */
#include "load.h"

#include <stdio.h>
#include <string.h>

static const char *separator = "";

static void key(const char *name)
{
    printf("%s\"%s\":", separator, name);
    separator = ",";
}

static void put_int(const char *name, bool known, int64_t value)
{
    key(name);
    if (known)
        printf("%lld", (long long)value);
    else
        printf("null");
}

static void put_real(const char *name, bool known, double value)
{
    key(name);
    if (known)
        printf("%.3f", value);
    else
        printf("null");
}

static void put_bool(const char *name, bool known, bool value)
{
    key(name);
    printf("%s", !known ? "null" : value ? "true" : "false");
}

static void put_text(const char *name, const char *value)
{
    key(name);
    if (value)
        printf("\"%s\"", value);
    else
        printf("null");
}

static void put_delta(const char *name, int64_t before, int64_t after)
{
    put_int(name, before >= 0 && after >= 0, after - before);
}

static void open_list(const char *name)
{
    key(name);
    printf("[");
    separator = "";
}

static void open_item(void)
{
    printf("%s{", separator);
    separator = "";
}

static void close_with(const char *bracket)
{
    printf("%s", bracket);
    separator = ",";
}

static double seconds_at(const struct run *run, uint64_t ns)
{
    return (double)(int64_t)(ns - atomic_load(run->start_ns)) / (double)SECOND;
}

/* Leaves out the beats after the measured time: the driver is stopping everything then. */
static uint32_t count_ends(const struct run *run, const struct app *app)
{
    uint32_t count = atomic_load(&app->slot->beats);
    uint32_t end = (uint32_t)((run->end_ns - atomic_load(run->start_ns)) / 1000);
    while (count > 0 && app->ends[count - 1] > end)
        count--;
    return count;
}

/* Adds the gap that is still open at the end, if it is already longer than a period. */
static uint32_t close_ends(const struct run *run, const struct app *app, bool alive)
{
    uint32_t count = count_ends(run, app);
    uint32_t end = (uint32_t)((run->end_ns - atomic_load(run->start_ns)) / 1000);
    if (!alive || count >= app->ends_size || end / 1e6 < app->spec->at)
        return count;
    if (count == 0) /* not one beat: the gap has lasted since it should have begun */
        app->ends[count++] = (uint32_t)(app->spec->at * 1e6);
    if (end > app->ends[count - 1] && end - app->ends[count - 1] > app->spec->period_ms * 1000) {
        app->spent[count] = app->spent[count - 1]; /* not known */
        app->spent[count].overslept = 0;
        app->ends[count++] = end;
    }
    return count;
}

static void put_gaps(const struct gaps *gaps)
{
    bool known = gaps->count > 0;
    put_real("gap_worst_ms", known, gaps->worst[0].ms);
    put_real("gap_worst_at_s", known, gaps->worst[0].t);
    put_real("gap_p99_ms", known, gaps->p99_ms);
    put_real("gap_p50_ms", known, gaps->p50_ms);
    put_real("gap_raw_worst_ms", known, gaps->raw_worst_ms);
    put_real("overslept_ms", known, gaps->overslept_ms);
    put_int("gaps_over_33ms", known, gaps->over_33ms);
    put_int("gaps_over_100ms", known, gaps->over_100ms);
    open_list("gaps_worst");
    for (uint32_t i = 0; i < gaps->worst_count; i++) {
        open_item();
        put_real("ms", true, gaps->worst[i].ms);
        put_real("t", true, gaps->worst[i].t);
        put_real("run_ms", true, gaps->worst[i].run_ms);
        put_real("wait_ms", true, gaps->worst[i].wait_ms);
        put_real("busy_ms", true, gaps->worst[i].busy_ms);
        put_real("overslept_ms", true, gaps->worst[i].overslept_ms);
        put_int("minor_faults", true, gaps->worst[i].minor);
        put_int("major_faults", true, gaps->worst[i].major);
        close_with("}");
    }
    close_with("]");
}

static void put_heartbeat(const struct run *run, size_t index, const bool *alive)
{
    static struct gaps gaps;
    bool known = index < run->count;
    const struct app *app = &run->apps[index];
    uint32_t beats = known ? count_ends(run, app) : 0;
    gaps_measure(app->ends, app->spent, known ? close_ends(run, app, alive[index]) : 0, &gaps);
    put_gaps(&gaps);
    put_int("beats", known, beats ? beats - 1 : 0);
    put_bool("foreground_alive", known, known && alive[index]);
}

static size_t find(const struct run *run, enum kind kind, size_t from)
{
    while (from < run->count && run->apps[from].spec->kind != kind)
        from++;
    return from;
}

static void put_heartbeats(const struct run *run, const bool *alive)
{
    size_t first = find(run, HEARTBEAT, 0);
    put_heartbeat(run, first, alive);
    open_list("more_heartbeats");
    for (size_t i = find(run, HEARTBEAT, first + 1); i < run->count; i = find(run, HEARTBEAT, i + 1)) {
        open_item();
        put_text("name", run->apps[i].name);
        put_heartbeat(run, i, alive);
        close_with("}");
    }
    close_with("]");
}

/* The gaps that begin in the first second after the switch, and those that begin later. */
static void put_switch(const struct run *run, const bool *alive)
{
    size_t index = find(run, SWITCH, 0);
    const struct app *app = &run->apps[index];
    uint32_t count = index < run->count ? close_ends(run, app, alive[index]) : 0;
    uint32_t first = 0;
    static struct gaps early, late;
    while (first < count && app->ends[first] - app->ends[0] < 1000000)
        first++;
    gaps_measure(app->ends, app->spent, first < count ? first + 1 : count, &early);
    gaps_measure(app->ends + first, app->spent + first, count - first, &late);
    put_real("switch_gap_worst_ms", early.count > 0, early.worst[0].ms);
    put_real("switch_gap_worst_after_ms", late.count > 0, late.worst[0].ms);
    put_bool("switch_alive", index < run->count, index < run->count && alive[index]);
}

static void put_kept(const struct run *run, enum kind kind, const char *total, const char *kept, const bool *alive)
{
    int64_t all = 0, living = 0;
    for (size_t i = find(run, kind, 0); i < run->count; i = find(run, kind, i + 1)) {
        all++;
        living += alive[i];
    }
    put_int(total, true, all);
    put_int(kept, true, living);
}

/* Several of a kind together: deaths and moved pages are sums, the peak is the largest. */
struct tally {
    bool any;
    uint32_t deaths, error;
    uint64_t peak_pages, moved_pages, died_ns;
};

static struct tally tally(const struct run *run, enum kind kind)
{
    struct tally sums = {0};
    for (size_t i = find(run, kind, 0); i < run->count; i = find(run, kind, i + 1)) {
        const struct app *app = &run->apps[i];
        uint32_t pages = atomic_load(&app->slot->pages);
        sums.any = true;
        sums.deaths += app->deaths;
        sums.moved_pages += atomic_load(&app->slot->moved);
        sums.peak_pages = pages > sums.peak_pages ? pages : sums.peak_pages;
        if (app->died_ns && (!sums.died_ns || app->died_ns < sums.died_ns))
            sums.died_ns = app->died_ns;
        if (sums.error == 0)
            sums.error = atomic_load(&app->slot->error);
    }
    return sums;
}

static double mib(uint64_t pages)
{
    return (double)pages * PAGE / MIB;
}

static void put_flows(const struct run *run)
{
    struct tally grow = tally(run, GROW), tmpfs = tally(run, TMPFS);
    struct tally cache = tally(run, CACHE), respawn = tally(run, RESPAWN);
    put_bool("grow_died", grow.any, grow.deaths > 0);
    put_real("grow_peak_mb", grow.any, mib(grow.peak_pages));
    put_real("grow_died_at_s", grow.deaths > 0, seconds_at(run, grow.died_ns));
    put_real("tmpfs_written_mb", tmpfs.any, mib(tmpfs.moved_pages));
    put_bool("tmpfs_died", tmpfs.any, tmpfs.deaths > 0);
    put_text("tmpfs_error", tmpfs.error ? strerrorname_np((int)tmpfs.error) : NULL);
    put_real("cache_read_mb", cache.any, mib(cache.moved_pages));
    put_bool("cache_died", cache.any, cache.deaths > 0);
    put_text("cache_error", cache.error ? strerrorname_np((int)cache.error) : NULL);
    put_int("respawn_deaths", respawn.any, respawn.deaths);
}

/* What was read back with check_ms, by all that ever lived. */
static void put_checked(const struct run *run)
{
    int64_t checked = 0, corrupt = 0;
    for (size_t i = 0; i < run->count; i++) {
        checked += atomic_load(&run->apps[i].slot->checked);
        corrupt += atomic_load(&run->apps[i].slot->corrupt);
    }
    put_int("checked_pages", checked > 0, checked);
    put_int("corrupt_pages", checked > 0, corrupt);
}

static void put_deaths(const struct run *run)
{
    open_list("deaths");
    for (size_t i = 0; i < run->death_count; i++) {
        const struct death *death = &run->deaths[i];
        enum kind kind = death->app->spec->kind;
        uint32_t error = atomic_load(&death->app->slot->error);
        open_item();
        put_text("name", death->app->name);
        put_int("pid", true, death->pid);
        put_real("t", true, seconds_at(run, death->ns));
        put_int("signal", death->signal >= 0, death->signal);
        put_int("exit", death->exit >= 0, death->exit);
        put_int("adj", true, death->app->adj);
        put_text("error", error ? strerrorname_np((int)error) : NULL);
        put_real("resident_mb", kind != TMPFS && kind != CACHE, mib(death->pages));
        close_with("}");
    }
    close_with("]");
    put_int("deaths_unlisted", true, (int64_t)run->deaths_unlisted);
}

static void put_counters(const struct counters *before, const struct counters *after)
{
    put_delta("oom_kill", before->oom_kill, after->oom_kill);
    put_delta("pswpin", before->pswpin, after->pswpin);
    put_delta("pswpout", before->pswpout, after->pswpout);
    put_delta("pgscan_direct", before->pgscan_direct, after->pgscan_direct);
    put_delta("allocstall", before->allocstall, after->allocstall);
    put_delta("workingset_refault_anon", before->refault_anon, after->refault_anon);
    put_delta("workingset_refault_file", before->refault_file, after->refault_file);
    put_delta("psi_memory_some_us", before->psi_some_us, after->psi_some_us);
    put_delta("psi_memory_full_us", before->psi_full_us, after->psi_full_us);
}

void report_print(const struct run *run, const struct counters *before,
                  const struct counters *after, const bool *alive)
{
    printf("{");
    put_real("seconds", true, run->plan->seconds);
    put_real("measured_s", true, seconds_at(run, run->stopped_ns));
    put_int("seed", true, run->plan->seed);
    put_real("setup_s", true, (double)run->setup_ns / (double)SECOND);
    put_bool("setup_complete", true, run->setup_complete);
    put_bool("driver_protected", true, run->driver_protected);
    put_heartbeats(run, alive);
    put_switch(run, alive);
    put_kept(run, BACKGROUND, "background_total", "background_kept", alive);
    put_kept(run, SMALL, "small_total", "small_kept", alive);
    put_checked(run);
    put_flows(run);
    put_counters(before, after);
    put_deaths(run);
    size_t first = find(run, HEARTBEAT, 0);
    sample_print(run, &run->apps[first], first < run->count ? close_ends(run, &run->apps[first], alive[first]) : 0);
    printf("}\n");
    fflush(stdout);
}
