/* device: memory of a device that has its own.
 *
 * ref and cpu compute in the caller's arena: device_take is arena_take, a mirror is the thing
 * itself, writing and reading move nothing. A device with memory of its own (cuda) has one block,
 * reserved once; nothing is taken from it while a step runs.
 *
 * The planner's order, on every device:
 *
 *     device_measure(b)           x_lay_out(.., measuring arena)      bytes = device_planned(b)
 *     device_reserve(b, bytes)    x_lay_out(.., real arena)           device_used(b) == bytes
 *
 * What its driver takes for us besides the block (graphs: graph.h) is planned and counted as used
 * with it, and left free when the block is reserved.
 *
 * What stays the host's on every device: token ids, positions, spans, ranges, row lists, targets,
 * what op_head and op_sum_squares give back. The ops carry those over.
 */
#ifndef CASELOAD_COMPUTE_DEVICE_H
#define CASELOAD_COMPUTE_DEVICE_H

#include "compute/backend.h"

typedef struct device_table { /* NULL in a backend: it computes in the caller's memory */
    bool (*reserve)(backend *b, size_t bytes, err *e); /* into b->memory */
    void (*release)(backend *b);
    void (*write)(backend *b, void *to, const void *from, size_t bytes);
    void (*read)(backend *b, void *to, const void *from, size_t bytes);
    void (*pass)(backend *from, const void *source, backend *to, void *place, size_t bytes);
    void (*sync)(backend *b); /* waits; failures stick to the backend */
    bool (*beside)(backend *b, const backend *other, err *e);
    int64_t (*room)(const backend *b);
    void (*enter)(const backend *b); /* the calling thread works there from now on; NULL: nothing */
    void (*close)(backend *b);
    /* graph.h; both NULL: it has none. */
    void (*graph)(backend *b, void (*body)(void *context), void *context);
    const struct graph_counts *(*graphs)(const backend *b);
} device_table;

/* Before the first op of a thread that has worked on another device, or on none. */
void device_enter(const backend *b);

/* Another backend of the same device, threads and arithmetic, with work and memory of its own. */
bool device_open_beside(backend *b, const backend *other, err *e);

/* Has the device memory of its own? */
bool device_is_apart(const backend *b);

/* Takes only count, from zero, until device_reserve; a block that was reserved is given back. */
void device_measure(backend *b);
size_t device_planned(const backend *b); /* most bytes taken since; 0 where nothing is apart */
size_t device_used(const backend *b);
int64_t device_room(const backend *b); /* bytes free there now; -1: nothing is apart, or unknown */

/* Bytes taken so far where the device keeps its numbers: of its block, or of `a`. The difference of
 * two marks is what stood between them. */
size_t device_mark(const backend *b, const arena *a);

/* One block of the device's memory for all takes; the one before is given back.
 * ERR_RESOURCE names the device and what is free there. */
bool device_reserve(backend *b, size_t bytes, err *e);

/* Numbers that ops read and write, from `a` or from the device's block. */
void *device_take(backend *b, arena *a, size_t count, size_t each, err *e);
/* The device's memory beside `host` (NULL while measuring); where nothing is apart, `host`. */
void *device_mirror(backend *b, void *host, size_t count, size_t each, err *e);

/* Copies between host and device; nothing when both are the same place. `write` is done when it
 * returns as far as `from` goes; `read` waits for all ops before it. */
void device_write(backend *b, void *to, const void *from, size_t bytes);
void device_read(backend *b, void *to, const void *from, size_t bytes);

/* From where one backend computes to where another does, of the same kind. Waits for all ops of
 * both before it, and for the copy: whatever fails on `from` until then, both have failed. */
void device_pass(backend *from, const void *source, backend *to, void *place, size_t bytes);

#endif
