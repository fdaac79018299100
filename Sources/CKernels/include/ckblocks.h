/// Products of activations with ggml's block formats, in integers.
///
/// A block format stores whole numbers and, for a run of L of them, a scale and a minimum: w = s u - o with u in 0…255
/// (Q8_0: u = q + 128, o = 128 s; Q4_0: o = 8 s; Q4_K: o is its own; Q6_K: o = 32 s, L = 16). An activation is rounded
/// to 16 bits with one scale a run of 32, x = a A, and split in two signed bytes, A = 256 H + l. A run's part of an inner product is
///
///     Σ w x = a (s (256 Σ u H + Σ u l) - o Σ A)
///
/// so all multiplications are of bytes, which CPUs with VNNI add up four at a time, and every sum within a run is exact.
/// What is lost is the activation's rounding, 2⁻¹⁵ of the greatest of its 32.
///
/// Legend: M rows of activations, K numbers in a row (a multiple of 32), N outputs. Everything is dense.
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { CK_RUN = 32, CK_PANEL = 32 };

typedef enum { CK_Q8_0, CK_Q4_0, CK_Q4_K, CK_Q6_K } ck_block_format;

/// How many numbers share a scale: L, 32 or 16.
static inline size_t ck_run_length(ck_block_format format) { return format == CK_Q6_K ? 16 : 32; }

/// Activations of M rows, for weights with runs of L. Each array begins at a multiple of 64 bytes.
typedef struct {
  size_t rows, length, run_length;
  /// [K/32, M, 64]: the high bytes of 32 numbers, then their low bytes. Neighbouring rows lie together.
  int8_t *bytes;
  /// a, as [K/32, M] and as [M, K/32].
  float *scales, *row_scales;
  /// a Σ A over each run, as [K/L, M] and as [M, K/L].
  float *sums, *row_sums;
} ck_activations;

typedef struct {
  const char *name;
  /// Rounds the rows `first`…`first + count` of x[M, K] into `to`.
  void (*quantize)(const float *x, size_t first, size_t count, ck_activations to);
  /// y[m * y_stride] = one weight row · x_m for each m. `blocks` is the row as it is stored, at any alignment.
  /// `scratch` has room for ck_row_scratch(K) bytes, 64-byte aligned.
  void (*row)(ck_block_format format, const void *blocks, ck_activations x, float *y, size_t y_stride, void *scratch);
  /// y[m * y_stride + n] for a panel of `count` ≤ 32 weight rows, `row_bytes` apart.
  /// `scratch` has room for ck_panel_scratch(K) bytes, 64-byte aligned.
  void (*panel)(ck_block_format format, const void *blocks, size_t row_bytes, size_t count, ck_activations x, float *y,
                size_t y_stride, void *scratch);
} ck_block_kernels;

size_t ck_row_scratch(size_t length);
size_t ck_panel_scratch(size_t length);

/// The set for this CPU, or NULL where bytes are no faster than floats.
const ck_block_kernels *ck_best_blocks(void);

/// Every set that this CPU can run, the scalar twin first; returns how many there are.
size_t ck_available_blocks(const ck_block_kernels **sets, size_t capacity);
