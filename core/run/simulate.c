/* See simulate.h. The decision is the engine's own (decide.c); the walk is the short form of
 * step.c. */
#include "run/simulate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "run/about.h"
#include "run/internal.h"

#define TIMESTAMP "1970-01-01T00:00:00.000000Z"

struct walk {
	const struct sg_graph *g;
	struct sg_rules *rules;
	const json_t *outputs;
	struct prepared prepared;	      /* decide.c looks at its graph only */
	json_t *state, *path, *steps, *facts; /* facts: [[template, slots]…] carried */
	size_t n_seen;
	const char *end;
	char end_text[200];
	struct sg_error *err;
};

static int apply_output(struct walk *w, const char *node)
{
	json_t *update = json_object_get(w->outputs, node), *merged = NULL;
	(void)json_array_append_new(w->path, json_string(node));
	if (!update || json_is_null(update))
		return 0;
	if (!json_is_object(update))
		return sg_error_set(
			w->err, SG_EINVALID, NULL, "the output of node %s must be a mapping", node);
	int r = sg_graph_merge_state(w->g, w->state, update, &merged, w->err);
	if (r < 0)
		return sg_error_prefix(w->err, "the output of node %s", node);
	json_decref(w->state);
	w->state = merged;
	return 0;
}

static int apply_assert(struct walk *w, const struct sg_action *a)
{
	json_t *slots = NULL;
	int r = sg_json_parse(a->slots, strlen(a->slots), &slots, w->err);
	if (r < 0)
		return r;
	json_t *filled = sg_graph_fill(slots, w->state);
	json_decref(slots);
	json_t *fact = filled ? json_pack("[s, o]", a->fact, filled) : NULL;
	return !fact || json_array_append_new(w->facts, fact) < 0 ? sg_error_nomem(w->err) : 0;
}

static int apply_retract(struct walk *w, const struct sg_action *a)
{
	json_t *pattern = NULL;
	int r = sg_rules_parse_pattern(a->pattern, &pattern, w->err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < json_array_size(w->facts);) {
		const json_t *fact = json_array_get(w->facts, i);
		struct sg_fact_in in = {
			json_string_value(json_array_get(fact, 0)), json_array_get(fact, 1)};
		if (!sg_rules_pattern_matches(pattern, &in)) {
			i++;
			continue;
		}
		(void)json_array_remove(w->facts, i);
		w->n_seen -= i < w->n_seen;
	}
	json_decref(pattern);
	return 0;
}

static int carry(struct walk *w, const struct sg_rules_outcome *o)
{
	int r = 0;
	w->n_seen = json_array_size(w->facts);
	for (size_t i = 0; i < o->n_firings; i++) {
		const struct sg_rule *rule =
			o->firings[i].rule < 0 ? NULL : &w->g->rules[o->firings[i].rule];
		for (size_t k = 0; r == 0 && rule && k < rule->n_actions; k++) {
			if (rule->actions[k].kind == SG_ASSERT)
				r = apply_assert(w, &rule->actions[k]);
			else if (rule->actions[k].kind == SG_RETRACT)
				r = apply_retract(w, &rule->actions[k]);
		}
	}
	return r;
}

static json_t *fired_json(const struct walk *w, const struct sg_firing *f)
{
	json_t *kinds = json_array();
	const json_t *then = f->rule < 0 ? f->actions : w->g->rules[f->rule].then, *one;
	size_t i;
	json_array_foreach (then, i, one)
		(void)json_array_append(kinds, json_object_get(one, "kind"));
	return json_pack(
		"{s:s, s:s, s:o}", "rule", f->rule_id, "matched", f->matched, "actions", kinds);
}

/* The node is in the path already. */
static int make_about(struct walk *w, const char *node, long step, struct sg_about *ret)
{
	struct sg_about_step of = {.graph = w->g,
		.node_id = node,
		.run_id = "simulation",
		.timestamp = TIMESTAMP,
		.step = step,
		.state = w->state};
	for (size_t i = 0; i < json_array_size(w->path); i++) {
		const char *one = json_string_value(json_array_get(w->path, i));
		int at = sg_graph_find_node(w->g, one);
		bool same = strcmp(one, node) == 0;
		of.visits += same;
		of.in_a_row = same ? of.in_a_row + 1 : 0;
		of.tool_calls += at >= 0 && strcmp(w->g->nodes[at].kind, "tool") == 0;
	}
	return sg_about_make(ret, w->rules, &of, w->err);
}

static int run_rules(struct walk *w, const char *node, long step, struct sg_rules_outcome *ret)
{
	size_t n = json_array_size(w->facts);
	struct sg_fact_in *facts = calloc(n + 1, sizeof(*facts));
	if (!facts)
		return sg_error_nomem(w->err);
	for (size_t i = 0; i < n; i++) {
		const json_t *fact = json_array_get(w->facts, i);
		facts[i] = (struct sg_fact_in){
			json_string_value(json_array_get(fact, 0)), json_array_get(fact, 1)};
	}
	struct sg_about about = {0};
	int r = make_about(w, node, step, &about);
	struct sg_rules_step in = {.node_id = node,
		.state = w->state,
		.run_id = "simulation",
		.step = step,
		.timestamp = TIMESTAMP,
		.first = step == 0,
		.facts = facts,
		.n_facts = n,
		.about = about.facts,
		.n_about = about.n,
		.n_seen = w->n_seen};
	if (r == 0)
		r = sg_rules_run(w->rules, &in, ret, w->err);
	sg_about_finish(&about);
	free(facts);
	return r < 0 ? sg_error_prefix(w->err, "after node %s", node) : r;
}

/* The node to go to, -1 = the end. */
static int next_of(struct walk *w, int at, const struct sg_action *a, char *text, size_t size)
{
	int next = at + 1 < (int)w->g->n_nodes ? at + 1 : -1;
	if (a && (a->kind == SG_GOTO || a->kind == SG_RETRY))
		next = sg_graph_find_node(w->g, a->target);
	if (a && a->kind == SG_PARALLEL) {
		int last = sg_graph_find_node(w->g, a->targets[a->n_targets - 1]);
		next = a->join[0]		       ? sg_graph_find_node(w->g, a->join)
		       : last + 1 < (int)w->g->n_nodes ? last + 1
						       : -1;
	}
	if (next < 0)
		(void)snprintf(text, size, "done");
	else
		(void)snprintf(text, size, "%s %s",
			!a			 ? "continue"
			: a->kind == SG_RETRY	 ? "retry"
			: a->kind == SG_PARALLEL ? "join"
						 : "goto",
			w->g->nodes[next].id);
	return next;
}

static int fan_out(struct walk *w, char *const *targets, size_t n)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < n; i++)
		r = apply_output(w, targets[i]);
	return r;
}

/* From the decision to the next node; *ret_next = -1 ends the walk. */
static int decide(
	struct walk *w, int at, const struct decision *d, char *text, size_t size, int *ret_next)
{
	const struct sg_action *a = d->kind == GO_INTERRUPT ? d->beside : d->action;
	bool halts = strcmp(w->g->nodes[at].kind, "halt") == 0;
	if (d->kind == GO_HALT || halts) {
		const char *reason = d->kind == GO_HALT ? d->action->reason : NULL;
		(void)snprintf(w->end_text, sizeof(w->end_text), "halted: %.150s",
			reason && *reason ? reason
			: halts		  ? w->g->nodes[at].id
					  : "");
		w->end = w->end_text;
		(void)snprintf(text, size, "halt");
		*ret_next = -1;
		return 0;
	}
	*ret_next = next_of(w, at, a, text, size);
	w->end = "done";
	if (a && a->kind == SG_PARALLEL)
		return fan_out(w, a->targets, a->n_targets);
	return 0;
}

/* A block whose first target comes next is taken whole. */
static int enter_block(struct walk *w, int *next)
{
	for (size_t i = 0; *next >= 0 && i < w->g->n_parallel; i++) {
		const struct sg_parallel *p = &w->g->parallel[i];
		if (strcmp(p->targets[0], w->g->nodes[*next].id) != 0)
			continue;
		struct sg_action a = {.kind = SG_PARALLEL,
			.targets = p->targets,
			.n_targets = p->n_targets,
			.join = p->join};
		char text[160];
		int r = fan_out(w, p->targets, p->n_targets);
		*next = next_of(w, *next, &a, text, sizeof(text));
		return r;
	}
	return 0;
}

static int step(struct walk *w, int at, long n, int *ret_next)
{
	const char *node = w->g->nodes[at].id;
	struct sg_rules_outcome o;
	struct decision d;
	char text[160] = "";
	int r = apply_output(w, node);
	if (r == 0)
		r = run_rules(w, node, n, &o);
	if (r < 0)
		return r;
	r = sg_decide(&w->prepared, &o, &d, w->err);
	if (r == 0) {
		r = decide(w, at, &d, text, sizeof(text), ret_next);
		if (r == 0)
			r = carry(w, &o);
		json_t *fired = json_array();
		for (size_t i = 0; i < o.n_firings; i++)
			(void)json_array_append_new(fired, fired_json(w, &o.firings[i]));
		(void)json_array_append_new(w->steps,
			json_pack("{s:s, s:o, s:s+}", "node", node, "fired", fired, "decision",
				d.kind == GO_INTERRUPT ? "interrupt, then " : "", text));
		sg_decision_finish(&d);
	}
	sg_rules_outcome_finish(&o);
	return r == 0 ? enter_block(w, ret_next) : r;
}

int sg_run_simulate(const struct sg_graph *g, struct sg_rules *rules, const json_t *outputs,
	const json_t *params, long max_steps, json_t **ret, struct sg_error *err)
{
	struct walk w = {.g = g, .rules = rules, .outputs = outputs, .end = "done", .err = err};
	w.prepared.graph = (struct sg_graph *)(uintptr_t)g;
	w.path = json_array();
	w.steps = json_array();
	w.facts = json_array();
	int r = sg_graph_initial_state(g, params, true, &w.state, err), at = 0;
	for (long n = 0; r == 0 && at >= 0; n++) {
		if (n == max_steps) {
			(void)snprintf(
				w.end_text, sizeof(w.end_text), "stopped after %ld steps", n);
			w.end = w.end_text;
			break;
		}
		r = step(&w, at, n, &at);
	}
	json_decref(w.facts);
	if (r < 0) {
		json_decref(w.path);
		json_decref(w.steps);
		json_decref(w.state);
		return r;
	}
	*ret = json_pack("{s:o, s:o, s:o, s:s}", "path", w.path, "steps", w.steps, "state", w.state,
		"end", w.end);
	return *ret ? 0 : sg_error_nomem(err);
}
