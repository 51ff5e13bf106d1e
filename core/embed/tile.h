/* The register tile of the micro-kernels, for any instruction set of lanes.h. A .c file first
 * defines SG_TILE_ROWS (R) and SG_TILE_V16 (V: 16 V columns in registers), then includes packed.h
 * or attention.h. Source: Goto & van de Geijn 2008; BLIS (the micro-kernel's shape).
 */
#ifndef SG_EMBED_TILE_H
#define SG_EMBED_TILE_H

#include "embed/vecops.h"

enum {
	TILE_ROWS = SG_TILE_ROWS,
	TILE_V = SG_TILE_V16,
	TILE_COLUMNS = 16 * SG_TILE_V16,
	K_BLOCK = 384, /* inputs of a dense layer that a tile sums in registers */
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
#pragma GCC unroll 4
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
#define HEIGHT_CASES_2(body) \
	HEIGHT_CASE(1, body) \
	HEIGHT_CASE(2, body)
#define HEIGHT_CASES_6(body) \
	HEIGHT_CASES_2(body) \
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
#elif SG_TILE_ROWS == 6
#define HEIGHT_CASES(body) HEIGHT_CASES_6(body)
#else
#define HEIGHT_CASES(body) HEIGHT_CASES_2(body)
#endif

#endif
