/* The packed micro-kernel, for any instruction set of lanes.h. Included by one .c file for each,
 * which first defines SG_TILE_ROWS (R) and SG_TILE_V16 (V: 16 V columns in registers).
 *
 * Weights are packed once into [in / K_BLOCK][out / 16V][K_BLOCK][16V], the order in which a pass
 * reads them: one step of the inner loop takes one contiguous row of a panel. A tile of up to R
 * rows keeps its sums in registers over a block of K_BLOCK inputs; longer sums add the blocks'
 * results in order. Every element is one chain of fused multiply-adds a block, in the order of the
 * inputs, whatever the tile's height: that makes vectors batch-invariant, and equal for AVX2 and
 * AVX-512. Source: Goto & van de Geijn 2008 (panels and register tiles); BLIS (the micro-kernel's
 * shape).
 */
#ifndef SG_EMBED_PACKED_H
#define SG_EMBED_PACKED_H

#include "embed/vecops.h"

enum {
	TILE_ROWS = SG_TILE_ROWS,
	TILE_V = SG_TILE_V16,
	TILE_COLUMNS = 16 * SG_TILE_V16,
	K_BLOCK = 384,
	ROWS_AT_ONCE = 144, /* of K_BLOCK inputs: 216 KB, in the second-level cache */
};

struct tile {
	v16 s[TILE_ROWS][TILE_V];
};

/* What to bring into the second-level cache meanwhile: step bytes further at each k. */
struct ahead {
	const char *at;
	size_t step; /* 0: nothing */
};

/* s[r][v] = sum over k of a[r, k] * b[k, v]; R is a constant where this is inlined. */
SG_INLINE void tile_sum(struct tile *t, const int R, const float *a, size_t lda, const float *b,
	size_t ldb, size_t k, struct ahead ahead)
{
#pragma GCC unroll 16
	for (int r = 0; r < R; r++)
#pragma GCC unroll 2
		for (int v = 0; v < TILE_V; v++)
			t->s[r][v] = v16_set1(0);
	for (size_t i = 0; i < k; i++) {
		v16 row[TILE_V];
#pragma GCC unroll 2
		for (int v = 0; v < TILE_V; v++)
			row[v] = v16_load(b + 16 * v);
		if (ahead.step) {
			_mm_prefetch(ahead.at, _MM_HINT_T1);
			ahead.at += ahead.step;
		}
#pragma GCC unroll 16
		for (int r = 0; r < R; r++) {
			v16 x = v16_set1(a[(size_t)r * lda]);
#pragma GCC unroll 2
			for (int v = 0; v < TILE_V; v++)
				t->s[r][v] = v16_fma(x, row[v], t->s[r][v]);
		}
		a++;
		b += ldb;
	}
}

#define NOTHING_AHEAD ((struct ahead){0})

/* Calls body with R fixed to each height. */
#define FOR_HEIGHT(rows, body) \
	switch (rows) { \
		HEIGHT_CASES(body) \
	default: __builtin_unreachable(); \
	}
#define HEIGHT_CASE(n, body) \
	case n: { \
		enum { R = n }; \
		body; \
	} break;
#define HEIGHT_CASES_6(body) \
	HEIGHT_CASE(1, body) \
	HEIGHT_CASE(2, body) \
	HEIGHT_CASE(3, body) \
	HEIGHT_CASE(4, body) \
	HEIGHT_CASE(5, body) \
	HEIGHT_CASE(6, body)
#if SG_TILE_ROWS == 12
#define HEIGHT_CASES(body) \
	HEIGHT_CASES_6(body) \
	HEIGHT_CASE(7, body) \
	HEIGHT_CASE(8, body) \
	HEIGHT_CASE(9, body) \
	HEIGHT_CASE(10, body) \
	HEIGHT_CASE(11, body) \
	HEIGHT_CASE(12, body)
#else
#define HEIGHT_CASES(body) HEIGHT_CASES_6(body)
#endif

/* -- weights -------------------------------------------------------------------------------- */

SG_UNUSED static size_t packed_bytes(size_t in, size_t out)
{
	return in * out * sizeof(float);
}

SG_UNUSED static void pack(const float *w, size_t in, size_t out, void *ret_packed)
{
	float *to = ret_packed;
	for (size_t block = 0; block < in; block += K_BLOCK)
		for (size_t panel = 0; panel < out; panel += TILE_COLUMNS)
			for (size_t k = block; k < block + K_BLOCK; k++)
				for (size_t j = 0; j < TILE_COLUMNS; j++)
					*to++ = w[(panel + j) * in + k];
}

/* -- dense layers --------------------------------------------------------------------------- */

/* What becomes of a tile's sums: the first and middle blocks of a long sum are kept in `part`. */
enum stage { STAGE_ONLY, STAGE_FIRST, STAGE_MIDDLE, STAGE_LAST };

struct block {
	const float *x; /* [m, K_BLOCK] of it */
	size_t ldx, m;
	const float *panel; /* [K_BLOCK, TILE_COLUMNS] */
	const float *next;  /* the panel after it, fetched meanwhile */
	const float *bias;  /* [TILE_COLUMNS] */
	float *part;	    /* [m, TILE_COLUMNS], dense */
	float *c;
	size_t ldc;
};

SG_INLINE void put16(
	enum sg_finish how, enum stage stage, v16 s, const float *bias, float *part, float *c)
{
	if (stage == STAGE_MIDDLE || stage == STAGE_LAST)
		s = v16_add(v16_load(part), s);
	if (stage == STAGE_FIRST || stage == STAGE_MIDDLE)
		v16_store(part, s);
	else
		v16_store(c, finish16(how, s, v16_load(bias), c));
}

SG_INLINE void tile_put(const struct tile *t, const int R, enum sg_finish how, enum stage stage,
	const struct block *b, size_t row)
{
#pragma GCC unroll 16
	for (int r = 0; r < R; r++)
#pragma GCC unroll 2
		for (int v = 0; v < TILE_V; v++)
			put16(how, stage, t->s[r][v], b->bias + 16 * v,
				b->part + (row + (size_t)r) * TILE_COLUMNS + 16 * v,
				b->c + (row + (size_t)r) * b->ldc + 16 * v);
}

/* Rows in tiles of nearly equal height, so that none is too low to fill the pipeline. */
SG_INLINE void run_block(enum sg_finish how, enum stage stage, const struct block *b)
{
	const size_t tiles = (b->m + TILE_ROWS - 1) / TILE_ROWS;
	struct ahead ahead = {
		(const char *)b->next, (TILE_COLUMNS * sizeof(float) - 1) / tiles + 1};
	size_t row = 0;
	for (size_t i = 0; i < tiles; i++) {
		const size_t rows = (b->m - row + (tiles - i) - 1) / (tiles - i);
		const float *x = b->x + row * b->ldx;
		FOR_HEIGHT(rows, {
			struct tile t;
			tile_sum(&t, R, x, b->ldx, b->panel, TILE_COLUMNS, K_BLOCK, ahead);
			tile_put(&t, R, how, stage, b, row);
		})
		ahead.at += ahead.step * K_BLOCK;
		row += rows;
	}
}

/* One out-of-line copy for each way to finish; long sums are only ever residual. */
__attribute__((noinline)) static void block_bias(const struct block *b)
{
	run_block(SG_FINISH_BIAS, STAGE_ONLY, b);
}
__attribute__((noinline)) static void block_gelu(const struct block *b)
{
	run_block(SG_FINISH_GELU, STAGE_ONLY, b);
}
__attribute__((noinline)) static void block_residual(const struct block *b)
{
	run_block(SG_FINISH_RESIDUAL, STAGE_ONLY, b);
}
__attribute__((noinline)) static void block_first(const struct block *b)
{
	run_block(SG_FINISH_BIAS, STAGE_FIRST, b);
}
__attribute__((noinline)) static void block_middle(const struct block *b)
{
	run_block(SG_FINISH_BIAS, STAGE_MIDDLE, b);
}
__attribute__((noinline)) static void block_last(const struct block *b)
{
	run_block(SG_FINISH_RESIDUAL, STAGE_LAST, b);
}

static void (*block_runner(enum sg_finish how, size_t k, size_t in))(const struct block *)
{
	if (in > K_BLOCK)
		return k == 0 ? block_first : k + K_BLOCK < in ? block_middle : block_last;
	return how == SG_FINISH_GELU   ? block_gelu
	       : how == SG_FINISH_BIAS ? block_bias
				       : block_residual;
}

/* The rows of one chunk through the panels of one block of inputs. */
static void run_chunk(const struct sg_linear *l, enum sg_finish how, const float *x, size_t ldx,
	size_t m, size_t k, size_t n0, size_t n1, float *c, size_t ldc, float *parts)
{
	void (*run)(const struct block *) = block_runner(how, k, l->in);
	for (size_t n = n0; n < n1; n += TILE_COLUMNS) {
		const float *panel = (const float *)l->packed + k * l->out + n * K_BLOCK;
		struct block b = {
			.x = x + k,
			.ldx = ldx,
			.m = m,
			.panel = panel,
			.next = panel + K_BLOCK * TILE_COLUMNS,
			.bias = l->b + n,
			.part = parts + (n - n0) * m,
			.c = c + (n - n0),
			.ldc = ldc,
		};
		run(&b);
	}
}

/* A chunk of rows of a block of x stays in the second-level cache while the panels pass by. */
SG_UNUSED static void linear(const struct sg_linear *l, const struct sg_vecops *v,
	enum sg_finish how, const float *x, size_t ldx, size_t m, size_t n0, size_t n1, float *c,
	size_t ldc, void *tmp)
{
	(void)v;
	const size_t chunks = (m + ROWS_AT_ONCE - 1) / ROWS_AT_ONCE;
	for (size_t k = 0; k < l->in; k += K_BLOCK) {
		for (size_t i = 0; i < chunks; i++) {
			const size_t row = m * i / chunks, rows = m * (i + 1) / chunks - row;
			run_chunk(l, how, x + row * ldx, ldx, rows, k, n0, n1, c + row * ldc, ldc,
				(float *)tmp + row * (n1 - n0));
		}
	}
}

/* -- attention ------------------------------------------------------------------------------ */

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
	const float scale = 0.17677669529663688110f; /* 1 / sqrt(32) */
	float inv[TILE_ROWS];
	score_rows(R, h->q + row * h->ld, h->ld, h->keys, h->n, h->scores);
	for (int r = 0; r < R; r++)
		inv[r] = softmax_row(h->scores + r * SCORE_LD, h->n, scale);
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
ATTEND(3)
ATTEND(4)
ATTEND(5)
ATTEND(6)
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
	attend_3,
	attend_4,
	attend_5,
	attend_6,
#if SG_TILE_ROWS == 12
	attend_7,
	attend_8,
	attend_9,
	attend_10,
	attend_11,
	attend_12,
#endif
};

static void attention(const struct sg_vecops *v, const float *qkv, size_t ld, size_t n,
	float *ret_context, size_t ldc, void *tmp)
{
	(void)v;
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

#endif
