/* From a file to a checked graph: format, sections in the order in which they need each other, then
 * the canonical document. Subgraph files are read along, within depth and without cycles.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "graph/reader.h"

static int load_document(struct sg_reader *r, const json_t *source, struct sg_graph **ret);

int sg_graph_find_node(const struct sg_graph *g, const char *id)
{
	const json_t *at = json_object_get(g->node_index, id);
	return at ? (int)json_integer_value(at) : -1;
}

const struct sg_field *sg_graph_find_field(const struct sg_graph *g, const char *name)
{
	for (size_t i = 0; i < g->n_fields; i++)
		if (strcmp(g->fields[i].name, name) == 0)
			return &g->fields[i];
	return NULL;
}

static void free_texts(char **list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(list[i]);
	free(list);
}

static void free_rules(struct sg_graph *g)
{
	for (size_t i = 0; i < g->n_rules; i++) {
		struct sg_rule *r = &g->rules[i];
		for (size_t k = 0; k < r->n_actions; k++)
			sg_action_finish(&r->actions[k]);
		free(r->actions);
		free(r->id);
		free(r->lhs);
		free(r->node_id);
	}
	free(g->rules);
}

static void free_sections(struct sg_graph *g)
{
	for (size_t i = 0; i < g->n_parallel; i++) {
		free_texts(g->parallel[i].targets, g->parallel[i].n_targets);
		free(g->parallel[i].join);
		free(g->parallel[i].strategy);
	}
	for (size_t i = 0; i < g->n_governance; i++) {
		free(g->governance[i].id);
		free(g->governance[i].version);
		free(g->governance[i].requires_facts);
		free(g->governance[i].requires_api);
	}
	for (size_t i = 0; i < g->n_facts; i++) {
		free(g->facts[i].name);
		free_texts(g->facts[i].slots, g->facts[i].n_slots);
	}
	free(g->parallel);
	free(g->governance);
	free(g->facts);
	for (size_t i = 0; i < g->n_migrations; i++) {
		free(g->migrations[i].from);
		free(g->migrations[i].to);
	}
	free(g->migrations);
}

void sg_graph_destroy(struct sg_graph *g)
{
	if (!g)
		return;
	free_rules(g);
	free_sections(g);
	for (size_t i = 0; i < g->n_nodes; i++) {
		free(g->nodes[i].id);
		free(g->nodes[i].kind);
		free(g->nodes[i].spec);
		json_decref(g->nodes[i].config);
		sg_graph_destroy(g->nodes[i].subgraph); /* at most SG_GRAPH_MAX_DEPTH deep */
	}
	free(g->nodes);
	json_decref(g->node_index);
	for (size_t i = 0; i < g->n_fields; i++) {
		free(g->fields[i].name);
		json_decref(g->fields[i].initial);
	}
	free(g->fields);
	free(g->path);
	free(g->id);
	free(g->ir_version);
	json_decref(g->document);
	free(g);
}

/* ---- one document ---- */

static int read_version(struct sg_reader *r)
{
	const char *v = json_string_value(json_object_get(r->doc, "ir_version"));
	int major, minor, patch, used = 0;
	if (sscanf(v, "%3d.%4d.%4d%n", &major, &minor, &patch, &used) != 3 || v[used] ||
		strchr(v, '-'))
		return sg_reader_fail(r, "/ir_version", 0,
			"ir_version is MAJOR.MINOR.PATCH, in quotes, not \"%.40s\"", v);
	if (major != 1)
		return sg_reader_fail(
			r, "/ir_version", 0, "this build reads IR version 1, not %.40s", v);
	r->g->ir_version = strdup(v);
	return r->g->ir_version ? 0 : sg_error_nomem(r->err);
}

static int read_id(struct sg_reader *r)
{
	const char *id = json_string_value(json_object_get(r->doc, "id"));
	size_t n = strlen(id);
	if (n < 1 || n > 128 ||
		strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-") !=
			n)
		return sg_reader_fail(
			r, "/id", 0, "the graph's id is 1 to 128 letters, digits, _ . : -");
	r->g->id = strdup(id);
	return r->g->id ? 0 : sg_error_nomem(r->err);
}

static int read_head(struct sg_reader *r)
{
	static const struct sg_key keys[] = {{"ir_version", JSON_STRING, true},
		{"id", JSON_STRING, true}, {"nodes", JSON_ARRAY, true},
		{"rules", JSON_ARRAY, false}, {"tools", JSON_ARRAY, false},
		{"skills", JSON_ARRAY, false}, {"stores", JSON_ARRAY, false},
		{"state_schema", JSON_NULL, false}, {"state_class", JSON_NULL, false},
		{"parallel", JSON_ARRAY, false}, {"governance", JSON_ARRAY, false},
		{"migrate", JSON_ARRAY, false}, {"checkpoints", JSON_OBJECT, false},
		{"lm", JSON_OBJECT, false}};
	int e = sg_reader_keys(r, "", r->doc, keys, SG_ARRAY_LEN(keys), "a graph");
	const json_t *class = json_object_get(r->doc, "state_class");
	if (e == 0 && class && !json_is_null(class))
		return sg_reader_fail(r, "/state_class", 1,
			"state_class names a Python class, which does not exist here; declare the "
			"fields: state_schema: {field: str, …}");
	if (e == 0)
		e = read_version(r);
	return e == 0 ? read_id(r) : e;
}

static int read_all(struct sg_reader *r)
{
	static int (*const sections[])(struct sg_reader *) = {read_head, sg_read_state_schema,
		sg_read_nodes, sg_read_rules, sg_read_parallel, sg_read_governance,
		sg_read_references, sg_read_environment, sg_read_subgraphs};
	for (size_t i = 0; i < SG_ARRAY_LEN(sections); i++) {
		int e = sections[i](r);
		if (e < 0)
			return e;
	}
	int e = sg_document_make(r->g, r->doc, r->err);
	return e == 0 ? sg_read_migrate(r) : e;
}

static int load_lowered(struct sg_reader *r, struct sg_graph **ret)
{
	r->g = calloc(1, sizeof(*r->g));
	if (!r->g)
		return sg_error_nomem(r->err);
	r->g->path = strdup(r->name);
	int e = r->g->path ? read_all(r) : sg_error_nomem(r->err);
	if (e < 0) {
		sg_graph_destroy(r->g);
		r->g = NULL;
		return e;
	}
	*ret = r->g;
	return 0;
}

static int load_document(struct sg_reader *r, const json_t *source, struct sg_graph **ret)
{
	json_t *lowered = NULL;
	if (!json_is_object(source))
		return sg_reader_fail(
			r, "", 0, "a graph is a mapping: ir_version, id, nodes, rules, …");
	if (!sg_authoring_is(source)) {
		r->doc = (json_t *)source;
		return load_lowered(r, ret);
	}
	int e = sg_authoring_lower(r, source, &lowered, &r->origins);
	if (e < 0)
		return e;
	r->doc = lowered;
	e = load_lowered(r, ret);
	json_decref(lowered);
	json_decref(r->origins);
	r->origins = NULL;
	return e;
}

/* ---- files ---- */

static int load_yaml(struct sg_reader *r, struct sg_yaml *yaml, struct sg_graph **ret)
{
	r->yaml = yaml;
	int e = load_document(r, yaml->root, ret);
	r->yaml = NULL;
	return e;
}

static int load_file(struct sg_reader *r, struct sg_graph **ret)
{
	struct sg_yaml yaml = {0};
	int e = sg_yaml_read_file(r->name, &yaml, r->err);
	if (e < 0)
		return e;
	e = load_yaml(r, &yaml, ret);
	sg_yaml_finish(&yaml);
	return e;
}

char *sg_reader_beside(const char *name, const char *spec)
{
	char *out;
	const char *slash = strrchr(name, '/');
	if (spec[0] == '/' || !slash)
		return strdup(spec);
	return asprintf(&out, "%.*s/%s", (int)(slash - name), name, spec) < 0 ? NULL : out;
}

static int check_cycle(const struct sg_reader *r, const char *pointer, const char *real)
{
	for (const struct sg_reader *up = r; up; up = up->parent)
		if (up->real && strcmp(up->real, real) == 0)
			return sg_reader_fail(r, pointer, 0,
				"the subgraphs lead back to %.200s: a graph cannot contain itself",
				up->name);
	return 0;
}

static void child_of(struct sg_reader *r, struct sg_reader *child)
{
	*child = (struct sg_reader){.parent = r,
		.name = r->name,
		.kinds = r->kinds,
		.n_kinds = r->n_kinds,
		.limits = r->limits,
		.depth = r->depth + 1,
		.err = r->err};
}

int sg_load_child_file(
	struct sg_reader *r, const char *pointer, const char *spec, struct sg_graph **ret)
{
	struct sg_reader child;
	sg_autofree char *path = sg_reader_beside(r->name, spec);
	if (!path)
		return sg_error_nomem(r->err);
	sg_autofree char *real = realpath(path, NULL);
	if (!real)
		return sg_reader_fail(r, pointer, 0, "no graph file %.250s", path);
	int e = check_cycle(r, pointer, real);
	if (e < 0)
		return e;
	child_of(r, &child);
	child.name = path;
	child.real = real;
	return load_file(&child, ret);
}

int sg_load_child_document(
	struct sg_reader *r, const char *pointer, json_t *doc, struct sg_graph **ret)
{
	struct sg_reader child;
	char prefix[SG_GRAPH_POINTER_MAX];
	child_of(r, &child);
	(void)snprintf(prefix, sizeof(prefix), "%s%s", r->prefix ? r->prefix : "", pointer);
	child.prefix = prefix;
	child.yaml = r->yaml;
	return load_document(&child, doc, ret);
}

static struct sg_reader reader_of(const char *name, const struct sg_kind_spec *kinds,
	size_t n_kinds, const struct sg_graph_limits *limits, struct sg_error *err)
{
	struct sg_reader r = {.name = name, .kinds = kinds, .n_kinds = n_kinds, .err = err};
	if (limits)
		r.limits = *limits;
	return r;
}

int sg_graph_load(struct sg_graph **ret, const char *path, const struct sg_kind_spec *kinds,
	size_t n_kinds, const struct sg_graph_limits *limits, struct sg_error *err)
{
	struct sg_error local;
	struct sg_reader r = reader_of(path, kinds, n_kinds, limits, err ? err : &local);
	r.real = realpath(path, NULL);
	int e = load_file(&r, ret);
	free(r.real);
	return e;
}

int sg_graph_load_text(struct sg_graph **ret, const char *name, const char *text, size_t n,
	const struct sg_kind_spec *kinds, size_t n_kinds, const struct sg_graph_limits *limits,
	struct sg_error *err)
{
	struct sg_error local;
	struct sg_reader r = reader_of(name, kinds, n_kinds, limits, err ? err : &local);
	struct sg_yaml yaml = {0};
	int e = sg_yaml_read_text(name, text, n, &yaml, r.err);
	if (e < 0)
		return e;
	e = load_yaml(&r, &yaml, ret);
	sg_yaml_finish(&yaml);
	return e;
}
