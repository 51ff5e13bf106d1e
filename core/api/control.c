/* POST /v1/runs/{id}/cancel, pause, resume: cooperative, at step boundaries. */
#include "api/internal.h"

typedef int (*change_fn)(struct sg_engine *e, const char *run_id, const struct sg_caller *who,
	sg_run_callback done, void *ctx, struct sg_error *err);

static void change(struct sg_call *c, change_fn fn)
{
	struct sg_error err;
	struct sg_run_view v;
	const struct sg_caller who = {.actor = c->id->actor, .trigger_source = "manual"};
	if (sg_call_find_run(c, &v) < 0)
		return;
	sg_run_view_finish(&v);
	if (fn(c->api->engine, c->run_id, &who, sg_call_told, c, &err) < 0)
		sg_call_error(c, &err);
}

void sg_route_cancel(struct sg_call *c)
{
	change(c, sg_engine_cancel);
}

void sg_route_pause(struct sg_call *c)
{
	change(c, sg_engine_pause);
}

void sg_route_resume(struct sg_call *c)
{
	change(c, sg_engine_resume);
}
