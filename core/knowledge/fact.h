/* Facts: what episodes were promoted to, changed by typed deltas only.
 *
 * A delta is an object: "kind" add, update, delete or noop; mandatory on each: "rule_id" (not
 * empty), "source_episode_ids" (not empty), "promotion_ts" (RFC 3339), "confidence" (finite);
 * "fact_payload" (an object) on add and update; "replaces" (not empty) on update and delete. Every
 * delta that is applied is kept, noop too.
 */
#ifndef SG_KNOWLEDGE_FACT_H
#define SG_KNOWLEDGE_FACT_H

#include "knowledge/knowledge.h"

/* SG_EINVALID, kind "ConsolidationRuleError": a mandatory field is missing or wrong. */
int sg_know_check_delta(const json_t *delta, struct sg_error *err);
/* Would these, one after the other, apply to what t sees? Every reason for which
 * sg_know_apply_delta refuses is found here, and told as "delta <i>: …", i from 0; SG_ELIMIT for
 * more than SG_KNOW_DELTAS or a delta of more than SG_KNOW_DELTA_BYTES. *ret: the ids of the facts
 * that add and update make, in order. */
#define SG_KNOW_DELTAS 100
#define SG_KNOW_DELTA_BYTES (64U << 10)
int sg_know_try_deltas(struct sg_txn *t, const char *store, const json_t *deltas, json_t **ret_ids,
	struct sg_error *err);
/* Applies one. The fact's id is fact_payload.id, else derived from the payload and its sources.
 * SG_ECONFLICT, kind "FactConflictError": replaces names a fact that is not there, or an add an id
 * that is. */
int sg_know_apply_delta(
	struct sg_txn *t, const char *store, const json_t *delta, struct sg_error *err);
/* Facts that match, by id: {"id","user","agent","payload","lineage","confidence","pinned_at"}.
 * pattern: object with any of user, agent, subject, predicate, object, each equal; NULL = all. */
int sg_know_facts(struct sg_txn *t, const char *store, const json_t *pattern, size_t limit,
	json_t **ret, struct sg_error *err);
int sg_know_fact_check(
	struct sg_txn *t, const struct sg_know_info *s, uint64_t *ret_n, struct sg_error *err);

#endif
