/* caseload split: train, tune and test, by patient, once. */
#include "cli.h"

static const cli_option options[] = {
    {"--out", "FILE", "where to write; default: what `data: split_file` of the study says"},
};

static int run(const cli_arguments *a)
{
    caseload_error e = {0};
    bool ok = caseload_split(a->positional[0], cli_value(a, "--out"), cli_print, stdout, &e);
    return ok ? 0 : cli_fail(&e);
}

const cli_command cmd_split = {
    .name = "split",
    .summary = "divide the table into train, tune and test, by patient, once",
    .usage = "STUDY",
    .help =
        "As `splits` of the study file says; default: 60/20/20 at random, stratified by label.\n"
        "  splits: {by: time, date: visit_date}                    the last 20 % are test\n"
        "  splits: {by: site, site: hospital, hold_out: [B]}       hospital B is test\n"
        "The file is sealed with its hash and never overwritten; a changed one is refused.\n\n"
        "example:\n  caseload split study.yaml --out splits.csv",
    .options = options,
    .n_option = sizeof options / sizeof options[0],
    .positional_min = 1,
    .positional_max = 1,
    .run = run,
};
