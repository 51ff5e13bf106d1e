/* AVX-512: tiles of 12 rows by 32 columns, 24 of the 32 registers hold sums. The same bits as
 * kernels_avx2.c (tests/unit/embed/test_kernels.c compiles this shape for AVX2 and compares).
 */
#define SG_TILE_ROWS 12
#define SG_TILE_V16 2
#include "embed/attention.h"
#include "embed/packed.h"

static bool usable(void)
{
	return __builtin_cpu_supports("avx512f");
}

const struct sg_vecops sg_vecops_avx512 = SG_VECOPS_INIT("avx512");

static const struct sg_vecops *vecops(void)
{
	return &sg_vecops_avx512;
}

const struct sg_kernel sg_kernel_avx512 = {
	.name = "avx512",
	.needs = "AVX-512F",
	.usable = usable,
	.vecops = vecops,
	SG_PACKED_ENTRIES,
};
