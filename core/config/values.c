/* Values of keys: from JSON or text, checked against the table, into struct sg_config. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/suggest.h"
#include "config/keys.h"

static int choice_error(const struct sg_key *k, const char *text, struct sg_error *err)
{
	size_t n = 0;
	char list[160] = "";
	for (; k->choices[n]; n++) {
		size_t len = strlen(list);
		(void)snprintf(
			list + len, sizeof(list) - len, "%s\"%s\"", n ? ", " : "", k->choices[n]);
	}
	const char *near = sg_suggest(text, k->choices, n);
	return sg_error_set(err, SG_EINVALID, NULL, "unknown %s \"%.64s\"%s%s%s (known: %s)",
		k->name, text, near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "",
		list);
}

static int check_text(const struct sg_key *k, const json_t *v, json_t **ret, struct sg_error *err)
{
	const char *text = json_string_value(v);
	if (!text)
		return sg_error_set(err, SG_EINVALID, NULL, "%s must be a string", k->name);
	bool ok = !k->choices;
	for (size_t i = 0; !ok && k->choices[i]; i++)
		ok = strcmp(k->choices[i], text) == 0;
	if (!ok)
		return choice_error(k, text, err);
	*ret = json_string(text);
	return *ret ? 0 : sg_error_nomem(err);
}

static int check_int(const struct sg_key *k, const json_t *v, json_t **ret, struct sg_error *err)
{
	if (!json_is_integer(v) || json_integer_value(v) < k->min || json_integer_value(v) > k->max)
		return sg_error_set(err, SG_EINVALID, NULL,
			"%s must be an integer from %lld to %lld", k->name, (long long)k->min,
			(long long)k->max);
	*ret = json_integer(json_integer_value(v));
	return *ret ? 0 : sg_error_nomem(err);
}

static int check_bool(const struct sg_key *k, const json_t *v, json_t **ret, struct sg_error *err)
{
	if (!json_is_boolean(v))
		return sg_error_set(err, SG_EINVALID, NULL, "%s must be true or false", k->name);
	*ret = json_boolean(json_is_true(v));
	return 0;
}

/* TOML's 0o660 arrives as a number, "0660" as text; both become "0660". */
static int check_mode(const struct sg_key *k, const json_t *v, json_t **ret, struct sg_error *err)
{
	long bits = json_is_integer(v) ? (long)json_integer_value(v) : -1;
	const char *text = json_string_value(v);
	char *end;
	if (text && *text && strspn(text, "01234567") == strlen(text) && strlen(text) <= 4)
		bits = strtol(text, &end, 8);
	if (bits < 0 || bits > 0777)
		return sg_error_set(err, SG_EINVALID, NULL,
			"%s must be permission bits like \"0660\" or 0o660", k->name);
	*ret = json_sprintf("%04lo", (unsigned long)bits);
	return *ret ? 0 : sg_error_nomem(err);
}

static int add_word(const struct sg_key *k, json_t *list, const json_t *item, struct sg_error *err)
{
	const char *text = json_string_value(item);
	char hex[65];
	if (!text || !*text)
		return sg_error_set(
			err, SG_EINVALID, NULL, "%s must be a list of strings", k->name);
	if (strcmp(k->name, "deny_fingerprints") == 0) {
		if (sg_fingerprint_normalize(text, hex) < 0)
			return sg_error_set(err, SG_EINVALID, NULL,
				"%s: \"%.80s\" is not a SHA-256 fingerprint (64 hex digits)",
				k->name, text);
		text = hex;
	}
	return json_array_append_new(list, json_string(text)) < 0 ? sg_error_nomem(err) : 0;
}

static int check_words(const struct sg_key *k, const json_t *v, json_t **ret, struct sg_error *err)
{
	if (!json_is_array(v))
		return sg_error_set(
			err, SG_EINVALID, NULL, "%s must be a list of strings", k->name);
	json_auto_t *list = json_array();
	if (!list)
		return sg_error_nomem(err);
	for (size_t i = 0; i < json_array_size(v); i++) {
		int r = add_word(k, list, json_array_get(v, i), err);
		if (r < 0)
			return r;
	}
	*ret = json_incref(list);
	return 0;
}

int sg_key_from_json(
	const struct sg_key *k, const json_t *v, json_t **ret_value, struct sg_error *err)
{
	switch (k->type) {
	case SG_KEY_TEXT:
	case SG_KEY_PATH: return check_text(k, v, ret_value, err);
	case SG_KEY_BOOL: return check_bool(k, v, ret_value, err);
	case SG_KEY_INT: return check_int(k, v, ret_value, err);
	case SG_KEY_MODE: return check_mode(k, v, ret_value, err);
	case SG_KEY_WORDS: break;
	}
	return check_words(k, v, ret_value, err);
}

static json_t *bool_from_text(const char *text)
{
	static const char *const yes[] = {"1", "true", "yes", "on"};
	static const char *const no[] = {"0", "false", "no", "off"};
	for (size_t i = 0; i < SG_ARRAY_LEN(yes); i++) {
		if (strcasecmp(text, yes[i]) == 0)
			return json_true();
		if (strcasecmp(text, no[i]) == 0)
			return json_false();
	}
	return json_string(text);
}

static json_t *int_from_text(const char *text)
{
	char *end;
	errno = 0;
	long long n = strtoll(text, &end, 10);
	bool ok = *text && !*end && errno == 0 && strspn(text, "+-0123456789") == strlen(text);
	return ok ? json_integer(n) : json_string(text);
}

int sg_key_from_text(
	const struct sg_key *k, const char *text, json_t **ret_value, struct sg_error *err)
{
	json_auto_t *v = k->type == SG_KEY_BOOL	   ? bool_from_text(text)
			 : k->type == SG_KEY_INT   ? int_from_text(text)
			 : k->type == SG_KEY_WORDS ? json_pack("[s]", text)
						   : json_string(text);
	if (!v)
		return sg_error_set(err, SG_EINVALID, NULL, "%s is not valid UTF-8", k->name);
	return sg_key_from_json(k, v, ret_value, err);
}

static void *field(const struct sg_key *k, struct sg_config *c)
{
	return (char *)c + k->offset;
}

static void free_words(char **words, size_t n)
{
	for (size_t i = 0; words && i < n; i++)
		free(words[i]);
	free(words);
}

static int store_words(
	const struct sg_key *k, const json_t *v, struct sg_config *c, struct sg_error *err)
{
	size_t n = json_array_size(v);
	char **words = calloc(n + 1, sizeof(*words));
	for (size_t i = 0; words && i < n; i++) {
		words[i] = strdup(json_string_value(json_array_get(v, i)));
		if (!words[i]) {
			free_words(words, n);
			words = NULL;
		}
	}
	if (!words)
		return sg_error_nomem(err);
	sg_key_release(k, c);
	*(char ***)field(k, c) = words;
	*(size_t *)((char *)c + k->count_offset) = n;
	return 0;
}

static int store_text(
	const struct sg_key *k, const json_t *v, struct sg_config *c, struct sg_error *err)
{
	char *copy = strdup(json_string_value(v));
	if (!copy)
		return sg_error_nomem(err);
	sg_key_release(k, c);
	*(char **)field(k, c) = copy;
	return 0;
}

int sg_key_store(const struct sg_key *k, const json_t *v, struct sg_config *c, struct sg_error *err)
{
	switch (k->type) {
	case SG_KEY_TEXT:
	case SG_KEY_PATH: return store_text(k, v, c, err);
	case SG_KEY_WORDS: return store_words(k, v, c, err);
	case SG_KEY_BOOL: *(bool *)field(k, c) = json_is_true(v); break;
	case SG_KEY_MODE:
		*(mode_t *)field(k, c) = (mode_t)strtoul(json_string_value(v), NULL, 8);
		break;
	case SG_KEY_INT:
		if (k->wide)
			*(int64_t *)field(k, c) = json_integer_value(v);
		else
			*(int *)field(k, c) = (int)json_integer_value(v);
		break;
	}
	return 0;
}

void sg_key_release(const struct sg_key *k, struct sg_config *c)
{
	if (k->type == SG_KEY_TEXT || k->type == SG_KEY_PATH) {
		free(*(char **)field(k, c));
		*(char **)field(k, c) = NULL;
	} else if (k->type == SG_KEY_WORDS) {
		size_t *n = (size_t *)((char *)c + k->count_offset);
		free_words(*(char ***)field(k, c), *n);
		*(char ***)field(k, c) = NULL;
		*n = 0;
	}
}

int sg_fingerprint_normalize(const char *text, char ret_hex[65])
{
	char hex[65];
	size_t n = 0;
	for (const char *p = text; *p; p++) {
		if (*p == ':' && n && n % 2 == 0)
			continue;
		char c = *p >= 'A' && *p <= 'F' ? (char)(*p | 0x20) : *p;
		if (n == 64 || !strchr("0123456789abcdef", c))
			return -SG_EINVALID;
		hex[n++] = c;
	}
	if (n != 64)
		return -SG_EINVALID;
	hex[64] = '\0';
	memcpy(ret_hex, hex, sizeof(hex));
	return 0;
}
