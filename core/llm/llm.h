/* Language models: OpenAI-compatible chat endpoints that the operator declares in [[llm]], on this
 * host only. Knows neither the engine nor its threads. The one user of libcurl.
 *
 * Nothing leaves the host. An endpoint is a literal loopback address, `localhost` (pinned, never
 * looked up) or a unix socket; the socket is looked at again before it connects. No redirect is
 * followed, no proxy used, whatever the environment says, and nothing but http is spoken. Each call
 * has a connection of its own: nothing of one run reaches the next through it.
 */
#ifndef SG_LLM_LLM_H
#define SG_LLM_LLM_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define SG_LLM_MAX 16			/* endpoints */
#define SG_LLM_HEADER_BYTES (64U << 10) /* of all headers of a response */
#define SG_LLM_KEY_BYTES 4096U		/* of an API key */
#define SG_LLM_QUOTED 300		/* bytes of an endpoint's own error text that ours quotes */

/* One [[llm]]; read-only once made, so any thread may use it. */
struct sg_llm {
	char *name, *model;
	char *url;    /* of the API, without a slash at its end: "http://127.0.0.1:8080/v1" */
	char *socket; /* path, instead of the address in url; NULL = none */
	char *key;    /* owned, wiped; NULL = none is sent. Never printed, recorded or audited */
	int port;     /* 0 with a socket */
	bool pinned;  /* the host is localhost */
	int64_t timeout_us;
	size_t response_bytes;
	size_t concurrent;
	size_t index; /* in the file's order */
};

struct sg_llms;

/* list: the checked array of [[llm]] tables, or NULL. SG_EINVALID and SG_EREFUSED name the
 * endpoint; an address that is not on this host has the kind "llm-address". */
int sg_llms_create(struct sg_llms **ret, const json_t *list, struct sg_error *err);
void sg_llms_destroy(struct sg_llms *l);
/* NULL when there is none; l may be NULL. */
const struct sg_llm *sg_llms_find(const struct sg_llms *l, const char *name);
/* The names, borrowed, in the file's order. */
const char *const *sg_llms_names(const struct sg_llms *l, size_t *ret_n);

struct sg_llm_call {
	const struct sg_llm *llm;
	const char *body; /* of the request, JSON */
	size_t body_len;
	int64_t timeout_us; /* at most the endpoint's own; 0 = that */
	int cancel_fd;	    /* readable = stop, or -1 */
};

struct sg_llm_answer {
	char *text; /* owned, NUL-terminated UTF-8 without other NULs */
	size_t len;
	char model[128];			  /* as the endpoint names it; "" = it does not */
	char finish_reason[32];			  /* "" = not told */
	int64_t prompt_tokens, completion_tokens; /* -1 = not told */
};
void sg_llm_answer_finish(struct sg_llm_answer *a);

/* POST <url>/chat/completions. Blocks. Errors, by kind: llm-connect, llm-timeout, llm-cancelled,
 * llm-response-limit, llm-http (any status but 200), llm-protocol (not HTTP, cut off, encoded),
 * and those of sg_llm_answer_parse. */
int sg_llm_chat(const struct sg_llm_call *c, struct sg_llm_answer *ret, struct sg_error *err);

/* The body of a response. llm-response: not a chat completion; llm-cut: it ended at max_tokens;
 * llm-refused: the endpoint's own filter. */
int sg_llm_answer_parse(
	const char *data, size_t n, struct sg_llm_answer *ret, struct sg_error *err);

/* GET <url>/models, for doctor. 0 = it answers and lists the model, 1 = it answers and lists others
 * or nothing; otherwise as sg_llm_chat. */
int sg_llm_probe(const struct sg_llm *llm, int64_t timeout_us, struct sg_error *err);

#endif
