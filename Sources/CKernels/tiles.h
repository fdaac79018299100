// fp32's tiles by vectors of any length. Included by loops.h, for sets that give CK_TILE_ROWS and CK_TILE_VECTORS; AVX-512
// has its own.
//
// A strip is [K, rows], a panel [K, CK_TILE_COLUMNS]: a step of k loads one row of the panel and multiplies it by each
// number of the strip. The tile is as high as registers allow: sums, a row of the panel, one broadcast.
#define CK_TILE_COLUMNS (CK_TILE_VECTORS * CK_LANES)

// x[count, length], rows `stride` apart → out[length, width]; columns from `count` to `width` are 0.
static void CK_NAME(pack_units)(const float *restrict x, size_t stride, size_t count, size_t width, size_t length,
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

static void CK_NAME(pack_strip)(const float *x, size_t stride, size_t count, size_t rows, size_t inner, void *strip) {
  CK_NAME(pack_units)(x, stride, count, rows, inner, strip);
}

static void CK_NAME(pack_panel_rows)(const float *x, size_t stride, size_t count, size_t inner, void *panel) {
  CK_NAME(pack_units)(x, stride, count, CK_TILE_COLUMNS, inner, panel);
}

// x[inner, count], rows `stride` apart → out[inner, width]; columns from `count` on are 0.
static void CK_NAME(pack_columns)(const float *x, size_t stride, size_t count, size_t width, size_t inner, void *packed) {
  float *restrict out = packed;
  for (size_t k = 0; k < inner; k++, out += width) {
    memcpy(out, x + k * stride, count * sizeof(float));
    for (size_t i = count; i < width; i++) out[i] = 0;
  }
}

static void CK_NAME(pack_panel_columns)(const float *x, size_t stride, size_t count, size_t inner, void *panel) {
  CK_NAME(pack_columns)(x, stride, count, CK_TILE_COLUMNS, inner, panel);
}

// `rows` is a constant where this is inlined. `a` [inner, rows], `b` [inner, CK_TILE_COLUMNS].
static inline __attribute__((always_inline)) void CK_NAME(tile_of)(size_t rows, const float *a, const float *b,
                                                                   size_t inner, float *c, size_t c_stride, int adds) {
#pragma clang fp contract(fast)
  CK_NAME(lanes) sums[CK_TILE_ROWS][CK_TILE_VECTORS];
#pragma unroll
  for (size_t r = 0; r < rows; r++)
#pragma unroll
    for (size_t v = 0; v < CK_TILE_VECTORS; v++) sums[r][v] = (CK_NAME(lanes))0;
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
    for (size_t v = 0; v < CK_TILE_VECTORS; v++) {
      float *to = c + r * c_stride + v * CK_LANES;
      if (adds) sums[r][v] += CK_NAME(load)(to);
      memcpy(to, &sums[r][v], sizeof sums[r][v]);
    }
}

// The heights that are compiled; a strip is padded to the next.
static size_t CK_NAME(strip_rows)(size_t rows) {
  size_t padded = rows <= 1 ? 1 : rows <= 2 ? 2 : 4;
  return padded < CK_TILE_ROWS && rows <= padded ? padded : CK_TILE_ROWS;
}

static size_t CK_NAME(strip_bytes)(size_t rows, size_t inner) { return (inner * rows * sizeof(float) + 63) / 64 * 64; }
static size_t CK_NAME(panel_bytes)(size_t inner) { return CK_NAME(strip_bytes)(CK_TILE_COLUMNS, inner); }

static void CK_NAME(multiply)(size_t rows, const void *strip, const void *panel, size_t inner, float *c,
                              size_t c_stride, int adds) {
  switch (rows) {
  case 1: return CK_NAME(tile_of)(1, strip, panel, inner, c, c_stride, adds);
  case 2: return CK_NAME(tile_of)(2, strip, panel, inner, c, c_stride, adds);
#if CK_TILE_ROWS > 4
  case 4: return CK_NAME(tile_of)(4, strip, panel, inner, c, c_stride, adds);
#endif
  default: return CK_NAME(tile_of)(CK_TILE_ROWS, strip, panel, inner, c, c_stride, adds);
  }
}

const ck_tiles CK_NAME(ck_tiles) = {
    .name = CK_LABEL,
    .rows = CK_TILE_ROWS,
    .columns = CK_TILE_COLUMNS,
    .strip_rows = CK_NAME(strip_rows),
    .strip_bytes = CK_NAME(strip_bytes),
    .panel_bytes = CK_NAME(panel_bytes),
    .pack_strip = CK_NAME(pack_strip),
    .pack_strip_columns = CK_NAME(pack_columns),
    .pack_panel_rows = CK_NAME(pack_panel_rows),
    .pack_panel_columns = CK_NAME(pack_panel_columns),
    .multiply = CK_NAME(multiply),
};
