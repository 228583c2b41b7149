/* Owns the measurement of processes over time without disturbing them: no process is started while it runs.
 * costs SECONDS WINDOWS PID...: one JSON list on standard output, a window an item, a process an item in it:
 * CPU ticks (user and system), run time in ns, voluntary and all context switches during the window. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PIDS 8

struct cost {
    long long ticks, run_ns, voluntary, switches; /* -1: not readable */
};

static const char *slurp(const char *pid, const char *name)
{
    static char text[8192];
    char path[64];
    snprintf(path, sizeof path, "/proc/%s/%s", pid, name);
    FILE *file = fopen(path, "r");
    size_t size = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file)
        fclose(file);
    text[size] = '\0';
    return text;
}

static long long after(const char *text, const char *word)
{
    const char *at = strstr(text, word);
    return at ? atoll(at + strlen(word)) : -1;
}

static struct cost measure(const char *pid)
{
    struct cost cost = {-1, -1, -1, -1};
    long long user, system;
    const char *rest = strrchr(slurp(pid, "stat"), ')');
    if (rest && sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lld %lld", &user, &system) == 2)
        cost.ticks = user + system;
    const char *schedule = slurp(pid, "schedstat");
    if (*schedule)
        cost.run_ns = atoll(schedule);
    const char *status = slurp(pid, "status");
    long long involuntary = after(status, "nonvoluntary_ctxt_switches:");
    cost.voluntary = after(status, "\nvoluntary_ctxt_switches:");
    if (cost.voluntary >= 0 && involuntary >= 0)
        cost.switches = cost.voluntary + involuntary;
    return cost;
}

static void put(const char *name, long long before, long long now, const char *end)
{
    if (before < 0 || now < 0)
        printf("\"%s\": null%s", name, end);
    else
        printf("\"%s\": %lld%s", name, now - before, end);
}

static void window(int count, char **pids, time_t seconds)
{
    struct cost before[PIDS];
    struct timespec length = {.tv_sec = seconds};
    for (int i = 0; i < count; i++)
        before[i] = measure(pids[i]);
    nanosleep(&length, NULL);
    printf("[");
    for (int i = 0; i < count; i++) {
        struct cost now = measure(pids[i]);
        printf("%s{\"pid\": %s, ", i ? ", " : "", pids[i]);
        put("ticks", before[i].ticks, now.ticks, ", ");
        put("run_ns", before[i].run_ns, now.run_ns, ", ");
        put("voluntary", before[i].voluntary, now.voluntary, ", ");
        put("switches", before[i].switches, now.switches, "}");
    }
    printf("]");
}

int main(int argc, char **argv)
{
    if (argc < 4 || argc - 3 > PIDS)
        return 2;
    printf("[");
    for (int i = 0; i < atoi(argv[2]); i++) {
        printf("%s", i ? ", " : "");
        window(argc - 3, argv + 3, atoi(argv[1]));
    }
    printf("]\n");
    return 0;
}
