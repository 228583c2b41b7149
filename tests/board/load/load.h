/* Owns the types and function names that the parts of the load generator share. */
#ifndef LOAD_H
#define LOAD_H

#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PAGE 4096u
#define MIB 1048576.0
#define MS 1000000ull
#define SECOND 1000000000ull
#define MAX_SPECS 32
#define MAX_DEATHS 1024
#define MAX_APPS 2048
#define NAME_SIZE 16
#define PATH_SIZE 128
#define TOP_GAPS 5
#define ADJ_UNCHANGED 9999.0

/* In the order in which the driver starts them: the foreground after the background. */
enum kind { SMALL, BACKGROUND, SWITCH, HEARTBEAT, GROW, TMPFS, CACHE, RESPAWN, KINDS };

/* One --option: what its applications are to do. Sizes in bytes, rates in bytes per second. */
struct spec {
    enum kind kind;
    char name[NAME_SIZE];
    char path[PATH_SIZE];
    double n, size, file, rate, limit, compress;
    double period_ms, touch_ms, pause_ms, work_us, trace_stop_ms;
    double touch, file_touch; /* beats in which the whole set is covered once */
    double churn;             /* bytes taken anew and given back in each beat */
    double delay, at;         /* seconds since the start */
    double adj, adj_last, at_adj;
    double ignore_term, unlink, memfd, sysv, rotate;
    double session;           /* above 0: each in a session of its own, as services are */
};

struct plan {
    double seconds;
    double sample_ms; /* 0: no samples */
    uint32_t seed;
    size_t count;
    struct spec specs[MAX_SPECS];
};

/* Of what the time between two beats was made; microseconds. */
struct spent {
    uint32_t run, wait; /* of the application since it began: on the processor, and ready but waiting for it */
    uint32_t minor, major; /* page faults of the application since it began; a page from the store is a major one */
    uint32_t busy;      /* of the only processor since boot, wraps: it ran some process */
    uint32_t overslept; /* of this gap: the processor idled past the deadline, so the emulator was late */
};

/* What an application tells the driver; in shared memory, so that it outlives the application. */
struct slot {
    _Atomic uint32_t ready;
    _Atomic uint32_t pages; /* own anonymous memory touched so far */
    _Atomic uint32_t moved; /* pages written to the tmpfs or read into the cache */
    _Atomic uint32_t error; /* first errno */
    _Atomic uint32_t beats; /* entries of ends[] in use */
};

struct app {
    const struct spec *spec;
    char name[NAME_SIZE];
    int adj;
    uint32_t seed;
    pid_t pid; /* 0: not running */
    uint32_t starts, deaths;
    uint64_t died_ns, restart_ns;
    struct slot *slot;
    uint32_t *ends; /* shared: end of each beat, microseconds since the start */
    struct spent *spent; /* shared: what had been spent at that moment */
    uint32_t ends_size;
};

struct death {
    const struct app *app;
    pid_t pid;
    uint64_t ns;
    int signal, exit; /* -1: not that way */
    uint32_t pages;
};

struct run {
    const struct plan *plan;
    struct app *apps;
    size_t count;
    _Atomic uint64_t *start_ns; /* shared; 0 until set-up is done */
    uint64_t end_ns;     /* of the measured time: nothing that comes later counts */
    uint64_t stopped_ns; /* when the driver noticed it, and read the counters */
    uint64_t setup_ns;
    bool setup_complete, driver_protected;
    size_t death_count, deaths_unlisted;
    struct death deaths[MAX_DEATHS];
};

struct counters { /* -1: could not be read */
    int64_t oom_kill, pswpin, pswpout, pgscan_direct, allocstall;
    int64_t refault_anon, refault_file, psi_some_us, psi_full_us;
};

struct gap {
    double ms, t, run_ms, wait_ms, busy_ms, overslept_ms;
    uint32_t minor, major;
};

struct gaps {
    uint32_t count, over_33ms, over_100ms;
    double p50_ms, p99_ms, raw_worst_ms, overslept_ms;
    struct gap worst[TOP_GAPS]; /* worst[0].ms is the worst of all */
    uint32_t worst_count;
};

/* An application's anonymous memory: an address range of which the first `pages` are touched. */
struct memory {
    unsigned char *base;
    size_t pages, capacity, random_bytes;
    uint32_t seed;
};

/* options.c */
void options_parse(int argc, char **argv, struct plan *plan);
_Noreturn void fail(const char *what, const char *detail);

/* timing.c */
uint64_t now_ns(void);
void sleep_until(uint64_t ns);
uint32_t mix(uint32_t value);

/* pages.c */
void pages_prepare(uint32_t seed);
size_t pages_random_bytes(double compress);
void page_write(unsigned char *page, size_t random_bytes, uint32_t seed, uint32_t number);
bool memory_reserve(struct memory *memory, double bytes, double compress, uint32_t seed);
bool memory_grow(struct memory *memory, struct slot *slot);
void memory_touch(struct memory *memory, size_t first, size_t count);

/* identity.c */
void identity_area(int argc, char **argv);
bool identity_adj(int adj);
void identity_become(const struct app *app);

/* apps.c, beat.c, flows.c: each runs inside an application and does not return */
_Noreturn void app_main(const struct run *run, const struct app *app);
_Noreturn void app_give_up(const struct app *app, int error);
_Noreturn void app_idle(const struct app *app, struct memory *memory);
void app_fill(const struct app *app, struct memory *memory);
uint64_t app_await_start(const struct run *run, const struct app *app);
_Noreturn void beat_foreground(const struct run *run, const struct app *app);
_Noreturn void beat_switch(const struct run *run, const struct app *app);
_Noreturn void flow_grow(const struct run *run, const struct app *app);
_Noreturn void flow_tmpfs(const struct run *run, const struct app *app);
_Noreturn void flow_cache(const struct run *run, const struct app *app);
void flow_tmpfs_path(const struct app *app, char *path, size_t size);

/* roster.c */
void roster_make(struct run *run, const struct plan *plan);

/* driver.c */
void driver_protect(struct run *run);
void driver_set_up(struct run *run);
void driver_wait(struct run *run, uint64_t deadline_ns);
void driver_stop(struct run *run);

/* sample.c */
void sample_prepare(const struct plan *plan);
uint64_t sample_take(uint64_t latest_ns);
void sample_print(const struct run *run, const struct app *app, uint32_t beats);

/* spent.c, counters.c, gaps.c, report.c */
void counters_read(struct counters *counters);
void gaps_measure(const uint32_t *ends, const struct spent *spent, uint32_t count, struct gaps *gaps);
void spent_open(void);
void spent_read(struct spent *spent);
uint32_t spent_overslept(uint64_t since, uint64_t deadline, uint32_t busy_before);
void report_print(const struct run *run, const struct counters *before,
                  const struct counters *after, const bool *alive);

#endif
