/* The kernels with AVX-512 (F and BW). */
#include <immintrin.h>

#define WIDTH 16
#define LANES __m512
#define LANES_ZERO() _mm512_setzero_ps()
#define LANES_LOAD(p) _mm512_loadu_ps(p)
#define LANES_FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
#define LANES_SUM(v) _mm512_reduce_add_ps(v)

#include "knowledge/scan_tile.h"

/* 32 codes of each as 16-bit numbers; a product and its neighbour fit 32 bits. */
static inline __m512i widened(const int8_t *p)
{
	return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(const void *)p));
}

static int32_t one_int8(const int8_t *r, size_t dims, const int8_t *query)
{
	__m512i s = _mm512_setzero_si512();
	for (size_t k = 0; k < dims; k += 32)
		s = _mm512_add_epi32(s, _mm512_madd_epi16(widened(r + k), widened(query + k)));
	return _mm512_reduce_add_epi32(s);
}

static void dots_int8(
	const int8_t *const *rows, size_t n, size_t dims, const int8_t *query, int32_t *out)
{
	for (size_t i = 0; i < n; i++)
		out[i] = one_int8(rows[i], dims, query);
}

const struct sg_scan_ops sg_scan_avx512 = {"avx512", dots, dots_int8};
