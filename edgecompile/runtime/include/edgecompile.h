/* edgecompile.h: the C interface of every library that edgecompile emits.
 *
 * A library holds one network. `<name>.h` beside this header declares `const ec_network *<name>_network(void)`.
 *
 *     ec_instance *net;
 *     ec_options options = EC_OPTIONS_DEFAULT;
 *     options.weights_path = "weights.bin";                      // not needed when the weights are embedded
 *     if (ec_open(digits_network(), &options, &net) != EC_OK) { puts(ec_last_error()); return 1; }
 *     const void *inputs[] = {image};
 *     void *outputs[] = {scores};
 *     if (ec_run(net, inputs, outputs) != EC_OK) puts(ec_last_error());
 *     ec_close(net);
 *
 * Threads: different instances may run at the same time; calls on one instance are serialised by a lock of its own.
 * Memory: everything is allocated by `ec_open`; `ec_run` allocates nothing.
 */
#ifndef EDGECOMPILE_H
#define EDGECOMPILE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EC_ABI_VERSION 1
#define EC_MAX_RANK 16

#if defined(_WIN32)
#define EC_API __declspec(dllexport)
#else
#define EC_API __attribute__((visibility("default")))
#endif

typedef enum ec_status {
  EC_OK = 0,
  EC_INVALID_ARGUMENT = 1,
  EC_OUT_OF_MEMORY = 2,
  EC_WEIGHTS_MISSING = 3,  /* no file at weights_path, or none was given and none is embedded */
  EC_WEIGHTS_CORRUPT = 4,  /* size or SHA-256 differ from what the library was built with */
  EC_WRONG_CPU = 5,        /* this CPU lacks an instruction set that the library uses */
  EC_THREADS_FAILED = 6,   /* the operating system refused a thread */
  EC_WRONG_VERSION = 7,    /* header and library are of different EC_ABI_VERSION */
  EC_INTERNAL = 8
} ec_status;

typedef enum ec_dtype {
  EC_BOOL = 0,
  EC_INT8 = 1,
  EC_UINT8 = 2,
  EC_INT16 = 3,
  EC_UINT16 = 4,
  EC_INT32 = 5,
  EC_UINT32 = 6,
  EC_INT64 = 7,
  EC_UINT64 = 8,
  EC_FLOAT16 = 9,
  EC_BFLOAT16 = 10,
  EC_FLOAT32 = 11,
  EC_FLOAT64 = 12
} ec_dtype;

typedef struct ec_tensor_info {
  const char *name;
  ec_dtype dtype;
  int32_t rank;
  const int64_t *shape; /* `rank` numbers */
  size_t bytes;         /* dense, row-major, no padding */
  float scale;          /* of quantized tensors; 0 where the tensor is not quantized */
  int32_t zero_point;
} ec_tensor_info;

typedef struct ec_network ec_network;   /* constant, part of the library */
typedef struct ec_instance ec_instance; /* one arena, one set of threads */

typedef struct ec_options {
  uint32_t abi_version;     /* EC_ABI_VERSION */
  int32_t threads;          /* threads that work on one ec_run, the caller's among them; at least 1 */
  const char *weights_path; /* file to map, or NULL */
  const void *weights;      /* weights already in memory, 64-byte aligned, outliving the instance, or NULL */
  size_t weights_bytes;
  void *arena;              /* working memory of the caller's, 64-byte aligned, or NULL: ec_open allocates */
  size_t arena_bytes;
  int32_t profile;          /* 1: ec_step_nanoseconds answers after each run */
} ec_options;

#define EC_OPTIONS_DEFAULT {EC_ABI_VERSION, 1, NULL, NULL, 0, NULL, 0, 0}

EC_API uint32_t ec_abi_version(void);

/* The last failure on this thread, in one line; "" when there was none. */
EC_API const char *ec_last_error(void);

EC_API const char *ec_network_name(const ec_network *network);
EC_API const char *ec_network_target(const ec_network *network);
EC_API size_t ec_input_count(const ec_network *network);
EC_API size_t ec_output_count(const ec_network *network);
EC_API const ec_tensor_info *ec_input(const ec_network *network, size_t index);  /* NULL beyond the end */
EC_API const ec_tensor_info *ec_output(const ec_network *network, size_t index); /* NULL beyond the end */
EC_API size_t ec_arena_bytes(const ec_network *network);
EC_API size_t ec_weights_bytes(const ec_network *network);

/* Checks the CPU and the weights, allocates, starts threads. `options` may be NULL for the defaults. */
EC_API ec_status ec_open(const ec_network *network, const ec_options *options, ec_instance **instance);

/* One inference. `inputs[i]` and `outputs[i]` hold ec_input(network, i)->bytes and ec_output(network, i)->bytes, at any
 * alignment; an output may overlap neither an input nor another output. */
EC_API ec_status ec_run(ec_instance *instance, const void *const *inputs, void *const *outputs);

/* Joins the threads and frees everything; NULL is allowed. */
EC_API void ec_close(ec_instance *instance);

/* The kernel calls of one inference, for profilers. */
EC_API size_t ec_step_count(const ec_network *network);
EC_API const char *ec_step_name(const ec_network *network, size_t step); /* NULL beyond the end */
/* Duration of each step of the last ec_run; NULL unless options.profile was 1. */
EC_API const uint64_t *ec_step_nanoseconds(const ec_instance *instance);

#ifdef __cplusplus
}
#endif
#endif
