/* See chat.h. */
#include "run/chat.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/schema.h"
#include "base/suggest.h"
#include "base/utf8.h"
#include "run/internal.h"
#include "run/store_nodes.h"

#define DEFAULT_MAX_TOKENS 1024
#define QUOTED 160 /* bytes of an answer that an error quotes */

void sg_chat_finish(struct sg_chat *c)
{
	json_decref(c->schema);
	json_decref(c->shown);
	*c = (struct sg_chat){0};
}

/* ---- the endpoint ---- */

static int none_declared(const struct sg_node *n, struct sg_error *err)
{
	return sg_error_set(err, SG_EINVALID, NULL,
		"kind %s needs a language model: declare an [[llm]] in stargraph.toml, or give "
		"--lm-url and --lm-model to stargraph run",
		n->kind);
}

static int by_name(const struct sg_llms *llms, const char *name, const struct sg_llm **ret,
	struct sg_error *err)
{
	size_t n;
	const char *const *names = sg_llms_names(llms, &n);
	*ret = sg_llms_find(llms, name);
	if (*ret)
		return 0;
	const char *near = sg_suggest(name, names, n);
	return sg_error_set(err, SG_EINVALID, NULL,
		"config.endpoint: no [[llm]] \"%.64s\" is declared in stargraph.toml%s%s%s", name,
		near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

/* A graph may wish for a model and a port; that the operator has declared it is what counts. */
static int by_wish(const struct sg_llms *llms, const json_t *lm, const struct sg_llm **ret,
	struct sg_error *err)
{
	size_t n;
	const char *const *names = sg_llms_names(llms, &n);
	const char *model = json_string_value(json_object_get(lm, "model"));
	const json_t *port = json_object_get(lm, "port");
	for (size_t i = 0; i < n; i++) {
		const struct sg_llm *l = sg_llms_find(llms, names[i]);
		if (strcmp(l->model, model) != 0 || (port && l->port != json_integer_value(port)))
			continue;
		*ret = l;
		return 0;
	}
	return sg_error_set(err, SG_EINVALID, NULL,
		"the graph's lm: no [[llm]] in stargraph.toml has the model \"%.128s\"%s", model,
		port ? " on that port" : "");
}

int sg_chat_endpoint(const struct sg_llms *llms, const struct sg_graph *g, const struct sg_node *n,
	const struct sg_llm **ret, struct sg_error *err)
{
	size_t count;
	const char *const *names = sg_llms_names(llms, &count);
	const char *name = json_string_value(json_object_get(n->config, "endpoint"));
	const json_t *lm = json_object_get(g->document, "lm");
	if (!count)
		return none_declared(n, err);
	if (name)
		return by_name(llms, name, ret, err);
	if (json_object_get(lm, "model"))
		return by_wish(llms, lm, ret, err);
	if (count > 1)
		return sg_error_set(err, SG_EINVALID, NULL,
			"config.endpoint: name one of the %zu [[llm]] of stargraph.toml, such as "
			"\"%s\"",
			count, names[0]);
	*ret = sg_llms_find(llms, names[0]);
	return 0;
}

int sg_chat_prepare(const struct sg_kind_load *l, struct sg_chat *c, struct sg_error *err)
{
	static const char *const theirs[] = {"api_base", "api_key_env"};
	const json_t *config = l->node->config;
	struct sg_error here = {0};
	for (size_t i = 0; i < SG_ARRAY_LEN(theirs); i++)
		if (json_object_get(config, theirs[i]))
			return sg_error_set(err, SG_EINVALID, NULL,
				"config.%s: where a model is, is not a graph's to say; declare an "
				"[[llm]] in stargraph.toml and name it as endpoint",
				theirs[i]);
	if (json_object_get(config, "error") &&
		!sg_kind_need_field(l, "error", SG_TYPE_BIT(SG_STR), &here)) {
		*err = here;
		return -here.code;
	}
	int r = l->engine ? sg_chat_endpoint(l->llms, l->graph, l->node, &c->llm, err) : 0;
	return l->stored ? 0 : r;
}

/* ---- the request ---- */

struct job {
	const struct sg_llm *llm;
	const char *model; /* borrowed from the node or the endpoint */
	char *body;	   /* owned */
	size_t len;
	char hash[SG_SHA256_HEX];
	int64_t timeout_us;
	json_t *more; /* owned, or NULL */
	struct sg_llm_answer answer;
};

static void release(void *arg)
{
	struct job *j = arg;
	if (!j)
		return;
	free(j->body);
	json_decref(j->more);
	sg_llm_answer_finish(&j->answer);
	free(j);
}

static int work(void *arg, int cancel_fd, struct sg_error *err)
{
	struct job *j = arg;
	const struct sg_llm_call c = {.llm = j->llm,
		.body = j->body,
		.body_len = j->len,
		.timeout_us = j->timeout_us,
		.cancel_fd = cancel_fd};
	return sg_llm_chat(&c, &j->answer, err);
}

static json_t *response_of(const struct job *j)
{
	char hash[SG_SHA256_HEX];
	const struct sg_llm_answer *a = &j->answer;
	json_t *usage = json_object();
	sg_sha256_hex(a->text, a->len, hash);
	if (usage && a->prompt_tokens >= 0)
		(void)json_object_set_new(usage, "prompt_tokens", json_integer(a->prompt_tokens));
	if (usage && a->completion_tokens >= 0)
		(void)json_object_set_new(
			usage, "completion_tokens", json_integer(a->completion_tokens));
	return json_pack("{s:s%, s:s, s:s, s:s, s:o}", "text", a->text, a->len, "text_sha256", hash,
		"model", a->model, "finish_reason", a->finish_reason, "usage", usage);
}

static int finish(struct sg_exec *x, void *arg, int status, struct sg_error *err)
{
	struct job *j = arg;
	if (status < 0 && !json_object_get(x->node->config, "error"))
		return status;
	json_t *record = json_pack("{s:s, s:s, s:s, s:s, s:s}", "kind", j->more ? "rag" : "llm",
		"node", x->node->id, "endpoint", j->llm->name, "model", j->model, "request_sha256",
		j->hash);
	if (record && j->more)
		(void)json_object_update(record, j->more);
	if (record && status < 0)
		(void)json_object_set_new(record, "error",
			json_pack("{s:s, s:s}", "class", err->kind, "cause", err->text));
	else if (record)
		(void)json_object_set_new(record, "response", response_of(j));
	return sg_exec_set_record(x, record, err);
}

static const struct sg_offload_ops ops = {.work = work, .finish = finish, .release = release};

/* What the model is told of the form of its answer. */
static int add_form(struct sg_buf *system, const json_t *shown, struct sg_error *err)
{
	if (system->len)
		sg_buf_adds(system, "\n\n");
	sg_buf_adds(system, "Answer with one JSON object that fits this JSON Schema, and with "
			    "nothing else:\n");
	return sg_json_canonical(shown, system, err);
}

static json_t *format_of(const struct sg_exec *x, json_t *shown)
{
	const char *how = json_string_value(json_object_get(x->node->config, "response_format"));
	if (how && strcmp(how, "text") == 0)
		return NULL;
	if (how && strcmp(how, "json_object") == 0)
		return json_pack("{s:s}", "type", "json_object");
	return json_pack("{s:s, s:{s:s, s:b, s:O}}", "type", "json_schema", "json_schema", "name",
		"answer", "strict", 1, "schema", shown);
}

static json_t *request_of(const struct sg_exec *x, const struct job *j, json_t *shown,
	const struct sg_buf *system, const struct sg_buf *prompt)
{
	static const char *const passed[] = {"seed", "temperature", "max_tokens"};
	const json_t *config = x->node->config;
	json_t *messages = json_array();
	json_t *all = json_pack("{s:s, s:b, s:i, s:i, s:O}", "model", j->model, "stream", 0,
		"temperature", 0, "max_tokens", DEFAULT_MAX_TOKENS, "messages", messages);
	json_decref(messages);
	if (!all)
		return NULL;
	if (system->len)
		(void)json_array_append_new(
			messages, json_pack("{s:s, s:s%}", "role", "system", "content",
					  system->data, system->len));
	(void)json_array_append_new(
		messages, json_pack("{s:s, s:s%}", "role", "user", "content",
				  prompt->data ? prompt->data : "", prompt->len));
	for (size_t i = 0; i < SG_ARRAY_LEN(passed); i++)
		if (json_object_get(config, passed[i]))
			(void)json_object_set(all, passed[i], json_object_get(config, passed[i]));
	json_t *format = shown ? format_of(x, shown) : NULL;
	if (format)
		(void)json_object_set_new(all, "response_format", format);
	return all;
}

static int make_body(struct sg_exec *x, const struct sg_chat *c, struct job *j,
	const struct sg_buf *system, const struct sg_buf *prompt, struct sg_error *err)
{
	sg_autobuf text = SG_BUF_INIT(SG_CHAT_MAX_PROMPT), out = SG_BUF_INIT(SG_CHAT_MAX_PROMPT);
	json_t *shown = c->shown ? c->shown : c->schema;
	sg_buf_add(&text, system->data, system->len);
	int r = shown ? add_form(&text, shown, err) : 0;
	json_auto_t *request = r == 0 ? request_of(x, j, shown, &text, prompt) : NULL;
	if (r == 0)
		r = request ? sg_json_canonical(request, &out, err) : sg_error_nomem(err);
	if (r == -SG_ELIMIT || text.failed)
		return sg_error_set(err, SG_ELIMIT, "llm-request",
			"the request is larger than %u bytes", SG_CHAT_MAX_PROMPT);
	if (r < 0)
		return r;
	j->len = out.len;
	sg_sha256_hex(out.data, out.len, j->hash);
	j->body = sg_buf_take(&out);
	return j->body ? 0 : sg_error_nomem(err);
}

int sg_chat_ask(struct sg_exec *x, const struct sg_chat *c, const struct sg_buf *system,
	const struct sg_buf *prompt, json_t *more, struct sg_error *err)
{
	struct job *j = calloc(1, sizeof(*j));
	if (!j || !c->llm) {
		free(j);
		json_decref(more);
		return c->llm ? sg_error_nomem(err)
			      : sg_error_set(err, SG_EREFUSED, "llm-undeclared",
					"the language model of node %s is not declared",
					x->node->id);
	}
	const char *model = json_string_value(json_object_get(x->node->config, "model"));
	j->llm = c->llm;
	j->model = model ? model : c->llm->model;
	j->more = more;
	j->timeout_us = sg_exec_time_left_us(x);
	int r = make_body(x, c, j, system, prompt, err);
	if (r < 0) {
		release(j);
		return r;
	}
	return sg_exec_offload(x, &ops, j, &x->engine->llm_lanes[c->llm->index], err);
}

/* ---- the answer ---- */

int sg_chat_put(struct sg_exec *x, const char *field, json_t *value, struct sg_error *err)
{
	if (!x->update)
		x->update = json_object();
	return value && x->update && json_object_set_new(x->update, field, value) == 0
		       ? 0
		       : sg_error_nomem(err);
}

static const char *error_field(const struct sg_exec *x)
{
	return json_string_value(json_object_get(x->node->config, "error"));
}

int sg_chat_reject(struct sg_exec *x, struct sg_error *err)
{
	const char *field = error_field(x);
	if (!field || err->code == SG_ENOMEM)
		return -err->code;
	json_decref(x->update);
	x->update = NULL;
	int r = sg_chat_put(x, field, json_string(err->kind), err);
	return r < 0 ? r : 1;
}

int sg_chat_done(struct sg_exec *x, struct sg_error *err)
{
	const char *field = error_field(x);
	return field ? sg_chat_put(x, field, json_string(""), err) : 0;
}

static int bad_answer(
	const char *class, const struct sg_error *why, const char *text, struct sg_error *err)
{
	char quoted[QUOTED];
	(void)snprintf(quoted, sizeof(quoted), "%s", text);
	sg_utf8_mend(quoted);
	return sg_error_set(err, SG_EINVALID, class, "%s: %.300s; it begins: %s",
		strcmp(class, "llm-json") == 0 ? "the answer is not JSON"
					       : "the answer does not fit its schema",
		why->text, quoted);
}

static int read_json(
	const struct sg_chat *c, const json_t *text, json_t **ret, struct sg_error *err)
{
	json_auto_t *v = NULL;
	struct sg_error why;
	const char *s = json_string_value(text);
	if (sg_json_parse(s, json_string_length(text), &v, &why) < 0)
		return bad_answer("llm-json", &why, s, err);
	if (sg_schema_validate(c->schema, v, &why) < 0)
		return bad_answer("llm-schema", &why, s, err);
	*ret = sg_steal(v);
	return 0;
}

int sg_chat_read(struct sg_exec *x, const struct sg_chat *c, const json_t *record,
	json_t **ret_answer, struct sg_error *err)
{
	const json_t *error = json_object_get(record, "error");
	json_t *text = json_object_get(json_object_get(record, "response"), "text");
	const char *class = json_string_value(json_object_get(error, "class")),
		   *cause = json_string_value(json_object_get(error, "cause"));
	int r = 0;
	if (class)
		r = sg_error_set(err, SG_EIO, class, "%s", cause ? cause : "");
	else if (!json_is_string(text))
		return sg_error_set(err, SG_ECORRUPT, "record-damaged",
			"a recorded call of a language model has no answer");
	else if (c->schema)
		r = read_json(c, text, ret_answer, err);
	else
		*ret_answer = json_incref(text);
	return r < 0 ? sg_chat_reject(x, err) : 0;
}

/* ---- the audit ---- */

enum sg_effects sg_chat_effects(const void *data)
{
	(void)data;
	return SG_EFFECTS_READ;
}

static json_t *note_of(const json_t *record)
{
	json_t *response = json_object_get(record, "response"),
	       *usage = json_object_get(response, "usage"),
	       *class = json_object_get(json_object_get(record, "error"), "class");
	json_t *note = json_pack("{s:O, s:O, s:O, s:b}", "endpoint",
		json_object_get(record, "endpoint"), "model", json_object_get(record, "model"),
		"request_sha256", json_object_get(record, "request_sha256"), "ok", class == NULL);
	if (note && response)
		(void)json_object_set(
			note, "response_sha256", json_object_get(response, "text_sha256"));
	if (note && json_object_size(usage))
		(void)json_object_set(note, "usage", usage);
	if (note && class)
		(void)json_object_set(note, "class", class);
	return note;
}

int sg_chat_store(struct sg_exec *x, struct sg_error *err)
{
	struct sg_engine *e = x->engine;
	if (!json_object_get(x->record, "endpoint"))
		return 0; /* nothing was asked */
	json_auto_t *note = note_of(x->record);
	const struct sg_llm *llm =
		sg_llms_find(e->llms, json_string_value(json_object_get(x->record, "endpoint")));
	if (!note)
		return sg_error_nomem(err);
	sg_buf_reset(&e->scratch);
	int r = sg_json_canonical(note, &e->scratch, err);
	if (r < 0)
		return r;
	return sg_batch_event(e, x->run, sg_clock_utc_us(), x->run->row.actor, "llm_call", x->step,
		       e->scratch.data, e->scratch.len, "llm", llm ? llm->name : "stargraph")
		       ? 0
		       : sg_error_nomem(err);
}
