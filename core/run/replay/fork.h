/* Forks (counterfactuals): what one is made with, and what it changes. Shared by the live fork, the
 * replay of one, and whoever checks a fork's hash. */
#ifndef SG_RUN_REPLAY_FORK_H
#define SG_RUN_REPLAY_FORK_H

#include <jansson.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/ids.h"

/* How a fork was made: stored with it (run_input, "fork"), and in its audit line fork_started. */
struct sg_fork {
	char parent[SG_RUN_ID_TEXT];
	int64_t step;	  /* where the mutation takes effect */
	int64_t first;	  /* the fork's first own step: step, or the one that asked what step
			   * answers */
	json_t *mutation; /* owned object, without nulls */
	bool inherit;	  /* the parent's answers are taken over where none is given */
	char *actor;	  /* owned; who forked */
	char cf_hash[65];
};

/* The six fields of the original's CounterfactualMutation, all optional, nothing else:
 *   state_overrides {field: value}        replaced after the node of the step has run
 *   facts_assert [{template, slots}…]     carried from this step on ("head" = template)
 *   facts_retract [{template, slots}…]    carried facts that match go
 *   rule_pack_version "V" or "ID@V"       the mounted pack in another version
 *   node_output_overrides {node: update}  in place of what the node gives, from this step on
 *   respond_payloads {"step": answer}     to the question that this step opens
 * Checks the shape, and drops nulls. SG_EINVALID. */
int sg_mutation_check(const json_t *mutation, json_t **ret, struct sg_error *err);
/* SHA-256("stargraph-cf-v1" 00 graph_hash 00 RFC 8785 of the mutation), 64 hex digits. */
int sg_cf_hash(const char *graph_hash, const json_t *mutation, char ret_hex[SG_SHA256_HEX],
	struct sg_error *err);

/* Canonical JSON, and back; SG_ECORRUPT. sg_fork_finish frees what it points at. */
int sg_fork_print(const struct sg_fork *f, struct sg_buf *out, struct sg_error *err);
int sg_fork_parse(const char *text, struct sg_fork *ret, struct sg_error *err);
void sg_fork_finish(struct sg_fork *f);

struct step;
struct sg_exec;
/* At f->step: the state and the facts of the mutation. */
int sg_fork_mutate(const struct sg_fork *f, struct step *s, struct sg_error *err);
/* What the mutation says the node gives, or NULL; borrowed. */
json_t *sg_fork_output(const struct sg_fork *f, const struct sg_exec *x);
/* The answer of the mutation to the question that step opened, or NULL; borrowed. */
json_t *sg_fork_answer(const struct sg_fork *f, int64_t step);

#endif
