/* A plain request to a plain response. Knows no h2o type and no socket; serve translates.
 *
 * One table (routes.c) maps method and path to capability, schemas and handler: requests are
 * checked against it and /openapi.json is printed from it. A route is one handler and one row.
 * Errors are RFC 9457 application/problem+json whose detail is the original's detail.
 *
 * All functions are for the loop's thread.
 */
#ifndef SG_API_API_H
#define SG_API_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "run/run.h"

struct sg_api;

/* Who asks, as the door proved it. All strings borrowed for the life of the request. */
struct sg_identity {
	bool authenticated; /* false: a local probe; only /v1/health answers it */
	const char *actor;  /* canonical RFC 4514 subject, or "anonymous" */
	const char *subject, *issuer, *serial, *fingerprint,
		*san;			 /* "" when the door carries none */
	const char *door;		 /* "unix", "loopback", "direct" */
	const char *const *capabilities; /* what the grants give */
	size_t n_capabilities;
};

struct sg_header {
	const char *name, *value; /* name in lower case */
};

/* The request headers that api reads; a door need not hand down any other. NULL-terminated. */
extern const char *const sg_api_headers[];

/* Where the events of a stream go. Borrowed for the life of the stream. */
struct sg_stream_sink {
	/* The stream is allowed; events follow, perhaps from within this call's caller. */
	void (*open)(void *ctx);
	/* id is what a client sends back as Last-Event-Id. last: nothing follows. All strings
	 * borrowed for the call; sg_api_forget must not be called from within. False: enough for
	 * now, nothing comes until sg_api_stream_more. */
	bool (*event)(void *ctx, const char *id, const char *type, const char *data, size_t len,
		bool last);
	/* Nothing follows, after events or at once: the client has seen all there is. */
	void (*end)(void *ctx);
};

struct sg_request {
	const char *method, *path,
		*query; /* path decoded of nothing; query without '?', "" if none */
	const struct sg_header *headers;
	size_t n_headers;
	const char *body;
	size_t body_len;
	const struct sg_identity *identity;
	const struct sg_stream_sink *stream; /* NULL: this door cannot stream */
};

struct sg_response {
	int status;
	const char *content_type;
	const char *body; /* borrowed for the call of reply */
	size_t body_len;
	const struct sg_header *headers;
	size_t n_headers;
};

typedef void (*sg_reply)(void *ctx, const struct sg_response *r);

/* The request's traceparent (W3C Trace Context: "00-<32 hex>-<16 hex>-<2 hex>", neither id all
 * zeros); NULL = none, or not one: what cannot be read is as if it were not there. Borrowed. */
const char *sg_request_trace(const struct sg_request *r);

/* The reason phrase of an HTTP status (RFC 9110, RFC 4918), or NULL when this surface never uses
 * it. Static. */
const char *sg_api_reason(int status);

int sg_api_create(struct sg_api **ret, struct sg_engine *engine, const struct sg_config *config,
	struct sg_error *err);
void sg_api_destroy(struct sg_api *a); /* forgets all calls; NULL is fine */

/* Calls reply exactly once, now or later, on the same thread, unless sg_api_forget(ctx) came first
 * (the client left). The request may be gone after this returns. A stream route calls stream->open
 * instead of reply when it is allowed, and its events until last or until sg_api_forget(ctx). */
void sg_api_handle(struct sg_api *a, const struct sg_request *req, sg_reply reply, void *ctx);
void sg_api_forget(struct sg_api *a, const void *ctx);
/* The stream with this ctx can take more. */
void sg_api_stream_more(struct sg_api *a, const void *ctx);

/* What a door refuses before any route is looked at: an audited record of type "refused" with
 * kind and detail, then, once it is durable, a problem of this status. identity may be NULL. */
void sg_api_refuse(struct sg_api *a, const struct sg_request *req, int status, const char *kind,
	const char *detail, sg_reply reply, void *ctx);

/* The same record alone, not waited for: the door answers by itself (a body too large, a request
 * that its parser refused). */
void sg_api_note_refused(struct sg_api *a, const struct sg_request *req, int status,
	const char *kind, const char *detail);

/* `Prefer: wait` deadlines: milliseconds to the next, -1 = none; and what is due now. */
int sg_api_timeout_ms(const struct sg_api *a);
void sg_api_tick(struct sg_api *a);

/* The model whose /info and /tokenize are served (borrowed); NULL = those answer 503. */
void sg_api_set_embedder(struct sg_api *a, const struct sg_embedder *embedder);

/* What /v1/triggers shows and fires (borrowed); NULL = none. */
struct sg_triggers;
void sg_api_set_triggers(struct sg_api *a, struct sg_triggers *triggers);

/* After a reload: the configuration that is in force now (borrowed). */
void sg_api_reconfigure(struct sg_api *a, const struct sg_config *config);

#endif
