/* Facts that a run carries from step to step: what `assert` actions made and people answered. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "run/internal.h"

int sg_carried_add(struct frame *f, const char *template_name, json_t *slots, struct sg_error *err)
{
	if (f->n_facts >= SG_RUN_CARRIED_FACTS) {
		json_decref(slots);
		return sg_error_set(err, SG_ELIMIT, "carried-facts",
			"the run carries %d facts; retract what is no longer needed",
			SG_RUN_CARRIED_FACTS);
	}
	if (f->n_facts == f->cap_facts) {
		size_t cap = f->cap_facts ? f->cap_facts * 2 : 8;
		struct carried *p = realloc(f->facts, cap * sizeof(*p));
		if (!p) {
			json_decref(slots);
			return sg_error_nomem(err);
		}
		f->facts = p;
		f->cap_facts = cap;
	}
	char *name = strdup(template_name);
	if (!name || !slots) {
		free(name);
		json_decref(slots);
		return sg_error_nomem(err);
	}
	f->facts[f->n_facts++] = (struct carried){.template_name = name, .slots = slots};
	return 0;
}

static void drop(struct frame *f, size_t i)
{
	free(f->facts[i].template_name);
	json_decref(f->facts[i].slots);
	memmove(&f->facts[i], &f->facts[i + 1], (f->n_facts - i - 1) * sizeof(*f->facts));
	f->n_facts--;
	if (i < f->n_seen)
		f->n_seen--;
}

void sg_carried_retract(struct frame *f, const json_t *pattern)
{
	for (size_t i = 0; i < f->n_facts;) {
		struct sg_fact_in in = {f->facts[i].template_name, f->facts[i].slots};
		if (sg_rules_pattern_matches(pattern, &in))
			drop(f, i);
		else
			i++;
	}
}

/* The slots of an assert with the provenance of the rule that made it. */
static json_t *asserted(
	const struct run *r, const json_t *slots, const char *rule_id, int64_t ts_us)
{
	char ts[SG_TIME_TEXT], step[24];
	sg_time_format(ts_us, ts);
	(void)snprintf(step, sizeof(step), "%lld", (long long)r->step);
	json_t *own = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "_origin", "rule", "_source",
		rule_id, "_run_id", r->row.run_id, "_step", step, "_confidence", "1.0",
		"_timestamp", ts);
	json_t *filled = sg_graph_fill(slots, r->f.state);
	if (!own || !filled || json_object_update(own, filled) < 0) {
		json_decref(own);
		own = NULL;
	}
	json_decref(filled);
	return own;
}

int sg_carried_apply(struct run *r, const struct prepared *g, const struct sg_rules_outcome *o,
	int64_t ts_us, struct sg_error *err)
{
	struct frame *f = &r->f;
	f->n_seen = f->n_facts;
	for (size_t i = 0; i < o->n_firings; i++) {
		const struct sg_firing *fired = &o->firings[i];
		const struct sg_rule *rule = fired->rule < 0 ? NULL : &g->graph->rules[fired->rule];
		for (size_t k = 0; rule && k < rule->n_actions; k++) {
			const struct sg_action *a = &rule->actions[k];
			json_t *data = g->action_data[fired->rule][k];
			if (a->kind == SG_RETRACT)
				sg_carried_retract(f, data);
			if (a->kind != SG_ASSERT)
				continue;
			int rc =
				sg_carried_add(f, a->fact, asserted(r, data, rule->id, ts_us), err);
			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

json_t *sg_carried_json(const struct frame *f)
{
	json_t *facts = json_array();
	for (size_t i = 0; facts && i < f->n_facts; i++)
		(void)json_array_append_new(
			facts, json_pack("{s:s, s:O, s:b}", "template", f->facts[i].template_name,
				       "slots", f->facts[i].slots, "seen", i < f->n_seen));
	return json_pack("{s:s, s:o}", "kind", "carried", "facts", facts);
}

int sg_carried_parse(struct frame *f, const json_t *j, struct sg_error *err)
{
	size_t i;
	const json_t *one;
	json_array_foreach (json_object_get(j, "facts"), i, one) {
		const char *name = json_string_value(json_object_get(one, "template"));
		json_t *slots = json_object_get(one, "slots");
		if (!name || !json_is_object(slots))
			return sg_error_set(
				err, SG_ECORRUPT, NULL, "a carried fact of the record is damaged");
		int r = sg_carried_add(f, name, json_incref(slots), err);
		if (r < 0)
			return r;
		if (json_is_true(json_object_get(one, "seen")))
			f->n_seen = f->n_facts;
	}
	return 0;
}

void sg_frame_finish(struct frame *f)
{
	if (f->outer) {
		sg_frame_finish(f->outer); /* at most SG_GRAPH_MAX_DEPTH deep */
		free(f->outer);
	}
	json_decref(f->state);
	json_decref(f->plan);
	sg_text_unref(f->state_text);
	for (size_t i = 0; i < f->n_facts; i++) {
		free(f->facts[i].template_name);
		json_decref(f->facts[i].slots);
	}
	free(f->facts);
	*f = (struct frame){0};
}
