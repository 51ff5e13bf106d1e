/* Embeddings over HTTP: OpenAI's POST /v1/embeddings, text-embeddings-inference's POST /embed,
 * POST /tokenize and GET /info. Texts of one request are embedded side by side by the workers. */
#include "api/internal.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"

#define BASE64_VECTOR (4 * ((SG_EMBED_DIM * sizeof(float) + 2) / 3))

struct job;

struct item {
	struct job *job;
	float vector[SG_EMBED_DIM];
	size_t tokens, dropped;
};

struct job {
	struct sg_call *call;
	size_t n, left;
	bool refuse_long; /* a text that would be truncated is an error */
	bool base64;
	void (*finish)(struct sg_call *c, const struct job *j);
	struct item items[];
};

static void cleanup(struct sg_call *c)
{
	struct job *j = c->extra;
	for (size_t i = 0; i < j->n; i++)
		sg_engine_forget(c->api->engine, &j->items[i]);
	free(j);
}

static void embedded(
	void *ctx, const float *vector, const struct sg_tokens *tokens, const struct sg_error *err)
{
	struct item *it = ctx;
	struct job *j = it->job;
	if (err) {
		sg_call_error(j->call, err);
		return;
	}
	if (tokens->truncated && j->refuse_long) {
		sg_call_problem(j->call, 413,
			"an input has more tokens than the model takes (256), and truncate is "
			"false");
		return;
	}
	memcpy(it->vector, vector, sizeof(it->vector));
	it->tokens = tokens->n;
	it->dropped = tokens->dropped;
	if (--j->left == 0)
		j->finish(j->call, j);
}

static bool is_ids(const json_t *v)
{
	size_t i;
	json_t *id;
	if (!json_is_array(v) || json_array_size(v) == 0)
		return false;
	json_array_foreach (v, i, id)
		if (!json_is_integer(id))
			return false;
	return true;
}

/* The inputs as a list of strings and lists of ids, owned; NULL and the call answered when they are
 * none. */
static json_t *inputs_of(struct sg_call *c, const char *key, bool ids_allowed)
{
	json_t *v = json_object_get(c->body, key), *input;
	if (json_is_string(v) || (ids_allowed && is_ids(v)))
		return json_pack("[O]", v);
	size_t i;
	json_array_foreach (v, i, input)
		if (!json_is_string(input) && !(ids_allowed && is_ids(input))) {
			sg_call_problem(c, 422,
				ids_allowed ? "inputs must be strings or lists of token ids"
					    : "inputs must be strings");
			return NULL;
		}
	if (json_array_size(v) > SG_API_MAX_INPUTS) {
		sg_call_problem(c, 422, "more than 256 inputs");
		return NULL;
	}
	return json_incref(v);
}

static void answer_error(struct sg_call *c, const struct sg_error *err)
{
	if (err->code == SG_EBUSY && strcmp(err->kind, "embed-queue") == 0)
		sg_call_problem(c, 429, err->text);
	else
		sg_call_error(c, err);
}

static int submit_ids(struct item *it, const json_t *list, struct sg_error *err)
{
	size_t n = json_array_size(list);
	sg_autofree int32_t *ids = malloc(n * sizeof(*ids));
	if (!ids)
		return sg_error_nomem(err);
	for (size_t i = 0; i < n; i++) {
		json_int_t id = json_integer_value(json_array_get(list, i));
		ids[i] = id < 0 || id > INT32_MAX ? -1 : (int32_t)id;
	}
	return sg_engine_embed_ids(it->job->call->api->engine, ids, n, embedded, it, err);
}

static int submit(struct item *it, const json_t *input, struct sg_error *err)
{
	const struct sg_api *a = it->job->call->api;
	if (json_is_array(input))
		return submit_ids(it, input, err);
	return sg_engine_embed(a->engine, json_string_value(input), json_string_length(input),
		SG_EMBED_MAX_TOKENS, embedded, it, err);
}

/* 413 and true when one is longer than limits.text_bytes. */
static bool too_long(struct sg_call *c, const json_t *inputs)
{
	size_t i;
	json_t *t;
	const size_t limit = (size_t)c->api->config->limits.text_bytes;
	json_array_foreach (inputs, i, t)
		if (json_string_length(t) > limit) {
			sg_call_problem(c, 413, "an input is longer than limits.text_bytes");
			return true;
		}
	return false;
}

static struct job *create(struct sg_call *c, size_t n)
{
	struct job *j = calloc(1, sizeof(*j) + n * sizeof(j->items[0]));
	if (!j) {
		sg_call_problem(c, 503, "out of memory");
		return NULL;
	}
	j->call = c;
	j->n = n;
	j->left = n + 1;
	for (size_t i = 0; i < n; i++)
		j->items[i].job = j;
	c->extra = j;
	c->cleanup = cleanup;
	return j;
}

static void start(struct job *j, const json_t *inputs)
{
	struct sg_error err;
	for (size_t i = 0; i < j->n; i++)
		if (submit(&j->items[i], json_array_get(inputs, i), &err) < 0) {
			answer_error(j->call, &err);
			return;
		}
	if (--j->left == 0)
		j->finish(j->call, j);
}

static void put_vector(struct sg_buf *b, const float *v)
{
	char text[32];
	sg_buf_addc(b, '[');
	for (size_t i = 0; i < SG_EMBED_DIM; i++) {
		if (i)
			sg_buf_addc(b, ',');
		sg_buf_add(b, text, sg_json_number(v[i], text));
	}
	sg_buf_addc(b, ']');
}

/* OpenAI's client asks for this by default: the floats in little-endian order. */
static void put_base64(struct sg_buf *b, const float *v)
{
	unsigned char text[BASE64_VECTOR + 1];
	int n = EVP_EncodeBlock(text, (const unsigned char *)v, SG_EMBED_DIM * sizeof(float));
	sg_buf_addc(b, '"');
	sg_buf_add(b, text, (size_t)n);
	sg_buf_addc(b, '"');
}

static void put_model(struct sg_buf *b, const struct sg_api *a)
{
	if (!a->embedder)
		return;
	const struct sg_model_info *m = sg_embedder_info(a->embedder);
	sg_buf_addf(b,
		"\"model_sha256\":\"%s\",\"tokenizer_sha256\":\"%s\",\"content_sha256\":\"%s\",",
		m->weights_sha256, m->tokenizer_sha256, m->content_sha256);
}

static void put_embedding(struct sg_buf *b, const struct item *it, size_t i, bool base64)
{
	sg_buf_addf(b,
		"%s{\"object\":\"embedding\",\"index\":%zu,\"truncated\":%s,"
		"\"truncated_tokens\":%zu,\"embedding\":",
		i ? "," : "", i, it->dropped ? "true" : "false", it->dropped);
	if (base64)
		put_base64(b, it->vector);
	else
		put_vector(b, it->vector);
	sg_buf_addc(b, '}');
}

static void finish_openai(struct sg_call *c, const struct job *j)
{
	sg_autobuf b = SG_BUF_INIT(SG_API_MAX_REPLY);
	size_t tokens = 0;
	sg_buf_adds(&b, "{\"object\":\"list\",\"data\":[");
	for (size_t i = 0; i < j->n; i++) {
		put_embedding(&b, &j->items[i], i, j->base64);
		tokens += j->items[i].tokens;
	}
	sg_buf_adds(&b, "],\"model\":\"all-MiniLM-L6-v2\",");
	put_model(&b, c->api);
	sg_buf_addf(&b, "\"usage\":{\"prompt_tokens\":%zu,\"total_tokens\":%zu}}", tokens, tokens);
	sg_call_json(c, 200, &b);
}

void sg_route_embeddings(struct sg_call *c)
{
	const char *format = json_string_value(json_object_get(c->body, "encoding_format"));
	json_auto_t *inputs = inputs_of(c, "input", true);
	if (!inputs || too_long(c, inputs))
		return;
	struct job *j = create(c, json_array_size(inputs));
	if (!j)
		return;
	j->base64 = format && strcmp(format, "base64") == 0;
	j->refuse_long = json_is_false(json_object_get(c->body, "truncate"));
	j->finish = finish_openai;
	start(j, inputs);
}

/* The body has no room for more than vectors, so what else there is to say is in headers. */
static void finish_embed(struct sg_call *c, const struct job *j)
{
	sg_autobuf b = SG_BUF_INIT(SG_API_MAX_REPLY), dropped = SG_BUF_INIT(SG_API_MAX_INPUTS * 24);
	sg_buf_addc(&b, '[');
	for (size_t i = 0; i < j->n; i++) {
		if (i)
			sg_buf_addc(&b, ',');
		put_vector(&b, j->items[i].vector);
		sg_buf_addf(&dropped, "%s%zu", i ? "," : "", j->items[i].dropped);
	}
	sg_buf_addc(&b, ']');
	if (b.failed || dropped.failed || !c->api->embedder) {
		sg_call_json(c, 200, &b);
		return;
	}
	const struct sg_model_info *m = sg_embedder_info(c->api->embedder);
	const struct sg_header headers[] = {{"x-truncated-tokens", dropped.data},
		{"x-model-sha256", m->weights_sha256}, {"x-tokenizer-sha256", m->tokenizer_sha256}};
	sg_call_reply(c, 200, "application/json", b.data, b.len, headers, SG_ARRAY_LEN(headers));
}

void sg_route_embed(struct sg_call *c)
{
	json_auto_t *inputs = inputs_of(c, "inputs", true);
	if (!inputs || too_long(c, inputs))
		return;
	struct job *j = create(c, json_array_size(inputs));
	if (!j)
		return;
	j->refuse_long = !json_is_true(json_object_get(c->body, "truncate"));
	j->finish = finish_embed;
	start(j, inputs);
}

static void put_token(
	struct sg_buf *b, int32_t id, const struct sg_token_span *s, const char *text, bool first)
{
	sg_buf_addf(b, "{\"id\":%d,\"text\":", id);
	if (s->framing)
		sg_buf_addf(b, "\"%s\",\"special\":true,\"start\":null,\"stop\":null}",
			first ? "[CLS]" : "[SEP]");
	else {
		sg_buf_add_json_string(b, text + s->from, s->to - s->from);
		sg_buf_addf(b, ",\"special\":false,\"start\":%zu,\"stop\":%zu}", s->start, s->stop);
	}
}

/* All tokens, as the peer: what is cut off for embedding is not cut off here. */
static int put_tokens(struct sg_buf *b, const struct sg_tokenizer *t, const json_t *text,
	bool framed, struct sg_error *err)
{
	struct sg_tokens tokens;
	struct sg_token_span *spans;
	const char *chars = json_string_value(text);
	int r = sg_tokenize_spans(t, chars, json_string_length(text), 0, &tokens, &spans, err);
	if (r < 0)
		return r;
	const size_t from = framed ? 0 : 1, to = framed ? tokens.n : tokens.n - 1;
	sg_buf_addc(b, '[');
	for (size_t i = from; i < to; i++) {
		if (i > from)
			sg_buf_addc(b, ',');
		put_token(b, tokens.ids[i], &spans[i], chars, i == 0);
	}
	sg_buf_addc(b, ']');
	free(spans);
	sg_tokens_finish(&tokens);
	return 0;
}

void sg_route_tokenize(struct sg_call *c)
{
	struct sg_error err;
	size_t i;
	json_t *text;
	if (!c->api->embedder) {
		sg_call_problem(c, 503, "no embedding model is loaded");
		return;
	}
	const bool framed = !json_is_false(json_object_get(c->body, "add_special_tokens"));
	json_auto_t *texts = inputs_of(c, "inputs", false);
	if (!texts || too_long(c, texts))
		return;
	sg_autobuf b = SG_BUF_INIT(SG_API_MAX_REPLY);
	int r = 0;
	sg_buf_addc(&b, '[');
	json_array_foreach (texts, i, text) {
		if (i)
			sg_buf_addc(&b, ',');
		if (r == 0)
			r = put_tokens(
				&b, sg_embedder_tokenizer(c->api->embedder), text, framed, &err);
	}
	sg_buf_addc(&b, ']');
	if (r < 0)
		sg_call_error(c, &err);
	else
		sg_call_json(c, 200, &b);
}

void sg_route_info(struct sg_call *c)
{
	if (!c->api->embedder) {
		sg_call_problem(c, 503, "no embedding model is loaded");
		return;
	}
	const struct sg_model_info *m = sg_embedder_info(c->api->embedder);
	sg_autobuf b = SG_BUF_INIT(4096);
	sg_buf_addf(&b,
		"{\"model_id\":\"sentence-transformers/all-MiniLM-L6-v2\",\"model_sha\":\"%s\","
		"\"tokenizer_sha\":\"%s\",\"content_sha\":\"%s\",\"model_dtype\":\"%s\","
		"\"kernel\":\"%s\",\"model_type\":{\"embedding\":{\"pooling\":\"mean\"}},"
		"\"max_concurrent_requests\":%lld,\"max_input_length\":%d,\"max_batch_tokens\":%d,"
		"\"max_batch_requests\":null,\"max_client_batch_size\":%d,\"auto_truncate\":false,"
		"\"tokenization_workers\":1,\"dimensions\":%d,\"version\":\"%s\"}",
		m->weights_sha256, m->tokenizer_sha256, m->content_sha256,
		strncmp(m->kernel, "bf16", 4) == 0 ? "bfloat16" : "float32", m->kernel,
		(long long)c->api->config->limits.queue, SG_EMBED_MAX_TOKENS, SG_EMBED_BATCH_ROWS,
		SG_API_MAX_INPUTS, SG_EMBED_DIM, SG_VERSION);
	sg_call_json(c, 200, &b);
}
