/* The resident copy of one store's index. Internal to knowledge. */
#ifndef SG_KNOWLEDGE_INDEX_H
#define SG_KNOWLEDGE_INDEX_H

#include "knowledge/internal.h"
#include "knowledge/names.h"
#include "knowledge/scan.h"
#include "knowledge/search.h"

#define SG_KNOW_CHUNK_ROWS 16384U /* rows of one piece of memory */

struct sg_know_segment {
	uint64_t version, alive;
	char *side;		  /* owned copy; rows point into it */
	struct sg_know_row *rows; /* SG_KNOW_SEGMENT_ROWS, owned; of those alive */
	size_t bytes;
};

/* A member of the metadata: each row's value as a number into values, 0 = the row lacks it. */
struct sg_know_column {
	uint32_t *codes; /* by row, owned; whole segments */
	size_t cap;
	struct sg_know_names values; /* one type byte, then the value; code - 1 is its number */
};

struct sg_know_posting {
	uint32_t row, count;
};
struct sg_know_postings {
	struct sg_know_posting *list; /* by row, owned */
	uint32_t n, cap;
};

/* SG_KNOW_CHUNK_ROWS rows; all owned. */
struct sg_know_chunk {
	float *vectors;	       /* a mapping, in huge pages where there are any */
	int8_t *codes;	       /* the 8-bit copy; a mapping */
	float *scales, *norms; /* of the copy; squared lengths */
};

struct sg_know_index {
	struct sg_know_index *next;
	struct sg_know_info info;
	bool loaded;
	size_t stride; /* elements of a row in memory */
	struct sg_know_segment *segments;
	size_t n_segments, cap_segments;
	struct sg_know_chunk *chunks;
	size_t n_chunks;
	struct sg_know_names keys;
	struct sg_know_column *columns; /* by number of keys */
	size_t n_columns;
	struct sg_know_names terms;
	struct sg_know_postings *postings; /* by number of terms */
	size_t cap_postings;
	uint64_t documents, total_length;
	uint64_t bytes;	       /* resident, about */
	size_t values_at_load; /* distinct values when it was read from nothing */
	char digest[SG_SHA256_HEX];
};

struct sg_know_indexes {
	struct sg_know_index *list;
	uint64_t limit;
};

/* The index of a store, at the state of t. */
int sg_know_index_at(struct sg_know_indexes *x, struct sg_txn *t, const struct sg_know_info *s,
	struct sg_know_index **ret, struct sg_error *err);

static inline const float *sg_know_vector(const struct sg_know_index *x, uint32_t row)
{
	return x->chunks[row / SG_KNOW_CHUNK_ROWS].vectors +
	       (size_t)(row % SG_KNOW_CHUNK_ROWS) * x->stride;
}
static inline const int8_t *sg_know_codes(const struct sg_know_index *x, uint32_t row)
{
	return x->chunks[row / SG_KNOW_CHUNK_ROWS].codes +
	       (size_t)(row % SG_KNOW_CHUNK_ROWS) * x->stride;
}
static inline const struct sg_know_row *sg_know_row_at(const struct sg_know_index *x, uint32_t row)
{
	return &x->segments[row / SG_KNOW_SEGMENT_ROWS].rows[row % SG_KNOW_SEGMENT_ROWS];
}
/* Bytewise order of two rows' ids. */
int sg_know_id_order(const struct sg_know_index *x, uint32_t a, uint32_t b);

/* filter.c: clears the bits of rows that do not match. bits: one word a segment. */
int sg_know_filter_apply(
	const struct sg_know_index *x, const json_t *filter, uint64_t *bits, struct sg_error *err);

/* rank.c: ranked rows. */
struct sg_know_ranked {
	uint32_t row;
	double score;
};
int sg_know_rank_vector(const struct sg_know_index *x, const uint64_t *bits, const float *vectors,
	size_t n_vectors, size_t k, bool int8, const struct sg_scan_ops *ops,
	struct sg_know_ranked *ret /* [n_vectors][k] */, size_t *ret_n /* [n_vectors] */,
	struct sg_error *err);
int sg_know_rank_text(const struct sg_know_index *x, const uint64_t *bits, const char *text,
	size_t n, size_t k, struct sg_know_ranked *ret, size_t *ret_n, struct sg_error *err);

#endif
