/* Filters on metadata, applied before ranking.
 *
 * {"section": "editors"}                     equal
 * {"year": {"gte": 2020, "lt": 2024}}        range: gt, gte, lt, lte, of numbers or of strings
 * {"lang": {"in": ["c", "rust"]}}            one of a set
 * {"lang": {"ne": "c"}}                      there, and not equal
 * Conditions of several members must all hold; a document without the member never matches. Values
 * of different types are never equal and have no order.
 *
 * A condition is decided once for every distinct value of its column, then looked up by row. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/suggest.h"
#include "knowledge/index.h"

static const char *const operators[] = {"eq", "gt", "gte", "in", "lt", "lte", "ne"};

static bool is_scalar(const json_t *v)
{
	return json_is_string(v) || json_is_number(v) || json_is_boolean(v);
}

static int check_operator(
	const char *key, const char *op, const json_t *v, size_t *left, struct sg_error *err)
{
	bool known = false;
	for (size_t i = 0; i < SG_ARRAY_LEN(operators); i++)
		known = known || strcmp(op, operators[i]) == 0;
	if (!known) {
		const char *near = sg_suggest(op, operators, SG_ARRAY_LEN(operators));
		return sg_error_set(err, SG_EINVALID, "filter",
			"filter on \"%.64s\": no operator \"%.32s\"%s%s%s", key, op,
			near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
	}
	if (strcmp(op, "in") == 0) {
		size_t i, n = json_array_size(v);
		const json_t *one;
		if (!json_is_array(v) || !n || n > SG_KNOW_FILTER_SET)
			return sg_error_set(err, SG_EINVALID, "filter",
				"filter on \"%.64s\": \"in\" wants a list of 1 to %d values", key,
				SG_KNOW_FILTER_SET);
		json_array_foreach (v, i, one)
			if (!is_scalar(one))
				return sg_error_set(err, SG_EINVALID, "filter",
					"filter on \"%.64s\": a value that is not a string, number "
					"or boolean",
					key);
	} else if (!is_scalar(v)) {
		return sg_error_set(err, SG_EINVALID, "filter",
			"filter on \"%.64s\": a value that is not a string, number or boolean",
			key);
	}
	if ((*left)-- == 0)
		return sg_error_set(err, SG_ELIMIT, "filter", "a filter of more than %d conditions",
			SG_KNOW_FILTER_TERMS);
	return 0;
}

int sg_know_check_filter(const json_t *filter, struct sg_error *err)
{
	const char *key, *op;
	json_t *cond, *v;
	size_t left = SG_KNOW_FILTER_TERMS;
	if (!filter)
		return 0;
	if (!json_is_object(filter))
		return sg_error_set(err, SG_EINVALID, "filter", "a filter is an object");
	json_object_foreach ((json_t *)filter, key, cond) {
		int r = 0;
		if (!json_is_object(cond))
			r = check_operator(key, "eq", cond, &left, err);
		else if (!json_object_size(cond))
			r = sg_error_set(err, SG_EINVALID, "filter",
				"filter on \"%.64s\": no operator", key);
		json_object_foreach (cond, op, v)
			if (r == 0)
				r = check_operator(key, op, v, &left, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* -2: different types, no order; else <0, 0, >0. value: a column's, with its type byte. */
static int compare(const char *value, size_t len, const json_t *v)
{
	if (json_is_boolean(v)) {
		bool is = value[0] == 't', same = value[0] == 't' || value[0] == 'f';
		return same && is == json_is_true(v) ? 0 : -2;
	}
	if (json_is_number(v)) {
		double d, with = json_number_value(v);
		if (value[0] != 'n')
			return -2;
		memcpy(&d, value + 1, sizeof(d));
		return d < with ? -1 : d > with ? 1 : 0;
	}
	if (value[0] != 's')
		return -2;
	size_t n = len - 1, m = json_string_length(v);
	int c = memcmp(value + 1, json_string_value(v), n < m ? n : m);
	if (c == 0)
		c = (n > m) - (n < m);
	return c < 0 ? -1 : c > 0;
}

static bool holds(const char *value, size_t len, const char *op, const json_t *v)
{
	if (strcmp(op, "in") == 0) {
		size_t i;
		const json_t *one;
		json_array_foreach (v, i, one)
			if (compare(value, len, one) == 0)
				return true;
		return false;
	}
	int c = compare(value, len, v);
	if (strcmp(op, "ne") == 0)
		return c != 0;
	if (c == -2)
		return false;
	switch (op[0]) {
	case 'e': return c == 0;
	case 'g': return c > 0 || (op[2] == 'e' && c == 0);
	default: return c < 0 || (op[2] == 'e' && c == 0);
	}
}

static bool all_hold(const char *value, size_t len, const json_t *cond)
{
	const char *op;
	json_t *v;
	if (!json_is_object(cond))
		return holds(value, len, "eq", cond);
	json_object_foreach ((json_t *)cond, op, v)
		if (!holds(value, len, op, v))
			return false;
	return true;
}

static void clear_all(const struct sg_know_index *x, uint64_t *bits)
{
	memset(bits, 0, x->n_segments * sizeof(*bits));
}

static void keep(const struct sg_know_index *x, const struct sg_know_column *c,
	const uint8_t *matches, uint64_t *bits)
{
	for (size_t s = 0; s < x->n_segments; s++) {
		size_t first = s * SG_KNOW_SEGMENT_ROWS;
		uint64_t word = 0;
		if (!bits[s])
			continue;
		if (first < c->cap)
			for (unsigned i = 0; i < SG_KNOW_SEGMENT_ROWS; i++)
				word |= (uint64_t)matches[c->codes[first + i]] << i;
		bits[s] &= word;
	}
}

static int apply_one(const struct sg_know_index *x, const char *key, const json_t *cond,
	uint64_t *bits, struct sg_error *err)
{
	uint32_t at = sg_know_names_find(&x->keys, key, strlen(key));
	if (at == SG_KNOW_NO_NAME || at >= x->n_columns) {
		clear_all(x, bits);
		return 0;
	}
	const struct sg_know_column *c = &x->columns[at];
	sg_autofree uint8_t *matches = calloc(c->values.n + 1, 1);
	if (!matches)
		return sg_error_nomem(err);
	for (size_t i = 0; i < c->values.n; i++)
		matches[i + 1] = all_hold(c->values.items[i].bytes, c->values.items[i].len, cond);
	keep(x, c, matches, bits);
	return 0;
}

int sg_know_filter_apply(
	const struct sg_know_index *x, const json_t *filter, uint64_t *bits, struct sg_error *err)
{
	const char *key;
	json_t *cond;
	int r = sg_know_check_filter(filter, err);
	if (r < 0)
		return r;
	json_object_foreach ((json_t *)filter, key, cond) {
		r = apply_one(x, key, cond, bits, err);
		if (r < 0)
			return r;
	}
	return 0;
}
