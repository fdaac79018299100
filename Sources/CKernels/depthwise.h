// A depthwise convolution's row. Included by loops.h, once for each instruction set.

// How many outputs beside each other share what is loaded: as many sums as registers hold beside a row of weights.
#define CK_DEPTHWISE_RUN (CK_LANES == 16 ? 8 : 4)

// A run of outputs of which nothing is padding, for a register of channels and its weight[k, k, CK_LANES]. `k` and `stride` are
// constants where this is inlined; `left` is the first output's first column.
static inline __attribute__((always_inline)) void CK_NAME(depthwise_run)(
    const float *const *rows, size_t channels, const float *weight, const float *bias, size_t k, size_t stride,
    size_t left, float *y) {
#pragma clang fp contract(fast)
  enum { run = CK_DEPTHWISE_RUN };
  CK_NAME(lanes) sums[run];
#pragma unroll
  for (size_t o = 0; o < run; o++) sums[o] = CK_NAME(load)(bias);
  for (size_t ky = 0; ky < k; ky++) {
    if (!rows[ky]) continue;
    CK_NAME(lanes) w[7];
#pragma unroll
    for (size_t kx = 0; kx < k; kx++) w[kx] = CK_NAME(load)(weight + (ky * k + kx) * CK_LANES);
    const float *from = rows[ky] + left * channels;
#pragma unroll
    for (size_t x = 0; x < (run - 1) * stride + k; x++) {
      CK_NAME(lanes) value = CK_NAME(load)(from + x * channels);
#pragma unroll
      for (size_t kx = 0; kx < k; kx++)
        if (x >= kx && (x - kx) % stride == 0 && (x - kx) / stride < run) sums[(x - kx) / stride] += value * w[kx];
    }
  }
#pragma unroll
  for (size_t o = 0; o < run; o++) CK_NAME(store)(y + o * channels, sums[o]);
}

// Outputs `first`…`end` of a register of channels, any of them beside padding.
static void CK_NAME(depthwise_edge)(const float *const *rows, size_t width, size_t channels, const float *weight,
                                    const float *bias, size_t k, size_t stride, size_t padding, float *y, size_t first,
                                    size_t end) {
#pragma clang fp contract(fast)
  for (size_t out_x = first; out_x < end; out_x++) {
    CK_NAME(lanes) sum = CK_NAME(load)(bias);
    for (size_t ky = 0; ky < k; ky++)
      for (size_t kx = 0; rows[ky] && kx < k; kx++) {
        size_t x = out_x * stride + kx - padding;  // to the left of 0 it is huge
        if (x < width) sum += CK_NAME(load)(rows[ky] + x * channels) * CK_NAME(load)(weight + (ky * k + kx) * channels);
      }
    CK_NAME(store)(y + out_x * channels, sum);
  }
}

// A register of channels along a row; `k` and `stride` as above.
static inline __attribute__((always_inline)) void CK_NAME(depthwise_channels)(
    const float *const *rows, size_t width, size_t channels, const float *weight, const float *bias, size_t k,
    size_t stride, size_t padding, float *y, size_t out_width) {
  size_t first = (padding + stride - 1) / stride, out_x = first < out_width ? first : out_width;
  CK_NAME(depthwise_edge)(rows, width, channels, weight, bias, k, stride, padding, y, 0, out_x);
  // Side by side, where they stay in the first cache: a map's width apart they would often share its sets.
  float own[49 * CK_LANES];
  for (size_t i = 0; i < k * k; i++) CK_NAME(store)(own + i * CK_LANES, CK_NAME(load)(weight + i * channels));
  for (; out_x + CK_DEPTHWISE_RUN <= out_width; out_x += CK_DEPTHWISE_RUN) {
    size_t left = out_x * stride - padding;
    if (left + (CK_DEPTHWISE_RUN - 1) * stride + k > width) break;
    CK_NAME(depthwise_run)(rows, channels, own, bias, k, stride, left, y + out_x * channels);
  }
  CK_NAME(depthwise_edge)(rows, width, channels, weight, bias, k, stride, padding, y, out_x, out_width);
}

static void CK_NAME(depthwise_row)(const float *const *rows, size_t width, size_t channels, const float *weight,
                                   const float *bias, size_t k, size_t stride, size_t padding, float *y,
                                   size_t out_width) {
  size_t c = 0;
  const float *in[7];
  for (; c + CK_LANES <= channels; c += CK_LANES) {
    for (size_t ky = 0; ky < k && k <= 7; ky++) in[ky] = rows[ky] ? rows[ky] + c : NULL;
    const float *w = weight + c, *b = bias + c;
    if (k == 7 && stride == 1)
      CK_NAME(depthwise_channels)(in, width, channels, w, b, 7, 1, padding, y + c, out_width);
    else if (k == 3 && stride == 1)
      CK_NAME(depthwise_channels)(in, width, channels, w, b, 3, 1, padding, y + c, out_width);
    else if (k == 3 && stride == 2)
      CK_NAME(depthwise_channels)(in, width, channels, w, b, 3, 2, padding, y + c, out_width);
    else
      break;
  }
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
