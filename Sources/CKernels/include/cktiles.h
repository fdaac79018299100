/// Products of packed matrices, C[M, N] (+)= A[M, K] · B[K, N], in tiles of sums that stay in registers while they run
/// down K.
///
/// Both operands are packed first: A in strips, a few rows each, and B in panels, a tile's columns each. What a strip or a
/// panel looks like inside is its set's own matter; it holds K numbers a row and, in int8, their scales. A step reads
/// two short consecutive runs. The sets of a precision differ in speed, and in rounding where sums are floats.
///
/// Legend: fp32 multiplies float32. bf16 rounds both operands to 8 bits of fraction; sums are float32. int8 rounds them to 8
/// bits with a scale for each row of A and each column of B; sums are int32, exact:
///   A = s·a, B = t·b:  Σ A·B = s·t·(Σ (a + 128)·b − 128·Σ b)
/// The hardware multiplies unsigned by signed bytes, hence the 128, which the panel's own sums take away again.
#pragma once
#include <stddef.h>
#include <stdint.h>

typedef enum ck_precision { ck_fp32, ck_bf16, ck_int8 } ck_precision;

typedef struct ck_tiles {
  const char *name;
  /// The greatest height of a tile, and its width.
  size_t rows, columns;
  /// The height that a strip of `rows` rows is padded to.
  size_t (*strip_rows)(size_t rows);
  /// What a strip of so many (padded) rows and a panel take, in bytes; multiples of 64, and they begin at one.
  size_t (*strip_bytes)(size_t rows, size_t inner);
  size_t (*panel_bytes)(size_t inner);
  /// x[count, inner], rows `stride` apart → a strip of `rows` rows; what comes of rows from `count` on means nothing.
  void (*pack_strip)(const float *x, size_t stride, size_t count, size_t rows, size_t inner, void *strip);
  /// x[inner, count], rows `stride` apart → a strip of `rows` rows of xᵀ; what comes of columns from `count` on means nothing.
  void (*pack_strip_columns)(const float *x, size_t stride, size_t count, size_t rows, size_t inner, void *strip);
  /// x[count, inner], rows `stride` apart → a panel of xᵀ; columns from `count` on are 0.
  void (*pack_panel_rows)(const float *x, size_t stride, size_t count, size_t inner, void *panel);
  /// x[inner, count], rows `stride` apart → a panel; columns from `count` on are 0.
  void (*pack_panel_columns)(const float *x, size_t stride, size_t count, size_t inner, void *panel);
  /// c[rows, columns] (+)= strip · panel; `rows` is one of `strip_rows`, `adds` keeps what c has.
  void (*multiply)(size_t rows, const void *strip, const void *panel, size_t inner, float *c, size_t c_stride,
                   int adds);
} ck_tiles;

/// The set for this CPU; NULL where it has none that is faster than fp32's.
const ck_tiles *ck_best_tiles(ck_precision precision);

/// Every set of a precision that this CPU can run, the scalar twin first.
/// @return how many there are; at most `capacity` are written to `sets`.
size_t ck_available_tiles(ck_precision precision, const ck_tiles **sets, size_t capacity);
