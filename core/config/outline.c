/* The configuration without its contents, for a support bundle: what may be shown is listed, all
 * else is told by its type and size. Numbers, switches and words out of a fixed choice are shown;
 * so are the paths of the table, which an operator needs and which name no person. Texts, lists,
 * grants, and what stands in another module's section without being one of these, are not. */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "config/keys.h"

/* {"withheld": "string", "size": 12}: bytes of a text, members of a list or an object. */
static json_t *withheld(const json_t *v)
{
	static const char *const names[] = {[JSON_OBJECT] = "object",
		[JSON_ARRAY] = "array",
		[JSON_STRING] = "string",
		[JSON_INTEGER] = "number",
		[JSON_REAL] = "number",
		[JSON_TRUE] = "boolean",
		[JSON_FALSE] = "boolean",
		[JSON_NULL] = "null"};
	size_t size = json_is_string(v)	 ? json_string_length(v)
		      : json_is_array(v) ? json_array_size(v)
					 : json_object_size(v);
	return json_pack("{s:s, s:I}", "withheld", names[json_typeof(v)], "size", (json_int_t)size);
}

static bool is_plain(const json_t *v)
{
	return json_is_number(v) || json_is_boolean(v) || json_is_null(v);
}

static const char *origin(const struct sg_origin *o)
{
	switch (o->kind) {
	case SG_FROM_DEFAULT: return "default";
	case SG_FROM_FILE: return "file";
	case SG_FROM_FLAG: return "flag";
	case SG_FROM_ENV: return "environment";
	case SG_FROM_RULE: break;
	}
	return "rule";
}

static json_t *settings(const struct sg_config *c)
{
	const struct sg_origins *all = c->origins;
	json_t *out = json_object();
	for (size_t i = 0; i < sg_n_keys; i++) {
		const struct sg_key *k = &sg_keys[i];
		json_t *v = all->of[i].value;
		bool shown = is_plain(v) || k->choices || k->type == SG_KEY_PATH ||
			     k->type == SG_KEY_MODE || json_string_length(v) == 0;
		char name[96];
		(void)snprintf(name, sizeof(name), "%s.%s", k->section, k->name);
		if (json_is_array(v))
			shown = json_array_size(v) == 0;
		json_object_set_new(out, name,
			json_pack("{s:o, s:s}", "value", shown ? json_incref(v) : withheld(v),
				"origin", origin(&all->of[i])));
	}
	return out;
}

/* How a grant names its holder and what it gives; not who. */
static json_t *grants(const struct sg_config *c)
{
	json_t *out = json_array();
	for (size_t i = 0; i < c->n_grants; i++) {
		const struct sg_grant *g = &c->grants[i];
		json_t *list = json_array();
		for (size_t k = 0; k < g->n_capabilities; k++)
			json_array_append_new(list, json_string(g->capabilities[k]));
		json_array_append_new(out, json_pack("{s:s, s:o}", "by",
						   g->subject ? "subject"
						   : g->san   ? "san"
							      : "fingerprint",
						   "capabilities", list));
	}
	return out;
}

/* One table of a section: members that its schema names, values as the top of this file says. */
static json_t *table(const json_t *properties, const json_t *from)
{
	json_t *out = json_object();
	const char *name;
	json_t *v;
	json_object_foreach ((json_t *)from, name, v) {
		const json_t *schema = json_object_get(properties, name);
		if (!schema)
			continue;
		bool shown = is_plain(v) || json_object_get(schema, "enum");
		json_object_set_new(out, name, shown ? json_incref(v) : withheld(v));
	}
	return out;
}

static json_t *section(const struct sg_section *s, const json_t *from)
{
	json_auto_t *schema = json_loads(s->schema, 0, NULL);
	const json_t *properties = json_object_get(schema, "properties");
	if (!s->list)
		return table(properties, from);
	json_t *out = json_array(), *one;
	size_t i;
	json_array_foreach (from, i, one)
		json_array_append_new(out, table(properties, one));
	return out;
}

json_t *sg_config_outline(const struct sg_config *c)
{
	json_t *root = json_pack("{s:s, s:b, s:o, s:o}", "file", c->file_path, "tz_is_utc",
		!*c->tz || strcmp(c->tz, "UTC") == 0, "settings", settings(c), "grants", grants(c));
	for (size_t i = 0; root && i < sg_n_sections; i++) {
		const json_t *v = json_object_get(c->file, sg_sections[i].name);
		if (v)
			json_object_set_new(root, sg_sections[i].name, section(&sg_sections[i], v));
	}
	return root;
}
