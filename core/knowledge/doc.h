/* The text of a row, hashed as it is read. */
#ifndef SG_KNOWLEDGE_DOC_H
#define SG_KNOWLEDGE_DOC_H

#include "knowledge/knowledge.h"

/* Valid until the transaction ends or writes. SG_ECORRUPT. */
int sg_know_text(struct sg_txn *t, const struct sg_know_info *s, uint32_t row, struct sg_span *ret,
	struct sg_error *err);

#endif
