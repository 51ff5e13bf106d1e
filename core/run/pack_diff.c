/* See pack_diff.h. */
#include "run/pack_diff.h"

#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "rules/rules.h"

static const struct {
	const char *name, *outline; /* in the difference; of sg_rules_outline */
	bool texts;		    /* names with texts that may change, or words alone */
} parts[] = {{"rules", "defrule", true}, {"facts", "deffacts", true},
	{"templates", "deftemplate", true}, {"actions", "actions", false},
	{"capabilities", "capabilities", false}, {"targets", "targets", false}};

static json_t *which(const struct sg_pack *p)
{
	return p ? json_pack("{s:s, s:s, s:s}", "key_id", p->key_id, "sha256", p->tree_sha256,
			   "version", p->version)
		 : json_null();
}

static json_t *part(const json_t *a, const json_t *b, bool texts)
{
	json_t *out = json_pack("{s:[], s:[]}", "added", "removed"), *v;
	json_t *changed = texts ? json_array() : NULL;
	const char *name;
	json_object_foreach ((json_t *)(uintptr_t)a, name, v) {
		const json_t *then = json_object_get(b, name);
		if (!then)
			(void)json_array_append_new(
				json_object_get(out, "removed"), json_string(name));
		else if (changed && !json_equal(v, then))
			(void)json_array_append_new(changed, json_string(name));
	}
	json_object_foreach ((json_t *)(uintptr_t)b, name, v)
		if (!json_object_get(a, name))
			(void)json_array_append_new(
				json_object_get(out, "added"), json_string(name));
	if (changed)
		(void)json_object_set_new(out, "changed", changed);
	return out;
}

static int outline(const struct sg_pack *p, json_t **ret, struct sg_error *err)
{
	if (p)
		return sg_rules_outline(p->rules, p->rules_len, p->where, ret, err);
	*ret = json_object();
	return *ret ? 0 : sg_error_nomem(err);
}

int sg_pack_diff(
	const struct sg_pack *a, const struct sg_pack *b, json_t **ret, struct sg_error *err)
{
	json_auto_t *x = NULL;
	json_auto_t *y = NULL;
	int r = outline(a, &x, err);
	if (r == 0)
		r = outline(b, &y, err);
	if (r < 0)
		return r;
	bool same = a && b && strcmp(a->tree_sha256, b->tree_sha256) == 0;
	json_t *out = json_pack("{s:s, s:o, s:o, s:b}", "pack", a ? a->id : b->id, "from", which(a),
		"to", which(b), "same", same);
	for (size_t i = 0; out && i < SG_ARRAY_LEN(parts); i++)
		if (json_object_set_new(out, parts[i].name,
			    part(json_object_get(x, parts[i].outline),
				    json_object_get(y, parts[i].outline), parts[i].texts)) < 0) {
			json_decref(out);
			out = NULL;
		}
	if (!out)
		return sg_error_nomem(err);
	*ret = out;
	return 0;
}

static void add_names(struct sg_buf *b, const json_t *list, char sign, bool *any)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		sg_buf_addf(b, " %c%s", sign, json_string_value(json_array_get(list, i)));
		*any = true;
	}
}

static const char *version_of(const json_t *diff, const char *side)
{
	const char *v = json_string_value(json_object_get(json_object_get(diff, side), "version"));
	return v ? v : "nothing";
}

char *sg_pack_diff_line(const json_t *diff)
{
	sg_autobuf b = SG_BUF_INIT(1U << 20);
	size_t said = 0;
	sg_buf_addf(&b, "%s %s → %s", json_string_value(json_object_get(diff, "pack")),
		version_of(diff, "from"), version_of(diff, "to"));
	for (size_t i = 0; i < SG_ARRAY_LEN(parts); i++) {
		const json_t *p = json_object_get(diff, parts[i].name);
		sg_autobuf names = SG_BUF_INIT(1U << 20);
		bool any = false;
		add_names(&names, json_object_get(p, "added"), '+', &any);
		add_names(&names, json_object_get(p, "removed"), '-', &any);
		add_names(&names, json_object_get(p, "changed"), '~', &any);
		if (any && names.data)
			sg_buf_addf(&b, "%s %s%s", said++ ? "," : ":", parts[i].name, names.data);
	}
	if (!said)
		sg_buf_adds(&b, ": the same rules");
	return sg_buf_take(&b);
}
