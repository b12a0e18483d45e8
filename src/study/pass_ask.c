/* pass_ask: every prompt of a pass as ids, in trees; what has no score yet. */
#include "study/run_in.h"

#include <stdio.h>

enum { SEGMENTS_MAX = 1 << 28 };

/* ---- tokenising: rows of one arm in parallel ---- */

typedef struct ask_job {
    const arms *arms;
    const pass *pass;
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

static hash_text key_of(const run *r, const pass *p, const asked *q)
{
    const run_model *m = &r->model[p->model];
    store_key_parts parts = {.model_hash = {m->hash.hex, 64},
                             .tokenizer_hash = {m->tokenizer_hash.hex, 64},
                             .adapter_hash = str_of(p->adapter_hash.hex),
                             .numerics = str_of(m->numerics),
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

static bool take_asked(run *r, const ask_job *j, int32_t i, int32_t *shared, err *e)
{
    int32_t which = j->arm, row = j->first + i;
    const asked *q = &j->asked[i];
    arm_job *job = &r->job[which];
    if (q->failure.code != ERR_NONE) {
        *e = q->failure;
        return false;
    }
    store_asked a = {.arm = which,
                     .row = row,
                     .key = key_of(r, j->pass, q),
                     .n_token = (int32_t)q->prompt.n,
                     .n_cut = r->arms.n_cut[row],
                     .forced = q->any_forced};
    bool has = false;
    if (r->store && !j->pass->late &&
        (!store_add_asked(r->store, &a, e) || !store_has(r->store, &a.key, &has, e)))
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
    pool_run(r->model[j->pass->model].engine.threads, j->n, ask_one, j);
    for (int32_t i = 0; i < j->n; i++) {
        int32_t row = j->first + i;
        int32_t form =
            (int32_t)(arms_form(&r->arms, j->arm, row, 0) - r->arms.arm[j->arm].form);
        if (!take_asked(r, j, i, &shared[form], e)) return false;
    }
    return true;
}

static bool record_arm_tokens(run *r, int32_t which, err *e)
{
    str name = r->spec.arms[which].name.text;
    char key[400];
    snprintf(key, sizeof key, "tokens_forwarded/%.*s", (int)name.size, name.data);
    if (!run_set_number(r, key, r->job[which].tokens_forwarded, e)) return false;
    snprintf(key, sizeof key, "tokens_unshared/%.*s", (int)name.size, name.data);
    return run_set_number(r, key, r->job[which].tokens_unshared, e);
}

/* What an earlier asking left. */
static void drop_job(arm_job *job)
{
    if (job->tree.segments.max) tree_close(&job->tree);
    token_list_close(&job->answer_class);
    *job = (arm_job){0};
}

static bool ask_arm(run *r, const pass *p, int32_t which, err *e)
{
    const arm *m = &r->arms.arm[which];
    arm_job *job = &r->job[which];
    int32_t n_row = r->rows.scored.n;
    drop_job(job);
    tree_open(&job->tree, SEGMENTS_MAX, (int64_t)1 << 32);
    job->todo = arena_take_zero(&r->memory, (size_t)n_row, sizeof *job->todo, e);
    int32_t *shared = arena_take(&r->memory, (size_t)m->n_form, sizeof *shared, e);
    size_t mark = arena_mark(&r->memory);
    asked *q = arena_take_zero(&r->memory, ASK_CHUNK, sizeof *q, e);
    for (int32_t i = 0; shared && i < m->n_form; i++) shared[i] = -1;
    bool ok = e->code == ERR_NONE;
    for (int32_t first = r->first_row; ok && first < r->end_row; first += ASK_CHUNK) {
        int32_t n = r->end_row - first < ASK_CHUNK ? r->end_row - first : ASK_CHUNK;
        ask_job j = {.arms = &r->arms, .pass = p, .arm = which, .first = first, .n = n, .asked = q};
        ok = ask_chunk(r, &j, shared, e) && run_tell(r, "tokenising", e);
    }
    for (int32_t i = 0; q && i < ASK_CHUNK; i++) asked_close(&q[i]);
    arena_reset(&r->memory, mark);
    for (int32_t i = 0; ok && !r->options.unshared && i < m->n_form; i++)
        job->tokens_forwarded += m->form[i].n_head;
    schedule_options how = {.rows = r->options.rows ? r->options.rows : ENGINE_ROWS,
                            .batch_items = r->options.batch_items};
    ok = ok && schedule_make(&job->schedule, &job->tree, how, &r->memory, e);
    if (ok && r->store) ok = record_arm_tokens(r, which, e);
    return ok;
}

bool pass_ask(run *r, pass *p, err *e)
{
    p->tokens_todo = 0;
    for (int32_t i = 0; i < p->n_arm; i++) {
        int32_t which = p->arm[i];
        if (!ask_arm(r, p, which, e))
            return err_in(e, "arm %.*s", (int)r->spec.arms[which].name.text.size,
                          r->spec.arms[which].name.text.data);
        if (r->job[which].n_todo > 0) p->tokens_todo += r->job[which].schedule.rows_all;
    }
    r->state.tokens_all += p->tokens_todo;
    return true;
}

void pass_forget(run *r)
{
    for (int32_t i = 0; r->job && i < r->spec.n_arm; i++) drop_job(&r->job[i]);
}
