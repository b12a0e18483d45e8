/* caseload refine: the model reads the question itself. */
#include "cli.h"

#include <unistd.h>

static const cli_option options[] = {
    {"--arm", "NAME", "the arm whose question is read; default: the first"},
    {"--proposals", "N", "rewrites that are drawn; default 4"},
    {"--seed", "N", "of the draws; default 1"},
    {"--folder", "DIR", "where versions go; default: `prompts` beside the study file"},
};

static bool on_progress(void *context, const caseload_state *s)
{
    (void)context;
    char left[32];
    cli_time_left(left, sizeof left, s->seconds_left);
    if (isatty(fileno(stderr))) {
        fprintf(stderr, "\r\033[K%s, at most %s left", s->phase, left);
    }
    return !cli_interrupted();
}

static int run(const cli_arguments *a)
{
    caseload_error e = {0};
    int seed = 0;
    caseload_refine_options o = {.study = a->positional[0],
                                 .arm = cli_value(a, "--arm"),
                                 .folder = cli_value(a, "--folder"),
                                 .progress = on_progress};
    if (!cli_engine(a, &o.engine) || !cli_count(a, "--proposals", &o.proposals) ||
        !cli_count(a, "--seed", &seed))
        return CASELOAD_USAGE;
    if (o.proposals > 50) return cli_usage(&cmd_refine, "--proposals is at most 50");
    o.seed = seed > 0 ? (uint64_t)seed : 1;
    cli_watch();
    bool ok = caseload_refine(&o, cli_print, stdout, &e);
    if (isatty(fileno(stderr))) fputs("\r\033[K", stderr);
    return ok ? 0 : cli_fail(&e);
}

const cli_command cmd_refine = {
    .name = "refine",
    .summary = "the model says what in the question is unclear, and proposes rewrites",
    .usage = "STUDY [--arm NAME]",
    .help =
        "The local model reads the question of one arm, lists what could be understood in two "
        "ways, and\nproposes rewrites. Each becomes a version (caseload prompts) with the model "
        "as its author; nothing\nis overwritten and no row of the table is read. Experts edit them "
        "as versions of their own.\n\n"
        "example:\n  caseload refine study.yaml --arm zero-shot --proposals 6",
    .options = options,
    .n_option = sizeof options / sizeof options[0],
    .takes_engine = true,
    .positional_min = 1,
    .positional_max = 1,
    .run = run,
};
