/* YAML as PyYAML's safe_load reads it, its refusals, its limits, its marks. The same resolution is
 * compared with PyYAML itself, document by document, by tests/unit/config/yaml_differential.py. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "config/yaml.h"

static const struct {
	const char *yaml, *json;
} good[] = {
	{"", "null"},
	{"# only a comment\n", "null"},
	{"a: 1\nb: [x, 'y', \"z\"]\n", "{\"a\":1,\"b\":[\"x\",\"y\",\"z\"]}"},
	{"[~, null, Null, NULL, '', nULL]", "[null,null,null,null,\"\",\"nULL\"]"},
	{"a:\nb: 2", "{\"a\":null,\"b\":2}"},
	{"[yes, On, TRUE, no, Off, FALSE, y, tRUE]",
		"[true,true,true,false,false,false,\"y\",\"tRUE\"]"},
	{"[0, -1, +12, 1_000, 0b101, -0b1, 017, 00, 08, 0o17, 0x1F, -0xf_f]",
		"[0,-1,12,1000,5,-1,15,0,\"08\",\"0o17\",31,-255]"},
	{"[1:30, 190:20:30, -1:05, 1:60, 0:1]", "[90,685230,-65,\"1:60\",\"0:1\"]"},
	{"[1.5, 1., .5, -2.5e+3, 1_0.5, 1e5, 1.0e5, .5E-1, 1:30.5, '.', -.5]",
		"[1.5,1,0.5,-2500,10.5,\"1e5\",\"1.0e5\",0.05,90.5,\".\",\"-.5\"]"},
	{"[2024-01-31, 2024-01-31T10:00:00Z]", "[\"2024-01-31\",\"2024-01-31T10:00:00Z\"]"},
	{"[!!str 1, !!int '2', !!float 3, !!bool 'YES', !!null '', ! 4]",
		"[\"1\",2,3,true,null,4]"},
	{"a: &x [1, {b: 2}]\nc: *x\nd: *x", "{\"a\":[1,{\"b\":2}],\"c\":[1,{\"b\":2}],"
					    "\"d\":[1,{\"b\":2}]}"},
	{"a: |\n  line\n  two\nb: >\n  fold\n  ed\n",
		"{\"a\":\"line\\ntwo\\n\",\"b\":\"fold ed\\n\"}"},
	{"%YAML 1.1\n---\nx: 9223372036854775807\n...\n",
		"{\"x\":\"__stargraph_bigint__:9223372036854775807\"}"},
	{"\xef\xbb\xbf"
	 "a: \xc3\xa9",
		"{\"a\":\"\xc3\xa9\"}"},
};

static void documents_read_as_safe_load_reads_them(void **state)
{
	(void)state;
	for (size_t i = 0; i < SG_ARRAY_LEN(good); i++) {
		struct sg_yaml y = {0};
		struct sg_error err = {0};
		int r = sg_yaml_read_text("t", good[i].yaml, strlen(good[i].yaml), &y, &err);
		if (r < 0)
			print_message("%s: %s\n", good[i].yaml, err.text);
		assert_int_equal(r, 0);
		sg_autobuf b = SG_BUF_INIT(4096);
		assert_int_equal(sg_json_canonical(y.root, &b, NULL), 0);
		assert_string_equal(b.data, good[i].json);
		sg_yaml_finish(&y);
	}
}

static const struct {
	const char *yaml, *error;
} bad[] = {
	{"a: 1\na: 2", "t:2:1: key \"a\" is there twice"},
	{"on: 1", "t:1:1: key \"on\" is not read as a string; put it in quotes"},
	{"1: x", "t:1:1: key \"1\" is not read as a string; put it in quotes"},
	{"? [a]\n: b", "t:1:3: a key must be a plain string"},
	{"? *x\n: b", "t:1:3: a key must be a plain string"},
	{"a: !!binary aGk=", "t:1:4: tag !!binary is not supported"},
	{"a: !mine x", "t:1:4: tag !mine is not supported"},
	{"!!set {a}", "t:1:1: tag !!set is not supported"},
	{"a: !!python/object:os.system x", "t:1:4: tag !!python/object:os.system is not supported"},
	{"a: 1\n---\nb: 2", "t:2:1: a second document; one file holds one"},
	{"x: &a {b: 1}\n<<: *a",
		"t:2:1: \"<<\": merge keys (<<) and \"=\" are not supported; quote "
		"it if text is meant"},
	{"[.inf]",
		"t:1:2: \".inf\": infinities and NaN are not allowed; quote it if text is meant"},
	{"1.0e+999", "t:1:1: \"1.0e+999\": a number too large for a double"},
	{"9223372036854775808", "t:1:1: \"9223372036854775808\": an integer outside 64 bit; write "
				"it as a quoted string"},
	{"0b_", "t:1:1: \"0b_\": a number without digits"},
	{"!!int x", "t:1:1: \"x\": the text does not fit its tag"},
	{"*nope", "t:1:1: alias *nope has no anchor before it"},
	{"&a [*a]", "t:1:5: alias *a lies inside its own anchor"},
	{"[&a 1, &a 2]", "t:1:8: anchor &a is set twice"},
	{"\"\\0\"", "t:1:1: a NUL character in text"},
	{"a: [1, 2", "t:2:1: did not find expected ',' or ']' while parsing a flow sequence"},
	{"a: 'open", "t:1:9: found unexpected end of stream while scanning a quoted scalar"},
	{"\t- a", "t:1:1: found character that cannot start any token while scanning for the next "
		  "token"},
};

static void what_is_refused_is_named_and_placed(void **state)
{
	(void)state;
	for (size_t i = 0; i < SG_ARRAY_LEN(bad); i++) {
		struct sg_yaml y = {.path = (char *)"untouched"};
		struct sg_error err = {0};
		assert_int_equal(sg_yaml_read_text("t", bad[i].yaml, strlen(bad[i].yaml), &y, &err),
			-SG_EINVALID);
		assert_string_equal(err.text, bad[i].error);
		assert_string_equal(y.path, "untouched");
	}
}

static void bytes_outside_utf8_are_refused(void **state)
{
	(void)state;
	static const char *const texts[] = {"a: \xff", "\xc0\x80", "a: \xed\xa0\x80", "a\x01"};
	for (size_t i = 0; i < SG_ARRAY_LEN(texts); i++) {
		struct sg_yaml y;
		struct sg_error err = {0};
		assert_int_equal(
			sg_yaml_read_text("t", texts[i], strlen(texts[i]), &y, &err), -SG_EINVALID);
	}
	struct sg_yaml y;
	assert_int_equal(sg_yaml_read_text("t", "a\0b", 3, &y, NULL), -SG_EINVALID);
}

static int read_built(struct sg_buf *b, struct sg_error *err)
{
	struct sg_yaml y = {0};
	assert_false(b->failed);
	int r = sg_yaml_read_text("t", b->data, b->len, &y, err);
	sg_yaml_finish(&y);
	return r;
}

static void aliases_cannot_blow_a_document_up(void **state)
{
	(void)state;
	/* Ten levels of nine aliases each would be 3 * 10^9 values. */
	sg_autobuf b = SG_BUF_INIT(1 << 16);
	sg_buf_adds(&b, "- &a0 [x]\n");
	for (int i = 1; i <= 10; i++) {
		sg_buf_addf(&b, "- &a%d [", i);
		for (int k = 0; k < 9; k++)
			sg_buf_addf(&b, "%s*a%d", k ? "," : "", i - 1);
		sg_buf_adds(&b, "]\n");
	}
	struct sg_error err = {0};
	assert_int_equal(read_built(&b, &err), -SG_EINVALID);
	assert_non_null(strstr(err.text, "more than 200000 values"));

	/* One long text, aliased until it would be many megabytes. */
	sg_autobuf c = SG_BUF_INIT(1 << 20);
	sg_buf_adds(&c, "- &t ");
	for (int i = 0; i < 100000; i++)
		sg_buf_addc(&c, 't');
	for (int i = 0; i < 100; i++)
		sg_buf_adds(&c, "\n- *t");
	assert_int_equal(read_built(&c, &err), -SG_EINVALID);
	assert_non_null(strstr(err.text, "bytes of text"));

	sg_autobuf d = SG_BUF_INIT(1 << 20);
	sg_buf_adds(&d, "- &t x\n");
	for (unsigned i = 0; i <= SG_YAML_MAX_ALIASES; i++)
		sg_buf_adds(&d, "- *t\n");
	assert_int_equal(read_built(&d, &err), -SG_EINVALID);
	assert_non_null(strstr(err.text, "more than 1000 aliases"));
}

static void nesting_is_bounded_through_aliases_too(void **state)
{
	(void)state;
	struct sg_error err = {0};
	for (unsigned depth = SG_YAML_MAX_DEPTH; depth <= SG_YAML_MAX_DEPTH + 1; depth++) {
		sg_autobuf b = SG_BUF_INIT(4096);
		for (unsigned i = 0; i < depth; i++)
			sg_buf_addc(&b, '[');
		for (unsigned i = 0; i < depth; i++)
			sg_buf_addc(&b, ']');
		int r = read_built(&b, &err);
		assert_int_equal(r, depth > SG_YAML_MAX_DEPTH ? -SG_EINVALID : 0);
	}
	sg_autobuf b = SG_BUF_INIT(4096);
	sg_buf_adds(&b, "- &a ");
	for (int i = 0; i < 40; i++)
		sg_buf_addc(&b, '[');
	for (int i = 0; i < 40; i++)
		sg_buf_addc(&b, ']');
	sg_buf_adds(&b, "\n- ");
	for (int i = 0; i < 30; i++)
		sg_buf_addc(&b, '[');
	sg_buf_adds(&b, "*a");
	for (int i = 0; i < 30; i++)
		sg_buf_addc(&b, ']');
	assert_int_equal(read_built(&b, &err), -SG_EINVALID);
	assert_non_null(strstr(err.text, "nested deeper than 64"));
}

static void size_is_bounded(void **state)
{
	(void)state;
	struct sg_error err = {0};
	sg_autobuf b = SG_BUF_INIT(1 << 20);
	for (unsigned i = 0; i <= SG_YAML_MAX_NODES; i++)
		sg_buf_adds(&b, "-\n");
	assert_int_equal(read_built(&b, &err), -SG_EINVALID);
	sg_autofree char *big = calloc(1, SG_YAML_MAX_BYTES + 1);
	struct sg_yaml y;
	assert_int_equal(sg_yaml_read_text("t", big, SG_YAML_MAX_BYTES + 1, &y, &err), -SG_ELIMIT);
}

static void marks_point_at_values_and_keys(void **state)
{
	(void)state;
	static const char text[] = "id: x\n"
				   "nodes:\n"
				   "  - id: a\n"
				   "    kind: echo\n"
				   "  - id: b\n"
				   "'a/b': {c: [10,\n"
				   "  11]}\n";
	struct sg_yaml y = {0};
	assert_int_equal(sg_yaml_read_text("t", text, sizeof(text) - 1, &y, NULL), 0);
	static const struct {
		const char *pointer;
		int key, line, column;
	} want[] = {
		{"", 0, 1, 1},
		{"/id", 0, 1, 5},
		{"/id", 1, 1, 1},
		{"/nodes/0/kind", 0, 4, 11},
		{"/nodes/0/kind", 1, 4, 5},
		{"/nodes/1", 0, 5, 5},
		{"/nodes/1", 1, 5, 5},
		{"/nodes/1/missing", 0, 5, 5},
		{"/nodes/7", 0, 3, 3},
		{"/a~1b/c/1", 0, 7, 3},
		{"/nope/deeper", 1, 1, 1},
	};
	for (size_t i = 0; i < SG_ARRAY_LEN(want); i++) {
		int line, column;
		sg_yaml_mark(&y, want[i].pointer, want[i].key, &line, &column);
		assert_int_equal(line, want[i].line);
		assert_int_equal(column, want[i].column);
	}
	sg_yaml_finish(&y);
}

static void files_are_read_or_named(void **state)
{
	(void)state;
	struct sg_yaml y;
	struct sg_error err = {0};
	assert_int_equal(sg_yaml_read_file("/nonexistent/x.yaml", &y, &err), -SG_ENOTFOUND);
	assert_int_equal(sg_yaml_read_file("/dev/zero", &y, &err), -SG_EINVALID);
}

/* `test-yaml FILE…`: each file's canonical form, or its error, for the differential test. */
static int print_files(int n, char **paths)
{
	for (int i = 0; i < n; i++) {
		struct sg_yaml y = {0};
		struct sg_error err = {0};
		sg_autobuf b = SG_BUF_INIT(1 << 26);
		int r = sg_yaml_read_file(paths[i], &y, &err);
		if (r == 0)
			r = sg_json_canonical(y.root, &b, &err);
		printf("%s %s\n", r < 0 ? "error" : "value", r < 0 ? err.text : b.data);
		sg_yaml_finish(&y);
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return print_files(argc - 1, argv + 1);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(documents_read_as_safe_load_reads_them),
		cmocka_unit_test(what_is_refused_is_named_and_placed),
		cmocka_unit_test(bytes_outside_utf8_are_refused),
		cmocka_unit_test(aliases_cannot_blow_a_document_up),
		cmocka_unit_test(nesting_is_bounded_through_aliases_too),
		cmocka_unit_test(size_is_bounded),
		cmocka_unit_test(marks_point_at_values_and_keys),
		cmocka_unit_test(files_are_read_or_named),
	};
	return cmocka_run_group_tests_name("yaml", tests, NULL, NULL);
}
