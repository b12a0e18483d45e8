/* Any bytes as a study file: a complete struct, the same each time, or a sentence. */
#include "data/spec.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_classes(const spec_class *c, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        if (c[i].name.text.size == 0 || c[i].surfaces.n < 1) abort();
        for (int32_t k = 0; k < c[i].surfaces.n; k++) {
            if (c[i].surfaces.item[k].text.size == 0 || c[i].surfaces.item[k].line < 1) abort();
        }
    }
}

static void check(const spec *s)
{
    if (s->n_class < (spec_has_labels(s) ? 2 : 1) || s->n_arm < 1 || s->positive >= s->n_class ||
        !s->study.text.size)
        abort();
    if (!s->data.file.text.size || !s->data.id.text.size || s->data.text.n < 1) abort();
    check_classes(s->classes, s->n_class);
    for (int32_t i = 0; i < s->n_arm; i++) {
        const spec_arm *arm = &s->arms[i];
        if (!arm->question.text.size || !arm->name.text.size) abort();
        if (arm->shots > 0 && !s->data.train.text.size) abort();
        check_classes(arm->classes, s->n_class);
    }
    if (encoding_utf8_valid(s->canonical) >= 0) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    err e = {0};
    arena a;
    spec s, again;
    str text = {(const char *)data, size};
    if (!arena_open(&a, (size_t)1 << 32, "fuzz", &e)) abort();
    bool good = spec_parse(&s, text, "fuzz/study.yaml", &a, &e);
    if (good != (e.code == ERR_NONE)) abort();
    if (!good && (e.code != ERR_USAGE || encoding_utf8_valid(str_of(e.text)) >= 0)) abort();
    if (good) {
        check(&s);
        if (!spec_parse(&again, text, "other/study.yaml", &a, &e)) abort();
        if (!str_equal(s.canonical, again.canonical)) abort();
    }
    arena_close(&a);
    return 0;
}
