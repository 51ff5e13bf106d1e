/* The row operations over sixteen lanes: bias, GELU, softmax, layer norm, pooling. Included by one
 * .c file for each instruction set, which takes what it needs.
 *
 * Errors, against float64 (tests/unit/embed/test_kernels.c):
 * GELU: 2.5e-7 of max(1, |x|). A rational function of degree 11/10 in x for erf(x / sqrt 2),
 * minimax on [-5.6, 5.6] (1.9e-8), constant outside; by Estrin's scheme, whose chains are short.
 * exp: 6e-7 relative for arguments in [-10, 0], growing with the argument's own rounding. A
 * polynomial of degree 5 for 2^f on [-0.5, 0.5] (7.5e-8).
 */
#ifndef SG_EMBED_VECOPS_H
#define SG_EMBED_VECOPS_H

#include <math.h>

#include "base/cleanup.h"
#include "embed/kernels.h"
#include "embed/lanes.h"

#define LOG2_E 1.44269504088896340736f

SG_INLINE v16 v16_gelu(v16 x)
{
	const v16 edge = v16_set1(5.6f), half = v16_set1(0.5f);
	v16 z = v16_max(v16_min(x, edge), v16_sub(v16_set1(0), edge));
	v16 u = v16_mul(z, z);
	v16 u2 = v16_mul(u, u), u4 = v16_mul(u2, u2);
	v16 p0 = v16_fma(u, v16_set1(6.875225157e-02f), v16_set1(7.978844643e-01f));
	v16 p1 = v16_fma(u, v16_set1(3.477014252e-04f), v16_set1(9.414519183e-03f));
	v16 p2 = v16_fma(u, v16_set1(4.429039180e-08f), v16_set1(1.271302608e-05f));
	v16 p = v16_fma(u4, p2, v16_fma(u2, p1, p0));
	v16 q0 = v16_fma(u, v16_set1(2.528338730e-01f), v16_set1(1.0f));
	v16 q1 = v16_fma(u, v16_set1(1.912978361e-03f), v16_set1(2.894009650e-02f));
	v16 q2 = v16_fma(u, v16_set1(1.180207050e-06f), v16_set1(7.510181604e-05f));
	v16 q = v16_fma(u4, q2, v16_fma(u2, q1, q0));
	v16 erf = v16_div(v16_mul(z, p), q);
	v16 hx = v16_mul(x, half);
	return v16_fma(hx, erf, hx);
}

/* 2^t for t <= 0; 2^-80 below that: nothing beside the largest, which is 1, and its products are
 * far from the subnormal numbers that slow a CPU down. */
SG_INLINE v16 v16_exp2(v16 t)
{
	const v16 magic = v16_set1(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer */
	t = v16_max(t, v16_set1(-80.0f));
	v16 shifted = v16_add(t, magic);
	v16 f = v16_sub(t, v16_sub(shifted, magic));
	v16 p = v16_fma(f, v16_set1(1.327647129e-03f), v16_set1(9.675540961e-03f));
	p = v16_fma(p, f, v16_set1(5.550713092e-02f));
	p = v16_fma(p, f, v16_set1(2.402212024e-01f));
	p = v16_fma(p, f, v16_set1(6.931469440e-01f));
	p = v16_fma(p, f, v16_set1(1.0f));
	return v16_scale2(p, shifted);
}

SG_INLINE v16 finish16(enum sg_finish how, v16 x, v16 bias, const float *c)
{
	v16 y = v16_add(x, bias);
	if (how == SG_FINISH_GELU)
		return v16_gelu(y);
	return how == SG_FINISH_RESIDUAL ? v16_add(y, v16_load(c)) : y;
}

SG_INLINE void finish_rows(enum sg_finish how, const float *x, size_t ldx, size_t m, size_t n,
	const float *b, float *c, size_t ldc)
{
	for (size_t i = 0; i < m; i++)
		for (size_t j = 0; j < n; j += 16)
			v16_store(c + i * ldc + j, finish16(how, v16_load(x + i * ldx + j),
							   v16_load(b + j), c + i * ldc + j));
}

SG_UNUSED static void vec_finish(enum sg_finish how, const float *x, size_t ldx, size_t m, size_t n,
	const float *b, float *c, size_t ldc)
{
	switch (how) {
	case SG_FINISH_BIAS: finish_rows(SG_FINISH_BIAS, x, ldx, m, n, b, c, ldc); break;
	case SG_FINISH_GELU: finish_rows(SG_FINISH_GELU, x, ldx, m, n, b, c, ldc); break;
	case SG_FINISH_RESIDUAL: finish_rows(SG_FINISH_RESIDUAL, x, ldx, m, n, b, c, ldc); break;
	}
}

/* The row's last, partial sixteen: scores past the end become so small that they vanish. */
SG_INLINE void pad_row(float *x, size_t n)
{
	for (size_t i = n; i % 16 != 0; i++)
		x[i] = -1e30f;
}

/* log2(e) times scale and times the largest of x[n]: exp((x - largest) * scale) is
 * 2^(x * factor - most). */
SG_INLINE float row_most(float *x, size_t n, float factor)
{
	pad_row(x, n);
	v16 top = v16_load(x);
	for (size_t i = 16; i < n; i += 16)
		top = v16_max(top, v16_load(x + i));
	return v16_largest(top) * factor;
}

SG_INLINE float row_exp(float *x, size_t n, float factor, float most)
{
	const v16 f = v16_set1(factor), less = v16_set1(-most);
	v16 sum = v16_set1(0);
#pragma GCC unroll 2
	for (size_t i = 0; i < n; i += 16) {
		v16 e = v16_exp2(v16_fma(v16_load(x + i), f, less));
		sum = v16_add(sum, e);
		v16_store(x + i, e);
	}
	return v16_sum(sum);
}

SG_UNUSED static float vec_softmax(float *x, size_t n, float scale)
{
	const float factor = scale * LOG2_E;
	const float inv = 1.0f / row_exp(x, n, factor, row_most(x, n, factor));
	for (size_t i = n; i % 16 != 0; i++)
		x[i] = 0;
	return inv;
}

#define NORM_STEPS (SG_BERT_HIDDEN / 16)

/* Four sums in flight, added in a fixed order. */
SG_INLINE float sum_of_four(const v16 s[4])
{
	return v16_sum(v16_add(v16_add(s[0], s[1]), v16_add(s[2], s[3])));
}

SG_UNUSED static void vec_norm(float *x, const struct sg_layer_norm *ln)
{
	const v16 zero = v16_set1(0);
	v16 s[4] = {zero, zero, zero, zero}, s2[4] = {zero, zero, zero, zero};
	for (size_t i = 0; i < NORM_STEPS; i += 4)
#pragma GCC unroll 4
		for (size_t j = 0; j < 4; j++)
			s[j] = v16_add(s[j], v16_load(x + 16 * (i + j)));
	const v16 mean = v16_set1(sum_of_four(s) * (1.0f / SG_BERT_HIDDEN));
	for (size_t i = 0; i < NORM_STEPS; i += 4) {
#pragma GCC unroll 4
		for (size_t j = 0; j < 4; j++) {
			v16 d = v16_sub(v16_load(x + 16 * (i + j)), mean);
			s2[j] = v16_fma(d, d, s2[j]);
		}
	}
	const float var = sum_of_four(s2) * (1.0f / SG_BERT_HIDDEN);
	const v16 inv = v16_set1(1.0f / sqrtf(var + (float)SG_BERT_LN_EPS));
	for (size_t i = 0; i < NORM_STEPS; i++) {
		v16 d = v16_mul(v16_sub(v16_load(x + 16 * i), mean), inv);
		v16_store(x + 16 * i,
			v16_fma(d, v16_load(ln->gamma + 16 * i), v16_load(ln->beta + 16 * i)));
	}
}

/* The mean's 1/n cancels in the unit length, so it is left out. */
SG_UNUSED static void vec_pool(const float *x, size_t n, float *ret_vector)
{
	v16 square = v16_set1(0);
	for (size_t j = 0; j < SG_BERT_HIDDEN; j += 16) {
		v16 s = v16_load(x + j);
		for (size_t i = 1; i < n; i++)
			s = v16_add(s, v16_load(x + i * SG_BERT_HIDDEN + j));
		square = v16_fma(s, s, square);
		v16_store(ret_vector + j, s);
	}
	const float length = sqrtf(v16_sum(square));
	const v16 inv = v16_set1(length > 0 ? 1.0f / length : 0);
	for (size_t j = 0; j < SG_BERT_HIDDEN; j += 16)
		v16_store(ret_vector + j, v16_mul(v16_load(ret_vector + j), inv));
}

#endif
