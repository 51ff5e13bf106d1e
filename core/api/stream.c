/* GET /v1/runs/{id}/stream: the run's events, from the record, then live. The door makes them
 * server-sent events or WebSocket frames. An event's id is "<run_id>:<step>:<audit sequence>". */
#include "api/internal.h"

#include <stdlib.h>
#include <string.h>

#define MAX_ID 96

static void open_once(struct sg_call *c)
{
	if (c->streaming)
		return;
	c->streaming = true;
	c->stream->open(c->ctx);
}

static bool tell(void *ctx, const struct sg_event *ev)
{
	struct sg_call *c = ctx;
	char id[MAX_ID];
	(void)snprintf(id, sizeof(id), "%s:%lld:%llu", c->run_id,
		(long long)(ev->step < 0 ? 0 : ev->step), (unsigned long long)ev->seq);
	open_once(c);
	bool more = c->stream->event(c->ctx, id, ev->type, ev->line, ev->len, ev->last);
	if (!ev->last)
		return more;
	if (c->engine_waits) /* from within sg_engine_subscribe or _more: it ends there */
		c->accepted = true;
	else
		sg_call_end(c);
	return true;
}

/* After a part of the feed: is that all there is? */
static void end_if_over(struct sg_call *c, bool failed)
{
	if (!c->accepted && (failed || (c->over && !sg_engine_held(c->subscription)))) {
		c->stream->end(c->ctx);
		c->accepted = true;
	}
	if (c->accepted)
		sg_call_end(c);
}

void sg_api_stream_more(struct sg_api *a, const void *ctx)
{
	struct sg_call *c = a->calls.next;
	while (c != &a->calls && c->ctx != ctx)
		c = c->next;
	if (c == &a->calls || !sg_engine_held(c->subscription))
		return;
	c->engine_waits = true;
	sg_engine_more(c->subscription);
	c->engine_waits = false;
	end_if_over(c, false);
}

static const char *number(const char *s, int64_t *ret)
{
	char *end;
	if (*s < '0' || *s > '9' || strspn(s, "0123456789") > 18)
		return NULL;
	*ret = strtoll(s, &end, 10);
	return end;
}

/* "<run_id>:<step>:<seq>" of this run to seq; -1 when there is no cursor, -2 when it is none. */
static int64_t cursor(const struct sg_call *c)
{
	const char *text = sg_request_header(c->req, "last-event-id");
	const struct sg_query_value *q = sg_call_query(c, "last_event_id");
	size_t n = strlen(c->run_id);
	int64_t step, seq;
	if (q->given)
		text = q->text;
	if (!text || !*text)
		return -1;
	if (strncmp(text, c->run_id, n) != 0 || text[n] != ':')
		return -2;
	const char *p = number(text + n + 1, &step);
	if (!p || *p != ':' || !(p = number(p + 1, &seq)) || *p)
		return -2;
	return seq;
}

void sg_route_stream(struct sg_call *c)
{
	struct sg_error err;
	struct sg_run_view v;
	struct sg_subscription *s = NULL;
	int64_t after = cursor(c);
	if (after == -2) {
		sg_call_problem(
			c, 422, "malformed last_event_id: \"<run_id>:<step>:<seq>\" of this run");
		return;
	}
	if (!c->stream) {
		sg_call_problem(c, 406, "no stream here");
		return;
	}
	if (sg_call_find_run(c, &v) < 0)
		return;
	c->over = v.row.status == SG_RUN_DONE || v.row.status == SG_RUN_FAILED ||
		  v.row.status == SG_RUN_CANCELLED;
	sg_run_view_finish(&v);
	if (sg_call_note_read(c) < 0) {
		sg_call_problem(c, 503, "the request could not be recorded");
		return;
	}
	c->engine_waits = true;
	int r = sg_engine_subscribe(c->api->engine, c->run_id, after, tell, c, &s, &err);
	c->engine_waits = false;
	c->subscription = s;
	if (r < 0 && !c->streaming) {
		sg_call_error(c, &err);
		return;
	}
	open_once(c);
	end_if_over(c, r < 0);
}
