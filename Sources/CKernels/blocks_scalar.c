// The scalar twins of the block products, and which set this CPU gets.
#include <math.h>

#include "include/ckblocks.h"
#include "unpack.h"

// Activations below this are 0, above it are no numbers.
#define CK_LEAST 1e-30f
#define CK_MOST 3e38f

// Each array begins at a multiple of 64 bytes.
static size_t up64(size_t n) { return (n + 63) / 64 * 64; }
// The row's numbers, scales and minima, and four rows' products of scales.
size_t ck_row_scratch(size_t length) { return up64(length) + 6 * up64(length / 16) * sizeof(float); }
size_t ck_panel_scratch(size_t length) {
  return CK_PANEL * (2 * up64(length) + 4 * up64(length / 16) * sizeof(float));
}

static void quantize_scalar(const float *x, size_t first, size_t count, ck_activations to) {
  size_t runs = to.length / CK_RUN, parts = CK_RUN / to.run_length;
  for (size_t m = first; m < first + count; m++)
    for (size_t run = 0; run < runs; run++) {
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
      to.scales[run * to.rows + m] = to.row_scales[m * runs + run] = scale;
      for (size_t part = 0; part < parts; part++) {
        size_t at = run * parts + part;
        to.sums[at * to.rows + m] = to.row_sums[m * runs * parts + at] = scale * (float)sums[part];
      }
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

static const ck_block_kernels scalar = {"scalar", quantize_scalar, row_scalar, panel_scalar};

#if defined(__x86_64__)
extern const ck_block_kernels ck_blocks_vnni;
static int has_vnni(void) {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni");
}
#endif

size_t ck_available_blocks(const ck_block_kernels **sets, size_t capacity) {
  const ck_block_kernels *found[2];
  size_t count = 0;
  found[count++] = &scalar;
#if defined(__x86_64__)
  if (has_vnni()) found[count++] = &ck_blocks_vnni;
#endif
  for (size_t i = 0; i < count && i < capacity; i++) sets[i] = found[i];
  return count;
}

const ck_block_kernels *ck_best_blocks(void) {
  const ck_block_kernels *sets[2];
  size_t count = ck_available_blocks(sets, 2);
  return count > 1 ? sets[count - 1] : NULL;
}
