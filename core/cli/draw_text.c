/* See draw.h: the drawing as text, for a terminal: each node with the ways that lead out of it. */
#include <string.h>

#include "cli/draw.h"

static void indent(struct sg_buf *out, int depth)
{
	for (int i = 0; i < depth; i++)
		sg_buf_adds(out, "    ");
}

static void edge(const struct draw_graph *d, const struct draw_edge *e, bool last, int depth,
	struct sg_buf *out)
{
	indent(out, depth);
	sg_buf_addf(out, "  %s%s %s", last ? "└" : "├", e->taken ? "━▶" : "─▷", d->nodes[e->to].id);
	if (e->back)
		sg_buf_adds(out, "  ↑");
	if (e->kind == DRAW_RETRY)
		sg_buf_adds(out, "  retry");
	if (e->kind == DRAW_PARALLEL)
		sg_buf_adds(out, "  parallel");
	for (const char *at = e->label; at && *at;) {
		size_t n = strcspn(at, "\n");
		sg_buf_addf(out, "  [%.*s]", (int)n, at);
		at += n + (at[n] == '\n');
	}
	if (e->taken > 1)
		sg_buf_addf(out, "  ×%u", e->taken);
	sg_buf_addc(out, '\n');
}

static void walk(
	const struct draw_graph *d, const struct sg_run_row *run, int depth, struct sg_buf *out)
{
	for (int i = 0; i < d->n_nodes; i++) {
		const struct draw_node *n = &d->nodes[i];
		int left = 0;
		if (i == d->end || !sg_draw_shown(d, i))
			continue;
		for (int k = 0; k < d->n_edges; k++)
			left += d->edges[k].from == i;
		indent(out, depth);
		sg_buf_addf(out, "%s %s  %s",
			n->last	    ? "◉"
			: n->visits ? "●"
				    : "○",
			n->id, n->kind);
		if (n->visits)
			sg_buf_addf(out, "  step %s", n->steps);
		if (n->last && run)
			sg_buf_addf(out, "  %s", sg_run_status_name(run->status));
		sg_buf_addc(out, '\n');
		if (n->inner)
			walk(n->inner, run, depth + 1, out);
		for (int k = 0; k < d->n_edges; k++)
			if (d->edges[k].from == i)
				edge(d, &d->edges[k], --left == 0, depth, out);
	}
}

void sg_draw_text(const struct draw_graph *d, const struct sg_run_row *run, struct sg_buf *out)
{
	sg_buf_addf(out, "%s", d->graph->id);
	if (run)
		sg_buf_addf(out, "  %s  %s  %lld steps%s%s", run->run_id,
			sg_run_status_name(run->status), (long long)run->steps,
			run->reason ? "  " : "", run->reason ? run->reason : "");
	sg_buf_addc(out, '\n');
	walk(d, run, 0, out);
}
