/* See about.h. */
#include "run/about.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

void sg_about_finish(struct sg_about *a)
{
	for (size_t i = 0; i < a->n; i++)
		json_decref((json_t *)(uintptr_t)a->facts[i].slots);
	free(a->facts);
	*a = (struct sg_about){0};
}

/* Takes slots. */
static int add(struct sg_about *a, const struct sg_about_step *of, const char *name, json_t *slots,
	struct sg_error *err)
{
	char step[24];
	(void)snprintf(step, sizeof(step), "%lld", (long long)of->step);
	json_t *from = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "_origin", "engine", "_source",
		"step", "_run_id", of->run_id, "_step", step, "_confidence", "1.0", "_timestamp",
		of->timestamp);
	struct sg_fact_in *grown = (a->n & (a->n + 1)) == 0 /* full at 0, 1, 3, 7, … */
					   ? realloc(a->facts, (a->n * 2 + 2) * sizeof(*grown))
					   : a->facts;
	if (grown)
		a->facts = grown;
	if (!grown || !from || !slots || json_object_update(slots, from) < 0) {
		json_decref(from);
		json_decref(slots);
		return sg_error_nomem(err);
	}
	json_decref(from);
	a->facts[a->n++] = (struct sg_fact_in){name, slots};
	return 0;
}

static int add_run(struct sg_about *a, const struct sg_about_step *of, struct sg_error *err)
{
	const struct sg_graph *g = of->graph;
	int at = sg_graph_find_node(g, of->node_id);
	const char *next = at >= 0 && (size_t)at + 1 < g->n_nodes ? g->nodes[at + 1].id : "";
	return add(a, of, "stargraph-run",
		json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "node", of->node_id,
			"kind", at >= 0 ? g->nodes[at].kind : "", "next", next, "steps",
			(json_int_t)of->step + 1, "elapsed_ms", (json_int_t)of->elapsed_ms,
			"visits", (json_int_t)of->visits, "in_a_row", (json_int_t)of->in_a_row,
			"tool_calls", (json_int_t)of->tool_calls, "tokens", (json_int_t)of->tokens),
		err);
}

/* By which node it is entered: that is itself, but for the targets of a parallel block. */
static const char *entry_of(const struct sg_graph *g, const char *id)
{
	for (size_t i = 0; i < g->n_parallel; i++)
		for (size_t k = 0; k < g->parallel[i].n_targets; k++)
			if (strcmp(g->parallel[i].targets[k], id) == 0)
				return g->parallel[i].targets[0];
	return id;
}

int64_t sg_about_tokens(const json_t *record)
{
	const json_t *usage = json_object_get(json_object_get(record, "response"), "usage");
	return json_integer_value(json_object_get(usage, "prompt_tokens")) +
	       json_integer_value(json_object_get(usage, "completion_tokens"));
}

static int add_nodes(struct sg_about *a, const struct sg_about_step *of, struct sg_error *err)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < of->graph->n_nodes; i++)
		r = add(a, of, "stargraph-node",
			json_pack("{s:s, s:s, s:s}", "id", of->graph->nodes[i].id, "kind",
				of->graph->nodes[i].kind, "entry",
				entry_of(of->graph, of->graph->nodes[i].id)),
			err);
	return r;
}

/* The end of a part that begins at `from`: no character is cut. */
static size_t part_end(const char *text, size_t from, size_t len)
{
	size_t to = len - from > SG_ABOUT_PART ? from + SG_ABOUT_PART : len;
	while (to < len && ((unsigned char)text[to] & 0xC0) == 0x80)
		to--;
	return to;
}

static int add_text(struct sg_about *a, const struct sg_about_step *of, const char *field,
	const json_t *value, struct sg_error *err)
{
	const char *text = json_string_value(value);
	size_t len = json_string_length(value), from = 0, to;
	int r = 0;
	for (json_int_t part = 1; r == 0; part++) {
		to = part_end(text, from, len);
		r = add(a, of, "stargraph-text",
			json_pack("{s:s, s:I, s:s%}", "field", field, "part", part, "value",
				text + from, to - from),
			err);
		if (to == len)
			break;
		from = to - SG_ABOUT_OVERLAP;
		while (((unsigned char)text[from] & 0xC0) == 0x80)
			from--;
	}
	return r;
}

static int add_texts(struct sg_about *a, const struct sg_about_step *of, struct sg_error *err)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < of->graph->n_fields; i++) {
		const struct sg_field *f = &of->graph->fields[i];
		const json_t *v = json_object_get(of->state, f->name);
		if (f->mirrored && json_is_string(v))
			r = add_text(a, of, f->name, v, err);
	}
	return r;
}

int sg_about_make(struct sg_about *ret, const struct sg_rules *rules,
	const struct sg_about_step *of, struct sg_error *err)
{
	unsigned asks = sg_rules_asks(rules);
	struct sg_about a = {0};
	int r = asks & SG_RULES_ASK_RUN ? add_run(&a, of, err) : 0;
	if (r == 0 && asks & SG_RULES_ASK_NODES)
		r = add_nodes(&a, of, err);
	if (r == 0 && asks & SG_RULES_ASK_TEXTS)
		r = add_texts(&a, of, err);
	if (r < 0) {
		sg_about_finish(&a);
		return r;
	}
	*ret = a;
	return 0;
}
