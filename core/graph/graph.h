/* Graph documents: the original's IR YAML and its simpler authoring format, loaded, checked and
 * hashed. Knows neither CLIPS nor LMDB nor what a node kind does: the kinds come in as a table.
 * Templates and functions inside `when` strings are rules' to check (sg_rules_create).
 */
#ifndef SG_GRAPH_GRAPH_H
#define SG_GRAPH_GRAPH_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"

#define SG_GRAPH_MAX_DEPTH 8 /* subgraphs inside subgraphs */

/* What the loader must know of a node kind; run's table of kinds hands these down. */
struct sg_kind_spec {
	const char *name;
	const char *config_schema; /* JSON text in base/schema.h's subset; NULL = no keys at all */
	/* The config key file_key names a YAML file beside the graph, whose content the loader puts
	 * in its place under value_key: so the hash covers it. NULL = none. */
	const char *file_key, *value_key;
};

enum sg_field_type { SG_STR, SG_INT, SG_FLOAT, SG_BOOL, SG_LIST, SG_DICT };
enum sg_reducer {
	SG_REDUCE_REPLACE, /* the last write stands; the original's "last-write" */
	SG_REDUCE_APPEND,  /* list: a list is joined on, anything else becomes one more item */
	SG_REDUCE_SUM,	   /* int, float */
	SG_REDUCE_MERGE,   /* dict: key by key, the last write stands */
	SG_REDUCE_MAX,	   /* int, float, str (by bytes) */
	SG_REDUCE_MIN,
	SG_REDUCE_UNION /* list: items not yet in it, in order */
};

struct sg_field {
	char *name;
	enum sg_field_type type;
	enum sg_reducer reducer;
	bool mirrored; /* asserted as a fact before rules fire: every scalar, unless route: false */
	json_t *initial; /* owned: the type's zero, or the declared default */
};

struct sg_node {
	char *id, *kind, *spec;
	json_t *config;		   /* owned object, validated against the kind's schema */
	struct sg_graph *subgraph; /* owned, for kind "subgraph" */
	int line, column;
};

enum sg_action_kind {
	SG_GOTO,
	SG_HALT,
	SG_PARALLEL,
	SG_RETRY,
	SG_ASSERT,
	SG_RETRACT,
	SG_INTERRUPT
};

struct sg_action {
	enum sg_action_kind kind;
	char *target;	/* goto, retry */
	char **targets; /* parallel */
	size_t n_targets;
	char *join, *strategy; /* parallel: "all", "any", "race", "quorum", "quorum:N" */
	int64_t backoff_ms;    /* retry */
	char *reason;	       /* halt */
	char *fact, *slots;    /* assert: slots is a JSON object's text; see sg_graph_fill */
	char *pattern;	       /* retract */
	char *prompt;	       /* interrupt */
	json_t *payload;
	char *requested_capability;
	int64_t timeout_us; /* 0 = waits for ever */
	char *on_timeout;   /* "halt" or "goto:<node>" */
};

struct sg_rule {
	char *id;
	char *lhs;     /* CLIPS patterns, mapping form already compiled */
	char *node_id; /* owner, or NULL */
	struct sg_action *actions;
	size_t n_actions;
	const json_t *then; /* the same as in the document, for sg_rules_rule.then; borrowed */
	int line, column;
	int when_line, when_column; /* of the conditions; the rule's own without any */
};

struct sg_parallel {
	char **targets;
	size_t n_targets;
	char *join, *strategy; /* join "" = the node after the last target in file order */
};

struct sg_pack_mount {
	char *id, *version, *requires_facts, *requires_api;
	int line, column;
};

/* A fact that the graph's `assert` actions make, with all slots that any of them names: what
 * sg_rules_template wants. */
struct sg_graph_fact {
	char *name;
	char **slots;
	size_t n_slots;
};

struct sg_graph {
	char *path, *id, *ir_version;
	struct sg_node *nodes; /* file order; the first is the entry */
	size_t n_nodes;
	json_t *node_index;    /* owned: id → index */
	struct sg_rule *rules; /* file order */
	size_t n_rules;
	struct sg_field *fields;
	size_t n_fields;
	struct sg_parallel *parallel;
	size_t n_parallel;
	struct sg_pack_mount *governance;
	size_t n_governance;
	struct sg_graph_fact *facts;
	size_t n_facts;
	struct sg_graph_migration {
		char *from, *to; /* graph hashes */
	} * migrations;
	size_t n_migrations;
	/* The lowered document, owned; what the hash covers. It loads again (it is YAML too) to the
	 * same graph with the same hash: state_schema is a list in field order, `when` is CLIPS
	 * text, subgraphs stand inside their node under `graph`. */
	json_t *document;
	char hash[SG_SHA256_HEX];
};

struct sg_graph_limits {
	size_t nodes, rules; /* 0 = the defaults: 10,000 each */
	/* Names that `tools`, `skills` and `stores` may list; NULL = there are none. */
	const char *const *tools, *const *skills, *const *stores;
	size_t n_tools, n_skills, n_stores;
	bool any_name; /* of those without a list: whoever has them checks that they exist */
};

/* Reads, lowers authoring format, validates everything that can be known before a run (targets,
 * fields, kinds, node ids and fields named by `when`; unreachable nodes are fine). SG_EINVALID with
 * "file:line:column: what; did you mean …". */
int sg_graph_load(struct sg_graph **ret, const char *path, const struct sg_kind_spec *kinds,
	size_t n_kinds, const struct sg_graph_limits *limits, struct sg_error *err);
/* name is also where relative subgraph files are looked for. */
int sg_graph_load_text(struct sg_graph **ret, const char *name, const char *text, size_t n,
	const struct sg_kind_spec *kinds, size_t n_kinds, const struct sg_graph_limits *limits,
	struct sg_error *err);
void sg_graph_destroy(struct sg_graph *g);

/* May runs of the graph with that hash go on with this one? As its hash is now, packs included. */
bool sg_graph_migrates_from(const struct sg_graph *g, const char *hash);

/* Index of the node, or -1. */
int sg_graph_find_node(const struct sg_graph *g, const char *id);
const struct sg_field *sg_graph_find_field(const struct sg_graph *g, const char *name);
const char *sg_field_type_name(enum sg_field_type t); /* "str", … */

/* A mounted pack as the hash sees it. */
struct sg_pack_triple {
	const char *id, *sha256, *version;
};
/* Computes the hash again, with the packs that the mounts resolved to. The hash is SHA-256 over the
 * RFC 8785 form of {"document": …, "rule_packs": [[id, sha256, version], … sorted by id]}. */
int sg_graph_bind_packs(
	struct sg_graph *g, const struct sg_pack_triple *packs, size_t n, struct sg_error *err);

/* A fresh state object from initials and params. Unknown field or wrong type: SG_EINVALID. Strings
 * in params are converted when `from_text` (command line). */
int sg_graph_initial_state(const struct sg_graph *g, const json_t *params, bool from_text,
	json_t **ret_state, struct sg_error *err);
/* state[key] for each key of update, through each field's reducer and type. New object. */
int sg_graph_merge_state(const struct sg_graph *g, const json_t *state, const json_t *update,
	json_t **ret_state, struct sg_error *err);
/* One value through a field's reducer: what parallel branches are merged with. */
int sg_graph_reduce(const struct sg_field *f, const json_t *old, const json_t *update,
	json_t **ret_value, struct sg_error *err);
/* A copy of an object with every {field} inside its strings replaced by the state's value as text
 * (Python's str()); a string that is exactly "{field}" becomes the value itself when that is a
 * scalar. {{ and }} are braces. For the slots of assert actions. */
json_t *sg_graph_fill(const json_t *slots, const json_t *state);

/* pydantic's timedelta: a number of seconds, "P1DT2H3M4.5S", or "[D days, ]HH:MM:SS[.ffffff]". */
int sg_graph_duration(const json_t *v, int64_t *ret_us, struct sg_error *err);

#endif
