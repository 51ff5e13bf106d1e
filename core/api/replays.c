/* POST /v1/runs/{id}/replay and counterfactual. */
#include "api/internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"

void sg_route_replay(struct sg_call *c)
{
	struct sg_run_view v;
	struct sg_error err;
	json_auto_t *result = NULL;
	if (sg_call_find_run(c, &v) < 0)
		return;
	sg_run_view_finish(&v);
	sg_autobuf b = SG_BUF_INIT(SG_API_MAX_REPLY);
	if (sg_engine_replay(c->api->engine, c->run_id, &result, &err) < 0 ||
		sg_json_canonical(result, &b, &err) < 0) {
		sg_call_error(c, &err);
		return;
	}
	sg_call_json(c, 200, &b);
}

/* So many forks a minute and actor; the oldest of a slot gives way. */
static bool may_fork(struct sg_call *c)
{
	struct sg_api *a = c->api;
	int64_t now = sg_clock_monotonic_us(), every;
	struct sg_api_forks *slot = &a->forks[0];
	uint8_t actor[SG_SHA256_BYTES];
	sg_sha256(c->id->actor, strlen(c->id->actor), actor);
	for (size_t i = 0; i < SG_API_MAX_FORKERS; i++) {
		if (memcmp(a->forks[i].actor, actor, sizeof(actor)) == 0) {
			slot = &a->forks[i];
			break;
		}
		if (a->forks[i].next_us < slot->next_us)
			slot = &a->forks[i];
	}
	if (memcmp(slot->actor, actor, sizeof(actor)) != 0)
		*slot = (struct sg_api_forks){0};
	memcpy(slot->actor, actor, sizeof(actor));
	every = 60000000 / (c->api->config->limits.forks_per_minute
					   ? c->api->config->limits.forks_per_minute
					   : 1);
	if (slot->next_us > now)
		return false;
	slot->next_us = now + every;
	return true;
}

static void forked(void *ctx, const struct sg_run_view *run, const struct sg_error *err)
{
	struct sg_call *c = ctx;
	if (err) {
		sg_call_error(c, err);
		return;
	}
	json_auto_t *j = json_pack("{s:s, s:s, s:s, s:s}", "cf_hash", (const char *)c->extra,
		"parent_run_id", run->row.parent_run_id, "run_id", run->row.run_id, "status",
		sg_run_status_name(run->row.status));
	sg_autobuf b = SG_BUF_INIT(4096);
	if (j)
		(void)sg_json_canonical(j, &b, NULL);
	sg_call_json(c, 202, &b);
}

static void free_extra(struct sg_call *c)
{
	free(c->extra);
}

void sg_route_counterfactual(struct sg_call *c)
{
	struct sg_run_view v;
	struct sg_error err;
	const struct sg_caller who = {.actor = c->id->actor, .trigger_source = "counterfactual"};
	char run_id[SG_RUN_ID_TEXT];
	if (sg_call_find_run(c, &v) < 0)
		return;
	sg_run_view_finish(&v);
	if (!may_fork(c)) {
		sg_call_problem(c, 429,
			"too many forks by this actor (limits.forks_per_minute); try again later");
		return;
	}
	c->extra = calloc(1, 65);
	c->cleanup = free_extra;
	if (!c->extra) {
		(void)sg_error_nomem(&err);
		sg_call_error(c, &err);
		return;
	}
	if (sg_engine_fork(c->api->engine, c->run_id,
		    json_integer_value(json_object_get(c->body, "step")),
		    json_object_get(c->body, "mutation"),
		    json_is_true(json_object_get(c->body, "inherit_answers")), &who, forked, NULL,
		    c, run_id, c->extra, &err) < 0)
		sg_call_error(c, &err);
}
