/* See firings.h: a walk that listens to the rules. */
#include "run/replay/firings.h"

#include <string.h>

#include "base/json.h"
#include "run/replay/explain.h"
#include "run/replay/walk.h"

/* ---- one step's rules as JSON ---- */

static json_t *provenance_of(json_t *slots)
{
	static const char *const names[] = {
		"_origin", "_source", "_run_id", "_step", "_confidence", "_timestamp"};
	json_t *out = json_object();
	for (size_t i = 0; out && i < SG_ARRAY_LEN(names); i++) {
		json_t *v = json_object_get(slots, names[i]);
		if (!v)
			continue;
		(void)json_object_set(out, names[i] + 1, v);
		(void)json_object_del(slots, names[i]);
	}
	return out;
}

/* The fact with its provenance taken out of its slots, new; NULL: out of memory. */
static json_t *fact_json(const json_t *one)
{
	json_t *fact = json_copy((json_t *)(uintptr_t)one);
	json_t *slots = json_copy(json_object_get(one, "slots"));
	json_t *from = slots ? provenance_of(slots) : NULL;
	bool set = json_object_set_new(fact, "slots", slots) == 0;
	set = json_object_set_new(fact, "provenance", from) == 0 && set;
	if (set)
		return fact;
	json_decref(fact);
	return NULL;
}

static json_t *facts_json(const json_t *facts)
{
	json_t *list = json_array();
	size_t i;
	const json_t *one;
	json_array_foreach (facts, i, one)
		if (json_array_append_new(list, fact_json(one)) < 0) {
			json_decref(list);
			return NULL; /* out of memory: the walk fails */
		}
	return list;
}

static json_t *actions_json(const struct prepared *g, const struct sg_firing *f)
{
	const json_t *then = f->rule < 0 ? f->actions : g->graph->rules[f->rule].then;
	return then ? json_incref((json_t *)(uintptr_t)then) : json_array();
}

static json_t *pack_json(const struct sg_firing *f)
{
	const char *end = f->rule < 0 ? strchr(f->rule_id, '/') : NULL;
	return end ? json_stringn(f->rule_id, (size_t)(end - f->rule_id)) : json_null();
}

json_t *sg_explain_rules(const struct step *s, const struct sg_rules_outcome *o)
{
	json_t *fired = json_array();
	for (size_t i = 0; fired && i < o->n_firings; i++) {
		const struct sg_firing *f = &o->firings[i];
		json_t *one = json_pack("{s:o, s:o, s:o, s:s, s:i}", "actions",
			actions_json(s->run->f.graph, f), "facts", facts_json(f->facts), "pack",
			pack_json(f), "rule", f->rule_id, "salience", f->salience);
		if (!one || json_array_append_new(fired, one) < 0) {
			json_decref(fired);
			return NULL;
		}
	}
	size_t at;
	json_t *one;
	json_array_foreach (o->agenda, at, one) {
		json_t *facts = facts_json(json_object_get(one, "facts"));
		if (!facts || json_object_set_new(one, "facts", facts) < 0) {
			json_decref(fired);
			return NULL;
		}
	}
	return json_pack("{s:O, s:s, s:o}", "agenda", o->agenda, "decided_by",
		s->d.rule_id ? s->d.rule_id : "", "fired", fired);
}

static json_t *decision_json(const struct sg_checkpoint *c)
{
	json_t *j = NULL;
	if (!c->next_action || sg_json_parse(c->next_action, strlen(c->next_action), &j, NULL) < 0)
		return json_null();
	return j;
}

json_t *sg_explain_step(const struct sg_checkpoint *c, json_t *rules)
{
	json_t *j =
		rules ? rules : json_pack("{s:[], s:s, s:[]}", "agenda", "decided_by", "", "fired");
	if (!j || json_object_set_new(j, "asked", json_boolean(rules != NULL)) < 0 ||
		json_object_set_new(j, "decision", decision_json(c)) < 0 ||
		json_object_set_new(j, "node", json_string(c->last_node)) < 0 ||
		json_object_set_new(j, "step", json_integer(c->step)) < 0) {
		json_decref(j);
		return NULL;
	}
	return j;
}

/* ---- the walk ---- */

struct listening {
	struct walk walk;
	int64_t first, last;
	sg_firings_visit visit;
	void *ctx;
	json_t *rules;	 /* of the step under way */
	int64_t differs; /* this step does, -1 = none */
	bool no_memory;
};

static void explained(void *ctx, const struct step *s, const struct sg_rules_outcome *o)
{
	struct listening *l = ctx;
	if (s->run->step < l->first)
		return;
	json_decref(l->rules);
	l->rules = sg_explain_rules(s, o);
	l->no_memory = l->no_memory || !l->rules;
}

static bool as_recorded(const struct sg_recording *rec, const struct sg_checkpoint *now)
{
	const struct sg_checkpoint *was = sg_recording_step(rec, now->step);
	struct sg_checkpoint own = *now;
	char a[SG_SHA256_HEX], b[SG_SHA256_HEX];
	if (!was)
		return false;
	memcpy(own.runtime_hash, was->runtime_hash, sizeof(own.runtime_hash));
	sg_checkpoint_digest(was, a);
	sg_checkpoint_digest(&own, b);
	return strcmp(a, b) == 0;
}

static int take(struct listening *l, const struct sg_checkpoint *c)
{
	const struct sg_recording *rec = l->walk.level[l->walk.at].rec;
	if (!as_recorded(rec, c)) {
		l->differs = c->step;
		return 1;
	}
	if (c->step < l->first)
		return 0;
	if (l->last >= 0 && c->step > l->last)
		return 1;
	json_t *rules = l->rules;
	l->rules = NULL;
	json_auto_t *j = sg_explain_step(c, rules);
	l->no_memory = l->no_memory || !j;
	return l->no_memory || l->visit(l->ctx, j) || c->step == l->last;
}

static int seen(void *ctx, const struct item *items, size_t n)
{
	int stop = 0;
	for (size_t i = 0; !stop && i < n; i++)
		if (items[i].kind == ITEM_CHECKPOINT)
			stop = take(ctx, &items[i].checkpoint.c);
	return stop;
}

static int verdict(const struct listening *l, const struct sg_recording *rec, struct sg_error *err)
{
	const char *id = rec->row.run_id;
	if (l->no_memory)
		return sg_error_nomem(err);
	if (l->differs >= 0)
		return sg_error_set(err, SG_ECORRUPT, "differs",
			"step %lld of run '%s' does not come out as it was recorded; `stargraph "
			"replay %s` says why",
			(long long)l->differs, id, id);
	if (l->walk.missing)
		return sg_error_set(err, SG_ECORRUPT, "differs", "%s", l->walk.missing_text);
	return 0;
}

int sg_firings_each(struct sg_replayer *p, const struct sg_recording *rec, int64_t first,
	int64_t last, sg_firings_visit visit, void *ctx, struct sg_error *err)
{
	struct listening l = {.walk = {.engine = p->engine},
		.first = first,
		.last = last,
		.visit = visit,
		.ctx = ctx,
		.differs = -1};
	int rc = sg_replayable(rec, err);
	if (rc < 0)
		return rc;
	l.walk.seen = seen;
	l.walk.ctx = &l;
	rc = sg_walk_begin(&l.walk, p, rec, err);
	if (rc == 0) {
		l.walk.run->explained = explained;
		l.walk.run->explained_ctx = &l;
		rc = sg_walk_run(&l.walk, err);
	}
	if (rc == 0)
		rc = verdict(&l, rec, err);
	sg_walk_finish(&l.walk);
	json_decref(l.rules);
	return rc;
}

static int keep(void *ctx, json_t *step)
{
	*(json_t **)ctx = json_incref(step);
	return 1;
}

int sg_firings_at(struct sg_replayer *p, const struct sg_recording *rec, int64_t step, json_t **ret,
	struct sg_error *err)
{
	json_t *found = NULL;
	int rc = sg_firings_each(p, rec, step, step, keep, &found, err);
	if (rc == 0 && !found)
		rc = sg_error_set(err, SG_ENOTFOUND, NULL, "run '%s' has no step %lld",
			rec->row.run_id, (long long)step);
	if (rc < 0) {
		json_decref(found);
		return rc;
	}
	*ret = found;
	return 0;
}
