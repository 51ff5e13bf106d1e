/* What rule text says, construct by construct, without an environment: for lists and comparisons.
 * Nothing is checked but the parentheses; what a graph mounts has been compiled before. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "rules/internal.h"

bool sg_rules_at(const struct sg_rules *r, size_t i, const char **ret_id, const char **ret_where)
{
	for (size_t k = 0; k < r->n_constructs; k++)
		if (r->constructs[k].rule_id && i-- == 0) {
			*ret_id = r->constructs[k].rule_id;
			*ret_where = r->constructs[k].where;
			return true;
		}
	return false;
}

/* Words as the keys of an object: each once. */
static void note(json_t *set, const char *word, size_t n)
{
	json_t *key = n ? json_stringn(word, n) : NULL;
	if (key)
		(void)json_object_set_new(set, json_string_value(key), json_true());
	json_decref(key);
}

struct outline {
	const struct sg_sx *sx;
	json_t *kinds, *capabilities, *targets;
};

/* The literal in (slot literal), or nothing where it is computed. */
static void note_value(const struct sg_sx *sx, int slot, json_t *set)
{
	int v = sx->nodes[sx->nodes[slot].first].next;
	if (v == SG_SX_NONE || sx->nodes[v].kind == SG_SX_LIST || sx->nodes[v].text[0] == '?')
		return;
	bool quoted = sx->nodes[v].kind == SG_SX_STRING && sx->nodes[v].len >= 2;
	note(set, sx->nodes[v].text + quoted, sx->nodes[v].len - 2U * quoted);
}

static void note_action(struct outline *o, int fact, bool violation)
{
	const struct sg_sx *sx = o->sx;
	for (int s = sx->nodes[sx->nodes[fact].first].next; s != SG_SX_NONE;
		s = sx->nodes[s].next) {
		char slot[128];
		if (sx->nodes[s].kind != SG_SX_LIST || !sg_sx_head(sx, s, slot)[0])
			continue;
		if (violation && strcmp(slot, "severity") == 0)
			note_value(sx, s, o->kinds);
		else if (!violation && strcmp(slot, "kind") == 0)
			note_value(sx, s, o->kinds);
		else if (!violation && strcmp(slot, "requested_capability") == 0)
			note_value(sx, s, o->capabilities);
		else if (!violation &&
			 (strcmp(slot, "target") == 0 || strcmp(slot, "targets") == 0))
			note_value(sx, s, o->targets);
	}
}

/* Everything asserted on right-hand sides; at most SG_SX_MAX_DEPTH deep. */
static void note_asserts(struct outline *o, int from)
{
	for (int at = from; at != SG_SX_NONE; at = o->sx->nodes[at].next) {
		char head[128];
		if (o->sx->nodes[at].kind != SG_SX_LIST || o->sx->nodes[at].first == SG_SX_NONE)
			continue;
		sg_autofree char *name = sg_rules_mangle(sg_sx_head(o->sx, at, head));
		if (name && strcmp(name, "stargraph_action") == 0)
			note_action(o, at, false);
		else if (name && strcmp(name, "bosun-violation") == 0)
			note_action(o, at, true);
		else
			note_asserts(o, o->sx->nodes[o->sx->nodes[at].first].next);
	}
}

static int arrow(const struct sg_sx *sx, int form)
{
	int at = sx->nodes[form].first;
	while (at != SG_SX_NONE && !sg_sx_is(sx, at, "=>"))
		at = sx->nodes[at].next;
	return at;
}

static int take_form(struct outline *o, int form, json_t *all, struct sg_error *err)
{
	const struct sg_sx *sx = o->sx;
	char head[128];
	sg_autobuf text = SG_BUF_INIT(4U * SG_RULE_TEXT_MAX);
	int name = sx->nodes[form].first == SG_SX_NONE ? SG_SX_NONE
						       : sx->nodes[sx->nodes[form].first].next;
	json_t *of = json_object_get(all, sg_sx_head(sx, form, head));
	if (!of || name == SG_SX_NONE || sx->nodes[name].kind != SG_SX_ATOM)
		return sg_error_set(err, SG_EINVALID, NULL,
			"line %d: not a deftemplate, defrule or deffacts with a name",
			sx->nodes[form].line);
	sg_sx_write(sx, form, &text);
	json_t *key = json_stringn(sx->nodes[name].text, sx->nodes[name].len);
	int at = strcmp(head, "defrule") == 0 ? arrow(sx, form) : SG_SX_NONE;
	if (at != SG_SX_NONE)
		note_asserts(o, sx->nodes[at].next);
	int r = key && !text.failed &&
				json_object_set_new(of, json_string_value(key),
					json_stringn(text.data, text.len)) == 0
			? 0
			: sg_error_nomem(err);
	json_decref(key);
	return r;
}

int sg_rules_outline(
	const char *text, size_t len, const char *where, json_t **ret, struct sg_error *err)
{
	struct sg_sx sx = {0};
	json_auto_t *all = json_pack("{s:{}, s:{}, s:{}, s:{}, s:{}, s:{}}", "actions",
		"capabilities", "deffacts", "defrule", "deftemplate", "targets");
	if (!all)
		return sg_error_nomem(err);
	int r = sg_sx_parse(&sx, text, len, err);
	struct outline o = {.sx = &sx,
		.kinds = json_object_get(all, "actions"),
		.capabilities = json_object_get(all, "capabilities"),
		.targets = json_object_get(all, "targets")};
	for (int at = r < 0 ? SG_SX_NONE : sx.nodes[0].first; r == 0 && at != SG_SX_NONE;
		at = sx.nodes[at].next)
		r = take_form(&o, at, all, err);
	sg_sx_finish(&sx);
	if (r < 0)
		return sg_error_prefix(err, "%s", where);
	*ret = json_incref(all);
	return 0;
}
