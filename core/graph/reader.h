/* Inside of core/graph: reading a document while knowing where each value stood. */
#ifndef SG_GRAPH_READER_H
#define SG_GRAPH_READER_H

#include <stdarg.h>

#include "config/yaml.h"
#include "graph/graph.h"

#define SG_GRAPH_POINTER_MAX 512

/* One file being loaded, and those around it. */
struct sg_reader {
	struct sg_reader *parent; /* the graph whose node this subgraph is */
	const char *name;	  /* for messages and relative paths */
	char *real;		  /* canonical path, or NULL for text; for cycles */
	struct sg_yaml *yaml;	  /* NULL inside an embedded document */
	const char *prefix;	  /* pointer of an embedded document in yaml */
	json_t *origins; /* authoring: pointer of the lowered document → of the source; else NULL */
	const struct sg_kind_spec *kinds;
	size_t n_kinds;
	struct sg_graph_limits limits;
	int depth;
	struct sg_graph *g;
	json_t *doc;	  /* what is being read, lowered; borrowed */
	json_t *rule_ids; /* while rules are read: id → line */
	struct sg_error *err;
};

/* A key that a mapping may have. */
struct sg_key {
	const char *name;
	json_type type; /* JSON_NULL: any; JSON_STRING … */
	bool required;
};

/* A path relative to the file that names it; absolute ones stay. Caller frees; NULL when out of
 * memory. */
char *sg_reader_beside(const char *name, const char *path);

/* "name:line:column: text" and -SG_EINVALID. key: the position of the key, not of the value. */
int sg_reader_fail(const struct sg_reader *r, const char *pointer, int key, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
void sg_reader_place(
	const struct sg_reader *r, const char *pointer, int *ret_line, int *ret_column);
/* pointer + "/" + escaped key, into a buffer of SG_GRAPH_POINTER_MAX. */
void sg_reader_child(char *out, const char *pointer, const char *key);
void sg_reader_item(char *out, const char *pointer, size_t index);
/* An object with these keys only, each of its type. */
int sg_reader_keys(const struct sg_reader *r, const char *pointer, const json_t *v,
	const struct sg_key *keys, size_t n, const char *what);
/* word is not among known: says so, with the nearest. */
int sg_reader_unknown(const struct sg_reader *r, const char *pointer, int key, const char *what,
	const char *word, const char *const *known, size_t n_known);
/* word is no node of the graph. */
int sg_reader_no_node(const struct sg_reader *r, const char *pointer, const char *word);
/* A slug as the original's: [a-z0-9][a-z0-9_.-]{0,127}. */
bool sg_slug_valid(const char *s);
char *sg_strdup_or_empty(const json_t *v); /* "" when absent; NULL when out of memory */

/* authoring.c: *ret is a new IR document, *ret_origins says where its parts came from. */
int sg_authoring_lower(
	const struct sg_reader *r, const json_t *doc, json_t **ret, json_t **ret_origins);
bool sg_authoring_is(const json_t *doc);
/* state.c */
int sg_read_state_schema(struct sg_reader *r);
int sg_field_check(const struct sg_field *f, const json_t *v, struct sg_error *err);
/* actions.c */
int sg_read_action(
	struct sg_reader *r, const char *pointer, const json_t *v, struct sg_action *ret);
void sg_action_finish(struct sg_action *a);
int sg_read_targets(const struct sg_reader *r, const char *pointer, const json_t *v, char ***ret,
	size_t *ret_n);
int sg_read_strategy(
	const struct sg_reader *r, const char *pointer, const char *strategy, size_t n);
/* when.c: *ret_lhs and *ret_node (may be NULL) are the caller's. */
int sg_read_when(struct sg_reader *r, const char *pointer, const json_t *when, char **ret_lhs,
	char **ret_node);
/* nodes.c, sections.c */
int sg_read_nodes(struct sg_reader *r);
int sg_read_subgraphs(struct sg_reader *r);
int sg_read_rules(struct sg_reader *r);
int sg_read_parallel(struct sg_reader *r);
int sg_read_governance(struct sg_reader *r);
int sg_read_migrate(struct sg_reader *r);
int sg_read_references(struct sg_reader *r);
int sg_read_environment(struct sg_reader *r);
/* document.c */
int sg_document_make(struct sg_graph *g, const json_t *doc, struct sg_error *err);
/* load.c: a subgraph's file, relative to r's, or a document inside r's. */
int sg_load_child_file(
	struct sg_reader *r, const char *pointer, const char *spec, struct sg_graph **ret);
int sg_load_child_document(
	struct sg_reader *r, const char *pointer, json_t *doc, struct sg_graph **ret);

#endif
