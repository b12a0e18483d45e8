/* caseload fit: what fits on this computer or on a card, before anything is opened. */
#include "cli.h"

#include <string.h>

static const cli_option options[] = {
    {"--card", "NAME", "a card by name (a6000, rtx4090, h100 ..; --list names them)"},
    {"--memory", "SIZE", "free memory of the place, like 48GB or 44.5GiB"},
    {"--cards", "N", "so many of them: copies where one fits, else layers split"},
    {"--shape", "NAME", "a published model by name (7b-llama2 ..; --list names them)"},
    {"--tokens", "N", "tokens of a text with its question (default 1024)"},
    {"--shared", "N", "tokens that all prompts share (default 256)"},
    {"--shots", "N", "examples of few-shot, each as long as a text (default 4)"},
    {"--samples", "N", "samples at once of generate (default 8)"},
    {"--new", "N", "tokens of a sample (default 256)"},
    {"--rank", "N", "rank of LoRA (default 16)"},
    {"--prompts", "N", "prompts a micro-batch of LoRA (default 8)"},
    {"--rows", "N", "tokens a step (default: what suits the card; 512 here)"},
    {"--threads", "N", "threads of this computer"},
    {"--device", "NAME", "cpu, cpu:int16, cpu:avx2, cpu:avx512 or ref of this computer"},
    {"--json", NULL, "for programs: one JSON object, sizes in bytes"},
    {"--list", NULL, "name the shapes and the cards, and stop"},
};

static bool is_study(const char *path)
{
    size_t n = strlen(path);
    return (n > 5 && !strcmp(path + n - 5, ".yaml")) || (n > 4 && !strcmp(path + n - 4, ".yml"));
}

static int run(const cli_arguments *a)
{
    caseload_error e = {0};
    caseload_fit_options o = {.shape = cli_value(a, "--shape"),
                              .card = cli_value(a, "--card"),
                              .memory = cli_value(a, "--memory"),
                              .device = cli_value(a, "--device"),
                              .json = cli_has(a, "--json"),
                              .list = cli_has(a, "--list"),
                              .colour = cli_colour(stdout)};
    const struct {
        const char *option;
        int *value;
    } counts[] = {{"--cards", &o.cards},    {"--tokens", &o.tokens},   {"--shared", &o.shared},
                  {"--shots", &o.shots},    {"--samples", &o.samples}, {"--new", &o.new_tokens},
                  {"--rank", &o.rank},      {"--prompts", &o.prompts}, {"--rows", &o.rows},
                  {"--threads", &o.threads}};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        if (!cli_count(a, counts[i].option, counts[i].value)) return CASELOAD_USAGE;
    }
    for (int i = 0; i < a->n_positional; i++) {
        const char **place = is_study(a->positional[i]) ? &o.study : &o.model;
        if (*place) return cli_usage(a->command, "one argument too many: %s", a->positional[i]);
        *place = a->positional[i];
    }
    if (!o.model && !o.shape && !o.study && !o.list)
        return cli_usage(a->command, "give a model (a file or a folder), a study, or --shape NAME");
    return caseload_fit(&o, cli_print, stdout, &e) ? 0 : cli_fail(&e);
}

const cli_command cmd_fit = {
    .name = "fit",
    .summary = "tell what fits in memory, and how long a study takes",
    .usage = "[MODEL] [STUDY.yaml] [--shape NAME] [--card NAME | --memory SIZE]",
    .help =
        "For each number type and task: weights, K/V cache, activations, optimiser, workspace, "
        "total, "
        "and\nwhether it fits. MODEL is a .gguf file or a folder; config.json alone, or the first "
        "bytes "
        "of a\n.gguf file, are enough: no weights are needed and nothing is opened. With a study: "
        "every arm\nwith the true lengths of its prompts, tokens and hours.\n\n"
        "examples:\n"
        "  caseload fit --shape 7b-llama2 --card a6000\n"
        "  caseload fit models/qwen2.5-1.5b.Q4_K_M.gguf\n"
        "  caseload fit models/medgemma-27b --card rtx4090 --cards 2 --tokens 2000\n"
        "  caseload fit study.yaml",
    .options = options,
    .n_option = sizeof options / sizeof options[0],
    .positional_max = 2,
    .run = run,
};
