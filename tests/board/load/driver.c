/* Owns the processes: starting them, noticing deaths, starting a hog again, stopping all. */
#include "load.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NAP (50 * MS)
#define SETUP_NAP (2 * MS)
#define SETUP_LIMIT (120 * SECOND)
#define START_AHEAD (50 * MS)

/* SIGCHLD stays blocked: naps take it with sigtimedwait, so a death ends the nap. */
static void nap(uint64_t ns)
{
    struct timespec limit = {.tv_sec = (time_t)(ns / SECOND), .tv_nsec = (long)(ns % SECOND)};
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigtimedwait(&child, NULL, &limit);
}

void driver_protect(struct run *run)
{
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, NULL);
    bool adjusted = identity_adj(-1000);
    bool locked = mlockall(MCL_CURRENT | MCL_FUTURE) == 0;
    run->driver_protected = adjusted && locked;
}

static bool start(struct run *run, struct app *app)
{
    app->starts++;
    app->restart_ns = 0;
    atomic_store(&app->slot->pages, 0);
    pid_t pid = fork();
    if (pid == 0)
        app_main(run, app);
    app->pid = pid > 0 ? pid : 0;
    return pid > 0;
}

static void note_death(struct run *run, struct app *app, int status)
{
    uint64_t now = now_ns();
    if (run->death_count < MAX_DEATHS) {
        run->deaths[run->death_count++] = (struct death){
            .app = app,
            .pid = app->pid,
            .ns = now,
            .signal = WIFSIGNALED(status) ? WTERMSIG(status) : -1,
            .exit = WIFEXITED(status) ? WEXITSTATUS(status) : -1,
            .pages = atomic_load(&app->slot->pages),
        };
    } else {
        run->deaths_unlisted++;
    }
    app->pid = 0;
    app->deaths++;
    if (app->died_ns == 0)
        app->died_ns = now;
    if (app->spec->kind == RESPAWN)
        app->restart_ns = now + (uint64_t)(app->spec->pause_ms * (double)MS);
}

static void reap(struct run *run)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (size_t i = 0; i < run->count; i++)
            if (run->apps[i].pid == pid)
                note_death(run, &run->apps[i], status);
}

/* Starts again what is due; returns when the next one is, or `latest`. */
static uint64_t restart(struct run *run, uint64_t latest)
{
    for (size_t i = 0; i < run->count; i++) {
        struct app *app = &run->apps[i];
        if (app->restart_ns == 0)
            continue;
        if (app->restart_ns <= now_ns() && !start(run, app))
            app->restart_ns = now_ns() + NAP;
        if (app->restart_ns && app->restart_ns < latest)
            latest = app->restart_ns;
    }
    return latest;
}

void driver_wait(struct run *run, uint64_t deadline)
{
    for (;;) {
        uint64_t next = restart(run, sample_take(deadline));
        uint64_t now = now_ns();
        if (now >= deadline)
            break;
        if (next > now)
            nap(next - now < NAP ? next - now : NAP);
        reap(run);
    }
}

/* One after the other, each when the one before has filled its memory. */
static void await_ready(struct run *run, const struct app *app, uint64_t deadline)
{
    while (app->pid && !atomic_load(&app->slot->ready)) {
        if (now_ns() > deadline) {
            run->setup_complete = false;
            return;
        }
        nap(SETUP_NAP);
        reap(run);
    }
}

void driver_set_up(struct run *run)
{
    uint64_t begin = now_ns();
    run->setup_complete = true;
    for (size_t i = 0; i < run->count; i++) {
        struct app *app = &run->apps[i];
        sleep_until(now_ns() + app->seed % 10 * MS);
        if (!start(run, app)) {
            int error = errno;
            driver_stop(run);
            fail(app->name, strerror(error));
        }
        await_ready(run, app, begin + SETUP_LIMIT);
    }
    run->setup_ns = now_ns() - begin;
    uint64_t start_ns = now_ns() + START_AHEAD;
    run->end_ns = start_ns + (uint64_t)(run->plan->seconds * (double)SECOND);
    atomic_store(run->start_ns, start_ns);
    driver_wait(run, start_ns);
}

static void remove_tmpfs_file(const struct app *app)
{
    char path[PATH_SIZE + 2 * NAME_SIZE];
    flow_tmpfs_path(app, path, sizeof path);
    unlink(path);
}

/* Kills and awaits every application by its pid; none of these is a death. */
void driver_stop(struct run *run)
{
    for (size_t i = 0; i < run->count; i++)
        if (run->apps[i].pid)
            kill(run->apps[i].pid, SIGKILL);
    for (size_t i = 0; i < run->count; i++) {
        struct app *app = &run->apps[i];
        while (app->pid && waitpid(app->pid, NULL, 0) < 0 && errno == EINTR)
            ;
        app->pid = 0;
        if (app->spec->kind == TMPFS)
            remove_tmpfs_file(app);
    }
}
