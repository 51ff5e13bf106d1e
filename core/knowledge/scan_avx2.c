/* The kernels with AVX2 and FMA. */
#include <immintrin.h>

#define WIDTH 8
#define LANES __m256
#define LANES_ZERO() _mm256_setzero_ps()
#define LANES_LOAD(p) _mm256_loadu_ps(p)
#define LANES_FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#define LANES_SUM(v) sum_lanes(v)

static inline float sum_lanes(__m256 v)
{
	__m128 a = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
	a = _mm_add_ps(a, _mm_movehl_ps(a, a));
	return _mm_cvtss_f32(_mm_add_ss(a, _mm_shuffle_ps(a, a, 1)));
}

#include "knowledge/scan_tile.h"

static inline __m256i product(__m256i x, __m256i q)
{
	/* |x| times q with x's sign: two products of at most 127 * 127 fit 16 bits. */
	__m256i p = _mm256_maddubs_epi16(_mm256_abs_epi8(x), _mm256_sign_epi8(q, x));
	return _mm256_madd_epi16(p, _mm256_set1_epi16(1));
}

static inline int32_t sum_ints(__m256i v)
{
	__m128i a = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
	a = _mm_add_epi32(a, _mm_shuffle_epi32(a, 0x4e));
	return _mm_cvtsi128_si32(_mm_add_epi32(a, _mm_shuffle_epi32(a, 0xb1)));
}

static inline __m256i load(const int8_t *p)
{
	return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

static inline void int8_rows(const int8_t *const *r, const int8_t *const *next, int n, size_t dims,
	const int8_t *query, int32_t *out)
{
	__m256i s[ROWS];
	for (int i = 0; i < n; i++)
		s[i] = _mm256_setzero_si256();
	for (size_t k = 0; k < dims; k += 32) {
		__m256i q = load(query + k);
		for (int i = 0; i < n; i++) {
			if (!(k & 32))
				__builtin_prefetch(next[i] + k);
			s[i] = _mm256_add_epi32(s[i], product(load(r[i] + k), q));
		}
	}
	for (int i = 0; i < n; i++)
		out[i] = sum_ints(s[i]);
}

static void dots_int8(
	const int8_t *const *rows, size_t n, size_t dims, const int8_t *query, int32_t *out)
{
	size_t i = 0;
	for (; i + ROWS <= n; i += ROWS)
		int8_rows(rows + i, i + 2 * ROWS <= n ? rows + i + ROWS : rows + i, ROWS, dims,
			query, out + i);
	for (; i < n; i++)
		int8_rows(rows + i, rows + i, 1, dims, query, out + i);
}

const struct sg_scan_ops sg_scan_avx2 = {"avx2", dots, dots_int8};
