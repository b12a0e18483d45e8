/* The first byte chooses an encoding, the rest is the text: valid UTF-8 or the place where it ends;
 * and what is in NFC stays as it is. */
#include "data/encoding.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    err e = {0};
    encoding_result r;
    encoding asked = (encoding)(data[0] % ENCODING_COUNT);
    if (!encoding_decode(&r, (str){(const char *)data + 1, size - 1}, asked, &e)) abort();
    if (encoding_utf8_valid(r.text) >= 0 || r.used == ENCODING_AUTO) abort();
    if (r.failed_at >= (int64_t)size - 1) abort();
    encoding_count count = {0}, again = {0};
    buf once = buf_up_to((size_t)1 << 30), twice = buf_up_to((size_t)1 << 30);
    encoding_add_nfc(&once, r.text, &count);
    encoding_add_nfc(&twice, buf_view(&once), &again);
    if (once.failed || twice.failed || again.n_changed != 0) abort();
    if (!str_equal(buf_view(&once), buf_view(&twice))) abort();
    buf_close(&once);
    buf_close(&twice);
    buf_close(&r.store);
    return 0;
}
