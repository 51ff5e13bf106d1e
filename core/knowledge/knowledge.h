/* Knowledge stores: documents with vectors and text, episodes, facts; in the same LMDB environment
 * as the runs.
 *
 * A store has a name and a provider. "vector" holds documents with their embeddings and a text
 * index, "document" the same without embeddings, "memory" episodes (memory.h), "fact" facts
 * (fact.h). Everything is written inside the caller's transaction: by the engine's writer thread
 * when serving, or by an offline command that holds the state directory's lock. Reads see one
 * transaction.
 *
 * Layout (docs/reference/store-formats.md): rows of documents stand in segments of
 * SG_KNOW_SEGMENT_ROWS, a vector part and a side part (ids, metadata, terms), each covered by a
 * SHA-256 in the segment's directory entry. A part that does not have its hash is an error
 * (SG_ECORRUPT) wherever it is read; it is never served.
 */
#ifndef SG_KNOWLEDGE_KNOWLEDGE_H
#define SG_KNOWLEDGE_KNOWLEDGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"
#include "embed/embed.h"
#include "store/store.h"

#define SG_KNOW_NAME_TEXT 64	    /* [a-z][a-z0-9_-]{0,62} and the NUL */
#define SG_KNOW_ID_MAX 400	    /* bytes of a document id */
#define SG_KNOW_TEXT_MAX (1U << 20) /* bytes of a document's text */
#define SG_KNOW_META_MAX 16384	    /* bytes of a document's metadata as JSON */
#define SG_KNOW_META_KEYS 64	    /* members of it */
#define SG_KNOW_DIMS_MAX 4096
#define SG_KNOW_SEGMENT_ROWS 64
#define SG_KNOW_WRITE_DOCS 256 /* documents of one write */
#define SG_KNOW_MAX_STORES 256 /* in one environment */
#define SG_KNOW_MAX_ROWS (1U << 24)
#define SG_KNOW_MAX_K 1000 /* hits of one search */

enum sg_know_provider { SG_KNOW_VECTOR, SG_KNOW_DOCUMENT, SG_KNOW_MEMORY, SG_KNOW_FACT };
enum sg_know_metric { SG_KNOW_COSINE, SG_KNOW_DOT, SG_KNOW_L2 };
const char *sg_know_provider_name(enum sg_know_provider p); /* "vector", … */
const char *sg_know_metric_name(enum sg_know_metric m);
int sg_know_provider_parse(const char *name, enum sg_know_provider *ret, struct sg_error *err);
int sg_know_metric_parse(const char *name, enum sg_know_metric *ret, struct sg_error *err);

/* What made a store's vectors. Another tuple, another space: never mixed. */
struct sg_know_drift {
	char model_id[128], revision[80];
	char content_sha256[SG_SHA256_HEX];
	int dims;
};
/* The tuple of a loaded model. */
void sg_know_drift_of(const struct sg_embedder *e, struct sg_know_drift *ret);

/* One store as the environment describes it. */
struct sg_know_info {
	uint32_t id;
	char name[SG_KNOW_NAME_TEXT];
	enum sg_know_provider provider;
	enum sg_know_metric metric;
	struct sg_know_drift drift; /* of "vector"; all zero otherwise */
	uint64_t generation;	    /* of writes that changed something */
	uint64_t items;		    /* documents, episodes or facts */
	uint32_t rows;		    /* of segments, holes included */
	int64_t created_us;
	bool migrating; /* half re-embedded: to `target`, next_segment is next */
	struct sg_know_drift target;
	uint32_t next_segment;
};

/* SG_EINVALID: not a name; SG_ECONFLICT: exists already as something else. A store that is there
 * with the same provider (and metric and drift) is left alone. drift only for "vector". */
int sg_know_create(struct sg_txn *t, const char *name, enum sg_know_provider provider,
	enum sg_know_metric metric, const struct sg_know_drift *drift, struct sg_error *err);
/* SG_ENOTFOUND, kind "unknown-store", names the nearest; SG_ECORRUPT. */
int sg_know_open(
	struct sg_txn *t, const char *name, struct sg_know_info *ret, struct sg_error *err);
/* SG_EREFUSED, kind "IncompatibleEmbeddingHashError", with both tuples. now NULL = no model. */
int sg_know_check_drift(
	const struct sg_know_info *s, const struct sg_know_drift *now, struct sg_error *err);
/* All stores by name; caller frees *ret. */
int sg_know_list(struct sg_txn *t, struct sg_know_info **ret, size_t *ret_n, struct sg_error *err);

/* One document to write. All borrowed. */
struct sg_know_doc {
	const char *id;
	const char *text;
	size_t text_len;
	const json_t *metadata; /* object of scalars, or NULL = {} */
	const float *vector;	/* drift.dims floats; NULL for "document" */
};
struct sg_know_counts {
	uint64_t added, updated, unchanged, deleted;
};

/* Checks id, text (UTF-8) and metadata; SG_EINVALID says which. */
int sg_know_check_doc(const struct sg_know_doc *d, struct sg_error *err);
/* SHA-256 over text and metadata, which a document with the same hash need not be written for. */
int sg_know_doc_hash(
	const struct sg_know_doc *d, uint8_t ret[SG_SHA256_BYTES], struct sg_error *err);
/* 1: the store has this id with this hash; 0: it does not. */
int sg_know_has(struct sg_txn *t, const struct sg_know_info *s, const char *id,
	const uint8_t hash[SG_SHA256_BYTES], struct sg_error *err);
/* Inserts or replaces by id, at most SG_KNOW_WRITE_DOCS; counts are added to *counts. Vectors of a
 * cosine store are made unit length. */
int sg_know_put(struct sg_txn *t, const char *name, const struct sg_know_doc *docs, size_t n,
	struct sg_know_counts *counts, struct sg_error *err);
/* Removes by id; ids that are not there are no error. */
int sg_know_delete(struct sg_txn *t, const char *name, const char *const *ids, size_t n,
	struct sg_know_counts *counts, struct sg_error *err);
/* {"id","text","metadata"}; positive outcome 1: no such document. */
int sg_know_get(
	struct sg_txn *t, const char *name, const char *id, json_t **ret, struct sg_error *err);

/* Re-embedding: gives each row of one segment a new vector, under a new drift tuple that holds once
 * all segments have theirs. See reembed.c. embed is called with the texts of the segment's rows. */
typedef int (*sg_know_embed)(void *ctx, const char *const *texts, const size_t *lens, size_t n,
	float *ret_vectors, struct sg_error *err);
/* Does one segment; 1 = there is more to do, 0 = the store has the tuple `now`. */
int sg_know_reembed_step(struct sg_txn *t, const char *name, const struct sg_know_drift *now,
	sg_know_embed embed, void *ctx, uint32_t *ret_done, uint32_t *ret_total,
	struct sg_error *err);

/* Reads and hashes every part of every store. report is told each damage; *ret_bad counts them. */
int sg_know_check(struct sg_txn *t, void (*report)(void *ctx, const char *what), void *ctx,
	uint64_t *ret_stores, uint64_t *ret_items, uint64_t *ret_bad, struct sg_error *err);

#endif
