// fp32's tiles for AVX-512. Reached only through the table, and only where the CPU has it.
#if defined(__x86_64__)
#include "include/cktiles.h"

#pragma clang attribute push(__attribute__((target("prfchw,avx512f,avx512bw,avx512vl,avx512dq"))), apply_to = function)
#define CK_UNIT 1
#define CK_SUMS __m512
#define CK_ZERO _mm512_setzero_ps()
#define CK_STEP(sums, a, b) _mm512_fmadd_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b), sums)
#define CK_FINISH(sums, strip, panel, r, v) ((void)(strip), (void)(panel), sums)
#define CK_STRIP_UNITS(strip) ((const uint32_t *)(strip))
#define CK_PANEL_UNITS(panel) ((const uint32_t *)(panel))
#define CK_READ read_floats
#include "transpose_avx512.h"

CK_INLINE __m512i read_floats(const float *x, size_t left, float factor) {
  (void)factor;
  return _mm512_castps_si512(_mm512_maskz_loadu_ps(lanes16(left), x));
}

#include "tile_avx512.h"

CK_INLINE void pack_columns(const float *x, size_t stride, size_t count, size_t width, size_t inner, uint32_t *units) {
  float *out = (float *)units;
  __mmask16 low = lanes16(count), high = lanes16(count > 16 ? count - 16 : 0);
  __mmask16 to_low = lanes16(width), to_high = lanes16(width > 16 ? width - 16 : 0);
  for (size_t k = 0; k < inner; k++, out += width) {
    _mm512_mask_storeu_ps(out, to_low, _mm512_maskz_loadu_ps(low, x + k * stride));
    if (width > 16) _mm512_mask_storeu_ps(out + 16, to_high, _mm512_maskz_loadu_ps(high, x + k * stride + 16));
  }
}

const ck_tiles ck_tiles_avx512 = {
    "avx512",    CK_TILE_ROWS,       32,      strip_rows, strip_bytes, panel_bytes, pack_strip, pack_strip_columns,
    pack_panel_rows, pack_panel_columns, multiply};
#pragma clang attribute pop
#else
typedef int ck_tiles_avx512_exist_on_x86_only;
#endif
