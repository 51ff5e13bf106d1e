/* Replay from outside: runs of every kind are identical, a changed record is named. */
#include "harness.h"

#include "run/internal.h"
#include "run/replay/firings.h"
#include "run/replay/fork.h"
#include "run/replay/replay.h"

static const char course[] =
	"ir_version: \"1.0.0\"\nid: \"run:course\"\n"
	"state_schema: {message: str, n: int, out: str}\n"
	"nodes:\n  - {id: a, kind: passthrough}\n"
	"  - {id: gate, kind: interrupt, config: {prompt: \"well?\"}}\n"
	"  - {id: t, kind: template, config: {template: \"{n} of {message}\", out: out}}\n"
	"  - {id: end, kind: halt}\n"
	"rules:\n"
	"  - {id: make, when: {node: a}, then: [{kind: assert, fact: mark, slots: "
	"'{\"of\": \"{message}\"}'}]}\n"
	"  - {id: use, when: \"(mark (of \\\"hi\\\"))\", then: [{kind: goto, target: gate}]}\n";

static const char fails[] =
	"ir_version: \"1.0.0\"\nid: \"run:fails\"\nstate_schema: {n: int}\n"
	"nodes:\n  - {id: gate, kind: interrupt, config: {prompt: p}}\n  - {id: b, kind: halt}\n"
	"rules:\n  - {id: r, when: \"(stargraph-answer (key \\\"x\\\") (typed ?v&:(> (/ 1 (- ?v "
	"1)) "
	"0)))\", then: [{kind: goto, target: b}]}\n";

static const char quick[] =
	"ir_version: \"1.0.0\"\nid: \"run:quick\"\nstate_schema: {message: str}\n"
	"nodes:\n  - {id: gate, kind: interrupt, config: {prompt: p, timeout: 0.05}}\n";

static const char branches[] =
	"ir_version: \"1.0.0\"\nid: \"run:branches\"\nstate_schema: {a: str, b: str, c: str}\n"
	"nodes:\n  - {id: x, kind: template, config: {template: \"x{c}\", out: a}}\n"
	"  - {id: y, kind: template, config: {template: \"y{c}\", out: b}}\n"
	"  - {id: z, kind: halt}\n"
	"parallel:\n  - {targets: [x, y], join: z}\n";

static struct sg_recording *recording(const char *dir, const char *id)
{
	struct sg_store *s = NULL;
	struct sg_txn *t = NULL;
	struct sg_recording *rec = NULL;
	struct sg_error err = {0};
	if (sg_store_open(&s, dir, 0, false, true, &err) < 0 ||
		sg_txn_begin(s, false, &t, &err) < 0 || sg_recording_read(t, id, &rec, &err) < 0)
		fail_msg("%s", err.text);
	sg_txn_abort(t);
	sg_store_close(s);
	return rec;
}

static struct sg_replay_result replay(const struct sg_recording *rec)
{
	const struct sg_engine_options o = {0};
	struct sg_replay_result r = {0};
	struct sg_replayer *p = NULL;
	struct sg_error err = {0};
	assert_int_equal(sg_replayer_create(&p, &o, &err), 0);
	if (sg_replay(p, rec, &r, &err) < 0)
		fail_msg("%s", err.text);
	sg_replayer_destroy(p);
	return r;
}

static void expect_identical(const char *dir, const char *id, int64_t steps)
{
	struct sg_recording *rec = recording(dir, id);
	struct sg_replay_result r = replay(rec);
	if (!r.identical)
		fail_msg("%s: %s", r.axis, r.text);
	assert_int_equal(r.steps, steps);
	assert_true(r.same_build);
	sg_recording_destroy(rec);
}

static void a_run_with_an_answer_is_identical(void **state)
{
	struct sg_engine *e = open_engine(*state, NULL);
	struct seen s;
	struct sg_error err;
	char id[SG_RUN_ID_TEXT];
	load(e, *state, "course.yaml", course);
	run(e, "run:course", "{\"message\":\"hi\"}", &s, id);
	assert_int_equal(s.status, SG_RUN_WAITING);
	sg_engine_destroy(e);
	expect_identical(*state, id, 2);
	e = open_engine(*state, NULL); /* the answer comes after a restart */
	load(e, *state, "course.yaml", course);
	assert_int_equal(respond(e, id, "{\"n\":3}", &s, &err), 0);
	sg_engine_destroy(e);
	struct sg_recording *rec = recording(*state, id);
	expect_identical(*state, id, rec->row.steps);
	sg_recording_destroy(rec);
}

static void the_same_failure_appears(void **state)
{
	struct sg_engine *e = open_engine(*state, NULL);
	struct seen s;
	struct sg_error err;
	char id[SG_RUN_ID_TEXT], late[SG_RUN_ID_TEXT];
	load(e, *state, "fails.yaml", fails);
	load(e, *state, "quick.yaml", quick);
	run(e, "run:fails", "{}", &s, id);
	assert_int_equal(respond(e, id, "{\"x\":1}", &s, &err), 0);
	assert_int_equal(s.status, SG_RUN_FAILED);
	run(e, "run:quick", "{}", &s, late);
	int64_t end = sg_clock_monotonic_us() + 5000000;
	struct sg_run_view v = {0};
	do {
		sg_run_view_finish(&v);
		turn(e);
		assert_int_equal(sg_engine_get(e, late, &v, &err), 0);
	} while (v.row.status == SG_RUN_WAITING && sg_clock_monotonic_us() < end);
	sg_run_view_finish(&v);
	sg_engine_destroy(e);
	struct sg_recording *rec = recording(*state, id);
	assert_non_null(rec->last); /* the answer, which no checkpoint holds */
	sg_recording_destroy(rec);
	expect_identical(*state, id, 1);
	expect_identical(*state, late, 1);
}

static void parallel_branches_are_identical(void **state)
{
	struct sg_engine *e = open_engine(*state, NULL);
	struct seen s;
	char id[SG_RUN_ID_TEXT];
	load(e, *state, "branches.yaml", branches);
	run(e, "run:branches", "{\"c\":\"1\"}", &s, id);
	assert_int_equal(s.status, SG_RUN_DONE);
	sg_engine_destroy(e);
	expect_identical(*state, id, s.steps);
}

static char *with(const char *text, const char *from, const char *to)
{
	const char *at = strstr(text, from);
	char *out = NULL;
	assert_non_null(at);
	assert_true(asprintf(&out, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from)) > 0);
	return out;
}

static void a_changed_record_is_named(void **state)
{
	struct sg_engine *e = open_engine(*state, NULL);
	struct seen s;
	struct sg_error err;
	char id[SG_RUN_ID_TEXT];
	load(e, *state, "course.yaml", course);
	run(e, "run:course", "{\"message\":\"hi\"}", &s, id);
	sg_engine_destroy(e);
	(void)err;
	struct sg_recording *rec = recording(*state, id);
	char *old = rec->steps[1].state;
	rec->steps[1].state = with(old, "\"hi\"", "\"ho\"");
	struct sg_replay_result r = replay(rec);
	assert_false(r.identical);
	assert_string_equal(r.axis, "state");
	assert_int_equal(r.step, 1);
	assert_non_null(strstr(r.text, "the state field \"message\" was \"ho\" and is \"hi\""));
	free(rec->steps[1].state);
	rec->steps[1].state = old;
	old = rec->steps[0].clips_facts;
	rec->steps[0].clips_facts = with(old, "hi", "ho");
	r = replay(rec);
	assert_string_equal(r.axis, "facts");
	free(rec->steps[0].clips_facts);
	rec->steps[0].clips_facts = old;
	for (size_t i = 0; i < rec->n_lines; i++) {
		if (!strstr(rec->lines[i].text.data, "\"rule_id\":\"use\""))
			continue;
		old = rec->lines[i].text.data;
		rec->lines[i].text.data = with(old, "\"rule_id\":\"use\"", "\"rule_id\":\"usx\"");
		r = replay(rec);
		assert_string_equal(r.axis, "rule");
		free(rec->lines[i].text.data);
		rec->lines[i].text.data = old;
	}
	assert_true(replay(rec).identical);
	memset(rec->steps[0].runtime_hash, '0', 64);
	r = replay(rec);
	assert_string_equal(r.axis, "hash"); /* the audit line names another checkpoint */
	size_t lines = rec->n_lines;
	rec->n_lines = 0;
	r = replay(rec);
	assert_true(r.identical); /* as an older version's run would be */
	assert_false(r.same_build);
	rec->n_steps--;
	r = replay(rec);
	assert_false(r.identical);
	assert_string_equal(r.axis, "outcome");
	rec->n_steps++;
	rec->n_lines = lines;
	sg_recording_destroy(rec);
}

static struct sg_recording *recording_of(struct sg_engine *e, const char *id)
{
	sg_autotxn *t = NULL;
	struct sg_recording *rec = NULL;
	struct sg_error err = {0};
	while (e->queued)
		turn(e);
	if (sg_txn_begin(e->store, false, &t, &err) < 0 || sg_recording_read(t, id, &rec, &err) < 0)
		fail_msg("%s", err.text);
	return rec;
}

static void fork_run(struct sg_engine *e, const char *id, int64_t step, const char *mutation,
	bool inherit, struct seen *s, char fork[SG_RUN_ID_TEXT], char hash[65])
{
	struct sg_error err = {0};
	json_t *m = json(mutation);
	*s = (struct seen){0};
	struct sg_fork_handle h;
	const struct sg_fork_request what = {
		.step = step, .mutation = m, .inherit_answers = inherit, .who = anna};
	if (sg_engine_fork(e, id, &what, NULL, on_run, s, &h, &err) < 0)
		fail_msg("%s", err.text);
	json_decref(m);
	until_called(e, s);
	memcpy(fork, h.run_id, SG_RUN_ID_TEXT);
	memcpy(hash, h.cf_hash, 65);
}

static void expect_same_steps(const struct sg_recording *a, const struct sg_recording *b)
{
	assert_int_equal(a->n_steps, b->n_steps);
	for (size_t i = 0; i < a->n_steps; i++) {
		char x[65], y[65];
		sg_checkpoint_digest(&a->steps[i], x);
		sg_checkpoint_digest(&b->steps[i], y);
		assert_string_equal(x, y);
	}
}

/* A record that carries the one parent and names another. */
static void a_fork_of_another_parent_is_refused(struct sg_recording *cf, const char *parent)
{
	const struct sg_engine_options o = {0};
	struct sg_replay_result r;
	struct sg_replayer *p = NULL;
	struct sg_error err = {0};
	char *at = strstr(cf->fork, parent);
	assert_non_null(at);
	at[strlen(parent) - 1] = at[strlen(parent) - 1] == 'a' ? 'b' : 'a';
	assert_int_equal(sg_replayer_create(&p, &o, &err), 0);
	assert_int_equal(sg_replay(p, cf, &r, &err), -SG_ECORRUPT);
	assert_string_equal(err.kind, "fork-parent");
	sg_replayer_destroy(p);
}

static void a_fork_leaves_its_parent_and_is_identical(void **state)
{
	struct sg_engine *e = open_engine(*state, NULL);
	struct seen s, parent;
	struct sg_error err;
	char id[SG_RUN_ID_TEXT], a[SG_RUN_ID_TEXT], b[SG_RUN_ID_TEXT], ha[65], hb[65];
	load(e, *state, "course.yaml", course);
	run(e, "run:course", "{\"message\":\"hi\"}", &s, id);
	assert_int_equal(respond(e, id, "{\"n\":3}", &parent, &err), 0);
	struct sg_recording *before = recording_of(e, id);
	fork_run(e, id, 0, "{\"state_overrides\":{\"n\":9}}", true, &s, a, ha);
	assert_memory_equal(a, "cf-", 3);
	fork_run(e, id, 0, "{\"state_overrides\":{\"n\":9}}", true, &s, b, hb);
	assert_string_equal(ha, hb);
	fork_run(e, id, 0, "{\"state_overrides\":{\"n\":9},\"facts_retract\":null}", false, &s, b,
		hb);
	assert_string_equal(ha, hb);
	assert_int_equal(s.status, SG_RUN_WAITING); /* asked again */
	assert_int_equal(respond(e, b, "{\"n\":5}", &s, &err), 0);
	fork_run(e, id, 1, "{\"respond_payloads\":{\"1\":{\"n\":6}}}", false, &s, b, hb);
	assert_non_null(strstr(s.state, "\"n\":6"));
	struct sg_recording *after = recording_of(e, id), *cf = recording_of(e, b);
	expect_same_steps(before, after);
	assert_true(after->row.pinned);
	bool told = false;
	for (size_t i = 0; i < cf->n_steps; i++)
		told |= cf->steps[i].recorded &&
			strstr(cf->steps[i].recorded, "\"actor\":\"cf:anna\"");
	assert_true(told);
	assert_true(replay(cf).identical);
	sg_recording_destroy(cf);
	cf = recording_of(e, a);
	assert_string_equal(cf->steps[0].graph_hash, ha);
	struct sg_replay_result r = replay(cf);
	if (!r.identical)
		fail_msg("%s", r.text);
	a_fork_of_another_parent_is_refused(cf, id);
	sg_recording_destroy(cf);
	sg_recording_destroy(before);
	sg_recording_destroy(after);
	sg_engine_destroy(e);
}

/* The slice that the writer has: the store still shows such a run. */
static void a_parent_that_is_being_removed_has_no_forks(void **state)
{
	struct sg_engine *e = open_engine(*state, NULL);
	struct seen s, f = {0};
	struct sg_error err = {0};
	struct sg_fork_handle h;
	char id[SG_RUN_ID_TEXT], fork[SG_RUN_ID_TEXT], hash[65];
	load(e, *state, "course.yaml", course);
	run(e, "run:course", "{\"message\":\"hi\"}", &s, id);
	json_t *m = json("{}");
	const struct sg_fork_request what = {.mutation = m, .who = anna};
	memcpy(e->retention.ids[0], id, sizeof(id));
	e->retention.n = 1;
	assert_int_equal(sg_engine_fork(e, id, &what, on_run, NULL, &f, &h, &err), 0);
	until_called(e, &f);
	assert_int_equal(f.err.code, SG_ENOTFOUND);
	e->retention.n = 0;
	fork_run(e, id, 0, "{}", false, &f, fork, hash);
	assert_int_equal(f.err.code, 0);
	json_decref(m);
	sg_engine_destroy(e);
}

static void mutations_are_checked(void **state)
{
	static const char *const bad[] = {"{\"state_override\":{}}", "[]",
		"{\"respond_payloads\":{\"x\":{}}}", "{\"facts_assert\":[{\"slots\":{}}]}",
		"{\"node_output_overrides\":{\"a\":1}}"};
	struct sg_error err;
	char hash[65];
	json_t *m, *ret;
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		m = json(bad[i]);
		assert_int_equal(sg_mutation_check(m, &ret, &err), -SG_EINVALID);
		json_decref(m);
	}
	/* docs/reference/replay.md */
	char zeros[65];
	memset(zeros, '0', 64);
	zeros[64] = 0;
	m = json("{}");
	assert_int_equal(sg_cf_hash(zeros, m, hash, &err), 0);
	assert_string_equal(
		hash, "e37151956af7e4fb6fee3609e6e432f50582501f8586322803e11816572c8fcc");
	json_decref(m);
	m = json("{\"state_overrides\":{\"n\":9}}");
	assert_int_equal(sg_cf_hash(zeros, m, hash, &err), 0);
	assert_string_equal(
		hash, "d39887bdf7c33cf67381347fb530231ea4c48d941461b6147ecb4ae5ef14f2bb");
	json_decref(m);
}

static const char *text_of(const json_t *j, const char *key)
{
	return json_string_value(json_object_get(j, key));
}

static const json_t *first_fired(const json_t *step)
{
	return json_array_get(json_object_get(step, "fired"), 0);
}

static json_t *firings_at(const struct sg_recording *rec, int64_t step, int code)
{
	const struct sg_engine_options o = {0};
	struct sg_replayer *p = NULL;
	struct sg_error err = {0};
	json_t *j = NULL;
	assert_int_equal(sg_replayer_create(&p, &o, &err), 0);
	assert_int_equal(sg_firings_at(p, rec, step, &j, &err), code);
	sg_replayer_destroy(p);
	return j;
}

static void the_rules_of_a_step_are_told(void **state)
{
	struct sg_engine *e = open_engine(*state, NULL);
	struct seen s;
	char id[SG_RUN_ID_TEXT];
	load(e, *state, "course.yaml", course);
	run(e, "run:course", "{\"message\":\"hi\"}", &s, id);
	sg_engine_destroy(e);
	struct sg_recording *rec = recording(*state, id);
	json_t *j = firings_at(rec, 0, 0);
	assert_string_equal(text_of(j, "node"), "a");
	assert_int_equal(json_array_size(json_object_get(j, "fired")), 1);
	assert_string_equal(text_of(first_fired(j), "rule"), "make");
	const json_t *fact = json_array_get(json_object_get(first_fired(j), "facts"), 0);
	assert_string_equal(text_of(fact, "template"), "node-id");
	assert_string_equal(text_of(json_object_get(fact, "slots"), "id"), "a");
	assert_string_equal(
		text_of(json_array_get(json_object_get(j, "agenda"), 0), "rule"), "make");
	json_decref(j);
	j = firings_at(rec, 1, 0); /* an interrupt node stops before its rules are asked */
	assert_true(json_is_false(json_object_get(j, "asked")));
	json_decref(j);
	assert_null(firings_at(rec, 2, -SG_ENOTFOUND));
	free(rec->steps[0].state);
	rec->steps[0].state = strdup("{}");
	assert_null(firings_at(rec, 0, -SG_ECORRUPT));
	sg_recording_destroy(rec);
}

static const char carries[] =
	"ir_version: \"1.0.0\"\nid: \"run:carries\"\nstate_schema: {message: str}\n"
	"nodes:\n  - {id: a, kind: passthrough}\n  - {id: b, kind: passthrough}\n"
	"  - {id: c, kind: halt}\n  - {id: d, kind: halt}\n"
	"rules:\n"
	"  - {id: make, when: {node: a}, then: [{kind: assert, fact: mark, slots: "
	"'{\"of\": \"{message}\"}'}]}\n"
	"  - {id: use, when: \"(node-id (id b)) (mark (of \\\"hi\\\"))\", then: [{kind: goto, "
	"target: d}]}\n";

static void a_carried_fact_names_its_origin(void **state)
{
	struct sg_engine *e = open_engine(*state, NULL);
	struct seen s;
	char id[SG_RUN_ID_TEXT];
	load(e, *state, "carries.yaml", carries);
	run(e, "run:carries", "{\"message\":\"hi\"}", &s, id);
	assert_int_equal(s.status, SG_RUN_DONE);
	sg_engine_destroy(e);
	struct sg_recording *rec = recording(*state, id);
	json_t *j = firings_at(rec, 1, 0);
	assert_string_equal(text_of(j, "decided_by"), "use");
	const json_t *fact = json_array_get(json_object_get(first_fired(j), "facts"), 1),
		     *from = json_object_get(fact, "provenance");
	assert_string_equal(text_of(json_object_get(fact, "slots"), "of"), "hi");
	assert_null(json_object_get(json_object_get(fact, "slots"), "_origin"));
	assert_string_equal(text_of(from, "run_id"), id);
	assert_string_equal(text_of(from, "step"), "0");
	assert_non_null(text_of(from, "origin"));
	assert_non_null(text_of(from, "source"));
	json_decref(j);
	sg_recording_destroy(rec);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_run_with_an_answer_is_identical, tmp_setup, tmp_teardown),
		cmocka_unit_test_setup_teardown(the_same_failure_appears, tmp_setup, tmp_teardown),
		cmocka_unit_test_setup_teardown(
			parallel_branches_are_identical, tmp_setup, tmp_teardown),
		cmocka_unit_test_setup_teardown(a_changed_record_is_named, tmp_setup, tmp_teardown),
		cmocka_unit_test_setup_teardown(
			a_fork_leaves_its_parent_and_is_identical, tmp_setup, tmp_teardown),
		cmocka_unit_test_setup_teardown(
			a_parent_that_is_being_removed_has_no_forks, tmp_setup, tmp_teardown),
		cmocka_unit_test(mutations_are_checked),
		cmocka_unit_test_setup_teardown(
			the_rules_of_a_step_are_told, tmp_setup, tmp_teardown),
		cmocka_unit_test_setup_teardown(
			a_carried_fact_names_its_origin, tmp_setup, tmp_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
