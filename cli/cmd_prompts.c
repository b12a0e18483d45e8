/* caseload prompts: versions of a study's question. */
#include "cli.h"

#include <string.h>

static const cli_option options[] = {
    {"--folder", "DIR", "where the versions are; default: `prompts` beside the study file"},
};

static int run(const cli_arguments *a)
{
    caseload_error e = {0};
    bool diff = a->n_positional > 1;
    bool files = diff && strcmp(a->positional[0], "diff") == 0;
    if (diff && a->n_positional != 3)
        return cli_usage(&cmd_prompts, "give two versions: `diff A.txt B.txt`, or `STUDY A B`");
    caseload_prompts_options o = {.study = files ? NULL : a->positional[0],
                                  .folder = cli_value(a, "--folder"),
                                  .a = diff ? a->positional[1] : NULL,
                                  .b = diff ? a->positional[2] : NULL,
                                  .colour = cli_colour(stdout)};
    return caseload_prompts(&o, cli_print, stdout, &e) ? 0 : cli_fail(&e);
}

const cli_command cmd_prompts = {
    .name = "prompts",
    .summary = "versions of a study's question: list them, or what differs between two",
    .usage = "STUDY | STUDY A B | diff A.txt B.txt",
    .help =
        "A version is a file prompts/NAME.txt beside the study file: lines `author: ..` (and, if "
        "you like,\nparent, date, why), one empty line, the question. An arm asks one with "
        "`question: {version: NAME}`.\nVersions are never changed: a new wording is a new file, "
        "with the one it was made from as parent.\n\n"
        "examples:\n  caseload prompts study.yaml\n  caseload prompts study.yaml q1 q3\n"
        "  caseload prompts diff prompts/q1.txt prompts/q3.txt",
    .options = options,
    .n_option = sizeof options / sizeof options[0],
    .positional_min = 1,
    .positional_max = 3,
    .run = run,
};
