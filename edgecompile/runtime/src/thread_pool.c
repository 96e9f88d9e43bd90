/* thread_pool.c: fork-join with work stealing and a short spin.
 *
 * A launch cuts the loop into a few tasks per thread and deals them out in runs of neighbours: a core meets the same
 * slice of the tensors in every layer. Who is done with its own run takes tasks from the others', so that neither a
 * slower core nor one that the system took away holds up the rest for long. Launcher and workers spin for some tens of
 * microseconds before they sleep: the gap between two layers is shorter than a futex round trip, the gap between two
 * inferences is not.
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
#define TASKS_PER_THREAD 4        /* enough that the last ones come out even, few enough that a task is worth its start */
#define STACK_BYTES (1024 * 1024) /* musl would give 128 KiB, and kernels keep small tiles on the stack */

typedef struct worker {
  /* A cache line of its own: the launcher writes it while the neighbours spin on theirs. */
  _Alignas(EC_ALIGNMENT) atomic_uint ticket; /* raised when there is something to do */
  atomic_bool asleep;
  pthread_mutex_t mutex;
  pthread_cond_t wake;
  pthread_t thread;
  int32_t index; /* in the pool; 0 is the launching thread, which has no worker */
  ec_internal_pool *pool;
} worker;

/* A run of tasks: the first one that nobody took, below, and the end of the run, above. Taking one is one addition, and
 * a run that is used up stays used up, however late somebody asks. */
typedef struct run {
  _Alignas(EC_ALIGNMENT) atomic_uint_least64_t tasks;
} run;

struct ec_internal_pool {
  ec_internal_launcher launcher; /* first: the launcher's address is the pool's */
  int32_t threads;
  int32_t started;
  int32_t spin_rounds;
  atomic_bool quit;
  /* The job: written before the runs are, read after a task was taken from one, and kept until all tasks are done. */
  ec_internal_lambda lambda;
  void *closure;
  int32_t num_task;
  atomic_int status;    /* the first non-zero answer of a task */
  atomic_int remaining; /* tasks that are not done */
  atomic_bool launcher_asleep;
  pthread_mutex_t mutex;
  pthread_cond_t done;
  worker *workers; /* threads - 1 */
  run runs[];      /* threads */
};

static void spin_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
  __asm__ volatile("yield");
#endif
}

static void deal(ec_internal_pool *pool) {
  int64_t first = 0;
  for (int32_t thread = 0; thread < pool->threads; thread++) {
    const int64_t end = (int64_t)pool->num_task * (thread + 1) / pool->threads;
    atomic_store(&pool->runs[thread].tasks, (uint_least64_t)end << 32 | (uint_least64_t)first);
    first = end;
  }
}

/* The number of a task that is the caller's now, or -1. */
static int64_t take(run *from) {
  if ((uint32_t)atomic_load(&from->tasks) >= atomic_load(&from->tasks) >> 32) return -1;
  const uint_least64_t tasks = atomic_fetch_add(&from->tasks, 1);
  return (uint32_t)tasks < tasks >> 32 ? (int64_t)(uint32_t)tasks : -1;
}

static void do_task(ec_internal_pool *pool, int32_t task) {
  if (atomic_load_explicit(&pool->status, memory_order_relaxed) != 0) return;
  TVMParallelGroupEnv env = {NULL, pool->num_task};
  const int answer = pool->lambda(task, &env, pool->closure);
  int none = 0;
  if (answer != 0) atomic_compare_exchange_strong(&pool->status, &none, answer);
}

/* First the thread's own run, then what is left of the others'. */
static void do_tasks(ec_internal_pool *pool, int32_t thread) {
  int32_t done = 0;
  for (int32_t i = 0; i < pool->threads; i++) {
    run *from = &pool->runs[(thread + i) % pool->threads];
    for (int64_t task; (task = take(from)) >= 0; done++) do_task(pool, (int32_t)task);
  }
  if (done > 0 && atomic_fetch_sub(&pool->remaining, done) == done && atomic_load(&pool->launcher_asleep)) {
    pthread_mutex_lock(&pool->mutex);
    pthread_cond_signal(&pool->done);
    pthread_mutex_unlock(&pool->mutex);
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

/* The ticket, once it is another one than `seen`. */
static unsigned await_ticket(worker *self, unsigned seen) {
  for (int32_t round = 0; round < self->pool->spin_rounds; round++) {
    const unsigned ticket = atomic_load_explicit(&self->ticket, memory_order_acquire);
    if (ticket != seen) return ticket;
    spin_pause();
  }
  pthread_mutex_lock(&self->mutex);
  atomic_store(&self->asleep, true);
  while (atomic_load(&self->ticket) == seen) pthread_cond_wait(&self->wake, &self->mutex);
  atomic_store(&self->asleep, false);
  pthread_mutex_unlock(&self->mutex);
  return atomic_load(&self->ticket);
}

static void await_tasks(ec_internal_pool *pool) {
  for (int32_t round = 0; round < pool->spin_rounds; round++) {
    if (atomic_load_explicit(&pool->remaining, memory_order_acquire) == 0) return;
    spin_pause();
  }
  pthread_mutex_lock(&pool->mutex);
  atomic_store(&pool->launcher_asleep, true);
  while (atomic_load(&pool->remaining) != 0) pthread_cond_wait(&pool->done, &pool->mutex);
  atomic_store(&pool->launcher_asleep, false);
  pthread_mutex_unlock(&pool->mutex);
}

static void *work(void *argument) {
  worker *self = argument;
  for (unsigned seen = 0;;) {
    seen = await_ticket(self, seen);
    if (atomic_load(&self->pool->quit)) return NULL;
    do_tasks(self->pool, self->index);
  }
}

static int launch(ec_internal_launcher *self, ec_internal_lambda lambda, void *closure, int32_t num_task) {
  ec_internal_pool *pool = (ec_internal_pool *)(void *)self;
  pool->lambda = lambda;
  pool->closure = closure;
  pool->num_task = num_task > 0 ? num_task : pool->threads * TASKS_PER_THREAD;
  atomic_store(&pool->status, 0);
  atomic_store(&pool->remaining, pool->num_task);
  deal(pool);
  const int32_t helpers = (pool->num_task < pool->threads ? pool->num_task : pool->threads) - 1;
  for (int32_t i = 0; i < helpers; i++) raise_ticket(&pool->workers[i]);
  do_tasks(pool, 0);
  await_tasks(pool);
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
  const size_t pool_bytes = sizeof(ec_internal_pool) + (size_t)threads * sizeof(run);
  const size_t bytes = pool_bytes + (size_t)(threads - 1) * sizeof(worker);
  if (posix_memalign(&memory, EC_ALIGNMENT, bytes) != 0) {
    return ec_internal_fail(EC_OUT_OF_MEMORY, "network '%s': no memory for %d threads", network_name, threads);
  }
  memset(memory, 0, bytes);
  ec_internal_pool *pool = memory;
  pool->launcher.launch = launch;
  pool->threads = threads;
  pool->workers = (worker *)(void *)((char *)memory + pool_bytes);
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
  atomic_store(&pool->quit, true);
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
