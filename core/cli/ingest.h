/* Importing documents into a store offline: cut, embed on workers, write; restartable.
 *
 * Two batches: while the workers embed one, the other is written and filled. A source's documents
 * and its record are one transaction, so what an interrupted import finished is skipped next time.
 */
#ifndef SG_CLI_INGEST_H
#define SG_CLI_INGEST_H

#include <jansson.h>
#include <stdbool.h>

#include "embed/embed.h"
#include "knowledge/source.h"

struct sg_ingest;

struct sg_ingest_options {
	const char *store;
	struct sg_embedder *embedder; /* NULL for a store without vectors */
	unsigned workers;	      /* 0 = one a CPU */
	size_t chunk_tokens, overlap; /* 0 tokens = SG_KNOW_CHUNK_TOKENS */
};

struct sg_ingest_counts {
	struct sg_know_counts documents;
	uint64_t sources, unchanged_sources, tokens;
};

/* The state directory's lock is held by the caller. */
int sg_ingest_create(struct sg_ingest **ret, struct sg_store *s, const struct sg_ingest_options *o,
	struct sg_error *err);
/* All copied. SG_EINVALID: not a document. */
int sg_ingest_add(struct sg_ingest *i, const char *id, const char *text, size_t n,
	const json_t *metadata, struct sg_error *err);
int sg_ingest_finish(struct sg_ingest *i, struct sg_error *err); /* what is left is written */
const struct sg_ingest_counts *sg_ingest_counts(const struct sg_ingest *i);
void sg_ingest_destroy(struct sg_ingest *i); /* waits for the workers; NULL is fine */

#endif
