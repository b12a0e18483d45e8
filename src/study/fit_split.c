/* fit_split: layers over cards. Each card holds consecutive layers with their weights, their K/V
 * (or what training keeps of them), and the activations of one step; the first the embedding too,
 * the last the output. Its bytes come from the same lay_out functions on a model of so many layers.
 * The fewest cards that hold the model are taken, and the fullest of them is made as empty as it
 * can be. */
#include "study/fit_in.h"

#include <assert.h>

/* Places all layers on cards of `room` bytes, as many on each as it holds; the number of cards, 0
 * when more than `most`. */
static int32_t place(const fit_splitter *s, int64_t room, int32_t most, fit_share *share)
{
    int32_t first = 0, n = 0;
    while (first < s->n_layer) {
        if (n == most) return 0;
        int32_t low = first, high = s->n_layer + 1; /* [first, low) fits, [first, high) does not */
        fit_bytes bytes = {0}, got;
        while (high - low > 1) {
            int32_t middle = low + (high - low) / 2;
            if (!s->measure(s->context, first, middle, &got)) return 0;
            if (got.total <= room) low = middle, bytes = got;
            else high = middle;
        }
        if (low == first) return 0;
        share[n++] = (fit_share){first, low, bytes};
        first = low;
    }
    return n;
}

int32_t fit_split_layers(const fit_splitter *s, const fit_target *where,
                         fit_share share[FIT_CARDS_MAX])
{
    fit_share trial[FIT_CARDS_MAX];
    int32_t most = where->n_card < FIT_CARDS_MAX ? where->n_card : FIT_CARDS_MAX;
    fit_bytes whole;
    int32_t n = place(s, where->bytes_free, most, share);
    int64_t low = 0, high = where->bytes_free, near = 1 << 20;
    if (n > 0 && s->on_all) { /* a room that does not, and one that does, hold it on `most` cards */
        if (!s->measure(s->context, 0, s->n_layer, &whole)) return 0;
        if (whole.total < high) high = whole.total;
        near = high / 1024;
    }
    if (!s->on_all) most = n;
    for (int step = 0; n > 0 && step < 24 && high - low > near; step++) {
        int64_t middle = low + (high - low) / 2;
        int32_t got = place(s, middle, most, trial);
        if (got == 0) {
            low = middle;
            continue;
        }
        high = middle;
        n = got;
        memcpy(share, trial, (size_t)n * sizeof *trial);
    }
    return n;
}

typedef struct job_part { /* a job of the table at one size */
    const fit_job *job;
    fit_size size;
    err *e;
} job_part;

static bool measure_part(void *context, int32_t first, int32_t end, fit_bytes *bytes)
{
    const job_part *p = context;
    model_header part = *p->job->header;
    part.config.n_layer = end - first;
    part.bytes_weights = plan_layer_bytes(p->job->header, first, end);
    fit_job job = *p->job;
    job.header = &part;
    fit_size size = {p->size.n, p->size.rerun > 0 ? end - first : 0};
    return fit_measure(&job, size, bytes, p->e);
}

bool fit_split(fit_line *line, const fit_job *j, const fit_target *where, arena *a, err *e)
{
    assert(!line->fits && where->n_card > 1);
    const fit_ask *ask = &j->ask;
    const bool tunes = j->kind == FIT_TUNE, draws = j->kind == FIT_GENERATE;
    const int32_t n_layer = j->header->config.n_layer, rerun = tunes ? n_layer : 0;
    const int32_t wanted = tunes ? ask->batch : draws ? ask->samples : ask->rows;
    const fit_size tries[] = {{wanted, 0},
                              {wanted, rerun},
                              {tunes || draws ? 1 : line->size, rerun}};
    fit_share share[FIT_CARDS_MAX];
    for (size_t i = 0; i < countof(tries) && e->code == ERR_NONE; i++) {
        job_part part = {j, tries[i], e};
        fit_splitter s = {.measure = measure_part, .context = &part, .n_layer = n_layer};
        line->n_split = fit_split_layers(&s, where, share);
        if (line->n_split == 0) continue;
        line->size = tries[i].n;
        line->rerun = tries[i].rerun;
        line->share = arena_take(a, (size_t)line->n_split, sizeof *share, e);
        if (line->share) memcpy(line->share, share, (size_t)line->n_split * sizeof *share);
        return line->share && fit_measure(j, tries[i], &line->bytes, e);
    }
    return e->code == ERR_NONE;
}
