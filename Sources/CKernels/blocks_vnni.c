// The block products where four bytes are multiplied and added at once (AVX-512 VNNI); the scalar twins are in
// blocks_scalar.c, the algebra in ckblocks.h.
#if defined(__x86_64__)
#pragma clang attribute push(                                                                                          \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c"))), apply_to = function)
#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "activations.h"

#define CK_INLINE static inline __attribute__((always_inline))

static void quantize_vnni(const float *x, size_t first, size_t count, ck_activations to) {
  for (size_t m = first; m < first + count; m++)
    for (size_t run = 0; run < to.length / CK_RUN; run++) {
      const float *in = x + m * to.length + run * CK_RUN;
      int8_t *bytes = to.bytes + (run * to.rows + m) * 2 * CK_RUN;
      __m512 x0 = _mm512_loadu_ps(in), x1 = _mm512_loadu_ps(in + 16);
      __m512 a0 = _mm512_abs_ps(x0), a1 = _mm512_abs_ps(x1);
      int isNumber = _mm512_cmp_ps_mask(a0, _mm512_set1_ps(CK_MOST), _CMP_LE_OQ) == 0xffff &&
                     _mm512_cmp_ps_mask(a1, _mm512_set1_ps(CK_MOST), _CMP_LE_OQ) == 0xffff;
      float most = isNumber ? _mm512_reduce_max_ps(_mm512_max_ps(a0, a1)) : NAN;
      float scale = most / 32639, inverse = most >= CK_LEAST ? 32639 / most : 0;
      float sums[2];
      for (size_t half = 0; half < 2; half++) {
        __m512i a = _mm512_cvtps_epi32(_mm512_mul_ps(half ? x1 : x0, _mm512_set1_ps(inverse)));
        if (!isNumber) a = _mm512_setzero_si512();
        __m512i low = _mm512_srai_epi32(_mm512_slli_epi32(a, 24), 24);
        __m512i high = _mm512_srai_epi32(_mm512_sub_epi32(a, low), 8);
        _mm_storeu_si128((__m128i *)(bytes + 16 * half), _mm512_cvtepi32_epi8(high));
        _mm_storeu_si128((__m128i *)(bytes + CK_RUN + 16 * half), _mm512_cvtepi32_epi8(low));
        sums[half] = (float)_mm512_reduce_add_epi32(a);
      }
      if (to.run_length == CK_RUN) sums[0] += sums[1];
      keep_scale(to, m, run, scale, sums);
    }
}

// Half precision to single.
CK_INLINE float wide_half(const uint8_t *p) {
  uint16_t h;
  memcpy(&h, p, 2);
  return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(h)));
}

// The minima of runs that have all the same number for zero.
CK_INLINE void minima(const float *s, size_t n, float zero, float *o) {
  for (size_t i = 0; i < n; i += 16) _mm512_storeu_ps(o + i, _mm512_mul_ps(_mm512_loadu_ps(s + i), _mm512_set1_ps(zero)));
}

// 256 numbers of Q4_K; eight scales and minima.
CK_INLINE void take_apart_q4_k(const uint8_t *in, uint8_t *u, float *s, float *o) {
  const __m256i mask = _mm256_set1_epi8(15);
  for (size_t i = 0; i < 4; i++) {
    __m256i q = _mm256_loadu_si256((const __m256i *)(in + 16 + 32 * i));
    _mm256_store_si256((__m256i *)(u + 64 * i), _mm256_and_si256(q, mask));
    _mm256_store_si256((__m256i *)(u + 64 * i + 32), _mm256_and_si256(_mm256_srli_epi16(q, 4), mask));
  }
  // Six bits each: the first four of eight whole, of the last four the low bits in four bytes, the two high ones in eight.
  uint32_t a, b, c, scales[2], mins[2];
  memcpy(&a, in + 4, 4);
  memcpy(&b, in + 8, 4);
  memcpy(&c, in + 12, 4);
  scales[0] = a & 0x3f3f3f3f;
  mins[0] = b & 0x3f3f3f3f;
  scales[1] = (c & 0x0f0f0f0f) | (a >> 2 & 0x30303030);
  mins[1] = (c >> 4 & 0x0f0f0f0f) | (b >> 2 & 0x30303030);
  __m256 d = _mm256_set1_ps(wide_half(in)), least = _mm256_set1_ps(wide_half(in + 2));
  __m256i whole = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)scales));
  _mm256_storeu_ps(s, _mm256_mul_ps(d, _mm256_cvtepi32_ps(whole)));
  whole = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)mins));
  _mm256_storeu_ps(o, _mm256_mul_ps(least, _mm256_cvtepi32_ps(whole)));
}

// 256 numbers of Q6_K; sixteen scales and minima.
CK_INLINE void take_apart_q6_k(const uint8_t *in, uint8_t *u, float *s, float *o) {
  const __m256i low = _mm256_set1_epi8(15), high = _mm256_set1_epi8(0x30);
  for (size_t half = 0; half < 2; half++, u += 128) {
    __m256i a = _mm256_loadu_si256((const __m256i *)(in + 64 * half));
    __m256i b = _mm256_loadu_si256((const __m256i *)(in + 64 * half + 32));
    __m256i h = _mm256_loadu_si256((const __m256i *)(in + 128 + 32 * half));
    __m256i *to = (__m256i *)u;
    // Bits that a shift brings from the neighbouring byte are masked away.
    _mm256_store_si256(to, _mm256_or_si256(_mm256_and_si256(a, low), _mm256_and_si256(_mm256_slli_epi16(h, 4), high)));
    _mm256_store_si256(to + 1, _mm256_or_si256(_mm256_and_si256(b, low), _mm256_and_si256(_mm256_slli_epi16(h, 2), high)));
    _mm256_store_si256(to + 2, _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(a, 4), low), _mm256_and_si256(h, high)));
    _mm256_store_si256(
        to + 3, _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(b, 4), low), _mm256_and_si256(_mm256_srli_epi16(h, 2), high)));
  }
  __m512i whole = _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(in + 192)));
  __m512 scales = _mm512_mul_ps(_mm512_set1_ps(wide_half(in + 208)), _mm512_cvtepi32_ps(whole));
  _mm512_storeu_ps(s, scales);
  _mm512_storeu_ps(o, _mm512_mul_ps(scales, _mm512_set1_ps(32)));
}

static void take_apart(ck_block_format format, const uint8_t *in, size_t n, uint8_t *u, float *s, float *o) {
  if (format == CK_Q8_0) {
    for (size_t b = 0; b < n / 32; b++) {
      s[b] = wide_half(in + 34 * b);
      __m256i q = _mm256_loadu_si256((const __m256i *)(in + 34 * b + 2));
      _mm256_store_si256((__m256i *)(u + 32 * b), _mm256_xor_si256(q, _mm256_set1_epi8((char)0x80)));
    }
    minima(s, n / 32, 128, o);
  } else if (format == CK_Q4_0) {
    const __m128i mask = _mm_set1_epi8(15);
    for (size_t b = 0; b < n / 32; b++) {
      s[b] = wide_half(in + 18 * b);
      __m128i q = _mm_loadu_si128((const __m128i *)(in + 18 * b + 2));
      _mm_store_si128((__m128i *)(u + 32 * b), _mm_and_si128(q, mask));
      _mm_store_si128((__m128i *)(u + 32 * b + 16), _mm_and_si128(_mm_srli_epi16(q, 4), mask));
    }
    minima(s, n / 32, 8, o);
  } else if (format == CK_Q4_K) {
    for (size_t b = 0; b < n / 256; b++) take_apart_q4_k(in + 144 * b, u + 256 * b, s + 8 * b, o + 8 * b);
  } else {
    for (size_t b = 0; b < n / 256; b++) take_apart_q6_k(in + 210 * b, u + 256 * b, s + 16 * b, o + 16 * b);
  }
}

// Lanes are numbers of the row: 8 × 4 of the high bytes, 8 × 4 of the low ones. `count` rows and `halves` (of 32 numbers, where
// each has its own scale) are constants where this is inlined. Four sums a row, so that one need not wait for itself; in
// one order, so that a row's result does not depend on how many there are.
CK_INLINE void some_rows(const uint8_t *u, const float *s, const float *o, float *products, ck_activations x,
                         size_t first, size_t count, int halves, float *y, size_t y_stride) {
  const __m512i spread = _mm512_set_epi32(1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0);
  size_t runs = x.length / CK_RUN, stride = x.rows * 2 * CK_RUN, parts = halves ? 2 * runs : runs;
  size_t room = up64(x.length / 16);
  float least[4];
  // The products of weights' and activations' scales, and the minima's part of the result.
  for (size_t r = 0; r < count; r++) {
    const float *a = x.row_scales + (first + r) * runs, *t = x.row_sums + (first + r) * parts;
    __m512 sum = _mm512_setzero_ps();
    for (size_t i = 0; i < parts; i += 16) {
      __mmask16 mask = (__mmask16)(parts - i >= 16 ? 0xffff : (1u << (parts - i)) - 1);
      __m512 scale = halves ? _mm512_permutexvar_ps(_mm512_set_epi32(7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0),
                                                    _mm512_maskz_loadu_ps((__mmask16)((1u << (parts - i >= 16 ? 8 : (parts - i) / 2)) - 1), a + i / 2))
                            : _mm512_maskz_loadu_ps(mask, a + i);
      _mm512_mask_storeu_ps(products + r * room + i, mask, _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, s + i), scale));
      sum = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(mask, o + i), _mm512_maskz_loadu_ps(mask, t + i), sum);
    }
    least[r] = _mm512_reduce_add_ps(sum);
  }
  __m512 sums[4][4];
  for (size_t r = 0; r < count; r++)
    for (size_t k = 0; k < 4; k++) sums[r][k] = _mm512_setzero_ps();
  const int8_t *bytes = x.bytes + first * 2 * CK_RUN;
#define CK_STEP(run, k)                                                                                                \
  {                                                                                                                    \
    __m512i w = _mm512_broadcast_i64x4(_mm256_load_si256((const __m256i *)(u + (run)*CK_RUN)));                       \
    for (size_t r = 0; r < count; r++) {                                                                               \
      __m512i b = _mm512_load_si512(bytes + (run)*stride + r * 2 * CK_RUN);                                            \
      __m512 product = _mm512_cvtepi32_ps(_mm512_dpbusd_epi32(_mm512_setzero_si512(), w, b));                          \
      const float *p = products + r * room;                                                                            \
      __m512 scale = halves ? _mm512_permutexvar_ps(                                                                   \
                                  spread, _mm512_castpd_ps(_mm512_set1_pd(*(const double *)(p + 2 * (run)))))          \
                            : _mm512_set1_ps(p[run]);                                                                  \
      sums[r][k] = _mm512_fmadd_ps(product, scale, sums[r][k]);                                                        \
    }                                                                                                                  \
  }
  size_t run = 0;
  for (; run + 4 <= runs; run += 4) {
    CK_STEP(run, 0)
    CK_STEP(run + 1, 1)
    CK_STEP(run + 2, 2)
    CK_STEP(run + 3, 3)
  }
  for (; run < runs; run++) CK_STEP(run, 0)
#undef CK_STEP
  for (size_t r = 0; r < count; r++) {
    __m512 all = _mm512_add_ps(_mm512_add_ps(sums[r][0], sums[r][1]), _mm512_add_ps(sums[r][2], sums[r][3]));
    float high = _mm512_mask_reduce_add_ps(0x00ff, all), low = _mm512_mask_reduce_add_ps(0xff00, all);
    y[r * y_stride] = 256 * high + low - least[r];
  }
}

CK_INLINE void all_rows(const uint8_t *u, const float *s, const float *o, float *products, ck_activations x, int halves,
                        float *y, size_t y_stride) {
  size_t m = 0;
  for (; m + 4 <= x.rows; m += 4) some_rows(u, s, o, products, x, m, 4, halves, y + m * y_stride, y_stride);
  for (; m < x.rows; m++) some_rows(u, s, o, products, x, m, 1, halves, y + m * y_stride, y_stride);
}

static void row_vnni(ck_block_format format, const void *blocks, ck_activations x, float *y, size_t y_stride,
                     void *scratch) {
  uint8_t *u = scratch;
  size_t room = up64(x.length / 16);
  float *s = (float *)(u + up64(x.length)), *o = s + room, *products = o + room;
  take_apart(format, blocks, x.length, u, s, o);
  if (format == CK_Q6_K)
    all_rows(u, s, o, products, x, 1, y, y_stride);
  else
    all_rows(u, s, o, products, x, 0, y, y_stride);
}

// Four bytes of each of 16 rows become a column of 16: `from` [16, stride] → `to` [16, 16] of 32 bits, `step` bytes apart.
CK_INLINE void turn(const uint8_t *from, size_t stride, uint8_t *to, size_t step) {
  __m512i a[16], b[16];
  for (size_t i = 0; i < 16; i++) a[i] = _mm512_load_si512(from + i * stride);
  for (size_t i = 0; i < 16; i += 2) {
    b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
    b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
  }
  for (size_t i = 0; i < 16; i += 4) {
    a[i] = _mm512_unpacklo_epi64(b[i], b[i + 2]);
    a[i + 1] = _mm512_unpackhi_epi64(b[i], b[i + 2]);
    a[i + 2] = _mm512_unpacklo_epi64(b[i + 1], b[i + 3]);
    a[i + 3] = _mm512_unpackhi_epi64(b[i + 1], b[i + 3]);
  }
  // a[4g + c] holds in its lane of 128 bits l the column 4l + c of rows 4g…4g + 3.
  for (size_t c = 0; c < 4; c++) {
    __m512i x = _mm512_shuffle_i32x4(a[c], a[4 + c], 0x88), y = _mm512_shuffle_i32x4(a[8 + c], a[12 + c], 0x88);
    __m512i z = _mm512_shuffle_i32x4(a[c], a[4 + c], 0xdd), w = _mm512_shuffle_i32x4(a[8 + c], a[12 + c], 0xdd);
    _mm512_store_si512(to + c * step, _mm512_shuffle_i32x4(x, y, 0x88));
    _mm512_store_si512(to + (4 + c) * step, _mm512_shuffle_i32x4(z, w, 0x88));
    _mm512_store_si512(to + (8 + c) * step, _mm512_shuffle_i32x4(x, y, 0xdd));
    _mm512_store_si512(to + (12 + c) * step, _mm512_shuffle_i32x4(z, w, 0xdd));
  }
}

// Lanes are weight rows, 2 × 16. `w` [K/4, 32, 4], `s`, `o` [K/L, 32]. 32 rows of activations at a time: their sums, 4 KiB,
// stay in the first cache while a run's weights stay in registers.
CK_INLINE void chunk(const uint8_t *w, const float *s, const float *o, ck_activations x, size_t first, size_t rows,
                     int halves, __m512 *sums) {
  for (size_t i = 0; i < 2 * rows; i++) sums[i] = _mm512_setzero_ps();
  size_t parts = halves ? 2 : 1;
  for (size_t run = 0; run < x.length / CK_RUN; run++) {
    const int8_t *bytes = x.bytes + (run * x.rows + first) * 2 * CK_RUN;
    const float *a = x.scales + run * x.rows + first, *t = x.sums + parts * run * x.rows + first;
    __m512i weights[16];
    for (size_t i = 0; i < 16; i++) weights[i] = _mm512_load_si512(w + run * 1024 + i * 64);
    for (size_t m = 0; m < rows; m++) {
      const int32_t *high = (const int32_t *)(bytes + m * 2 * CK_RUN), *low = high + 8;
      __m512 am = _mm512_set1_ps(a[m]);
      for (size_t part = 0; part < parts; part++) {
        size_t from = part * 4, to = halves ? from + 4 : 8;
        __m512i h0 = _mm512_setzero_si512(), h1 = h0, l0 = h0, l1 = h0;
        for (size_t i = from; i < to; i++) {
          __m512i b = _mm512_set1_epi32(high[i]), c = _mm512_set1_epi32(low[i]);
          h0 = _mm512_dpbusd_epi32(h0, weights[2 * i], b);
          h1 = _mm512_dpbusd_epi32(h1, weights[2 * i + 1], b);
          l0 = _mm512_dpbusd_epi32(l0, weights[2 * i], c);
          l1 = _mm512_dpbusd_epi32(l1, weights[2 * i + 1], c);
        }
        __m512 p0 = _mm512_cvtepi32_ps(_mm512_add_epi32(_mm512_slli_epi32(h0, 8), l0));
        __m512 p1 = _mm512_cvtepi32_ps(_mm512_add_epi32(_mm512_slli_epi32(h1, 8), l1));
        const float *scale = s + (parts * run + part) * CK_PANEL, *least = o + (parts * run + part) * CK_PANEL;
        __m512 tm = _mm512_set1_ps(t[part * x.rows + m]);
        __m512 sum0 = _mm512_fnmadd_ps(_mm512_load_ps(least), tm, sums[2 * m]);
        __m512 sum1 = _mm512_fnmadd_ps(_mm512_load_ps(least + 16), tm, sums[2 * m + 1]);
        sums[2 * m] = _mm512_fmadd_ps(_mm512_mul_ps(p0, _mm512_load_ps(scale)), am, sum0);
        sums[2 * m + 1] = _mm512_fmadd_ps(_mm512_mul_ps(p1, _mm512_load_ps(scale + 16)), am, sum1);
      }
    }
  }
}

static void panel_vnni(ck_block_format format, const void *blocks, size_t row_bytes, size_t count, ck_activations x,
                       float *y, size_t y_stride, void *scratch) {
  size_t n = x.length, parts = n / x.run_length, wide = up64(n), room = up64(n / 16);
  // The rows as they are unpacked, then lane by lane.
  uint8_t *u = scratch, *w = u + CK_PANEL * wide;
  float *s = (float *)(w + CK_PANEL * wide), *o = s + CK_PANEL * room;
  float *scales = o + CK_PANEL * room, *least = scales + CK_PANEL * room;
  if (count < CK_PANEL) memset(u, 0, ck_panel_scratch(n));
  for (size_t r = 0; r < count; r++)
    take_apart(format, (const uint8_t *)blocks + r * row_bytes, n, u + r * wide, s + r * room, o + r * room);
  for (size_t group = 0; group < 2; group++) {
    size_t row = 16 * group;
    // The last 64 may be 32: what stands behind them is not read again.
    for (size_t k = 0; k < n; k += 64) turn(u + row * wide + k, wide, w + k * CK_PANEL + group * 64, 128);
    for (size_t i = 0; i < parts; i += 16) {
      turn((const uint8_t *)(s + row * room + i), room * 4, (uint8_t *)(scales + i * CK_PANEL + row), 128);
      turn((const uint8_t *)(o + row * room + i), room * 4, (uint8_t *)(least + i * CK_PANEL + row), 128);
    }
  }
  __mmask16 first_half = (__mmask16)(count >= 16 ? 0xffff : (1u << count) - 1);
  __mmask16 second_half = (__mmask16)(count >= 32 ? 0xffff : count > 16 ? (1u << (count - 16)) - 1 : 0);
  __m512 sums[2 * 32];
  for (size_t m = 0; m < x.rows; m += 32) {
    size_t rows = x.rows - m < 32 ? x.rows - m : 32;
    if (format == CK_Q6_K)
      chunk(w, scales, least, x, m, rows, 1, sums);
    else
      chunk(w, scales, least, x, m, rows, 0, sums);
    for (size_t i = 0; i < rows; i++) {
      _mm512_mask_storeu_ps(y + (m + i) * y_stride, first_half, sums[2 * i]);
      _mm512_mask_storeu_ps(y + (m + i) * y_stride + 16, second_half, sums[2 * i + 1]);
    }
  }
}

const ck_block_kernels ck_blocks_vnni = {"avx512vnni", quantize_vnni, row_vnni, panel_vnni};
#pragma clang attribute pop
#else
typedef int ck_blocks_vnni_exists_on_x86_only;
#endif
