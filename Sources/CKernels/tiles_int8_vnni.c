// int8's tiles by `vpdpbusd`: a unit is four bytes of a row, and a step adds their products to an int32 sum. Reached only through the
// table, and only where the CPU has it.
//
// A strip begins with its rows' scales, a panel with its columns' scales and 128 times their sums.
#if defined(__x86_64__)
#include "include/cktiles.h"

#pragma clang attribute push(__attribute__((target("prfchw,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"))), apply_to = function)
#define CK_UNIT 4
#define CK_SUMS __m512i
#define CK_ZERO _mm512_setzero_si512()
#define CK_STEP(sums, a, b) _mm512_dpbusd_epi32(sums, a, b)
#define CK_FINISH(sums, strip, panel, r, v) in_floats(sums, strip, panel, r, v)
#define CK_STRIP_UNITS(strip) ((const uint32_t *)(strip) + 16)
#define CK_PANEL_UNITS(panel) ((const uint32_t *)(panel) + 64)
#include <immintrin.h>

static inline __attribute__((always_inline)) __m512 in_floats(__m512i sums, const void *strip, const void *panel,
                                                              size_t r, size_t v) {
  const float *row_scales = strip, *scales = panel;
  __m512i offset = _mm512_loadu_si512((const int32_t *)panel + 32 + 16 * v);
  __m512 scale = _mm512_mul_ps(_mm512_set1_ps(row_scales[r]), _mm512_loadu_ps(scales + 16 * v));
  return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(sums, offset)), scale);
}

#include "tile_avx512.h"

CK_INLINE __m512i read_signed(const float *x, size_t left, float factor) {
  __m512i out = _mm512_setzero_si512();
  __m128i part[4];
#pragma unroll
  for (size_t i = 0; i < 4; i++) {
    __m512 numbers = _mm512_maskz_loadu_ps(lanes16(left > 16 * i ? left - 16 * i : 0), x + 16 * i);
    part[i] = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(numbers, _mm512_set1_ps(factor))));
  }
  out = _mm512_inserti32x4(out, part[0], 0);
  out = _mm512_inserti32x4(out, part[1], 1);
  out = _mm512_inserti32x4(out, part[2], 2);
  return _mm512_inserti32x4(out, part[3], 3);
}

CK_INLINE __m512i read_unsigned(const float *x, size_t left, float factor) {
  return _mm512_xor_si512(read_signed(x, left, factor), _mm512_set1_epi8((char)0x80));
}

CK_INLINE float greatest(const float *x, size_t inner) {
  __m512 top = _mm512_setzero_ps();
  for (size_t k = 0; k < inner; k += 16)
    top = _mm512_max_ps(_mm512_abs_ps(_mm512_maskz_loadu_ps(lanes16(inner - k), x + k)), top);
  return _mm512_reduce_max_ps(top);
}

static size_t strip_bytes(size_t rows, size_t inner) { return 64 + ((inner + 3) / 4 * rows * 4 + 63) / 64 * 64; }
static size_t panel_bytes(size_t inner) { return 256 + (inner + 3) / 4 * 128; }

// What divides numbers into −127…127, and the scale that takes them back.
CK_INLINE float factor_of(float top, float *scale) {
  *scale = top / 127;
  return top > 0 ? 127 / top : 0;
}

static void pack_strip(const float *x, size_t stride, size_t count, size_t rows, size_t inner, void *strip) {
  float *scales = strip, factors[16] = {0};
  for (size_t i = 0; i < count; i++) factors[i] = factor_of(greatest(x + i * stride, inner), &scales[i]);
  for (size_t i = count; i < rows; i++) scales[i] = 0;
  pack_units(x, stride, count, rows, inner, CK_UNIT, factors, read_unsigned, (uint32_t *)strip + 16);
}

static void sum_columns(void *panel, size_t inner) {
  const int8_t *units = (const int8_t *)CK_PANEL_UNITS(panel);
  for (size_t v = 0; v < 2; v++) {
    __m512i sums = _mm512_setzero_si512();
    for (size_t u = 0; u < (inner + 3) / 4; u++)
      sums = _mm512_dpbusd_epi32(sums, _mm512_set1_epi8(1), _mm512_loadu_si512(units + u * 128 + v * 64));
    _mm512_storeu_si512((int32_t *)panel + 32 + 16 * v, _mm512_slli_epi32(sums, 7));
  }
}

static void pack_panel_rows(const float *x, size_t stride, size_t count, size_t inner, void *panel) {
  float *scales = panel, factors[32] = {0};
  for (size_t i = 0; i < count; i++) factors[i] = factor_of(greatest(x + i * stride, inner), &scales[i]);
  for (size_t i = count; i < 32; i++) scales[i] = 0;
  pack_units(x, stride, count, 32, inner, CK_UNIT, factors, read_signed, (uint32_t *)panel + 64);
  sum_columns(panel, inner);
}

// Rows of x[inner, count] → out[inner/4, width] of four bytes, width at most 32, and their columns' scales. `flip` makes them unsigned.
CK_INLINE void pack_columns(const float *x, size_t stride, size_t count, size_t width, size_t inner, uint32_t flip,
                            float *scales, uint32_t *units) {
  for (size_t first = 0; first < width; first += 16) {
    __mmask16 lanes = lanes16(count > first ? count - first : 0), to = lanes16(width - first);
    __m512 top = _mm512_setzero_ps();
    for (size_t k = 0; k < inner; k++)
      top = _mm512_max_ps(_mm512_abs_ps(_mm512_maskz_loadu_ps(lanes, x + k * stride + first)), top);
    _mm512_mask_storeu_ps(scales + first, to, _mm512_mul_ps(top, _mm512_set1_ps(1 / 127.0f)));
    __mmask16 some = _mm512_cmp_ps_mask(top, _mm512_setzero_ps(), _CMP_GT_OQ);
    __m512 factor = _mm512_maskz_div_ps(some, _mm512_set1_ps(127), top);
    uint32_t *out = units + first;
    for (size_t k = 0; k < inner; k += 4, out += width) {
      __m512i unit = _mm512_setzero_si512();
      for (size_t i = 0; i < 4 && k + i < inner; i++) {
        __m512 row = _mm512_maskz_loadu_ps(lanes, x + (k + i) * stride + first);
        __m512i byte = _mm512_and_si512(_mm512_cvtps_epi32(_mm512_mul_ps(row, factor)), _mm512_set1_epi32(255));
        unit = _mm512_or_si512(unit, _mm512_sllv_epi32(byte, _mm512_set1_epi32((int)(8 * i))));
      }
      _mm512_mask_storeu_epi32(out, to, _mm512_xor_si512(unit, _mm512_set1_epi32((int)flip)));
    }
  }
}

static void pack_panel_columns(const float *x, size_t stride, size_t count, size_t inner, void *panel) {
  pack_columns(x, stride, count, 32, inner, 0, panel, (uint32_t *)panel + 64);
  sum_columns(panel, inner);
}

static void pack_strip_columns(const float *x, size_t stride, size_t count, size_t rows, size_t inner, void *strip) {
  pack_columns(x, stride, count, rows, inner, 0x80808080u, strip, (uint32_t *)strip + 16);
}

const ck_tiles ck_tiles_int8_vnni = {
    "avx512vnni",    CK_TILE_ROWS,       32,      strip_rows, strip_bytes, panel_bytes, pack_strip, pack_strip_columns,
    pack_panel_rows, pack_panel_columns, multiply};
#pragma clang attribute pop
#else
typedef int ck_tiles_int8_vnni_exist_on_x86_only;
#endif
