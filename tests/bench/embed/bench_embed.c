/* Our side of tests/bench/embed/run: measures what one line of standard input asks for and answers
 * with one line. A process stays up for all rounds, so that loading is not measured.
 *
 *   peak              -> GFLOP/s of one core, multiply-adds of the widest instruction set in use
 *   text N REPS       -> best milliseconds for one text of N tokens on all threads
 *   corpus            -> tokens/s over the corpus file, one text a worker
 *   start             -> milliseconds from nothing to the first vector
 *   hash              -> milliseconds to hash the files that a start hashes, by one thread
 *   info              -> kernel, repacked bytes, weights' bytes
 */
#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/hash.h"
#include "embed/embed.h"
#include "embed/pool.h"
#include "peak.h"

#define MAX_TEXTS 4096

struct bench {
	const char *model, *kernel;
	unsigned threads;
	struct sg_embedder *e;
	struct sg_embed_team *team;
	struct sg_embed_pool *pool;
	struct sg_embed_job jobs[MAX_TEXTS];
	float (*vectors)[SG_EMBED_DIM];
	size_t n_jobs, tokens;
	pthread_mutex_t lock;
	pthread_cond_t finished;
	size_t left;
};

static double now(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void die(const struct sg_error *err)
{
	(void)fprintf(stderr, "bench-embed: %s\n", err->text);
	exit(2);
}

static void on_done(struct sg_embed_job *job, int status, const struct sg_error *err)
{
	struct bench *b = job->data;
	if (status < 0)
		die(err);
	(void)pthread_mutex_lock(&b->lock);
	if (--b->left == 0)
		(void)pthread_cond_signal(&b->finished);
	(void)pthread_mutex_unlock(&b->lock);
}

/* A line of the corpus file: ids separated by spaces. */
static void add_text(struct bench *b, char *line)
{
	int32_t *ids = malloc(SG_EMBED_MAX_TOKENS * sizeof(*ids));
	size_t n = 0;
	char *end;
	for (long id = strtol(line, &end, 10); end != line && n < SG_EMBED_MAX_TOKENS;
		id = strtol(line, &end, 10)) {
		ids[n++] = (int32_t)id;
		line = end;
	}
	b->jobs[b->n_jobs] = (struct sg_embed_job){.ids = ids,
		.n = n,
		.ret_vector = b->vectors[b->n_jobs],
		.done = on_done,
		.data = b};
	b->n_jobs++;
	b->tokens += n;
}

static void read_corpus(struct bench *b, const char *path)
{
	char *line = NULL;
	size_t size = 0;
	FILE *f = fopen(path, "r");
	if (!f) {
		perror(path);
		exit(2);
	}
	b->vectors = calloc(MAX_TEXTS, sizeof(*b->vectors));
	while (b->n_jobs < MAX_TEXTS && getline(&line, &size, f) > 0)
		add_text(b, line);
	free(line);
	(void)fclose(f);
}

static void load(struct bench *b)
{
	struct sg_error err = {0};
	const struct sg_embed_pool_options o = {.workers = b->threads, .queue_texts = MAX_TEXTS};
	if (sg_embedder_load(&b->e, b->model, b->kernel, false, &err) < 0 ||
		sg_embed_team_create(&b->team, b->e, b->threads, &err) < 0 ||
		sg_embed_pool_create(&b->pool, b->e, &o, &err) < 0)
		die(&err);
}

static void unload(struct bench *b)
{
	sg_embed_pool_destroy(b->pool);
	sg_embed_team_destroy(b->team);
	sg_embedder_destroy(b->e);
}

static double run_text(struct bench *b, size_t n, int reps)
{
	int32_t ids[SG_EMBED_MAX_TOKENS];
	float v[SG_EMBED_DIM];
	double best = 1e9;
	struct sg_error err = {0};
	for (size_t i = 0; i < n; i++)
		ids[i] = (int32_t)(1000 + i * 7919 % 20000);
	for (int r = 0; r < reps; r++) {
		double t = now();
		if (sg_embed_ids_team(b->team, ids, n, v, &err) < 0)
			die(&err);
		t = now() - t;
		best = t < best ? t : best;
	}
	return best * 1e3;
}

static double run_corpus(struct bench *b)
{
	struct sg_embed_job *all[MAX_TEXTS];
	struct sg_error err = {0};
	for (size_t i = 0; i < b->n_jobs; i++)
		all[i] = &b->jobs[i];
	const double t = now();
	b->left = b->n_jobs;
	if (sg_embed_pool_submit(b->pool, all, b->n_jobs, &err) < 0)
		die(&err);
	(void)pthread_mutex_lock(&b->lock);
	while (b->left > 0)
		(void)pthread_cond_wait(&b->finished, &b->lock);
	(void)pthread_mutex_unlock(&b->lock);
	return (double)b->tokens / (now() - t);
}

static double run_start(struct bench *b)
{
	struct bench fresh = {.model = b->model, .kernel = b->kernel, .threads = 1};
	const double t = now();
	load(&fresh);
	(void)run_text(&fresh, 12, 1);
	const double took = now() - t;
	unload(&fresh);
	return took * 1e3;
}

static double run_hash(const struct bench *b)
{
	static const char *const files[] = {"model.safetensors", "tokenizer.json", "vocab.txt",
		"config.json", "sentence_bert_config.json", "1_Pooling/config.json",
		"modules.json"};
	const double t = now();
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		char path[4096], hex[SG_SHA256_HEX];
		struct sg_error err = {0};
		(void)snprintf(path, sizeof(path), "%s/%s", b->model, files[i]);
		if (sg_sha256_file(path, hex, &err) < 0)
			die(&err);
	}
	return (now() - t) * 1e3;
}

static void answer(struct bench *b, const char *line)
{
	unsigned n;
	int reps;
	const struct sg_model_info *info = sg_embedder_info(b->e);
	if (strcmp(line, "peak\n") == 0)
		(void)printf("%.3f\n", bench_peak_gflops(info->kernel));
	else if (sscanf(line, "text %u %d", &n, &reps) == 2 && n >= 1 && n <= SG_EMBED_MAX_TOKENS)
		(void)printf("%.5f\n", run_text(b, n, reps));
	else if (strcmp(line, "corpus\n") == 0)
		(void)printf("%.3f\n", run_corpus(b));
	else if (strcmp(line, "start\n") == 0)
		(void)printf("%.3f\n", run_start(b));
	else if (strcmp(line, "hash\n") == 0)
		(void)printf("%.3f\n", run_hash(b));
	else if (strcmp(line, "info\n") == 0)
		(void)printf("%s %zu\n", info->kernel, info->repacked_bytes);
	else
		(void)printf("?\n");
	(void)fflush(stdout);
}

int main(int argc, char **argv)
{
	static struct bench b = {.kernel = "auto",
		.threads = 1,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.finished = PTHREAD_COND_INITIALIZER};
	const char *corpus = NULL;
	for (int c; (c = getopt(argc, argv, "m:k:t:c:")) != -1;) {
		switch (c) {
		case 'm': b.model = optarg; break;
		case 'k': b.kernel = optarg; break;
		case 't': b.threads = (unsigned)atoi(optarg); break;
		case 'c': corpus = optarg; break;
		default: return 2;
		}
	}
	if (!b.model || !corpus)
		return 2;
	read_corpus(&b, corpus);
	load(&b);
	char line[128];
	while (fgets(line, sizeof(line), stdin))
		answer(&b, line);
	unload(&b);
	for (size_t i = 0; i < b.n_jobs; i++)
		free((void *)(uintptr_t)b.jobs[i].ids);
	free(b.vectors);
	return 0;
}
