/* Is everything in stargraph.toml known and of its type? Runs over the whole file, the sections of
 * the other profile included: a mistake there is a mistake too. */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/schema.h"
#include "base/suggest.h"
#include "config/keys.h"

struct check {
	const char *path;
	const struct sg_mark *marks;
	struct sg_error *err;
};

int sg_config_error_at(const char *path, const struct sg_mark *marks, const char *pointer, bool key,
	struct sg_error *err)
{
	const struct sg_mark *m = sg_mark_find(marks, pointer);
	bool at_key = key && m->key_line;
	return sg_error_prefix(err, "%s:%d:%d", path, at_key ? m->key_line : m->line,
		at_key ? m->key_column : m->column);
}

int sg_config_locate(const struct sg_config *c, const char *pointer, struct sg_error *err)
{
	const struct sg_origins *o = c->origins;
	return o && o->marks ? sg_config_error_at(c->file_path, o->marks, pointer, false, err)
			     : -err->code;
}

static int fail_at(const struct check *c, const char *pointer, bool key)
{
	return sg_config_error_at(c->path, c->marks, pointer, key, c->err);
}

/* parent + "/" + name as RFC 6901 escapes it; a very long name only loses its place. */
static void join(char *ret, size_t size, const char *parent, const char *name)
{
	size_t n = (size_t)snprintf(ret, size, "%.64s/", parent);
	for (; *name && n + 3 < size; name++) {
		if (*name == '~' || *name == '/')
			ret[n++] = '~';
		ret[n++] = *name == '~' ? '0' : *name == '/' ? '1' : *name;
	}
	ret[n] = '\0';
}

/* where = "" or " in [section]" */
static int unknown(const struct check *c, const char *pointer, const char *what, const char *name,
	const char *where, const char *const *known, size_t n)
{
	const char *near = sg_suggest(name, known, n);
	(void)sg_error_set(c->err, SG_EINVALID, NULL, "unknown %s \"%.64s\"%s%s%s%s", what, name,
		where, near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
	return fail_at(c, pointer, true);
}

/* In a file a relative path would mean another thing in every working directory. */
static int check_absolute(const struct sg_key *k, const json_t *v, struct sg_error *err)
{
	if (k->type == SG_KEY_PATH && *json_string_value(v) && *json_string_value(v) != '/')
		return sg_error_set(err, SG_EINVALID, NULL,
			"%s must be an absolute path in a file, not \"%.128s\"", k->name,
			json_string_value(v));
	for (size_t i = 0; strcmp(k->name, "graphs") == 0 && i < json_array_size(v); i++)
		if (*json_string_value(json_array_get(v, i)) != '/')
			return sg_error_set(err, SG_EINVALID, NULL,
				"%s must be absolute paths in a file", k->name);
	return 0;
}

static int unknown_key(
	const struct check *c, const char *pointer, const char *section, const char *name)
{
	const char *names[SG_KEY_NAMES_MAX];
	size_t n = sg_key_names(section, names, SG_KEY_NAMES_MAX - 3);
	if (strcmp(section, "serve") == 0) {
		names[n++] = "grant";
		names[n++] = "cleared";
		names[n++] = "oss-default";
	}
	char where[64];
	(void)snprintf(where, sizeof(where), " in [%.*s]",
		(int)(strrchr(pointer, '/') - pointer - 1), pointer + 1);
	for (char *p = where; *p; p++)
		if (*p == '/')
			*p = '.';
	return unknown(c, pointer, "key", name, where, names, n);
}

static int check_key(const struct check *c, const char *pointer, const char *section,
	const char *name, const json_t *v)
{
	const struct sg_key *k = sg_key_find(section, name);
	if (!k)
		return unknown_key(c, pointer, section, name);
	if (k == &sg_keys[0] && strcmp(pointer, "/serve/profile") != 0) {
		(void)sg_error_set(c->err, SG_EINVALID, NULL, "profile belongs in [serve]");
		return fail_at(c, pointer, true);
	}
	json_auto_t *value = NULL;
	int r = sg_key_from_json(k, v, &value, c->err);
	if (r == 0)
		r = check_absolute(k, value, c->err);
	return r < 0 ? fail_at(c, pointer, false) : 0;
}

static int check_grants(const struct check *c, const char *pointer, const json_t *grants)
{
	if (!json_is_array(grants)) {
		(void)sg_error_set(c->err, SG_EINVALID, NULL,
			"grants are a list: write [[serve.cleared.grant]]");
		return fail_at(c, pointer, false);
	}
	for (size_t i = 0; i < json_array_size(grants); i++) {
		char at[320];
		(void)snprintf(at, sizeof(at), "%s/%zu", pointer, i);
		if (sg_config_check_grant(json_array_get(grants, i), c->err) < 0)
			return fail_at(c, at, false);
	}
	return 0;
}

static int table_wanted(const struct check *c, const char *pointer)
{
	(void)sg_error_set(
		c->err, SG_EINVALID, NULL, "\"%s\" must be a table", strrchr(pointer, '/') + 1);
	return fail_at(c, pointer, false);
}

static int check_table(
	const struct check *c, const char *pointer, const char *section, const json_t *table)
{
	if (!json_is_object(table))
		return table_wanted(c, pointer);
	const char *name;
	json_t *v;
	json_object_foreach ((json_t *)(uintptr_t)table, name, v) {
		char at[256];
		join(at, sizeof(at), pointer, name);
		bool profile =
			strcmp(at, "/serve/cleared") == 0 || strcmp(at, "/serve/oss-default") == 0;
		int r = profile ? check_table(c, at, section, v)
			: strcmp(at, "/serve/cleared/grant") == 0
				? check_grants(c, at, v)
				: check_key(c, at, section, name, v);
		if (r < 0)
			return r;
	}
	return 0;
}

/* A schema error starts "at /pointer: "; the pointer gives the place in the file. */
static int check_against_schema(
	const struct check *c, const char *pointer, const struct sg_section *s, const json_t *table)
{
	json_auto_t *schema = NULL;
	int r = sg_json_parse(s->schema, strlen(s->schema), &schema, c->err);
	if (r == 0)
		r = sg_schema_validate(schema, table, c->err);
	if (r == 0)
		return 0;
	char at[512];
	const char *below = strncmp(c->err->text, "at /", 4) == 0 ? c->err->text + 3 : "";
	size_t n = strcspn(below, ":");
	(void)snprintf(at, sizeof(at), "%s%.*s", pointer, n > 1 ? (int)n : 0, below);
	(void)sg_error_prefix(c->err, "[%s]", s->name);
	return fail_at(c, at, false);
}

static int check_section(const struct check *c, const struct sg_section *s, const json_t *v)
{
	char pointer[128];
	(void)snprintf(pointer, sizeof(pointer), "/%s", s->name);
	if (!s->list)
		return check_against_schema(c, pointer, s, v);
	if (!json_is_array(v)) {
		(void)sg_error_set(
			c->err, SG_EINVALID, NULL, "write [[%s]]: it is a list", s->name);
		return fail_at(c, pointer, false);
	}
	for (size_t i = 0; i < json_array_size(v); i++) {
		(void)snprintf(pointer, sizeof(pointer), "/%s/%zu", s->name, i);
		int r = check_against_schema(c, pointer, s, json_array_get(v, i));
		if (r < 0)
			return r;
	}
	return 0;
}

static int check_top(const struct check *c, const char *name, const json_t *v)
{
	static const char *const own[] = {"serve", "model", "limits", "keep", "log"};
	const char *known[SG_KEY_NAMES_MAX];
	size_t n = 0;
	char pointer[128];
	join(pointer, sizeof(pointer), "", name);
	for (size_t i = 0; i < SG_ARRAY_LEN(own); i++) {
		if (strcmp(own[i], name) == 0)
			return check_table(c, pointer, own[i], v);
		known[n++] = own[i];
	}
	for (size_t i = 0; i < sg_n_sections; i++) {
		if (strcmp(sg_sections[i].name, name) == 0)
			return check_section(c, &sg_sections[i], v);
		known[n++] = sg_sections[i].name;
	}
	return unknown(c, pointer, json_is_object(v) ? "section" : "key", name, "", known, n);
}

int sg_config_check_file(
	const char *path, const json_t *root, const struct sg_mark *marks, struct sg_error *err)
{
	struct sg_error local;
	const struct check c = {path, marks, err ? err : &local};
	const char *name;
	json_t *v;
	json_object_foreach ((json_t *)(uintptr_t)root, name, v) {
		int r = check_top(&c, name, v);
		if (r < 0)
			return r;
	}
	return 0;
}
