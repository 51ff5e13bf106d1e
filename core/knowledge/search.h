/* Searching one store: the resident copy of its index, filters, ranking, fusion.
 *
 * The resident copy holds what a scan reads (vectors, their 8-bit copy, metadata columns, inverted
 * terms); it is brought to a transaction's state before each search by reading the segments that
 * changed, and every part is checked against its hash as it is read. One copy is one thread's.
 */
#ifndef SG_KNOWLEDGE_SEARCH_H
#define SG_KNOWLEDGE_SEARCH_H

#include "knowledge/knowledge.h"

#define SG_KNOW_RESIDENT_BYTES (4ULL << 30) /* default limit of all resident copies together */
#define SG_KNOW_QUERY_MAX 65536		    /* bytes of a query text */
#define SG_KNOW_FILTER_TERMS 32		    /* conditions of a filter */
#define SG_KNOW_FILTER_SET 1000		    /* values of an "in" */
#define SG_KNOW_RRF_K 60

struct sg_know_indexes; /* the resident copies of an environment's stores */

/* limit 0 = the default. */
int sg_know_indexes_create(struct sg_know_indexes **ret, uint64_t limit, struct sg_error *err);
void sg_know_indexes_destroy(struct sg_know_indexes *x);
uint64_t sg_know_indexes_bytes(const struct sg_know_indexes *x);

enum sg_know_mode {
	SG_KNOW_MODE_VECTOR,
	SG_KNOW_MODE_TEXT,
	SG_KNOW_MODE_HYBRID,
	SG_KNOW_MODE_BEST, /* the engine's: hybrid where there are vectors, else text */
};
int sg_know_mode_parse(const char *name, enum sg_know_mode *ret, struct sg_error *err);

struct sg_know_query {
	const char *store;
	enum sg_know_mode mode;
	const float *vector; /* of the store's dimensions; NULL in mode text */
	const char *text;    /* NULL in mode vector */
	size_t text_len;
	const json_t *filter; /* object, or NULL; see filter.c */
	size_t k;
	bool int8;	    /* scan the 8-bit copy, rescore with float32 */
	bool with_text;	    /* hits carry the document's text */
	const char *kernel; /* NULL = the fastest */
};

/* Hits, best first, as an array of {"id","score","source","metadata","index_sha256"[,"text"]};
 * source is the store's name, index_sha256 the digest of the index that was searched. Ties go to
 * the smaller id. SG_EINVALID (query, filter), SG_ENOTFOUND (store), SG_ELIMIT (resident bytes),
 * SG_ECORRUPT. */
int sg_know_search(struct sg_know_indexes *x, struct sg_txn *t, const struct sg_know_query *q,
	json_t **ret_hits, struct sg_error *err);

/* A filter that parses; SG_EINVALID says where it does not. */
int sg_know_check_filter(const json_t *filter, struct sg_error *err);

/* Several ranked lists of hits made one by reciprocal rank fusion: the score of an id is the sum of
 * 1 / (60 + rank) over the lists that hold it, addends in ascending order, so that it does not
 * depend on the order of the lists. What else a hit carries is that of the first list. */
int sg_know_fuse(json_t *const *lists, size_t n, size_t k, json_t **ret, struct sg_error *err);

/* Many vectors at once against one store without filter, for measurements and imports: ids and
 * scores as sg_know_search gives them, one array a query. */
int sg_know_search_batch(struct sg_know_indexes *x, struct sg_txn *t, const char *store,
	const float *vectors, size_t n, size_t k, json_t **ret_lists, struct sg_error *err);

#endif
