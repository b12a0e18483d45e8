/* requests: see requests.h. The whole input is read, checked and tokenised into one tree before a
 * weight is touched; then it runs as a schedule like any study. */
#include "study/requests_in.h"

#include <assert.h>
#include <math.h>

enum { REQUESTS_TOP = 10, REQUESTS_MAX = 10 * 1000 * 1000, ANSWERS_MAX = 100000 };
static const int64_t ids_max = (int64_t)1 << 31;

typedef struct request {
    json_t *line;         /* the parsed object */
    int32_t case_segment; /* its answers follow in the tree */
    int32_t n_answer;
    size_t forced_at; /* first byte of its flags in work.forced */
    buf samples;      /* JSON of its samples, in the order of their numbers */
} request;

typedef struct work {
    engine *engine;
    tree tree;
    buf requests; /* request[] */
    buf forced;   /* one byte an answer */
    buf asks;     /* generate_ask[], one a request */
    requests_options how;
    int64_t n_done, n_item; /* requests */
    request_forms forms;
} work;

static request *request_at(const work *w, int64_t i)
{
    return (request *)(void *)w->requests.data + i;
}
static int64_t request_count(const work *w)
{
    return (int64_t)(w->requests.size / sizeof(request));
}

static bool add_answers(work *w, request *r, const prompt_form *f, str prompt,
                        const token_list *ids, err *e)
{
    json_t *answers = json_object_get(r->line, "answers");
    size_t i = 0;
    json_t *answer = NULL;
    token_list got = {0};
    bool ok = true;
    r->forced_at = w->forced.size;
    json_array_foreach(answers, i, answer)
    {
        str text = {json_string_value(answer), json_string_length(answer)};
        got.n = 0;
        if (text.size == 0) ok = err_set(e, ERR_DATA, "answer %zu is empty", i + 1);
        const tokenizer *t = w->engine->header.tokens;
        prompt_answer ask = {.prompt = ids, .answer = text, .out = &got};
        ok = ok && (f ? prompt_encode_answer(f, STR(""), &ask, e)
                      : prompt_encode_answer_verbatim(t, prompt, &ask, e));
        tree_segment s = {.parent = r->case_segment,
                          .kind = TREE_ANSWER,
                          .owner = tree_at(&w->tree, r->case_segment)->owner,
                          .answer = (int32_t)i};
        ok = ok && tree_add(&w->tree, s, got.id, (int32_t)got.n, e) >= 0;
        buf_add_char(&w->forced, ask.forced);
        r->n_answer++;
        if (!ok) break;
    }
    token_list_close(&got);
    return ok;
}

/* The prompt with its longest answer, against what the model was made for. */
static bool check_length(const work *w, const request *r, err *e)
{
    const model_header *h = &w->engine->header;
    int32_t longest = 0, n_context = h->config.n_context;
    for (int32_t i = 0; i < r->n_answer; i++) {
        int32_t n = tree_rows(tree_at(&w->tree, r->case_segment + 1 + i));
        longest = n > longest ? n : longest;
    }
    int64_t n = (int64_t)tree_at(&w->tree, r->case_segment)->count + longest;
    if (n_context <= 0 || n <= n_context) return true;
    return err_set(e, ERR_DATA,
                   "the prompt and its longest answer have %lld tokens, but %s was made for %d",
                   (long long)n, h->path, n_context);
}

static bool add_case(work *w, request *r, const prompt_form *f, str prompt, err *e)
{
    token_list ids = {0};
    bool ok = f ? prompt_encode(f, STR(""), &ids, e)
                : prompt_encode_verbatim(w->engine->header.tokens, prompt, &ids, e);
    if (ok && ids.n == 0) ok = err_set(e, ERR_DATA, "the prompt has no tokens");
    tree_segment s = {.parent = TREE_ROOT, .kind = TREE_CASE, .owner = (int32_t)request_count(w)};
    if (ok) r->case_segment = tree_add(&w->tree, s, ids.id, (int32_t)ids.n, e);
    ok = ok && r->case_segment >= 0 && add_answers(w, r, f, prompt, &ids, e) &&
         check_length(w, r, e);
    token_list_close(&ids);
    return ok;
}

static bool read_messages(const json_t *list, prompt_message *m, err *e)
{
    size_t i = 0;
    const json_t *one = NULL;
    json_array_foreach(list, i, one)
    {
        const json_t *role = json_object_get(one, "role"),
                     *content = json_object_get(one, "content");
        if (!json_is_string(role) || !json_is_string(content)) {
            return err_set(e, ERR_DATA, "message %zu needs `role` and `content` as text", i + 1);
        }
        str text = {json_string_value(content), json_string_length(content)};
        m[i] = (prompt_message){.role = json_string_value(role),
                                .content = str_trim_unicode(text),
                                .after = STR("")};
    }
    return true;
}

static bool add_chat(work *w, request *r, const json_t *list, err *e)
{
    engine *g = w->engine;
    size_t n = json_array_size(list);
    if (!g->chat)
        return err_set(e, ERR_USAGE,
                       "the model has no chat template; send `prompt` instead of `messages`");
    if (n == 0 || n > PROMPT_MESSAGES_MAX) {
        return err_set(e, ERR_DATA, "`messages` has %zu entries; 1 to %d are allowed", n,
                       PROMPT_MESSAGES_MAX);
    }
    size_t mark = arena_mark(&g->memory);
    prompt_message *m = arena_take_zero(&g->memory, n, sizeof *m, e);
    prompt_form f;
    prompt_rules rules = engine_prompt_rules(g, true);
    bool ok = m && read_messages(list, m, e) &&
              prompt_form_make(&f, &rules, m, (int32_t)n, &g->memory, e);
    ok = ok && prompt_check(&f, STR(""), e) && add_case(w, r, &f, STR(""), e);
    arena_reset(&g->memory, mark);
    return ok;
}

static bool check_answers(const json_t *answers, err *e)
{
    if (answers && !json_is_array(answers))
        return err_set(e, ERR_DATA, "`answers` must be a list of texts");
    if (json_array_size(answers) > ANSWERS_MAX) {
        return err_set(e, ERR_DATA, "%zu answers; at most %d are allowed", json_array_size(answers),
                       ANSWERS_MAX);
    }
    for (size_t i = 0; i < json_array_size(answers); i++) {
        if (!json_is_string(json_array_get(answers, i))) {
            return err_set(e, ERR_DATA, "answer %zu is not a text", i + 1);
        }
    }
    return true;
}

/* Answers are keys of the result: none may be there twice. */
static bool check_repeats(const json_t *answers, err *e)
{
    json_t *seen = json_object();
    size_t i = 0;
    json_t *answer = NULL;
    json_array_foreach(answers, i, answer)
    {
        const char *text = json_string_value(answer);
        if (json_object_get(seen, text)) err_set(e, ERR_DATA, "answer %zu is there twice", i + 1);
        else json_object_set_new(seen, text, json_true());
    }
    json_decref(seen);
    return e->code == ERR_NONE;
}

/* Other keys are their sender's own; but one that looks like a key of ours that is missing is a
 * misspelling, and would be left out in silence. */
static bool check_keys(json_t *object, err *e)
{
    static const char *const known[] = {"id", "prompt", "messages", "answers"};
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(object, key, value)
    {
        const char *nearest = str_nearest(str_of(key), known, countof(known));
        if (!nearest || json_object_get(object, nearest)) continue;
        return err_set(e, ERR_DATA, "unknown key '%.40s'; did you mean '%s'?", key, nearest);
    }
    const json_t *id = json_object_get(object, "id");
    if (!id || json_is_string(id) || json_is_number(id) || json_is_null(id)) return true;
    return err_set(e, ERR_DATA, "`id` must be a text or a number");
}

static void write_id(buf *out, const json_t *id)
{
    if (json_is_string(id)) {
        buf_add_char(out, '"');
        buf_add_json(out, (str){json_string_value(id), json_string_length(id)});
        buf_add_char(out, '"');
    } else if (json_is_integer(id)) {
        buf_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(id));
    } else if (json_is_real(id)) {
        buf_printf(out, "%.17g", json_real_value(id));
    } else {
        buf_add_text(out, "null");
    }
}

static bool add_ask(work *w, const json_t *object, err *e)
{
    generate_ask ask;
    buf id = buf_up_to(1 << 26);
    write_id(&id, json_object_get(object, "id"));
    const json_t *how = json_object_get(object, "generate");
    bool ok = buf_check(&id, "an id", e) && requests_read_generate(how, buf_view(&id), &ask, e) &&
              requests_read_form(&w->forms, json_object_get(how, "constrain"), &ask.only, e);
    buf_close(&id);
    if (ok) buf_add(&w->asks, &ask, sizeof ask);
    return ok && buf_check(&w->asks, "the requests", e);
}

static bool add_line(work *w, str line, err *e)
{
    json_error_t why;
    json_t *object = json_loadb(line.data, line.size, JSON_REJECT_DUPLICATES, &why);
    if (!json_is_object(object)) {
        json_decref(object);
        return err_set(e, ERR_DATA, "not a JSON object (near byte %d)", why.position);
    }
    request r = {.line = object, .case_segment = -1, .samples = buf_up_to((size_t)1 << 30)};
    const json_t *prompt = json_object_get(object, "prompt"),
                 *messages = json_object_get(object, "messages");
    const json_t *answers = json_object_get(object, "answers");
    bool ok = check_keys(object, e) && check_answers(answers, e) && check_repeats(answers, e);
    if (ok && json_is_string(prompt) && !messages) {
        ok = add_case(w, &r, NULL, (str){json_string_value(prompt), json_string_length(prompt)}, e);
    } else if (ok && json_is_array(messages) && !prompt) {
        ok = add_chat(w, &r, messages, e);
    } else if (ok) {
        ok = err_set(e, ERR_DATA, "give either `prompt` (a text) or `messages` (a list)");
    }
    ok = ok && add_ask(w, object, e);
    if (!ok) {
        json_decref(object);
        return false;
    }
    buf_add(&w->requests, &r, sizeof r);
    return buf_check(&w->requests, "the requests", e) && buf_check(&w->forced, "the requests", e);
}

static bool read_lines(work *w, str jsonl, err *e)
{
    int64_t number = 0;
    if (str_starts(jsonl, "\xEF\xBB\xBF")) jsonl = str_part(jsonl, 3, jsonl.size - 3);
    while (jsonl.size) {
        const char *end = memchr(jsonl.data, '\n', jsonl.size);
        size_t size = end ? (size_t)(end - jsonl.data) : jsonl.size;
        str line = str_trim(str_part(jsonl, 0, size));
        number++;
        if (line.size && !add_line(w, line, e)) return err_in(e, "line %lld", (long long)number);
        size += end != NULL;
        jsonl = str_part(jsonl, size, jsonl.size - size);
    }
    if (request_count(w) == 0)
        return err_set(e, ERR_DATA, "no requests: send one JSON object a line");
    return true;
}

static void add_ids(buf *out, const int32_t *id, int32_t n)
{
    buf_add_char(out, '[');
    for (int32_t i = 0; i < n; i++) buf_printf(out, i ? ", %d" : "%d", id[i]);
    buf_add_char(out, ']');
}

static void write_answers(const work *w, const request *r, const scorer *s, buf *out)
{
    const json_t *answers = json_object_get(r->line, "answers");
    for (int32_t i = 0; i < r->n_answer; i++) {
        const json_t *answer = json_array_get(answers, (size_t)i);
        int32_t segment = r->case_segment + 1 + i;
        buf_add_text(out, i ? ", \"" : "\"");
        buf_add_json(out, (str){json_string_value(answer), json_string_length(answer)});
        buf_add_text(out, "\": {\"ids\": ");
        add_ids(out, tree_ids(&w->tree, segment), tree_at(&w->tree, segment)->count);
        buf_printf(out, ", \"logprob\": %.9g, \"boundary\": \"%s\"}", s->logprob[segment],
                   w->forced.data[r->forced_at + (size_t)i] ? "forced" : "clean");
    }
}

static void write_line(const work *w, int64_t number, const scorer *s, buf *out)
{
    const request *r = request_at(w, number);
    const tree_segment *g = tree_at(&w->tree, r->case_segment);
    buf_add_text(out, "{\"id\": ");
    write_id(out, json_object_get(r->line, "id"));
    buf_add_text(out, ", \"ids\": ");
    add_ids(out, tree_ids(&w->tree, r->case_segment), g->count);
    buf_add_text(out, ", \"answers\": {");
    write_answers(w, r, s, out);
    buf_add_text(out, "}, \"top\": [");
    int32_t n_top = s->schedule->options.n_top;
    for (int32_t i = 0; i < n_top; i++) {
        int64_t k = number * n_top + i;
        buf_printf(out, "%s[%d, %.7g]", i ? ", " : "", s->top_id[k], (double)s->top_logprob[k]);
    }
    buf_printf(out, "], \"prompt_logprob\": %.9g", s->logprob[r->case_segment]);
    if (r->samples.size) buf_printf(out, ", \"samples\": [%s]", r->samples.data);
    buf_add_text(out, "}\n");
}

static bool take_sample(void *context, const generate_sample *s, err *e)
{
    buf *out = &request_at(context, s->owner)->samples;
    buf_add_text(out, out->size ? ", {\"text\": \"" : "{\"text\": \"");
    buf_add_json(out, s->text);
    buf_add_text(out, "\", \"ids\": ");
    add_ids(out, s->id, s->n);
    buf_printf(out, ", \"end\": \"%s\"}", s->end);
    return buf_check(out, "the samples", e);
}

static bool tell_done(work *w, err *e)
{
    if (!w->how.done || w->how.done(w->how.context, w->n_done, w->n_item)) return true;
    return err_set(e, ERR_STOPPED, "stopped");
}

static bool after_token(void *context, int32_t n_row, err *e)
{
    (void)n_row;
    return tell_done(context, e);
}

/* How many streams run at once, and how long they may get. */
static void ask_for_streams(const work *w, schedule_options *how)
{
    const generate_ask *ask = (const generate_ask *)(const void *)w->asks.data;
    int64_t samples = 0;
    for (int64_t i = 0; i < request_count(w); i++) {
        samples += ask[i].samples;
        if (ask[i].max_tokens > how->stream_tokens) how->stream_tokens = ask[i].max_tokens;
    }
    how->streams = generate_streams(samples, how->stream_tokens, how->rows);
    if (how->streams > how->rows) how->streams = how->rows;
}

static bool compute(work *w, arena *a, buf *out, err *e)
{
    schedule s;
    const requests_options o = w->how;
    int32_t n_vocab = w->engine->header.config.n_vocab;
    schedule_options how = {.rows = o.rows ? o.rows : engine_rows(w->engine),
                            .batch_items = o.batch_items,
                            .n_top = n_vocab < REQUESTS_TOP ? n_vocab : REQUESTS_TOP,
                            .prompt_logprob = true};
    ask_for_streams(w, &how);
    const schedule *only = &s;
    engine_work all = {.schedule = &only, .n_schedule = 1};
    if (!schedule_make(&s, &w->tree, how, a, e) || !engine_start(w->engine, &all, NULL, e))
        return false;
    if (!engine_take_scorer(w->engine, &s, e)) return false;
    scorer *r = &w->engine->scorer;
    const generate_ask *asks = (const generate_ask *)(const void *)w->asks.data;
    w->engine->generator.done = take_sample;
    w->engine->generator.step = after_token;
    w->engine->generator.context = w;
    w->n_item = s.n_item;
    generate_ask *now = arena_take(a, (size_t)s.n_item, sizeof *now, e);
    if (!now || !scorer_run_heads(r, e)) return false;
    for (int32_t b = 0; b < s.n_batch; b++) {
        if (!scorer_run_batch(r, b, e)) return false;
        int32_t n = 0;
        for (int32_t i = s.batch[b]; i < s.batch[b + 1]; i++) {
            int32_t owner = s.item[i].owner;
            now[n] = asks[owner];
            now[n].owner = owner;
            now[n++].segment = request_at(w, owner)->case_segment;
        }
        if (how.streams > 0 && !generator_run(&w->engine->generator, now, n, e)) return false;
        w->n_done = s.batch[b + 1];
        if (!tell_done(w, e)) return false;
    }
    for (int64_t i = 0; i < request_count(w); i++) write_line(w, i, r, out);
    return buf_check(out, "the answers", e);
}

bool requests_run(engine *g, str jsonl, requests_options o, buf *out, err *e)
{
    assert(o.rows >= 0 && o.batch_items >= 0);
    work w = {.engine = g,
              .how = o,
              .requests = buf_up_to((size_t)REQUESTS_MAX * sizeof(request)),
              .forced = buf_up_to((size_t)1 << 31),
              .asks = buf_up_to((size_t)REQUESTS_MAX * sizeof(generate_ask) + 1),
              .forms = {.header = &g->header, .kept = buf_up_to(REQUESTS_FORMS_BYTES)}};
    arena a;
    if (!arena_open_up_to(&a, (size_t)8 << 30, "the requests", e)) return false;
    w.forms.memory = &a;
    tree_open(&w.tree, (int64_t)1 << 28, ids_max);
    bool ok = read_lines(&w, jsonl, e) && compute(&w, &a, out, e);
    for (int64_t i = 0; i < request_count(&w); i++) {
        json_decref(request_at(&w, i)->line);
        buf_close(&request_at(&w, i)->samples);
    }
    buf_close(&w.asks);
    buf_close(&w.forms.kept);
    tree_close(&w.tree);
    buf_close(&w.requests);
    buf_close(&w.forced);
    arena_close(&a);
    return ok;
}
