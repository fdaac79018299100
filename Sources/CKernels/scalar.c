// The scalar twin: the loops as they stand, for the compiler's baseline.
#define CK_NAME(name) name##_scalar
#define CK_SET ck_scalar
#define CK_LABEL "scalar"
#define CK_LANES 4
#define CK_DOT_ROWS 2
#define CK_TILE_ROWS 4
#define CK_TILE_VECTORS 2
#include "loops.h"
