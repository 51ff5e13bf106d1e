/* POST /v1/runs/{id}/replay and counterfactual, GET /v1/runs/{a}/diff/{b}. */
#include "api/internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"

static void told(void *ctx, const json_t *result, const struct sg_error *err)
{
	struct sg_call *c = ctx;
	struct sg_error why;
	sg_autobuf b = SG_BUF_INIT(SG_API_MAX_REPLY);
	if (!err && sg_json_canonical(result, &b, &why) < 0)
		err = &why;
	if (err)
		sg_call_error(c, err);
	else
		sg_call_json(c, 200, &b);
}

void sg_route_replay(struct sg_call *c)
{
	struct sg_error err;
	if (sg_call_check_run(c, c->run_id) < 0)
		return;
	if (sg_engine_replay(c->api->engine, c->run_id, told, c, &err) < 0)
		sg_call_error(c, &err);
}

void sg_route_diff(struct sg_call *c)
{
	struct sg_error err;
	if (sg_call_check_run(c, c->run_id) < 0 || sg_call_check_run(c, c->other_id) < 0)
		return;
	if (sg_engine_compare(c->api->engine, c->run_id, c->other_id, told, c, &err) < 0)
		sg_call_error(c, &err);
}

/* ---- forks ---- */

/* A fork on its way: its place in the actor's minute is given back if it comes to nothing. */
struct forking {
	struct sg_fork_handle handle;
	uint8_t actor[SG_SHA256_BYTES];
	int64_t taken_us, before_us; /* sg_api_forks.next_us with it, and without */
};

static struct sg_api_forks *slot_of(struct sg_api *a, const uint8_t actor[SG_SHA256_BYTES])
{
	for (size_t i = 0; i < SG_API_MAX_FORKERS; i++)
		if (memcmp(a->forks[i].actor, actor, SG_SHA256_BYTES) == 0)
			return &a->forks[i];
	return NULL;
}

/* The slot whose time is over first gives way. */
static struct sg_api_forks *make_slot(struct sg_api *a, const uint8_t actor[SG_SHA256_BYTES])
{
	struct sg_api_forks *slot = &a->forks[0];
	for (size_t i = 1; i < SG_API_MAX_FORKERS; i++)
		if (a->forks[i].next_us < slot->next_us)
			slot = &a->forks[i];
	*slot = (struct sg_api_forks){0};
	memcpy(slot->actor, actor, SG_SHA256_BYTES);
	return slot;
}

/* So many forks a minute and actor. 0, or the seconds until the next. */
static int64_t take_turn(struct sg_call *c, struct forking *f)
{
	struct sg_api *a = c->api;
	int64_t now = sg_clock_monotonic_us(), rate = a->config->limits.forks_per_minute;
	sg_sha256(c->id->actor, strlen(c->id->actor), f->actor);
	struct sg_api_forks *slot = slot_of(a, f->actor);
	if (!slot)
		slot = make_slot(a, f->actor);
	if (slot->next_us > now)
		return (slot->next_us - now + 999999) / 1000000;
	f->before_us = slot->next_us;
	f->taken_us = slot->next_us = now + 60000000 / (rate ? rate : 1);
	return 0;
}

static void give_back(struct sg_call *c)
{
	struct forking *f = c->extra;
	struct sg_api_forks *slot = slot_of(c->api, f->actor);
	if (slot && slot->next_us == f->taken_us)
		slot->next_us = f->before_us;
}

static void failed(struct sg_call *c, const struct sg_error *err)
{
	give_back(c);
	sg_call_error(c, err);
}

static void forked(void *ctx, const struct sg_run_view *run, const struct sg_error *err)
{
	struct sg_call *c = ctx;
	struct forking *f = c->extra;
	if (err) {
		failed(c, err);
		return;
	}
	json_auto_t *j = json_pack("{s:s, s:s, s:s, s:s}", "cf_hash", f->handle.cf_hash,
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
	struct sg_error err;
	if (sg_call_check_run(c, c->run_id) < 0)
		return;
	struct forking *f = calloc(1, sizeof(*f));
	c->extra = f;
	c->cleanup = free_extra;
	if (!f) {
		(void)sg_error_nomem(&err);
		sg_call_error(c, &err);
		return;
	}
	int64_t wait_s = take_turn(c, f);
	if (wait_s) {
		sg_call_too_many(
			c, "too many forks by this actor (limits.forks_per_minute)", wait_s);
		return;
	}
	const struct sg_fork_request what = {
		.step = json_integer_value(json_object_get(c->body, "step")),
		.mutation = json_object_get(c->body, "mutation"),
		.inherit_answers = json_is_true(json_object_get(c->body, "inherit_answers")),
		.who = {.actor = c->id->actor, .trigger_source = "counterfactual"}};
	if (sg_engine_fork(c->api->engine, c->run_id, &what, forked, NULL, c, &f->handle, &err) < 0)
		failed(c, &err);
}
