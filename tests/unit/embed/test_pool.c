/* The worker pool: its limit, its order, cancelling, and an end that finishes what was promised. */
#include "embed_test.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "embed/pool.h"

/* Jobs that note in which order they were finished. */
struct order {
	pthread_mutex_t lock;
	size_t finished, failed;
	bool hold; /* done waits while this is set, so that a worker stays busy */
};

struct noted {
	struct sg_embed_job job;
	struct order *order;
	size_t place; /* from 1 */
	int32_t ids[SG_EMBED_MAX_TOKENS];
	float vector[SG_EMBED_DIM];
};

static bool held(struct order *o)
{
	(void)pthread_mutex_lock(&o->lock);
	bool hold = o->hold;
	(void)pthread_mutex_unlock(&o->lock);
	return hold;
}

static void done(struct sg_embed_job *job, int status, const struct sg_error *err)
{
	(void)err;
	struct noted *n = job->data;
	while (held(n->order))
		(void)usleep(200);
	(void)pthread_mutex_lock(&n->order->lock);
	n->place = ++n->order->finished;
	n->order->failed += status != 0;
	(void)pthread_mutex_unlock(&n->order->lock);
}

static struct noted *make_jobs(struct order *o, size_t n, size_t tokens)
{
	struct noted *jobs = calloc(n, sizeof(*jobs));
	assert_non_null(jobs);
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < tokens; k++)
			jobs[i].ids[k] = (int32_t)(1000 + k + i);
		jobs[i].order = o;
		jobs[i].job = (struct sg_embed_job){.ids = jobs[i].ids,
			.n = tokens,
			.ret_vector = jobs[i].vector,
			.done = done,
			.data = &jobs[i]};
	}
	return jobs;
}

static void submit(struct sg_embed_pool *p, struct noted *jobs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct sg_embed_job *one = &jobs[i].job;
		assert_int_equal(sg_embed_pool_submit(p, &one, 1, NULL), 0);
	}
}

/* Keeps the only worker busy in done until the hold ends. */
static void occupy(struct sg_embed_pool *p, struct order *o, struct noted *one)
{
	struct sg_embed_pool_stats s;
	o->hold = true;
	submit(p, one, 1);
	do {
		(void)usleep(200);
		sg_embed_pool_stats(p, &s);
	} while (s.texts == 0);
}

static void release(struct order *o)
{
	(void)pthread_mutex_lock(&o->lock);
	o->hold = false;
	(void)pthread_mutex_unlock(&o->lock);
}

static struct sg_embed_pool *make_pool(const struct sg_embedder *e, size_t queue)
{
	struct sg_embed_pool *p = NULL;
	const struct sg_embed_pool_options o = {.workers = 1, .queue_texts = queue};
	assert_int_equal(sg_embed_pool_create(&p, e, &o, NULL), 0);
	return p;
}

static int load(void **state)
{
	*state = test_model_dir() ? test_embedder(NULL) : NULL;
	return 0;
}

static int unload(void **state)
{
	sg_embedder_destroy(*state);
	return 0;
}

static void a_full_queue_says_busy_and_takes_all_or_none(void **state)
{
	if (!*state)
		skip();
	struct order o = {.lock = PTHREAD_MUTEX_INITIALIZER};
	struct sg_embed_pool *p = make_pool(*state, 4);
	struct noted *first = make_jobs(&o, 1, 8), *jobs = make_jobs(&o, 5, 8);
	struct sg_embed_job *all[5];
	struct sg_error err = {0};
	for (size_t i = 0; i < 5; i++)
		all[i] = &jobs[i].job;
	occupy(p, &o, first);
	assert_int_equal(sg_embed_pool_submit(p, all, 5, &err), -SG_EBUSY);
	assert_non_null(strstr(err.text, "limit of 4"));
	assert_int_equal(sg_embed_pool_submit(p, all, 4, &err), 0);
	assert_int_equal(sg_embed_pool_submit(p, &all[4], 1, &err), -SG_EBUSY);
	assert_int_equal(sg_embed_pool_cancel(p, all[2]), 1);
	assert_int_equal(sg_embed_pool_cancel(p, all[2]), 0);
	assert_int_equal(sg_embed_pool_submit(p, &all[4], 1, &err), 0);
	struct sg_embed_pool_stats s;
	sg_embed_pool_stats(p, &s);
	assert_int_equal(s.waiting, 4);
	assert_int_equal(s.rejected, 6);
	release(&o);
	sg_embed_pool_destroy(p);
	assert_int_equal(o.finished, 5);
	assert_int_equal(o.failed, 0);
	assert_int_equal(jobs[2].place, 0);
	free(first);
	free(jobs);
}

static void a_short_text_passes_a_queue_of_long_ones(void **state)
{
	if (!*state)
		skip();
	enum { LONGS = 12, SHORTS = 40 };
	struct order o = {.lock = PTHREAD_MUTEX_INITIALIZER};
	struct sg_embed_pool *p = make_pool(*state, 0);
	struct noted *first = make_jobs(&o, 1, 8);
	struct noted *longs = make_jobs(&o, LONGS, 200), *shorts = make_jobs(&o, SHORTS, 60);
	occupy(p, &o, first);
	submit(p, longs, LONGS);
	submit(p, shorts, SHORTS);
	release(&o);
	sg_embed_pool_destroy(p);
	/* A batch of 256 tokens holds four shorts or one long. Every fifth batch is a long one. */
	size_t longs_before_last = 0;
	for (size_t i = 0; i < LONGS; i++)
		longs_before_last += longs[i].place < shorts[SHORTS - 1].place;
	assert_in_range(longs_before_last, 1, SHORTS / 4 / SG_POOL_SHORT_BATCHES + 1);
	assert_true(shorts[0].place < longs[0].place);
	for (size_t i = 1; i < SHORTS; i++)
		assert_true(shorts[i - 1].place < shorts[i].place);
	for (size_t i = 1; i < LONGS; i++)
		assert_true(longs[i - 1].place < longs[i].place);
	free(first);
	free(longs);
	free(shorts);
}

static void bad_ids_are_refused_at_the_door(void **state)
{
	if (!*state)
		skip();
	struct order o = {.lock = PTHREAD_MUTEX_INITIALIZER};
	struct sg_embed_pool *p = make_pool(*state, 0);
	struct noted *jobs = make_jobs(&o, 2, 4);
	struct sg_embed_job *all[] = {&jobs[0].job, &jobs[1].job};
	struct sg_error err = {0};
	jobs[1].ids[3] = 999999;
	assert_int_equal(sg_embed_pool_submit(p, all, 2, &err), -SG_EINVALID);
	assert_non_null(strstr(err.text, "text 1"));
	jobs[1].job.n = 0;
	assert_int_equal(sg_embed_pool_submit(p, all, 2, &err), -SG_EINVALID);
	sg_embed_pool_destroy(p);
	assert_int_equal(o.finished, 0);
	free(jobs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_queue_says_busy_and_takes_all_or_none),
		cmocka_unit_test(a_short_text_passes_a_queue_of_long_ones),
		cmocka_unit_test(bad_ids_are_refused_at_the_door),
	};
	return cmocka_run_group_tests(tests, load, unload);
}
