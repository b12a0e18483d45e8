/* tune_rows: an arm's prompts over the rows of `train` and `tune`, as trees; see tune_in.h. */
#include "study/arms_in.h"
#include "study/tune_in.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { SEGMENTS_MAX = 1 << 28, ASK_CHUNK = 256, ANSWER_BYTES_MAX = 16 << 20 };

/* ---- the rows, by id ---- */

static int by_id(const void *a, const void *b, void *context)
{
    const row_set *set = context;
    return str_order(set->id[*(const int32_t *)a], set->id[*(const int32_t *)b]);
}

static void take_set(row_set *out, const row_set *from, const int32_t *order)
{
    for (int32_t i = 0; i < from->n; i++, out->n++) {
        const int32_t k = order[i];
        out->table_row[out->n] = from->table_row[k];
        out->id[out->n] = from->id[k];
        out->text[out->n] = from->text[k];
        out->label[out->n] = from->label[k];
        out->patient[out->n] = from->patient[k];
        if (out->reference) out->reference[out->n] = from->reference[k];
        if (!out->option_start) continue;
        int32_t n = from->option_start[k + 1] - from->option_start[k],
                at = out->option_start[out->n];
        memcpy(out->option + at, from->option + from->option_start[k], (size_t)n * sizeof(str));
        out->option_start[out->n + 1] = at + n;
    }
}

static bool sort_set(row_set *out, const row_set *from, arena *a, err *e)
{
    int32_t *order = arena_take(a, (size_t)from->n, sizeof *order, e);
    if (!order) return false;
    row_set whole = *from;
    for (int32_t i = 0; i < from->n; i++) order[i] = i;
    qsort_r(order, (size_t)from->n, sizeof *order, by_id, &whole);
    take_set(out, from, order);
    return true;
}

static bool join_rows(tune *t, tune_texts *x, err *e)
{
    const rows *r = &t->run->rows;
    arena *a = &t->memory;
    const size_t n = (size_t)r->pool.n + (size_t)r->tune.n;
    row_set *set = &x->view.scored;
    x->view = *r;
    x->view.n_use = (int32_t)n;
    *set = (row_set){.table_row = arena_take(a, n, sizeof(int32_t), e),
                     .id = arena_take(a, n, sizeof(str), e),
                     .text = arena_take(a, n, sizeof(str), e),
                     .label = arena_take(a, n, sizeof(int32_t), e),
                     .patient = arena_take(a, n, sizeof(int32_t), e)};
    if (r->pool.reference) set->reference = arena_take(a, n, sizeof(str), e);
    if (r->pool.option_start) {
        const size_t n_option =
            (size_t)r->pool.option_start[r->pool.n] + (size_t)r->tune.option_start[r->tune.n];
        set->option_start = arena_take_zero(a, n + 1, sizeof(int32_t), e);
        set->option = arena_take(a, n_option, sizeof(str), e);
    }
    if (e->code != ERR_NONE) return false;
    x->n_learn = r->pool.n;
    x->n_choose = r->tune.n;
    x->label = set->label;
    return sort_set(set, &r->pool, a, e) && sort_set(set, &r->tune, a, e);
}

static bool check_rows(const tune *t, const tune_texts *x, err *e)
{
    const spec *s = &t->run->spec;
    const spec_lora *l = x->arm->training->lora;
    str train = s->data.train.text;
    const bool row_options = x->view.scored.option_start != NULL; /* classes are places of a list */
    if (x->n_learn == 0)
        return err_set(e, ERR_DATA,
                       "%s has no row to train arm '%.*s' on: none with text and label in the part "
                       "'%.*s'",
                       t->run->table.path, (int)x->arm->training->arm.size,
                       x->arm->training->arm.data, (int)train.size, train.data);
    for (int32_t c = 0; c < s->n_class && l->learn == SPEC_LEARN_LABEL && !row_options; c++) {
        int32_t n = 0;
        for (int32_t i = 0; i < x->n_learn; i++) n += x->label[i] == c;
        if (n > 0) continue;
        str name = s->classes[c].name.text;
        return err_set(
            e, ERR_DATA,
            "%s has no row of class '%.*s' in the part '%.*s' that arm '%.*s' learns from; "
            "an adapter cannot learn a label that no row has",
            t->run->table.path, (int)name.size, name.data, (int)train.size, train.data,
            (int)x->arm->training->arm.size, x->arm->training->arm.data);
    }
    return true;
}

/* ---- prompts into trees ---- */

typedef struct shared_head { /* forms whose head stands in the tree already */
    const prompt_form *form;
    int32_t segment;
} shared_head;

typedef struct tree_maker {
    tune *t;
    tune_texts *x;
    int32_t arm;                       /* of the study */
    int32_t column;                    /* of the table, whose text is learned; -1: none */
    bool writes;                       /* a text is learned, not the label */
    buf heads;                         /* shared_head[], of the tree under way */
    buf target, first, way, first_way; /* int32_t[] */
    hash_state hash;
} tree_maker;

static void add_int(buf *b, int32_t x) { buf_add(b, &x, sizeof x); }

static int32_t head_of(tree_maker *m, tree *tree, const prompt_form *f, const asked *q,
                       int32_t owner, err *e)
{
    int32_t n = f->n_head < (int32_t)q->prompt.n ? f->n_head : (int32_t)q->prompt.n - 1;
    if (n <= 0) return TREE_ROOT;
    tree_segment s = {.parent = TREE_ROOT, .kind = TREE_HEAD, .owner = owner};
    if (n != f->n_head || memcmp(f->head, q->prompt.id, (size_t)n * sizeof *f->head) != 0)
        return tree_add(tree, s, q->prompt.id, n, e);
    shared_head *known = (shared_head *)(void *)m->heads.data;
    for (size_t i = 0; i < m->heads.size / sizeof *known; i++) {
        if (known[i].form == f) return known[i].segment;
    }
    s.owner = -1;
    shared_head one = {f, tree_add(tree, s, f->head, n, e)};
    buf_add(&m->heads, &one, sizeof one);
    return one.segment;
}

static int32_t add_case(tree_maker *m, tree *tree, const prompt_form *f, int32_t owner,
                        const asked *q, err *e)
{
    int32_t head = head_of(m, tree, f, q, owner, e);
    if (e->code != ERR_NONE) return -1;
    int32_t n_head = head >= 0 ? tree_at(tree, head)->count : 0;
    tree_segment s = {.parent = head, .kind = TREE_CASE, .owner = owner};
    return tree_add(tree, s, q->prompt.id + n_head, (int32_t)q->prompt.n - n_head, e);
}

static void hash_ids(hash_state *h, const int32_t *id, int64_t n)
{
    hash_add(h, &n, sizeof n);
    hash_add(h, id, (size_t)n * sizeof *id);
}

/* What is to be written: the reference's or the column's text and the end of turn. */
static bool encode_text(tree_maker *m, int32_t row, int32_t variant, const asked *q,
                        token_list *out, err *e)
{
    const row_set *set = &m->x->view.scored;
    const prompt_form *f = arms_form(&m->x->arms, m->arm, row, variant);
    const str cell = m->column >= 0 ? table_cell(&m->t->run->table, set->table_row[row], m->column)
                                    : set->reference[row];
    const str text = str_trim_unicode(cell);
    buf answer = buf_up_to(ANSWER_BYTES_MAX), slot = buf_up_to(ANSWER_BYTES_MAX);
    if (!f->rules.chat) buf_add_char(&answer, ' ');
    buf_add_str(&answer, text);
    arms_write_slot(&m->x->arms, m->arm, row, variant, &slot);
    prompt_answer ask = {.prompt = &q->prompt, .answer = buf_view(&answer), .out = out};
    int32_t end = token_eos(f->rules.tokens);
    bool ok = text.size > 0 || err_set(e, ERR_DATA, "the text to learn is empty in row '%.*s'",
                                       (int)set->id[row].size, set->id[row].data);
    ok = ok && buf_check(&answer, "the text to learn", e) && buf_check(&slot, "a text", e) &&
         prompt_encode_answer(f, buf_view(&slot), &ask, e) &&
         (end < 0 || token_list_add(out, &end, 1, e));
    buf_close(&answer);
    buf_close(&slot);
    return ok;
}

/* The first answer that stands for the row's class. */
static bool find_answer(const tree_maker *m, int32_t row, const asked *q, token_list *out, err *e)
{
    const row_set *set = &m->x->view.scored;
    for (int32_t i = 0; i < q->n_answer; i++) {
        if (q->answer_class.id[i] != set->label[row]) continue;
        int32_t from = q->start.id[i], n = q->start.id[i + 1] - from;
        return token_list_add(out, q->answers.id + from, n, e);
    }
    return err_set(e, ERR_DATA, "row '%.*s' has no answer that stands for its class",
                   (int)set->id[row].size, set->id[row].data);
}

static bool add_learned(tree_maker *m, int32_t row, int32_t variant, const asked *q, err *e)
{
    token_list target = {0};
    tree *tree = &m->x->learn;
    int32_t at = add_case(m, tree, arms_form(&m->x->arms, m->arm, row, variant), row, q, e);
    bool ok = at >= 0 && (m->writes ? encode_text(m, row, variant, q, &target, e)
                                    : find_answer(m, row, q, &target, e));
    if (ok) {
        tree_segment s = {.parent = at, .kind = TREE_ANSWER, .owner = row};
        add_int(&m->target, tree_add(tree, s, target.id, (int32_t)target.n, e));
        hash_add(&m->hash, &m->x->label[row], sizeof(int32_t));
        hash_ids(&m->hash, q->prompt.id, q->prompt.n);
        hash_ids(&m->hash, target.id, target.n);
    }
    token_list_close(&target);
    return ok && e->code == ERR_NONE;
}

/* Where a text is generated first, tune rows are judged by the loss of the text to learn. */
static bool add_written(tree_maker *m, int32_t row, int32_t variant, int32_t at, const asked *q,
                        err *e)
{
    token_list target = {0};
    const int32_t owner = (int32_t)(m->way.size / sizeof(int32_t));
    bool ok = e->code == ERR_NONE && encode_text(m, row, variant, q, &target, e);
    tree_segment s = {.parent = at, .kind = TREE_ANSWER, .owner = owner};
    ok = ok && tree_add(&m->x->choose, s, target.id, (int32_t)target.n, e) >= 0;
    add_int(&m->way, at);
    hash_ids(&m->hash, q->prompt.id, q->prompt.n);
    hash_ids(&m->hash, target.id, target.n);
    token_list_close(&target);
    return ok;
}

static bool add_chosen(tree_maker *m, int32_t row, int32_t variant, const asked *q, err *e)
{
    tree *tree = &m->x->choose;
    int32_t owner = (int32_t)(m->way.size / sizeof(int32_t));
    int32_t at = add_case(m, tree, arms_form(&m->x->arms, m->arm, row, variant), owner, q, e);
    if (m->x->by_loss) return add_written(m, row, variant, at, q, e);
    for (int32_t i = 0; i < q->n_answer && e->code == ERR_NONE; i++) {
        /* `answer` is the class that it stands for: all that an evaluation asks */
        tree_segment s = {.parent = at,
                          .kind = TREE_ANSWER,
                          .owner = owner,
                          .answer = q->answer_class.id[i]};
        tree_add(tree, s, q->answers.id + q->start.id[i], q->start.id[i + 1] - q->start.id[i], e);
        hash_ids(&m->hash, q->answers.id + q->start.id[i], q->start.id[i + 1] - q->start.id[i]);
    }
    add_int(&m->way, at);
    hash_add(&m->hash, &m->x->label[row], sizeof(int32_t));
    hash_ids(&m->hash, q->prompt.id, q->prompt.n);
    hash_ids(&m->hash, q->answer_class.id, q->n_answer);
    return e->code == ERR_NONE;
}

/* A training row that is one of the examples in its own prompt teaches to copy. */
static bool is_own_example(const tree_maker *m, int32_t row)
{
    const arm *a = &m->x->arms.arm[m->arm];
    const rows *r = &m->t->run->rows;
    const shots *s = &a->shots;
    const int64_t n_row = m->x->view.scored.n;
    for (int64_t i = 0; i < (a->spec->shots > 0 ? (int64_t)s->n_turn * s->k : 0); i++) {
        const int32_t set = s->set[i / s->k * n_row + row];
        const int32_t example = s->example[(int64_t)set * s->k + i % s->k];
        if (r->pool.table_row[example] == m->x->view.scored.table_row[row]) return true;
    }
    return false;
}

typedef struct ask_job {
    const arms *arms;
    int32_t arm, first, n;
    asked *asked; /* [n] of one variant */
    int32_t variant;
} ask_job;

static void ask_one(void *context, int64_t i, int thread)
{
    (void)thread;
    ask_job *j = context;
    const int32_t row = j->first + (int32_t)i;
    if (j->variant >= arms_variants(j->arms, j->arm, row)) return;
    arms_ask(j->arms, j->arm, row, j->variant, &j->asked[i], &j->asked[i].failure);
}

static bool take_asked(tree_maker *m, int32_t row, int32_t variant, const asked *q, err *e)
{
    if (q->failure.code != ERR_NONE) {
        *e = q->failure;
        return false;
    }
    return row < m->x->n_learn ? add_learned(m, row, variant, q, e)
                               : add_chosen(m, row, variant, q, e);
}

static bool ask_chunk(tree_maker *m, ask_job *j, asked *all, int32_t n_way, err *e)
{
    for (j->variant = 0; j->variant < n_way; j->variant++) {
        j->asked = all + (int64_t)j->variant * ASK_CHUNK;
        pool_run(m->x->engine->threads, j->n, ask_one, j);
    }
    for (int32_t i = 0; i < j->n; i++) {
        const int32_t row = j->first + i;
        const bool learn = row < m->x->n_learn;
        add_int(learn ? &m->first : &m->first_way,
                (int32_t)((learn ? m->target.size : m->way.size) / sizeof(int32_t)));
        if (learn && is_own_example(m, row)) {
            m->x->n_left_out++;
            continue;
        }
        for (int32_t v = 0; v < arms_variants(&m->x->arms, m->arm, row); v++) {
            if ((learn || m->x->by_loss) &&
                arms_describe(&m->x->arms, m->arm, row, v).reference >= 0)
                continue; /* a content-free prompt: nothing is right there */
            if (!take_asked(m, row, v, &all[(int64_t)v * ASK_CHUNK + i], e)) return false;
        }
    }
    return true;
}

static bool ask_rows(tree_maker *m, int32_t first, int32_t end, err *e)
{
    arena *a = &m->t->memory;
    int32_t n_way = 1;
    for (int32_t i = first; i < end; i++) {
        int32_t n = arms_variants(&m->x->arms, m->arm, i);
        if (n > n_way) n_way = n;
    }
    size_t mark = arena_mark(a);
    asked *all = arena_take_zero(a, (size_t)n_way * ASK_CHUNK, sizeof *all, e);
    bool ok = all != NULL;
    hash_start(&m->hash);
    buf_clear(&m->heads);
    for (int32_t at = first; ok && at < end; at += ASK_CHUNK) {
        ask_job j = {.arms = &m->x->arms, .arm = m->arm, .first = at};
        j.n = end - at < ASK_CHUNK ? end - at : ASK_CHUNK;
        ok = tune_tell(m->t, "tokenising", e) && ask_chunk(m, &j, all, n_way, e);
    }
    for (int64_t i = 0; all && i < (int64_t)n_way * ASK_CHUNK; i++) asked_close(&all[i]);
    arena_reset(a, mark);
    return ok;
}

/* ---- together ---- */

static int32_t *keep_list(tune *t, const buf *b, err *e)
{
    int32_t *kept = arena_take(&t->memory, b->size + 1, 1, e);
    if (kept && b->size) memcpy(kept, b->data, b->size);
    return kept;
}

/* Which arm of the study, and what it learns to write. */
static bool find_arm(tree_maker *m, err *e)
{
    const spec *s = &m->t->run->spec;
    const spec_lora *l = m->x->arm->training->lora;
    m->arm = m->x->number = (int32_t)(m->x->arm - s->arms);
    m->column = -1;
    m->writes = l->learn != SPEC_LEARN_LABEL;
    if (l->learn == SPEC_LEARN_REFERENCE)
        return m->t->run->rows.pool.reference ||
               spec_fail(s, l->line, e,
                         "`learn: reference`, but 'data' names no 'reference' column");
    if (l->learn == SPEC_LEARN_LABEL) return true;
    m->column = table_find_column(&m->t->run->table, str_trim(l->column.text));
    return m->column >= 0 || spec_fail(s, l->column.line, e, "no column '%s' in %s",
                                       l->column.text.data, m->t->run->table.path);
}

/* Behind a generated text the label depends on what was written. */
static bool check_bridge(tree_maker *m, err *e)
{
    const spec_lora *l = m->x->arm->training->lora;
    m->x->by_loss = m->x->arms.arm[m->arm].bridge.size > 0;
    if (!m->x->by_loss || m->writes) return true;
    return spec_fail(&m->t->run->spec, l->line, e,
                     "the arm generates a text before it is asked for the label; say what it "
                     "learns to write: `learn: reference` or `learn: {column: NAME}`");
}

static bool make_trees(tree_maker *m, err *e)
{
    tune_texts *x = m->x;
    const int32_t n = x->n_learn + x->n_choose;
    if (!ask_rows(m, 0, x->n_learn, e)) return false;
    add_int(&m->first, (int32_t)(m->target.size / sizeof(int32_t)));
    x->learn_hash = hash_finish(&m->hash);
    if (!ask_rows(m, x->n_learn, n, e)) return false;
    add_int(&m->first_way, (int32_t)(m->way.size / sizeof(int32_t)));
    x->choose_hash = hash_finish(&m->hash);
    if (!buf_check(&m->target, "the targets", e) || !buf_check(&m->way, "the prompts", e))
        return false;
    x->target = keep_list(m->t, &m->target, e);
    x->first = keep_list(m->t, &m->first, e);
    x->case_of = keep_list(m->t, &m->way, e);
    x->first_way = keep_list(m->t, &m->first_way, e);
    schedule_options how = {.rows = engine_rows(x->engine)};
    if (x->n_choose == 0) return e->code == ERR_NONE;
    return e->code == ERR_NONE && schedule_make(&x->schedule, &x->choose, how, &m->t->memory, e);
}

/* All models of the study: one note budget serves all arms. */
static bool make_arms(tune *t, tune_texts *x, err *e)
{
    const run *r = t->run;
    arms_model *m = arena_take_zero(&t->memory, (size_t)r->n_model, sizeof *m, e);
    for (int32_t i = 0; m && i < r->n_model; i++) {
        const engine *g = &r->model[i].engine;
        bool chat = r->spec.template_kind != SPEC_TEMPLATE_PLAIN && g->chat;
        m[i].rules = engine_prompt_rules(g, chat);
        m[i].n_context = g->header.config.n_context;
    }
    x->arms = (arms){.spec = &r->spec,
                     .rows = &x->view,
                     .memory = &t->memory,
                     .n_model = r->n_model,
                     .model = m,
                     .model_of = r->model_of};
    return m && arms_make(&x->arms, e);
}

bool tune_texts_make(tune *t, tune_texts *x, err *e)
{
    assert(x->arm->training);
    tree_maker m = {.t = t, .x = x};
    buf *lists[] = {&m.heads, &m.target, &m.first, &m.way, &m.first_way};
    for (size_t i = 0; i < countof(lists); i++) *lists[i] = buf_up_to((size_t)1 << 33);
    tree_open(&x->learn, SEGMENTS_MAX, (int64_t)1 << 32);
    tree_open(&x->choose, SEGMENTS_MAX, (int64_t)1 << 32);
    snprintf(x->numerics, sizeof x->numerics, "%s, %s, %s, %s", TUNE_VERSION, x->backend->ops->name,
             x->backend->isa, x->engine->header.format);
    bool ok = find_arm(&m, e) && join_rows(t, x, e) && check_rows(t, x, e) && make_arms(t, x, e) &&
              check_bridge(&m, e) && make_trees(&m, e);
    for (size_t i = 0; i < countof(lists); i++) buf_close(lists[i]);
    return ok;
}

void tune_texts_close(tune_texts *x)
{
    if (x->learn.segments.max) tree_close(&x->learn);
    if (x->choose.segments.max) tree_close(&x->choose);
}
