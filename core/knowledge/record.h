/* JSON values in a table, each behind the SHA-256 of its key and text. Internal to knowledge. */
#ifndef SG_KNOWLEDGE_RECORD_H
#define SG_KNOWLEDGE_RECORD_H

#include "knowledge/knowledge.h"

/* SG_ELIMIT when the value, and spare bytes more, would not fit into a record. */
int sg_know_record_fits(const json_t *value, size_t spare, struct sg_error *err);
int sg_know_record_put(struct sg_txn *t, enum sg_table table, struct sg_span key,
	const json_t *value, struct sg_error *err);
/* SG_ECORRUPT when it does not have its hash or does not parse. */
int sg_know_record_parse(
	struct sg_span key, struct sg_span value, json_t **ret, struct sg_error *err);
/* Positive outcome 1: no such key. */
int sg_know_record_get(struct sg_txn *t, enum sg_table table, struct sg_span key, json_t **ret,
	struct sg_error *err);

#endif
