/* profile: seconds by op of whatever a backend runs: its table is replaced by one whose ops wait
 * for the device before and after. An op inside another counts once, as the outer one. */
#ifndef CASELOAD_BENCH_GPU_PROFILE_H
#define CASELOAD_BENCH_GPU_PROFILE_H

#include "compute/backend.h"
#include "compute/train_table.h"

enum { PROFILE_OPS = 64 };

typedef struct profile_op {
    char name[48];
    double seconds;
    int64_t calls;
} profile_op;

typedef struct profile {
    backend *b;
    const op_table *own; /* the backend's */
    op_table ops;
    train_table train;
    profile_op op[PROFILE_OPS];
    int n;
    bool inside;
} profile;

/* One backend at a time. */
void profile_open(profile *p, backend *b);
void profile_reset(profile *p);
void profile_close(profile *p);

#endif
