/* Owns what the kernel and a manager see of an application: comm, cmdline, oom_score_adj, signals. */
#include "load.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static char *area;
static size_t area_size;

/* Remembers where the kernel keeps this process's command line. */
void identity_area(int argc, char **argv)
{
    char *last = argv[argc - 1];
    area = argv[0];
    area_size = (size_t)(last + strlen(last) + 1 - area);
}

bool identity_adj(int adj)
{
    char text[16];
    int length = snprintf(text, sizeof text, "%d\n", adj);
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool written = write(fd, text, (size_t)length) == length;
    close(fd);
    return written;
}

/* The arguments become "load-app" and the name; without CAP_SYS_RESOURCE padded with NULs. */
static void set_cmdline(const char *name)
{
    static const char program[] = "load-app";
    size_t wanted = sizeof program + strlen(name) + 1;
    if (wanted > area_size)
        return;
    memset(area, 0, area_size);
    memcpy(area, program, sizeof program);
    strcpy(area + sizeof program, name);
    prctl(PR_SET_MM, PR_SET_MM_ARG_END, (unsigned long)(area + wanted), 0, 0);
}

void identity_become(const struct app *app)
{
    sigset_t none;
    identity_adj(app->adj);
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (app->spec->session > 0)
        setsid();
    prctl(PR_SET_NAME, (unsigned long)app->name, 0, 0, 0);
    set_cmdline(app->name);
    if (app->spec->ignore_term > 0)
        signal(SIGTERM, SIG_IGN);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}
