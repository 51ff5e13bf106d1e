/* The model's weights: model.safetensors read into memory, every header field checked.
 *
 * The file is read once, and the bytes that are hashed are the bytes that are used: a mapping would
 * follow whatever is done to the file afterwards, and be a SIGBUS when it is cut. The tensors point
 * into that copy. All are float32, row-major, little-endian, 4-byte aligned (not more: repack for
 * aligned loads). A dense weight is [out, in] as PyTorch stores it: y = x W^T + b. Immutable after
 * verify and drop_dense, so shared by threads without locks.
 * Source: safetensors format (huggingface/safetensors README), BERT (Devlin 2018).
 */
#ifndef SG_EMBED_WEIGHTS_H
#define SG_EMBED_WEIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "embed/embed.h"

enum {
	SG_BERT_VOCAB = 30522,
	SG_BERT_POSITIONS = 512,
	SG_BERT_TYPES = 2,
	SG_BERT_HIDDEN = SG_EMBED_DIM, /* 384 */
	SG_BERT_HEADS = 12,	       /* of 32 dimensions each */
	SG_BERT_HEAD_DIM = SG_BERT_HIDDEN / SG_BERT_HEADS,
	SG_BERT_INTERMEDIATE = 1536,
	SG_BERT_LAYERS = 6,
};
#define SG_BERT_LN_EPS 1e-12

struct sg_dense {
	const float *w; /* [out, in] */
	const float *b; /* [out] */
};

struct sg_layer_norm {
	const float *gamma; /* [384]; "LayerNorm.weight" */
	const float *beta;  /* [384]; "LayerNorm.bias" */
};

struct sg_layer_weights {
	struct sg_dense q, k, v;	  /* [384, 384] */
	struct sg_dense attn_out;	  /* [384, 384]; attention.output.dense */
	struct sg_layer_norm attn_norm;	  /* after attn_out + residual */
	struct sg_dense intermediate;	  /* [1536, 384]; GELU(erf) after it */
	struct sg_dense output;		  /* [384, 1536] */
	struct sg_layer_norm output_norm; /* after output + residual */
};

struct sg_weights {
	const float *word;     /* [30522, 384] */
	const float *position; /* [512, 384] */
	const float *type;     /* [2, 384]; row 0 for every token of a single text */
	struct sg_layer_norm embed_norm;
	struct sg_layer_weights layer[SG_BERT_LAYERS];

	char sha256[65];	      /* of model.safetensors; set by sg_weights_verify */
	void *data;		      /* the whole file, owned */
	size_t bytes;		      /* of it */
	struct sg_weights_hash *hash; /* the thread that hashes it, until verify */
};

/* Reads DIR/model.safetensors while a thread hashes it, and checks the header (names, dtypes,
 * shapes, bounds, no overlap, no gap); of an unpinned file also that every weight is finite.
 * Nothing computed from it may be told before sg_weights_verify returned 0. Errors name the tensor
 * and the field: SG_EREFUSED kind "LocalEntryNotFoundError" (no such file) or
 * "EmbeddingModelHashMismatch" (malformed, and not the pinned file), SG_EINVALID (malformed).
 * Caller closes. */
int sg_weights_open(struct sg_weights **ret, const char *dir, bool unpinned, struct sg_error *err);
/* Waits for the hash. SG_EREFUSED kind "EmbeddingModelHashMismatch": not the pinned one, unless
 * unpinned. */
int sg_weights_verify(struct sg_weights *w, const char *dir, bool unpinned, struct sg_error *err);
/* Gives the memory of the layers' dense weights back, for a kernel that has its own form of them.
 * Their pointers are NULL then. */
void sg_weights_drop_dense(struct sg_weights *w);
/* The part after reading: checks the n bytes at data and points w's tensors into them.
 * check_finite also reads every value. For tests; data is 4-byte aligned. */
int sg_weights_bind(
	struct sg_weights *w, const void *data, size_t n, bool check_finite, struct sg_error *err);
void sg_weights_close(struct sg_weights *w); /* NULL is fine */

#endif
