/* caseload report: draws the results of a finished or running study again. */
#include "cli.h"

static int run(const cli_arguments *a)
{
    caseload_error e = {0};
    bool ok = caseload_report(a->positional[0], cli_colour(stdout), cli_print, stdout, &e);
    return ok ? 0 : cli_fail(&e);
}

const cli_command cmd_report = {
    .name = "report",
    .summary = "draw report.html, results.json and scores.csv again from study.db",
    .usage = "DIR",
    .help = "Needs neither the model nor the table: everything is read from DIR/study.db.\n\n"
            "example:\n  caseload report results",
    .positional_min = 1,
    .positional_max = 1,
    .run = run,
};
