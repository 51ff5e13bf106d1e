/* The JSON Schema subset: what is in it, what fits, and what the messages say. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/schema.h"

static json_t *parse(const char *text)
{
	json_t *v = NULL;
	assert_int_equal(sg_json_parse(text, strlen(text), &v, NULL), 0);
	return v;
}

static const struct {
	const char *schema, *value;
	const char *error; /* NULL = fits */
} cases[] = {
	{"{}", "[1,null]", NULL},
	{"{\"type\":\"object\"}", "{}", NULL},
	{"{\"type\":\"object\"}", "[]", "at /: expected object, got array"},
	{"{\"type\":[\"string\",\"null\"]}", "null", NULL},
	{"{\"type\":[\"string\",\"null\"]}", "1", "at /: expected string or null, got integer"},
	{"{\"type\":\"number\"}", "1", NULL},
	{"{\"type\":\"integer\"}", "1.0", "at /: expected integer, got number"},
	{"{\"type\":\"boolean\"}", "false", NULL},
	{"{\"properties\":{\"a\":{\"type\":\"string\"}}}", "{\"a\":1}",
		"at /a: expected string, got integer"},
	{"{\"properties\":{\"a/b\":{\"items\":{\"type\":\"string\"}}}}", "{\"a/b\":[\"x\",2]}",
		"at /a~1b/1: expected string, got integer"},
	{"{\"required\":[\"id\"]}", "{}", "at /: required property \"id\" is missing"},
	{"{\"required\":[\"id\"]}", "\"not an object\"", NULL},
	{"{\"properties\":{\"threshold\":{}},\"additionalProperties\":false}", "{\"treshold\":1}",
		"at /: unknown property \"treshold\"; did you mean \"threshold\"?"},
	{"{\"additionalProperties\":{\"type\":\"integer\"}}", "{\"x\":\"y\"}",
		"at /x: expected integer, got string"},
	{"{\"additionalProperties\":true}", "{\"x\":\"y\"}", NULL},
	{"{\"enum\":[\"a\",1]}", "1.0", NULL},
	{"{\"enum\":[\"a\",1]}", "\"b\"", "at /: must be one of [\"a\",1]"},
	{"{\"const\":\"x\"}", "\"y\"", "at /: must be \"x\""},
	{"{\"const\":null}", "null", NULL},
	{"{\"minimum\":0}", "-0.5", "at /: must be at least 0"},
	{"{\"minimum\":0.5,\"maximum\":1}", "1", NULL},
	{"{\"maximum\":9007199254740993}", "9007199254740994",
		"at /: must be at most 9007199254740993"},
	{"{\"maximum\":0.25}", "0.5", "at /: must be at most 0.25"},
	{"{\"minimum\":5}", "\"text has no minimum\"", NULL},
	{"{\"minLength\":2}", "\"\xc3\xa9\"", "at /: length must be at least 2"},
	{"{\"maxLength\":1}", "\"\xf0\x9f\x98\x80\"", NULL},
	{"{\"maxLength\":1}", "\"ab\"", "at /: length must be at most 1"},
	{"{\"minItems\":1}", "[]", "at /: number of items must be at least 1"},
	{"{\"maxItems\":1}", "[1,2]", "at /: number of items must be at most 1"},
	{"{\"title\":\"t\",\"description\":\"d\",\"default\":1,\"$comment\":\"c\"}", "1", NULL},
};

static void values_fit_or_are_told_why(void **state)
{
	(void)state;
	for (size_t i = 0; i < SG_ARRAY_LEN(cases); i++) {
		json_auto_t *schema = parse(cases[i].schema);
		json_auto_t *value = parse(cases[i].value);
		struct sg_error err = {0};
		assert_int_equal(sg_schema_check(schema, &err), 0);
		int r = sg_schema_validate(schema, value, &err);
		assert_int_equal(r, cases[i].error ? -SG_EINVALID : 0);
		if (cases[i].error) {
			assert_string_equal(err.text, cases[i].error);
			assert_string_equal(err.kind, "schema-violation");
		}
	}
}

static void schemas_outside_the_subset_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *schema, *error;
	} bad[] = {
		{"true", "schema at /: a schema is an object"},
		{"{\"patern\":\"x\"}", "schema at /: keyword \"patern\" is not supported"},
		{"{\"minimun\":1}",
			"schema at /: keyword \"minimun\" is not supported; did you mean "
			"\"minimum\"?"},
		{"{\"type\":\"int\"}",
			"schema at /: \"type\" must be a type name or a list of them"},
		{"{\"type\":[]}", "schema at /: \"type\" must be a type name or a list of them"},
		{"{\"enum\":[]}", "schema at /: \"enum\" must be a list of at least one value"},
		{"{\"minLength\":-1}", "schema at /: \"minLength\" must be an integer from 0"},
		{"{\"properties\":{\"a\":{\"items\":[]}}}",
			"schema at /properties/a: \"items\" must be a schema"},
		{"{\"properties\":{\"a\":1}}", "schema at /properties/a: a schema is an object"},
		{"{\"required\":[1]}", "schema at /: \"required\" must be a list of names"},
		{"{\"additionalProperties\":{\"$ref\":\"#\"}}",
			"schema at /additionalProperties: keyword \"$ref\" is not supported"},
	};
	for (size_t i = 0; i < SG_ARRAY_LEN(bad); i++) {
		json_auto_t *schema = parse(bad[i].schema);
		struct sg_error err = {0};
		assert_int_equal(sg_schema_check(schema, &err), -SG_EINVALID);
		assert_string_equal(err.text, bad[i].error);
	}
}

static void very_long_paths_only_shorten_the_message(void **state)
{
	(void)state;
	json_auto_t *schema = parse("{\"additionalProperties\":{\"additionalProperties\":"
				    "{\"type\":\"null\"}}}");
	char name[400];
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	json_auto_t *value = json_pack("{s:{s:i}}", name, name, 1);
	struct sg_error err = {0};
	assert_int_equal(sg_schema_validate(schema, value, &err), -SG_EINVALID);
	assert_non_null(strstr(err.text, "expected null, got integer"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_fit_or_are_told_why),
		cmocka_unit_test(schemas_outside_the_subset_are_refused),
		cmocka_unit_test(very_long_paths_only_shorten_the_message),
	};
	return cmocka_run_group_tests_name("schema", tests, NULL, NULL);
}
