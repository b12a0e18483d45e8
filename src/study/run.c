/* run: see run.h. */
#include "study/run_in.h"

#include "stats/score.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

static const size_t bytes_memory = (size_t)64
                                   << 30; /* address space; pages are taken when touched */
enum { SEGMENTS_MAX = 1 << 28 };

static bool set_number(run *r, const char *key, int64_t n, err *e)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)n);
    return store_set(r->store, key, str_of(text), e);
}

static bool report_progress(run *r, const char *phase, err *e)
{
    r->state.phase = phase;
    if (!r->options.progress || r->options.progress(r->options.context, &r->state)) return true;
    return err_set(e, ERR_STOPPED, "stopped; the same command goes on from here");
}

static bool read_inputs(run *r, err *e)
{
    const run_options *o = &r->options;
    if (!spec_read(&r->spec, o->study, &r->memory, e)) return false;
    const spec_data *data = &r->spec.data;
    const char *file = arena_copy_text(&r->memory, data->file.text.data, data->file.text.size, e);
    table_options how = {.encoding = data->encoding};
    return file && table_read(&r->table, file, how, &r->memory, e) &&
           rows_make(&r->rows, &r->spec, &r->table, (rows_options){.limit = o->limit}, &r->memory,
                     e) &&
           baselines_plan(&r->baselines, &r->spec, &r->rows, &r->memory, e);
}

static bool choose_rows(run *r, err *e)
{
    const char *id = r->options.only_row;
    r->end_row = r->rows.scored.n;
    if (!id) return true;
    r->first_row = rows_find(&r->rows, str_of(id));
    r->end_row = r->first_row + 1;
    if (r->first_row >= 0) return true;
    return err_set(e, ERR_DATA, "%s has no row to be scored with the id '%.100s'", r->table.path,
                   id);
}

static bool peek_model(run *r, err *e)
{
    engine_options o = r->options.engine;
    if (!o.model && r->spec.model.text.data) {
        o.model = arena_copy_text(&r->memory, r->spec.model.text.data, r->spec.model.text.size, e);
    }
    if (!o.model) {
        return err_set(e, ERR_USAGE, "%s: no model; add `model: FILE` or give --model FILE",
                       r->spec.path);
    }
    return engine_peek(&r->engine, &o, e);
}

static bool hash_model(run *r, err *e)
{
    const model_header *h = &r->engine.header;
    hash_state all;
    hash_start(&all);
    for (int32_t i = 0; i < h->n_file; i++) {
        if (!report_progress(r, "hashing the model", e)) return false;
        hash_text one = model_hash_file(h, i);
        hash_add(&all, one.hex, 64);
        if (h->n_file == 1) r->model_hash = one;
    }
    if (h->n_file != 1) r->model_hash = hash_finish(&all);
    token_hash(h->tokens, r->tokenizer_hash.hex);
    r->template_hash = hash_of(h->chat_template.data, h->chat_template.size);
    snprintf(r->numerics, sizeof r->numerics, "%s, %s, %s, %s", RUN_SCORER_VERSION,
             r->engine.backend.ops->name, r->engine.backend.isa, h->format);
    return true;
}

/* ---- tokenising: rows of one arm in parallel ---- */

typedef struct ask_job {
    const arms *arms;
    int32_t arm, first, n;
    asked *asked; /* [n] */
} ask_job;

static void ask_one(void *context, int64_t i, int thread)
{
    (void)thread;
    ask_job *j = context;
    asked *q = &j->asked[i];
    arms_ask(j->arms, j->arm, j->first + (int32_t)i, 0, q, &q->failure);
}

static hash_text key_of(const run *r, const asked *q)
{
    store_key_parts parts = {.model_hash = {r->model_hash.hex, 64},
                             .tokenizer_hash = {r->tokenizer_hash.hex, 64},
                             .numerics = str_of(r->numerics),
                             .n_prompt = (int32_t)q->prompt.n,
                             .prompt = q->prompt.id,
                             .n_answer = q->n_answer,
                             .answer_start = q->start.id,
                             .answer_id = q->answers.id,
                             .answer_class = q->answer_class.id};
    return store_key(&parts);
}

/* The head's segment: shared by all rows whose ids begin with it, else (or unshared) the row's
 * own. */
static int32_t add_head(run *r, arm_job *job, const prompt_form *f, const asked *q, int32_t *shared,
                        err *e)
{
    int32_t owner = job->n_todo;
    int32_t n = f->n_head < (int32_t)q->prompt.n ? f->n_head : (int32_t)q->prompt.n - 1;
    if (n <= 0) return TREE_ROOT;
    bool same = n == f->n_head && !memcmp(f->head, q->prompt.id, (size_t)n * sizeof *f->head);
    tree_segment s = {.parent = TREE_ROOT, .kind = TREE_HEAD, .owner = owner};
    if (r->options.unshared || !same) return tree_add(&job->tree, s, q->prompt.id, n, e);
    if (*shared < 0) {
        s.owner = -1;
        *shared = tree_add(&job->tree, s, f->head, n, e);
    }
    return *shared;
}

static bool add_to_tree(run *r, int32_t which, int32_t row, const asked *q, int32_t *shared, err *e)
{
    arm_job *job = &r->job[which];
    const prompt_form *f = arms_form(&r->arms, which, row, 0);
    todo *t = &job->todo[job->n_todo];
    int32_t head = add_head(r, job, f, q, shared, e);
    int32_t n_head = head >= 0 ? tree_at(&job->tree, head)->count : 0;
    tree_segment s = {.parent = head, .kind = TREE_CASE, .owner = job->n_todo};
    t->row = row;
    t->n_answer = q->n_answer;
    t->first_class = (int32_t)job->answer_class.n;
    if (q->n_answer > job->n_answer_most) job->n_answer_most = q->n_answer;
    token_list_add(&job->answer_class, q->answer_class.id, q->n_answer, e);
    t->case_segment =
        tree_add(&job->tree, s, q->prompt.id + n_head, (int32_t)q->prompt.n - n_head, e);
    for (int32_t i = 0; i < q->n_answer && e->code == ERR_NONE; i++) {
        tree_segment answer = {.parent = t->case_segment,
                               .kind = TREE_ANSWER,
                               .owner = job->n_todo,
                               .answer = i};
        tree_add(&job->tree, answer, q->answers.id + q->start.id[i],
                 q->start.id[i + 1] - q->start.id[i], e);
    }
    job->n_todo++;
    return e->code == ERR_NONE;
}

/* What the arm costs in tokens, run whole: with sharing (the head once), and every prompt alone. */
static void count_tokens(run *r, int32_t which, int32_t row, const asked *q)
{
    arm_job *job = &r->job[which];
    const prompt_form *f = arms_form(&r->arms, which, row, 0);
    int64_t prompt = (int64_t)q->prompt.n, leaves = q->answers.n - q->n_answer;
    bool shares = !r->options.unshared && prompt > f->n_head &&
                  !memcmp(f->head, q->prompt.id, (size_t)f->n_head * sizeof *f->head);
    job->tokens_unshared += prompt + leaves;
    job->tokens_forwarded += prompt + leaves - (shares ? f->n_head : 0);
}

static bool take_asked(run *r, int32_t which, int32_t row, const asked *q, int32_t *shared, err *e)
{
    arm_job *job = &r->job[which];
    if (q->failure.code != ERR_NONE) {
        *e = q->failure;
        return false;
    }
    store_asked a = {.arm = which,
                     .row = row,
                     .key = key_of(r, q),
                     .n_token = (int32_t)q->prompt.n,
                     .n_cut = r->arms.n_cut[row],
                     .forced = q->any_forced};
    bool has = false;
    if (r->store && (!store_add_asked(r->store, &a, e) || !store_has(r->store, &a.key, &has, e)))
        return false;
    count_tokens(r, which, row, q);
    r->state.texts_all++;
    if (has) {
        r->state.texts_done++;
        return true;
    }
    job->todo[job->n_todo].key = a.key;
    return add_to_tree(r, which, row, q, shared, e);
}

enum { ASK_CHUNK = 256 };

static bool ask_chunk(run *r, ask_job *j, int32_t *shared, err *e)
{
    pool_run(r->engine.threads, j->n, ask_one, j);
    for (int32_t i = 0; i < j->n; i++) {
        int32_t row = j->first + i;
        int32_t set = r->arms.arm[j->arm].spec->shots > 0 ? r->arms.arm[j->arm].shots.set[row] : 0;
        if (!take_asked(r, j->arm, row, &j->asked[i], &shared[set], e)) return false;
    }
    return true;
}

static bool record_arm_tokens(run *r, int32_t which, err *e)
{
    str name = r->spec.arms[which].name.text;
    char key[400];
    snprintf(key, sizeof key, "tokens_forwarded/%.*s", (int)name.size, name.data);
    if (!set_number(r, key, r->job[which].tokens_forwarded, e)) return false;
    snprintf(key, sizeof key, "tokens_unshared/%.*s", (int)name.size, name.data);
    return set_number(r, key, r->job[which].tokens_unshared, e);
}

static bool ask_arm(run *r, int32_t which, err *e)
{
    const arm *m = &r->arms.arm[which];
    arm_job *job = &r->job[which];
    int32_t n_row = r->rows.scored.n;
    tree_open(&job->tree, SEGMENTS_MAX, (int64_t)1 << 32);
    job->todo = arena_take_zero(&r->memory, (size_t)n_row, sizeof *job->todo, e);
    int32_t *shared = arena_take(&r->memory, (size_t)m->n_form, sizeof *shared, e);
    size_t mark = arena_mark(&r->memory);
    asked *q = arena_take_zero(&r->memory, ASK_CHUNK, sizeof *q, e);
    for (int32_t i = 0; shared && i < m->n_form; i++) shared[i] = -1;
    bool ok = e->code == ERR_NONE;
    for (int32_t first = r->first_row; ok && first < r->end_row; first += ASK_CHUNK) {
        int32_t n = r->end_row - first < ASK_CHUNK ? r->end_row - first : ASK_CHUNK;
        ask_job j = {.arms = &r->arms, .arm = which, .first = first, .n = n, .asked = q};
        ok = ask_chunk(r, &j, shared, e) && report_progress(r, "tokenising", e);
    }
    for (int32_t i = 0; q && i < ASK_CHUNK; i++) asked_close(&q[i]);
    arena_reset(&r->memory, mark);
    for (int32_t i = 0; ok && !r->options.unshared && i < m->n_form; i++)
        job->tokens_forwarded += m->form[i].n_head;
    schedule_options how = {.rows = r->options.rows ? r->options.rows : ENGINE_ROWS,
                            .batch_items = r->options.batch_items};
    ok = ok && schedule_make(&job->schedule, &job->tree, how, &r->memory, e);
    if (ok && r->store) ok = record_arm_tokens(r, which, e);
    if (ok && job->n_todo > 0) r->state.tokens_all += job->schedule.rows_all;
    return ok;
}

/* ---- the store's account of what is studied ---- */

static str split_of(const run *r, int32_t row)
{
    if (!r->rows.part) return STR("");
    return row < r->rows.n_use ? r->spec.data.use.text : r->spec.data.tune.text;
}

static bool record_rows(run *r, store_study *study, err *e)
{
    const row_set *scored = &r->rows.scored;
    store_row *row = arena_take_zero(&r->memory, (size_t)scored->n, sizeof *row, e);
    str *group =
        arena_take_zero(&r->memory, (size_t)scored->n * (size_t)r->rows.n_group, sizeof *group, e);
    if (!row || !group) return false;
    for (int32_t i = 0; i < scored->n; i++) {
        for (int32_t g = 0; g < r->rows.n_group; g++) {
            group[(int64_t)i * r->rows.n_group + g] = r->rows.group[(int64_t)g * scored->n + i];
        }
        row[i] = (store_row){.id = scored->id[i],
                             .split = split_of(r, i),
                             .label = scored->label[i],
                             .patient = scored->patient[i],
                             .group = group + (int64_t)i * r->rows.n_group};
    }
    study->row = row;
    study->n_row = scored->n;
    study->group_name = r->rows.group_name;
    study->n_group = r->rows.n_group;
    return true;
}

/* The prompt's form for the report: everything but the text. Examples hold texts of patients: only
 * their ids. */
static void write_arm_record(const run *r, int32_t which, buf *out)
{
    const arm *m = &r->arms.arm[which];
    buf_printf(out, "{\"shots\": %d, \"seed\": %llu, \"question\": \"", m->spec->shots,
               (unsigned long long)m->spec->seed);
    buf_add_json(out, m->spec->question.text);
    buf_add_text(out, "\", \"system\": \"");
    if (m->spec->system.text.data) buf_add_json(out, m->spec->system.text);
    buf_printf(out,
               "\", \"template\": \"%s\", \"note_tokens\": %d, \"head_tokens\": %d, "
               "\"prompt_sha256\": \"%s\"",
               r->arms.chat ? "chat" : "plain", r->arms.note_tokens, m->form[0].n_head,
               hash_of(m->form[0].before.data, m->form[0].before.size).hex);
    buf_add_text(out, ", \"prompt\": \"");
    buf_add_json(out, m->shown);
    buf_add_text(out, "\", \"answers\": [");
    for (int32_t i = 0; i < m->n_answer; i++) {
        buf_add_text(out, i ? ", [" : "[");
        buf_add_char(out, '"');
        buf_add_json(out, m->answer[i]);
        buf_printf(out, "\", %d]", m->answer_class[i]);
    }
    buf_add_text(out, "], \"examples\": [");
    for (int32_t i = 0; i < (m->spec->shots > 0 ? m->spec->shots : 0); i++) {
        buf_add_text(out, i ? ", \"" : "\"");
        buf_add_json(out, r->rows.pool.id[m->shots.example[i]]);
        buf_add_char(out, '"');
    }
    buf_printf(out, "], \"sets\": %d}", m->n_form);
}

static bool record_study(run *r, err *e)
{
    store_study s = {.n_class = r->spec.n_class,
                     .positive = r->spec.positive,
                     .n_arm = r->spec.n_arm + r->baselines.n};
    str *class_name = arena_take(&r->memory, (size_t)s.n_class, sizeof *class_name, e);
    store_arm *arm_record = arena_take_zero(&r->memory, (size_t)s.n_arm, sizeof *arm_record, e);
    store_flow *flow = arena_take_zero(&r->memory, ROW_FATE_COUNT, sizeof *flow, e);
    if (!class_name || !arm_record || !flow || !record_rows(r, &s, e)) return false;
    for (int32_t i = 0; i < s.n_class; i++) class_name[i] = r->spec.classes[i].name.text;
    buf record = buf_up_to(64 << 20);
    for (int32_t i = 0; i < r->spec.n_arm; i++) {
        buf_clear(&record);
        write_arm_record(r, i, &record);
        arm_record[i] =
            (store_arm){r->spec.arms[i].name.text, str_keep(&r->memory, buf_view(&record), e)};
    }
    for (int32_t i = 0; i < r->baselines.n; i++) {
        const baseline *b = &r->baselines.arm[i];
        arm_record[r->spec.n_arm + i] = (store_arm){str_of(b->name), b->record_json};
    }
    bool ok = buf_check(&record, "an arm's record", e);
    buf_close(&record);
    for (int32_t i = 0; i < ROW_FATE_COUNT; i++)
        flow[i] = (store_flow){str_of(row_fate_text(i)), r->rows.flow[i]};
    s.class_name = class_name;
    s.arm = arm_record;
    s.flow = flow;
    s.n_flow = ROW_FATE_COUNT;
    return ok && e->code == ERR_NONE && store_set_study(r->store, &s, e);
}

static void add_warning(buf *list, const char *sentence)
{
    buf_add_text(list, list->size > 1 ? ", \"" : "\"");
    buf_add_json(list, str_of(sentence));
    buf_add_char(list, '"');
}

static bool record_warnings(run *r, err *e)
{
    buf list = buf_up_to(1 << 20), changed = buf_up_to(1000);
    buf_add_char(&list, '[');
    for (int32_t i = 0; i < r->rows.n_warning; i++) add_warning(&list, r->rows.warning[i].data);
    bool role = false;
    for (int32_t i = 0; i < r->spec.n_arm; i++) role = role || r->spec.arms[i].system.text.size > 0;
    if (role && !r->arms.takes_system)
        add_warning(&list,
                    "The model's chat template takes no system message: the role text stands "
                    "before the first question.");
    if (r->baselines.left_out) add_warning(&list, r->baselines.left_out);
    if (store_get(r->store, "split_changed", &changed, e)) add_warning(&list, changed.data);
    buf_close(&changed);
    if (e->code != ERR_NONE) return buf_close(&list), false;
    buf_add_char(&list, ']');
    bool ok =
        buf_check(&list, "the warnings", e) && store_set(r->store, "warnings", buf_view(&list), e);
    buf_close(&list);
    return ok;
}

static bool record_facts(run *r, err *e)
{
    const model_header *h = &r->engine.header;
    const struct {
        const char *key;
        str value;
    } facts[] = {
        {"study", r->spec.study.text},
        {"study_sha256", str_of(r->spec.hash.hex)},
        {"data_file", str_of(r->table.record.file)},
        {"data_sha256", str_of(r->table.record.hash.hex)},
        {"data_format", str_of(table_format_name(&r->table.record))},
        {"model_path", str_of(h->path)},
        {"model_name", str_of(h->name)},
        {"model_format", str_of(h->format)},
        {"model_family", str_of(h->config.family->name)},
        {"model_licence", str_of(h->licence)},
        {"model_sha256", str_of(r->model_hash.hex)},
        {"tokenizer", str_of(token_kind(h->tokens))},
        {"tokenizer_sha256", str_of(r->tokenizer_hash.hex)},
        {"template_sha256", str_of(r->template_hash.hex)},
        {"numerics", str_of(r->numerics)},
        {"cut", str_of(spec_cut_name(r->spec.cut))},
        {"question",
         r->spec.question.text.data ? r->spec.question.text : r->spec.arms[0].question.text},
    };
    for (size_t i = 0; i < countof(facts); i++) {
        if (!store_set(r->store, facts[i].key, facts[i].value, e)) return false;
    }
    return set_number(r, "model_parameters", h->n_parameter, e) &&
           set_number(r, "max_tokens", r->arms.max_tokens, e) &&
           set_number(r, "note_tokens", r->arms.note_tokens, e) &&
           set_number(r, "threads", pool_size(r->engine.threads), e) && record_warnings(r, e);
}

static bool open_store(run *r, err *e)
{
    char path[4096];
    if (!r->options.out) return true;
    if (!file_make_folder(r->options.out, e)) return false;
    int n = snprintf(path, sizeof path, "%s/study.db", r->options.out);
    if (n < 0 || (size_t)n >= sizeof path)
        return err_set(e, ERR_USAGE, "the output folder's name is too long");
    r->store = store_open(path, e);
    return r->store != NULL;
}

static bool ask_all(run *r, err *e)
{
    r->job = arena_take_zero(&r->memory, (size_t)r->spec.n_arm, sizeof *r->job, e);
    if (!r->job) return false;
    if (r->store &&
        !(store_begin(r->store, e) && record_study(r, e) && run_record_split(r, e) &&
          record_facts(r, e) && run_record_evidence(r, e) && run_record_baselines(r, e)))
        return false;
    for (int32_t i = 0; i < r->spec.n_arm; i++) {
        if (!ask_arm(r, i, e))
            return err_in(e, "arm %.*s", (int)r->spec.arms[i].name.text.size,
                          r->spec.arms[i].name.text.data);
    }
    return !r->store || store_commit(r->store, e);
}

bool run_prepare(run *r, const run_options *o, err *e)
{
    assert(o->study);
    *r = (run){.options = *o};
    if (!arena_open_up_to(&r->memory, bytes_memory, "the study", e)) return false;
    if (!report_progress(r, "reading", e) || !read_inputs(r, e) || !choose_rows(r, e)) return false;
    if (!peek_model(r, e)) return false;
    if (!open_store(r, e) || !hash_model(r, e)) return false;
    bool chat = r->spec.template_kind != SPEC_TEMPLATE_PLAIN && r->engine.chat;
    if (r->spec.template_kind == SPEC_TEMPLATE_CHAT && !r->engine.chat) {
        return err_set(
            e, ERR_USAGE,
            "%s: `template: chat`, but the model %s brings no chat template; use `template: plain`",
            r->spec.path, r->engine.header.path);
    }
    r->arms = (arms){.spec = &r->spec,
                     .rows = &r->rows,
                     .rules = engine_prompt_rules(&r->engine, chat),
                     .memory = &r->memory};
    int32_t n_context = r->engine.header.config.n_context;
    if (!report_progress(r, "tokenising", e)) return false;
    return arms_make(&r->arms, n_context, e) && ask_all(r, e);
}

/* ---- scoring ---- */

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef struct line { /* buffers for one score */
    double *answer, *class_z, *part;
} line;

static bool same_ids(const tree *t, int32_t a, int32_t b)
{
    const tree_segment *x = tree_at(t, a), *y = tree_at(t, b);
    return x->count == y->count &&
           !memcmp(tree_ids(t, a), tree_ids(t, b), (size_t)x->count * sizeof(int32_t));
}

/* Z of class c: log-sum-exp over its distinct token sequences. */
static double class_log_score(const arm_job *job, const todo *t, int32_t c, line *l)
{
    const int32_t *class = job->answer_class.id + t->first_class;
    int32_t n = 0, first = t->case_segment + 1;
    for (int32_t i = 0; i < t->n_answer; i++) {
        bool seen = class[i] != c;
        for (int32_t j = 0; j < i && !seen; j++) {
            seen = class[j] == c && same_ids(&job->tree, first + i, first + j);
        }
        if (!seen) l->part[n++] = l->answer[i];
    }
    return score_log_sum(l->part, n);
}

static bool store_item(run *r, int32_t which, const item *it, double time_ms, line *l, err *e)
{
    const arm_job *job = &r->job[which];
    const todo *t = &job->todo[it->owner];
    int32_t first = t->case_segment + 1;
    for (int32_t i = 0; i < t->n_answer; i++) l->answer[i] = r->engine.scorer.logprob[first + i];
    for (int32_t c = 0; c < r->spec.n_class; c++) l->class_z[c] = class_log_score(job, t, c, l);
    store_score score = {.key = t->key,
                         .score = r->spec.positive < 0
                                      ? (double)NAN
                                      : score_against_rest(l->class_z, r->spec.n_class,
                                                           r->spec.positive),
                         .label_mass = score_label_mass(l->class_z, r->spec.n_class),
                         .n_class = r->spec.n_class,
                         .n_answer = t->n_answer,
                         .class_logprob = l->class_z,
                         .answer_logprob = l->answer,
                         .time_ms = time_ms};
    return store_append(r->store, &score, e);
}

static bool score_batch(run *r, int32_t which, int32_t b, line *l, err *e)
{
    const schedule *s = &r->job[which].schedule;
    double start = seconds_now();
    if (!scorer_run_batch(&r->engine.scorer, b, e)) return false;
    double ms = 1e3 * (seconds_now() - start);
    int32_t rows = schedule_batch_rows(s, b);
    if (r->store && !store_begin(r->store, e)) return false;
    for (int32_t i = s->batch[b]; r->store && i < s->batch[b + 1]; i++) {
        double share = ms * (double)s->item[i].rows / (double)(rows > 0 ? rows : 1);
        if (!store_item(r, which, &s->item[i], share, l, e)) return store_undo(r->store), false;
    }
    if (r->store && !store_commit(r->store, e)) return false;
    r->state.texts_done += s->batch[b + 1] - s->batch[b];
    r->state.texts_now += s->batch[b + 1] - s->batch[b];
    r->state.tokens_done += rows;
    return report_progress(r, "scoring", e);
}

static bool score_arm(run *r, int32_t which, err *e)
{
    const schedule *s = &r->job[which].schedule;
    if (r->job[which].n_todo == 0) return true;
    size_t mark = arena_mark(&r->memory);
    size_t n_answer = (size_t)r->job[which].n_answer_most, n_class = (size_t)r->spec.n_class;
    line l = {.answer = arena_take(&r->memory, n_answer, sizeof(double), e),
              .class_z = arena_take(&r->memory, n_class, sizeof(double), e),
              .part = arena_take(&r->memory, n_answer + n_class, sizeof(double), e)};
    bool ok = l.answer && l.class_z && l.part && engine_take_scorer(&r->engine, s, e) &&
              scorer_run_heads(&r->engine.scorer, e);
    r->state.tokens_done += s->rows_head;
    for (int32_t b = 0; ok && b < s->n_batch; b++) ok = score_batch(r, which, b, &l, e);
    arena_reset(&r->memory, mark);
    return ok;
}

static const schedule **open_schedules(run *r, int32_t *n, err *e)
{
    const schedule **all = arena_take(&r->memory, (size_t)r->spec.n_arm, sizeof *all, e);
    *n = 0;
    for (int32_t i = 0; all && i < r->spec.n_arm; i++) {
        if (r->job[i].n_todo > 0) all[(*n)++] = &r->job[i].schedule;
    }
    return all;
}

bool run_describe_plan(run *r, buf *out, err *e)
{
    int32_t n = 0;
    const schedule **all = open_schedules(r, &n, e);
    int64_t bytes = 0;
    if (!all || (n > 0 && !engine_plan(&r->engine, all, n, &bytes, e))) return false;
    buf_printf(out, "%-20s %8s %14s %14s\n", "arm", "texts", "tokens", "unshared");
    for (int32_t i = 0; i < r->spec.n_arm; i++) {
        const arm_job *job = &r->job[i];
        str name = r->spec.arms[i].name.text;
        buf_printf(out, "%-20.*s %8d %14lld %14lld\n", (int)name.size, name.data, job->n_todo,
                   (long long)job->tokens_forwarded, (long long)job->tokens_unshared);
    }
    buf_printf(out, "model file %.1f MB, session %.1f MB (planned to the byte: %lld)\n",
               (double)r->engine.header.bytes_weights / 1e6, (double)bytes / 1e6, (long long)bytes);
    return buf_check(out, "the plan", e);
}

static void clock_text(char text[32])
{
    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

static bool score_arms(run *r, err *e)
{
    int32_t n = 0;
    const schedule **all = open_schedules(r, &n, e);
    if (!all || !report_progress(r, "opening the weights", e)) return false;
    if (!engine_start(&r->engine, all, n, e)) return false;
    for (int32_t i = 0; i < r->spec.n_arm; i++) {
        if (!score_arm(r, i, e)) return false;
    }
    return true;
}

/* Peak resident memory of this process in bytes. */
static int64_t bytes_peak(void)
{
    struct rusage u;
    return getrusage(RUSAGE_SELF, &u) == 0 ? (int64_t)u.ru_maxrss * 1024 : 0;
}

static bool end_record(run *r, int64_t number, double seconds, err *e)
{
    char ended[32], record[600];
    clock_text(ended);
    snprintf(record, sizeof record,
             "{\"texts\": %lld, \"tokens\": %lld, \"seconds\": %.3f, \"threads\": %d, "
             "\"bytes_planned\": %zu, \"bytes_peak\": %lld, \"numerics\": \"%s\"}",
             (long long)r->state.texts_now, (long long)r->state.tokens_done, seconds,
             pool_size(r->engine.threads), r->engine.bytes_planned, (long long)bytes_peak(),
             r->numerics);
    return store_begin(r->store, e) &&
           store_run_end(r->store, number, str_of(ended), str_of(record), e) &&
           store_set(r->store, "ended", str_of(ended), e) &&
           set_number(r, "bytes_planned", (int64_t)r->engine.bytes_planned, e) &&
           set_number(r, "bytes_peak", bytes_peak(), e) && store_commit(r->store, e);
}

static bool start_record(run *r, int64_t *number, err *e)
{
    char started[32];
    clock_text(started);
    buf first = buf_up_to(1000);
    bool had = store_get(r->store, "started", &first, e);
    buf_close(&first);
    return e->code == ERR_NONE && store_begin(r->store, e) &&
           store_run_start(r->store, str_of(started), STR("{}"), number, e) &&
           (had || store_set(r->store, "started", str_of(started), e)) && store_commit(r->store, e);
}

bool run_score(run *r, err *e)
{
    int64_t number = 0;
    double start = seconds_now();
    if (!report_progress(r, "baselines", e) || !run_score_baselines(r, e)) return false;
    if (r->state.texts_done == r->state.texts_all) return true;
    if (r->store && !start_record(r, &number, e)) return false;
    bool ok = score_arms(r, e);
    if (r->store && (ok || e->code == ERR_STOPPED)) { /* a stopped run's record is complete too */
        err failure = {0};
        bool kept = end_record(r, number, seconds_now() - start, &failure);
        if (ok && !kept) *e = failure;
        ok = ok && kept;
    }
    return ok;
}

void run_close(run *r)
{
    for (int32_t i = 0; r->job && i < r->spec.n_arm; i++) {
        if (r->job[i].tree.segments.max) tree_close(&r->job[i].tree);
        token_list_close(&r->job[i].answer_class);
    }
    store_close(r->store);
    engine_close(&r->engine);
    arena_close(&r->memory);
    *r = (run){0};
}
