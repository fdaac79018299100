// Half precision to single. Included by whatever reads ggml's blocks; compiled for the includer's instruction set.
#pragma once
#include <stdint.h>
#include <string.h>

static inline __attribute__((always_inline)) float float_of_bits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

// Without a branch: the exponent and fraction moved into place are the number times 2⁻¹¹², subnormals included;
// infinities and NaN get the exponent that they lack.
static inline __attribute__((always_inline)) float float_of_half(uint16_t h) {
  uint32_t magnitude = (uint32_t)(h & 0x7fff) << 13;
  float scaled = float_of_bits(magnitude) * 0x1p112f;
  float special = float_of_bits(magnitude | 0x7f800000);
  float value = magnitude >= 0x0f800000 ? special : scaled;
  uint32_t out;
  memcpy(&out, &value, sizeof out);
  return float_of_bits(out | (uint32_t)(h & 0x8000) << 16);
}

static inline __attribute__((always_inline)) float half_at(const uint8_t *p) {
  return float_of_half((uint16_t)(p[0] | p[1] << 8));
}
