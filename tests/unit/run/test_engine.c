/* The engine from outside: graphs in, runs out, and what is left after a crash. */
#include "harness.h"

#include <sys/wait.h>

static const char hello[] =
	"ir_version: \"1.0.0\"\nid: \"run:hello\"\n"
	"state_schema: {message: str}\n"
	"nodes:\n  - {id: a, kind: echo}\n  - {id: skipped, kind: passthrough}\n"
	"  - {id: b, kind: halt}\n"
	"rules:\n  - {id: r, when: {node: a}, then: [{kind: goto, target: b}]}\n";

static const char ask[] =
	"ir_version: \"1.0.0\"\nid: \"run:ask\"\n"
	"state_schema: {decision: str, n: int}\n"
	"nodes:\n  - {id: start, kind: passthrough}\n"
	"  - {id: gate, kind: interrupt, config: {prompt: \"well?\"}}\n"
	"  - {id: nope, kind: halt}\n  - {id: fine, kind: halt}\n"
	"rules:\n  - {id: r, when: {node: gate, decision: \"yes\"}, then: [{kind: goto, target: "
	"fine}]}\n";

static const char loop[] =
	"ir_version: \"1.0.0\"\nid: \"run:loop\"\n"
	"state_schema: {message: str}\n"
	"nodes:\n  - {id: a, kind: passthrough}\n"
	"rules:\n  - {id: r, when: {node: a}, then: [{kind: goto, target: a}]}\n";

static const char quick[] =
	"ir_version: \"1.0.0\"\nid: \"run:timeout\"\nstate_schema: {message: str}\n"
	"nodes:\n  - {id: gate, kind: interrupt, config: {prompt: p, timeout: 0.05, on_timeout: "
	"\"goto:late\"}}\n"
	"  - {id: never, kind: halt}\n  - {id: late, kind: halt}\n";

static const char fails_late[] =
	"ir_version: \"1.0.0\"\nid: \"run:halted\"\nstate_schema: {message: str}\n"
	"nodes:\n  - {id: gate, kind: interrupt, config: {prompt: p, timeout: 0.05}}\n";

static const char words[] =
	"ir_version: \"1.0.0\"\nid: \"run:words\"\nstate_schema: {who: str, n: int, out: str}\n"
	"nodes:\n  - {id: t, kind: template, config: {template: \"{{{who}}} {n}\", out: out}}\n";

static const char asserts[] =
	"ir_version: \"1.0.0\"\nid: \"run:facts\"\nstate_schema: {message: str}\n"
	"nodes:\n  - {id: a, kind: passthrough}\n  - {id: b, kind: passthrough}\n"
	"  - {id: c, kind: passthrough}\n  - {id: end, kind: halt}\n"
	"rules:\n"
	"  - {id: make, when: {node: a}, then: [{kind: assert, fact: mark, slots: "
	"'{\"of\": \"a\"}'}]}\n"
	"  - {id: use, when: \"(mark (of \\\"a\\\"))\", then: [{kind: goto, target: end}]}\n";

static void a_run_takes_the_path_of_its_rules(void **state)
{
	struct sg_engine *e = open_engine(*state, NULL);
	struct seen s;
	char id[SG_RUN_ID_TEXT];
	load(e, *state, "hello.yaml", hello);
	run(e, "run:hello", "{\"message\":\"hi\"}", &s, id);
	assert_int_equal(s.status, SG_RUN_DONE);
	assert_string_equal(s.path, "a b");
	assert_string_equal(s.reason, "reached b");
	assert_string_equal(s.state, "{\"message\":\"hi\"}");
	assert_int_equal(s.steps, 2);
	struct sg_run_view v;
	struct sg_error err;
	assert_int_equal(sg_engine_get(e, id, &v, &err), 0);
	assert_int_equal(v.row.status, SG_RUN_DONE);
	assert_string_equal(v.row.params, "{\"message\":\"hi\"}");
	sg_run_view_finish(&v);
	sg_engine_destroy(e);
}

static void starts_that_cannot_be_are_refused_at_once(void **state)
{
	struct sg_engine *e = open_engine(*state, NULL);
	struct sg_error err;
	char id[SG_RUN_ID_TEXT];
	load(e, *state, "hello.yaml", hello);
	assert_int_equal(sg_engine_start(e, "run:helo", NULL, false, &anna, NULL, NULL, NULL, NULL,
				 id, &err),
		-SG_ENOTFOUND);
	json_t *p = json("{\"massage\":\"x\"}");
	assert_int_equal(
		sg_engine_start(e, "run:hello", p, false, &anna, NULL, NULL, NULL, NULL, id, &err),
		-SG_EINVALID);
	json_decref(p);
	struct sg_run_view v;
	assert_int_equal(sg_engine_get(e, "run-none", &v, &err), -SG_ENOTFOUND);
	sg_engine_destroy(e);
}

static void an_interrupt_waits_for_its_answer(void **state)
{
	struct sg_engine *e = open_engine(*state, NULL);
	struct seen s;
	struct sg_error err;
	char id[SG_RUN_ID_TEXT];
	load(e, *state, "ask.yaml", ask);
	run(e, "run:ask", "{}", &s, id);
	assert_int_equal(s.status, SG_RUN_WAITING);
	assert_string_equal(s.path, "start gate");
	assert_int_equal(respond(e, id, "{\"n\":\"no number\"}", &s, &err), -SG_EINVALID);
	assert_int_equal(respond(e, id, "[]", &s, &err), -SG_EINVALID);
	assert_int_equal(respond(e, id, "{\"decision\":\"yes\",\"n\":3}", &s, &err), 0);
	assert_int_equal(s.status, SG_RUN_DONE);
	assert_string_equal(s.path, "start gate fine");
	assert_string_equal(s.state, "{\"decision\":\"yes\",\"n\":3}");
	assert_int_equal(respond(e, id, "{}", &s, &err), -SG_ECONFLICT);
	run(e, "run:ask", "{}", &s, id);
	assert_int_equal(
		respond(e, id, "{\"slot_answers\":{\"decision\":\"never\"}}", &s, &err), 0);
	assert_string_equal(s.path, "start gate nope");
	sg_engine_destroy(e);
}

static void a_waiting_run_outlives_its_engine(void **state)
{
	struct sg_engine *e = open_engine(*state, NULL);
	struct seen s;
	struct sg_error err;
	char id[SG_RUN_ID_TEXT];
	load(e, *state, "ask.yaml", ask);
	run(e, "run:ask", "{}", &s, id);
	sg_engine_destroy(e);
	e = open_engine(*state, NULL); /* without its graph file: the document is in the store */
	assert_int_equal(sg_engine_recover(e, &err), 0);
	struct sg_engine_stats st;
	sg_engine_stats(e, &st);
	assert_int_equal(st.runs_waiting, 1);
	assert_int_equal(respond(e, id, "{\"decision\":\"yes\"}", &s, &err), 0);
	assert_string_equal(s.path, "start gate fine");
	sg_engine_destroy(e);
}

static void a_deadline_passes(void **state)
{
	struct sg_engine *e = open_engine(*state, NULL);
	struct seen s;
	char id[SG_RUN_ID_TEXT];
	struct sg_run_view v;
	struct sg_error err;
	load(e, *state, "quick.yaml", quick);
	load(e, *state, "late.yaml", fails_late);
	run(e, "run:timeout", "{}", &s, id);
	assert_int_equal(s.status, SG_RUN_WAITING);
	sg_engine_destroy(e); /* the deadline passes while nobody is there */
	(void)usleep(80000);
	e = open_engine(*state, NULL);
	assert_int_equal(sg_engine_recover(e, &err), 0);
	for (int i = 0; i < 50; i++)
		turn(e);
	assert_int_equal(sg_engine_get(e, id, &v, &err), 0);
	assert_int_equal(v.row.status, SG_RUN_DONE);
	assert_string_equal(v.row.reason, "reached late");
	sg_run_view_finish(&v);
	load(e, *state, "late.yaml", fails_late);
	run(e, "run:halted", "{}", &s, id);
	for (int64_t end = sg_clock_monotonic_us() + 300000; sg_clock_monotonic_us() < end;)
		turn(e);
	assert_int_equal(sg_engine_get(e, id, &v, &err), 0);
	assert_int_equal(v.row.status, SG_RUN_FAILED);
	assert_string_equal(v.row.error_class, "interrupt_timeout");
	sg_run_view_finish(&v);
	sg_engine_destroy(e);
}

static void an_endless_loop_ends_by_its_limit(void **state)
{
	struct sg_engine_options o = {.limits = {.steps = 50}};
	struct sg_engine *e = open_engine(*state, &o);
	struct seen s;
	char id[SG_RUN_ID_TEXT];
	load(e, *state, "loop.yaml", loop);
	run(e, "run:loop", "{}", &s, id);
	assert_int_equal(s.status, SG_RUN_FAILED);
	assert_string_equal(s.error_class, "step-limit");
	assert_int_equal(s.steps, 50);
	sg_engine_destroy(e);
}

static void cancel_and_pause_stop_a_running_run(void **state)
{
	struct sg_engine_options o = {.limits = {.steps = 100000}};
	struct sg_engine *e = open_engine(*state, &o);
	struct seen paused = {0}, ended = {0}, resumed = {0};
	struct sg_error err;
	char id[SG_RUN_ID_TEXT];
	load(e, *state, "loop.yaml", loop);
	assert_int_equal(sg_engine_start(e, "run:loop", NULL, false, &anna, NULL, NULL, NULL, NULL,
				 id, &err),
		0);
	turn(e);
	assert_int_equal(sg_engine_pause(e, id, &anna, on_run, &paused, &err), 0);
	until_called(e, &paused);
	assert_int_equal(paused.status, SG_RUN_PAUSED);
	assert_int_equal(sg_engine_pause(e, id, &anna, NULL, NULL, &err), -SG_ECONFLICT);
	assert_int_equal(sg_engine_resume(e, id, &anna, on_run, &resumed, &err), 0);
	until_called(e, &resumed);
	assert_int_equal(resumed.err.code, 0);
	assert_int_equal(sg_engine_cancel(e, id, &anna, on_run, &ended, &err), 0);
	until_called(e, &ended);
	assert_int_equal(ended.status, SG_RUN_CANCELLED);
	assert_true(ended.steps >= paused.steps);
	assert_int_equal(sg_engine_cancel(e, id, &anna, NULL, NULL, &err), -SG_ECONFLICT);
	sg_engine_destroy(e);
}

static void a_key_makes_one_run(void **state)
{
	struct sg_engine *e = open_engine(*state, NULL);
	struct seen s = {0};
	struct sg_error err;
	char first[SG_RUN_ID_TEXT], again[SG_RUN_ID_TEXT];
	json_t *p = json("{\"message\":\"x\"}"), *q = json("{\"message\":\"y\"}");
	const struct sg_caller bert = {.actor = "bert", .trigger_source = "manual"};
	load(e, *state, "hello.yaml", hello);
	assert_int_equal(sg_engine_start(e, "run:hello", p, false, &anna, "k", on_run, NULL, &s,
				 first, &err),
		0);
	assert_int_equal(sg_engine_start(e, "run:hello", p, false, &anna, "k", NULL, NULL, NULL,
				 again, &err),
		-SG_ECONFLICT);
	until_called(e, &s);
	assert_int_equal(sg_engine_start(e, "run:hello", p, false, &anna, "k", NULL, NULL, NULL,
				 again, &err),
		1);
	assert_string_equal(first, again);
	assert_int_equal(sg_engine_start(e, "run:hello", q, false, &anna, "k", NULL, NULL, NULL,
				 again, &err),
		-SG_EINVALID);
	assert_string_equal(err.kind, "idempotency-mismatch");
	assert_int_equal(sg_engine_start(e, "run:hello", q, false, &bert, "k", NULL, NULL, NULL,
				 again, &err),
		0);
	json_decref(p);
	json_decref(q);
	sg_engine_destroy(e);
}

static void a_template_renders(void **state)
{
	struct sg_engine *e = open_engine(*state, NULL);
	struct seen s;
	char id[SG_RUN_ID_TEXT];
	load(e, *state, "words.yaml", words);
	run(e, "run:words", "{\"who\":\"zoë\",\"n\":3}", &s, id);
	assert_string_equal(s.state, "{\"n\":3,\"out\":\"{zoë} 3\",\"who\":\"zoë\"}");
	sg_engine_destroy(e);
}

static void asserted_facts_are_seen_in_the_next_step(void **state)
{
	struct sg_engine *e = open_engine(*state, NULL);
	struct seen s;
	char id[SG_RUN_ID_TEXT];
	load(e, *state, "facts.yaml", asserts);
	run(e, "run:facts", "{}", &s, id);
	assert_string_equal(s.path, "a b end");
	sg_engine_destroy(e);
}

/* A child starts runs and dies without a word; the next engine finishes every one of them. */
static void a_killed_engine_loses_nothing_it_told(void **state)
{
	int fds[2];
	char told[64][SG_RUN_ID_TEXT];
	size_t n = 0;
	assert_int_equal(pipe(fds), 0);
	pid_t child = fork();
	if (child == 0) {
		struct sg_engine *e = open_engine(*state, NULL);
		load(e, *state, "hello.yaml", hello);
		for (int i = 0; i < 10; i++) {
			struct seen s = {0};
			struct sg_error err;
			char id[SG_RUN_ID_TEXT] = "";
			json_t *p = json("{\"message\":\"m\"}");
			if (sg_engine_start(e, "run:hello", p, false, &anna, NULL, on_run, NULL, &s,
				    id, &err) < 0)
				_exit(1);
			until_called(e, &s);
			if (write(fds[1], id, sizeof(id)) != (ssize_t)sizeof(id))
				_exit(1);
		}
		(void)raise(SIGKILL);
	}
	(void)close(fds[1]);
	while (n < 64 && read(fds[0], told[n], SG_RUN_ID_TEXT) == SG_RUN_ID_TEXT)
		n++;
	(void)close(fds[0]);
	(void)waitpid(child, NULL, 0);
	assert_int_equal(n, 10);
	struct sg_engine *e = open_engine(*state, NULL);
	struct sg_error err;
	struct sg_engine_stats st;
	assert_int_equal(sg_engine_recover(e, &err), 0);
	do {
		turn(e);
		sg_engine_stats(e, &st);
	} while (st.runs_live || st.queue);
	for (size_t i = 0; i < n; i++) {
		struct sg_run_view v;
		assert_int_equal(sg_engine_get(e, told[i], &v, &err), 0);
		assert_int_equal(v.row.status, SG_RUN_DONE);
		assert_int_equal(v.row.steps, 2);
		sg_run_view_finish(&v);
	}
	sg_engine_destroy(e);
}

static bool count_event(void *ctx, const struct sg_event *ev)
{
	struct seen *s = ctx;
	(void)snprintf(s->path + strlen(s->path), sizeof(s->path) - strlen(s->path), "%s%s",
		s->calls ? " " : "", ev->type);
	s->calls++;
	s->steps = (int64_t)ev->seq;
	s->status = ev->last ? SG_RUN_DONE : SG_RUN_RUNNING;
	return true;
}

static bool take_two(void *ctx, const struct sg_event *ev)
{
	struct seen *s = ctx;
	(void)count_event(ctx, ev);
	return s->calls % 2 != 0;
}

static void a_feed_waits_for_who_had_enough(void **state)
{
	struct sg_engine *e = open_engine(*state, NULL);
	struct seen s, feed = {0};
	struct sg_error err;
	char id[SG_RUN_ID_TEXT];
	struct sg_subscription *sub = NULL;
	load(e, *state, "ask.yaml", ask);
	run(e, "run:ask", "{}", &s, id);
	assert_int_equal(sg_engine_subscribe(e, id, -1, take_two, &feed, &sub, &err), 0);
	assert_string_equal(feed.path, "run_started transition");
	assert_true(sg_engine_held(sub));
	assert_int_equal(respond(e, id, "{\"decision\":\"yes\"}", &s, &err), 0);
	assert_int_equal(feed.calls, 2); /* live events wait too */
	for (int calls = 4; calls <= 8; calls += 2) {
		sg_engine_more(sub);
		assert_int_equal(feed.calls, calls);
	}
	assert_string_equal(feed.path, "run_started transition transition waiting_for_input "
				       "bosun_audit transition transition result");
	sg_engine_unsubscribe(sub);
	sg_engine_destroy(e);
}

static void a_feed_tells_every_line_once(void **state)
{
	struct sg_engine *e = open_engine(*state, NULL);
	struct seen s, feed = {0}, tail = {0};
	struct sg_error err;
	struct sg_subscription *sub = NULL, *rest = NULL;
	char id[SG_RUN_ID_TEXT];
	load(e, *state, "ask.yaml", ask);
	run(e, "run:ask", "{}", &s, id);
	assert_int_equal(sg_engine_subscribe(e, id, -1, count_event, &feed, &sub, &err), 0);
	assert_string_equal(feed.path, "run_started transition transition waiting_for_input");
	int64_t middle = feed.steps - 1;
	assert_int_equal(respond(e, id, "{\"decision\":\"yes\"}", &s, &err), 0);
	assert_string_equal(feed.path, "run_started transition transition waiting_for_input "
				       "bosun_audit transition transition result");
	assert_int_equal(feed.status, SG_RUN_DONE);
	assert_int_equal(sg_engine_subscribe(e, id, middle, count_event, &tail, &rest, &err), 0);
	assert_string_equal(
		tail.path, "waiting_for_input bosun_audit transition transition result");
	sg_engine_unsubscribe(rest);
	sg_engine_unsubscribe(sub);
	assert_int_equal(sg_engine_subscribe(e, "run-x", -1, count_event, &tail, &rest, &err),
		-SG_ENOTFOUND);
	sg_engine_destroy(e);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, tmp_setup, tmp_teardown)
	const struct CMUnitTest tests[] = {
		CASE(a_run_takes_the_path_of_its_rules),
		CASE(starts_that_cannot_be_are_refused_at_once),
		CASE(an_interrupt_waits_for_its_answer),
		CASE(a_waiting_run_outlives_its_engine),
		CASE(a_deadline_passes),
		CASE(an_endless_loop_ends_by_its_limit),
		CASE(cancel_and_pause_stop_a_running_run),
		CASE(a_key_makes_one_run),
		CASE(a_template_renders),
		CASE(asserted_facts_are_seen_in_the_next_step),
		CASE(a_killed_engine_loses_nothing_it_told),
		CASE(a_feed_tells_every_line_once),
		CASE(a_feed_waits_for_who_had_enough),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
