// A depthwise convolution's row. Included by loops.h, once for each instruction set.

// `count` registers of channels from `c` on; a constant where this is inlined, so that the sums live in registers.
static inline __attribute__((always_inline)) void CK_NAME(depthwise_some)(
    const float *const *rows, size_t width, size_t channels, const float *weight, const float *bias, size_t k,
    size_t stride, size_t padding, float *y, size_t out_width, size_t c, size_t count) {
#pragma clang fp contract(fast)
  for (size_t out_x = 0; out_x < out_width; out_x++) {
    ptrdiff_t left = (ptrdiff_t)(out_x * stride) - (ptrdiff_t)padding;
    size_t first = left < 0 ? (size_t)-left : 0;
    size_t end = left + (ptrdiff_t)k > (ptrdiff_t)width ? (size_t)((ptrdiff_t)width - left) : k;
    CK_NAME(lanes) sums[4];
    for (size_t v = 0; v < count; v++) sums[v] = CK_NAME(load)(bias + c + v * CK_LANES);
    for (size_t ky = 0; ky < k; ky++) {
      if (!rows[ky]) continue;
      for (size_t kx = first; kx < end; kx++) {
        const float *x = rows[ky] + (size_t)(left + (ptrdiff_t)kx) * channels + c;
        const float *w = weight + (ky * k + kx) * channels + c;
        for (size_t v = 0; v < count; v++)
          sums[v] += CK_NAME(load)(x + v * CK_LANES) * CK_NAME(load)(w + v * CK_LANES);
      }
    }
    for (size_t v = 0; v < count; v++) memcpy(y + out_x * channels + c + v * CK_LANES, &sums[v], sizeof sums[v]);
  }
}

static void CK_NAME(depthwise_row)(const float *const *rows, size_t width, size_t channels, const float *weight,
                                   const float *bias, size_t k, size_t stride, size_t padding, float *y,
                                   size_t out_width) {
  size_t c = 0;
  for (; c + 4 * CK_LANES <= channels; c += 4 * CK_LANES)
    CK_NAME(depthwise_some)(rows, width, channels, weight, bias, k, stride, padding, y, out_width, c, 4);
  for (; c + CK_LANES <= channels; c += CK_LANES)
    CK_NAME(depthwise_some)(rows, width, channels, weight, bias, k, stride, padding, y, out_width, c, 1);
  for (; c < channels; c++)
    for (size_t out_x = 0; out_x < out_width; out_x++) {
      float sum = bias[c];
      for (size_t ky = 0; ky < k; ky++)
        for (size_t kx = 0; kx < k; kx++) {
          ptrdiff_t x = (ptrdiff_t)(out_x * stride + kx) - (ptrdiff_t)padding;
          if (rows[ky] && x >= 0 && x < (ptrdiff_t)width)
            sum += rows[ky][(size_t)x * channels + c] * weight[(ky * k + kx) * channels + c];
        }
      y[out_x * channels + c] = sum;
    }
}
