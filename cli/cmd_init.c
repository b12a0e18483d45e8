/* caseload init: a first study file for a table. */
#include "cli.h"

#include <string.h>

static const cli_option options[] = {
    {"--model", "PATH", "the model to write into it"},
    {"--out", "FILE", "write there instead of to the terminal; an existing file is left alone"},
};

static int run(const cli_arguments *a)
{
    caseload_error e = {0};
    const char *path = cli_value(a, "--out");
    FILE *to = path ? fopen(path, "wx") : stdout;
    if (!to) {
        snprintf(e.text, sizeof e.text, "cannot make %s: it exists already, or the folder does not",
                 path);
        e.code = CASELOAD_RESOURCE;
        return cli_fail(&e);
    }
    bool ok = caseload_init(a->positional[0], cli_value(a, "--model"), cli_print, to, &e);
    if (path) {
        bool written = fclose(to) == 0;
        if (!ok || !written) remove(path);
        if (ok && !written) {
            snprintf(e.text, sizeof e.text, "cannot write %s: the disk may be full", path);
            e.code = CASELOAD_RESOURCE;
            ok = false;
        }
    }
    return ok ? 0 : cli_fail(&e);
}

const cli_command cmd_init = {
    .name = "init",
    .summary = "look at a table and write a commented study file",
    .usage = "TABLE [--model PATH] [--out study.yaml]",
    .help = "Guesses which columns are the id, the text and the label, and which classes there "
            "are; says in\n"
            "comments what it saw. Read it before you run it.\n\n"
            "example:\n  caseload init texts.csv --model models/model.gguf --out study.yaml",
    .options = options,
    .n_option = sizeof options / sizeof options[0],
    .positional_min = 1,
    .positional_max = 1,
    .run = run,
};
