/* take: the numbers that a session or a trainer lives in, where its device keeps its numbers. */
#ifndef CASELOAD_MODEL_TAKE_H
#define CASELOAD_MODEL_TAKE_H

#include "base/arena.h"
#include "compute/backend.h"
#include "model/rope.h"

/* [count, each] numbers; NULL with ERR_RESOURCE where so many cannot be. */
float *take_floats(backend *b, arena *a, int64_t count, int64_t each, err *e);
void *take_rows(backend *b, arena *a, int64_t count, int64_t each, err *e); /* of type b->rows */

typedef struct take_turn { /* a table of angles: positions from 0, width of what turns */
    const rope_config *how;
    int32_t width, positions;
} take_turn;

/* [positions, width], filled by the host, read by the device. */
float *take_angles(backend *b, take_turn turn, arena *a, err *e);

#endif
