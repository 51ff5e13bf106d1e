/* The kernels in plain C. */
#include <string.h>

#define WIDTH 8

struct lanes {
	float v[WIDTH];
};

static inline struct lanes zero(void)
{
	return (struct lanes){{0}};
}

static inline struct lanes load(const float *p)
{
	struct lanes l;
	memcpy(l.v, p, sizeof(l.v));
	return l;
}

static inline struct lanes fma_lanes(struct lanes a, struct lanes b, struct lanes c)
{
	for (int i = 0; i < WIDTH; i++)
		c.v[i] += a.v[i] * b.v[i];
	return c;
}

static inline float sum(struct lanes l)
{
	float a[4];
	for (int i = 0; i < 4; i++)
		a[i] = l.v[i] + l.v[i + 4];
	return (a[0] + a[2]) + (a[1] + a[3]);
}

#define LANES struct lanes
#define LANES_ZERO() zero()
#define LANES_LOAD(p) load(p)
#define LANES_FMA(a, b, c) fma_lanes(a, b, c)
#define LANES_SUM(v) sum(v)

#include "knowledge/scan_tile.h"

static void dots_int8(
	const int8_t *const *rows, size_t n, size_t dims, const int8_t *query, int32_t *out)
{
	for (size_t i = 0; i < n; i++) {
		int32_t s = 0;
		for (size_t k = 0; k < dims; k++)
			s += (int32_t)rows[i][k] * query[k];
		out[i] = s;
	}
}

const struct sg_scan_ops sg_scan_portable = {"portable", dots, dots_int8};
