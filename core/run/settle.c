/* How a run stops: done, failed, cancelled, paused, waiting. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "run/internal.h"

void sg_run_set_text(char **field, const char *value)
{
	char *copy = value ? strdup(value) : NULL;
	free(*field);
	*field = copy;
}

static void put_event(struct run *r, int64_t ts_us, const char *actor, const char *type,
	const struct sg_buf *payload, const char *origin)
{
	if (!payload->failed)
		(void)sg_batch_event(r->engine, r, ts_us, actor, type, r->step - 1, payload->data,
			payload->len, origin, origin ? actor : NULL);
}

static void put_result(struct run *r, int64_t ts_us)
{
	struct sg_buf *b = &r->engine->scratch;
	const char *reason = r->row.reason ? r->row.reason : "";
	sg_buf_reset(b);
	sg_buf_adds(b, "{\"reason\":");
	sg_buf_add_json_string(b, reason, strlen(reason));
	sg_buf_addf(b, ",\"run_duration_ms\":%lld,\"status\":\"%s\",\"steps\":%lld}",
		(long long)((ts_us - r->row.started_us) / 1000), sg_run_status_name(r->row.status),
		(long long)r->step);
	put_event(r, ts_us, r->row.actor, "result", b, NULL);
}

static void put_by_actor(
	struct run *r, int64_t ts_us, const char *type, const char *actor, const char *more)
{
	struct sg_buf *b = &r->engine->scratch;
	sg_buf_reset(b);
	sg_buf_adds(b, "{\"actor\":");
	sg_buf_add_json_string(b, actor, strlen(actor));
	sg_buf_adds(b, more);
	put_event(r, ts_us, actor, type, b, "user");
}

void sg_run_settle(struct run *r, enum sg_run_status status, int64_t ts_us)
{
	struct sg_engine *e = r->engine;
	struct slot *s = sg_batch_slot(r);
	sg_run_stop_pending(r);
	sg_deadline_idle(r);
	r->row.status = status;
	r->row.updated_us = r->source ? sg_run_wall_us(r) : ts_us;
	r->phase = PHASE_SETTLED;
	if (status == SG_RUN_PAUSED) {
		const char *actor = r->pause_actor ? r->pause_actor : r->row.actor;
		put_by_actor(r, ts_us, "run_paused", actor, "}");
		r->pause_wanted = false;
	}
	if (!s)
		return; /* out of memory: the run stays in the table, its record says unfinished */
	struct watcher **end = &s->acks;
	while (*end)
		end = &(*end)->next;
	*end = r->settled;
	r->settled = NULL;
	e->stats.runs_live--;
	if (status == SG_RUN_WAITING)
		e->stats.runs_waiting++;
	else if (status == SG_RUN_DONE)
		e->stats.runs_done++;
	else if (status == SG_RUN_FAILED)
		e->stats.runs_failed++;
	else if (status == SG_RUN_CANCELLED)
		e->stats.runs_cancelled++;
}

void sg_run_reactivate(struct run *r)
{
	if (r->row.status == SG_RUN_WAITING && r->engine->stats.runs_waiting)
		r->engine->stats.runs_waiting--;
	r->engine->stats.runs_live++;
	r->row.status = SG_RUN_RUNNING;
	r->phase = PHASE_READY;
	sg_deadline_active(r);
}

void sg_run_end(struct run *r, enum sg_run_status status, const char *reason, const char *actor)
{
	int64_t now = sg_run_wall_us(r);
	sg_run_set_text(&r->row.reason, reason);
	sg_run_set_text(&r->row.waiting, NULL);
	r->row.finished_us = now;
	r->row.status = status;
	sg_parallel_note_ended(r);
	if (status == SG_RUN_CANCELLED)
		put_by_actor(r, now, "run_cancelled", actor, ",\"reason\":\"user\"}");
	else
		put_result(r, now);
	sg_run_settle(r, status, now);
}

void sg_run_fail(struct run *r, const char *scope, const struct sg_error *err)
{
	struct sg_buf *b = &r->engine->scratch;
	sg_run_set_text(&r->row.error_class, err->kind);
	sg_run_set_text(&r->row.error_cause, err->text);
	sg_buf_reset(b);
	sg_buf_adds(b, "{\"class\":");
	sg_buf_add_json_string(b, err->kind, strlen(err->kind));
	sg_buf_adds(b, ",\"message\":");
	sg_buf_add_json_string(b, err->text, strlen(err->text));
	sg_buf_addf(b, ",\"recoverable\":false,\"scope\":\"%s\"}", scope);
	put_event(r, sg_run_wall_us(r), r->row.actor, "error", b, NULL);
	sg_run_end(r, SG_RUN_FAILED, NULL, NULL);
}
