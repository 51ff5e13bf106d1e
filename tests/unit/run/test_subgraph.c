/* Subgraphs: state in and out, what ends and what fails them, and the death of the process at every
 * step inside: the run goes on from there to the same checkpoints. */
#include "harness.h"

#include <sys/wait.h>

#include "base/cleanup.h"

static const char inner[] =
	"ir_version: \"1.0.0\"\nid: \"run:inner\"\n"
	"state_schema: {n: int, log: {type: list, reducer: append}, own: str}\n"
	"nodes:\n"
	"  - {id: i1, kind: set, config: {values: {log: i1}, clips: {n: \"(+ ?n 1)\"}}}\n"
	"  - {id: i2, kind: set, config: {values: {own: mine}}}\n"
	"  - {id: end, kind: halt}\n  - {id: never, kind: passthrough}\n"
	"rules:\n"
	"  - {id: again, when: \"(node-id (id i1)) (n (typed ?n&:(< ?n 3)))\", then: [{kind: "
	"retry, "
	"target: i1, backoff_ms: 1}]}\n"
	"  - {id: away, when: {node: i2}, then: [{kind: assert, fact: mark, slots: {of: "
	"\"{own}\"}}, "
	"{kind: retry, target: end, backoff_ms: 1}]}\n";

static const char mid[] =
	"ir_version: \"1.0.0\"\nid: \"run:mid\"\n"
	"state_schema: {n: int, log: {type: list, reducer: append}, a: str, b: int, said: str}\n"
	"nodes:\n"
	"  - {id: m1, kind: set, config: {values: {log: m1}}}\n"
	"  - {id: left, kind: set, config: {values: {a: left}}}\n"
	"  - {id: right, kind: subgraph, spec: inner.yaml, config: {outputs: {b: n}}}\n"
	"  - {id: join, kind: set, config: {values: {log: join}}}\n"
	"  - {id: ask, kind: interrupt, config: {prompt: \"well?\"}}\n"
	"  - {id: deep, kind: subgraph, spec: inner.yaml}\n"
	"parallel:\n  - {targets: [left, right], join: join}\n"
	"rules:\n"
	"  - {id: fan, when: {node: m1}, then: [{kind: retry, target: left, backoff_ms: 1}]}\n"
	"  - {id: r, when: {node: join}, then: [{kind: retry, target: ask, backoff_ms: 1}]}\n";

static const char outer[] =
	"ir_version: \"1.0.0\"\nid: \"run:outer\"\n"
	"state_schema: {n: int, log: {type: list, reducer: append}, answer: str, b: int}\n"
	"nodes:\n"
	"  - {id: begin, kind: set, config: {values: {log: begin}}}\n"
	"  - {id: sub, kind: subgraph, spec: mid.yaml, config: {outputs: {n: n, log: log, b: b, "
	"answer: said}}}\n"
	"  - {id: last, kind: set, config: {values: {log: last}}}\n"
	"rules:\n"
	"  - {id: r, when: {node: begin}, then: [{kind: retry, target: sub, backoff_ms: 1}]}\n"
	"  - {id: s, when: {node: sub}, then: [{kind: retry, target: last, backoff_ms: 1}]}\n";

static const char whole_path[] =
	"begin sub/m1 sub/left sub/right/i1 sub/right/i1 sub/right/i1 sub/right/i2 sub/right/end "
	"sub/right sub/join sub/ask sub/deep/i1 sub/deep/i1 sub/deep/i1 sub/deep/i2 sub/deep/end "
	"sub/deep sub last";
static const char whole_state[] = "{\"answer\":\"yes\",\"b\":3,\"log\":[\"begin\",\"m1\",\"join\","
				  "\"i1\",\"i1\",\"i1\",\"last\"],\"n\":3}";

static void write_file(const char *dir, const char *name, const char *text)
{
	char *path = tmp_path(dir, name);
	tmp_write(path, text, strlen(text));
	free(path);
}

static struct sg_engine *open_outer(const char *dir)
{
	struct sg_engine *e = open_engine(dir, NULL);
	write_file(dir, "inner.yaml", inner);
	write_file(dir, "mid.yaml", mid);
	load(e, dir, "outer.yaml", outer);
	return e;
}

/* Turns until the run has ended, and answers what it asks. */
static void finish(struct sg_engine *e, const char *id, struct seen *s)
{
	int64_t end = sg_clock_monotonic_us() + 20000000;
	for (;;) {
		struct sg_run_view v;
		struct sg_error err;
		assert_true(sg_clock_monotonic_us() < end);
		assert_int_equal(sg_engine_get(e, id, &v, &err), 0);
		enum sg_run_status status = v.row.status;
		if (status >= SG_RUN_DONE)
			on_run(s, &v, NULL);
		sg_run_view_finish(&v);
		if (status >= SG_RUN_DONE)
			return;
		if (status == SG_RUN_WAITING)
			assert_int_equal(
				respond(e, id, "{\"said\":\"yes\"}", &(struct seen){0}, &err), 0);
		turn(e);
	}
}

static void a_subgraph_is_walked_inside_its_run(void **state)
{
	struct sg_engine *e = open_outer(*state);
	struct seen s;
	char id[SG_RUN_ID_TEXT];
	run(e, "run:outer", "{}", &s, id);
	assert_int_equal(s.status, SG_RUN_WAITING);
	finish(e, id, &s);
	assert_int_equal(s.status, SG_RUN_DONE);
	assert_string_equal(s.path, whole_path);
	assert_string_equal(s.state, whole_state);
	sg_engine_destroy(e);
}

/* Starts a run in a process that dies, as by kill -9, once that many steps are durable. */
static void die_after(const char *dir, int64_t steps, int fd)
{
	struct sg_engine *e = open_outer(dir);
	struct sg_error err;
	char id[SG_RUN_ID_TEXT];
	if (sg_engine_start(e, "run:outer", NULL, false, &anna, NULL, NULL, NULL, NULL, id, &err) <
			0 ||
		write(fd, id, sizeof(id)) != sizeof(id))
		_exit(2);
	for (;;) {
		struct sg_run_view v;
		turn(e);
		if (sg_engine_get(e, id, &v, &err) < 0)
			continue;
		if (v.row.steps >= steps)
			_exit(9);
		if (v.row.status == SG_RUN_WAITING) {
			json_t *a = json("{\"said\":\"yes\"}");
			(void)sg_engine_respond(e, id, a, &anna, NULL, NULL, NULL, &err);
			json_decref(a);
		}
		sg_run_view_finish(&v);
	}
}

static void death_at_any_step_loses_nothing(void **state)
{
	for (int64_t steps = 0; steps <= 19; steps++) {
		char id[SG_RUN_ID_TEXT];
		int fds[2], status;
		struct sg_error err;
		struct seen s = {0};
		assert_int_equal(pipe(fds), 0);
		pid_t child = fork();
		if (child == 0)
			die_after(*state, steps, fds[1]);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(WEXITSTATUS(status), 9);
		assert_int_equal(read(fds[0], id, sizeof(id)), sizeof(id));
		(void)close(fds[0]);
		(void)close(fds[1]);
		struct sg_engine *e = open_engine(*state, NULL); /* the graph is in the store */
		assert_int_equal(sg_engine_recover(e, &err), 0);
		finish(e, id, &s);
		assert_int_equal(s.status, SG_RUN_DONE);
		assert_string_equal(s.path, whole_path);
		assert_string_equal(s.state, whole_state);
		assert_int_equal(s.steps, 20);
		sg_engine_destroy(e);
	}
}

/* outer nodes and rules with one subgraph "sub", whose nodes and rules are the others; s is text.
 */
static void run_pair(const char *dir, const char *config, const char *outer_more,
	const char *inner_fields, const char *inner_rest, struct seen *s)
{
	char text[4096];
	struct sg_engine *e = open_engine(dir, NULL);
	char id[SG_RUN_ID_TEXT];
	(void)snprintf(text, sizeof(text), "ir_version: \"1.0.0\"\nid: \"run:i\"\n%s%s%s%s",
		inner_fields ? "state_schema: {" : "", inner_fields ? inner_fields : "",
		inner_fields ? "}\n" : "", inner_rest);
	write_file(dir, "i.yaml", text);
	(void)snprintf(text, sizeof(text),
		"ir_version: \"1.0.0\"\nid: \"run:o\"\n"
		"state_schema: {s: str, n: {type: int, reducer: sum}, m: int}\nnodes:\n"
		"  - {id: sub, kind: subgraph, spec: i.yaml, config: {%s}}\n%s",
		config, outer_more);
	load(e, dir, "o.yaml", text);
	run(e, "run:o", "{\"n\":5,\"s\":\"x\"}", s, id);
	sg_engine_destroy(e);
}

#define BUMP "nodes: [{id: a, kind: set, config: {clips: {n: \"(+ ?n 1)\"}}}]\n"

static void state_goes_in_and_comes_out(void **state)
{
	struct seen s;
	/* a field that goes on replaces; it is not summed again */
	run_pair(*state, "", "", "n: int", BUMP, &s);
	assert_string_equal(s.state, "{\"m\":0,\"n\":6,\"s\":\"x\"}");
	/* one that does not come from there is an update like any other */
	run_pair(*state, "inputs: {n: m}", "", "n: int", BUMP, &s);
	assert_string_equal(s.state, "{\"m\":0,\"n\":6,\"s\":\"x\"}");
	run_pair(*state, "outputs: {m: n}", "", "n: int", BUMP, &s);
	assert_string_equal(s.state, "{\"m\":6,\"n\":5,\"s\":\"x\"}");
	/* with outputs, nothing else comes out */
	run_pair(*state, "outputs: {m: n}", "", "n: int, s: str",
		"nodes: [{id: a, kind: set, config: {values: {n: 7, s: \"lost\"}}}]\n", &s);
	assert_string_equal(s.state, "{\"m\":7,\"n\":5,\"s\":\"x\"}");
	/* without a schema of its own it has all fields of the graph it stands in */
	run_pair(*state, "", "", NULL,
		"nodes: [{id: a, kind: set, config: {values: {n: 2, s: y}}}]\n", &s);
	assert_string_equal(s.state, "{\"m\":0,\"n\":7,\"s\":\"y\"}");
}

static void a_halt_inside_ends_the_subgraph_only(void **state)
{
	struct seen s;
	run_pair(*state, "", "  - {id: next, kind: passthrough}\n", "n: int",
		"nodes: [{id: a, kind: passthrough}, {id: b, kind: passthrough}]\n"
		"rules: [{id: r, when: {node: a}, then: [{kind: halt, reason: enough}]}]\n",
		&s);
	assert_int_equal(s.status, SG_RUN_DONE);
	assert_string_equal(s.path, "sub/a sub next");
	assert_string_equal(s.reason, "");
}

static void facts_stay_inside(void **state)
{
	struct seen s;
	run_pair(*state, "",
		"  - {id: b, kind: passthrough}\n  - {id: c, kind: passthrough}\n"
		"  - {id: d, kind: passthrough}\n"
		"rules:\n"
		"  - {id: o1, when: {node: c}, then: [{kind: assert, fact: mark, slots: {of: "
		"o}}]}\n"
		"  - {id: o2, when: \"(mark (of \\\"i\\\"))\", then: [{kind: halt, reason: "
		"leaked}]}\n",
		"n: int",
		"nodes: [{id: a, kind: passthrough}, {id: b, kind: passthrough}]\n"
		"rules:\n"
		"  - {id: i1, when: {node: a}, then: [{kind: assert, fact: mark, slots: {of: "
		"i}}]}\n"
		"  - {id: i2, when: \"(mark (of \\\"i\\\"))\", then: [{kind: halt, reason: "
		"seen}]}\n",
		&s);
	assert_string_equal(s.path, "sub/a sub/b sub b c d");
	assert_string_equal(s.reason, "");
}

static void failures_reach_the_node_or_the_run(void **state)
{
	struct seen s;
	static const char fails[] =
		"nodes: [{id: a, kind: set, config: {clips: {n: \"(div 1 ?n)\"}}},"
		"{id: b, kind: set, config: {clips: {n: \"(div 1 0)\"}}}]\n";
	static const char loops[] =
		"nodes: [{id: a, kind: passthrough}]\n"
		"rules: [{id: r, when: {node: a}, then: [{kind: goto, target: a}]}]\n";
	static const char branches[] =
		"  - {id: fine, kind: set, config: {values: {s: saved}}}\n"
		"  - {id: end, kind: halt}\n"
		"parallel: [{targets: [sub, fine], join: end, strategy: any}]\n";
	run_pair(*state, "", "", "n: int", fails, &s);
	assert_int_equal(s.status, SG_RUN_FAILED);
	assert_string_equal(s.error_class, "rule-error");
	assert_string_equal(s.path, "sub/a");
	run_pair(*state, "max_steps: 7", "", "n: int", loops, &s);
	assert_string_equal(s.error_class, "subgraph-steps");
	assert_int_equal(s.steps, 7);
	/* a branch that may fail takes the whole subgraph with it */
	run_pair(*state, "", branches, "n: int", fails, &s);
	assert_int_equal(s.status, SG_RUN_DONE);
	assert_string_equal(s.path, "sub/a sub fine end");
	assert_string_equal(s.state, "{\"m\":0,\"n\":5,\"s\":\"saved\"}");
	run_pair(*state, "max_steps: 7", branches, "n: int", loops, &s);
	assert_int_equal(s.status, SG_RUN_DONE);
	/* branches add up; what goes on cannot be added */
	run_pair(*state, "",
		"  - {id: fine, kind: set, config: {values: {n: 1}}}\n"
		"parallel: [{targets: [sub, fine]}]\n",
		"n: int", BUMP, &s);
	assert_string_equal(s.error_class, "parallel-write-conflict");
	run_pair(*state, "inputs: {n: m}",
		"  - {id: fine, kind: set, config: {values: {n: 1}}}\n"
		"parallel: [{targets: [sub, fine]}]\n",
		"n: int", BUMP, &s);
	assert_string_equal(s.state, "{\"m\":0,\"n\":7,\"s\":\"x\"}");
}

static void what_does_not_fit_is_refused_at_load(void **state)
{
	static const struct {
		const char *config, *fields, *why;
	} rows[] = {
		{"", "s: int",
			"o.yaml:5:5: node sub: the field s is of type str here and of type int"},
		{"inputs: {q: s}", "s: str", "inputs: graph run:i has no state field \"q\""},
		{"inputs: {s: m}", "s: str", "inputs: s is of type str, m of type int"},
		{"outputs: {m: s}", "s: str", "outputs: m is of type int, s of type str"},
		{"max_steps: 0", "s: str", "must be at least 1"},
		{"outputs: {s: 3}", "s: str", "outputs"},
		{"input: {}", "s: str", "input"},
	};
	struct sg_engine *e = open_engine(*state, NULL);
	for (size_t i = 0; i < SG_ARRAY_LEN(rows); i++) {
		char text[2048];
		struct sg_error err = {0};
		(void)snprintf(text, sizeof(text),
			"ir_version: \"1.0.0\"\nid: \"run:i\"\nstate_schema: {%s}\nnodes: [{id: a, "
			"kind: echo}]\n",
			rows[i].fields);
		write_file(*state, "i.yaml", text);
		(void)snprintf(text, sizeof(text),
			"ir_version: \"1.0.0\"\nid: \"run:o\"\nstate_schema: {s: str, m: int}\n"
			"nodes:\n  - {id: sub, kind: subgraph, spec: i.yaml, config: {%s}}\n",
			rows[i].config);
		write_file(*state, "o.yaml", text);
		char *path = tmp_path(*state, "o.yaml");
		assert_int_equal(sg_engine_load(e, path, &err), -SG_EINVALID);
		free(path);
		if (!strstr(err.text, rows[i].why))
			fail_msg("%s: %s", rows[i].config, err.text);
	}
	sg_engine_destroy(e);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, tmp_setup, tmp_teardown)
	const struct CMUnitTest tests[] = {
		CASE(a_subgraph_is_walked_inside_its_run),
		CASE(death_at_any_step_loses_nothing),
		CASE(state_goes_in_and_comes_out),
		CASE(a_halt_inside_ends_the_subgraph_only),
		CASE(facts_stay_inside),
		CASE(failures_reach_the_node_or_the_run),
		CASE(what_does_not_fit_is_refused_at_load),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
