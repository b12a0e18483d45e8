/* pool: see pool.h. Workers spin briefly for the next list (a step is a few hundred short lists),
 * then sleep on a condition. A list is published by its generation number; indices are claimed from
 * one atomic counter. */
#include "base/pool.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { SPINS_BEFORE_SLEEP = 2000 };

struct pool {
    int n_thread;
    pthread_t thread[POOL_THREADS_MAX];
    pthread_mutex_t lock, shared; /* of the list; of what tasks share */
    pthread_cond_t wake;
    atomic_uint generation; /* odd or even alike: a change means a new list */
    atomic_int busy;        /* workers that have not finished the list */
    atomic_int_fast64_t next;
    atomic_bool closing;
    int64_t n;
    pool_task *task;
    void *context;
    atomic_int born; /* hands out thread numbers */
};

#if defined(__x86_64__)
static void relax(void) { __builtin_ia32_pause(); }
#else
static void relax(void) {}
#endif

static void work(pool *p, int thread)
{
    for (;;) {
        int64_t i = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed);
        if (i >= p->n) return;
        p->task(p->context, i, thread);
    }
}

static unsigned wait_for_list(pool *p, unsigned seen)
{
    for (int spin = 0; spin < SPINS_BEFORE_SLEEP; spin++) {
        unsigned now = atomic_load_explicit(&p->generation, memory_order_acquire);
        if (now != seen) return now;
        relax();
    }
    pthread_mutex_lock(&p->lock);
    unsigned now = atomic_load_explicit(&p->generation, memory_order_acquire);
    while (now == seen) {
        pthread_cond_wait(&p->wake, &p->lock);
        now = atomic_load_explicit(&p->generation, memory_order_acquire);
    }
    pthread_mutex_unlock(&p->lock);
    return now;
}

static void *worker(void *argument)
{
    pool *p = argument;
    int thread = atomic_fetch_add(&p->born, 1) + 1;
    unsigned seen = 0;
    for (;;) {
        seen = wait_for_list(p, seen);
        if (atomic_load(&p->closing)) return NULL;
        work(p, thread);
        atomic_fetch_sub_explicit(&p->busy, 1, memory_order_release);
    }
}

static void publish(pool *p)
{
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add_explicit(&p->generation, 1, memory_order_release);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

/* OMP_NUM_THREADS, the number of its first level ("4,2"); 0: not set; -1: no number of threads. */
static int threads_asked(void)
{
    const char *asked = getenv("OMP_NUM_THREADS"); /* one of the three variables we honour */
    if (!asked || !*asked) return 0;
    char *end;
    long n = strtol(asked, &end, 10);
    while (*end == ' ' || *end == '\t') end++;
    return end == asked || (*end && *end != ',') || n < 1 || n > POOL_THREADS_MAX ? -1 : (int)n;
}

int pool_default(err *e)
{
    const int asked = threads_asked();
    cpu_set_t set;
    if (asked > 0) return asked;
    if (asked < 0)
        err_set(e, ERR_USAGE,
                "OMP_NUM_THREADS in the environment is no number from 1 to %d: unset or change it",
                POOL_THREADS_MAX);
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    int cores = CPU_COUNT(&set);
    return cores > POOL_THREADS_MAX ? POOL_THREADS_MAX : cores;
}

pool *pool_open(int n_thread, err *e)
{
    assert(n_thread >= 0);
    if (n_thread == 0) n_thread = pool_default(e);
    if (e->code != ERR_NONE) return NULL;
    if (n_thread > POOL_THREADS_MAX) {
        err_set(e, ERR_USAGE, "%d threads are asked for; at most %d can be used: try --threads %d",
                n_thread, POOL_THREADS_MAX, POOL_THREADS_MAX);
        return NULL;
    }
    pool *p = calloc(1, sizeof *p);
    if (!p) return err_set(e, ERR_RESOURCE, "out of memory for the threads"), NULL;
    pthread_mutex_init(&p->lock, NULL);
    pthread_mutex_init(&p->shared, NULL);
    pthread_cond_init(&p->wake, NULL);
    p->n_thread = 1;
    for (int i = 1; i < n_thread; i++) {
        if (pthread_create(&p->thread[i], NULL, worker, p) != 0) {
            err_set(e, ERR_RESOURCE, "cannot start thread %d of %d; try --threads %d", i + 1,
                    n_thread, i);
            pool_close(p);
            return NULL;
        }
        p->n_thread = i + 1;
    }
    return p;
}

void pool_close(pool *p)
{
    if (!p) return;
    atomic_store(&p->closing, true);
    publish(p);
    for (int i = 1; i < p->n_thread; i++) pthread_join(p->thread[i], NULL);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    pthread_mutex_destroy(&p->shared);
    free(p);
}

int pool_size(const pool *p) { return p->n_thread; }

void pool_lock(pool *p) { pthread_mutex_lock(&p->shared); }

void pool_unlock(pool *p) { pthread_mutex_unlock(&p->shared); }

void pool_run(pool *p, int64_t n, pool_task *task, void *context)
{
    assert(p && n >= 0 && task);
    if (n == 0) return;
    p->n = n;
    p->task = task;
    p->context = context;
    atomic_store_explicit(&p->next, 0, memory_order_relaxed);
    atomic_store_explicit(&p->busy, p->n_thread - 1, memory_order_relaxed);
    if (p->n_thread > 1) publish(p);
    work(p, 0);
    int spin = 0;
    while (atomic_load_explicit(&p->busy, memory_order_acquire) > 0) {
        if (++spin < SPINS_BEFORE_SLEEP) relax();
        else sched_yield();
    }
}
