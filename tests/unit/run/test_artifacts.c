/* Artifacts: kept with their step, found by run and by id, and only with the operator's word. */
#include "harness.h"

#include <stdlib.h>

static const char writes[] =
	"ir_version: \"1.0.0\"\nid: \"run:writes\"\n"
	"state_schema: {report: str, pdf: bytes, artifact_ref: dict, second: dict}\n"
	"nodes:\n"
	"  - {id: text, kind: write_artifact, config: {content_field: report, name: report.txt, "
	"content_type: text/plain, metadata: {by: test}}}\n"
	"  - {id: bytes, kind: write_artifact, config: {content_field: pdf, name: r.pdf, "
	"content_type: application/pdf, encoding: base64, output_field: second}}\n";

static struct sg_engine *open_writing(const char *dir)
{
	struct sg_engine_options o = {.allow_side_effects = true};
	struct sg_engine *e = open_engine(dir, &o);
	load(e, dir, "writes.yaml", writes);
	return e;
}

static const char *text_at(const json_t *refs, size_t i, const char *key)
{
	return json_string_value(json_object_get(json_array_get(refs, i), key));
}

static void contents_are_found_by_run_and_by_id(void **state)
{
	struct sg_engine *e = open_writing(*state);
	struct seen s;
	struct sg_error err;
	char first[SG_RUN_ID_TEXT], again[SG_RUN_ID_TEXT], *data;
	json_t *refs;
	size_t n;
	run(e, "run:writes", "{\"report\":\"hello\",\"pdf\":\"AAEC\"}", &s, first);
	run(e, "run:writes", "{\"report\":\"hello\",\"pdf\":\"\"}", &s, again);
	assert_int_equal(s.status, SG_RUN_DONE);
	sg_engine_destroy(e);
	e = open_writing(*state);
	assert_int_equal(sg_engine_artifacts(e, first, &refs, &err), 0);
	assert_int_equal(json_array_size(refs), 2);
	assert_string_equal(text_at(refs, 0, "name"), "report.txt");
	assert_string_equal(text_at(refs, 1, "content_type"), "application/pdf");
	assert_int_equal(json_integer_value(json_object_get(json_array_get(refs, 1), "size")), 3);
	char id[33], bytes_id[33];
	(void)snprintf(id, sizeof(id), "%s", text_at(refs, 0, "artifact_id"));
	(void)snprintf(bytes_id, sizeof(bytes_id), "%s", text_at(refs, 1, "artifact_id"));
	assert_string_equal(id, "2cf24dba5fb0a30e26e83b2ac5b9e29e");
	json_decref(refs);
	assert_int_equal(sg_engine_artifact(e, id, &refs, &data, &n, &err), 0);
	assert_int_equal(n, 5);
	assert_memory_equal(data, "hello", 5);
	assert_int_equal(json_array_size(refs), 2);
	assert_string_equal(text_at(refs, 0, "run_id"), first);
	assert_string_equal(text_at(refs, 1, "run_id"), again);
	free(data);
	json_decref(refs);
	assert_int_equal(sg_engine_artifact(e, bytes_id, &refs, &data, &n, &err), 0);
	assert_memory_equal(data, "\0\1\2", 3);
	free(data);
	json_decref(refs);
	sg_engine_destroy(e);
}

static void what_is_not_there_is_not_found(void **state)
{
	struct sg_engine *e = open_writing(*state);
	struct sg_error err;
	json_t *refs;
	char *data;
	size_t n;
	static const char *const ids[] = {"", "run-", "2cf24dba5fb0a30e26e83b2ac5b9e29e",
		"2cf24dba5fb0a30e26e83b2ac5b9e29e2cf24dba5fb0a30e26e83b2ac5b9e29e"};
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		assert_int_equal(
			sg_engine_artifact(e, ids[i], &refs, &data, &n, &err), -SG_ENOTFOUND);
		assert_int_equal(sg_engine_artifacts(e, ids[i], &refs, &err), -SG_ENOTFOUND);
	}
	sg_engine_destroy(e);
}

static void a_step_that_fails_keeps_nothing(void **state)
{
	struct sg_engine_options o = {.allow_side_effects = true, .limits = {.state_bytes = 300}};
	struct sg_engine *e = open_engine(*state, &o);
	struct seen s;
	struct sg_error err;
	char id[SG_RUN_ID_TEXT];
	json_t *refs;
	load(e, *state, "writes.yaml", writes);
	run(e, "run:writes",
		"{\"report\":\"it has room, but no reference beside it "
		"..................................\"}",
		&s, id);
	assert_string_equal(s.error_class, "state-too-large");
	assert_int_equal(sg_engine_artifacts(e, id, &refs, &err), 0);
	assert_int_equal(json_array_size(refs), 0);
	json_decref(refs);
	run(e, "run:writes", "{\"pdf\":\"AAE\"}", &s, id);
	assert_string_equal(s.error_class, "state-too-large");
	sg_engine_destroy(e);
}

static void it_needs_the_operators_word(void **state)
{
	static const struct {
		struct sg_engine_options o;
		const char *why;
	} rows[] = {
		{{0}, "allow them with --allow-side-effects"},
		{{.cleared = true, .allow_side_effects = true}, "the profile cleared refuses"},
	};
	char *path = tmp_path(*state, "w.yaml");
	tmp_write(path, writes, strlen(writes));
	for (size_t i = 0; i < 2; i++) {
		struct sg_engine *e = open_engine(*state, &rows[i].o);
		struct sg_error err;
		assert_int_equal(sg_engine_load(e, path, &err), -SG_EREFUSED);
		assert_non_null(strstr(err.text, rows[i].why));
		assert_non_null(strstr(err.text, "w.yaml:5:5: node text: kind write_artifact"));
		sg_engine_destroy(e);
	}
	free(path);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, tmp_setup, tmp_teardown)
	const struct CMUnitTest tests[] = {
		CASE(contents_are_found_by_run_and_by_id),
		CASE(what_is_not_there_is_not_found),
		CASE(a_step_that_fails_keeps_nothing),
		CASE(it_needs_the_operators_word),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
