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
	size_t tokens;
};

struct job {
	struct sg_call *call;
	size_t n, left;
	bool refuse_long; /* a text that would be truncated is an error */
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
			"an input has more tokens than the model takes (256) and "
			"truncate is not set");
		return;
	}
	memcpy(it->vector, vector, sizeof(it->vector));
	it->tokens = tokens->n;
	if (--j->left == 0)
		j->finish(j->call, j);
}

/* One string or a list of them; NULL and the call answered when it is neither. */
static json_t *texts_of(struct sg_call *c, const char *key)
{
	json_t *v = json_object_get(c->body, key);
	size_t i;
	json_t *t;
	if (json_is_string(v))
		return json_pack("[O]", v);
	json_array_foreach (v, i, t)
		if (!json_is_string(t)) {
			sg_call_problem(
				c, 422, "inputs must be strings; token lists are not taken");
			return NULL;
		}
	return json_incref(v);
}

static void start(struct sg_call *c, json_t *texts, bool refuse_long,
	void (*finish)(struct sg_call *c, const struct job *j))
{
	struct sg_error err;
	size_t n = json_array_size(texts);
	struct job *j = calloc(1, sizeof(*j) + n * sizeof(j->items[0]));
	if (!j) {
		sg_call_problem(c, 503, "out of memory");
		return;
	}
	*j = (struct job){
		.call = c, .n = n, .left = n + 1, .refuse_long = refuse_long, .finish = finish};
	c->extra = j;
	c->cleanup = cleanup;
	for (size_t i = 0; i < n; i++) {
		const json_t *t = json_array_get(texts, i);
		j->items[i].job = j;
		if (sg_engine_embed(c->api->engine, json_string_value(t), json_string_length(t),
			    SG_EMBED_MAX_TOKENS, embedded, &j->items[i], &err) < 0) {
			sg_call_error(c, &err);
			return;
		}
	}
	if (--j->left == 0)
		finish(c, j);
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

static void finish_openai(struct sg_call *c, const struct job *j)
{
	sg_autobuf b = SG_BUF_INIT(SG_API_MAX_REPLY);
	size_t tokens = 0;
	sg_buf_adds(&b, "{\"object\":\"list\",\"data\":[");
	for (size_t i = 0; i < j->n; i++) {
		sg_buf_addf(&b,
			"%s{\"object\":\"embedding\",\"index\":%zu,\"embedding\":", i ? "," : "",
			i);
		if (c->accepted)
			put_base64(&b, j->items[i].vector);
		else
			put_vector(&b, j->items[i].vector);
		sg_buf_addc(&b, '}');
		tokens += j->items[i].tokens;
	}
	sg_buf_addf(&b,
		"],\"model\":\"all-MiniLM-L6-v2\",\"usage\":{\"prompt_tokens\":%zu,"
		"\"total_tokens\":%zu}}",
		tokens, tokens);
	sg_call_json(c, 200, &b);
}

void sg_route_embeddings(struct sg_call *c)
{
	const char *format = json_string_value(json_object_get(c->body, "encoding_format"));
	json_t *texts = texts_of(c, "input");
	if (!texts)
		return;
	sg_call_note_read(c);
	c->accepted = format && strcmp(format, "base64") == 0;
	start(c, texts, false, finish_openai);
	json_decref(texts);
}

static void finish_embed(struct sg_call *c, const struct job *j)
{
	sg_autobuf b = SG_BUF_INIT(SG_API_MAX_REPLY);
	sg_buf_addc(&b, '[');
	for (size_t i = 0; i < j->n; i++) {
		if (i)
			sg_buf_addc(&b, ',');
		put_vector(&b, j->items[i].vector);
	}
	sg_buf_addc(&b, ']');
	sg_call_json(c, 200, &b);
}

void sg_route_embed(struct sg_call *c)
{
	json_t *texts = texts_of(c, "inputs");
	if (!texts)
		return;
	sg_call_note_read(c);
	start(c, texts, !json_is_true(json_object_get(c->body, "truncate")), finish_embed);
	json_decref(texts);
}

static int put_ids(
	struct sg_buf *b, const struct sg_tokenizer *t, const json_t *text, struct sg_error *err)
{
	struct sg_tokens tokens;
	int r = sg_tokenize(t, json_string_value(text), json_string_length(text),
		SG_EMBED_MAX_TOKENS, &tokens, err);
	if (r < 0)
		return r;
	sg_buf_addc(b, '[');
	for (size_t i = 0; i < tokens.n; i++)
		sg_buf_addf(b, "%s{\"id\":%d,\"special\":%s}", i ? "," : "", (int)tokens.ids[i],
			i == 0 || i + 1 == tokens.n ? "true" : "false");
	sg_buf_addc(b, ']');
	sg_tokens_finish(&tokens);
	return 0;
}

/* As the peer's, without the pieces' texts and offsets: the ids are what the model is given. */
void sg_route_tokenize(struct sg_call *c)
{
	struct sg_error err;
	size_t i;
	json_t *text;
	if (!c->api->embedder) {
		sg_call_problem(c, 503, "no embedding model is loaded");
		return;
	}
	json_t *texts = texts_of(c, "inputs");
	if (!texts)
		return;
	sg_autobuf b = SG_BUF_INIT(SG_API_MAX_REPLY);
	int r = 0;
	sg_buf_addc(&b, '[');
	json_array_foreach (texts, i, text) {
		if (i)
			sg_buf_addc(&b, ',');
		r = r < 0 ? r : put_ids(&b, sg_embedder_tokenizer(c->api->embedder), text, &err);
	}
	sg_buf_addc(&b, ']');
	json_decref(texts);
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
		"\"tokenizer_sha\":\"%s\",\"model_dtype\":\"float32\",\"kernel\":\"%s\","
		"\"model_type\":{\"embedding\":{\"pooling\":\"mean\"}},\"max_input_length\":%d,"
		"\"max_client_batch_size\":%d,\"dimensions\":%d,\"version\":\"%s\"}",
		m->weights_sha256, m->tokenizer_sha256, m->kernel, SG_EMBED_MAX_TOKENS,
		SG_API_MAX_INPUTS, SG_EMBED_DIM, SG_VERSION);
	sg_call_json(c, 200, &b);
}
