// The tile of 14 × 32 sums that AVX-512 holds in 28 registers, for units of 32 bits. Included with CK_SUMS, the type of 16 sums,
// CK_ZERO, CK_STEP(sums, a, b), a step of 16 sums, and CK_FINISH(sums, strip, panel, r, v), which makes floats of them. With CK_READ, which
// reads 16 units of a row, strips and panels are nothing but units, and are packed here.
#include "transpose_avx512.h"

#define CK_TILE_ROWS 14

CK_INLINE void tile_of(size_t rows, const uint32_t *a, const uint32_t *b, const void *strip, const void *panel,
                       size_t units, float *c, size_t c_stride, int adds) {
  CK_SUMS sums[CK_TILE_ROWS][2];
#pragma unroll
  for (size_t r = 0; r < rows; r++) sums[r][0] = sums[r][1] = CK_ZERO;
  // Where the sums will go comes into the first cache meanwhile: whoever finishes them does not wait for it.
#pragma unroll
  for (size_t r = 0; r < rows; r++) {
    __builtin_prefetch(c + r * c_stride, 1);
    __builtin_prefetch(c + r * c_stride + 31, 1);
  }
#pragma clang loop unroll_count(2)
  for (size_t u = 0; u < units; u++) {
    __m512i b0 = _mm512_loadu_si512(b + u * 32), b1 = _mm512_loadu_si512(b + u * 32 + 16);
#pragma unroll
    for (size_t r = 0; r < rows; r++) {
      __m512i number = _mm512_set1_epi32((int)a[u * rows + r]);
      sums[r][0] = CK_STEP(sums[r][0], number, b0);
      sums[r][1] = CK_STEP(sums[r][1], number, b1);
    }
  }
#pragma unroll
  for (size_t r = 0; r < rows; r++)
#pragma unroll
    for (size_t v = 0; v < 2; v++) {
      float *to = c + r * c_stride + 16 * v;
      __m512 sum = CK_FINISH(sums[r][v], strip, panel, r, v);
      _mm512_storeu_ps(to, adds ? _mm512_add_ps(_mm512_loadu_ps(to), sum) : sum);
    }
}

static size_t strip_rows(size_t rows) { return rows <= 1 ? 1 : rows <= 2 ? 2 : rows <= 4 ? 4 : rows <= 8 ? 8 : 14; }

static void multiply(size_t rows, const void *strip, const void *panel, size_t inner, float *c, size_t c_stride,
                     int adds) {
  const uint32_t *a = CK_STRIP_UNITS(strip), *b = CK_PANEL_UNITS(panel);
  size_t units = (inner + CK_UNIT - 1) / CK_UNIT;
  switch (rows) {
  case 1: return tile_of(1, a, b, strip, panel, units, c, c_stride, adds);
  case 2: return tile_of(2, a, b, strip, panel, units, c, c_stride, adds);
  case 4: return tile_of(4, a, b, strip, panel, units, c, c_stride, adds);
  case 8: return tile_of(8, a, b, strip, panel, units, c, c_stride, adds);
  default: return tile_of(CK_TILE_ROWS, a, b, strip, panel, units, c, c_stride, adds);
  }
}

#ifdef CK_READ
static size_t strip_bytes(size_t rows, size_t inner) {
  return ((inner + CK_UNIT - 1) / CK_UNIT * rows * sizeof(uint32_t) + 63) / 64 * 64;
}

static size_t panel_bytes(size_t inner) { return strip_bytes(32, inner); }

static void pack_strip(const float *x, size_t stride, size_t count, size_t rows, size_t inner, void *strip) {
  pack_units(x, stride, count, rows, inner, CK_UNIT, NULL, CK_READ, strip);
}

static void pack_panel_rows(const float *x, size_t stride, size_t count, size_t inner, void *panel) {
  pack_units(x, stride, count, 32, inner, CK_UNIT, NULL, CK_READ, panel);
}

// Rows of x[inner, count] → units [inner / CK_UNIT, width], width at most 32; the set's own.
CK_INLINE void pack_columns(const float *x, size_t stride, size_t count, size_t width, size_t inner, uint32_t *out);

static void pack_panel_columns(const float *x, size_t stride, size_t count, size_t inner, void *panel) {
  pack_columns(x, stride, count, 32, inner, panel);
}

static void pack_strip_columns(const float *x, size_t stride, size_t count, size_t rows, size_t inner, void *strip) {
  pack_columns(x, stride, count, rows, inner, strip);
}
#endif
