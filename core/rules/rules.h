/* Rules decide transitions: CLIPS 6.30 behind a wall. The only user of clips.h.
 *
 * One environment per graph, prepared once. A step starts from reset and asserts the given facts in
 * the given order, so agenda and fact indices depend on nothing else: equal inputs, equal firings.
 * Rule code is sandboxed: an allow-list of CLIPS functions; nothing reads the outside, time, random
 * or gensym. Bounded: firings, facts, wall time, memory, and the product of live facts per pattern
 * of any rule before an assert (join explosion). A data value can never become syntax: facts are
 * built by the C API, not by text.
 *
 * What a step means is written down once, in docs/reference/graphs.md, "How a step decides".
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
 * and the six provenance slots _origin _source _run_id _step _confidence _timestamp, all strings.
 */
struct sg_rules_field {
	const char *name;
	enum sg_slot_type type;
};

/* May a field of this name be mirrored, or does CLIPS or the engine use the word itself (not, test,
 * object, stargraph_action, …)? */
bool sg_rules_name_free(const char *name);

/* A fact that `assert` actions may make and a run may carry: untyped slots plus provenance. Dots in
 * names become '-', as the original mangles them. Built in beside these: stargraph-evidence (data
 * text node run_id step), stargraph-answer (node key value typed), stargraph-tool-call (tool_id
 * args_count), stargraph-tool-result (tool_id fields), stargraph-tokens-used (tool_id total),
 * bosun-violation (kind severity run_id reason), bosun-audit (run_id step kind detail), and the
 * facts about a step: stargraph-run (node kind next steps elapsed_ms visits in_a_row tool_calls
 * tokens), stargraph-node (id kind entry), stargraph-text (field part value). */
struct sg_rules_template {
	const char *name;
	const char *const *slots;
	size_t n_slots;
};

struct sg_rules_rule {
	const char *id;
	const char *lhs;    /* CLIPS patterns; "" = (initial-fact): once, in the run's first step */
	const char *where;  /* "file:line:column" for messages */
	int salience;	    /* -10,000 to 10,000 */
	const json_t *then; /* the IR's action list, or NULL; asserted as stargraph_action facts so
			       that other rules can see them; borrowed for the call */
};

struct sg_rules_pack {
	const char *id, *version;
	const char *text; /* rules.clp: deftemplate, defrule and deffacts only */
	size_t len;
	const char *where; /* file name for messages */
};

/* A value that a node computes: one CLIPS expression in which ?<field> is the typed value of that
 * mirrored field. No bind, no assert; what rules may call otherwise. */
struct sg_rules_expression {
	const char *owner, *name; /* those of one owner stand together */
	const char *text;	  /* at most SG_RULES_EXPRESSION_MAX bytes */
	const char *where;	  /* for messages */
};
#define SG_RULES_EXPRESSION_MAX 4096U

struct sg_rules_limits {
	int64_t firings, facts, join_product,
		wall_us; /* 0 = 10,000; 10,000; 100,000; 1 s (of work) */
	int64_t memory;	 /* bytes of one step; 0 = 64 MiB */
};

struct sg_rules_spec {
	const struct sg_rules_field *fields;
	size_t n_fields;
	const struct sg_rules_template *templates;
	size_t n_templates;
	const struct sg_rules_rule *rules;
	size_t n_rules;
	const struct sg_rules_pack *packs;
	size_t n_packs;
	const struct sg_rules_expression *expressions;
	size_t n_expressions;
	struct sg_rules_limits limits;
};

/* Compiles everything; the spec may go away afterwards. SG_EINVALID with "where: rule id: what is
 * wrong; did you mean …". */
int sg_rules_create(struct sg_rules **ret, const struct sg_rules_spec *spec, struct sg_error *err);
void sg_rules_destroy(struct sg_rules *r);
/* A second environment of the same rules, for another thread: it decides as r does. May be made
 * while r is used; r must outlive it. limits.wall_us is its own (0 = the default). */
int sg_rules_twin(
	struct sg_rules **ret, const struct sg_rules *r, int64_t wall_us, struct sg_error *err);
/* Lets go of the values that it keeps from its last step for the next one. */
void sg_rules_forget(struct sg_rules *r);
/* How long each of the next calls may work, in place of limits.wall_us. */
void sg_rules_set_time(struct sg_rules *r, int64_t wall_us);

/* One fact to assert. */
struct sg_fact_in {
	const char *template_name;
	const json_t *slots; /* object: string, integer, real, boolean */
};

struct sg_rules_step {
	const char *node_id; /* (node-id (id <node>)): the node that just ran */
	const json_t *state; /* object; mirrored fields are asserted in the order of spec->fields;
				an absent or null field has no fact */
	const char *run_id;
	int64_t step;
	const char *timestamp; /* RFC 3339, from the record */
	bool first; /* the first step of the run or of a subgraph's entry; step 0 always is */
	const struct sg_fact_in
		*facts; /* facts carried by the run (assert actions, answers), in order */
	size_t n_facts;
	const struct sg_fact_in *about; /* what the rules ask for (sg_rules_asks), after node-id */
	size_t n_about;
	size_t n_seen; /* the first n_seen of facts have been through an earlier step: what matches
			  only such facts does not fire again */
	bool explain;  /* fill in outcome.agenda and the firings' facts */
};

/* One rule that fired, in firing order. */
struct sg_firing {
	int rule;	 /* index into spec->rules, or -1: a pack's rule */
	char *rule_id;	 /* owned; "<pack>/<rule>" for a pack's */
	json_t *actions; /* pack rules: array of IR action objects (kind, target, reason, …; the
			    natives deny, escalate, route and a bosun-violation of severity halt
			    already translated); else NULL */
	json_t *audits;	 /* pack rules: the slots of each bosun-audit fact that it asserted; NULL =
			    none */
	int salience;
	const char *version; /* of the pack whose rule it is, the environment's; or NULL */
	char *matched;	     /* the facts that fired it, "f-1,f-3", owned */
	json_t *facts;	     /* with explain: these facts as they were when it fired, [{"id": "f-1",
				"slots": {…}, "template", "text"}…] in the order of its patterns; else
				NULL */
};

struct sg_rules_outcome {
	struct sg_firing *firings;
	size_t n_firings;
	/* canonical JSON array of strings: every fact after the run, CLIPS text form, in order; the
	 * environment's, until its next step */
	const char *facts;
	size_t n_facts;
	int64_t first_made;    /* facts with an index from here on were made by rules */
	int64_t *fact_indices; /* the N of f-N of each of these, owned */
	json_t *agenda; /* with explain: array of {rule, matched, salience, fired, facts}, what was
			   activated before the first firing, in agenda order; else NULL */
};

/* Errors: SG_ELIMIT kinds "rule-explosion", "rule-firings", "rule-facts", "rule-timeout",
 * "rule-memory"; SG_EINVALID kind "rule-error" when a rule's code failed. The environment stays
 * usable. */
int sg_rules_run(struct sg_rules *r, const struct sg_rules_step *in, struct sg_rules_outcome *ret,
	struct sg_error *err);
void sg_rules_outcome_finish(struct sg_rules_outcome *o);

/* Evaluates the expressions of one owner over the state, all of them from the same state, and sets
 * update[name] for each: INTEGER, FLOAT, STRING and SYMBOL become numbers and texts, the symbols
 * TRUE and FALSE truth values. No rule fires and no fact is made. SG_EINVALID kind "rule-error": a
 * failed call, a field that is null, a value that JSON cannot hold; SG_ELIMIT "rule-timeout". */
int sg_rules_compute(struct sg_rules *r, const char *owner, const json_t *state, json_t *update,
	struct sg_error *err);

/* Which of the facts about a step do the rules have patterns on? */
enum sg_rules_asks {
	SG_RULES_ASK_RUN = 1,	/* stargraph-run */
	SG_RULES_ASK_NODES = 2, /* stargraph-node, one for each node */
	SG_RULES_ASK_TEXTS = 4, /* stargraph-text, one for each text field that rules see */
};
unsigned sg_rules_asks(const struct sg_rules *r);

/* The i-th rule in the order of the packs, then the graph's own: its id as sg_firing has it, and
 * "file:line: rule name". Borrowed; false past the last. */
bool sg_rules_at(const struct sg_rules *r, size_t i, const char **ret_id, const char **ret_where);

/* What a pack's text says, without compiling it: {"deftemplate", "defrule", "deffacts": {name: text
 * without comments}, "actions", "capabilities", "targets": {word: true} of what its rules may
 * decide, ask a capability for, lead to, where these are literals}. New. SG_EINVALID. */
int sg_rules_outline(
	const char *text, size_t len, const char *where, json_t **ret, struct sg_error *err);

/* "(name (slot literal)…)" of a retract action, checked and taken apart: a one-slot-per-key object
 * {"template": name, "slots": {slot: value}}. */
int sg_rules_parse_pattern(const char *pattern, json_t **ret, struct sg_error *err);
/* Does a fact match what sg_rules_parse_pattern gave? Slots that the pattern does not name may be
 * anything; numbers and their text count as equal. */
bool sg_rules_pattern_matches(const json_t *pattern, const struct sg_fact_in *fact);

#endif
