// The scalar twins of bf16's and int8's tiles: what they compute, written plainly. Strips and panels hold one number after the
// other, [K, rows] and [K, columns], behind their scales.
#include <math.h>
#include <string.h>

#include "include/cktiles.h"

#define CK_ROWS 4
#define CK_COLUMNS 16

static size_t strip_rows(size_t rows) { return rows <= 1 ? 1 : CK_ROWS; }

// The nearest number with 8 bits of fraction, ties to even.
static float round_bf16(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  if (isnan(x)) return x;
  bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000;
  memcpy(&x, &bits, sizeof bits);
  return x;
}

static size_t floats_bytes(size_t width, size_t inner) { return (inner * width * sizeof(float) + 63) / 64 * 64; }
static size_t bf16_panel_bytes(size_t inner) { return floats_bytes(CK_COLUMNS, inner); }

// A set's four ways to pack, by one loop: in rows of A and of Bᵀ numbers stand side by side, in columns of Aᵀ and B a row apart.
#define CK_PACK(name, pack)                                                                                            \
  static void name##_strip(const float *x, size_t stride, size_t count, size_t rows, size_t inner, void *strip) {      \
    pack(x, stride, 1, count, rows, inner, strip);                                                                     \
  }                                                                                                                    \
  static void name##_strip_columns(const float *x, size_t stride, size_t count, size_t rows, size_t inner,             \
                                   void *strip) {                                                                      \
    pack(x, 1, stride, count, rows, inner, strip);                                                                     \
  }                                                                                                                    \
  static void name##_panel_rows(const float *x, size_t stride, size_t count, size_t inner, void *panel) {              \
    pack(x, stride, 1, count, CK_COLUMNS, inner, panel);                                                               \
  }                                                                                                                    \
  static void name##_panel_columns(const float *x, size_t stride, size_t count, size_t inner, void *panel) {           \
    pack(x, 1, stride, count, CK_COLUMNS, inner, panel);                                                               \
  }

// Numbers of a row stand `step` apart, rows `stride`.
static void round_all(const float *x, size_t stride, size_t step, size_t count, size_t width, size_t inner, void *packed) {
  float *out = packed;
  for (size_t k = 0; k < inner; k++)
    for (size_t i = 0; i < width; i++) out[k * width + i] = i < count ? round_bf16(x[i * stride + k * step]) : 0;
}

CK_PACK(bf16, round_all)

static void bf16_multiply(size_t rows, const void *strip, const void *panel, size_t inner, float *c, size_t c_stride,
                          int adds) {
  const float *a = strip, *b = panel;
  for (size_t r = 0; r < rows; r++)
    for (size_t n = 0; n < CK_COLUMNS; n++) {
      float sum = 0;
      for (size_t k = 0; k < inner; k++) sum += a[k * rows + r] * b[k * CK_COLUMNS + n];
      c[r * c_stride + n] = sum + (adds ? c[r * c_stride + n] : 0);
    }
}

const ck_tiles ck_tiles_bf16_scalar = {
    "scalar",   CK_ROWS,         CK_COLUMNS,         strip_rows,   floats_bytes, bf16_panel_bytes,
    bf16_strip, bf16_strip_columns, bf16_panel_rows, bf16_panel_columns, bf16_multiply};

static size_t int8_bytes(size_t width, size_t inner) { return (width * sizeof(float) + inner * width + 63) / 64 * 64; }
static size_t int8_panel_bytes(size_t inner) { return int8_bytes(CK_COLUMNS, inner); }

static void quantize_all(const float *x, size_t stride, size_t step, size_t count, size_t width, size_t inner, void *out) {
  float *scales = out;
  int8_t *numbers = (int8_t *)(scales + width);
  for (size_t i = 0; i < width; i++) {
    float top = 0;
    for (size_t k = 0; i < count && k < inner; k++) top = fmaxf(top, fabsf(x[i * stride + k * step]));
    float factor = top > 0 ? 127 / top : 0;
    scales[i] = top / 127;
    for (size_t k = 0; k < inner; k++) {
      float number = i < count ? rintf(x[i * stride + k * step] * factor) : 0;
      numbers[k * width + i] = (int8_t)(number > 127 ? 127 : number >= -128 ? number : -128);
    }
  }
}

CK_PACK(int8, quantize_all)

static void int8_multiply(size_t rows, const void *strip, const void *panel, size_t inner, float *c, size_t c_stride,
                          int adds) {
  const float *s = strip, *t = panel;
  const int8_t *a = (const int8_t *)(s + rows), *b = (const int8_t *)(t + CK_COLUMNS);
  for (size_t r = 0; r < rows; r++)
    for (size_t n = 0; n < CK_COLUMNS; n++) {
      int32_t sum = 0;
      for (size_t k = 0; k < inner; k++) sum += a[k * rows + r] * b[k * CK_COLUMNS + n];
      c[r * c_stride + n] = (float)sum * (s[r] * t[n]) + (adds ? c[r * c_stride + n] : 0);
    }
}

const ck_tiles ck_tiles_int8_scalar = {
    "scalar",   CK_ROWS,         CK_COLUMNS,         strip_rows,   int8_bytes, int8_panel_bytes,
    int8_strip, int8_strip_columns, int8_panel_rows, int8_panel_columns, int8_multiply};
