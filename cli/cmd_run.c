/* caseload run: a whole study, with progress, resumable. Ctrl-C stops after the step under way. */
#include "cli.h"

#include <string.h>
#include <unistd.h>

static const cli_option options[] = {
    {"--out", "DIR", "folder for study.db, scores.csv, results.json, report.html; made if absent"},
    {"--limit", "N", "score only the first N rows"},
    {"--plan", NULL, "tokenise, print tokens and memory, and stop before the weights are opened"},
    {"--no-paper", NULL, "do not write DIR/paper (tables, figures, methods, checklists)"},
    {"--quiet", NULL, "no progress"},
};

typedef struct screen {
    bool terminal, quiet;
    double last; /* seconds of the clock at the last line */
    char phase[64];
} screen;

static void show(screen *c, const caseload_state *s)
{
    char left[32], bar[21];
    int64_t all = s->texts_all > 0 ? s->texts_all : 1;
    int filled = (int)(20 * s->texts_done / all);
    memset(bar, '.', 20);
    memset(bar, '#', (size_t)(filled < 20 ? filled : 20));
    bar[20] = 0;
    cli_time_left(left, sizeof left, s->seconds_left);
    char speed[64] = "";
    if (s->seconds > 0.5) {
        snprintf(speed, sizeof speed, "  %.1f texts/s  %.0f tokens/s",
                 (double)s->texts_now / s->seconds, (double)s->tokens_done / s->seconds);
    }
    fprintf(stderr, "%s%s [%s] %lld/%lld texts%s  left %s%s", c->terminal ? "\r\033[K" : "",
            s->phase, bar, (long long)s->texts_done, (long long)s->texts_all, speed, left,
            c->terminal ? "" : "\n");
    fflush(stderr);
}

static void show_detail(const screen *c, const caseload_state *s)
{
    char left[32];
    cli_time_left(left, sizeof left, s->seconds_left);
    fprintf(stderr, "%s%s %s  left %s%s", c->terminal ? "\r\033[K" : "", s->phase, s->detail, left,
            c->terminal ? "" : "\n");
    fflush(stderr);
}

typedef struct job {
    screen screen;
    FILE *out;
} job;

static bool on_progress(void *context, const caseload_state *s)
{
    screen *c = &((job *)context)->screen;
    if (cli_interrupted()) return false;
    double now = cli_clock();
    bool new_phase = strcmp(c->phase, s->phase) != 0;
    bool scoring = !strcmp(s->phase, "scoring");
    double every = c->terminal ? 0.2 : 10;
    if (c->quiet || (!new_phase && now - c->last < every)) return true;
    c->last = now;
    snprintf(c->phase, sizeof c->phase, "%s", s->phase);
    if (scoring) show(c, s);
    else if (s->detail) show_detail(c, s);
    else if (new_phase)
        fprintf(stderr, "%s%s ...%s", c->terminal ? "\r\033[K" : "", s->phase,
                c->terminal ? "" : "\n");
    return true;
}

static void print_out(void *context, const char *text, size_t size)
{
    job *j = context;
    if (j->screen.terminal && !j->screen.quiet) fputs("\r\033[K", stderr);
    fwrite(text, 1, size, j->out);
}

static int run(const cli_arguments *a)
{
    caseload_error e = {0};
    job j = {.out = stdout,
             .screen = {.terminal = isatty(fileno(stderr)), .quiet = cli_has(a, "--quiet")}};
    caseload_run_options o = {.study = a->positional[0],
                              .out = cli_value(a, "--out"),
                              .plan = cli_has(a, "--plan"),
                              .paper = !cli_has(a, "--no-paper"),
                              .colour = cli_colour(stdout),
                              .sink = print_out,
                              .progress = on_progress,
                              .context = &j};
    if (!cli_engine(a, &o.engine) || !cli_count(a, "--limit", &o.limit)) return CASELOAD_USAGE;
    if (!o.out && !o.plan)
        return cli_usage(a->command, "--out DIR is missing: where shall the results go?");
    cli_watch();
    bool ok = caseload_run(&o, &e);
    if (!ok && j.screen.terminal && !j.screen.quiet) fputc('\n', stderr);
    return ok ? 0 : cli_fail(&e);
}

const cli_command cmd_run = {
    .name = "run",
    .summary = "run a study, or go on with it",
    .usage = "STUDY --out DIR [--limit N]",
    .help = "Scores every row under every arm and writes the results into DIR. Each finished step "
            "is kept: after\n"
            "Ctrl-C, a kill or a power cut, the same command goes on from there and gives the same "
            "numbers.\n\n"
            "example:\n  caseload run study.yaml --out results",
    .options = options,
    .n_option = sizeof options / sizeof options[0],
    .takes_engine = true,
    .positional_min = 1,
    .positional_max = 1,
    .run = run,
};
