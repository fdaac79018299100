// Inner products of one vector with several rows. Included by loops.h, once for each instruction set.

#define CK_STEP (4 * CK_LANES)

// `count` is a constant where this is inlined, so that its sums live in registers. Each row has four of them, added in one
// order: a row's result does not depend on how many rows there are beside it.
static inline __attribute__((always_inline)) void CK_NAME(dot_some)(const float *w, const float *x, size_t stride,
                                                                    size_t count, size_t n, float *y,
                                                                    size_t y_stride) {
#pragma clang fp contract(fast)
  CK_NAME(lanes) sums[CK_DOT_ROWS][4];
  for (size_t r = 0; r < count; r++)
    for (size_t k = 0; k < 4; k++) sums[r][k] = (CK_NAME(lanes))0;
  size_t i = 0;
  for (; i + CK_STEP <= n; i += CK_STEP)
    for (size_t k = 0; k < 4; k++) {
      CK_NAME(lanes) weight = CK_NAME(load)(w + i + k * CK_LANES);
      for (size_t r = 0; r < count; r++) sums[r][k] += weight * CK_NAME(load)(x + r * stride + i + k * CK_LANES);
    }
  for (size_t r = 0; r < count; r++) {
    CK_NAME(lanes) all = (sums[r][0] + sums[r][1]) + (sums[r][2] + sums[r][3]);
    float sum = 0;
    for (size_t lane = 0; lane < CK_LANES; lane++) sum += all[lane];
    for (size_t j = i; j < n; j++) sum += w[j] * x[r * stride + j];
    y[r * y_stride] = sum;
  }
}

static void CK_NAME(dot_rows)(const float *w, const float *x, size_t rows, size_t n, float *y, size_t y_stride) {
  size_t r = 0;
  for (; r + CK_DOT_ROWS <= rows; r += CK_DOT_ROWS)
    CK_NAME(dot_some)(w, x + r * n, n, CK_DOT_ROWS, n, y + r * y_stride, y_stride);
  for (; r < rows; r++) CK_NAME(dot_some)(w, x + r * n, n, 1, n, y + r * y_stride, y_stride);
}

#undef CK_STEP
