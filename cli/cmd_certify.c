/* caseload certify: does an adapter say the same in every form? Also merge's --certify. */
#include "convert.h"

#include <unistd.h>

static bool on_progress(void *context, const caseload_state *s)
{
    (void)context;
    if (isatty(fileno(stderr))) {
        if (s->texts_all == 0) fputs("\r\033[Kpreparing", stderr);
        else
            fprintf(stderr, "\r\033[Kcertifying, form %lld of %lld",
                    (long long)s->texts_done + 1, (long long)s->texts_all);
        if (s->seconds_left >= 0) fprintf(stderr, ", %.0f s left", s->seconds_left);
    }
    return !cli_interrupted();
}

int certify_run(const cli_arguments *a, caseload_certify_options *o)
{
    caseload_error e = {0};
    o->arm = cli_value(a, "--arm");
    o->sink = cli_print;
    o->progress = on_progress;
    o->context = stdout;
    cli_watch();
    bool ok = caseload_certify(o, &e);
    if (isatty(fileno(stderr))) fputs("\r\033[K", stderr);
    return ok ? 0 : cli_fail(&e);
}

static int run(const cli_arguments *a)
{
    caseload_certify_options o = {.model = a->positional[0],
                                  .adapter = a->positional[1],
                                  .study = cli_value(a, "--study"),
                                  .merged = cli_value(a, "--merged"),
                                  .out = cli_value(a, "--out")};
    if (!o.study) return cli_usage(a->command, "give --study STUDY, whose tune rows are scored");
    if (!cli_engine(a, &o.engine)) return CASELOAD_USAGE;
    return certify_run(a, &o);
}

static const cli_option options[] = {
    {"--study", "STUDY", "the study file whose tune rows are scored"},
    {"--arm", "NAME", "how they are asked: as in this arm; default: the first"},
    {"--merged", "MODEL", "a merged model to be compared too, in any number type"},
    {"--out", "FILE", "the certificate; default: certificate.json in the adapter's folder"},
};

const cli_command cmd_certify = {
    .name = "certify",
    .summary = "does an adapter say the same beside its base, merged, exported?",
    .usage = "MODEL ADAPTER --study STUDY [--arm NAME] [--merged MODEL] [--out FILE]",
    .help =
        "Scores 50 tune rows with the adapter beside its base, then after a round trip through "
        "PEFT's layout,\n"
        "through a GGUF adapter, merged as a folder and as a GGUF file, and prints the worst "
        "difference of a\n"
        "log-probability in each form. One beyond rounding ends with exit code 4. Forms are made "
        "beside the\n"
        "certificate and removed; merged ones take 4 bytes a weight, one after the other.\n\n"
        "example:\n  caseload certify models/SmolLM2.gguf out/adapters/tuned --study "
        "study.yaml --arm tuned",
    .options = options,
    .n_option = sizeof options / sizeof options[0],
    .takes_engine = true,
    .positional_min = 2,
    .positional_max = 2,
    .run = run,
};
