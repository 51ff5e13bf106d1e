/* Nodes that use knowledge stores: what they find goes into the record, and their state comes from
 * the record alone; a run sees what it wrote before. */
#include "harness.h"

#include "base/cleanup.h"
#include "knowledge/fact.h"
#include "run/internal.h"

static const struct sg_store_decl decls[] = {{"docs", SG_KNOW_DOCUMENT, SG_KNOW_COSINE},
	{"notes", SG_KNOW_DOCUMENT, SG_KNOW_COSINE}, {"mem", SG_KNOW_MEMORY, SG_KNOW_COSINE},
	{"facts", SG_KNOW_FACT, SG_KNOW_COSINE}};

static struct sg_engine *open_with_stores(const char *dir)
{
	const struct sg_engine_options o = {.stores = decls, .n_stores = SG_ARRAY_LEN(decls)};
	return open_engine(dir, &o);
}

struct written {
	int calls;
	struct sg_know_counts counts;
	struct sg_error err;
};

static void on_written(void *ctx, const struct sg_know_counts *n, const struct sg_error *err)
{
	struct written *w = ctx;
	w->calls++;
	if (err)
		w->err = *err;
	else
		w->counts = *n;
}

static void write_docs(struct sg_engine *e, const char *store, const char *docs)
{
	struct written w = {0};
	struct sg_error err = {0};
	json_auto_t *list = NULL;
	assert_int_equal(sg_json_parse(docs, strlen(docs), &list, NULL), 0);
	if (sg_engine_documents(e, store, list, NULL, &anna, on_written, &w, &err) < 0)
		fail_msg("%s", err.text);
	while (!w.calls)
		turn(e);
	if (w.err.code)
		fail_msg("%s", w.err.text);
}

static const char graph[] =
	"ir_version: \"1.0.0\"\n"
	"id: run:stores\n"
	"state_schema: {query: str, who: str, hits: list, episodes: list, episode_id: str}\n"
	"stores: [{name: docs, provider: document}, {name: notes, provider: document}, {name: mem, "
	"provider: memory}]\n"
	"nodes:\n"
	"  - {id: look, kind: retrieval, config: {stores: [docs, notes], query: query, out: hits, "
	"k: 3}}\n"
	"  - {id: keep, kind: remember, config: {store: mem, content: query, user: '{who}', "
	"session: s, agent: a, out: episode_id}}\n"
	"  - {id: back, kind: recall, config: {store: mem, user: '{who}', out: episodes}}\n";

static void run_once(struct sg_engine *e, struct seen *s, char run_id[SG_RUN_ID_TEXT])
{
	run(e, "run:stores", "{\"query\":\"grey herons\",\"who\":\"Anna\"}", s, run_id);
	if (s->status != SG_RUN_DONE)
		fail_msg("status %d: %s", s->status, s->error_class);
}

/* The record of a step of the run. */
static json_t *record_of(struct sg_engine *e, const char *run_id, int64_t step)
{
	struct sg_txn *t = NULL;
	struct sg_checkpoint c = {0};
	json_t *list = NULL;
	assert_int_equal(sg_txn_begin(e->store, false, &t, NULL), 0);
	assert_int_equal(sg_checkpoint_get(t, run_id, step, &c, NULL), 0);
	assert_int_equal(sg_json_parse(c.recorded, strlen(c.recorded), &list, NULL), 0);
	sg_checkpoint_finish(&c);
	sg_txn_abort(t);
	json_t *one = json_incref(json_array_get(list, 0));
	json_decref(list);
	return one;
}

static void hits_and_episodes_are_recorded(void **state)
{
	struct sg_engine *e = open_with_stores(*state);
	struct seen s;
	char run_id[SG_RUN_ID_TEXT];
	load(e, *state, "g.yaml", graph);
	write_docs(e, "docs",
		"[{\"id\":\"d1\",\"text\":\"the grey heron\"},{\"id\":\"d2\",\"text\":\"tax "
		"law\"}]");
	write_docs(e, "notes",
		"[{\"id\":\"n1\",\"text\":\"herons nest\"},{\"id\":\"d1\",\"text\":\"a heron "
		"again\"}]");
	run_once(e, &s, run_id);
	json_auto_t *st = NULL, *look = record_of(e, run_id, 0), *back = record_of(e, run_id, 2);
	assert_int_equal(sg_json_parse(s.state, strlen(s.state), &st, NULL), 0);
	const json_t *hits = json_object_get(st, "hits");
	assert_int_equal(json_array_size(hits), 2);
	assert_string_equal(
		json_string_value(json_object_get(json_array_get(hits, 0), "id")), "d1");
	assert_true(json_equal(hits, json_object_get(look, "hits")));
	assert_string_equal(json_string_value(json_object_get(look, "kind")), "retrieval");
	assert_int_equal(json_array_size(json_object_get(look, "stores")), 2);
	/* it recalls what it has just remembered */
	const json_t *episodes = json_object_get(st, "episodes");
	assert_int_equal(json_array_size(episodes), 1);
	assert_true(json_equal(episodes, json_object_get(back, "episodes")));
	const json_t *first = json_array_get(episodes, 0);
	assert_string_equal(json_string_value(json_object_get(first, "content")), "grey herons");
	assert_string_equal(json_string_value(json_object_get(first, "id")),
		json_string_value(json_object_get(st, "episode_id")));
	/* the second recall finds both, and the access of the first counted */
	run_once(e, &s, run_id);
	json_decref(st);
	st = NULL;
	assert_int_equal(sg_json_parse(s.state, strlen(s.state), &st, NULL), 0);
	episodes = json_object_get(st, "episodes");
	assert_int_equal(json_array_size(episodes), 2);
	json_int_t accesses = 0;
	for (size_t i = 0; i < 2; i++)
		accesses += json_integer_value(
			json_object_get(json_array_get(episodes, i), "access_count"));
	assert_int_equal(accesses, 1);
	sg_engine_destroy(e);
}

static void apply_needs_nothing_but_the_record(void **state)
{
	struct sg_engine *e = open_with_stores(*state);
	struct seen s;
	char run_id[SG_RUN_ID_TEXT];
	static const char *const fields[] = {"hits", NULL, "episodes"};
	load(e, *state, "g.yaml", graph);
	write_docs(e, "docs", "[{\"id\":\"d1\",\"text\":\"the grey heron\"}]");
	run_once(e, &s, run_id);
	json_auto_t *st = NULL;
	assert_int_equal(sg_json_parse(s.state, strlen(s.state), &st, NULL), 0);
	const struct prepared *p = sg_prepared_find(e, "run:stores");
	for (int step = 0; step < 3; step++) {
		json_auto_t *record = record_of(e, run_id, step);
		struct sg_exec x = {.node = &p->graph->nodes[step], .data = p->node_data[step]};
		struct sg_error err;
		assert_int_equal(p->kinds[step]->apply(&x, record, &err), 0);
		if (fields[step])
			assert_true(json_equal(json_object_get(x.update, fields[step]),
				json_object_get(st, fields[step])));
		json_decref(x.update);
		x.update = NULL;
		json_auto_t *empty = json_object();
		assert_int_equal(p->kinds[step]->apply(&x, empty, &err), -SG_ECORRUPT);
	}
	sg_engine_destroy(e);
}

static void graphs_with_wrong_stores_are_refused(void **state)
{
	static const struct {
		const char *node, *says;
	} rows[] = {
		{"{id: a, kind: retrieval, config: {stores: [dcs], query: query, out: hits}}",
			"docs"},
		{"{id: a, kind: retrieval, config: {stores: [mem], query: query, out: hits}}",
			"provider"},
		{"{id: a, kind: recall, config: {store: docs, user: u, out: hits}}", "provider"},
		{"{id: a, kind: assert_facts, config: {store: mem, deltas: hits}}", "provider"},
		{"{id: a, kind: assert_facts, config: {store: facts, deltas: query}}", "query"},
		{"{id: a, kind: assert_facts, config: {store: facts, deltas: [1]}}", "item 0"},
		{"{id: a, kind: retrieval, config: {stores: [docs], query: q, out: hits}}",
			"query"},
		{"{id: a, kind: retrieval, config: {stores: [docs], query: query, out: hits, "
		 "filter: {a: {x: 1}}}}",
			"operator"},
	};
	struct sg_engine *e = open_with_stores(*state);
	for (size_t i = 0; i < SG_ARRAY_LEN(rows); i++) {
		char text[1024];
		struct sg_error err = {0};
		(void)snprintf(text, sizeof(text),
			"ir_version: \"1.0.0\"\nid: run:x\nstate_schema: {query: str, hits: list}\n"
			"nodes:\n  - %s\n",
			rows[i].node);
		sg_autofree char *path = tmp_path(*state, "bad.yaml");
		tmp_write(path, text, strlen(text));
		assert_true(sg_engine_load(e, path, &err) < 0);
		if (!strstr(err.text, rows[i].says))
			fail_msg("%s: %s", rows[i].says, err.text);
	}
	sg_engine_destroy(e);
}

static void a_write_that_fails_is_undone_alone(void **state)
{
	struct sg_engine *e = open_with_stores(*state);
	struct written w = {0};
	struct sg_error err;
	struct seen s;
	char run_id[SG_RUN_ID_TEXT];
	load(e, *state, "g.yaml", graph);
	write_docs(e, "docs", "[{\"id\":\"d1\",\"text\":\"the grey heron\"}]");
	/* damaged behind the engine's back: one byte of the ids */
	struct sg_txn *t = NULL;
	assert_int_equal(sg_txn_begin(e->store, true, &t, NULL), 0);
	const uint8_t key[] = {0, 0, 0, 0, 'd', '1'};
	assert_int_equal(sg_txn_put(t, SG_TABLE_KNOW_ID, SG_SPAN(key, sizeof(key)), SG_SPAN("x", 1),
				 false, NULL),
		0);
	assert_int_equal(sg_txn_commit(t, NULL), 0);
	json_auto_t *docs = json_pack("[{s:s, s:s}, {s:s, s:s}]", "id", "d0", "text", "new", "id",
		"d1", "text", "changed");
	assert_int_equal(
		sg_engine_documents(e, "docs", docs, NULL, &anna, on_written, &w, &err), 0);
	while (!w.calls)
		turn(e);
	assert_int_equal(w.err.code, SG_ECORRUPT);
	run_once(e, &s, run_id); /* the engine goes on */
	json_auto_t *info = NULL;
	assert_int_equal(sg_engine_stores(e, "docs", &info, NULL), 0);
	assert_int_equal(json_integer_value(json_object_get(info, "items")), 1);
	sg_engine_destroy(e);
}

static void what_is_asked_when_the_engine_ends_is_told_or_dropped(void **state)
{
	struct sg_engine *e = open_with_stores(*state);
	struct sg_error err;
	char run_id[SG_RUN_ID_TEXT];
	struct seen s = {0};
	load(e, *state, "g.yaml", graph);
	json_auto_t *params = json_pack("{s:s, s:s}", "query", "q", "who", "Anna");
	for (int i = 0; i < 50; i++)
		assert_int_equal(sg_engine_start(e, "run:stores", params, false, &anna, NULL, NULL,
					 on_run, &s, run_id, &err),
			0);
	turn(e);
	sg_engine_forget(e, &s);
	sg_engine_destroy(e);
}

/* One list of deltas from the state, read back by the same run; and one that stands in the node,
 * whose sources are what the run recalled. */
static const char facts_graph[] =
	"ir_version: \"1.0.0\"\n"
	"id: run:facts\n"
	"state_schema: {who: str, deltas: list, ids: list, found: list}\n"
	"nodes:\n"
	"  - {id: learn, kind: assert_facts, config: {store: facts, deltas: deltas, out: ids}}\n"
	"  - {id: back, kind: facts, config: {store: facts, out: found}}\n";
static const char written_graph[] =
	"ir_version: \"1.0.0\"\n"
	"id: run:written\n"
	"state_schema: {who: str, episodes: list, ids: list, found: list}\n"
	"nodes:\n"
	"  - {id: keep, kind: remember, config: {store: mem, content: who, user: '{who}', "
	"session: s, agent: a, id: e1}}\n"
	"  - {id: back, kind: recall, config: {store: mem, user: '{who}', out: episodes}}\n"
	"  - {id: learn, kind: assert_facts, config: {store: facts, sources: episodes, out: ids, "
	"deltas: [{kind: add, rule_id: r, confidence: 0.5, fact_payload: {subject: '{who}', "
	"user: '{who}', object: ['{who}', 7]}}]}}\n"
	"  - {id: see, kind: facts, config: {store: facts, user: '{who}', out: found}}\n";

#define MUST "\"rule_id\":\"r\",\"source_episode_ids\":[\"e1\"],\"confidence\":0.5"
#define TS ",\"promotion_ts\":\"2026-01-02T03:04:05Z\""
#define ADD(id, object) \
	"{\"kind\":\"add\"," MUST TS ",\"fact_payload\":{\"id\":\"" id "\",\"object\":\"" object \
	"\"}}"

/* Runs one list of deltas; the state. */
static json_t *learn(struct sg_engine *e, const char *deltas, struct seen *s, char *run_id)
{
	char params[2048];
	(void)snprintf(params, sizeof(params), "{\"deltas\":[%s]}", deltas);
	run(e, "run:facts", params, s, run_id);
	return json(s->state);
}

static void expect_found(const json_t *st, const char *want)
{
	char got[256] = "";
	size_t i;
	const json_t *f;
	json_array_foreach (json_object_get(st, "found"), i, f) {
		size_t n = strlen(got);
		(void)snprintf(got + n, sizeof(got) - n, "%s=%s ",
			json_string_value(json_object_get(f, "id")),
			json_string_value(
				json_object_get(json_object_get(f, "payload"), "object")));
	}
	assert_string_equal(got, want);
}

/* A record is a little larger than the state it comes from: the step fails, not the engine. */
static void an_episode_too_large_fails_its_step_only(void **state)
{
	static const char large_graph[] =
		"ir_version: \"1.0.0\"\n"
		"id: run:large\n"
		"state_schema: {who: str, meta: dict}\n"
		"nodes:\n"
		"  - {id: keep, kind: remember, config: {store: mem, content: who, metadata: meta, "
		"user: '{who}', session: s, agent: a}}\n";
	static char params[(1U << 20) + 64];
	struct sg_engine *e = open_with_stores(*state);
	struct seen s;
	char run_id[SG_RUN_ID_TEXT];
	load(e, *state, "l.yaml", large_graph);
	size_t text = (1U << 20) - 200;
	int n = snprintf(params, sizeof(params), "{\"who\":\"Anna\",\"meta\":{\"x\":\"");
	memset(params + n, 'a', text);
	memcpy(params + n + text, "\"}}", 4);
	run(e, "run:large", params, &s, run_id);
	assert_int_equal(s.status, SG_RUN_FAILED);
	run(e, "run:large", "{\"who\":\"Anna\",\"meta\":{\"x\":\"a\"}}", &s, run_id);
	assert_int_equal(s.status, SG_RUN_DONE);
	sg_engine_destroy(e);
}

static void each_kind_of_delta_is_read_back(void **state)
{
	static const struct {
		const char *deltas, *found;
	} rows[] = {
		{ADD("a", "1") "," ADD("b", "2"), "a=1 b=2 "},
		{"{\"kind\":\"update\"," MUST TS ",\"replaces\":[\"a\"],\"fact_payload\":{\"id\":"
		 "\"a\",\"object\":\"3\"}}",
			"a=3 b=2 "},
		{"{\"kind\":\"noop\"," MUST "}", "a=3 b=2 "},
		{"{\"kind\":\"delete\"," MUST ",\"replaces\":[\"b\"]}", "a=3 "},
		/* in order: each sees what those before it did */
		{"{\"kind\":\"delete\"," MUST ",\"replaces\":[\"a\"]}," ADD("a", "4"), "a=4 "},
	};
	struct sg_engine *e = open_with_stores(*state);
	struct seen s;
	char run_id[SG_RUN_ID_TEXT];
	load(e, *state, "f.yaml", facts_graph);
	for (size_t i = 0; i < SG_ARRAY_LEN(rows); i++) {
		json_auto_t *st = learn(e, rows[i].deltas, &s, run_id);
		if (s.status != SG_RUN_DONE)
			fail_msg("%zu: %s %s", i, s.error_class, s.cause);
		expect_found(st, rows[i].found);
		/* the state is the record's, and made from it alone */
		json_auto_t *record = record_of(e, run_id, 0), *empty = json_object();
		const struct prepared *p = sg_prepared_find(e, "run:facts");
		struct sg_exec x = {.node = &p->graph->nodes[0], .data = p->node_data[0]};
		struct sg_error err;
		assert_int_equal(p->kinds[0]->apply(&x, record, &err), 0);
		assert_true(
			json_equal(json_object_get(x.update, "ids"), json_object_get(st, "ids")));
		json_decref(x.update);
		assert_int_equal(p->kinds[0]->apply(&x, empty, &err), -SG_ECORRUPT);
		assert_true(json_is_string(json_object_get(
			json_array_get(json_object_get(record, "deltas"), 0), "promotion_ts")));
	}
	sg_engine_destroy(e);
}

static void a_bad_delta_fails_its_step_and_writes_nothing(void **state)
{
	static const struct {
		const char *deltas, *class, *says;
	} rows[] = {
		{"{\"kind\":\"add\"," MUST "}", "ConsolidationRuleError", "delta 1"},
		{"{\"kind\":\"merge\"," MUST "}", "ConsolidationRuleError", "kind is add"},
		{"{\"kind\":\"noop\",\"rule_id\":\"r\",\"confidence\":1}", "ConsolidationRuleError",
			"source_episode_ids"},
		{"{\"kind\":\"delete\"," MUST "}", "ConsolidationRuleError", "replaces"},
		{"{\"kind\":\"delete\"," MUST ",\"replaces\":[\"zz\"]}", "FactConflictError",
			"\"zz\""},
		{ADD("x", "2"), "FactConflictError", "\"x\" already"},
		{"5", "ConsolidationRuleError", "delta 1"},
	};
	struct sg_engine *e = open_with_stores(*state);
	struct seen s;
	char run_id[SG_RUN_ID_TEXT], deltas[1024];
	load(e, *state, "f.yaml", facts_graph);
	for (size_t i = 0; i < SG_ARRAY_LEN(rows); i++) {
		(void)snprintf(deltas, sizeof(deltas), "%s,%s", ADD("x", "1"), rows[i].deltas);
		json_auto_t *st = learn(e, deltas, &s, run_id);
		assert_non_null(st);
		assert_int_equal(s.status, SG_RUN_FAILED);
		if (!strstr(s.error_class, rows[i].class) || !strstr(s.cause, rows[i].says))
			fail_msg("%zu: %s: %s", i, s.error_class, s.cause);
	}
	json_auto_t *st = learn(e, "", &s, run_id);
	assert_int_equal(s.status, SG_RUN_DONE); /* the engine goes on */
	expect_found(st, "");
	sg_engine_destroy(e);
}

static void deltas_of_the_node_take_their_sources_from_a_recall(void **state)
{
	struct sg_engine *e = open_with_stores(*state);
	struct seen s;
	char run_id[SG_RUN_ID_TEXT];
	load(e, *state, "w.yaml", written_graph);
	run(e, "run:written", "{\"who\":\"Anna\"}", &s, run_id);
	if (s.status != SG_RUN_DONE)
		fail_msg("%s %s", s.error_class, s.cause);
	json_auto_t *st = json(s.state), *want = json("[\"Anna\",7]"), *ids = json("[\"e1\"]");
	const json_t *fact = json_array_get(json_object_get(st, "found"), 0);
	assert_true(json_equal(json_object_get(json_object_get(fact, "payload"), "object"), want));
	assert_true(json_equal(json_object_get(json_array_get(json_object_get(fact, "lineage"), 0),
				       "source_episode_ids"),
		ids));
	assert_string_equal(json_string_value(json_object_get(fact, "user")), "Anna");
	sg_engine_destroy(e);
}

/* The same fact from many runs at once: one makes it, the others are told, nobody else suffers. */
static void of_many_that_add_the_same_one_does(void **state)
{
	struct sg_engine *e = open_with_stores(*state);
	struct sg_error err;
	char run_id[SG_RUN_ID_TEXT];
	struct seen s[20] = {0};
	int done = 0;
	load(e, *state, "f.yaml", facts_graph);
	json_auto_t *params = json("{\"deltas\":[" ADD("a", "1") "]}");
	for (int i = 0; i < 20; i++)
		assert_int_equal(sg_engine_start(e, "run:facts", params, false, &anna, NULL, NULL,
					 on_run, &s[i], run_id, &err),
			0);
	for (int i = 0; i < 20; i++) {
		until_called(e, &s[i]);
		if (s[i].err.code)
			fail_msg("%s", s[i].err.text);
		done += s[i].status == SG_RUN_DONE;
		if (s[i].status != SG_RUN_DONE)
			assert_non_null(strstr(s[i].error_class, "FactConflictError"));
	}
	assert_int_equal(done, 1);
	json_auto_t *st = learn(e, "", &s[0], run_id);
	expect_found(st, "a=1 ");
	sg_engine_destroy(e);
}

#define T(f) cmocka_unit_test_setup_teardown(f, tmp_setup, tmp_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(hits_and_episodes_are_recorded),
		T(apply_needs_nothing_but_the_record),
		T(graphs_with_wrong_stores_are_refused),
		T(a_write_that_fails_is_undone_alone),
		T(an_episode_too_large_fails_its_step_only),
		T(each_kind_of_delta_is_read_back),
		T(a_bad_delta_fails_its_step_and_writes_nothing),
		T(deltas_of_the_node_take_their_sources_from_a_recall),
		T(of_many_that_add_the_same_one_does),
		T(what_is_asked_when_the_engine_ends_is_told_or_dropped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
