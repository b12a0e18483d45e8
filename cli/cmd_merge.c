/* caseload merge: a LoRA adapter into its model. */
#include "convert.h"

static int run(const cli_arguments *a)
{
    caseload_convert_options o = {.model = a->positional[0],
                                  .adapter = a->positional[1],
                                  .out = a->positional[2]};
    int code = convert_run(a, &o);
    if (code != 0 || !cli_value(a, "--certify")) return code;
    caseload_certify_options c = {.model = o.model,
                                  .adapter = o.adapter,
                                  .study = cli_value(a, "--certify"),
                                  .merged = o.out,
                                  .merged_only = true};
    c.engine.threads = o.threads;
    return certify_run(a, &c);
}

static const cli_option options[] = {
    CONVERT_OPTIONS,
    {"--certify", "STUDY", "then score its tune rows beside and merged (`caseload certify`)"},
    {"--arm", "NAME", "of that study; default: the first"},
};

const cli_command cmd_merge = {
    .name = "merge",
    .summary = "a LoRA adapter into its model: one model for any program",
    .usage = "MODEL ADAPTER OUT [--type TYPE] [--force] [--certify STUDY [--arm NAME]]",
    .help = "ADAPTER is a folder in PEFT's layout or a GGUF adapter; OUT and TYPE as of `caseload "
            "convert`.\n"
            "W + (alpha / r) B A is summed in double and rounded once to the number type: f32 "
            "keeps the adapted\n"
            "model's scores to rounding; a quantised type rounds the adapter's small changes with "
            "the weights.\n\n"
            "example:\n"
            "  caseload merge models/SmolLM2.gguf out/adapters/lora merged.gguf --type f16",
    .options = options,
    .n_option = sizeof options / sizeof options[0],
    .positional_min = 3,
    .positional_max = 3,
    .run = run,
};
