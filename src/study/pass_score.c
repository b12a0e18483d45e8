/* pass_score: a pass's chapters through the sessions of all ranks, batch by batch; what comes of
 * each goes into the store in one transaction, and so do the texts of each group that is generated
 * together. Ranks write one after the other, and tell progress then: the run and the store are
 * touched only between begin_writing and end_writing, or between pool_lock and pool_unlock. */
#include "data/store_parts.h"
#include "stats/score.h"
#include "study/pass_in.h"

#include <assert.h>
#include <math.h>

typedef struct dealing { /* what the ranks share */
    int32_t next;        /* batch that nobody has */
    bool headed;         /* the chapter's heads are counted */
    bool failed;         /* a rank ended with an error: the others go no further */
} dealing;

typedef struct scoring { /* of a rank */
    run *run;
    pass *pass;
    crew *crew;
    dealing *dealing;
    engine *engine;
    chapter *chapter;
    double *answer, *class_z, *list; /* [most answers], [n_class], [most answers + n_class] */
    int32_t *same;                   /* [most answers] number of the answer's ids */
    generate_ask *ask;               /* [parts] of the batch under way */
    const book_part **of;            /* [parts] whose they are */
    double *before_ms;               /* [parts] time of the prompt */
    int32_t *n_there;                /* [parts] texts that are there */
    int32_t n_ask;
    token_bytes *vocabulary;  /* of the pass's model; NULL: no form is asked for */
    constrainer **only;       /* [n_arm of the pass] NULL: any text */
    double clock, step_clock; /* at the group's start; at the last step's end */
    bool writing;             /* this rank's transaction is open */
} scoring;

/* Opens a transaction, when no other rank is writing. */
static bool begin_writing(scoring *s, err *e)
{
    if (s->writing) return true;
    pool_lock(s->crew->together);
    s->writing = store_begin(s->run->store, e);
    if (!s->writing) pool_unlock(s->crew->together);
    return s->writing;
}

/* Keeps what was written and tells of it; undoes it when not `ok`. */
static bool end_writing(scoring *s, bool ok, err *e)
{
    if (!s->writing) return ok;
    ok = ok && store_commit(s->run->store, e);
    if (!ok) store_undo(s->run->store);
    s->writing = false;
    ok = ok && run_tell(s->run, "scoring", e);
    pool_unlock(s->crew->together);
    return ok;
}

static double binary_score(const run *r, const double *z)
{
    return r->spec.positive < 0 ? (double)NAN
                                : score_against_rest(z, r->spec.n_class, r->spec.positive);
}

static bool append_score(scoring *s, const hash_text *key, const double *answer, int32_t n_answer,
                         double time_ms, err *e)
{
    const run *r = s->run;
    store_score score = {.key = *key,
                         .score = binary_score(r, s->class_z),
                         .label_mass = score_label_mass(s->class_z, r->spec.n_class),
                         .n_class = r->spec.n_class,
                         .n_answer = n_answer,
                         .class_logprob = s->class_z,
                         .answer_logprob = answer,
                         .time_ms = time_ms};
    return store_append(r->store, &score, e);
}

/* ---- rows of several parts ---- */

static double sum_of(const double *x, int32_t n)
{
    double sum = 0;
    for (int32_t i = 0; i < n; i++) sum += isnan(x[i]) ? 0 : x[i];
    return sum;
}

/* Makes the row's score when all its parts are there. */
static bool complete_row(scoring *s, int32_t arm, int32_t row, err *e)
{
    run *r = s->run;
    row_state *state = pass_row(r, s->pass, pass_arm(s->pass, arm), row);
    size_t mark = arena_mark(&r->memory);
    store_parts p;
    bool all = state->open;
    if (!store_get_parts(r->store, arm, row, &p, &r->memory, e)) return false;
    for (int32_t i = 0; i < p.n; i++) all = all && p.there[i];
    bool ok = true;
    if (all) {
        int32_t n_way = r->arms.arm[arm].n_way, n = n_way > 1 ? n_way * r->spec.n_class : 0;
        double *way = arena_take(&r->memory, (size_t)n, sizeof *way, e);
        if (!way) return false;
        arms_combine(&r->arms, arm, row, p.class_logprob, s->class_z, n ? way : NULL);
        ok = append_score(s, &state->key, way, n, sum_of(p.time_ms, p.n), e);
        state->open = false;
        s->pass->n_open--;
        r->state.texts_done++;
        r->state.texts_now++;
    }
    arena_reset(&r->memory, mark);
    return ok;
}

/* A part's score is in s->class_z. */
static bool finish_part(scoring *s, const book_part *p, const double *answer, int32_t n_answer,
                        double time_ms, err *e)
{
    run *r = s->run;
    row_state *state = pass_row(r, s->pass, pass_arm(s->pass, p->arm), p->row);
    if (!state->key.hex[0]) {
        r->state.texts_done++;
        r->state.texts_now++;
        return append_score(s, &p->key, answer, n_answer, time_ms, e);
    }
    store_part part = {.key = p->key,
                       .n_token = p->n_token,
                       .n_class = r->spec.n_class,
                       .n_answer = n_answer,
                       .class_logprob = s->class_z,
                       .answer_logprob = answer,
                       .time_ms = time_ms};
    if (!store_add_part(r->store, &part, e)) return false;
    assert(state->left > 0);
    return --state->left > 0 || complete_row(s, p->arm, p->row, e);
}

/* ---- a part's answers ---- */

/* Z of each class: log-sum-exp over its distinct answers (same[]: equal ids, equal numbers). */
static void find_class_scores(scoring *s, const book_part *p)
{
    const int32_t *class = s->chapter->answer_class.id + p->first_answer;
    for (int32_t c = 0; c < s->run->spec.n_class; c++) {
        int32_t n = 0;
        for (int32_t i = 0; i < p->n_answer; i++) {
            bool seen = class[i] != c;
            for (int32_t k = 0; k < i && !seen; k++)
                seen = class[k] == c && s->same[k] == s->same[i];
            if (!seen) s->list[n++] = s->answer[i];
        }
        s->class_z[c] = score_log_sum(s->list, n);
    }
}

static bool score_part(scoring *s, const book_part *p, double time_ms, err *e)
{
    const int32_t *segment = s->chapter->answer_segment.id + p->first_answer;
    for (int32_t i = 0; i < p->n_answer; i++) {
        s->answer[i] = s->engine->scorer.logprob[segment[i]];
        s->same[i] = segment[i];
    }
    find_class_scores(s, p);
    return finish_part(s, p, s->answer, p->n_answer, time_ms, e);
}

/* ---- generated texts ---- */

static void find_same_answers(scoring *s, const generate_follow *f)
{
    for (int32_t i = 0; i < f->n_answer; i++) {
        const int32_t *a = f->answer_id + f->answer_start[i];
        int32_t n = f->answer_start[i + 1] - f->answer_start[i];
        s->same[i] = i;
        for (int32_t k = 0; k < i && s->same[i] == i; k++) {
            const int32_t *b = f->answer_id + f->answer_start[k];
            if (f->answer_start[k + 1] - f->answer_start[k] != n) continue;
            if (!memcmp(a, b, (size_t)n * sizeof *a)) s->same[i] = k;
        }
    }
}

/* Z a class over the part's texts, read back from the store: an earlier run may have made some. */
static bool finish_texts(scoring *s, int32_t i, err *e)
{
    run *r = s->run;
    const book_part *p = s->of[i];
    const int32_t n_class = r->spec.n_class;
    size_t mark = arena_mark(&r->memory);
    store_samples all;
    if (!store_get_samples_of(r->store, &p->key, &all, &r->memory, e)) return false;
    assert(all.n >= p->samples);
    double *z = arena_take(&r->memory, (size_t)all.n, sizeof *z, e);
    if (!z) return false;
    for (int32_t c = 0; c < n_class; c++) {
        for (int32_t k = 0; k < all.n; k++) z[k] = all.class_logprob[(int64_t)k * n_class + c];
        s->class_z[c] = all.n == 1 ? z[0] : score_log_sum(z, all.n) - log((double)all.n);
    }
    double ms = s->before_ms[i] + sum_of(all.time_ms, all.n);
    arena_reset(&r->memory, mark);
    return finish_part(s, p, NULL, 0, ms, e);
}

static bool take_text(void *context, const generate_sample *t, err *e)
{
    scoring *s = context;
    run *r = s->run;
    const generate_ask *ask = &s->ask[t->owner];
    const book_part *p = s->of[t->owner];
    if (!begin_writing(s, e)) return false;
    for (int32_t i = 0; i < p->n_answer; i++) s->answer[i] = t->answer_logprob[i];
    find_same_answers(s, &ask->follow);
    find_class_scores(s, p);
    store_sample sample = {.key = p->key,
                           .number = t->number,
                           .text = t->text,
                           .n_token = t->n,
                           .end = str_of(t->end),
                           .class = STORE_NOT_PARSED,
                           .n_class = r->spec.n_class,
                           .class_logprob = s->class_z,
                           .time_ms = 1e3 * (run_clock() - s->clock) / t->n_group};
    if (r->spec.arms[p->arm].ask.think.n_parse > 0)
        sample.class = arms_read_text(&r->arms, p->arm, p->row, p->variant, t->text);
    r->state.drawn_all -= ask->max_tokens - t->n;
    r->state.tokens_done += 1 + p->n_bridge + ask->follow.answer_start[p->n_answer] - p->n_answer;
    return store_add_sample(r->store, &sample, e) &&
           (++s->n_there[t->owner] < p->samples || finish_texts(s, t->owner, e));
}

static bool end_group(void *context, err *e)
{
    scoring *s = context;
    if (!begin_writing(s, e) || !end_writing(s, true, e)) return false;
    s->clock = s->step_clock = run_clock();
    return true;
}

/* Another rank's failure ends this one too. */
static bool go_on(const scoring *s, err *e)
{
    if (!s->dealing->failed) return true;
    return err_set(e, ERR_STOPPED, "stopped: another rank failed");
}

static bool after_step(void *context, int32_t n_row, err *e)
{
    scoring *s = context;
    double now = run_clock();
    pool_lock(s->crew->together);
    s->run->state.drawn_done += n_row;
    s->run->state.seconds_drawn += (now - s->step_clock) / s->crew->n_lane;
    s->step_clock = now;
    bool ok = go_on(s, e) && run_tell(s->run, "scoring", e);
    pool_unlock(s->crew->together);
    return ok;
}

/* What seeds a row's texts: made of its id alone. */
static uint64_t number_of_row(const run *r, int32_t row)
{
    str id = r->rows.scored.id[row];
    return hash_to_seed(hash_of(id.data, id.size));
}

static void add_ask(scoring *s, const book_part *p, double before_ms)
{
    const run *r = s->run;
    const spec_think *t = &r->spec.arms[p->arm].ask.think;
    const int32_t *kept = s->chapter->kept.id;
    int32_t i = s->n_ask++;
    generate_ask *a = &s->ask[i];
    *a = (generate_ask){.segment = p->case_segment,
                        .prompt = kept + p->prompt,
                        .n_prompt = p->n_token,
                        .owner = i,
                        .first = p->first_sample,
                        .samples = p->samples,
                        .max_tokens = p->max_tokens,
                        .how = {.temperature = (float)t->temperature,
                                .top_k = t->top_k,
                                .top_p = (float)t->top_p,
                                .min_p = (float)t->min_p,
                                .repetition_penalty = (float)t->repetition_penalty},
                        .only = s->only[pass_arm(s->pass, p->arm)],
                        .seed = r->spec.seed,
                        .row = number_of_row(r, p->row),
                        .follow = {.bridge = kept + p->bridge,
                                   .n_bridge = p->n_bridge,
                                   .n_answer = p->n_answer,
                                   .answer_start = kept + p->start,
                                   .answer_id = kept + p->answers}};
    for (int32_t k = 0; k < t->stop.n && k < GENERATE_STOPS_MAX; k++)
        a->stop[a->n_stop++] = t->stop.item[k].text;
    s->of[i] = p;
    s->before_ms[i] = before_ms;
    s->n_there[i] = p->first_sample;
}

/* Parts whose texts are all there already, but for the killed run's last step. */
static bool finish_kept_texts(scoring *s, err *e)
{
    bool ok = begin_writing(s, e);
    for (int32_t i = 0; ok && i < s->n_ask; i++) {
        if (s->ask[i].first >= s->ask[i].samples) ok = finish_texts(s, i, e);
    }
    return end_writing(s, ok, e);
}

static bool draw_batch(scoring *s, err *e)
{
    generator *g = &s->engine->generator;
    if (s->n_ask == 0) return true;
    if (!finish_kept_texts(s, e)) return false;
    g->done = take_text;
    g->group = end_group;
    g->step = after_step;
    g->context = s;
    s->clock = s->step_clock = run_clock();
    bool ok =
        s->engine->scorer.schedule->options.streams == 0 || generator_run(g, s->ask, s->n_ask, e);
    return end_writing(s, ok, e);
}

/* ---- batches ---- */

static bool take_item(scoring *s, const item *it, double time_ms, err *e)
{
    int32_t n = 0;
    const book_part *p = chapter_parts(s->chapter, it->owner, &n);
    for (int32_t i = 0; i < n; i++) {
        if (p[i].samples > 0) add_ask(s, &p[i], time_ms / n);
        else if (!score_part(s, &p[i], time_ms / n, e)) return false;
    }
    return true;
}

static bool score_batch(scoring *s, int32_t b, err *e)
{
    run *r = s->run;
    const schedule *of = &s->chapter->schedule;
    double start = run_clock();
    if (!scorer_run_batch(&s->engine->scorer, b, e)) return false;
    double seconds = run_clock() - start;
    int32_t rows = schedule_batch_rows(of, b);
    s->n_ask = 0;
    if (!begin_writing(s, e)) return false;
    bool ok = true;
    for (int32_t i = of->batch[b]; ok && i < of->batch[b + 1]; i++) {
        double share = 1e3 * seconds * (double)of->item[i].rows / (double)(rows > 0 ? rows : 1);
        ok = take_item(s, &of->item[i], share, e);
    }
    r->state.tokens_done += rows;
    r->state.seconds_forward += seconds / s->crew->n_lane;
    return end_writing(s, ok, e) && draw_batch(s, e);
}

static bool make_lists(scoring *s, err *e)
{
    arena *a = &s->run->memory;
    const chapter *c = s->chapter;
    const book_part *p = (const book_part *)(const void *)c->part.data;
    size_t n_part = c->part.size / sizeof *p, n_class = (size_t)s->run->spec.n_class, n = 1;
    for (size_t i = 0; i < n_part; i++) {
        if ((size_t)p[i].n_answer > n) n = (size_t)p[i].n_answer;
    }
    s->answer = arena_take(a, n, sizeof *s->answer, e);
    s->same = arena_take(a, n, sizeof *s->same, e);
    s->list = arena_take(a, n + n_class, sizeof *s->list, e);
    s->class_z = arena_take(a, n_class, sizeof *s->class_z, e);
    if (c->schedule.options.batch_rows == 0) n_part = 0; /* nothing is generated */
    s->ask = arena_take(a, n_part, sizeof *s->ask, e);
    s->of = arena_take(a, n_part, sizeof *s->of, e);
    s->before_ms = arena_take(a, n_part, sizeof *s->before_ms, e);
    s->n_there = arena_take(a, n_part, sizeof *s->n_there, e);
    return e->code == ERR_NONE;
}

/* The number of a batch that no rank has; the chapter's number of them when none is left. */
static int32_t take_batch(scoring *s)
{
    const int32_t n = s->chapter->schedule.n_batch;
    pool_lock(s->crew->together);
    int32_t b = s->dealing->failed ? n : s->dealing->next;
    if (b < n) s->dealing->next++;
    pool_unlock(s->crew->together);
    return b;
}

/* The kept heads of the chapter, which every rank forwards for itself. */
static bool score_heads(scoring *s, err *e)
{
    const schedule *of = &s->chapter->schedule;
    double start = run_clock();
    if (!engine_take_scorer(s->engine, of, e) || !scorer_run_heads(&s->engine->scorer, e))
        return false;
    pool_lock(s->crew->together);
    if (!s->dealing->headed) s->run->state.tokens_done += of->rows_head;
    s->dealing->headed = true;
    s->run->state.seconds_forward += (run_clock() - start) / s->crew->n_lane;
    pool_unlock(s->crew->together);
    return true;
}

/* A rank's share of the chapter. */
static bool score_share(void *context, int32_t rank, err *e)
{
    scoring *s = (scoring *)context + rank;
    const int32_t n_batch = s->chapter->schedule.n_batch;
    int32_t b = take_batch(s);
    bool ok = b == n_batch || score_heads(s, e);
    for (; ok && b < n_batch; b = take_batch(s)) ok = score_batch(s, b, e);
    if (ok) return true;
    pool_lock(s->crew->together);
    s->dealing->failed = true;
    pool_unlock(s->crew->together);
    return false;
}

static bool score_chapter(scoring *s, chapter *c, err *e)
{
    arena *a = &s->run->memory;
    crew *all = s->crew;
    size_t mark = arena_mark(a);
    *s->dealing = (dealing){0};
    for (int32_t i = 0; i < all->n_lane; i++) {
        s[i].chapter = c;
        if (!make_lists(&s[i], e)) return false;
    }
    bool ok = crew_run_lanes(all, score_share, s, e);
    arena_reset(a, mark);
    return ok;
}

/* Which tokens may come under each arm's form; found as they are asked for, by each rank. */
static bool make_forms(scoring *s, err *e)
{
    const model_header *h = &s->engine->header;
    arena *a = &s->run->memory;
    s->only = arena_take_zero(a, (size_t)s->pass->n_arm, sizeof(constrainer *), e);
    for (int32_t k = 0; s->only && k < s->pass->n_arm; k++) {
        const automaton *form = s->run->form[s->pass->arm[k]];
        if (!form) continue;
        if (!s->vocabulary) {
            s->vocabulary = arena_take(a, 1, sizeof *s->vocabulary, e);
            if (!s->vocabulary ||
                !token_bytes_make(s->vocabulary, h->tokens, h->config.n_vocab, a, e))
                return false;
        }
        s->only[k] = arena_take(a, 1, sizeof(constrainer), e);
        if (!s->only[k] || !constrainer_make(s->only[k], form, s->vocabulary, a, e)) return false;
    }
    return s->only != NULL;
}

bool pass_score(run *r, pass *p, err *e)
{
    crew *c = &r->model[p->model].crew;
    dealing d = {0};
    scoring *s = arena_take(&r->memory, (size_t)c->n_lane, sizeof *s, e);
    for (int32_t i = 0; s && i < c->n_lane; i++) {
        s[i] = (scoring){.run = r, .pass = p, .crew = c, .dealing = &d, .engine = crew_lane(c, i)};
        if (i > 0) s[i].vocabulary = s->vocabulary;
        if (!make_forms(&s[i], e)) return false;
    }
    for (int32_t i = 0; s && i < book_count(&p->book); i++) {
        if (!score_chapter(s, book_chapter(&p->book, i), e)) return false;
    }
    return s != NULL;
}

bool pass_complete(run *r, pass *p, err *e)
{
    size_t mark = arena_mark(&r->memory);
    scoring s = {.run = r, .pass = p};
    if (p->n_open == 0) return true;
    s.class_z = arena_take(&r->memory, (size_t)r->spec.n_class, sizeof *s.class_z, e);
    bool ok = s.class_z && store_begin(r->store, e);
    for (int32_t k = 0; ok && k < p->n_arm; k++) {
        for (int32_t row = r->first_row; ok && row < r->end_row; row++) {
            if (pass_row(r, p, k, row)->open) ok = complete_row(&s, p->arm[k], row, e);
        }
    }
    arena_reset(&r->memory, mark);
    if (ok) return store_commit(r->store, e);
    if (e->code != ERR_NONE) store_undo(r->store);
    return false;
}
