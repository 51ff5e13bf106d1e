/* See compile.h. */
#include "run/compile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "run/internal.h"
#include "run/mounts.h"

#define MAX_WHERE 512 /* bytes of "file:line:column" */

static enum sg_slot_type slot_type(enum sg_field_type t)
{
	switch (t) {
	case SG_INT: return SG_SLOT_INTEGER;
	case SG_FLOAT: return SG_SLOT_FLOAT;
	case SG_BOOL: return SG_SLOT_BOOL;
	case SG_STR:
	case SG_LIST:
	case SG_DICT: break;
	}
	return SG_SLOT_STRING;
}

static size_t take_fields(const struct sg_graph *g, struct sg_rules_field *to)
{
	size_t n = 0;
	for (size_t i = 0; i < g->n_fields; i++)
		if (g->fields[i].mirrored)
			to[n++] = (struct sg_rules_field){
				g->fields[i].name, slot_type(g->fields[i].type)};
	return n;
}

static void take_facts(const struct sg_graph *g, struct sg_rules_template *to)
{
	for (size_t i = 0; i < g->n_facts; i++)
		to[i] = (struct sg_rules_template){g->facts[i].name,
			(const char *const *)g->facts[i].slots, g->facts[i].n_slots};
}

static void take_rules(const struct sg_graph *g, struct sg_rules_rule *to, char *where)
{
	for (size_t i = 0; i < g->n_rules; i++) {
		char *w = where + MAX_WHERE * i;
		(void)snprintf(w, MAX_WHERE, "%s:%d:%d", g->path, g->rules[i].when_line,
			g->rules[i].when_column);
		to[i] = (struct sg_rules_rule){.id = g->rules[i].id,
			.lhs = g->rules[i].lhs,
			.where = w,
			.then = g->rules[i].then};
	}
}

static size_t count_expressions(const struct sg_graph *g)
{
	size_t n = 0;
	for (size_t i = 0; i < g->n_nodes; i++)
		if (strcmp(g->nodes[i].kind, "set") == 0)
			n += json_object_size(json_object_get(g->nodes[i].config, "clips"));
	return n;
}

/* Of the `set` nodes; what is no text has been refused by the kind. */
static size_t take_expressions(
	const struct sg_graph *g, struct sg_rules_expression *to, char *where)
{
	size_t n = 0;
	const char *name;
	json_t *v;
	for (size_t i = 0; i < g->n_nodes; i++) {
		const struct sg_node *node = &g->nodes[i];
		if (strcmp(node->kind, "set") != 0)
			continue;
		json_object_foreach (json_object_get(node->config, "clips"), name, v) {
			char *w = where + MAX_WHERE * n;
			if (!json_is_string(v))
				continue;
			(void)snprintf(w, MAX_WHERE, "%s:%d:%d: node %s", g->path, node->line,
				node->column, node->id);
			to[n++] = (struct sg_rules_expression){.owner = node->id,
				.name = name,
				.text = json_string_value(v),
				.where = w};
		}
	}
	return n;
}

int sg_run_compile(const struct sg_graph *g, const struct sg_rules_limits *limits,
	const struct sg_rules_pack *packs, size_t n_packs, struct sg_rules **ret,
	struct sg_error *err)
{
	sg_autofree struct sg_rules_field *fields = calloc(g->n_fields + 1, sizeof(*fields));
	sg_autofree struct sg_rules_template *facts = calloc(g->n_facts + 1, sizeof(*facts));
	sg_autofree struct sg_rules_rule *rules = calloc(g->n_rules + 1, sizeof(*rules));
	sg_autofree char *where = calloc(g->n_rules + 1, MAX_WHERE);
	size_t n_expressions = count_expressions(g);
	sg_autofree struct sg_rules_expression *expressions =
		calloc(n_expressions + 1, sizeof(*expressions));
	sg_autofree char *where_nodes = calloc(n_expressions + 1, MAX_WHERE);
	if (!fields || !facts || !rules || !where || !expressions || !where_nodes)
		return sg_error_nomem(err);
	struct sg_rules_spec spec = {.fields = fields,
		.n_fields = take_fields(g, fields),
		.templates = facts,
		.n_templates = g->n_facts,
		.rules = rules,
		.n_rules = g->n_rules,
		.packs = packs,
		.n_packs = n_packs,
		.expressions = expressions,
		.n_expressions = take_expressions(g, expressions, where_nodes)};
	if (limits)
		spec.limits = *limits;
	take_facts(g, facts);
	take_rules(g, rules, where);
	return sg_rules_create(ret, &spec, err);
}

static int check_node(const struct sg_graph *g, const struct sg_node *n, struct sg_error *err)
{
	const struct sg_node_kind *k = sg_kind_find(n->kind);
	struct sg_kind_load l = {.graph = g, .node = n};
	void *data = NULL;
	if (!k || !k->prepare || k->embeds)
		return 0;
	int r = k->prepare(&l, &data, err);
	if (r < 0)
		return sg_error_prefix(
			err, "%s:%d:%d: node %s", g->path, n->line, n->column, n->id);
	if (k->release)
		k->release(data);
	return 0;
}

int sg_run_check(struct sg_graph *g, const struct sg_mounts *m, struct sg_rules **ret_rules,
	struct sg_error *err)
{
	struct sg_rules *rules = NULL;
	struct sg_rules_pack *packs = NULL;
	size_t n_packs = 0;
	int r = sg_mounts_bind(m, g, &packs, &n_packs, err);
	if (r == 0)
		r = sg_parallel_check(g, err);
	for (size_t i = 0; r == 0 && i < g->n_nodes; i++) {
		if (g->nodes[i].subgraph) /* at most SG_GRAPH_MAX_DEPTH deep */
			r = sg_run_check(g->nodes[i].subgraph, m, NULL, err);
		if (r == 0)
			r = check_node(g, &g->nodes[i], err);
	}
	if (r == 0)
		r = sg_run_compile(g, NULL, packs, n_packs, &rules, err);
	free(packs);
	if (r < 0)
		return r;
	if (ret_rules)
		*ret_rules = rules;
	else
		sg_rules_destroy(rules);
	return 0;
}
