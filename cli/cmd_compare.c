/* caseload compare: arms of a study against each other. */
#include "cli.h"

static const cli_option options[] = {
    {"--group", "COLUMN", "also within each value of this subgroup column of the study"},
    {"--draws", "N", "bootstrap draws (default 2000)"},
    {"--json", NULL, "as one JSON object"},
};

static int run(const cli_arguments *a)
{
    caseload_error e = {0};
    caseload_compare_options o = {.out = a->positional[0],
                                  .arm = a->positional + 1,
                                  .n_arm = a->n_positional - 1,
                                  .group = cli_value(a, "--group"),
                                  .json = cli_has(a, "--json")};
    if (!cli_count(a, "--draws", &o.draws)) return CASELOAD_USAGE;
    if (o.draws > 1000000) return cli_usage(a->command, "--draws is at most 1000000");
    return caseload_compare(&o, cli_print, stdout, &e) ? 0 : cli_fail(&e);
}

const cli_command cmd_compare = {
    .name = "compare",
    .summary = "arms of a study against each other: paired differences with intervals",
    .usage = "DIR ARM ARM [ARM ..]",
    .help = "Reads DIR/study.db alone. Arms are compared on the rows that all of them scored:\n"
            "difference in AUROC (DeLong, by patient, bootstrap), McNemar at probability 0.5.\n\n"
            "example:\n  caseload compare results zero-shot three-shot",
    .options = options,
    .n_option = sizeof options / sizeof options[0],
    .positional_min = 3,
    .positional_max = CLI_POSITIONAL_MAX,
    .run = run,
};
