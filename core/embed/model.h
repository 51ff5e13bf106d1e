/* The other files of the model directory, and the tokenizer's loader. Internal to embed.
 *
 * sg_embedder_load composes: sg_model_check (configs), sg_tokenizer_load, sg_weights_open.
 */
#ifndef SG_EMBED_MODEL_H
#define SG_EMBED_MODEL_H

#include <stdbool.h>

#include "base/error.h"
#include "embed/embed.h"

/* Checks config.json, sentence_bert_config.json, 1_Pooling/config.json and modules.json of dir:
 * pinned SHA-256 (unless unpinned) and every field the forward pass depends on. Errors name file
 * and field. Kinds as in sg_weights_open. */
int sg_model_check(const char *dir, bool unpinned, struct sg_error *err);

/* Loads tokenizer.json and checks vocab.txt against it. ret_sha256 (65 bytes) gets the hash of
 * tokenizer.json. Caller destroys. */
int sg_tokenizer_load(struct sg_tokenizer **ret, const char *dir, bool unpinned, char *ret_sha256,
	struct sg_error *err);
void sg_tokenizer_destroy(struct sg_tokenizer *t); /* NULL is fine */

#endif
