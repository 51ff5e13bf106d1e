/* Row operations for a CPU without AVX2: SSE2, four lanes a register. */
#define SG_TILE_ROWS 2
#define SG_TILE_V16 1
#include "embed/attention.h"

const struct sg_vecops sg_vecops_base = SG_VECOPS_INIT("sse2");
