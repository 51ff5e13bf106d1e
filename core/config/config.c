/* Loading: the file, then the profile, then each key by precedence, then what follows from them. */
#include "config/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/suggest.h"
#include "config/keys.h"
#include "config/toml.h"

struct load {
	struct sg_config *c;
	struct sg_origins *o;
	const struct sg_config_flag *flags;
	size_t n_flags;
	char *const *env;
	struct sg_error *err;
};

static const char *env_of(char *const *env, const char *name)
{
	size_t n = strlen(name);
	for (size_t i = 0; env && env[i]; i++)
		if (strncmp(env[i], name, n) == 0 && env[i][n] == '=' && env[i][n + 1])
			return env[i] + n + 1;
	return NULL;
}

static int read_file(struct load *l, const char *config_path)
{
	const char *path = config_path ? config_path : SG_CONFIG_DEFAULT_PATH;
	sg_autofree char *text = NULL;
	size_t n;
	int r = sg_file_read(path, SG_TOML_MAX_BYTES, &text, &n, l->err);
	bool absent = r == -SG_ENOTFOUND && !config_path;
	if (r < 0 && !absent)
		return r;
	l->c->file_path = strdup(absent ? "" : path);
	if (!l->c->file_path)
		return sg_error_nomem(l->err);
	if (absent) {
		l->c->file = json_object();
		return l->c->file ? 0 : sg_error_nomem(l->err);
	}
	r = sg_toml_read(path, text, n, &l->c->file, &l->o->marks, l->err);
	return r < 0 ? r : sg_config_check_file(path, l->c->file, l->o->marks, l->err);
}

static int check_flags(const struct load *l)
{
	for (size_t i = 0; i < l->n_flags; i++) {
		const char *key = l->flags[i].key;
		if (sg_key_by_any(key))
			continue;
		return sg_error_set(l->err, SG_EINVALID, NULL, "unknown setting \"%.64s\"", key);
	}
	return 0;
}

/* -- the profile ---------------------------------------------------------------------------- */

struct claim {
	const char *source, *value;
};

static size_t profile_claims(const struct load *l, struct claim *ret, size_t room)
{
	size_t n = 0;
	const char *env = env_of(l->env, "STARGRAPH_PROFILE");
	const char *file = json_string_value(sg_json_pointer(l->c->file, "/serve/profile"));
	if (env)
		ret[n++] = (struct claim){"environment STARGRAPH_PROFILE", env};
	for (size_t i = 0; i < l->n_flags && n + 1 < room; i++)
		if (sg_key_by_any(l->flags[i].key) == &sg_keys[0])
			ret[n++] = (struct claim){
				"flag --profile", l->flags[i].value ? l->flags[i].value : ""};
	if (file)
		ret[n++] = (struct claim){l->c->file_path, file};
	return n;
}

/* No silent downgrade: two sources that name different profiles stop the start. */
static int settle_profile(struct load *l)
{
	struct claim claims[8];
	size_t n = profile_claims(l, claims, SG_ARRAY_LEN(claims));
	for (size_t i = 0; i < n; i++) {
		json_auto_t *v = NULL;
		int r = sg_key_from_text(&sg_keys[0], claims[i].value, &v, l->err);
		if (r < 0)
			return sg_error_prefix(l->err, "%s", claims[i].source);
		if (strcmp(claims[i].value, claims[0].value) != 0)
			return sg_error_set(l->err, SG_EREFUSED, NULL,
				"%s says profile \"%s\" but %s says \"%s\": they must agree",
				claims[0].source, claims[0].value, claims[i].source,
				claims[i].value);
	}
	bool cleared = n && strcmp(claims[0].value, "cleared") == 0;
	l->c->profile = cleared ? SG_PROFILE_CLEARED : SG_PROFILE_OSS_DEFAULT;
	return 0;
}

/* -- one key -------------------------------------------------------------------------------- */

static int from_env(struct load *l, const struct sg_key *k, struct sg_origin *o)
{
	const char *text = k->env ? env_of(l->env, k->env) : NULL;
	if (!text)
		return 0;
	if (sg_key_from_text(k, text, &o->value, l->err) < 0)
		return sg_error_prefix(l->err, "environment %s", k->env);
	o->kind = SG_FROM_ENV;
	return 1;
}

static int flag_error(const struct load *l, const struct sg_key *k)
{
	return k->flag ? sg_error_prefix(l->err, "flag --%s", k->flag)
		       : sg_error_prefix(l->err, "%s.%s", k->section, k->name);
}

/* The last one counts; lists gather. */
static int from_flags(struct load *l, const struct sg_key *k, struct sg_origin *o)
{
	for (size_t i = 0; i < l->n_flags; i++) {
		const struct sg_config_flag *f = &l->flags[i];
		if (sg_key_by_any(f->key) != k)
			continue;
		const char *text = f->value ? f->value : k->type == SG_KEY_BOOL ? "true" : NULL;
		json_t *v = NULL;
		if (!text)
			(void)sg_error_set(l->err, SG_EINVALID, NULL, "a value is missing");
		if (!text || sg_key_from_text(k, text, &v, l->err) < 0)
			return flag_error(l, k);
		if (k->type == SG_KEY_WORDS && o->value) {
			(void)json_array_extend(o->value, v);
			json_decref(v);
			continue;
		}
		json_decref(o->value);
		o->value = v;
		o->kind = SG_FROM_FLAG;
	}
	return o->value != NULL;
}

static int from_file(struct load *l, const struct sg_key *k, struct sg_origin *o)
{
	const char *sections[2] = {
		l->c->profile == SG_PROFILE_CLEARED ? "serve/cleared" : "serve/oss-default",
		k->section};
	for (size_t i = strcmp(k->section, "serve") == 0 ? 0 : 1; i < 2; i++) {
		char pointer[96];
		(void)snprintf(pointer, sizeof(pointer), "/%s/%s", sections[i], k->name);
		const json_t *v = sg_json_pointer(l->c->file, pointer);
		if (!v)
			continue;
		o->kind = SG_FROM_FILE;
		o->line = sg_mark_find(l->o->marks, pointer)->key_line;
		int r = sg_key_from_json(k, v, &o->value, l->err);
		return r < 0 ? r : 1;
	}
	return 0;
}

static int settle_key(struct load *l, size_t i)
{
	const struct sg_key *k = &sg_keys[i];
	struct sg_origin *o = &l->o->of[i];
	int r = from_env(l, k, o);
	if (r == 0)
		r = from_flags(l, k, o);
	if (r == 0)
		r = from_file(l, k, o);
	if (r < 0)
		return r;
	if (r == 0) {
		const char *text = k->fallback[l->c->profile == SG_PROFILE_CLEARED];
		r = sg_json_parse(text, strlen(text), &o->value, l->err);
		o->kind = SG_FROM_DEFAULT;
	}
	return r < 0 ? r : sg_key_store(k, o->value, l->c, l->err);
}

/* -- what follows --------------------------------------------------------------------------- */

static struct sg_origin *origin_of(const struct load *l, const char *name)
{
	return &l->o->of[sg_key_find("serve", name) - sg_keys];
}

static int derive(struct load *l, const char *name, json_t *v, const char *why)
{
	struct sg_origin *o = origin_of(l, name);
	if (!v)
		return sg_error_nomem(l->err);
	json_decref(o->value);
	o->value = v;
	o->kind = SG_FROM_RULE;
	o->why = why;
	return sg_key_store(sg_key_find("serve", name), v, l->c, l->err);
}

static int derive_doors(struct load *l)
{
	struct sg_config *c = l->c;
	bool direct = *c->tls_cert != '\0';
	int r = 0;
	if (direct && c->port == 0)
		r = derive(l, "port", json_integer(443), "default of the direct door");
	if (r == 0 && direct && origin_of(l, "socket_path")->kind == SG_FROM_DEFAULT)
		r = derive(l, "socket_path", json_string(""), "not with the direct door");
	if (r == 0 && !*c->host)
		r = derive(l, "host", json_string(direct ? "0.0.0.0" : "127.0.0.1"),
			direct ? "default of the direct door" : "default");
	return r;
}

static int derive_rest(struct load *l)
{
	struct sg_config *c = l->c;
	int r = 0;
	if (!*c->audit_path)
		r = derive(l, "audit_path", json_sprintf("%s/stargraph.audit.jsonl", c->state_dir),
			"default, in state_dir");
	if (r == 0)
		r = derive_doors(l);
	if (r < 0)
		return r;
	const char *tz = env_of(l->env, "TZ");
	c->tz = strdup(tz ? tz : "");
	return c->tz ? sg_config_load_grants(c, l->err) : sg_error_nomem(l->err);
}

static int settle(struct load *l, const char *config_path)
{
	int r = read_file(l, config_path);
	if (r == 0)
		r = check_flags(l);
	if (r == 0)
		r = settle_profile(l);
	for (size_t i = 0; r == 0 && i < sg_n_keys; i++)
		r = settle_key(l, i);
	return r < 0 ? r : derive_rest(l);
}

int sg_config_load(struct sg_config *ret, const char *config_path,
	const struct sg_config_flag *flags, size_t n_flags, char *const *env, struct sg_error *err)
{
	struct sg_error local;
	struct sg_config c = {0};
	struct sg_origins *o = calloc(1, sizeof(*o));
	if (!o)
		return sg_error_nomem(err);
	c.origins = o;
	o->of = calloc(sg_n_keys, sizeof(*o->of));
	struct load l = {&c, o, flags, n_flags, env, err ? err : &local};
	int r = o->of ? settle(&l, config_path) : sg_error_nomem(err);
	if (r < 0) {
		sg_config_finish(&c);
		return r;
	}
	*ret = c;
	return 0;
}

void sg_config_finish(struct sg_config *c)
{
	for (size_t i = 0; i < sg_n_keys; i++)
		sg_key_release(&sg_keys[i], c);
	sg_config_release_grants(c);
	struct sg_origins *o = c->origins;
	for (size_t i = 0; o && o->of && i < sg_n_keys; i++)
		json_decref(o->of[i].value);
	if (o) {
		free(o->of);
		sg_mark_destroy(o->marks);
	}
	free(o);
	free(c->tz);
	free(c->file_path);
	json_decref(c->file);
	*c = (struct sg_config){0};
}
