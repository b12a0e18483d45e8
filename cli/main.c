/* caseload: command line. Finds the command, parses its options, runs it; the exit code says what
 * kind of failure it was. */
#include "cli.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const cli_command *const commands[] = {
    &cmd_init,  &cmd_split,   &cmd_try,   &cmd_run,     &cmd_tune,    &cmd_report,
    &cmd_judge, &cmd_compare, &cmd_score, &cmd_fit,     &cmd_inspect, &cmd_convert,
    &cmd_merge, &cmd_certify, &cmd_notes, &cmd_devices, &cmd_prompts, &cmd_refine,
    &cmd_agree, &cmd_overlap, &cmd_size,  &cmd_audit};

static const cli_option engine_options[] = {
    {"--model", "PATH", "a .gguf file or a Hugging Face folder"},
    {"--device", "NAME",
     "cpu (default), cpu:int16 (faster, rounds activations to 16 bits), cpu:avx2, cpu:avx512,\n"
     "                     ref, cuda[:N][:bf16x3|:fp32], auto; several share the work of run and\n"
     "                     tune: cuda:0,1 or cuda:all"},
    {"--ranks", "N", "so many on the devices listed, in turn (default one each); no score changes"},
    {"--split", "WHAT", "what they share: rows (each has the model) or layers; default: as fits"},
    {"--threads", "N", "threads; default: OMP_NUM_THREADS, else all cores this process may use"},
    {"--batch", "N", "most texts a step; changes speed, no score"},
    {"--rows", "N", "most tokens a step (default 512); changes speed and memory, no score"},
    {"--memory-limit", "SIZE", "memory this process may take, like 8GB; default: what is free"},
    {"--unshared", NULL, "compute every prompt alone: a slow check; changes no score"},
};

enum {
    COMMANDS = sizeof commands / sizeof commands[0],
    ENGINE = sizeof engine_options / sizeof engine_options[0]
};

bool cli_colour(FILE *f)
{
    const char *no = getenv("NO_COLOR");
    return isatty(fileno(f)) && !(no && no[0]);
}

void cli_print(void *file, const char *text, size_t size) { fwrite(text, 1, size, file); }

int cli_fail(const caseload_error *e)
{
    fprintf(stderr, "caseload: %s\n", e->text);
    return e->code;
}

int cli_usage(const cli_command *c, const char *format, ...)
{
    va_list rest;
    va_start(rest, format);
    fputs("caseload: ", stderr);
    vfprintf(stderr, format, rest);
    va_end(rest);
    if (c) fprintf(stderr, "; see `caseload %s --help`\n", c->name);
    else fputs("; see `caseload --help`\n", stderr);
    return CASELOAD_USAGE;
}

static void print_options(const cli_option *o, int n)
{
    for (int i = 0; i < n; i++) {
        char name[64];
        snprintf(name, sizeof name, o[i].value ? "%s %s" : "%s", o[i].name, o[i].value);
        printf("  %-18s %s\n", name, o[i].help);
    }
}

static int print_help(void)
{
    puts("caseload " CASELOAD_VERSION ": clinical text studies with local language models\n\n"
         "usage: caseload COMMAND [OPTIONS]\n");
    for (int i = 0; i < COMMANDS; i++)
        printf("  %-9s %s\n", commands[i]->name, commands[i]->summary);
    puts("\nA first study:\n"
         "  caseload init texts.csv > study.yaml     look at the table, write a study file\n"
         "  caseload try study.yaml --row 17         see one prompt and its answers\n"
         "  caseload run study.yaml --out results    run it, or go on with it\n\n"
         "`caseload COMMAND --help` tells the options of a command. Nothing is sent anywhere.\n\n"
         "Exit codes: 0 done, 2 command line or study file, 3 data, 4 model, 5 memory or disk,\n"
         "6 interrupted (the same command goes on), 1 anything else.");
    return 0;
}

static int print_command_help(const cli_command *c)
{
    printf("usage: caseload %s%s%s\n\n%s\n", c->name, *c->usage ? " " : "", c->usage, c->help);
    if (c->n_option + (c->takes_engine ? ENGINE : 0) == 0) return 0;
    puts("\noptions:");
    print_options(c->options, c->n_option);
    if (c->takes_engine) print_options(engine_options, ENGINE);
    return 0;
}

static int find_option(const cli_option *o, int n, const char *name, size_t size)
{
    for (int i = 0; i < n; i++) {
        if (strlen(o[i].name) == size && !memcmp(o[i].name, name, size)) return i;
    }
    return -1;
}

/* One option at argv[*i], as `--name value` or `--name=value`. 0, or the exit code. */
static int take_option(cli_arguments *a, int argc, char **argv, int *i)
{
    const cli_command *c = a->command;
    const char *word = argv[*i], *equals = strchr(word, '=');
    size_t size = equals ? (size_t)(equals - word) : strlen(word);
    int k = find_option(c->options, c->n_option, word, size);
    const cli_option *o = k >= 0 ? &c->options[k] : NULL;
    const char **value = k >= 0 ? &a->value[k] : NULL;
    if (!o && c->takes_engine && (k = find_option(engine_options, ENGINE, word, size)) >= 0) {
        o = &engine_options[k];
        value = &a->engine_value[k];
    }
    if (!o) return cli_usage(c, "unknown option %.*s", (int)size, word);
    bool repeats = c->repeats && !strcmp(c->repeats, o->name);
    if (*value && !repeats) return cli_usage(c, "%s is given twice", o->name);
    if (!o->value && equals) return cli_usage(c, "%s takes no value", o->name);
    if (!o->value) *value = "";
    else if (equals) *value = equals + 1;
    else if (*i + 1 < argc) *value = argv[++*i];
    else return cli_usage(c, "%s needs a value (%s)", o->name, o->value);
    if (o->value && !**value) return cli_usage(c, "%s is empty", o->name);
    if (!repeats) return 0;
    if (a->n_repeat == CLI_REPEATS_MAX)
        return cli_usage(c, "%s is given more than %d times", o->name, CLI_REPEATS_MAX);
    a->repeat[a->n_repeat++] = *value;
    return 0;
}

static int run_command(const cli_command *c, int argc, char **argv)
{
    cli_arguments a = {.command = c};
    for (int i = 0; i < argc; i++) {
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) return print_command_help(c);
    }
    bool options_end = false;
    for (int i = 0; i < argc; i++) {
        if (!options_end && !strcmp(argv[i], "--")) {
            options_end = true;
        } else if (!options_end && argv[i][0] == '-' && argv[i][1]) {
            int failed = take_option(&a, argc, argv, &i);
            if (failed) return failed;
        } else if (!argv[i][0]) {
            return cli_usage(c, "an argument is empty: caseload %s %s", c->name, c->usage);
        } else if (a.n_positional < c->positional_max) {
            a.positional[a.n_positional++] = argv[i];
        } else {
            return cli_usage(c, "one argument too many: %s", argv[i]);
        }
    }
    if (a.n_positional < c->positional_min)
        return cli_usage(c, "an argument is missing: caseload %s %s", c->name, c->usage);
    return c->run(&a);
}

const char *cli_value(const cli_arguments *a, const char *option)
{
    int k = find_option(a->command->options, a->command->n_option, option, strlen(option));
    if (k >= 0) return a->value[k];
    k = find_option(engine_options, ENGINE, option, strlen(option));
    return k >= 0 ? a->engine_value[k] : NULL;
}

bool cli_number(const cli_arguments *a, const char *option, double otherwise, double *out)
{
    const char *text = cli_value(a, option);
    *out = otherwise;
    if (!text) return true;
    char *end = NULL;
    double x = strtod(text, &end);
    if (end == text || *end || !(x > -1e300 && x < 1e300)) {
        cli_usage(a->command, "%s needs a number, not '%s'", option, text);
        return false;
    }
    *out = x;
    return true;
}

bool cli_has(const cli_arguments *a, const char *option) { return cli_value(a, option) != NULL; }

bool cli_count(const cli_arguments *a, const char *option, int *out)
{
    enum { COUNT_MAX = 100000000 };
    const char *text = cli_value(a, option);
    *out = 0;
    if (!text) return true;
    char *end = NULL;
    long n = strtol(text, &end, 10);
    if (end == text || *end || n < 1 || n > COUNT_MAX) {
        cli_usage(a->command, "%s needs a whole number from 1 to %d, not '%.40s'", option,
                  COUNT_MAX, text);
        return false;
    }
    *out = (int)n;
    return true;
}

bool cli_engine(const cli_arguments *a, caseload_engine_options *o)
{
    *o = (caseload_engine_options){.model = cli_value(a, "--model"),
                                   .device = cli_value(a, "--device"),
                                   .split = cli_value(a, "--split"),
                                   .unshared = cli_has(a, "--unshared")};
    const char *limit = cli_value(a, "--memory-limit");
    caseload_error e = {0};
    if (limit && !caseload_parse_memory(limit, &o->memory_limit, &e)) return cli_fail(&e), false;
    return cli_count(a, "--ranks", &o->ranks) && cli_count(a, "--threads", &o->threads) &&
           cli_count(a, "--batch", &o->batch) && cli_count(a, "--rows", &o->rows);
}

/* A stream that our caller closed would be the next file we open: what is printed would end up in
 * it. */
static void keep_streams(void)
{
    int fd = 0;
    while (fd >= 0 && fd <= STDERR_FILENO) fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd > STDERR_FILENO) close(fd);
}

/* What was printed has arrived; else the exit code says so. */
static int close_output(int code)
{
    if (fflush(stdout) == 0 && !ferror(stdout)) return code;
    fputs("caseload: cannot write the output: the disk is full or the reader went away\n", stderr);
    return code ? code : CASELOAD_RESOURCE;
}

int main(int argc, char **argv)
{
    keep_streams();
    umask(077); /* results hold patients' ids: for their owner alone */
    if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") ||
        !strcmp(argv[1], "help")) {
        print_help();
        return close_output(argc < 2 ? CASELOAD_USAGE : 0);
    }
    if (!strcmp(argv[1], "--version")) return close_output(puts("caseload " CASELOAD_VERSION) < 0);
    for (int i = 0; i < COMMANDS; i++) {
        if (strcmp(argv[1], commands[i]->name)) continue;
        return close_output(run_command(commands[i], argc - 2, argv + 2));
    }
    return cli_usage(NULL, "unknown command '%s'", argv[1]);
}
