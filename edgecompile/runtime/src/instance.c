/* instance.c: open, run, close. */
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cpu_features.h"
#include "fail.h"
#include "network.h"
#include "thread_pool.h"
#include "weights.h"

#define MAX_THREADS 1024 /* far above any device; a larger number is a mistake in the caller's options */

struct ec_instance {
  const ec_network *network;
  pthread_mutex_t mutex;
  pid_t process;
  ec_internal_weights weights;
  void *decoded; /* weights as the kernels read them, where they are stored otherwise; NULL: none are */
  void *arena;
  void *own_arena; /* NULL when the caller gave one */
  ec_internal_pool *pool; /* NULL with one thread */
  ec_internal_profile profile;
  char *staging;           /* aligned copies for callers whose buffers are not; NULL when the kernels need none */
  const void **run_inputs; /* what the kernels are given: the caller's pointers or aligned copies */
  void **run_outputs;
};

static size_t round_up(size_t bytes) { return (bytes + EC_ALIGNMENT - 1) / EC_ALIGNMENT * EC_ALIGNMENT; }

static ec_status check_network(const ec_network *network, const ec_options *options) {
  if (network->layout != EC_NETWORK_LAYOUT) {
    return ec_internal_fail(EC_WRONG_VERSION,
                            "this runtime reads networks of layout %u, found %u: rebuild the libraries of this program "
                            "with one version of edgecompile",
                            EC_NETWORK_LAYOUT, network->layout);
  }
  if (options->abi_version != EC_ABI_VERSION) {
    return ec_internal_fail(EC_WRONG_VERSION,
                            "network '%s' has interface version %d, but options.abi_version is %u: compile the app "
                            "with the header beside the library",
                            network->name, EC_ABI_VERSION, options->abi_version);
  }
  if (options->threads < 1 || options->threads > MAX_THREADS) {
    return ec_internal_fail(EC_INVALID_ARGUMENT, "network '%s' needs options.threads from 1 to %d, found %d",
                            network->name, MAX_THREADS, options->threads);
  }
  for (size_t i = 0; i < network->cpu_feature_count; i++) {
    if (ec_internal_cpu_has(network->cpu_features[i]) != 1) {
      return ec_internal_fail(EC_WRONG_CPU, "network '%s' was built for '%s' and needs the CPU feature %s, which this "
                              "machine lacks: compile it for this machine",
                              network->name, network->target, network->cpu_features[i]);
    }
  }
  return EC_OK;
}

static ec_status decode_weights(const ec_network *network, ec_instance *self) {
  if (network->decoded_bytes == 0) return EC_OK;
  void *scratch = NULL;
  if (posix_memalign(&self->decoded, EC_ALIGNMENT, network->decoded_bytes) != 0) self->decoded = NULL;
  if (network->load_scratch_bytes > 0 && posix_memalign(&scratch, EC_ALIGNMENT, network->load_scratch_bytes) != 0) {
    scratch = NULL;
  }
  if (self->decoded == NULL || (scratch == NULL && network->load_scratch_bytes > 0)) {
    free(scratch);
    return ec_internal_fail(EC_OUT_OF_MEMORY,
                            "network '%s': no memory for %zu bytes of decoded weights, and %zu to decode them",
                            network->name, network->decoded_bytes, network->load_scratch_bytes);
  }
  const int32_t answer = network->load(self->weights.data, self->decoded, scratch);
  free(scratch);
  if (answer == 0) return EC_OK;
  return ec_internal_fail(EC_INTERNAL, "network '%s': decoding the weights failed with %d", network->name, answer);
}

static ec_status find_arena(const ec_network *network, const ec_options *options, ec_instance *self) {
  if (options->arena == NULL) {
    if (network->arena_bytes == 0) return EC_OK;
    if (posix_memalign(&self->own_arena, EC_ALIGNMENT, network->arena_bytes) != 0) {
      self->own_arena = NULL;
      return ec_internal_fail(EC_OUT_OF_MEMORY, "network '%s': no memory for an arena of %zu bytes", network->name,
                              network->arena_bytes);
    }
    self->arena = self->own_arena;
    return EC_OK;
  }
  if (options->arena_bytes < network->arena_bytes || (uintptr_t)options->arena % EC_ALIGNMENT != 0) {
    return ec_internal_fail(EC_INVALID_ARGUMENT,
                            "network '%s' needs an arena of %zu bytes aligned to %u, found %zu bytes at %p",
                            network->name, network->arena_bytes, EC_ALIGNMENT, options->arena_bytes, options->arena);
  }
  self->arena = options->arena;
  return EC_OK;
}

/* Pages of a large allocation cost nothing until they are written, so aligned callers do not pay for this. */
static ec_status reserve_buffers(const ec_network *network, const ec_options *options, ec_instance *self) {
  const ec_status no_memory = EC_OUT_OF_MEMORY;
  self->run_inputs = calloc(network->input_count + 1, sizeof *self->run_inputs);
  self->run_outputs = calloc(network->output_count + 1, sizeof *self->run_outputs);
  if (options->profile) self->profile.nanoseconds = calloc(network->step_count + 1, sizeof(uint64_t));
  if (self->run_inputs == NULL || self->run_outputs == NULL || (options->profile && self->profile.nanoseconds == NULL)) {
    return ec_internal_fail(no_memory, "network '%s': no memory for an instance", network->name);
  }
  if (network->io_alignment <= 1) return EC_OK;
  size_t bytes = 0;
  for (size_t i = 0; i < network->input_count; i++) bytes += round_up(network->inputs[i].bytes);
  for (size_t i = 0; i < network->output_count; i++) bytes += round_up(network->outputs[i].bytes);
  void *memory = NULL;
  if (bytes > 0 && posix_memalign(&memory, EC_ALIGNMENT, bytes) != 0) {
    return ec_internal_fail(no_memory, "network '%s': no memory for %zu bytes of inputs and outputs", network->name,
                            bytes);
  }
  self->staging = memory;
  return EC_OK;
}

ec_status ec_open(const ec_network *network, const ec_options *options, ec_instance **instance) {
  static const ec_options defaults = EC_OPTIONS_DEFAULT;
  if (network == NULL || instance == NULL) {
    return ec_internal_fail(EC_INVALID_ARGUMENT, "ec_open needs a network and a place for the instance, found NULL");
  }
  *instance = NULL;
  if (options == NULL) options = &defaults;
  ec_status status = check_network(network, options);
  if (status != EC_OK) return status;

  ec_instance *self = calloc(1, sizeof *self);
  if (self == NULL) return ec_internal_fail(EC_OUT_OF_MEMORY, "network '%s': no memory for an instance", network->name);
  self->network = network;
  self->process = getpid();
  pthread_mutex_init(&self->mutex, NULL);
  status = ec_internal_weights_open(network, options, &self->weights);
  if (status == EC_OK) status = decode_weights(network, self);
  if (status == EC_OK) status = find_arena(network, options, self);
  if (status == EC_OK) status = reserve_buffers(network, options, self);
  if (status == EC_OK && options->threads > 1) {
    status = ec_internal_pool_open(network->name, options->threads, &self->pool);
  }
  if (status != EC_OK) {
    ec_close(self);
    return status;
  }
  *instance = self;
  return EC_OK;
}

static ec_status check_pointers(const char *kind, const ec_tensor_info *tensors, size_t count,
                                const void *const *pointers) {
  if (pointers == NULL && count > 0) {
    return ec_internal_fail(EC_INVALID_ARGUMENT, "ec_run needs %zu %ss, found NULL", count, kind);
  }
  for (size_t i = 0; i < count; i++) {
    if (pointers[i] == NULL && tensors[i].bytes > 0) {
      return ec_internal_fail(EC_INVALID_ARGUMENT, "ec_run needs %zu bytes for %s %zu ('%s'), found NULL",
                              tensors[i].bytes, kind, i, tensors[i].name);
    }
  }
  return EC_OK;
}

static bool overlap(const void *a, size_t a_bytes, const void *b, size_t b_bytes) {
  const uintptr_t a_start = (uintptr_t)a, b_start = (uintptr_t)b;
  return a_bytes > 0 && b_bytes > 0 && a_start < b_start + b_bytes && b_start < a_start + a_bytes;
}

static ec_status check_overlap(const ec_network *network, const void *const *inputs, void *const *outputs) {
  for (size_t i = 0; i < network->output_count; i++) {
    const ec_tensor_info *output = &network->outputs[i];
    for (size_t j = 0; j < network->input_count; j++) {
      if (overlap(outputs[i], output->bytes, inputs[j], network->inputs[j].bytes)) {
        return ec_internal_fail(EC_INVALID_ARGUMENT, "ec_run needs separate buffers, but output '%s' overlaps input '%s'",
                                output->name, network->inputs[j].name);
      }
    }
    for (size_t j = 0; j < i; j++) {
      if (overlap(outputs[i], output->bytes, outputs[j], network->outputs[j].bytes)) {
        return ec_internal_fail(EC_INVALID_ARGUMENT,
                                "ec_run needs separate buffers, but output '%s' overlaps output '%s'", output->name,
                                network->outputs[j].name);
      }
    }
  }
  return EC_OK;
}

static ec_status run_locked(ec_instance *self, const void *const *inputs, void *const *outputs) {
  const ec_network *network = self->network;
  const uintptr_t alignment = network->io_alignment;
  char *copy = self->staging;
  for (size_t i = 0; i < network->input_count; i++) {
    self->run_inputs[i] = inputs[i];
    if ((uintptr_t)inputs[i] % alignment != 0) {
      memcpy(copy, inputs[i], network->inputs[i].bytes);
      self->run_inputs[i] = copy;
    }
    if (copy != NULL) copy += round_up(network->inputs[i].bytes);
  }
  for (size_t i = 0; i < network->output_count; i++) {
    self->run_outputs[i] = (uintptr_t)outputs[i] % alignment != 0 ? copy : outputs[i];
    if (copy != NULL) copy += round_up(network->outputs[i].bytes);
  }

  ec_internal_profile *profile = self->profile.nanoseconds != NULL ? &self->profile : NULL;
  if (profile != NULL) {
    memset(profile->nanoseconds, 0, network->step_count * sizeof *profile->nanoseconds);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    profile->mark = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
  }
  ec_internal_launcher *launcher = self->pool != NULL ? ec_internal_pool_launcher(self->pool) : NULL;
  const int32_t answer =
      network->run(self->run_inputs, self->run_outputs, self->weights.data, self->decoded, self->arena, profile,
                   launcher);
  if (answer != 0) {
    return ec_internal_fail(EC_INTERNAL, "network '%s': a kernel reported failure %d", network->name, answer);
  }
  for (size_t i = 0; i < network->output_count; i++) {
    if (self->run_outputs[i] != outputs[i]) memcpy(outputs[i], self->run_outputs[i], network->outputs[i].bytes);
  }
  return EC_OK;
}

ec_status ec_run(ec_instance *instance, const void *const *inputs, void *const *outputs) {
  if (instance == NULL) return ec_internal_fail(EC_INVALID_ARGUMENT, "ec_run needs an instance, found NULL");
  const ec_network *network = instance->network;
  ec_status status = check_pointers("input", network->inputs, network->input_count, inputs);
  if (status != EC_OK) return status;
  status = check_pointers("output", network->outputs, network->output_count, (const void *const *)outputs);
  if (status != EC_OK) return status;
  status = check_overlap(network, inputs, outputs);
  if (status != EC_OK) return status;
  if (instance->pool != NULL && instance->process != getpid()) {
    return ec_internal_fail(EC_INVALID_ARGUMENT,
                            "network '%s' was opened before fork, and its threads stayed with the parent: call ec_open "
                            "in this process",
                            network->name);
  }
  pthread_mutex_lock(&instance->mutex);
  status = run_locked(instance, inputs, outputs);
  pthread_mutex_unlock(&instance->mutex);
  return status;
}

void ec_close(ec_instance *instance) {
  if (instance == NULL) return;
  if (instance->pool != NULL) {
    if (instance->process == getpid()) {
      ec_internal_pool_close(instance->pool);
    } else {
      ec_internal_pool_abandon(instance->pool);
    }
  }
  ec_internal_weights_close(&instance->weights);
  free(instance->decoded);
  free(instance->own_arena);
  free(instance->staging);
  free(instance->profile.nanoseconds);
  free((void *)instance->run_inputs);
  free((void *)instance->run_outputs);
  pthread_mutex_destroy(&instance->mutex);
  free(instance);
}

const uint64_t *ec_step_nanoseconds(const ec_instance *instance) {
  return instance != NULL ? instance->profile.nanoseconds : NULL;
}
