/* A network written by hand, in the form that the compiler emits: y = x * W + b and z = shift + 1, in two steps. */
#include <stdint.h>

typedef struct TVMParallelGroupEnv {
  void *sync_handle;
  int32_t num_task;
} TVMParallelGroupEnv;

int TVMBackendParallelLaunch(int (*lambda)(int, TVMParallelGroupEnv *, void *), void *closure, int num_task);
int32_t ec_internal_step_done(void *profile, int32_t step);
int32_t tiny_run(void *x, void *shift, void *y, void *z, void *weights, void *arena, void *profile);

typedef struct dense {
  const float *x, *weights;
  float *y;
} dense;

static int dense_rows(int task, TVMParallelGroupEnv *env, void *closure) {
  const dense *self = closure;
  for (int row = task; row < 2; row += env->num_task) {
    for (int column = 0; column < 4; column++) {
      float sum = self->weights[12 + column];
      for (int k = 0; k < 3; k++) sum += self->x[row * 3 + k] * self->weights[k * 4 + column];
      self->y[row * 4 + column] = sum;
    }
  }
  return 0;
}

int32_t tiny_run(void *x, void *shift, void *y, void *z, void *weights, void *arena, void *profile) {
  (void)arena;
  dense closure = {x, weights, y};
  int32_t status = TVMBackendParallelLaunch(dense_rows, &closure, 0);
  ec_internal_step_done(profile, 0);
  for (int i = 0; i < 8; i++) ((int32_t *)z)[i] = ((const int32_t *)shift)[i] + 1;
  ec_internal_step_done(profile, 1);
  return ((const int32_t *)shift)[0] == INT32_MAX ? 7 : status; /* a kernel that fails, for the tests of failures */
}
