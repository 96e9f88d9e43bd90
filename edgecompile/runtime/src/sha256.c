/* sha256.c: SHA-256 as FIPS 180-4 section 6.2 defines it, with the CPU's own rounds where it has them.
 *
 * Opening a network hashes all its weights: at 0.3 GB/s in plain C, half a gigabyte would cost over a second; the
 * instructions of x86 and AArch64 do about 2 GB/s.
 */
#include "sha256.h"

#include <string.h>

#include "cpu_features.h"

#define BLOCK_BYTES 64u

typedef void (*absorb_function)(uint32_t state[8], const uint8_t *data, size_t blocks);

/* Section 4.2.2: fractional parts of the cube roots of the first 64 primes. */
static const uint32_t ROUND_CONSTANTS[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rotate_right(uint32_t value, unsigned bits) { return value >> bits | value << (32 - bits); }

static uint32_t load_big_endian(const uint8_t *bytes) {
  return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void absorb_portable(uint32_t state[8], const uint8_t *data, size_t blocks) {
  for (; blocks > 0; blocks--, data += BLOCK_BYTES) {
    uint32_t schedule[64];
    for (int t = 0; t < 16; t++) schedule[t] = load_big_endian(data + 4 * t);
    for (int t = 16; t < 64; t++) {
      uint32_t w2 = schedule[t - 2], w15 = schedule[t - 15];
      uint32_t sigma1 = rotate_right(w2, 17) ^ rotate_right(w2, 19) ^ w2 >> 10;
      uint32_t sigma0 = rotate_right(w15, 7) ^ rotate_right(w15, 18) ^ w15 >> 3;
      schedule[t] = sigma1 + schedule[t - 7] + sigma0 + schedule[t - 16];
    }
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (int t = 0; t < 64; t++) {
      uint32_t sum1 = rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25);
      uint32_t sum0 = rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22);
      uint32_t t1 = h + sum1 + ((e & f) ^ (~e & g)) + ROUND_CONSTANTS[t] + schedule[t];
      uint32_t t2 = sum0 + ((a & b) ^ (a & c) ^ (b & c));
      h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    state[4] += e, state[5] += f, state[6] += g, state[7] += h;
  }
}

#if defined(__x86_64__)
#include <immintrin.h>

/* The instructions keep the state as (a, b, e, f) and (c, d, g, h), highest lane first. */
__attribute__((target("sha,sse4.1,ssse3"))) static void absorb_accelerated(uint32_t state[8], const uint8_t *data,
                                                                           size_t blocks) {
  const __m128i byte_swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  __m128i abef = _mm_set_epi32((int)state[0], (int)state[1], (int)state[4], (int)state[5]);
  __m128i cdgh = _mm_set_epi32((int)state[2], (int)state[3], (int)state[6], (int)state[7]);
  for (; blocks > 0; blocks--, data += BLOCK_BYTES) {
    const __m128i abef_before = abef, cdgh_before = cdgh;
    __m128i w[4]; /* the last sixteen words of the message schedule, a ring of four vectors */
#pragma GCC unroll 16 /* the ring must stay in registers */
    for (int group = 0; group < 16; group++) {
      __m128i words;
      if (group < 4) {
        words = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)(data + 16 * group)), byte_swap);
      } else {
        __m128i w16 = w[group & 3], w12 = w[(group + 1) & 3], w8 = w[(group + 2) & 3], w4 = w[(group + 3) & 3];
        words = _mm_add_epi32(_mm_sha256msg1_epu32(w16, w12), _mm_alignr_epi8(w4, w8, 4));
        words = _mm_sha256msg2_epu32(words, w4);
      }
      w[group & 3] = words;
      __m128i sum = _mm_add_epi32(words, _mm_loadu_si128((const __m128i *)(const void *)(ROUND_CONSTANTS + 4 * group)));
      cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
      abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0e));
    }
    abef = _mm_add_epi32(abef, abef_before);
    cdgh = _mm_add_epi32(cdgh, cdgh_before);
  }
  uint32_t lanes[4];
  _mm_storeu_si128((__m128i *)(void *)lanes, abef);
  state[0] = lanes[3], state[1] = lanes[2], state[4] = lanes[1], state[5] = lanes[0];
  _mm_storeu_si128((__m128i *)(void *)lanes, cdgh);
  state[2] = lanes[3], state[3] = lanes[2], state[6] = lanes[1], state[7] = lanes[0];
}

static absorb_function choose_absorb(void) {
  return ec_internal_cpu_has("sha_ni") == 1 ? absorb_accelerated : absorb_portable;
}

#elif defined(__aarch64__)
#include <arm_neon.h>

#if defined(__clang__)
#define SHA2_TARGET __attribute__((target("sha2")))
#else
#define SHA2_TARGET __attribute__((target("+crypto"))) /* GCC 12's header files SHA-2 under this older name */
#endif

SHA2_TARGET static void absorb_accelerated(uint32_t state[8], const uint8_t *data, size_t blocks) {
  uint32x4_t abcd = vld1q_u32(state), efgh = vld1q_u32(state + 4);
  for (; blocks > 0; blocks--, data += BLOCK_BYTES) {
    const uint32x4_t abcd_before = abcd, efgh_before = efgh;
    uint32x4_t w[4]; /* the last sixteen words of the message schedule, a ring of four vectors */
#pragma GCC unroll 16 /* the ring must stay in registers */
    for (int group = 0; group < 16; group++) {
      uint32x4_t words;
      if (group < 4) {
        words = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(data + 16 * group)));
      } else {
        words = vsha256su0q_u32(w[group & 3], w[(group + 1) & 3]);
        words = vsha256su1q_u32(words, w[(group + 2) & 3], w[(group + 3) & 3]);
      }
      w[group & 3] = words;
      uint32x4_t sum = vaddq_u32(words, vld1q_u32(ROUND_CONSTANTS + 4 * group));
      uint32x4_t abcd_old = abcd;
      abcd = vsha256hq_u32(abcd, efgh, sum);
      efgh = vsha256h2q_u32(efgh, abcd_old, sum);
    }
    abcd = vaddq_u32(abcd, abcd_before);
    efgh = vaddq_u32(efgh, efgh_before);
  }
  vst1q_u32(state, abcd);
  vst1q_u32(state + 4, efgh);
}

static absorb_function choose_absorb(void) {
  return ec_internal_cpu_has("sha2") == 1 ? absorb_accelerated : absorb_portable;
}

#else

static absorb_function choose_absorb(void) { return absorb_portable; }

#endif

void ec_internal_sha256(const void *data, size_t bytes, uint8_t digest[32]) {
  /* Section 5.3.3: fractional parts of the square roots of the first eight primes. */
  uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  const absorb_function absorb = choose_absorb();
  const size_t whole = bytes / BLOCK_BYTES, rest = bytes % BLOCK_BYTES;
  absorb(state, data, whole);

  /* Section 5.1.1: a one bit, zeros, and the length in bits fill one or two last blocks. */
  uint8_t tail[2 * BLOCK_BYTES] = {0};
  if (rest > 0) memcpy(tail, (const uint8_t *)data + whole * BLOCK_BYTES, rest);
  tail[rest] = 0x80;
  const size_t tail_blocks = rest < BLOCK_BYTES - 8 ? 1 : 2;
  const uint64_t bits = (uint64_t)bytes * 8;
  for (size_t i = 0; i < 8; i++) tail[tail_blocks * BLOCK_BYTES - 1 - i] = (uint8_t)(bits >> (8 * i));
  absorb(state, tail, tail_blocks);

  for (size_t i = 0; i < 32; i++) digest[i] = (uint8_t)(state[i / 4] >> (24 - 8 * (i % 4)));
}
