/* YAML to Jansson over libyaml's event parser: see yaml.h for what is accepted.
 *
 * The limits hold for the document as expanded: an alias counts as all the nodes and bytes of what
 * it stands for, so that a small file cannot become a large value (the "billion laughs"). */
#include "config/yaml.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/schema.h"
#include "config/marks.h"
#include "config/yaml_scalar.h"

struct anchor {
	char *name;    /* owned */
	json_t *value; /* owned; NULL while it is being read */
	size_t nodes, bytes;
	unsigned height;
};

struct reader {
	yaml_parser_t parser;
	const char *name;
	struct sg_error *err;
	size_t nodes, bytes, aliases;
	struct anchor *anchors;
	size_t n_anchors;
};

struct built {
	json_t *value; /* owned by the receiver */
	unsigned height;
};

static void event_finish(yaml_event_t *e)
{
	yaml_event_delete(e);
}
#define autoevent SG_CLEANUP(event_finish) yaml_event_t

#define FAIL(r, mark, ...) \
	fail_at((r), (mark), sg_error_set((r)->err, SG_EINVALID, NULL, __VA_ARGS__))

static int fail_at(struct reader *r, yaml_mark_t m, int code)
{
	(void)sg_error_prefix(r->err, "%s:%zu:%zu", r->name, m.line + 1, m.column + 1);
	return code;
}

static int next_event(struct reader *r, yaml_event_t *ret)
{
	if (yaml_parser_parse(&r->parser, ret))
		return 0;
	*ret = (yaml_event_t){0};
	const yaml_parser_t *p = &r->parser;
	if (p->error == YAML_MEMORY_ERROR)
		return sg_error_nomem(r->err);
	if (p->error == YAML_READER_ERROR)
		return sg_error_set(r->err, SG_EINVALID, NULL, "%s: byte %zu: %s", r->name,
			p->problem_offset, p->problem ? p->problem : "unreadable");
	return FAIL(r, p->problem_mark, "%s%s%s", p->problem ? p->problem : "bad YAML",
		p->context ? " " : "", p->context ? p->context : "");
}

static int count(struct reader *r, yaml_mark_t at, size_t nodes, size_t bytes)
{
	r->nodes += nodes;
	r->bytes += bytes;
	if (r->nodes > SG_YAML_MAX_NODES)
		return FAIL(r, at, "more than %u values (aliases counted as what they stand for)",
			SG_YAML_MAX_NODES);
	if (r->bytes > SG_YAML_MAX_BYTES)
		return FAIL(r, at, "more than %u bytes of text (aliases counted likewise)",
			SG_YAML_MAX_BYTES);
	return 0;
}

/* -- anchors and aliases -------------------------------------------------------------------- */

static struct anchor *find_anchor(struct reader *r, const char *name)
{
	for (size_t i = 0; i < r->n_anchors; i++)
		if (strcmp(r->anchors[i].name, name) == 0)
			return &r->anchors[i];
	return NULL;
}

/* Returns the new anchor's index, or SIZE_MAX without one; negative in *ret_r on error. */
static size_t open_anchor(struct reader *r, const yaml_char_t *name, yaml_mark_t at, int *ret_r)
{
	*ret_r = 0;
	if (!name)
		return SIZE_MAX;
	if (find_anchor(r, (const char *)name)) {
		*ret_r = FAIL(r, at, "anchor &%.64s is set twice", (const char *)name);
		return SIZE_MAX;
	}
	if (r->n_anchors >= SG_YAML_MAX_ALIASES) {
		*ret_r = FAIL(r, at, "more than %u anchors", SG_YAML_MAX_ALIASES);
		return SIZE_MAX;
	}
	struct anchor *p = reallocarray(r->anchors, r->n_anchors + 1, sizeof(*p));
	char *copy = strdup((const char *)name);
	if (p)
		r->anchors = p;
	if (!p || !copy) {
		free(copy);
		*ret_r = sg_error_nomem(r->err);
		return SIZE_MAX;
	}
	r->anchors[r->n_anchors] =
		(struct anchor){.name = copy, .nodes = r->nodes, .bytes = r->bytes};
	return r->n_anchors++;
}

static void close_anchor(struct reader *r, size_t i, const struct built *b)
{
	if (i == SIZE_MAX)
		return;
	struct anchor *a = &r->anchors[i];
	a->nodes = r->nodes - a->nodes;
	a->bytes = r->bytes - a->bytes;
	a->height = b->height;
	a->value = json_incref(b->value);
}

static int build_alias(struct reader *r, const yaml_event_t *e, unsigned depth, struct built *ret)
{
	const char *name = (const char *)e->data.alias.anchor;
	const struct anchor *a = find_anchor(r, name);
	if (!a)
		return FAIL(r, e->start_mark, "alias *%.64s has no anchor before it", name);
	if (!a->value)
		return FAIL(r, e->start_mark, "alias *%.64s lies inside its own anchor", name);
	if (++r->aliases > SG_YAML_MAX_ALIASES)
		return FAIL(r, e->start_mark, "more than %u aliases", SG_YAML_MAX_ALIASES);
	if (depth + a->height > SG_YAML_MAX_DEPTH)
		return FAIL(r, e->start_mark, "nested deeper than %u levels", SG_YAML_MAX_DEPTH);
	int code = count(r, e->start_mark, a->nodes, a->bytes);
	if (code < 0)
		return code;
	json_t *copy = json_deep_copy(a->value);
	if (!copy)
		return sg_error_nomem(r->err);
	*ret = (struct built){copy, a->height};
	return 0;
}

/* -- scalars -------------------------------------------------------------------------------- */

#define TAG_PREFIX "tag:yaml.org,2002:"

static int tag_error(struct reader *r, yaml_mark_t at, const yaml_char_t *tag)
{
	const char *t = (const char *)tag;
	bool core = strncmp(t, TAG_PREFIX, strlen(TAG_PREFIX)) == 0;
	return FAIL(r, at, "tag %s%.64s is not supported", core ? "!!" : "",
		core ? t + strlen(TAG_PREFIX) : t);
}

static int scalar_value(struct reader *r, const yaml_event_t *e, json_t **ret)
{
	const char *text = (const char *)e->data.scalar.value;
	size_t n = e->data.scalar.length;
	const char *tag = (const char *)e->data.scalar.tag;
	if (strlen(text) != n)
		return FAIL(r, e->start_mark, "a NUL character in text");
	if (!tag || strcmp(tag, "!") == 0)
		tag = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE ? NULL : "str";
	else if (strncmp(tag, TAG_PREFIX, strlen(TAG_PREFIX)) == 0)
		tag += strlen(TAG_PREFIX);
	static const char *const core[] = {"str", "null", "bool", "int", "float"};
	bool known = !tag;
	for (size_t i = 0; i < SG_ARRAY_LEN(core) && !known; i++)
		known = strcmp(tag, core[i]) == 0;
	if (!known)
		return tag_error(r, e->start_mark, e->data.scalar.tag);
	const char *why;
	json_t *v = sg_yaml_scalar(tag, text, n, &why);
	if (!v)
		return FAIL(r, e->start_mark, "\"%.64s\": %s", text, why);
	*ret = v;
	return 0;
}

static int build_scalar(struct reader *r, const yaml_event_t *e, struct built *ret)
{
	int code;
	size_t anchor = open_anchor(r, e->data.scalar.anchor, e->start_mark, &code);
	if (code == 0)
		code = count(r, e->start_mark, 1, e->data.scalar.length);
	if (code < 0)
		return code;
	struct built b = {0};
	code = scalar_value(r, e, &b.value);
	if (code < 0)
		return code;
	close_anchor(r, anchor, &b);
	*ret = b;
	return 0;
}

/* -- collections ---------------------------------------------------------------------------- */

static int build(struct reader *r, const yaml_event_t *e, unsigned depth, struct sg_mark *m,
	struct built *ret);

static int enter(struct reader *r, const yaml_event_t *e, unsigned depth, const yaml_char_t *tag,
	const char *wanted)
{
	if (depth > SG_YAML_MAX_DEPTH)
		return FAIL(r, e->start_mark, "nested deeper than %u levels", SG_YAML_MAX_DEPTH);
	if (tag && strcmp((const char *)tag, wanted) != 0 && strcmp((const char *)tag, "!") != 0)
		return tag_error(r, e->start_mark, tag);
	return count(r, e->start_mark, 1, 0);
}

static int build_items(
	struct reader *r, unsigned depth, struct sg_mark *m, json_t *list, unsigned *ret_height)
{
	for (;;) {
		autoevent e;
		int code = next_event(r, &e);
		if (code < 0 || e.type == YAML_SEQUENCE_END_EVENT)
			return code;
		struct sg_mark *child = sg_mark_add(m);
		struct built b;
		code = child ? build(r, &e, depth + 1, child, &b) : sg_error_nomem(r->err);
		if (code < 0)
			return code;
		if (json_array_append_new(list, b.value) < 0)
			return sg_error_nomem(r->err);
		if (b.height + 1 > *ret_height)
			*ret_height = b.height + 1;
	}
}

static int read_key(struct reader *r, const yaml_event_t *e, json_t *object, struct sg_mark *child)
{
	if (e->type != YAML_SCALAR_EVENT || e->data.scalar.anchor)
		return FAIL(r, e->start_mark, "a key must be a plain string");
	int code = count(r, e->start_mark, 0, e->data.scalar.length);
	json_auto_t *key = NULL;
	if (code == 0)
		code = scalar_value(r, e, &key);
	if (code < 0)
		return code;
	const char *text = (const char *)e->data.scalar.value;
	if (!json_is_string(key))
		return FAIL(r, e->start_mark,
			"key \"%.64s\" is not read as a string; put it in quotes", text);
	if (json_object_get(object, text))
		return FAIL(r, e->start_mark, "key \"%.64s\" is there twice", text);
	child->key_line = (int)e->start_mark.line + 1;
	child->key_column = (int)e->start_mark.column + 1;
	child->name = strdup(text);
	return child->name ? 0 : sg_error_nomem(r->err);
}

static int build_member(struct reader *r, unsigned depth, struct sg_mark *child, json_t *object,
	unsigned *ret_height)
{
	autoevent e;
	int code = next_event(r, &e);
	struct built b;
	if (code == 0)
		code = build(r, &e, depth + 1, child, &b);
	if (code < 0)
		return code;
	if (json_object_set_new_nocheck(object, child->name, b.value) < 0)
		return sg_error_nomem(r->err);
	if (b.height + 1 > *ret_height)
		*ret_height = b.height + 1;
	return 0;
}

static int build_members(
	struct reader *r, unsigned depth, struct sg_mark *m, json_t *object, unsigned *ret_height)
{
	for (;;) {
		autoevent e;
		int code = next_event(r, &e);
		if (code < 0 || e.type == YAML_MAPPING_END_EVENT)
			return code;
		struct sg_mark *child = sg_mark_add(m);
		code = child ? read_key(r, &e, object, child) : sg_error_nomem(r->err);
		if (code == 0)
			code = build_member(r, depth, child, object, ret_height);
		if (code < 0)
			return code;
	}
}

static int build_collection(struct reader *r, const yaml_event_t *e, unsigned depth,
	struct sg_mark *m, struct built *ret)
{
	bool list = e->type == YAML_SEQUENCE_START_EVENT;
	int code = list ? enter(r, e, depth, e->data.sequence_start.tag, YAML_SEQ_TAG)
			: enter(r, e, depth, e->data.mapping_start.tag, YAML_MAP_TAG);
	if (code < 0)
		return code;
	size_t anchor =
		open_anchor(r, list ? e->data.sequence_start.anchor : e->data.mapping_start.anchor,
			e->start_mark, &code);
	if (code < 0)
		return code;
	if (anchor != SIZE_MAX)
		r->anchors[anchor].nodes--; /* this collection itself, counted on entering */
	json_auto_t *v = list ? json_array() : json_object();
	if (!v)
		return sg_error_nomem(r->err);
	unsigned height = 1;
	code = list ? build_items(r, depth, m, v, &height) : build_members(r, depth, m, v, &height);
	if (code < 0)
		return code;
	struct built b = {json_incref(v), height};
	close_anchor(r, anchor, &b);
	*ret = b;
	return 0;
}

/* The value that starts with event e. depth counts the collections around it. */
static int build(struct reader *r, const yaml_event_t *e, unsigned depth, struct sg_mark *m,
	struct built *ret)
{
	m->line = (int)e->start_mark.line + 1;
	m->column = (int)e->start_mark.column + 1;
	switch (e->type) {
	case YAML_ALIAS_EVENT: return build_alias(r, e, depth, ret);
	case YAML_SCALAR_EVENT: return build_scalar(r, e, ret);
	case YAML_SEQUENCE_START_EVENT:
	case YAML_MAPPING_START_EVENT: return build_collection(r, e, depth, m, ret);
	default: return FAIL(r, e->start_mark, "unexpected end");
	}
}

/* -- the document --------------------------------------------------------------------------- */

static int read_document(struct reader *r, struct sg_mark *root, struct built *ret)
{
	autoevent start;
	int code = next_event(r, &start); /* stream start */
	if (code < 0)
		return code;
	autoevent doc;
	code = next_event(r, &doc);
	if (code < 0)
		return code;
	if (doc.type == YAML_STREAM_END_EVENT) {
		*ret = (struct built){json_null(), 0};
		return 0;
	}
	autoevent first;
	code = next_event(r, &first);
	struct built b = {0};
	if (code == 0)
		code = build(r, &first, 1, root, &b);
	if (code < 0)
		return code;
	autoevent end, after;
	after = (yaml_event_t){0};
	code = next_event(r, &end);
	if (code == 0)
		code = next_event(r, &after);
	if (code == 0 && after.type != YAML_STREAM_END_EVENT)
		code = FAIL(r, after.start_mark, "a second document; one file holds one");
	if (code < 0) {
		json_decref(b.value);
		return code;
	}
	*ret = b;
	return 0;
}

static void reader_finish(struct reader *r)
{
	for (size_t i = 0; i < r->n_anchors; i++) {
		free(r->anchors[i].name);
		json_decref(r->anchors[i].value);
	}
	free(r->anchors);
	yaml_parser_delete(&r->parser);
}

int sg_yaml_read_text(
	const char *name, const char *text, size_t n, struct sg_yaml *ret, struct sg_error *err)
{
	struct sg_error local;
	struct reader r = {.name = name, .err = err ? err : &local};
	if (n > SG_YAML_MAX_BYTES)
		return sg_error_set(err, SG_ELIMIT, NULL, "%s has %zu bytes, the limit is %u", name,
			n, SG_YAML_MAX_BYTES);
	if (!yaml_parser_initialize(&r.parser))
		return sg_error_nomem(err);
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, n);
	struct sg_yaml y = {.path = strdup(name), .marks = calloc(1, sizeof(struct sg_mark))};
	struct built b = {0};
	int code = y.path && y.marks ? read_document(&r, y.marks, &b) : sg_error_nomem(err);
	reader_finish(&r);
	if (code < 0) {
		sg_yaml_finish(&y);
		return code;
	}
	y.root = b.value;
	*ret = y;
	return 0;
}

int sg_yaml_read_file(const char *path, struct sg_yaml *ret, struct sg_error *err)
{
	sg_autofree char *text = NULL;
	size_t n;
	int r = sg_file_read(path, SG_YAML_MAX_BYTES, &text, &n, err);
	return r < 0 ? r : sg_yaml_read_text(path, text, n, ret, err);
}

void sg_yaml_finish(struct sg_yaml *y)
{
	free(y->path);
	json_decref(y->root);
	sg_mark_destroy(y->marks);
	*y = (struct sg_yaml){0};
}

void sg_yaml_mark(
	const struct sg_yaml *y, const char *pointer, int key, int *ret_line, int *ret_column)
{
	const struct sg_mark *m = sg_mark_find(y->marks, pointer);
	*ret_line = key && m->key_line ? m->key_line : m->line;
	*ret_column = key && m->key_line ? m->key_column : m->column;
}

int sg_yaml_locate(const struct sg_yaml *y, const char *pointer, struct sg_error *err)
{
	int line, column;
	sg_yaml_mark(y, pointer, 0, &line, &column);
	return sg_error_prefix(
		err, "%s:%d:%d", y->path, line ? line : 1, column ? column : 1); /* empty */
}

int sg_yaml_validate(const struct sg_yaml *y, const char *schema, struct sg_error *err)
{
	struct sg_error local = {0};
	json_auto_t *parsed = NULL;
	char pointer[1024] = "";
	err = err ? err : &local;
	int r = sg_json_parse(schema, strlen(schema), &parsed, err);
	if (r == 0)
		r = sg_schema_validate(parsed, y->root, err);
	if (r == 0)
		return 0;
	if (strncmp(err->text, "at /", 4) == 0)
		(void)snprintf(pointer, sizeof(pointer), "%.*s", (int)strcspn(err->text + 3, ":"),
			err->text + 3);
	return sg_yaml_locate(y, pointer, err);
}
