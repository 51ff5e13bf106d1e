/* Dense layers in bfloat16: weights and inputs rounded to nearest even, products exact, sums in
 * float32. Included by one .c file for each way to multiply; it needs
 *   v16 bf16_pairs(v16 s, uint32_t x, const uint16_t *w)
 * that adds x[1] * w[2i + 1], then x[0] * w[2i], to each lane i: two roundings, as VDPBF16PS.
 *
 * Panels: [in / K_BLOCK][out / 16V][K_BLOCK / 2][16V][2]. Half the bytes of float32, so short
 * texts, which wait for memory, take half the time. Opt-in: the vectors differ (cosine at least
 * 0.9999).
 */
#ifndef SG_EMBED_PACKED_BF16_H
#define SG_EMBED_PACKED_BF16_H

#include <string.h>

#include "embed/tile.h"

SG_INLINE uint16_t bf16_of(float x)
{
	uint32_t bits;
	memcpy(&bits, &x, sizeof(bits));
	return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static size_t bf16_packed_bytes(size_t in, size_t out)
{
	return in * out * sizeof(uint16_t);
}

static void bf16_pack(const float *w, size_t in, size_t out, void *ret_packed)
{
	uint16_t *to = ret_packed;
	for (size_t block = 0; block < in; block += K_BLOCK)
		for (size_t panel = 0; panel < out; panel += TILE_COLUMNS)
			for (size_t k = block; k < block + K_BLOCK; k += 2)
				for (size_t j = 0; j < TILE_COLUMNS; j++, to += 2) {
					to[0] = bf16_of(w[(panel + j) * in + k]);
					to[1] = bf16_of(w[(panel + j) * in + k + 1]);
				}
}

SG_INLINE uint32_t pair_at(const uint16_t *x)
{
	uint32_t pair;
	memcpy(&pair, x, sizeof(pair));
	return pair;
}

/* As tile_sum, over K_BLOCK inputs in pairs. */
SG_INLINE void bf16_tile_sum(
	struct tile *t, const int R, const uint16_t *a, const uint16_t *b, struct ahead ahead)
{
#pragma GCC unroll 16
	for (int r = 0; r < R; r++)
#pragma GCC unroll 2
		for (int v = 0; v < TILE_V; v++)
			t->s[r][v] = v16_set1(0);
	for (size_t i = 0; i < K_BLOCK / 2; i++) {
		_mm_prefetch(ahead.at, _MM_HINT_T1);
		ahead.at += ahead.step;
#pragma GCC unroll 16
		for (int r = 0; r < R; r++)
#pragma GCC unroll 2
			for (int v = 0; v < TILE_V; v++)
				t->s[r][v] = bf16_pairs(
					t->s[r][v], pair_at(a + (size_t)r * K_BLOCK), b + 32 * v);
		a += 2;
		b += 2 * TILE_COLUMNS;
	}
}

/* c = finish(part + sums); part is the sum of the blocks before and stays unfinished till the last.
 */
struct bf16_block {
	const uint16_t *x; /* [m, K_BLOCK], dense */
	size_t m;
	const uint16_t *panel;
	const float *bias;
	float *part; /* [m, TILE_COLUMNS] */
	float *c;
	size_t ldc;
	bool first, last;
	enum sg_finish how;
};

SG_INLINE void bf16_put(const struct tile *t, const int R, const struct bf16_block *b, size_t row)
{
#pragma GCC unroll 16
	for (int r = 0; r < R; r++)
#pragma GCC unroll 2
		for (int v = 0; v < TILE_V; v++) {
			float *part = b->part + (row + (size_t)r) * TILE_COLUMNS + 16 * v;
			v16_store(
				part, b->first ? t->s[r][v] : v16_add(v16_load(part), t->s[r][v]));
		}
}

static void bf16_run_block(const struct bf16_block *b)
{
	const size_t tiles = (b->m + TILE_ROWS - 1) / TILE_ROWS;
	struct ahead ahead = {(const char *)(b->panel + K_BLOCK * TILE_COLUMNS),
		(TILE_COLUMNS * 2 * sizeof(uint16_t) - 1) / tiles + 1};
	for (size_t i = 0, row = 0; i < tiles; i++) {
		const size_t rows = (b->m - row + (tiles - i) - 1) / (tiles - i);
		const uint16_t *x = b->x + row * K_BLOCK;
		FOR_HEIGHT(rows, {
			struct tile t;
			bf16_tile_sum(&t, R, x, b->panel, ahead);
			bf16_put(&t, R, b, row);
		})
		ahead.at += ahead.step * (K_BLOCK / 2);
		row += rows;
	}
	if (b->last)
		vec_finish(
			b->how, b->part, TILE_COLUMNS, b->m, TILE_COLUMNS, b->bias, b->c, b->ldc);
}

/* x[m, K_BLOCK of ldx] rounded, dense. */
static void bf16_round_block(const float *x, size_t ldx, size_t m, uint16_t *ret)
{
	for (size_t i = 0; i < m; i++)
		for (size_t k = 0; k < K_BLOCK; k++)
			ret[i * K_BLOCK + k] = bf16_of(x[i * ldx + k]);
}

/* tmp: the rounded block of x, then a part for each panel (one reused when there is one block). */
static void bf16_linear(const struct sg_linear *l, const struct sg_vecops *v, enum sg_finish how,
	const float *x, size_t ldx, size_t m, size_t n0, size_t n1, float *c, size_t ldc, void *tmp)
{
	(void)v;
	uint16_t *rounded = tmp;
	float *parts = (float *)tmp + SG_EMBED_BATCH_ROWS * K_BLOCK / 2;
	for (size_t k = 0; k < l->in; k += K_BLOCK) {
		bf16_round_block(x + k, ldx, m, rounded);
		for (size_t n = n0; n < n1; n += TILE_COLUMNS) {
			struct bf16_block b = {
				.x = rounded,
				.m = m,
				.panel = (const uint16_t *)l->packed + k * l->out + n * K_BLOCK,
				.bias = l->b + n,
				.part = parts + (l->in > K_BLOCK ? (n - n0) * m : 0),
				.c = c + (n - n0),
				.ldc = ldc,
				.first = k == 0,
				.last = k + K_BLOCK == l->in,
				.how = how,
			};
			bf16_run_block(&b);
		}
	}
}

#define SG_BF16_ENTRIES \
	.vecops = sg_vecops_best, .packed_bytes = bf16_packed_bytes, .pack = bf16_pack, \
	.linear = bf16_linear, .on_request = true, .bf16 = true, .heads_at_once = 4

#endif
