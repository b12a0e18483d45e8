/* Fuzzes the reader of tokenizer.model (SentencePiece's protobuf), then encodes a fixed text. */
#include "text/token_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[] =
        " The  patient's BP: 120/80.\n\n  <s>x<t> 환자는 폐렴 e\xCC\x81 ▁word ";
    arena a;
    err e = {0};
    if (!arena_open(&a, (size_t)64 << 20, "fuzz", &e)) return 0;
    tokenizer *t = token_read_proto((str){(const char *)data, size}, NULL, "fuzz.model", &a, &e);
    if (t) {
        token_list ids = {0};
        token_options o = {.parse_special = true, .add_bos = true};
        if (token_encode(t, (str){text, sizeof text - 1}, o, &ids, &e)) {
            buf out = buf_up_to(1 << 24);
            token_decode(t, ids.id, ids.n, true, &out);
            buf_close(&out);
        }
        token_list_close(&ids);
    }
    token_close(t);
    arena_close(&a);
    return 0;
}
