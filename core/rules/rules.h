/* Rules decide transitions: CLIPS 6.30 behind a wall. The only user of clips.h.
 *
 * One environment per graph, prepared once. A step starts from reset and asserts the given facts in
 * the given order, so agenda and fact indices depend on nothing else: equal inputs, equal firings.
 * Rule code is sandboxed: an allow-list of CLIPS functions; nothing reads the outside, time, random
 * or gensym. Bounded: firings, facts, wall time, and the product of live facts per pattern of any
 * rule before an assert (join explosion). A data value can never become syntax: facts are built by
 * the C API, not by text.
 */
#ifndef SG_RULES_RULES_H
#define SG_RULES_RULES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct sg_rules;

enum sg_slot_type { SG_SLOT_STRING, SG_SLOT_INTEGER, SG_SLOT_FLOAT, SG_SLOT_BOOL };

/* A mirrored state field: template <name> with slots
 *   (value STRING)            the original's text form (Python's str())
 *   (typed NUMBER|SYMBOL|STRING) the same value as a number, TRUE/FALSE, or string
 * and the six provenance slots origin source run_id step confidence timestamp. */
struct sg_rules_field {
	const char *name;
	enum sg_slot_type type;
};

struct sg_rules_rule {
	const char *id;
	const char *lhs;   /* CLIPS patterns; "" = fires always */
	const char *where; /* "file:line" for messages */
	int salience;
};

struct sg_rules_pack {
	const char *id, *version;
	const char *text; /* rules.clp */
	size_t len;
	const char *where;
};

struct sg_rules_limits {
	int64_t firings, facts, join_product, wall_us; /* 0 = 10,000; 10,000; 100,000; 1 s */
};

struct sg_rules_spec {
	const struct sg_rules_field *fields;
	size_t n_fields;
	const struct sg_rules_rule *rules;
	size_t n_rules;
	const struct sg_rules_pack *packs;
	size_t n_packs;
	struct sg_rules_limits limits;
};

/* Compiles everything. SG_EINVALID with "where: rule id: what CLIPS said". */
int sg_rules_create(struct sg_rules **ret, const struct sg_rules_spec *spec, struct sg_error *err);
void sg_rules_destroy(struct sg_rules *r);

/* One fact to assert. */
struct sg_fact_in {
	const char *template_name;
	const json_t *slots; /* object: string, integer, real, boolean */
};

struct sg_rules_step {
	const char *node_id; /* (node-id (id <node>)) */
	const json_t *state; /* object; mirrored fields are asserted in the order of spec->fields */
	const char *run_id;
	int64_t step;
	const char *timestamp; /* RFC 3339, from the record */
	const struct sg_fact_in
		*facts; /* facts carried by the run (assert actions, answers), in order */
	size_t n_facts;
};

/* One rule that fired, in firing order. */
struct sg_firing {
	int rule;	 /* index into spec->rules, or -1: a pack's rule */
	char *rule_id;	 /* owned */
	json_t *actions; /* pack rules: array of stargraph_action slot objects it asserted; else
			    NULL */
	char *matched;	 /* the facts that fired it, "f-1,f-3", owned */
};

struct sg_rules_outcome {
	struct sg_firing *firings;
	size_t n_firings;
	json_t *facts; /* array of strings: every fact after the run, CLIPS text form, in order */
};

/* Errors: SG_ELIMIT kinds "rule-explosion", "rule-firings", "rule-facts", "rule-timeout";
 * SG_EINVALID kind "rule-error" when a rule's code failed. The environment stays usable. */
int sg_rules_run(struct sg_rules *r, const struct sg_rules_step *in, struct sg_rules_outcome *ret,
	struct sg_error *err);
void sg_rules_outcome_finish(struct sg_rules_outcome *o);

#endif
