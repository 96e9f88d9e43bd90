/* cpu_features.c: asks the CPU (x86) or the kernel (ARM) for instruction sets. */
#include "cpu_features.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>

enum cpuid_register { EAX, EBX, ECX, EDX };

/* What the operating system must save at a context switch before the registers may be used: bits of XCR0. */
enum saved_state { NONE = 0, YMM = 0x06, ZMM = 0xe6, TILES = 0x60000 };

typedef struct feature {
  const char *name;
  uint32_t leaf, subleaf;
  enum cpuid_register where;
  uint32_t bit;
  enum saved_state needs;
} feature;

/* Intel SDM volume 2A, CPUID; AMD APM volume 3, appendix E. */
static const feature FEATURES[] = {
    {"pni", 1, 0, ECX, 0, NONE},
    {"ssse3", 1, 0, ECX, 9, NONE},
    {"fma", 1, 0, ECX, 12, YMM},
    {"cx16", 1, 0, ECX, 13, NONE},
    {"sse4_1", 1, 0, ECX, 19, NONE},
    {"sse4_2", 1, 0, ECX, 20, NONE},
    {"movbe", 1, 0, ECX, 22, NONE},
    {"popcnt", 1, 0, ECX, 23, NONE},
    {"avx", 1, 0, ECX, 28, YMM},
    {"f16c", 1, 0, ECX, 29, YMM},
    {"bmi1", 7, 0, EBX, 3, NONE},
    {"avx2", 7, 0, EBX, 5, YMM},
    {"bmi2", 7, 0, EBX, 8, NONE},
    {"avx512f", 7, 0, EBX, 16, ZMM},
    {"avx512dq", 7, 0, EBX, 17, ZMM},
    {"avx512cd", 7, 0, EBX, 28, ZMM},
    {"sha_ni", 7, 0, EBX, 29, NONE},
    {"avx512bw", 7, 0, EBX, 30, ZMM},
    {"avx512vl", 7, 0, EBX, 31, ZMM},
    {"avx512vbmi", 7, 0, ECX, 1, ZMM},
    {"avx512_vnni", 7, 0, ECX, 11, ZMM},
    {"avx512_fp16", 7, 0, EDX, 23, ZMM},
    {"amx_bf16", 7, 0, EDX, 22, TILES},
    {"amx_tile", 7, 0, EDX, 24, TILES},
    {"amx_int8", 7, 0, EDX, 25, TILES},
    {"avx_vnni", 7, 1, EAX, 4, YMM},
    {"avx512_bf16", 7, 1, EAX, 5, ZMM},
    {"lahf_lm", 0x80000001, 0, ECX, 0, NONE},
    {"abm", 0x80000001, 0, ECX, 5, NONE},
};

static uint32_t saved_states(void) {
  uint32_t a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & UINT32_C(1) << 27)) return 0; /* no OSXSAVE: XGETBV would fault */
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

static int has(const feature *wanted) {
  uint32_t registers[4];
  if (wanted->subleaf > 0) {
    uint32_t last_subleaf, b, c, d;
    if (!__get_cpuid_count(wanted->leaf, 0, &last_subleaf, &b, &c, &d) || last_subleaf < wanted->subleaf) return 0;
  }
  if (!__get_cpuid_count(wanted->leaf, wanted->subleaf, &registers[0], &registers[1], &registers[2], &registers[3])) {
    return 0;
  }
  if (!(registers[wanted->where] >> wanted->bit & 1)) return 0;
  return wanted->needs == NONE || (saved_states() & wanted->needs) == (uint32_t)wanted->needs;
}

#elif defined(__linux__) && (defined(__aarch64__) || defined(__arm__))
#include <sys/auxv.h>

typedef struct feature {
  const char *name;
  unsigned long vector; /* AT_HWCAP or AT_HWCAP2 */
  unsigned bit;
} feature;

#if defined(__aarch64__)
/* Linux arch/arm64/include/uapi/asm/hwcap.h */
static const feature FEATURES[] = {
    {"fp", AT_HWCAP, 0},       {"asimd", AT_HWCAP, 1},    {"aes", AT_HWCAP, 3},      {"pmull", AT_HWCAP, 4},
    {"sha1", AT_HWCAP, 5},     {"sha2", AT_HWCAP, 6},     {"crc32", AT_HWCAP, 7},    {"atomics", AT_HWCAP, 8},
    {"fphp", AT_HWCAP, 9},     {"asimdhp", AT_HWCAP, 10}, {"asimdrdm", AT_HWCAP, 12}, {"asimddp", AT_HWCAP, 20},
    {"sve", AT_HWCAP, 22},     {"asimdfhm", AT_HWCAP, 23}, {"sve2", AT_HWCAP2, 1},    {"svei8mm", AT_HWCAP2, 9},
    {"i8mm", AT_HWCAP2, 13},   {"bf16", AT_HWCAP2, 14},
};
#else
/* Linux arch/arm/include/uapi/asm/hwcap.h */
static const feature FEATURES[] = {
    {"neon", AT_HWCAP, 12},  {"vfpv3", AT_HWCAP, 13}, {"vfpv4", AT_HWCAP, 16},   {"idiva", AT_HWCAP, 17},
    {"idivt", AT_HWCAP, 18}, {"vfpd32", AT_HWCAP, 19}, {"asimddp", AT_HWCAP, 24},
};
#endif

static int has(const feature *wanted) { return (int)(getauxval(wanted->vector) >> wanted->bit & 1); }

#else
#error "edgecompile's CPU runtime knows x86-64, AArch64 Linux and ARMv7 Linux"
#endif

int ec_internal_cpu_has(const char *name) {
  for (size_t i = 0; i < sizeof FEATURES / sizeof FEATURES[0]; i++) {
    if (strcmp(FEATURES[i].name, name) == 0) return has(&FEATURES[i]);
  }
  return -1;
}
