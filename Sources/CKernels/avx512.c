// The loops compiled for AVX-512; reached only through the table, and only where the CPU has it.
#if defined(__x86_64__)
#include <immintrin.h>

#include "gelu_terms.h"

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma"))), apply_to = function)
#define CK_NAME(name) name##_avx512
#define CK_SET ck_avx512
#define CK_LABEL "avx512"
#define CK_LANES 16
#define CK_DOT_ROWS 4
#define CK_OWN_GELU
#include "gelu_avx512.h"
#include "loops.h"
#pragma clang attribute pop
#else
typedef int ck_avx512_exists_on_x86_only;
#endif
