// The coefficients that gelu_avx512.h looks up. They are worked out at load, on whatever CPU: to be included outside of the functions
// that are compiled for AVX-512.
#include <math.h>

enum { GELU_PIECES = 16, GELU_TERMS = 5 };
#define GELU_WIDTH 0.34375

// Coefficients of r⁰, r¹, … for each piece, with r from −½ to ½ across it.
static float gelu_terms[GELU_TERMS][GELU_PIECES];

// Interpolates Q at Chebyshev's nodes: divided differences, then Newton's form multiplied out.
__attribute__((constructor)) static void fill_gelu_terms(void) {
  double nodes[GELU_TERMS];
  for (int i = 0; i < GELU_TERMS; i++) nodes[i] = cos(M_PI * (i + 0.5) / GELU_TERMS) / 2;
  for (int piece = 0; piece < GELU_PIECES; piece++) {
    double q[GELU_TERMS], terms[GELU_TERMS] = {0};
    for (int i = 0; i < GELU_TERMS; i++) q[i] = 0.5 * erfc((piece + 0.5 + nodes[i]) * GELU_WIDTH / sqrt(2));
    for (int order = 1; order < GELU_TERMS; order++)
      for (int i = GELU_TERMS - 1; i >= order; i--) q[i] = (q[i] - q[i - 1]) / (nodes[i] - nodes[i - order]);
    for (int i = GELU_TERMS - 1; i >= 0; i--) {
      for (int j = GELU_TERMS - 1; j > 0; j--) terms[j] = terms[j - 1] - nodes[i] * terms[j];
      terms[0] = q[i] - nodes[i] * terms[0];
    }
    for (int i = 0; i < GELU_TERMS; i++) gelu_terms[i][piece] = (float)terms[i];
  }
}
