/* Episodes: what happened, scoped by user, session and agent.
 *
 * Key of an episode: the scope "/user/U/session/S/agent/A/" (the separator at its end keeps Alice's
 * from Alice2's), then its time, then its id. Writing takes the whole scope; reading widens: a part
 * that is left out stands for all.
 */
#ifndef SG_KNOWLEDGE_MEMORY_H
#define SG_KNOWLEDGE_MEMORY_H

#include "knowledge/knowledge.h"

#define SG_KNOW_SCOPE_PART 100		/* bytes of a user, session or agent */
#define SG_KNOW_EPISODE_ID 64		/* bytes of an episode's id */
#define SG_KNOW_EPISODE_MAX (64U << 10) /* bytes of its content */

struct sg_know_scope {
	const char *user, *session, *agent; /* session, agent: NULL = all (reading) */
};

struct sg_know_episode {
	const char *id; /* an episode with this id is replaced */
	const char *content;
	int64_t timestamp_us;
	const char *source_node;
	const json_t *metadata; /* any object, or NULL */
};

/* "/user/Alice/session/S1/agent/rag/" into ret. SG_EINVALID, kind "MemoryScopeError": a part is
 * missing, too long, not UTF-8 or holds '/' or a control character. */
#define SG_KNOW_SCOPE_TEXT (3 * SG_KNOW_SCOPE_PART + 32)
int sg_know_scope_key(
	const struct sg_know_scope *s, char ret[SG_KNOW_SCOPE_TEXT], struct sg_error *err);

/* What sg_know_remember would refuse of an episode, its size with scope and counters included; so
 * that a caller can ask before it writes. */
int sg_know_episode_check(
	const struct sg_know_scope *scope, const struct sg_know_episode *e, struct sg_error *err);
int sg_know_remember(struct sg_txn *t, const char *store, const struct sg_know_scope *scope,
	const struct sg_know_episode *e, struct sg_error *err);
/* The newest episodes, newest first (ties: id), at most limit: an array of {"id","content",
 * "timestamp","source_node","user","session","agent","metadata","access_count",
 * "last_access_ts","rule_match_count"}. */
int sg_know_recent(struct sg_txn *t, const char *store, const struct sg_know_scope *scope,
	size_t limit, json_t **ret, struct sg_error *err);
/* Likewise, of the episodes that no rule has matched yet, the oldest first. */
int sg_know_unmatched(struct sg_txn *t, const char *store, const struct sg_know_scope *scope,
	size_t limit, json_t **ret, struct sg_error *err);
/* Positive outcome 1: there was none. */
int sg_know_forget(struct sg_txn *t, const char *store, const char *id, struct sg_error *err);
/* Counts an access at a time, or a rule's match, of episodes; ids that are gone are no error. */
int sg_know_touch(struct sg_txn *t, const char *store, const char *const *ids, size_t n,
	bool access, bool match, int64_t now_us, struct sg_error *err);

/* The original's rule-based salience: recency since the last access, times tanh(accesses / 10),
 * times tanh(rule matches / 5), clamped to 0..1. tau_s 0 = one day. */
double sg_know_salience(const json_t *episode, int64_t now_us, double tau_s);
/* Orders episodes by salience, then time (newest first), then id, and gives each its "salience". */
int sg_know_by_salience(
	json_t *episodes, int64_t now_us, double tau_s, json_t **ret, struct sg_error *err);

/* For store check: reads every episode. */
int sg_know_memory_check(
	struct sg_txn *t, const struct sg_know_info *s, uint64_t *ret_n, struct sg_error *err);

#endif
