// What goes down the columns of a panel: lanes are columns, so that few rows cost nothing extra. Included by loops.h, once for
// each instruction set.

static void CK_NAME(scale_columns)(float *restrict x, size_t rows, size_t cols, size_t stride,
                                   const float *restrict factors) {
  for (size_t r = 0; r < rows; r++)
    for (size_t i = 0; i < cols; i++) x[r * stride + i] *= factors[i];
}

static void CK_NAME(join_columns)(float *restrict x, const float *restrict y, size_t rows, size_t cols,
                                  const float *restrict factors, const float *restrict offsets) {
  for (size_t r = 0; r < rows; r++)
    for (size_t i = 0; i < cols; i++) x[r * cols + i] = (x[r * cols + i] + y[r * cols + i]) * factors[i] + offsets[r];
}

static void CK_NAME(gelu_columns)(float *restrict x, size_t rows, size_t cols, const float *restrict offsets) {
  for (size_t r = 0; r < rows; r++) CK_NAME(gelu_sums)(x + r * cols, offsets + r, 0, cols);
}

// Some columns of a matrix whose rows are `cols` apart: CK_COLUMNS registers of them where `n` is a constant, else so many as there are.
#define CK_COLUMNS 2

static inline __attribute__((always_inline)) CK_NAME(lanes) CK_NAME(load_some)(const float *p, size_t n) {
  CK_NAME(lanes) v = 0;
  memcpy(&v, p, (n < CK_LANES ? n : CK_LANES) * sizeof(float));
  return v;
}

static inline __attribute__((always_inline)) void CK_NAME(store_some)(float *p, CK_NAME(lanes) v, size_t n) {
  memcpy(p, &v, (n < CK_LANES ? n : CK_LANES) * sizeof(float));
}

// Runs `work(…, first, registers, n)` over the columns, as many registers at a time as there are: their number is a constant each time.
#define CK_EACH_COLUMNS(cols, work, ...)                                                                              \
  do {                                                                                                                \
    size_t first_ = 0;                                                                                                \
    for (; first_ + CK_COLUMNS * CK_LANES <= (cols); first_ += CK_COLUMNS * CK_LANES)                                 \
      work(__VA_ARGS__, first_, CK_COLUMNS, CK_LANES);                                                                \
    for (; first_ + CK_LANES <= (cols); first_ += CK_LANES) work(__VA_ARGS__, first_, 1, CK_LANES);                   \
    if (first_ < (cols)) work(__VA_ARGS__, first_, 1, (cols)-first_);                                                 \
  } while (0)

static inline __attribute__((always_inline)) void CK_NAME(dot_registers)(const float *restrict x, const float *restrict y,
                                                                    size_t rows, size_t cols, float *restrict sums,
                                                                    size_t first, size_t registers, size_t n) {
#pragma clang fp contract(fast)
  // Two sums each, since an addition takes longer than two loads.
  CK_NAME(lanes) even[CK_COLUMNS], odd[CK_COLUMNS];
#pragma unroll
  for (size_t v = 0; v < registers; v++) {
    even[v] = CK_NAME(load_some)(sums + first + v * CK_LANES, n);
    odd[v] = 0;
  }
  for (size_t r = 0; r < rows; r++)
#pragma unroll
    for (size_t v = 0; v < registers; v++) {
      size_t at = r * cols + first + v * CK_LANES;
      CK_NAME(lanes) product = CK_NAME(load_some)(x + at, n) * CK_NAME(load_some)(y + at, n);
      CK_NAME(lanes) before = even[v];
      even[v] = odd[v] + product;
      odd[v] = before;
    }
#pragma unroll
  for (size_t v = 0; v < registers; v++) CK_NAME(store_some)(sums + first + v * CK_LANES, even[v] + odd[v], n);
}

static void CK_NAME(dot_columns)(const float *restrict x, const float *restrict y, size_t rows, size_t cols,
                                 float *restrict sums) {
  CK_EACH_COLUMNS(cols, CK_NAME(dot_registers), x, y, rows, cols, sums);
}

static inline __attribute__((always_inline)) void CK_NAME(norm_registers)(float *restrict x, size_t rows, size_t cols,
                                                                     const float *restrict weight,
                                                                     const float *restrict bias, float eps, size_t first,
                                                                     size_t registers, size_t n) {
#pragma clang fp contract(fast)
  float *restrict base = x + first;
  CK_NAME(lanes) mean[CK_COLUMNS], factor[CK_COLUMNS];
#pragma unroll
  for (size_t v = 0; v < registers; v++) mean[v] = factor[v] = 0;
  for (size_t r = 0; r < rows; r++)
#pragma unroll
    for (size_t v = 0; v < registers; v++) mean[v] += CK_NAME(load_some)(base + r * cols + v * CK_LANES, n);
#pragma unroll
  for (size_t v = 0; v < registers; v++) mean[v] /= (float)rows;
  for (size_t r = 0; r < rows; r++)
#pragma unroll
    for (size_t v = 0; v < registers; v++) {
      CK_NAME(lanes) off = CK_NAME(load_some)(base + r * cols + v * CK_LANES, n) - mean[v];
      factor[v] += off * off;
    }
#pragma unroll
  for (size_t v = 0; v < registers; v++)
    for (size_t i = 0; i < CK_LANES; i++) factor[v][i] = 1.0f / sqrtf(factor[v][i] / (float)rows + eps);
  for (size_t r = 0; r < rows; r++)
#pragma unroll
    for (size_t v = 0; v < registers; v++) {
      float *at = base + r * cols + v * CK_LANES;
      CK_NAME(store_some)(at, (CK_NAME(load_some)(at, n) - mean[v]) * factor[v] * weight[r] + bias[r], n);
    }
}

static void CK_NAME(norm_columns)(float *restrict x, size_t rows, size_t cols, const float *restrict weight,
                                  const float *restrict bias, float eps) {
  CK_EACH_COLUMNS(cols, CK_NAME(norm_registers), x, rows, cols, weight, bias, eps);
}

// x = exp(x - top) down columns, whose top is at least what it was; `from` is what was taken away, 0 where all is -∞.
static inline __attribute__((always_inline)) void CK_NAME(exponentiate_registers)(float *restrict base, size_t rows,
                                                                                  size_t cols, size_t registers, size_t n,
                                                                                  CK_NAME(lanes) *top,
                                                                                  CK_NAME(lanes) *from,
                                                                                  CK_NAME(lanes) *sum) {
  for (size_t r = 0; r < rows; r++)
#pragma unroll
    for (size_t v = 0; v < registers; v++) {
      CK_NAME(lanes) next = CK_NAME(load_some)(base + r * cols + v * CK_LANES, n);
      top[v] = next > top[v] ? next : top[v];
    }
#pragma unroll
  for (size_t v = 0; v < registers; v++) {
    from[v] = top[v] == -INFINITY ? (CK_NAME(lanes))0 : top[v];
    sum[v] = 0;
  }
  for (size_t r = 0; r < rows; r++)
#pragma unroll
    for (size_t v = 0; v < registers; v++) {
      float *at = base + r * cols + v * CK_LANES;
      CK_NAME(lanes) e = CK_NAME(exp_below_lanes)(CK_NAME(load_some)(at, n) - from[v]);
      CK_NAME(store_some)(at, e, n);
      sum[v] += e;
    }
}

static inline __attribute__((always_inline)) void CK_NAME(softmax_registers)(float *restrict x, size_t terms, size_t cols,
                                                                             size_t first, size_t registers, size_t n) {
  float *restrict base = x + first;
  CK_NAME(lanes) top[CK_COLUMNS], from[CK_COLUMNS], sum[CK_COLUMNS];
#pragma unroll
  for (size_t v = 0; v < registers; v++) top[v] = CK_NAME(load_some)(base + v * CK_LANES, n);
  CK_NAME(exponentiate_registers)(base, terms, cols, registers, n, top, from, sum);
#pragma unroll
  for (size_t v = 0; v < registers; v++) sum[v] = 1.0f / sum[v];
  for (size_t t = 0; t < terms; t++)
#pragma unroll
    for (size_t v = 0; v < registers; v++) {
      float *at = base + t * cols + v * CK_LANES;
      CK_NAME(store_some)(at, CK_NAME(load_some)(at, n) * sum[v], n);
    }
}

// The softmax down groups of `terms` rows, each column on its own.
static void CK_NAME(softmax_columns)(float *x, size_t groups, size_t terms, size_t cols) {
  for (size_t g = 0; g < groups; g++) CK_EACH_COLUMNS(cols, CK_NAME(softmax_registers), x + g * terms * cols, terms, cols);
}

static inline __attribute__((always_inline)) void CK_NAME(softmax_step_registers)(float *restrict x, size_t rows,
                                                                             size_t cols, float *restrict tops,
                                                                             float *restrict sums,
                                                                             float *restrict shrink, size_t first,
                                                                             size_t registers, size_t n) {
  CK_NAME(lanes) old[CK_COLUMNS], top[CK_COLUMNS], from[CK_COLUMNS], sum[CK_COLUMNS];
#pragma unroll
  for (size_t v = 0; v < registers; v++) old[v] = top[v] = CK_NAME(load_some)(tops + first + v * CK_LANES, n);
  CK_NAME(exponentiate_registers)(x + first, rows, cols, registers, n, top, from, sum);
#pragma unroll
  for (size_t v = 0; v < registers; v++) {
    size_t at = first + v * CK_LANES;
    CK_NAME(lanes) factor = CK_NAME(exp_below_lanes)(old[v] - from[v]);
    CK_NAME(store_some)(shrink + at, factor, n);
    CK_NAME(store_some)(sums + at, CK_NAME(load_some)(sums + at, n) * factor + sum[v], n);
    CK_NAME(store_some)(tops + at, top[v], n);
  }
}

// `softmax_step` down columns.
static void CK_NAME(softmax_step_columns)(float *restrict x, size_t rows, size_t cols, float *restrict tops,
                                          float *restrict sums, float *restrict shrink) {
  CK_EACH_COLUMNS(cols, CK_NAME(softmax_step_registers), x, rows, cols, tops, sums, shrink);
}

// Of two registers one whose lanes are the sums of neighbours: first those of a, then those of b.
static inline __attribute__((always_inline)) CK_NAME(lanes) CK_NAME(sum_neighbours)(CK_NAME(lanes) a, CK_NAME(lanes) b) {
#if CK_LANES == 16
#define CK_EVEN 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define CK_ODD 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#elif CK_LANES == 8
#define CK_EVEN 0, 2, 4, 6, 8, 10, 12, 14
#define CK_ODD 1, 3, 5, 7, 9, 11, 13, 15
#else
#define CK_EVEN 0, 2, 4, 6
#define CK_ODD 1, 3, 5, 7
#endif
  return __builtin_shufflevector(a, b, CK_EVEN) + __builtin_shufflevector(a, b, CK_ODD);
}

// The sum of each of CK_LANES registers, in a lane of its own.
static inline __attribute__((always_inline)) CK_NAME(lanes) CK_NAME(sum_each)(CK_NAME(lanes) *v) {
#pragma unroll
  for (size_t n = CK_LANES / 2; n > 0; n /= 2)
#pragma unroll
    for (size_t i = 0; i < n; i++) v[i] = CK_NAME(sum_neighbours)(v[2 * i], v[2 * i + 1]);
  return v[0];
}

// Four of z's rows with CK_DOT_ROWS of x's, each of them with all.
static inline __attribute__((always_inline)) void CK_NAME(weigh_tile)(const float *const *x, const float *const *z,
                                                                      size_t panel, size_t width, size_t cols,
                                                                      float *sums) {
#pragma clang fp contract(fast)
  CK_NAME(lanes) all[CK_DOT_ROWS * 4];
#pragma unroll
  for (size_t i = 0; i < CK_DOT_ROWS * 4; i++) all[i] = 0;
  // By registers as far as panels are whole ones; what is left by numbers.
  size_t whole = width % CK_LANES == 0 ? cols - cols % CK_LANES : 0;
  for (size_t first = 0; first < whole; first += width) {
    size_t offset = first / width * panel, end = whole - first < width ? whole - first : width;
    for (size_t i = 0; i < end; i += CK_LANES) {
      CK_NAME(lanes) rows[4];
#pragma unroll
      for (size_t j = 0; j < 4; j++) rows[j] = CK_NAME(load)(z[j] + offset + i);
#pragma unroll
      for (size_t r = 0; r < CK_DOT_ROWS; r++) {
        CK_NAME(lanes) own = CK_NAME(load)(x[r] + first + i);
#pragma unroll
        for (size_t j = 0; j < 4; j++) all[4 * r + j] += own * rows[j];
      }
    }
  }
#pragma unroll
  for (size_t i = 0; i < CK_DOT_ROWS * 4; i += CK_LANES) CK_NAME(store)(sums + i, CK_NAME(sum_each)(all + i));
  for (size_t i = whole; i < cols; i++)
    for (size_t r = 0; r < CK_DOT_ROWS; r++)
      for (size_t j = 0; j < 4; j++) sums[4 * r + j] += x[r][i] * z[j][i / width * panel + i % width];
}

static void CK_NAME(weigh_columns)(const float *x, size_t stride, size_t rows, const float *z, size_t width,
                                   size_t z_rows, size_t count, size_t cols, float *y, size_t y_stride) {
  // The four rows of z stay in the first cache for all of x's.
  for (size_t j = 0; j < count; j += 4)
    for (size_t r = 0; r < rows; r += CK_DOT_ROWS) {
      const float *left[CK_DOT_ROWS], *right[4];
      float sums[CK_DOT_ROWS * 4];
      // Where there are fewer the last one is taken again.
      for (size_t i = 0; i < CK_DOT_ROWS; i++) left[i] = x + (r + i < rows ? r + i : rows - 1) * stride;
      for (size_t i = 0; i < 4; i++) right[i] = z + (j + i < count ? j + i : count - 1) * width;
      CK_NAME(weigh_tile)(left, right, z_rows * width, width, cols, sums);
      for (size_t i = 0; i < CK_DOT_ROWS && r + i < rows; i++)
        for (size_t k = 0; k < 4 && j + k < count; k++) y[(r + i) * y_stride + j + k] = sums[4 * i + k];
    }
}
