/* The pipeline of an import. */
#include "cli/ingest.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "embed/pool.h"
#include "knowledge/import.h"

#define BATCH_PARTS 256 /* documents that a batch is full with */

struct job {
	struct sg_embed_job job; /* first */
	struct sg_ingest *ingest;
};

struct batch {
	struct sg_know_import **sources; /* owned with what they point at */
	struct job **jobs;		 /* by source: one a part, owned; NULL without vectors */
	size_t n, cap, n_parts, waiting; /* waiting: under the lock */
	int status;
	struct sg_error err;
};

struct sg_ingest {
	struct sg_store *store;
	struct sg_ingest_options o;
	struct sg_know_cut how;
	struct sg_know_info info;
	struct sg_embed_pool *pool;
	pthread_mutex_t lock;
	pthread_cond_t finished;
	struct batch batches[2];
	int filling;
	struct sg_ingest_counts counts;
};

const struct sg_ingest_counts *sg_ingest_counts(const struct sg_ingest *i)
{
	return &i->counts;
}

static void clear_batch(struct batch *b)
{
	for (size_t i = 0; i < b->n; i++) {
		sg_know_import_destroy(b->sources[i]);
		free(b->jobs[i]);
	}
	b->n = b->n_parts = 0;
	b->status = 0;
}

/* ---- embedding ---- */

static void finished(struct sg_ingest *i, struct batch *b, size_t n)
{
	b->waiting -= n;
	if (b->waiting == 0)
		(void)pthread_cond_signal(&i->finished);
}

static void on_done(struct sg_embed_job *job, int status, const struct sg_error *err)
{
	struct batch *b = job->data;
	struct sg_ingest *i = ((struct job *)job)->ingest;
	(void)pthread_mutex_lock(&i->lock);
	if (status < 0 && b->status == 0) {
		b->status = status;
		b->err = *err;
	}
	finished(i, b, 1);
	(void)pthread_mutex_unlock(&i->lock);
}

static int submit(struct sg_ingest *i, struct batch *b, const struct sg_know_import *m,
	struct job *jobs, struct sg_error *err)
{
	(void)pthread_mutex_lock(&i->lock);
	b->waiting += m->record.chunks;
	(void)pthread_mutex_unlock(&i->lock);
	for (uint32_t k = 0; k < m->record.chunks; k++) {
		struct sg_know_part *p = m->parts[k];
		jobs[k].ingest = i;
		jobs[k].job = (struct sg_embed_job){.ids = p->tokens.ids,
			.n = p->tokens.n,
			.ret_vector = p->vector,
			.done = on_done,
			.data = b};
		struct sg_embed_job *job = &jobs[k].job;
		int r = sg_embed_pool_submit(i->pool, &job, 1, err);
		if (r < 0) {
			(void)pthread_mutex_lock(&i->lock);
			finished(i, b, m->record.chunks - k);
			(void)pthread_mutex_unlock(&i->lock);
			return r;
		}
		i->counts.tokens += p->tokens.n;
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

static int write_batch(struct sg_ingest *i, struct batch *b, struct sg_error *err)
{
	sg_autotxn *t = NULL;
	if (!b->n)
		return 0;
	int r = wait_for(i, b, err);
	if (r == 0)
		r = sg_txn_begin(i->store, true, &t, err);
	if (r == 0)
		r = sg_know_import_write(
			t, i->o.store, b->sources, b->n, &i->counts.documents, err);
	if (r == 0)
		r = sg_txn_commit(sg_steal(t), err);
	clear_batch(b);
	return r;
}

/* ---- taking in ---- */

static bool in_batch(const struct batch *b, const char *id)
{
	for (size_t k = 0; k < b->n; k++)
		if (strcmp(b->sources[k]->id, id) == 0)
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

static int make_room(struct batch *b, struct sg_error *err)
{
	if (b->n < b->cap)
		return 0;
	size_t cap = b->cap ? b->cap * 2 : 64;
	struct sg_know_import **sources = realloc((void *)b->sources, cap * sizeof(*sources));
	if (sources)
		b->sources = sources;
	struct job **jobs = realloc((void *)b->jobs, cap * sizeof(*jobs));
	if (jobs)
		b->jobs = jobs;
	if (!sources || !jobs)
		return sg_error_nomem(err);
	b->cap = cap;
	return 0;
}

/* Takes m. */
static int append(
	struct sg_ingest *i, struct batch *b, struct sg_know_import *m, struct sg_error *err)
{
	struct job *jobs = i->pool ? calloc(m->record.chunks, sizeof(*jobs)) : NULL;
	int r = make_room(b, err);
	if (r == 0 && i->pool && !jobs)
		r = sg_error_nomem(err);
	if (r < 0) {
		sg_know_import_destroy(m);
		free(jobs);
		return r;
	}
	b->sources[b->n] = m;
	b->jobs[b->n++] = jobs;
	b->n_parts += m->record.chunks;
	return i->pool ? submit(i, b, m, jobs, err) : 0;
}

int sg_ingest_add(struct sg_ingest *i, const char *id, const char *text, size_t n,
	const json_t *metadata, struct sg_error *err)
{
	uint8_t hash[SG_SHA256_BYTES];
	struct sg_know_import *m = NULL;
	int r = sg_know_import_hash(&i->how, id, text, n, metadata, hash, err);
	if (r == 0 && (in_batch(&i->batches[0], id) || in_batch(&i->batches[1], id)))
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
	struct batch *b = &i->batches[i->filling];
	r = sg_know_import_make(&m, &i->how, id, text, n, metadata, hash, err);
	if (r == 0)
		r = append(i, b, m, err);
	if (r < 0 || b->n_parts < BATCH_PARTS)
		return r;
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
	(void)pthread_mutex_init(&i->lock, NULL);
	(void)pthread_cond_init(&i->finished, NULL);
	int r = open_known(i, err);
	i->how = (struct sg_know_cut){
		.tokenizer = i->o.embedder ? sg_embedder_tokenizer(i->o.embedder) : NULL,
		.chunk_tokens = o->chunk_tokens,
		.overlap = o->overlap};
	if (r == 0 && i->o.embedder) {
		const struct sg_embed_pool_options pool = {.workers = o->workers,
			.queue_texts = 2 * (BATCH_PARTS + SG_KNOW_MAX_CHUNKS)};
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
		free((void *)i->batches[b].sources);
		free((void *)i->batches[b].jobs);
	}
	(void)pthread_cond_destroy(&i->finished);
	(void)pthread_mutex_destroy(&i->lock);
	free(i);
}
