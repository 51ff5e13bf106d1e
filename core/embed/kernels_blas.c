/* The BLAS kernel: dense layers by cblas_sgemm, on any CPU that OpenBLAS knows; the rest by the
 * best instruction set of vecops. The only file that includes cblas.h.
 *
 * OpenBLAS's pthread build with one thread of its own per call: callers run side by side, one pass
 * each. (Debian's serial build is not safe to call from two threads.) It repacks the weights at
 * each call, and that is cheaper from [in, out]: so they are transposed once.
 *
 * Batch invariance: a row's sums depend on which of OpenBLAS's micro-kernels gets it, and that on
 * the row's place in its group (Haswell: 12 rows) and on how many rows are left over. So each text
 * is filled up to whole groups; which unit does, if any, is found out at the start by comparing
 * bits (tests/unit/embed/test_kernels.c does it at length).
 */
#include "embed/kernels.h"

#include <cblas.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

static void one_thread(void)
{
	openblas_set_num_threads(1);
}

static bool usable(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	(void)pthread_once(&once, one_thread);
	return true;
}

static size_t packed_bytes(size_t in, size_t out)
{
	return in * out * sizeof(float);
}

/* [out, in] -> [in, out], in squares that stay in the cache. */
static void pack(const float *w, size_t in, size_t out, void *ret_packed)
{
	enum { SIDE = 32 };
	float *to = ret_packed;
	for (size_t n = 0; n < out; n += SIDE)
		for (size_t k = 0; k < in; k += SIDE)
			for (size_t i = k; i < k + SIDE; i++)
				for (size_t j = n; j < n + SIDE; j++)
					to[i * out + j] = w[j * in + i];
}

/* c[m, n] += x[m, in] w[in, n] */
static void add_product(const float *x, size_t ldx, size_t m, const float *w, size_t ldw, size_t in,
	size_t n, float *c, size_t ldc)
{
	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (blasint)m, (blasint)n, (blasint)in,
		1.0f, x, (blasint)ldx, w, (blasint)ldw, 1.0f, c, (blasint)ldc);
}

static void linear(const struct sg_linear *l, const struct sg_vecops *v, enum sg_finish how,
	const float *x, size_t ldx, size_t m, size_t n0, size_t n1, float *c, size_t ldc, void *tmp)
{
	static const float zero[SG_BERT_INTERMEDIATE];
	const size_t n = n1 - n0;
	(void)tmp;
	if (how == SG_FINISH_RESIDUAL)
		v->finish(SG_FINISH_BIAS, c, ldc, m, n, l->b + n0, c, ldc);
	for (size_t i = 0; i < m && how != SG_FINISH_RESIDUAL; i++)
		memcpy(c + i * ldc, l->b + n0, n * sizeof(*c));
	add_product(x, ldx, m, (const float *)l->packed + n0, l->out, l->in, n, c, ldc);
	if (how == SG_FINISH_GELU)
		v->finish(SG_FINISH_GELU, c, ldc, m, n, zero, c, ldc);
}

/* -- the unit of rows ------------------------------------------------------------------------- */

enum { PROBE_OUT = 384, PROBE_IN = 1536, PROBE_ROWS = 168 };

struct probe {
	float x[PROBE_ROWS * PROBE_IN], w[PROBE_IN * PROBE_OUT];
	float all[PROBE_ROWS * PROBE_OUT], part[PROBE_ROWS * PROBE_OUT];
};

static void probe_product(const struct probe *p, size_t in, size_t from, size_t m, float *ret)
{
	memset(ret, 0, m * PROBE_OUT * sizeof(*ret));
	add_product(p->x + from * in, in, m, p->w, PROBE_OUT, in, PROBE_OUT, ret, PROBE_OUT);
}

/* Do rows in groups of `unit` come out the same in any company? */
static bool unit_holds(struct probe *p, size_t unit, size_t in)
{
	const size_t rows = PROBE_ROWS / unit * unit;
	probe_product(p, in, 0, rows, p->all);
	for (size_t m = unit; m < rows; m += unit) {
		const size_t from = rows - m < unit * 5 ? rows - m : unit * 5;
		probe_product(p, in, from, m, p->part);
		if (memcmp(p->part, p->all + from * PROBE_OUT, m * PROBE_OUT * sizeof(*p->part)) !=
			0)
			return false;
	}
	return true;
}

static size_t the_unit;

static void find_unit(void)
{
	static const size_t units[] = {1, 2, 4, 8, 12, 16, 24, SG_KERNEL_ROW_UNIT};
	struct probe *p = malloc(sizeof(*p));
	if (!p)
		return; /* alone is always right */
	uint32_t seed = 1;
	for (float *f = p->x; f < p->all; f++)
		*f = (float)((seed = seed * 1664525U + 1013904223U) >> 8) * 0x1p-24f - 0.5f;
	for (size_t i = 0; i < SG_ARRAY_LEN(units) && !the_unit; i++)
		if (unit_holds(p, units[i], SG_BERT_HIDDEN) && unit_holds(p, units[i], PROBE_IN))
			the_unit = units[i];
	free(p);
}

static size_t row_unit(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	(void)pthread_once(&once, find_unit);
	return the_unit;
}

const struct sg_kernel sg_kernel_blas = {
	.name = "blas",
	.usable = usable,
	.vecops = sg_vecops_best,
	.packed_bytes = packed_bytes,
	.pack = pack,
	.linear = linear,
	.whole_columns = true,
	.row_unit = row_unit,
	.heads_at_once = SG_BERT_HEADS,
};
