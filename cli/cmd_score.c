/* caseload score: log-probabilities for other programs, JSONL in and out. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* All of standard input, or of a file; NULL after an error. */
static char *read_all(FILE *f, size_t *size, caseload_error *e)
{
    size_t room = 1 << 16;
    char *data = malloc(room);
    *size = 0;
    while (data) {
        size_t got = fread(data + *size, 1, room - *size, f);
        *size += got;
        if (got == 0) break;
        if (*size < room) continue;
        char *grown = realloc(data, room *= 2);
        if (!grown) free(data);
        data = grown;
    }
    if (data && !ferror(f)) return data;
    free(data);
    snprintf(e->text, sizeof e->text, "cannot read the requests");
    e->code = CASELOAD_RESOURCE;
    return NULL;
}

static bool on_progress(void *context, const caseload_state *s)
{
    (void)context;
    fprintf(stderr, "\r\033[K%lld/%lld requests", (long long)s->texts_done,
            (long long)s->texts_all);
    if (s->texts_done == s->texts_all) fputs("\r\033[K", stderr);
    return true;
}

static int run(const cli_arguments *a)
{
    caseload_error e = {0};
    caseload_engine_options engine;
    if (!cli_engine(a, &engine)) return CASELOAD_USAGE;
    engine.model = a->positional[0];
    size_t size = 0;
    char *requests = read_all(stdin, &size, &e);
    if (!requests) return cli_fail(&e);
    caseload_score_options o = {.engine = engine,
                                .jsonl = requests,
                                .size = size,
                                .sink = cli_print,
                                .progress = isatty(fileno(stderr)) ? on_progress : NULL,
                                .context = stdout};
    bool ok = caseload_score(&o, &e);
    free(requests);
    return ok ? 0 : cli_fail(&e);
}

const cli_command cmd_score = {
    .name = "score",
    .summary = "log-probabilities of answers, JSONL in and out, for other programs",
    .usage = "MODEL < requests.jsonl > answers.jsonl",
    .help = "One object a line: {\"id\", \"prompt\" or \"messages\", \"answers\": [..]} gives\n"
            "{\"id\", \"ids\", \"answers\": {text: {\"ids\", \"logprob\", \"boundary\"}}, \"top\", "
            "\"prompt_logprob\"}.\n"
            "With \"generate\": {\"max_tokens\": 64, \"samples\": 2, \"temperature\": 0.7, "
            "\"seed\": 1} also \"samples\";\n"
            "\"constrain\" in it holds them to a form: {\"choice\": [..]}, "
            "{\"pattern\": \"..\"} or {\"schema\": {..}}.\n"
            "A prompt is taken verbatim; messages go through the model's chat template.\n\n"
            "example:\n"
            "  echo '{\"id\": 1, \"prompt\": \"The patient has\", \"answers\": [\" fever\", \" "
            "pain\"]}' |\n"
            "    caseload score models/SmolLM2-135M-Instruct.Q4_1.gguf",
    .takes_engine = true,
    .positional_min = 1,
    .positional_max = 1,
    .run = run,
};
