/* bfloat16 by AVX512_BF16: one instruction multiplies 32 pairs. Attention stays in float32. */
#define SG_TILE_ROWS 12
#define SG_TILE_V16 2
#include "embed/lanes.h"

SG_INLINE v16 bf16_pairs(v16 s, uint32_t x, const uint16_t *w)
{
	s.r = _mm512_dpbf16_ps(
		s.r, (__m512bh)_mm512_set1_epi32((int)x), (__m512bh)_mm512_loadu_si512(w));
	return s;
}

#include "embed/packed_bf16.h"

static bool usable(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bf16");
}

const struct sg_kernel sg_kernel_bf16 = {
	.name = "bf16",
	.needs = "AVX512_BF16 (\"bf16-emulated\" computes the same rounding without it)",
	.usable = usable,
	SG_BF16_ENTRIES,
};
