/* Answers the lines of tests/bench/vectors/run: searches over vectors that both sides have.
 *
 * usage: bench-vectors DIR VECTORS N QUERIES NQ   (files of float32, 384 a row)
 *
 *   read       microseconds to read all vectors once, the core's bandwidth
 *   one I      microseconds of an exact search for query I, then its ids
 *   int8 I     the same with the 8-bit scan
 *   filter I P the same where P of 100 documents match
 *   batch      microseconds for all queries at once
 */
#include <immintrin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "knowledge/index.h"

#define DIM 384

static float *load(const char *path, size_t n)
{
	FILE *f = fopen(path, "rb");
	float *v = malloc(n * DIM * sizeof(*v));
	if (!f || !v || fread(v, sizeof(*v) * DIM, n, f) != n) {
		(void)fprintf(stderr, "cannot read %s\n", path);
		_Exit(1);
	}
	(void)fclose(f);
	return v;
}

static void check(int r, const struct sg_error *err)
{
	if (r >= 0)
		return;
	(void)fprintf(stderr, "%s\n", err->text);
	_Exit(1);
}

static void fill(struct sg_store *s, const float *v, size_t n)
{
	struct sg_know_drift drift = {.model_id = "bench", .revision = "1", .dims = DIM};
	struct sg_error err;
	struct sg_txn *t = NULL;
	check(sg_txn_begin(s, true, &t, &err), &err);
	check(sg_know_create(t, "v", SG_KNOW_VECTOR, SG_KNOW_DOT, &drift, &err), &err);
	for (size_t i = 0; i < n; i += SG_KNOW_WRITE_DOCS) {
		struct sg_know_doc docs[SG_KNOW_WRITE_DOCS];
		char ids[SG_KNOW_WRITE_DOCS][24];
		json_t *meta[SG_KNOW_WRITE_DOCS];
		size_t k = 0;
		for (; k < SG_KNOW_WRITE_DOCS && i + k < n; k++) {
			(void)snprintf(ids[k], sizeof(ids[k]), "%08zu", i + k);
			meta[k] = json_pack("{s:i}", "g", (int)((i + k) % 100));
			docs[k] = (struct sg_know_doc){.id = ids[k],
				.text = "",
				.metadata = meta[k],
				.vector = v + (i + k) * DIM};
		}
		check(sg_know_put(t, "v", docs, k, NULL, &err), &err);
		for (size_t m = 0; m < k; m++)
			json_decref(meta[m]);
	}
	check(sg_txn_commit(t, &err), &err);
}

/* Every byte once, as fast as this core loads: eight sums, fetched ahead. */
__attribute__((target("avx2"))) static double read_all(const float *v, size_t n)
{
	__m256 s[8];
	double sum = 0;
	for (int k = 0; k < 8; k++)
		s[k] = _mm256_setzero_ps();
	for (size_t i = 0; i < n; i += 64) {
		for (int k = 0; k < 4; k++)
			__builtin_prefetch(v + i + 512 + 16 * k);
		for (int k = 0; k < 8; k++)
			s[k] = _mm256_add_ps(s[k], _mm256_load_ps(v + i + 8 * k));
	}
	for (int k = 0; k < 8; k++)
		sum += (double)s[k][0];
	return sum;
}

struct bench {
	struct sg_store *s;
	struct sg_know_indexes *x;
	const float *queries;
	size_t n, nq;
};

static void search(struct bench *b, size_t i, bool int8, int percent)
{
	struct sg_error err;
	struct sg_txn *t = NULL;
	json_t *hits = NULL,
	       *filter = percent < 0 ? NULL : json_pack("{s:{s:i}}", "g", "lt", percent);
	struct sg_know_query q = {.store = "v",
		.vector = b->queries + i * DIM,
		.k = 10,
		.int8 = int8,
		.filter = filter};
	int64_t from = sg_clock_monotonic_us();
	check(sg_txn_begin(b->s, false, &t, &err), &err);
	check(sg_know_search(b->x, t, &q, &hits, &err), &err);
	sg_txn_abort(t);
	(void)printf("%lld", (long long)(sg_clock_monotonic_us() - from));
	for (size_t k = 0; k < json_array_size(hits); k++)
		(void)printf(
			" %s", json_string_value(json_object_get(json_array_get(hits, k), "id")));
	(void)putchar('\n');
	json_decref(hits);
	json_decref(filter);
}

static void batch(struct bench *b)
{
	struct sg_error err;
	struct sg_txn *t = NULL;
	json_t *lists = NULL;
	int64_t from = sg_clock_monotonic_us();
	check(sg_txn_begin(b->s, false, &t, &err), &err);
	check(sg_know_search_batch(b->x, t, "v", b->queries, b->nq, 10, &lists, &err), &err);
	sg_txn_abort(t);
	(void)printf("%lld\n", (long long)(sg_clock_monotonic_us() - from));
	json_decref(lists);
}

static void bandwidth(const float *copy, size_t n)
{
	static volatile double keep SG_UNUSED;
	int64_t from = sg_clock_monotonic_us();
	keep = read_all(copy, n * DIM);
	(void)printf("%lld\n", (long long)(sg_clock_monotonic_us() - from));
}

static float *aligned_copy(const float *v, size_t n)
{
	size_t bytes = n * DIM * sizeof(*v) + 8192;
	float *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		_Exit(1);
	(void)madvise(p, bytes, MADV_HUGEPAGE);
	memcpy(p, v, n * DIM * sizeof(*v));
	return p;
}

int main(int argc, char **argv)
{
	struct sg_error err;
	if (argc != 6)
		return 2;
	struct bench b = {.n = strtoul(argv[3], NULL, 10), .nq = strtoul(argv[5], NULL, 10)};
	float *v = load(argv[2], b.n);
	b.queries = load(argv[4], b.nq);
	check(sg_store_open(&b.s, argv[1], 0, true, false, &err), &err);
	check(sg_know_indexes_create(&b.x, 0, &err), &err);
	fill(b.s, v, b.n);
	float *copy = aligned_copy(v, b.n);
	free(v);
	char line[64], what[16];
	while (fgets(line, sizeof(line), stdin)) {
		unsigned long i = 0;
		int percent = -1;
		if (sscanf(line, "%15s %lu %d", what, &i, &percent) < 1 || i >= b.nq)
			return 2;
		if (strcmp(what, "read") == 0)
			bandwidth(copy, b.n);
		else if (strcmp(what, "batch") == 0)
			batch(&b);
		else
			search(&b, i, strcmp(what, "int8") == 0, percent);
		(void)fflush(stdout);
	}
	return 0;
}
