// Stored numbers to float32: half precision, and ggml's blocks (block_q8_0, block_q4_0, block_q4_K, block_q6_K of
// ggml-common.h). Included by loops.h, so compiled once for each instruction set.
//
// A block is a run of 32 or 256 numbers with its scales in front or behind, little-endian, at any alignment. Products are
// rounded one by one (no fused multiply-add), so that every set gives the bits that ggml's plain loops give.

#include "half.h"

static void CK_NAME(dequantize_f16)(const void *restrict blocks, float *restrict y, size_t n) {
  const uint8_t *restrict in = blocks;
  for (size_t i = 0; i < n; i++) {
    uint16_t h;
    memcpy(&h, in + 2 * i, 2);
    y[i] = float_of_half(h);
  }
}

static void CK_NAME(dequantize_bf16)(const void *restrict blocks, float *restrict y, size_t n) {
  const uint8_t *restrict in = blocks;
  for (size_t i = 0; i < n; i++) {
    uint16_t h;
    memcpy(&h, in + 2 * i, 2);
    y[i] = float_of_bits((uint32_t)h << 16);
  }
}

// { half d; int8 q[32]; }: y = d q.
static void CK_NAME(dequantize_q8_0)(const void *restrict blocks, float *restrict y, size_t n) {
  const uint8_t *restrict in = blocks;
  for (size_t b = 0; b < n / 32; b++, in += 34, y += 32) {
    float d = half_at(in);
    for (size_t i = 0; i < 32; i++) y[i] = (float)(int8_t)in[2 + i] * d;
  }
}

// { half d; uint8 q[16]; }: low halves are numbers 0…15, high halves 16…31; y = d (q - 8).
static void CK_NAME(dequantize_q4_0)(const void *restrict blocks, float *restrict y, size_t n) {
  const uint8_t *restrict in = blocks;
  for (size_t b = 0; b < n / 32; b++, in += 18, y += 32) {
    float d = half_at(in);
    for (size_t i = 0; i < 16; i++) {
      y[i] = (float)((int32_t)(in[2 + i] & 15) - 8) * d;
      y[i + 16] = (float)((int32_t)(in[2 + i] >> 4) - 8) * d;
    }
  }
}

// { half d, dmin; uint8 scales[12]; uint8 q[128]; }: eight runs of 32 numbers, each with a 6-bit scale and minimum;
// y = d scale q - dmin minimum. Runs 2i and 2i + 1 are the low and high halves of the same 32 bytes.
static void CK_NAME(dequantize_q4_k)(const void *restrict blocks, float *restrict y, size_t n) {
#pragma clang fp contract(off)
  const uint8_t *restrict in = blocks;
  for (size_t b = 0; b < n / 256; b++, in += 144) {
    float d = half_at(in), dmin = half_at(in + 2);
    const uint8_t *s = in + 4;
    for (size_t run = 0; run < 8; run++, y += 32) {
      // The first four have their 6 bits in one byte; the others 4 bits there and 2 at the top of the first four's.
      uint8_t scale = run < 4 ? s[run] & 63 : (s[run + 4] & 15) | (s[run - 4] >> 6) << 4;
      uint8_t least = run < 4 ? s[run + 4] & 63 : s[run + 4] >> 4 | (s[run] >> 6) << 4;
      float factor = d * (float)scale, offset = dmin * (float)least;
      const uint8_t *restrict q = in + 16 + run / 2 * 32;
      if (run % 2)
        for (size_t i = 0; i < 32; i++) y[i] = factor * (float)(q[i] >> 4) - offset;
      else
        for (size_t i = 0; i < 32; i++) y[i] = factor * (float)(q[i] & 15) - offset;
    }
  }
}

// { uint8 low[128]; uint8 high[64]; int8 scales[16]; half d; }: two halves of 128 numbers; each number has 4 bits in
// `low`, 2 in `high`, and shares its scale with 15 others; y = d scale (q - 32).
static void CK_NAME(dequantize_q6_k)(const void *restrict blocks, float *restrict y, size_t n) {
#pragma clang fp contract(off)
  const uint8_t *restrict in = blocks;
  for (size_t b = 0; b < n / 256; b++, in += 210) {
    float d = half_at(in + 208);
    for (size_t run = 0; run < 8; run++, y += 32) {
      size_t half = run / 4, quarter = run % 4;
      const uint8_t *restrict low = in + half * 64 + quarter % 2 * 32;
      const uint8_t *restrict high = in + 128 + half * 32;
      const int8_t *scales = (const int8_t *)in + 192 + 2 * run;
      uint32_t low_shift = quarter / 2 * 4, high_shift = 2 * (uint32_t)quarter;
      for (size_t part = 0; part < 2; part++) {
        float factor = d * (float)scales[part];
        for (size_t i = 16 * part; i < 16 * part + 16; i++) {
          int32_t q = (low[i] >> low_shift & 15) | (high[i] >> high_shift & 3) << 4;
          y[i] = factor * (float)(q - 32);
        }
      }
    }
  }
}
