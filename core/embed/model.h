/* The other files of the model directory, and the tokenizer's loader. Internal to embed.
 *
 * sg_embedder_load composes: sg_weights_open, sg_model_check (configs), sg_tokenizer_load.
 */
#ifndef SG_EMBED_MODEL_H
#define SG_EMBED_MODEL_H

#include <stdbool.h>

#include "base/error.h"
#include "embed/embed.h"

#define SG_MODEL_MAX_JSON (4U << 20) /* bytes of any of its JSON files and of vocab.txt */

/* Reads DIR/name whole, takes its SHA-256 into ret_sha256[65] and compares it with the pin that
 * name has, if any (unless unpinned). Missing: SG_EREFUSED kind "LocalEntryNotFoundError"; another
 * hash: SG_EREFUSED kind "EmbeddingModelHashMismatch". Caller frees ret_data. */
int sg_model_read(const char *dir, const char *name, bool unpinned, char **ret_data,
	size_t *ret_len, char *ret_sha256, struct sg_error *err);

/* The same two errors, for files read elsewhere. sg_model_pin: NULL when name has no pin. */
const char *sg_model_pin(const char *name);
int sg_model_missing(struct sg_error *err, const char *dir, const char *name);
int sg_model_mismatch(struct sg_error *err, const char *dir, const char *name, const char *sha256);

/* Checks config.json, sentence_bert_config.json, 1_Pooling/config.json and modules.json of dir:
 * pinned SHA-256 (unless unpinned) and every field the forward pass depends on. Errors name file
 * and field. Kinds as in sg_weights_open. */
int sg_model_check(const char *dir, bool unpinned, struct sg_error *err);

#define SG_MODEL_CONFIGS 4
/* The contents of the i-th of those four; SG_EINVALID names file and field. For tests. */
int sg_model_check_config(size_t i, const char *text, size_t n, struct sg_error *err);

/* One line of a manifest, without its end: the hash and where the path starts, which is relative
 * and stays below where it is taken from. NULL and *ret_what says what is wrong. */
const char *sg_model_manifest_line(const char *line, uint8_t ret_sha256[32], const char **ret_what);

/* Loads tokenizer.json and checks vocab.txt against it. ret_sha256 (65 bytes) gets the hash of
 * tokenizer.json. Caller destroys. */
int sg_tokenizer_load(struct sg_tokenizer **ret, const char *dir, bool unpinned, char *ret_sha256,
	struct sg_error *err);
void sg_tokenizer_destroy(struct sg_tokenizer *t); /* NULL is fine */

#endif
