/* Ends calls: JSON, problems (RFC 9457), and refusals that are audited before they are told. */
#include "api/internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"

#define MAX_PROBLEM 4096 /* bytes */

static const struct {
	int status;
	const char *title;
} titles[] = {
	{200, "OK"},
	{202, "Accepted"},
	{400, "Bad Request"},
	{401, "Unauthorized"},
	{403, "Forbidden"},
	{404, "Not Found"},
	{405, "Method Not Allowed"},
	{406, "Not Acceptable"},
	{409, "Conflict"},
	{413, "Content Too Large"},
	{415, "Unsupported Media Type"},
	{417, "Expectation Failed"},
	{422, "Unprocessable Content"},
	{429, "Too Many Requests"},
	{431, "Request Header Fields Too Large"},
	{500, "Internal Server Error"},
	{503, "Service Unavailable"},
	{504, "Gateway Timeout"},
	{507, "Insufficient Storage"},
};

const char *sg_api_reason(int status)
{
	for (size_t i = 0; i < SG_ARRAY_LEN(titles); i++)
		if (titles[i].status == status)
			return titles[i].title;
	return NULL;
}

static const char *title(int status)
{
	const char *known = sg_api_reason(status);
	return known ? known : "Error";
}

static int status_of(int code)
{
	switch (code) {
	case SG_EINVALID:
	case SG_EREFUSED:
	case SG_ELIMIT: return 422;
	case SG_EDENIED: return 403;
	case SG_ENOTFOUND: return 404;
	case SG_ECONFLICT: return 409;
	case SG_EBUSY: return 503;
	case SG_ETIMEOUT: return 504;
	case SG_ENOSPACE: return 507;
	default: return 500;
	}
}

void sg_call_end(struct sg_call *c)
{
	sg_engine_unsubscribe(c->subscription);
	if (c->cleanup)
		c->cleanup(c);
	c->api->n_calls--;
	c->prev->next = c->next;
	c->next->prev = c->prev;
	sg_call_unhold(c);
	json_decref(c->body);
	free(c->query);
	free(c->actor);
	free(c);
}

static void problem(struct sg_call *c, int status, const char *kind, const char *detail,
	const struct sg_header *headers, size_t n_headers);

/* Gives the answer and ends the call. */
static void finish(struct sg_call *c, const struct sg_response *r)
{
	sg_reply reply = c->reply;
	void *ctx = c->ctx;
	c->api->answers[r->status / 100 % 6]++;
	sg_call_end(c);
	if (reply)
		reply(ctx, r);
}

static void respond(struct sg_call *c, const struct sg_response *r)
{
	int rc = sg_call_account(c, r);
	if (rc == 0)
		finish(c, r);
	else if (rc < 0)
		problem(c, 503, "audit-unavailable", "the request could not be recorded", NULL, 0);
}

void sg_call_reply(struct sg_call *c, int status, const char *type, const char *body, size_t len,
	const struct sg_header *headers, size_t n_headers)
{
	const struct sg_response r = {.status = status,
		.content_type = type,
		.body = body,
		.body_len = len,
		.headers = headers,
		.n_headers = n_headers};
	respond(c, &r);
}

void sg_call_recorded(struct sg_call *c, const struct sg_response *r)
{
	if (r)
		finish(c, r);
	else
		problem(c, 503, "audit-unavailable", "the request could not be recorded", NULL, 0);
}

void sg_call_json(struct sg_call *c, int status, struct sg_buf *body)
{
	if (body->failed) {
		sg_call_problem(c, 500, "the response is too large or memory is short");
		return;
	}
	sg_call_reply(c, status, "application/json", body->data, body->len, NULL, 0);
}

static void put_problem(struct sg_buf *b, int status, const char *kind, const char *detail)
{
	sg_buf_adds(b, "{\"type\":\"about:blank\",\"title\":");
	sg_buf_add_json_string(b, title(status), strlen(title(status)));
	sg_buf_addf(b, ",\"status\":%d,\"detail\":", status);
	sg_buf_add_json_string(b, detail, strlen(detail));
	if (kind && *kind) {
		sg_buf_adds(b, ",\"kind\":");
		sg_buf_add_json_string(b, kind, strlen(kind));
	}
	sg_buf_addc(b, '}');
}

void sg_reply_problem(sg_reply reply, void *ctx, int status, const char *kind, const char *detail,
	const struct sg_header *headers, size_t n_headers)
{
	sg_autobuf b = SG_BUF_INIT(MAX_PROBLEM);
	put_problem(&b, status, kind, detail);
	struct sg_response r = {.status = status,
		.content_type = "application/problem+json",
		.body = b.failed ? "" : b.data,
		.body_len = b.len,
		.headers = headers,
		.n_headers = n_headers};
	reply(ctx, &r);
}

static void problem(struct sg_call *c, int status, const char *kind, const char *detail,
	const struct sg_header *headers, size_t n_headers)
{
	static const struct sg_header retry[] = {{"retry-after", "1"}};
	sg_autobuf b = SG_BUF_INIT(MAX_PROBLEM);
	bool later = !headers && (status == 429 || status == 503 || status == 507);
	put_problem(&b, status, kind, detail);
	const struct sg_response r = {.status = status,
		.content_type = "application/problem+json",
		.body = b.failed ? "" : b.data,
		.body_len = b.failed ? 0 : b.len,
		.headers = later ? retry : headers,
		.n_headers = later ? 1 : n_headers};
	respond(c, &r);
}

void sg_call_too_many(struct sg_call *c, const char *detail, int64_t retry_after_s)
{
	char seconds[24];
	const struct sg_header retry[] = {{"retry-after", seconds}};
	(void)snprintf(seconds, sizeof(seconds), "%lld", (long long)retry_after_s);
	problem(c, 429, NULL, detail, retry, 1);
}

void sg_call_problem(struct sg_call *c, int status, const char *detail)
{
	problem(c, status, NULL, detail, NULL, 0);
}

void sg_call_no_route(struct sg_call *c, const char *allow)
{
	const struct sg_header h = {"allow", allow};
	if (*allow)
		problem(c, 405, NULL, "Method Not Allowed", &h, 1);
	else
		problem(c, 404, NULL, "Not Found", NULL, 0);
}

void sg_call_error(struct sg_call *c, const struct sg_error *err)
{
	struct sg_error e = *err;
	problem(c, status_of(e.code), e.kind, e.text, NULL, 0);
}

static void refusal_durable(void *ctx, const struct sg_error *err)
{
	struct sg_call *c = ctx;
	c->engine_waits = false;
	if (err)
		problem(c, 503, "audit-unavailable", "the refusal could not be recorded", NULL, 0);
	else
		problem(c, c->status, NULL, c->problem, NULL, 0);
}

/* A path or detail that is no UTF-8 is recorded without it. */
static json_t *refusal_payload(
	const struct sg_request *req, const char *kind, const char *detail, int status)
{
	const struct sg_identity *id = req->identity;
	json_t *p = json_pack("{s:s, s:s, s:s, s:s, s:i}", "kind", kind, "detail", detail, "method",
		req->method, "route", req->path, "status", status);
	if (!p)
		return json_pack("{s:s, s:i}", "kind", kind, "status", status);
	if (id && *id->door)
		(void)json_object_set_new(p, "door", json_string(id->door));
	if (id && *id->fingerprint)
		(void)json_object_set_new(p, "fingerprint", json_string(id->fingerprint));
	if (id && *id->serial)
		(void)json_object_set_new(p, "serial", json_string(id->serial));
	sg_put_trace(p, sg_request_trace(req));
	return p;
}

void sg_call_refuse(
	struct sg_call *c, int status, const char *type, const char *kind, const char *detail)
{
	struct sg_error err;
	c->status = status;
	c->recorded = true;
	c->api->refused++;
	/* who is not known is told the original's word only; the record says what was wrong */
	(void)snprintf(c->problem, sizeof(c->problem), "%s", status == 401 ? kind : detail);
	json_t *payload = refusal_payload(c->req, kind, detail, status);
	if (!payload) {
		problem(c, 503, "audit-unavailable", "the refusal could not be recorded", NULL, 0);
		return;
	}
	c->engine_waits = true;
	int r = sg_engine_audit(c->api->engine, c->id ? c->id->actor : "nobody", type,
		*c->run_id ? c->run_id : NULL, payload, refusal_durable, c, &err);
	json_decref(payload);
	if (r < 0)
		refusal_durable(c, &err);
}

void sg_refusal_note(struct sg_api *a, const struct sg_request *req, int status, const char *kind,
	const char *detail)
{
	json_auto_t *p = refusal_payload(req, kind, detail, status);
	if (p)
		(void)sg_engine_audit(a->engine, req->identity ? req->identity->actor : "nobody",
			"refused", NULL, p, NULL, NULL, NULL);
}

void sg_call_deny(struct sg_call *c, const char *capability)
{
	char detail[256];
	(void)snprintf(detail, sizeof(detail), "capability '%s' not granted under cleared profile",
		capability);
	sg_call_refuse(c, 403, "denied", "capability_denied", detail);
}

const char *sg_request_header(const struct sg_request *r, const char *name)
{
	for (size_t i = 0; i < r->n_headers; i++)
		if (strcmp(r->headers[i].name, name) == 0)
			return r->headers[i].value;
	return NULL;
}

bool sg_identity_has(const struct sg_identity *id, const char *capability)
{
	for (size_t i = 0; i < id->n_capabilities; i++)
		if (sg_capability_covers(id->capabilities[i], capability))
			return true;
	return false;
}

const struct sg_query_value *sg_call_query(const struct sg_call *c, const char *name)
{
	for (size_t i = 0; i < c->route->n_query; i++)
		if (strcmp(c->route->query[i].name, name) == 0)
			return &c->query[i];
	return NULL;
}
