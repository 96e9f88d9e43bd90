/* network.h: what the compiler tells the runtime about one network. Private: generated `network.c` and the runtime's
 * own sources include it, apps never see it.
 *
 * Two libraries in one process may end up sharing one copy of the runtime: with two archives the linker keeps the first
 * `ec_open` it meets, with two shared objects the dynamic linker does. Everything that belongs to one network is
 * therefore reached through this table, and `layout` refuses a table written for another version of the runtime.
 */
#ifndef EC_NETWORK_H
#define EC_NETWORK_H

#include "edgecompile.h"

#define EC_NETWORK_LAYOUT 2u

/* Alignment of the arena and of the weights: one cache line, and the widest vector register. */
#define EC_ALIGNMENT 64u

/* TVM's view of one parallel launch, as the generated code reads it. */
typedef struct TVMParallelGroupEnv {
  void *sync_handle;
  int32_t num_task;
} TVMParallelGroupEnv;

typedef int (*ec_internal_lambda)(int task_id, TVMParallelGroupEnv *env, void *closure);

/* Runs the tasks of a parallel loop: on a thread pool, or one after another. */
typedef struct ec_internal_launcher ec_internal_launcher;
struct ec_internal_launcher {
  int (*launch)(ec_internal_launcher *self, ec_internal_lambda lambda, void *closure, int32_t num_task);
};

/* Where the generated code leaves the duration of each step. */
typedef struct ec_internal_profile {
  uint64_t mark; /* end of the previous step, nanoseconds of the monotonic clock */
  uint64_t *nanoseconds;
} ec_internal_profile;

struct ec_network {
  uint32_t layout; /* EC_NETWORK_LAYOUT; stays the first member */
  uint32_t io_alignment; /* what the kernels assume of each input and output, in bytes; 1: nothing */
  const char *name;
  const char *target;
  const char *const *cpu_features; /* as /proc/cpuinfo names them */
  size_t cpu_feature_count;
  const ec_tensor_info *inputs;
  size_t input_count;
  const ec_tensor_info *outputs;
  size_t output_count;
  const char *const *steps;
  size_t step_count;
  size_t arena_bytes;
  size_t weights_bytes;
  size_t decoded_bytes; /* 0: no weights are decoded */
  size_t load_scratch_bytes;
  const uint8_t *weights_sha256; /* 32 bytes */
  const void *embedded_weights;  /* NULL: in a file */
  /* Once, before the first run; NULL where no weights are decoded. `scratch` is its own, and no longer than it runs. */
  int32_t (*load)(const void *weights, void *decoded, void *scratch);
  int32_t (*run)(const void *const *inputs, void *const *outputs, const void *weights, const void *decoded, void *arena,
                 ec_internal_profile *profile, ec_internal_launcher *launcher);
};

#endif
