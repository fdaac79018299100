/// SIMD inner loops of Pandion.
///
/// Every kernel is written once, as the plain loop in `loops.h`, and compiled three times: as the scalar twin
/// (`scalar.c`, no target attribute) and for AVX2 and AVX-512 (`avx2.c`, `avx512.c`), where the compiler may use the wider
/// registers. The table is filled once, by what the CPU has. On other architectures only the scalar twin exists, which
/// the compiler vectorises for that machine's baseline (NEON on arm64).
///
/// Legend: `x`, `y` float32 arrays, dense; `n` elements; rows × cols matrices are row-major.
#pragma once
#include <stddef.h>
#include <stdint.h>

/// How many parallel loops the calling thread is in; Swift has no variables of a thread. Not inline: each of the rooms that include
/// this would have a variable of its own.
int *ck_loop_depth(void);

typedef enum ck_activation { ck_no_activation, ck_relu, ck_gelu } ck_activation;

typedef struct ck_kernels {
  const char *name;
  /// x[i] = softmax over each row of x[rows, cols], in place; -inf entries become 0 as long as a row has a finite one.
  void (*softmax_rows)(float *x, size_t rows, size_t cols);
  /// y = (x - mean) / sqrt(var + eps) * weight + bias, over the last axis of x[rows, cols]; y may be x.
  void (*layer_norm)(const float *x, const float *weight, const float *bias, float eps, float *y, size_t rows,
                     size_t cols);
  /// y = x / sqrt(mean(x²) + eps) * weight, over the last axis (LLaMA's RMSNorm); y may be x.
  void (*rms_norm)(const float *x, const float *weight, float eps, float *y, size_t rows, size_t cols);
  /// x = x/2 (1 + erf(x/√2)), the exact GELU, in place.
  void (*gelu)(float *x, size_t n);
  /// x = max(x, 0), in place.
  void (*relu)(float *x, size_t n);
  /// gate = silu(gate) * up, in place on gate.
  void (*silu_multiply)(float *gate, const float *up, size_t n);
  /// x += y.
  void (*add)(float *x, const float *y, size_t n);
  /// x[r, :] += row for every r.
  void (*add_row)(float *x, const float *row, size_t rows, size_t cols);
  /// x[r, :] = x[r, :] * scale + shift for every r (a folded batch norm).
  void (*scale_shift_rows)(float *x, const float *scale, const float *shift, size_t rows, size_t cols);
  /// Down columns, `cols` of them (a multiple of 16): x[cell - first, i] += by_row[y, i] + by_column[x, i] for `count` cells of a
  /// grid `side` wide from cell `first` on, cell y·side + x.
  void (*add_grid_columns)(float *x, size_t cols, const float *by_row, const float *by_column, size_t side,
                           size_t first, size_t count);
  /// x[r, i] += y[r, i], rows `stride` and `y_stride` apart.
  void (*add_columns)(float *x, size_t rows, size_t cols, size_t stride, const float *y, size_t y_stride);
  /// c[r, :] = activation(c[r, :] + bias), rows `stride` apart; `bias` may be NULL.
  void (*finish)(float *c, size_t rows, size_t cols, size_t stride, const float *bias, ck_activation activation);
  /// x *= s.
  void (*scale)(float *x, float s, size_t n);
  /// One output row of a depthwise convolution, channels last, zero padding.
  /// rows: k rows of the map, [width, channels] each, NULL where padding is; weight[k, k, channels], bias[channels],
  /// y[out_width, channels].
  void (*depthwise_row)(const float *const *rows, size_t width, size_t channels, const float *weight, const float *bias,
                        size_t k, size_t stride, size_t padding, float *y, size_t out_width);
  /// y[n] = the stored numbers, in float32; `blocks` at any alignment, n a multiple of the block's length (1, 1, 32, 32,
  /// 256, 256). The formats are ggml's.
  void (*dequantize_f16)(const void *blocks, float *y, size_t n);
  void (*dequantize_bf16)(const void *blocks, float *y, size_t n);
  void (*dequantize_q8_0)(const void *blocks, float *y, size_t n);
  void (*dequantize_q4_0)(const void *blocks, float *y, size_t n);
  void (*dequantize_q4_k)(const void *blocks, float *y, size_t n);
  void (*dequantize_q6_k)(const void *blocks, float *y, size_t n);
  /// y[r * y_stride] = w[n] · x[r, n] for each of `rows` rows; the same bits for a row however many there are.
  void (*dot_rows)(const float *w, const float *x, size_t rows, size_t n, float *y, size_t y_stride);
  /// A softmax's next `cols` columns, for rows that see theirs block by block: x = exp(x - top); tops[rows] begin at -inf,
  /// sums[rows] at 0; what was made of earlier columns has to be multiplied by shrink[rows].
  void (*softmax_step)(float *x, size_t rows, size_t cols, size_t stride, float *tops, float *sums, float *shrink);
  /// `softmax_step` down columns, `cols` of them (a multiple of 16): a softmax's next `rows` rows of x[rows, cols];
  /// tops[cols], sums[cols], shrink[cols].
  void (*softmax_step_columns)(float *x, size_t rows, size_t cols, float *tops, float *sums, float *shrink);
  /// The softmax of each column of x[groups, terms, cols] over the terms of a group, in place.
  void (*softmax_columns)(float *x, size_t groups, size_t terms, size_t cols);
  /// x[r, i] *= factors[i], rows `stride` apart.
  void (*scale_columns)(float *x, size_t rows, size_t cols, size_t stride, const float *factors);
  /// x[r, i] = (x[r, i] + y[r, i]) * factors[i] + offsets[r].
  void (*join_columns)(float *x, const float *y, size_t rows, size_t cols, const float *factors, const float *offsets);
  /// x[r, i] = GELU(x[r, i] + offsets[r]).
  void (*gelu_columns)(float *x, size_t rows, size_t cols, const float *offsets);
  /// sums[i] += Σ over r of x[r, i] * y[r, i].
  void (*dot_columns)(const float *x, const float *y, size_t rows, size_t cols, float *sums);
  /// y[r, j] = Σ over i of x[r, i] * z[j, i], for x[rows, cols] and z[count, cols]. z lies in panels of `width` columns, each of them
  /// [z_rows, width], of whose rows the first `count` count.
  void (*weigh_columns)(const float *x, size_t stride, size_t rows, const float *z, size_t width, size_t z_rows,
                        size_t count, size_t cols, float *y, size_t y_stride);
  /// The layer norm down each column of x[rows, cols], in place; weight[rows], bias[rows].
  void (*norm_columns)(float *x, size_t rows, size_t cols, const float *weight, const float *bias, float eps);
  /// y[4i…4i+3] = a[i], b[i], c[i], d[i].
  void (*interleave)(const float *a, const float *b, const float *c, const float *d, size_t n, float *y);
  /// y = (1 - fraction) * above + fraction * below, each step rounded.
  void (*blend)(const float *above, const float *below, float fraction, float *y, size_t n);
  /// y[i] = (1 - fraction[i]) * x[low[i]] + fraction[i] * x[high[i]], each step rounded; low and high never fall.
  void (*stretch)(const float *x, const ptrdiff_t *low, const ptrdiff_t *high, const float *fraction, float *y, size_t n);
  /// bits = x > 0; counts = how many x are above 0, above offset, above -offset.
  void (*cut)(const float *x, float offset, size_t n, uint8_t *bits, size_t counts[3]);
} ck_kernels;

/// The kernels for this CPU; the same pointer for the life of the process.
const ck_kernels *ck_best(void);

/// Every set that this CPU can run, the scalar twin first.
/// @return how many there are; at most `capacity` are written to `sets`.
size_t ck_available(const ck_kernels **sets, size_t capacity);
