/* Embed workers: threads that turn token ids into vectors off the caller's thread.
 *
 * One pool per process. Jobs are handed over in groups; each finishes by a call of its `done` on a
 * worker thread (a server forwards it to its loop by an eventfd). Nothing else is shared: a vector
 * does not depend on the number of workers, on its neighbours in a batch, or on the order.
 *
 * Order: texts of at most SG_POOL_SHORT_TOKENS tokens are short, the others long; each class is
 * first come, first served. A worker that becomes free takes a batch of short texts (packed
 * without padding, at most SG_EMBED_BATCH_ROWS tokens together) while there are any, but after
 * SG_POOL_SHORT_BATCHES of them in a row one long batch, so that neither class starves.
 * Bound: a short text waits for the batch that each worker is running, for the short texts before
 * it, and for at most one long batch per SG_POOL_SHORT_BATCHES batches of those; never for
 * a queue of long ones. One batch is at most SG_EMBED_BATCH_ROWS tokens.
 */
#ifndef SG_EMBED_POOL_H
#define SG_EMBED_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "embed/embed.h"

#define SG_POOL_SHORT_TOKENS 64	 /* a text of at most this many tokens is short */
#define SG_POOL_SHORT_BATCHES 4	 /* short batches before a waiting long one gets its turn */
#define SG_POOL_QUEUE_TEXTS 1024 /* default limit of texts that wait */
#define SG_POOL_MAX_WORKERS 64
#define SG_POOL_BATCH_SIZES 9 /* 2^0 to 2^8 = SG_EMBED_BATCH_ROWS */

/* Owned by the caller; it and what it points at stay alive and unchanged from submit until done
 * was called or cancel returned true. The caller sets the first part only. */
struct sg_embed_job {
	const int32_t *ids; /* 1..SG_EMBED_MAX_TOKENS, with [CLS] and [SEP] */
	size_t n;
	float *ret_vector; /* SG_EMBED_DIM floats, written before done is called */
	/* On a worker thread, without any lock held; may submit. status 0, or a negative sg_code
	 * described by err. The job is the caller's again when this starts. */
	void (*done)(struct sg_embed_job *job, int status, const struct sg_error *err);
	void *data; /* the caller's */

	struct sg_embed_job *next, *prev; /* the pool's */
	int64_t queued_us;
	int state;
};

struct sg_embed_pool;

struct sg_embed_pool_options {
	unsigned workers;   /* 0 = one per online CPU, at most SG_POOL_MAX_WORKERS */
	size_t queue_texts; /* 0 = SG_POOL_QUEUE_TEXTS */
};

/* Counters since the start (for /metrics), a consistent snapshot. */
struct sg_embed_pool_stats {
	uint64_t texts, tokens, batches; /* finished */
	uint64_t rejected;		 /* texts refused because the queue was full */
	uint64_t wait_us;		 /* sum over texts: submit to start of the batch */
	uint64_t busy_us;		 /* sum over batches: time inside the kernels */
	/* Batches of at most 1, 2, 4, … 128 and 256 texts, each counted once, in the first that
	 * fits. */
	uint64_t batch_texts[SG_POOL_BATCH_SIZES];
	size_t waiting, running; /* texts, now */
	unsigned workers;
	size_t queue_texts; /* the limit in force */
};

/* Starts the workers with all signals blocked. e must outlive the pool. options NULL = defaults. */
int sg_embed_pool_create(struct sg_embed_pool **ret, const struct sg_embedder *e,
	const struct sg_embed_pool_options *options, struct sg_error *err);
/* Finishes what is queued (each done is called), then joins the workers. NULL is fine. Not from a
 * done callback. */
void sg_embed_pool_destroy(struct sg_embed_pool *p);

/* All n jobs or none. SG_EBUSY kind "embed-queue": the queue limit would be passed (HTTP 429);
 * SG_EINVALID: a job with no ids or more than SG_EMBED_MAX_TOKENS. Any thread. */
int sg_embed_pool_submit(
	struct sg_embed_pool *p, struct sg_embed_job *const *jobs, size_t n, struct sg_error *err);

/* 1: the job was still waiting and is taken out, done will not be called. 0: too late, done was or
 * will be called. Any thread; only for a job whose submit succeeded. */
int sg_embed_pool_cancel(struct sg_embed_pool *p, struct sg_embed_job *job);

void sg_embed_pool_stats(struct sg_embed_pool *p, struct sg_embed_pool_stats *ret);

#endif
