/* AVX2 with FMA: tiles of 6 rows by 16 columns, twelve of the sixteen registers hold sums. */
#define SG_TILE_ROWS 6
#define SG_TILE_V16 1
#include "embed/attention.h"
#include "embed/packed.h"

static bool usable(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

const struct sg_vecops sg_vecops_avx2 = SG_VECOPS_INIT("avx2");

static const struct sg_vecops *vecops(void)
{
	return &sg_vecops_avx2;
}

const struct sg_kernel sg_kernel_avx2 = {
	.name = "avx2",
	.needs = "AVX2 and FMA",
	.usable = usable,
	.vecops = vecops,
	SG_PACKED_ENTRIES,
};
