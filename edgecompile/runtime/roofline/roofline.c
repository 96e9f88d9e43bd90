/* roofline.c: what this machine can do at best: fp32 arithmetic in registers, and reading memory.
 *
 *     roofline THREADS
 *
 * Prints one line of JSON: floating-point operations per second of all threads together, and for buffers from 32 KiB to
 * 128 MiB the bytes per second at which the threads read them again and again, each its own part. Each figure is the best
 * of several tries: whatever else the machine does can only make a try slower.
 *
 * VECTOR_BYTES is the width of a register; the compiler's flags allow the instructions.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_THREADS 1024
/* Many short tries: far above a barrier's microseconds, and short enough for some to fit between interruptions. */
#define TRIES 60
#define LEAST_SECONDS 5e-4
/* Two FMA units times a latency of four cycles need eight independent sums; with twelve, x86's sixteen registers still
 * hold the two constants. */
#define SUMS 12
#define PART 4096 /* the part of a thread is a multiple of it, and so of SUMS_OF_READS vectors */
#define SUMS_OF_READS 8

typedef float floats __attribute__((vector_size(VECTOR_BYTES)));
typedef int64_t words __attribute__((vector_size(VECTOR_BYTES)));

typedef struct worker {
  int index;
  words *part;
} worker;

static struct {
  int threads;
  pthread_barrier_t start, end;
  enum { MULTIPLY, READ, LEAVE } task;
  long rounds;
  size_t part_bytes;
} job;

#if defined(__arm__) && defined(__ARM_FEATURE_FMA) && defined(__ARM_NEON)
#include <arm_neon.h>
/* GCC computes vectors of floats lane by lane on ARMv7, where NEON rounds denormal numbers to zero. */
#define MULTIPLY_ADD(a, b, c) (floats) vfmaq_f32((float32x4_t)(c), (float32x4_t)(a), (float32x4_t)(b))
#else
#define MULTIPLY_ADD(a, b, c) ((a) * (b) + (c)) /* one instruction, where -ffp-contract=fast finds one */
#endif

static volatile float float_sink; /* what is written here must be computed */
static volatile int64_t word_sink;

static void multiply_and_add(long rounds) {
  floats sums[SUMS], factor, term;
  for (size_t lane = 0; lane < VECTOR_BYTES / sizeof(float); lane++) {
    factor[lane] = 0.5f; /* the sums stay near 2, far from denormal and infinite numbers */
    term[lane] = 1.0f;
    for (int i = 0; i < SUMS; i++) sums[i][lane] = (float)i;
  }
  for (long round = 0; round < rounds; round++) {
#pragma GCC unroll 12
    for (int i = 0; i < SUMS; i++) sums[i] = MULTIPLY_ADD(sums[i], factor, term);
  }
  for (int i = 0; i < SUMS; i++) float_sink = sums[i][0];
}

static void read_part(const words *part, size_t bytes, long rounds) {
  words sums[SUMS_OF_READS];
  memset(sums, 0, sizeof sums);
  const size_t count = bytes / sizeof *part;
  for (long round = 0; round < rounds; round++) {
    for (size_t at = 0; at < count; at += SUMS_OF_READS) {
#pragma GCC unroll 8
      for (size_t i = 0; i < SUMS_OF_READS; i++) sums[i] ^= part[at + i];
    }
    __asm__ volatile("" ::: "memory"); /* the next round may find other bytes: it must read them again */
  }
  for (int i = 0; i < SUMS_OF_READS; i++) word_sink = sums[i][0];
}

static void do_task(const worker *self) {
  if (job.task == MULTIPLY) multiply_and_add(job.rounds);
  if (job.task == READ) read_part(self->part, job.part_bytes, job.rounds);
}

static void *serve(void *argument) {
  const worker *self = argument;
  for (;;) {
    pthread_barrier_wait(&job.start);
    if (job.task == LEAVE) return NULL;
    do_task(self);
    pthread_barrier_wait(&job.end);
  }
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static double seconds(const worker *self, long rounds) {
  job.rounds = rounds;
  pthread_barrier_wait(&job.start);
  const double start = now();
  do_task(self);
  pthread_barrier_wait(&job.end);
  return now() - start;
}

/* Units of work per second, one round of each thread being `units`. */
static double best_rate(const worker *self, int task, double units) {
  job.task = task;
  long rounds = 1;
  while (seconds(self, rounds) < LEAST_SECONDS) rounds *= 2;
  double least = seconds(self, rounds);
  for (int i = 1; i < TRIES; i++) {
    const double taken = seconds(self, rounds);
    if (taken < least) least = taken;
  }
  return units * (double)rounds * job.threads / least;
}

static void fail(const char *what) {
  fprintf(stderr, "roofline: %s\n", what);
  exit(2);
}

/* Space for the largest buffer that the machine gives, written once so that its pages are there. */
static size_t reserve(worker *workers, size_t bytes) {
  const size_t part_bytes = (bytes / (size_t)job.threads + PART - 1) / PART * PART;
  for (int i = 0; i < job.threads; i++) {
    void *memory = NULL;
    if (posix_memalign(&memory, PART, part_bytes) != 0) {
      while (i-- > 0) free(workers[i].part);
      return 0;
    }
    memset(memory, i + 1, part_bytes);
    workers[i].part = memory;
  }
  return part_bytes;
}

int main(int count, char **arguments) {
  if (count != 2) fail("usage: roofline THREADS");
  job.threads = atoi(arguments[1]);
  if (job.threads < 1 || job.threads > MAX_THREADS) fail("THREADS must be from 1 to 1024");
  static worker workers[MAX_THREADS];
  pthread_barrier_init(&job.start, NULL, (unsigned)job.threads);
  pthread_barrier_init(&job.end, NULL, (unsigned)job.threads);
  pthread_t threads[MAX_THREADS];
  for (int i = 1; i < job.threads; i++) {
    workers[i].index = i;
    if (pthread_create(&threads[i], NULL, serve, &workers[i]) != 0) fail("no thread");
  }

  const double lanes = VECTOR_BYTES / sizeof(float);
  printf("{\"flops_per_s\": %.6g, \"reads\": [", best_rate(&workers[0], MULTIPLY, 2 * SUMS * lanes));
  const char *separator = "";
  for (size_t bytes = (size_t)32 << 10; bytes <= (size_t)128 << 20; bytes *= 4) {
    job.part_bytes = reserve(workers, bytes);
    if (job.part_bytes == 0) break; /* a small board: the sizes so far are what fits */
    printf("%s{\"buffer_bytes\": %zu, \"bytes_per_s\": %.6g}", separator, job.part_bytes * (size_t)job.threads,
           best_rate(&workers[0], READ, (double)job.part_bytes));
    separator = ", ";
    for (int i = 0; i < job.threads; i++) free(workers[i].part);
  }
  puts("]}");

  job.task = LEAVE;
  pthread_barrier_wait(&job.start);
  for (int i = 1; i < job.threads; i++) pthread_join(threads[i], NULL);
  return 0;
}
