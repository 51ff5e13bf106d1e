/* Streams: api's events into h2o's responses and WebSockets. An sg_stream lives on the heap,
 * because a WebSocket outlives its h2o request; it is api's ctx, and is freed when its socket is
 * gone. */
#include "serve/stream.h"

#include <h2o/websocket.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"

#define CLOSE_GRACE_US 5000000	/* for the other side's close frame */
#define HOLD_BYTES (256U << 10) /* queued: no more is read from the record until they are gone */
#define SLOW_US 10000000	/* and so long they may take */
#define MAX_MESSAGE 4096	/* bytes that a WebSocket client may send us at once */

enum { WS_NORMAL = 1000, WS_GOING_AWAY = 1001, WS_POLICY = 1008, WS_INTERNAL = 1011 };

struct sg_stream {
	struct sg_stream **link, *next; /* the server's list */
	struct sg_server *server;
	struct sg_conn *conn;
	h2o_generator_t generator;
	h2o_req_t *req; /* NULL: gone */
	struct sg_principal *principal;
	sg_reply refused;
	void *ctx;
	const char *key; /* of a WebSocket handshake, in the request's pool; NULL = SSE */
	h2o_websocket_conn_t *ws;
	h2o_timeout_entry_t flush_entry;
	struct sg_buf pending, sending;
	bool open, in_flight, ended, last_sent, held;
	int64_t held_us;
	int close_code; /* of a WebSocket that ends */
	const char *close_reason;
	int64_t sent_us, ended_us;
};

bool sg_stream_wanted(const struct sg_request *r)
{
	size_t n = strlen(r->path);
	return strcmp(r->method, "GET") == 0 && n > 16 && strncmp(r->path, "/v1/runs/", 9) == 0 &&
	       strcmp(r->path + n - 7, "/stream") == 0;
}

static void destroy(struct sg_stream *s)
{
	h2o_timeout_unlink(&s->flush_entry);
	*s->link = s->next;
	if (s->next)
		s->next->link = s->link;
	sg_api_forget(s->server->api, s);
	sg_principal_unref(s->principal);
	sg_buf_finish(&s->pending);
	sg_buf_finish(&s->sending);
	free(s);
}

static size_t behind(const struct sg_stream *s)
{
	size_t n = s->pending.len;
	if (s->ws)
		n += wslay_event_get_queued_msg_length(s->ws->ws_ctx);
	return n;
}

/* What was held back goes on once everything before it has left for the socket. */
static void take_more(struct sg_stream *s)
{
	if (!s->held || s->ended || behind(s))
		return;
	s->held = false;
	sg_api_stream_more(s->server->api, s);
}

/* ---- server-sent events */

static void sse_flush(struct sg_stream *s)
{
	if (!s->req || s->in_flight || s->last_sent)
		return;
	if (s->pending.len == 0 && !s->ended)
		return;
	struct sg_buf swap = s->sending;
	s->sending = s->pending;
	s->pending = swap;
	sg_buf_reset(&s->pending);
	h2o_iovec_t bytes = {s->sending.data, s->sending.len};
	s->in_flight = true;
	s->last_sent = s->ended;
	s->sent_us = sg_clock_monotonic_us();
	h2o_send(s->req, &bytes, bytes.len != 0,
		s->ended ? H2O_SEND_STATE_FINAL : H2O_SEND_STATE_IN_PROGRESS);
}

static void sse_proceed(h2o_generator_t *generator, h2o_req_t *req)
{
	struct sg_stream *s = H2O_STRUCT_FROM_MEMBER(struct sg_stream, generator, generator);
	(void)req;
	s->in_flight = false;
	take_more(s);
	sse_flush(s);
}

static void sse_open(struct sg_stream *s)
{
	h2o_req_t *req = s->req;
	req->res.status = 200;
	req->res.reason = "OK";
	req->http1_is_persistent = 0;
	h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL,
		H2O_STRLIT("text/event-stream"));
	h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CACHE_CONTROL, NULL,
		H2O_STRLIT("no-store"));
	h2o_add_header_by_str(&req->pool, &req->res.headers, H2O_STRLIT("x-accel-buffering"), 0,
		NULL, H2O_STRLIT("no"));
	s->generator = (h2o_generator_t){.proceed = sse_proceed};
	h2o_start_response(req, &s->generator);
	sg_buf_adds(&s->pending, ": stargraph\n\n");
	sse_flush(s);
}

static void sse_event(
	struct sg_stream *s, const char *id, const char *type, const char *data, size_t len)
{
	/* an audit line has no line break: canonical JSON escapes them */
	sg_buf_addf(&s->pending, "id: %s\nevent: %s\ndata: ", id, type);
	sg_buf_add(&s->pending, data, len);
	sg_buf_adds(&s->pending, "\n\n");
}

/* ---- WebSocket */

static void ws_gone(struct sg_stream *s)
{
	h2o_websocket_conn_t *ws = s->ws;
	s->ws = NULL;
	destroy(s);
	h2o_websocket_close(ws);
}

static void on_ws_message(h2o_websocket_conn_t *ws, const struct wslay_event_on_msg_recv_arg *arg)
{
	struct sg_stream *s = ws->data;
	if (!arg)
		ws_gone(s);
	/* what a client says is not listened to; wslay answers pings and closes by itself */
}

static void ws_open(struct sg_stream *s)
{
	s->ws = h2o_upgrade_to_websocket(s->req, s->key, s, on_ws_message);
	wslay_event_config_set_max_recv_msg_length(s->ws->ws_ctx, MAX_MESSAGE);
}

/* Frames wait as "<length> <bytes>" while the upgrade is under way; then wslay queues them. */
static void ws_push(struct sg_stream *s, const char *data, size_t len)
{
	const struct wslay_event_msg m = {
		.opcode = WSLAY_TEXT_FRAME, .msg = (const uint8_t *)data, .msg_length = len};
	(void)wslay_event_queue_msg(s->ws->ws_ctx, &m);
}

static void ws_drain_pending(struct sg_stream *s)
{
	for (size_t at = 0; at + sizeof(size_t) <= s->pending.len;) {
		size_t len;
		memcpy(&len, s->pending.data + at, sizeof(len));
		at += sizeof(len);
		ws_push(s, s->pending.data + at, len);
		at += len;
	}
	sg_buf_reset(&s->pending);
}

/* A close frame overtakes the texts that are queued: for a slow consumer that is the point, else it
 * has to wait until they are gone. */
static void ws_queue_close(struct sg_stream *s)
{
	if (!s->ended || s->last_sent)
		return;
	if (s->close_code != WS_INTERNAL && wslay_event_get_queued_msg_count(s->ws->ws_ctx) > 0) {
		if (!h2o_timeout_is_linked(&s->flush_entry))
			h2o_timeout_link(s->server->loop, &s->server->ctx.hundred_ms_timeout,
				&s->flush_entry);
		return;
	}
	s->last_sent = true;
	(void)wslay_event_queue_close(s->ws->ws_ctx, (uint16_t)s->close_code,
		(const uint8_t *)s->close_reason, strlen(s->close_reason));
}

static void ws_flush(struct sg_stream *s)
{
	if (!s->ws || !s->ws->sock)
		return;
	take_more(s);
	ws_drain_pending(s);
	ws_queue_close(s);
	/* wslay does not tell when its queue is empty */
	if (s->held && !s->ended && !h2o_timeout_is_linked(&s->flush_entry))
		h2o_timeout_link(s->server->loop, &s->server->stream_timeout, &s->flush_entry);
	s->sent_us = sg_clock_monotonic_us();
	h2o_websocket_proceed(s->ws); /* may end in ws_gone */
}

/* ---- both */

static void on_flush(h2o_timeout_entry_t *entry)
{
	struct sg_stream *s = H2O_STRUCT_FROM_MEMBER(struct sg_stream, flush_entry, entry);
	if (s->key)
		ws_flush(s);
	else
		sse_flush(s);
}

/* Not at once: events come from inside the engine, and a flush may free this stream. */
static void flush_soon(struct sg_stream *s)
{
	if (!h2o_timeout_is_linked(&s->flush_entry))
		h2o_timeout_link(s->server->loop, &s->server->ctx.zero_timeout, &s->flush_entry);
}

static void end(struct sg_stream *s, int code, const char *reason)
{
	if (s->ended)
		return;
	s->ended = true;
	s->ended_us = sg_clock_monotonic_us();
	s->close_code = code;
	s->close_reason = reason;
	flush_soon(s);
}

static void on_open(void *ctx)
{
	struct sg_stream *s = ctx;
	if (!s->req)
		return;
	s->open = true;
	s->sent_us = sg_clock_monotonic_us();
	if (s->key)
		ws_open(s);
	else
		sse_open(s);
}

static bool on_event(
	void *ctx, const char *id, const char *type, const char *data, size_t len, bool last)
{
	struct sg_stream *s = ctx;
	if (s->ended)
		return true;
	if (behind(s) + len > SG_SERVE_STREAM_BUFFER) {
		end(s, WS_INTERNAL, "slow consumer");
		return true;
	}
	if (s->key) {
		sg_buf_add(&s->pending, &len, sizeof(len));
		sg_buf_add(&s->pending, data, len);
	} else {
		sse_event(s, id, type, data, len);
	}
	if (s->pending.failed)
		end(s, WS_INTERNAL, "slow consumer");
	else if (last)
		end(s, WS_NORMAL, "run ended");
	flush_soon(s);
	if (!s->held && behind(s) >= HOLD_BYTES) {
		s->held = true;
		s->held_us = sg_clock_monotonic_us();
	}
	return !s->held;
}

static void on_end(void *ctx)
{
	end(ctx, WS_NORMAL, "run ended");
}

static const struct sg_stream_sink sink = {.open = on_open, .event = on_event, .end = on_end};

static void on_refused(void *ctx, const struct sg_response *r)
{
	struct sg_stream *s = ctx;
	if (s->req)
		s->refused(s->ctx, r);
}

struct sg_stream *sg_stream_start(struct sg_conn *c, h2o_req_t *req, struct sg_request *r,
	struct sg_principal *p, sg_reply refused, void *ctx)
{
	struct sg_stream *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->server = c->server;
	s->conn = c;
	s->req = req;
	s->principal = sg_principal_ref(p);
	s->refused = refused;
	s->ctx = ctx;
	s->flush_entry.cb = on_flush;
	s->pending = SG_BUF_INIT(2 * SG_SERVE_STREAM_BUFFER);
	s->sending = s->pending;
	(void)h2o_is_websocket_handshake(req, &s->key);
	s->link = &c->server->streams;
	s->next = *s->link;
	if (s->next)
		s->next->link = &s->next;
	*s->link = s;
	r->stream = &sink;
	return s;
}

void sg_stream_ask(struct sg_stream *s, struct sg_request *r)
{
	sg_api_handle(s->server->api, r, on_refused, s);
}

void sg_stream_left(struct sg_stream *s)
{
	s->req = NULL;
	if (!s->ws) {
		destroy(s);
		return;
	}
	s->conn->upgraded = true;
	flush_soon(s); /* h2o hands the socket over when this returns */
}

static bool still_welcome(struct sg_stream *s, int64_t now_s)
{
	struct sg_server *server = s->server;
	struct sg_error err;
	if (*s->principal->id.fingerprint &&
		sg_grants_denies(server->grants, s->principal->id.fingerprint))
		return false;
	return !s->conn->peer.cert ||
	       sg_tls_still_good(server->tls, s->conn->peer.cert, now_s, &err) == 0;
}

static void heartbeat(struct sg_stream *s)
{
	if (s->key) {
		const struct wslay_event_msg ping = {.opcode = WSLAY_PING};
		if (s->ws->sock)
			(void)wslay_event_queue_msg(s->ws->ws_ctx, &ping);
	} else {
		sg_buf_adds(&s->pending, ":\n\n");
	}
	flush_soon(s);
}

void sg_streams_sweep(struct sg_server *server, int64_t now_us)
{
	int64_t now_s = sg_clock_utc_us() / 1000000;
	for (struct sg_stream *s = server->streams; s; s = s->next) {
		if (!s->open)
			continue;
		if (s->ended && now_us - s->ended_us > CLOSE_GRACE_US)
			sg_conn_cut(s->conn);
		else if (!s->ended && !still_welcome(s, now_s))
			end(s, WS_POLICY, "certificate denied");
		else if (!s->ended && s->held && now_us - s->held_us > SLOW_US)
			end(s, WS_INTERNAL, "slow consumer");
		else if (!s->ended && now_us - s->sent_us > SG_SERVE_HEARTBEAT_MS * 1000LL &&
			 behind(s) == 0)
			heartbeat(s);
	}
}

void sg_streams_end(struct sg_server *server)
{
	for (struct sg_stream *s = server->streams; s; s = s->next)
		if (s->open)
			end(s, WS_GOING_AWAY, "server is stopping");
}
