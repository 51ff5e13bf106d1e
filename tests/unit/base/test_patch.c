/* RFC 6902: our patches make b of a. The applier here is the tests' own; it is held against the
 * vectors of the RFC's appendix A first. tests/e2e/replay holds the patches against PyPI jsonpatch.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/patch.h"

static json_t *json(const char *text)
{
	json_t *j = NULL;
	struct sg_error err;
	if (sg_json_parse(text, strlen(text), &j, &err) < 0)
		fail_msg("%s", err.text);
	return j;
}

/* "/a/b~1c" into the parent's pointer and the last token, unescaped. */
static void split(const char *path, char parent[512], char last[512])
{
	const char *slash = strrchr(path, '/');
	size_t n = 0;
	(void)snprintf(parent, 512, "%.*s", (int)(slash - path), path);
	for (const char *c = slash + 1; *c; c++)
		if (*c == '~')
			last[n++] = *++c == '0' ? '~' : '/';
		else
			last[n++] = *c;
	last[n] = '\0';
}

/* add, remove and replace; false: the operation fails. Takes and returns the document in *doc. */
static bool apply_one(json_t **doc, const json_t *op)
{
	const char *name = sg_json_text(op, "op"), *path = sg_json_text(op, "path");
	json_t *value = json_object_get(op, "value");
	char parent[512], last[512];
	bool add = strcmp(name, "add") == 0, removal = strcmp(name, "remove") == 0;
	if (!*path) {
		json_incref(value);
		json_decref(*doc);
		*doc = value;
		return true;
	}
	split(path, parent, last);
	json_t *at = sg_json_pointer(*doc, parent);
	if (json_is_object(at)) {
		if (!add && !json_object_get(at, last))
			return false;
		return removal ? json_object_del(at, last) == 0
			       : json_object_set_new(at, last, json_deep_copy(value)) == 0;
	}
	size_t i = strcmp(last, "-") == 0 ? json_array_size(at) : strtoul(last, NULL, 10);
	if (!json_is_array(at) || i > json_array_size(at) || (!add && i == json_array_size(at)))
		return false;
	return removal ? json_array_remove(at, i) == 0
	       : add   ? json_array_insert_new(at, i, json_deep_copy(value)) == 0
		       : json_array_set_new(at, i, json_deep_copy(value)) == 0;
}

static json_t *applied(const json_t *a, const json_t *patch)
{
	json_t *doc = json_deep_copy(a);
	size_t i;
	const json_t *op;
	json_array_foreach (patch, i, op)
		if (!apply_one(&doc, op)) {
			json_decref(doc);
			return NULL;
		}
	return doc;
}

static void expect(const json_t *a, const json_t *b)
{
	struct sg_error err;
	json_t *patch = NULL;
	assert_int_equal(sg_json_patch(a, b, &patch, &err), 0);
	json_t *made = applied(a, patch);
	if (!made || !json_equal(made, b))
		fail_msg("%s of %s is not %s", json_dumps(patch, 0), json_dumps(a, JSON_ENCODE_ANY),
			json_dumps(b, JSON_ENCODE_ANY));
	json_decref(made);
	json_decref(patch);
}

/* Appendix A: the document, the patch, the result. Those with test, move, copy are given as what
 * they make; the last column is the RFC's. */
static const struct {
	const char *name, *doc, *patch, *result;
} vectors[] = {
	{"A.1", "{\"foo\":\"bar\"}", "[{\"op\":\"add\",\"path\":\"/baz\",\"value\":\"qux\"}]",
		"{\"baz\":\"qux\",\"foo\":\"bar\"}"},
	{"A.2", "{\"foo\":[\"bar\",\"baz\"]}",
		"[{\"op\":\"add\",\"path\":\"/foo/1\",\"value\":\"qux\"}]",
		"{\"foo\":[\"bar\",\"qux\",\"baz\"]}"},
	{"A.3", "{\"baz\":\"qux\",\"foo\":\"bar\"}", "[{\"op\":\"remove\",\"path\":\"/baz\"}]",
		"{\"foo\":\"bar\"}"},
	{"A.4", "{\"foo\":[\"bar\",\"qux\",\"baz\"]}", "[{\"op\":\"remove\",\"path\":\"/foo/1\"}]",
		"{\"foo\":[\"bar\",\"baz\"]}"},
	{"A.5", "{\"baz\":\"qux\",\"foo\":\"bar\"}",
		"[{\"op\":\"replace\",\"path\":\"/baz\",\"value\":\"boo\"}]",
		"{\"baz\":\"boo\",\"foo\":\"bar\"}"},
	{"A.6", "{\"foo\":{\"bar\":\"baz\",\"waldo\":\"fred\"},\"qux\":{\"corge\":\"grault\"}}",
		NULL,
		"{\"foo\":{\"bar\":\"baz\"},\"qux\":{\"corge\":\"grault\",\"thud\":\"fred\"}}"},
	{"A.7", "{\"foo\":[\"all\",\"grass\",\"cows\",\"eat\"]}", NULL,
		"{\"foo\":[\"all\",\"cows\",\"eat\",\"grass\"]}"},
	{"A.10", "{\"foo\":\"bar\"}",
		"[{\"op\":\"add\",\"path\":\"/child\",\"value\":{\"grandchild\":{}}}]",
		"{\"foo\":\"bar\",\"child\":{\"grandchild\":{}}}"},
	{"A.11", "{\"foo\":\"bar\"}",
		"[{\"op\":\"add\",\"path\":\"/baz\",\"value\":\"qux\",\"xyz\":123}]",
		"{\"foo\":\"bar\",\"baz\":\"qux\"}"},
	{"A.12", "{\"foo\":\"bar\"}", "[{\"op\":\"add\",\"path\":\"/baz/bat\",\"value\":\"qux\"}]",
		NULL},
	{"A.14", "{\"/\":9,\"~1\":10}", "[{\"op\":\"replace\",\"path\":\"/~01\",\"value\":11}]",
		"{\"/\":9,\"~1\":11}"},
	{"A.16", "{\"foo\":[\"bar\"]}",
		"[{\"op\":\"add\",\"path\":\"/foo/-\",\"value\":[\"abc\",\"def\"]}]",
		"{\"foo\":[\"bar\",[\"abc\",\"def\"]]}"},
};

static void the_vectors_of_the_rfc_hold(void **state)
{
	(void)state;
	for (size_t i = 0; i < SG_ARRAY_LEN(vectors); i++) {
		json_t *doc = json(vectors[i].doc);
		json_t *result = vectors[i].result ? json(vectors[i].result) : NULL;
		json_t *patch = vectors[i].patch ? json(vectors[i].patch) : NULL;
		json_t *made = patch ? applied(doc, patch) : NULL;
		if (patch && (result ? !json_equal(made, result) : made != NULL))
			fail_msg("%s: the tests' applier is wrong", vectors[i].name);
		if (result) {
			expect(doc, result);
			expect(result, doc);
		}
		json_decref(doc);
		json_decref(result);
		json_decref(patch);
		json_decref(made);
	}
}

static uint32_t next(uint32_t *seed)
{
	*seed = *seed * 1664525U + 1013904223U;
	return *seed >> 16;
}

static json_t *anything(uint32_t *seed, int depth)
{
	static const char *const names[] = {"a", "b/c", "d~e", "", "~1", "\xC3\xA9"};
	uint32_t kind = next(seed) % (depth ? 7 : 5);
	if (kind < 2)
		return json_integer(next(seed) % 4);
	if (kind == 2)
		return json_string(names[next(seed) % SG_ARRAY_LEN(names)]);
	if (kind == 3)
		return next(seed) % 2 ? json_true() : json_null();
	if (kind == 4)
		return json_real((double)(next(seed) % 8) / 2);
	json_t *j = kind == 5 ? json_object() : json_array();
	for (uint32_t n = next(seed) % 6; n; n--)
		if (kind == 5)
			json_object_set_new(j, names[next(seed) % SG_ARRAY_LEN(names)],
				anything(seed, depth - 1));
		else
			json_array_append_new(j, anything(seed, depth - 1));
	return j;
}

static void random_values_are_made_of_each_other(void **state)
{
	(void)state;
	uint32_t seed = 6902;
	json_t *before = json_object();
	for (int i = 0; i < 20000; i++) {
		json_t *now = anything(&seed, 4);
		expect(before, now);
		json_decref(before);
		before = now;
	}
	json_decref(before);
}

static void no_value_is_replaced_whole(void **state)
{
	(void)state;
	struct sg_error err;
	json_t *patch = NULL;
	json_t *b = json("{\"a\":1}");
	assert_int_equal(sg_json_patch(NULL, b, &patch, &err), 0);
	json_t *want = json("[{\"op\":\"replace\",\"path\":\"\",\"value\":{\"a\":1}}]");
	assert_true(json_equal(patch, want));
	json_decref(patch);
	json_decref(want);
	assert_int_equal(sg_json_patch(b, b, &patch, &err), 0);
	assert_int_equal(json_array_size(patch), 0);
	json_decref(patch);
	json_decref(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_vectors_of_the_rfc_hold),
		cmocka_unit_test(random_values_are_made_of_each_other),
		cmocka_unit_test(no_value_is_replaced_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
