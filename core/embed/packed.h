/* Dense layers from packed weights, by the register tile of tile.h. Included by one .c file for
 * each instruction set.
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

#include "embed/tile.h"

enum { ROWS_AT_ONCE = 144 }; /* of K_BLOCK inputs: 216 KB, in the second-level cache */

/* -- weights -------------------------------------------------------------------------------- */

static size_t packed_bytes(size_t in, size_t out)
{
	return in * out * sizeof(float);
}

static void pack(const float *w, size_t in, size_t out, void *ret_packed)
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
static void linear(const struct sg_linear *l, const struct sg_vecops *v, enum sg_finish how,
	const float *x, size_t ldx, size_t m, size_t n0, size_t n1, float *c, size_t ldc, void *tmp)
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

#define SG_PACKED_ENTRIES \
	.packed_bytes = packed_bytes, .pack = pack, .linear = linear, .heads_at_once = 1

#endif
