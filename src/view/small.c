/* small: see small.h. */
#include "view/small.h"

static bool is_small(int64_t count) { return count > 0 && count < SMALL_BELOW; }

bool small_complete(const int64_t *count, int32_t n, bool *hidden)
{
    int32_t n_hidden = 0, least = -1;
    for (int32_t i = 0; i < n; i++) n_hidden += hidden[i];
    if (n_hidden != 1) return false;
    for (int32_t i = 0; i < n; i++) { /* the smallest other one that is not zero */
        if (hidden[i] || count[i] == 0) continue;
        if (least < 0 || count[i] < count[least]) least = i;
    }
    if (least >= 0) hidden[least] = true;
    return least >= 0;
}

void small_mark(const int64_t *count, int32_t n, bool *hidden)
{
    for (int32_t i = 0; i < n; i++) hidden[i] = is_small(count[i]);
    small_complete(count, n, hidden);
}

void small_add(buf *b, int64_t count, bool hidden)
{
    if (is_small(count)) buf_printf(b, "<%d", SMALL_BELOW);
    else if (hidden) buf_add_text(b, "withheld");
    else buf_printf(b, "%lld", (long long)count);
}
