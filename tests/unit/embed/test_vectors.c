/* The whole model, for each kernel: goldens of sentence-transformers, and bits that depend on
 * nothing but the text.
 */
#include "embed_test.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "embed/pool.h"

#define TOLERANCE 1e-6f
#define FEW 5

struct fixture {
	struct goldens goldens;
	float (*alone)[SG_EMBED_DIM]; /* each golden text by sg_embed_ids */
	struct sg_embedder *e;
	struct sg_embed_scratch *s;
	size_t n; /* texts used with this kernel */
};

static int setup(struct fixture *f, const char *kernel)
{
	f->e = test_embedder(kernel);
	if (!f->e)
		return -1;
	f->s = sg_embed_scratch_create(f->e);
	assert_non_null(f->s);
	/* The reference takes 7 ms a token: a few short texts. */
	f->n = strcmp(kernel, "reference") == 0 ? FEW : f->goldens.n;
	for (size_t i = 0; i < f->n; i++)
		assert_int_equal(sg_embed_ids(f->e, f->s, f->goldens.g[i].ids, f->goldens.g[i].n,
					 f->alone[i], NULL),
			0);
	return 0;
}

static void teardown(struct fixture *f)
{
	sg_embed_scratch_destroy(f->s);
	sg_embedder_destroy(f->e);
}

static void check_goldens(struct fixture *f, const char *kernel)
{
	float most = 0;
	for (size_t i = 0; i < f->n; i++) {
		float d = test_max_difference(f->alone[i], f->goldens.g[i].vector, SG_EMBED_DIM);
		if (d > TOLERANCE)
			fail_msg("%s: text %zu (%zu tokens) is off by %g", kernel, i,
				f->goldens.g[i].n, (double)d);
		most = d > most ? d : most;
	}
	(void)printf(
		"%s: %zu texts within %.2g of sentence-transformers\n", kernel, f->n, (double)most);
}

static void check_tokens(struct fixture *f)
{
	for (size_t i = 0; i < f->goldens.n; i++) {
		const struct golden *g = &f->goldens.g[i];
		struct sg_tokens t = {0};
		assert_int_equal(sg_tokenize(sg_embedder_tokenizer(f->e), g->text, strlen(g->text),
					 SG_EMBED_MAX_TOKENS, &t, NULL),
			0);
		assert_int_equal(t.n, g->n);
		assert_memory_equal(t.ids, g->ids, g->n * sizeof(int32_t));
		sg_tokens_finish(&t);
	}
}

/* -- batches -------------------------------------------------------------------------------- */

static void same_bits(const struct fixture *f, const float (*got)[SG_EMBED_DIM],
	const size_t *which, size_t n, const char *what)
{
	for (size_t i = 0; i < n; i++)
		if (memcmp(got[i], f->alone[which[i]], sizeof(got[i])) != 0)
			fail_msg("%s: text %zu at position %zu of %zu has other bits (%g)", what,
				which[i], i, n,
				(double)test_max_difference(got[i], f->alone[which[i]], 384));
}

static void check_batch(struct fixture *f, const size_t *which, size_t n)
{
	float(*got)[SG_EMBED_DIM] = calloc(n, sizeof(*got));
	struct sg_embed_text *texts = calloc(n, sizeof(*texts));
	for (size_t i = 0; i < n; i++)
		texts[i] = (struct sg_embed_text){
			f->goldens.g[which[i]].ids, f->goldens.g[which[i]].n, got[i]};
	assert_int_equal(sg_embed_batch(f->e, f->s, texts, n, NULL), 0);
	same_bits(f, (const float(*)[SG_EMBED_DIM])got, which, n, "batch");
	free(texts);
	free(got);
}

static void check_batches(struct fixture *f)
{
	uint64_t seed = 7;
	size_t which[40];
	for (size_t round = 0; round < (f->n > FEW ? 12 : 2); round++) {
		size_t n = 2 + round * 3;
		for (size_t i = 0; i < n; i++)
			which[i] = (size_t)((test_random(&seed) + 1) / 2 * (float)f->n) % f->n;
		check_batch(f, which, n);
	}
}

/* -- workers -------------------------------------------------------------------------------- */

struct counter {
	pthread_mutex_t lock;
	pthread_cond_t all;
	size_t left;
};

static void one_done(struct sg_embed_job *job, int status, const struct sg_error *err)
{
	(void)err;
	struct counter *c = job->data;
	(void)pthread_mutex_lock(&c->lock);
	if (status == 0 && --c->left == 0)
		(void)pthread_cond_signal(&c->all);
	(void)pthread_mutex_unlock(&c->lock);
}

static void check_workers(struct fixture *f, unsigned workers)
{
	struct sg_embed_pool *p = NULL;
	const struct sg_embed_pool_options o = {.workers = workers};
	assert_int_equal(sg_embed_pool_create(&p, f->e, &o, NULL), 0);
	const size_t n = f->n;
	struct counter c = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, n};
	struct sg_embed_job *jobs = calloc(n, sizeof(*jobs));
	float(*got)[SG_EMBED_DIM] = calloc(n, sizeof(*got));
	size_t *which = calloc(n, sizeof(*which));
	for (size_t i = 0; i < n; i++) {
		which[i] = (i * 5 + workers) % f->n;
		const struct golden *g = &f->goldens.g[which[i]];
		jobs[i] = (struct sg_embed_job){.ids = g->ids,
			.n = g->n,
			.ret_vector = got[i],
			.done = one_done,
			.data = &c};
		struct sg_embed_job *one = &jobs[i];
		assert_int_equal(sg_embed_pool_submit(p, &one, 1, NULL), 0);
	}
	(void)pthread_mutex_lock(&c.lock);
	while (c.left > 0)
		(void)pthread_cond_wait(&c.all, &c.lock);
	(void)pthread_mutex_unlock(&c.lock);
	sg_embed_pool_destroy(p);
	same_bits(f, (const float(*)[SG_EMBED_DIM])got, which, n, "workers");
	free(which);
	free(got);
	free(jobs);
}

static void check_team(struct fixture *f, unsigned threads)
{
	struct sg_embed_team *t = NULL;
	assert_int_equal(sg_embed_team_create(&t, f->e, threads, NULL), 0);
	for (size_t i = 0; i < f->n; i++) {
		float got[1][SG_EMBED_DIM];
		assert_int_equal(
			sg_embed_ids_team(t, f->goldens.g[i].ids, f->goldens.g[i].n, got[0], NULL),
			0);
		same_bits(f, (const float(*)[SG_EMBED_DIM])got, &i, 1, "team");
	}
	sg_embed_team_destroy(t);
}

static void run_kernel(struct fixture *f, const char *kernel)
{
	if (setup(f, kernel) < 0)
		return;
	check_goldens(f, kernel);
	check_tokens(f);
	check_batches(f);
	for (unsigned workers = 1; workers <= 4; workers++)
		check_workers(f, workers);
	check_team(f, 2);
	check_team(f, 5);
	teardown(f);
}

static void every_kernel_gives_the_same_vector_in_any_company(void **state)
{
	(void)state;
	if (!test_model_dir())
		skip();
	struct fixture f = {.goldens = test_goldens_load()};
	f.alone = calloc(f.goldens.n, sizeof(*f.alone));
	for (size_t i = 0; test_kernels[i]; i++)
		run_kernel(&f, test_kernels[i]);
	free(f.alone);
	test_goldens_free(&f.goldens);
}

static double cosine(const float *a, const float *b)
{
	double dot = 0;
	for (size_t i = 0; i < SG_EMBED_DIM; i++)
		dot += (double)a[i] * (double)b[i];
	return dot; /* both have unit length */
}

static void check_bf16(struct fixture *f, const char *kernel)
{
	double least = 1;
	for (size_t i = 0; i < f->n; i++) {
		double c = cosine(f->alone[i], f->goldens.g[i].vector);
		least = c < least ? c : least;
	}
	(void)printf("%s: cosine at least %.6f\n", kernel, least);
	assert_true(least >= 0.9999);
	const struct sg_model_info *info = sg_embedder_info(f->e);
	assert_string_not_equal(info->content_sha256, info->weights_sha256);
}

static void bfloat16_is_close_and_has_a_hash_of_its_own(void **state)
{
	(void)state;
	const char *const names[] = {"bf16", "bf16-emulated"};
	if (!test_model_dir())
		skip();
	struct fixture f = {.goldens = test_goldens_load()};
	f.alone = calloc(f.goldens.n, sizeof(*f.alone));
	for (size_t i = 0; i < 2; i++) {
		if (setup(&f, names[i]) < 0)
			continue;
		check_bf16(&f, names[i]);
		check_batches(&f);
		check_workers(&f, 2);
		check_team(&f, 2);
		teardown(&f);
	}
	free(f.alone);
	test_goldens_free(&f.goldens);
}

static void bad_ids_are_refused_and_nothing_is_written(void **state)
{
	(void)state;
	if (!test_model_dir())
		skip();
	struct sg_embedder *e = test_embedder(NULL);
	struct sg_embed_scratch *s = sg_embed_scratch_create(e);
	struct sg_error err = {0};
	float v[SG_EMBED_DIM] = {7};
	int32_t ids[SG_EMBED_MAX_TOKENS + 1] = {101, 102};
	assert_int_equal(sg_embed_ids(e, s, ids, 0, v, &err), -SG_EINVALID);
	assert_int_equal(sg_embed_ids(e, s, ids, SG_EMBED_MAX_TOKENS + 1, v, &err), -SG_EINVALID);
	ids[1] = 30522;
	assert_int_equal(sg_embed_ids(e, s, ids, 2, v, &err), -SG_EINVALID);
	assert_non_null(strstr(err.text, "30522"));
	ids[1] = -1;
	assert_int_equal(sg_embed_ids(e, s, ids, 2, v, &err), -SG_EINVALID);
	const int32_t good[] = {101, 102};
	const struct sg_embed_text two[] = {{good, 2, v}, {ids, 2, v}};
	assert_int_equal(sg_embed_batch(e, s, two, 2, &err), -SG_EINVALID);
	assert_non_null(strstr(err.text, "text 1"));
	assert_true(v[0] == 7);
	assert_int_equal(sg_embedder_load(&e, test_model_dir(), "sse9", false, &err), -SG_EINVALID);
	assert_non_null(strstr(err.text, "reference"));
	sg_embed_scratch_destroy(s);
	sg_embedder_destroy(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kernel_gives_the_same_vector_in_any_company),
		cmocka_unit_test(bfloat16_is_close_and_has_a_hash_of_its_own),
		cmocka_unit_test(bad_ids_are_refused_and_nothing_is_written),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
