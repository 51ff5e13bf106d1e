/* Sixteen float32 lanes, whatever the instruction set: the one vocabulary of the fast kernels.
 *
 * A file is compiled with the flags of its instruction set and includes this header; `v16` is then
 * one zmm (AVX-512), two ymm (AVX2) or four xmm (baseline). Everything that reduces does so over
 * sixteen lanes in one fixed tree, and AVX-512 and AVX2 fuse the same multiply-adds, so these two
 * give the same bits. Baseline SSE2 has no fused multiply-add and rounds twice.
 * Include it only from a .c file that is compiled for one instruction set.
 */
#ifndef SG_EMBED_LANES_H
#define SG_EMBED_LANES_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define SG_INLINE static inline __attribute__((always_inline))

#if defined(__AVX512F__) && !defined(SG_LANES_AS_TWO)
typedef struct {
	__m512 r;
} v16;
#define V16_PARTS 1
#elif defined(__AVX2__) && defined(__FMA__)
typedef struct {
	__m256 r[2];
} v16;
#define V16_PARTS 2
#else
typedef struct {
	__m128 r[4];
} v16;
#define V16_PARTS 4
#endif

/* The operation on each hardware register of a v16, spelled once for each width. */
#if V16_PARTS == 1
#define V16_MAP(e512, e256, e128) \
	v16 o; \
	o.r = e512; \
	return o
#elif V16_PARTS == 2
#define V16_MAP(e512, e256, e128) \
	v16 o; \
	_Pragma("GCC unroll 2") for (int i = 0; i < 2; i++) o.r[i] = e256; \
	return o
#else
#define V16_MAP(e512, e256, e128) \
	v16 o; \
	_Pragma("GCC unroll 4") for (int i = 0; i < 4; i++) o.r[i] = e128; \
	return o
#endif

SG_INLINE v16 v16_set1(float x)
{
	V16_MAP(_mm512_set1_ps(x), _mm256_set1_ps(x), _mm_set1_ps(x));
}

SG_INLINE v16 v16_load(const float *p)
{
	V16_MAP(_mm512_loadu_ps(p), _mm256_loadu_ps(p + 8 * i), _mm_loadu_ps(p + 4 * i));
}

SG_INLINE void v16_store(float *p, v16 a)
{
#if V16_PARTS == 1
	_mm512_storeu_ps(p, a.r);
#elif V16_PARTS == 2
	_mm256_storeu_ps(p, a.r[0]);
	_mm256_storeu_ps(p + 8, a.r[1]);
#else
	for (int i = 0; i < 4; i++)
		_mm_storeu_ps(p + 4 * i, a.r[i]);
#endif
}

SG_INLINE v16 v16_add(v16 a, v16 b)
{
	V16_MAP(_mm512_add_ps(a.r, b.r), _mm256_add_ps(a.r[i], b.r[i]), _mm_add_ps(a.r[i], b.r[i]));
}

SG_INLINE v16 v16_sub(v16 a, v16 b)
{
	V16_MAP(_mm512_sub_ps(a.r, b.r), _mm256_sub_ps(a.r[i], b.r[i]), _mm_sub_ps(a.r[i], b.r[i]));
}

SG_INLINE v16 v16_mul(v16 a, v16 b)
{
	V16_MAP(_mm512_mul_ps(a.r, b.r), _mm256_mul_ps(a.r[i], b.r[i]), _mm_mul_ps(a.r[i], b.r[i]));
}

SG_INLINE v16 v16_div(v16 a, v16 b)
{
	V16_MAP(_mm512_div_ps(a.r, b.r), _mm256_div_ps(a.r[i], b.r[i]), _mm_div_ps(a.r[i], b.r[i]));
}

SG_INLINE v16 v16_max(v16 a, v16 b)
{
	V16_MAP(_mm512_max_ps(a.r, b.r), _mm256_max_ps(a.r[i], b.r[i]), _mm_max_ps(a.r[i], b.r[i]));
}

SG_INLINE v16 v16_min(v16 a, v16 b)
{
	V16_MAP(_mm512_min_ps(a.r, b.r), _mm256_min_ps(a.r[i], b.r[i]), _mm_min_ps(a.r[i], b.r[i]));
}

/* a * b + c, rounded once where the hardware can. */
SG_INLINE v16 v16_fma(v16 a, v16 b, v16 c)
{
	V16_MAP(_mm512_fmadd_ps(a.r, b.r, c.r), _mm256_fmadd_ps(a.r[i], b.r[i], c.r[i]),
		_mm_add_ps(_mm_mul_ps(a.r[i], b.r[i]), c.r[i]));
}

/* x * 2^n for integral n in [-126, 127], x a normal number that stays one. n is taken from the low
 * mantissa bits of shifted = n + 1.5 * 2^23. */
SG_INLINE v16 v16_scale2(v16 x, v16 shifted)
{
	V16_MAP(_mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(x.r),
			_mm512_slli_epi32(_mm512_castps_si512(shifted.r), 23))),
		_mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(x.r[i]),
			_mm256_slli_epi32(_mm256_castps_si256(shifted.r[i]), 23))),
		_mm_castsi128_ps(_mm_add_epi32(_mm_castps_si128(x.r[i]),
			_mm_slli_epi32(_mm_castps_si128(shifted.r[i]), 23))));
}

/* The fixed tree: lane i with i+8, then i+4, i+2, i+1. */
#if V16_PARTS == 1
#define V16_HALF(op, a) \
	_mm256_##op##_ps(_mm512_castps512_ps256(a.r), \
		_mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(a.r), 1)))
#define V16_QUARTER(op, a) V16_QUARTER_OF(op, V16_HALF(op, a))
#elif V16_PARTS == 2
#define V16_QUARTER(op, a) V16_QUARTER_OF(op, _mm256_##op##_ps(a.r[0], a.r[1]))
#endif
#define V16_QUARTER_OF(op, h) _mm_##op##_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1))
#if V16_PARTS == 4
#define V16_QUARTER(op, a) \
	_mm_##op##_ps(_mm_##op##_ps(a.r[0], a.r[2]), _mm_##op##_ps(a.r[1], a.r[3]))
#endif

SG_INLINE float v16_sum(v16 a)
{
	__m128 q = V16_QUARTER(add, a);
	q = _mm_add_ps(q, _mm_movehl_ps(q, q));
	return _mm_cvtss_f32(_mm_add_ss(q, _mm_shuffle_ps(q, q, 1)));
}

SG_INLINE float v16_largest(v16 a)
{
	__m128 q = V16_QUARTER(max, a);
	q = _mm_max_ps(q, _mm_movehl_ps(q, q));
	return _mm_cvtss_f32(_mm_max_ss(q, _mm_shuffle_ps(q, q, 1)));
}

#endif
