// What the sets of ckblocks.h share about rounded activations and scratch memory.
#pragma once
#include "include/ckblocks.h"

// Activations below this are 0, above it are no numbers.
#define CK_LEAST 1e-30f
#define CK_MOST 3e38f

// Each array begins at a multiple of 64 bytes.
static inline size_t up64(size_t n) { return (n + 63) / 64 * 64; }

// Notes the scale of a row's 32 numbers, and what they sum to in each of their runs, in both orders.
static inline __attribute__((always_inline)) void keep_scale(ck_activations to, size_t m, size_t whole, float scale,
                                                             const float *sums) {
  size_t wholes = to.length / CK_RUN, parts = CK_RUN / to.run_length;
  to.scales[whole * to.rows + m] = to.row_scales[m * wholes + whole] = scale;
  for (size_t part = 0; part < parts; part++) {
    size_t at = whole * parts + part;
    to.sums[at * to.rows + m] = to.row_sums[m * wholes * parts + at] = scale * sums[part];
  }
}
