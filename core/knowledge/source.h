/* Sources: what a document or several (its chunks) were made from, so that a second import of the
 * same content costs one look.
 */
#ifndef SG_KNOWLEDGE_SOURCE_H
#define SG_KNOWLEDGE_SOURCE_H

#include "knowledge/knowledge.h"

#define SG_KNOW_SOURCE_ID_MAX 380 /* bytes; a chunk's id is "<source>#<n>" */
#define SG_KNOW_MAX_CHUNKS 10000  /* of one source */
#define SG_KNOW_CHUNK_TOKENS 254  /* most of one chunk: what the model reads at once */

struct sg_know_source {
	uint8_t hash[SG_SHA256_BYTES]; /* of the content and of how it was cut */
	uint32_t chunks;
};
/* Positive outcome 1: never imported. */
int sg_know_source_get(struct sg_txn *t, const struct sg_know_info *s, const char *id,
	struct sg_know_source *ret, struct sg_error *err);
/* Writes the record, and deletes the chunks that the source had before beyond what it has now. The
 * documents themselves are written before, by sg_know_put in the same transaction. */
int sg_know_source_put(struct sg_txn *t, const char *store, const char *id,
	const struct sg_know_source *now, struct sg_know_counts *counts, struct sg_error *err);
/* Deletes the source's documents and its record. Positive outcome 1: there is none. */
int sg_know_source_delete(struct sg_txn *t, const char *store, const char *id,
	struct sg_know_counts *counts, struct sg_error *err);
/* The ids of all sources, ascending, as an array. */
int sg_know_sources(struct sg_txn *t, const char *store, json_t **ret, struct sg_error *err);
/* "id", or "id#n" where the source has several chunks. */
void sg_know_chunk_id(const char *id, uint32_t n, uint32_t chunks, char ret[SG_KNOW_ID_MAX + 1]);

/* Cuts a text into pieces of at most max_tokens tokens (1..SG_KNOW_CHUNK_TOKENS), at ends of
 * paragraphs and sentences where it can, between words where it must; each piece but the first
 * begins with up to `overlap` tokens of whole sentences of the one before. Calls each with spans of
 * text, until it returns not 0. A text without tokens is one piece. */
int sg_know_chunk(const struct sg_tokenizer *t, const char *text, size_t n, size_t max_tokens,
	size_t overlap, int (*each)(void *ctx, const char *piece, size_t n), void *ctx,
	struct sg_error *err);

#endif
