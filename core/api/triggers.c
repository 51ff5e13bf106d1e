/* /v1/triggers: what is declared, and the two kinds that a request fires. */
#include "api/internal.h"

#include <string.h>

#include "base/clock.h"
#include "trigger/trigger.h"

static const char *const kinds[] = {"manual", "cron", "webhook"};

void sg_api_set_triggers(struct sg_api *a, struct sg_triggers *triggers)
{
	a->triggers = triggers;
}

static void put_time(struct sg_buf *b, const char *key, int64_t at)
{
	char text[SG_TIME_TEXT];
	if (at >= 0)
		sg_time_format(at * 1000000, text);
	sg_buf_add_json_member(b, key, at >= 0 ? text : NULL);
}

void sg_route_triggers(struct sg_call *c)
{
	const struct sg_triggers *t = c->api->triggers;
	sg_autobuf b = SG_BUF_INIT(SG_API_MAX_REPLY);
	sg_buf_addc(&b, '[');
	for (size_t i = 0; t && i < sg_triggers_count(t); i++) {
		struct sg_trigger_info g;
		sg_triggers_get(t, i, &g);
		sg_buf_addf(&b, "%s{\"trigger_id\":\"%s\"", i ? "," : "", g.id);
		sg_buf_add_json_member(&b, "kind", kinds[g.kind]);
		sg_buf_add_json_member(&b, "graph_id", g.graph_id);
		sg_buf_add_json_member(&b, "trigger_source", g.source);
		sg_buf_add_json_member(&b, "schedule", g.schedule);
		sg_buf_add_json_member(&b, "missed", g.missed);
		put_time(&b, "last_tick", g.last);
		put_time(&b, "next_tick", g.next);
		sg_buf_addc(&b, '}');
	}
	sg_buf_addc(&b, ']');
	sg_call_json(c, 200, &b);
}

/* The run that a request fired is what its record names. */
static void fired(struct sg_call *c, const char *run_id)
{
	(void)snprintf(c->run_id, sizeof(c->run_id), "%s", run_id);
	sg_call_note_trace(c);
}

static void fire_webhook(struct sg_call *c, size_t i, const struct sg_trigger_info *g)
{
	struct sg_error err;
	char run_id[SG_RUN_ID_TEXT];
	const char *stamp = sg_request_header(c->req, "x-stargraph-timestamp"),
		   *signature = sg_request_header(c->req, "x-stargraph-signature");
	if ((int64_t)c->req->body_len > g->body_bytes) {
		sg_call_problem(c, 413, "body is larger than the trigger's body_bytes");
		return;
	}
	int r = sg_triggers_verify(c->api->triggers, i, stamp, signature, c->req->body,
		c->req->body_len, sg_clock_utc_us() / 1000000, &err);
	if (r == -SG_EDENIED) {
		sg_call_refuse(c, 401, "refused", err.kind, err.text);
		return;
	}
	if (r < 0) {
		sg_call_error(c, &err);
		return;
	}
	if (!sg_call_parse_body(c))
		return;
	r = sg_triggers_deliver(c->api->triggers, i, stamp, signature, c->body, c->id->actor,
		sg_call_told, c, run_id, &err);
	if (r < 0)
		sg_call_error(c, &err);
	else if (r == 1)
		sg_call_refuse(c, 409, "refused", "duplicate_nonce", "duplicate_nonce");
	else
		fired(c, run_id);
}

/* As POST /v1/runs of that graph would be allowed, or not. */
static void fire_manual(struct sg_call *c, size_t i, const struct sg_trigger_info *g)
{
	struct sg_error err;
	char run_id[SG_RUN_ID_TEXT];
	if (!sg_identity_has(c->id, "runs:start")) {
		sg_call_deny(c, "runs:start");
		return;
	}
	if (!sg_call_may_run(c, g->graph_id) || !sg_call_parse_body(c))
		return;
	int r = sg_triggers_fire(
		c->api->triggers, i, c->body, c->id->actor, sg_call_told, c, run_id, &err);
	if (r < 0)
		sg_call_error(c, &err);
	else
		fired(c, run_id);
}

void sg_route_fire_trigger(struct sg_call *c)
{
	struct sg_trigger_info g;
	struct sg_triggers *t = c->api->triggers;
	int i = t ? sg_triggers_find(t, c->path_id) : -1;
	if (i >= 0)
		sg_triggers_get(t, (size_t)i, &g);
	if (i < 0)
		sg_call_problem(c, 404, "no such trigger");
	else if (g.kind == SG_TRIGGER_CRON)
		sg_call_problem(c, 409, "a cron trigger fires by its schedule");
	else if (g.kind == SG_TRIGGER_WEBHOOK)
		fire_webhook(c, (size_t)i, &g);
	else
		fire_manual(c, (size_t)i, &g);
}
