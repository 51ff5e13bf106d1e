/* The BLAS kernel: every product by cblas_sgemm, on any CPU that OpenBLAS knows. The only file that
 * includes cblas.h.
 *
 * OpenBLAS's pthread build with one thread of its own per call: callers run side by side, one text
 * or pass each. (Debian's serial build is not safe to call from two threads.) Its sums depend on
 * how it blocks a product, and that may depend on the number of rows: so each text is multiplied
 * alone, never packed with others, which keeps vectors batch-invariant.
 */
#include "embed/kernels.h"

#include <cblas.h>
#include <math.h>
#include <pthread.h>

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

static void linear(const struct sg_linear *l, const struct sg_vecops *v, enum sg_finish how,
	const float *x, size_t ldx, size_t m, size_t n0, size_t n1, float *c, size_t ldc, void *tmp)
{
	const size_t n = n1 - n0;
	const bool apart = how == SG_FINISH_RESIDUAL; /* c is still needed */
	float *y = apart ? tmp : c;		      /* [m, n] */
	const size_t ldy = apart ? n : ldc;
	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)m, (blasint)n, (blasint)l->in,
		1.0f, x, (blasint)ldx, l->w + n0 * l->in, (blasint)l->in, 0.0f, y, (blasint)ldy);
	v->finish(how, y, ldy, m, n, l->b + n0, c, ldc);
}

static void attention(const struct sg_vecops *v, const float *qkv, size_t ld, size_t n,
	float *ret_context, size_t ldc, void *tmp)
{
	float *p = tmp; /* [n, lds] */
	const size_t lds = (n + 15) / 16 * 16, d = SG_BERT_HEAD_DIM;
	const float scale = (float)(1.0 / sqrt((double)d));
	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)n, (blasint)n, (blasint)d,
		1.0f, qkv, (blasint)ld, qkv + d, (blasint)ld, 0.0f, p, (blasint)lds);
	float inv[SG_EMBED_MAX_TOKENS];
	for (size_t i = 0; i < n; i++)
		inv[i] = v->softmax(p + i * lds, n, scale);
	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (blasint)n, (blasint)d, (blasint)n,
		1.0f, p, (blasint)lds, qkv + 2 * d, (blasint)ld, 0.0f, ret_context, (blasint)ldc);
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < d; j++)
			ret_context[i * ldc + j] *= inv[i];
}

const struct sg_kernel sg_kernel_blas = {
	.name = "blas",
	.usable = usable,
	.vecops = sg_vecops_best,
	.linear = linear,
	.attention = attention,
	.alone = true,
	.heads_at_once = SG_BERT_HEADS,
};
