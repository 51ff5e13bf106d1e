/* What is in force and where it came from (`stargraph config`), and the reference page. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "config/keys.h"

static void origin_text(const struct sg_config *c, size_t i, char *ret, size_t size)
{
	const struct sg_origins *all = c->origins;
	const struct sg_origin *o = &all->of[i];
	switch (o->kind) {
	case SG_FROM_DEFAULT: (void)snprintf(ret, size, "default"); break;
	case SG_FROM_FILE: (void)snprintf(ret, size, "%s:%d", c->file_path, o->line); break;
	case SG_FROM_FLAG: (void)snprintf(ret, size, "flag --%s", sg_keys[i].flag); break;
	case SG_FROM_ENV: (void)snprintf(ret, size, "environment %s", sg_keys[i].env); break;
	case SG_FROM_RULE: (void)snprintf(ret, size, "%s", o->why); break;
	}
}

static int print_text(const struct sg_config *c, FILE *out)
{
	const struct sg_origins *all = c->origins;
	for (size_t i = 0; i < sg_n_keys; i++) {
		sg_autobuf b = SG_BUF_INIT(1 << 20);
		char from[512];
		if (sg_json_canonical(all->of[i].value, &b, NULL) < 0)
			return -SG_ENOMEM;
		origin_text(c, i, from, sizeof(from));
		(void)fprintf(out, "%s.%s = %s  # %s\n", sg_keys[i].section, sg_keys[i].name,
			b.data, from);
	}
	for (size_t i = 0; i < c->n_grants; i++) {
		const struct sg_grant *g = &c->grants[i];
		(void)fprintf(out, "serve.grant %s =",
			g->subject ? g->subject
			: g->san   ? g->san
				   : g->fingerprint);
		for (size_t k = 0; k < g->n_capabilities; k++)
			(void)fprintf(out, " %s", g->capabilities[k]);
		(void)fprintf(out, "  # %s\n", c->file_path);
	}
	if (*c->tz)
		(void)fprintf(out, "TZ = %s  # environment; what is recorded is UTC\n", c->tz);
	return ferror(out) ? -SG_EIO : 0;
}

static json_t *json_of(const struct sg_config *c)
{
	const struct sg_origins *all = c->origins;
	json_auto_t *root = json_pack("{s:s,s:{}}", "file", c->file_path, "settings");
	json_t *settings = json_object_get(root, "settings");
	for (size_t i = 0; i < sg_n_keys; i++) {
		char name[96], from[512];
		(void)snprintf(name, sizeof(name), "%s.%s", sg_keys[i].section, sg_keys[i].name);
		origin_text(c, i, from, sizeof(from));
		json_object_set_new(settings, name,
			json_pack("{s:O,s:s}", "value", all->of[i].value, "origin", from));
	}
	json_t *grants = sg_json_pointer(c->file, "/serve/cleared/grant");
	if (c->n_grants)
		json_object_set(root, "grants", grants);
	for (size_t i = 0; i < sg_n_sections; i++) {
		json_t *v = json_object_get(c->file, sg_sections[i].name);
		if (v)
			json_object_set(root, sg_sections[i].name, v);
	}
	return json_incref(root);
}

int sg_config_print(const struct sg_config *c, FILE *out, bool json)
{
	if (!json)
		return print_text(c, out);
	json_auto_t *root = json_of(c);
	sg_autobuf b = SG_BUF_INIT(4 << 20);
	if (!root || sg_json_canonical(root, &b, NULL) < 0)
		return -SG_ENOMEM;
	(void)fprintf(out, "%s\n", b.data);
	return ferror(out) ? -SG_EIO : 0;
}

static void type_text(const struct sg_key *k, char *ret, size_t size)
{
	static const char *const names[] = {[SG_KEY_TEXT] = "text",
		[SG_KEY_PATH] = "path",
		[SG_KEY_BOOL] = "true or false",
		[SG_KEY_INT] = "integer",
		[SG_KEY_MODE] = "permission bits",
		[SG_KEY_WORDS] = "list of text"};
	if (k->type == SG_KEY_INT) {
		(void)snprintf(ret, size, "%lld to %lld", (long long)k->min, (long long)k->max);
		return;
	}
	if (!k->choices) {
		(void)snprintf(ret, size, "%s", names[k->type]);
		return;
	}
	*ret = '\0';
	for (size_t i = 0; k->choices[i]; i++) {
		size_t n = strlen(ret);
		(void)snprintf(ret + n, size - n, "%s`%s`", i ? ", " : "", k->choices[i]);
	}
}

static void print_key(const struct sg_key *k, FILE *out)
{
	char type[160];
	type_text(k, type, sizeof(type));
	(void)fprintf(out, "| `%s` | %s | ", k->name, type);
	if (strcmp(k->fallback[0], k->fallback[1]) == 0)
		(void)fprintf(out, "`%s` | ", k->fallback[0]);
	else
		(void)fprintf(out, "`%s`; cleared `%s` | ", k->fallback[0], k->fallback[1]);
	if (k->flag)
		(void)fprintf(out, "`--%s` ", k->flag);
	if (k->env)
		(void)fprintf(out, "`%s` ", k->env);
	(void)fprintf(out, "| %s |\n", k->help);
}

static void print_sections(FILE *out)
{
	for (size_t i = 0; i < sg_n_sections; i++) {
		const struct sg_section *s = &sg_sections[i];
		(void)fprintf(out, "\n## %s%s%s\n\n%s\n\n| key | type | meaning |\n|---|---|---|\n",
			s->list ? "[[" : "[", s->name, s->list ? "]]" : "]", s->help);
		json_auto_t *schema = json_loads(s->schema, 0, NULL);
		const char *name;
		json_t *v;
		json_object_foreach (json_object_get(schema, "properties"), name, v) {
			const char *type = json_string_value(json_object_get(v, "type"));
			const char *text = json_string_value(json_object_get(v, "description"));
			(void)fprintf(out, "| `%s` | %s | %s |\n", name, type ? type : "any",
				text ? text : "");
		}
	}
}

int sg_config_print_reference(FILE *out)
{
	const char *section = "";
	for (size_t i = 0; i < sg_n_keys; i++) {
		if (strcmp(section, sg_keys[i].section) != 0) {
			section = sg_keys[i].section;
			(void)fprintf(out,
				"\n## [%s]\n\n| key | values | default | flag, environment | "
				"meaning "
				"|\n|---|---|---|---|---|\n",
				section);
		}
		print_key(&sg_keys[i], out);
	}
	print_sections(out);
	return ferror(out) ? -SG_EIO : 0;
}
