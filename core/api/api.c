/* From a request to its handler: path, method, identity, capability, browser rules, body, query. */
#include "api/api.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/internal.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/schema.h"

const char *const sg_api_headers[] = {"content-type", "origin", "sec-fetch-site", "host", "prefer",
	"idempotency-key", "last-event-id", "traceparent", "x-stargraph-timestamp",
	"x-stargraph-signature", NULL};

static int load_schemas(struct sg_api *a, struct sg_error *err)
{
	a->schemas = calloc(sg_n_routes, sizeof(*a->schemas));
	if (!a->schemas)
		return sg_error_nomem(err);
	for (size_t i = 0; i < sg_n_routes; i++) {
		const char *text = sg_routes[i].body_schema;
		int r = text ? sg_json_parse(text, strlen(text), &a->schemas[i], err) : 0;
		if (r == 0 && text)
			r = sg_schema_check(a->schemas[i], err);
		if (r < 0)
			return sg_error_prefix(err, "schema of %s", sg_routes[i].id);
	}
	return 0;
}

int sg_api_create(struct sg_api **ret, struct sg_engine *engine, const struct sg_config *config,
	struct sg_error *err)
{
	struct sg_api *a = calloc(1, sizeof(*a));
	if (!a)
		return sg_error_nomem(err);
	a->engine = engine;
	a->config = config;
	a->calls.next = a->calls.prev = &a->calls;
	int r = load_schemas(a, err);
	if (r == 0) {
		a->openapi = sg_openapi();
		r = a->openapi ? 0 : sg_error_nomem(err);
	}
	if (r < 0) {
		sg_api_destroy(a);
		return r;
	}
	*ret = a;
	return 0;
}

void sg_api_destroy(struct sg_api *a)
{
	if (!a)
		return;
	while (a->calls.next != &a->calls) {
		struct sg_call *c = a->calls.next;
		sg_engine_forget(a->engine, c);
		sg_call_end(c);
	}
	for (size_t i = 0; a->schemas && i < sg_n_routes; i++)
		json_decref(a->schemas[i]);
	free(a->schemas);
	free(a->openapi);
	free(a);
}

void sg_api_set_embedder(struct sg_api *a, const struct sg_embedder *embedder)
{
	a->embedder = embedder;
}

void sg_api_reconfigure(struct sg_api *a, const struct sg_config *config)
{
	a->config = config;
}

/* Does path fit pattern? Its {…} segments go to ret_ids, at most two. */
static bool fits(const char *pattern, const char *path, char ret_ids[2][SG_API_PATH_ID])
{
	size_t k = 0;
	while (*pattern && *path) {
		if (*pattern == '{') {
			size_t n = strcspn(path, "/");
			if (n == 0 || n >= SG_API_PATH_ID || k == 2)
				return false;
			memcpy(ret_ids[k], path, n);
			ret_ids[k++][n] = '\0';
			path += n;
			pattern += strcspn(pattern, "/");
			continue;
		}
		if (*pattern++ != *path++)
			return false;
	}
	return !*pattern && !*path;
}

static bool same_method(const char *route, const char *method)
{
	return strcmp(route, method) == 0 ||
	       (strcmp(method, "HEAD") == 0 && strcmp(route, "GET") == 0);
}

/* The route, or NULL with the methods that the path knows (comma list, "" = no such path). */
static const struct sg_route *find_route(struct sg_call *c, char *ret_allow, size_t size)
{
	size_t n = 0;
	ret_allow[0] = '\0';
	for (size_t i = 0; i < sg_n_routes; i++) {
		const struct sg_route *r = &sg_routes[i];
		char ids[2][SG_API_PATH_ID] = {"", ""};
		if (!fits(r->path, c->req->path, ids))
			continue;
		memcpy(c->path_id, ids[0], sizeof(c->path_id));
		memcpy(c->other_id, ids[1], sizeof(c->other_id));
		if (same_method(r->method, c->req->method)) {
			if (strstr(r->path, "{run_id}"))
				memcpy(c->run_id, c->path_id, sizeof(c->run_id));
			return r;
		}
		int k = snprintf(ret_allow + n, size - n, "%s%s", n ? ", " : "", r->method);
		n += k > 0 && (size_t)k < size - n ? (size_t)k : 0;
	}
	c->path_id[0] = '\0';
	return NULL;
}

/* "https://host:port" against "host:port". */
static bool same_site(const char *origin, const char *host)
{
	const char *p = strstr(origin, "://");
	return p && host && strcasecmp(p + 3, host) == 0;
}

/* A browser carries a certificate without asking its user: what another site made it send is
 * refused, WebSocket upgrades (GET) included; reads are protected by the missing CORS headers. */
static bool cross_site(const struct sg_call *c)
{
	const char *origin = sg_request_header(c->req, "origin"),
		   *fetch = sg_request_header(c->req, "sec-fetch-site");
	if (origin && !same_site(origin, sg_request_header(c->req, "host")))
		return true;
	return fetch && strcmp(fetch, "cross-site") == 0;
}

static bool is_json(const char *type)
{
	static const char want[] = "application/json";
	size_t n = sizeof(want) - 1;
	return type && strncasecmp(type, want, n) == 0 && strchr("; \t", type[n]);
}

bool sg_call_parse_body(struct sg_call *c)
{
	struct sg_error err;
	const json_t *schema = c->api->schemas[c->route - sg_routes];
	if (!schema && c->req->body_len == 0)
		return true;
	int (*parse)(const char *, size_t, json_t **, struct sg_error *) =
		c->route->texts ? sg_json_parse_texts : sg_json_parse;
	int r = c->req->body_len || !c->route->body_optional
			? parse(c->req->body, c->req->body_len, &c->body, &err)
		: (c->body = json_object()) ? 0
					    : sg_error_nomem(&err);
	if (r == 0 && schema)
		r = sg_schema_validate(schema, c->body, &err);
	if (r < 0)
		sg_call_error(c, &err);
	return r == 0;
}

/* Answers the call itself when something is wrong. */
static bool body_passes(struct sg_call *c)
{
	if (strcmp(c->route->method, "POST") != 0)
		return true;
	if (!is_json(sg_request_header(c->req, "content-type"))) {
		sg_call_problem(
			c, 415, "state-changing requests need Content-Type: application/json");
		return false;
	}
	return c->route->raw || sg_call_parse_body(c);
}

/* One subject cannot take what all need: its requests that wait for an answer are counted. They are
 * looked at only when there are enough of all. A waiting call's identity lives as long as it does.
 */
static bool too_many(const struct sg_call *c)
{
	const struct sg_api *a = c->api;
	int64_t limit = a->config->limits.subject_requests, n = 0;
	if ((int64_t)a->n_calls <= limit)
		return false;
	for (const struct sg_call *o = a->calls.next; o != &a->calls; o = o->next)
		n += o->reply && o->id && strcmp(o->id->actor, c->id->actor) == 0;
	return n > limit;
}

static void dispatch(struct sg_call *c)
{
	char allow[64];
	struct sg_error err;
	const struct sg_identity *id = c->id;
	c->route = find_route(c, allow, sizeof(allow));
	if (!id->authenticated && (!c->route || c->route->capability)) {
		sg_call_refuse(c, 403, "refused", "not_the_edge",
			"only the edge may ask; a local probe gets GET /v1/health");
		return;
	}
	if (!c->route) {
		sg_call_no_route(c, allow);
		return;
	}
	if (cross_site(c)) {
		sg_call_refuse(c, 403, "refused", "cross_site", "cross-site request refused");
		return;
	}
	if (c->route->capability && too_many(c)) {
		sg_call_problem(
			c, 429, "this subject has limits.subject_requests unanswered requests");
		return;
	}
	if (c->route->capability && *c->route->capability &&
		!sg_identity_has(id, c->route->capability)) {
		sg_call_deny(c, c->route->capability);
		return;
	}
	if (sg_query_parse(c, c->req->query, &err) < 0) {
		sg_call_error(c, &err);
		return;
	}
	if (!body_passes(c))
		return;
	if (*c->run_id && strcmp(c->route->method, "POST") == 0)
		sg_call_note_trace(c);
	c->route->handle(c);
}

static struct sg_call *call_create(
	struct sg_api *a, const struct sg_request *req, sg_reply reply, void *ctx)
{
	struct sg_call *c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->api = a;
	c->reply = reply;
	c->ctx = ctx;
	c->req = req;
	c->id = req->identity;
	c->stream = req->stream;
	c->path = req->path;
	c->method = req->method;
	c->trace = sg_request_trace(req);
	c->next = &a->calls;
	c->prev = a->calls.prev;
	c->prev->next = c->next->prev = c;
	a->n_calls++;
	return c;
}

void sg_api_handle(struct sg_api *a, const struct sg_request *req, sg_reply reply, void *ctx)
{
	struct sg_call *c = call_create(a, req, reply, ctx);
	if (c)
		dispatch(c);
	else
		sg_reply_problem(reply, ctx, 503, NULL, "out of memory", NULL, 0);
}

void sg_api_refuse(struct sg_api *a, const struct sg_request *req, int status, const char *kind,
	const char *detail, sg_reply reply, void *ctx)
{
	struct sg_call *c = call_create(a, req, reply, ctx);
	if (c)
		sg_call_refuse(c, status, "refused", kind, detail);
	else
		sg_reply_problem(reply, ctx, 503, NULL, "out of memory", NULL, 0);
}

void sg_api_note_refused(struct sg_api *a, const struct sg_request *req, int status,
	const char *kind, const char *detail)
{
	a->refused++;
	a->answers[status / 100 % 6]++;
	sg_refusal_note(a, req, status, kind, detail);
}

void sg_api_forget(struct sg_api *a, const void *ctx)
{
	for (struct sg_call *c = a->calls.prev, *prev; c != &a->calls; c = prev) {
		prev = c->prev;
		if (c->ctx != ctx || !c->reply)
			continue;
		if (c->engine_waits) { /* a refusal is recorded whether or not anybody hears it */
			c->reply = NULL;
			continue;
		}
		sg_engine_forget(a->engine, c);
		sg_call_account_left(c);
		sg_call_end(c);
	}
}

int sg_api_timeout_ms(const struct sg_api *a)
{
	if (!a->next_deadline_us)
		return -1;
	int64_t left = a->next_deadline_us - sg_clock_monotonic_us();
	return left <= 0 ? 0 : (int)(left / 1000 + 1);
}

/* The wait is over: a run that is accepted is answered as without it. */
static void wait_over(struct sg_call *c)
{
	struct sg_run_view v;
	struct sg_error err;
	sg_engine_forget(c->api->engine, c);
	if (sg_engine_get(c->api->engine, c->run_id, &v, &err) < 0) {
		sg_call_error(c, &err);
		return;
	}
	sg_call_reply_run(c, &v);
	sg_run_view_finish(&v);
}

void sg_api_tick(struct sg_api *a)
{
	int64_t now = sg_clock_monotonic_us(), next = 0;
	if (!a->next_deadline_us || now < a->next_deadline_us)
		return;
	for (struct sg_call *c = a->calls.next, *following; c != &a->calls; c = following) {
		following = c->next;
		if (!c->deadline_us || c->held)
			continue;
		if (c->deadline_us <= now && c->accepted) {
			wait_over(c);
			continue;
		}
		/* not durable yet: look again soon */
		int64_t at = c->deadline_us <= now ? now + 10000 : c->deadline_us;
		if (!next || at < next)
			next = at;
	}
	a->next_deadline_us = next;
}
