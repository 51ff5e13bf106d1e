/* One source on its way into a store: cut into parts, the parts embedded by the caller, then
 * written with its record. Used by the offline import and by the engine.
 */
#ifndef SG_KNOWLEDGE_IMPORT_H
#define SG_KNOWLEDGE_IMPORT_H

#include "knowledge/source.h"

struct sg_know_part {
	char *text; /* owned */
	size_t n;
	struct sg_tokens tokens;    /* empty without a tokenizer */
	float vector[SG_EMBED_DIM]; /* the caller's to fill in, for a store with vectors */
};

struct sg_know_import {
	char *id;	  /* owned */
	json_t *metadata; /* owned object */
	struct sg_know_source record;
	struct sg_know_part **parts; /* record.chunks of them, owned */
};

struct sg_know_cut {
	const struct sg_tokenizer *tokenizer; /* NULL: a store without vectors, nothing is cut */
	size_t chunk_tokens, overlap;	      /* 0 tokens = SG_KNOW_CHUNK_TOKENS */
};

/* Checks id, text and metadata (NULL = {}), and hashes what the documents depend on. */
int sg_know_import_hash(const struct sg_know_cut *how, const char *id, const char *text, size_t n,
	const json_t *metadata, uint8_t ret[SG_SHA256_BYTES], struct sg_error *err);
/* Cuts and tokenizes; everything is copied. hash: of sg_know_import_hash. */
int sg_know_import_make(struct sg_know_import **ret, const struct sg_know_cut *how, const char *id,
	const char *text, size_t n, const json_t *metadata, const uint8_t hash[SG_SHA256_BYTES],
	struct sg_error *err);
void sg_know_import_destroy(struct sg_know_import *m); /* NULL is fine */
/* Documents and records of all of them, in one transaction. */
int sg_know_import_write(struct sg_txn *t, const char *store, struct sg_know_import *const *list,
	size_t n, struct sg_know_counts *counts, struct sg_error *err);

#endif
