/* token_list: growth of a list of ids; see token.h. At most 2^31 ids. */
#include "text/token.h"

#include <stdlib.h>

bool token_list_add(token_list *l, const int32_t *id, int64_t n, err *e)
{
    if (l->n + n > l->room) {
        int64_t room = l->n + n <= INT32_MAX / 2 ? (l->n + n) * 2 : l->n + n;
        int32_t *grown = room <= INT32_MAX ? realloc(l->id, (size_t)room * sizeof *grown) : NULL;
        if (!grown) return err_set(e, ERR_RESOURCE, "out of memory for %lld tokens", (long long)room);
        l->id = grown;
        l->room = room;
    }
    if (n) memcpy(l->id + l->n, id, (size_t)n * sizeof *id);
    l->n += n;
    return true;
}
