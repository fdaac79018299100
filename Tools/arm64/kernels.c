// SPDX-License-Identifier: Apache-2.0
// The kernels against their definitions in double precision, without Swift: for CPUs that only an emulator has here. See
// Scripts/arm64. What Swift's tests check on this machine's sets is checked here on another's.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ckblocks.h"
#include "ckernels.h"
#include "cktiles.h"

static int checks, failures;
static const char *set_name;

static void near_to(const char *what, double actual, double expected, double limit) {
  checks++;
  if (fabs(actual - expected) <= limit) return;
  if (failures++ < 20) printf("%s %s: %.9g, not %.9g\n", set_name, what, actual, expected);
}

static uint64_t state;
static float noise(float scale) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return ((float)(state >> 40) / (1 << 24) * 2 - 1) * scale;
}

enum { MOST = 4096 };
static void fill(float *x, size_t n, float scale) {
  for (size_t i = 0; i < n; i++) x[i] = noise(scale);
}

static void pointwise(const ck_kernels *k, size_t n) {
  float x[MOST], y[MOST], z[MOST];
  fill(x, n, 6), fill(y, n, 3);
  memcpy(z, x, sizeof z), k->gelu(z, n);
  for (size_t i = 0; i < n; i++) near_to("gelu", z[i], 0.5 * x[i] * (1 + erf(x[i] / sqrt(2))), 2e-6);
  memcpy(z, x, sizeof z), k->relu(z, n);
  for (size_t i = 0; i < n; i++) near_to("relu", z[i], x[i] > 0 ? x[i] : 0, 0);
  memcpy(z, x, sizeof z), k->silu_multiply(z, y, n);
  for (size_t i = 0; i < n; i++) near_to("silu", z[i], x[i] / (1 + exp(-x[i])) * y[i], 5e-6);
  memcpy(z, x, sizeof z), k->add(z, y, n);
  for (size_t i = 0; i < n; i++) near_to("add", z[i], x[i] + y[i], 0);
  memcpy(z, x, sizeof z), k->scale(z, 0.3f, n);
  for (size_t i = 0; i < n; i++) near_to("scale", z[i], x[i] * 0.3f, 0);
  k->blend(x, y, 0.3f, z, n);
  for (size_t i = 0; i < n; i++) {
    volatile float above = (1 - 0.3f) * x[i], below = 0.3f * y[i];
    near_to("blend", z[i], above + below, 0);
  }
  uint8_t bits[MOST];
  size_t counts[3], wanted[3] = {0, 0, 0};
  k->cut(x, 1, n, bits, counts);
  for (size_t i = 0; i < n; i++) {
    near_to("cut", bits[i], x[i] > 0, 0);
    wanted[0] += x[i] > 0, wanted[1] += x[i] > 1, wanted[2] += x[i] > -1;
  }
  for (int i = 0; i < 3; i++) near_to("cut's counts", counts[i], wanted[i], 0);
}

static void rows(const ck_kernels *k, size_t count, size_t n) {
  float x[MOST], w[MOST], b[MOST], z[MOST];
  fill(x, count * n, 5), fill(w, n, 1), fill(b, n, 1);
  memcpy(z, x, sizeof z), k->softmax_rows(z, count, n);
  for (size_t r = 0; r < count; r++) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += exp(x[r * n + i]);
    for (size_t i = 0; i < n; i++) near_to("softmax", z[r * n + i], exp(x[r * n + i]) / sum, 1e-6);
  }
  memcpy(z, x, sizeof z), k->softmax_columns(z, 1, count, n);
  for (size_t i = 0; i < n; i++) {
    double sum = 0;
    for (size_t r = 0; r < count; r++) sum += exp(x[r * n + i]);
    for (size_t r = 0; r < count; r++) near_to("softmax_columns", z[r * n + i], exp(x[r * n + i]) / sum, 1e-6);
  }
  float tops[16], sums[16], shrink[16];
  for (size_t r = 0; r < count; r++) tops[r] = -INFINITY, sums[r] = 0;
  memcpy(z, x, sizeof z), k->softmax_step(z, count, n, n, tops, sums, shrink);
  for (size_t r = 0; r < count; r++) {
    double top = -INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++) top = fmax(top, x[r * n + i]);
    for (size_t i = 0; i < n; i++) sum += exp(x[r * n + i] - top);
    near_to("softmax_step's top", tops[r], top, 0), near_to("softmax_step's sum", sums[r], sum, 1e-5 * sum);
  }
  k->layer_norm(x, w, b, 1e-6f, z, count, n);
  for (size_t r = 0; r < count; r++) {
    double mean = 0, square = 0;
    for (size_t i = 0; i < n; i++) mean += x[r * n + i] / (double)n;
    for (size_t i = 0; i < n; i++) square += pow(x[r * n + i] - mean, 2) / (double)n;
    for (size_t i = 0; i < n; i++)
      near_to("layer_norm", z[r * n + i], (x[r * n + i] - mean) / sqrt(square + 1e-6) * w[i] + b[i], 2e-4);
  }
  k->rms_norm(x, w, 1e-6f, z, count, n);
  for (size_t r = 0; r < count; r++) {
    double square = 0;
    for (size_t i = 0; i < n; i++) square += (double)x[r * n + i] * x[r * n + i] / (double)n;
    for (size_t i = 0; i < n; i++) near_to("rms_norm", z[r * n + i], x[r * n + i] / sqrt(square + 1e-6) * w[i], 2e-5);
  }
  memcpy(z, x, sizeof z), k->add_row(z, b, count, n);
  for (size_t i = 0; i < count * n; i++) near_to("add_row", z[i], x[i] + b[i % n], 0);
  memcpy(z, x, sizeof z), k->scale_shift_rows(z, w, b, count, n);
  for (size_t i = 0; i < count * n; i++) near_to("scale_shift", z[i], (double)x[i] * w[i % n] + b[i % n], 2e-6);
  float y[16 * 2];
  k->dot_rows(w, x, count, n, y, 2);
  for (size_t r = 0; r < count; r++) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)w[i] * x[r * n + i];
    near_to("dot_rows", y[2 * r], sum, 1e-4);
  }
}

// Attention's columns: queries, sixteen at a time.
static void columns(const ck_kernels *k, size_t side, size_t cols) {
  static float x[MOST * 4], z[MOST * 4], by_row[MOST], by_column[MOST];
  size_t cells = side * side, count = cells - side / 2;
  fill(x, cells * cols, 5), fill(by_row, side * cols, 1), fill(by_column, side * cols, 1);
  k->add_grid_columns(memcpy(z, x, sizeof z), cols, by_row, by_column, side, side / 2, count);
  for (size_t i = 0; i < count * cols; i++) {
    size_t cell = side / 2 + i / cols, q = i % cols;
    near_to("add_grid_columns", z[i], x[i] + (by_row[cell / side * cols + q] + by_column[cell % side * cols + q]), 2e-6);
  }
  memcpy(z, x, sizeof z), k->add_columns(z, side, cols - 3, cols, by_row, cols);
  for (size_t i = 0; i < side * cols; i++) near_to("add_columns", z[i], x[i] + (i % cols < cols - 3 ? by_row[i] : 0), 0);
  float tops[64], sums[64], shrink[64];
  for (size_t i = 0; i < cols; i++) tops[i] = -INFINITY, sums[i] = 0;
  memcpy(z, x, sizeof z), k->softmax_step_columns(z, cells, cols, tops, sums, shrink);
  for (size_t i = 0; i < cols; i++) {
    double top = -INFINITY, sum = 0;
    for (size_t r = 0; r < cells; r++) top = fmax(top, x[r * cols + i]);
    for (size_t r = 0; r < cells; r++) {
      sum += exp(x[r * cols + i] - top);
      near_to("softmax_step_columns", z[r * cols + i], exp(x[r * cols + i] - top), 2e-6);
    }
    near_to("its top", tops[i], top, 0), near_to("its sum", sums[i], sum, 1e-5 * sum);
  }
  memcpy(z, x, sizeof z), k->finish(z, side, cols - 1, cols, by_row, ck_gelu);
  for (size_t i = 0; i < side * cols; i++) {
    double sum = (double)x[i] + by_row[i % cols];
    near_to("finish", z[i], i % cols < cols - 1 ? 0.5 * sum * (1 + erf(sum / sqrt(2))) : x[i], 2e-6);
  }
  memcpy(z, x, sizeof z), k->gelu_columns(z, side, cols, by_column);
  for (size_t i = 0; i < side * cols; i++) {
    double sum = (double)x[i] + by_column[i / cols];
    near_to("gelu_columns", z[i], 0.5 * sum * (1 + erf(sum / sqrt(2))), 2e-6);
  }
  memcpy(z, x, sizeof z), k->scale_columns(z, side, cols, cols, by_row);
  for (size_t i = 0; i < side * cols; i++) near_to("scale_columns", z[i], x[i] * by_row[i % cols], 0);
  memcpy(z, x, sizeof z), k->join_columns(z, by_column, side, cols, by_row, by_column);
  for (size_t i = 0; i < side * cols; i++)
    near_to("join_columns", z[i], (double)(x[i] + by_column[i]) * by_row[i % cols] + by_column[i / cols], 1e-5);
  // x and itself in panels of seven columns.
  enum { WIDTH = 7 };
  size_t panels = (cols + WIDTH - 1) / WIDTH;
  for (size_t i = 0; i < panels * side * WIDTH; i++) {
    size_t column = i / (side * WIDTH) * WIDTH + i % WIDTH;
    z[i] = column < cols ? x[i / WIDTH % side * cols + column] : NAN;
  }
  k->weigh_columns(x, cols, side, z, WIDTH, side, side, cols, by_row, side);
  for (size_t i = 0; i < side * side; i++) {
    double dot = 0;
    for (size_t j = 0; j < cols; j++) dot += (double)x[i / side * cols + j] * x[i % side * cols + j];
    near_to("weigh_columns", by_row[i], dot, 1e-4 + 1e-6 * fabs(dot));
  }
  fill(by_row, side * cols, 1);
  for (size_t i = 0; i < cols; i++) sums[i] = by_row[i];
  k->dot_columns(x, by_column, side, cols, sums);
  memcpy(z, x, sizeof z), k->norm_columns(z, side, cols, by_row, by_column, 1e-6f);
  for (size_t i = 0; i < cols; i++) {
    double dot = by_row[i], mean = 0, square = 0;
    for (size_t r = 0; r < side; r++) dot += (double)x[r * cols + i] * by_column[r * cols + i], mean += x[r * cols + i] / (double)side;
    for (size_t r = 0; r < side; r++) square += pow(x[r * cols + i] - mean, 2) / (double)side;
    near_to("dot_columns", sums[i], dot, 1e-4);
    for (size_t r = 0; side > 1 && r < side; r++)
      near_to("norm_columns", z[r * cols + i], (x[r * cols + i] - mean) / sqrt(square + 1e-6) * by_row[r] + by_column[r], 2e-3);
  }
  k->interleave(x, x + cells, x + 2 * cells, x + 3 * cells, cells, z);
  for (size_t i = 0; i < 4 * cells; i++) near_to("interleave", z[i], x[i % 4 * cells + i / 4], 0);
  ptrdiff_t low[MOST], high[MOST];
  for (size_t i = 0; i < cells; i++) low[i] = (ptrdiff_t)(i / 3), high[i] = (ptrdiff_t)((i + 2) / 3), by_row[i] = (float)(i % 3) / 3;
  k->stretch(x, low, high, by_row, z, cells);
  for (size_t i = 0; i < cells; i++) {
    volatile float first = (1 - by_row[i]) * x[low[i]], second = by_row[i] * x[high[i]];
    near_to("stretch", z[i], first + second, 0);
  }
}

static void depthwise(const ck_kernels *k, size_t width, size_t channels, size_t size, size_t stride) {
  float map[MOST], weight[MOST], bias[MOST], y[MOST];
  fill(map, size * width * channels, 1), fill(weight, size * size * channels, 1), fill(bias, channels, 1);
  const float *in[8];
  for (size_t i = 0; i < size; i++) in[i] = i ? map + i * width * channels : NULL;
  size_t padding = size / 2, out = (width + 2 * padding - size) / stride + 1;
  k->depthwise_row(in, width, channels, weight, bias, size, stride, padding, y, out);
  for (size_t x = 0; x < out; x++)
    for (size_t c = 0; c < channels; c++) {
      double sum = bias[c];
      for (size_t ky = 1; ky < size; ky++)
        for (size_t kx = 0; kx < size; kx++) {
          long at = (long)(x * stride + kx) - (long)padding;
          if (at >= 0 && at < (long)width)
            sum += (double)in[ky][(size_t)at * channels + c] * weight[(ky * size + kx) * channels + c];
        }
      near_to("depthwise", y[x * channels + c], sum, 1e-4);
    }
}

// 0.3 of 127 for int8, 2⁻⁸ for bf16: what rounding of both operands may cost each product.
static void products(const ck_tiles *t, ck_precision precision, size_t count, size_t inner) {
  static float a[MOST], a_columns[MOST], b[MOST], c[MOST];
  static _Alignas(64) uint8_t strip[1 << 18], panel[1 << 18];
  size_t rows = t->strip_rows(count), columns = t->columns - 3;
  fill(a, count * inner, 1), fill(b, columns * inner, 1);
  double limit = (precision == ck_fp32 ? 1e-6 : precision == ck_bf16 ? 0.01 : 0.02) * (double)inner;
  for (size_t i = 0; i < count * inner; i++) a_columns[i % inner * count + i / inner] = a[i];
  for (int transposed = 0; transposed < 2; transposed++) {
    if (transposed) t->pack_strip(a, inner, count, rows, inner, strip);
    else t->pack_strip_columns(a_columns, count, count, rows, inner, strip);
    if (transposed) t->pack_panel_rows(b, inner, columns, inner, panel);
    else t->pack_panel_columns(b, columns, columns, inner, panel);
    t->multiply(rows, strip, panel, inner, c, t->columns, 0);
    t->multiply(rows, strip, panel, inner, c, t->columns, 1);
    for (size_t i = 0; i < count; i++)
      for (size_t j = 0; j < t->columns; j++) {
        double sum = 0;
        for (size_t k = 0; k < inner && j < columns; k++)
          sum += (double)a[i * inner + k] * (transposed ? b[j * inner + k] : b[k * columns + j]);
        near_to("product", c[i * t->columns + j], 2 * sum, limit);
      }
  }
}

// Q8_0: a half's scale and 32 signed bytes; the row as it stands, and as a product in integers.
static void blocks(const ck_kernels *k, const ck_block_kernels *b) {
  enum { LENGTH = 256, RUNS = LENGTH / 32 };
  uint8_t stored[RUNS * 34];
  float x[LENGTH], w[LENGTH], y[1];
  fill(x, LENGTH, 2);
  for (size_t run = 0; run < RUNS; run++) {
    uint16_t scale = 0x2400 + (uint16_t)run;  // about 1/64
    memcpy(stored + run * 34, &scale, 2);
    for (size_t i = 0; i < 32; i++) {
      int8_t q = (int8_t)noise(127);
      stored[run * 34 + 2 + i] = (uint8_t)q;
      w[run * 32 + i] = (float)(ldexp(1 + run / 1024.0, -6) * q);
    }
  }
  float plain[LENGTH];
  k->dequantize_q8_0(stored, plain, LENGTH);
  for (size_t i = 0; i < LENGTH; i++) near_to("dequantize_q8_0", plain[i], w[i], 1e-6);
  static _Alignas(64) int8_t bytes[2 * LENGTH];
  static _Alignas(64) float scales[RUNS], row_scales[RUNS], sums[RUNS], row_sums[RUNS];
  static _Alignas(64) uint8_t scratch[1 << 16];
  ck_activations to = {1, LENGTH, 32, bytes, scales, row_scales, sums, row_sums};
  b->quantize(x, 0, 1, to);
  b->row(CK_Q8_0, stored, to, y, 1, scratch);
  double sum = 0;
  for (size_t i = 0; i < LENGTH; i++) sum += (double)w[i] * x[i];
  near_to("block product", y[0], sum, 2e-3);
}

int main(void) {
  const ck_kernels *sets[8];
  size_t count = ck_available(sets, 8);
  for (size_t s = 0; s < count; s++) {
    set_name = sets[s]->name;
    for (size_t n = 1; n < 300; n = n * 2 + 1) pointwise(sets[s], n), rows(sets[s], 5, n);
    for (size_t side = 2; side < 16; side = side * 2 + 1) columns(sets[s], side, 16), columns(sets[s], side, 48);
    depthwise(sets[s], 1, 3, 3, 1), depthwise(sets[s], 9, 19, 7, 1), depthwise(sets[s], 8, 70, 3, 2);
    const ck_block_kernels *formats[4];
    for (size_t i = 0, n = ck_available_blocks(formats, 4); i < n; i++) blocks(sets[s], formats[i]);
    printf("%s ", sets[s]->name);
  }
  for (ck_precision precision = ck_fp32; precision <= ck_int8; precision++) {
    const ck_tiles *tiles[4];
    for (size_t i = 0, n = ck_available_tiles(precision, tiles, 4); i < n; i++) {
      set_name = tiles[i]->name;
      for (size_t rows = 1; rows <= tiles[i]->rows; rows++)
        for (size_t inner = 1; inner < 130; inner = inner * 2 + 1) products(tiles[i], precision, rows, inner);
      printf("%s ", tiles[i]->name);
    }
  }
  printf("\n%d checks, %d failures\n", checks, failures);
  return failures > 0;
}
