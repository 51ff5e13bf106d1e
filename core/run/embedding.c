/* Embeddings off the loop thread: texts are tokenized here, computed by the pool's workers, and
 * come back through the engine's descriptor. */
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/base64.h"
#include "base/clock.h"
#include "run/internal.h"

static void unlink_job(struct embed_job *j)
{
	*j->all_prev = j->all_next;
	if (j->all_next)
		j->all_next->all_prev = j->all_prev;
}

static void free_job(struct embed_job *j)
{
	unlink_job(j);
	sg_tokens_finish(&j->tokens);
	free(j);
}

/* On a worker thread. */
static void on_worker(struct sg_embed_job *job, int status, const struct sg_error *err)
{
	struct embed_job *j = job->data;
	struct sg_engine *e = j->engine;
	j->status = status;
	if (status < 0)
		j->err = *err;
	(void)pthread_mutex_lock(&e->jobs_lock);
	*e->jobs_done_tail = j;
	e->jobs_done_tail = &j->next;
	(void)pthread_mutex_unlock(&e->jobs_lock);
	(void)eventfd_write(e->event_fd, 1);
}

/* The job of these tokens, which are its from here on, whatever happens. */
static int take_tokens(
	struct sg_engine *e, struct sg_tokens tokens, struct embed_job **ret, struct sg_error *err)
{
	struct embed_job *j = calloc(1, sizeof(*j));
	if (!j) {
		sg_tokens_finish(&tokens);
		return sg_error_nomem(err);
	}
	j->engine = e;
	j->tokens = tokens;
	j->job = (struct sg_embed_job){.ids = j->tokens.ids,
		.n = j->tokens.n,
		.ret_vector = j->vector,
		.done = on_worker,
		.data = j};
	j->all_next = e->jobs;
	j->all_prev = &e->jobs;
	if (e->jobs)
		e->jobs->all_prev = &j->all_next;
	e->jobs = j;
	*ret = j;
	return 0;
}

static int submit(struct sg_engine *e, const char *text, size_t n, size_t max_tokens,
	struct embed_job **ret, struct sg_error *err)
{
	if (!e->pool)
		return sg_error_set(
			err, SG_EREFUSED, "LocalEntryNotFoundError", "no embedding model");
	size_t most =
		max_tokens && max_tokens < SG_EMBED_MAX_TOKENS ? max_tokens : SG_EMBED_MAX_TOKENS;
	struct sg_tokens tokens;
	const int64_t start = sg_clock_monotonic_us();
	int r = sg_tokenize(sg_embedder_tokenizer(e->embedder), text, n, most, &tokens, err);
	e->stats.tokenize_us += (uint64_t)(sg_clock_monotonic_us() - start);
	return r < 0 ? r : take_tokens(e, tokens, ret, err);
}

static int hand_over(struct sg_engine *e, struct embed_job *j, struct sg_error *err)
{
	struct sg_embed_job *one[] = {&j->job};
	int r = sg_embed_pool_submit(e->pool, one, 1, err);
	if (r < 0)
		free_job(j);
	return r;
}

int sg_exec_embed(struct sg_exec *x, const char *text, size_t n, struct sg_error *err)
{
	struct embed_job *j = NULL;
	int r = submit(x->engine, text, n, 0, &j, err);
	if (r < 0)
		return r;
	j->exec = x;
	r = hand_over(x->engine, j, err);
	return r < 0 ? r : SG_EXEC_PENDING;
}

/* Requests get no more of the queue than limits.queue; the rest is for runs. */
static int check_queue(struct sg_engine *e, struct sg_error *err)
{
	struct sg_embed_pool_stats s;
	if (!e->pool)
		return 0;
	sg_embed_pool_stats(e->pool, &s);
	if (s.waiting < (size_t)e->limits.queue)
		return 0;
	return sg_error_set(err, SG_EBUSY, "embed-queue",
		"%zu texts wait for embedding, the limit (limits.queue) is %lld", s.waiting,
		(long long)e->limits.queue);
}

static int hand_over_request(struct sg_engine *e, struct embed_job *j, sg_embed_callback done,
	void *ctx, struct sg_error *err)
{
	j->cb = done;
	j->ctx = ctx;
	return hand_over(e, j, err);
}

int sg_engine_embed(struct sg_engine *e, const char *text, size_t n, size_t max_tokens,
	sg_embed_callback done, void *ctx, struct sg_error *err)
{
	struct embed_job *j = NULL;
	int r = sg_engine_check_room(e, err);
	if (r == 0)
		r = check_queue(e, err);
	if (r == 0)
		r = submit(e, text, n, max_tokens, &j, err);
	return r < 0 ? r : hand_over_request(e, j, done, ctx, err);
}

static int copy_ids(const int32_t *ids, size_t n, struct sg_tokens *ret, struct sg_error *err)
{
	const size_t kept = n < SG_EMBED_MAX_TOKENS ? n : SG_EMBED_MAX_TOKENS;
	*ret = (struct sg_tokens){.ids = malloc(kept * sizeof(*ids)),
		.n = kept,
		.dropped = n - kept,
		.truncated = n > kept};
	if (!ret->ids)
		return sg_error_nomem(err);
	memcpy(ret->ids, ids, kept * sizeof(*ids));
	ret->ids[kept - 1] = ids[n - 1];
	return 0;
}

int sg_engine_embed_ids(struct sg_engine *e, const int32_t *ids, size_t n, sg_embed_callback done,
	void *ctx, struct sg_error *err)
{
	struct embed_job *j = NULL;
	struct sg_tokens tokens = {0};
	int r = sg_engine_check_room(e, err);
	if (r == 0 && !e->pool)
		r = sg_error_set(err, SG_EREFUSED, "LocalEntryNotFoundError", "no embedding model");
	if (r == 0)
		r = check_queue(e, err);
	if (r == 0)
		r = copy_ids(ids, n, &tokens, err);
	if (r == 0)
		r = take_tokens(e, tokens, &j, err);
	return r < 0 ? r : hand_over_request(e, j, done, ctx, err);
}

void sg_embedding_forget(struct sg_engine *e, const void *ctx)
{
	for (struct embed_job *j = e->jobs, *next; j; j = next) {
		next = j->all_next;
		if (j->exec || j->ctx != ctx)
			continue;
		j->cb = NULL;
		if (e->pool && sg_embed_pool_cancel(e->pool, &j->job))
			free_job(j);
	}
}

static json_t *record(const struct sg_exec *x, const float *vector)
{
	char hash[SG_SHA256_HEX];
	const struct sg_model_info *m = sg_embedder_info(x->engine->embedder);
	sg_autobuf text = SG_BUF_INIT(SG_BASE64_LEN(SG_EMBED_DIM * sizeof(*vector)) + 1);
	sg_sha256_hex(vector, SG_EMBED_DIM * sizeof(*vector), hash);
	sg_base64_add(&text, vector, SG_EMBED_DIM * sizeof(*vector));
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "content_sha256", m->content_sha256,
		"kind", "embedding", "node", x->node->id, "sha256", hash, "tokenizer_sha256",
		m->tokenizer_sha256, "vector", text.data, "weights_sha256", m->weights_sha256);
}

int sg_exec_embedding_read(const json_t *rec, float *ret_vector, struct sg_error *err)
{
	const json_t *text = json_object_get(rec, "vector");
	uint8_t bytes[SG_EMBED_DIM * sizeof(float)];
	int n = sg_base64_decode(json_string_value(text) ? json_string_value(text) : "",
		json_string_length(text), bytes, sizeof(bytes));
	if (n != (int)sizeof(bytes))
		return sg_error_set(err, SG_ECORRUPT, "record-damaged",
			"a recorded embedding is not %d numbers", SG_EMBED_DIM);
	memcpy(ret_vector, bytes, sizeof(bytes));
	return 0;
}

static void node_done(struct sg_exec *x, const float *vector, const struct sg_error *err)
{
	struct sg_error here;
	if (vector && !(x->record = record(x, vector))) {
		(void)sg_error_nomem(&here);
		err = &here;
	}
	sg_exec_complete(x, err);
}

void sg_embedding_drain(struct sg_engine *e)
{
	(void)pthread_mutex_lock(&e->jobs_lock);
	struct embed_job *list = e->jobs_done;
	e->jobs_done = NULL;
	e->jobs_done_tail = &e->jobs_done;
	(void)pthread_mutex_unlock(&e->jobs_lock);
	while (list) {
		struct embed_job *j = list;
		list = j->next;
		const struct sg_error *err = j->status < 0 ? &j->err : NULL;
		e->stats.embeddings += !err;
		if (j->exec)
			node_done(j->exec, err ? NULL : j->vector, err);
		else if (j->cb)
			j->cb(j->ctx, err ? NULL : j->vector, &j->tokens, err);
		free_job(j);
	}
}
