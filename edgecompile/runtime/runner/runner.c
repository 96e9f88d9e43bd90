/* runner.c: runs an emitted library on raw tensors; the same program serves an emulator and a board.
 *
 *     runner LIBRARY NAME INPUTS OUTPUTS [--weights FILE] [--threads N] [--repeat N] [--warmup N]
 *
 * INPUTS holds samples one after another, each sample its inputs one after another, dense and without padding; OUTPUTS is
 * written alike. Prints one line of JSON: how many runs were timed, and their median, least and 99th percentile in nanoseconds.
 * Ends with 0, with 1 when the library reports a failure (its message on stderr), with 2 on wrong usage or files.
 */
#include <dlfcn.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "edgecompile.h"

#define MAX_TENSORS 1024

typedef struct library {
  const ec_network *(*network)(void);
  const char *(*last_error)(void);
  size_t (*input_count)(const ec_network *);
  size_t (*output_count)(const ec_network *);
  const ec_tensor_info *(*input)(const ec_network *, size_t);
  const ec_tensor_info *(*output)(const ec_network *, size_t);
  ec_status (*open)(const ec_network *, const ec_options *, ec_instance **);
  ec_status (*run)(ec_instance *, const void *const *, void *const *);
  void (*close)(ec_instance *);
} library;

typedef struct arguments {
  const char *library, *name, *inputs, *outputs, *weights;
  long threads, repeat, warmup;
} arguments;

static void fail(int status, const char *what, const char *detail) {
  fprintf(stderr, "runner: %s: %s\n", what, detail);
  exit(status);
}

static void *allocate(size_t bytes) {
  void *memory = malloc(bytes > 0 ? bytes : 1);
  if (memory == NULL) fail(2, "out of memory", "");
  return memory;
}

static long parse_number(const char *text, long least) {
  char *end = NULL;
  const long value = strtol(text, &end, 10);
  if (*text == '\0' || *end != '\0' || value < least || value > 1000000000) fail(2, "not a valid number", text);
  return value;
}

static arguments parse(int count, char **words) {
  if (count < 5) fail(2, "usage", "runner LIBRARY NAME INPUTS OUTPUTS [--weights F] [--threads N] [--repeat N] [--warmup N]");
  arguments parsed = {words[1], words[2], words[3], words[4], NULL, 1, 1, 0};
  for (int i = 5; i < count; i += 2) {
    if (i + 1 == count) fail(2, "option without a value", words[i]);
    if (strcmp(words[i], "--weights") == 0) {
      parsed.weights = words[i + 1];
    } else if (strcmp(words[i], "--threads") == 0) {
      parsed.threads = parse_number(words[i + 1], 1);
    } else if (strcmp(words[i], "--repeat") == 0) {
      parsed.repeat = parse_number(words[i + 1], 1);
    } else if (strcmp(words[i], "--warmup") == 0) {
      parsed.warmup = parse_number(words[i + 1], 0);
    } else {
      fail(2, "unknown option", words[i]);
    }
  }
  return parsed;
}

/* ISO C has no cast from an object pointer to a function pointer; POSIX promises that the bytes are the same. */
static void find(void *handle, const char *symbol, void *function) {
  void *address = dlsym(handle, symbol);
  if (address == NULL) fail(2, "the library lacks the symbol", symbol);
  memcpy(function, &address, sizeof address);
}

static library load(const char *path, const char *name) {
  void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (handle == NULL) fail(2, "cannot load the library", dlerror());
  char symbol[512];
  snprintf(symbol, sizeof symbol, "%s_network", name);
  library found;
  find(handle, symbol, &found.network);
  find(handle, "ec_last_error", &found.last_error);
  find(handle, "ec_input_count", &found.input_count);
  find(handle, "ec_output_count", &found.output_count);
  find(handle, "ec_input", &found.input);
  find(handle, "ec_output", &found.output);
  find(handle, "ec_open", &found.open);
  find(handle, "ec_run", &found.run);
  find(handle, "ec_close", &found.close);
  return found;
}

static char *read_file(const char *path, size_t *bytes) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) fail(2, "cannot read", path);
  if (fseek(file, 0, SEEK_END) != 0) fail(2, "cannot read", path);
  const long size = ftell(file);
  if (size < 0) fail(2, "cannot read", path);
  rewind(file);
  char *data = allocate((size_t)size);
  if (fread(data, 1, (size_t)size, file) != (size_t)size) fail(2, "cannot read", path);
  fclose(file);
  *bytes = (size_t)size;
  return data;
}

static void write_file(const char *path, const char *data, size_t bytes) {
  FILE *file = fopen(path, "wb");
  if (file == NULL) fail(2, "cannot write", path);
  const int complete = fwrite(data, 1, bytes, file) == bytes;
  if (fclose(file) != 0 || !complete) fail(2, "cannot write", path);
}

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static int compare(const void *a, const void *b) {
  const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

/* One inference on one sample; the tensors of a sample follow each other in memory. */
static void run_sample(const library *lib, const ec_network *network, ec_instance *instance, const char *in, char *out) {
  const void *inputs[MAX_TENSORS];
  void *outputs[MAX_TENSORS];
  for (size_t i = 0; i < lib->input_count(network); in += lib->input(network, i)->bytes, i++) inputs[i] = in;
  for (size_t i = 0; i < lib->output_count(network); out += lib->output(network, i)->bytes, i++) outputs[i] = out;
  if (lib->run(instance, inputs, outputs) != EC_OK) fail(1, "ec_run", lib->last_error());
}

int main(int count, char **words) {
  const arguments given = parse(count, words);
  const library lib = load(given.library, given.name);
  const ec_network *network = lib.network();
  if (lib.input_count(network) > MAX_TENSORS || lib.output_count(network) > MAX_TENSORS) fail(2, "too many tensors", "");
  size_t sample_in = 0, sample_out = 0, file_bytes = 0;
  for (size_t i = 0; i < lib.input_count(network); i++) sample_in += lib.input(network, i)->bytes;
  for (size_t i = 0; i < lib.output_count(network); i++) sample_out += lib.output(network, i)->bytes;

  char *in = read_file(given.inputs, &file_bytes);
  if (sample_in == 0 ? file_bytes != 0 : file_bytes == 0 || file_bytes % sample_in != 0) {
    fail(2, "the file does not hold a whole number of samples", given.inputs);
  }
  const size_t samples = sample_in == 0 ? 1 : file_bytes / sample_in;
  char *out = allocate(samples * sample_out);

  ec_options options = EC_OPTIONS_DEFAULT;
  options.threads = (int32_t)given.threads;
  options.weights_path = given.weights;
  ec_instance *instance = NULL;
  if (lib.open(network, &options, &instance) != EC_OK) fail(1, "ec_open", lib.last_error());
  for (long i = 0; i < given.warmup; i++) run_sample(&lib, network, instance, in, out);

  const size_t runs = samples * (size_t)given.repeat;
  uint64_t *nanoseconds = allocate(runs * sizeof *nanoseconds);
  for (size_t i = 0; i < runs; i++) {
    const size_t sample = i % samples;
    const uint64_t start = now();
    run_sample(&lib, network, instance, in + sample * sample_in, out + sample * sample_out);
    nanoseconds[i] = now() - start;
  }
  lib.close(instance);
  write_file(given.outputs, out, samples * sample_out);

  qsort(nanoseconds, runs, sizeof *nanoseconds, compare);
  printf("{\"runs\": %zu, \"median_ns\": %" PRIu64 ", \"min_ns\": %" PRIu64 ", \"p99_ns\": %" PRIu64 "}\n", runs,
         nanoseconds[runs / 2], nanoseconds[0], nanoseconds[(runs * 99 + 99) / 100 - 1]);
  free(nanoseconds);
  free(out);
  free(in);
  return 0;
}
