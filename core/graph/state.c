/* The state schema: reading it, a run's first state, and merging updates. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "graph/reader.h"

static const char *const type_names[] = {[SG_STR] = "str",
	[SG_INT] = "int",
	[SG_FLOAT] = "float",
	[SG_BOOL] = "bool",
	[SG_LIST] = "list",
	[SG_DICT] = "dict"};
static const char *const reducer_names[] = {[SG_REDUCE_REPLACE] = "replace",
	[SG_REDUCE_APPEND] = "append",
	[SG_REDUCE_SUM] = "sum",
	[SG_REDUCE_MERGE] = "merge",
	[SG_REDUCE_MAX] = "max",
	[SG_REDUCE_MIN] = "min",
	[SG_REDUCE_UNION] = "union"};

const char *sg_field_type_name(enum sg_field_type t)
{
	return (size_t)t < sizeof(type_names) / sizeof(type_names[0]) ? type_names[t] : "unknown";
}

static bool scalar(enum sg_field_type t)
{
	return t != SG_LIST && t != SG_DICT;
}

static bool type_fits(enum sg_field_type t, const json_t *v)
{
	switch (t) {
	case SG_STR: return json_is_string(v);
	case SG_INT: return json_is_integer(v);
	case SG_FLOAT: return json_is_number(v);
	case SG_BOOL: return json_is_boolean(v);
	case SG_LIST: return json_is_array(v);
	case SG_DICT: return json_is_object(v);
	}
	return false;
}

/* ---- reading the schema ---- */

static json_t *zero(enum sg_field_type t)
{
	switch (t) {
	case SG_STR: return json_string("");
	case SG_INT: return json_integer(0);
	case SG_FLOAT: return json_real(0.0);
	case SG_BOOL: return json_false();
	case SG_LIST: return json_array();
	case SG_DICT: return json_object();
	}
	return NULL;
}

static int read_type(
	const struct sg_reader *r, const char *at, const char *text, struct sg_field *f)
{
	for (size_t i = 0; i < SG_ARRAY_LEN(type_names); i++)
		if (strcmp(text, type_names[i]) == 0) {
			f->type = (enum sg_field_type)i;
			f->mirrored = scalar(f->type);
			return 0;
		}
	if (strcmp(text, "bytes") == 0) { /* base64 text, which rules have no use for */
		f->type = SG_STR;
		return 0;
	}
	if (strcmp(text, "set") == 0 || strcmp(text, "frozenset") == 0)
		return sg_reader_fail(r, at, 0,
			"a %s has no order, so a run could not be replayed; use list with reducer: "
			"union",
			text);
	const char *known[] = {"str", "int", "float", "bool", "list", "dict", "bytes"};
	return sg_reader_unknown(r, at, 0, "unknown type", text, known, SG_ARRAY_LEN(known));
}

static bool reducer_fits(enum sg_reducer reducer, enum sg_field_type t)
{
	switch (reducer) {
	case SG_REDUCE_REPLACE: return true;
	case SG_REDUCE_APPEND:
	case SG_REDUCE_UNION: return t == SG_LIST;
	case SG_REDUCE_SUM: return t == SG_INT || t == SG_FLOAT;
	case SG_REDUCE_MERGE: return t == SG_DICT;
	case SG_REDUCE_MAX:
	case SG_REDUCE_MIN: return t == SG_INT || t == SG_FLOAT || t == SG_STR;
	}
	return false;
}

static int read_reducer(
	const struct sg_reader *r, const char *at, const char *text, struct sg_field *f)
{
	if (strcmp(text, "last-write") == 0)
		text = "replace";
	for (size_t i = 0; i < SG_ARRAY_LEN(reducer_names); i++) {
		if (strcmp(text, reducer_names[i]) != 0)
			continue;
		f->reducer = (enum sg_reducer)i;
		if (reducer_fits(f->reducer, f->type))
			return 0;
		return sg_reader_fail(r, at, 0, "reducer \"%s\" does not work on the type %s", text,
			type_names[f->type]);
	}
	return sg_reader_unknown(
		r, at, 0, "unknown reducer", text, reducer_names, SG_ARRAY_LEN(reducer_names));
}

static int read_details(
	const struct sg_reader *r, const char *at, const json_t *v, struct sg_field *f)
{
	static const struct sg_key keys[] = {{"type", JSON_STRING, true},
		{"default", JSON_NULL, false}, {"route", JSON_NULL, false},
		{"reducer", JSON_STRING, false}, {"name", JSON_STRING, false}};
	char sub[SG_GRAPH_POINTER_MAX];
	int e = sg_reader_keys(r, at, v, keys, SG_ARRAY_LEN(keys), "a state field");
	if (e < 0)
		return e;
	sg_reader_child(sub, at, "type");
	e = read_type(r, sub, json_string_value(json_object_get(v, "type")), f);
	const json_t *route = json_object_get(v, "route"), *reducer = json_object_get(v, "reducer");
	sg_reader_child(sub, at, "route");
	if (e == 0 && route && !json_is_boolean(route))
		return sg_reader_fail(r, sub, 0, "route must be true or false");
	if (e == 0 && json_is_true(route) && !scalar(f->type))
		return sg_reader_fail(r, sub, 0,
			"a %s cannot be seen by rules; only str, int, float and bool can",
			type_names[f->type]);
	if (route)
		f->mirrored = f->mirrored && json_is_true(route);
	sg_reader_child(sub, at, "reducer");
	if (e == 0 && json_is_string(reducer))
		e = read_reducer(r, sub, json_string_value(reducer), f);
	const json_t *initial = json_object_get(v, "default");
	sg_reader_child(sub, at, "default");
	if (e < 0 || !initial || json_is_null(initial))
		return e;
	if (!type_fits(f->type, initial))
		return sg_reader_fail(
			r, sub, 0, "the default is not of the type %s", type_names[f->type]);
	f->initial = f->type == SG_FLOAT ? json_real(json_number_value(initial))
					 : json_deep_copy(initial);
	return 0;
}

static bool identifier(const char *s)
{
	size_t n = strlen(s);
	return n >= 1 && n <= 64 && !(s[0] >= '0' && s[0] <= '9') &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == n;
}

/* Words that CLIPS or the engine reads as its own at the head of a pattern. */
static bool reserved(const char *s)
{
	static const char *const words[] = {"and", "declare", "exists", "forall", "logical", "not",
		"object", "or", "stargraph_action", "test"};
	for (size_t i = 0; i < SG_ARRAY_LEN(words); i++)
		if (strcmp(s, words[i]) == 0)
			return true;
	return false;
}

static int add_field(struct sg_reader *r, const char *at, const char *name, const json_t *v)
{
	struct sg_graph *g = r->g;
	struct sg_field f = {0};
	if (!identifier(name))
		return sg_reader_fail(r, at, 1,
			"\"%.64s\" cannot name a state field (letters, digits and _, not first a "
			"digit)",
			name);
	if (sg_graph_find_field(g, name))
		return sg_reader_fail(r, at, 1, "state field \"%s\" is declared twice", name);
	int e = json_is_string(v) ? read_type(r, at, json_string_value(v), &f)
				  : read_details(r, at, v, &f);
	if (e == 0 && !f.initial)
		f.initial = zero(f.type);
	f.mirrored = f.mirrored && !reserved(name);
	f.name = strdup(name);
	struct sg_field *grown =
		e == 0 ? realloc(g->fields, (g->n_fields + 1) * sizeof(*grown)) : NULL;
	if (!grown || !f.name || !f.initial) {
		free(f.name);
		json_decref(f.initial);
		g->fields = grown ? grown : g->fields;
		return e < 0 ? e : sg_error_nomem(r->err);
	}
	g->fields = grown;
	g->fields[g->n_fields++] = f;
	return 0;
}

/* A subgraph without a schema of its own works on the fields of the graph it stands in. */
static int inherit(struct sg_reader *r)
{
	const struct sg_graph *from = r->parent->g;
	r->g->fields = calloc(from->n_fields + 1, sizeof(*r->g->fields));
	if (!r->g->fields)
		return sg_error_nomem(r->err);
	for (size_t i = 0; i < from->n_fields; i++) {
		r->g->fields[i] = from->fields[i];
		r->g->fields[i].name = strdup(from->fields[i].name);
		(void)json_incref(from->fields[i].initial);
		r->g->n_fields++;
		if (!r->g->fields[i].name)
			return sg_error_nomem(r->err);
	}
	return 0;
}

int sg_read_state_schema(struct sg_reader *r)
{
	const json_t *schema = json_object_get(r->doc, "state_schema");
	char at[SG_GRAPH_POINTER_MAX];
	size_t i;
	const char *name;
	json_t *v;
	if (!schema || json_is_null(schema))
		return r->parent ? inherit(r) : 0;
	if (!json_is_object(schema) && !json_is_array(schema))
		return sg_reader_fail(
			r, "/state_schema", 0, "state_schema must be a mapping of field: type");
	json_array_foreach ((json_t *)schema, i, v) { /* the form of the stored document */
		sg_reader_item(at, "/state_schema", i);
		name = json_string_value(json_object_get(v, "name"));
		int e = name ? add_field(r, at, name, v)
			     : sg_reader_fail(r, at, 0, "a state field in a list needs a name");
		if (e < 0)
			return e;
	}
	json_object_foreach ((json_t *)schema, name, v) {
		sg_reader_child(at, "/state_schema", name);
		int e = add_field(r, at, name, v);
		if (e < 0)
			return e;
	}
	return 0;
}

/* ---- states ---- */

int sg_field_check(const struct sg_field *f, const json_t *v, struct sg_error *err)
{
	if (type_fits(f->type, v))
		return 0;
	return sg_error_set(err, SG_EINVALID, "state-type",
		"state field %s is %s %s; the value is not", f->name,
		f->type == SG_INT ? "an" : "a", sg_field_type_name(f->type));
}

static json_t *from_number_text(const char *text, enum sg_field_type t)
{
	char *end;
	errno = 0;
	if (t == SG_INT) {
		long long v = strtoll(text, &end, 10);
		return *text && !*end && !errno ? json_integer(v) : NULL;
	}
	double v = strtod(text, &end);
	return *text && !*end && !errno && v - v == 0 ? json_real(v) : NULL;
}

static json_t *from_text_value(const struct sg_field *f, const char *text)
{
	static const char *const yes[] = {"true", "True", "1", "yes"}, *const no[] = {"false",
									       "False", "0", "no"};
	json_t *v = NULL;
	switch (f->type) {
	case SG_STR: return json_string(text);
	case SG_INT:
	case SG_FLOAT: return from_number_text(text, f->type);
	case SG_BOOL:
		for (size_t i = 0; i < SG_ARRAY_LEN(yes); i++) {
			if (strcmp(text, yes[i]) == 0)
				return json_true();
			if (strcmp(text, no[i]) == 0)
				return json_false();
		}
		return NULL;
	case SG_LIST:
	case SG_DICT:
		if (sg_json_parse(text, strlen(text), &v, NULL) == 0 && type_fits(f->type, v))
			return v;
		json_decref(v);
		return NULL;
	}
	return NULL;
}

static int unknown_field(const struct sg_graph *g, const char *name, struct sg_error *err)
{
	struct sg_error near = {0};
	struct sg_reader r = {.name = "state", .err = &near};
	sg_autofree const char **names = calloc(g->n_fields + 1, sizeof(*names));
	for (size_t i = 0; names && i < g->n_fields; i++)
		names[i] = g->fields[i].name;
	(void)sg_reader_unknown(&r, "", 0, "no state field", name, names, names ? g->n_fields : 0);
	return sg_error_set(
		err, SG_EINVALID, "unknown-field", "%s", near.text + strlen("state:1:1: "));
}

/* An integer given for a float becomes one, so that equal states have equal text. */
static json_t *as_field(const struct sg_field *f, const json_t *v)
{
	if (f->type == SG_FLOAT && json_is_integer(v))
		return json_real((double)json_integer_value(v));
	return json_incref((json_t *)v);
}

static int set_param(const struct sg_graph *g, json_t *state, const char *name, const json_t *v,
	bool from_text, struct sg_error *err)
{
	const struct sg_field *f = sg_graph_find_field(g, name);
	if (!f)
		return unknown_field(g, name, err);
	json_t *own = from_text && json_is_string(v) ? from_text_value(f, json_string_value(v))
						     : as_field(f, v);
	if (!own)
		return sg_error_set(err, SG_EINVALID, "state-type", "%s: \"%.64s\" is not %s %s",
			name, json_string_value(v), f->type == SG_INT ? "an" : "a",
			type_names[f->type]);
	int e = sg_field_check(f, own, err);
	if (e < 0) {
		json_decref(own);
		return e;
	}
	return json_object_set_new(state, name, own) < 0 ? sg_error_nomem(err) : 0;
}

int sg_graph_initial_state(const struct sg_graph *g, const json_t *params, bool from_text,
	json_t **ret_state, struct sg_error *err)
{
	json_t *state = json_object();
	int e = state ? 0 : sg_error_nomem(err);
	for (size_t i = 0; e == 0 && i < g->n_fields; i++)
		if (json_object_set_new(
			    state, g->fields[i].name, json_deep_copy(g->fields[i].initial)) < 0)
			e = sg_error_nomem(err);
	if (e == 0 && params && !json_is_null(params) && !json_is_object(params))
		e = sg_error_set(
			err, SG_EINVALID, NULL, "the parameters must be an object of state fields");
	const char *name;
	json_t *v;
	json_object_foreach ((json_t *)params, name, v)
		if (e == 0)
			e = set_param(g, state, name, v, from_text, err);
	if (e < 0) {
		json_decref(state);
		return e;
	}
	*ret_state = state;
	return 0;
}

static json_t *joined(const json_t *old, const json_t *update, bool unique)
{
	json_t *out = json_is_array(old) ? json_copy((json_t *)old) : json_array();
	size_t i, k, n = json_is_array(update) ? json_array_size(update) : 1;
	for (i = 0; out && i < n; i++) {
		json_t *item = json_is_array(update) ? json_array_get(update, i) : (json_t *)update;
		bool have = false;
		json_t *one;
		if (unique)
			json_array_foreach (out, k, one)
				have = have || json_equal(one, item);
		if (!have)
			(void)json_array_append(out, item);
	}
	return out;
}

static int compare_scalars(const json_t *a, const json_t *b)
{
	if (json_is_string(a) && json_is_string(b))
		return strcmp(json_string_value(a), json_string_value(b));
	if (json_is_integer(a) && json_is_integer(b)) {
		json_int_t x = json_integer_value(a), y = json_integer_value(b);
		return x < y ? -1 : x > y;
	}
	double x = json_number_value(a), y = json_number_value(b);
	return x < y ? -1 : x > y;
}

static int sum(const struct sg_field *f, const json_t *a, const json_t *b, json_t **ret,
	struct sg_error *err)
{
	json_int_t whole;
	if (f->type == SG_FLOAT) {
		double v = json_number_value(a) + json_number_value(b);
		if (v - v != 0)
			return sg_error_set(err, SG_EINVALID, "state-overflow",
				"state field %s: the sum is not finite", f->name);
		*ret = json_real(v);
		return 0;
	}
	if (__builtin_add_overflow(json_integer_value(a), json_integer_value(b), &whole))
		return sg_error_set(err, SG_EINVALID, "state-overflow",
			"state field %s: the sum does not fit 64 bits", f->name);
	*ret = json_integer(whole);
	return 0;
}

int sg_graph_reduce(const struct sg_field *f, const json_t *old, const json_t *update,
	json_t **ret_value, struct sg_error *err)
{
	json_t *out = NULL;
	bool loose = f->reducer == SG_REDUCE_APPEND || f->reducer == SG_REDUCE_UNION;
	int e = loose ? 0 : sg_field_check(f, update, err);
	if (e < 0)
		return e;
	switch (f->reducer) {
	case SG_REDUCE_REPLACE: out = as_field(f, update); break;
	case SG_REDUCE_APPEND:
	case SG_REDUCE_UNION: out = joined(old, update, f->reducer == SG_REDUCE_UNION); break;
	case SG_REDUCE_SUM: e = sum(f, old, update, &out, err); break;
	case SG_REDUCE_MERGE:
		out = json_is_object(old) ? json_copy((json_t *)old) : json_object();
		if (out && json_object_update(out, (json_t *)update) < 0) {
			json_decref(out);
			out = NULL;
		}
		break;
	case SG_REDUCE_MAX:
		out = as_field(f, compare_scalars(update, old) > 0 ? update : old);
		break;
	case SG_REDUCE_MIN:
		out = as_field(f, compare_scalars(update, old) < 0 ? update : old);
		break;
	}
	if (e < 0 || !out)
		return e < 0 ? e : sg_error_nomem(err);
	*ret_value = out;
	return 0;
}

int sg_graph_merge_state(const struct sg_graph *g, const json_t *state, const json_t *update,
	json_t **ret_state, struct sg_error *err)
{
	json_t *out = json_copy((json_t *)state), *v;
	int e = out ? 0 : sg_error_nomem(err);
	const char *name;
	json_object_foreach ((json_t *)update, name, v) {
		const struct sg_field *f = sg_graph_find_field(g, name);
		json_t *merged = NULL;
		if (e == 0)
			e = f ? sg_graph_reduce(f, json_object_get(state, name), v, &merged, err)
			      : unknown_field(g, name, err);
		if (e == 0 && json_object_set_new(out, name, merged) < 0)
			e = sg_error_nomem(err);
	}
	if (e < 0) {
		json_decref(out);
		return e;
	}
	*ret_state = out;
	return 0;
}
