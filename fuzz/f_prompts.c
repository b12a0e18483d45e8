/* Any bytes as a version of a question: complete and the same when written again, or a sentence. */
#include "data/encoding.h"
#include "data/prompts.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    err e = {0};
    arena a;
    prompt_version v;
    str text = {(const char *)data, size};
    if (!arena_open(&a, (size_t)1 << 28, "fuzz", &e)) abort();
    bool good = prompts_parse(&v, text, "prompts/q1.txt", &a, &e);
    if (good != (e.code == ERR_NONE)) abort();
    if (!good && (e.code != ERR_USAGE || encoding_utf8_valid(str_of(e.text)) >= 0)) abort();
    if (good) {
        buf out = buf_up_to(1 << 24);
        if (!v.author.size || !v.question.size || !str_is(v.name, "q1")) abort();
        if (encoding_utf8_valid(v.question) >= 0) abort();
        if (!prompts_diff(&v, &v, false, &a, &out, &e)) abort();
        buf_close(&out);
    }
    arena_close(&a);
    return 0;
}
