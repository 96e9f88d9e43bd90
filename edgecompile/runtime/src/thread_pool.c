/* thread_pool.c: fork-join with a short spin.
 *
 * Each worker has its own ticket. A launch writes the job, raises the ticket of every worker that has a share in it, does
 * its own share, and waits until `pending` is zero. Both sides spin for some tens of microseconds before they sleep:
 * the gap between two layers is shorter than a futex round trip, the gap between two inferences is not.
 */
#include "thread_pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fail.h"

#define SPIN_ROUNDS 4000          /* about 50 microseconds at 3 GHz */
#define STACK_BYTES (1024 * 1024) /* musl would give 128 KiB, and kernels keep small tiles on the stack */

typedef struct worker {
  /* A cache line of its own: the launcher writes it while the neighbours spin on theirs. */
  _Alignas(EC_ALIGNMENT) atomic_uint ticket;
  atomic_bool asleep;
  pthread_mutex_t mutex;
  pthread_cond_t wake;
  pthread_t thread;
  int32_t index; /* in the pool; 0 is the launching thread, which has no worker */
  ec_internal_pool *pool;
} worker;

struct ec_internal_pool {
  ec_internal_launcher launcher; /* first: the launcher's address is the pool's */
  int32_t threads;
  int32_t started;
  int32_t spin_rounds;
  /* The job: written before a ticket is raised, read after it was seen. */
  bool quit;
  ec_internal_lambda lambda;
  void *closure;
  int32_t num_task;
  atomic_int status; /* the first non-zero answer of a task */
  atomic_int pending;
  atomic_bool launcher_asleep;
  pthread_mutex_t mutex;
  pthread_cond_t done;
  worker workers[]; /* threads - 1 */
};

static void spin_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
  __asm__ volatile("yield");
#endif
}

/* Tasks first, first + threads, ...: with as many tasks as threads, a core meets the same slice in every layer. */
static void do_share(ec_internal_pool *pool, int32_t first) {
  TVMParallelGroupEnv env = {NULL, pool->num_task};
  for (int32_t task = first; task < pool->num_task; task += pool->threads) {
    if (atomic_load_explicit(&pool->status, memory_order_relaxed) != 0) return;
    const int answer = pool->lambda(task, &env, pool->closure);
    int none = 0;
    if (answer != 0) atomic_compare_exchange_strong(&pool->status, &none, answer);
  }
}

static void raise_ticket(worker *self) {
  atomic_fetch_add(&self->ticket, 1);
  /* Sequentially consistent on both sides: either this load sees `asleep`, or the sleeper sees the new ticket. */
  if (!atomic_load(&self->asleep)) return;
  pthread_mutex_lock(&self->mutex);
  pthread_cond_signal(&self->wake);
  pthread_mutex_unlock(&self->mutex);
}

static void await_ticket(worker *self, unsigned seen) {
  for (int32_t round = 0; round < self->pool->spin_rounds; round++) {
    if (atomic_load_explicit(&self->ticket, memory_order_acquire) != seen) return;
    spin_pause();
  }
  pthread_mutex_lock(&self->mutex);
  atomic_store(&self->asleep, true);
  while (atomic_load(&self->ticket) == seen) pthread_cond_wait(&self->wake, &self->mutex);
  atomic_store(&self->asleep, false);
  pthread_mutex_unlock(&self->mutex);
}

static void await_workers(ec_internal_pool *pool) {
  for (int32_t round = 0; round < pool->spin_rounds; round++) {
    if (atomic_load_explicit(&pool->pending, memory_order_acquire) == 0) return;
    spin_pause();
  }
  pthread_mutex_lock(&pool->mutex);
  atomic_store(&pool->launcher_asleep, true);
  while (atomic_load(&pool->pending) != 0) pthread_cond_wait(&pool->done, &pool->mutex);
  atomic_store(&pool->launcher_asleep, false);
  pthread_mutex_unlock(&pool->mutex);
}

static void *work(void *argument) {
  worker *self = argument;
  ec_internal_pool *pool = self->pool;
  for (unsigned seen = 0;; seen++) {
    await_ticket(self, seen);
    if (pool->quit) return NULL;
    do_share(pool, self->index);
    if (atomic_fetch_sub(&pool->pending, 1) == 1 && atomic_load(&pool->launcher_asleep)) {
      pthread_mutex_lock(&pool->mutex);
      pthread_cond_signal(&pool->done);
      pthread_mutex_unlock(&pool->mutex);
    }
  }
}

static int launch(ec_internal_launcher *self, ec_internal_lambda lambda, void *closure, int32_t num_task) {
  ec_internal_pool *pool = (ec_internal_pool *)(void *)self;
  pool->lambda = lambda;
  pool->closure = closure;
  pool->num_task = num_task > 0 ? num_task : pool->threads;
  const int32_t helpers = (pool->num_task < pool->threads ? pool->num_task : pool->threads) - 1;
  atomic_store_explicit(&pool->status, 0, memory_order_relaxed);
  atomic_store(&pool->pending, helpers);
  for (int32_t i = 0; i < helpers; i++) raise_ticket(&pool->workers[i]);
  do_share(pool, 0);
  await_workers(pool);
  return atomic_load_explicit(&pool->status, memory_order_relaxed);
}

/* Signals of the app stay with the app's threads: a worker must never run its handlers. */
static int start(worker *self, const pthread_attr_t *attributes) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const int reason = pthread_create(&self->thread, attributes, work, self);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return reason;
}

ec_status ec_internal_pool_open(const char *network_name, int32_t threads, ec_internal_pool **result) {
  void *memory = NULL;
  const size_t bytes = sizeof(ec_internal_pool) + (size_t)(threads - 1) * sizeof(worker);
  if (posix_memalign(&memory, EC_ALIGNMENT, bytes) != 0) {
    return ec_internal_fail(EC_OUT_OF_MEMORY, "network '%s': no memory for %d threads", network_name, threads);
  }
  memset(memory, 0, bytes);
  ec_internal_pool *pool = memory;
  pool->launcher.launch = launch;
  pool->threads = threads;
  /* With fewer cores than threads, spinning takes the core from the thread that is waited for. */
  pool->spin_rounds = sysconf(_SC_NPROCESSORS_ONLN) >= threads ? SPIN_ROUNDS : 0;
  pthread_mutex_init(&pool->mutex, NULL);
  pthread_cond_init(&pool->done, NULL);

  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, STACK_BYTES);
  int reason = 0;
  for (int32_t i = 0; i < threads - 1 && reason == 0; i++) {
    worker *self = &pool->workers[i];
    self->index = i + 1;
    self->pool = pool;
    pthread_mutex_init(&self->mutex, NULL);
    pthread_cond_init(&self->wake, NULL);
    reason = start(self, &attributes);
    if (reason == 0) {
      pool->started++;
    } else {
      pthread_cond_destroy(&self->wake);
      pthread_mutex_destroy(&self->mutex);
    }
  }
  pthread_attr_destroy(&attributes);
  if (reason != 0) {
    const int32_t started = pool->started;
    ec_internal_pool_close(pool);
    return ec_internal_fail(EC_THREADS_FAILED, "network '%s': the system started %d of %d threads: %s", network_name,
                            started + 1, threads, strerror(reason));
  }
  *result = pool;
  return EC_OK;
}

ec_internal_launcher *ec_internal_pool_launcher(ec_internal_pool *pool) { return &pool->launcher; }

void ec_internal_pool_close(ec_internal_pool *pool) {
  pool->quit = true;
  for (int32_t i = 0; i < pool->started; i++) raise_ticket(&pool->workers[i]);
  for (int32_t i = 0; i < pool->started; i++) {
    worker *self = &pool->workers[i];
    pthread_join(self->thread, NULL);
    pthread_cond_destroy(&self->wake);
    pthread_mutex_destroy(&self->mutex);
  }
  pthread_cond_destroy(&pool->done);
  pthread_mutex_destroy(&pool->mutex);
  free(pool);
}

void ec_internal_pool_abandon(ec_internal_pool *pool) { free(pool); }
