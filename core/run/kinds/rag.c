/* rag: searches knowledge stores, and has a language model answer from what was found. The record
 * holds the hits and the answer. An answer cites documents that were found, or it is none; where
 * nothing was found nobody is asked. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/utf8.h"
#include "run/chat.h"
#include "run/store_nodes.h"

#define EXCERPT 1500 /* characters of a document that the model is shown */

static const char instructions[] =
	"Answer the question from the documents alone, and cite the ids of those that you relied "
	"on. If they do not answer it, say so and cite none.";
static const char schema[] =
	"{\"additionalProperties\":false,\"properties\":{\"answer\":{\"type\":\"string\"},"
	"\"citations\":{\"items\":{\"type\":\"string\"},\"type\":\"array\"}},\"required\":["
	"\"answer\",\"citations\"],\"type\":\"object\"}";

struct data {
	struct sg_chat chat;
	const char *query; /* the field; borrowed */
};

static void release(void *arg)
{
	struct data *d = arg;
	if (d)
		sg_chat_finish(&d->chat);
	free(d);
}

static int check_field(const struct sg_kind_load *l, const char *name, enum sg_field_type type,
	struct sg_error *err)
{
	const struct sg_field *f = sg_graph_find_field(l->graph, name);
	if (f && f->type == type)
		return 0;
	return sg_error_set(err, SG_EINVALID, NULL,
		"kind rag works with the state field \"%s\", %s", name,
		f ? "whose type does not fit" : "which the graph does not have");
}

static int fill(const struct sg_kind_load *l, void *data, struct sg_error *err)
{
	struct data *d = data;
	const char *hits = json_string_value(json_object_get(l->node->config, "hits"));
	const char *query = json_string_value(json_object_get(l->node->config, "query"));
	d->query = query ? query : "query";
	int r = sg_chat_prepare(l, &d->chat, err);
	if (r == 0)
		r = check_field(l, d->query, SG_STR, err);
	if (r == 0)
		r = check_field(l, "answer", SG_STR, err);
	if (r == 0)
		r = check_field(l, "citations", SG_LIST, err);
	if (r == 0 && hits)
		r = check_field(l, hits, SG_LIST, err);
	if (r == 0)
		r = sg_kind_check_gather(l, err);
	return r < 0 ? r : sg_json_parse(schema, sizeof(schema) - 1, &d->chat.schema, err);
}

static int prepare(const struct sg_kind_load *l, void **ret_data, struct sg_error *err)
{
	return sg_kind_make(l, sizeof(struct data), fill, release, ret_data, err);
}

/* ---- the question ---- */

/* Whole characters, EXCERPT at most. */
static size_t excerpt(const char *s, size_t n)
{
	size_t at = 0;
	for (int i = 0; i < EXCERPT && at < n; i++) {
		size_t k = sg_utf8_length(s + at, n - at);
		at += k ? k : 1;
	}
	return at;
}

static void add_documents(const json_t *hits, struct sg_buf *out)
{
	size_t i;
	const json_t *hit;
	json_array_foreach (hits, i, hit) {
		const json_t *text = json_object_get(hit, "text");
		const char *s = json_string_value(text);
		sg_buf_addf(out, "\n[%s]\n", json_string_value(json_object_get(hit, "id")));
		if (s)
			sg_buf_add(out, s, excerpt(s, json_string_length(text)));
		sg_buf_addc(out, '\n');
	}
}

static int ask(struct sg_exec *x, const char *question, json_t *found, struct sg_error *err)
{
	const struct data *d = x->data;
	const char *own = json_string_value(json_object_get(x->node->config, "instructions"));
	sg_autobuf system = SG_BUF_INIT(SG_CHAT_MAX_PROMPT),
		   prompt = SG_BUF_INIT(SG_CHAT_MAX_PROMPT);
	sg_buf_adds(&system, own ? own : instructions);
	sg_buf_adds(&prompt, "Question:\n");
	sg_buf_adds(&prompt, question);
	sg_buf_adds(&prompt, "\n\nDocuments:\n");
	add_documents(json_object_get(found, "hits"), &prompt);
	if (system.failed || prompt.failed) {
		json_decref(found);
		return sg_error_set(err, SG_ELIMIT, "llm-request",
			"the request is larger than %u bytes", SG_CHAT_MAX_PROMPT);
	}
	return sg_chat_ask(x, &d->chat, &system, &prompt, found, err);
}

static int nothing_found(struct sg_exec *x, json_t *found, struct sg_error *err)
{
	json_auto_t *own = found;
	json_t *record = json_pack("{s:s, s:s}", "kind", "rag", "node", x->node->id);
	if (record && json_object_update(record, own) < 0) {
		json_decref(record);
		record = NULL;
	}
	return sg_exec_set_record(x, record, err);
}

static void searched(struct sg_exec *x, void *ctx, json_t *found, const struct sg_error *failure)
{
	sg_autofree char *question = ctx;
	struct sg_error err;
	if (failure) {
		sg_exec_complete(x, failure);
		return;
	}
	if (!x->run) { /* nobody waits for it any more */
		json_decref(found);
		sg_exec_complete(x, NULL);
		return;
	}
	int r = json_array_size(json_object_get(found, "hits")) ? ask(x, question, found, &err)
								: nothing_found(x, found, &err);
	if (r != SG_EXEC_PENDING)
		sg_exec_complete(x, r < 0 ? &err : NULL);
}

static int execute(struct sg_exec *x, struct sg_error *err)
{
	const struct data *d = x->data;
	const json_t *text = json_object_get(x->state, d->query);
	if (!json_is_string(text))
		return sg_error_set(err, SG_EINVALID, "retrieval-query",
			"the state field \"%s\" holds no text", d->query);
	if (!d->chat.llm)
		return sg_error_set(err, SG_EREFUSED, "llm-undeclared",
			"the language model of node %s is not declared", x->node->id);
	char *question = strdup(json_string_value(text));
	if (!question)
		return sg_error_nomem(err);
	int r = sg_exec_gather(
		x, json_string_value(text), json_string_length(text), searched, question, err);
	if (r < 0)
		free(question);
	return r;
}

/* ---- the answer ---- */

static bool cites(const json_t *citations, const json_t *id)
{
	size_t i;
	const json_t *one;
	json_array_foreach (citations, i, one)
		if (json_equal(one, id))
			return true;
	return false;
}

static bool was_found(const json_t *hits, const json_t *id)
{
	size_t i;
	const json_t *hit;
	json_array_foreach (hits, i, hit)
		if (json_equal(json_object_get(hit, "id"), id))
			return true;
	return false;
}

/* Those that are cited, once each, the best first. */
static int citations_of(const json_t *hits, const json_t *cited, json_t **ret, struct sg_error *err)
{
	size_t i;
	const json_t *one;
	json_array_foreach (cited, i, one)
		if (!was_found(hits, one))
			return sg_error_set(err, SG_EINVALID, "llm-citation",
				"the answer cites \"%.100s\", which was not found",
				json_string_value(one));
	json_t *list = json_array();
	json_array_foreach (hits, i, one) {
		json_t *id = json_object_get(one, "id");
		if (list && cites(cited, id) && !cites(list, id))
			(void)json_array_append(list, id);
	}
	*ret = list;
	return list ? 0 : sg_error_nomem(err);
}

static int put(struct sg_exec *x, json_t *hits, const json_t *answer, struct sg_error *err)
{
	const char *field = json_string_value(json_object_get(x->node->config, "hits"));
	json_t *text = json_object_get(answer, "answer"), *list = NULL;
	int r = citations_of(hits, json_object_get(answer, "citations"), &list, err);
	if (r < 0)
		return sg_chat_reject(x, err);
	r = sg_chat_put(x, "citations", list, err);
	if (r == 0)
		r = sg_chat_put(x, "answer", text ? json_incref(text) : json_string(""), err);
	if (r == 0 && field)
		r = sg_chat_put(x, field, json_incref(hits), err);
	return r < 0 ? r : sg_chat_done(x, err);
}

static int apply(struct sg_exec *x, const json_t *record, struct sg_error *err)
{
	const struct data *d = x->data;
	json_t *hits = json_object_get(record, "hits");
	json_auto_t *answer = NULL;
	if (!json_is_array(hits))
		return sg_error_set(err, SG_ECORRUPT, "record-damaged", "a retrieval without hits");
	int r = json_array_size(hits) ? sg_chat_read(x, &d->chat, record, &answer, err) : 0;
	if (r == 0)
		r = put(x, hits, answer, err);
	return r < 0 ? r : 0;
}

const struct sg_node_kind sg_kind_rag = {
	.spec = {.name = "rag",
		.config_schema =
			"{\"type\":\"object\",\"required\":[\"stores\"],"
			"\"additionalProperties\":false,\"properties\":{" SG_CHAT_PROPERTIES ","
			"\"stores\":{\"type\":\"array\",\"minItems\":1,\"maxItems\":16,"
			"\"items\":{\"type\":\"string\",\"minLength\":1}},"
			"\"query\":{\"type\":\"string\"},\"instructions\":{\"type\":\"string\","
			"\"minLength\":1},\"hits\":{\"type\":\"string\"},"
			"\"k\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":50},"
			"\"mode\":{\"enum\":[\"vector\",\"text\",\"hybrid\"]},"
			"\"filter\":{\"type\":\"object\"},\"int8\":{\"type\":\"boolean\"}}}"},
	.prepare = prepare,
	.release = release,
	.execute = execute,
	.apply = apply,
	.store = sg_chat_store,
	.effects = sg_chat_effects,
	.cancel = sg_exec_offload_cancel,
	.elsewhere = true,
	.outside = true, /* it sees what the run wrote before */
	.asks = true,
	.searches = true,
	.needs = {{"stores", "read"}},
};
