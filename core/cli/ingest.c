/* The pipeline of an import. */
#include "cli/ingest.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "embed/pool.h"

#define BATCH_DOCS 256 /* documents that a batch is full with */
#define BATCH_MOST (BATCH_DOCS + SG_KNOW_MAX_CHUNKS)

struct chunk {
	struct sg_embed_job job; /* first */
	struct sg_ingest *ingest;
	struct sg_tokens tokens;
	char *text;
	size_t n;
	float vector[SG_EMBED_DIM];
};

struct source {
	char *id;
	json_t *metadata; /* object */
	struct sg_know_source record;
	struct chunk **chunks;
};

struct batch {
	struct source *sources;
	size_t n_sources, cap;
	size_t n_chunks, waiting; /* waiting: under the lock */
	int status;
	struct sg_error err;
};

struct sg_ingest {
	struct sg_store *store;
	struct sg_ingest_options o;
	struct sg_know_info info;
	struct sg_embed_pool *pool;
	pthread_mutex_t lock;
	pthread_cond_t finished;
	struct batch batches[2];
	int filling;
	struct sg_ingest_counts counts;
	struct chunk **cut; /* while one source is cut */
	size_t n_cut, cap_cut;
	struct sg_error cut_err;
};

const struct sg_ingest_counts *sg_ingest_counts(const struct sg_ingest *i)
{
	return &i->counts;
}

static void free_chunk(struct chunk *c)
{
	if (!c)
		return;
	sg_tokens_finish(&c->tokens);
	free(c->text);
	free(c);
}

static void clear_batch(struct batch *b)
{
	for (size_t i = 0; i < b->n_sources; i++) {
		struct source *s = &b->sources[i];
		for (uint32_t k = 0; k < s->record.chunks; k++)
			free_chunk(s->chunks[k]);
		free((void *)s->chunks);
		free(s->id);
		json_decref(s->metadata);
	}
	b->n_sources = b->n_chunks = 0;
	b->status = 0;
}

/* ---- embedding ---- */

static void on_done(struct sg_embed_job *job, int status, const struct sg_error *err)
{
	struct batch *b = job->data;
	struct sg_ingest *i = ((struct chunk *)job)->ingest;
	(void)pthread_mutex_lock(&i->lock);
	if (status < 0 && b->status == 0) {
		b->status = status;
		b->err = *err;
	}
	if (--b->waiting == 0)
		(void)pthread_cond_signal(&i->finished);
	(void)pthread_mutex_unlock(&i->lock);
}

static int submit(
	struct sg_ingest *i, struct batch *b, const struct source *s, struct sg_error *err)
{
	if (!i->pool)
		return 0;
	(void)pthread_mutex_lock(&i->lock);
	b->waiting += s->record.chunks;
	(void)pthread_mutex_unlock(&i->lock);
	for (uint32_t k = 0; k < s->record.chunks; k++) {
		struct chunk *c = s->chunks[k];
		c->ingest = i;
		c->job = (struct sg_embed_job){.ids = c->tokens.ids,
			.n = c->tokens.n,
			.ret_vector = c->vector,
			.done = on_done,
			.data = b};
		struct sg_embed_job *job = &c->job;
		int r = sg_embed_pool_submit(i->pool, &job, 1, err);
		if (r < 0) {
			(void)pthread_mutex_lock(&i->lock);
			b->waiting -= s->record.chunks - k;
			(void)pthread_mutex_unlock(&i->lock);
			return r;
		}
		i->counts.tokens += c->tokens.n;
	}
	return 0;
}

static int wait_for(struct sg_ingest *i, struct batch *b, struct sg_error *err)
{
	(void)pthread_mutex_lock(&i->lock);
	while (b->waiting)
		(void)pthread_cond_wait(&i->finished, &i->lock);
	(void)pthread_mutex_unlock(&i->lock);
	if (b->status < 0)
		*err = b->err;
	return b->status;
}

/* ---- writing ---- */

static json_t *chunk_metadata(const struct source *s, uint32_t k)
{
	if (s->record.chunks == 1)
		return json_incref(s->metadata);
	json_t *m = json_copy(s->metadata);
	if (!m || json_object_set_new(m, "document", json_string(s->id)) < 0 ||
		json_object_set_new(m, "chunk", json_integer((json_int_t)k)) < 0) {
		json_decref(m);
		return NULL;
	}
	return m;
}

/* One transaction may take any number of documents, one sg_know_put only so many. */
struct pending {
	struct sg_know_doc docs[SG_KNOW_WRITE_DOCS];
	char ids[SG_KNOW_WRITE_DOCS][SG_KNOW_ID_MAX + 1];
	json_t *metadata[SG_KNOW_WRITE_DOCS];
	size_t n;
};

static int flush(struct sg_ingest *i, struct sg_txn *t, struct pending *p, struct sg_error *err)
{
	int r = sg_know_put(t, i->o.store, p->docs, p->n, &i->counts.documents, err);
	for (size_t k = 0; k < p->n; k++)
		json_decref(p->metadata[k]);
	p->n = 0;
	return r;
}

static int write_source(struct sg_ingest *i, struct sg_txn *t, struct pending *p,
	const struct source *s, struct sg_error *err)
{
	for (uint32_t k = 0; k < s->record.chunks; k++) {
		const struct chunk *c = s->chunks[k];
		if (!(p->metadata[p->n] = chunk_metadata(s, k)))
			return sg_error_nomem(err);
		sg_know_chunk_id(s->id, k, s->record.chunks, p->ids[p->n]);
		p->docs[p->n] = (struct sg_know_doc){.id = p->ids[p->n],
			.text = c->text,
			.text_len = c->n,
			.metadata = p->metadata[p->n],
			.vector = i->pool ? c->vector : NULL};
		p->n++;
		int r = p->n == SG_KNOW_WRITE_DOCS ? flush(i, t, p, err) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

static int write_all(
	struct sg_ingest *i, struct sg_txn *t, const struct batch *b, struct sg_error *err)
{
	sg_autofree struct pending *p = calloc(1, sizeof(*p));
	int r = p ? 0 : sg_error_nomem(err);
	/* Old chunks first: a source that had several and has one gets another id. */
	for (size_t k = 0; r == 0 && k < b->n_sources; k++)
		r = sg_know_source_put(t, i->o.store, b->sources[k].id, &b->sources[k].record,
			&i->counts.documents, err);
	for (size_t k = 0; r == 0 && k < b->n_sources; k++)
		r = write_source(i, t, p, &b->sources[k], err);
	if (p && p->n) {
		int later = flush(i, t, p, r == 0 ? err : NULL);
		r = r == 0 ? later : r;
	}
	return r;
}

static int write_batch(struct sg_ingest *i, struct batch *b, struct sg_error *err)
{
	sg_autotxn *t = NULL;
	if (!b->n_sources)
		return 0;
	int r = wait_for(i, b, err);
	if (r == 0)
		r = sg_txn_begin(i->store, true, &t, err);
	if (r == 0)
		r = write_all(i, t, b, err);
	if (r == 0)
		r = sg_txn_commit(sg_steal(t), err);
	clear_batch(b);
	return r;
}

/* ---- taking in ---- */

static int add_chunk(void *ctx, const char *text, size_t n)
{
	struct sg_ingest *i = ctx;
	struct sg_error *err = &i->cut_err;
	if (i->n_cut == SG_KNOW_MAX_CHUNKS)
		return sg_error_set(
			err, SG_ELIMIT, NULL, "more than %d chunks", SG_KNOW_MAX_CHUNKS);
	if (i->n_cut == i->cap_cut) {
		size_t cap = i->cap_cut ? i->cap_cut * 2 : 16;
		struct chunk **p = realloc((void *)i->cut, cap * sizeof(struct chunk *));
		if (!p)
			return sg_error_nomem(err);
		i->cut = p;
		i->cap_cut = cap;
	}
	struct chunk *c = calloc(1, sizeof(*c));
	if (!c)
		return sg_error_nomem(err);
	i->cut[i->n_cut++] = c;
	c->n = n;
	c->text = strndup(text, n);
	if (!c->text)
		return sg_error_nomem(err);
	if (!i->o.embedder)
		return 0;
	return sg_tokenize(sg_embedder_tokenizer(i->o.embedder), text, n, SG_EMBED_MAX_TOKENS,
		&c->tokens, err);
}

/* What the documents of a source depend on. */
static int source_hash(const struct sg_ingest *i, const char *text, size_t n,
	const json_t *metadata, uint8_t *ret, struct sg_error *err)
{
	uint8_t sums[2 * SG_SHA256_BYTES + 4] = {0};
	sg_autobuf meta = SG_BUF_INIT(SG_KNOW_META_MAX);
	int r = sg_json_canonical(metadata, &meta, err);
	if (r < 0)
		return r;
	sg_sha256(text, n, sums);
	sg_sha256(meta.data, meta.len, sums + SG_SHA256_BYTES);
	if (i->o.embedder) {
		sums[2 * SG_SHA256_BYTES] = (uint8_t)i->o.chunk_tokens;
		sums[2 * SG_SHA256_BYTES + 1] = (uint8_t)i->o.overlap;
	}
	sg_sha256(sums, sizeof(sums), ret);
	return 0;
}

static bool in_batch(const struct batch *b, const char *id)
{
	for (size_t k = 0; k < b->n_sources; k++)
		if (strcmp(b->sources[k].id, id) == 0)
			return true;
	return false;
}

/* 1: the store has exactly this already. */
static int known(struct sg_ingest *i, const char *id, const uint8_t *hash, struct sg_error *err)
{
	struct sg_know_source before;
	sg_autotxn *t = NULL;
	int r = sg_txn_begin(i->store, false, &t, err);
	if (r == 0)
		r = sg_know_source_get(t, &i->info, id, &before, err);
	if (r < 0)
		return r;
	return r == 0 && memcmp(before.hash, hash, SG_SHA256_BYTES) == 0;
}

static int cut(struct sg_ingest *i, const char *text, size_t n, struct sg_error *err)
{
	i->n_cut = 0;
	i->cut_err = (struct sg_error){0};
	int r = i->o.embedder ? sg_know_chunk(sg_embedder_tokenizer(i->o.embedder), text, n,
					i->o.chunk_tokens, i->o.overlap, add_chunk, i, &i->cut_err)
			      : add_chunk(i, text, n);
	if (r < 0) {
		*err = i->cut_err;
		for (size_t k = 0; k < i->n_cut; k++)
			free_chunk(i->cut[k]);
	}
	return r;
}

static int append(struct sg_ingest *i, struct batch *b, const char *id, const json_t *metadata,
	const uint8_t *hash, struct sg_error *err)
{
	if (b->n_sources == b->cap) {
		size_t cap = b->cap ? b->cap * 2 : 64;
		struct source *p = realloc(b->sources, cap * sizeof(*p));
		if (!p)
			return sg_error_nomem(err);
		b->sources = p;
		b->cap = cap;
	}
	struct source *s = &b->sources[b->n_sources++];
	*s = (struct source){.id = strdup(id),
		.metadata = json_deep_copy(metadata),
		.record.chunks = (uint32_t)i->n_cut};
	memcpy(s->record.hash, hash, SG_SHA256_BYTES);
	s->chunks = i->cut;
	i->cut = NULL;
	i->n_cut = i->cap_cut = 0;
	b->n_chunks += s->record.chunks;
	if (!s->id || !s->metadata)
		return sg_error_nomem(err);
	return submit(i, b, s, err);
}

static int check(
	const char *id, const char *text, size_t n, const json_t *metadata, struct sg_error *err)
{
	/* A source may be longer than a document: it is cut. Its parts are checked when written. */
	const struct sg_know_doc d = {.id = id,
		.text = text,
		.text_len = n > SG_KNOW_TEXT_MAX ? 0 : n,
		.metadata = metadata};
	return sg_know_check_doc(&d, err);
}

int sg_ingest_add(struct sg_ingest *i, const char *id, const char *text, size_t n,
	const json_t *metadata, struct sg_error *err)
{
	json_auto_t *none = json_object();
	uint8_t hash[SG_SHA256_BYTES];
	struct batch *b = &i->batches[i->filling];
	if (!metadata)
		metadata = none;
	int r = check(id, text, n, metadata, err);
	if (r == 0)
		r = source_hash(i, text, n, metadata, hash, err);
	if (r == 0 && (in_batch(b, id) || in_batch(&i->batches[!i->filling], id)))
		r = sg_ingest_finish(i, err); /* the same id twice: in their order */
	if (r == 0)
		r = known(i, id, hash, err);
	if (r < 0)
		return r;
	i->counts.sources++;
	if (r > 0) {
		i->counts.unchanged_sources++;
		return 0;
	}
	r = cut(i, text, n, err);
	if (r == 0)
		r = append(i, b, id, metadata, hash, err);
	if (r < 0)
		return r;
	if (b->n_chunks < BATCH_DOCS)
		return 0;
	i->filling = !i->filling;
	return write_batch(i, &i->batches[i->filling], err);
}

int sg_ingest_finish(struct sg_ingest *i, struct sg_error *err)
{
	int r = write_batch(i, &i->batches[!i->filling], err);
	return r < 0 ? r : write_batch(i, &i->batches[i->filling], err);
}

static int open_known(struct sg_ingest *i, struct sg_error *err)
{
	sg_autotxn *t = NULL;
	struct sg_know_drift now;
	int r = sg_txn_begin(i->store, false, &t, err);
	if (r == 0)
		r = sg_know_open(t, i->o.store, &i->info, err);
	if (r < 0)
		return r;
	if (i->info.provider != SG_KNOW_VECTOR && i->info.provider != SG_KNOW_DOCUMENT)
		return sg_error_set(err, SG_EINVALID, "store-provider",
			"store \"%s\" is of provider %s, which holds no documents", i->o.store,
			sg_know_provider_name(i->info.provider));
	if (i->info.provider == SG_KNOW_DOCUMENT)
		i->o.embedder = NULL;
	if (i->o.embedder)
		sg_know_drift_of(i->o.embedder, &now);
	return sg_know_check_drift(&i->info, i->o.embedder ? &now : NULL, err);
}

int sg_ingest_create(struct sg_ingest **ret, struct sg_store *s, const struct sg_ingest_options *o,
	struct sg_error *err)
{
	struct sg_ingest *i = calloc(1, sizeof(*i));
	if (!i)
		return sg_error_nomem(err);
	i->store = s;
	i->o = *o;
	if (!i->o.chunk_tokens)
		i->o.chunk_tokens = SG_KNOW_CHUNK_TOKENS;
	(void)pthread_mutex_init(&i->lock, NULL);
	(void)pthread_cond_init(&i->finished, NULL);
	int r = open_known(i, err);
	if (r == 0 && i->o.embedder) {
		const struct sg_embed_pool_options pool = {
			.workers = o->workers, .queue_texts = 2 * (size_t)BATCH_MOST};
		r = sg_embed_pool_create(&i->pool, i->o.embedder, &pool, err);
	}
	if (r < 0) {
		sg_ingest_destroy(i);
		return r;
	}
	*ret = i;
	return 0;
}

void sg_ingest_destroy(struct sg_ingest *i)
{
	if (!i)
		return;
	sg_embed_pool_destroy(i->pool);
	for (int b = 0; b < 2; b++) {
		clear_batch(&i->batches[b]);
		free(i->batches[b].sources);
	}
	free((void *)i->cut);
	(void)pthread_cond_destroy(&i->finished);
	(void)pthread_mutex_destroy(&i->lock);
	free(i);
}
