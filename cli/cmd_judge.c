/* caseload judge: every statistic of scores from anywhere. */
#include "cli.h"

static const cli_option options[] = {
    {"--label", "COLUMN", "the right answers"},
    {"--positive", "VALUE", "the label's value that means positive; all others are negative"},
    {"--score", "COLUMN", "a score, higher for positive; repeat it for more (compared in pairs)"},
    {"--probability", NULL, "the scores are probabilities: Brier score, calibration too"},
    {"--patient", "COLUMN", "rows of one patient belong together: intervals by patient"},
    {"--group", "COLUMN", "also within each value of this column, and whether they differ"},
    {"--threshold", "X", "called positive from here on (default 0.5)"},
    {"--draws", "N", "bootstrap draws (default 2000; above 400,000 scores none unless asked)"},
    {"--seed", "N", "of the bootstrap (default 1)"},
    {"--json", NULL, "as one JSON object"},
};

enum { SCORES_MAX = 64 };

static int run(const cli_arguments *a)
{
    caseload_error e = {0};
    int n = a->n_repeat, seed = 1;
    caseload_judge_options o = {.table = a->positional[0],
                                .label = cli_value(a, "--label"),
                                .positive = cli_value(a, "--positive"),
                                .score = a->repeat,
                                .n_score = n,
                                .patient = cli_value(a, "--patient"),
                                .group = cli_value(a, "--group"),
                                .probability = cli_has(a, "--probability"),
                                .json = cli_has(a, "--json")};
    if (!o.label) return cli_usage(a->command, "--label is missing: the column of right answers");
    if (!o.positive) return cli_usage(a->command, "--positive is missing: the value of the label");
    if (n == 0) return cli_usage(a->command, "--score is missing: the column of scores");
    if (n > SCORES_MAX) return cli_usage(a->command, "at most %d scores at once", SCORES_MAX);
    if (!cli_number(a, "--threshold", 0.5, &o.threshold) || !cli_count(a, "--draws", &o.draws) ||
        !cli_count(a, "--seed", &seed))
        return CASELOAD_USAGE;
    o.seed = cli_has(a, "--seed") ? (uint64_t)seed : 1;
    if (o.draws > 1000000) return cli_usage(a->command, "--draws is at most 1000000");
    return caseload_judge(&o, cli_print, stdout, &e) ? 0 : cli_fail(&e);
}

const cli_command cmd_judge = {
    .name = "judge",
    .summary = "every statistic of scores in a table: AUROC, calibration, comparisons",
    .usage = "TABLE --label COLUMN --positive VALUE --score COLUMN [--score ..]",
    .help =
        "Scores from anywhere: no model, no study. A row without a label or without one of the\n"
        "scores is left out of all and counted. What cannot be computed is said, with the "
        "reason.\n\n"
        "example:\n"
        "  caseload judge t24.csv --label y --positive 1 --score pA --score pB --probability \\\n"
        "      --patient patient --group site",
    .options = options,
    .n_option = sizeof options / sizeof options[0],
    .repeats = "--score",
    .positional_min = 1,
    .positional_max = 1,
    .run = run,
};
