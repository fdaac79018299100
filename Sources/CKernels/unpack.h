// A stored row taken apart: whole numbers u[K] as bytes, and each run's scale s[K/L] and minimum o[K/L].
#include "half.h"

// { half d; int8 q[32]; }
static void unpack_q8_0(const uint8_t *restrict in, size_t n, uint8_t *restrict u, float *restrict s,
                        float *restrict o) {
  for (size_t b = 0; b < n / 32; b++, in += 34, u += 32) {
    float d = half_at(in);
    for (size_t i = 0; i < 32; i++) u[i] = in[2 + i] ^ 0x80;
    s[b] = d;
    o[b] = 128 * d;
  }
}

// { half d; uint8 q[16]; }: low halves are numbers 0…15, high halves 16…31.
static void unpack_q4_0(const uint8_t *restrict in, size_t n, uint8_t *restrict u, float *restrict s,
                        float *restrict o) {
  for (size_t b = 0; b < n / 32; b++, in += 18, u += 32) {
    float d = half_at(in);
    for (size_t i = 0; i < 16; i++) {
      u[i] = in[2 + i] & 15;
      u[i + 16] = in[2 + i] >> 4;
    }
    s[b] = d;
    o[b] = 8 * d;
  }
}

// { half d, dmin; uint8 scales[12]; uint8 q[128]; }: see blocks.h.
static void unpack_q4_k(const uint8_t *restrict in, size_t n, uint8_t *restrict u, float *restrict s,
                        float *restrict o) {
  for (size_t b = 0; b < n / 256; b++, in += 144) {
    float d = half_at(in), dmin = half_at(in + 2);
    const uint8_t *packed = in + 4;
    for (size_t run = 0; run < 8; run++, u += 32) {
      uint8_t scale = run < 4 ? packed[run] & 63 : (packed[run + 4] & 15) | (packed[run - 4] >> 6) << 4;
      uint8_t least = run < 4 ? packed[run + 4] & 63 : packed[run + 4] >> 4 | (packed[run] >> 6) << 4;
      *s++ = d * (float)scale;
      *o++ = dmin * (float)least;
      const uint8_t *restrict q = in + 16 + run / 2 * 32;
      if (run % 2)
        for (size_t i = 0; i < 32; i++) u[i] = q[i] >> 4;
      else
        for (size_t i = 0; i < 32; i++) u[i] = q[i] & 15;
    }
  }
}

// { uint8 low[128]; uint8 high[64]; int8 scales[16]; half d; }: see blocks.h.
static void unpack_q6_k(const uint8_t *restrict in, size_t n, uint8_t *restrict u, float *restrict s,
                        float *restrict o) {
  for (size_t b = 0; b < n / 256; b++, in += 210) {
    float d = half_at(in + 208);
    for (size_t run = 0; run < 8; run++, u += 32, s += 2, o += 2) {
      const uint8_t *restrict low = in + run / 4 * 64 + run % 2 * 32;
      const uint8_t *restrict high = in + 128 + run / 4 * 32;
      const int8_t *scales = (const int8_t *)in + 192 + 2 * run;
      uint32_t low_shift = run % 4 / 2 * 4, high_shift = 2 * (uint32_t)(run % 4);
      for (size_t i = 0; i < 32; i++)
        u[i] = (uint8_t)((low[i] >> low_shift & 15) | (high[i] >> high_shift & 3) << 4);
      for (size_t part = 0; part < 2; part++) {
        s[part] = d * (float)scales[part];
        o[part] = 32 * s[part];
      }
    }
  }
}

static void unpack(ck_block_format format, const void *row, size_t n, uint8_t *u, float *s, float *o) {
  switch (format) {
  case CK_Q8_0: return unpack_q8_0(row, n, u, s, o);
  case CK_Q4_0: return unpack_q4_0(row, n, u, s, o);
  case CK_Q4_K: return unpack_q4_k(row, n, u, s, o);
  case CK_Q6_K: return unpack_q6_k(row, n, u, s, o);
  }
}
