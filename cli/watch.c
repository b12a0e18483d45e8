/* watch: what long commands share: Ctrl-C, the clock, and how time left is written. */
#include "cli.h"

#include <signal.h>
#include <time.h>

static volatile sig_atomic_t
    interrupted; /* set by the handler; the one thing a handler may touch */

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

void cli_watch(void)
{
    struct sigaction act = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &act, NULL); /* a second Ctrl-C ends at once; what was kept survives that */
    sigaction(SIGTERM, &act, NULL);
    sigaction(SIGHUP, &act, NULL); /* the terminal went away */
}

bool cli_interrupted(void) { return interrupted != 0; }

double cli_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void cli_time_left(char *text, size_t size, double seconds)
{
    long s = (long)(seconds + 0.5);
    if (seconds < 0) snprintf(text, size, "?");
    else if (s < 60) snprintf(text, size, "%lds", s);
    else if (s < 3600) snprintf(text, size, "%ldm%02lds", s / 60, s % 60);
    else snprintf(text, size, "%ldh%02ldm", s / 3600, s / 60 % 60);
}
