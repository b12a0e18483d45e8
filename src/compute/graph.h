/* graph: ops that are started as one.
 *
 * A step of few rows is hundreds of short kernels, and a GPU would wait for each to be started. A
 * run of ops with no answer for the host between them goes through graph_run instead: what it
 * starts is recorded once and started again as a whole whenever the same is asked.
 *
 * The same: every op with the same shapes and the same places of its numbers. What the host hands
 * over (token ids, positions, slots, spans, ranges, rows, draws) may differ each time: it lies in
 * the device's memory, at the same places. The device finds that out by itself, by walking through
 * `body` with ops that only write down what they are asked; so a changed shape, adapter or place is
 * another graph, never a wrong one. The first time the ops run one by one, the second time they are
 * recorded. Bits are those of the ops alone. What graphs take is planned with the device's memory
 * (backend_shape.graphs) and bounded: the one not asked for the longest makes room.
 *
 * Devices without graphs run the body. Sessions and trainers that want none (no_graphs in their
 * shapes) do not come here.
 */
#ifndef CASELOAD_COMPUTE_GRAPH_H
#define CASELOAD_COMPUTE_GRAPH_H

#include "compute/backend.h"

typedef struct graph_counts { /* since the device was opened */
    int64_t one_by_one;       /* bodies that ran op by op: met for the first time */
    int64_t recorded;         /* graphs made, */
    int64_t launched;         /* and bodies started as one */
} graph_counts;

/* Runs `body`, which calls ops on `b` alone, reads nothing back, and may be called up to twice. A
 * failure to record sticks to the backend. */
void graph_run(backend *b, void (*body)(void *context), void *context);

/* How many rows a step of n is best filled up to (with its last row again), at most `most`: so that
 * fewer sizes are met, and met again. n where nothing would be recorded. */
int32_t graph_rows(const backend *b, int32_t n, int32_t most);

graph_counts graph_counted(const backend *b);

#endif
