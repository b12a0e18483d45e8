/* pool: a fixed set of threads that run one indexed task list at a time.
 *
 * pool_run(p, n, task, context) calls task(context, i, thread) once for every i in [0, n), on any
 * thread, and returns when all are done. A task writes only what belongs to its index (or to
 * scratch that belongs to `thread`), so results never depend on the number of threads. One caller
 * at a time; tasks do not call the pool. The calling thread works too (thread 0): a pool of 1
 * starts no thread.
 */
#ifndef CASELOAD_BASE_POOL_H
#define CASELOAD_BASE_POOL_H

#include "base/err.h"

#include <stdint.h>

enum { POOL_THREADS_MAX = 256 };

typedef struct pool pool;
typedef void pool_task(void *context, int64_t index, int thread);

/* `n_thread` 0: OMP_NUM_THREADS when set (ERR_USAGE when it is no number of threads), else the
 * cores this process may use. */
pool *pool_open(int n_thread, err *e);
void pool_close(pool *p); /* NULL is fine */
int pool_size(const pool *p);
int pool_default(err *e); /* the size of one that is opened with 0 */
void pool_run(pool *p, int64_t n, pool_task *task, void *context);

/* For tasks that run long and share something: between the two, one task at a time. */
void pool_lock(pool *p);
void pool_unlock(pool *p);

#endif
