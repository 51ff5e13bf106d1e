/* The reference kernel: plain C, no packing, sums in double. Slow, and what the others are measured
 * against: its own rounding is one float32 rounding per stored value.
 */
#include "embed/kernels.h"

#include <math.h>

static bool usable(void)
{
	return true;
}

static float gelu(float x)
{
	return (float)(0.5 * (double)x * (1.0 + erf((double)x * 0.70710678118654752440)));
}

static void finish(enum sg_finish how, const float *x, size_t ldx, size_t m, size_t n,
	const float *b, float *c, size_t ldc)
{
	for (size_t i = 0; i < m; i++) {
		for (size_t j = 0; j < n; j++) {
			float y = x[i * ldx + j] + b[j];
			if (how == SG_FINISH_GELU)
				y = gelu(y);
			else if (how == SG_FINISH_RESIDUAL)
				y += c[i * ldc + j];
			c[i * ldc + j] = y;
		}
	}
}

static float softmax(float *x, size_t n, float scale)
{
	float top = x[0];
	for (size_t i = 1; i < n; i++)
		top = fmaxf(top, x[i]);
	double sum = 0;
	for (size_t i = 0; i < n; i++) {
		double e = exp(((double)x[i] - (double)top) * (double)scale);
		x[i] = (float)e;
		sum += e;
	}
	for (size_t i = n; i % 16 != 0; i++)
		x[i] = 0;
	return (float)(1.0 / sum);
}

static void norm(float *x, const struct sg_layer_norm *ln)
{
	double mean = 0, var = 0;
	for (size_t i = 0; i < SG_BERT_HIDDEN; i++)
		mean += (double)x[i];
	mean /= SG_BERT_HIDDEN;
	for (size_t i = 0; i < SG_BERT_HIDDEN; i++)
		var += ((double)x[i] - mean) * ((double)x[i] - mean);
	double inv = 1.0 / sqrt(var / SG_BERT_HIDDEN + SG_BERT_LN_EPS);
	for (size_t i = 0; i < SG_BERT_HIDDEN; i++)
		x[i] = (float)(((double)x[i] - mean) * inv * (double)ln->gamma[i] +
			       (double)ln->beta[i]);
}

static void pool(const float *x, size_t n, float *ret_vector)
{
	double sum[SG_BERT_HIDDEN] = {0}, square = 0;
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < SG_BERT_HIDDEN; j++)
			sum[j] += (double)x[i * SG_BERT_HIDDEN + j];
	for (size_t j = 0; j < SG_BERT_HIDDEN; j++)
		square += sum[j] * sum[j];
	double inv = square > 0 ? 1.0 / sqrt(square) : 0;
	for (size_t j = 0; j < SG_BERT_HIDDEN; j++)
		ret_vector[j] = (float)(sum[j] * inv);
}

static void attention(
	const float *qkv, size_t ld, size_t n, float *ret_context, size_t ldc, void *tmp)
{
	float *p = tmp; /* [n] scores, then probabilities, of one query */
	const size_t d = SG_BERT_HEAD_DIM;
	const float scale = (float)(1.0 / sqrt((double)d));
	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < n; j++) {
			double s = 0;
			for (size_t k = 0; k < d; k++)
				s += (double)qkv[i * ld + k] * (double)qkv[j * ld + d + k];
			p[j] = (float)s;
		}
		double inv = (double)softmax(p, n, scale);
		for (size_t k = 0; k < d; k++) {
			double s = 0;
			for (size_t j = 0; j < n; j++)
				s += (double)p[j] * (double)qkv[j * ld + 2 * d + k];
			ret_context[i * ldc + k] = (float)(s * inv);
		}
	}
}

const struct sg_vecops sg_vecops_reference = {
	.name = "reference",
	.finish = finish,
	.softmax = softmax,
	.norm = norm,
	.pool = pool,
	.attention = attention,
};

static const struct sg_vecops *vecops(void)
{
	return &sg_vecops_reference;
}

/* Four outputs at a time, so that four additions are in flight. */
static void dot4(const float *x, const float *w, size_t n, float ret[4])
{
	double s[4] = {0};
	for (size_t k = 0; k < n; k++)
		for (size_t j = 0; j < 4; j++)
			s[j] += (double)x[k] * (double)w[j * n + k];
	for (size_t j = 0; j < 4; j++)
		ret[j] = (float)s[j];
}

static void linear(const struct sg_linear *l, const struct sg_vecops *v, enum sg_finish how,
	const float *x, size_t ldx, size_t m, size_t n0, size_t n1, float *c, size_t ldc, void *tmp)
{
	float *row = tmp; /* [1, n1 - n0] */
	for (size_t i = 0; i < m; i++) {
		for (size_t j = n0; j < n1; j += 4)
			dot4(x + i * ldx, l->w + j * l->in, l->in, row + (j - n0));
		v->finish(how, row, 0, 1, n1 - n0, l->b + n0, c + i * ldc, ldc);
	}
}

const struct sg_kernel sg_kernel_reference = {
	.name = "reference",
	.usable = usable,
	.vecops = vecops,
	.linear = linear,
	.heads_at_once = SG_BERT_HEADS,
};
