/* Routes, capabilities, refusals and waiting, against an engine of the test's own. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/api.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "fake_engine.h"

struct answer {
	int calls, status;
	char type[64], body[1 << 17], headers[512];
};

struct world {
	struct sg_engine *engine;
	struct sg_config config;
	struct sg_api *api;
};

static const char *const all[] = {"runs:start", "runs:read", "runs:read:all", "runs:respond",
	"runs:cancel", "runs:pause", "runs:resume", "risk:approve", "metrics:read",
	"embeddings:create"};
static const char *const reader[] = {"runs:start", "runs:read"};
static const char *const answerer[] = {"runs:read", "runs:respond", "risk:approve"};
static const char *const answerer_low[] = {"runs:read", "runs:respond"};

#define WHO(name, caps) \
	((struct sg_identity){.authenticated = true, \
		.actor = (name), \
		.subject = (name), \
		.issuer = "", \
		.serial = "", \
		.fingerprint = "", \
		.san = "", \
		.door = "unix", \
		.capabilities = (caps), \
		.n_capabilities = SG_ARRAY_LEN(caps)})

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct sg_error err;
	w->engine = fake_engine_create();
	w->config.profile = SG_PROFILE_CLEARED;
	w->config.limits.text_bytes = 1000;
	w->config.limits.subject_requests = 100;
	if (sg_api_create(&w->api, w->engine, &w->config, &err) < 0) {
		print_error("%s\n", err.text);
		return -1;
	}
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	sg_api_destroy(w->api);
	fake_engine_destroy(w->engine);
	free(w);
	return 0;
}

static void on_reply(void *ctx, const struct sg_response *r)
{
	struct answer *a = ctx;
	a->calls++;
	a->status = r->status;
	(void)snprintf(a->type, sizeof(a->type), "%s", r->content_type);
	assert_true(r->body_len < sizeof(a->body));
	memcpy(a->body, r->body, r->body_len);
	a->body[r->body_len] = '\0';
	a->headers[0] = '\0';
	for (size_t i = 0; i < r->n_headers; i++) {
		(void)strcat(a->headers, r->headers[i].name);
		(void)strcat(a->headers, ": ");
		(void)strcat(a->headers, r->headers[i].value);
		(void)strcat(a->headers, "\n");
	}
}

/* Sends without dispatching. extra: one more header, name and value, or NULL. */
static void send(struct world *w, struct answer *a, struct sg_identity id, const char *method,
	const char *path, const char *body, const char *name, const char *value)
{
	const char *q = strchr(path, '?');
	char plain[512];
	(void)snprintf(plain, sizeof(plain), "%.*s", (int)(q ? q - path : 511), path);
	struct sg_header headers[3] = {{"host", "core"}};
	size_t n = 1;
	if (body)
		headers[n++] = (struct sg_header){"content-type", "application/json"};
	if (name)
		headers[n++] = (struct sg_header){name, value};
	struct sg_request r = {.method = method,
		.path = plain,
		.query = q ? q + 1 : "",
		.headers = headers,
		.n_headers = n,
		.body = body ? body : "",
		.body_len = body ? strlen(body) : 0,
		.identity = &id};
	*a = (struct answer){0};
	sg_api_handle(w->api, &r, on_reply, a);
}

static void ask(struct world *w, struct answer *a, struct sg_identity id, const char *method,
	const char *path, const char *body)
{
	send(w, a, id, method, path, body, NULL, NULL);
	fake_dispatch(w->engine);
	assert_int_equal(a->calls, 1);
}

static json_t *parsed(const struct answer *a)
{
	struct sg_error err;
	json_t *v = NULL;
	if (sg_json_parse(a->body, strlen(a->body), &v, &err) < 0)
		fail_msg("not JSON: %s: %s", err.text, a->body);
	return v;
}

static void has(const struct answer *a, int status, const char *text)
{
	if (a->status != status || !strstr(a->body, text))
		fail_msg("wanted %d with %s, got %d %s", status, text, a->status, a->body);
	json_decref(parsed(a));
}

static void problem(const struct answer *a, int status, const char *detail)
{
	has(a, status, detail);
	assert_string_equal(a->type, "application/problem+json");
}

static void health_is_exact(void **state)
{
	struct answer a;
	struct sg_identity nobody = WHO("nobody", reader);
	nobody.authenticated = false;
	nobody.n_capabilities = 0;
	ask(*state, &a, nobody, "GET", "/v1/health", NULL);
	assert_int_equal(a.status, 200);
	assert_string_equal(a.body, "{\"status\":\"ok\"}");
	nobody.authenticated = true;
	ask(*state, &a, nobody, "GET", "/health", NULL);
	has(&a, 200, "\"status\":\"ok\"");
}

static void a_probe_gets_nothing_else(void **state)
{
	struct world *w = *state;
	struct answer a;
	struct sg_identity nobody = WHO("nobody", all);
	nobody.authenticated = false;
	static const char *const paths[] = {
		"/health", "/v1/runs", "/v1/graphs", "/", "/nope", "/v1/health/"};
	for (size_t i = 0; i < SG_ARRAY_LEN(paths); i++) {
		ask(w, &a, nobody, "GET", paths[i], NULL);
		problem(&a, 403, "only the edge may ask");
	}
	ask(w, &a, nobody, "POST", "/v1/health", "{}");
	problem(&a, 403, "only the edge may ask");
	assert_non_null(strstr(fake_audit(w->engine), "nobody refused not_the_edge"));
}

static void start_is_told_when_durable(void **state)
{
	struct world *w = *state;
	struct answer a;
	send(w, &a, WHO("CN=alice", all), "POST", "/v1/runs", "{\"graph_id\":\"done\"}", NULL,
		NULL);
	assert_int_equal(a.calls, 0);
	fake_dispatch(w->engine);
	has(&a, 202, "\"status\":\"running\"");
	assert_non_null(strstr(a.body, "\"run_id\":\"run-"));
	assert_int_equal(a.calls, 1);
}

static void prefer_wait_tells_the_outcome(void **state)
{
	struct world *w = *state;
	struct answer a;
	send(w, &a, WHO("CN=alice", all), "POST", "/v1/runs",
		"{\"graph_id\":\"done\",\"params\":{\"x\":1}}", "prefer", "respond-async, wait=5");
	fake_dispatch(w->engine);
	has(&a, 200, "\"status\":\"done\"");
	has(&a, 200, "\"path\":[\"n1\"]");
	has(&a, 200, "\"params\":{\"x\":1}");
}

static void prefer_wait_ends(void **state)
{
	struct world *w = *state;
	struct answer a;
	assert_int_equal(sg_api_timeout_ms(w->api), -1);
	send(w, &a, WHO("CN=alice", all), "POST", "/v1/runs", "{\"graph_id\":\"hang\"}", "prefer",
		"wait=1");
	assert_true(sg_api_timeout_ms(w->api) > 0);
	fake_dispatch(w->engine);
	sg_api_tick(w->api);
	assert_int_equal(a.calls, 0);
	(void)usleep(1050000);
	assert_int_equal(sg_api_timeout_ms(w->api), 0);
	sg_api_tick(w->api);
	has(&a, 202, "\"status\":\"running\"");
	assert_int_equal(sg_api_timeout_ms(w->api), -1);
}

static void bad_starts_are_named(void **state)
{
	static const struct {
		const char *body;
		int status;
		const char *detail;
	} cases[] = {
		{"{\"graph_id\":\"nope\"}", 404, "graph 'nope' not found"},
		{"{\"graph_id\":\"busy\"}", 503, "runs_in_flight"},
		{"{}", 422, "graph_id"},
		{"{\"graph_id\":7}", 422, "graph_id"},
		{"{\"graph_id\":\"done\",\"parms\":{}}", 422, "params"},
		{"{\"graph_id\":\"done\",\"params\":[]}", 422, "params"},
		{"[]", 422, ""},
		{"{", 422, ""},
		{"", 422, ""},
		{"{\"graph_id\":\"done\",\"graph_id\":\"done\"}", 422, ""},
		{"{\"graph_id\":\"done\",\"idempotency_key\":\"\"}", 422, "idempotency"},
	};
	struct answer a;
	for (size_t i = 0; i < SG_ARRAY_LEN(cases); i++) {
		ask(*state, &a, WHO("CN=alice", all), "POST", "/v1/runs", cases[i].body);
		problem(&a, cases[i].status, cases[i].detail);
	}
}

static void json_only(void **state)
{
	struct world *w = *state;
	struct answer a;
	send(w, &a, WHO("CN=alice", all), "POST", "/v1/runs", NULL, "content-type", "text/plain");
	problem(&a, 415, "application/json");
	send(w, &a, WHO("CN=alice", all), "POST", "/v1/runs", NULL, "content-type",
		"application/jsonx");
	problem(&a, 415, "application/json");
	send(w, &a, WHO("CN=alice", all), "POST", "/v1/runs", NULL, "content-type",
		"application/json; charset=utf-8");
	assert_int_equal(a.status, 422);
}

static void other_sites_are_refused(void **state)
{
	struct world *w = *state;
	struct answer a;
	static const char *const origins[] = {
		"https://evil.example", "null", "https://core.evil", "core", "https://core:444"};
	for (size_t i = 0; i < SG_ARRAY_LEN(origins); i++) {
		send(w, &a, WHO("CN=alice", all), "POST", "/v1/runs", "{\"graph_id\":\"done\"}",
			"origin", origins[i]);
		fake_dispatch(w->engine);
		problem(&a, 403, "cross-site");
	}
	send(w, &a, WHO("CN=alice", all), "GET", "/v1/runs", NULL, "sec-fetch-site", "cross-site");
	fake_dispatch(w->engine);
	problem(&a, 403, "cross-site");
	send(w, &a, WHO("CN=alice", all), "POST", "/v1/runs", "{\"graph_id\":\"done\"}", "origin",
		"https://CORE");
	fake_dispatch(w->engine);
	assert_int_equal(a.status, 202);
}

static void denial_is_audited_first(void **state)
{
	struct world *w = *state;
	struct answer a;
	send(w, &a, WHO("CN=bob", answerer), "POST", "/v1/runs", "{\"graph_id\":\"done\"}", NULL,
		NULL);
	assert_int_equal(a.calls, 0); /* not before the record is durable */
	assert_non_null(strstr(fake_audit(w->engine), "CN=bob denied capability_denied"));
	fake_dispatch(w->engine);
	problem(&a, 403, "capability 'runs:start' not granted under cleared profile");
	fake_audit_fails(w->engine, true);
	send(w, &a, WHO("CN=bob", answerer), "POST", "/v1/runs", "{\"graph_id\":\"done\"}", NULL,
		NULL);
	problem(&a, 503, "could not be recorded");
}

static void a_client_that_left_is_still_recorded(void **state)
{
	struct world *w = *state;
	struct answer a;
	send(w, &a, WHO("CN=bob", answerer), "POST", "/v1/runs", "{\"graph_id\":\"done\"}", NULL,
		NULL);
	sg_api_forget(w->api, &a);
	assert_int_equal(fake_dispatch(w->engine), 1);
	assert_int_equal(a.calls, 0);
	send(w, &a, WHO("CN=alice", all), "POST", "/v1/runs", "{\"graph_id\":\"done\"}", NULL,
		NULL);
	sg_api_forget(w->api, &a);
	assert_int_equal(fake_dispatch(w->engine), 0);
	assert_int_equal(a.calls, 0);
}

static char *start(struct world *w, const char *actor, const char *graph)
{
	struct answer a;
	char body[128];
	(void)snprintf(body, sizeof(body), "{\"graph_id\":\"%s\"}", graph);
	send(w, &a, WHO(actor, all), "POST", "/v1/runs", body, "prefer",
		strcmp(graph, "hang") == 0 ? "" : "wait=9");
	fake_dispatch(w->engine);
	json_t *v = parsed(&a);
	char *id = strdup(json_string_value(json_object_get(v, "run_id")));
	json_decref(v);
	return id;
}

static void ask_run(struct world *w, struct answer *a, struct sg_identity id, const char *method,
	const char *run, const char *verb, const char *body)
{
	char path[128];
	(void)snprintf(path, sizeof(path), "/v1/runs/%s%s", run, verb);
	ask(w, a, id, method, path, body);
}

/* "actor type kind" of the last record. */
static const char *last_record(const struct world *w)
{
	const char *text = fake_audit(w->engine), *last = text;
	for (const char *p = text; (p = strchr(p, '\n')) && p[1]; p++)
		last = p + 1;
	return last;
}

static void a_reader_waits_for_his_record_when_many_do(void **state)
{
	struct world *w = *state;
	struct answer a = {0}, b = {0}, c = {0};
	struct sg_identity id = WHO("CN=reader", reader);
	send(w, &a, id, "GET", "/v1/graphs", NULL, NULL, NULL);
	assert_int_equal(a.calls, 1); /* not waited for */
	assert_string_equal(last_record(w), "CN=reader read -\n");
	fake_behind(w->engine, true);
	send(w, &b, id, "PATCH", "/v1/graphs", NULL, NULL, NULL);
	assert_int_equal(b.calls, 0);
	assert_string_equal(last_record(w), "CN=reader request -\n");
	(void)fake_dispatch(w->engine);
	assert_int_equal(b.calls, 1);
	assert_int_equal(b.status, 405);
	assert_string_equal(b.headers, "allow: GET\n");
	send(w, &c, id, "GET", "/v1/graphs", NULL, NULL, NULL);
	sg_api_forget(w->api, &c);
	(void)fake_dispatch(w->engine);
	assert_int_equal(c.calls, 0);
}

static void what_cannot_be_recorded_is_not_answered(void **state)
{
	struct world *w = *state;
	struct answer a = {0}, b = {0};
	struct sg_identity id = WHO("CN=reader", reader);
	fake_audit_fails(w->engine, true);
	send(w, &a, id, "GET", "/v1/graphs", NULL, NULL, NULL);
	assert_int_equal(a.status, 503);
	assert_non_null(strstr(a.body, "audit-unavailable"));
	fake_behind(w->engine, true);
	send(w, &b, id, "GET", "/no/such/route", NULL, NULL, NULL);
	assert_int_equal(b.status, 503);
}

static void runs_are_private(void **state)
{
	struct world *w = *state;
	struct answer a;
	sg_autofree char *hers = start(w, "CN=alice", "done");
	sg_autofree char *asking = start(w, "CN=alice", "ask");
	ask_run(w, &a, WHO("CN=alice", reader), "GET", hers, "", NULL);
	has(&a, 200, "\"actor\":\"CN=alice\"");
	ask_run(w, &a, WHO("CN=carol", reader), "GET", hers, "", NULL);
	problem(&a, 404, "not found");
	assert_non_null(strstr(fake_audit(w->engine), "CN=carol denied run_not_visible"));
	ask_run(w, &a, WHO("CN=root", all), "GET", hers, "", NULL);
	assert_int_equal(a.status, 200);
	ask_run(w, &a, WHO("CN=bob", answerer), "GET", asking, "", NULL);
	has(&a, 200, "\"status\":\"awaiting-input\"");
	ask_run(w, &a, WHO("CN=low", answerer_low), "GET", asking, "", NULL);
	problem(&a, 404, "not found");
	ask_run(w, &a, WHO("CN=alice", reader), "GET", "run-nope", "", NULL);
	problem(&a, 404, "run 'run-nope' not found");
}

static void lists_show_what_one_may_see(void **state)
{
	struct world *w = *state;
	struct answer a;
	sg_autofree char *one = start(w, "CN=alice", "done");
	sg_autofree char *two = start(w, "CN=alice", "ask");
	sg_autofree char *three = start(w, "CN=bob", "done");
	ask(w, &a, WHO("CN=alice", reader), "GET", "/v1/runs", NULL);
	has(&a, 200, one);
	has(&a, 200, two);
	has(&a, 200, "\"total\":2");
	assert_null(strstr(a.body, three));
	ask(w, &a, WHO("CN=bob", answerer), "GET", "/v1/runs", NULL);
	has(&a, 200, two);
	has(&a, 200, three);
	has(&a, 200, "\"total\":2");
	assert_true(strstr(a.body, three) < strstr(a.body, two)); /* newest first */
	ask(w, &a, WHO("CN=x", all), "GET", "/v1/runs?limit=2", NULL);
	has(&a, 200, "\"total\":3");
	has(&a, 200, two);
	assert_null(strstr(a.body, one));
	char path[128];
	(void)snprintf(path, sizeof(path), "/v1/runs?cursor=%s&limit=2", two);
	ask(w, &a, WHO("CN=x", all), "GET", path, NULL);
	has(&a, 200, one);
	has(&a, 200, "\"cursor\":null");
	ask(w, &a, WHO("CN=x", all), "GET", "/v1/runs?status=awaiting%2Dinput", NULL);
	has(&a, 200, "\"total\":1");
}

static void bad_queries_are_named(void **state)
{
	static const struct {
		const char *query, *detail;
	} cases[] = {
		{"limit=0", "limit must be"},
		{"limit=1001", "limit must be"},
		{"limit=", "limit must be"},
		{"limit=1x", "limit must be"},
		{"limit=99999999999999999999", "limit must be"},
		{"offset=-1", "offset must be"},
		{"status=nope", "no run status"},
		{"since=yesterday", "RFC 3339"},
		{"stats=done", "did you mean"},
		{"limit=1&limit=2", "given twice"},
		{"status=%", "cut short"},
		{"status=%zz", "two hex digits"},
		{"status=%00", "control"},
		{"cursor=run-1&offset=2", "exclude"},
	};
	struct answer a;
	char path[128];
	for (size_t i = 0; i < SG_ARRAY_LEN(cases); i++) {
		(void)snprintf(path, sizeof(path), "/v1/runs?%s", cases[i].query);
		ask(*state, &a, WHO("CN=alice", all), "GET", path, NULL);
		problem(&a, 422, cases[i].detail);
	}
	ask(*state, &a, WHO("CN=alice", all), "GET",
		"/v1/runs?since=2026-11-24T06:00:00+00:00&&until=2026-11-25T00:00:00Z", NULL);
	assert_int_equal(a.status, 200);
}

static void answers_need_the_capability(void **state)
{
	struct world *w = *state;
	struct answer a;
	static const char body[] = "{\"response\":{\"approve\":true}}";
	sg_autofree char *run = start(w, "CN=alice", "ask");
	ask_run(w, &a, WHO("CN=alice", reader), "POST", run, "/respond", body);
	problem(&a, 403, "capability 'runs:respond' not granted under cleared profile");
	/* her own run, but not her answer to give */
	ask_run(w, &a, WHO("CN=alice", answerer_low), "POST", run, "/respond", body);
	problem(&a, 403, "capability 'risk:approve' not granted under cleared profile");
	ask_run(w, &a, WHO("CN=bob", answerer), "POST", run, "/respond", "{\"response\":1}");
	problem(&a, 422, "response");
	ask_run(w, &a, WHO("CN=bob", answerer), "POST", run, "/respond", body);
	has(&a, 200, "\"status\":\"running\"");
	ask_run(w, &a, WHO("CN=x", all), "POST", run, "/respond", body);
	problem(&a, 409, "respond invalid in state 'running'; valid state is 'awaiting-input'");
	ask_run(w, &a, WHO("CN=x", all), "POST", "run-0", "/respond", body);
	problem(&a, 404, "run 'run-0' not found");
}

static void idempotency_keys(void **state)
{
	struct world *w = *state;
	struct answer a, b;
	static const char body[] = "{\"graph_id\":\"done\",\"params\":{\"x\":1}}";
	send(w, &a, WHO("CN=alice", all), "POST", "/v1/runs", body, "idempotency-key", "k1");
	fake_dispatch(w->engine);
	send(w, &b, WHO("CN=alice", all), "POST", "/v1/runs", body, "idempotency-key", "k1");
	fake_dispatch(w->engine);
	assert_int_equal(b.status, 202);
	json_t *one = parsed(&a), *two = parsed(&b);
	assert_string_equal(json_string_value(json_object_get(one, "run_id")),
		json_string_value(json_object_get(two, "run_id")));
	json_decref(one);
	json_decref(two);
	send(w, &b, WHO("CN=alice", all), "POST", "/v1/runs", "{\"graph_id\":\"done\"}",
		"idempotency-key", "k1");
	problem(&b, 422, "other parameters");
	send(w, &b, WHO("CN=alice", all), "POST", "/v1/runs",
		"{\"graph_id\":\"done\",\"idempotency_key\":\"k2\"}", "idempotency-key", "k1");
	problem(&b, 422, "differs between");
}

static void methods_and_paths(void **state)
{
	struct world *w = *state;
	struct answer a;
	ask(w, &a, WHO("CN=alice", all), "DELETE", "/v1/runs", NULL);
	problem(&a, 405, "Method Not Allowed");
	assert_non_null(strstr(a.headers, "allow: POST, GET"));
	ask(w, &a, WHO("CN=alice", all), "GET", "/v1/run", NULL);
	problem(&a, 404, "Not Found");
	ask(w, &a, WHO("CN=alice", all), "GET", "/v1/runs/", NULL);
	problem(&a, 404, "Not Found");
	ask(w, &a, WHO("CN=alice", all), "GET", "/v1/runs/a/b/c", NULL);
	problem(&a, 404, "Not Found");
	ask(w, &a, WHO("CN=alice", all), "HEAD", "/v1/graphs", NULL);
	has(&a, 200, "\"graph_id\":\"done\"");
}

static void a_door_may_refuse(void **state)
{
	struct world *w = *state;
	struct answer a = {0};
	struct sg_identity id = WHO("nobody", reader);
	struct sg_request r = {.method = "GET", .path = "/x", .query = "", .identity = &id};
	sg_api_refuse(w->api, &r, 400, "identity_alias", "no", on_reply, &a);
	assert_int_equal(a.calls, 0);
	fake_dispatch(w->engine);
	problem(&a, 400, "no");
	r.path = "/\xff"; /* not UTF-8: recorded without it */
	sg_api_refuse(w->api, &r, 400, "identity_alias", "no", on_reply, &a);
	fake_dispatch(w->engine);
	problem(&a, 400, "no");
}

static char told[1024];
static int opened, ended;

static void on_stream_open(void *ctx)
{
	(void)ctx;
	opened++;
}

static bool on_stream_event(
	void *ctx, const char *id, const char *type, const char *data, size_t len, bool last)
{
	size_t n = strlen(told);
	(void)ctx;
	(void)snprintf(told + n, sizeof(told) - n, "%s %s %.*s%s\n", strrchr(id, ':') + 1, type,
		(int)len, data, last ? " last" : "");
	return true;
}

static void on_stream_end(void *ctx)
{
	(void)ctx;
	ended++;
}

static void stream(struct world *w, struct answer *a, const char *run, const char *after)
{
	static const struct sg_stream_sink sink = {on_stream_open, on_stream_event, on_stream_end};
	struct sg_identity id = WHO("CN=alice", all);
	char path[128];
	const struct sg_header h = {"last-event-id", after};
	(void)snprintf(path, sizeof(path), "/v1/runs/%s/stream", run);
	struct sg_request r = {.method = "GET",
		.path = path,
		.query = "",
		.headers = &h,
		.n_headers = 1,
		.body = "",
		.identity = &id,
		.stream = &sink};
	*a = (struct answer){0};
	told[0] = '\0';
	opened = ended = 0;
	sg_api_handle(w->api, &r, on_reply, a);
}

static void streams_resume_after_an_event(void **state)
{
	struct world *w = *state;
	struct answer a;
	char after[96];
	sg_autofree char *run = start(w, "CN=alice", "done");
	stream(w, &a, run, "");
	assert_string_equal(told, "0 transition {\"a\":1}\n1 transition {\"a\":1}\n"
				  "2 transition {\"a\":1} last\n");
	(void)snprintf(after, sizeof(after), "%s:1:1", run);
	stream(w, &a, run, after);
	assert_string_equal(told, "2 transition {\"a\":1} last\n");
	(void)snprintf(after, sizeof(after), "%s:2:2", run); /* all of it is known already */
	stream(w, &a, run, after);
	assert_string_equal(told, "");
	assert_int_equal(opened, 1);
	assert_int_equal(ended, 1);
	assert_int_equal(a.calls, 0);
	stream(w, &a, run, "nonsense");
	problem(&a, 422, "malformed last_event_id");
	stream(w, &a, "run-nope", "");
	problem(&a, 404, "not found");
	assert_int_equal(opened, 0);
}

static void runs_are_controlled(void **state)
{
	struct world *w = *state;
	struct answer a;
	sg_autofree char *run = start(w, "CN=alice", "hang");
	struct sg_identity alice = WHO("CN=alice", all);
	ask_run(w, &a, alice, "POST", run, "/pause", "{}");
	has(&a, 200, "\"status\":\"paused\"");
	ask_run(w, &a, alice, "POST", run, "/pause", "{}");
	problem(&a, 409, "paused");
	ask_run(w, &a, alice, "POST", run, "/resume", "{\"from_step\":1}");
	problem(&a, 422, "from_step");
	ask_run(w, &a, alice, "POST", run, "/resume", "{}");
	has(&a, 202, "\"status\":\"running\"");
	ask_run(w, &a, WHO("CN=bob", reader), "POST", run, "/cancel", "{}");
	problem(&a, 403, "runs:cancel");
	ask_run(w, &a, alice, "POST", run, "/cancel", "{}");
	has(&a, 200, "\"status\":\"cancelled\"");
}

static void embeddings_have_both_shapes(void **state)
{
	struct world *w = *state;
	struct answer a;
	struct sg_identity id = WHO("CN=alice", all);
	static const char *const bad_inputs[] = {
		"[1.5]", "[[]]", "[\"x\",1]", "[[1,\"x\"]]", "[null]", "[[[1]]]", NULL};
	ask(w, &a, id, "POST", "/v1/embeddings", "{\"input\":[\"x\",\"y\"]}");
	has(&a, 200, "\"prompt_tokens\":6");
	has(&a, 200, "\"index\":1,\"truncated\":false,\"truncated_tokens\":0,\"embedding\":[1,0,0");
	ask(w, &a, id, "POST", "/v1/embeddings",
		"{\"input\":\"x\",\"encoding_format\":\"base64\"}");
	has(&a, 200, "\"embedding\":\"AACAPwAAAAAA");
	ask(w, &a, id, "POST", "/embed", "{\"inputs\":\"x\"}");
	has(&a, 200, "[[1,0,0");
	ask(w, &a, id, "POST", "/v1/embeddings", "{\"input\":[[101,7592,102],[101,102]]}");
	has(&a, 200, "\"index\":1,\"truncated\":false,\"truncated_tokens\":0,\"embedding\":[0,1,0");
	has(&a, 200, "\"prompt_tokens\":5");
	ask(w, &a, id, "POST", "/embed", "{\"inputs\":[101,7592,102]}");
	has(&a, 200, "[[0,1,0");
	for (size_t i = 0; bad_inputs[i]; i++) {
		char body[128];
		(void)snprintf(body, sizeof(body), "{\"inputs\":%s}", bad_inputs[i]);
		ask(w, &a, id, "POST", "/embed", body);
		problem(&a, 422, "strings or lists of token ids");
	}
	ask(w, &a, id, "POST", "/embed", "{\"inputs\":[\"x\",\"too many\"]}");
	problem(&a, 429, "1024 texts wait");
	ask(w, &a, id, "POST", "/embed", "{\"inputs\":\"a\\u0000b\"}");
	has(&a, 200, "[[1,0,0");
	ask(w, &a, id, "POST", "/v1/runs", "{\"graph_id\":\"a\\u0000b\"}");
	problem(&a, 422, "column");
	ask(w, &a, id, "POST", "/embed", "{\"inputs\":\"no model\"}");
	problem(&a, 422, "no embedding model");
	ask(w, &a, id, "GET", "/info", NULL);
	problem(&a, 503, "no embedding model");
}

static void stores_need_their_own_capability(void **state)
{
	static const char *const docs[] = {"db.docs:read"}, *const any[] = {
								    "db.*:read", "db.*:write"};
	static const char *const body = "{\"query\":\"q\"}";
	struct world *w = *state;
	struct answer a;
	ask(w, &a, WHO("CN=x", docs), "GET", "/v1/stores", NULL);
	has(&a, 200, "[{\"name\":\"docs\",\"provider\":\"vector\"}]");
	ask(w, &a, WHO("CN=x", any), "GET", "/v1/stores", NULL);
	has(&a, 200, "\"name\":\"notes\"");
	ask(w, &a, WHO("CN=x", docs), "GET", "/v1/stores/docs", NULL);
	has(&a, 200, "\"provider\":\"vector\"");
	ask(w, &a, WHO("CN=x", docs), "GET", "/v1/stores/notes", NULL);
	problem(&a, 403, "db.notes:read");
	ask(w, &a, WHO("CN=x", any), "GET", "/v1/stores/none", NULL);
	problem(&a, 404, "none");
	ask(w, &a, WHO("CN=x", docs), "POST", "/v1/stores/docs/search", body);
	has(&a, 200, "{\"hits\":[{\"id\":\"q\",\"k\":10,\"with_text\":true}]}");
	ask(w, &a, WHO("CN=x", docs), "POST", "/v1/stores/docs/search",
		"{\"query\":\"q\",\"k\":13}");
	problem(&a, 422, "drift");
	ask(w, &a, WHO("CN=x", docs), "POST", "/v1/stores/notes/search", body);
	problem(&a, 403, "db.notes:read");
	ask(w, &a, WHO("CN=x", docs), "POST", "/v1/stores/docs/documents", "{\"documents\":[]}");
	problem(&a, 403, "db.docs:write");
	ask(w, &a, WHO("CN=x", any), "POST", "/v1/stores/docs/documents",
		"{\"documents\":[{\"id\":\"a\",\"text\":\"t\"}],\"delete\":[\"b\",\"c\"]}");
	has(&a, 200, "{\"added\":1,\"deleted\":2,\"unchanged\":0,\"updated\":0}");
	ask(w, &a, WHO("CN=x", any), "POST", "/v1/stores/docs/documents",
		"{\"documents\":[{\"id\":\"a\",\"txt\":\"t\"}]}");
	problem(&a, 422, "txt");
	static const char *const starter[] = {"runs:start", "db.docs:read"};
	ask(w, &a, WHO("CN=x", starter), "POST", "/v1/runs", "{\"graph_id\":\"run:reads-notes\"}");
	problem(&a, 403, "db.notes:read");
}

static void the_document_names_every_route(void **state)
{
	struct world *w = *state;
	struct answer a;
	ask(w, &a, WHO("CN=x", reader), "GET", "/openapi.json", NULL);
	has(&a, 200, "\"openapi\":\"3.1.0\"");
	has(&a, 200, "\"/v1/runs/{run_id}/stream\":{\"get\"");
	ask(w, &a, WHO("CN=x", reader), "GET", "/metrics", NULL);
	problem(&a, 403, "metrics:read");
	ask(w, &a, WHO("CN=x", all), "GET", "/metrics", NULL);
	assert_non_null(strstr(a.body, "stargraph_refusals_total 1\n"));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(health_is_exact),
		T(a_probe_gets_nothing_else),
		T(start_is_told_when_durable),
		T(prefer_wait_tells_the_outcome),
		T(prefer_wait_ends),
		T(bad_starts_are_named),
		T(json_only),
		T(other_sites_are_refused),
		T(denial_is_audited_first),
		T(a_client_that_left_is_still_recorded),
		T(a_reader_waits_for_his_record_when_many_do),
		T(what_cannot_be_recorded_is_not_answered),
		T(runs_are_private),
		T(lists_show_what_one_may_see),
		T(bad_queries_are_named),
		T(answers_need_the_capability),
		T(idempotency_keys),
		T(methods_and_paths),
		T(a_door_may_refuse),
		T(streams_resume_after_an_event),
		T(runs_are_controlled),
		T(embeddings_have_both_shapes),
		T(stores_need_their_own_capability),
		T(the_document_names_every_route),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
