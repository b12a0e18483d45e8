/* Any bytes as a split file: a sentence, or rows each with an id; with its seal mended too, so that
 * what lies behind the seal is read. */
#include "data/partition.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read(str bytes, arena *a)
{
    err e = {0};
    partition p;
    bool good = partition_parse(&p, bytes, "splits.csv", a, &e);
    if (good != (e.code == ERR_NONE)) abort();
    if (!good && encoding_utf8_valid(str_of(e.text)) >= 0) abort();
    for (int32_t i = 0; good && i < p.id.n; i++) {
        if (p.fold[i] < 0 || p.fold[i] > 100) abort();
        if (names_find(&p.id, p.id.name[i]) != i) abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    err e = {0};
    arena a;
    str body = {(const char *)data, size};
    buf sealed = buf_up_to(1 << 24);
    if (!arena_open(&a, (size_t)1 << 32, "fuzz", &e)) abort();
    read(body, &a);
    buf_printf(&sealed, "# caseload split 1, sha256 %s, rule\n",
               partition_seal(STR("rule"), body).hex);
    buf_add_str(&sealed, body);
    read(buf_view(&sealed), &a);
    buf_close(&sealed);
    arena_close(&a);
    return 0;
}
