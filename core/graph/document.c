/* The canonical document and its hash. Everything whose order means something is a list in it, so
 * that RFC 8785's sorting of keys loses nothing and the document loads again to the same graph.
 */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "graph/reader.h"

static json_t *fields_of(const struct sg_graph *g)
{
	static const char *const reducers[] = {
		"replace", "append", "sum", "merge", "max", "min", "union"};
	json_t *out = json_array();
	for (size_t i = 0; out && i < g->n_fields; i++) {
		const struct sg_field *f = &g->fields[i];
		bool scalar = f->type != SG_LIST && f->type != SG_DICT;
		json_t *one = json_pack("{s:s, s:s, s:O, s:s}", "name", f->name, "type",
			sg_field_type_name(f->type), "default", f->initial, "reducer",
			reducers[f->reducer]);
		if (scalar)
			(void)json_object_set_new(one, "route", json_boolean(f->mirrored));
		(void)json_array_append_new(out, one);
	}
	return out;
}

static json_t *nodes_of(const struct sg_graph *g)
{
	json_t *out = json_array();
	for (size_t i = 0; out && i < g->n_nodes; i++) {
		const struct sg_node *n = &g->nodes[i];
		json_t *one = json_pack("{s:s, s:s}", "id", n->id, "kind", n->kind);
		if (json_object_size(n->config) > 0)
			(void)json_object_set(one, "config", n->config);
		if (n->subgraph)
			(void)json_object_set(one, "graph", n->subgraph->document);
		(void)json_array_append_new(out, one);
	}
	return out;
}

static json_t *rules_of(const struct sg_graph *g)
{
	json_t *out = json_array();
	for (size_t i = 0; out && i < g->n_rules; i++) {
		const struct sg_rule *r = &g->rules[i];
		json_t *one =
			json_pack("{s:s, s:s, s:O}", "id", r->id, "when", r->lhs, "then", r->then);
		if (r->node_id)
			(void)json_object_set_new(one, "node_id", json_string(r->node_id));
		(void)json_array_append_new(out, one);
	}
	return out;
}

/* The rules' action lists are borrowed from the document: let them point into the new one. */
static void adopt_actions(struct sg_graph *g)
{
	const json_t *rules = json_object_get(g->document, "rules");
	for (size_t i = 0; i < g->n_rules; i++)
		g->rules[i].then = json_object_get(json_array_get(rules, i), "then");
}

int sg_document_make(struct sg_graph *g, const json_t *doc, struct sg_error *err)
{
	static const char *const as_they_are[] = {
		"parallel", "governance", "tools", "skills", "stores", "lm"};
	json_t *out = json_pack("{s:s, s:s, s:o, s:o, s:o}", "ir_version", g->ir_version, "id",
		g->id, "state_schema", fields_of(g), "nodes", nodes_of(g), "rules", rules_of(g));
	for (size_t i = 0; out && i < sizeof(as_they_are) / sizeof(as_they_are[0]); i++) {
		json_t *v = json_object_get(doc, as_they_are[i]);
		if ((json_is_object(v) || json_array_size(v) > 0) &&
			json_object_set(out, as_they_are[i], v) < 0) {
			json_decref(out);
			out = NULL;
		}
	}
	if (!out)
		return sg_error_nomem(err);
	json_decref(g->document);
	g->document = out;
	adopt_actions(g);
	return sg_graph_bind_packs(g, NULL, 0, err);
}

static int by_id(const void *a, const void *b)
{
	const struct sg_pack_triple *x = a, *y = b;
	return strcmp(x->id, y->id);
}

int sg_graph_bind_packs(
	struct sg_graph *g, const struct sg_pack_triple *packs, size_t n, struct sg_error *err)
{
	struct sg_pack_triple *sorted = calloc(n + 1, sizeof(*sorted));
	json_t *list = json_array();
	if (!sorted || !list) {
		free(sorted);
		json_decref(list);
		return sg_error_nomem(err);
	}
	for (size_t i = 0; i < n; i++)
		sorted[i] = packs[i];
	qsort(sorted, n, sizeof(*sorted), by_id);
	for (size_t i = 0; i < n; i++)
		(void)json_array_append_new(list,
			json_pack("[s, s, s]", sorted[i].id, sorted[i].sha256, sorted[i].version));
	free(sorted);
	json_t *whole = json_pack("{s:O, s:o}", "document", g->document, "rule_packs", list);
	int e = whole ? sg_json_hash(whole, g->hash, err) : sg_error_nomem(err);
	json_decref(whole);
	return e;
}
