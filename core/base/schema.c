/* The subset of JSON Schema that this project speaks: see schema.h for the keywords.
 *
 * Both walks carry the JSON Pointer of where they are in a bounded buffer, for messages only: when
 * it is full the message says less, nothing else changes. */
#include "base/schema.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/suggest.h"

#define KIND "schema-violation"

struct path {
	char text[256];
	size_t len;
};

static size_t push(struct path *p, const char *token)
{
	size_t old = p->len;
	char c[3] = "/";
	for (const char *t = token;; t++) {
		size_t n = strlen(c);
		if (p->len + n < sizeof(p->text)) {
			memcpy(p->text + p->len, c, n + 1);
			p->len += n;
		}
		if (!*t)
			return old;
		(void)snprintf(c, sizeof(c), "%s",
			*t == '~'   ? "~0"
			: *t == '/' ? "~1"
				    : (char[]){*t, '\0'});
	}
}

static size_t push_index(struct path *p, size_t i)
{
	char t[24];
	(void)snprintf(t, sizeof(t), "%zu", i);
	return push(p, t);
}

static void pop(struct path *p, size_t old)
{
	p->len = old;
	p->text[old] = '\0';
}

static const char *where(const struct path *p)
{
	return p->len ? p->text : "/";
}

/* -- is the schema in the subset? ----------------------------------------------------------- */

static const char *const type_names[] = {
	"array", "boolean", "integer", "null", "number", "object", "string"};

static bool is_type_name(const json_t *v)
{
	const char *s = json_string_value(v);
	for (size_t i = 0; s && i < SG_ARRAY_LEN(type_names); i++)
		if (strcmp(s, type_names[i]) == 0)
			return true;
	return false;
}

static bool good_type(const json_t *v)
{
	if (!json_is_array(v))
		return is_type_name(v);
	for (size_t i = 0; i < json_array_size(v); i++)
		if (!is_type_name(json_array_get(v, i)))
			return false;
	return json_array_size(v) > 0;
}

static bool good_names(const json_t *v)
{
	for (size_t i = 0; i < json_array_size(v); i++)
		if (!json_is_string(json_array_get(v, i)))
			return false;
	return json_is_array(v);
}

static bool good_enum(const json_t *v)
{
	return json_is_array(v) && json_array_size(v) > 0;
}

static bool good_number(const json_t *v)
{
	return json_is_number(v);
}

static bool good_count(const json_t *v)
{
	return json_is_integer(v) && json_integer_value(v) >= 0;
}

static bool anything(const json_t *v)
{
	return v != NULL;
}

static bool good_properties(const json_t *v)
{
	return json_is_object(v);
}

static bool good_additional(const json_t *v)
{
	return json_is_boolean(v) || json_is_object(v);
}

static const struct keyword {
	const char *name;
	bool (*good)(const json_t *v);
	const char *wants;
} keywords[] = {
	{"$comment", anything, ""},
	{"additionalProperties", good_additional, "a boolean or a schema"},
	{"const", anything, ""},
	{"default", anything, ""},
	{"description", anything, ""},
	{"enum", good_enum, "a list of at least one value"},
	{"items", good_properties, "a schema"},
	{"maxItems", good_count, "an integer from 0"},
	{"maxLength", good_count, "an integer from 0"},
	{"maximum", good_number, "a number"},
	{"minItems", good_count, "an integer from 0"},
	{"minLength", good_count, "an integer from 0"},
	{"minimum", good_number, "a number"},
	{"properties", good_properties, "an object of schemas"},
	{"required", good_names, "a list of names"},
	{"title", anything, ""},
	{"type", good_type, "a type name or a list of them"},
};

static const struct keyword *find_keyword(const char *name)
{
	for (size_t i = 0; i < SG_ARRAY_LEN(keywords); i++)
		if (strcmp(keywords[i].name, name) == 0)
			return &keywords[i];
	return NULL;
}

static int unknown_keyword(const struct path *p, const char *name, struct sg_error *err)
{
	const char *names[SG_ARRAY_LEN(keywords)];
	for (size_t i = 0; i < SG_ARRAY_LEN(keywords); i++)
		names[i] = keywords[i].name;
	const char *near = sg_suggest(name, names, SG_ARRAY_LEN(keywords));
	return sg_error_set(err, SG_EINVALID, "schema",
		"schema at %s: keyword \"%.64s\" is not supported%s%s%s", where(p), name,
		near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static int check(const json_t *schema, struct path *p, unsigned depth, struct sg_error *err);

static int check_below(json_t *schema, struct path *p, unsigned depth, struct sg_error *err)
{
	static const char *const single[] = {"items", "additionalProperties"};
	for (size_t i = 0; i < SG_ARRAY_LEN(single); i++) {
		const json_t *sub = json_object_get(schema, single[i]);
		if (!json_is_object(sub))
			continue;
		size_t old = push(p, single[i]);
		int r = check(sub, p, depth + 1, err);
		if (r < 0)
			return r;
		pop(p, old);
	}
	size_t old = push(p, "properties");
	const char *name;
	json_t *sub;
	json_object_foreach (json_object_get(schema, "properties"), name, sub) {
		size_t inner = push(p, name);
		int r = check(sub, p, depth + 1, err);
		if (r < 0)
			return r;
		pop(p, inner);
	}
	pop(p, old);
	return 0;
}

static int check(const json_t *schema, struct path *p, unsigned depth, struct sg_error *err)
{
	if (!json_is_object(schema))
		return sg_error_set(err, SG_EINVALID, "schema",
			"schema at %s: a schema is an object", where(p));
	if (depth >= SG_JSON_MAX_DEPTH)
		return sg_error_set(err, SG_EINVALID, "schema",
			"schema at %s: nested deeper than %d levels", where(p), SG_JSON_MAX_DEPTH);
	json_t *o = (json_t *)(uintptr_t)schema; /* Jansson's iterators are not const */
	const char *name;
	json_t *v;
	json_object_foreach (o, name, v) {
		const struct keyword *k = find_keyword(name);
		if (!k)
			return unknown_keyword(p, name, err);
		if (!k->good(v))
			return sg_error_set(err, SG_EINVALID, "schema",
				"schema at %s: \"%s\" must be %s", where(p), name, k->wants);
	}
	return check_below(o, p, depth, err);
}

int sg_schema_check(const json_t *schema, struct sg_error *err)
{
	struct path p = {0};
	return check(schema, &p, 0, err);
}

/* -- does the value fit? -------------------------------------------------------------------- */

static const char *type_of(const json_t *v)
{
	switch (json_typeof(v)) {
	case JSON_OBJECT: return "object";
	case JSON_ARRAY: return "array";
	case JSON_STRING: return "string";
	case JSON_INTEGER: return "integer";
	case JSON_REAL: return "number";
	case JSON_TRUE:
	case JSON_FALSE: return "boolean";
	case JSON_NULL: break;
	}
	return "null";
}

static bool has_type(const json_t *v, const char *type)
{
	const char *t = type_of(v);
	return strcmp(t, type) == 0 || (strcmp(type, "number") == 0 && json_is_integer(v));
}

static int validate_type(
	const json_t *type, const json_t *v, const struct path *p, struct sg_error *err)
{
	if (!type)
		return 0;
	if (json_is_string(type) && has_type(v, json_string_value(type)))
		return 0;
	char wanted[128] = "";
	size_t n = json_is_string(type) ? 1 : json_array_size(type);
	for (size_t i = 0; i < n; i++) {
		const char *t =
			json_string_value(json_is_string(type) ? type : json_array_get(type, i));
		if (has_type(v, t))
			return 0;
		size_t len = strlen(wanted);
		(void)snprintf(wanted + len, sizeof(wanted) - len, "%s%s", i ? " or " : "", t);
	}
	return sg_error_set(
		err, SG_EINVALID, KIND, "at %s: expected %s, got %s", where(p), wanted, type_of(v));
}

/* JSON Schema compares numbers by value: 1 equals 1.0. */
static bool same(const json_t *a, const json_t *b)
{
	if (json_is_number(a) && json_is_number(b) && json_typeof(a) != json_typeof(b))
		return json_number_value(a) == json_number_value(b);
	return json_equal(a, b);
}

static int validate_choice(
	const json_t *schema, const json_t *v, const struct path *p, struct sg_error *err)
{
	const json_t *c = json_object_get(schema, "const");
	const json_t *e = json_object_get(schema, "enum");
	bool ok = !e;
	for (size_t i = 0; i < json_array_size(e) && !ok; i++)
		ok = same(json_array_get(e, i), v);
	if (ok && (!c || same(c, v)))
		return 0;
	sg_autobuf b = SG_BUF_INIT(512);
	if (sg_json_canonical(c && ok ? c : e, &b, NULL) < 0)
		return sg_error_set(
			err, SG_EINVALID, KIND, "at %s: not an allowed value", where(p));
	return sg_error_set(err, SG_EINVALID, KIND, "at %s: must be %s%s", where(p),
		c && ok ? "" : "one of ", b.data);
}

static int bound_error(const struct path *p, const char *what, bool upper, const json_t *bound,
	struct sg_error *err)
{
	char text[32];
	if (json_is_integer(bound))
		(void)snprintf(
			text, sizeof(text), "%" JSON_INTEGER_FORMAT, json_integer_value(bound));
	else
		(void)sg_json_number(json_real_value(bound), text);
	return sg_error_set(err, SG_EINVALID, KIND, "at %s: %smust be %s %s", where(p), what,
		upper ? "at most" : "at least", text);
}

static bool below(const json_t *a, const json_t *b)
{
	if (json_is_integer(a) && json_is_integer(b))
		return json_integer_value(a) < json_integer_value(b);
	return json_number_value(a) < json_number_value(b);
}

static int validate_range(
	const json_t *schema, const json_t *v, const struct path *p, struct sg_error *err)
{
	const json_t *lo = json_object_get(schema, "minimum");
	const json_t *hi = json_object_get(schema, "maximum");
	if (!json_is_number(v))
		return 0;
	if (lo && below(v, lo))
		return bound_error(p, "", false, lo, err);
	if (hi && below(hi, v))
		return bound_error(p, "", true, hi, err);
	return 0;
}

static json_int_t code_points(const char *s, size_t n)
{
	json_int_t count = 0;
	for (size_t i = 0; i < n; i++)
		count += ((unsigned char)s[i] & 0xc0) != 0x80;
	return count;
}

static int validate_count(const json_t *schema, const char *min, const char *max, json_int_t count,
	const char *what, const struct path *p, struct sg_error *err)
{
	const json_t *lo = json_object_get(schema, min);
	const json_t *hi = json_object_get(schema, max);
	if (lo && count < json_integer_value(lo))
		return bound_error(p, what, false, lo, err);
	if (hi && count > json_integer_value(hi))
		return bound_error(p, what, true, hi, err);
	return 0;
}

static int validate(const json_t *schema, const json_t *v, struct path *p, struct sg_error *err);

static int validate_array(
	const json_t *schema, const json_t *v, struct path *p, struct sg_error *err)
{
	int r = validate_count(schema, "minItems", "maxItems", (json_int_t)json_array_size(v),
		"number of items ", p, err);
	if (r < 0)
		return r;
	const json_t *items = json_object_get(schema, "items");
	for (size_t i = 0; items && i < json_array_size(v); i++) {
		size_t old = push_index(p, i);
		r = validate(items, json_array_get(v, i), p, err);
		if (r < 0)
			return r;
		pop(p, old);
	}
	return 0;
}

static int unknown_property(
	const json_t *schema, const char *name, const struct path *p, struct sg_error *err)
{
	enum { MOST = 256 };
	const char *names[MOST];
	size_t n = 0;
	const char *key;
	json_t *unused;
	json_object_foreach (json_object_get(schema, "properties"), key, unused) {
		if (n < MOST)
			names[n++] = key;
	}
	const char *near = sg_suggest(name, names, n);
	return sg_error_set(err, SG_EINVALID, KIND, "at %s: unknown property \"%.64s\"%s%s%s",
		where(p), name, near ? "; did you mean \"" : "", near ? near : "",
		near ? "\"?" : "");
}

static int validate_member(const json_t *schema, const char *name, const json_t *v, struct path *p,
	struct sg_error *err)
{
	const json_t *sub = json_object_get(json_object_get(schema, "properties"), name);
	if (!sub)
		sub = json_object_get(schema, "additionalProperties");
	if (json_is_false(sub))
		return unknown_property(schema, name, p, err);
	if (!json_is_object(sub))
		return 0;
	size_t old = push(p, name);
	int r = validate(sub, v, p, err);
	if (r == 0)
		pop(p, old);
	return r;
}

static int validate_object(
	const json_t *schema, const json_t *v, struct path *p, struct sg_error *err)
{
	const char *name;
	json_t *member;
	json_object_foreach ((json_t *)(uintptr_t)v, name, member) {
		int r = validate_member(schema, name, member, p, err);
		if (r < 0)
			return r;
	}
	const json_t *required = json_object_get(schema, "required");
	for (size_t i = 0; i < json_array_size(required); i++) {
		const char *want = json_string_value(json_array_get(required, i));
		if (!json_object_get(v, want))
			return sg_error_set(err, SG_EINVALID, KIND,
				"at %s: required property \"%s\" is missing", where(p), want);
	}
	return 0;
}

static int validate(const json_t *schema, const json_t *v, struct path *p, struct sg_error *err)
{
	int r = validate_type(json_object_get(schema, "type"), v, p, err);
	if (r == 0)
		r = validate_choice(schema, v, p, err);
	if (r == 0)
		r = validate_range(schema, v, p, err);
	if (r < 0)
		return r;
	if (json_is_string(v))
		return validate_count(schema, "minLength", "maxLength",
			code_points(json_string_value(v), json_string_length(v)), "length ", p,
			err);
	if (json_is_array(v))
		return validate_array(schema, v, p, err);
	if (json_is_object(v))
		return validate_object(schema, v, p, err);
	return 0;
}

int sg_schema_validate(const json_t *schema, const json_t *value, struct sg_error *err)
{
	struct path p = {0};
	return validate(schema, value, &p, err);
}
