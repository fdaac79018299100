// The loops themselves. Included once by each instruction set's file, with CK_NAME(x) giving the suffix, CK_SET the
// table's name, CK_LANES the floats in a register and CK_DOT_ROWS how many rows of four sums the registers hold. The sums may be reassociated (that is what makes them wide), so sets agree to rounding, not bit for bit.
#include <math.h>
#include <string.h>

#include "include/ckernels.h"
#include "include/cktiles.h"

#include "lanes.h"

#define CK_REASSOCIATE _Pragma("clang fp reassociate(on) contract(fast)")

// exp to 2 ulp for x in [-87.3, 88]; below that 0. n = round(x log2 e), r = x - n ln 2 in two parts, a polynomial of
// degree 6 in r, then 2^n through the exponent bits. (Cephes' expf.)
static inline __attribute__((always_inline)) float CK_NAME(exp_one)(float x) {
  float clamped = x < -87.3f ? -87.3f : (x > 88.0f ? 88.0f : x);
  // Adding and taking away 1.5·2²³ rounds to the nearest integer and, unlike rintf, needs no SSE4.1 to be inlined.
  float shifted = clamped * 1.44269504088896341f + 12582912.0f;
  float n = shifted - 12582912.0f;
  float r = clamped - n * 0.693359375f + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  int32_t bits = ((int32_t)n + 127) << 23;
  float power;
  memcpy(&power, &bits, sizeof power);
  return x < -87.3f ? 0.0f : p * power;
}

// erf as an odd rational function on [-4, 4], beyond which it is ±1 in float32; a few ulp.
static inline __attribute__((always_inline)) float CK_NAME(erf_one)(float x) {
  float t = x < -4.0f ? -4.0f : (x > 4.0f ? 4.0f : x);
  float s = t * t;
  float p = -2.72614225801306e-10f;
  p = p * s + 2.77068142495902e-08f;
  p = p * s - 2.10102402082508e-06f;
  p = p * s - 5.69250639462346e-05f;
  p = p * s - 7.34990630326855e-04f;
  p = p * s - 2.95459980854025e-03f;
  p = p * s - 1.60960333262415e-02f;
  float q = -1.45660718464996e-05f;
  q = q * s - 2.13374055278905e-04f;
  q = q * s - 1.68282697438203e-03f;
  q = q * s - 7.37332916720468e-03f;
  q = q * s - 1.42647390514189e-02f;
  return t * p / q;
}

// By vectors, since the compiler may not reorder comparisons that a NaN could decide.
static inline __attribute__((always_inline)) float CK_NAME(greatest)(const float *x, size_t n, float top) {
  CK_NAME(lanes) tops = top;
  size_t i = 0;
  for (; i + CK_LANES <= n; i += CK_LANES) {
    CK_NAME(lanes) next = CK_NAME(load)(x + i);
    tops = next > tops ? next : tops;
  }
  for (size_t lane = 0; lane < CK_LANES; lane++) top = tops[lane] > top ? tops[lane] : top;
  for (; i < n; i++) top = x[i] > top ? x[i] : top;
  return top;
}

// exp(x) for x ≤ 0, to 1e-6 of it: 2^n · 2^r with n the nearest integer to x log2 e and r in [-½, ½]; 0 below -87.3. A
// softmax spends its time here, so it has a shorter one than `exp_one`: no second half of ln 2, and n, which adding
// 1.5·2²³ leaves in the low bits, goes into the exponent by a shift and a whole addition.
static inline __attribute__((always_inline)) float CK_NAME(exp_below)(float x) {
#pragma clang fp contract(fast)
  float shifted = x * 1.44269504088896341f + 12582912.0f;
  float r = x * 1.44269504088896341f - (shifted - 12582912.0f);
  float p = r * 1.5403530393381609e-4f + 1.3333558146428443e-3f;
  p = p * r + 9.6181291076284772e-3f;
  p = p * r + 5.5504108664821580e-2f;
  p = p * r + 2.4022650695910072e-1f;
  p = p * r + 6.9314718055994531e-1f;
  p = p * r + 1.0f;
  uint32_t whole, bits;
  memcpy(&whole, &shifted, sizeof whole);
  memcpy(&bits, &p, sizeof bits);
  bits += whole << 23;
  memcpy(&p, &bits, sizeof p);
  return x < -87.3f ? 0.0f : p;
}

static inline __attribute__((always_inline)) CK_NAME(lanes) CK_NAME(exp_below_lanes)(CK_NAME(lanes) x) {
#pragma clang fp contract(fast)
  CK_NAME(lanes) shifted = x * 1.44269504088896341f + 12582912.0f;
  CK_NAME(lanes) r = x * 1.44269504088896341f - (shifted - 12582912.0f);
  CK_NAME(lanes) p = r * 1.5403530393381609e-4f + 1.3333558146428443e-3f;
  p = p * r + 9.6181291076284772e-3f;
  p = p * r + 5.5504108664821580e-2f;
  p = p * r + 2.4022650695910072e-1f;
  p = p * r + 6.9314718055994531e-1f;
  p = p * r + 1.0f;
  CK_NAME(wholes) bits = (CK_NAME(wholes))p + ((CK_NAME(wholes))shifted << 23);
  return x < -87.3f ? (CK_NAME(lanes))0 : (CK_NAME(lanes))bits;
}

// x = exp(x - top), in place, for x ≤ top; returns their sum.
static inline __attribute__((always_inline)) float CK_NAME(exponentials)(float *restrict x, size_t n, float top) {
  CK_REASSOCIATE
  float sum = 0;
  for (size_t i = 0; i < n; i++) {
    // What reassociation may not touch: the rounding to an integer.
    float e = CK_NAME(exp_below)(x[i] - top);
    x[i] = e;
    sum += e;
  }
  return sum;
}

static void CK_NAME(softmax_rows)(float *restrict x, size_t rows, size_t cols) {
  for (size_t r = 0; r < rows; r++) {
    float *restrict row = x + r * cols;
    float inverse = 1.0f / CK_NAME(exponentials)(row, cols, CK_NAME(greatest)(row, cols, -INFINITY));
    for (size_t i = 0; i < cols; i++) row[i] *= inverse;
  }
}

static void CK_NAME(interleave)(const float *restrict a, const float *restrict b, const float *restrict c,
                                const float *restrict d, size_t n, float *restrict y) {
  for (size_t i = 0; i < n; i++) {
    y[4 * i] = a[i];
    y[4 * i + 1] = b[i];
    y[4 * i + 2] = c[i];
    y[4 * i + 3] = d[i];
  }
}

static void CK_NAME(blend)(const float *restrict above, const float *restrict below, float fraction, float *restrict y,
                           size_t n) {
// Not fused: the same bits on every set, and as plain code gives.
#pragma clang fp contract(off)
  float rest = 1 - fraction;
  for (size_t i = 0; i < n; i++) y[i] = rest * above[i] + fraction * below[i];
}

static void CK_NAME(cut)(const float *restrict x, float offset, size_t n, uint8_t *restrict bits, size_t counts[3]) {
  uint32_t inside = 0, inner = 0, outer = 0;
  float low = -offset;
  for (size_t i = 0; i < n; i++) {
    bits[i] = x[i] > 0;
    inside += x[i] > 0;
    inner += x[i] > offset;
    outer += x[i] > low;
  }
  counts[0] = inside;
  counts[1] = inner;
  counts[2] = outer;
}

static void CK_NAME(layer_norm)(const float *x, const float *restrict weight, const float *restrict bias, float eps,
                                float *y, size_t rows, size_t cols) {
  CK_REASSOCIATE
  for (size_t r = 0; r < rows; r++) {
    const float *in = x + r * cols;
    float *out = y + r * cols;
    float sum = 0;
    for (size_t i = 0; i < cols; i++) sum += in[i];
    float mean = sum / (float)cols;
    // Two passes: E[x²] - E[x]² loses the digits that matter when the mean is large.
    float squares = 0;
    for (size_t i = 0; i < cols; i++) {
      float d = in[i] - mean;
      squares += d * d;
    }
    float inverse = 1.0f / sqrtf(squares / (float)cols + eps);
    for (size_t i = 0; i < cols; i++) out[i] = (in[i] - mean) * inverse * weight[i] + bias[i];
  }
}

static void CK_NAME(rms_norm)(const float *x, const float *restrict weight, float eps, float *y, size_t rows,
                              size_t cols) {
  CK_REASSOCIATE
  for (size_t r = 0; r < rows; r++) {
    const float *in = x + r * cols;
    float *out = y + r * cols;
    float squares = 0;
    for (size_t i = 0; i < cols; i++) squares += in[i] * in[i];
    float inverse = 1.0f / sqrtf(squares / (float)cols + eps);
    for (size_t i = 0; i < cols; i++) out[i] = in[i] * inverse * weight[i];
  }
}

#ifndef CK_OWN_GELU
// x = GELU(x + bias), of which a step of 1 takes one after the other, a step of 0 always the first; none where it is NULL.
static inline __attribute__((always_inline)) void CK_NAME(gelu_sums)(float *restrict x, const float *restrict bias,
                                                                     size_t step, size_t n) {
  for (size_t i = 0; i < n; i++) {
    float sum = bias ? x[i] + bias[i * step] : x[i];
    x[i] = 0.5f * sum * (1.0f + CK_NAME(erf_one)(sum * 0.70710678118654752f));
  }
}
#endif

static void CK_NAME(gelu)(float *restrict x, size_t n) { CK_NAME(gelu_sums)(x, NULL, 0, n); }

static void CK_NAME(relu)(float *restrict x, size_t n) {
  for (size_t i = 0; i < n; i++) x[i] = x[i] > 0 ? x[i] : 0;
}

static void CK_NAME(silu_multiply)(float *restrict gate, const float *restrict up, size_t n) {
  for (size_t i = 0; i < n; i++) gate[i] = gate[i] / (1.0f + CK_NAME(exp_one)(-gate[i])) * up[i];
}

static void CK_NAME(add)(float *x, const float *y, size_t n) {
  for (size_t i = 0; i < n; i++) x[i] += y[i];
}

static void CK_NAME(add_row)(float *restrict x, const float *restrict row, size_t rows, size_t cols) {
  for (size_t r = 0; r < rows; r++)
    for (size_t i = 0; i < cols; i++) x[r * cols + i] += row[i];
}

static void CK_NAME(scale_shift_rows)(float *restrict x, const float *restrict scale, const float *restrict shift,
                                      size_t rows, size_t cols) {
  for (size_t r = 0; r < rows; r++)
    for (size_t i = 0; i < cols; i++) x[r * cols + i] = x[r * cols + i] * scale[i] + shift[i];
}

static void CK_NAME(add_grid_columns)(float *restrict x, size_t cols, const float *restrict by_row,
                                      const float *restrict by_column, size_t side, size_t first, size_t count) {
  for (size_t cell = first, end = first + count; cell < end;) {
    size_t column = cell % side, run = side - column < end - cell ? side - column : end - cell;
    for (size_t i = 0; i < cols; i += CK_LANES) {
      CK_NAME(lanes) term = CK_NAME(load)(by_row + cell / side * cols + i);
      float *restrict to = x + (cell - first) * cols + i;
      const float *restrict from = by_column + column * cols + i;
      for (size_t k = 0; k < run; k++)
        CK_NAME(store)(to + k * cols, CK_NAME(load)(to + k * cols) + (term + CK_NAME(load)(from + k * cols)));
    }
    cell += run;
  }
}

static void CK_NAME(add_columns)(float *restrict x, size_t rows, size_t cols, size_t stride, const float *restrict y,
                                 size_t y_stride) {
  for (size_t r = 0; r < rows; r++)
    for (size_t i = 0; i < cols; i++) x[r * stride + i] += y[r * y_stride + i];
}

static void CK_NAME(scale)(float *restrict x, float s, size_t n) {
  for (size_t i = 0; i < n; i++) x[i] *= s;
}

// One step of a softmax that sees its columns block by block (Milakov and Gimelshein, 2018): x[rows, cols] become
// exp(x − top), where `tops` are the greatest so far, `sums` the sums so far; what was made before has to be multiplied by `shrink`.
static void CK_NAME(softmax_step)(float *restrict x, size_t rows, size_t cols, size_t stride, float *restrict tops,
                                  float *restrict sums, float *restrict shrink) {
  for (size_t r = 0; r < rows; r++) {
    float *restrict row = x + r * stride;
    float top = CK_NAME(greatest)(row, cols, tops[r]);
    // Nothing visible so far: nothing to subtract from.
    float base = top == -INFINITY ? 0 : top;
    float sum = CK_NAME(exponentials)(row, cols, base);
    shrink[r] = tops[r] == -INFINITY ? 0 : CK_NAME(exp_one)(tops[r] - base);
    sums[r] = sums[r] * shrink[r] + sum;
    tops[r] = top;
  }
}

// What becomes of a product's sums while they are in the first cache. In one pass: what was stored by halves of a register a
// moment ago makes the next load of it wait.
static void CK_NAME(finish)(float *restrict c, size_t rows, size_t cols, size_t stride, const float *restrict bias,
                            ck_activation activation) {
  for (size_t r = 0; r < rows; r++) {
    float *restrict row = c + r * stride;
    if (activation == ck_gelu) {
      bias ? CK_NAME(gelu_sums)(row, bias, 1, cols) : CK_NAME(gelu_sums)(row, NULL, 0, cols);
      continue;
    }
    size_t i = 0;
    CK_NAME(lanes) least = activation == ck_relu ? 0 : -INFINITY;
    for (; i + CK_LANES <= cols; i += CK_LANES) {
      CK_NAME(lanes) sum = CK_NAME(load)(row + i);
      if (bias) sum += CK_NAME(load)(bias + i);
      CK_NAME(store)(row + i, sum < least ? least : sum);
    }
    for (; i < cols; i++) {
      float sum = bias ? row[i] + bias[i] : row[i];
      row[i] = sum < least[0] ? least[0] : sum;
    }
  }
}

#include "blocks.h"
#include "columns.h"
#include "depthwise.h"
#include "dot.h"
#include "stretch.h"
#ifdef CK_TILE_ROWS
#include "tiles.h"
#endif

const ck_kernels CK_SET = {
    .name = CK_LABEL,
    .softmax_rows = CK_NAME(softmax_rows),
    .layer_norm = CK_NAME(layer_norm),
    .rms_norm = CK_NAME(rms_norm),
    .gelu = CK_NAME(gelu),
    .relu = CK_NAME(relu),
    .silu_multiply = CK_NAME(silu_multiply),
    .add = CK_NAME(add),
    .add_row = CK_NAME(add_row),
    .scale_shift_rows = CK_NAME(scale_shift_rows),
    .add_grid_columns = CK_NAME(add_grid_columns),
    .add_columns = CK_NAME(add_columns),
    .finish = CK_NAME(finish),
    .gelu_columns = CK_NAME(gelu_columns),
    .scale = CK_NAME(scale),
    .depthwise_row = CK_NAME(depthwise_row),
    .dequantize_f16 = CK_NAME(dequantize_f16),
    .dequantize_bf16 = CK_NAME(dequantize_bf16),
    .dequantize_q8_0 = CK_NAME(dequantize_q8_0),
    .dequantize_q4_0 = CK_NAME(dequantize_q4_0),
    .dequantize_q4_k = CK_NAME(dequantize_q4_k),
    .dequantize_q6_k = CK_NAME(dequantize_q6_k),
    .dot_rows = CK_NAME(dot_rows),
    .softmax_step = CK_NAME(softmax_step),
    .softmax_columns = CK_NAME(softmax_columns),
    .softmax_step_columns = CK_NAME(softmax_step_columns),
    .scale_columns = CK_NAME(scale_columns),
    .join_columns = CK_NAME(join_columns),
    .dot_columns = CK_NAME(dot_columns),
    .weigh_columns = CK_NAME(weigh_columns),
    .norm_columns = CK_NAME(norm_columns),
    .interleave = CK_NAME(interleave),
    .blend = CK_NAME(blend),
    .stretch = CK_NAME(stretch),
    .cut = CK_NAME(cut),
};
