/* run_onnx.c: runs an ONNX model of one float32 input and one float32 output with ONNX Runtime's C library.
 *
 *     run_onnx LIBRARY MODEL INPUT OUTPUT RUNS DIMENSION...
 *
 * One thread and all graph optimizations. INPUT and OUTPUT hold raw floats; prints the library's version. Ends with 0, or
 * with 1 and a message on stderr.
 *
 * The wheel has no headers: the part of ONNX Runtime's function table that is used stands here. The table only ever
 * grows at its end; the numbers are places in it.
 */
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOG_ERRORS = 3, OPTIMIZE_ALL = 99, FLOAT32 = 1, DEVICE_ALLOCATOR = 0, DEFAULT_MEMORY = 0, MOST_DIMENSIONS = 8 };

typedef struct status status;
typedef struct environment environment;
typedef struct options options;
typedef struct session session;
typedef struct memory memory;
typedef struct value value;
typedef struct shape shape;
typedef struct allocator allocator;

typedef struct functions {
  void *unused_0[2];
  const char *(*message)(const status *);
  status *(*create_environment)(int level, const char *name, environment **);
  void *unused_4[3];
  status *(*create_session)(const environment *, const char *path, const options *, session **);
  void *unused_8[1];
  status *(*run)(session *, const void *run_options, const char *const *input_names, const value *const *inputs,
                 size_t input_count, const char *const *output_names, size_t output_count, value **outputs);
  status *(*create_options)(options **);
  void *unused_11[12];
  status *(*set_optimization)(options *, int level);
  status *(*set_threads)(options *, int threads);
  void *unused_25[11];
  status *(*input_name)(const session *, size_t, allocator *, char **);
  status *(*output_name)(const session *, size_t, allocator *, char **);
  void *unused_38[11];
  status *(*wrap)(const memory *, void *data, size_t bytes, const int64_t *dimensions, size_t rank, int type, value **);
  void *unused_50[1];
  status *(*data)(value *, void **);
  void *unused_52[12];
  status *(*element_count)(const shape *, size_t *);
  status *(*shape_of)(const value *, shape **);
  void *unused_66[3];
  status *(*cpu_memory)(int allocator_kind, int memory_kind, memory **);
  void *unused_70[8];
  status *(*default_allocator)(allocator **);
  void *unused_79[17];
  void (*release_value)(value *);
} functions;

_Static_assert(offsetof(functions, run) == 9 * sizeof(void *), "OrtApi");
_Static_assert(offsetof(functions, output_name) == 37 * sizeof(void *), "OrtApi");
_Static_assert(offsetof(functions, cpu_memory) == 69 * sizeof(void *), "OrtApi");
_Static_assert(offsetof(functions, release_value) == 96 * sizeof(void *), "OrtApi");

typedef struct base {
  const functions *(*functions_of)(uint32_t version);
  const char *(*version)(void);
} base;

static const functions *ort;

static void fail(const char *what, const char *detail) {
  fprintf(stderr, "run_onnx: %s: %s\n", what, detail);
  exit(1);
}

static void check(const status *result, const char *what) {
  if (result != NULL) fail(what, ort->message(result));
}

static void load(const char *path) {
  void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (handle == NULL) fail("cannot load the library", dlerror());
  void *address = dlsym(handle, "OrtGetApiBase");
  if (address == NULL) fail("not ONNX Runtime", path);
  const base *(*get_base)(void);
  memcpy(&get_base, &address, sizeof address);
  ort = get_base()->functions_of(1);
  if (ort == NULL) fail("the first version of the interface is gone", path);
  puts(get_base()->version());
}

static float *read_floats(const char *path, size_t count) {
  float *data = malloc(count * sizeof *data);
  FILE *file = fopen(path, "rb");
  if (data == NULL || file == NULL || fread(data, sizeof *data, count, file) != count) fail("cannot read", path);
  fclose(file);
  return data;
}

static void write_floats(const char *path, const float *data, size_t count) {
  FILE *file = fopen(path, "wb");
  if (file == NULL || fwrite(data, sizeof *data, count, file) != count || fclose(file) != 0) fail("cannot write", path);
}

static session *open_session(const char *model) {
  environment *shared = NULL;
  options *chosen = NULL;
  session *opened = NULL;
  check(ort->create_environment(LOG_ERRORS, "run_onnx", &shared), "environment");
  check(ort->create_options(&chosen), "options");
  check(ort->set_optimization(chosen, OPTIMIZE_ALL), "optimization");
  check(ort->set_threads(chosen, 1), "threads");
  check(ort->create_session(shared, model, chosen, &opened), "session");
  return opened;
}

int main(int count, char **words) {
  if (count < 7 || count - 6 > MOST_DIMENSIONS) fail("usage", "run_onnx LIBRARY MODEL INPUT OUTPUT RUNS DIMENSION...");
  const long runs = atol(words[5]);
  int64_t dimensions[MOST_DIMENSIONS];
  size_t elements = 1;
  for (int i = 6; i < count; i++) elements *= (size_t)(dimensions[i - 6] = atoll(words[i]));
  load(words[1]);
  float *given = read_floats(words[3], elements);
  session *network = open_session(words[2]);

  allocator *names = NULL;
  char *input_name = NULL, *output_name = NULL;
  check(ort->default_allocator(&names), "allocator");
  check(ort->input_name(network, 0, names, &input_name), "input");
  check(ort->output_name(network, 0, names, &output_name), "output");
  memory *place = NULL;
  value *input = NULL, *output = NULL;
  check(ort->cpu_memory(DEVICE_ALLOCATOR, DEFAULT_MEMORY, &place), "memory");
  check(ort->wrap(place, given, elements * sizeof *given, dimensions, (size_t)(count - 6), FLOAT32, &input), "input");
  for (long i = 0; i < runs; i++) {
    if (output != NULL) ort->release_value(output);
    output = NULL;
    check(ort->run(network, NULL, (const char *const *)&input_name, (const value *const *)&input, 1,
                   (const char *const *)&output_name, 1, &output), "run");
  }
  if (output == NULL) fail("usage", "RUNS must be at least 1");
  shape *extents = NULL;
  size_t results = 0;
  void *answer = NULL;
  check(ort->shape_of(output, &extents), "shape");
  check(ort->element_count(extents, &results), "shape");
  check(ort->data(output, &answer), "output");
  write_floats(words[4], answer, results);
  return 0;
}
