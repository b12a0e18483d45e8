/* graphs_in: CUDA graphs of runs of ops, for cuda_state; see graph.h and graph.c beside this. */
#ifndef CASELOAD_COMPUTE_CUDA_GRAPHS_IN_H
#define CASELOAD_COMPUTE_CUDA_GRAPHS_IN_H

#include "compute/graph.h"

#include <cuda_runtime_api.h>

enum {
    GRAPHS_MAX = 64,
    GRAPH_NODE_BYTES = 16384 /* of a kernel in a graph, with room; in a row of them 2.9 to 3.3
                                 thousand on an H200, with branches 12.3 */
};

typedef struct graph_met { /* a run of ops that was asked for */
    uint64_t key;          /* of all that its kernels are given */
    int64_t used;          /* the latest time */
    cudaGraphExec_t exec;  /* NULL: it ran one by one so far, */
    size_t nodes;
    bool too_large; /* and always will */
} graph_met;

typedef struct cuda_graphs {
    const op_table *own; /* behind the one that a body is walked through with */
    bool inside;         /* a body is walked through, run or recorded */
    bool describing;     /* ops only stage and write down what they are asked: into `key` */
    bool recording;      /* all is staged already */
    bool unfit;          /* an op among them cannot be recorded, or too much was staged */
    uint64_t key;
    int64_t time; /* bodies so far */
    int n;
    graph_met met[GRAPHS_MAX];
    size_t bytes; /* of all, as GRAPHS_BYTES counts them */
    graph_counts counts;
} cuda_graphs;

/* Adds to what is written down. */
void cuda_graph_note(cuda_graphs *g, uint64_t what);
/* What was recorded holds places of the workspace: forgotten when that is laid out or given back.
 */
void cuda_graphs_forget(cuda_graphs *g);

/* Of the device's table. */
void cuda_graph_run(backend *b, void (*body)(void *context), void *context);
const graph_counts *cuda_graph_counts(const backend *b);

#endif
