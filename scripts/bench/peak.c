/* Prints the most float32 multiply-adds per second that this core reaches, in GFLOP/s, and the vectors it used. */
#include <stdio.h>
#include <time.h>

#if defined __AVX512F__
#define BYTES 64
#define NAME "AVX-512"
#elif defined __FMA__
#define BYTES 32
#define NAME "AVX2"
#elif defined __ARM_NEON
#define BYTES 16
#define NAME "NEON"
#else
#define BYTES 16
#define NAME "128-bit vectors"
#endif

typedef float vector __attribute__((vector_size(BYTES)));

enum {
    CHAINS = 12, /* more than latency (4 or 5 cycles) times units (2), and they fit 16 registers beside the factors */
    STEPS = 100000,
    TRIES = 200, /* some tens of milliseconds; the best of them saw no other program */
};

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

int main(void) {
    vector chains[CHAINS], factor, term;
    float sum = 0;
    double best = 0;
    for (int lane = 0; lane < BYTES / 4; lane++) factor[lane] = 0.999f, term[lane] = 0.001f;
    for (int chain = 0; chain < CHAINS; chain++) chains[chain] = factor * (float)(chain + 1);
    for (int attempt = 0; attempt < TRIES; attempt++) {
        double start = now();
        for (int step = 0; step < STEPS; step++) {
#pragma GCC unroll 12
            for (int chain = 0; chain < CHAINS; chain++) chains[chain] = chains[chain] * factor + term;
        }
        double rate = 2e-9 * STEPS * CHAINS * (BYTES / 4) / (now() - start);
        if (rate > best) best = rate;
    }
    for (int chain = 0; chain < CHAINS; chain++) sum += chains[chain][0];
    printf("%.2f %s\n", best, NAME);
    return sum == 0; /* the sum must be needed, or the compiler drops the work */
}
