/* main.c: a C program that runs a network made by edgecompile. Copy it together with the Makefile.
 *
 *     make ARTIFACT=build/digits NETWORK=digits
 *     ./sample WEIGHTS|- [INPUT.raw ...]
 *
 * WEIGHTS is the artifact's weights.bin, or "-" when they are embedded. Each INPUT.raw holds one input tensor, dense and
 * row-major; without them the inputs are zeros. Prints the first values of each output and the time of one inference.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include NETWORK_HEADER /* "<name>.h", from the Makefile; includes edgecompile.h */

static void *allocate(size_t bytes) {
  void *memory = calloc(bytes > 0 ? bytes : 1, 1);
  if (memory == NULL) {
    fprintf(stderr, "out of memory\n");
    exit(1);
  }
  return memory;
}

static void read_raw(const char *path, void *data, size_t bytes) {
  FILE *file = fopen(path, "rb");
  if (file == NULL || fread(data, 1, bytes, file) != bytes || fgetc(file) != EOF) {
    fprintf(stderr, "%s: needed a file of exactly %zu bytes\n", path, bytes);
    exit(1);
  }
  fclose(file);
}

static void print_output(const ec_tensor_info *info, const void *data) {
  printf("%s:", info->name);
  const size_t shown = 8;
  if (info->dtype == EC_FLOAT32) {
    const float *values = data;
    for (size_t i = 0; i < shown && i < info->bytes / sizeof *values; i++) printf(" %.6g", (double)values[i]);
  } else {
    const unsigned char *values = data;
    for (size_t i = 0; i < shown && i < info->bytes; i++) printf(" %02x", values[i]);
  }
  printf("\n");
}

int main(int count, char **words) {
  const ec_network *network = NETWORK();
  const size_t inputs_needed = ec_input_count(network), outputs_made = ec_output_count(network);
  if (count < 2 || (count > 2 && (size_t)count - 2 != inputs_needed)) {
    fprintf(stderr, "usage: %s WEIGHTS|- [INPUT.raw ...]   (%zu inputs)\n", words[0], inputs_needed);
    return 2;
  }

  ec_options options = EC_OPTIONS_DEFAULT;
  options.threads = 2;
  if (strcmp(words[1], "-") != 0) options.weights_path = words[1];
  ec_instance *net = NULL;
  if (ec_open(network, &options, &net) != EC_OK) {
    fprintf(stderr, "%s\n", ec_last_error());
    return 1;
  }

  const void **inputs = allocate((inputs_needed + 1) * sizeof *inputs);
  void **outputs = allocate((outputs_made + 1) * sizeof *outputs);
  for (size_t i = 0; i < inputs_needed; i++) {
    void *data = allocate(ec_input(network, i)->bytes);
    if (count > 2) read_raw(words[2 + i], data, ec_input(network, i)->bytes);
    inputs[i] = data;
  }
  for (size_t i = 0; i < outputs_made; i++) outputs[i] = allocate(ec_output(network, i)->bytes);

  struct timespec start, end;
  timespec_get(&start, TIME_UTC);
  const ec_status status = ec_run(net, inputs, outputs);
  timespec_get(&end, TIME_UTC);
  if (status != EC_OK) fprintf(stderr, "%s\n", ec_last_error());

  for (size_t i = 0; i < outputs_made && status == EC_OK; i++) print_output(ec_output(network, i), outputs[i]);
  printf("%s on %s: %.3f ms\n", ec_network_name(network), ec_network_target(network),
         (double)(end.tv_sec - start.tv_sec) * 1e3 + (double)(end.tv_nsec - start.tv_nsec) / 1e6);

  for (size_t i = 0; i < inputs_needed; i++) free((void *)inputs[i]);
  for (size_t i = 0; i < outputs_made; i++) free(outputs[i]);
  free((void *)inputs);
  free((void *)outputs);
  ec_close(net);
  return status == EC_OK ? 0 : 1;
}
