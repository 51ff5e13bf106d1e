/* Patterns of retract actions: literals only, so matching needs no engine. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/pystr.h"
#include "rules/internal.h"

static json_t *literal(const struct sg_sx_node *n)
{
	sg_autobuf text = SG_BUF_INIT(SG_RULE_TEXT_MAX);
	if (n->kind == SG_SX_ATOM)
		return json_stringn(n->text, n->len);
	for (size_t i = 1; i + 1 < n->len; i++) {
		if (n->text[i] == '\\' && i + 2 < n->len)
			i++;
		sg_buf_addc(&text, n->text[i]);
	}
	return json_string(text.data ? text.data : "");
}

static int take_slot(const struct sg_sx *sx, int slot, json_t *slots, struct sg_error *err)
{
	char name[128];
	int value = SG_SX_NONE;
	if (sg_sx_head(sx, slot, name)[0])
		value = sx->nodes[sx->nodes[slot].first].next;
	bool fine = value != SG_SX_NONE && sx->nodes[value].kind != SG_SX_LIST &&
		    sx->nodes[value].next == SG_SX_NONE &&
		    !strchr("?$&|~", sx->nodes[value].text[0]);
	if (!fine || json_object_set_new(slots, name, literal(&sx->nodes[value])) < 0)
		return sg_error_set(err, SG_EINVALID, NULL,
			"retract takes literals only, (name (slot value)…), no variables or tests");
	return 0;
}

int sg_rules_parse_pattern(const char *pattern, json_t **ret, struct sg_error *err)
{
	struct sg_sx sx = {0};
	char head[128];
	int e = sg_sx_parse(&sx, pattern, strlen(pattern), err);
	if (e < 0)
		return e;
	int fact = sx.nodes[0].first;
	json_t *slots = json_object();
	if (fact == SG_SX_NONE || sx.nodes[fact].next != SG_SX_NONE ||
		!sg_sx_head(&sx, fact, head)[0])
		e = sg_error_set(
			err, SG_EINVALID, NULL, "a retract pattern is one (name (slot value)…)");
	for (int at = e < 0 ? SG_SX_NONE : sx.nodes[sx.nodes[fact].first].next;
		e == 0 && at != SG_SX_NONE; at = sx.nodes[at].next)
		e = take_slot(&sx, at, slots, err);
	if (e == 0) {
		sg_autofree char *name = sg_rules_mangle(head);
		*ret = json_pack("{s:s, s:O}", "template", name ? name : head, "slots", slots);
		e = *ret ? 0 : sg_error_nomem(err);
	}
	json_decref(slots);
	sg_sx_finish(&sx);
	return e;
}

bool sg_rules_pattern_matches(const json_t *pattern, const struct sg_fact_in *fact)
{
	sg_autofree char *name = sg_rules_mangle(fact->template_name);
	const char *want = json_string_value(json_object_get(pattern, "template"));
	if (!name || !want || strcmp(name, want) != 0)
		return false;
	const char *key;
	json_t *v;
	json_object_foreach (json_object_get(pattern, "slots"), key, v) {
		sg_autobuf text = SG_BUF_INIT(SG_RULE_STRING_MAX);
		const json_t *have = json_object_get(fact->slots, key);
		if (!have)
			return false;
		sg_pystr(have, &text);
		if (!text.data || strcmp(text.data, json_string_value(v)) != 0)
			return false;
	}
	return true;
}
