// Packing for AVX-512: 32-bit units (a float, two bf16, four bytes) of rows, laid unit by unit. Include under a target
// attribute with AVX-512 F.
#pragma once
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define CK_INLINE static inline __attribute__((always_inline))

// A mask of the first `n` of 16 lanes.
CK_INLINE __mmask16 lanes16(size_t n) { return n >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << n) - 1); }

// r[i][j] → r[j][i], by pairs of 32, 64, 128 and 256 bits.
CK_INLINE void transpose16(__m512i r[16]) {
  __m512i t[16];
#pragma unroll
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
#pragma unroll
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
#pragma unroll
  for (int i = 0; i < 4; i++) {
    t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
  }
#pragma unroll
  for (int i = 0; i < 4; i++) {
    r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
    r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
    r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
  }
}

// 16 units of a row, from its number `from` on; `left` numbers remain. `factor` is int8's.
typedef __m512i (*ck_units)(const float *x, size_t left, float factor);

// Rows of x[count, inner] → out[units, width]; missing rows are 0. `step` numbers make a unit; `factors` may be NULL.
CK_INLINE void pack_units(const float *x, size_t stride, size_t count, size_t width, size_t inner, size_t step,
                          const float *factors, ck_units read, uint32_t *out) {
  size_t units = (inner + step - 1) / step;
  for (size_t first = 0; first < width; first += 16) {
    size_t here = count > first ? count - first : 0;
    __mmask16 lanes = lanes16(width - first);
    for (size_t u = 0; u < units; u += 16) {
      // Rows are far apart, and too many for the CPU to foresee where each of them goes on.
      for (size_t i = 0; i < 16 && i < here; i++)
        for (size_t line = 0; line < step; line++) __builtin_prefetch(x + (first + i) * stride + (u + 32) * step + 16 * line);
      __m512i r[16];
#pragma unroll
      for (size_t i = 0; i < 16; i++)
        r[i] = i < here ? read(x + (first + i) * stride + u * step, inner - u * step, factors ? factors[first + i] : 1)
                        : _mm512_setzero_si512();
      transpose16(r);
      size_t end = units - u < 16 ? units - u : 16;
      for (size_t j = 0; j < end; j++) _mm512_mask_storeu_epi32(out + (u + j) * width + first, lanes, r[j]);
    }
  }
}
