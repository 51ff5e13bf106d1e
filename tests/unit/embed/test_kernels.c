/* Each kernel against the reference, on random numbers, with a stated tolerance; and what makes
 * vectors batch-invariant: bits that do not depend on rows, columns or the width of registers.
 */
#include "embed_test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel_wide.h"

#define TOLERANCE 4e-6f	     /* float32, of sums near 1 */
#define TOLERANCE_BF16 3e-2f /* eight bits of mantissa */

static const struct sg_kernel *const kernels[] = {
	&sg_kernel_reference,
	&sg_kernel_blas,
	&sg_kernel_avx2,
	&test_kernel_wide,
	&sg_kernel_avx512,
	&sg_kernel_bf16,
	&sg_kernel_bf16_emulated,
};
enum { KERNELS = sizeof(kernels) / sizeof(kernels[0]), VECOPS = 4 };

static float *numbers(size_t n, float scale, uint64_t *seed)
{
	float *p = malloc((n + SG_KERNEL_SLACK) * sizeof(*p));
	assert_non_null(p);
	for (size_t i = 0; i < n + SG_KERNEL_SLACK; i++)
		p[i] = test_random(seed) * scale;
	return p;
}

static void *aligned(size_t bytes)
{
	void *p = aligned_alloc(64, (bytes + 127) / 64 * 64);
	assert_non_null(p);
	memset(p, 0, bytes);
	return p;
}

/* A dense layer with its packed form; tmp for the kernel. */
struct layer {
	struct sg_linear l;
	float *w, *b;
	void *packed, *tmp;
};

static struct layer make_layer(const struct sg_kernel *k, size_t in, size_t out)
{
	uint64_t seed = in + out;
	struct layer y = {.w = numbers(in * out, 2.0f / sqrtf((float)in), &seed),
		.b = numbers(out, 0.5f, &seed),
		.tmp = aligned(SG_KERNEL_TMP)};
	y.l = (struct sg_linear){.w = y.w, .b = y.b, .in = in, .out = out};
	if (k->packed_bytes) {
		y.packed = aligned(k->packed_bytes(in, out));
		k->pack(y.w, in, out, y.packed);
		y.l.packed = y.packed;
	}
	return y;
}

static void drop_layer(struct layer *y)
{
	free(y->w);
	free(y->b);
	free(y->packed);
	free(y->tmp);
}

static void run_columns(const struct sg_kernel *k, const struct layer *y, enum sg_finish how,
	const float *x, size_t m, size_t n0, size_t n1, float *c)
{
	k->linear(&y->l, k->vecops(), how, x, y->l.in, m, n0, n1, c + n0, y->l.out, y->tmp);
}

/* c[m, out], which starts as residual[m, out]. */
static float *run_layer(const struct sg_kernel *k, size_t in, size_t out, enum sg_finish how,
	const float *x, size_t m, const float *residual)
{
	struct layer y = make_layer(k, in, out);
	float *c = malloc((m * out + SG_KERNEL_SLACK) * sizeof(*c));
	assert_non_null(c);
	memcpy(c, residual, m * out * sizeof(*c));
	run_columns(k, &y, how, x, m, 0, out, c);
	drop_layer(&y);
	return c;
}

static const struct shape {
	size_t in, out;
	enum sg_finish how;
} shapes[] = {
	{384, 96, SG_FINISH_BIAS},
	{384, 384, SG_FINISH_RESIDUAL},
	{384, 192, SG_FINISH_GELU},
	{1536, 96, SG_FINISH_RESIDUAL},
};

static void check_shape(const struct shape *s, size_t m)
{
	uint64_t seed = m;
	float *x = numbers(m * s->in, 1, &seed), *residual = numbers(m * s->out, 1, &seed);
	float *want = run_layer(&sg_kernel_reference, s->in, s->out, s->how, x, m, residual);
	for (size_t i = 1; i < KERNELS; i++) {
		if (!kernels[i]->usable())
			continue;
		float *got = run_layer(kernels[i], s->in, s->out, s->how, x, m, residual);
		float d = test_max_difference(got, want, m * s->out);
		if (d > (kernels[i]->bf16 ? TOLERANCE_BF16 : TOLERANCE))
			fail_msg("%s: [%zu, %zu] to %zu is off by %g", kernels[i]->name, m, s->in,
				s->out, (double)d);
		free(got);
	}
	free(want);
	free(x);
	free(residual);
}

static void dense_layers_agree_with_the_reference(void **state)
{
	(void)state;
	for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++) {
		for (size_t m = 1; m <= 26; m++)
			check_shape(&shapes[s], m);
		check_shape(&shapes[s], SG_EMBED_BATCH_ROWS);
	}
}

/* In groups of the kernel's unit, at places that are multiples of it. */
static void check_company(const struct sg_kernel *k, const struct shape *p, const float *x,
	const float *r, size_t rows)
{
	const size_t unit = k->row_unit ? k->row_unit() : 1;
	if (!unit)
		return;
	rows = rows / unit * unit;
	float *all = run_layer(k, p->in, p->out, p->how, x, rows, r);
	for (size_t from = 0, groups = 1; from + groups * unit <= rows;) {
		const size_t m = groups * unit;
		float *part =
			run_layer(k, p->in, p->out, p->how, x + from * p->in, m, r + from * p->out);
		assert_memory_equal(part, all + from * p->out, m * p->out * sizeof(float));
		free(part);
		from += m;
		groups = groups % 17 + 3;
	}
	free(all);
}

static void a_row_does_not_depend_on_its_company(void **state)
{
	(void)state;
	uint64_t seed = 3;
	enum { M = 252 };
	for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++) {
		const struct shape *p = &shapes[s];
		float *x = numbers(M * p->in, 1, &seed), *r = numbers(M * p->out, 1, &seed);
		for (size_t i = 0; i < KERNELS; i++) {
			if (kernels[i]->usable())
				check_company(kernels[i], p, x, r, M);
		}
		free(x);
		free(r);
	}
}

static void columns_may_be_split_between_threads(void **state)
{
	(void)state;
	uint64_t seed = 5;
	enum { M = 19, IN = 1536, OUT = 160 };
	float *x = numbers((size_t)M * IN, 1, &seed), *r = numbers((size_t)M * OUT, 1, &seed);
	for (size_t i = 0; i < KERNELS; i++) {
		const struct sg_kernel *k = kernels[i];
		if (!k->usable() || k->whole_columns)
			continue;
		float *all = run_layer(k, IN, OUT, SG_FINISH_RESIDUAL, x, M, r);
		struct layer y = make_layer(k, IN, OUT);
		float *c = malloc((size_t)M * OUT * sizeof(*c));
		memcpy(c, r, (size_t)M * OUT * sizeof(*c));
		run_columns(k, &y, SG_FINISH_RESIDUAL, x, M, 64, OUT, c);
		run_columns(k, &y, SG_FINISH_RESIDUAL, x, M, 0, 64, c);
		assert_memory_equal(c, all, (size_t)M * OUT * sizeof(*c));
		drop_layer(&y);
		free(c);
		free(all);
	}
	free(x);
	free(r);
}

/* -- attention ------------------------------------------------------------------------------ */

static void run_head(const struct sg_vecops *v, const float *qkv, size_t n, float *ret)
{
	void *tmp = aligned(SG_KERNEL_TMP);
	v->attention(qkv, SG_HEAD_COLUMNS, n, ret, SG_BERT_HEAD_DIM, tmp);
	free(tmp);
}

static const struct sg_vecops *vecops(size_t i)
{
	const struct sg_vecops *const all[] = {&sg_vecops_base,
		sg_kernel_avx2.usable() ? &sg_vecops_avx2 : NULL,
		test_kernel_wide.usable() ? test_kernel_wide.vecops() : NULL,
		sg_kernel_avx512.usable() ? &sg_vecops_avx512 : NULL};
	assert_true(i < VECOPS && sizeof(all) / sizeof(all[0]) == VECOPS);
	return all[i];
}

static void attention_agrees_with_the_reference(void **state)
{
	(void)state;
	static float want[SG_EMBED_MAX_TOKENS * SG_BERT_HEAD_DIM],
		got[sizeof(want) / sizeof(float)];
	uint64_t seed = 11;
	for (size_t n = 1; n <= SG_EMBED_MAX_TOKENS; n = n < 40 ? n + 1 : n + 27) {
		/* From flat to so sharp that most probabilities vanish. */
		float *qkv = numbers(n * SG_HEAD_COLUMNS, n % 3 == 0 ? 12.0f : 1.5f, &seed);
		run_head(&sg_vecops_reference, qkv, n, want);
		for (size_t i = 0; i < VECOPS; i++) {
			if (!vecops(i))
				continue;
			run_head(vecops(i), qkv, n, got);
			/* Scores near 1000 carry an error of 6e-5 into the exponent. */
			float d = test_max_difference(got, want, n * SG_BERT_HEAD_DIM);
			if (d > (n % 3 == 0 ? 2e-3f : TOLERANCE))
				fail_msg("%s: %zu tokens off by %g", vecops(i)->name, n, (double)d);
		}
		free(qkv);
	}
}

/* -- the wide shape --------------------------------------------------------------------------- */

static void same_bits(const struct sg_kernel *a, const struct sg_kernel *b)
{
	uint64_t seed = 17;
	enum { M = 37, N = 61 };
	float *x = numbers((size_t)M * 1536, 1, &seed), *r = numbers((size_t)M * 384, 1, &seed);
	for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++) {
		const struct shape *p = &shapes[s];
		float *ca = run_layer(a, p->in, p->out, p->how, x, M, r);
		float *cb = run_layer(b, p->in, p->out, p->how, x, M, r);
		assert_memory_equal(ca, cb, M * p->out * sizeof(float));
		free(ca);
		free(cb);
	}
	float ha[N * SG_BERT_HEAD_DIM], hb[N * SG_BERT_HEAD_DIM];
	run_head(a->vecops(), x, N, ha);
	run_head(b->vecops(), x, N, hb);
	assert_memory_equal(ha, hb, sizeof(ha));
	free(x);
	free(r);
}

static void every_width_gives_the_same_bits(void **state)
{
	(void)state;
	if (!sg_kernel_avx2.usable())
		skip();
	same_bits(&sg_kernel_avx2, &test_kernel_wide);
	if (sg_kernel_avx512.usable())
		same_bits(&sg_kernel_avx2, &sg_kernel_avx512);
	if (sg_kernel_bf16.usable())
		same_bits(&sg_kernel_bf16, &sg_kernel_bf16_emulated);
}

/* -- row operations -------------------------------------------------------------------------- */

static void gelu_and_exp_are_as_exact_as_stated(void **state)
{
	(void)state;
	const float zero[16] = {0};
	for (size_t i = 0; i < VECOPS; i++) {
		const struct sg_vecops *v = vecops(i);
		if (!v)
			continue;
		double worst = 0;
		for (float base = -20; base < 20; base += 16e-3f) {
			float x[16], y[16];
			for (int j = 0; j < 16; j++)
				x[j] = base + (float)j * 1e-3f;
			v->finish(SG_FINISH_GELU, x, 16, 1, 16, zero, y, 16);
			for (int j = 0; j < 16; j++) {
				double want = 0.5 * (double)x[j] * erfc(-(double)x[j] / sqrt(2));
				worst = fmax(worst,
					fabs((double)y[j] - want) / fmax(1, fabs((double)x[j])));
			}
		}
		(void)printf("%s: GELU within %.2g of max(1, |x|)\n", v->name, worst);
		assert_true(worst <= 2.5e-7);
		worst = 0;
		for (float d = 0; d < 10; d += 1e-3f) {
			float p[16] = {0, -d};
			(void)v->softmax(p, 2, 1.0f);
			worst = fmax(worst, fabs((double)p[1] / exp(-(double)d) - 1));
		}
		(void)printf("%s: exp within %.2g\n", v->name, worst);
		assert_true(worst <= 6e-7);
	}
}

static void norms_and_pooling_agree_with_the_reference(void **state)
{
	(void)state;
	uint64_t seed = 23;
	float *gamma = numbers(384, 1, &seed), *beta = numbers(384, 1, &seed);
	const struct sg_layer_norm ln = {gamma, beta};
	for (size_t i = 0; i < VECOPS; i++) {
		const struct sg_vecops *v = vecops(i);
		if (!v)
			continue;
		float *a = numbers(384 * 9, 5, &seed), b[384 * 9], pa[384], pb[384];
		memcpy(b, a, sizeof(b));
		for (size_t r = 0; r < 9; r++) {
			v->norm(a + r * 384, &ln);
			sg_vecops_reference.norm(b + r * 384, &ln);
		}
		assert_true(test_max_difference(a, b, 384 * 9) <= 2e-6f);
		v->pool(a, 9, pa);
		sg_vecops_reference.pool(a, 9, pb);
		assert_true(test_max_difference(pa, pb, 384) <= 2e-7f);
		free(a);
	}
	free(gamma);
	free(beta);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dense_layers_agree_with_the_reference),
		cmocka_unit_test(a_row_does_not_depend_on_its_company),
		cmocka_unit_test(columns_may_be_split_between_threads),
		cmocka_unit_test(attention_agrees_with_the_reference),
		cmocka_unit_test(every_width_gives_the_same_bits),
		cmocka_unit_test(gelu_and_exp_are_as_exact_as_stated),
		cmocka_unit_test(norms_and_pooling_agree_with_the_reference),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
