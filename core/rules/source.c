/* From a specification to the list of CLIPS constructs that prepare an environment: our templates,
 * the fields', the packs' constructs and the graph's rules, each checked before it is accepted. The
 * list is kept, so that an environment can be built again after an error.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "rules/internal.h"

#define PROVENANCE \
	" (slot _origin (type STRING) (default \"\")) (slot _source (type STRING) (default \"\"))" \
	" (slot _run_id (type STRING) (default \"\")) (slot _step (type STRING) (default \"\"))" \
	" (slot _confidence (type STRING) (default \"\"))" \
	" (slot _timestamp (type STRING) (default \"\")))"
#define PROVENANCE_SLOTS "_origin", "_source", "_run_id", "_step", "_confidence", "_timestamp"

static const char *const action_slots[] = {"kind", "target", "reason", "rule_id", "step", "targets",
	"join", "strategy", "backoff_ms", "fact", "slots", "pattern", "prompt", "interrupt_payload",
	"requested_capability", "timeout", "on_timeout", "escalation_target"};

static const struct {
	const char *name;
	const char *text; /* NULL: untyped slots, then provenance */
	const char *slots[20];
} builtin[] = {
	{"node-id", "(deftemplate node-id (slot id (type SYMBOL)))", {"id"}},
	{"stargraph_action",
		"(deftemplate stargraph_action (slot kind (type SYMBOL) (allowed-symbols goto "
		"parallel halt "
		"retry assert retract interrupt allow deny escalate scope route))"
		" (slot target (type STRING) (default \"\")) (slot reason (type STRING) (default "
		"\"\"))"
		" (slot rule_id (type STRING) (default \"\")) (slot step (type INTEGER) (default "
		"0))"
		" (multislot targets (type STRING)) (slot join (type STRING) (default \"\"))"
		" (slot strategy (type SYMBOL) (default all)) (slot backoff_ms (type INTEGER) "
		"(default 0))"
		" (slot fact (type STRING) (default \"\")) (slot slots (type STRING) (default "
		"\"\"))"
		" (slot pattern (type STRING) (default \"\")) (slot prompt (type STRING) (default "
		"\"\"))"
		" (slot interrupt_payload (type STRING) (default \"\"))"
		" (slot requested_capability (type STRING) (default \"\"))"
		" (slot timeout (type STRING) (default \"\")) (slot on_timeout (type STRING) "
		"(default \"halt\"))"
		" (slot escalation_target (type STRING) (default \"\")))",
		{NULL}},
	{"stargraph-evidence", NULL, {"data", "text", "node", "run_id", "step"}},
	{"stargraph-answer", NULL, {"node", "key", "value", "typed"}},
	{"stargraph-tool-call", NULL, {"tool_id", "args_count"}},
	{"stargraph-tool-result", NULL, {"tool_id", "fields"}},
	{"stargraph-tokens-used", NULL, {"tool_id", "total"}},
	{"bosun-violation", NULL, {"kind", "severity", "run_id", "reason"}},
	{"bosun-audit", NULL, {"run_id", "step", "kind", "detail"}},
	{"stargraph-run", NULL,
		{"node", "kind", "next", "steps", "elapsed_ms", "visits", "in_a_row", "tool_calls",
			"tokens"}},
	{"stargraph-node", NULL, {"id", "kind", "entry"}},
	{"stargraph-text", NULL, {"field", "part", "value"}},
};

static int construct_add(struct sg_rules *r, struct sg_buf *text, const char *where,
	const char *rule_id, int rule, struct sg_error *err)
{
	if (text->failed || text->len > SG_RULE_TEXT_MAX)
		return sg_error_set(err, SG_EINVALID, NULL, "%s: longer than %u bytes", where,
			SG_RULE_TEXT_MAX);
	struct sg_construct *grown = realloc(r->constructs, (r->n_constructs + 1) * sizeof(*grown));
	if (!grown)
		return sg_error_nomem(err);
	r->constructs = grown;
	struct sg_construct *c = &grown[r->n_constructs];
	*c = (struct sg_construct){.text = sg_buf_take(text),
		.where = strdup(where),
		.rule_id = rule_id ? strdup(rule_id) : NULL,
		.rule = rule};
	r->n_constructs++;
	return c->text && c->where && (c->rule_id || !rule_id) ? 0 : sg_error_nomem(err);
}

static int add_template(struct sg_rules *r, const char *name, const char *const *slots, size_t n,
	bool fixed, struct sg_error *err)
{
	const char *all[SG_RULE_PATTERNS_MAX + 6] = {PROVENANCE_SLOTS};
	if (n > SG_RULE_PATTERNS_MAX)
		return sg_error_set(err, SG_EINVALID, NULL, "fact %s: more than %d slots", name,
			SG_RULE_PATTERNS_MAX);
	for (size_t i = 0; i < n; i++)
		all[6 + i] = slots[i];
	return sg_templates_add(&r->templates, name, all, n + 6, fixed, err);
}

static bool is_name(const char *s)
{
	if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || *s == '_'))
		return false;
	return strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") ==
	       strlen(s);
}

static int untyped_template(struct sg_rules *r, const char *given, const char *const *slots,
	size_t n, bool fixed, struct sg_error *err)
{
	sg_autofree char *name = sg_rules_mangle(given);
	sg_autobuf text = SG_BUF_INIT(SG_RULE_TEXT_MAX);
	if (!name)
		return sg_error_nomem(err);
	if (!is_name(name) || !sg_rules_name_free(name))
		return sg_error_set(err, SG_EINVALID, NULL, "\"%.64s\" cannot name a fact", given);
	sg_buf_addf(&text, "(deftemplate %s", name);
	for (size_t i = 0; i < n; i++) {
		if (!is_name(slots[i]))
			return sg_error_set(err, SG_EINVALID, NULL,
				"fact %s: \"%.64s\" cannot name a slot", name, slots[i]);
		sg_buf_addf(&text, " (slot %s (default \"\"))", slots[i]);
	}
	sg_buf_adds(&text, PROVENANCE);
	int e = add_template(r, name, slots, n, fixed, err);
	return e < 0 ? e : construct_add(r, &text, name, NULL, -1, err);
}

static size_t count(const char *const *list)
{
	size_t n = 0;
	while (list[n])
		n++;
	return n;
}

static int add_builtin(struct sg_rules *r, struct sg_error *err)
{
	const char *none[] = {NULL};
	int e = sg_templates_add(&r->templates, "initial-fact", none, 0, true, err);
	for (size_t i = 0; e == 0 && i < SG_ARRAY_LEN(builtin); i++) {
		const char *const *slots = builtin[i].slots;
		if (!builtin[i].text) {
			e = untyped_template(r, builtin[i].name, slots, count(slots), true, err);
			continue;
		}
		sg_autobuf text = SG_BUF_INIT(SG_RULE_TEXT_MAX);
		sg_buf_adds(&text, builtin[i].text);
		bool action = !slots[0];
		e = sg_templates_add(&r->templates, builtin[i].name, action ? action_slots : slots,
			action ? SG_ARRAY_LEN(action_slots) : count(slots), true, err);
		if (e == 0)
			e = construct_add(r, &text, builtin[i].name, NULL, -1, err);
	}
	return e;
}

static int add_fields(struct sg_rules *r, const struct sg_rules_spec *spec, struct sg_error *err)
{
	static const char *const types[] = {[SG_SLOT_STRING] = "(type STRING)",
		[SG_SLOT_INTEGER] = "(type INTEGER)",
		[SG_SLOT_FLOAT] = "(type FLOAT)",
		[SG_SLOT_BOOL] = "(type SYMBOL) (allowed-symbols TRUE FALSE)"};
	static const char *const slots[] = {"value", "typed"};
	r->mirrors = calloc(spec->n_fields + 1, sizeof(*r->mirrors));
	if (!r->mirrors)
		return sg_error_nomem(err);
	for (size_t i = 0; i < spec->n_fields; i++) {
		const struct sg_rules_field *f = &spec->fields[i];
		if (!is_name(f->name) || !sg_rules_name_free(f->name) ||
			sg_templates_find(&r->templates, f->name))
			return sg_error_set(err, SG_EINVALID, NULL,
				"state field \"%.64s\" cannot be mirrored: the name is taken",
				f->name);
		sg_autobuf text = SG_BUF_INIT(SG_RULE_TEXT_MAX);
		sg_buf_addf(&text,
			"(deftemplate %s (slot value (type STRING)) (slot typed %s)" PROVENANCE,
			f->name, types[f->type]);
		int e = add_template(r, f->name, slots, 2, true, err);
		if (e == 0)
			e = construct_add(r, &text, f->name, NULL, -1, err);
		if (e < 0)
			return e;
		r->mirrors[i] = (struct sg_mirror){.name = strdup(f->name), .type = f->type};
		r->n_mirrors = i + 1;
		if (!r->mirrors[i].name)
			return sg_error_nomem(err);
	}
	return 0;
}

/* ---- packs ---- */

struct pack {
	struct sg_rules *r;
	const struct sg_rules_pack *p;
	const struct sg_sx *sx;
	struct sg_error *err;
};

/* Errors of the checks start with "line N: ", counted in the text that was read. For a pack that is
 * the file's line; a graph's rule has its place in `file` already. */
int sg_source_located(
	struct sg_error *err, const char *file, bool with_line, const char *what, const char *name)
{
	int line = 0, used = 0;
	char text[sizeof(err->text)];
	if (!err)
		return -SG_EINVALID;
	memcpy(text, err->text, sizeof(text));
	if (sscanf(text, "line %d: %n", &line, &used) != 1)
		used = 0;
	char sep[24] = "";
	if (line > 0 && with_line)
		(void)snprintf(sep, sizeof(sep), ":%d", line);
	(void)snprintf(err->text, sizeof(err->text), "%.300s%s: %s %.100s: %.500s", file, sep, what,
		name, text + used);
	return -err->code;
}

static int pack_fail(struct pack *k, const char *what, const char *name)
{
	return sg_source_located(k->err, k->p->where, true, what, name);
}

static void atom_text(const struct sg_sx *sx, int node, char ret_text[128])
{
	ret_text[0] = '\0';
	if (node == SG_SX_NONE || sx->nodes[node].kind != SG_SX_ATOM || sx->nodes[node].len > 127)
		return;
	memcpy(ret_text, sx->nodes[node].text, sx->nodes[node].len);
	ret_text[sx->nodes[node].len] = '\0';
}

/* The node after the name and the optional comment string. */
static int body_of(const struct sg_sx *sx, int name)
{
	int at = name == SG_SX_NONE ? SG_SX_NONE : sx->nodes[name].next;
	if (at != SG_SX_NONE && sx->nodes[at].kind == SG_SX_STRING)
		at = sx->nodes[at].next;
	return at;
}

/* A default's expression is evaluated by CLIPS: it may call only what rules may. */
static int check_facets(struct pack *k, int slot, struct sg_error *err)
{
	const struct sg_sx *sx = k->sx;
	char head[128];
	int name = sx->nodes[sx->nodes[slot].first].next;
	for (int f = name == SG_SX_NONE ? SG_SX_NONE : sx->nodes[name].next; f != SG_SX_NONE;
		f = sx->nodes[f].next) {
		sg_sx_head(sx, f, head);
		if (strncmp(head, "default", 7) != 0)
			continue;
		for (int v = sx->nodes[sx->nodes[f].first].next; v != SG_SX_NONE;
			v = sx->nodes[v].next) {
			int e = sg_check_expression(sx, v, err);
			if (e < 0)
				return e;
		}
	}
	return 0;
}

static int template_slots(
	struct pack *k, int from, const char **slots, char (*names)[128], size_t *ret_n)
{
	const struct sg_sx *sx = k->sx;
	size_t n = 0;
	for (int at = from; at != SG_SX_NONE; at = sx->nodes[at].next) {
		char head[128];
		if (strcmp(sg_sx_head(sx, at, head), "slot") != 0 && strcmp(head, "field") != 0)
			return sg_error_set(k->err, SG_EINVALID, NULL,
				"line %d: only single slots, (slot name …), are allowed",
				sx->nodes[at].line);
		if (n == SG_RULE_PATTERNS_MAX)
			return sg_error_set(k->err, SG_EINVALID, NULL,
				"line %d: more than %d slots", sx->nodes[at].line,
				SG_RULE_PATTERNS_MAX);
		atom_text(sx, sx->nodes[sx->nodes[at].first].next, names[n]);
		if (!names[n][0])
			return sg_error_set(k->err, SG_EINVALID, NULL,
				"line %d: a slot without a name", sx->nodes[at].line);
		slots[n] = names[n];
		n++;
		int e = check_facets(k, at, k->err);
		if (e < 0)
			return e;
	}
	*ret_n = n;
	return 0;
}

static bool has_slots(const struct sg_template *t, const char *const *slots, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		bool found = false;
		for (size_t j = 0; j < t->n_slots; j++)
			found = found || strcmp(t->slots[j], slots[i]) == 0;
		if (!found)
			return false;
	}
	return true;
}

static int slot_name_of(const struct sg_sx *sx, int slot)
{
	return sx->nodes[sx->nodes[slot].first].next;
}

/* A fact that the graph's own actions assert, and that a pack describes: it gets the pack's other
 * slots as the pack has them. */
static int extend_template(struct pack *k, struct sg_template *old, int name_at)
{
	const struct sg_sx *sx = k->sx;
	struct sg_construct *c = k->r->constructs;
	sg_autobuf text = SG_BUF_INIT(SG_RULE_TEXT_MAX + 1);
	sg_autofree char *head = NULL;
	char name[128];
	if (asprintf(&head, "(deftemplate %s", old->name) < 0)
		return sg_error_nomem(k->err);
	while (strcmp(c->where, old->name) != 0) /* its construct is there, and named so */
		c++;
	sg_buf_adds(&text, head);
	for (int at = body_of(sx, name_at); at != SG_SX_NONE; at = sx->nodes[at].next) {
		const char *one = name;
		atom_text(sx, slot_name_of(sx, at), name);
		if (has_slots(old, &one, 1))
			continue;
		if (sg_templates_add_slot(old, name, k->err) < 0)
			return -SG_ENOMEM;
		sg_buf_addc(&text, ' ');
		sg_sx_write(sx, at, &text);
	}
	sg_buf_adds(&text, c->text + strlen(head));
	char *whole = text.failed ? NULL : sg_buf_take(&text);
	if (!whole)
		return sg_error_nomem(k->err);
	free(c->text);
	c->text = whole;
	return 0;
}

/* Several packs may declare the same fact; the first declaration stands, and it must have every
 * slot that the others want. */
static int pack_template(struct pack *k, int form, int name_at, const char *name)
{
	const char *slots[SG_RULE_PATTERNS_MAX];
	char names[SG_RULE_PATTERNS_MAX][128];
	size_t n = 0;
	if (template_slots(k, body_of(k->sx, name_at), slots, names, &n) < 0)
		return pack_fail(k, "deftemplate", name);
	sg_autofree char *mangled = sg_rules_mangle(name);
	if (!mangled)
		return sg_error_nomem(k->err);
	struct sg_template *old = sg_templates_find(&k->r->templates, mangled);
	if (old && has_slots(old, slots, n))
		return 0;
	if (old && old->open)
		return extend_template(k, old, name_at);
	if (old || !is_name(mangled) || !sg_rules_name_free(mangled)) {
		(void)sg_error_set(k->err, SG_EINVALID, NULL, "line %d: %s",
			k->sx->nodes[form].line,
			old ? "the fact exists already, with other slots"
			    : "not a name for a fact");
		return pack_fail(k, "deftemplate", name);
	}
	int e = sg_templates_add(&k->r->templates, mangled, slots, n, false, k->err);
	sg_autobuf text = SG_BUF_INIT(SG_RULE_TEXT_MAX + 1);
	sg_buf_addf(&text, "(deftemplate %s", mangled);
	for (int at = body_of(k->sx, name_at); at != SG_SX_NONE; at = k->sx->nodes[at].next) {
		sg_buf_addc(&text, ' ');
		sg_sx_write(k->sx, at, &text);
	}
	sg_buf_addc(&text, ')');
	return e < 0 ? e : construct_add(k->r, &text, k->p->where, NULL, -1, k->err);
}

static int find_arrow(const struct sg_sx *sx, int from)
{
	for (int at = from; at != SG_SX_NONE; at = sx->nodes[at].next)
		if (sg_sx_is(sx, at, "=>"))
			return at;
	return SG_SX_NONE;
}

static int pack_rule(struct pack *k, int name_at, const char *name)
{
	const struct sg_sx *sx = k->sx;
	int body = body_of(sx, name_at), arrow = find_arrow(sx, body);
	if (arrow == SG_SX_NONE) {
		(void)sg_error_set(
			k->err, SG_EINVALID, NULL, "line %d: no =>", sx->nodes[name_at].line);
		return pack_fail(k, "rule", name);
	}
	if (sg_check_lhs(sx, name_at, body, arrow, &k->r->templates, k->err) < 0 ||
		sg_check_actions(sx, sx->nodes[arrow].next, &k->r->templates, k->err) < 0)
		return pack_fail(k, "rule", name);
	sg_autofree char *id = NULL;
	sg_autofree char *where = NULL;
	sg_autobuf text = SG_BUF_INIT(SG_RULE_TEXT_MAX + 1);
	if (asprintf(&id, "%s/%s", k->p->id, name) < 0 ||
		asprintf(&where, "%s:%d: rule %s", k->p->where, sx->nodes[name_at].line, name) < 0)
		return sg_error_nomem(k->err);
	for (size_t i = 0; i < k->r->n_constructs; i++)
		if (k->r->constructs[i].rule_id && strcmp(k->r->constructs[i].rule_id, id) == 0)
			return sg_error_set(
				k->err, SG_EINVALID, NULL, "%s: a second rule of that name", where);
	sg_buf_addf(&text, "(defrule %s", id);
	for (int at = body; at != SG_SX_NONE; at = sx->nodes[at].next) {
		sg_buf_addc(&text, ' ');
		sg_sx_write(sx, at, &text);
	}
	sg_buf_addc(&text, ')');
	int e = construct_add(k->r, &text, where, id, -1, k->err);
	if (e < 0)
		return e;
	struct sg_construct *c = &k->r->constructs[k->r->n_constructs - 1];
	c->version = k->p->version ? strdup(k->p->version) : NULL;
	return k->p->version && !c->version ? sg_error_nomem(k->err) : 0;
}

static int pack_facts(struct pack *k, int name_at, const char *name)
{
	const struct sg_sx *sx = k->sx;
	sg_autobuf text = SG_BUF_INIT(SG_RULE_TEXT_MAX + 1);
	sg_buf_addf(&text, "(deffacts %s/%s", k->p->id, name);
	for (int at = body_of(sx, name_at); at != SG_SX_NONE; at = sx->nodes[at].next) {
		if (sg_check_fact(sx, at, &k->r->templates, k->err) < 0)
			return pack_fail(k, "deffacts", name);
		sg_buf_addc(&text, ' ');
		sg_sx_write(sx, at, &text);
	}
	sg_buf_addc(&text, ')');
	return construct_add(k->r, &text, k->p->where, NULL, -1, k->err);
}

static int pack_form(struct pack *k, int form)
{
	const struct sg_sx *sx = k->sx;
	char head[128], name[128];
	sg_sx_head(sx, form, head);
	int name_at = sx->nodes[form].first == SG_SX_NONE ? SG_SX_NONE
							  : sx->nodes[sx->nodes[form].first].next;
	atom_text(sx, name_at, name);
	bool template = strcmp(head, "deftemplate") == 0, rule = strcmp(head, "defrule") == 0;
	if (!template && !rule && strcmp(head, "deffacts") != 0)
		return sg_error_set(k->err, SG_EINVALID, NULL,
			"%s:%d: \"%s\" is not allowed in a rule pack, only deftemplate, defrule "
			"and deffacts",
			k->p->where, sx->nodes[form].line, head);
	if (!name[0])
		return sg_error_set(k->err, SG_EINVALID, NULL, "%s:%d: %s without a name",
			k->p->where, sx->nodes[form].line, head);
	if (template)
		return pack_template(k, form, name_at, name);
	return rule ? pack_rule(k, name_at, name) : pack_facts(k, name_at, name);
}

static int add_pack(struct sg_rules *r, const struct sg_rules_pack *p, struct sg_error *err)
{
	struct sg_sx sx = {0};
	if (p->len > SG_RULE_PACK_MAX)
		return sg_error_set(err, SG_EINVALID, NULL, "%s: longer than %u bytes", p->where,
			SG_RULE_PACK_MAX);
	if (sg_sx_parse(&sx, p->text, p->len, err) < 0)
		return sg_source_located(err, p->where, true, "pack", p->id);
	struct pack k = {.r = r, .p = p, .sx = &sx, .err = err};
	int e = 0;
	for (int at = sx.nodes[0].first; e == 0 && at != SG_SX_NONE; at = sx.nodes[at].next)
		e = pack_form(&k, at);
	sg_sx_finish(&sx);
	return e;
}

/* ---- the graph's own rules ---- */

static void add_action_slot(struct sg_buf *b, const char *key, const json_t *v)
{
	bool symbol = (strcmp(key, "kind") == 0 || strcmp(key, "strategy") == 0) &&
		      json_is_string(v) &&
		      strspn(json_string_value(v), "abcdefghijklmnopqrstuvwxyz:0123456789") ==
			      json_string_length(v);
	sg_buf_addf(b, " (%s", key);
	if (json_is_array(v)) {
		size_t i;
		json_t *one;
		json_array_foreach ((json_t *)v, i, one) {
			sg_buf_addc(b, ' ');
			sg_buf_add_clips_string(
				b, json_is_string(one) ? json_string_value(one) : "");
		}
	} else if (symbol) {
		sg_buf_addf(b, " %s", json_string_value(v));
	} else if (json_is_integer(v) && strcmp(key, "backoff_ms") == 0) {
		sg_buf_addf(b, " %" JSON_INTEGER_FORMAT, json_integer_value(v));
	} else {
		sg_autobuf text = SG_BUF_INIT(SG_RULE_TEXT_MAX);
		if (json_is_string(v))
			sg_buf_adds(&text, json_string_value(v));
		else
			(void)sg_json_canonical(v, &text, NULL);
		sg_buf_addc(b, ' ');
		sg_buf_add_clips_string(b, text.data ? text.data : "");
	}
	sg_buf_addc(b, ')');
}

static void add_then(struct sg_buf *b, const struct sg_rules_rule *rule)
{
	size_t i;
	json_t *action;
	json_array_foreach ((json_t *)rule->then, i, action) {
		sg_buf_adds(b, " (assert (stargraph_action");
		for (size_t k = 0; k < SG_ARRAY_LEN(action_slots); k++) {
			const json_t *v = json_object_get(action, action_slots[k]);
			if (v && !json_is_null(v))
				add_action_slot(b, action_slots[k], v);
		}
		sg_buf_adds(b, " (rule_id ");
		sg_buf_add_clips_string(b, rule->id);
		sg_buf_adds(b, ")))");
	}
}

static int rule_text(struct sg_rules *r, const struct sg_rules_rule *rule, struct sg_buf *text,
	struct sg_error *err)
{
	struct sg_sx sx = {0};
	sg_buf_addf(text, "(defrule graph/%s ", rule->id);
	if (rule->salience)
		sg_buf_addf(text, "(declare (salience %d)) ", rule->salience);
	const char *lhs =
		rule->lhs && rule->lhs[strspn(rule->lhs, " \t\r\n")] ? rule->lhs : "(initial-fact)";
	int e = sg_sx_parse(&sx, lhs, strlen(lhs), err);
	if (e == 0)
		e = sg_check_lhs(&sx, 0, sx.nodes[0].first, SG_SX_NONE, &r->templates, err);
	if (e == 0)
		sg_sx_write(&sx, 0, text);
	sg_sx_finish(&sx);
	sg_buf_adds(text, " =>");
	add_then(text, rule);
	sg_buf_addc(text, ')');
	return e;
}

/* What a retract names must be a fact that somebody can assert. */
static int check_retracts(
	struct sg_rules *r, const struct sg_rules_rule *rule, struct sg_error *err)
{
	size_t i;
	json_t *action;
	json_array_foreach ((json_t *)rule->then, i, action) {
		const char *pattern = json_string_value(json_object_get(action, "pattern"));
		json_t *parsed = NULL;
		struct sg_sx sx = {0};
		if (!pattern)
			continue;
		int e = sg_rules_parse_pattern(pattern, &parsed, err);
		json_decref(parsed);
		if (e == 0)
			e = sg_sx_parse(&sx, pattern, strlen(pattern), err);
		if (e == 0)
			e = sg_check_fact(&sx, sx.nodes[0].first, &r->templates, err);
		sg_sx_finish(&sx);
		if (e < 0)
			return e;
	}
	return 0;
}

static int add_rule(
	struct sg_rules *r, const struct sg_rules_rule *rule, int index, struct sg_error *err)
{
	sg_autobuf text = SG_BUF_INIT(SG_RULE_TEXT_MAX + 1);
	sg_autofree char *where = NULL;
	const char *file = rule->where ? rule->where : "graph";
	if (strspn(rule->id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") !=
			strlen(rule->id) ||
		!rule->id[0])
		return sg_error_set(
			err, SG_EINVALID, NULL, "%s: \"%.64s\" cannot name a rule", file, rule->id);
	if (asprintf(&where, "%s: rule %s", file, rule->id) < 0)
		return sg_error_nomem(err);
	if (rule_text(r, rule, &text, err) < 0 || check_retracts(r, rule, err) < 0)
		return sg_source_located(err, file, false, "rule", rule->id);
	return construct_add(r, &text, where, rule->id, index, err);
}

int sg_source_make(struct sg_rules *r, const struct sg_rules_spec *spec, struct sg_error *err)
{
	int e = add_builtin(r, err);
	if (e == 0)
		e = add_fields(r, spec, err);
	for (size_t i = 0; e == 0 && i < spec->n_templates; i++) {
		const struct sg_rules_template *t = &spec->templates[i];
		sg_autofree char *name = sg_rules_mangle(t->name);
		const struct sg_template *old =
			name ? sg_templates_find(&r->templates, name) : NULL;
		if (!old || !has_slots(old, t->slots, t->n_slots))
			e = old ? sg_error_set(err, SG_EINVALID, NULL,
					  "fact %s exists already, with other slots", t->name)
				: untyped_template(r, t->name, t->slots, t->n_slots, true, err);
		if (!old && e == 0)
			r->templates.all[r->templates.n - 1].open = true;
	}
	for (size_t i = 0; e == 0 && i < spec->n_packs; i++)
		e = add_pack(r, &spec->packs[i], err);
	for (size_t i = 0; e == 0 && i < spec->n_rules; i++)
		e = add_rule(r, &spec->rules[i], (int)i, err);
	return e == 0 ? sg_computed_make(r, spec, err) : e;
}
