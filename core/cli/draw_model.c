/* See draw.h: nodes and edges of a graph, and the path through them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "cli/draw.h"

void sg_draw_destroy(struct draw_graph *d)
{
	if (!d)
		return;
	for (int i = 0; d->nodes && i < d->n_nodes; i++)
		sg_draw_destroy(d->nodes[i].inner); /* as deep as graphs are: SG_GRAPH_MAX_DEPTH */
	for (int i = 0; i < d->n_edges; i++)
		free(d->edges[i].label);
	free(d->nodes);
	free(d->edges);
	free(d->places);
	free(d);
}

/* ---- edges ---- */

static struct draw_edge *find_edge(struct draw_graph *d, int from, int to)
{
	for (int i = 0; i < d->n_edges; i++)
		if (d->edges[i].from == from && d->edges[i].to == to)
			return &d->edges[i];
	return NULL;
}

static int add_label(struct draw_edge *e, const char *label)
{
	char *joined = NULL;
	if (!label || (e->label && strstr(e->label, label)))
		return 0;
	if (asprintf(&joined, "%s%s%s", e->label ? e->label : "", e->label ? "\n" : "", label) < 0)
		return -SG_ENOMEM;
	free(e->label);
	e->label = joined;
	return 0;
}

/* One edge from here to there, whatever leads so; the strongest kind shows. */
static int add_edge(struct draw_graph *d, int from, int to, enum draw_kind kind, const char *label)
{
	struct draw_edge *e = find_edge(d, from, to);
	if (!e) {
		if (d->n_edges == SG_DRAW_EDGES)
			return -SG_ELIMIT;
		e = &d->edges[d->n_edges++];
		*e = (struct draw_edge){.from = from, .to = to, .kind = kind};
	}
	e->kind = kind > e->kind ? kind : e->kind;
	d->has_end = d->has_end || to == d->end;
	d->has_any = d->has_any || from == d->any;
	return add_label(e, label);
}

/* The node that a rule belongs to: its owner, or that of a (node-id (id x)) pattern; else any. */
static int source_of(const struct draw_graph *d, const struct sg_rule *r)
{
	const struct sg_graph *g = d->graph;
	static const char pattern[] = "(node-id (id ";
	const char *at = strstr(r->lhs, pattern);
	char id[256];
	int node = r->node_id ? sg_graph_find_node(g, r->node_id) : -1;
	if (node >= 0 || !at)
		return node >= 0 ? node : d->any;
	at += sizeof(pattern) - 1;
	at += *at == '"';
	(void)snprintf(id, sizeof(id), "%.*s", (int)strcspn(at, "\") "), at);
	node = sg_graph_find_node(g, id);
	return node >= 0 ? node : d->any;
}

static int add_targets(struct draw_graph *d, int from, char *const *targets, size_t n,
	const char *join, const char *label)
{
	const struct sg_graph *g = d->graph;
	int last = n ? sg_graph_find_node(g, targets[n - 1]) : -1, rc = 0;
	int to = join && *join		      ? sg_graph_find_node(g, join)
		 : last + 1 < (int)g->n_nodes ? last + 1
					      : d->end;
	for (size_t i = 0; rc == 0 && i < n; i++) {
		int node = sg_graph_find_node(g, targets[i]);
		if (node < 0)
			continue;
		if (from >= 0)
			rc = add_edge(d, from, node, DRAW_PARALLEL, label);
		if (rc == 0 && to >= 0)
			rc = add_edge(d, node, to, DRAW_PARALLEL, NULL);
	}
	return rc;
}

static int add_action(
	struct draw_graph *d, int from, const struct sg_rule *r, const struct sg_action *a)
{
	sg_autofree char *label = NULL;
	const struct sg_graph *g = d->graph;
	const char *detail = a->kind == SG_HALT && a->reason	    ? a->reason
			     : a->kind == SG_INTERRUPT && a->prompt ? a->prompt
								    : "";
	if (asprintf(&label, "%s%.60s%s%.40s", a->kind == SG_INTERRUPT ? "asks: " : "", r->id,
		    *detail ? ": " : "", detail) < 0)
		return -SG_ENOMEM;
	switch (a->kind) {
	case SG_GOTO:
	case SG_RETRY: {
		int to = sg_graph_find_node(g, a->target);
		return to < 0 ? 0
			      : add_edge(d, from, to, a->kind == SG_GOTO ? DRAW_RULE : DRAW_RETRY,
					label);
	}
	case SG_HALT: return add_edge(d, from, d->end, DRAW_RULE, label);
	case SG_INTERRUPT: return from == d->any ? 0 : add_edge(d, from, from, DRAW_RULE, label);
	case SG_PARALLEL: return add_targets(d, from, a->targets, a->n_targets, a->join, label);
	case SG_ASSERT:
	case SG_RETRACT: break;
	}
	return 0;
}

static bool holds(char *const *targets, size_t n, const char *id)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(targets[i], id) == 0)
			return true;
	return false;
}

static const struct sg_parallel *block_of(const struct sg_graph *g, const char *id, bool first)
{
	for (size_t i = 0; i < g->n_parallel; i++)
		if (holds(g->parallel[i].targets, first ? 1 : g->parallel[i].n_targets, id))
			return &g->parallel[i];
	return NULL;
}

/* File order: what follows when no rule says otherwise. */
static int add_next(struct draw_graph *d, int i)
{
	const struct sg_graph *g = d->graph;
	int to = i + 1 < (int)g->n_nodes ? i + 1 : d->end;
	if (strcmp(g->nodes[i].kind, "halt") == 0 || block_of(g, g->nodes[i].id, false))
		return 0;
	const struct sg_parallel *p = to == d->end ? NULL : block_of(g, g->nodes[to].id, true);
	if (p)
		return add_targets(d, i, p->targets, p->n_targets, p->join, NULL);
	return add_edge(d, i, to, DRAW_NEXT, NULL);
}

static int add_edges(struct draw_graph *d)
{
	const struct sg_graph *g = d->graph;
	int rc = 0;
	for (int i = 0; rc == 0 && i < (int)g->n_nodes; i++)
		rc = add_next(d, i);
	for (size_t i = 0; rc == 0 && i < g->n_parallel; i++)
		rc = add_targets(d, -1, g->parallel[i].targets, g->parallel[i].n_targets,
			g->parallel[i].join, NULL);
	for (size_t i = 0; rc == 0 && i < g->n_rules; i++)
		for (size_t k = 0; rc == 0 && k < g->rules[i].n_actions; k++)
			rc = add_action(d, source_of(d, &g->rules[i]), &g->rules[i],
				&g->rules[i].actions[k]);
	return rc;
}

static int make(struct draw_graph **ret, const struct sg_graph *g, struct sg_error *err)
{
	if (g->n_nodes > SG_DRAW_NODES)
		return sg_error_set(err, SG_ELIMIT, NULL, "graph %s has %zu nodes; %d can be drawn",
			g->id, g->n_nodes, SG_DRAW_NODES);
	struct draw_graph *d = calloc(1, sizeof(*d));
	if (!d)
		return sg_error_nomem(err);
	d->graph = g;
	d->end = (int)g->n_nodes;
	d->any = d->end + 1;
	d->n_nodes = d->any + 1;
	d->nodes = calloc((size_t)d->n_nodes, sizeof(*d->nodes));
	d->edges = calloc(SG_DRAW_EDGES, sizeof(*d->edges));
	int rc = d->nodes && d->edges ? 0 : sg_error_nomem(err);
	for (int i = 0; rc == 0 && i < (int)g->n_nodes; i++) {
		d->nodes[i].id = g->nodes[i].id;
		d->nodes[i].kind = g->nodes[i].kind;
		if (g->nodes[i].subgraph)
			rc = make(&d->nodes[i].inner, g->nodes[i].subgraph, err);
	}
	if (rc == 0) {
		d->nodes[d->end].id = "end";
		d->nodes[d->any].id = "any node";
		d->nodes[d->end].kind = d->nodes[d->any].kind = "";
		rc = add_edges(d);
		if (rc < 0)
			rc = sg_error_set(err, -rc, NULL, "graph %s has more than %d edges", g->id,
				SG_DRAW_EDGES);
	}
	if (rc < 0) {
		sg_draw_destroy(d);
		return rc;
	}
	*ret = d;
	return 0;
}

/* ---- the path ---- */

static void visit(struct draw_node *n, int64_t step)
{
	size_t len = strlen(n->steps);
	n->visits++;
	if (n->visits <= 4)
		(void)snprintf(n->steps + len, sizeof(n->steps) - len, "%s%lld", len ? ", " : "",
			(long long)step);
	else if (n->visits == 5)
		(void)snprintf(n->steps + len, sizeof(n->steps) - len, "…");
}

/* The branches that this node is one of: a block's, or those of a rule's action. */
struct branches {
	char *const *targets;
	size_t n;
};

static struct branches branches_of(const struct sg_graph *g, const char *id)
{
	const struct sg_parallel *p = block_of(g, id, false);
	if (p)
		return (struct branches){p->targets, p->n_targets};
	for (size_t i = 0; i < g->n_rules; i++)
		for (size_t k = 0; k < g->rules[i].n_actions; k++) {
			const struct sg_action *a = &g->rules[i].actions[k];
			if (a->kind == SG_PARALLEL && holds(a->targets, a->n_targets, id))
				return (struct branches){a->targets, a->n_targets};
		}
	return (struct branches){0};
}

static int take_edge(struct draw_graph *d, int from, int to)
{
	struct draw_edge *e = find_edge(d, from, to);
	if (!e) { /* a pack's rule, or one of any node, led here */
		int rc = add_edge(d, from, to, DRAW_RULE, NULL);
		if (rc < 0)
			return rc;
		e = find_edge(d, from, to);
	}
	e->taken++;
	return 0;
}

/* From one executed node to the next of the same graph; a block's branches are entered and left
 * together. */
static int move(struct draw_graph *d, int from, int to)
{
	const struct sg_graph *g = d->graph;
	struct branches in = {0}, out = {0};
	int rc = 0;
	if (to < d->end)
		in = branches_of(g, g->nodes[to].id);
	if (from < d->end)
		out = branches_of(g, g->nodes[from].id);
	if (in.n && in.targets == out.targets)
		return 0;
	for (size_t i = 0; rc == 0 && i < out.n; i++)
		rc = take_edge(d, sg_graph_find_node(g, out.targets[i]), to);
	for (size_t i = 0; rc == 0 && !out.n && i < in.n; i++)
		rc = take_edge(d, from, sg_graph_find_node(g, in.targets[i]));
	return rc == 0 && !in.n && !out.n ? take_edge(d, from, to) : rc;
}

/* Where each graph on the way to the step at hand stands. */
struct cursor {
	struct draw_graph *d;
	int node; /* last executed, -1 = none in this stay */
};

static int walk_to(struct cursor *at, int *depth, const char *path, int64_t step, bool answers)
{
	int level = 0, rc = 0;
	while (rc == 0) {
		struct draw_graph *d = at[level].d;
		size_t n = strcspn(path, "/");
		char id[256];
		(void)snprintf(id, sizeof(id), "%.*s", (int)n, path);
		int node = sg_graph_find_node(d->graph, id);
		if (node < 0)
			return 0; /* of an older graph, before a migration */
		bool inner = path[n] == '/' && d->nodes[node].inner;
		bool stays = at[level].node == node && (*depth > level || answers);
		if (!stays && at[level].node >= 0)
			rc = move(d, at[level].node, node);
		at[level].node = node;
		if (!inner) {
			if (!answers && !stays)
				visit(&d->nodes[node], step);
			*depth = level;
			return rc;
		}
		if (level + 1 > *depth || !stays)
			at[level + 1] = (struct cursor){d->nodes[node].inner, -1};
		if (!stays)
			visit(&d->nodes[node], step);
		path += n + 1;
		level++;
		*depth = level > *depth ? level : *depth;
	}
	return rc;
}

static bool asks(const struct sg_checkpoint *c)
{
	return c->next_action && strstr(c->next_action, "\"kind\":\"interrupt\"");
}

static bool ends_by_rule(const struct sg_checkpoint *c)
{
	return c->next_action && strstr(c->next_action, "\"kind\":\"halt\"");
}

static int mark(struct draw_graph *d, const struct sg_run_row *run,
	const struct sg_checkpoint *steps, size_t n, struct sg_error *err)
{
	struct cursor at[SG_GRAPH_MAX_DEPTH + 2] = {{d, -1}};
	int depth = 0, rc = 0;
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = walk_to(
			at, &depth, steps[i].last_node, steps[i].step, i && asks(&steps[i - 1]));
	for (int l = 0; l <= depth; l++)
		if (at[l].node >= 0)
			at[l].d->nodes[at[l].node].last = true;
	const struct draw_edge *out = at[0].node >= 0 ? find_edge(d, at[0].node, d->end) : NULL;
	if (rc == 0 && run->status == SG_RUN_DONE && n && at[0].node >= 0 &&
		(out || (ends_by_rule(&steps[n - 1]) &&
				strcmp(d->nodes[at[0].node].kind, "halt") != 0)))
		rc = take_edge(d, at[0].node, d->end);
	if (rc < 0)
		return sg_error_set(err, -rc, NULL, "the path does not fit into a drawing");
	return 0;
}

int sg_draw_make(struct draw_graph **ret, const struct sg_graph *g, const struct sg_run_row *run,
	const struct sg_checkpoint *steps, size_t n_steps, struct sg_error *err)
{
	struct draw_graph *d = NULL;
	int rc = make(&d, g, err);
	if (rc == 0 && run)
		rc = mark(d, run, steps, n_steps, err);
	if (rc < 0) {
		sg_draw_destroy(d);
		return rc;
	}
	*ret = d;
	return 0;
}
