/* Preparing an environment, one step in it, and what comes out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "rules/internal.h"

#define DEFAULT_FIRINGS 10000
#define DEFAULT_FACTS 10000
#define DEFAULT_JOIN_PRODUCT 100000
#define DEFAULT_WALL_US 1000000
#define DEFAULT_MEMORY (64LL << 20)

static void set_limits(struct sg_rules *r, const struct sg_rules_limits *l)
{
	r->limits.firings = l->firings ? l->firings : DEFAULT_FIRINGS;
	r->limits.facts = l->facts ? l->facts : DEFAULT_FACTS;
	r->limits.join_product = l->join_product ? l->join_product : DEFAULT_JOIN_PRODUCT;
	r->limits.wall_us = l->wall_us ? l->wall_us : DEFAULT_WALL_US;
	r->limits.memory = l->memory ? l->memory : DEFAULT_MEMORY;
}

/* ---- preparing ---- */

static const char *hint(const char *said)
{
	if (strstr(said, "type restrictions") || strstr(said, "cannot be of the specified type"))
		return "; numbers are compared through the slot typed, text through value";
	return "";
}

static int build_one(struct sg_rules *r, const struct sg_construct *c, struct sg_error *err)
{
	sg_buf_reset(&r->said);
	bool built = EnvBuild(r->env, c->text) == TRUE;
	if (built && !r->said.len)
		return 0;
	struct sg_error said = {0};
	char *source = r->said.data ? strstr(r->said.data, "\nERROR:") : NULL;
	if (source) { /* CLIPS repeats the whole construct */
		r->said.len = (size_t)(source - r->said.data);
		*source = '\0';
	}
	SetEvaluationError(r->env, TRUE);
	(void)sg_facts_failed(r, &said);
	return sg_error_set(
		err, SG_EINVALID, NULL, "%s: %.700s%s", c->where, said.text, hint(said.text));
}

/* The construct's index is kept in the header of each rule that it became (`or` makes several).
 * CLIPS lists rules in the order in which they were built. */
static void mark_rules(struct sg_rules *r)
{
	size_t at = 0;
	for (struct defrule *d = EnvGetNextDefrule(r->env, NULL); d;
		d = EnvGetNextDefrule(r->env, d)) {
		while (!r->constructs[at].rule_id)
			at++;
		for (struct defrule *one = d; one; one = one->disjunct)
			one->header.bsaveID = (long)at;
		at++;
	}
}

static void note_asks(struct sg_rules *r)
{
	static const struct {
		const char *name;
		unsigned ask;
	} about[] = {{"stargraph-run", SG_RULES_ASK_RUN}, {"stargraph-node", SG_RULES_ASK_NODES},
		{"stargraph-text", SG_RULES_ASK_TEXTS}};
	r->asks = 0;
	for (size_t i = 0; i < SG_ARRAY_LEN(about); i++) {
		const struct deftemplate *t = EnvFindDeftemplate(r->env, about[i].name);
		r->asks |= t && t->patternNetwork ? about[i].ask : 0;
	}
}

unsigned sg_rules_asks(const struct sg_rules *r)
{
	return r->asks;
}

int sg_rules_build_all(struct sg_rules *r, struct sg_error *err)
{
	for (size_t i = 0; i < r->n_constructs; i++) {
		const struct sg_construct *c = &r->constructs[i];
		int built = build_one(r, c, err);
		if (built < 0)
			return built;
	}
	mark_rules(r);
	int e = sg_computed_build_all(r, err);
	if (e < 0)
		return e;
	for (size_t i = 0; i < r->n_mirrors; i++)
		r->mirrors[i].clips = EnvFindDeftemplate(r->env, r->mirrors[i].name);
	r->t_node = EnvFindDeftemplate(r->env, "node-id");
	r->t_action = EnvFindDeftemplate(r->env, "stargraph_action");
	r->t_violation = EnvFindDeftemplate(r->env, "bosun-violation");
	r->t_audit = EnvFindDeftemplate(r->env, "bosun-audit");
	note_asks(r);
	return 0;
}

/* Clean after any error: reset twice with the flags cleared would do for most, a new environment
 * does for all (prototypes.md), and errors are rare. */
static int prepare(struct sg_rules *r, struct sg_error *err)
{
	sg_network_finish(&r->network);
	sg_facts_forget(r);
	sg_sandbox_close(r);
	sg_buf_reset(&r->said);
	r->failure = NULL;
	int e = sg_sandbox_open(r, err);
	if (e == 0)
		e = sg_rules_build_all(r, err);
	if (e == 0)
		e = sg_network_make(r, err);
	if (e < 0)
		return e;
	EnvReset(r->env);
	r->memory_base = EnvMemUsed(r->env);
	r->dirty = false;
	return 0;
}

static struct sg_rules *make(void)
{
	struct sg_rules *r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	r->said = SG_BUF_INIT(SG_RULE_ERROR_MAX);
	r->provenance.text = SG_BUF_INIT(2U * SG_RULE_TEXT_MAX);
	r->facts = SG_BUF_INIT(SG_RULE_FACTS_MAX);
	return r;
}

int sg_rules_create(struct sg_rules **ret, const struct sg_rules_spec *spec, struct sg_error *err)
{
	struct sg_error local = {0};
	struct sg_rules *r = make();
	err = err ? err : &local;
	if (!r)
		return sg_error_nomem(err);
	set_limits(r, &spec->limits);
	int e = sg_source_make(r, spec, err);
	if (e == 0)
		e = prepare(r, err);
	if (e < 0) {
		sg_rules_destroy(r);
		return e;
	}
	*ret = r;
	return 0;
}

/* Nothing of r that a step changes is read here. */
static int take_texts(struct sg_rules *t, const struct sg_rules *r, struct sg_error *err)
{
	t->mirrors = calloc(r->n_mirrors + 1, sizeof(*t->mirrors));
	t->computed = calloc(r->n_computed + 1, sizeof(*t->computed));
	if (!t->mirrors || !t->computed)
		return sg_error_nomem(err);
	for (size_t i = 0; i < r->n_mirrors; i++)
		t->mirrors[i] =
			(struct sg_mirror){.name = r->mirrors[i].name, .type = r->mirrors[i].type};
	for (size_t i = 0; i < r->n_computed; i++) {
		const struct sg_computed *c = &r->computed[i];
		t->computed[i] = (struct sg_computed){.owner = c->owner,
			.name = c->name,
			.where = c->where,
			.text = c->text,
			.uses = c->uses,
			.n_uses = c->n_uses};
	}
	t->n_mirrors = r->n_mirrors;
	t->n_computed = r->n_computed;
	t->templates = r->templates;
	t->constructs = r->constructs;
	t->n_constructs = r->n_constructs;
	t->owners = r->owners;
	return 0;
}

int sg_rules_twin(
	struct sg_rules **ret, const struct sg_rules *r, int64_t wall_us, struct sg_error *err)
{
	struct sg_rules *t = make();
	if (!t)
		return sg_error_nomem(err);
	t->twin = true;
	t->limits = (struct sg_rules_limits){.firings = r->limits.firings,
		.facts = r->limits.facts,
		.join_product = r->limits.join_product,
		.memory = r->limits.memory,
		.wall_us = wall_us ? wall_us : DEFAULT_WALL_US};
	int e = take_texts(t, r, err);
	if (e == 0)
		e = prepare(t, err);
	if (e < 0) {
		sg_rules_destroy(t);
		return e;
	}
	*ret = t;
	return 0;
}

void sg_rules_forget(struct sg_rules *r)
{
	sg_facts_forget(r);
}

void sg_rules_set_time(struct sg_rules *r, int64_t wall_us)
{
	r->limits.wall_us = wall_us;
}

static void free_texts(struct sg_rules *r)
{
	for (size_t i = 0; i < r->n_constructs; i++) {
		free(r->constructs[i].text);
		free(r->constructs[i].where);
		free(r->constructs[i].rule_id);
		free(r->constructs[i].version);
	}
	free(r->constructs);
	for (size_t i = 0; i < r->n_mirrors; i++)
		free(r->mirrors[i].name);
	sg_computed_finish(r);
	sg_templates_finish(&r->templates);
}

void sg_rules_destroy(struct sg_rules *r)
{
	if (!r)
		return;
	sg_network_finish(&r->network);
	sg_facts_forget(r);
	sg_sandbox_close(r);
	for (size_t i = 0; i < r->n_mirrors; i++)
		sg_buf_finish(&r->mirrors[i].text);
	if (!r->twin)
		free_texts(r);
	free(r->mirrors);
	free(r->computed);
	sg_buf_finish(&r->said);
	sg_buf_finish(&r->provenance.text);
	sg_buf_finish(&r->facts);
	free(r);
}

/* ---- one step ---- */

static void add_index(struct sg_buf *out, long long index)
{
	char text[24];
	int n = snprintf(text, sizeof(text), "%sf-%lld", out->len ? "," : "", index);
	sg_buf_add(out, text, (size_t)n);
}

static void add_matched(const struct partialMatch *basis, struct sg_buf *out)
{
	for (unsigned i = 0; i < basis->bcount; i++) {
		const struct alphaMatch *m = basis->binds[i].gm.theMatch;
		const struct fact *f = m ? (const struct fact *)m->matchingItem : NULL;
		if (f)
			add_index(out, f->factIndex);
	}
}

/* What a fact says while it is still there: a rule may retract what fired it. */
static json_t *explain_fact(const struct sg_rules *r, const struct fact *f)
{
	sg_autobuf scratch = SG_BUF_INIT(4U * SG_RULE_STRING_MAX);
	sg_autobuf text = SG_BUF_INIT(8U * SG_RULE_STRING_MAX);
	json_t *said = NULL;
	char id[24];
	(void)snprintf(id, sizeof(id), "f-%lld", f->factIndex);
	if (sg_text_fact(r, f, &scratch, &text) == 0 && !text.failed)
		said = json_loadb(text.data, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	return json_pack("{s:s, s:o, s:s, s:o}", "id", id, "slots", sg_text_slots(f), "template",
		ValueToString(f->whichDeftemplate->header.name), "text",
		said ? said : json_string(""));
}

static json_t *explain_basis(const struct sg_rules *r, const struct partialMatch *basis)
{
	json_t *list = json_array();
	for (unsigned i = 0; list && i < basis->bcount; i++) {
		const struct alphaMatch *m = basis->binds[i].gm.theMatch;
		const struct fact *f = m ? (const struct fact *)m->matchingItem : NULL;
		if (f)
			(void)json_array_append_new(list, explain_fact(r, f));
	}
	return list;
}

static const struct sg_construct *rule_of(const struct sg_rules *r, const struct activation *a)
{
	return &r->constructs[a->theRule->header.bsaveID];
}

static int note_firing(struct sg_rules *r, struct sg_rules_outcome *o, const struct activation *a,
	bool explain, struct sg_error *err)
{
	if ((o->n_firings & (o->n_firings - 1)) == 0) { /* grow at powers of two */
		size_t cap = o->n_firings ? o->n_firings * 2 : 1;
		struct sg_firing *grown = realloc(o->firings, cap * sizeof(*grown));
		if (!grown)
			return sg_error_nomem(err);
		o->firings = grown;
	}
	sg_autobuf matched = SG_BUF_INIT(SG_RULE_PATTERNS_MAX * 24U);
	add_matched(a->basis, &matched);
	const struct sg_construct *c = rule_of(r, a);
	struct sg_firing *f = &o->firings[o->n_firings];
	*f = (struct sg_firing){.rule = c->rule,
		.rule_id = strdup(c->rule_id),
		.version = c->version,
		.salience = a->salience,
		.matched = sg_buf_take(&matched)};
	f->facts = explain ? explain_basis(r, a->basis) : NULL;
	if (!f->rule_id || !f->matched || (explain && !f->facts)) {
		free(f->rule_id);
		free(f->matched);
		json_decref(f->facts);
		return sg_error_nomem(err);
	}
	o->n_firings++;
	return 0;
}

static int note_agenda(struct sg_rules *r, struct sg_rules_outcome *o)
{
	o->agenda = json_array();
	for (struct activation *a = EnvGetNextActivation(r->env, NULL); a && o->agenda;
		a = EnvGetNextActivation(r->env, a)) {
		sg_autobuf matched = SG_BUF_INIT(SG_RULE_PATTERNS_MAX * 24U);
		add_matched(a->basis, &matched);
		(void)json_array_append_new(o->agenda,
			json_pack("{s:s, s:s, s:i, s:b, s:o}", "rule", rule_of(r, a)->rule_id,
				"matched", matched.data ? matched.data : "", "salience",
				a->salience, "fired", 0, "facts", explain_basis(r, a->basis)));
	}
	return 0;
}

static void mark_agenda(struct sg_rules_outcome *o)
{
	size_t i;
	json_t *one;
	json_array_foreach (o->agenda, i, one)
		for (size_t k = 0; k < o->n_firings; k++)
			if (strcmp(json_string_value(json_object_get(one, "rule")),
				    o->firings[k].rule_id) == 0 &&
				strcmp(json_string_value(json_object_get(one, "matched")),
					o->firings[k].matched) == 0)
				(void)json_object_set_new(one, "fired", json_true());
}

/* An action object as the IR's: slots that were left out are absent, and what a text slot holds of
 * another type is that type again. */
static json_t *action_of(json_t *slots)
{
	json_t *out = json_object(), *v;
	const char *key;
	json_object_foreach (slots, key, v) {
		json_t *typed = NULL;
		const char *s = json_string_value(v);
		char *end = NULL;
		if ((s && !*s) || (json_is_array(v) && !json_array_size(v)))
			continue;
		if (strcmp(key, "interrupt_payload") == 0)
			(void)sg_json_parse(s, strlen(s), &typed, NULL);
		else if (strcmp(key, "timeout") == 0 && s && (s[0] >= '0' && s[0] <= '9')) {
			double seconds = strtod(s, &end);
			typed = *end ? NULL : json_real(seconds);
		}
		(void)json_object_set_new(out, key, typed ? typed : json_incref(v));
	}
	return out;
}

/* The engine knows seven kinds; the original's native decisions become them. NULL: no action. */
static json_t *translate(const struct fact *f, const struct sg_rules *r)
{
	json_t *slots = sg_text_slots(f);
	const char *kind = json_string_value(json_object_get(slots, "kind"));
	json_t *out = NULL;
	if (f->whichDeftemplate == r->t_violation) {
		const char *severity = json_string_value(json_object_get(slots, "severity"));
		if (severity && strcmp(severity, "halt") == 0)
			out = json_pack("{s:s, s:o*}", "kind", "halt", "reason",
				json_incref(json_object_get(slots, "reason")));
	} else if (kind && strcmp(kind, "deny") == 0) {
		out = json_pack("{s:s, s:s}", "kind", "halt", "reason", "denied-by-rule");
	} else if (kind && (strcmp(kind, "escalate") == 0 || strcmp(kind, "route") == 0)) {
		const char *from = kind[0] == 'e' ? "escalation_target" : "target";
		out = json_pack(
			"{s:s, s:O*}", "kind", "goto", "target", json_object_get(slots, from));
	} else if (kind && strcmp(kind, "allow") != 0 && strcmp(kind, "scope") != 0) {
		out = action_of(slots);
	}
	json_decref(slots);
	return out;
}

/* For the audit log: what it says, without the empty provenance. */
static int note_audit(struct sg_firing *f, const struct fact *one)
{
	json_t *slots = sg_text_slots(one), *v;
	const char *key;
	void *next;
	if (!f->audits)
		f->audits = json_array();
	json_object_foreach_safe (slots, next, key, v)
		if (json_is_string(v) && !*json_string_value(v))
			(void)json_object_del(slots, key);
	return json_array_insert_new(f->audits, 0, slots);
}

/* What the pack rule that just fired asserted: facts with an index from `since` on. */
static int take_actions(
	struct sg_rules *r, struct sg_firing *f, long long since, struct sg_error *err)
{
	f->actions = json_array();
	for (struct fact *one = FactData(r->env)->LastFact; one && one->factIndex >= since;
		one = one->previousFact) {
		if (one->whichDeftemplate == r->t_audit && note_audit(f, one) < 0)
			return sg_error_nomem(err);
		if (one->whichDeftemplate != r->t_action && one->whichDeftemplate != r->t_violation)
			continue;
		json_t *action = translate(one, r);
		if (action && json_array_insert_new(f->actions, 0, action) < 0)
			return sg_error_nomem(err);
	}
	return f->actions ? 0 : sg_error_nomem(err);
}

/* The thread's clock is a system call: steps that follow each other at once share a reading. What
 * went by since then is taken off again, so that none is ever called late too early. */
#define CPU_READING_US 1000

static void start_clock(struct sg_rules *r)
{
	int64_t now = sg_clock_monotonic_us();
	r->deadline_us = now + r->limits.wall_us;
	if (!r->cpu_read_at_us || now - r->cpu_read_at_us > CPU_READING_US) {
		r->cpu_read_us = sg_clock_thread_us();
		r->cpu_read_at_us = now;
	}
	r->cpu_since_us = now - r->cpu_read_at_us;
}

bool sg_rules_late(const struct sg_rules *r)
{
	return sg_clock_monotonic_us() > r->deadline_us &&
	       sg_clock_thread_us() - r->cpu_read_us - r->cpu_since_us > r->limits.wall_us;
}

static int check_after(struct sg_rules *r, const struct sg_rules_outcome *o, struct sg_error *err)
{
	int e = sg_facts_failed(r, err);
	if (e < 0)
		return sg_error_prefix(err, "rule %s", o->firings[o->n_firings - 1].rule_id);
	if (EnvMemUsed(r->env) - r->memory_base > r->limits.memory)
		e = sg_error_set(err, SG_ELIMIT, "rule-memory",
			"the rules of one step used more than %lld MiB",
			(long long)(r->limits.memory >> 20));
	else if (sg_rules_late(r))
		e = sg_error_set(err, SG_ELIMIT, "rule-timeout",
			"the rules of one step took longer than %lld ms",
			(long long)(r->limits.wall_us / 1000));
	r->dirty = r->dirty || e < 0;
	return e;
}

static int fire_all(
	struct sg_rules *r, struct sg_rules_outcome *o, bool explain, struct sg_error *err)
{
	for (const struct activation *a = EnvGetNextActivation(r->env, NULL); a;
		a = EnvGetNextActivation(r->env, NULL)) {
		if ((int64_t)o->n_firings >= r->limits.firings) {
			r->dirty = true;
			return sg_error_set(err, SG_ELIMIT, "rule-firings",
				"more than %lld rule firings in one step; last: %s",
				(long long)r->limits.firings, rule_of(r, a)->rule_id);
		}
		int e = note_firing(r, o, a, explain, err);
		if (e < 0)
			return e;
		long long since = FactData(r->env)->NextFactIndex;
		(void)EnvRun(r->env, 1);
		e = check_after(r, o, err);
		if (e == 0 && o->firings[o->n_firings - 1].rule < 0)
			e = take_actions(r, &o->firings[o->n_firings - 1], since, err);
		if (e < 0)
			return e;
	}
	return 0;
}

static int take_facts(struct sg_rules *r, struct sg_rules_outcome *o, struct sg_error *err)
{
	sg_autobuf text = SG_BUF_INIT(4U * SG_RULE_STRING_MAX);
	o->fact_indices = calloc(FactData(r->env)->NumberOfFacts + 1, sizeof(*o->fact_indices));
	if (!o->fact_indices)
		return sg_error_nomem(err);
	sg_buf_reset(&r->facts);
	sg_buf_addc(&r->facts, '[');
	for (struct fact *f = EnvGetNextFact(r->env, NULL); f; f = EnvGetNextFact(r->env, f)) {
		if (o->n_facts)
			sg_buf_addc(&r->facts, ',');
		/* only rule code can have cut a character: kept out of the record, not made up */
		if (sg_text_fact(r, f, &text, &r->facts) != 0) {
			r->dirty = true;
			return sg_error_set(err, SG_EINVALID, "rule-error",
				"a fact %s is not UTF-8 text",
				ValueToString(f->whichDeftemplate->header.name));
		}
		o->fact_indices[o->n_facts++] = f->factIndex;
	}
	sg_buf_addc(&r->facts, ']');
	if (r->facts.failed)
		return sg_error_set(err, SG_ELIMIT, "rule-facts",
			"the facts of one step are more than %u bytes of text", SG_RULE_FACTS_MAX);
	o->facts = r->facts.data;
	return 0;
}

static int run_step(struct sg_rules *r, const struct sg_rules_step *in, struct sg_rules_outcome *o,
	struct sg_error *err)
{
	EnvReset(r->env);
	sg_network_recount(r);
	int e = sg_facts_failed(r, err);
	if (e == 0)
		e = sg_facts_assert_step(r, in, err);
	o->first_made = FactData(r->env)->NextFactIndex;
	if (e == 0 && in->explain)
		e = note_agenda(r, o);
	if (e == 0)
		e = fire_all(r, o, in->explain, err);
	if (e == 0)
		e = take_facts(r, o, err);
	mark_agenda(o);
	return e;
}

int sg_rules_ready(struct sg_rules *r, struct sg_error *failure, struct sg_error *err)
{
	int e = r->dirty ? prepare(r, err) : 0;
	if (e < 0)
		return e;
	SetEvaluationError(r->env, FALSE);
	SetHaltExecution(r->env, FALSE);
	sg_buf_reset(&r->said);
	r->failure = failure;
	start_clock(r);
	return 0;
}

int sg_rules_run(struct sg_rules *r, const struct sg_rules_step *in, struct sg_rules_outcome *ret,
	struct sg_error *err)
{
	struct sg_error local = {0}, failure = {0};
	struct sg_rules_outcome o = {0};
	err = err ? err : &local;
	int e = sg_rules_ready(r, &failure, err);
	if (e < 0)
		return e;
	e = run_step(r, in, &o, err);
	r->failure = NULL;
	if (e < 0) {
		sg_rules_outcome_finish(&o);
		return e;
	}
	*ret = o;
	return 0;
}

void sg_rules_outcome_finish(struct sg_rules_outcome *o)
{
	for (size_t i = 0; i < o->n_firings; i++) {
		free(o->firings[i].rule_id);
		free(o->firings[i].matched);
		json_decref(o->firings[i].actions);
		json_decref(o->firings[i].audits);
		json_decref(o->firings[i].facts);
	}
	free(o->firings);
	free(o->fact_indices);
	json_decref(o->agenda);
	*o = (struct sg_rules_outcome){0};
}
