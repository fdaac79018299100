// The floats of one register. Included by loops.h, once for each instruction set.
typedef float CK_NAME(lanes) __attribute__((ext_vector_type(CK_LANES)));
typedef int32_t CK_NAME(wholes) __attribute__((ext_vector_type(CK_LANES)));

static inline __attribute__((always_inline)) CK_NAME(lanes) CK_NAME(load)(const float *p) {
  CK_NAME(lanes) v;
  memcpy(&v, p, sizeof v);
  return v;
}

static inline __attribute__((always_inline)) void CK_NAME(store)(float *p, CK_NAME(lanes) v) { memcpy(p, &v, sizeof v); }
