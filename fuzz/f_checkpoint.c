/* Fuzzes the reader of a training's checkpoints: any bytes are a place to go on from that the
 * training can have been at, another training's, or refused. Input: a first byte; then, where it is
 * odd, what stands between key and seal (both are put around it, so that the hash stops nothing),
 * else the whole file. */
#include "checkpoint_job.h"

#include <math.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const checkpoint_job *c)
{
    const tune_progress *at = &c->job.at;
    if (at->updates < 0 || at->updates > CHECKPOINT_UPDATES || at->n_evaluation < 0 ||
        at->n_evaluation > CHECKPOINT_EVALUATIONS || at->best >= at->n_evaluation)
        abort();
    int32_t left = 0; /* evaluations still to come must have room */
    for (int64_t i = at->updates + 1; i <= CHECKPOINT_UPDATES; i++)
        left += tune_is_evaluation(&c->plan, i);
    if (at->n_evaluation + left > CHECKPOINT_EVALUATIONS) abort();
    for (int i = 0; i < CHECKPOINT_VALUES; i++) {
        if (!isfinite(c->value[i]) || !isfinite(c->first[i]) || !isfinite(c->second[i])) abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    checkpoint_job c;
    bool there = false;
    if (size < 1 || size > 1 << 16) return 0;
    checkpoint_job_make(&c);
    buf file = buf_up_to(1 << 17);
    if (data[0] & 1) {
        buf_add_text(&file, "caseload-tune 1\n");
        buf_add_text(&file, c.plan.key.hex);
    }
    buf_add(&file, data + 1, size - 1);
    if (data[0] & 1) buf_add_text(&file, hash_of(file.data, file.size).hex);
    if (tune_parse_checkpoint(&c.job, buf_view(&file), &there) && there) check(&c);
    buf_close(&file);
    return 0;
}
