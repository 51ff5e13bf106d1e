/* bfloat16 without AVX512_BF16: the same rounding by AVX2 multiply-adds. No faster than float32;
 * for a host that has to reproduce vectors of one that has the instruction, and for tests. Differs
 * only in that VDPBF16PS takes subnormal numbers as zero.
 */
#define SG_TILE_ROWS 6
#define SG_TILE_V16 1
#include "embed/lanes.h"

/* A product of two bfloat16 is exact in float32, so fusing it with the addition changes nothing. */
SG_INLINE v16 bf16_pairs(v16 s, uint32_t x, const uint16_t *w)
{
	const __m256i top = _mm256_set1_epi32((int)0xffff0000U);
	const __m256 x0 = _mm256_castsi256_ps(_mm256_set1_epi32((int)(x << 16)));
	const __m256 x1 = _mm256_castsi256_ps(_mm256_set1_epi32((int)(x & 0xffff0000U)));
	for (int i = 0; i < 2; i++) {
		__m256i pairs = _mm256_loadu_si256((const __m256i *)(w + 16 * i));
		s.r[i] = _mm256_fmadd_ps(
			x1, _mm256_castsi256_ps(_mm256_and_si256(pairs, top)), s.r[i]);
		s.r[i] = _mm256_fmadd_ps(
			x0, _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16)), s.r[i]);
	}
	return s;
}

#include "embed/packed_bf16.h"

static bool usable(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

const struct sg_kernel sg_kernel_bf16_emulated = {
	.name = "bf16-emulated",
	.needs = "AVX2 and FMA",
	.usable = usable,
	SG_BF16_ENTRIES,
};
