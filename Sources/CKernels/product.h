// Products with packed matrices. Included by loops.h, once for each instruction set.
//
// C[M, N] += A[M, K] · B[K, N] is cut into tiles of CK_TILE_ROWS × CK_TILE_COLUMNS sums that stay in registers while they run
// down K. Both operands are packed first, so that a step of k reads two short consecutive runs: A in strips [K, rows] of a few rows, B in
// panels [K, CK_TILE_COLUMNS]. A step loads one row of the panel and multiplies it by each number of the strip. The tile is as high
// as registers allow: sums, a row of the panel, one broadcast.

#define CK_TILE_COLUMNS (CK_TILE_VECTORS * CK_LANES)

// x[count, length], rows `stride` apart → out[length, width]; columns from `count` to `width` are 0.
static void CK_NAME(pack_rows)(const float *restrict x, size_t stride, size_t count, size_t width, size_t length,
                               float *restrict out) {
  // Sixteen steps at a time, so that what is written stays in the first cache until it is full.
  for (size_t first = 0; first < length; first += 16) {
    size_t end = first + 16 < length ? first + 16 : length;
    for (size_t i = 0; i < count; i++)
      for (size_t k = first; k < end; k++) out[k * width + i] = x[i * stride + k];
    for (size_t i = count; i < width; i++)
      for (size_t k = first; k < end; k++) out[k * width + i] = 0;
  }
}

// x[length, count], rows `stride` apart → out[length, width]; columns from `count` to `width` are 0.
static void CK_NAME(pack_columns)(const float *restrict x, size_t stride, size_t count, size_t width, size_t length,
                                  float *restrict out) {
  for (size_t k = 0; k < length; k++) {
    memcpy(out + k * width, x + k * stride, count * sizeof(float));
    for (size_t i = count; i < width; i++) out[k * width + i] = 0;
  }
}

// `rows` is a constant where this is inlined. `a` [inner, rows], `b` [inner, CK_TILE_COLUMNS].
static inline __attribute__((always_inline)) void CK_NAME(tile_of)(size_t rows, const float *a, const float *b,
                                                                   size_t inner, float *c, size_t c_stride, int adds) {
#pragma clang fp contract(fast)
  CK_NAME(lanes) sums[CK_TILE_ROWS][CK_TILE_VECTORS];
#pragma unroll
  for (size_t r = 0; r < rows; r++)
#pragma unroll
    for (size_t v = 0; v < CK_TILE_VECTORS; v++)
      sums[r][v] = adds ? CK_NAME(load)(c + r * c_stride + v * CK_LANES) : (CK_NAME(lanes))0;
#pragma clang loop unroll_count(2)
  for (size_t k = 0; k < inner; k++) {
    CK_NAME(lanes) row[CK_TILE_VECTORS];
#pragma unroll
    for (size_t v = 0; v < CK_TILE_VECTORS; v++) row[v] = CK_NAME(load)(b + k * CK_TILE_COLUMNS + v * CK_LANES);
#pragma unroll
    for (size_t r = 0; r < rows; r++)
#pragma unroll
      for (size_t v = 0; v < CK_TILE_VECTORS; v++) sums[r][v] += a[k * rows + r] * row[v];
  }
#pragma unroll
  for (size_t r = 0; r < rows; r++)
#pragma unroll
    for (size_t v = 0; v < CK_TILE_VECTORS; v++)
      memcpy(c + r * c_stride + v * CK_LANES, &sums[r][v], sizeof sums[r][v]);
}

// The heights that are compiled; a strip is padded to the next.
static size_t CK_NAME(strip_rows)(size_t rows) {
  size_t padded = rows <= 1 ? 1 : rows <= 2 ? 2 : rows <= 4 ? 4 : 8;
  return padded < CK_TILE_ROWS && rows <= padded ? padded : CK_TILE_ROWS;
}

static void CK_NAME(tile)(size_t rows, const float *a, const float *b, size_t inner, float *c, size_t c_stride,
                          int adds) {
  switch (rows) {
  case 1: return CK_NAME(tile_of)(1, a, b, inner, c, c_stride, adds);
  case 2: return CK_NAME(tile_of)(2, a, b, inner, c, c_stride, adds);
#if CK_TILE_ROWS > 4
  case 4: return CK_NAME(tile_of)(4, a, b, inner, c, c_stride, adds);
#endif
#if CK_TILE_ROWS > 8
  case 8: return CK_NAME(tile_of)(8, a, b, inner, c, c_stride, adds);
#endif
  default: return CK_NAME(tile_of)(CK_TILE_ROWS, a, b, inner, c, c_stride, adds);
  }
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
