/* Row operations with AVX2 and FMA. */
#include "embed/vecops.h"

const struct sg_vecops sg_vecops_avx2 = SG_VECOPS_INIT("avx2");
