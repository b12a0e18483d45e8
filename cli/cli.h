/* cli: what the commands share. A command is one row of the table in main.c and one cmd_ file. */
#ifndef CASELOAD_CLI_H
#define CASELOAD_CLI_H

#include "caseload.h"

#include <stdio.h>

typedef struct cli_option {
    const char *name;  /* "--model" */
    const char *value; /* "FILE"; NULL: a switch */
    const char *help;
} cli_option;

typedef struct cli_arguments cli_arguments;

typedef struct cli_command {
    const char *name, *summary, *usage, *help; /* help: more text, with an example */
    const cli_option *options;
    int n_option;
    const char *repeats; /* the option that may be given several times; NULL */
    bool takes_engine;   /* also --model, --device, --threads, --batch, --rows, --unshared */
    int positional_min, positional_max;
    int (*run)(const cli_arguments *a); /* exit code */
} cli_command;

enum { CLI_VALUES_MAX = 32, CLI_POSITIONAL_MAX = 8, CLI_REPEATS_MAX = 256 };

struct cli_arguments {
    const cli_command *command;
    const char *positional[CLI_POSITIONAL_MAX];
    int n_positional;
    const char *value[CLI_VALUES_MAX]; /* by the option's place in the table; NULL: not given */
    const char *engine_value[CLI_VALUES_MAX];
    int n_repeat; /* values of the option that repeats, in the order given */
    const char *repeat[CLI_REPEATS_MAX];
};

extern const cli_command cmd_inspect, cmd_score, cmd_init, cmd_try, cmd_run, cmd_report,
    cmd_devices, cmd_notes, cmd_judge, cmd_compare, cmd_split, cmd_fit, cmd_tune, cmd_convert,
    cmd_merge, cmd_certify, cmd_prompts, cmd_refine, cmd_agree, cmd_overlap, cmd_size, cmd_audit;

const char *cli_value(const cli_arguments *a,
                      const char *option); /* NULL: not given; "" for a switch */
bool cli_has(const cli_arguments *a, const char *option);
bool cli_number(const cli_arguments *a, const char *option, double otherwise, double *out);
bool cli_count(const cli_arguments *a, const char *option,
               int *out); /* false after printing what is wrong */

int cli_fail(const caseload_error *e); /* prints "caseload: sentence", returns the exit code */
int cli_usage(const cli_command *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
void cli_print(void *file, const char *text, size_t size); /* a caseload_sink to a FILE */
bool cli_colour(FILE *f);                                  /* a terminal, and NO_COLOR is not set */
bool cli_engine(const cli_arguments *a, caseload_engine_options *o);

/* Long commands (watch.c): the first Ctrl-C, SIGTERM or SIGHUP is only noted, the second ends. */
void cli_watch(void);
bool cli_interrupted(void);
double cli_clock(void);                                      /* seconds, monotonic */
void cli_time_left(char *text, size_t size, double seconds); /* "2m05s"; below 0: "?" */

#endif
