/* Event streams of runs: server-sent events (WHATWG HTML 9.2) and WebSocket (RFC 6455), both
 * resuming after Last-Event-Id. What a consumer does not take yet stays in the record, not in
 * memory; one that does not take a quarter of a MiB in ten seconds is cut off: 1011 "slow consumer"
 * on a WebSocket, the end of the connection otherwise.
 */
#ifndef SG_SERVE_STREAM_H
#define SG_SERVE_STREAM_H

#include "serve/internal.h"

struct sg_stream;

/* Is this request one for a stream, by its path alone? */
bool sg_stream_wanted(const struct sg_request *r);

/* A stream for this request, to be asked for with sg_stream_ask: refused(ctx, response) is then
 * called as for any request, or the stream opens. ctx is used until sg_stream_left. NULL: memory is
 * short. */
struct sg_stream *sg_stream_start(struct sg_conn *c, h2o_req_t *req, struct sg_request *r,
	struct sg_principal *p, sg_reply refused, void *ctx);
void sg_stream_ask(struct sg_stream *s, struct sg_request *r);

/* The h2o request is gone: the client left, or the connection became a WebSocket. */
void sg_stream_left(struct sg_stream *s);

/* Heartbeats, slow consumers, and the end of streams whose certificate is not good any more. */
void sg_streams_sweep(struct sg_server *server, int64_t now_us);
/* Ends all, politely (shutdown). */
void sg_streams_end(struct sg_server *server);

#endif
