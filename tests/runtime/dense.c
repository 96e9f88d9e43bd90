/* dense.c: what the code generator would emit for y = relu(2 x W + b), written by hand; NAME is the network's.
 *
 * weights: W [K, N] float32, then b [N] float32; with DECODED the network decodes them from others. arena: 2 x, K float32. Kernels assume 64-byte alignment, and say so by
 * answering 64; a first input of -1 makes a task fail.
 */
#include <stdint.h>
#include <string.h>

#define K 37
#define N 53
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

typedef struct TVMParallelGroupEnv {
  void *sync_handle;
  int32_t num_task;
} TVMParallelGroupEnv;

typedef struct closure {
  const float *x, *w, *b;
  float *doubled, *y;
} closure;

int TVMBackendParallelLaunch(int (*lambda)(int, TVMParallelGroupEnv *, void *), void *data, int num_task);
/* TVM's LLVM back end calls through this pointer, and defines it weak and empty. */
__attribute__((weak)) int (*__TVMBackendParallelLaunch)(int (*)(int, TVMParallelGroupEnv *, void *), void *, int);
int32_t ec_internal_step_done(void *profile, int32_t step);

static int double_input(int task, TVMParallelGroupEnv *env, void *data) {
  const closure *c = data;
  if (c->x[0] == -1.0f) return 9;
  for (int k = task; k < K; k += env->num_task) c->doubled[k] = 2 * c->x[k];
  return 0;
}

static int one_product(int task, TVMParallelGroupEnv *env, void *data) {
  const closure *c = data;
  const int first = N * task / env->num_task, last = N * (task + 1) / env->num_task;
  for (int n = first; n < last; n++) {
    float sum = c->b[n];
    for (int k = 0; k < K; k++) sum += c->doubled[k] * c->w[k * N + n];
    c->y[n] = sum > 0 ? sum : 0;
  }
  return 0;
}

/* A loop inside a loop: every task runs the whole inner loop on its own slice of a copied closure. */
static int nested(int task, TVMParallelGroupEnv *env, void *data) {
  if (task != 0) return 0;
  return env->num_task < 1 ? 1 : TVMBackendParallelLaunch(one_product, data, 0);
}

#ifdef DECODED
/* The stored weights are the weights with each byte turned around; they pass through `scratch` on their way. */
int32_t JOIN(NAME, _load)(void *weights, void *decoded, void *scratch) {
  if (((uintptr_t)weights | (uintptr_t)decoded | (uintptr_t)scratch) % 64 != 0) return 64;
  unsigned char *bytes = scratch;
  memcpy(bytes, weights, (K + 1) * N * sizeof(float));
  for (size_t i = 0; i < (K + 1) * N * sizeof(float); i++) bytes[i] ^= 0xff;
  memcpy(decoded, bytes, (K + 1) * N * sizeof(float));
  return 0;
}

int32_t JOIN(NAME, _run)(void *x, void *y, void *stored, void *weights, void *arena, void *profile) {
  (void)stored;
#else
int32_t JOIN(NAME, _run)(void *x, void *y, void *weights, void *arena, void *profile) {
#endif
  if (((uintptr_t)x | (uintptr_t)y | (uintptr_t)weights | (uintptr_t)arena) % 64 != 0) return 64;
  const float *w = weights;
  closure c = {x, w, w + K * N, arena, y};
  int status = TVMBackendParallelLaunch(double_input, &c, 0);
  if (status != 0) return status;
  ec_internal_step_done(profile, 0);
  status = __TVMBackendParallelLaunch(one_product, &c, 0);
  if (status != 0) return status;
  ec_internal_step_done(profile, 1);
  memset(y, 0, N * sizeof(float));
  status = TVMBackendParallelLaunch(one_product, &c, 7); /* more tasks than threads */
  if (status != 0) return status;
  status = TVMBackendParallelLaunch(nested, &c, 0);
  ec_internal_step_done(profile, 2);
  return status;
}
