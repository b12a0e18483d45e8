/* caseload try: one row's prompt and answers. */
#include "cli.h"

static const cli_option options[] = {
    {"--row", "ID", "the row's id; default: the first row to be scored"},
    {"--arm", "NAME", "only this arm"},
};

static int run(const cli_arguments *a)
{
    caseload_error e = {0};
    caseload_try_options o = {.study = a->positional[0],
                              .row = cli_value(a, "--row"),
                              .arm = cli_value(a, "--arm"),
                              .colour = cli_colour(stdout)};
    if (!cli_engine(a, &o.engine)) return CASELOAD_USAGE;
    return caseload_try(&o, cli_print, stdout, &e) ? 0 : cli_fail(&e);
}

const cli_command cmd_try = {
    .name = "try",
    .summary = "one row: the exact prompt, its tokens, the answers' log-probabilities",
    .usage = "STUDY [--row ID] [--arm NAME]",
    .help = "Shows what the model reads for one row under each arm, token by token, what it "
            "writes, what "
            "it thinks\n"
            "of each answer, and all arms side by side. This is the only command that prints a "
            "text of your table. Nothing is stored.\n\n"
            "example:\n  caseload try study.yaml --row 17",
    .options = options,
    .n_option = sizeof options / sizeof options[0],
    .takes_engine = true,
    .positional_min = 1,
    .positional_max = 1,
    .run = run,
};
