/* Subgraphs: a run is a stack of graphs being walked. run.f is the innermost; the ones it was
 * entered from stand below it, each at its node of kind subgraph.
 *
 * A step of an inner graph is a step of the run: its checkpoint has the next number, the inner
 * graph's state, and last_node "outer/inner". What the graphs below stand at does not change
 * meanwhile, so the checkpoint only names it (the recorded entry of kind "frames"). The inner graph
 * ends as a run would (a halt, past the last node); then the node of kind subgraph makes its own
 * step in the graph below, with what its outputs give back as its update. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "run/internal.h"

#define MAX_STEPS 50 /* of one stay in a subgraph, unless its config says otherwise */

/* ---- names ---- */

const char *sg_frame_path(const struct frame *f, const char *node_id)
{
	int at = sg_graph_find_node(f->graph->graph, node_id);
	return at < 0 ? node_id : f->graph->paths[at];
}

/* The graph in which a path's node is, and its number there; -1 = none. */
static int locate(const struct prepared **graph, const char *path)
{
	const struct prepared *top = *graph;
	const char *slash;
	char id[256];
	while ((slash = strchr(path, '/'))) {
		size_t n = (size_t)(slash - path);
		if (n >= sizeof(id))
			return -1;
		memcpy(id, path, n);
		id[n] = '\0';
		int at = sg_graph_find_node(top->graph, id);
		if (at < 0 || !top->subs[at])
			return -1;
		top = top->subs[at];
		path = slash + 1;
	}
	*graph = top;
	return sg_graph_find_node(top->graph, path);
}

const char *sg_prepared_path(const struct prepared *top, const char *path)
{
	int at = locate(&top, path);
	return at < 0 ? NULL : top->paths[at];
}

const char *sg_prepared_kind(const struct prepared *top, const char *path)
{
	int at = locate(&top, path);
	return at < 0 ? "" : top->graph->nodes[at].kind;
}

const struct frame *sg_run_top(const struct run *r)
{
	const struct frame *f = &r->f;
	while (f->outer)
		f = f->outer;
	return f;
}

/* ---- the projection ---- */

/* The field of the graph below that a field of the inner one starts with, or NULL. */
static const char *source_of(
	const struct sg_node *n, const struct sg_graph *outer, const char *field)
{
	const char *named =
		json_string_value(json_object_get(json_object_get(n->config, "inputs"), field));
	if (named)
		return named;
	return sg_graph_find_field(outer, field) ? field : NULL;
}

/* The inner field that a field of the graph below gets back, or NULL. */
static const char *result_of(
	const struct sg_node *n, const struct sg_graph *inner, const char *field)
{
	const json_t *outputs = json_object_get(n->config, "outputs");
	if (json_object_size(outputs) > 0)
		return json_string_value(json_object_get(outputs, field));
	return sg_graph_find_field(inner, field) ? field : NULL;
}

static json_t *project_in(const struct frame *outer, const struct sg_node *n)
{
	const struct sg_graph *inner = n->subgraph;
	json_t *params = json_object();
	for (size_t i = 0; params && i < inner->n_fields; i++) {
		const char *name = inner->fields[i].name;
		const char *from = source_of(n, outer->graph->graph, name);
		if (from)
			(void)json_object_set(params, name, json_object_get(outer->state, from));
	}
	return params;
}

/* Appended to, or summed up: given back, it would count twice. */
static bool accumulates(const struct sg_field *f)
{
	return f->reducer == SG_REDUCE_APPEND || f->reducer == SG_REDUCE_SUM;
}

/* What a stay gives back. A field that the inner graph started with and gives back to where it came
 * from goes on where that left off: unchanged it is no update, and for an accumulating reducer it
 * replaces the old value (*ret_set) instead of being added to it. */
struct given {
	json_t *update, *set; /* owned objects */
	const char *joined;   /* an accumulating field that went on, or NULL */
};

static void project_out(const struct frame *inner, const struct frame *outer,
	const struct sg_node *n, struct given *ret)
{
	const struct sg_graph *g = outer->graph->graph;
	for (size_t i = 0; i < g->n_fields; i++) {
		const struct sg_field *f = &g->fields[i];
		const char *from = result_of(n, inner->graph->graph, f->name);
		if (!from)
			continue;
		json_t *value = json_object_get(inner->state, from);
		const char *source = source_of(n, g, from);
		bool goes_on = source && strcmp(source, f->name) == 0;
		if (goes_on && json_equal(value, json_object_get(outer->state, f->name)))
			continue;
		bool replaces = goes_on && accumulates(f);
		if (replaces)
			ret->joined = f->name;
		(void)json_object_set(replaces ? ret->set : ret->update, f->name, value);
	}
}

int sg_subgraph_check(const struct sg_graph *g, const struct sg_node *n, struct sg_error *err)
{
	const struct sg_graph *inner = n->subgraph;
	const json_t *inputs = json_object_get(n->config, "inputs"),
		     *outputs = json_object_get(n->config, "outputs");
	for (size_t i = 0; i < inner->n_fields; i++) {
		const struct sg_field *a = &inner->fields[i], *b = sg_graph_find_field(g, a->name);
		bool in = !json_object_get(inputs, a->name), out = json_object_size(outputs) == 0;
		if (b && a->type != b->type && (in || out))
			return sg_error_set(err, SG_EINVALID, NULL,
				"the field %s is of type %s here and of type %s in graph %s; name "
				"another in %s, or call it otherwise",
				a->name, sg_field_type_name(b->type), sg_field_type_name(a->type),
				inner->id, in ? "inputs" : "outputs");
	}
	return 0;
}

/* ---- in ---- */

static int take_state(struct frame *f, json_t *params, struct sg_engine *e, struct sg_error *err)
{
	int rc = sg_graph_initial_state(f->graph->graph, params, false, &f->state, err);
	sg_buf_reset(&e->scratch);
	if (rc == 0)
		rc = sg_json_print(f->state, &e->scratch, err);
	if (rc == 0 && !(f->state_text = sg_text_make(e->scratch.data, e->scratch.len)))
		rc = sg_error_nomem(err);
	return rc;
}

int sg_frame_enter(struct run *r, struct sg_error *err)
{
	const struct sg_node *n = &r->f.graph->graph->nodes[r->f.node];
	const json_t *max = json_object_get(n->config, "max_steps");
	struct frame inner = {.graph = r->f.graph->subs[r->f.node],
		.first = true,
		.last_step = -1,
		.max_steps = max ? json_integer_value(max) : MAX_STEPS};
	struct frame *outer = malloc(sizeof(*outer));
	json_t *params = project_in(&r->f, n);
	int rc = outer && params ? take_state(&inner, params, r->engine, err) : sg_error_nomem(err);
	json_decref(params);
	if (rc < 0) {
		sg_frame_finish(&inner);
		free(outer);
		return rc;
	}
	*outer = r->f;
	inner.outer = outer;
	r->f = inner;
	return 0;
}

/* ---- out ---- */

static void pop(struct run *r)
{
	struct frame *outer = r->f.outer;
	sg_ahead_drop(r, r->f.graph);
	r->f.outer = NULL;
	sg_frame_finish(&r->f);
	r->f = *outer;
	free(outer);
}

static struct step step_of(struct run *r)
{
	return (struct step){.run = r,
		.node_id = r->f.graph->graph->nodes[r->f.node].id,
		.ts_us = sg_run_step_us(r),
		.on_path = true,
		.reason = "",
		.rule_id = "",
		.to_node = ""};
}

static int give_back(struct run *r, const struct given *g, struct sg_error *err)
{
	struct step s = step_of(r);
	int rc = 0;
	if (r->f.plan && g->joined)
		return sg_error_set(err, SG_EINVALID, "parallel-write-conflict",
			"the branch %s went on with the field %s, which other branches add to; "
			"give it back to a field of its own (outputs)",
			s.node_id, g->joined);
	if (!r->f.plan)
		rc = sg_step_merge(r, g->set, g->update, err);
	if (rc == 0)
		rc = sg_step_mutate(&s, err);
	if (rc == 0 && r->f.plan)
		rc = sg_parallel_branch(&s, g->update, NULL, err);
	else if (rc == 0)
		rc = sg_step_decide(&s, false, err);
	sg_step_finish(&s);
	return rc;
}

int sg_frame_leave(struct run *r, struct sg_error *err)
{
	struct given g = {.update = json_object(), .set = json_object()};
	const struct frame *outer = r->f.outer;
	int rc = g.update && g.set ? 0 : sg_error_nomem(err);
	if (rc == 0) {
		project_out(&r->f, outer, &outer->graph->graph->nodes[outer->node], &g);
		pop(r);
		rc = give_back(r, &g, err);
	}
	json_decref(g.update);
	json_decref(g.set);
	return rc;
}

void sg_frame_fail(struct run *r, const char *scope, const struct sg_error *why, bool this_graph)
{
	struct sg_error err = *why;
	while (this_graph || !sg_parallel_tolerates(r)) {
		this_graph = false;
		if (!r->f.outer) {
			sg_run_fail(r, scope, &err);
			return;
		}
		pop(r);
	}
	struct step s = step_of(r);
	struct sg_error last;
	if (sg_parallel_branch(&s, NULL, &err, &last) < 0)
		sg_frame_fail(r, "rule", &last, true);
	sg_step_finish(&s);
}

/* ---- what a checkpoint says of the stack ---- */

static int add_frame(const struct frame *f, json_t *list)
{
	if (!f->outer)
		return 0;
	int rc = add_frame(f->outer, list);
	const struct frame *o = f->outer;
	return rc < 0 || json_array_append_new(list, json_pack("{s:s, s:I, s:I}", "node",
							     o->graph->graph->nodes[o->node].id,
							     "step", (json_int_t)o->last_step,
							     "taken", (json_int_t)f->n_steps)) < 0
		       ? -SG_ENOMEM
		       : 0;
}

json_t *sg_frames_json(const struct frame *f)
{
	json_t *list = json_array();
	if (!list || add_frame(f, list) < 0) {
		json_decref(list);
		return NULL;
	}
	return json_pack("{s:s, s:o}", "kind", "frames", "frames", list);
}
