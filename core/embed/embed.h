/* MiniLM: text in, unit vectors of 384 floats out. Needs only base.
 *
 * Source: sentence-transformers/all-MiniLM-L6-v2 (model card; BERT, 6 layers, hidden 384, 12 heads,
 * intermediate 1536, GELU(erf), LayerNorm eps 1e-12), mean pooling over the attention mask, L2.
 * Vectors are batch-invariant: the same text gives the same bits alone, in any batch, with any
 * number of workers, for one kernel path.
 */
#ifndef SG_EMBED_EMBED_H
#define SG_EMBED_EMBED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define SG_EMBED_DIM 384
#define SG_EMBED_MAX_TOKENS 256		  /* with [CLS] and [SEP] */
#define SG_TOKENIZE_MAX_BYTES (64U << 20) /* of one text */

struct sg_tokenizer;	 /* read-only after load, shared by threads */
struct sg_embedder;	 /* weights: read-only after load, shared by threads */
struct sg_embed_scratch; /* one per thread */

struct sg_tokens {
	int32_t *ids; /* owned; with [CLS] first and [SEP] last */
	size_t n;
	bool truncated;
	size_t dropped; /* tokens that truncation removed */
};

/* The ids that Hugging Face's tokenizers gives, for any UTF-8. text need not be NUL-terminated and
 * may hold NUL. Invalid UTF-8: SG_EINVALID naming the byte offset; longer than
 * SG_TOKENIZE_MAX_BYTES: SG_ELIMIT. max_tokens counts [CLS] and [SEP]; 0 = no truncation. */
int sg_tokenize(const struct sg_tokenizer *t, const char *text, size_t n, size_t max_tokens,
	struct sg_tokens *ret, struct sg_error *err);
void sg_tokens_finish(struct sg_tokens *t);

/* Where a token stands in the text it was cut from, as the tokenizers package gives its offsets. */
struct sg_token_span {
	size_t from, to;    /* bytes */
	size_t start, stop; /* characters */
	bool framing;	    /* [CLS] or [SEP], put around the text: 0 everywhere */
};

/* sg_tokenize, and a span for each token; slower. The caller frees *ret_spans. */
int sg_tokenize_spans(const struct sg_tokenizer *t, const char *text, size_t n, size_t max_tokens,
	struct sg_tokens *ret, struct sg_token_span **ret_spans, struct sg_error *err);

/* Finds the model directory: explicit path, else HF_HOME in the guide's plain layout
 * (all-MiniLM-L6-v2/) or the hub's (hub/models--sentence-transformers--all-MiniLM-L6-v2/
 * snapshots/…). Missing: SG_EREFUSED, kind "LocalEntryNotFoundError", naming every place looked
 * at. ret_dir is owned by the caller. */
int sg_model_find(
	const char *explicit_path, const char *hf_home, char **ret_dir, struct sg_error *err);

/* Verifies the guide's hf_manifest.sha256 (lines of sha256sum): each path is taken below root (the
 * HF_HOME that `sha256sum -c` would run in), else below dir (the model directory, where the guide's
 * `find .` wrote it). Every file listed must be there with its hash, and every file the embedder
 * reads must be listed. Errors: SG_EREFUSED with kind "LocalEntryNotFoundError" or
 * "EmbeddingModelHashMismatch", SG_EINVALID with line number (not a manifest, a path that leaves
 * the tree, a file not listed). ret_files: how many were verified. */
int sg_model_verify_manifest(const char *manifest, const char *root, const char *dir,
	size_t *ret_files, struct sg_error *err);

struct sg_model_info {
	char dir[1024];
	char weights_sha256[65], tokenizer_sha256[65];
	/* What vectors depend on: weights_sha256, but for bfloat16 the SHA-256 of
	 * "stargraph-bf16-v1" 00 weights_sha256. A vector store compares this one. */
	char content_sha256[65];
	char kernel[32]; /* the path that runs: "reference", "blas", "avx2", "avx512", "bf16",
			  * "bf16-emulated" */
	size_t repacked_bytes;
};

/* Verifies (pinned SHA-256: kind "EmbeddingModelHashMismatch", SG_EREFUSED), reads, checks every
 * header field and repacks. kernel NULL or "auto" = by CPUID. unpinned: accept other hashes (tests
 * only; never in serve). */
int sg_embedder_load(struct sg_embedder **ret, const char *dir, const char *kernel, bool unpinned,
	struct sg_error *err);
void sg_embedder_destroy(struct sg_embedder *e);
const struct sg_tokenizer *sg_embedder_tokenizer(const struct sg_embedder *e);
const struct sg_model_info *sg_embedder_info(const struct sg_embedder *e);

struct sg_embed_scratch *sg_embed_scratch_create(const struct sg_embedder *e);
void sg_embed_scratch_destroy(struct sg_embed_scratch *s);

/* One sequence of n ids (1..SG_EMBED_MAX_TOKENS) -> ret_vector[SG_EMBED_DIM], unit length. A pure
 * function: no shared mutable state; one scratch per calling thread. */
int sg_embed_ids(const struct sg_embedder *e, struct sg_embed_scratch *s, const int32_t *ids,
	size_t n, float *ret_vector, struct sg_error *err);

/* One text of a batch. */
struct sg_embed_text {
	const int32_t *ids; /* borrowed */
	size_t n;	    /* 1..SG_EMBED_MAX_TOKENS */
	float *ret_vector;  /* SG_EMBED_DIM floats */
};

/* Tokens that one pass through the layers takes at most. */
#define SG_EMBED_BATCH_ROWS 256

/* Any number of texts, packed without padding into passes in the given order. Each vector has the
 * same bits as sg_embed_ids gives. Nothing is written when an input is refused. */
int sg_embed_batch(const struct sg_embedder *e, struct sg_embed_scratch *s,
	const struct sg_embed_text *texts, size_t n, struct sg_error *err);

/* Several threads on one text, for latency. The caller is one of them: a team of N starts N-1
 * threads, which sleep between texts. One caller at a time. The bits are those of sg_embed_ids. */
struct sg_embed_team;
int sg_embed_team_create(struct sg_embed_team **ret, const struct sg_embedder *e, unsigned threads,
	struct sg_error *err);
void sg_embed_team_destroy(struct sg_embed_team *t);
int sg_embed_ids_team(struct sg_embed_team *t, const int32_t *ids, size_t n, float *ret_vector,
	struct sg_error *err);

#endif
