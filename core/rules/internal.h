/* Inside of core/rules: the prepared environment and what its parts share. */
#ifndef SG_RULES_INTERNAL_H
#define SG_RULES_INTERNAL_H

#include <clips/clips.h>

#include "base/buf.h"
#include "rules/rules.h"
#include "rules/sx.h"

#define SG_RULE_TEXT_MAX 32768U	       /* bytes of one rule or other construct */
#define SG_RULE_PACK_MAX (1U << 20)    /* bytes of a pack's rules.clp */
#define SG_RULE_STRING_MAX (1U << 20)  /* bytes of one string fact slot */
#define SG_RULE_CAT_MAX 65536U	       /* bytes that str-cat may make */
#define SG_RULE_FACTS_MAX (128U << 20) /* bytes of a step's facts as text */
#define SG_RULE_SEEN_MAX 65536U	       /* bytes of a text that a mirror keeps between steps */
#define SG_RULE_OR_MAX 64	       /* rules that one rule's `or`s may multiply to */
#define SG_RULE_LIGHT \
	16			/* parts of a rule's tests; for each as many again a \
				 * combination of facts counts once more */
#define SG_RULE_PATTERNS_MAX 64 /* patterns of one rule */
#define SG_RULE_ERROR_MAX 2048U /* bytes kept of what CLIPS prints */

/* A template as the checks see it. */
struct sg_template {
	char *name; /* mangled */
	char **slots;
	size_t n_slots;
	bool fixed; /* ours: a pack may not declare it otherwise */
	bool open;  /* the graph's actions assert it: a pack may add slots */
};

struct sg_templates {
	struct sg_template *all;
	size_t n;
};

int sg_templates_add(struct sg_templates *t, const char *name, const char *const *slots,
	size_t n_slots, bool fixed, struct sg_error *err);
int sg_templates_add_slot(struct sg_template *t, const char *slot, struct sg_error *err);
struct sg_template *sg_templates_find(const struct sg_templates *t, const char *name);
void sg_templates_finish(struct sg_templates *t);
/* name with '.' as '-'. Caller frees; NULL when out of memory. */
char *sg_rules_mangle(const char *name);

/* Checks; errors say "line N: what". */
int sg_check_lhs(const struct sg_sx *sx, int list, int from, int end, const struct sg_templates *t,
	struct sg_error *err);
int sg_check_actions(
	const struct sg_sx *sx, int from, const struct sg_templates *t, struct sg_error *err);
int sg_check_fact(
	const struct sg_sx *sx, int node, const struct sg_templates *t, struct sg_error *err);
int sg_check_expression(const struct sg_sx *sx, int node, struct sg_error *err);
bool sg_function_allowed(const char *name);

/* One CLIPS construct, ready to be built, in order. */
struct sg_construct {
	char *text;
	char *where;   /* "file:line: rule id", for what CLIPS says about it */
	char *rule_id; /* rules only */
	char *version; /* of the pack it came from, or NULL */
	int rule;      /* index into the spec, or -1 */
};

struct sg_mirror {
	char *name;
	enum sg_slot_type type;
	struct deftemplate *clips;
	/* What the field's last value became: the steps of a run mostly find it unchanged. */
	json_t *seen;		/* the value, held: a value of a state never changes in place */
	struct field fields[2]; /* value and typed, each held with a count of ours */
	struct sg_buf text;	/* ` (value …) (typed …)`, JSON-escaped */
};

/* An expression of a node. */
struct sg_computed {
	char *owner, *name, *where;
	char *text; /* white space reduced, comments gone */
	int *uses;  /* indices of the mirrors it names */
	size_t n_uses;
	struct expr *code; /* of the environment, or NULL */
};

/* An alpha node: one distinct pattern, with the number of facts in its memory. */
struct sg_alpha {
	struct patternNodeHeader *node;
	int template_index; /* into sg_network.templates */
	int64_t count;
};

struct sg_rule_patterns {
	int *alphas; /* indices, one for each pattern of the rule, repeated when shared */
	size_t n, weight;
};

/* What join products are computed from. */
struct sg_network {
	struct sg_alpha *alphas;
	size_t n_alphas;
	int *alpha_slots; /* open addressing by node pointer; -1 = free */
	size_t n_alpha_slots;
	struct sg_rule_patterns *rules;
	size_t n_rules;
	struct {
		struct deftemplate *clips;
		int *rules; /* which rules have a pattern on it */
		size_t n_rules;
		int64_t busiest; /* no alpha node of it has more facts */
	} * templates;
	size_t n_templates;
};

/* The provenance of a step's mirrored facts: interned once, and as text once. */
struct sg_provenance {
	struct symbolHashNode *symbols[6]; /* each held with a count of ours */
	struct sg_buf text; /* ` (_origin "state") … (_timestamp "…"))`, escaped */
};

struct sg_rules {
	void *env;
	bool twin; /* the texts and templates are another's */
	struct sg_mirror *mirrors;
	size_t n_mirrors;
	struct sg_templates templates;
	struct sg_construct *constructs;
	size_t n_constructs;
	struct sg_computed *computed;
	size_t n_computed;
	json_t *owners; /* owner: index of its first expression */
	struct sg_rules_limits limits;
	struct sg_network network;
	struct deftemplate *t_node, *t_action, *t_violation, *t_audit;
	unsigned asks;	     /* enum sg_rules_asks */
	bool dirty;	     /* an error or halt: rebuild before the next step */
	struct sg_buf said;  /* what CLIPS printed as errors */
	int64_t deadline_us; /* of the step */
	/* This thread's processor time at one moment, that moment, and how long before the step. */
	int64_t cpu_read_us, cpu_read_at_us, cpu_since_us;
	long memory_base; /* bytes of the prepared environment */
	struct sg_provenance provenance;
	struct sg_buf facts;	  /* of the last step, as JSON */
	struct sg_error *failure; /* where the sandbox's own functions report, during a step */
};

/* sandbox.c */
int sg_sandbox_open(struct sg_rules *r, struct sg_error *err);
void sg_sandbox_close(struct sg_rules *r);
/* source.c */
int sg_source_make(struct sg_rules *r, const struct sg_rules_spec *spec, struct sg_error *err);
/* A failure of a check, "line N: what", as "file[:line]: what name: text". */
int sg_source_located(
	struct sg_error *err, const char *file, bool with_line, const char *what, const char *name);
/* compute.c */
int sg_computed_make(struct sg_rules *r, const struct sg_rules_spec *spec, struct sg_error *err);
int sg_computed_build_all(struct sg_rules *r, struct sg_error *err);
void sg_computed_drop_code(struct sg_rules *r); /* before the environment goes away */
void sg_computed_finish(struct sg_rules *r);
/* network.c */
int sg_network_make(struct sg_rules *r, struct sg_error *err);
void sg_network_finish(struct sg_network *n);
void sg_network_recount(struct sg_rules *r);
void sg_network_added(struct sg_rules *r, const struct fact *f);
/* -SG_ELIMIT "rule-timeout" when the step has used up its time. */
int sg_network_late(struct sg_rules *r, struct sg_error *err);
/* May one more fact of this template be asserted? Facts, join products, time. */
int sg_network_admit(struct sg_rules *r, struct deftemplate *t, struct sg_error *err);
/* text.c */
/* The fact as a JSON string with its quotes. scratch is used up. 1: it is not UTF-8. */
int sg_text_fact(
	const struct sg_rules *r, const struct fact *f, struct sg_buf *scratch, struct sg_buf *out);
/* ` (name value)` of a single-field slot. */
void sg_text_field(const char *name, const struct field *value, struct sg_buf *out);
/* ` (name "text")` with CLIPS's escapes. */
void sg_text_slot(const char *name, const char *text, struct sg_buf *out);
json_t *sg_text_slots(const struct fact *f);
/* facts.c */
int sg_facts_assert_step(struct sg_rules *r, const struct sg_rules_step *in, struct sg_error *err);
void sg_facts_drop_provenance(struct sg_rules *r);
/* The environment goes: nothing kept between steps may outlive it. */
void sg_facts_forget(struct sg_rules *r);
int sg_facts_failed(struct sg_rules *r, struct sg_error *err);
/* The value of a mirrored field as CLIPS holds it; 1 when it is not of the field's type. */
int sg_facts_typed(
	struct sg_rules *r, const struct sg_mirror *m, const json_t *v, struct field *to);
/* rules.c: index + 1 of a construct is kept in its rules' headers. */
int sg_rules_build_all(struct sg_rules *r, struct sg_error *err);
/* The environment, built again after an error, with a fresh deadline. */
int sg_rules_ready(struct sg_rules *r, struct sg_error *failure, struct sg_error *err);

/* rules.c: has the step used up its time? By the clock first; but a thread that others kept from
 * the processor has not worked for that long. */
bool sg_rules_late(const struct sg_rules *r);

#endif
