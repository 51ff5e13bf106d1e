/* The float kernels for one vector width. The including file defines LANES (a type of WIDTH
 * floats), LANES_ZERO, LANES_LOAD, LANES_FMA and LANES_SUM.
 *
 * A product is WIDTH running sums, added up at the end in one order. Four rows by three queries
 * keep twelve sums in registers, which hides the latency of the multiply-add and loads each value
 * once for several products. Included by one file an instruction set; not a header for users. */
#include <stddef.h>

#include "knowledge/scan.h"

#define ROWS 4
#define QUERIES 3
/* Rows that stay in the first-level cache while all queries pass: 16 * 1536 bytes of 384. */
#define BLOCK 16

static inline void tile_4x3(
	const float *const *r, size_t dims, const float *q, float *out, size_t ldo)
{
	const float *q0 = q, *q1 = q + dims, *q2 = q + 2 * dims;
	LANES s[ROWS][QUERIES];
	for (int i = 0; i < ROWS; i++)
		for (int j = 0; j < QUERIES; j++)
			s[i][j] = LANES_ZERO();
	for (size_t k = 0; k < dims; k += WIDTH) {
		LANES a = LANES_LOAD(q0 + k), b = LANES_LOAD(q1 + k), c = LANES_LOAD(q2 + k);
		for (int i = 0; i < ROWS; i++) {
			LANES x = LANES_LOAD(r[i] + k);
			s[i][0] = LANES_FMA(x, a, s[i][0]);
			s[i][1] = LANES_FMA(x, b, s[i][1]);
			s[i][2] = LANES_FMA(x, c, s[i][2]);
		}
	}
	for (int i = 0; i < ROWS; i++)
		for (int j = 0; j < QUERIES; j++)
			out[(size_t)j * ldo + (size_t)i] = LANES_SUM(s[i][j]);
}

/* next: the four rows after these, fetched meanwhile; or r itself. */
static inline void tile_4x1(
	const float *const *r, const float *const *next, size_t dims, const float *q, float *out)
{
	LANES s[ROWS];
	for (int i = 0; i < ROWS; i++)
		s[i] = LANES_ZERO();
	for (size_t k = 0; k < dims; k += 16) {
		for (int i = 0; i < ROWS; i++)
			__builtin_prefetch(next[i] + k);
		for (size_t m = k; m < k + 16; m += WIDTH) {
			LANES a = LANES_LOAD(q + m);
			for (int i = 0; i < ROWS; i++)
				s[i] = LANES_FMA(LANES_LOAD(r[i] + m), a, s[i]);
		}
	}
	for (int i = 0; i < ROWS; i++)
		out[i] = LANES_SUM(s[i]);
}

static inline float tile_1x1(const float *r, size_t dims, const float *q)
{
	LANES s = LANES_ZERO();
	for (size_t k = 0; k < dims; k += WIDTH)
		s = LANES_FMA(LANES_LOAD(r + k), LANES_LOAD(q + k), s);
	return LANES_SUM(s);
}

/* Up to BLOCK rows with all queries. */
static void block(const float *const *rows, size_t n, size_t dims, const float *q, size_t nq,
	float *out, size_t ldo)
{
	size_t j = 0, i;
	for (; j + QUERIES <= nq; j += QUERIES) {
		for (i = 0; i + ROWS <= n; i += ROWS)
			tile_4x3(rows + i, dims, q + j * dims, out + j * ldo + i, ldo);
		for (; i < n; i++)
			for (size_t k = j; k < j + QUERIES; k++)
				out[k * ldo + i] = tile_1x1(rows[i], dims, q + k * dims);
	}
	for (; j < nq; j++) {
		for (i = 0; i + ROWS <= n; i += ROWS) {
			const float *const *next = i + 2 * ROWS <= n ? rows + i + ROWS : rows + i;
			tile_4x1(rows + i, next, dims, q + j * dims, out + j * ldo + i);
		}
		for (; i < n; i++)
			out[j * ldo + i] = tile_1x1(rows[i], dims, q + j * dims);
	}
}

static void dots(const float *const *rows, size_t n, size_t dims, const float *q, size_t nq,
	float *out, size_t ldo)
{
	size_t step = nq < QUERIES ? n : BLOCK;
	for (size_t i = 0; i < n; i += step)
		block(rows + i, n - i < step ? n - i : step, dims, q, nq, out + i, ldo);
}
