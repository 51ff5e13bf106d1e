/* The kernels behind one header: a portable reference, BLAS, and packed micro-kernels.
 *
 * Shapes in brackets are row-major; ld is the distance of two rows in floats. A dense layer is
 * y[m, out] = x[m, in] W[out, in]^T + b[out]. The projections of a head stand side by side: `qkv`
 * is [m, heads * 96] with 32 of Q, 32 of K and 32 of V a head.
 *
 * Contract that makes vectors batch-invariant: an output element depends only on its own row of x,
 * its own row of W and the kernel; the order of its additions depends on neither m, the row's
 * place, n0 and n1, nor the thread. Attention and the row operations see one text at a time.
 */
#ifndef SG_EMBED_KERNELS_H
#define SG_EMBED_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "embed/weights.h"

#define SG_HEAD_COLUMNS ((size_t)3 * SG_BERT_HEAD_DIM)
/* Working memory of one thread inside a kernel, in bytes, 64-byte aligned. */
#define SG_KERNEL_TMP ((size_t)640 * 1024)
/* Every buffer that a kernel reads or writes may be touched this many floats past its end. */
#define SG_KERNEL_SLACK 64
#define SG_KERNEL_ROW_UNIT ((size_t)48)
/* Rows of one pass: texts filled up to the unit. */
#define SG_KERNEL_ROWS (SG_EMBED_BATCH_ROWS + SG_KERNEL_ROW_UNIT)

enum sg_finish {
	SG_FINISH_BIAS,	    /* c = xW + b */
	SG_FINISH_GELU,	    /* c = GELU(xW + b) */
	SG_FINISH_RESIDUAL, /* c = c + (xW + b) */
};

struct sg_linear {
	const float *w; /* [out, in], borrowed or the plan's; NULL when there is a packed form */
	const float *b; /* [out] */
	const void *packed; /* in the kernel's own layout, or NULL: it reads w */
	size_t in, out;
};

/* Row operations of one instruction set; see lanes.h for which of them agree in bits. */
struct sg_vecops {
	const char *name;
	/* x[m, n] = finish(x + b); n a multiple of 16; c is read and written for a residual. */
	void (*finish)(enum sg_finish how, const float *x, size_t ldx, size_t m, size_t n,
		const float *b, float *c, size_t ldc);
	/* x[n] = exp((x - max) * scale), zero up to the next multiple of 16. Returns 1 / sum. */
	float (*softmax)(float *x, size_t n, float scale);
	/* x[384] = (x - mean) / sqrt(variance + 1e-12) * gamma + beta */
	void (*norm)(float *x, const struct sg_layer_norm *ln);
	/* Mean of x[n, 384] over rows, then unit length. */
	void (*pool)(const float *x, size_t n, float *ret_vector);
	/* One head of one text of n tokens: qkv[n, 96] -> ret_context[n, 32]; tmp as a kernel's. */
	void (*attention)(
		const float *qkv, size_t ld, size_t n, float *ret_context, size_t ldc, void *tmp);
};

struct sg_kernel {
	const char *name;  /* as sg_embedder_load takes it */
	const char *needs; /* instruction sets, for the error; NULL = none */
	bool (*usable)(void);
	const struct sg_vecops *(*vecops)(void);
	/* Bytes of the packed form; NULL: runs from w as it is. */
	size_t (*packed_bytes)(size_t in, size_t out);
	void (*pack)(const float *w, size_t in, size_t out, void *ret_packed);
	/* Columns n0..n1-1 (both multiples of 32) of finish(x[m, in] W^T + b); c is the place of
	 * column n0 of the first row. */
	void (*linear)(const struct sg_linear *l, const struct sg_vecops *v, enum sg_finish how,
		const float *x, size_t ldx, size_t m, size_t n0, size_t n1, float *c, size_t ldc,
		void *tmp);
	bool on_request; /* "auto" never takes it */
	bool bf16;	 /* other vectors than float32: they get a content hash of their own */
	/* True: the bits of a product may depend on how its columns are split, so that every text
	 * is computed by one thread. */
	bool whole_columns;
	/* Each text starts at a multiple of this many rows of a product and is filled up to one;
	 * then its bits do not depend on its company. 0: only alone. NULL = 1. At most
	 * SG_KERNEL_ROW_UNIT. */
	size_t (*row_unit)(void);
	/* Heads that one call of linear should project: 1 keeps a head in the cache, a BLAS wants
	 * few large products. */
	size_t heads_at_once;
};

extern const struct sg_kernel sg_kernel_reference, sg_kernel_blas, sg_kernel_avx2, sg_kernel_avx512,
	sg_kernel_bf16, sg_kernel_bf16_emulated;
extern const struct sg_vecops sg_vecops_reference, sg_vecops_base, sg_vecops_avx2, sg_vecops_avx512;
const struct sg_vecops *sg_vecops_best(void);

/* By name, or the fastest that this CPU runs for NULL and "auto" (never "bf16": it changes the
 * vectors, so it is asked for). SG_EINVALID: no such name, the text lists them. SG_EREFUSED: the
 * CPU lacks an instruction set, which is named. */
int sg_kernel_select(const struct sg_kernel **ret, const char *name, struct sg_error *err);

#endif
