/* What a step means (docs/reference/graphs.md, "How a step decides"), held to the rules module. */
#include "rules_fixture.h"

#define FULL "{\"verdict\": \"fail\", \"risk\": 4, \"score\": 0.5, \"flag\": true}"

static void assert_fired(
	struct sg_rules *r, const char *node, int64_t step, const char *state, const char *want)
{
	struct sg_error err = {0};
	struct sg_rules_outcome o;
	if (run(r, node, step, state, &o, &err) != 0)
		fail_msg("%s: %s", err.kind, err.text);
	assert_string_equal(fired(&o), want);
	sg_rules_outcome_finish(&o);
}

static void test_first_step_rules(void **state SG_UNUSED)
{
	const struct sg_rules_rule rules[] = {
		{.id = "start", .lhs = "(initial-fact)", .where = "g.yaml:1"},
		{.id = "blank", .lhs = "", .where = "g.yaml:2"},
		{.id = "work", .lhs = "?n <- (node-id (id work))", .where = "g.yaml:3"},
		{.id = "both",
			.lhs = "(initial-fact) (verdict (value \"fail\"))",
			.where = "g.yaml:4"},
		{.id = "absent", .lhs = "(not (verdict (value \"pass\")))", .where = "g.yaml:5"},
	};
	struct sg_rules *r;
	struct sg_error err = {0};
	if (create(&r, rules, 5, NULL, &err) != 0)
		fail_msg("%s", err.text);
	assert_fired(r, "a", 0, FULL, "both,start,blank,absent");
	assert_fired(r, "work", 1, FULL, "both,work,absent");
	assert_fired(r, "work", 2, FULL, "both,work,absent");
	assert_fired(r, "work", 3, "{\"verdict\": \"pass\"}", "work");
	sg_rules_destroy(r);
}

static void test_typed_and_text(void **state SG_UNUSED)
{
	const struct sg_rules_rule rules[] = {
		{.id = "more", .lhs = "(risk (typed ?r&:(> ?r 3)))"},
		{.id = "text",
			.lhs = "(risk (value \"4\")) (flag (value \"True\")) (score (value "
			       "\"0.5\"))"},
		{.id = "typed", .lhs = "(flag (typed TRUE)) (score (typed 0.5))"},
	};
	struct sg_rules *r;
	struct sg_error err = {0};
	if (create(&r, rules, 3, NULL, &err) != 0)
		fail_msg("%s", err.text);
	assert_fired(r, "a", 0, FULL, "text,typed,more");
	assert_fired(r, "a", 0, "{\"risk\": 30}", "more");
	assert_fired(r, "a", 0, "{\"risk\": null}", "");
	sg_rules_destroy(r);
}

static void test_facts_out(void **state SG_UNUSED)
{
	struct sg_rules *r;
	struct sg_error err = {0};
	struct sg_rules_outcome o;
	assert_int_equal(create(&r, NULL, 0, NULL, &err), 0);
	assert_int_equal(run(r, "a", 7, "{\"verdict\": \"say \\\"hi\\\" \\\\ (x)\", \"score\": 2}",
				 &o, &err),
		0);
	json_t *facts = json_loads(o.facts, 0, NULL);
	assert_int_equal(json_array_size(facts), 4);
	assert_int_equal(o.n_facts, 4);
	assert_string_equal(json_string_value(json_array_get(facts, 0)), "(initial-fact)");
	assert_string_equal(json_string_value(json_array_get(facts, 1)), "(node-id (id a))");
	assert_string_equal(json_string_value(json_array_get(facts, 2)),
		"(verdict (value \"say \\\"hi\\\" \\\\ (x)\") (typed \"say \\\"hi\\\" \\\\ (x)\") "
		"(_origin \"state\") (_source \"mirror\")"
		" (_run_id \"run-1\") (_step \"7\") (_confidence \"1.0\") (_timestamp "
		"\"2026-11-24T00:00:00.000000Z\"))");
	assert_non_null(
		strstr(json_string_value(json_array_get(facts, 3)), "(value \"2.0\") (typed 2.0)"));
	assert_int_equal(o.fact_indices[3], 3);
	json_decref(facts);
	sg_rules_outcome_finish(&o);
	sg_rules_destroy(r);
}

static void test_pack_actions(void **state SG_UNUSED)
{
	const char *pack =
		"(deftemplate bosun.violation (slot kind) (slot severity) (slot run_id) (slot "
		"reason))\n"
		"(defrule veto \"a comment\" (declare (salience -10))\n"
		"  (stargraph_action (kind goto) (target \"pay\")) (risk (typed ?r&:(>= ?r 4)))\n"
		"  => (assert (bosun.violation (kind \"risk\") (severity \"halt\") (reason "
		"(str-cat \"risk \" ?r)))))\n"
		"(defrule fan (node-id (id b)) => (assert (stargraph_action (kind parallel) "
		"(targets \"x\" \"y\") (join \"z\"))))\n"
		"(defrule no (node-id (id c)) => (assert (stargraph_action (kind deny))))\n";
	json_t *then = parse("[{\"kind\": \"goto\", \"target\": \"pay\"}]");
	const struct sg_rules_rule rules[] = {
		{.id = "go", .lhs = "(node-id (id a))", .then = then}};
	struct sg_rules *r;
	struct sg_error err = {0};
	struct sg_rules_outcome o;
	if (create(&r, rules, 1, pack, &err) != 0)
		fail_msg("%s", err.text);
	assert_int_equal(run(r, "a", 0, FULL, &o, &err), 0);
	assert_string_equal(fired(&o), "go,p/veto");
	assert_null(o.firings[0].actions);
	assert_int_equal(o.firings[0].rule, 0);
	assert_string_equal(o.firings[0].matched, "f-1");
	json_t *want = parse("[{\"kind\": \"halt\", \"reason\": \"risk 4\"}]");
	assert_true(json_equal(o.firings[1].actions, want));
	json_decref(want);
	sg_rules_outcome_finish(&o);
	assert_int_equal(run(r, "b", 1, FULL, &o, &err), 0);
	json_t *fan = json_array_get(o.firings[0].actions, 0);
	assert_string_equal(json_string_value(json_object_get(fan, "join")), "z");
	assert_int_equal(json_array_size(json_object_get(fan, "targets")), 2);
	sg_rules_outcome_finish(&o);
	assert_int_equal(run(r, "c", 2, FULL, &o, &err), 0);
	want = parse("[{\"kind\": \"halt\", \"reason\": \"denied-by-rule\"}]");
	assert_true(json_equal(o.firings[0].actions, want));
	json_decref(want);
	sg_rules_outcome_finish(&o);
	json_decref(then);
	sg_rules_destroy(r);
}

static void test_carried_facts(void **state SG_UNUSED)
{
	const char *slots[] = {"status"};
	const struct sg_rules_template t = {"compliance.done", slots, 1};
	const struct sg_rules_rule rules[] = {
		{.id = "seen", .lhs = "(compliance-done (status \"ok\"))"},
		{.id = "joined", .lhs = "(compliance.done) (node-id (id a))"},
		{.id = "answer", .lhs = "(stargraph-answer (key \"approve\") (typed TRUE))"},
	};
	struct sg_rules_spec spec = {
		.templates = &t, .n_templates = 1, .rules = rules, .n_rules = 3};
	struct sg_rules *r;
	struct sg_error err = {0};
	struct sg_rules_outcome o;
	if (sg_rules_create(&r, &spec, &err) != 0)
		fail_msg("%s", err.text);
	json_t *ok = parse("{\"status\": \"ok\", \"_origin\": \"rule\"}");
	json_t *yes = parse("{\"key\": \"approve\", \"value\": \"True\", \"typed\": true}");
	const struct sg_fact_in facts[] = {{"compliance.done", ok}, {"stargraph.answer", yes}};
	struct sg_rules_step in = {.node_id = "a",
		.step = 3,
		.facts = facts,
		.n_facts = 2,
		.n_seen = 1,
		.explain = true};
	assert_int_equal(sg_rules_run(r, &in, &o, &err), 0);
	assert_string_equal(fired(&o), "answer,joined");
	assert_int_equal(json_array_size(o.agenda), 2);
	assert_true(json_is_true(json_object_get(json_array_get(o.agenda, 0), "fired")));
	sg_rules_outcome_finish(&o);
	in.n_seen = 0;
	assert_int_equal(sg_rules_run(r, &in, &o, &err), 0);
	assert_string_equal(fired(&o), "answer,seen,joined");
	sg_rules_outcome_finish(&o);
	json_decref(ok);
	json_decref(yes);
	sg_rules_destroy(r);
}

static void test_retract_patterns(void **state SG_UNUSED)
{
	json_t *p, *slots = parse("{\"kind\": \"draft\", \"n\": 3}");
	struct sg_fact_in f = {"my.fact", slots};
	assert_int_equal(sg_rules_parse_pattern("(my-fact (kind \"draft\") (n 3))", &p, NULL), 0);
	assert_true(sg_rules_pattern_matches(p, &f));
	json_decref(p);
	assert_int_equal(sg_rules_parse_pattern("(my.fact (kind final))", &p, NULL), 0);
	assert_false(sg_rules_pattern_matches(p, &f));
	json_decref(p);
	assert_true(sg_rules_parse_pattern("(my.fact (kind ?k))", &p, NULL) < 0);
	assert_true(sg_rules_parse_pattern("(a) (b)", &p, NULL) < 0);
	assert_true(sg_rules_parse_pattern("", &p, NULL) < 0);
	json_t *then = parse("[{\"kind\": \"retract\", \"pattern\": \"(verdct (value x))\"}]");
	const struct sg_rules_rule rule = {.id = "r", .lhs = "", .where = "g.yaml:3", .then = then};
	struct sg_rules *r;
	struct sg_error err = {0};
	assert_true(create(&r, &rule, 1, NULL, &err) < 0);
	assert_non_null(strstr(err.text, "no fact is called \"verdct\"; did you mean \"verdict\""));
	json_decref(then);
	json_decref(slots);
}

/* What the twin is given, it decides as the first does; each has its own time. */
static void test_twin(void **state SG_UNUSED)
{
	static const char pack[] = "(deftemplate c (slot n))\n"
				   "(defrule a (node-id (id go)) => (assert (c (n 0))))\n"
				   "(defrule b ?f <- (c (n ?n)) => (modify ?f (n (+ ?n 1))))\n";
	const struct sg_rules_rule rules[] = {
		{.id = "high", .lhs = "(risk (typed ?r&:(> ?r 3)))", .where = "g.yaml:1"},
		{.id = "fail", .lhs = "(verdict (value \"fail\"))", .where = "g.yaml:2"},
	};
	struct sg_rules *r, *t;
	struct sg_error err = {0};
	struct sg_rules_outcome a, b;
	if (create(&r, rules, 2, pack, &err) != 0 || sg_rules_twin(&t, r, 5000, &err) != 0)
		fail_msg("%s", err.text);
	for (int step = 0; step < 3; step++) {
		assert_int_equal(run(r, "x", step, FULL, &a, &err), 0);
		assert_int_equal(run(t, "x", step, FULL, &b, &err), 0);
		assert_string_equal(a.facts, b.facts);
		assert_int_equal(a.n_firings, b.n_firings);
		for (size_t i = 0; i < a.n_firings; i++) {
			assert_string_equal(a.firings[i].rule_id, b.firings[i].rule_id);
			assert_string_equal(a.firings[i].matched, b.firings[i].matched);
		}
		sg_rules_outcome_finish(&a);
		sg_rules_outcome_finish(&b);
	}
	sg_rules_set_time(r, 2000);
	assert_int_equal(run(r, "go", 3, FULL, &a, &err), -SG_ELIMIT);
	assert_non_null(strstr(err.text, "2 ms"));
	assert_int_equal(run(t, "go", 3, FULL, &a, &err), -SG_ELIMIT);
	assert_non_null(strstr(err.text, "5 ms"));
	assert_fired(t, "x", 4, FULL, "high,fail"); /* still usable */
	sg_rules_destroy(t);
	assert_fired(r, "x", 4, FULL, "high,fail");
	sg_rules_destroy(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_step_rules),
		cmocka_unit_test(test_typed_and_text),
		cmocka_unit_test(test_facts_out),
		cmocka_unit_test(test_pack_actions),
		cmocka_unit_test(test_carried_facts),
		cmocka_unit_test(test_retract_patterns),
		cmocka_unit_test(test_twin),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
