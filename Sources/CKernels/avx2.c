// The loops compiled for AVX2; reached only through the table, and only where the CPU has it.
#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#define CK_NAME(name) name##_avx2
#define CK_SET ck_avx2
#define CK_LABEL "avx2"
#define CK_LANES 8
#define CK_DOT_ROWS 2
#define CK_TILE_ROWS 6
#define CK_TILE_VECTORS 2
#include "loops.h"
#pragma clang attribute pop
#else
typedef int ck_avx2_exists_on_x86_only;
#endif
