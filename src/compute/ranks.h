/* ranks: the devices that work together, by name. Each name of a list is a rank: a device with
 * memory and threads of its own; several ranks may stand on one device.
 *
 *     cuda:0,1        two GPUs          cuda:all     every GPU of this machine (also cuda:all:fp32)
 *     cpu,cpu         two ranks on the processor: for tests, the way that GPUs take
 *
 * A number alone is a GPU. `n_rank` asks for more ranks than names: they are dealt to the devices
 * in turn. Whether a device is there, its opening says. */
#ifndef CASELOAD_COMPUTE_RANKS_H
#define CASELOAD_COMPUTE_RANKS_H

#include "base/err.h"

#include <stdint.h>

enum { RANKS_MAX = 64, RANK_NAME_MAX = 32 };

typedef struct rank_list {
    int32_t n;
    char name[RANKS_MAX][RANK_NAME_MAX]; /* as backend_open takes them */
} rank_list;

/* `n_rank` 0: one a name. ERR_USAGE: no list, more than RANKS_MAX, fewer ranks than names. */
bool ranks_read(rank_list *l, const char *device, int32_t n_rank, err *e);

#endif
