/* caseload tune: trains a study's adapters, with progress, resumable. Ctrl-C stops after the update
 * under way. */
#include "cli.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

static const cli_option options[] = {
    {"--out", "DIR", "the study's folder of results; adapters go to DIR/adapters/ARM"},
    {"--arm", "NAME", "train this arm only"},
    {"--steps", "N", "stop each adapter after N updates; the same command goes on later"},
    {"--checkpoint", "N", "keep a checkpoint every N updates (default: every minute)"},
    {"--plan", NULL,
     "tokenise, print rows, tokens and memory, and stop before the weights are opened"},
    {"--certify", NULL, "compare each adapter with itself merged and exported (caseload certify)"},
    {"--quiet", NULL, "no progress"},
};

typedef struct screen {
    bool terminal, quiet;
    double last; /* seconds of the clock at the last line */
    char phase[64], adapter[200];
} screen;

static void show(const screen *c, const caseload_tune_state *s)
{
    char left[32], loss[64] = "", auroc[64] = "", number[32] = "";
    cli_time_left(left, sizeof left, s->seconds_left);
    if (!isnan(s->loss)) snprintf(loss, sizeof loss, "  loss %.4f", s->loss);
    if (!isnan(s->tune_auroc)) snprintf(auroc, sizeof auroc, "  tune AUROC %.4f", s->tune_auroc);
    if (s->of > 1) snprintf(number, sizeof number, "%d of %d, ", s->number, s->of);
    fprintf(stderr, "%s%s %s (%supdate %lld of %lld)%s%s  %.0f tokens/s  left %s%s",
            c->terminal ? "\r\033[K" : "", s->phase, s->adapter, number, (long long)s->updates_done,
            (long long)s->updates_all, loss, auroc, s->tokens_per_second, left,
            c->terminal ? "" : "\n");
    fflush(stderr);
}

static bool on_progress(void *context, const caseload_tune_state *s)
{
    screen *c = context;
    if (cli_interrupted()) return false;
    const double now = cli_clock();
    const char *adapter = s->adapter ? s->adapter : "";
    bool is_new = strcmp(c->phase, s->phase) != 0 || strcmp(c->adapter, adapter) != 0;
    double every = c->terminal ? 0.2 : 10;
    if (c->quiet || (!is_new && now - c->last < every)) return true;
    if (is_new && s->of > 0 && now - c->last < 0.2) return true; /* a scoring of a moment */
    c->last = now;
    snprintf(c->phase, sizeof c->phase, "%s", s->phase);
    snprintf(c->adapter, sizeof c->adapter, "%s", adapter);
    if (s->of > 0) show(c, s);
    else if (is_new)
        fprintf(stderr, "%s%s ...%s", c->terminal ? "\r\033[K" : "", s->phase,
                c->terminal ? "" : "\n");
    return true;
}

static void print_out(void *context, const char *text, size_t size)
{
    const screen *c = context;
    if (c->terminal && !c->quiet) fputs("\r\033[K", stderr);
    fwrite(text, 1, size, stdout);
}

static int run(const cli_arguments *a)
{
    caseload_error e = {0};
    screen c = {.terminal = isatty(fileno(stderr)), .quiet = cli_has(a, "--quiet")};
    caseload_tune_options o = {.study = a->positional[0],
                               .out = cli_value(a, "--out"),
                               .arm = cli_value(a, "--arm"),
                               .plan = cli_has(a, "--plan"),
                               .certify = cli_has(a, "--certify"),
                               .sink = print_out,
                               .progress = on_progress,
                               .context = &c};
    if (!cli_engine(a, &o.engine) || !cli_count(a, "--steps", &o.steps) ||
        !cli_count(a, "--checkpoint", &o.checkpoint))
        return CASELOAD_USAGE;
    if (!o.out && !o.plan)
        return cli_usage(a->command, "--out DIR is missing: where shall the adapters go?");
    if (!o.out) o.out = "."; /* a plan writes nothing */
    cli_watch();
    bool ok = caseload_tune(&o, &e);
    if (!ok && c.terminal && !c.quiet) fputc('\n', stderr);
    return ok ? 0 : cli_fail(&e);
}

const cli_command cmd_tune = {
    .name = "tune",
    .summary = "train a study's LoRA adapters, or go on with them",
    .usage = "STUDY --out DIR [--arm NAME]",
    .help =
        "Trains the adapter of every arm that has `lora`, on the rows of the training part, with "
        "the prompts that\n"
        "scoring uses, and keeps the one that is best on the tuning part. After Ctrl-C, a kill or "
        "a power cut the\n"
        "same command goes on from the last checkpoint and gives the same adapter, bit for bit. "
        "`caseload run`\n"
        "trains what is missing by itself.\n\n"
        "example:\n  caseload tune study.yaml --out results --arm tuned",
    .options = options,
    .n_option = sizeof options / sizeof options[0],
    .takes_engine = true,
    .positional_min = 1,
    .positional_max = 1,
    .run = run,
};
