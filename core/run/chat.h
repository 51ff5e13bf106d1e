/* Nodes that ask a language model: which endpoint, the request, the record, what is read from it.
 *
 * The record holds {"kind","node","endpoint","model","request_sha256","response":{"text",
 * "text_sha256","model","finish_reason","usage"}}, or "error" {"class","cause"} instead of a
 * response where config.error takes it. The request is made from the state and the graph, so its
 * hash is enough to show that it was this one. */
#ifndef SG_RUN_CHAT_H
#define SG_RUN_CHAT_H

#include "base/buf.h"
#include "run/kinds.h"

#define SG_CHAT_MAX_PROMPT (4U << 20) /* bytes of a request, and of each of its texts */

/* Properties of config that all these kinds have. */
#define SG_CHAT_PROPERTIES \
	"\"endpoint\":{\"type\":\"string\",\"minLength\":1}," \
	"\"model\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":200}," \
	"\"temperature\":{\"type\":\"number\",\"minimum\":0,\"maximum\":2}," \
	"\"seed\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":2147483647}," \
	"\"max_tokens\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000000}," \
	"\"response_format\":{\"enum\":[\"json_schema\",\"json_object\",\"text\"]}," \
	"\"error\":{\"type\":\"string\",\"minLength\":1}," \
	"\"api_base\":{\"type\":\"string\"},\"api_key_env\":{\"type\":\"string\"}"

/* Made when the graph is loaded. */
struct sg_chat {
	const struct sg_llm *llm; /* NULL: nothing is executed */
	json_t *schema;		  /* owned; what an answer must fit; NULL = any text */
	json_t *shown; /* owned; what the model is told of it, at least as strict; NULL = schema */
};
void sg_chat_finish(struct sg_chat *c);

/* The endpoint of a node: config.endpoint, else the one that the graph's `lm` means, else the only
 * one there is. SG_EINVALID says what is there instead. */
int sg_chat_endpoint(const struct sg_llms *llms, const struct sg_graph *g, const struct sg_node *n,
	const struct sg_llm **ret, struct sg_error *err);
/* Checks SG_CHAT_PROPERTIES and finds the endpoint; schema and shown are the caller's to set. */
int sg_chat_prepare(const struct sg_kind_load *l, struct sg_chat *c, struct sg_error *err);

/* Asks. system may be empty; where an answer has a schema, the system text says so. more: members
 * of the record (taken; NULL = none), which is then of kind "rag". Returns SG_EXEC_PENDING. */
int sg_chat_ask(struct sg_exec *x, const struct sg_chat *c, const struct sg_buf *system,
	const struct sg_buf *prompt, json_t *more, struct sg_error *err);
/* The cancel of these kinds is sg_exec_offload_cancel. */

/* What the record's answer says: a text, or JSON that fits c->schema. 1 = it failed and
 * config.error takes it: x->update is made. */
int sg_chat_read(struct sg_exec *x, const struct sg_chat *c, const json_t *record,
	json_t **ret_answer, struct sg_error *err);
/* The answer is no good, as *err says: 1 with x->update where config.error takes it, else the
 * error. */
int sg_chat_reject(struct sg_exec *x, struct sg_error *err);
/* Puts one field into x->update, which is made with the first; value is taken. */
int sg_chat_put(struct sg_exec *x, const char *field, json_t *value, struct sg_error *err);
/* The end of an apply that went well: config.error is cleared. */
int sg_chat_done(struct sg_exec *x, struct sg_error *err);
/* The effects of these kinds: read. A question changes nothing and leaves nothing. */
enum sg_effects sg_chat_effects(const void *data);
/* The store of these kinds: the audit record llm_call. */
int sg_chat_store(struct sg_exec *x, struct sg_error *err);

#endif
