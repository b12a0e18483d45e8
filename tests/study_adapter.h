/* study_adapter: a LoRA adapter for the tests of whole studies. */
#ifndef CASELOAD_TESTS_STUDY_ADAPTER_H
#define CASELOAD_TESTS_STUDY_ADAPTER_H

#include "model/adapter_files.h"
#include "study/engine.h"

#include "study.h" /* beside this file */

/* The folder `name` beside the study: an adapter of rank 3 for the world's model.gguf, with numbers
 * of its own. */
static inline void write_adapter(const world *w, const char *name, uint64_t seed)
{
    err e = {0};
    engine g;
    lora l;
    char model[100], folder[100];
    snprintf(model, sizeof model, "%s/model.gguf", w->dir);
    snprintf(folder, sizeof folder, "%s/%s", w->dir, name);
    engine_options o = {.model = model, .threads = 1};
    assert_true(engine_peek(&g, &o, &e));
    assert_true(
        lora_lay_out(&l, &g.header.config, (lora_config){.rank = 3, .alpha = 6}, &g.memory, &e));
    lora_start(&l, seed);
    for (int64_t i = 0; i < l.n_value; i++) l.value[i] += 0.05F * (float)(i % 7 - 3);
    assert_true(adapter_write(&l, folder, &(adapter_about){.base = "x"}, &e));
    engine_close(&g);
}

#endif
