// Which set this CPU gets. Filled once, at load, so a kernel call costs one indirect jump.
#include "include/ckblocks.h"
#include "include/ckernels.h"
#include "include/cktiles.h"

int *ck_loop_depth(void) {
  static _Thread_local int depth;
  return &depth;
}

extern const ck_kernels ck_scalar;
extern const ck_block_kernels ck_blocks_scalar;
extern const ck_tiles ck_tiles_scalar, ck_tiles_bf16_scalar, ck_tiles_int8_scalar;
#if defined(__x86_64__)
extern const ck_kernels ck_avx2;
extern const ck_kernels ck_avx512;
extern const ck_block_kernels ck_blocks_vnni;
extern const ck_tiles ck_tiles_avx2, ck_tiles_avx512, ck_tiles_bf16_avx512, ck_tiles_int8_vnni;

static int has_avx512(void) {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq");
}
#endif

size_t ck_available(const ck_kernels **sets, size_t capacity) {
  const ck_kernels *found[3];
  size_t count = 0;
  found[count++] = &ck_scalar;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found[count++] = &ck_avx2;
  if (has_avx512()) found[count++] = &ck_avx512;
#endif
  for (size_t i = 0; i < count && i < capacity; i++) sets[i] = found[i];
  return count;
}

static const ck_kernels *best = &ck_scalar;

__attribute__((constructor)) static void choose(void) {
  const ck_kernels *sets[3];
  size_t count = ck_available(sets, 3);
  best = sets[count - 1];
}

const ck_kernels *ck_best(void) { return best; }

size_t ck_available_blocks(const ck_block_kernels **sets, size_t capacity) {
  const ck_block_kernels *found[2];
  size_t count = 0;
  found[count++] = &ck_blocks_scalar;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (has_avx512() && __builtin_cpu_supports("avx512vnni")) found[count++] = &ck_blocks_vnni;
#endif
  for (size_t i = 0; i < count && i < capacity; i++) sets[i] = found[i];
  return count;
}

const ck_block_kernels *ck_best_blocks(void) {
  const ck_block_kernels *sets[2];
  size_t count = ck_available_blocks(sets, 2);
  return count > 1 ? sets[count - 1] : NULL;
}

size_t ck_available_tiles(ck_precision precision, const ck_tiles **sets, size_t capacity) {
  const ck_tiles *found[3];
  size_t count = 0;
  found[count++] = precision == ck_fp32   ? &ck_tiles_scalar
                   : precision == ck_bf16 ? &ck_tiles_bf16_scalar
                                          : &ck_tiles_int8_scalar;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (precision == ck_fp32 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    found[count++] = &ck_tiles_avx2;
  if (precision == ck_fp32 && has_avx512()) found[count++] = &ck_tiles_avx512;
  if (precision == ck_bf16 && has_avx512() && __builtin_cpu_supports("avx512bf16")) found[count++] = &ck_tiles_bf16_avx512;
  if (precision == ck_int8 && has_avx512() && __builtin_cpu_supports("avx512vnni")) found[count++] = &ck_tiles_int8_vnni;
#endif
  for (size_t i = 0; i < count && i < capacity; i++) sets[i] = found[i];
  return count;
}

const ck_tiles *ck_best_tiles(ck_precision precision) {
  const ck_tiles *sets[3];
  size_t count = ck_available_tiles(precision, sets, 3);
  return count > 1 || precision == ck_fp32 ? sets[count - 1] : NULL;
}
