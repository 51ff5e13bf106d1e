/* Graph documents: the original's IR YAML and its simpler authoring format, loaded, checked and
 * hashed. Knows neither CLIPS nor LMDB nor what a node kind does: the kinds come in as a table.
 */
#ifndef SG_GRAPH_GRAPH_H
#define SG_GRAPH_GRAPH_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"

/* What the loader must know of a node kind; run's table of kinds hands these down. */
struct sg_kind_spec {
	const char *name;
	const char *config_schema; /* JSON text in base/schema.h's subset; NULL = no keys at all */
};

enum sg_field_type { SG_STR, SG_INT, SG_FLOAT, SG_BOOL, SG_LIST, SG_DICT };
enum sg_reducer {
	SG_REDUCE_REPLACE,
	SG_REDUCE_APPEND,
	SG_REDUCE_SUM,
	SG_REDUCE_MERGE,
	SG_REDUCE_MAX,
	SG_REDUCE_MIN,
	SG_REDUCE_UNION
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
	int line;
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
	char *join, *strategy; /* parallel: "all", "any", "race", "quorum" */
	int64_t backoff_ms;    /* retry */
	char *reason;	       /* halt */
	char *fact, *slots;    /* assert */
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
	int line;
};

struct sg_parallel {
	char **targets;
	size_t n_targets;
	char *join, *strategy;
};

struct sg_pack_mount {
	char *id, *version, *requires_facts, *requires_api;
};

struct sg_graph {
	char *path, *id, *ir_version;
	struct sg_node *nodes; /* file order; the first is the entry */
	size_t n_nodes;
	struct sg_rule *rules; /* file order */
	size_t n_rules;
	struct sg_field *fields;
	size_t n_fields;
	struct sg_parallel *parallel;
	size_t n_parallel;
	struct sg_pack_mount *governance;
	size_t n_governance;
	json_t *document; /* the lowered IR document, owned; what the hash covers */
	char hash[SG_SHA256_HEX];
};

struct sg_graph_limits {
	size_t nodes, rules; /* 0 = the defaults: 10,000 each */
};

/* Reads, lowers authoring format, validates everything that can be known before a run (targets,
 * fields, kinds, templates named by `when` mappings, unreachable nodes are fine). SG_EINVALID with
 * "file:line:column: what; did you mean …". */
int sg_graph_load(struct sg_graph **ret, const char *path, const struct sg_kind_spec *kinds,
	size_t n_kinds, const struct sg_graph_limits *limits, struct sg_error *err);
int sg_graph_load_text(struct sg_graph **ret, const char *name, const char *text, size_t n,
	const struct sg_kind_spec *kinds, size_t n_kinds, const struct sg_graph_limits *limits,
	struct sg_error *err);
void sg_graph_destroy(struct sg_graph *g);

/* Index of the node, or -1. */
int sg_graph_find_node(const struct sg_graph *g, const char *id);
const struct sg_field *sg_graph_find_field(const struct sg_graph *g, const char *name);

/* A fresh state object from initials and params. Unknown field or wrong type: SG_EINVALID. Strings
 * in params are converted when `from_text` (command line). */
int sg_graph_initial_state(const struct sg_graph *g, const json_t *params, bool from_text,
	json_t **ret_state, struct sg_error *err);
/* state[key] for each key of update, through each field's reducer and type. New object. */
int sg_graph_merge_state(const struct sg_graph *g, const json_t *state, const json_t *update,
	json_t **ret_state, struct sg_error *err);

#endif
