/* fit_split: layers over cards. Each card holds consecutive layers with their weights, their K/V
 * (or what training keeps of them), and the activations of one step; the first the embedding too,
 * the last the output. Its bytes come from the same lay_out functions on a model of so many layers.
 * The fewest cards that hold the model are taken, and the fullest of them is made as empty as it
 * can be. */
#include "study/fit_in.h"

#include <assert.h>

typedef struct splitter {
    const fit_job *job;
    int32_t size, rerun;
    err *e;
} splitter;

static bool measure_share(const splitter *s, int32_t first, int32_t end, fit_bytes *bytes)
{
    model_header part = *s->job->header;
    part.config.n_layer = end - first;
    part.bytes_weights = plan_layer_bytes(s->job->header, first, end);
    fit_job job = *s->job;
    job.header = &part;
    fit_size size = {s->size, s->rerun > 0 ? end - first : 0};
    return fit_measure(&job, size, bytes, s->e);
}

/* Places all layers on cards of `room` bytes, as many on each as it holds; the number of cards, 0
 * when more than `most`. */
static int32_t place(const splitter *s, int64_t room, int32_t most, fit_share *share)
{
    const int32_t n_layer = s->job->header->config.n_layer;
    int32_t first = 0, n = 0;
    while (first < n_layer) {
        if (n == most) return 0;
        int32_t low = first, high = n_layer + 1; /* [first, low) fits, [first, high) does not */
        fit_bytes bytes = {0}, got;
        while (high - low > 1) {
            int32_t middle = low + (high - low) / 2;
            if (!measure_share(s, first, middle, &got)) return 0;
            if (got.total <= room) low = middle, bytes = got;
            else high = middle;
        }
        if (low == first) return 0;
        share[n++] = (fit_share){first, low, bytes};
        first = low;
    }
    return n;
}

static bool search_split(fit_line *line, const splitter *s, const fit_target *where, arena *a)
{
    fit_share trial[FIT_CARDS_MAX];
    int32_t most = where->n_card < FIT_CARDS_MAX ? where->n_card : FIT_CARDS_MAX;
    int32_t n = place(s, where->bytes_free, most, trial);
    if (n == 0) return false;
    line->share = arena_take(a, (size_t)n, sizeof *line->share, s->e);
    if (!line->share) return false;
    memcpy(line->share, trial, (size_t)n * sizeof *trial);
    line->n_split = n;
    int64_t low = 0,
            high = where->bytes_free; /* room that does, and does not, hold it on n cards */
    for (int step = 0; step < 24 && high - low > 1 << 20; step++) {
        int64_t middle = low + (high - low) / 2;
        if (place(s, middle, n, trial) == 0) {
            low = middle;
            continue;
        }
        high = middle;
        memcpy(line->share, trial, (size_t)n * sizeof *trial);
    }
    return true;
}

bool fit_split(fit_line *line, const fit_job *j, const fit_target *where, arena *a, err *e)
{
    assert(!line->fits && where->n_card > 1);
    const fit_ask *ask = &j->ask;
    int32_t wanted = j->kind == FIT_TUNE       ? ask->batch
                     : j->kind == FIT_GENERATE ? ask->samples
                                               : ask->rows;
    int32_t least = j->kind == FIT_TUNE || j->kind == FIT_GENERATE ? 1 : line->size;
    const int32_t n_layer = j->header->config.n_layer;
    const splitter tries[] = {{j, wanted, 0, e},
                              {j, wanted, j->kind == FIT_TUNE ? n_layer : 0, e},
                              {j, least, j->kind == FIT_TUNE ? n_layer : 0, e}};
    for (size_t i = 0; i < countof(tries) && e->code == ERR_NONE; i++) {
        if (!search_split(line, &tries[i], where, a)) continue;
        line->size = tries[i].size;
        line->rerun = tries[i].rerun;
        return true;
    }
    return e->code == ERR_NONE;
}
