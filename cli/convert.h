/* convert: what the commands convert and merge share. */
#ifndef CASELOAD_CLI_CONVERT_H
#define CASELOAD_CLI_CONVERT_H

#include "cli.h"

/* clang-format off */
#define CONVERT_OPTIONS \
    {"--type", "TYPE", "number type of the matrices; default: as they are"}, \
    {"--force", NULL, "replace OUT"}, \
    {"--threads", "N", "threads; default: OMP_NUM_THREADS, else all cores"}
/* clang-format on */

/* Fills in what `certify` and `merge --certify` share, runs, prints; the exit code. */
int certify_run(const cli_arguments *a, caseload_certify_options *o);

/* Fills in the options that both have, runs, prints; the exit code. Ctrl-C leaves nothing
 * behind. */
int convert_run(const cli_arguments *a, caseload_convert_options *o);

#endif
