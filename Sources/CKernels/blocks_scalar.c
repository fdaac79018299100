// The scalar twins of the block products.
#include <math.h>

#include "activations.h"
#include "unpack.h"

// The row's numbers, scales and minima, and four rows' products of scales.
size_t ck_row_scratch(size_t length) { return up64(length) + 6 * up64(length / 16) * sizeof(float); }
size_t ck_panel_scratch(size_t length) {
  return CK_PANEL * (2 * up64(length) + 4 * up64(length / 16) * sizeof(float));
}

static void quantize_scalar(const float *x, size_t first, size_t count, ck_activations to) {
  for (size_t m = first; m < first + count; m++)
    for (size_t run = 0; run < to.length / CK_RUN; run++) {
      const float *in = x + m * to.length + run * CK_RUN;
      int8_t *bytes = to.bytes + (run * to.rows + m) * 2 * CK_RUN;
      float most = 0;
      for (size_t i = 0; i < CK_RUN; i++) {
        float size = fabsf(in[i]);
        // A NaN is greater than none and stays.
        most = size > most || size != size ? size : most;
      }
      // 127 · 256 + 127 is the most that two signed bytes hold. What is no number goes on in the scale.
      float scale = most <= CK_MOST ? most / 32639 : NAN, inverse = most >= CK_LEAST && most <= CK_MOST ? 32639 / most : 0;
      int32_t sums[2] = {0, 0};
      for (size_t i = 0; i < CK_RUN; i++) {
        int32_t a = inverse > 0 ? (int32_t)lrintf(in[i] * inverse) : 0, low = (int8_t)(a & 255);
        bytes[i] = (int8_t)((a - low) / 256);
        bytes[CK_RUN + i] = (int8_t)low;
        sums[i / to.run_length] += a;
      }
      keep_scale(to, m, run, scale, (float[]){(float)sums[0], (float)sums[1]});
    }
}

static void row_scalar(ck_block_format format, const void *blocks, ck_activations x, float *y, size_t y_stride,
                       void *scratch) {
  size_t run_length = x.run_length, runs = x.length / run_length;
  uint8_t *u = scratch;
  float *s = (float *)(u + up64(x.length)), *o = s + up64(x.length / 16);
  unpack(format, blocks, x.length, u, s, o);
  for (size_t m = 0; m < x.rows; m++) {
    float sum = 0;
    for (size_t run = 0; run < runs; run++) {
      size_t whole = run * run_length / CK_RUN, from = run * run_length % CK_RUN;
      const int8_t *high = x.bytes + (whole * x.rows + m) * 2 * CK_RUN + from, *low = high + CK_RUN;
      int32_t product = 0;
      for (size_t i = 0; i < run_length; i++) product += u[run * run_length + i] * (256 * high[i] + low[i]);
      sum += s[run] * x.scales[whole * x.rows + m] * (float)product - o[run] * x.sums[run * x.rows + m];
    }
    y[m * y_stride] = sum;
  }
}

static void panel_scalar(ck_block_format format, const void *blocks, size_t row_bytes, size_t count, ck_activations x,
                         float *y, size_t y_stride, void *scratch) {
  for (size_t n = 0; n < count; n++)
    row_scalar(format, (const uint8_t *)blocks + n * row_bytes, x, y + n, y_stride, scratch);
}

const ck_block_kernels ck_blocks_scalar = {"scalar", quantize_scalar, row_scalar, panel_scalar};
