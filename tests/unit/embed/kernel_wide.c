/* The AVX-512 kernel's shape compiled for AVX2: sixteen lanes are two registers, so its logic runs
 * on any machine. Slow (its sums do not fit the registers); for tests only.
 */
#define SG_TILE_ROWS 12
#define SG_TILE_V16 2
#include "embed/attention.h"
#include "embed/packed.h"
#include "kernel_wide.h"

static bool usable(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static const struct sg_vecops wide_vecops = SG_VECOPS_INIT("wide");

static const struct sg_vecops *vecops(void)
{
	return &wide_vecops;
}

const struct sg_kernel test_kernel_wide = {
	.name = "wide",
	.needs = "AVX2 and FMA",
	.usable = usable,
	.vecops = vecops,
	SG_PACKED_ENTRIES,
};
