/* Parallel branches survive the death of the process at any step: the run goes on from its last
 * durable branch and comes to the same path and state. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "run/run.h"

#define BRANCHES 40

static char dir[64], graph_path[96];

static int write_graph(void)
{
	sg_autobuf b = SG_BUF_INIT(1U << 20);
	sg_buf_adds(&b, "ir_version: \"1.0.0\"\nid: \"run:fan\"\nstate_schema: {s: str, end: str");
	for (int i = 0; i < BRANCHES; i++)
		sg_buf_addf(&b, ", f%d: str", i);
	sg_buf_adds(&b, "}\nnodes:\n  - {id: begin, kind: passthrough}\n");
	for (int i = 0; i < BRANCHES; i++)
		sg_buf_addf(&b,
			"  - {id: b%d, kind: template, config: {template: \"%d {s}{f0}\", out: "
			"f%d}}\n",
			i, i, i);
	sg_buf_adds(&b,
		"  - {id: join, kind: template, config: {template: \"{f0},{f39}\", out: end}}\n"
		"parallel:\n  - join: join\n    targets: [");
	for (int i = 0; i < BRANCHES; i++)
		sg_buf_addf(&b, "%sb%d", i ? ", " : "", i);
	sg_buf_adds(&b, "]\n");
	FILE *f = fopen(graph_path, "w");
	return !f || fputs(b.data, f) < 0 || fclose(f) != 0;
}

static struct sg_engine *open_engine(void)
{
	struct sg_engine_options o = {.state_dir = dir};
	struct sg_engine *e = NULL;
	struct sg_error err = {0};
	if (sg_engine_create(&e, &o, &err) < 0 || sg_engine_load(e, graph_path, &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.text);
		abort();
	}
	return e;
}

static void turn(struct sg_engine *e)
{
	struct pollfd p = {.fd = sg_engine_fd(e), .events = POLLIN};
	(void)poll(&p, 1, 1000);
	sg_engine_dispatch(e);
}

/* Starts a run and dies once `steps` of its steps are durable. */
static void die_after(int64_t steps, const char *id_path)
{
	struct sg_engine *e = open_engine();
	struct sg_error err = {0};
	const struct sg_caller who = {.actor = "test", .trigger_source = "manual"};
	char id[SG_RUN_ID_TEXT];
	json_t *params = json_pack("{s:s}", "s", "x");
	if (sg_engine_start(e, "run:fan", params, false, &who, NULL, NULL, NULL, NULL, id, &err) <
		0)
		_exit(2);
	FILE *f = fopen(id_path, "w");
	if (!f || fputs(id, f) < 0 || fclose(f) != 0)
		_exit(2);
	for (;;) {
		struct sg_run_view v;
		turn(e);
		if (sg_engine_get(e, id, &v, &err) < 0)
			continue;
		if (v.row.steps >= steps)
			_exit(9); /* no destructor, as kill -9 */
		sg_run_view_finish(&v);
	}
}

static void check_end(const char *id)
{
	struct sg_engine *e = open_engine();
	struct sg_error err = {0};
	struct sg_run_view v;
	bool done = false;
	assert_int_equal(sg_engine_recover(e, &err), 0);
	for (int i = 0; i < 200 && !done; i++) {
		turn(e);
		assert_int_equal(sg_engine_get(e, id, &v, &err), 0);
		done = v.row.status == SG_RUN_DONE;
		if (!done)
			sg_run_view_finish(&v);
	}
	assert_true(done);
	assert_int_equal(json_array_size(v.path), BRANCHES + 2);
	assert_string_equal(json_string_value(json_array_get(v.path, 1)), "b0");
	assert_string_equal(json_string_value(json_array_get(v.path, BRANCHES + 1)), "join");
	/* every branch saw the state before the block: none has f0 in it */
	assert_non_null(strstr(v.state, "\"end\":\"0 x,39 x\""));
	assert_int_equal(v.row.steps, BRANCHES + 2);
	sg_run_view_finish(&v);
	sg_engine_destroy(e);
}

static void test_death_at_any_branch(void **state)
{
	(void)state;
	static const int64_t points[] = {1, 2, 7, 20, BRANCHES, BRANCHES + 1};
	char id_path[96], id[SG_RUN_ID_TEXT] = "";
	(void)snprintf(id_path, sizeof(id_path), "%s/id", dir);
	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		pid_t child = fork();
		int status;
		if (child == 0)
			die_after(points[i], id_path);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(WEXITSTATUS(status), 9);
		FILE *f = fopen(id_path, "r");
		assert_non_null(f);
		assert_non_null(fgets(id, sizeof(id), f));
		(void)fclose(f);
		check_end(id);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_death_at_any_branch)};
	(void)snprintf(dir, sizeof(dir), "/tmp/sg-parallel-XXXXXX");
	if (!mkdtemp(dir))
		return 1;
	(void)snprintf(graph_path, sizeof(graph_path), "%s/g.yaml", dir);
	if (write_graph())
		return 1;
	int r = cmocka_run_group_tests(tests, NULL, NULL);
	char command[96];
	(void)snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command) != 0 || r;
}
