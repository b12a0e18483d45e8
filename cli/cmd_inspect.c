/* caseload inspect: what a model is. */
#include "cli.h"

static const cli_option options[] = {
    {"--json", NULL, "for programs"},
    {"--tensors", NULL, "list every tensor"},
};

static int run(const cli_arguments *a)
{
    caseload_error e = {0};
    caseload_inspect_options o = {.model = a->positional[0],
                                  .json = cli_has(a, "--json"),
                                  .tensors = cli_has(a, "--tensors")};
    return caseload_inspect(&o, cli_print, stdout, &e) ? 0 : cli_fail(&e);
}

const cli_command cmd_inspect = {
    .name = "inspect",
    .summary = "what a model is: format, sizes, tensors, tokenizer, template, hashes",
    .usage = "MODEL [--tensors] [--json]",
    .help = "Reads a .gguf file or a Hugging Face folder and says what is in it. No weight is "
            "computed with.\n\n"
            "example:\n  caseload inspect models/SmolLM2-135M-Instruct.Q4_1.gguf",
    .options = options,
    .n_option = sizeof options / sizeof options[0],
    .positional_min = 1,
    .positional_max = 1,
    .run = run,
};
