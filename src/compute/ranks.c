/* ranks: see ranks.h. */
#include "compute/ranks.h"

#include "compute/cuda/cuda.h"

#include <stdio.h>
#include <string.h>

static bool add(rank_list *l, const char *name, size_t size, err *e)
{
    const bool number = size > 0 && name[0] >= '0' && name[0] <= '9';
    if (l->n == RANKS_MAX)
        return err_set(e, ERR_USAGE, "a list of devices may have at most %d", RANKS_MAX);
    if (size == 0 || size + sizeof "cuda:" > RANK_NAME_MAX)
        return err_set(e, ERR_USAGE,
                       "unknown device \"%.*s\" in the list; give names like cuda:0,1 or cuda:all",
                       (int)size, name);
    snprintf(l->name[l->n++], RANK_NAME_MAX, "%s%.*s", number ? "cuda:" : "", (int)size, name);
    return true;
}

/* Every card; where there is none, the first, whose opening says why. */
static bool add_cards(rank_list *l, const char *ending, err *e)
{
    const int32_t n = cuda_count() > 0 ? cuda_count() : 1;
    for (int32_t i = 0; i < n; i++) {
        char name[RANK_NAME_MAX];
        int size = snprintf(name, sizeof name, "%d%s", i, ending);
        if (!add(l, name, (size_t)size, e)) return false;
    }
    return true;
}

bool ranks_read(rank_list *l, const char *device, int32_t n_rank, err *e)
{
    *l = (rank_list){0};
    for (const char *at = device;;) {
        const size_t size = strcspn(at, ",");
        char ending[16]; /* ":fp32" */
        bool ok = true;
        if (size < sizeof ending + 8 && size >= 8 && !strncmp(at, "cuda:all", 8) &&
            (size == 8 || at[8] == ':')) {
            snprintf(ending, sizeof ending, "%.*s", (int)(size - 8), at + 8);
            ok = add_cards(l, ending, e);
        } else {
            ok = add(l, at, size, e);
        }
        if (!ok) return false;
        if (!at[size]) break;
        at += size + 1;
    }
    const int32_t n = l->n;
    if (n_rank == 0 || n_rank == n) return true;
    if (n_rank < n || n_rank > RANKS_MAX)
        return err_set(e, ERR_USAGE,
                       "%d ranks for %d devices; ranks are at least as many as devices, and at "
                       "most %d",
                       n_rank, n, RANKS_MAX);
    for (; l->n < n_rank; l->n++) memcpy(l->name[l->n], l->name[l->n % n], RANK_NAME_MAX);
    return true;
}
