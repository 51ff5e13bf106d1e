/* Attention of one head of one text, by the register tile of tile.h: scores, softmax, weighted
 * values, a few rows at a time, so that a row's scores never leave the first-level cache. Included
 * by one .c file for each instruction set; SG_VECOPS_INIT is then its table of row operations.
 */
#ifndef SG_EMBED_ATTENTION_H
#define SG_EMBED_ATTENTION_H

#include "embed/tile.h"

enum { HEAD = SG_BERT_HEAD_DIM, SCORE_LD = SG_EMBED_MAX_TOKENS + 16 };

/* K of qkv[n, 96] into panels [n / C][32][C] of C = TILE_COLUMNS keys. Columns past n keep what
 * they held, finite numbers; the scores they give are never read. */
static void transpose_keys(const float *k, size_t ld, size_t n, float *ret)
{
	for (size_t j = 0; j < n; j += 4) {
		float *to = ret + j / TILE_COLUMNS * TILE_COLUMNS * HEAD + j % TILE_COLUMNS;
		const size_t left = n - j;
		for (size_t d = 0; d < HEAD; d += 4) {
			const float *from = k + j * ld + d;
			__m128 r0 = _mm_loadu_ps(from), zero = _mm_setzero_ps();
			__m128 r1 = left > 1 ? _mm_loadu_ps(from + ld) : zero;
			__m128 r2 = left > 2 ? _mm_loadu_ps(from + 2 * ld) : zero;
			__m128 r3 = left > 3 ? _mm_loadu_ps(from + 3 * ld) : zero;
			_MM_TRANSPOSE4_PS(r0, r1, r2, r3);
			_mm_storeu_ps(to + d * TILE_COLUMNS, r0);
			_mm_storeu_ps(to + (d + 1) * TILE_COLUMNS, r1);
			_mm_storeu_ps(to + (d + 2) * TILE_COLUMNS, r2);
			_mm_storeu_ps(to + (d + 3) * TILE_COLUMNS, r3);
		}
	}
}

/* scores[R, n] = q[R, 32] K^T */
SG_INLINE void score_rows(
	const int R, const float *q, size_t ld, const float *keys, size_t n, float *ret_scores)
{
	for (size_t j = 0; j < n; j += TILE_COLUMNS) {
		struct tile t;
		tile_sum(&t, R, q, ld, keys + j * HEAD, TILE_COLUMNS, HEAD, NOTHING_AHEAD);
#pragma GCC unroll 16
		for (int r = 0; r < R; r++)
#pragma GCC unroll 2
			for (int v = 0; v < TILE_V; v++)
				v16_store(ret_scores + r * SCORE_LD + j + 16 * v, t.s[r][v]);
	}
}

/* V of qkv[n, 96] into panels [32 / C][n][C]. */
static void copy_values(const float *v, size_t ld, size_t n, float *ret)
{
	for (size_t d = 0; d < HEAD; d += 16)
		for (size_t j = 0; j < n; j++)
			v16_store(
				ret + (d / TILE_COLUMNS * n + j) * TILE_COLUMNS + d % TILE_COLUMNS,
				v16_load(v + j * ld + d));
}

/* context[R, 32] = p[R, n] V[n, 32] * inv[R] */
SG_INLINE void weigh_rows(const int R, const float *p, const float *inv, const float *values,
	size_t n, float *ret_context, size_t ldc)
{
	for (size_t j = 0; j < HEAD; j += TILE_COLUMNS) {
		struct tile t;
		tile_sum(&t, R, p, SCORE_LD, values + j * n, TILE_COLUMNS, n, NOTHING_AHEAD);
#pragma GCC unroll 16
		for (int r = 0; r < R; r++)
#pragma GCC unroll 2
			for (int i = 0; i < TILE_V; i++)
				v16_store(ret_context + (size_t)r * ldc + j + 16 * i,
					v16_mul(t.s[r][i], v16_set1(inv[r])));
	}
}

/* One head of one text, packed; rows of it that are computed together. */
struct head {
	const float *q; /* [n, 32] with ld */
	size_t ld, n;
	const float *keys, *values; /* panels */
	float *scores;		    /* [TILE_ROWS, SCORE_LD] */
	float *context;		    /* [n, 32] with ldc */
	size_t ldc;
};

SG_INLINE void attend_rows(const int R, const struct head *h, size_t row)
{
	const float factor = 0.17677669529663688110f * LOG2_E; /* 1 / sqrt(32) */
	float inv[TILE_ROWS], most[TILE_ROWS];
	score_rows(R, h->q + row * h->ld, h->ld, h->keys, h->n, h->scores);
	for (int r = 0; r < R; r++)
		most[r] = row_most(h->scores + r * SCORE_LD, h->n, factor);
	for (int r = 0; r < R; r++)
		inv[r] = 1.0f / row_exp(h->scores + r * SCORE_LD, h->n, factor, most[r]);
	weigh_rows(R, h->scores, inv, h->values, h->n, h->context + row * h->ldc, h->ldc);
}

/* Out of line for each height: in one function together the compiler keeps sums in memory. */
#define ATTEND(n) \
	__attribute__((noinline)) static void attend_##n(const struct head *h, size_t row) \
	{ \
		attend_rows(n, h, row); \
	}
ATTEND(1)
ATTEND(2)
#if SG_TILE_ROWS >= 6
ATTEND(3)
ATTEND(4)
ATTEND(5)
ATTEND(6)
#endif
#if SG_TILE_ROWS == 12
ATTEND(7)
ATTEND(8)
ATTEND(9)
ATTEND(10)
ATTEND(11)
ATTEND(12)
#endif
static void (*const attend_height[])(const struct head *, size_t) = {
	attend_1,
	attend_2,
#if SG_TILE_ROWS >= 6
	attend_3,
	attend_4,
	attend_5,
	attend_6,
#endif
#if SG_TILE_ROWS == 12
	attend_7,
	attend_8,
	attend_9,
	attend_10,
	attend_11,
	attend_12,
#endif
};

static void vec_attention(
	const float *qkv, size_t ld, size_t n, float *ret_context, size_t ldc, void *tmp)
{
	float *keys = tmp;
	float *values = keys + HEAD * (SG_EMBED_MAX_TOKENS + TILE_COLUMNS);
	float *scores = values + HEAD * SG_EMBED_MAX_TOKENS;
	transpose_keys(qkv + HEAD, ld, n, keys);
	copy_values(qkv + 2 * HEAD, ld, n, values);
	const struct head h = {qkv, ld, n, keys, values, scores, ret_context, ldc};
	const size_t tiles = (n + TILE_ROWS - 1) / TILE_ROWS;
	for (size_t i = 0, row = 0; i < tiles; i++) {
		const size_t rows = (n - row + (tiles - i) - 1) / (tiles - i);
		attend_height[rows - 1](&h, row);
		row += rows;
	}
}

#define SG_VECOPS_INIT(isa) \
	{ \
		.name = (isa), .finish = vec_finish, .softmax = vec_softmax, .norm = vec_norm, \
		.pool = vec_pool, .attention = vec_attention, \
	}

#endif
