/* tune_train: one adapter, update by update; see tune_in.h. */
#include "study/tune_in.h"

#include "base/room.h"
#include "compute/device.h"
#include "model/place.h"
#include "stats/multi.h"
#include "stats/rank.h"
#include "stats/score.h"
#include "study/events.h"
#include "study/run_in.h"

#include <assert.h>
#include <math.h>

static const double seconds_checkpoint = 60;

/* ---- memory ---- */

static session_shape scoring_shape(const tune_job *j)
{
    session_shape shape = j->plan->texts->schedule.shape;
    shape.adapter_rank = j->plan->lora.rank;
    return shape;
}

static bool lay_out_scoring(tune_job *j, arena *a, err *e)
{
    const tune_texts *x = j->plan->texts;
    engine *g = j->engine;
    const int32_t n_class = j->tune->run->spec.n_class;
    int32_t n_answer = 0, n_way = 1;
    if (j->plan->n_evaluation == 0) return true;
    for (int32_t i = 0; i < x->n_choose; i++) {
        if (x->first_way[i + 1] - x->first_way[i] > n_way)
            n_way = x->first_way[i + 1] - x->first_way[i];
    }
    for (int32_t i = 0; i < x->first_way[x->n_choose]; i++) {
        int32_t n = 0, at = x->case_of[i] + 1;
        while (at + n < tree_count(&x->choose) && tree_at(&x->choose, at + n)->kind == TREE_ANSWER)
            n++;
        if (n > n_answer) n_answer = n;
    }
    j->class_z = arena_take(a, (size_t)x->n_choose, (size_t)n_class * sizeof(double), e);
    j->chance = arena_take(a, (size_t)x->n_choose, (size_t)n_class * sizeof(double), e);
    j->score = arena_take(a, (size_t)x->n_choose, sizeof(double), e);
    j->way_z = arena_take(a, (size_t)n_way, (size_t)n_class * sizeof(double), e);
    j->part = arena_take(a, (size_t)n_answer + (size_t)n_class, sizeof(double), e);
    return session_lay_out(&j->session, &g->model, &g->backend, scoring_shape(j), a, e) &&
           scorer_lay_out(&j->scorer, &x->schedule, &j->session, a, e);
}

/* Weights and adapter where training computes; the tune rows' session reads them there. */
static bool place(tune_job *j, err *e)
{
    engine *g = j->engine;
    backend *b = j->backend;
    if (!device_is_apart(b)) return true;
    if (!g->model.weights.layer && !model_bind(&g->model.weights, &g->header, &g->memory, e))
        return false;
    return model_place(&g->model, b, e) && lora_upload(&j->adapter, b, e);
}

/* The moments, where the host can write them to a file. */
static void lay_out_moments(tune_job *j, arena *a, err *e)
{
    const size_t n = (size_t)j->adapter.n_value;
    j->first = j->trainer.first, j->second = j->trainer.second;
    if (!device_is_apart(j->backend)) return;
    j->first = arena_take(a, n, sizeof *j->first, e);
    j->second = arena_take(a, n, sizeof *j->second, e);
}

/* What adding the gradients of all ranks takes on this one. */
static bool lay_out_gradients(tune_job *j, arena *a, err *e)
{
    comm_rank unused, *own = &unused;
    if (j->all) own = &j->all->comm.rank[j - j->all->job];
    *own = (comm_rank){.backend = j->backend, .grad = j->trainer.grad, .total = j->trainer.total};
    return comm_lay_out(own, j->plan->texts->crew->n, j->adapter.n_value, a, e);
}

bool tune_lay_out(tune_job *j, arena *a, err *e)
{
    const tune_plan *p = j->plan;
    const engine *g = j->engine;
    if (!lora_lay_out(&j->adapter, &g->header.config, p->lora, a, e) || !place(j, e)) return false;
    train_setup setup = {&g->model, j->backend, &j->adapter, p->shape};
    j->at.loss = arena_take(a, (size_t)p->optim.updates, sizeof(double), e);
    j->at.evaluation = arena_take(a, (size_t)p->n_evaluation, sizeof(tune_evaluation), e);
    if (!trainer_lay_out(&j->trainer, &setup, a, e)) return false;
    lay_out_moments(j, a, e);
    return lay_out_gradients(j, a, e) &&
           batcher_lay_out(&j->batcher, &p->texts->learn, p->most, a, e) &&
           lay_out_scoring(j, a, e) && e->code == ERR_NONE;
}

/* ---- the tune rows ---- */

static bool same_ids(const tree *t, int32_t a, int32_t b)
{
    const tree_segment *x = tree_at(t, a), *y = tree_at(t, b);
    return x->count == y->count &&
           !memcmp(tree_ids(t, a), tree_ids(t, b), (size_t)x->count * sizeof(int32_t));
}

/* Z of class c after one prompt: log-sum-exp over its distinct answers, as in scoring. */
static double class_log_score(const tune_job *j, int32_t case_segment, int32_t c, double *part)
{
    const tree *t = &j->plan->texts->choose;
    int32_t n = 0, first = case_segment + 1;
    for (int32_t i = first; i < tree_count(t) && tree_at(t, i)->kind == TREE_ANSWER; i++) {
        bool seen = tree_at(t, i)->answer != c;
        for (int32_t k = first; k < i && !seen; k++)
            seen = tree_at(t, k)->answer == c && same_ids(t, i, k);
        if (!seen) part[n++] = j->scorer.logprob[i];
    }
    return score_log_sum(part, n);
}

/* Log-scores of a row's classes, as in scoring. */
static void combine_ways(tune_job *j, int32_t row)
{
    const tune_texts *x = j->plan->texts;
    const int32_t n_class = j->tune->run->spec.n_class, from = x->first_way[row];
    for (int32_t w = from; w < x->first_way[row + 1]; w++) {
        for (int32_t c = 0; c < n_class; c++)
            j->way_z[(w - from) * n_class + c] = class_log_score(j, x->case_of[w], c, j->part);
    }
    arms_combine(&x->arms, x->number, x->n_learn + row, j->way_z,
                 j->class_z + (int64_t)row * n_class, NULL);
}

/* Mean loss of a token of the texts to learn. */
static void judge_texts(const tune_job *j, tune_evaluation *out)
{
    const tune_texts *x = j->plan->texts;
    double sum = 0, tokens = 0;
    for (int32_t i = 0; i < x->first_way[x->n_choose]; i++) {
        sum -= j->scorer.logprob[x->case_of[i] + 1];
        tokens += tree_at(&x->choose, x->case_of[i] + 1)->count;
    }
    out->auroc = (double)NAN;
    out->loss = sum / tokens;
}

static bool judge_rows(tune_job *j, tune_evaluation *out, err *e)
{
    const tune_texts *x = j->plan->texts;
    const spec *s = &j->tune->run->spec;
    arena *a = &j->tune->memory;
    const size_t mark = arena_mark(a), n = (size_t)x->n_choose;
    const int32_t *label = x->label + x->n_learn;
    if (x->by_loss) return judge_texts(j, out), true;
    uint8_t *positive = arena_take(a, n, 1, e);
    if (!positive) return false;
    double loss = 0;
    for (int32_t i = 0; i < x->n_choose; i++) {
        double *z = j->class_z + (int64_t)i * s->n_class, *p = j->chance + (int64_t)i * s->n_class;
        combine_ways(j, i);
        score_probabilities(z, s->n_class, p);
        loss -= log(fmax(p[label[i]], 1e-300)) / x->n_choose;
        j->score[i] = s->positive >= 0 ? score_against_rest(z, s->n_class, s->positive) : 0;
        positive[i] = label[i] == s->positive;
    }
    out->loss = loss;
    out->auroc = (double)NAN;
    bool ok;
    if (s->positive >= 0) {
        rank_auroc r = {0};
        ok = rank_auroc_rows(j->score, positive, x->n_choose, a, &r, e);
        if (ok && r.logit.has_value) out->auroc = r.logit.value;
    } else {
        multi_rows rows = {x->n_choose, s->n_class, label, j->chance};
        multi_auroc m = {0};
        ok = multi_auroc_of(&rows, a, &m, e);
        if (ok && m.macro.has_value) out->auroc = m.macro.value;
    }
    arena_reset(a, mark);
    return ok;
}

static bool is_better(const tune_job *j, const tune_evaluation *now)
{
    if (j->at.best < 0) return true;
    const tune_evaluation *best = &j->at.evaluation[j->at.best];
    if (isnan(now->auroc) || isnan(best->auroc) || now->auroc == best->auroc)
        return now->loss < best->loss;
    return now->auroc > best->auroc;
}

static bool log_evaluation(tune_job *j, const tune_evaluation *v, double seconds, err *e)
{
    buf line = buf_up_to(1000), events = buf_up_to(4000);
    buf_printf(&line, "{\"update\": %lld, \"tune_rows\": %d", (long long)v->update,
               j->plan->texts->n_choose);
    if (!isnan(v->auroc)) buf_printf(&line, ", \"tune_auroc\": %.17g", v->auroc);
    buf_printf(&line, ", \"tune_loss\": %.9g, \"seconds\": %.3f, \"best\": %s}\n", v->loss, seconds,
               j->at.n_worse == 0 ? "true" : "false");
    event_value value[2] = {{"loss/tune", v->loss}, {"auroc/tune", v->auroc}};
    events_add_scalars(&events, tune_time(), v->update, value, isnan(v->auroc) ? 1 : 2);
    bool ok = buf_check(&line, "the log", e) && tune_log(j, buf_view(&line), buf_view(&events), e);
    buf_close(&line);
    buf_close(&events);
    return ok;
}

/* The number of a batch of tune rows that no rank has; theirs all when none is left. */
static int32_t take_batch(tune_job *j)
{
    tune_ranks *all = j->all;
    const int32_t n = j->plan->texts->schedule.n_batch;
    pool *together = j->plan->texts->crew->together;
    pool_lock(together);
    const int32_t b = all->failed ? n : all->next;
    if (b < n) all->next++;
    pool_unlock(together);
    return b;
}

/* What was scored is told; false when it stops. Nothing of it is kept then. */
static bool tell_scored(tune_job *j, int64_t tokens, err *e)
{
    pool *together = j->plan->texts->crew->together;
    pool_lock(together);
    j->tune->state.tokens_now += tokens;
    const bool ok = tune_tell(j->tune, "scoring tune rows", e);
    pool_unlock(together);
    return ok;
}

static bool score_share(void *context, int32_t rank, err *e)
{
    tune_ranks *all = context;
    tune_job *j = &all->job[rank];
    const schedule *s = &j->plan->texts->schedule;
    memset(j->scorer.logprob, 0, (size_t)tree_count(s->tree) * sizeof *j->scorer.logprob);
    int32_t b = take_batch(j);
    bool ok = b == s->n_batch || scorer_run_heads(&j->scorer, e);
    for (; ok && b < s->n_batch; b = take_batch(j)) {
        ok = scorer_run_batch(&j->scorer, b, e) && tell_scored(j, schedule_batch_rows(s, b), e);
    }
    if (ok) return true;
    pool_lock(j->plan->texts->crew->together);
    all->failed = true;
    pool_unlock(j->plan->texts->crew->together);
    return false;
}

/* Log-probabilities of the tune rows' answers under the adapter as it is, on the first rank: a
 * segment that another one has scored is 0 there. */
static bool score_rows(tune_job *j, err *e)
{
    tune_ranks *all = j->all;
    const schedule *s = &j->plan->texts->schedule;
    all->next = 0;
    all->failed = false;
    j->tune->state.tokens_now += s->rows_head;
    if (!crew_run(j->plan->texts->crew, score_share, all, e)) return false;
    for (int32_t k = 1; k < all->n; k++) {
        for (int32_t i = 0; i < tree_count(s->tree); i++)
            j->scorer.logprob[i] += all->job[k].scorer.logprob[i];
    }
    return true;
}

static bool evaluate(tune_job *j, err *e)
{
    tune_evaluation now = {.update = j->trainer.updates};
    const double start = tune_clock();
    if (!score_rows(j, e)) {
        if (e->code != ERR_MODEL) return false;
        *e = (err){0}; /* of the numbers that the training made */
        return err_set(e, ERR_USAGE,
                       "after update %lld a tune row's score is not a number; lower the learning "
                       "rate (%g)",
                       (long long)now.update, j->plan->optim.rate);
    }
    if (!judge_rows(j, &now, e)) return false;
    const bool better = is_better(j, &now);
    j->at.n_worse = better ? 0 : j->at.n_worse + 1;
    if (better) j->at.best = j->at.n_evaluation;
    j->at.evaluation[j->at.n_evaluation++] = now;
    j->tune->state.auroc = j->at.evaluation[j->at.best].auroc;
    if (better && !tune_write_adapter(j, e)) return false;
    return log_evaluation(j, &now, tune_clock() - start, e);
}

/* ---- an update ---- */

typedef struct update { /* what it did */
    int64_t tokens;
    int32_t rows;
    double loss, norm, rate, seconds;
} update;

static double weight_of(const tune_job *j, int32_t target)
{
    const tune_texts *x = j->plan->texts;
    return j->plan->weight[x->label[tree_at(&x->learn, target)->owner]];
}

static bool add_micro(void *context, int32_t rank, err *e)
{
    tune_ranks *all = context;
    tune_job *j = &all->job[rank];
    if (rank >= all->used) return true;
    train_batch b = batcher_view(&j->batcher);
    return trainer_add(&j->trainer, &b, &all->loss[rank], e);
}

/* The micro-batches of the first `used` ranks, whose gradients are added in that order. */
static bool add_round(tune_job *j, int32_t used, update *u, err *e)
{
    tune_ranks *all = j->all;
    all->used = used;
    if (!crew_run(j->plan->texts->crew, add_micro, all, e) || !comm_add(&all->comm, used, e))
        return false;
    for (int32_t i = 0; i < used; i++) {
        const int32_t rows = all->job[i].batcher.n_row;
        u->loss += all->loss[i];
        u->tokens += rows;
        j->tune->state.tokens_now += 3 * rows;
        batcher_reset(&all->job[i].batcher);
    }
    return true;
}

static bool add_rows(tune_job *j, const int32_t *target, int32_t n, update *u, err *e)
{
    const tree *tree = &j->plan->texts->learn;
    tune_ranks *all = j->all;
    double sum = 0;
    int32_t k = 0; /* the rank whose micro-batch is filled */
    for (int32_t i = 0; i < n; i++)
        sum += weight_of(j, target[i]) * tree_at(tree, target[i])->count;
    for (int32_t i = 0; i < all->n; i++) batcher_reset(&all->job[i].batcher);
    for (int32_t i = 0; i < n; i++) {
        const float weight = (float)(weight_of(j, target[i]) / sum);
        if (batcher_take(&all->job[k].batcher, target[i], weight)) continue;
        if (++k == all->n) {
            if (!add_round(j, k, u, e)) return false;
            k = 0;
        }
        bool fits = batcher_take(&all->job[k].batcher, target[i], weight);
        assert(fits);
        (void)fits;
    }
    return add_round(j, k + 1, u, e);
}

/* The same numbers on every rank. */
static bool update_rank(void *context, int32_t rank, err *e)
{
    tune_ranks *all = context;
    tune_job *j = &all->job[rank];
    return trainer_update(&j->trainer, &j->plan->optim, &all->norm[rank], e);
}

static bool update_all(tune_job *j, double *norm, err *e)
{
    tune_ranks *all = j->all;
    if (!comm_share(&all->comm, e) || !crew_run(j->plan->texts->crew, update_rank, all, e))
        return false;
    *norm = all->norm[0];
    return true;
}

static bool log_update(tune_job *j, const update *u, err *e)
{
    buf line = buf_up_to(1000), events = buf_up_to(4000);
    const double per_second = u->seconds > 0 ? (double)u->tokens / u->seconds : 0;
    const int64_t done = j->trainer.updates;
    buf_printf(&line, "{\"update\": %lld, \"epoch\": %.6g, \"loss\": %.9g, \"rate\": %.9g, ",
               (long long)done,
               (double)done * j->plan->training->lora->batch / (double)j->plan->n_row, u->loss,
               u->rate);
    buf_printf(&line,
               "\"grad_norm\": %.9g, \"rows\": %d, \"tokens\": %lld, \"seconds\": %.4f, "
               "\"tokens_per_s\": %.1f, \"bytes_peak\": %lld",
               u->norm, u->rows, (long long)u->tokens, u->seconds, per_second,
               (long long)room_bytes_peak());
    if (tune_bytes_device(j->plan) > 0)
        buf_printf(&line, ", \"bytes_device\": %lld", (long long)tune_bytes_device(j->plan));
    buf_add_text(&line, "}\n");
    const event_value value[] = {{"loss/train", u->loss},
                                 {"rate", u->rate},
                                 {"gradient norm", u->norm},
                                 {"speed/tokens per second", per_second},
                                 {"memory/peak MB", (double)room_bytes_peak() / 1e6}};
    events_add_scalars(&events, tune_time(), done, value, (int)countof(value));
    bool ok = buf_check(&line, "the log", e) && tune_log(j, buf_view(&line), buf_view(&events), e);
    buf_close(&line);
    buf_close(&events);
    return ok;
}

static bool one_update(tune_job *j, err *e)
{
    const tune_plan *p = j->plan;
    const int64_t first = j->trainer.updates * p->training->lora->batch;
    int64_t n = p->n_draw - first;
    if (n > p->training->lora->batch) n = p->training->lora->batch;
    update u = {.rows = (int32_t)n, .rate = optim_rate(&p->optim, j->trainer.updates + 1)};
    const double start = tune_clock();
    if (!add_rows(j, p->draw + first, u.rows, &u, e) || !update_all(j, &u.norm, e)) return false;
    u.seconds = tune_clock() - start;
    j->at.seconds += u.seconds;
    j->at.updates = j->trainer.updates;
    j->at.loss[j->at.updates - 1] = u.loss;
    tune_state *s = &j->tune->state;
    s->loss = u.loss;
    s->updates_done = j->at.updates;
    s->rows_done = first + n;
    return log_update(j, &u, e);
}

/* ---- all of them ---- */

/* What goes wrong names the adapter, and says what is left of it. */
static bool fail_kept(const tune_job *j, err *e)
{
    char kept[400] = "";
    if (e->code == ERR_STOPPED) return false;
    const tune_evaluation *best = j->at.best >= 0 ? &j->at.evaluation[j->at.best] : NULL;
    if (best)
        snprintf(kept, sizeof kept,
                 "; the best adapter so far (update %lld, tune AUROC %.4f) is in %.200s",
                 (long long)best->update, best->auroc, j->plan->folder);
    size_t n = strlen(e->text);
    snprintf(e->text + n, sizeof e->text - n, "%s", kept);
    return err_in(e, "adapter %s", j->plan->unit);
}

static bool checkpoint(tune_job *j, bool now, err *e)
{
    const int32_t every = j->tune->options.checkpoint_every;
    const double time = tune_clock();
    bool due =
        every > 0 ? j->at.updates % every == 0 : time - j->time_checkpoint >= seconds_checkpoint;
    if (!now && !due) return true;
    j->time_checkpoint = time;
    return tune_write_checkpoint(j, e);
}

static bool is_over(const tune_job *j)
{
    const int32_t patience = j->plan->training->lora->patience;
    return j->at.updates >= j->plan->optim.updates || (patience > 0 && j->at.n_worse >= patience);
}

/* An evaluation that is due and not done; also after a stop between an update and it. */
static bool is_due(const tune_job *j)
{
    const tune_progress *at = &j->at;
    if (at->updates == 0 || !tune_is_evaluation(j->plan, at->updates)) return false;
    return at->n_evaluation == 0 || at->evaluation[at->n_evaluation - 1].update < at->updates;
}

/* Stopped by the user: what is done is kept. */
static bool keep_stopped(tune_job *j, err *e)
{
    err why = {0};
    if (e->code == ERR_STOPPED && !tune_write_checkpoint(j, &why)) *e = why;
    return false;
}

static bool run_updates(tune_job *j, bool *finished, err *e)
{
    tune *t = j->tune;
    int32_t now = 0;
    for (;;) {
        const bool scored = is_due(j);
        if (scored && !evaluate(j, e)) return keep_stopped(j, e);
        if (is_over(j)) break;
        if (now > 0 && !checkpoint(j, scored, e)) return false;
        if (t->options.stop_after > 0 && now++ >= t->options.stop_after) {
            t->stopped = true;
            return tune_write_checkpoint(j, e);
        }
        if (!one_update(j, e)) return false;
        now += t->options.stop_after == 0 && now == 0;
        if (!tune_tell(t, "training", e)) return keep_stopped(j, e);
    }
    if (j->at.best < 0 && !tune_write_adapter(j, e)) return false;
    *finished = true;
    return tune_write_done(j, e);
}

static void show_place(tune_job *j)
{
    tune_state *s = &j->tune->state;
    s->unit = j->plan->unit;
    s->updates_all = j->plan->optim.updates;
    s->updates_done = j->at.updates;
    s->rows_done = j->at.updates * j->plan->training->lora->batch;
    s->loss = j->at.updates > 0 ? j->at.loss[j->at.updates - 1] : (double)NAN;
    s->auroc = j->at.best >= 0 ? j->at.evaluation[j->at.best].auroc : (double)NAN;
}

static void close_ranks(tune_ranks *all)
{
    comm_close(&all->comm);
    for (int32_t i = 0; i < all->n; i++) {
        tune_job *j = &all->job[i];
        engine *g = j->engine;
        if (device_is_apart(&g->backend)) { /* weights go with the block that they are in */
            device_measure(j->backend);
            device_measure(&g->backend);
            g->model.weights = (model_weights){0};
        }
        arena_close(&j->block);
    }
    device_enter(&all->job[0].engine->backend);
}

/* Memory and weights of a rank. */
static bool open_rank(void *context, int32_t rank, err *e)
{
    tune_ranks *all = context;
    tune_job *j = &all->job[rank];
    const tune_plan *p = j->plan;
    engine *g = j->engine;
    backend *b = j->backend, *scoring = &g->backend;
    if (!g->model.weights.layer && !model_bind(&g->model.weights, &g->header, &g->memory, e))
        return false;
    if (!device_reserve(b, p->there_trainer, e) || !device_reserve(scoring, p->there_scoring, e))
        return false;
    if (!arena_open(&j->block, (size_t)p->bytes, "the training", e) ||
        !tune_lay_out(j, &j->block, e))
        return false;
    assert(j->block.used == (size_t)p->bytes); /* the estimate is the allocation */
    assert(device_used(b) == p->there_trainer && device_used(scoring) == p->there_scoring);
    if (p->n_evaluation > 0) j->session.adapter = &j->adapter;
    return backend_sync(b, e);
}

/* The first rank's adapter and moments on all. */
static bool place_numbers(void *context, int32_t rank, err *e)
{
    tune_ranks *all = context;
    tune_job *j = &all->job[rank], *first = &all->job[0];
    const size_t numbers = (size_t)first->adapter.n_value * sizeof(float);
    if (rank > 0) {
        j->trainer.updates = first->trainer.updates;
        memcpy(j->adapter.value, first->adapter.value, numbers);
        memcpy(j->first, first->first, numbers);
        memcpy(j->second, first->second, numbers);
    }
    device_write(j->backend, j->adapter.placed, j->adapter.value, numbers);
    if (j->trainer.updates > 0) {
        device_write(j->backend, j->trainer.first, j->first, numbers);
        device_write(j->backend, j->trainer.second, j->second, numbers);
    }
    return backend_sync(j->backend, e);
}

static bool open_ranks(tune_ranks *all, err *e)
{
    tune_job *j = &all->job[0];
    const tune_plan *p = j->plan;
    bool there = false;
    char path[4096];
    run_rest_models(j->tune->run);
    room_start_peak();
    all->bytes_before = room_bytes_resident();
    all->bytes_weights = device_is_apart(j->backend) ? 0 : j->engine->header.bytes_weights;
    if (!crew_run(p->texts->crew, open_rank, all, e)) return false;
    all->comm.n = all->n;
    all->comm.n_value = j->adapter.n_value;
    if (!comm_open(&all->comm, e)) return false;
    lora_start(&j->adapter, p->training->seed);
    if (!file_make_folder(p->folder, e) || !tune_path(path, p->folder, "checkpoint.bin", e) ||
        !tune_read_checkpoint(j, path, &there, e))
        return false;
    if (!crew_run(p->texts->crew, place_numbers, all, e)) return false;
    show_place(j);
    return tune_open_logs(j, e);
}

bool tune_train(tune *t, const tune_plan *p, bool *finished, err *e)
{
    crew *c = p->texts->crew;
    tune_ranks *all = arena_take_zero(&t->memory, 1, sizeof *all, e);
    *finished = false;
    if (!all) return false;
    crew_make_whole(c);
    all->n = c->n;
    for (int32_t i = 0; i < c->n; i++) {
        all->job[i] = (tune_job){.tune = t,
                                 .plan = p,
                                 .engine = c->rank[i],
                                 .backend = &p->texts->backend[i],
                                 .all = all,
                                 .at = {.best = -1},
                                 .time_checkpoint = tune_clock()};
    }
    tune_job *j = &all->job[0];
    bool ok = open_ranks(all, e) && tune_tell(t, "training", e) && run_updates(j, finished, e);
    if (!ok) fail_kept(j, e);
    close_ranks(all);
    return ok;
}
