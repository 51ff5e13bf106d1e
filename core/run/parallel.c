/* Parallel: all targets run once from the same state, then their updates are merged and the run
 * goes on at the join. Branches take turns in the order of the targets, each step durable, so that
 * equal runs are equal; "first" means first in that order. No rules are asked in a branch.
 *
 * What is under way is the run's plan, which is also the next_action of its checkpoints: {"kind":
 * "parallel", "targets": […], "join": …, "strategy": …, "done": [{"node": …, "update": {…}} or
 * {"node": …, "error": class}…]}. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "run/internal.h"

/* A branch that waits for a person or ends the run cannot be joined. */
static int check_targets(const struct sg_graph *g, char *const *targets, size_t n, int line,
	int column, struct sg_error *err)
{
	for (size_t i = 0; i < n; i++) {
		const char *kind = g->nodes[sg_graph_find_node(g, targets[i])].kind;
		if (strcmp(kind, "interrupt") == 0 || strcmp(kind, "halt") == 0)
			return sg_error_set(err, SG_EINVALID, NULL,
				"%s:%d:%d: node %s of kind %s cannot be a parallel branch", g->path,
				line, column, targets[i], kind);
	}
	return 0;
}

int sg_parallel_check(const struct sg_graph *g, struct sg_error *err)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < g->n_parallel; i++) {
		const struct sg_node *head =
			&g->nodes[sg_graph_find_node(g, g->parallel[i].targets[0])];
		r = check_targets(g, g->parallel[i].targets, g->parallel[i].n_targets, head->line,
			head->column, err);
	}
	for (size_t i = 0; i < g->n_rules; i++)
		for (size_t k = 0; r == 0 && k < g->rules[i].n_actions; k++) {
			const struct sg_action *a = &g->rules[i].actions[k];
			if (a->kind == SG_PARALLEL)
				r = check_targets(g, a->targets, a->n_targets, g->rules[i].line,
					g->rules[i].column, err);
		}
	return r;
}

static int go_to_branch(struct run *r, struct sg_error *err)
{
	const json_t *targets = json_object_get(r->f.plan, "targets");
	size_t at = json_array_size(json_object_get(r->f.plan, "done"));
	const char *id = json_string_value(json_array_get(targets, at));
	int node = id ? sg_graph_find_node(r->f.graph->graph, id) : -1;
	if (node < 0)
		return sg_error_set(err, SG_EINVALID, "unknown-target",
			"a parallel branch leads to \"%s\", which is no node of this graph",
			id ? id : "");
	r->f.node = node;
	return 0;
}

int sg_parallel_begin(struct run *r, const json_t *action, struct sg_error *err)
{
	json_t *plan = json_deep_copy(action);
	if (plan && !json_object_get(plan, "done") &&
		json_object_set_new(plan, "done", json_array()) < 0) {
		json_decref(plan);
		plan = NULL;
	}
	if (!plan)
		return sg_error_nomem(err);
	json_decref(r->f.plan);
	r->f.plan = plan;
	return go_to_branch(r, err);
}

int sg_parallel_begin_text(struct run *r, const char *action, struct sg_error *err)
{
	json_t *j = NULL;
	int rc = sg_json_parse(action, strlen(action), &j, err);
	if (rc == 0)
		rc = sg_parallel_begin(r, j, err);
	json_decref(j);
	return rc;
}

/* ---- the branches in the audit log ---- */

/* A branch is named by the node it runs. */
static void note(struct run *r, const struct frame *f, const char *type, const char *node,
	const char *key, const char *value)
{
	sg_autobuf b = SG_BUF_INIT(64U << 10);
	sg_buf_adds(&b, "{\"branch_id\":");
	const char *path = sg_frame_path(f, node);
	sg_buf_add_json_string(&b, path, strlen(path));
	sg_buf_addf(&b, ",\"%s\":", key);
	sg_buf_add_json_string(&b, value, strlen(value));
	sg_buf_addc(&b, '}');
	if (!b.failed)
		(void)sg_batch_event(r->engine, r, sg_run_wall_us(r), r->row.actor, type, r->step,
			b.data, b.len, NULL, NULL);
}

void sg_parallel_note_started(struct run *r)
{
	const json_t *plan = r->f.plan, *one;
	size_t i;
	json_array_foreach (json_object_get(plan, "targets"), i, one)
		note(r, &r->f, "branch_started", json_string_value(one), "strategy",
			sg_json_text_or_empty(plan, "strategy"));
}

static void note_ended(struct run *r, const char *node, const json_t *own)
{
	char hash[SG_SHA256_HEX];
	const json_t *update = json_object_get(own, "update");
	if (!update)
		note(r, &r->f, "branch_cancelled", node, "reason", "error");
	else if (sg_json_hash(update, hash, NULL) == 0)
		note(r, &r->f, "branch_completed", node, "result_sha256", hash);
}

/* Those of a frame whose turn has not come, or is not over. */
static void note_dropped(struct run *r, const struct frame *f)
{
	const json_t *targets = json_object_get(f->plan, "targets");
	for (size_t i = json_array_size(json_object_get(f->plan, "done"));
		i < json_array_size(targets); i++)
		note(r, f, "branch_cancelled", json_string_value(json_array_get(targets, i)),
			"reason", "cancelled");
}

void sg_parallel_note_ended(struct run *r)
{
	for (const struct frame *f = &r->f; f; f = f->outer)
		note_dropped(r, f);
}

int sg_parallel_enter(struct run *r, struct sg_error *err)
{
	const struct sg_graph *g = r->f.graph->graph;
	const char *id = g->nodes[r->f.node].id;
	for (size_t i = 0; !r->f.plan && i < g->n_parallel; i++) {
		const struct sg_parallel *p = &g->parallel[i];
		if (strcmp(p->targets[0], id) != 0)
			continue;
		json_t *targets = json_array();
		for (size_t k = 0; k < p->n_targets; k++)
			(void)json_array_append_new(targets, json_string(p->targets[k]));
		json_t *action = json_pack("{s:s, s:o, s:s, s:s}", "kind", "parallel", "targets",
			targets, "join", p->join, "strategy", p->strategy);
		int rc = action ? sg_parallel_begin(r, action, err) : sg_error_nomem(err);
		json_decref(action);
		return rc;
	}
	return 0;
}

/* ---- strategies ---- */

static size_t needed(const json_t *plan)
{
	const char *strategy = sg_json_text_or_empty(plan, "strategy");
	size_t n = json_array_size(json_object_get(plan, "targets"));
	if (strcmp(strategy, "any") == 0 || strcmp(strategy, "race") == 0)
		return 1;
	if (strncmp(strategy, "quorum:", 7) == 0)
		return (size_t)strtoul(strategy + 7, NULL, 10);
	return strcmp(strategy, "quorum") == 0 ? n / 2 + 1 : n;
}

bool sg_parallel_tolerates(const struct run *r)
{
	return r->f.plan &&
	       needed(r->f.plan) < json_array_size(json_object_get(r->f.plan, "targets"));
}

static size_t succeeded(const json_t *plan)
{
	size_t i, n = 0;
	const json_t *one;
	json_array_foreach (json_object_get(plan, "done"), i, one)
		n += json_object_get(one, "update") != NULL;
	return n;
}

/* ---- the join ---- */

/* A field that is replaced may be written by one branch, or by several with one value. */
static int check_conflicts(const struct sg_graph *g, const json_t *done, struct sg_error *err)
{
	size_t i, k;
	const json_t *a, *b;
	const char *name;
	json_t *v;
	json_array_foreach (done, i, a)
		json_object_foreach (json_object_get(a, "update"), name, v) {
			const struct sg_field *f = sg_graph_find_field(g, name);
			if (!f || f->reducer != SG_REDUCE_REPLACE)
				continue;
			for (k = i + 1; k < json_array_size(done); k++) {
				b = json_array_get(done, k);
				const json_t *w =
					json_object_get(json_object_get(b, "update"), name);
				if (w && !json_equal(v, w))
					return sg_error_set(err, SG_EINVALID,
						"parallel-write-conflict",
						"branches %s and %s both write %s; give it a "
						"reducer",
						sg_json_text_or_empty(a, "node"),
						sg_json_text_or_empty(b, "node"), name);
			}
		}
	return 0;
}

/* Index of the node to go on at; n_nodes = the end. */
static int join_of(const struct sg_graph *g, const json_t *plan)
{
	const json_t *targets = json_object_get(plan, "targets");
	const char *join = sg_json_text_or_empty(plan, "join");
	int last = -1;
	for (size_t i = 0; i < json_array_size(targets); i++) {
		int at = sg_graph_find_node(g, json_string_value(json_array_get(targets, i)));
		last = at > last ? at : last;
	}
	return *join ? sg_graph_find_node(g, join) : last + 1;
}

static int finish(struct step *s, struct sg_error *err)
{
	struct run *r = s->run;
	const struct sg_graph *g = r->f.graph->graph;
	const json_t *done = json_object_get(r->f.plan, "done"), *one;
	sg_autobuf action = SG_BUF_INIT(1024);
	size_t i;
	int rc = check_conflicts(g, done, err);
	json_array_foreach (done, i, one)
		if (rc == 0)
			rc = sg_step_merge(r, NULL, json_object_get(one, "update"), err);
	if (rc < 0)
		return rc;
	int node = join_of(g, r->f.plan);
	if (node < 0)
		return sg_error_set(err, SG_EINVALID, "unknown-target", "no node \"%s\"",
			sg_json_text_or_empty(r->f.plan, "join"));
	sg_ahead_drop(r, r->f.graph); /* branches that are not needed any more */
	note_dropped(r, &r->f);
	json_decref(r->f.plan);
	r->f.plan = NULL;
	if ((size_t)node < g->n_nodes) {
		s->to_node = g->nodes[node].id;
		sg_buf_addf(&action, "{\"kind\":\"goto\",\"target\":\"%s\"}", s->to_node);
		s->action = action.data;
	}
	rc = sg_step_commit(s, err);
	s->action = NULL;
	if (rc == 0)
		sg_run_go(r, node);
	return rc;
}

static int next_branch(struct step *s, struct sg_error *err)
{
	struct run *r = s->run;
	sg_autobuf action = SG_BUF_INIT(16U << 20);
	int rc = sg_json_canonical(r->f.plan, &action, err);
	if (rc == 0)
		rc = go_to_branch(r, err);
	if (rc < 0)
		return rc;
	s->action = action.data;
	s->to_node = r->f.graph->graph->nodes[r->f.node].id;
	rc = sg_step_commit(s, err);
	s->action = NULL;
	return rc;
}

int sg_parallel_branch(
	struct step *s, const json_t *update, const struct sg_error *failure, struct sg_error *err)
{
	struct run *r = s->run;
	json_t *done = json_object_get(r->f.plan, "done"), *own;
	if (failure)
		own = json_pack("{s:s, s:s}", "node", s->node_id, "error", failure->kind);
	else
		own = json_pack("{s:s, s:o}", "node", s->node_id, "update",
			update ? json_deep_copy(update) : json_object());
	if (!own || json_array_append_new(done, own) < 0)
		return sg_error_nomem(err);
	note_ended(r, s->node_id, own);
	size_t n = json_array_size(json_object_get(r->f.plan, "targets")),
	       good = succeeded(r->f.plan), left = n - json_array_size(done),
	       want = needed(r->f.plan);
	s->reason = "parallel";
	if (good >= want)
		return finish(s, err);
	if (good + left < want)
		return sg_error_set(err, SG_EINVALID, "parallel-failed",
			"%zu of %zu branches succeeded; strategy %s needs %zu", good, n,
			sg_json_text_or_empty(r->f.plan, "strategy"), want);
	return next_branch(s, err);
}
