/* Graph documents that load, what they become, and that the canonical form loads again. */
#include "graph_fixture.h"

#include "base/json.h"

#define HEAD "ir_version: \"1.0.0\"\nid: \"run:t\"\n"
#define TWO \
	"nodes:\n  - {id: a, kind: echo}\n  - {id: b, kind: halt}\nstate_schema: {message: str, " \
	"risk: int, flag: bool, score: float}\n"

static void test_hello(void **state SG_UNUSED)
{
	struct sg_graph *g = must_load(HEAD TWO "rules:\n"
						"  - id: r-advance\n    when: \"(initial-fact)\"\n "
						"   then:\n      - {kind: goto, target: b}\n"
						"  - id: r-halt\n    when: {node: b}\n    then:\n  "
						"    - {kind: halt, reason: \"reached b\"}\n");
	assert_int_equal(g->n_nodes, 2);
	assert_int_equal(g->nodes[1].line, 5);
	assert_string_equal(g->rules[0].lhs, "(initial-fact)");
	assert_null(g->rules[0].node_id);
	assert_string_equal(g->rules[1].lhs, "(node-id (id b))");
	assert_string_equal(g->rules[1].node_id, "b");
	assert_string_equal(g->rules[1].actions[0].reason, "reached b");
	assert_int_equal(g->rules[0].line, 8);
	assert_true(g->fields[0].mirrored);
	assert_int_equal(strlen(g->hash), 64);
	sg_graph_destroy(g);
}

static void test_mapping_by_type(void **state SG_UNUSED)
{
	static const char *const head =
		HEAD TWO "rules:\n  - id: r\n    then: [{kind: halt}]\n    when: ";
	static const struct {
		const char *when, *lhs;
	} rows[] = {
		{"{risk: 3}", "(risk (typed 3))"},
		{"{risk: \"3\", node: a}", "(node-id (id a)) (risk (typed 3))"},
		{"{score: 1, flag: true}", "(flag (typed TRUE)) (score (typed 1.0))"},
		{"{flag: \"False\"}", "(flag (typed FALSE))"},
		{"{message: 3}", "(message (value \"3\"))"},
		{"{message: 'a\"b\\c'}", "(message (value \"a\\\"b\\\\c\"))"},
		{"\"(risk (typed ?r&:(> ?r 3)))\"", "(risk (typed ?r&:(> ?r 3)))"},
	};
	for (size_t i = 0; i < SG_ARRAY_LEN(rows); i++) {
		char text[600];
		(void)snprintf(text, sizeof(text), "%s%s\n", head, rows[i].when);
		struct sg_graph *g = must_load(text);
		assert_string_equal(g->rules[0].lhs, rows[i].lhs);
		sg_graph_destroy(g);
	}
}

static struct sg_graph *again(const struct sg_graph *g)
{
	sg_autobuf text = SG_BUF_INIT(1U << 20);
	assert_int_equal(sg_json_canonical(g->document, &text, NULL), 0);
	return must_load(text.data);
}

static void test_document_loads_again(void **state SG_UNUSED)
{
	struct sg_graph *g = must_load(HEAD
		"nodes:\n  - {id: z, kind: template, config: {template: \"{b} {a}\", out: b}}\n"
		"  - {id: a, kind: passthrough}\n  - {id: c, kind: passthrough}\n  - {id: d, kind: "
		"halt}\n"
		"state_schema:\n  b: str\n  a: {type: list, reducer: append, default: [1, 2]}\n  "
		"n: {type: int, route: false}\n"
		"parallel:\n  - {targets: [a, c], join: d, strategy: \"quorum:2\"}\n"
		"rules:\n  - id: r\n    when: {b: x, node: z}\n    then:\n      - {kind: assert, "
		"fact: my.fact, slots: '{\"k\": \"{b}\", \"n\": 3}'}\n"
		"      - {kind: interrupt, prompt: \"well?\", timeout: PT5M, on_timeout: "
		"\"goto:d\"}\n");
	struct sg_graph *h = again(g);
	assert_string_equal(g->hash, h->hash);
	assert_string_equal(h->fields[0].name, "b");
	assert_false(h->fields[2].mirrored);
	assert_string_equal(h->nodes[0].id, "z");
	assert_int_equal(h->rules[0].actions[1].timeout_us, 300000000);
	assert_string_equal(h->facts[0].name, "my.fact");
	assert_int_equal(h->facts[0].n_slots, 2);
	sg_graph_destroy(g);
	sg_graph_destroy(h);
}

static void test_hash_covers_all(void **state SG_UNUSED)
{
	static const char *const texts[] = {
		HEAD TWO,
		"id: \"run:t\"\n" TWO
		"ir_version: \"1.0.0\"\n", /* the order of keys means nothing */
		HEAD TWO "rules: [{id: r, when: {node: a}, then: [{kind: halt}]}]\n",
		HEAD TWO "rules: [{id: r, when: {node: a}, then: [{kind: halt, reason: x}]}]\n",
		HEAD TWO "rules: [{id: r, when: {node: b}, then: [{kind: halt}]}]\n",
		HEAD "nodes:\n  - {id: a, kind: passthrough}\n  - {id: b, kind: "
		     "halt}\nstate_schema: {message: str, risk: int, flag: bool, score: float}\n",
		HEAD "nodes:\n  - {id: a, kind: echo}\n  - {id: b, kind: halt}\nstate_schema: "
		     "{risk: int, message: str, flag: bool, score: float}\n",
		HEAD TWO "parallel: [{targets: [a], join: b}]\n",
	};
	char hashes[SG_ARRAY_LEN(texts)][SG_SHA256_HEX];
	for (size_t i = 0; i < SG_ARRAY_LEN(texts); i++) {
		struct sg_graph *g = must_load(texts[i]);
		memcpy(hashes[i], g->hash, sizeof(hashes[i]));
		sg_graph_destroy(g);
	}
	assert_string_equal(hashes[0], hashes[1]);
	for (size_t i = 1; i < SG_ARRAY_LEN(texts); i++)
		for (size_t k = i + 1; k < SG_ARRAY_LEN(texts); k++)
			assert_string_not_equal(hashes[i], hashes[k]);
}

/* The vector of docs/reference/graphs.md. */
static void test_hash_vector(void **state SG_UNUSED)
{
	struct sg_graph *g =
		must_load("ir_version: \"1.0.0\"\nid: \"run:v\"\nnodes: [{id: a, kind: echo}]\n");
	sg_autobuf text = SG_BUF_INIT(1U << 20);
	assert_int_equal(sg_json_canonical(g->document, &text, NULL), 0);
	assert_string_equal(text.data,
		"{\"id\":\"run:v\",\"ir_version\":\"1.0.0\",\"nodes\":[{\"id\":\"a\","
		"\"kind\":\"echo\"}],\"rules\":[],\"state_schema\":[]}");
	assert_string_equal(
		g->hash, "325d658d91f5bb1bfc2b77f17d807e7c3b20b986ecaa87c2fcca76d44c4dd736");
	struct sg_pack_triple packs[] = {{"z", "00", "2"}, {"a", "ff", "1"}};
	assert_int_equal(sg_graph_bind_packs(g, packs, 2, NULL), 0);
	assert_string_equal(
		g->hash, "9668fefdc99c3fb63fa2990f1eb44a1ba2b186744a0d226e4ccba627411759b6");
	sg_graph_destroy(g);
}

static void test_authoring(void **state SG_UNUSED)
{
	struct sg_graph *g =
		must_load("id: bot\nstate:\n  question: str\n  verdict: {type: str, route: true}\n "
			  " notes: list\n"
			  "nodes:\n  draft: {kind: template, template: \"{question}\", out: "
			  "verdict}\n  work: {kind: passthrough}\n"
			  "routes:\n  draft: work\n  work: {fail: draft, pass: done}\n");
	assert_string_equal(g->id, "graph:bot");
	assert_int_equal(g->n_rules, 3);
	assert_string_equal(g->rules[0].id, "r-draft");
	assert_string_equal(g->rules[2].id, "r-work-pass");
	assert_string_equal(g->rules[2].lhs, "(node-id (id work)) (verdict (value \"pass\"))");
	assert_string_equal(g->rules[2].actions[0].reason, "work complete");
	assert_false(g->fields[0].mirrored);
	assert_true(g->fields[1].mirrored);
	struct sg_graph *h = again(g);
	assert_string_equal(g->hash, h->hash);
	sg_graph_destroy(h);
	sg_graph_destroy(g);
}

static void test_initial_and_merge(void **state SG_UNUSED)
{
	struct sg_graph *g =
		must_load(HEAD "nodes: [{id: a, kind: echo}]\nstate_schema:\n  message: str\n  n: "
			       "{type: int, default: 5, reducer: sum}\n"
			       "  x: float\n  ok: bool\n  l: {type: list, reducer: union}\n  d: "
			       "{type: dict, reducer: merge}\n  top: {type: int, reducer: max}\n");
	struct sg_error err = {0};
	json_t *params = parse("{\"message\": \"hi\", \"n\": \"7\", \"x\": \"0.25\", \"ok\": "
			       "\"true\", \"l\": \"[1]\"}"),
	       *s, *m;
	assert_int_equal(sg_graph_initial_state(g, params, true, &s, &err), 0);
	json_t *want = parse("{\"message\": \"hi\", \"n\": 7, \"x\": 0.25, \"ok\": true, \"l\": "
			     "[1], \"d\": {}, \"top\": 0}");
	assert_true(json_equal(s, want));
	json_decref(want);
	json_decref(params);
	json_t *update = parse("{\"message\": \"ho\", \"n\": 3, \"l\": [1, 2], \"d\": {\"k\": 1}, "
			       "\"x\": 2, \"top\": -4}");
	assert_int_equal(sg_graph_merge_state(g, s, update, &m, &err), 0);
	want = parse("{\"message\": \"ho\", \"n\": 10, \"l\": [1, 2], \"d\": {\"k\": 1}, \"x\": "
		     "2.0, \"ok\": true, \"top\": 0}");
	assert_true(json_equal(m, want));
	json_decref(want);
	json_decref(m);
	json_decref(update);
	update = parse("{\"mesage\": 1}");
	assert_true(sg_graph_merge_state(g, s, update, &m, &err) < 0);
	assert_non_null(strstr(err.text, "did you mean \"message\""));
	json_decref(update);
	update = parse("{\"n\": \"many\"}");
	assert_true(sg_graph_merge_state(g, s, update, &m, &err) < 0);
	json_decref(update);
	update = parse("{\"n\": 9223372036854775807}");
	assert_true(sg_graph_merge_state(g, s, update, &m, &err) < 0);
	assert_string_equal(err.kind, "state-overflow");
	json_decref(update);
	json_decref(s);
	sg_graph_destroy(g);
}

static void test_fill(void **state SG_UNUSED)
{
	json_t *slots = parse("{\"a\": \"{n}\", \"b\": \"is {n}, {ok} {{x}}\", \"c\": 3}");
	json_t *values = parse("{\"n\": 4, \"ok\": true}"),
	       *want = parse("{\"a\": 4, \"b\": \"is 4, True {x}\", \"c\": 3}");
	json_t *out = sg_graph_fill(slots, values);
	assert_true(json_equal(out, want));
	json_decref(out);
	json_decref(want);
	json_decref(values);
	json_decref(slots);
}

static void test_durations(void **state SG_UNUSED)
{
	static const struct {
		const char *json;
		int64_t us;
	} rows[] = {{"90", 90000000}, {"0.5", 500000}, {"\"PT1M30S\"", 90000000},
		{"\"P1DT2H\"", 93600000000}, {"\"PT0.000001S\"", 1}, {"\"00:01:30\"", 90000000},
		{"\"1 day, 00:00:01.5\"", 86401500000}, {"\"P\"", -1}, {"\"PT\"", -1},
		{"\"PT1S1M\"", -1}, {"\"soon\"", -1}, {"0", -1}, {"-3", -1}, {"\"\"", -1},
		{"true", -1}, {"null", -1}, {"\"PT1e3S\"", -1}, {"\"00:61:00\"", -1},
		{"1e300", -1}};
	for (size_t i = 0; i < SG_ARRAY_LEN(rows); i++) {
		json_t *v = parse(rows[i].json);
		int64_t us = 0;
		int e = sg_graph_duration(v, &us, NULL);
		json_decref(v);
		if (rows[i].us < 0 ? e == 0 : e != 0 || us != rows[i].us)
			fail_msg("%s gives %d, %lld", rows[i].json, e, (long long)us);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hello),
		cmocka_unit_test(test_mapping_by_type),
		cmocka_unit_test(test_document_loads_again),
		cmocka_unit_test(test_hash_covers_all),
		cmocka_unit_test(test_hash_vector),
		cmocka_unit_test(test_authoring),
		cmocka_unit_test(test_initial_and_merge),
		cmocka_unit_test(test_fill),
		cmocka_unit_test(test_durations),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
