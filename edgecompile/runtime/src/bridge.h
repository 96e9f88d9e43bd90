/* bridge.h: the two functions that generated code calls, compiled into each network's own object.
 *
 * `network.c` defines EC_PARALLEL_LAUNCH and EC_STEP_DONE as names that carry the network's own, and the link step
 * renames the calls in the generated object to match: nothing here can collide with another network or with TVM's own
 * runtime.
 */
#ifndef EC_BRIDGE_H
#define EC_BRIDGE_H

#include <time.h>

#include "network.h"

/* The launcher of the instance that runs on this thread; NULL on pool threads, where a nested loop runs in place. */
static _Thread_local ec_internal_launcher *ec_internal_current;

/* The code generator calls these with default visibility in mind; hidden keeps them out of the library's interface. */
__attribute__((visibility("hidden"))) int EC_PARALLEL_LAUNCH(ec_internal_lambda lambda, void *closure, int num_task);
__attribute__((visibility("hidden"))) int32_t EC_STEP_DONE(void *profile, int32_t step);

int EC_PARALLEL_LAUNCH(ec_internal_lambda lambda, void *closure, int num_task) {
  ec_internal_launcher *launcher = ec_internal_current;
  if (launcher != NULL) {
    ec_internal_current = NULL; /* a loop inside the caller's own share runs in place */
    int status = launcher->launch(launcher, lambda, closure, num_task);
    ec_internal_current = launcher;
    return status;
  }
  TVMParallelGroupEnv env = {NULL, num_task > 0 ? num_task : 1};
  for (int32_t task = 0; task < env.num_task; task++) {
    int status = lambda(task, &env, closure);
    if (status != 0) return status;
  }
  return 0;
}

int32_t EC_STEP_DONE(void *profile, int32_t step) {
  if (profile == NULL) return 0;
  ec_internal_profile *record = profile;
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  uint64_t now = (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
  record->nanoseconds[step] = now - record->mark;
  record->mark = now;
  return 0;
}

#endif
