/* A network written by hand: y = x * W + b and z = shift + 1, in two steps, so that tests need no compiler of models. */
#include "bridge.h"

static const int64_t x_shape[] = {2, 3}, y_shape[] = {2, 4};
static const ec_tensor_info inputs[] = {{"x", EC_FLOAT32, 2, x_shape, 24, 0, 0}, {"shift", EC_INT32, 2, y_shape, 32, 0, 0}};
static const ec_tensor_info outputs[] = {{"y", EC_FLOAT32, 2, y_shape, 32, 0, 0}, {"z", EC_INT32, 2, y_shape, 32, 0, 0}};
static const char *const steps[] = {"tiny_dense", "tiny_add"};
static const uint8_t sha256[] = {WEIGHTS_SHA256};

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

static int32_t run(const void *const *in, void *const *out, const void *weights, void *arena,
                   ec_internal_profile *profile, ec_internal_launcher *launcher) {
  (void)arena;
  ec_internal_current = launcher;
  dense closure = {in[0], weights, out[0]};
  int32_t status = EC_PARALLEL_LAUNCH(dense_rows, &closure, 0);
  ec_internal_current = NULL;
  EC_STEP_DONE(profile, 0);
  for (int i = 0; i < 8; i++) ((int32_t *)out[1])[i] = ((const int32_t *)in[1])[i] + 1;
  EC_STEP_DONE(profile, 1);
  return ((const int32_t *)in[1])[0] == INT32_MAX ? 7 : status; /* tests need a failing kernel */
}

static const ec_network network = {
    EC_NETWORK_LAYOUT, 4,       "tiny",        "host",         NULL, 0, inputs, 2, outputs, 2, steps, 2, 64, WEIGHTS_BYTES, sha256,
    NULL,              run,
};

EC_API const ec_network *tiny_network(void);
const ec_network *tiny_network(void) { return &network; }
