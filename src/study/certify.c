/* certify: see certify.h. The prompts are made as for scoring (arms_ask), over rows of our own. */
#include "study/certify.h"

#include <assert.h>

enum { SEGMENTS_MAX = 1 << 20 };

/* The rows as those to be asked about. */
static void take_rows(rows *view, const rows *from)
{
    *view = *from;
    if (from->tune.n > 0) view->scored = from->tune;
    if (view->scored.n > CERTIFICATE_TEXTS) view->scored.n = CERTIFICATE_TEXTS;
    view->n_use = view->scored.n;
    view->n_group = 0;
}

static bool make_arms(arms *out, const run *r, const rows *view, arena *a, err *e)
{
    arms_model *m = arena_take_zero(a, (size_t)r->n_model, sizeof *m, e);
    for (int32_t i = 0; m && i < r->n_model; i++) {
        const engine *g = &r->model[i].engine;
        m[i].rules =
            engine_prompt_rules(g, r->spec.template_kind != SPEC_TEMPLATE_PLAIN && g->chat);
        m[i].n_context = g->header.config.n_context;
    }
    *out = (arms){.spec = &r->spec,
                  .rows = view,
                  .memory = a,
                  .n_model = r->n_model,
                  .model = m,
                  .model_of = r->model_of};
    return m && arms_make(out, e);
}

static bool find_arm(const run *r, const char *name, int32_t *arm, err *e)
{
    for (*arm = 0; *arm < r->spec.n_arm; ++*arm)
        if (!name || str_is(r->spec.arms[*arm].name.text, name)) return true;
    return err_set(e, ERR_USAGE, "%s has no arm '%s'", r->spec.path, name ? name : "");
}

/* A prompt and its answers; the head is shared where it is the same as before. */
static bool add_prompt(tree *t, const asked *q, const prompt_form *f, int32_t *head, err *e)
{
    const bool fits = f->n_head > 0 && f->n_head < (int32_t)q->prompt.n &&
                      !memcmp(f->head, q->prompt.id, (size_t)f->n_head * sizeof *f->head);
    if (fits && *head < 0) {
        const tree_segment s = {.parent = TREE_ROOT, .kind = TREE_HEAD, .owner = -1};
        *head = tree_add(t, s, f->head, f->n_head, e);
        if (*head < 0) return false;
    }
    const int32_t n = fits ? f->n_head : 0;
    const int32_t owner = tree_count(t);
    const tree_segment c = {.parent = fits ? *head : TREE_ROOT, .kind = TREE_CASE, .owner = owner};
    const int32_t at = tree_add(t, c, q->prompt.id + n, (int32_t)q->prompt.n - n, e);
    for (int32_t i = 0; i < q->n_answer && e->code == ERR_NONE; i++) {
        const tree_segment s = {.parent = at, .kind = TREE_ANSWER, .owner = owner, .answer = i};
        tree_add(t, s, q->answers.id + q->start.id[i], q->start.id[i + 1] - q->start.id[i], e);
    }
    return e->code == ERR_NONE;
}

static bool ask_rows(tree *t, const arms *a, int32_t arm, err *e)
{
    asked q = {0};
    int32_t head = -1;
    const prompt_form *form = NULL;
    bool ok = true;
    for (int32_t i = 0; ok && i < a->rows->scored.n; i++) {
        const prompt_form *f = arms_form(a, arm, i, 0);
        if (f != form) head = -1;
        form = f;
        ok = arms_ask(a, arm, i, 0, &q, e) && add_prompt(t, &q, f, &head, e);
    }
    asked_close(&q);
    return ok;
}

static bool preparing(void *context, const run_state *s)
{
    const certify_options *o = context;
    (void)s;
    return !o->progress || o->progress(o->context, 0, 0);
}

static bool make_prompts(const certify_options *o, tree *t, err *e)
{
    run r;
    rows view;
    arms a = {0};
    int32_t arm = 0;
    run_options how = {.study = o->study, .engine = o->engine, .maker = o->maker};
    certify_options told = *o;
    how.engine.model = o->model;
    how.progress = preparing;
    how.context = &told;
    bool ok = run_prepare(&r, &how, e) && find_arm(&r, o->arm, &arm, e);
    if (ok) {
        take_rows(&view, &r.rows);
        ok = make_arms(&a, &r, &view, &r.memory, e) && ask_rows(t, &a, arm, e);
    }
    run_close(&r);
    return ok;
}

bool certify(const certify_options *o, buf *shown, err *e)
{
    assert(o->study && o->model && o->adapter && o->out);
    tree t;
    certificate c;
    tree_open(&t, SEGMENTS_MAX, (int64_t)1 << 30);
    bool ok = make_prompts(o, &t, e);
    const certificate_job job = {.model = o->model,
                                 .adapter = o->adapter,
                                 .prompts = &t,
                                 .given = o->given,
                                 .given_only = o->given_only,
                                 .scratch = o->out,
                                 .engine = o->engine,
                                 .progress = o->progress,
                                 .context = o->context};
    ok = ok && certificate_make(&job, &c, e) && certificate_write(&c, o->out, e);
    tree_close(&t);
    if (!ok) return false;
    certificate_describe(&c, shown);
    return certificate_check(&c, e);
}
