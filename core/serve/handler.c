/* Between h2o and api: a request becomes a plain one, an answer becomes h2o's. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "serve/internal.h"
#include "serve/stream.h"

/* Lives in the request's pool; its dispose runs when h2o is done with the request, or when the
 * client left (h2o calls no handler then). */
struct ticket {
	struct sg_conn *conn;
	struct sg_server *server;
	h2o_req_t *req;
	struct sg_principal *principal; /* reference */
	struct sg_identity anonymous;	/* of a request that was refused before it had one */
	const char *trace; /* in the request's pool; goes back with the answer. NULL = none */
	bool answered;
	struct sg_stream *stream; /* NULL = an ordinary request */
};

static const char *reason_of(int status)
{
	const char *known = sg_api_reason(status);
	return known ? known : "Unknown";
}

static void on_dispose(void *data)
{
	struct ticket *t = data;
	t->conn->busy = false;
	if (t->stream)
		sg_stream_left(t->stream);
	else if (!t->answered)
		sg_api_forget(t->server->api, t);
	sg_principal_unref(t->principal);
}

static void add_header(h2o_req_t *req, const char *name, const char *value)
{
	h2o_iovec_t n = h2o_strdup(&req->pool, name, SIZE_MAX);
	h2o_iovec_t v = h2o_strdup(&req->pool, value, SIZE_MAX);
	h2o_add_header_by_str(&req->pool, &req->res.headers, n.base, n.len, 1, NULL, v.base, v.len);
}

static void answer(void *ctx, const struct sg_response *r)
{
	struct ticket *t = ctx;
	h2o_req_t *req = t->req;
	t->answered = true;
	req->res.status = r->status;
	req->res.reason = reason_of(r->status);
	req->res.content_length = r->body_len;
	if (r->content_type) {
		h2o_iovec_t type = h2o_strdup(&req->pool, r->content_type, SIZE_MAX);
		h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL,
			type.base, type.len);
	}
	for (size_t i = 0; i < r->n_headers; i++)
		add_header(req, r->headers[i].name, r->headers[i].value);
	if (t->trace)
		add_header(req, "traceparent", t->trace);
	h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CACHE_CONTROL, NULL,
		H2O_STRLIT("no-store"));
	if (t->server->draining)
		req->http1_is_persistent = 0;
	h2o_send_inline(req, r->body, r->body_len);
}

static const char *dup_text(h2o_req_t *req, struct sg_text t)
{
	return h2o_strdup(&req->pool, t.data ? t.data : "", t.len).base;
}

/* Only the headers that api reads are handed down; Host is not among h2o's headers. */
static size_t copy_headers(h2o_req_t *req, struct sg_header *ret, size_t most)
{
	size_t n = 0;
	for (size_t i = 0; i < req->headers.size && n + 1 < most; i++) {
		const h2o_header_t *h = &req->headers.entries[i];
		for (const char *const *want = sg_api_headers; *want; want++)
			if (strlen(*want) == h->name->len &&
				memcmp(*want, h->name->base, h->name->len) == 0) {
				ret[n].name = *want;
				ret[n++].value =
					h2o_strdup(&req->pool, h->value.base, h->value.len).base;
				break;
			}
	}
	if (req->input.authority.base)
		ret[n++] = (struct sg_header){"host",
			h2o_strdup(&req->pool, req->input.authority.base, req->input.authority.len)
				.base};
	return n;
}

#define MAX_HEADERS 32

static void fill(h2o_req_t *req, const struct sg_head *h, struct sg_header headers[MAX_HEADERS],
	struct sg_request *ret)
{
	const char *q = memchr(h->target.data, '?', h->target.len);
	struct sg_text path = h->target, query = {0};
	if (q) {
		path.len = (size_t)(q - h->target.data);
		query = (struct sg_text){q + 1, h->target.len - path.len - 1};
	}
	*ret = (struct sg_request){
		.method = dup_text(req, h->method),
		.path = dup_text(req, path),
		.query = dup_text(req, query),
		.headers = headers,
		.n_headers = copy_headers(req, headers, MAX_HEADERS),
		.body = req->entity.base ? req->entity.base : "",
		.body_len = req->entity.len,
	};
}

/* Of a request that nobody is known to have sent. */
static struct sg_identity nobody(const struct sg_conn *c)
{
	return (struct sg_identity){.actor = "nobody",
		.subject = "",
		.issuer = "",
		.serial = "",
		.fingerprint = c->peer.fingerprint ? c->peer.fingerprint : "",
		.san = "",
		.door = sg_door_names[c->door->kind]};
}

static void refuse(struct ticket *t, struct sg_request *r, int status, const struct sg_error *why)
{
	t->anonymous = nobody(t->conn);
	r->identity = t->principal ? &t->principal->id : &t->anonymous;
	sg_api_refuse(t->server->api, r, status, why->kind, why->text, answer, t);
}

/* nginx reports a request that it refused for an alias; we record it and answer in its place. */
static bool reported(struct ticket *t, const struct sg_head *h, struct sg_request *r)
{
	struct sg_text reason = h->edge[SG_EDGE_REFUSED];
	struct sg_error why;
	if (!reason.data)
		return false;
	if (strcmp(r->path, "/edge/refused") == 0)
		(void)sg_error_set(&why, SG_EDENIED, "identity_alias", "refused by the edge: %.*s",
			(int)(reason.len < 200 ? reason.len : 200), reason.data);
	else
		(void)sg_error_set(&why, SG_EDENIED, "identity_alias",
			"identity header alias refused: x-stargraph-edge-refused");
	r->identity = &t->principal->id;
	sg_api_refuse(t->server->api, r, 400, why.kind, why.text, answer, t);
	return true;
}

/* Nothing that a head like this says is believed, the edge's word neither: only a certificate of
 * the connection's own tells who it was. */
static void malformed(struct ticket *t, const struct sg_error *why)
{
	struct sg_head none = {0};
	struct sg_request r = {.method = "", .path = "", .query = "", .body = ""};
	struct sg_error unused;
	int status;
	t->req->http1_is_persistent = 0;
	sg_conn_linger(t->conn);
	if (t->conn->door->kind == SG_DOOR_DIRECT || t->conn->fixed)
		(void)sg_admit(t->conn, &none, &t->principal, &status, &unused);
	refuse(t, &r, why->code == SG_ELIMIT ? 431 : 400, why);
}

static void proceed(struct ticket *t, const struct sg_head *h)
{
	struct sg_header headers[MAX_HEADERS];
	struct sg_request r;
	struct sg_error why;
	int status = 503;
	fill(t->req, h, headers, &r);
	t->trace = sg_request_trace(&r);
	int a = sg_admit(t->conn, h, &t->principal, &status, &why);
	if (a != 0) {
		refuse(t, &r, status, &why);
		return;
	}
	if (t->conn->edge && reported(t, h, &r))
		return;
	r.identity = &t->principal->id;
	if (sg_stream_wanted(&r)) {
		t->stream = sg_stream_start(t->conn, t->req, &r, t->principal, answer, t);
		if (t->stream)
			sg_stream_ask(t->stream, &r);
		else
			refuse(t, &r, 503,
				&(struct sg_error){.kind = "memory", .text = "out of memory"});
		return;
	}
	sg_api_handle(t->server->api, &r, answer, t);
}

static int on_req(h2o_handler_t *self, h2o_req_t *req)
{
	struct sg_conn *c = sg_conn_of(req);
	struct sg_head head;
	struct sg_error err;
	(void)self;
	struct ticket *t = h2o_mem_alloc_shared(&req->pool, sizeof(*t), on_dispose);
	*t = (struct ticket){.conn = c, .server = c->server, .req = req};
	c->busy = true;
	const h2o_buffer_t *in = c->sock->input;
	if (sg_head_read(in->bytes, in->size, &head, &err) < 0)
		malformed(t, &err);
	else
		proceed(t, &head);
	return 0;
}

/* h2o's own errors (413, 417, 400 of a broken body) are plain text; they become problems here. */
struct problem_stream {
	h2o_ostream_t super;
	h2o_iovec_t body; /* what is still to be sent */
};

static void send_problem(
	h2o_ostream_t *self, h2o_req_t *req, h2o_iovec_t *bufs, size_t n, h2o_send_state_t state)
{
	struct problem_stream *p = (void *)self;
	(void)bufs;
	(void)n;
	h2o_iovec_t body = p->body;
	p->body.len = 0;
	h2o_ostream_send_next(&p->super, req, &body, body.len != 0, state);
}

/* h2o answers by itself; the head may still be there to tell who asked for what. */
static void record_own(h2o_req_t *req, const char *detail)
{
	struct sg_conn *c = sg_conn_of(req);
	struct sg_principal *principal = NULL;
	struct sg_identity unknown = nobody(c);
	struct sg_head head = {0};
	struct sg_error err;
	struct sg_request r = {.method = "", .path = "", .query = "", .body = ""};
	struct sg_header headers[MAX_HEADERS];
	int status;
	const h2o_buffer_t *in = c->sock->input;
	bool read = sg_head_read(in->bytes, in->size, &head, &err) == 0;
	if (read)
		fill(req, &head, headers, &r);
	if (read || c->door->kind == SG_DOOR_DIRECT || c->fixed)
		(void)sg_admit(c, &head, &principal, &status, &err);
	r.identity = principal ? &principal->id : &unknown;
	sg_api_note_refused(c->server->api, &r, req->res.status,
		req->res.status == 413 ? "body_bytes" : "malformed-request", detail);
	sg_principal_unref(principal);
}

static void setup_problem(h2o_filter_t *self, h2o_req_t *req, h2o_ostream_t **slot)
{
	enum { ROOM = 256 };
	const char *detail = req->res.status == 413 ? "body is larger than limits.body_bytes"
						    : "malformed request";
	(void)self;
	record_own(req, detail);
	struct problem_stream *p = (void *)h2o_add_ostream(req, sizeof(*p), slot);
	p->super.do_send = send_problem;
	p->body.base = h2o_mem_alloc_pool(&req->pool, ROOM);
	p->body.len = (size_t)snprintf(p->body.base, ROOM,
		"{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,\"detail\":\"%s\"}",
		reason_of(req->res.status), req->res.status, detail);
	req->res.content_length = p->body.len;
	h2o_set_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE,
		H2O_STRLIT("application/problem+json"), 1);
	sg_conn_linger(sg_conn_of(req));
	h2o_setup_next_ostream(req, &p->super.next);
}

void sg_handler_setup(struct sg_server *s)
{
	h2o_hostconf_t *host =
		h2o_config_register_host(&s->global, h2o_iovec_init(H2O_STRLIT("default")), 65535);
	h2o_pathconf_t *path = h2o_config_register_path(host, "/", 0);
	h2o_create_handler(path, sizeof(h2o_handler_t))->on_req = on_req;
	/* what is answered before a path is known runs through the fallback */
	h2o_create_filter(&host->fallback_path, sizeof(h2o_filter_t))->on_setup_ostream =
		setup_problem;
	s->global.server_name = h2o_iovec_init(NULL, 0);
	s->global.max_request_entity_size = (size_t)s->config->limits.body_bytes;
	s->global.http1.req_timeout = SG_SERVE_IDLE_MS;
	s->global.http1.upgrade_to_http2 = 0;
}
