/* Fuzzes texts: the first byte picks a tokenizer of tests/golden/token (opened once), the second
 * the options, the rest is the text. Byte-level BPE without a normalizer must give the text
 * back. */
#include "text/token.h"

#include <assert.h>
#include <sanitizer/lsan_interface.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = {"llama3",          "falcon",           "digits",
                                    "qwen2",           "behaviours",       "characters",
                                    "metaspace-first", "metaspace-always", "unigram-bytes",
                                    "unigram",         "sp-bpe",           "sp-bpe-squeeze",
                                    "sp-unigram"};

static void open_all(tokenizer *t[countof(names)])
{
    arena a;
    err e = {0};
    if (!arena_open(&a, (size_t)1 << 30, "fuzz", &e)) abort();
    for (size_t i = 0; i < countof(names); i++) {
        buf path = buf_up_to(200);
        buf_printf(&path, "tests/golden/token/%s", names[i]);
        t[i] = token_open_folder(path.data, &a, &e);
        if (!t[i]) abort();
        buf_close(&path);
    }
    __lsan_register_root_region(a.block,
                                a.used); /* the arena holds the expressions' only pointers */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static tokenizer *t[countof(names)]; /* read-only once open */
    if (!t[0]) open_all(t);
    if (size < 2) return 0;
    size_t which = data[0] % countof(names);
    str text = {(const char *)data + 2, size - 2};
    token_range plain = {(int64_t)(text.size / 3), (int64_t)(text.size / 2)};
    token_options o = {.parse_special = data[1] & 1,
                       .add_bos = data[1] & 2,
                       .add_eos = data[1] & 4};
    if (data[1] & 8) o.plain = &plain, o.n_plain = 1;
    token_list ids = {0};
    err e = {0};
    if (token_encode(t[which], text, o, &ids, &e)) {
        buf out = buf_up_to(1 << 24);
        token_decode(t[which], ids.id, ids.n, true, &out);
        if (which < 3 && !(data[1] & 7)) assert(str_equal(buf_view(&out), text));
        buf_close(&out);
    } else {
        assert(e.code != ERR_NONE);
    }
    token_list_close(&ids);
    return 0;
}
