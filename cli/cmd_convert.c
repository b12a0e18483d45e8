/* caseload convert: a model into another container or number type; also what merge shares with
 * it. */
#include "cli.h"
#include "convert.h"

#include <unistd.h>

static bool on_progress(void *context, const caseload_state *s)
{
    (void)context;
    if (isatty(fileno(stderr))) {
        fprintf(stderr, "\r\033[K%.0f %% of the weights",
                s->tokens_all > 0 ? 100 * (double)s->tokens_done / (double)s->tokens_all : 0);
        if (s->seconds_left >= 0) fprintf(stderr, ", %.0f s left", s->seconds_left);
        if (s->tokens_done >= s->tokens_all) fputs("\r\033[K", stderr);
    }
    return !cli_interrupted();
}

int convert_run(const cli_arguments *a, caseload_convert_options *o)
{
    caseload_error e = {0};
    if (!cli_count(a, "--threads", &o->threads)) return CASELOAD_USAGE;
    o->type = cli_value(a, "--type");
    o->force = cli_has(a, "--force");
    o->sink = cli_print;
    o->progress = on_progress;
    o->context = stdout;
    cli_watch();
    return caseload_convert(o, &e) ? 0 : cli_fail(&e);
}

static int run(const cli_arguments *a)
{
    caseload_convert_options o = {.model = a->positional[0], .out = a->positional[1]};
    if (cli_value(a, "--base")) {
        o.adapter = o.model;
        o.model = cli_value(a, "--base");
        o.adapter_only = true;
        if (cli_value(a, "--type")) return cli_usage(a->command, "--type is for models");
    }
    return convert_run(a, &o);
}

static const cli_option options[] = {CONVERT_OPTIONS,
                                     {"--base", "MODEL", "what is converted is an adapter of it"}};

const cli_command cmd_convert = {
    .name = "convert",
    .summary = "a model as a GGUF file or a folder, in another number type",
    .usage = "MODEL OUT [--type TYPE] [--force]\n       caseload convert ADAPTER OUT --base MODEL "
             "[--force]",
    .help = "OUT ends in .gguf: a GGUF file, as llama.cpp reads it. Otherwise a folder, as "
            "transformers reads it.\n"
            "Without --type each tensor keeps its numbers (a folder has no blocks: they become "
            "f32, exactly).\n"
            "Types:\n"
            "  f32 f16 bf16                         both\n"
            "  q8_0 q6_k q5_k q4_k q4_1 q4_0        GGUF; embedding and head stay at q6_k (q8_0 "
            "under q8_0),\n"
            "                                       norms and biases at f32; rows that do not fill "
            "blocks of 256\n"
            "                                       take q8_0, q5_1 or q5_0\n"
            "  nf4 int8                             folders, in bitsandbytes' layout (NF4 doubly "
            "quantised);\n"
            "                                       embedding, head, norms and biases as they are\n"
            "What rounding changed is printed. OUT is replaced in one step, or not at all.\n\n"
            "example:\n  caseload convert models/SmolLM2 smollm2.q4_k.gguf --type q4_k",
    .options = options,
    .n_option = sizeof options / sizeof options[0],
    .positional_min = 2,
    .positional_max = 2,
    .run = run,
};
