/* Embed workers: two bounded queues by length under one lock, and threads that take batches.
 *
 * Policy in pool.h. A batch takes no more than its worker's fair part of what waits, so that idle
 * workers share a burst instead of one taking all of it.
 */
#include "embed/pool.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"
#include "embed/team.h"

enum { JOB_IDLE, JOB_WAITING, JOB_TAKEN };

struct queue {
	struct sg_embed_job *head, *tail;
	size_t texts, tokens;
};

struct worker {
	struct sg_embed_pool *pool;
	struct sg_embed_scratch *scratch;
	pthread_t thread;
	bool started;
};

struct sg_embed_pool {
	const struct sg_embedder *e;
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t work;
	struct queue shorts, longs;
	unsigned short_batches; /* in a row while a long text waited */
	unsigned idle;
	bool stopping;
	struct sg_embed_pool_stats stats;
	unsigned n_workers;
	struct worker workers[SG_POOL_MAX_WORKERS];
};

static void queue_add(struct queue *q, struct sg_embed_job *job)
{
	job->next = NULL;
	job->prev = q->tail;
	*(q->tail ? &q->tail->next : &q->head) = job;
	q->tail = job;
	q->texts++;
	q->tokens += job->n;
}

static void queue_remove(struct queue *q, struct sg_embed_job *job)
{
	*(job->prev ? &job->prev->next : &q->head) = job->next;
	*(job->next ? &job->next->prev : &q->tail) = job->prev;
	q->texts--;
	q->tokens -= job->n;
}

static struct queue *queue_of(struct sg_embed_pool *p, const struct sg_embed_job *job)
{
	return job->n <= SG_POOL_SHORT_TOKENS ? &p->shorts : &p->longs;
}

/* -- one batch ------------------------------------------------------------------------------ */

struct batch {
	struct sg_embed_job *jobs[SG_EMBED_BATCH_ROWS];
	struct sg_embed_text texts[SG_EMBED_BATCH_ROWS];
	size_t n, tokens;
};

/* Which class is served next; NULL when nothing waits. */
static struct queue *next_queue(struct sg_embed_pool *p)
{
	if (!p->longs.head)
		return p->shorts.head ? &p->shorts : NULL;
	if (p->shorts.head && p->short_batches < SG_POOL_SHORT_BATCHES) {
		p->short_batches++;
		return &p->shorts;
	}
	p->short_batches = 0;
	return &p->longs;
}

static void take_batch(struct sg_embed_pool *p, struct queue *q, struct batch *b)
{
	const int64_t now = sg_clock_monotonic_us();
	size_t room = q->tokens / (p->idle + 1);
	if (room > SG_EMBED_BATCH_ROWS)
		room = SG_EMBED_BATCH_ROWS;
	b->n = b->tokens = 0;
	while (q->head && (b->n == 0 || b->tokens + q->head->n <= room)) {
		struct sg_embed_job *job = q->head;
		queue_remove(q, job);
		job->state = JOB_TAKEN;
		p->stats.wait_us += (uint64_t)(now - job->queued_us);
		b->texts[b->n] = (struct sg_embed_text){job->ids, job->n, job->ret_vector};
		b->jobs[b->n++] = job;
		b->tokens += job->n;
	}
	p->stats.running += b->n;
}

/* The smallest k with n <= 2^k. */
static size_t size_class(size_t n)
{
	size_t k = 0;
	while (((size_t)1 << k) < n)
		k++;
	return k;
}

static void run_batch(struct worker *w, struct batch *b)
{
	struct sg_embed_pool *p = w->pool;
	struct sg_error err = {0};
	const int64_t start = sg_clock_monotonic_us();
	int r = sg_embed_batch(p->e, w->scratch, b->texts, b->n, &err);
	const int64_t took = sg_clock_monotonic_us() - start;
	(void)pthread_mutex_lock(&p->lock);
	p->stats.running -= b->n;
	p->stats.texts += b->n;
	p->stats.tokens += b->tokens;
	p->stats.batches++;
	p->stats.batch_texts[size_class(b->n)]++;
	p->stats.busy_us += (uint64_t)took;
	(void)pthread_mutex_unlock(&p->lock);
	for (size_t i = 0; i < b->n; i++)
		b->jobs[i]->done(b->jobs[i], r, &err);
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct sg_embed_pool *p = w->pool;
	struct batch b;
	(void)pthread_mutex_lock(&p->lock);
	for (;;) {
		struct queue *q = next_queue(p);
		if (q) {
			take_batch(p, q, &b);
			(void)pthread_mutex_unlock(&p->lock);
			run_batch(w, &b);
			(void)pthread_mutex_lock(&p->lock);
			continue;
		}
		if (p->stopping)
			break;
		p->idle++;
		(void)pthread_cond_wait(&p->work, &p->lock);
		p->idle--;
	}
	(void)pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* -- life ----------------------------------------------------------------------------------- */

static unsigned default_workers(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	return n < 1 ? 1 : (unsigned)n;
}

static int start_worker(struct sg_embed_pool *p, struct worker *w, struct sg_error *err)
{
	w->pool = p;
	w->scratch = sg_embed_scratch_create(p->e);
	if (!w->scratch)
		return sg_error_nomem(err);
	int r = sg_thread_start(&w->thread, 0, worker_main, w);
	w->started = r == 0;
	return r == 0 ? 0 : sg_error_errno(err, r, "start an embedding worker");
}

int sg_embed_pool_create(struct sg_embed_pool **ret, const struct sg_embedder *e,
	const struct sg_embed_pool_options *options, struct sg_error *err)
{
	const struct sg_embed_pool_options o =
		options ? *options : (struct sg_embed_pool_options){0};
	struct sg_embed_pool *p = calloc(1, sizeof(*p));
	if (!p)
		return sg_error_nomem(err);
	(void)pthread_mutex_init(&p->lock, NULL);
	(void)pthread_cond_init(&p->work, NULL);
	p->e = e;
	p->n_workers = o.workers ? o.workers : default_workers();
	if (p->n_workers > SG_POOL_MAX_WORKERS)
		p->n_workers = SG_POOL_MAX_WORKERS;
	p->stats.workers = p->n_workers;
	p->stats.queue_texts = o.queue_texts ? o.queue_texts : SG_POOL_QUEUE_TEXTS;
	for (unsigned i = 0; i < p->n_workers; i++) {
		int r = start_worker(p, &p->workers[i], err);
		if (r < 0) {
			sg_embed_pool_destroy(p);
			return r;
		}
	}
	*ret = p;
	return 0;
}

void sg_embed_pool_destroy(struct sg_embed_pool *p)
{
	if (!p)
		return;
	(void)pthread_mutex_lock(&p->lock);
	p->stopping = true;
	(void)pthread_cond_broadcast(&p->work);
	(void)pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->n_workers; i++) {
		if (p->workers[i].started)
			(void)pthread_join(p->workers[i].thread, NULL);
		sg_embed_scratch_destroy(p->workers[i].scratch);
	}
	(void)pthread_cond_destroy(&p->work);
	(void)pthread_mutex_destroy(&p->lock);
	free(p);
}

/* -- jobs ----------------------------------------------------------------------------------- */

static int check_jobs(struct sg_embed_job *const *jobs, size_t n, struct sg_error *err)
{
	for (size_t i = 0; i < n; i++) {
		const struct sg_embed_text text = {.ids = jobs[i]->ids, .n = jobs[i]->n};
		int r = sg_embed_check_text(&text, err);
		if (r < 0)
			return n > 1 ? sg_error_prefix(err, "text %zu", i) : r;
	}
	return 0;
}

static void enqueue(struct sg_embed_pool *p, struct sg_embed_job *const *jobs, size_t n)
{
	const int64_t now = sg_clock_monotonic_us();
	for (size_t i = 0; i < n; i++) {
		jobs[i]->queued_us = now;
		jobs[i]->state = JOB_WAITING;
		queue_add(queue_of(p, jobs[i]), jobs[i]);
	}
	if (n > 1)
		(void)pthread_cond_broadcast(&p->work);
	else
		(void)pthread_cond_signal(&p->work);
}

int sg_embed_pool_submit(
	struct sg_embed_pool *p, struct sg_embed_job *const *jobs, size_t n, struct sg_error *err)
{
	int r = check_jobs(jobs, n, err);
	if (r < 0)
		return r;
	(void)pthread_mutex_lock(&p->lock);
	const size_t waiting = p->shorts.texts + p->longs.texts, limit = p->stats.queue_texts;
	const bool full = n > limit || waiting > limit - n;
	if (full)
		p->stats.rejected += n;
	else
		enqueue(p, jobs, n);
	(void)pthread_mutex_unlock(&p->lock);
	if (full)
		return sg_error_set(err, SG_EBUSY, "embed-queue",
			"%zu texts wait for embedding and %zu more would pass the limit of %zu",
			waiting, n, limit);
	return 0;
}

int sg_embed_pool_cancel(struct sg_embed_pool *p, struct sg_embed_job *job)
{
	(void)pthread_mutex_lock(&p->lock);
	const bool waiting = job->state == JOB_WAITING;
	if (waiting) {
		queue_remove(queue_of(p, job), job);
		job->state = JOB_IDLE;
	}
	(void)pthread_mutex_unlock(&p->lock);
	return waiting;
}

void sg_embed_pool_stats(struct sg_embed_pool *p, struct sg_embed_pool_stats *ret)
{
	(void)pthread_mutex_lock(&p->lock);
	*ret = p->stats;
	ret->waiting = p->shorts.texts + p->longs.texts;
	(void)pthread_mutex_unlock(&p->lock);
}
