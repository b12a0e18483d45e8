/* Fuzzes what `fit` is asked in words: sizes of memory, names of cards and of shapes. A size is in
 * range or refused; a name finds a row or is refused; never both. */
#include "model/cards.h"
#include "model/shapes.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char name[256];
    err e = {0}, f = {0}, g = {0};
    int64_t bytes = -1;
    bool ok = card_parse_memory((str){(const char *)data, size}, &bytes, &e);
    assert(ok == (e.code == ERR_NONE));
    assert(!ok || (bytes >= 1000000 && bytes <= 1000000000000000));
    if (size >= sizeof name) return 0;
    memcpy(name, data, size);
    name[size] = 0;
    const card *c = card_find(name, &f);
    const shape *s = shape_find(name, &g);
    assert((c != NULL) == (f.code == ERR_NONE) && (s != NULL) == (g.code == ERR_NONE));
    return 0;
}
