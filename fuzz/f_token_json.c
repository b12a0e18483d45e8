/* Fuzzes the reader of tokenizer.json, then encodes a fixed text with what it made. */
#include "text/token_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[] =
        "The patient's BP: 120/80.\n\n  <s> 환자는 폐렴 e\xCC\x81 <|user|> word \xEF\xBF\xBD";
    arena a;
    err e = {0};
    json_t *root =
        json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    if (!root) return 0;
    if (!arena_open(&a, (size_t)64 << 20, "fuzz", &e)) return 0;
    tokenizer *t = json_is_object(root) ? token_read_json(root, NULL, "fuzz.json", &a, &e) : NULL;
    if (t) {
        token_list ids = {0};
        token_range plain[] = {{8, 20}, {30, 40}};
        token_options o = {.parse_special = true, .add_bos = true, .plain = plain, .n_plain = 2};
        if (token_encode(t, (str){text, sizeof text - 1}, o, &ids, &e)) {
            buf out = buf_up_to(1 << 24);
            token_decode(t, ids.id, ids.n, true, &out);
            buf_close(&out);
        }
        token_list_close(&ids);
    }
    token_close(t);
    json_decref(root);
    arena_close(&a);
    return 0;
}
