// A row of numbers at another length. Included by loops.h, once for each instruction set.

static inline __attribute__((always_inline)) void CK_NAME(stretch_some)(const float *restrict x,
                                                                        const ptrdiff_t *restrict low,
                                                                        const ptrdiff_t *restrict high,
                                                                        const float *restrict fraction,
                                                                        float *restrict y, size_t n) {
// Not fused: the same bits on every set.
#pragma clang fp contract(off)
  for (size_t i = 0; i < n; i++) y[i] = (1 - fraction[i]) * x[low[i]] + fraction[i] * x[high[i]];
}

#if CK_LANES == 16
// Sixteen outputs lie close together in x: two registers hold all of it that they read, unless the row becomes less than half as long.
static inline __attribute__((always_inline)) __m512i CK_NAME(places)(const ptrdiff_t *from, ptrdiff_t base) {
  __m512i origin = _mm512_set1_epi64((long long)base);
  __m256i first = _mm512_cvtepi64_epi32(_mm512_sub_epi64(_mm512_loadu_si512(from), origin));
  __m256i last = _mm512_cvtepi64_epi32(_mm512_sub_epi64(_mm512_loadu_si512(from + 8), origin));
  return _mm512_inserti64x4(_mm512_castsi256_si512(first), last, 1);
}

static void CK_NAME(stretch)(const float *x, const ptrdiff_t *low, const ptrdiff_t *high, const float *fraction, float *y,
                             size_t n) {
#pragma clang fp contract(off)
  size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    ptrdiff_t base = low[i], span = high[i + 15] - base + 1;
    if (span > 32) {
      CK_NAME(stretch_some)(x, low + i, high + i, fraction + i, y + i, 16);
      continue;
    }
    __mmask16 first = span >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << span) - 1);
    __mmask16 last = span > 16 ? (__mmask16)((1u << (span - 16)) - 1) : 0;
    __m512 a = _mm512_maskz_loadu_ps(first, x + base), b = _mm512_maskz_loadu_ps(last, x + base + 16);
    __m512 below = _mm512_permutex2var_ps(a, CK_NAME(places)(low + i, base), b);
    __m512 above = _mm512_permutex2var_ps(a, CK_NAME(places)(high + i, base), b);
    __m512 f = _mm512_loadu_ps(fraction + i), rest = _mm512_sub_ps(_mm512_set1_ps(1), f);
    _mm512_storeu_ps(y + i, _mm512_add_ps(_mm512_mul_ps(rest, below), _mm512_mul_ps(f, above)));
  }
  CK_NAME(stretch_some)(x, low + i, high + i, fraction + i, y + i, n - i);
}
#else
static void CK_NAME(stretch)(const float *x, const ptrdiff_t *low, const ptrdiff_t *high, const float *fraction, float *y,
                             size_t n) {
  CK_NAME(stretch_some)(x, low, high, fraction, y, n);
}
#endif
