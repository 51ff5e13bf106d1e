/* Facts in, built through the C API: a value can never become syntax. The order is the one that
 * docs/reference/graphs.md states.
 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/pystr.h"
#include "base/json.h"
#include "rules/internal.h"

/* One line of what CLIPS said, without its "[CODE1] " and without the fact at hand: errors go to
 * logs, and what is in a state does not belong there. */
static void said_line(const struct sg_rules *r, char *out, size_t size)
{
	size_t n = 0;
	const char *p = r->said.data ? r->said.data : "";
	const char *fact = strstr(p, "Currently active fact:");
	for (; *p && n + 1 < size; p++) {
		if (p == fact) {
			const char *end = strchr(p, '\n');
			p = end ? end : p + strlen(p) - 1;
			continue;
		}
		if (*p == '[' && (p == r->said.data || p[-1] == '\n' || p[-1] == ' ')) {
			const char *end = strchr(p, ']');
			if (end && end[1] == ' ' && end - p < 16) {
				p = end + 1;
				continue;
			}
		}
		char c = *p == '\n' || *p == '\r' || *p == '\t' ? ' ' : *p;
		if (c != ' ' || (n > 0 && out[n - 1] != ' '))
			out[n++] = c;
	}
	while (n > 0 && out[n - 1] == ' ')
		n--;
	out[n] = '\0';
}

int sg_facts_failed(struct sg_rules *r, struct sg_error *err)
{
	if (r->failure && r->failure->code) {
		*err = *r->failure;
		r->dirty = true;
		return -err->code;
	}
	if (!r->said.len && !GetEvaluationError(r->env) && !GetHaltExecution(r->env))
		return 0;
	char text[600];
	said_line(r, text, sizeof(text));
	r->dirty = true;
	return sg_error_set(
		err, SG_EINVALID, "rule-error", "%s", text[0] ? text : "a rule's code failed");
}

static int submit(struct sg_rules *r, struct fact *f, struct sg_error *err)
{
	(void)EnvAssignFactSlotDefaults(r->env, f);
	const struct fact *done = EnvAssert(r->env, f); /* NULL: the same fact exists */
	int e = sg_facts_failed(r, err);
	if (e == 0 && done)
		sg_network_added(r, done);
	return e;
}

static struct fact *begin(struct sg_rules *r, struct deftemplate *t, struct sg_error *err)
{
	if (sg_network_admit(r, t, err) < 0) {
		r->dirty = true;
		return NULL;
	}
	struct fact *f = EnvCreateFact(r->env, t);
	if (!f)
		(void)sg_error_nomem(err);
	return f;
}

static void put_text(struct sg_rules *r, struct fact *f, int slot, int type, const char *text)
{
	f->theProposition.theFields[slot].type = (unsigned short)type;
	f->theProposition.theFields[slot].value = EnvAddSymbol(r->env, text);
}

static int too_long(const char *what, size_t n, struct sg_error *err)
{
	return sg_error_set(err, SG_ELIMIT, "rule-facts",
		"%s holds %zu bytes; a fact may hold %u: keep the field from the rules with route: "
		"false",
		what, n, SG_RULE_STRING_MAX);
}

int sg_facts_typed(struct sg_rules *r, const struct sg_mirror *m, const json_t *v, struct field *to)
{
	if (m->type == SG_SLOT_STRING && json_is_string(v)) {
		to->type = STRING;
		to->value = EnvAddSymbol(r->env, json_string_value(v));
	} else if (m->type == SG_SLOT_INTEGER && json_is_integer(v)) {
		to->type = INTEGER;
		to->value = EnvAddLong(r->env, json_integer_value(v));
	} else if (m->type == SG_SLOT_FLOAT && json_is_number(v)) {
		to->type = FLOAT;
		to->value = EnvAddDouble(r->env, json_number_value(v));
	} else if (m->type == SG_SLOT_BOOL && json_is_boolean(v)) {
		to->type = SYMBOL;
		to->value = json_is_true(v) ? EnvTrueSymbol(r->env) : EnvFalseSymbol(r->env);
	} else {
		return 1;
	}
	return 0;
}

static void forget(struct sg_rules *r, struct sg_mirror *m)
{
	if (!m->seen)
		return;
	for (int i = 0; i < 2; i++)
		AtomDeinstall(r->env, m->fields[i].type, m->fields[i].value);
	json_decref(m->seen);
	m->seen = NULL;
}

/* Keeps what the value became for the next step of the same run. */
static void keep(struct sg_rules *r, struct sg_mirror *m, const json_t *v, const struct field *f)
{
	forget(r, m);
	if (json_is_string(v) && json_string_length(v) > SG_RULE_SEEN_MAX)
		return;
	sg_autobuf text = SG_BUF_INIT(8U * SG_RULE_SEEN_MAX);
	sg_text_field("value", &f[0], &text);
	sg_text_field("typed", &f[1], &text);
	m->text.limit = 16U * SG_RULE_SEEN_MAX;
	sg_buf_reset(&m->text);
	if (!text.failed)
		sg_buf_add_json_escaped(&m->text, text.data, text.len);
	if (text.failed || m->text.failed)
		return;
	for (int i = 0; i < 2; i++) {
		m->fields[i] = f[i];
		AtomInstall(r->env, f[i].type, f[i].value);
	}
	m->seen = json_incref((json_t *)(uintptr_t)v);
}

/* The slots value and typed of a mirrored fact. */
static int mirror_fields(struct sg_rules *r, const struct sg_mirror *m, const json_t *v,
	struct field ret[2], struct sg_error *err)
{
	sg_autobuf text = SG_BUF_INIT(64);
	if (sg_facts_typed(r, m, v, &ret[1]) != 0)
		return sg_error_set(
			err, SG_EINVALID, NULL, "state field %s is not of its type", m->name);
	ret[0] = ret[1];
	if (m->type == SG_SLOT_STRING)
		return 0;
	if (m->type == SG_SLOT_FLOAT && json_is_integer(v)) {
		json_t *real = json_real((double)json_integer_value(v));
		sg_pystr(real, &text);
		json_decref(real);
	} else {
		sg_pystr(v, &text);
	}
	ret[0].type = STRING;
	ret[0].value = EnvAddSymbol(r->env, text.data ? text.data : "");
	return 0;
}

static int assert_field(
	struct sg_rules *r, struct sg_mirror *m, const json_t *v, struct sg_error *err)
{
	struct field fields[2] = {m->fields[0], m->fields[1]};
	if (json_is_string(v) && json_string_length(v) > SG_RULE_STRING_MAX)
		return too_long(m->name, json_string_length(v), err);
	if (m->seen != v) {
		int e = mirror_fields(r, m, v, fields, err);
		if (e < 0)
			return e;
		keep(r, m, v, fields);
	}
	struct fact *f = begin(r, m->clips, err);
	if (!f)
		return -err->code;
	memcpy(f->theProposition.theFields, fields, sizeof(fields));
	for (int i = 0; i < 6; i++) {
		f->theProposition.theFields[2 + i].type = STRING;
		f->theProposition.theFields[2 + i].value = r->provenance.symbols[i];
	}
	return submit(r, f, err);
}

/* A slot of (type SYMBOL): a text is none there, and no rule could ever match it. */
static bool takes_symbols(const struct templateSlot *s)
{
	const struct constraintRecord *c = s->constraints;
	return c && !c->anyAllowed && c->symbolsAllowed && !c->stringsAllowed;
}

static int put_slot(
	struct sg_rules *r, struct fact *f, const char *key, const json_t *v, struct sg_error *err)
{
	int at = 0;
	const struct templateSlot *s = f->whichDeftemplate->slotList;
	for (; s && strcmp(ValueToString(s->slotName), key) != 0; s = s->next)
		at++;
	if (!s || s->multislot)
		return sg_error_set(err, SG_EINVALID, NULL, "fact %s has no slot \"%.64s\"",
			ValueToString(f->whichDeftemplate->header.name), key);
	struct field *to = &f->theProposition.theFields[at];
	sg_autobuf text = SG_BUF_INIT(SG_RULE_STRING_MAX);
	if (key[0] == '_' || json_is_string(v)) {
		sg_pystr(v, &text);
	} else if (json_is_integer(v)) {
		to->type = INTEGER;
		to->value = EnvAddLong(r->env, json_integer_value(v));
		return 0;
	} else if (json_is_real(v)) {
		to->type = FLOAT;
		to->value = EnvAddDouble(r->env, json_real_value(v));
		return 0;
	} else if (json_is_boolean(v) || json_is_null(v)) {
		put_text(r, f, at, SYMBOL,
			json_is_null(v)	  ? "nil"
			: json_is_true(v) ? "TRUE"
					  : "FALSE");
		return 0;
	} else if (sg_json_canonical(v, &text, err) < 0) {
		return -err->code;
	}
	if (text.failed)
		return too_long(key, json_string_length(v), err);
	put_text(r, f, at, takes_symbols(s) ? SYMBOL : STRING, text.data ? text.data : "");
	return 0;
}

static int assert_carried(struct sg_rules *r, const struct sg_fact_in *in, struct sg_error *err)
{
	sg_autofree char *name = sg_rules_mangle(in->template_name);
	struct deftemplate *t = name ? EnvFindDeftemplate(r->env, name) : NULL;
	if (!t || t->implied)
		return sg_error_set(
			err, SG_EINVALID, NULL, "no fact is called \"%.64s\"", in->template_name);
	struct fact *f = begin(r, t, err);
	if (!f)
		return -err->code;
	const char *key;
	json_t *v;
	json_object_foreach ((json_t *)in->slots, key, v) {
		int e = put_slot(r, f, key, v, err);
		if (e < 0) {
			ReturnFact(r->env, f);
			return e;
		}
	}
	return submit(r, f, err);
}

/* Matches made only of what earlier steps saw: (initial-fact), deffacts, carried facts. A match of
 * no fact at all (only not, only test) stays: it is judged anew. */
static void drop_seen(struct sg_rules *r)
{
	void *next;
	for (void *a = EnvGetNextActivation(r->env, NULL); a; a = next) {
		next = EnvGetNextActivation(r->env, a);
		const struct partialMatch *basis = ((struct activation *)a)->basis;
		bool of_facts = false;
		for (unsigned i = 0; i < basis->bcount; i++) {
			const struct alphaMatch *m = basis->binds[i].gm.theMatch;
			of_facts = of_facts || (m && m->matchingItem);
		}
		if (of_facts)
			(void)EnvDeleteActivation(r->env, a);
	}
}

static int assert_node(struct sg_rules *r, const char *node_id, struct sg_error *err)
{
	struct fact *f = begin(r, r->t_node, err);
	if (!f)
		return -err->code;
	put_text(r, f, 0, SYMBOL, node_id);
	return submit(r, f, err);
}

void sg_facts_drop_provenance(struct sg_rules *r)
{
	for (int i = 0; i < 6; i++) {
		if (r->provenance.symbols[i])
			DecrementSymbolCount(r->env, r->provenance.symbols[i]);
		r->provenance.symbols[i] = NULL;
	}
	sg_buf_reset(&r->provenance.text);
}

void sg_facts_forget(struct sg_rules *r)
{
	for (size_t i = 0; i < r->n_mirrors; i++)
		if (r->env)
			forget(r, &r->mirrors[i]);
	if (r->env)
		sg_facts_drop_provenance(r);
}

static int take_provenance(struct sg_rules *r, const struct sg_rules_step *in, struct sg_error *err)
{
	static const char *const names[6] = {
		"_origin", "_source", "_run_id", "_step", "_confidence", "_timestamp"};
	char step[24];
	(void)snprintf(step, sizeof(step), "%lld", (long long)in->step);
	const char *texts[6] = {"state", "mirror", in->run_id ? in->run_id : "", step, "1.0",
		in->timestamp ? in->timestamp : ""};
	sg_autobuf text = SG_BUF_INIT(SG_RULE_TEXT_MAX);
	sg_facts_drop_provenance(r);
	for (int i = 0; i < 6; i++) {
		r->provenance.symbols[i] = EnvAddSymbol(r->env, texts[i]);
		IncrementSymbolCount(r->provenance.symbols[i]);
		sg_text_slot(names[i], texts[i], &text);
	}
	sg_buf_addc(&text, ')');
	if (!text.failed)
		sg_buf_add_json_escaped(&r->provenance.text, text.data, text.len);
	r->provenance.text.failed |= text.failed;
	return r->provenance.text.failed ? too_long("the run's id", 0, err) : 0;
}

static int assert_mirrors(struct sg_rules *r, const struct sg_rules_step *in, struct sg_error *err)
{
	int e = take_provenance(r, in, err);
	for (size_t i = 0; e == 0 && i < r->n_mirrors; i++) {
		const json_t *v = json_object_get(in->state, r->mirrors[i].name);
		if (v && !json_is_null(v))
			e = assert_field(r, &r->mirrors[i], v, err);
	}
	return e;
}

int sg_facts_assert_step(struct sg_rules *r, const struct sg_rules_step *in, struct sg_error *err)
{
	int e = 0;
	size_t seen = in->n_seen < in->n_facts ? in->n_seen : in->n_facts;
	for (size_t i = 0; e == 0 && i < seen; i++)
		e = assert_carried(r, &in->facts[i], err);
	if (e == 0 && !in->first && in->step != 0)
		drop_seen(r);
	if (e == 0)
		e = assert_node(r, in->node_id, err);
	for (size_t i = 0; e == 0 && i < in->n_about; i++)
		e = assert_carried(r, &in->about[i], err);
	if (e == 0)
		e = assert_mirrors(r, in, err);
	for (size_t i = seen; e == 0 && i < in->n_facts; i++)
		e = assert_carried(r, &in->facts[i], err);
	return e;
}
