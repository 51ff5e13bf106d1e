/* Expressions of nodes, in the rules' own environment: parsed once, evaluated without a fact or a
 * firing. A field's value reaches them as a bound variable, so it can never become syntax. What may
 * be called neither loops nor keeps anything; the length of the text bounds the work.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/suggest.h"

#include "rules/internal.h"

/* these lean on what clips.h declares */
#include <clips/prcdrfun.h>
#include <clips/prcdrpsr.h>

#define SOURCE "stargraph-expression"

/* ---- checking ---- */

static int mirror_index(const struct sg_rules *r, const char *name, size_t n)
{
	for (size_t i = 0; i < r->n_mirrors; i++)
		if (strlen(r->mirrors[i].name) == n && memcmp(r->mirrors[i].name, name, n) == 0)
			return (int)i;
	return -1;
}

static int unknown_variable(
	const struct sg_rules *r, const struct sg_sx_node *n, struct sg_error *err)
{
	char word[80];
	sg_autofree const char **names = calloc(r->n_mirrors + 1, sizeof(*names));
	(void)snprintf(
		word, sizeof(word), "%.*s", (int)(n->len > 65 ? 64 : n->len - 1), n->text + 1);
	for (size_t i = 0; names && i < r->n_mirrors; i++)
		names[i] = r->mirrors[i].name;
	const char *near = names ? sg_suggest(word, names, r->n_mirrors) : NULL;
	return sg_error_set(err, SG_EINVALID, NULL,
		"line %d: ?%s is no state field that rules see%s%s%s", n->line, word,
		near ? "; did you mean \"?" : "", near ? near : "", near ? "\"?" : "");
}

/* The fields that an expression names; sg_check_expression has let only ?x and ? through. */
static int note_uses(const struct sg_rules *r, const struct sg_sx *sx, struct sg_computed *c,
	struct sg_error *err)
{
	c->uses = calloc(r->n_mirrors + 1, sizeof(*c->uses));
	if (!c->uses)
		return sg_error_nomem(err);
	for (size_t i = 1; i < sx->n; i++) {
		const struct sg_sx_node *n = &sx->nodes[i];
		size_t k = 0;
		if (n->kind != SG_SX_ATOM || n->text[0] != '?')
			continue;
		int at = mirror_index(r, n->text + 1, n->len - 1);
		if (at < 0)
			return unknown_variable(r, n, err);
		while (k < c->n_uses && c->uses[k] != at)
			k++;
		if (k == c->n_uses)
			c->uses[c->n_uses++] = at;
	}
	return 0;
}

static int check_text(
	const struct sg_rules *r, struct sg_computed *c, const char *text, struct sg_error *err)
{
	struct sg_sx sx = {0};
	sg_autobuf clean = SG_BUF_INIT(SG_RULE_TEXT_MAX);
	if (strlen(text) > SG_RULES_EXPRESSION_MAX)
		return sg_error_set(err, SG_EINVALID, NULL, "an expression of more than %u bytes",
			SG_RULES_EXPRESSION_MAX);
	int e = sg_sx_parse(&sx, text, strlen(text), err);
	if (e < 0)
		return e;
	int form = sx.nodes[0].first;
	if (form == SG_SX_NONE || sx.nodes[form].next != SG_SX_NONE)
		e = sg_error_set(err, SG_EINVALID, NULL,
			"expected one CLIPS expression, as in (+ ?count 1)");
	if (e == 0)
		e = sg_check_expression(&sx, form, err);
	if (e == 0)
		e = note_uses(r, &sx, c, err);
	if (e == 0)
		sg_sx_write(&sx, form, &clean);
	sg_sx_finish(&sx);
	c->text = e == 0 ? sg_buf_take(&clean) : NULL;
	return e < 0 || c->text ? e : sg_error_nomem(err);
}

static int make_one(
	struct sg_rules *r, const struct sg_rules_expression *from, struct sg_error *err)
{
	struct sg_computed *c = &r->computed[r->n_computed++];
	const char *where = from->where ? from->where : "expression";
	c->owner = strdup(from->owner);
	c->name = strdup(from->name);
	c->where = strdup(where);
	if (!c->owner || !c->name || !c->where)
		return sg_error_nomem(err);
	if (check_text(r, c, from->text, err) < 0)
		return sg_source_located(err, where, false, "expression for", from->name);
	if (json_object_get(r->owners, from->owner))
		return 0;
	return json_object_set_new(
		       r->owners, from->owner, json_integer((json_int_t)r->n_computed - 1)) < 0
		       ? sg_error_nomem(err)
		       : 0;
}

int sg_computed_make(struct sg_rules *r, const struct sg_rules_spec *spec, struct sg_error *err)
{
	r->computed = calloc(spec->n_expressions + 1, sizeof(*r->computed));
	r->owners = json_object();
	int e = r->computed && r->owners ? 0 : sg_error_nomem(err);
	for (size_t i = 0; e == 0 && i < spec->n_expressions; i++)
		e = make_one(r, &spec->expressions[i], err);
	return e;
}

void sg_computed_finish(struct sg_rules *r)
{
	for (size_t i = 0; i < r->n_computed; i++) {
		free(r->computed[i].owner);
		free(r->computed[i].name);
		free(r->computed[i].where);
		free(r->computed[i].text);
		free(r->computed[i].uses);
	}
	json_decref(r->owners);
}

/* ---- the environment's part ---- */

void sg_computed_drop_code(struct sg_rules *r)
{
	for (size_t i = 0; i < r->n_computed; i++) {
		struct sg_computed *c = &r->computed[i];
		if (!c->code)
			continue;
		ExpressionDeinstall(r->env, c->code);
		ReturnExpression(r->env, c->code);
		c->code = NULL;
	}
}

static int build_one(struct sg_rules *r, struct sg_computed *c, struct sg_error *err)
{
	struct sg_error said = {0};
	sg_buf_reset(&r->said);
	if (!OpenStringSource(r->env, SOURCE, c->text, 0))
		return sg_error_nomem(err);
	c->code = ParseAtomOrExpression(r->env, SOURCE, NULL);
	(void)CloseStringSource(r->env, SOURCE);
	ClearParsedBindNames(r->env);
	if (c->code) {
		ExpressionInstall(r->env, c->code);
		return 0;
	}
	SetEvaluationError(r->env, TRUE);
	(void)sg_facts_failed(r, &said);
	return sg_error_set(err, SG_EINVALID, NULL, "%s: expression for %s: %.600s", c->where,
		c->name, said.text);
}

int sg_computed_build_all(struct sg_rules *r, struct sg_error *err)
{
	int e = 0;
	for (size_t i = 0; e == 0 && i < r->n_computed; i++)
		e = build_one(r, &r->computed[i], err);
	return e;
}

/* ---- evaluating ---- */

static int bind_one(
	struct sg_rules *r, const struct sg_mirror *m, const json_t *state, struct sg_error *err)
{
	struct field value = {0};
	const json_t *v = json_object_get(state, m->name);
	if (!v || json_is_null(v) || sg_facts_typed(r, m, v, &value) != 0)
		return sg_error_set(
			err, SG_EINVALID, "rule-error", "the field %s has no value", m->name);
	if (json_is_string(v) && json_string_length(v) > SG_RULE_STRING_MAX)
		return sg_error_set(err, SG_ELIMIT, "rule-error",
			"the field %s is longer than %u bytes", m->name, SG_RULE_STRING_MAX);
	struct dataObject *d = get_struct(r->env, dataObject);
	*d = (struct dataObject){.type = value.type, .value = value.value};
	d->supplementalInfo = EnvAddSymbol(r->env, m->name);
	IncrementSymbolCount(d->supplementalInfo);
	ValueInstall(r->env, d);
	d->next = ProcedureFunctionData(r->env)->BindList;
	ProcedureFunctionData(r->env)->BindList = d;
	return 0;
}

/* NULL: what JSON cannot hold. */
static json_t *json_of(const struct dataObject *v)
{
	switch (v->type) {
	case INTEGER: return json_integer(ValueToLong(v->value));
	case FLOAT:
		return isfinite(ValueToDouble(v->value)) ? json_real(ValueToDouble(v->value))
							 : NULL;
	case SYMBOL:
		if (strcmp(ValueToString(v->value), "TRUE") == 0)
			return json_true();
		if (strcmp(ValueToString(v->value), "FALSE") == 0)
			return json_false();
		return json_string(ValueToString(v->value));
	case STRING: return json_string(ValueToString(v->value));
	default: return NULL;
	}
}

static int evaluate(struct sg_rules *r, const struct sg_computed *c, const json_t *state,
	json_t **ret, struct sg_error *err)
{
	struct dataObject v = {0};
	int e = 0;
	for (size_t i = 0; e == 0 && i < c->n_uses; i++)
		e = bind_one(r, &r->mirrors[c->uses[i]], state, err);
	if (e == 0) {
		(void)EvaluateExpression(r->env, c->code, &v);
		e = sg_facts_failed(r, err);
	}
	*ret = e == 0 ? json_of(&v) : NULL;
	if (e == 0 && !*ret)
		e = sg_error_set(err, SG_EINVALID, "rule-error",
			"the value is no finite number and no UTF-8 text");
	FlushBindList(r->env);
	CleanCurrentGarbageFrame(r->env, NULL);
	if (e == 0 && sg_rules_late(r))
		e = sg_error_set(err, SG_ELIMIT, "rule-timeout",
			"the expressions of one node took longer than %lld ms",
			(long long)(r->limits.wall_us / 1000));
	return e < 0 ? sg_error_prefix(err, "expression for %s", c->name) : 0;
}

static int compute_all(
	struct sg_rules *r, size_t first, const json_t *state, json_t *update, struct sg_error *err)
{
	const char *owner = r->computed[first].owner;
	int e = 0;
	for (size_t i = first;
		e == 0 && i < r->n_computed && strcmp(r->computed[i].owner, owner) == 0; i++) {
		json_t *v = NULL;
		e = evaluate(r, &r->computed[i], state, &v, err);
		if (e < 0)
			json_decref(v);
		else if (json_object_set_new(update, r->computed[i].name, v) < 0)
			e = sg_error_nomem(err);
	}
	return e;
}

int sg_rules_compute(struct sg_rules *r, const char *owner, const json_t *state, json_t *update,
	struct sg_error *err)
{
	struct sg_error local = {0}, failure = {0};
	const json_t *first = json_object_get(r->owners, owner);
	err = err ? err : &local;
	if (!first)
		return 0;
	int e = sg_rules_ready(r, &failure, err);
	if (e == 0)
		e = compute_all(r, (size_t)json_integer_value(first), state, update, err);
	r->failure = NULL;
	return e;
}
