/* Nodes that work elsewhere: branches side by side with one record, limits that hold while a node
 * is away, and branches that fail under each strategy. The work is done by hand here: a kind whose
 * executions wait until the test completes them stands in for passthrough. */
#include "harness.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "run/internal.h"

#define MAX_OUT 16
static struct sg_exec *out[MAX_OUT];
static size_t n_out, n_cancelled;

static int wait_for_test(struct sg_exec *x, struct sg_error *err)
{
	(void)err;
	out[n_out++] = x;
	return SG_EXEC_PENDING;
}

static void note_cancel(struct sg_exec *x)
{
	(void)x;
	n_cancelled++;
}

static const struct sg_node_kind by_hand = {
	.spec = {.name = "passthrough"},
	.execute = wait_for_test,
	.cancel = note_cancel,
	.elsewhere = true,
};
static const struct sg_node_kind by_hand_outside = {
	.spec = {.name = "passthrough"},
	.execute = wait_for_test,
	.cancel = note_cancel,
	.elsewhere = true,
	.outside = true,
};

/* Four branches f0 to f3 that write a to d; those of kind passthrough are done by hand. */
static struct sg_engine *open_fan(const char *dir, const char *strategy, const char *kinds,
	const struct sg_node_kind *hand, const struct sg_engine_options *o)
{
	struct sg_engine *e = open_engine(dir, o);
	sg_autobuf b = SG_BUF_INIT(4096);
	sg_buf_adds(&b, "ir_version: \"1.0.0\"\nid: \"run:fan\"\n"
			"state_schema: {a: str, b: str, c: str, d: str}\nnodes:\n");
	for (int i = 0; i < 4; i++)
		if (kinds[i] == 'p')
			sg_buf_addf(&b, "  - {id: f%d, kind: passthrough}\n", i);
		else if (kinds[i] == 's')
			sg_buf_addf(&b, "  - {id: f%d, kind: set, config: {values: {%c: set}}}\n",
				i, 'a' + i);
		else
			sg_buf_addf(&b,
				"  - {id: f%d, kind: set, config: {clips: {%c: \"(str-cat (div 1 "
				"0))\"}}}\n",
				i, 'a' + i);
	sg_buf_addf(&b,
		"  - {id: end, kind: halt}\n"
		"parallel: [{targets: [f0, f1, f2, f3], join: end, strategy: \"%s\"}]\n",
		strategy);
	load(e, dir, "fan.yaml", b.data);
	struct prepared *p = sg_prepared_find(e, "run:fan");
	for (int i = 0; i < 4; i++)
		if (kinds[i] == 'p')
			p->kinds[i] = hand;
	n_out = n_cancelled = 0;
	return e;
}

static void start(struct sg_engine *e, struct seen *s, char id[SG_RUN_ID_TEXT])
{
	struct sg_error err;
	*s = (struct seen){0};
	n_out = n_cancelled = 0;
	assert_int_equal(
		sg_engine_start(e, "run:fan", NULL, false, &anna, NULL, NULL, on_run, s, id, &err),
		0);
	for (int i = 0; i < 10 && !n_out; i++)
		turn(e);
}

/* The branch with this id comes back: "fail", or its field's value. */
static void come_back(const char *node, const char *value)
{
	for (size_t i = 0; i < n_out; i++) {
		struct sg_exec *x = out[i];
		struct sg_error err;
		if (!x || strcmp(x->node->id, node) != 0)
			continue;
		out[i] = NULL;
		if (strcmp(value, "fail") == 0) {
			(void)sg_error_set(&err, SG_EIO, "broken", "it broke");
			sg_exec_complete(x, &err);
			return;
		}
		char field[2] = {(char)('a' + node[1] - '0'), '\0'};
		x->update = json_pack("{s:s}", field, value);
		sg_exec_complete(x, NULL);
		return;
	}
	fail_msg("%s is not out", node);
}

static void branches_wait_together_and_are_recorded_in_order(void **state)
{
	static const char *const orders[] = {"0123", "3210", "2031"};
	for (size_t k = 0; k < SG_ARRAY_LEN(orders); k++) {
		struct sg_engine *e = open_fan(*state, "all", "pppp", &by_hand, NULL);
		struct seen s;
		char id[SG_RUN_ID_TEXT];
		start(e, &s, id);
		assert_int_equal(n_out, 4);
		for (const char *c = orders[k]; *c; c++) {
			char node[3] = {'f', *c, '\0'}, value[2] = {*c, '\0'};
			come_back(node, value);
			turn(e);
		}
		until_called(e, &s);
		assert_int_equal(s.status, SG_RUN_DONE);
		assert_string_equal(s.path, "f0 f1 f2 f3 end");
		assert_string_equal(s.state, "{\"a\":\"0\",\"b\":\"1\",\"c\":\"2\",\"d\":\"3\"}");
		sg_engine_destroy(e);
	}
}

static void effects_outside_start_ahead_only_where_all_are_needed(void **state)
{
	struct seen s;
	char id[SG_RUN_ID_TEXT];
	struct sg_engine *e = open_fan(*state, "all", "psps", &by_hand_outside, NULL);
	start(e, &s, id);
	assert_int_equal(n_out, 2);
	come_back("f2", "x");
	come_back("f0", "y");
	until_called(e, &s);
	assert_string_equal(s.state, "{\"a\":\"y\",\"b\":\"set\",\"c\":\"x\",\"d\":\"set\"}");
	sg_engine_destroy(e);
	e = open_fan(*state, "any", "pppp", &by_hand_outside, NULL);
	start(e, &s, id);
	assert_int_equal(n_out, 1);
	come_back("f0", "fail");
	for (int i = 0; i < 10; i++)
		turn(e);
	assert_int_equal(n_out, 2);
	come_back("f1", "x");
	until_called(e, &s);
	assert_string_equal(s.path, "f0 f1 end");
	assert_string_equal(s.state, "{\"a\":\"\",\"b\":\"x\",\"c\":\"\",\"d\":\"\"}");
	sg_engine_destroy(e);
}

/* What is not needed any more is cancelled; what comes back late is not seen. */
static void the_first_in_order_wins(void **state)
{
	struct seen s;
	char id[SG_RUN_ID_TEXT];
	struct sg_engine *e = open_fan(*state, "race", "pppp", &by_hand, NULL);
	start(e, &s, id);
	assert_int_equal(n_out, 4);
	come_back("f2", "early");
	turn(e);
	assert_int_equal(s.calls, 0);
	come_back("f0", "fail");
	come_back("f1", "second");
	until_called(e, &s);
	assert_string_equal(s.path, "f0 f1 end");
	assert_string_equal(s.state, "{\"a\":\"\",\"b\":\"second\",\"c\":\"\",\"d\":\"\"}");
	assert_int_equal(n_cancelled, 1); /* f3; f2 was back */
	come_back("f3", "late");
	sg_engine_destroy(e);
}

static void a_failing_branch_under_each_strategy(void **state)
{
	static const struct {
		const char *strategy, *kinds, *path, *class;
	} rows[] = {
		{"all", "sxss", "f0", "rule-error"},
		{"any", "xsss", "f0 f1 end", ""},
		{"any", "ssss", "f0 end", ""},
		{"any", "xxxx", "f0 f1 f2", "parallel-failed"},
		{"race", "xxsx", "f0 f1 f2 end", ""},
		{"quorum", "xsss", "f0 f1 f2 f3 end", ""},
		{"quorum", "xxss", "f0", "parallel-failed"},
		{"quorum:2", "xsxs", "f0 f1 f2 f3 end", ""},
		{"quorum:2", "ssxx", "f0 f1 end", ""},
		{"quorum:2", "xxxs", "f0 f1", "parallel-failed"},
		{"quorum:4", "sssx", "f0 f1 f2", "rule-error"},
	};
	for (size_t i = 0; i < SG_ARRAY_LEN(rows); i++) {
		struct sg_engine *e = open_fan(*state, rows[i].strategy, rows[i].kinds, NULL, NULL);
		struct seen s;
		char id[SG_RUN_ID_TEXT];
		run(e, "run:fan", "{}", &s, id);
		if (strcmp(s.path, rows[i].path) != 0 || strcmp(s.error_class, rows[i].class) != 0)
			fail_msg("%s %s: %s %s", rows[i].strategy, rows[i].kinds, s.path,
				s.error_class);
		sg_engine_destroy(e);
	}
}

static void a_node_that_stays_away_fails(void **state)
{
	struct sg_engine_options o = {.limits = {.node_us = 30000}};
	struct sg_engine *e = open_fan(*state, "all", "psss", &by_hand, &o);
	struct seen s;
	char id[SG_RUN_ID_TEXT];
	start(e, &s, id);
	until_called(e, &s);
	assert_int_equal(s.status, SG_RUN_FAILED);
	assert_string_equal(s.error_class, "node-timeout");
	assert_int_equal(n_cancelled, 1);
	come_back("f0", "too late");
	sg_engine_destroy(e);
	/* each branch by itself, also one that was started ahead */
	e = open_fan(*state, "quorum:2", "pspp", &by_hand, &o);
	start(e, &s, id);
	assert_int_equal(n_out, 3);
	come_back("f3", "in time");
	until_called(e, &s);
	assert_string_equal(s.error_class, "");
	assert_string_equal(s.path, "f0 f1 f2 f3 end");
	assert_string_equal(s.state, "{\"a\":\"\",\"b\":\"set\",\"c\":\"\",\"d\":\"in time\"}");
	come_back("f0", "late");
	come_back("f2", "late");
	sg_engine_destroy(e);
}

static void a_run_ends_by_its_limit_while_a_node_is_away(void **state)
{
	struct sg_engine_options o = {.limits = {.run_us = 50000}};
	struct sg_engine *e = open_fan(*state, "all", "pppp", &by_hand, &o);
	struct seen s;
	char id[SG_RUN_ID_TEXT];
	start(e, &s, id);
	int64_t from = sg_clock_monotonic_us();
	until_called(e, &s);
	assert_string_equal(s.error_class, "run-timeout");
	assert_true(sg_clock_monotonic_us() - from < 2000000);
	assert_int_equal(n_cancelled, 4);
	for (char n[] = "f0"; n[1] < '4'; n[1]++)
		come_back(n, "late");
	sg_engine_destroy(e);
}

static void a_sleeping_run_ends_by_its_limit(void **state)
{
	struct sg_engine_options o = {.limits = {.run_us = 50000}};
	struct sg_engine *e = open_engine(*state, &o);
	struct seen s;
	char id[SG_RUN_ID_TEXT];
	load(e, *state, "sleep.yaml",
		"ir_version: \"1.0.0\"\nid: \"run:sleep\"\nnodes: [{id: a, kind: passthrough}]\n"
		"rules: [{id: r, when: {node: a}, then: [{kind: retry, target: a, backoff_ms: "
		"3600000}]}]\n");
	run(e, "run:sleep", "{}", &s, id);
	assert_string_equal(s.error_class, "run-timeout");
	sg_engine_destroy(e);
}

static void pause_waits_for_what_was_started_and_cancel_does_not(void **state)
{
	struct sg_engine *e = open_fan(*state, "all", "pppp", &by_hand_outside, NULL);
	struct seen s, paused = {0}, ended = {0}, resumed = {0};
	struct sg_error err;
	char id[SG_RUN_ID_TEXT];
	start(e, &s, id);
	assert_int_equal(n_out, 4);
	assert_int_equal(sg_engine_pause(e, id, &anna, on_run, &paused, &err), 0);
	come_back("f0", "0");
	turn(e);
	assert_int_equal(paused.calls, 0);
	for (char n[] = "f1"; n[1] < '4'; n[1]++)
		come_back(n, "x");
	until_called(e, &paused);
	assert_int_equal(paused.status, SG_RUN_PAUSED);
	assert_int_equal(paused.steps, 4);
	assert_int_equal(n_out, 4); /* nothing ran twice */
	assert_int_equal(sg_engine_resume(e, id, &anna, on_run, &resumed, &err), 0);
	until_called(e, &resumed);
	start(e, &s, id);
	assert_int_equal(sg_engine_cancel(e, id, &anna, on_run, &ended, &err), 0);
	until_called(e, &ended);
	assert_int_equal(ended.status, SG_RUN_CANCELLED);
	assert_int_equal(n_cancelled, 4);
	for (size_t i = 0; i < n_out; i++)
		if (out[i])
			sg_exec_complete(out[i], NULL);
	sg_engine_destroy(e);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, tmp_setup, tmp_teardown)
	const struct CMUnitTest tests[] = {
		CASE(branches_wait_together_and_are_recorded_in_order),
		CASE(effects_outside_start_ahead_only_where_all_are_needed),
		CASE(the_first_in_order_wins),
		CASE(a_failing_branch_under_each_strategy),
		CASE(a_node_that_stays_away_fails),
		CASE(a_run_ends_by_its_limit_while_a_node_is_away),
		CASE(a_sleeping_run_ends_by_its_limit),
		CASE(pause_waits_for_what_was_started_and_cancel_does_not),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
