/* /v1/runs: start, list, look at, answer. */
#include "api/internal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"

static void reply_view(struct sg_call *c, const struct sg_run_view *run)
{
	sg_autobuf b = SG_BUF_INIT(SG_API_MAX_REPLY);
	sg_put_run(&b, run);
	sg_call_json(c, 200, &b);
}

void sg_call_reply_run(struct sg_call *c, const struct sg_run_view *run)
{
	sg_autobuf b = SG_BUF_INIT(512);
	if (c->route->success != 202) {
		reply_view(c, run);
		return;
	}
	sg_buf_addf(&b, "{\"run_id\":\"%s\",\"status\":\"%s\"}", run->row.run_id,
		sg_run_status_name(run->row.status));
	sg_call_json(c, 202, &b);
}

void sg_call_told(void *ctx, const struct sg_run_view *run, const struct sg_error *err)
{
	struct sg_call *c = ctx;
	if (err)
		sg_call_error(c, err);
	else
		sg_call_reply_run(c, run);
}

/* RFC 7240: `Prefer: wait=N`, in seconds. 0 when there is none. */
static int64_t preferred_wait(const struct sg_request *r)
{
	const char *p = sg_request_header(r, "prefer");
	for (; p && *p; p += strcspn(p, ",;"), p += *p != '\0') {
		p += strspn(p, " \t");
		if (strncasecmp(p, "wait=", 5) != 0)
			continue;
		long n = strtol(p + 5, NULL, 10);
		return n <= 0 ? 0 : n > SG_API_MAX_WAIT_S ? SG_API_MAX_WAIT_S : n;
	}
	return 0;
}

static void arm(struct sg_call *c)
{
	int64_t wait = preferred_wait(c->req);
	if (!wait)
		return;
	c->deadline_us = sg_clock_monotonic_us() + wait * 1000000;
	struct sg_api *a = c->api;
	if (!a->next_deadline_us || c->deadline_us < a->next_deadline_us)
		a->next_deadline_us = c->deadline_us;
}

static struct sg_caller caller(const struct sg_call *c)
{
	return (struct sg_caller){.actor = c->id->actor, .trigger_source = "manual"};
}

/* The run, or the answer to it, is durable: tell, or keep waiting for the run to settle. */
static void accepted(void *ctx, const struct sg_run_view *run, const struct sg_error *err)
{
	struct sg_call *c = ctx;
	if (err) {
		sg_engine_forget(c->api->engine, c);
		sg_call_error(c, err);
		return;
	}
	c->accepted = true;
	if (!c->deadline_us)
		sg_call_reply_run(c, run);
}

static void settled(void *ctx, const struct sg_run_view *run, const struct sg_error *err)
{
	struct sg_call *c = ctx;
	if (err)
		sg_call_error(c, err);
	else
		reply_view(c, run);
}

/* The header's key and the body's are the same thing. NULL = none, "" = contradictory. */
static const char *idempotency_key(const struct sg_call *c)
{
	const char *header = sg_request_header(c->req, "idempotency-key");
	const char *body = json_string_value(json_object_get(c->body, "idempotency_key"));
	if (header && body && strcmp(header, body) != 0)
		return "";
	return header ? header : body;
}

/* A key seen before: the run it made, as it is now. */
static void reply_again(struct sg_call *c)
{
	struct sg_run_view v;
	struct sg_error err;
	c->again = true;
	if (sg_engine_get(c->api->engine, c->run_id, &v, &err) < 0) {
		sg_call_error(c, &err);
		return;
	}
	sg_call_reply_run(c, &v);
	sg_run_view_finish(&v);
}

void sg_route_start_run(struct sg_call *c)
{
	struct sg_error err;
	struct sg_caller who = caller(c);
	const char *key = idempotency_key(c);
	if (key && (!*key || strlen(key) > SG_API_MAX_IDEMPOTENCY_KEY)) {
		sg_call_problem(c, 422,
			"the idempotency key is empty, longer than 128 bytes, or differs between "
			"header and body");
		return;
	}
	const char *graph_id = json_string_value(json_object_get(c->body, "graph_id"));
	if (!sg_call_may_run(c, graph_id))
		return;
	arm(c);
	json_t *params = json_object_get(c->body, "params");
	char run_id[SG_RUN_ID_TEXT];
	int r = sg_engine_start(c->api->engine, graph_id, params, false, &who, key, accepted,
		c->deadline_us ? settled : NULL, c, run_id, &err);
	if (r < 0) {
		sg_call_error(c, &err);
		return;
	}
	(void)snprintf(c->run_id, sizeof(c->run_id), "%s", run_id);
	sg_call_note_trace(c);
	if (r == 1)
		reply_again(c);
}

static int page_filter(const struct sg_call *c, struct sg_run_filter *f, struct sg_error *err)
{
	const struct sg_query_value *status = sg_call_query(c, "status"),
				    *source = sg_call_query(c, "trigger_source"),
				    *graph = sg_call_query(c, "graph_id"),
				    *before = sg_call_query(c, "cursor");
	*f = (struct sg_run_filter){
		.status = status->given ? (int)status->number : -1,
		.since_us = sg_call_query(c, "since")->number,
		.until_us = sg_call_query(c, "until")->number,
		.trigger_source = source->given ? source->text : NULL,
		.graph_id = graph->given ? graph->text : NULL,
		.before = before->given ? before->text : NULL,
		.limit = (size_t)sg_call_query(c, "limit")->number,
		.offset = (size_t)sg_call_query(c, "offset")->number,
	};
	if (f->before && f->offset)
		return sg_error_set(
			err, SG_EINVALID, NULL, "query: cursor and offset exclude each other");
	return 0;
}

struct page {
	struct sg_run_row *rows;
	size_t n;
	uint64_t total;
};

static void page_finish(struct page *p)
{
	for (size_t i = 0; i < p->n; i++)
		sg_run_row_finish(&p->rows[i]);
	free(p->rows);
}

static int newer(const void *x, const void *y)
{
	return strcmp(
		((const struct sg_run_row *)y)->run_id, ((const struct sg_run_row *)x)->run_id);
}

/* Moves what others started and this identity may answer from `waiting` into p. */
static int merge(struct page *p, struct page *waiting, const struct sg_identity *id)
{
	struct sg_run_row *rows = realloc(p->rows, (p->n + waiting->n + 1) * sizeof(*rows));
	if (!rows)
		return -SG_ENOMEM;
	p->rows = rows;
	size_t kept = 0;
	for (size_t i = 0; i < waiting->n; i++) {
		struct sg_run_row *w = &waiting->rows[i];
		bool own = w->actor && strcmp(w->actor, id->actor) == 0;
		if (!own && sg_run_visible(id, w)) {
			p->rows[p->n++] = *w;
			p->total++;
		} else {
			waiting->rows[kept++] = *w;
		}
	}
	waiting->n = kept;
	qsort(p->rows, p->n, sizeof(*p->rows), newer);
	return 0;
}

/* Without runs:read:all a page is one's own runs and the questions one may answer. The latter are
 * looked for among the newest SG_API_MAX_PAGE waiting runs. */
static int visible_page(
	struct sg_call *c, struct sg_run_filter f, struct page *p, struct sg_error *err)
{
	struct sg_engine *e = c->api->engine;
	if (sg_identity_has(c->id, "runs:read:all"))
		return sg_engine_list(e, &f, &p->rows, &p->n, &p->total, err);
	struct sg_run_filter own = f, waiting = f;
	own.actor = c->id->actor;
	own.limit = f.limit + f.offset;
	own.offset = 0;
	int r = sg_engine_list(e, &own, &p->rows, &p->n, &p->total, err);
	if (r < 0 || !sg_identity_has(c->id, "runs:respond") ||
		(f.status != -1 && f.status != SG_RUN_WAITING))
		return r;
	waiting.status = SG_RUN_WAITING;
	waiting.limit = SG_API_MAX_PAGE;
	waiting.offset = 0;
	SG_CLEANUP(page_finish) struct page w = {0};
	r = sg_engine_list(e, &waiting, &w.rows, &w.n, &w.total, err);
	return r < 0 ? r : merge(p, &w, c->id) < 0 ? sg_error_nomem(err) : 0;
}

static void put_page(
	struct sg_buf *b, const struct page *p, const struct sg_run_filter *f, bool all)
{
	size_t from = all ? 0 : f->offset, shown = 0;
	const char *last = NULL;
	sg_buf_adds(b, "{\"items\":[");
	for (size_t i = from; i < p->n && shown < f->limit; i++, shown++) {
		if (shown)
			sg_buf_addc(b, ',');
		sg_put_row(b, &p->rows[i]);
		last = p->rows[i].run_id;
	}
	sg_buf_addf(b, "],\"total\":%llu,\"limit\":%zu,\"offset\":%zu,\"cursor\":",
		(unsigned long long)p->total, f->limit, f->offset);
	if (last && shown == f->limit)
		sg_buf_addf(b, "\"%s\"}", last);
	else
		sg_buf_adds(b, "null}");
}

void sg_route_list_runs(struct sg_call *c)
{
	struct sg_error err;
	struct sg_run_filter f;
	SG_CLEANUP(page_finish) struct page p = {0};
	if (page_filter(c, &f, &err) < 0 || visible_page(c, f, &p, &err) < 0) {
		sg_call_error(c, &err);
		return;
	}
	sg_autobuf b = SG_BUF_INIT(SG_API_MAX_REPLY);
	put_page(&b, &p, &f, sg_identity_has(c->id, "runs:read:all"));
	sg_call_json(c, 200, &b);
}

static int not_read(struct sg_call *c, const struct sg_error *err)
{
	if (err->code == SG_ENOTFOUND)
		sg_call_problem(c, 404, err->text);
	else
		sg_call_error(c, err);
	return -1;
}

/* What one may not see does not exist; the try is recorded. */
static int not_visible(struct sg_call *c, const char *run_id)
{
	char detail[128];
	(void)snprintf(detail, sizeof(detail), "run '%s' not found", run_id);
	sg_call_refuse(c, 404, "denied", "run_not_visible", detail);
	return -1;
}

int sg_call_find_run(struct sg_call *c, struct sg_run_view *ret)
{
	struct sg_error err;
	if (sg_engine_get(c->api->engine, c->run_id, ret, &err) < 0)
		return not_read(c, &err);
	if (sg_run_visible(c->id, &ret->row))
		return 0;
	sg_run_view_finish(ret);
	return not_visible(c, c->run_id);
}

int sg_call_check_run(struct sg_call *c, const char *run_id)
{
	struct sg_run_view v;
	struct sg_error err;
	if (sg_engine_get_row(c->api->engine, run_id, &v, &err) < 0)
		return not_read(c, &err);
	bool visible = sg_run_visible(c->id, &v.row);
	sg_run_view_finish(&v);
	return visible ? 0 : not_visible(c, run_id);
}

void sg_route_get_run(struct sg_call *c)
{
	struct sg_run_view v;
	if (sg_call_find_run(c, &v) < 0)
		return;
	sg_call_reply_run(c, &v);
	sg_run_view_finish(&v);
}

void sg_route_respond(struct sg_call *c)
{
	struct sg_error err;
	struct sg_run_view v;
	if (sg_call_find_run(c, &v) < 0)
		return;
	sg_autofree char *needed = sg_run_waiting_capability(&v.row);
	bool waiting = v.row.status == SG_RUN_WAITING;
	enum sg_run_status status = v.row.status;
	sg_run_view_finish(&v);
	if (!waiting) {
		char detail[160];
		(void)snprintf(detail, sizeof(detail),
			"respond invalid in state '%s'; valid state is 'awaiting-input'",
			sg_run_status_name(status));
		sg_call_problem(c, 409, detail);
		return;
	}
	if (needed && !sg_identity_has(c->id, needed) &&
		c->api->config->profile == SG_PROFILE_CLEARED) {
		sg_call_deny(c, needed);
		return;
	}
	struct sg_caller who = caller(c);
	arm(c);
	int r = sg_engine_respond(c->api->engine, c->run_id, json_object_get(c->body, "response"),
		&who, accepted, c->deadline_us ? settled : NULL, c, &err);
	if (r < 0)
		sg_call_error(c, &err);
}
