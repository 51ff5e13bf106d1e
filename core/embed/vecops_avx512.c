/* Row operations with AVX-512F: the same bits as with AVX2, half the instructions. */
#include "embed/vecops.h"

const struct sg_vecops sg_vecops_avx512 = SG_VECOPS_INIT("avx512");
