/* A plain request to a plain response. Knows no h2o type and no socket; serve translates.
 *
 * One table (api.c) maps method and route to capability and handler; a route is one file and one
 * row. Errors are RFC 9457 application/problem+json whose detail is the original's detail.
 */
#ifndef SG_API_API_H
#define SG_API_API_H

#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"
#include "run/run.h"

struct sg_api;

/* Who asks, as the door proved it. All strings borrowed for the life of the request. */
struct sg_identity {
	bool authenticated; /* false: a local probe; only the health routes answer it */
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

struct sg_request {
	const char *method, *path,
		*query; /* path decoded of nothing; query without '?', "" if none */
	const struct sg_header *headers;
	size_t n_headers;
	const char *body;
	size_t body_len;
	const struct sg_identity *identity;
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

int sg_api_create(struct sg_api **ret, struct sg_engine *engine, const struct sg_config *config,
	struct sg_error *err);
void sg_api_destroy(struct sg_api *a);

/* Calls reply exactly once, now or later, on the same thread, unless sg_api_forget(ctx) came first
 * (the client left). The request may be gone after this returns. */
void sg_api_handle(struct sg_api *a, const struct sg_request *req, sg_reply reply, void *ctx);
void sg_api_forget(struct sg_api *a, const void *ctx);

#endif
