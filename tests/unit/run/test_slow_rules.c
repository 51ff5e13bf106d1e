/* Rules that take long work on a thread of their own: what they decide is what they would have
 * decided on the loop, wherever the step stands; a run may end meanwhile; and the queue of ready
 * runs lets short ones pass those that use up their turns. */
#include "harness.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "run/internal.h"

/* Two patterns over the facts that were carried so far: work for some 10 ms, and no match. */
#define WORK \
	"(mark (n ?a)) (mark (n ?b)) (test (eq (str-cat ?a ?b \"0123456789012345678901234567\") " \
	"x))"
#define MARKS 150

static const char heavy[] =
	"ir_version: \"1.0.0\"\nid: \"run:heavy\"\nstate_schema: {n: int, done: str}\n"
	"nodes:\n  - {id: more, kind: set, config: {clips: {n: \"(+ ?n 1)\"}}}\n"
	"  - {id: go, kind: set, config: {values: {done: \"yes\"}}}\n"
	"  - {id: never, kind: set, config: {values: {done: \"no\"}}}\n"
	"  - {id: end, kind: halt}\nrules:\n"
	"  - {id: mark, when: \"(node-id (id more)) (n (typed ?n&:(< ?n 150)))\",\n"
	"     then: [{kind: assert, fact: mark, slots: {n: \"{n}\"}}, {kind: goto, target: "
	"more}]}\n"
	"  - {id: skip, when: {node: go}, then: [{kind: goto, target: end}]}\n"
	"  - {id: work, when: '(node-id (id go)) " WORK "', then: [{kind: halt, reason: x}]}\n";

static struct sg_engine *engine(const char *dir, int64_t rule_us)
{
	struct sg_engine_options o = {.limits = {.rule_us = rule_us, .join_product = 1000000}};
	return open_engine(dir, &o);
}

static void a_long_step_decides_as_ever(void **state)
{
	const char *dir = *state;
	struct sg_engine *e = engine(dir, 10000000);
	struct seen s;
	char id[SG_RUN_ID_TEXT];
	load(e, dir, "heavy.yaml", heavy);
	for (int i = 0; i < 2; i++) { /* the second time the graph is known to be slow */
		run(e, "run:heavy", "{}", &s, id);
		assert_int_equal(s.status, SG_RUN_DONE);
		assert_string_equal(s.reason, "reached end");
		assert_non_null(strstr(s.state, "\"done\":\"yes\""));
		assert_int_equal(s.steps, MARKS + 2);
	}
	struct prepared *p = sg_prepared_find(e, "run:heavy");
	assert_non_null(p->twin); /* the thread was asked */
	sg_engine_destroy(e);
}

static void a_runaway_ends_by_name(void **state)
{
	const char *dir = *state;
	struct sg_engine *e = engine(dir, 4000);
	struct seen s;
	char id[SG_RUN_ID_TEXT];
	load(e, dir, "heavy.yaml", heavy);
	run(e, "run:heavy", "{}", &s, id);
	assert_int_equal(s.status, SG_RUN_FAILED);
	assert_string_equal(s.error_class, "rule-timeout");
	assert_non_null(strstr(s.cause, "4 ms"));
	sg_engine_destroy(e);
}

/* The rules after a subgraph's node, and the expressions of a node, go the same way. */
static void subgraphs_and_expressions_go_there_too(void **state)
{
	const char *dir = *state;
	struct sg_engine *e = engine(dir, 10000000);
	struct seen s;
	char id[SG_RUN_ID_TEXT];
	char *inner = tmp_path(dir, "inner.yaml");
	static const char text[] = "ir_version: \"1.0.0\"\nid: \"run:inner\"\n"
				   "state_schema: {n: int}\nnodes:\n"
				   "  - {id: one, kind: set, config: {clips: {n: \"(+ ?n 1)\"}}}\n";
	tmp_write(inner, text, strlen(text));
	free(inner);
	load(e, dir, "outer.yaml",
		"ir_version: \"1.0.0\"\nid: \"run:outer\"\nstate_schema: {n: int, done: "
		"str}\nnodes:\n"
		"  - {id: more, kind: subgraph, spec: inner.yaml}\n"
		"  - {id: end, kind: set, config: {clips: {done: \"(str-cat ?n)\"}}}\nrules:\n"
		"  - {id: mark, when: \"(node-id (id more)) (n (typed ?n&:(< ?n 150)))\",\n"
		"     then: [{kind: assert, fact: mark, slots: {n: \"{n}\"}}, {kind: goto, target: "
		"more}]}\n"
		"  - {id: work, when: '(n (typed ?n&:(= ?n 150))) " WORK
		"', then: [{kind: halt, reason: x}]}\n");
	struct prepared *p = sg_prepared_find(e, "run:outer");
	run(e, "run:outer", "{}", &s, id);
	assert_int_equal(s.status, SG_RUN_DONE);
	assert_non_null(strstr(s.state, "\"done\":\"150\""));
	assert_int_equal(s.steps, 2 * MARKS + 1);
	assert_non_null(p->twin);
	p->rule_us = 1000000; /* as a slow graph's: everything goes there */
	run(e, "run:outer", "{}", &s, id);
	assert_int_equal(s.status, SG_RUN_DONE);
	assert_non_null(strstr(s.state, "\"done\":\"150\""));
	sg_engine_destroy(e);
}

/* The run is cancelled while its rules work: it stands where its last checkpoint says. */
static void it_can_be_cancelled(void **state)
{
	const char *dir = *state;
	struct sg_engine *e = engine(dir, 10000000);
	struct seen s = {0}, c = {0};
	struct sg_error err;
	char id[SG_RUN_ID_TEXT];
	load(e, dir, "heavy.yaml", heavy);
	struct prepared *p = sg_prepared_find(e, "run:heavy");
	p->rule_us = 1000000000;
	json_t *none = json("{}");
	assert_int_equal(sg_engine_start(e, "run:heavy", none, false, &anna, NULL, NULL, on_run, &s,
				 id, &err),
		0);
	json_decref(none);
	struct run *r = sg_run_find(e, id);
	while (!r->slow || r->step < 5)
		turn(e);
	assert_int_equal(r->phase, PHASE_BUSY);
	int64_t step = r->step;
	assert_int_equal(sg_engine_cancel(e, id, &anna, on_run, &c, &err), 0);
	assert_null(r->slow);
	until_called(e, &c);
	assert_int_equal(c.status, SG_RUN_CANCELLED);
	assert_int_equal(c.steps, step);
	char want[32];
	(void)snprintf(want, sizeof(want), "\"n\":%lld", (long long)step);
	assert_non_null(strstr(c.state, want));
	sg_engine_destroy(e); /* with what the thread still has */
}

/* An engine may end while rules work. */
static void the_engine_may_end_meanwhile(void **state)
{
	const char *dir = *state;
	struct sg_engine *e = engine(dir, 10000000);
	struct seen s = {0};
	struct sg_error err;
	char id[SG_RUN_ID_TEXT];
	load(e, dir, "heavy.yaml", heavy);
	sg_prepared_find(e, "run:heavy")->rule_us = 1000000000;
	json_t *none = json("{}");
	for (int i = 0; i < 4; i++)
		assert_int_equal(sg_engine_start(e, "run:heavy", none, false, &anna, NULL, NULL,
					 on_run, &s, id, &err),
			0);
	json_decref(none);
	for (int i = 0; i < 4; i++)
		turn(e);
	sg_engine_destroy(e);
	/* They go on from their checkpoints. */
	e = engine(dir, 10000000);
	load(e, dir, "heavy.yaml", heavy);
	assert_int_equal(sg_engine_recover(e, &err), 0);
	struct sg_engine_stats stats;
	int64_t end = sg_clock_monotonic_us() + 60000000;
	do {
		turn(e);
		sg_engine_stats(e, &stats);
	} while (stats.runs_done < 4 && sg_clock_monotonic_us() < end);
	assert_int_equal(stats.runs_done, 4);
	sg_engine_destroy(e);
}

/* ---- the queue ---- */

static void put(struct sg_engine *e, struct run *r, struct prepared *g, int64_t cost)
{
	r->engine = e;
	r->f.graph = g;
	g->turn_us = cost;
	sg_run_ready(r);
}

static void short_runs_pass_and_long_ones_go_on(void **state SG_UNUSED)
{
	static struct prepared slow, quick;
	static struct run many[64], one;
	struct sg_engine e = {.kicked = true};
	size_t waited = 0, served = 0;
	memset(many, 0, sizeof(many));
	for (int i = 0; i < 64; i++)
		put(&e, &many[i], &slow, 2000);
	/* Quick ones come again and again; at most one turn of the others lies between. */
	for (int round = 0; round < 5000; round++) {
		one = (struct run){0};
		put(&e, &one, &quick, 50);
		for (waited = 0; one.queued; waited++) {
			struct run *r = sg_ready_take(&e);
			sg_ready_used(r, r == &one ? 50 : 2000);
			if (r == &one)
				continue;
			served++;
			sg_run_ready(r);
		}
		assert_true(waited <= 1 + 1);
	}
	assert_true(served >= 64); /* nobody starves: each has had its turn */
	for (int i = 0; i < 64; i++)
		assert_true(many[i].ready.start_ns > 0);
	/* Any of them can be taken out, in any order. */
	for (int i = 63; i >= 0; i -= 2)
		sg_ready_remove(&many[i]);
	assert_int_equal(e.ready[1].n, 32);
	for (int64_t last = -1; sg_ready_any(&e);) {
		struct run *r = sg_ready_take(&e);
		assert_true(r->ready.finish_ns >= last);
		last = r->ready.finish_ns;
	}
	assert_int_equal(e.ready[1].n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_long_step_decides_as_ever, tmp_setup, tmp_teardown),
		cmocka_unit_test_setup_teardown(a_runaway_ends_by_name, tmp_setup, tmp_teardown),
		cmocka_unit_test_setup_teardown(
			subgraphs_and_expressions_go_there_too, tmp_setup, tmp_teardown),
		cmocka_unit_test_setup_teardown(it_can_be_cancelled, tmp_setup, tmp_teardown),
		cmocka_unit_test_setup_teardown(
			the_engine_may_end_meanwhile, tmp_setup, tmp_teardown),
		cmocka_unit_test(short_runs_pass_and_long_ones_go_on),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
