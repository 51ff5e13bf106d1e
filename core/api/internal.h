/* Shared by the files of api only: the call in flight, the table of routes, replies. */
#ifndef SG_API_INTERNAL_H
#define SG_API_INTERNAL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "api/api.h"
#include "base/buf.h"
#include "base/error.h"

#define SG_API_MAX_WAIT_S 300	       /* most that Prefer: wait may ask for */
#define SG_API_MAX_REPLY (64U << 20)   /* bytes of one response body */
#define SG_API_MAX_PAGE 1000	       /* rows of one page */
#define SG_API_MAX_QUERY 12	       /* parameters of one route */
#define SG_API_MAX_VALUE 512	       /* bytes of one query value */
#define SG_API_MAX_IDEMPOTENCY_KEY 128 /* bytes */
#define SG_API_PATH_ID 64	       /* bytes of a {…} of a path, with its NUL */
#define SG_API_MAX_INPUTS 256	       /* texts of one embeddings request */

#define SG_API_HELD_HEADERS 8 /* of an answer that waits for its record */

struct sg_call;
struct sg_held;

enum sg_query_type { SG_QUERY_TEXT, SG_QUERY_INTEGER, SG_QUERY_TIME, SG_QUERY_STATUS };

struct sg_query {
	const char *name;
	enum sg_query_type type;
	int64_t min, max, initial; /* of an integer */
	const char *description;
};

struct sg_route {
	const char *method, *path; /* "/v1/runs/{run_id}" */
	/* NULL: answered to anybody, local probes included; "": to every identity */
	const char *capability;
	const char *id, *summary; /* OpenAPI operationId and summary */
	const struct sg_query *query;
	size_t n_query;
	const char *body_schema; /* JSON text in base/schema.h's subset; NULL = takes no body */
	bool body_optional;	 /* an empty body stands for {} */
	bool raw;		 /* the handler parses the body, once it knows who sent it */
	bool texts;		 /* strings of the body may hold NUL: they are only tokenized */
	bool waits;		 /* Prefer: wait=N answers 200 */
	bool keyed;		 /* takes an Idempotency-Key */
	bool effect;		 /* what a success does has audit records of its own */
	int success;
	const char *success_type;   /* media type of a success */
	const char *success_schema; /* name of a component (schemas.c), NULL = not JSON's */
	const char *errors;	    /* "404 409": besides those every route has */
	void (*handle)(struct sg_call *call);
};

extern const struct sg_route sg_routes[];
extern const size_t sg_n_routes;

struct sg_component {
	const char *name, *schema; /* JSON text */
};
extern const struct sg_component sg_components[]; /* schemas.c */
extern const size_t sg_n_components;

struct sg_query_value {
	bool given;
	char text[SG_API_MAX_VALUE + 1];
	int64_t number; /* integer, or time in µs, or status */
};

/* One request in flight. Freed by its reply, or by forget. */
struct sg_call {
	struct sg_api *api;
	struct sg_call *prev, *next;
	sg_reply reply; /* NULL: the client left while an audit record is on its way */
	void *ctx;
	const struct sg_route *route;
	/* valid during the handler only */
	const struct sg_request *req;
	const struct sg_identity *id;
	json_t *body;		       /* owned; validated, NULL when the route takes none */
	struct sg_query_value *query;  /* one for each of route->query, owned */
	char path_id[SG_API_PATH_ID];  /* the {…} of the path */
	char other_id[SG_API_PATH_ID]; /* a second one */
	char run_id[64];	       /* the run that it is about, "" = none: what is recorded */
	/* kept */
	char *actor;
	int64_t deadline_us; /* monotonic; 0 = answers when accepted */
	bool accepted, engine_waits;
	bool recorded;	    /* in the audit log, as a request */
	bool again;	    /* a repeated key: nothing was done */
	const char *path;   /* as the next */
	const char *method; /* as the client wrote it; lives as long as the answer is waited for */
	struct sg_held *held; /* the answer that waits for its record, or NULL */
	const char *trace;    /* the same: a valid traceparent, or NULL */
	int status;	      /* of the answer when it comes */
	char problem[512];
	struct sg_subscription *subscription;
	const struct sg_stream_sink *stream;
	bool streaming; /* open was called */
	bool over;	/* its run had ended before it began */
	void *extra;	/* of the handler; freed by cleanup */
	void (*cleanup)(struct sg_call *call);
};

#define SG_API_MAX_FORKERS 256 /* actors whose forks are counted at once */
struct sg_api_forks {
	uint8_t actor[32]; /* its SHA-256 */
	int64_t next_us;   /* monotonic: when it may fork again */
};

struct sg_api {
	struct sg_engine *engine;
	const struct sg_config *config;
	const struct sg_embedder *embedder; /* NULL = no model */
	struct sg_triggers *triggers;	    /* NULL = none */
	struct sg_call calls;		    /* anchor of the ring */
	json_t **schemas;		    /* one a route, NULL where there is none */
	char *openapi;			    /* the document, made once */
	int64_t next_deadline_us;	    /* 0 = none */
	struct sg_api_forks forks[SG_API_MAX_FORKERS];
	uint64_t answers[6]; /* by hundreds of status */
	size_t n_calls;	     /* in the ring */
	uint64_t refused;    /* refusals and denials */
};

/* reply.c: each ends the call. */
void sg_call_reply(struct sg_call *c, int status, const char *type, const char *body, size_t len,
	const struct sg_header *headers, size_t n_headers);
void sg_call_json(struct sg_call *c, int status, struct sg_buf *body);
void sg_call_problem(struct sg_call *c, int status, const char *detail);
/* 429, with Retry-After. */
void sg_call_too_many(struct sg_call *c, const char *detail, int64_t retry_after_s);
void sg_call_error(struct sg_call *c, const struct sg_error *err);
/* The reply without a call: for what fails before there is one. */
void sg_reply_problem(sg_reply reply, void *ctx, int status, const char *kind, const char *detail,
	const struct sg_header *headers, size_t n_headers);
/* Audits (type, kind, detail and who), then answers status with detail. */
void sg_call_refuse(
	struct sg_call *c, int status, const char *type, const char *kind, const char *detail);
/* As sg_call_refuse: 403, "capability '…' not granted under cleared profile". */
void sg_call_deny(struct sg_call *c, const char *capability);
/* The record of a refusal without a call, not waited for. */
void sg_refusal_note(struct sg_api *a, const struct sg_request *req, int status, const char *kind,
	const char *detail);
void sg_call_end(struct sg_call *c); /* unlinks and frees */
/* 405 with the methods that there are, or 404 when there are none ("") */
void sg_call_no_route(struct sg_call *c, const char *allow);
/* The answer's record is durable (r: the answer), or could not be written (NULL). */
void sg_call_recorded(struct sg_call *c, const struct sg_response *r);

/* record.c: what every answer does before it is told: a request that is in no record yet gets one,
 * "read" for a success, "request" with the status for the rest. Positive outcome 1: the answer is
 * held until that is durable. Negative: it could not. */
int sg_call_account(struct sg_call *c, const struct sg_response *r);
/* The same for a client that did not wait for the answer. */
void sg_call_account_left(struct sg_call *c);
void sg_call_unhold(struct sg_call *c);
void sg_put_trace(json_t *payload, const char *trace); /* NULL: nothing */
/* The record of a read now, before its answer is known (a stream's does not end); not waited for.
 */
int sg_call_note_read(struct sg_call *c);
/* The same, type "request", of what changes something and carries a valid traceparent. */
void sg_call_note_trace(struct sg_call *c);

const char *sg_request_header(const struct sg_request *r, const char *name); /* NULL = none */
bool sg_identity_has(const struct sg_identity *id, const char *capability);
const struct sg_query_value *sg_call_query(const struct sg_call *c, const char *name);

/* api.c: the body of a route that is raw, against its schema. false: the call has been answered. */
bool sg_call_parse_body(struct sg_call *c);

/* runs.c: the run of the path, if this identity may see it. -1: the call has been answered (404).
 */
int sg_call_find_run(struct sg_call *c, struct sg_run_view *ret);
/* Does this run exist, and may the caller see it? Its row alone is read. -1: answered. */
int sg_call_check_run(struct sg_call *c, const char *run_id);
/* As the route's success is: the run (200), or its id and status (202). */
void sg_call_reply_run(struct sg_call *c, const struct sg_run_view *run);
/* An sg_run_callback: the call is answered so, or with the error. */
void sg_call_told(void *ctx, const struct sg_run_view *run, const struct sg_error *err);

/* query.c: fills c->query; SG_EINVALID. */
int sg_query_parse(struct sg_call *c, const char *text, struct sg_error *err);

/* views.c */
void sg_put_run(struct sg_buf *b, const struct sg_run_view *v);	 /* the whole summary */
void sg_put_row(struct sg_buf *b, const struct sg_run_row *row); /* one row of a page */
/* May this identity see (and act on) the run: own, all, or a question it may answer. */
bool sg_run_visible(const struct sg_identity *id, const struct sg_run_row *row);
/* The capability that the open interrupt asks for besides runs:respond; owned, NULL = none. */
char *sg_run_waiting_capability(const struct sg_run_row *row);

/* openapi.c: the document printed from the table; caller frees. */
char *sg_openapi(void);

/* The handlers. */
void sg_route_health(struct sg_call *c);
void sg_route_v1_health(struct sg_call *c);
void sg_route_start_run(struct sg_call *c);
void sg_route_list_runs(struct sg_call *c);
void sg_route_get_run(struct sg_call *c);
void sg_route_respond(struct sg_call *c);
void sg_route_graphs(struct sg_call *c);
void sg_route_cancel(struct sg_call *c);
void sg_route_pause(struct sg_call *c);
void sg_route_resume(struct sg_call *c);
void sg_route_replay(struct sg_call *c);
void sg_route_diff(struct sg_call *c);
void sg_route_counterfactual(struct sg_call *c);
void sg_route_stream(struct sg_call *c);
void sg_route_run_artifacts(struct sg_call *c);
void sg_route_artifact(struct sg_call *c);
void sg_route_metrics(struct sg_call *c);
void sg_route_openapi(struct sg_call *c);
void sg_route_embeddings(struct sg_call *c);
void sg_route_embed(struct sg_call *c);
void sg_route_tokenize(struct sg_call *c);
void sg_route_info(struct sg_call *c);
/* stores.c: has this identity what a run of the graph needs? False: the call has been answered. */
bool sg_call_may_run(struct sg_call *c, const char *graph_id);
void sg_route_stores(struct sg_call *c);
void sg_route_store(struct sg_call *c);
void sg_route_documents(struct sg_call *c);
void sg_route_search(struct sg_call *c);
void sg_route_registry(struct sg_call *c);
void sg_route_triggers(struct sg_call *c);
void sg_route_fire_trigger(struct sg_call *c);

#endif
