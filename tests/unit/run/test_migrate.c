/* A run of an older graph goes on with the newer one that says so, or stays as it was. */
#include "harness.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/cleanup.h"

static const char old[] =
	"ir_version: \"1.0.0\"\nid: \"run:g\"\nstate_schema: {n: int, gone: str, kept: str}\n"
	"nodes:\n  - {id: a, kind: set, config: {values: {n: 7, kept: yes it is}}}\n"
	"  - {id: dropped, kind: passthrough}\n"
	"  - {id: gate, kind: interrupt, config: {prompt: p}}\n"
	"  - {id: old_end, kind: halt}\n";

static const char head[] = "ir_version: \"1.0.0\"\nid: \"run:g\"\n";
static const char fresh[] = "state_schema: {kept: str, n: int, more: {type: int, default: 5}}\n"
			    "nodes:\n  - {id: a, kind: passthrough}\n"
			    "  - {id: gate, kind: interrupt, config: {prompt: p}}\n"
			    "  - {id: added, kind: set, config: {clips: {n: \"(+ ?n ?more)\"}}}\n";

static void hash_of(const char *dir, const char *text, char ret[SG_SHA256_HEX])
{
	struct sg_engine *e = open_engine(dir, NULL);
	const struct sg_graph *const *list;
	load(e, dir, "hash.yaml", text);
	assert_int_equal(sg_engine_graphs(e, &list), 1);
	memcpy(ret, list[0]->hash, SG_SHA256_HEX);
	sg_engine_destroy(e);
}

/* The newer graph with a migrate block from `from` (NULL = none). */
static void newer(const char *dir, const char *body, const char *from, struct sg_buf *out)
{
	char tmp[] = "/tmp/sg-migrate-XXXXXX", to[SG_SHA256_HEX];
	assert_non_null(mkdtemp(tmp));
	(void)dir;
	sg_buf_adds(out, head);
	sg_buf_adds(out, body);
	hash_of(tmp, out->data, to);
	if (from)
		sg_buf_addf(out, "migrate: [{from_hash: %s, to_hash: %s}]\n", from, to);
	char *name = strdup(tmp);
	void *state = name;
	assert_int_equal(tmp_teardown(&state), 0);
}

static void start_old(const char *dir, char id[SG_RUN_ID_TEXT], char hash[SG_SHA256_HEX])
{
	struct sg_engine *e = open_engine(dir, NULL);
	struct sg_run_view v;
	struct sg_error err;
	struct seen s;
	load(e, dir, "g.yaml", old);
	run(e, "run:g", "{\"gone\":\"x\"}", &s, id);
	assert_int_equal(s.status, SG_RUN_WAITING);
	assert_int_equal(sg_engine_get(e, id, &v, &err), 0);
	memcpy(hash, v.row.graph_hash, SG_SHA256_HEX);
	sg_run_view_finish(&v);
	sg_engine_destroy(e);
}

static bool count_migrated(void *ctx, const struct sg_event *ev)
{
	*(int *)ctx += strcmp(ev->type, "run_migrated") == 0;
	return true;
}

static void a_waiting_run_goes_on_with_the_newer_graph(void **state)
{
	char id[SG_RUN_ID_TEXT], from[SG_SHA256_HEX];
	sg_autobuf text = SG_BUF_INIT(8192);
	struct sg_subscription *sub;
	struct sg_run_view v;
	struct sg_error err;
	struct seen s;
	int migrated = 0;
	start_old(*state, id, from);
	newer(*state, fresh, from, &text);
	struct sg_engine *e = open_engine(*state, NULL);
	load(e, *state, "g.yaml", text.data);
	assert_int_equal(sg_engine_recover(e, &err), 0);
	assert_int_equal(respond(e, id, "{\"more\":1}", &s, &err), 0);
	assert_int_equal(s.status, SG_RUN_DONE);
	assert_string_equal(s.path, "a dropped gate added");
	assert_string_equal(s.state, "{\"kept\":\"yes it is\",\"more\":1,\"n\":8}");
	assert_int_equal(sg_engine_get(e, id, &v, &err), 0);
	assert_string_not_equal(v.row.graph_hash, from);
	assert_int_equal(json_array_size(v.path), 4);
	sg_run_view_finish(&v);
	assert_int_equal(sg_engine_subscribe(e, id, -1, count_migrated, &migrated, &sub, &err), 0);
	sg_engine_unsubscribe(sub);
	assert_int_equal(migrated, 1);
	sg_engine_destroy(e);
}

static void without_a_migration_it_goes_on_with_its_own(void **state)
{
	char id[SG_RUN_ID_TEXT], from[SG_SHA256_HEX], other[SG_SHA256_HEX];
	sg_autobuf text = SG_BUF_INIT(8192);
	struct sg_error err;
	struct seen s;
	start_old(*state, id, from);
	memset(other, 'a', sizeof(other) - 1);
	other[sizeof(other) - 1] = '\0';
	newer(*state, fresh, other, &text);
	struct sg_engine *e = open_engine(*state, NULL);
	load(e, *state, "g.yaml", text.data);
	assert_int_equal(respond(e, id, "{}", &s, &err), 0);
	assert_string_equal(s.path, "a dropped gate old_end");
	assert_string_equal(s.state, "{\"gone\":\"x\",\"kept\":\"yes it is\",\"n\":7}");
	sg_engine_destroy(e);
}

static void what_cannot_migrate_stays_as_it_was(void **state)
{
	static const struct {
		const char *body, *why;
	} rows[] = {
		{"state_schema: {kept: int}\nnodes: [{id: gate, kind: interrupt, config: {prompt: "
		 "p}}]\n",
			"kept is an int"},
		{"nodes: [{id: other, kind: halt}]\n",
			"leads to a node that its graph does not have"},
	};
	char id[SG_RUN_ID_TEXT], from[SG_SHA256_HEX];
	start_old(*state, id, from);
	for (size_t i = 0; i < SG_ARRAY_LEN(rows); i++) {
		sg_autobuf text = SG_BUF_INIT(8192);
		struct sg_error err = {0};
		struct seen s;
		newer(*state, rows[i].body, from, &text);
		struct sg_engine *e = open_engine(*state, NULL);
		load(e, *state, "g.yaml", text.data);
		assert_int_equal(respond(e, id, "{}", &s, &err), -SG_EREFUSED);
		if (!strstr(err.text, rows[i].why) ||
			!strstr(err.text, "cannot migrate to graph run:g"))
			fail_msg("%s", err.text);
		sg_engine_destroy(e);
	}
	struct sg_engine *e = open_engine(*state, NULL);
	struct sg_error err;
	struct seen s;
	assert_int_equal(respond(e, id, "{}", &s, &err), 0);
	assert_string_equal(s.path, "a dropped gate old_end");
	sg_engine_destroy(e);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, tmp_setup, tmp_teardown)
	const struct CMUnitTest tests[] = {
		CASE(a_waiting_run_goes_on_with_the_newer_graph),
		CASE(without_a_migration_it_goes_on_with_its_own),
		CASE(what_cannot_migrate_stays_as_it_was),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
