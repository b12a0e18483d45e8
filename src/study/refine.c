/* refine: see refine.h. Two rounds of requests: what is ambiguous (greedy), then rewrites (drawn).
 * What comes back is taken as the question as it stands, less quotes and a leading "Question:"; one
 * that is repeated, an answer rather than a question (too short), or too long is counted and left
 * out. */
#include "study/refine.h"

#include "data/spec.h"
#include "study/requests.h"

#include <assert.h>
#include <jansson.h>
#include <stdio.h>

enum {
    QUESTION_MIN = 16,
    PROPOSALS = 4,
    AMBIGUITY_TOKENS = 300,
    REWRITE_TOKENS = 300,
    QUESTION_MAX = 8000
};
static const size_t bytes_memory = (size_t)1 << 32; /* address space */

typedef struct words {
    const char *ambiguities, *rewrite, *found;
} words;

static const words spoken[SPEC_LANGUAGE_COUNT] = {
    [SPEC_ENGLISH] = {"You help to write a question that will be asked about each of many medical "
                      "texts. Do not answer the question. List, one a line, the words or phrases "
                      "in it that two careful readers could understand differently, and say in a "
                      "few words how.\n\nThe question: \"",
                      "You help to write a question that will be asked about each of many medical "
                      "texts. Do not answer the question. Write it again so that careful readers "
                      "understand it in one way only, with the same meaning and the same possible "
                      "answers. Reply with the new question alone.\n\nThe question: \"",
                      "\n\nWhat was found unclear in it:\n"},
    [SPEC_KOREAN] =
        {"많은 의료 기록 하나하나에 대해 물을 질문을 다듬으려고 합니다. 질문에 답하지 마십시오. "
         "꼼꼼한 두 사람이 서로 다르게 이해할 수 있는 낱말이나 구절을 한 줄에 하나씩 적고, "
         "어떻게 다른지 짧게 쓰십시오.\n\n질문: \"",
         "많은 의료 기록 하나하나에 대해 물을 질문을 다듬으려고 합니다. 질문에 답하지 마십시오. "
         "누구나 한 가지로만 이해하도록 질문을 고쳐 쓰되, 뜻과 가능한 답은 그대로 두십시오. "
         "새 질문만 쓰십시오.\n\n질문: \"",
         "\n\n불분명하다고 한 점:\n"},
};

typedef struct refiner {
    const refine_options *o;
    spec spec;
    const spec_arm *arm;
    arena memory;
    prompt_list list;
    const char *folder, *model;
    str author;
    prompt_version parent;
    buf ambiguities;
    int32_t n_written, n_left_out;
    int64_t n_token; /* steps of generating so far, rounds counted whole */
    buf *out;
    err *e;
} refiner;

/* ---- requests ---- */

static int add_bytes(const char *bytes, size_t size, void *to)
{
    buf_add(to, bytes, size);
    return 0;
}

static bool after_step(void *context, int64_t n_done, int64_t n_all)
{
    refiner *r = context;
    (void)n_done;
    (void)n_all;
    r->n_token++;
    return !r->o->done || r->o->done(r->o->context, r->n_token, AMBIGUITY_TOKENS + REWRITE_TOKENS);
}

/* One request line, and the texts of its samples. */
static json_t *ask_model(refiner *r, str user, json_t *generate)
{
    engine g = {0};
    engine_options how = r->o->engine;
    how.model = r->model;
    buf line = buf_up_to(1 << 24), answer = buf_up_to(1 << 24);
    json_t *samples = NULL;
    bool ok = engine_peek(&g, &how, r->e);
    json_t *request = json_object();
    json_object_set_new(request, "id", json_string("refine"));
    if (ok && g.chat)
        json_object_set_new(request, "messages",
                            json_pack("[{s:s, s:s%}]", "role", "user", "content", user.data,
                                      user.size));
    else if (ok) json_object_set_new(request, "prompt", json_pack("s%", user.data, user.size));
    json_object_set(request, "generate", generate);
    json_dump_callback(request, add_bytes, &line, JSON_COMPACT);
    buf_add_char(&line, '\n');
    if (ok && r->author.size == 0) r->author = str_keep(&r->memory, str_of(g.header.name), r->e);
    requests_options options = {.done = after_step, .context = r};
    ok = ok && buf_check(&line, "a request", r->e) &&
         requests_run(&g, buf_view(&line), options, &answer, r->e);
    for (int64_t at; ok && (at = encoding_utf8_valid(buf_view(&answer))) >= 0;)
        answer.data[at] = '?'; /* a text that ends within a character */
    json_t *reply =
        ok ? json_loadb(answer.data, answer.size, JSON_DISABLE_EOF_CHECK | JSON_ALLOW_NUL, NULL)
           : NULL;
    samples = json_incref(json_object_get(reply, "samples"));
    json_decref(reply);
    json_decref(request);
    buf_close(&line);
    buf_close(&answer);
    engine_close(&g);
    if (ok && !samples) err_set(r->e, ERR_OTHER, "the model gave no text");
    return samples;
}

static str sample_text(const json_t *samples, size_t i)
{
    const json_t *text = json_object_get(json_array_get(samples, i), "text");
    return (str){json_string_value(text), json_string_length(text)};
}

/* ---- versions ---- */

/* The version that the arm asks now: found by its hash, or written. */
static bool find_parent(refiner *r)
{
    const spec_question *q = &r->arm->ask.question[0];
    str text = str_trim_unicode(q->text.text);
    hash_text hash = hash_of(text.data, text.size);
    if (!prompts_read(&r->list, r->folder, &r->memory, r->e)) return false;
    for (int32_t i = 0; i < r->list.n; i++) {
        if (strcmp(r->list.version[i].hash.hex, hash.hex) != 0) continue;
        r->parent = r->list.version[i];
        return true;
    }
    r->parent = (prompt_version){.author = STR("study file"),
                                 .date = str_of(r->o->date ? r->o->date : ""),
                                 .why = STR("the question as the study file has it"),
                                 .question = text};
    if (!prompts_write(r->folder, &r->parent, &r->memory, r->e)) return false;
    buf_printf(r->out, "wrote %s/%s.txt: the question of arm %s as it stands\n", r->folder,
               r->parent.name.data, r->arm->name.text.data);
    return true;
}

/* Without quotes, stars and a leading "Question:". */
static str clean(str s)
{
    static const char *const leads[] = {"Question:", "New question:", "Rewritten question:",
                                        "질문:", "새 질문:"};
    for (size_t before = s.size + 1; s.size < before;) {
        before = s.size;
        s = str_trim_unicode(s);
        for (size_t i = 0; i < countof(leads); i++) {
            size_t n = strlen(leads[i]);
            if (str_starts(s, leads[i])) s = str_part(s, n, s.size - n);
        }
        if (s.size > 1 && strchr("\"'*`", s.data[0]) && s.data[s.size - 1] == s.data[0])
            s = str_part(s, 1, s.size - 2);
    }
    return s;
}

static bool is_known(const refiner *r, str question)
{
    hash_text hash = hash_of(question.data, question.size);
    bool known = strcmp(r->parent.hash.hex, hash.hex) == 0;
    for (int32_t i = 0; i < r->list.n && !known; i++)
        known = strcmp(r->list.version[i].hash.hex, hash.hex) == 0;
    return known;
}

static bool has_control(str s)
{
    for (size_t i = 0; i < s.size; i++) {
        unsigned char c = (unsigned char)s.data[i];
        if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7F) return true;
    }
    return false;
}

static bool keep_proposal(refiner *r, str text)
{
    str question = clean(text);
    char why[400];
    bool braces =
        str_find(question, STR("{text}")) >= 0 || str_find(question, STR("{options}")) >= 0;
    if (has_control(question) || question.size < QUESTION_MIN || question.size > QUESTION_MAX ||
        braces || is_known(r, question)) {
        r->n_left_out++;
        return true;
    }
    str unclear = encoding_cut(buf_view(&r->ambiguities), 300);
    snprintf(why, sizeof why, "rewrite, seed %llu; unclear before: %.*s",
             (unsigned long long)r->o->seed, (int)unclear.size, unclear.data);
    prompt_version v = {.author = r->author,
                        .parent = r->parent.name,
                        .date = r->parent.date,
                        .why = str_of(why),
                        .question = question};
    v.date = str_of(r->o->date ? r->o->date : "");
    if (!prompts_write(r->folder, &v, &r->memory, r->e)) return false;
    buf_printf(r->out, "\nwrote %s/%s.txt\n", r->folder, v.name.data);
    buf_add_str(r->out, question);
    buf_add_char(r->out, '\n');
    r->n_written++;
    return prompts_read(&r->list, r->folder, &r->memory, r->e);
}

/* ---- the two rounds ---- */

static json_t *how_to_draw(const refiner *r, int32_t samples, int32_t tokens, double temperature)
{
    return json_pack("{s:i, s:i, s:f, s:f, s:I}", "samples", samples, "max_tokens", tokens,
                     "temperature", temperature, "top_p", 0.95, "seed",
                     (json_int_t)(r->o->seed >> 1));
}

static bool list_ambiguities(refiner *r, const words *say)
{
    buf user = buf_up_to(1 << 20);
    buf_add_text(&user, say->ambiguities);
    buf_add_str(&user, r->parent.question);
    buf_add_char(&user, '"');
    json_t *how = how_to_draw(r, 1, AMBIGUITY_TOKENS, 0);
    json_t *samples = ask_model(r, buf_view(&user), how);
    if (samples) {
        buf_add_str(&r->ambiguities, str_trim_unicode(sample_text(samples, 0)));
        buf_add_text(r->out, "\nwhat the model finds unclear:\n");
        buf_add_str(r->out, buf_view(&r->ambiguities));
        buf_add_char(r->out, '\n');
    }
    json_decref(how);
    json_decref(samples);
    buf_close(&user);
    return r->e->code == ERR_NONE;
}

static bool propose(refiner *r, const words *say)
{
    buf user = buf_up_to(1 << 20);
    buf_add_text(&user, say->rewrite);
    buf_add_str(&user, r->parent.question);
    buf_add_char(&user, '"');
    if (r->ambiguities.size) {
        buf_add_text(&user, say->found);
        buf_add_str(&user, buf_view(&r->ambiguities));
    }
    json_t *how =
        how_to_draw(r, r->o->proposals ? r->o->proposals : PROPOSALS, REWRITE_TOKENS, 0.8);
    json_t *samples = ask_model(r, buf_view(&user), how);
    for (size_t i = 0; i < json_array_size(samples) && r->e->code == ERR_NONE; i++)
        keep_proposal(r, sample_text(samples, i));
    json_decref(how);
    json_decref(samples);
    buf_close(&user);
    return r->e->code == ERR_NONE;
}

static bool find_arm(refiner *r)
{
    const spec *s = &r->spec;
    for (int32_t i = 0; i < s->n_arm && !r->arm; i++) {
        if (!r->o->arm || str_is(s->arms[i].name.text, r->o->arm)) r->arm = &s->arms[i];
    }
    if (!r->arm) return err_set(r->e, ERR_USAGE, "%s has no arm '%.100s'", s->path, r->o->arm);
    spec_text own = r->arm->model.file.text.data ? r->arm->model.file : s->model;
    r->model = r->o->engine.model ? r->o->engine.model : own.text.data;
    return r->model || err_set(r->e, ERR_USAGE,
                               "%s: no model; add `model: FILE` or give --model FILE", s->path);
}

static bool refine(refiner *r)
{
    const refine_options *o = r->o;
    if (!spec_read(&r->spec, o->study, &r->memory, r->e) || !find_arm(r)) return false;
    r->folder = o->folder ? o->folder : prompts_folder(r->spec.folder, &r->memory, r->e);
    if (!r->folder || !find_parent(r)) return false;
    const words *say = &spoken[r->arm->ask.language];
    if (!list_ambiguities(r, say)) return false;
    r->n_token = AMBIGUITY_TOKENS;
    if (!propose(r, say)) return false;
    buf_printf(r->out, "\n%d new version%s of %s by %s", r->n_written, r->n_written == 1 ? "" : "s",
               r->parent.name.data, r->author.data);
    if (r->n_left_out)
        buf_printf(r->out, "; %d repeated, too short or too long left out", r->n_left_out);
    buf_printf(r->out, "\nread them, edit them as versions of your own, and ask one in an arm:\n"
                       "  question: {version: NAME}\n");
    return buf_check(r->out, "the answer", r->e);
}

bool refine_question(const refine_options *o, buf *out, err *e)
{
    assert(o->study && o->proposals >= 0 && o->proposals <= REFINE_PROPOSALS_MAX);
    refiner r = {.o = o, .out = out, .e = e, .ambiguities = buf_up_to(1 << 20)};
    if (!arena_open_up_to(&r.memory, bytes_memory, "the versions", e)) return false;
    bool ok = refine(&r);
    buf_close(&r.ambiguities);
    arena_close(&r.memory);
    return ok;
}
