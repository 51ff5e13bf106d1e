/* One decision from everything that fired: interrupt, then halt, goto, retry, parallel; the first
 * of the strongest kind wins. See docs/reference/graphs.md, "How a step decides". */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "run/internal.h"

static int strength(enum sg_action_kind k)
{
	switch (k) {
	case SG_INTERRUPT: return 5;
	case SG_HALT: return 4;
	case SG_GOTO: return 3;
	case SG_RETRY: return 2;
	case SG_PARALLEL: return 1;
	case SG_ASSERT:
	case SG_RETRACT: break;
	}
	return 0;
}

static enum decision_kind kind_of(enum sg_action_kind k)
{
	switch (k) {
	case SG_INTERRUPT: return GO_INTERRUPT;
	case SG_HALT: return GO_HALT;
	case SG_GOTO: return GO_TO;
	case SG_RETRY: return GO_RETRY;
	case SG_PARALLEL: return GO_PARALLEL;
	case SG_ASSERT:
	case SG_RETRACT: break;
	}
	return GO_ON;
}

static void consider(struct decision *d, const struct sg_action *a, const char *rule_id)
{
	int now = d->action ? strength(d->action->kind) : 0, s = strength(a->kind);
	bool moves = s > 0 && s < strength(SG_HALT);
	if (moves && (!d->beside || s > strength(d->beside->kind)))
		d->beside = a;
	if (s <= now)
		return;
	d->action = a;
	d->kind = kind_of(a->kind);
	d->rule_id = rule_id;
}

static char *text_of(const json_t *j, const char *key)
{
	return (char *)(uintptr_t)json_string_value(json_object_get(j, key));
}

/* A pack's action object, its texts borrowed from j. False: not one that decides. */
static bool pack_action(const json_t *j, struct sg_action *ret)
{
	static const struct {
		const char *name;
		enum sg_action_kind kind;
	} names[] = {{"goto", SG_GOTO}, {"halt", SG_HALT}, {"retry", SG_RETRY},
		{"interrupt", SG_INTERRUPT}, {"parallel", SG_PARALLEL}};
	const char *kind = text_of(j, "kind");
	for (size_t i = 0; kind && i < SG_ARRAY_LEN(names); i++) {
		if (strcmp(kind, names[i].name) != 0)
			continue;
		*ret = (struct sg_action){
			.kind = names[i].kind,
			.target = text_of(j, "target"),
			.reason = text_of(j, "reason"),
			.prompt = text_of(j, "prompt"),
			.payload = json_object_get(j, "interrupt_payload"),
			.requested_capability = text_of(j, "requested_capability"),
			.on_timeout = text_of(j, "on_timeout"),
			.backoff_ms = json_integer_value(json_object_get(j, "backoff_ms")),
		};
		const json_t *timeout = json_object_get(j, "timeout");
		if (timeout)
			(void)sg_graph_duration(timeout, &ret->timeout_us, NULL);
		return true;
	}
	return false;
}

static int count_pack_actions(const struct sg_rules_outcome *o, size_t *ret)
{
	size_t n = 0;
	for (size_t i = 0; i < o->n_firings; i++)
		n += o->firings[i].rule < 0 ? json_array_size(o->firings[i].actions) : 0;
	*ret = n;
	return n ? 1 : 0;
}

/* The targets of a pack's parallel action, borrowed from j in an array of our own. */
static int pack_targets(const json_t *j, struct sg_action *a, struct sg_error *err)
{
	const json_t *list = json_object_get(j, "targets");
	size_t n = json_array_size(list);
	a->join = json_object_get(j, "join") ? text_of(j, "join") : (char *)(uintptr_t) "";
	a->strategy =
		json_object_get(j, "strategy") ? text_of(j, "strategy") : (char *)(uintptr_t) "all";
	a->targets = calloc(n + 1, sizeof(*a->targets));
	if (!a->targets)
		return sg_error_nomem(err);
	for (size_t i = 0; i < n; i++)
		a->targets[i] = (char *)(uintptr_t)json_string_value(json_array_get(list, i));
	a->n_targets = n;
	return 0;
}

/* A pack knows no graph, so its nodes are looked up when it decides. */
static int check_nodes(const struct sg_graph *g, const struct sg_action *a, const char *rule_id,
	struct sg_error *err)
{
	const char *bad = NULL;
	bool parallel = a->kind == SG_PARALLEL;
	if ((a->kind == SG_GOTO || a->kind == SG_RETRY) &&
		(!a->target || sg_graph_find_node(g, a->target) < 0))
		bad = a->target ? a->target : "";
	if (parallel && (!a->n_targets || (a->join[0] && sg_graph_find_node(g, a->join) < 0)))
		bad = a->n_targets ? a->join : "";
	for (size_t i = 0; parallel && i < a->n_targets; i++)
		if (!a->targets[i] || sg_graph_find_node(g, a->targets[i]) < 0)
			bad = a->targets[i] ? a->targets[i] : "";
	if (!bad)
		return 0;
	return sg_error_set(err, SG_EINVALID, "unknown-target",
		"rule %s leads to \"%s\", which is no node of this graph", rule_id, bad);
}

static int consider_pack(struct decision *d, const struct prepared *g, const struct sg_firing *f,
	struct sg_error *err)
{
	size_t i;
	const json_t *one;
	json_array_foreach (f->actions, i, one) {
		struct sg_action *a = &d->made[d->n_made];
		if (!pack_action(one, a))
			continue;
		d->n_made++; /* from here on sg_decision_finish frees its targets */
		int r = a->kind == SG_PARALLEL ? pack_targets(one, a, err) : 0;
		if (r == 0)
			r = check_nodes(g->graph, a, f->rule_id, err);
		if (r < 0)
			return r;
		consider(d, a, f->rule_id);
	}
	return 0;
}

int sg_decide(const struct prepared *g, const struct sg_rules_outcome *o, struct decision *ret,
	struct sg_error *err)
{
	struct decision d = {.kind = GO_ON, .rule_id = ""};
	size_t n;
	if (count_pack_actions(o, &n) && !(d.made = calloc(n, sizeof(*d.made))))
		return sg_error_nomem(err);
	for (size_t i = 0; i < o->n_firings; i++) {
		const struct sg_firing *f = &o->firings[i];
		if (f->rule < 0) {
			int r = consider_pack(&d, g, f, err);
			if (r < 0) {
				sg_decision_finish(&d);
				return r;
			}
			continue;
		}
		const struct sg_rule *rule = &g->graph->rules[f->rule];
		for (size_t k = 0; k < rule->n_actions; k++)
			consider(&d, &rule->actions[k], f->rule_id);
	}
	*ret = d;
	return 0;
}

void sg_decision_finish(struct decision *d)
{
	for (size_t i = 0; i < d->n_made; i++)
		free(d->made[i].targets);
	free(d->made);
	d->made = NULL;
	d->n_made = 0;
}

json_t *sg_action_json(const struct sg_action *a)
{
	switch (a->kind) {
	case SG_GOTO: return json_pack("{s:s, s:s}", "kind", "goto", "target", a->target);
	case SG_HALT:
		return json_pack(
			"{s:s, s:s}", "kind", "halt", "reason", a->reason ? a->reason : "");
	case SG_RETRY:
		return json_pack("{s:s, s:s, s:I}", "kind", "retry", "target", a->target,
			"backoff_ms", (json_int_t)a->backoff_ms);
	case SG_INTERRUPT:
		return json_pack(
			"{s:s, s:s}", "kind", "interrupt", "prompt", a->prompt ? a->prompt : "");
	case SG_PARALLEL: {
		json_t *targets = json_array();
		for (size_t i = 0; targets && i < a->n_targets; i++)
			(void)json_array_append_new(targets, json_string(a->targets[i]));
		return json_pack("{s:s, s:o, s:s, s:s}", "kind", "parallel", "targets", targets,
			"join", a->join ? a->join : "", "strategy",
			a->strategy ? a->strategy : "all");
	}
	case SG_ASSERT:
	case SG_RETRACT: break;
	}
	return NULL;
}

int sg_decision_json(const struct decision *d, struct sg_buf *out, struct sg_error *err)
{
	if (d->kind == GO_ON)
		return 0;
	if (d->kind == GO_TO) { /* the frequent one; node ids need no escapes */
		sg_buf_addf(out, "{\"kind\":\"goto\",\"target\":\"%s\"}", d->action->target);
		return 0;
	}
	json_t *j = sg_action_json(d->action);
	if (j && d->kind == GO_INTERRUPT && d->beside)
		(void)json_object_set_new(j, "then", sg_action_json(d->beside));
	int r = j ? sg_json_canonical(j, out, err) : sg_error_nomem(err);
	json_decref(j);
	return r;
}
