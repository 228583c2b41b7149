/* Owns the reading of the kernel's counters: /proc/vmstat and /proc/pressure/memory. */
#include "load.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char text[16384];

static bool read_text(const char *path)
{
    size_t length = 0;
    ssize_t got;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    while ((got = read(fd, text + length, sizeof text - 1 - length)) > 0)
        length += (size_t)got;
    close(fd);
    text[length] = '\0';
    return length > 0;
}

/* "pgscan_direct" also stands for pgscan_direct_normal and so on, but not for the throttle count. */
static bool matches(const char *line, const char *key, bool family)
{
    size_t length = strlen(key);
    if (strncmp(line, key, length) != 0)
        return false;
    if (line[length] == ' ')
        return true;
    return family && line[length] == '_' && strncmp(line + length, "_throttle ", 10) != 0;
}

/* The sum over the lines that match; -1: there is none. */
static int64_t sum(const char *key, bool family)
{
    int64_t total = -1;
    for (const char *line = text; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (!matches(line, key, family))
            continue;
        total = total < 0 ? 0 : total;
        total += strtoll(strchr(line, ' '), NULL, 10);
    }
    return total;
}

static int64_t pressure_total(const char *kind)
{
    const char *line = strstr(text, kind);
    const char *total = line ? strstr(line, "total=") : NULL;
    return total ? strtoll(total + 6, NULL, 10) : -1;
}

void counters_read(struct counters *counters)
{
    memset(counters, 0xff, sizeof *counters); /* all -1 */
    if (read_text("/proc/pressure/memory")) {
        counters->psi_some_us = pressure_total("some");
        counters->psi_full_us = pressure_total("full");
    }
    if (read_text("/proc/vmstat")) {
        counters->oom_kill = sum("oom_kill", false);
        counters->pswpin = sum("pswpin", false);
        counters->pswpout = sum("pswpout", false);
        counters->pgscan_direct = sum("pgscan_direct", true);
        counters->allocstall = sum("allocstall", true);
        counters->refault_anon = sum("workingset_refault_anon", false);
        counters->refault_file = sum("workingset_refault_file", false);
    }
}
