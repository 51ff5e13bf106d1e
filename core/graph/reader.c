/* Positions, key checks and suggestions for everything that reads a document. */
#include "graph/reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/suggest.h"

/* The source pointer of a lowered one: the longest known prefix decides. */
static void to_source(const struct sg_reader *r, const char *pointer, char *out)
{
	char at[SG_GRAPH_POINTER_MAX];
	(void)snprintf(at, sizeof(at), "%s", pointer);
	for (;;) {
		const char *source = json_string_value(json_object_get(r->origins, at));
		if (source) {
			(void)snprintf(
				out, SG_GRAPH_POINTER_MAX, "%s%s", source, pointer + strlen(at));
			return;
		}
		char *slash = strrchr(at, '/');
		if (!slash) {
			(void)snprintf(out, SG_GRAPH_POINTER_MAX, "%s", pointer);
			return;
		}
		*slash = '\0';
	}
}

static void place(
	const struct sg_reader *r, const char *pointer, int key, int *ret_line, int *ret_column)
{
	char source[SG_GRAPH_POINTER_MAX], full[SG_GRAPH_POINTER_MAX * 2];
	*ret_line = 1;
	*ret_column = 1;
	to_source(r, pointer, source);
	(void)snprintf(full, sizeof(full), "%s%s", r->prefix ? r->prefix : "", source);
	if (r->yaml)
		sg_yaml_mark(r->yaml, full, key, ret_line, ret_column);
}

void sg_reader_place(const struct sg_reader *r, const char *pointer, int *ret_line, int *ret_column)
{
	place(r, pointer, 0, ret_line, ret_column);
}

int sg_reader_fail(const struct sg_reader *r, const char *pointer, int key, const char *fmt, ...)
{
	char text[700];
	int line, column;
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (char *p = text; *p; p++)
		if ((unsigned char)*p <
			0x20) /* a name out of the file must not make lines of its own */
			*p = ' ';
	place(r, pointer, key, &line, &column);
	if (line == 0) /* an empty file has no value to point at */
		line = column = 1;
	return sg_error_set(r->err, SG_EINVALID, NULL, "%.250s:%d:%d: %s%s", r->name, line, column,
		r->origins ? "authoring: " : "", text);
}

void sg_reader_child(char *out, const char *pointer, const char *key)
{
	char buf[SG_GRAPH_POINTER_MAX];
	size_t n = (size_t)snprintf(buf, sizeof(buf), "%s/", pointer);
	for (; *key && n + 3 < sizeof(buf); key++) {
		if (*key == '~' || *key == '/') {
			buf[n++] = '~';
			buf[n++] = *key == '~' ? '0' : '1';
		} else {
			buf[n++] = *key;
		}
	}
	buf[n < sizeof(buf) ? n : sizeof(buf) - 1] = '\0';
	memcpy(out, buf, sizeof(buf));
}

void sg_reader_item(char *out, const char *pointer, size_t index)
{
	char buf[SG_GRAPH_POINTER_MAX];
	(void)snprintf(buf, sizeof(buf), "%.480s/%zu", pointer, index);
	memcpy(out, buf, sizeof(buf));
}

int sg_reader_unknown(const struct sg_reader *r, const char *pointer, int key, const char *what,
	const char *word, const char *const *known, size_t n_known)
{
	char list[256] = "";
	const char *near = sg_suggest(word, known, n_known);
	if (near)
		return sg_reader_fail(
			r, pointer, key, "%s \"%.80s\"; did you mean \"%s\"?", what, word, near);
	size_t used = 0;
	for (size_t i = 0; i < n_known && used < 180; i++)
		used += (size_t)snprintf(
			list + used, sizeof(list) - used, "%s%.60s", i ? ", " : "", known[i]);
	if (!n_known)
		return sg_reader_fail(r, pointer, key, "%s \"%.80s\"; there are none", what, word);
	return sg_reader_fail(r, pointer, key, "%s \"%.80s\"; there are: %s%s", what, word, list,
		used >= 180 ? ", …" : "");
}

int sg_reader_no_node(const struct sg_reader *r, const char *pointer, const char *word)
{
	sg_autofree const char **ids = calloc(r->g->n_nodes + 1, sizeof(*ids));
	for (size_t i = 0; ids && i < r->g->n_nodes; i++)
		ids[i] = r->g->nodes[i].id;
	return sg_reader_unknown(r, pointer, 0, "no node", word, ids, ids ? r->g->n_nodes : 0);
}

static const char *type_word(json_type t)
{
	switch (t) {
	case JSON_OBJECT: return "a mapping";
	case JSON_ARRAY: return "a list";
	case JSON_STRING: return "a text";
	case JSON_INTEGER: return "a whole number";
	default: return "another type";
	}
}

static const struct sg_key *find_key(const struct sg_key *keys, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(keys[i].name, name) == 0)
			return &keys[i];
	return NULL;
}

static int check_key(const struct sg_reader *r, const char *pointer, const char *name,
	const json_t *v, const struct sg_key *keys, size_t n)
{
	char at[SG_GRAPH_POINTER_MAX];
	const char *names[24];
	const struct sg_key *k = find_key(keys, n, name);
	sg_reader_child(at, pointer, name);
	for (size_t i = 0; i < n && i < 24; i++)
		names[i] = keys[i].name;
	if (!k)
		return sg_reader_unknown(r, at, 1, "unknown key", name, names, n);
	if (json_is_null(v) && !k->required)
		return 0;
	if (k->type != JSON_NULL && json_typeof(v) != k->type)
		return sg_reader_fail(r, at, 0, "\"%s\" must be %s", name, type_word(k->type));
	return 0;
}

int sg_reader_keys(const struct sg_reader *r, const char *pointer, const json_t *v,
	const struct sg_key *keys, size_t n, const char *what)
{
	const char *name;
	json_t *one;
	if (!json_is_object(v))
		return sg_reader_fail(r, pointer, 0, "%s must be a mapping", what);
	json_object_foreach ((json_t *)v, name, one) {
		int e = check_key(r, pointer, name, one, keys, n);
		if (e < 0)
			return e;
	}
	for (size_t i = 0; i < n; i++)
		if (keys[i].required && !json_object_get(v, keys[i].name))
			return sg_reader_fail(
				r, pointer, 0, "%s needs the key \"%s\"", what, keys[i].name);
	return 0;
}

bool sg_slug_valid(const char *s)
{
	size_t n = strlen(s);
	return n >= 1 && n <= 128 && s[0] != '_' && s[0] != '.' && s[0] != '-' &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_.-") == n;
}

char *sg_strdup_or_empty(const json_t *v)
{
	return strdup(json_is_string(v) ? json_string_value(v) : "");
}
