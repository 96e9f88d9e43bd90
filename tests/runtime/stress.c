/* stress.c: the uses of the interface that a sanitizer should watch: many openings, instances side by side, failures. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "dense.h"

#define NEED(condition)                                                          \
  do {                                                                           \
    if (!(condition)) {                                                          \
      fprintf(stderr, "line %d: %s (%s)\n", __LINE__, #condition, ec_last_error()); \
      exit(1);                                                                   \
    }                                                                            \
  } while (0)

static const char *weights_path;
static float reference[dense_OUTPUT_0_BYTES / 4];

static void infer(ec_instance *net, float first) {
  char raw_in[dense_INPUT_0_BYTES + 4], raw_out[dense_OUTPUT_0_BYTES + 4];
  float *in = (float *)(void *)raw_in, *out = (float *)(void *)raw_out; /* on the stack, so hardly ever aligned to 64 */
  for (size_t i = 0; i < dense_INPUT_0_BYTES / 4; i++) in[i] = 0.25f;
  in[0] = first;
  const void *inputs[] = {in};
  void *outputs[] = {out};
  if (first == -1.0f) {
    NEED(ec_run(net, inputs, outputs) == EC_INTERNAL);
    return;
  }
  NEED(ec_run(net, inputs, outputs) == EC_OK);
  for (size_t i = 0; i < dense_OUTPUT_0_BYTES / 4; i++) NEED(out[i] == reference[i]);
}

static ec_instance *open_with(int threads) {
  ec_options options = EC_OPTIONS_DEFAULT;
  options.threads = threads;
  options.weights_path = weights_path;
  options.profile = threads % 2;
  ec_instance *net = NULL;
  NEED(ec_open(dense_network(), &options, &net) == EC_OK);
  return net;
}

static void *own_instance(void *argument) {
  const int threads = *(int *)argument;
  for (int round = 0; round < 20; round++) {
    ec_instance *net = open_with(threads);
    for (int i = 0; i < 10; i++) infer(net, i == 5 ? -1.0f : 0.25f);
    ec_close(net);
  }
  return NULL;
}

static void *shared_instance(void *argument) {
  for (int i = 0; i < 100; i++) infer(argument, 0.25f);
  return NULL;
}

int main(int count, char **words) {
  NEED(count == 2);
  weights_path = words[1];
  ec_instance *net = open_with(1);
  float in[dense_INPUT_0_BYTES / 4];
  for (size_t i = 0; i < dense_INPUT_0_BYTES / 4; i++) in[i] = 0.25f;
  const void *inputs[] = {in};
  void *outputs[] = {reference};
  NEED(ec_run(net, inputs, outputs) == EC_OK);
  ec_close(net);

  ec_options missing = EC_OPTIONS_DEFAULT;
  NEED(ec_open(dense_network(), &missing, &net) == EC_WEIGHTS_MISSING && net == NULL);
  missing.weights_path = words[0]; /* a file of another size */
  NEED(ec_open(dense_network(), &missing, &net) == EC_WEIGHTS_CORRUPT);

  ec_instance *shared = open_with(3);
  int threads[] = {1, 2, 4};
  pthread_t running[5];
  for (int i = 0; i < 3; i++) NEED(pthread_create(&running[i], NULL, own_instance, &threads[i]) == 0);
  for (int i = 3; i < 5; i++) NEED(pthread_create(&running[i], NULL, shared_instance, shared) == 0);
  for (int i = 0; i < 5; i++) pthread_join(running[i], NULL);
  ec_close(shared);
  puts("stress: ok");
  return 0;
}
