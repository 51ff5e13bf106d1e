/* Row operations for a CPU without AVX2: SSE2, four lanes a register. */
#include "embed/vecops.h"

const struct sg_vecops sg_vecops_base = SG_VECOPS_INIT("sse2");
