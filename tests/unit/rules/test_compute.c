/* Expressions of nodes: what they give, what is refused, and that a value is never syntax. */
#include "rules_fixture.h"

static int make(struct sg_rules **ret, const char *text, struct sg_error *err)
{
	const struct sg_rules_expression all[] = {
		{"first", "n", "1", "g.yaml:1"}, {"mine", "x", text, "g.yaml:3:5: node mine"}};
	struct sg_rules_spec spec = {
		.fields = fixture_fields, .n_fields = 4, .expressions = all, .n_expressions = 2};
	return sg_rules_create(ret, &spec, err);
}

/* The value as JSON text, or the error. */
static const char *value_of(const char *text, const char *state)
{
	static char out[1024];
	struct sg_rules *r = NULL;
	struct sg_error err = {0};
	json_t *s = parse(state), *update = json_object();
	int e = make(&r, text, &err);
	for (int i = 0; e == 0 && i < 2; i++) /* a second time: an error leaves nothing behind */
		e = sg_rules_compute(r, "mine", s, update, &err);
	char *dumped = json_dumps(json_object_get(update, "x"), JSON_ENCODE_ANY | JSON_COMPACT);
	(void)snprintf(out, sizeof(out), "%s", e < 0 ? err.text : dumped);
	free(dumped);
	json_decref(s);
	json_decref(update);
	sg_rules_destroy(r);
	return out;
}

#define STATE "{\"verdict\":\"a\\\") (exit) (\\\"\",\"risk\":3,\"score\":0.5,\"flag\":true}"

static void test_values(void **state SG_UNUSED)
{
	assert_string_equal(value_of("(+ ?risk 1)", STATE), "4");
	assert_string_equal(value_of("(* ?score 2)", STATE), "1.0");
	assert_string_equal(value_of("(not ?flag)", STATE), "false");
	assert_string_equal(value_of("?flag", STATE), "true");
	assert_string_equal(value_of("pass", STATE), "\"pass\"");
	assert_string_equal(value_of("\"two words\"", STATE), "\"two words\"");
	assert_string_equal(value_of("(if (> ?risk 2) then high else low)", STATE), "\"high\"");
	assert_string_equal(value_of("(str-length ?verdict)", STATE), "13");
	assert_string_equal(value_of("(str-cat ?verdict ; twice\n ?verdict)", STATE),
		"\"a\\\") (exit) (\\\"a\\\") (exit) (\\\"\"");
}

static void test_failures(void **state SG_UNUSED)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{"(+ ?rsk 1)", "?rsk is no state field that rules see; did you mean \"?risk\""},
		{"(system \"id\")", "rules may not call \"system\""},
		{"(bind ?risk 1)", "belongs to a rule's right-hand side"},
		{"(assert (verdict (value \"x\")))", "belongs to a rule's right-hand side"},
		{"?*x*", "global variables"},
		{"$?x", "sequence variables"},
		{"?", "no state field"},
		{"1 2", "expected one CLIPS expression"},
		{"", "expected one CLIPS expression"},
		{"(", "a parenthesis is opened"},
		{"(+ 1 \"a\")", "expected argument #2"},
		{"(+ ?verdict 1)", "expected argument #1"},
		{"(/ ?risk 0)", "divide by zero"},
		{"(exp 1000)", "no finite number"},
		{"(div -9223372036854775808 0)", "divide by zero"},
	};
	for (size_t i = 0; i < SG_ARRAY_LEN(rows); i++)
		if (!strstr(value_of(rows[i].text, STATE), rows[i].why))
			fail_msg("%s: %s", rows[i].text, value_of(rows[i].text, STATE));
	assert_non_null(strstr(value_of("(+ ?risk 1)", "{\"risk\":null}"), "has no value"));
	assert_non_null(strstr(value_of("(+ ?risk 1)", "{}"), "has no value"));
	char long_text[SG_RULES_EXPRESSION_MAX + 2];
	memset(long_text, '1', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	assert_non_null(strstr(value_of(long_text, STATE), "more than 4096 bytes"));
}

static void test_after_an_error_rules_and_expressions_go_on(void **state SG_UNUSED)
{
	struct sg_rules *r;
	struct sg_rules_outcome o;
	struct sg_error err = {0};
	json_t *good = parse("{\"risk\":2}"), *bad = parse("{\"risk\":0}"), *update = json_object();
	assert_int_equal(make(&r, "(div 8 ?risk)", &err), 0);
	assert_int_equal(sg_rules_compute(r, "mine", bad, update, &err), -SG_EINVALID);
	assert_string_equal(err.kind, "rule-error");
	assert_int_equal(run(r, "a", 1, "{\"risk\":1}", &o, &err), 0);
	sg_rules_outcome_finish(&o);
	assert_int_equal(sg_rules_compute(r, "mine", good, update, &err), 0);
	assert_int_equal(json_integer_value(json_object_get(update, "x")), 4);
	assert_int_equal(sg_rules_compute(r, "nobody", good, update, &err), 0);
	assert_int_equal(sg_rules_compute(r, "first", good, update, &err), 0);
	assert_int_equal(json_object_size(update), 2);
	json_decref(good);
	json_decref(bad);
	json_decref(update);
	sg_rules_destroy(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_after_an_error_rules_and_expressions_go_on),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
