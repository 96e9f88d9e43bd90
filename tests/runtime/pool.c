/* Many launches on one pool: every task is done once, and what a stalled worker leaves, the launcher does. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "thread_pool.h"

#define NEED(condition)                                                        \
  do {                                                                         \
    if (!(condition)) return fprintf(stderr, "line %d: " #condition "\n", __LINE__), 1; \
  } while (0)

enum { MOST_TASKS = 64 };
static atomic_int done[MOST_TASKS];
static atomic_int by_launcher, stalls;
static pthread_t launcher_thread;

static int count(int task, TVMParallelGroupEnv *env, void *closure) {
  (void)env;
  atomic_fetch_add(&done[task], 1);
  if (pthread_equal(pthread_self(), launcher_thread)) {
    atomic_fetch_add(&by_launcher, 1);
  } else if (closure != NULL) {
    atomic_fetch_add(&stalls, 1);
    const struct timespec stall = {0, 300 * 1000 * 1000};
    nanosleep(&stall, NULL);
  }
  return 0;
}

static int fail(int task, TVMParallelGroupEnv *env, void *closure) {
  (void)env, (void)closure;
  return task == 3 ? 42 : 0;
}

int main(void) {
  launcher_thread = pthread_self();
  for (int threads = 2; threads <= 5; threads++) {
    ec_internal_pool *pool;
    NEED(ec_internal_pool_open("test", threads, &pool) == EC_OK);
    ec_internal_launcher *launcher = ec_internal_pool_launcher(pool);
    for (int round = 0; round < 3000; round++) {
      const int tasks = 1 + round % MOST_TASKS;
      memset(done, 0, sizeof done);
      NEED(launcher->launch(launcher, count, NULL, tasks) == 0);
      for (int task = 0; task < MOST_TASKS; task++) NEED(atomic_load(&done[task]) == (task < tasks));
    }
    NEED(launcher->launch(launcher, fail, NULL, 8) == 42);
    NEED(launcher->launch(launcher, count, NULL, 8) == 0);
    atomic_store(&by_launcher, 0);
    atomic_store(&stalls, 0);
    NEED(launcher->launch(launcher, count, pool, 32) == 0);
    NEED(atomic_load(&stalls) < threads); /* each worker slept in the one task that it took */
    NEED(atomic_load(&by_launcher) == 32 - atomic_load(&stalls));
    ec_internal_pool_close(pool);
  }
  puts("pool: ok");
  return 0;
}
