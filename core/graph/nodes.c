/* The node list: ids, kinds, configurations, and the graphs inside of nodes. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/schema.h"
#include "graph/reader.h"

static const struct sg_kind_spec *find_kind(const struct sg_reader *r, const char *name)
{
	for (size_t i = 0; i < r->n_kinds; i++)
		if (strcmp(r->kinds[i].name, name) == 0)
			return &r->kinds[i];
	return NULL;
}

/* Kinds of the original that need its Python, a remote model or its stores, and the kind here that
 * does their work. */
static const char *successor(const char *kind)
{
	static const struct {
		const char *kind, *successor;
	} rows[] = {
		{"dspy", "llm"},
		{"react", "llm"},
		{"code", "tool"},
		{"ml", "classify_embedding"},
		{"broker", "tool"},
		{"nautilus", "tool"},
		{"memory_write", "remember"},
		{"memory-write", "remember"},
		{"mcp", "tool"},
	};
	for (size_t i = 0; i < SG_ARRAY_LEN(rows); i++)
		if (strcmp(rows[i].kind, kind) == 0)
			return rows[i].successor;
	return strchr(kind, ':') ? "tool" : NULL;
}

static int check_kind(const struct sg_reader *r, const char *at, const char *kind)
{
	if (find_kind(r, kind))
		return 0;
	const char *next = successor(kind);
	if (next)
		return sg_reader_fail(r, at, 0, "kind \"%.80s\" %s%s%s%s", kind,
			strchr(kind, ':') ? "is a Python class, which does not exist here"
					  : "belongs to the Python original",
			find_kind(r, next) ? "; use a node of kind "
					   : "; no kind of this build does the same",
			find_kind(r, next) ? next : "",
			find_kind(r, next) ? ", and rules to route" : "");
	sg_autofree const char **names = calloc(r->n_kinds + 1, sizeof(*names));
	for (size_t i = 0; names && i < r->n_kinds; i++)
		names[i] = r->kinds[i].name;
	return sg_reader_unknown(r, at, 0, "unknown kind", kind, names, names ? r->n_kinds : 0);
}

/* "at /inputs/x: …" → the pointer of that place below config. */
static int config_failed(
	const struct sg_reader *r, const char *config, const struct sg_error *why, const char *kind)
{
	char at[SG_GRAPH_POINTER_MAX], inner[200] = "";
	const char *text = why->text;
	if (sscanf(text, "at %199[^:]: ", inner) == 1 && strchr(text, ':'))
		text = strchr(text, ':') + 2;
	(void)snprintf(
		at, sizeof(at), "%.300s%s", config, inner[0] == '/' && inner[1] ? inner : "");
	return sg_reader_fail(r, at, 0, "%s: %s", kind, text);
}

/* config.<file_key>: the file's content becomes config.<value_key>. */
static int inline_file(const struct sg_reader *r, const char *pointer, const struct sg_kind_spec *k,
	json_t *config)
{
	char at[SG_GRAPH_POINTER_MAX];
	const char *file =
		k->file_key ? json_string_value(json_object_get(config, k->file_key)) : NULL;
	struct sg_yaml y = {0};
	if (!file)
		return 0;
	sg_reader_child(at, pointer, "config");
	sg_reader_child(at, at, k->file_key);
	if (json_object_get(config, k->value_key))
		return sg_reader_fail(r, at, 1, "%s: either %s or %s, not both", k->name,
			k->value_key, k->file_key);
	sg_autofree char *path = sg_reader_beside(r->name, file);
	if (!path)
		return sg_error_nomem(r->err);
	struct sg_error why = {0};
	if (sg_yaml_read_file(path, &y, &why) < 0)
		return sg_reader_fail(r, at, 0, "%s: %s", k->file_key, why.text);
	int e = json_object_set(config, k->value_key, y.root) < 0 ||
				json_object_del(config, k->file_key) < 0
			? sg_error_nomem(r->err)
			: 0;
	sg_yaml_finish(&y);
	return e;
}

static int check_config(const struct sg_reader *r, const char *pointer, const struct sg_node *n)
{
	static const char no_keys[] = "{\"type\":\"object\",\"additionalProperties\":false}";
	char at[SG_GRAPH_POINTER_MAX];
	const struct sg_kind_spec *k = find_kind(r, n->kind);
	const char *text = k->config_schema ? k->config_schema : no_keys;
	struct sg_error why = {0};
	json_t *schema;
	int e = sg_json_parse(text, strlen(text), &schema, r->err);
	if (e < 0)
		return sg_error_prefix(r->err, "schema of kind %s", n->kind);
	sg_reader_child(at, pointer, "config");
	if (sg_schema_validate(schema, n->config, &why) < 0)
		e = config_failed(r, at, &why, n->kind);
	json_decref(schema);
	return e;
}

/* (id 12) in a rule would be a number, not the node's name. */
static bool reads_as_number(const char *s)
{
	char *end;
	if (!isdigit((unsigned char)*s))
		return false;
	(void)strtod(s, &end);
	return *end == '\0';
}

static int check_id(const struct sg_reader *r, const char *at, const char *id)
{
	if (!sg_slug_valid(id))
		return sg_reader_fail(r, at, 0,
			"node id \"%.64s\" must be lower-case letters, digits, _ . -, first a "
			"letter or digit, at most 128",
			id);
	if (reads_as_number(id))
		return sg_reader_fail(r, at, 0,
			"node id \"%s\" reads as a number in rules; begin with a letter", id);
	if (sg_graph_find_node(r->g, id) >= 0)
		return sg_reader_fail(r, at, 0, "node \"%s\" is declared twice, first on line %d",
			id, r->g->nodes[sg_graph_find_node(r->g, id)].line);
	return 0;
}

static int read_node(struct sg_reader *r, const char *pointer, const json_t *v, struct sg_node *n)
{
	static const struct sg_key keys[] = {{"id", JSON_STRING, true}, {"kind", JSON_STRING, true},
		{"spec", JSON_STRING, false}, {"config", JSON_OBJECT, false},
		{"graph", JSON_OBJECT, false}};
	char at[SG_GRAPH_POINTER_MAX];
	int e = sg_reader_keys(r, pointer, v, keys, SG_ARRAY_LEN(keys), "a node");
	if (e < 0)
		return e;
	const char *id = json_string_value(json_object_get(v, "id"));
	const char *kind = json_string_value(json_object_get(v, "kind"));
	sg_reader_child(at, pointer, "id");
	e = check_id(r, at, id);
	sg_reader_child(at, pointer, "kind");
	if (e == 0)
		e = check_kind(r, at, kind);
	if (e < 0)
		return e;
	const json_t *spec = json_object_get(v, "spec"), *config = json_object_get(v, "config");
	bool sub = strcmp(kind, "subgraph") == 0;
	bool embedded = json_is_object(json_object_get(v, "graph"));
	sg_reader_child(at, pointer, embedded ? "graph" : "spec");
	if (!sub && (json_is_string(spec) || embedded))
		return sg_reader_fail(r, at, 1, "only a node of kind subgraph has a %s",
			embedded ? "graph" : "spec");
	if (sub && json_is_string(spec) == embedded)
		return sg_reader_fail(
			r, pointer, 0, "a subgraph needs `spec`, the path of its graph file");
	sg_reader_place(r, pointer, &n->line, &n->column);
	n->id = strdup(id);
	n->kind = strdup(kind);
	n->spec = json_is_string(spec) ? strdup(json_string_value(spec)) : NULL;
	n->config = json_is_object(config) ? json_deep_copy(config) : json_object();
	if (!n->id || !n->kind || !n->config || (json_is_string(spec) && !n->spec))
		return sg_error_nomem(r->err);
	int inlined = inline_file(r, pointer, find_kind(r, kind), n->config);
	return inlined < 0 ? inlined : check_config(r, pointer, n);
}

int sg_read_nodes(struct sg_reader *r)
{
	const json_t *nodes = json_object_get(r->doc, "nodes");
	size_t max = r->limits.nodes ? r->limits.nodes : 10000, n = json_array_size(nodes), i;
	char at[SG_GRAPH_POINTER_MAX];
	json_t *v;
	if (n == 0)
		return sg_reader_fail(r, "/nodes", 0, "a graph needs at least one node");
	if (n > max)
		return sg_reader_fail(r, "/nodes", 0, "%zu nodes; the limit is %zu", n, max);
	r->g->nodes = calloc(n, sizeof(*r->g->nodes));
	r->g->node_index = json_object();
	if (!r->g->nodes || !r->g->node_index)
		return sg_error_nomem(r->err);
	json_array_foreach ((json_t *)nodes, i, v) {
		struct sg_node one = {0};
		sg_reader_item(at, "/nodes", i);
		int e = read_node(r, at, v, &one);
		r->g->nodes[r->g->n_nodes] = one; /* owned even when half-read */
		if (e < 0) {
			free(one.id);
			free(one.kind);
			free(one.spec);
			json_decref(one.config);
			return e;
		}
		if (json_object_set_new(r->g->node_index, one.id, json_integer((json_int_t)i)) < 0)
			e = sg_error_nomem(r->err);
		r->g->n_nodes++;
		if (e < 0)
			return e;
	}
	return 0;
}

/* One map of a subgraph's projection: own fields to the other graph's. */
static int check_projection(const struct sg_reader *r, const char *pointer, const struct sg_node *n,
	const char *key, const struct sg_graph *from, const struct sg_graph *to)
{
	char map[SG_GRAPH_POINTER_MAX], at[SG_GRAPH_POINTER_MAX];
	const char *name;
	json_t *v;
	sg_reader_child(map, pointer, "config");
	sg_reader_child(map, map, key);
	json_object_foreach (json_object_get(n->config, key), name, v) {
		sg_reader_child(at, map, name);
		const char *other = json_string_value(v);
		const struct sg_field *a = sg_graph_find_field(from, name);
		const struct sg_field *b = other ? sg_graph_find_field(to, other) : NULL;
		if (!a)
			return sg_reader_fail(r, at, 1, "%s: graph %s has no state field \"%.64s\"",
				key, from->id, name);
		if (!b)
			return sg_reader_fail(r, at, 0, "%s: graph %s has no state field \"%.64s\"",
				key, to->id, other ? other : "?");
		if (a->type != b->type)
			return sg_reader_fail(r, at, 0, "%s: %s is of type %s, %s of type %s", key,
				name, sg_field_type_name(a->type), other,
				sg_field_type_name(b->type));
	}
	return 0;
}

static int read_subgraph(struct sg_reader *r, const char *pointer, struct sg_node *n, json_t *v)
{
	char at[SG_GRAPH_POINTER_MAX];
	int e;
	if (r->depth + 1 >= SG_GRAPH_MAX_DEPTH)
		return sg_reader_fail(r, pointer, 0, "subgraphs are nested more than %d deep",
			SG_GRAPH_MAX_DEPTH);
	if (n->spec) {
		sg_reader_child(at, pointer, "spec");
		e = sg_load_child_file(r, at, n->spec, &n->subgraph);
	} else {
		sg_reader_child(at, pointer, "graph");
		e = sg_load_child_document(r, at, json_object_get(v, "graph"), &n->subgraph);
	}
	if (e == 0)
		e = check_projection(r, pointer, n, "inputs", n->subgraph, r->g);
	if (e == 0)
		e = check_projection(r, pointer, n, "outputs", r->g, n->subgraph);
	return e;
}

int sg_read_subgraphs(struct sg_reader *r)
{
	char at[SG_GRAPH_POINTER_MAX];
	for (size_t i = 0; i < r->g->n_nodes; i++) {
		if (strcmp(r->g->nodes[i].kind, "subgraph") != 0)
			continue;
		sg_reader_item(at, "/nodes", i);
		int e = read_subgraph(r, at, &r->g->nodes[i],
			json_array_get(json_object_get(r->doc, "nodes"), i));
		if (e < 0)
			return e;
	}
	return 0;
}
