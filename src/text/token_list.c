/* token_list: growth of a list of ids; see token.h. At most 2^31 ids. */
#include "text/token_work.h"

/* A list as the buffer that holds it. */
static buf as_buffer(const token_list *l)
{
    return (buf){.data = (char *)l->id,
                 .size = (size_t)l->n * sizeof *l->id,
                 .room = (size_t)l->room * sizeof *l->id,
                 .max = (size_t)INT32_MAX * sizeof *l->id};
}

static bool grow(token_list *l, const int32_t *id, int64_t n)
{
    buf b = as_buffer(l);
    buf_add(&b, id, (size_t)n * sizeof *id);
    if (b.failed) return false;
    l->id = (int32_t *)(void *)b.data;
    l->room = (int64_t)((b.room - 1) / sizeof *l->id); /* the buffer ends with a 0 byte */
    return true;
}

bool token_list_add(token_list *l, const int32_t *id, int64_t n, err *e)
{
    if (n <= l->room - l->n) {
        if (n) memcpy(l->id + l->n, id, (size_t)n * sizeof *id);
    } else if (!grow(l, id, n)) {
        return err_set(e, ERR_RESOURCE, "out of memory for %lld tokens", (long long)(l->n + n));
    }
    l->n += n;
    return true;
}

bool token_list_put(token_list *l, int32_t id)
{
    if (!grow(l, &id, 1)) return false;
    l->n++;
    return true;
}

void token_list_close(token_list *l)
{
    buf b = as_buffer(l);
    buf_close(&b);
    *l = (token_list){0};
}
