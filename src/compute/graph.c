/* graph: see graph.h. */
#include "compute/graph.h"
#include "compute/device.h"

#include <assert.h>

void graph_run(backend *b, void (*body)(void *context), void *context)
{
    assert(b && body);
    if (b->device && b->device->graph) b->device->graph(b, body, context);
    else body(context);
}

/* Up to an eighth more above 64 rows, up to a quarter below. */
int32_t graph_rows(const backend *b, int32_t n, int32_t most)
{
    int32_t step = 1;
    if (!b->device || !b->device->graph) return n;
    while (2 * step * (n > 64 ? 8 : 4) < n) step *= 2;
    const int32_t filled = (n + step - 1) / step * step;
    return filled < most ? filled : most;
}

graph_counts graph_counted(const backend *b)
{
    return b->device && b->device->graphs ? *b->device->graphs(b) : (graph_counts){0};
}
