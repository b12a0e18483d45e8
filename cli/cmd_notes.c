/* caseload notes: synthetic clinical notes, to try things on. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

static const cli_option options[] = {
    {"--out", "FILE", "the table to write (CSV); an earlier one is replaced"},
    {"--rows", "N", "notes (default 300)"},
    {"--seed", "S", "the same seed gives the same table (default 1)"},
    {"--language", "L", "en (default), ko, mixed"},
    {"--serious", "X", "share of serious events (default 0.4)"},
    {"--noise", "X", "share of labels turned over (default 0.05)"},
    {"--hard", "X", "share of notes with a sentence that points the other way (default 0.4)"},
};

/* A fraction; 0 becomes -1, which means none. False after printing what is wrong. */
static bool take_fraction(const cli_arguments *a, const char *option, double *out)
{
    const char *text = cli_value(a, option);
    if (!text) return true;
    char *end;
    double v = strtod(text, &end);
    if (!*text || *end || !(v >= 0 && v <= 1)) {
        cli_usage(a->command, "%s must be a number from 0 to 1, not '%s'", option, text);
        return false;
    }
    *out = v > 0 ? v : -1;
    return true;
}

static int run(const cli_arguments *a)
{
    int rows = 0, seed = 0;
    caseload_notes_options o = {.out = cli_value(a, "--out"),
                                .language = cli_value(a, "--language")};
    if (!o.out) return cli_usage(a->command, "--out is missing: where the table goes");
    if (!cli_count(a, "--rows", &rows) || !cli_count(a, "--seed", &seed)) return CASELOAD_USAGE;
    if (!take_fraction(a, "--serious", &o.serious) || !take_fraction(a, "--noise", &o.noise) ||
        !take_fraction(a, "--hard", &o.hard))
        return CASELOAD_USAGE;
    o.rows = cli_has(a, "--rows") ? rows : 300;
    o.seed = cli_has(a, "--seed") ? (uint64_t)seed : 1;
    caseload_error e = {0};
    double best = 0;
    if (!caseload_notes(&o, &best, &e)) return cli_fail(&e);
    printf("%s: %d synthetic notes; a perfect reader would reach an AUROC of %.3f against these "
           "labels\n",
           o.out, o.rows, best);
    return 0;
}

const cli_command cmd_notes = {
    .name = "notes",
    .summary = "write synthetic clinical notes with a known truth, to try things on",
    .usage = "--out FILE [--rows N] [--seed S] [--language en|ko|mixed] [--hard X]",
    .help = "Reports of reactions to medicines, put together from sentences written for this "
            "program; no\n"
            "patient stands behind them. Columns: id, patient, site, date, age, sex, language, "
            "text, label,\n"
            "truth, split. `label` is `truth` with a share of labels turned over.\n\n"
            "example:\n  caseload notes --out notes.csv --rows 300 --seed 1 --language ko",
    .options = options,
    .n_option = sizeof options / sizeof options[0],
    .run = run,
};
