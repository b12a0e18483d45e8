/* caseload devices: what this machine can compute on. */
#include "cli.h"

static int run(const cli_arguments *a)
{
    (void)a;
    caseload_error e = {0};
    return caseload_devices(cli_print, stdout, &e) ? 0 : cli_fail(&e);
}

const cli_command cmd_devices = {
    .name = "devices",
    .summary = "what this machine can compute on",
    .usage = "",
    .help = "Lists the names that --device takes and which instruction set each would use here;\n"
            "then the GPUs with their memory, or why none can be used.\n"
            "\n"
            "example:\n"
            "  caseload devices",
    .run = run,
};
