/* The model's weights: mapped from model.safetensors, every header field checked.
 *
 * The tensors point into one read-only private mapping of the file; nothing is copied. All are
 * float32, row-major, little-endian, 4-byte aligned (not more: repack for aligned loads). A dense
 * weight is [out, in] as PyTorch stores it: y = x W^T + b. Immutable after open, so shared by
 * threads without locks. The file must not be changed while it is mapped (a truncation would be a
 * SIGBUS): the model directory belongs to root, not to the service user.
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

	char sha256[65]; /* of model.safetensors */
	const void *map; /* the whole file */
	size_t map_bytes;
};

/* Maps DIR/model.safetensors, hashes it, checks the header (names, dtypes, shapes, bounds, no
 * overlap, no gap) and that every weight is finite. Errors name the tensor and the field:
 * SG_EREFUSED kind "LocalEntryNotFoundError" (no such file) or "EmbeddingModelHashMismatch" (not
 * the pinned hash, unless unpinned), SG_EINVALID (malformed). Caller closes. */
int sg_weights_open(struct sg_weights **ret, const char *dir, bool unpinned, struct sg_error *err);
/* The part after mapping and hashing: checks the n bytes at data and points w's tensors into them.
 * check_finite also reads every value. For tests; data is 4-byte aligned. */
int sg_weights_bind(
	struct sg_weights *w, const void *data, size_t n, bool check_finite, struct sg_error *err);
void sg_weights_close(struct sg_weights *w); /* NULL is fine */

#endif
