/* An engine in a directory of the test's own, turned by hand. */
#ifndef SG_TESTS_RUN_HARNESS_H
#define SG_TESTS_RUN_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "run/run.h"
#include "tmpdir.h"

static const struct sg_caller anna = {.actor = "anna", .trigger_source = "manual"};

/* What a callback saw. */
struct seen {
	int calls;
	struct sg_error err;
	enum sg_run_status status;
	char reason[256], error_class[64], cause[512], state[4096], path[1024];
	int64_t steps;
};

static void on_run(void *ctx, const struct sg_run_view *v, const struct sg_error *err)
{
	struct seen *s = ctx;
	s->calls++;
	if (err) {
		s->err = *err;
		return;
	}
	s->status = v->row.status;
	s->steps = v->row.steps;
	(void)snprintf(s->reason, sizeof(s->reason), "%s", v->row.reason ? v->row.reason : "");
	(void)snprintf(s->error_class, sizeof(s->error_class), "%s",
		v->row.error_class ? v->row.error_class : "");
	(void)snprintf(
		s->cause, sizeof(s->cause), "%s", v->row.error_cause ? v->row.error_cause : "");
	(void)snprintf(s->state, sizeof(s->state), "%s", v->state ? v->state : "");
	s->path[0] = '\0';
	size_t i;
	json_t *one;
	json_array_foreach (v->path, i, one) {
		size_t n = strlen(s->path);
		(void)snprintf(s->path + n, sizeof(s->path) - n, "%s%s", i ? " " : "",
			json_string_value(one));
	}
}

static struct sg_engine *open_engine(const char *dir, const struct sg_engine_options *more)
{
	struct sg_engine_options o = more ? *more : (struct sg_engine_options){0};
	struct sg_engine *e = NULL;
	struct sg_error err = {0};
	o.state_dir = dir;
	if (sg_engine_create(&e, &o, &err) < 0)
		fail_msg("%s", err.text);
	return e;
}

static void load(struct sg_engine *e, const char *dir, const char *name, const char *yaml)
{
	struct sg_error err = {0};
	char *path = tmp_path(dir, name);
	tmp_write(path, yaml, strlen(yaml));
	if (sg_engine_load(e, path, &err) < 0)
		fail_msg("%s", err.text);
	free(path);
}

static void turn(struct sg_engine *e)
{
	struct pollfd p = {.fd = sg_engine_fd(e), .events = POLLIN};
	int ms = sg_engine_timeout_ms(e);
	(void)poll(&p, 1, ms < 0 || ms > 100 ? 100 : ms);
	sg_engine_dispatch(e);
}

static void until_called(struct sg_engine *e, const struct seen *s)
{
	int64_t end = sg_clock_monotonic_us() + 20000000;
	while (!s->calls) {
		if (sg_clock_monotonic_us() > end)
			fail_msg("no callback within 20 s");
		turn(e);
	}
}

static json_t *json(const char *text)
{
	json_t *j = NULL;
	struct sg_error err = {0};
	if (sg_json_parse(text, strlen(text), &j, &err) < 0)
		fail_msg("%s", err.text);
	return j;
}

/* Starts a run and turns until it has settled. */
static void run(struct sg_engine *e, const char *graph_id, const char *params, struct seen *s,
	char id[SG_RUN_ID_TEXT])
{
	struct sg_error err = {0};
	json_t *p = json(params);
	*s = (struct seen){0};
	if (sg_engine_start(e, graph_id, p, false, &anna, NULL, NULL, on_run, s, id, &err) < 0)
		fail_msg("%s", err.text);
	json_decref(p);
	until_called(e, s);
}

static inline int respond(struct sg_engine *e, const char *id, const char *answer, struct seen *s,
	struct sg_error *err)
{
	json_t *a = json(answer);
	*s = (struct seen){0};
	int r = sg_engine_respond(e, id, a, &anna, NULL, on_run, s, err);
	json_decref(a);
	if (r == 0)
		until_called(e, s);
	return r;
}

#endif
