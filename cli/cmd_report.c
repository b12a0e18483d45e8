/* caseload report: draws the results of a finished or running study again, writes what a paper
 * needs, or tells where one number comes from. */
#include "cli.h"

static const cli_option options[] = {
    {"--paper", NULL, "also DIR/paper: tables, figures, methods, checklists"},
    {"--explain", "NUMBER",
     "tell where a number comes from, such as auroc/zero-shot; writes nothing"},
};

static int run(const cli_arguments *a)
{
    caseload_error e = {0};
    caseload_report_options o = {.out = a->positional[0],
                                 .paper = cli_has(a, "--paper"),
                                 .explain = cli_value(a, "--explain"),
                                 .colour = cli_colour(stdout)};
    return caseload_report(&o, cli_print, stdout, &e) ? 0 : cli_fail(&e);
}

const cli_command cmd_report = {
    .name = "report",
    .summary = "draw report.html, results.json and scores.csv again from study.db",
    .usage = "DIR [--paper | --explain NUMBER]",
    .help = "Needs neither the model nor the table: everything is read from DIR/study.db.\n\n"
            "examples:\n  caseload report results --paper\n"
            "  caseload report results --explain auroc/zero-shot\n"
            "  caseload report results --explain difference/three-shot/zero-shot",
    .options = options,
    .n_option = sizeof options / sizeof options[0],
    .positional_min = 1,
    .positional_max = 1,
    .run = run,
};
