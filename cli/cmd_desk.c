/* caseload agree, overlap, size, audit: small questions of a statistician beside a study. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

static const cli_option agree_options[] = {
    {"--rater", "COLUMN", "a rater's ratings; repeat it for each rater"},
    {"--ordered", NULL, "ratings are numbers in their order: weighted kappa, ordinal alpha"},
    {"--seed", "N", "of the bootstrap (default 1)"},
    {"--json", NULL, "as one JSON object"},
};

static int run_agree(const cli_arguments *a)
{
    caseload_error e = {0};
    int seed = 1;
    if (a->n_repeat < 2 || a->n_repeat > 64)
        return cli_usage(a->command, "--rater is given 2 to 64 times: each a column of ratings");
    for (int i = 0; i < a->n_repeat; i++) {
        int same = 0;
        while (strcmp(a->repeat[i], a->repeat[same])) same++;
        if (same < i)
            return cli_usage(a->command, "--rater names the column '%s' twice", a->repeat[i]);
    }
    if (!cli_count(a, "--seed", &seed)) return CASELOAD_USAGE;
    caseload_desk_options o = {.table = a->positional[0],
                               .column = a->repeat,
                               .n_column = a->n_repeat,
                               .ordered = cli_has(a, "--ordered"),
                               .seed = (uint64_t)seed,
                               .json = cli_has(a, "--json")};
    return caseload_agree(&o, cli_print, stdout, &e) ? 0 : cli_fail(&e);
}

const cli_command cmd_agree = {
    .name = "agree",
    .summary = "do readers agree beyond chance: kappa, AC1, alpha",
    .usage = "TABLE --rater COLUMN --rater COLUMN [--rater ..]",
    .help = "A row is a text, a column a rater (a model's answers are one too). An empty rating\n"
            "is missing. Two raters: raw agreement, Cohen's kappa; more: Fleiss' kappa when none\n"
            "is missing. Always Gwet's AC1 and Krippendorff's alpha with intervals.\n\n"
            "example:\n"
            "  caseload agree t24.csv --rater r1 --rater r2",
    .options = agree_options,
    .n_option = sizeof agree_options / sizeof agree_options[0],
    .repeats = "--rater",
    .positional_min = 1,
    .positional_max = 1,
    .run = run_agree,
};

static const cli_option overlap_options[] = {
    {"--reference", "COLUMN", "what should have been written"},
    {"--generated", "COLUMN", "what was written"},
    {"--ascii", NULL, "words of a-z and 0-9 alone, as published English figures count them"},
    {"--stem", NULL, "English words by their Porter stem"},
    {"--json", NULL, "as one JSON object"},
};

static int run_overlap(const cli_arguments *a)
{
    caseload_error e = {0};
    const char *column[2] = {cli_value(a, "--reference"), cli_value(a, "--generated")};
    if (!column[0] || !column[1])
        return cli_usage(a->command, "--reference and --generated name the columns of texts");
    caseload_desk_options o = {.table = a->positional[0],
                               .column = column,
                               .n_column = 2,
                               .ascii = cli_has(a, "--ascii"),
                               .stem = cli_has(a, "--stem"),
                               .json = cli_has(a, "--json")};
    return caseload_overlap(&o, cli_print, stdout, &e) ? 0 : cli_fail(&e);
}

const cli_command cmd_overlap = {
    .name = "overlap",
    .summary = "generated texts against references: ROUGE, BLEU, chrF, exact match",
    .usage = "TABLE --reference COLUMN --generated COLUMN",
    .help = "These count words, not facts: a summary can score well and be wrong. Words are runs\n"
            "of letters and digits of any script, Korean too, unless --ascii is given.\n\n"
            "example:\n"
            "  caseload overlap summaries.csv --reference doctor --generated model",
    .options = overlap_options,
    .n_option = sizeof overlap_options / sizeof overlap_options[0],
    .positional_min = 1,
    .positional_max = 1,
    .run = run_overlap,
};

static const cli_option size_options[] = {
    {"--auroc", "A", "the AUROC that is expected, above 0.5 and below 0.999"},
    {"--prevalence", "P", "share of positives, above 0 and below 1"},
    {"--rows", "N", "what N rows would give, instead of how many are needed"},
    {"--width", "W", "wanted width of the 95 % interval of the AUROC (default 0.1)"},
    {"--power", "X", "wanted power against an AUROC of 0.5 (default 0.8)"},
    {"--prompts", "K", "with --rows: how far the best of K ways tried on them flatters itself"},
    {"--json", NULL, "as one JSON object"},
};

static int run_size(const cli_arguments *a)
{
    caseload_error e = {0};
    caseload_desk_options o = {.json = cli_has(a, "--json")};
    if (!cli_has(a, "--auroc") || !cli_has(a, "--prevalence"))
        return cli_usage(a->command, "--auroc and --prevalence say what is expected");
    if (!cli_number(a, "--auroc", 0, &o.auroc) ||
        !cli_number(a, "--prevalence", 0, &o.prevalence) ||
        !cli_number(a, "--width", 0.1, &o.width) || !cli_number(a, "--power", 0.8, &o.power) ||
        !cli_count(a, "--rows", &o.rows) || !cli_count(a, "--prompts", &o.prompts))
        return CASELOAD_USAGE;
    if (!(o.width > 0 && o.width < 1) || !(o.power > 0.05 && o.power < 1))
        return cli_usage(a->command, "--width is between 0 and 1, --power between 0.05 and 1");
    if (o.rows > 0 && (o.rows * o.prevalence < 1 || o.rows * (1 - o.prevalence) < 1))
        return cli_usage(a->command, "--rows holds less than one text of a kind");
    return caseload_size(&o, cli_print, stdout, &e) ? 0 : cli_fail(&e);
}

const cli_command cmd_size = {
    .name = "size",
    .summary = "how many texts a study needs, or how precise it will be",
    .usage = "--auroc A --prevalence P [--rows N]",
    .help = "example:\n"
            "  caseload size --auroc 0.75 --prevalence 0.1 --width 0.1\n"
            "  caseload size --auroc 0.75 --prevalence 0.1 --rows 1000 --prompts 20",
    .options = size_options,
    .n_option = sizeof size_options / sizeof size_options[0],
    .positional_min = 0,
    .positional_max = 0,
    .run = run_size,
};

static const cli_option audit_options[] = {
    {"--right", "ROWS,READ,WRONG", "texts the model got right: all, read again, labels wrong"},
    {"--wrong", "ROWS,READ,WRONG", "the same of texts that it got wrong"},
    {"--json", NULL, "as one JSON object"},
};

/* "800,150,6" */
static bool read_counts(const cli_arguments *a, const char *option, int64_t out[3])
{
    const char *text = cli_value(a, option);
    for (int i = 0; text && i < 3; i++) {
        char *end = NULL;
        long long n = strtoll(text, &end, 10);
        bool last = i == 2;
        if (end == text || n < 0 || n > 1000000000 || *end != (last ? 0 : ',')) text = NULL;
        else {
            out[i] = n;
            text = end + !last;
        }
    }
    if (text) return true;
    cli_usage(a->command, "%s is three counts: ROWS,READ,WRONG", option);
    return false;
}

static int run_audit(const cli_arguments *a)
{
    caseload_error e = {0};
    caseload_desk_options o = {.json = cli_has(a, "--json")};
    if (!read_counts(a, "--right", o.right) || !read_counts(a, "--wrong", o.wrong))
        return CASELOAD_USAGE;
    return caseload_audit(&o, cli_print, stdout, &e) ? 0 : cli_fail(&e);
}

const cli_command cmd_audit = {
    .name = "audit",
    .summary = "accuracy with errors among the labels allowed for",
    .usage = "--right ROWS,READ,WRONG --wrong ROWS,READ,WRONG",
    .help = "Labels of texts drawn at random from those that the model got right, and from those\n"
            "it got wrong, were read again, blind; of READ, WRONG labels were wrong. Reading only\n"
            "what the model got wrong can but flatter it, and is refused.\n\n"
            "example:\n"
            "  caseload audit --right 770,150,6 --wrong 230,150,33",
    .options = audit_options,
    .n_option = sizeof audit_options / sizeof audit_options[0],
    .positional_min = 0,
    .positional_max = 0,
    .run = run_audit,
};
