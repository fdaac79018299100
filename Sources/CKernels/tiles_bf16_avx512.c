// bf16's tiles by `vdpbf16ps`: a unit is two numbers of a row, and a step adds both products to a float32 sum. Reached only through the
// table, and only where the CPU has it.
#if defined(__x86_64__)
#include "include/cktiles.h"

#pragma clang attribute push(__attribute__((target("prfchw,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16"))), apply_to = function)
#define CK_UNIT 2
#define CK_SUMS __m512
#define CK_ZERO _mm512_setzero_ps()
#define CK_STEP(sums, a, b) _mm512_dpbf16_ps(sums, (__m512bh)(b), (__m512bh)(a))
#define CK_FINISH(sums, strip, panel, r, v) ((void)(strip), (void)(panel), sums)
#define CK_STRIP_UNITS(strip) ((const uint32_t *)(strip))
#define CK_PANEL_UNITS(panel) ((const uint32_t *)(panel))
#define CK_READ read_pairs
#include "transpose_avx512.h"

CK_INLINE __m512i read_pairs(const float *x, size_t left, float factor) {
  (void)factor;
  __m512 low = _mm512_maskz_loadu_ps(lanes16(left), x);
  __m512 high = _mm512_maskz_loadu_ps(lanes16(left > 16 ? left - 16 : 0), x + 16);
  return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

#include "tile_avx512.h"

// Of 32 numbers the first 16 go to the even places, the others to the odd ones.
static const uint16_t taking_turns[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                          8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};

CK_INLINE void pack_columns(const float *x, size_t stride, size_t count, size_t width, size_t inner, uint32_t *out) {
  __m512i turns = _mm512_loadu_si512(taking_turns);
  for (size_t k = 0; k < inner; k += 2, out += width)
    for (size_t first = 0; first < width; first += 16) {
      __mmask16 lanes = lanes16(count > first ? count - first : 0);
      __m512 even = _mm512_maskz_loadu_ps(lanes, x + k * stride + first);
      __m512 odd = _mm512_maskz_loadu_ps(k + 1 < inner ? lanes : 0, x + (k + 1) * stride + first);
      __m512i pairs = _mm512_permutexvar_epi16(turns, (__m512i)_mm512_cvtne2ps_pbh(odd, even));
      _mm512_mask_storeu_epi32(out + first, lanes16(width - first), pairs);
    }
}

const ck_tiles ck_tiles_bf16_avx512 = {
    "avx512bf16",    CK_TILE_ROWS,       32,      strip_rows, strip_bytes, panel_bytes, pack_strip, pack_strip_columns,
    pack_panel_rows, pack_panel_columns, multiply};
#pragma clang attribute pop
#else
typedef int ck_tiles_bf16_avx512_exist_on_x86_only;
#endif
