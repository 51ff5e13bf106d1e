/* The table of node kinds, and what several of them need. */
#include "run/kinds.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/suggest.h"
#include "run/run.h"

/* Sorted by name. */
static const struct sg_node_kind *const kinds[] = {
	&sg_kind_assert_facts,
	&sg_kind_classify,
	&sg_kind_classify_embedding,
	&sg_kind_echo,
	&sg_kind_embed,
	&sg_kind_extract,
	&sg_kind_facts,
	&sg_kind_halt,
	&sg_kind_interrupt,
	&sg_kind_judge,
	&sg_kind_llm,
	&sg_kind_passthrough,
	&sg_kind_plan,
	&sg_kind_rag,
	&sg_kind_reason,
	&sg_kind_recall,
	&sg_kind_remember,
	&sg_kind_retrieval,
	&sg_kind_set,
	&sg_kind_subgraph,
	&sg_kind_summarize,
	&sg_kind_template,
	&sg_kind_tool,
	&sg_kind_write_artifact,
};
_Static_assert(SG_ARRAY_LEN(kinds) <= SG_RUN_MAX_KINDS, "SG_RUN_MAX_KINDS is too small");

size_t sg_run_kinds(struct sg_kind_spec ret[SG_RUN_MAX_KINDS])
{
	for (size_t i = 0; i < SG_ARRAY_LEN(kinds); i++)
		ret[i] = kinds[i]->spec;
	return SG_ARRAY_LEN(kinds);
}

const struct sg_node_kind *sg_kind_find(const char *name)
{
	for (size_t i = 0; i < SG_ARRAY_LEN(kinds); i++)
		if (strcmp(kinds[i]->spec.name, name) == 0)
			return kinds[i];
	return NULL;
}

/* Of a store that the graph lists with a provider other than those that need no model. */
static bool retrieves_by_vector(const struct sg_graph *g, const struct sg_node *n)
{
	const json_t *names = json_object_get(n->config, "stores"), *name, *one;
	size_t i, k;
	const char *mode = json_string_value(json_object_get(n->config, "mode"));
	if (mode && strcmp(mode, "text") == 0)
		return false;
	json_array_foreach (names, i, name)
		json_array_foreach (json_object_get(g->document, "stores"), k, one) {
			const char *provider = json_string_value(json_object_get(one, "provider"));
			if (json_equal(name, json_object_get(one, "name")) && provider &&
				strcmp(provider, "document") != 0)
				return true;
		}
	return false;
}

bool sg_run_embeds(const struct sg_graph *g)
{
	for (size_t i = 0; i < g->n_nodes; i++) {
		const struct sg_node_kind *k = sg_kind_find(g->nodes[i].kind);
		if (k && (k->embeds || (k->searches && retrieves_by_vector(g, &g->nodes[i]))))
			return true;
		if (g->nodes[i].subgraph && sg_run_embeds(g->nodes[i].subgraph))
			return true;
	}
	return false;
}

int sg_kind_unknown_field(
	const struct sg_graph *g, const char *key, const char *name, struct sg_error *err)
{
	const char *near = NULL;
	for (size_t i = 0; i < g->n_fields && !near; i++) {
		const char *one[] = {g->fields[i].name};
		near = sg_suggest(name, one, 1);
	}
	return sg_error_set(err, SG_EINVALID, NULL, "config.%s: no state field \"%s\"%s%s%s", key,
		name, near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

const struct sg_field *sg_kind_need_field(
	const struct sg_kind_load *l, const char *key, unsigned types, struct sg_error *err)
{
	const char *name = json_string_value(json_object_get(l->node->config, key));
	if (!name)
		return NULL;
	const struct sg_field *f = sg_graph_find_field(l->graph, name);
	if (!f) {
		(void)sg_kind_unknown_field(l->graph, key, name, err);
		return NULL;
	}
	if (!(types & SG_TYPE_BIT(f->type))) {
		(void)sg_error_set(err, SG_EINVALID, NULL,
			"config.%s: the state field \"%s\" has type %s, which does not fit here",
			key, name, sg_field_type_name(f->type));
		return NULL;
	}
	return f;
}

int sg_kind_make(const struct sg_kind_load *l, size_t size,
	int (*fill)(const struct sg_kind_load *l, void *data, struct sg_error *err),
	void (*release)(void *data), void **ret_data, struct sg_error *err)
{
	struct sg_error here = {0};
	void *data = calloc(1, size);
	if (!data)
		return sg_error_nomem(err);
	int r = fill(l, data, &here);
	if (r < 0) {
		release(data);
		if (err)
			*err = here;
		return r;
	}
	*ret_data = data;
	return 0;
}
