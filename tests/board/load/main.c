/* Owns the order of events: set up, measure, stop, report. */
#include "load.h"

#include <string.h>

static struct plan plan;
static struct run run;
static struct counters before, after;
static bool alive[MAX_APPS + 1];

int main(int argc, char **argv)
{
    options_parse(argc, argv, &plan);
    identity_area(argc, argv);
    pages_prepare(plan.seed);
    roster_make(&run, &plan);
    sample_prepare(&plan);
    driver_protect(&run);
    driver_set_up(&run);
    counters_read(&before);
    driver_wait(&run, run.end_ns);
    run.stopped_ns = now_ns();
    counters_read(&after);
    for (size_t i = 0; i < run.count; i++)
        alive[i] = run.apps[i].pid != 0;
    driver_stop(&run);
    report_print(&run, &before, &after, alive);
    return 0;
}
