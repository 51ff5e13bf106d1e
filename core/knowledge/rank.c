/* Ranking: the exact scan (float32, or its 8-bit copy first), and BM25 over the inverted terms.
 *
 * A scan keeps the best candidates by the kernel's float sums, a few more than asked for; their
 * scores are computed again in double in a fixed order, and those decide. So a score does not
 * depend on the CPU. Equal scores: the smaller id first. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "knowledge/index.h"

#define SPARE_FLOAT 16 /* candidates beyond k of the float scan */
#define SPARE_INT8 64  /* and of the 8-bit scan, beyond 4 k */
#define BM25_K1 1.2
#define BM25_B 0.75

/* ---- the best so far: a heap with the worst at its top ---- */

struct heap {
	const struct sg_know_index *x;
	struct sg_know_ranked *list;
	size_t n, cap;
};

static bool better(const struct sg_know_index *x, const struct sg_know_ranked *a,
	const struct sg_know_ranked *b)
{
	if (a->score != b->score)
		return a->score > b->score;
	return sg_know_id_order(x, a->row, b->row) < 0;
}

static void sift_down(struct heap *h)
{
	struct sg_know_ranked v = h->list[0];
	size_t i = 0;
	for (;;) {
		size_t c = 2 * i + 1;
		if (c >= h->n)
			break;
		if (c + 1 < h->n && better(h->x, &h->list[c], &h->list[c + 1]))
			c++;
		if (!better(h->x, &v, &h->list[c]))
			break;
		h->list[i] = h->list[c];
		i = c;
	}
	h->list[i] = v;
}

static void offer(struct heap *h, uint32_t row, double score)
{
	struct sg_know_ranked v = {row, score};
	if (h->n == h->cap) {
		if (!better(h->x, &v, &h->list[0]))
			return;
		h->list[0] = v;
		sift_down(h);
		return;
	}
	size_t i = h->n++;
	while (i && better(h->x, &h->list[(i - 1) / 2], &v)) {
		h->list[i] = h->list[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	h->list[i] = v;
}

static int order(const void *a, const void *b, void *x)
{
	const struct sg_know_ranked *p = a, *q = b;
	if (p->score != q->score)
		return p->score > q->score ? -1 : 1;
	return sg_know_id_order(x, p->row, q->row);
}

static void sort(const struct sg_know_index *x, struct sg_know_ranked *list, size_t n)
{
	qsort_r(list, n, sizeof(*list), order, (void *)(uintptr_t)x);
}

/* ---- vectors ---- */

struct scan {
	const struct sg_know_index *x;
	const struct sg_scan_ops *ops;
	const float *queries; /* [n][stride], owned */
	size_t n;
	int8_t *codes;	    /* of the one query, owned; NULL = float */
	float *sums;	    /* [n][SG_KNOW_SEGMENT_ROWS], owned */
	struct heap *heaps; /* [n], owned with their lists */
};

static void finish_scan(struct scan *s)
{
	for (size_t i = 0; s->heaps && i < s->n; i++)
		free(s->heaps[i].list);
	free(s->heaps);
	free((void *)(uintptr_t)s->queries);
	free(s->codes);
	free(s->sums);
}

static int copy_queries(struct scan *s, const float *vectors, struct sg_error *err)
{
	size_t stride = s->x->stride, dims = (size_t)s->x->info.drift.dims;
	float *q = calloc(s->n * stride, sizeof(*q));
	if (!q)
		return sg_error_nomem(err);
	s->queries = q;
	for (size_t i = 0; i < s->n; i++) {
		double norm = 0;
		for (size_t k = 0; k < dims; k++) {
			q[i * stride + k] = vectors[i * dims + k];
			norm += (double)vectors[i * dims + k] * (double)vectors[i * dims + k];
		}
		bool cosine = s->x->info.metric == SG_KNOW_COSINE;
		if (!isfinite(norm) || (cosine && norm == 0))
			return sg_error_set(err, SG_EINVALID, NULL, "a query vector that is %s",
				norm == 0 ? "zero" : "not finite");
		if (cosine && fabs(norm - 1) > 1e-6)
			for (size_t k = 0; k < dims; k++)
				q[i * stride + k] = (float)(q[i * stride + k] / sqrt(norm));
	}
	return 0;
}

static int start_scan(
	struct scan *s, size_t candidates, const float *vectors, bool int8, struct sg_error *err)
{
	int r = copy_queries(s, vectors, err);
	if (r < 0)
		return r;
	s->heaps = calloc(s->n, sizeof(*s->heaps));
	s->sums = malloc(s->n * SG_KNOW_SEGMENT_ROWS * sizeof(*s->sums));
	if (!s->heaps || !s->sums)
		return sg_error_nomem(err);
	for (size_t i = 0; i < s->n; i++) {
		s->heaps[i] = (struct heap){.x = s->x, .cap = candidates};
		s->heaps[i].list = malloc(candidates * sizeof(*s->heaps[i].list));
		if (!s->heaps[i].list)
			return sg_error_nomem(err);
	}
	if (int8) {
		float scale;
		if (!(s->codes = malloc(s->x->stride)))
			return sg_error_nomem(err);
		sg_scan_quantize(s->queries, s->x->stride, s->codes, &scale);
	}
	return 0;
}

/* Rows of a segment whose bits are set. */
static size_t rows_of(uint64_t word, uint32_t first, uint32_t *ret)
{
	size_t n = 0;
	for (; word; word &= word - 1)
		ret[n++] = first + (uint32_t)__builtin_ctzll(word);
	return n;
}

static double coarse(const struct scan *s, uint32_t row, float dot)
{
	if (s->x->info.metric != SG_KNOW_L2)
		return (double)dot;
	return 2 * (double)dot -
	       (double)s->x->chunks[row / SG_KNOW_CHUNK_ROWS].norms[row % SG_KNOW_CHUNK_ROWS];
}

static void float_segment(struct scan *s, const uint32_t *rows, size_t n)
{
	const float *p[SG_KNOW_SEGMENT_ROWS];
	for (size_t i = 0; i < n; i++)
		p[i] = sg_know_vector(s->x, rows[i]);
	s->ops->dots(p, n, s->x->stride, s->queries, s->n, s->sums, SG_KNOW_SEGMENT_ROWS);
	for (size_t q = 0; q < s->n; q++) {
		struct heap *h = &s->heaps[q];
		const float *sums = s->sums + q * SG_KNOW_SEGMENT_ROWS;
		double worst = h->n == h->cap ? h->list[0].score : -INFINITY;
		for (size_t i = 0; i < n; i++) {
			double score = coarse(s, rows[i], sums[i]);
			if (score < worst)
				continue;
			offer(h, rows[i], score);
			worst = h->n == h->cap ? h->list[0].score : -INFINITY;
		}
	}
}

/* The query's own scale is left out: it changes no order for dot and cosine. */
static void int8_segment(struct scan *s, const uint32_t *rows, size_t n)
{
	const int8_t *p[SG_KNOW_SEGMENT_ROWS];
	int32_t sums[SG_KNOW_SEGMENT_ROWS];
	struct heap *h = &s->heaps[0];
	for (size_t i = 0; i < n; i++)
		p[i] = sg_know_codes(s->x, rows[i]);
	s->ops->dots_int8(p, n, s->x->stride, s->codes, sums);
	double worst = h->n == h->cap ? h->list[0].score : -INFINITY;
	for (size_t i = 0; i < n; i++) {
		uint32_t row = rows[i];
		float scale =
			s->x->chunks[row / SG_KNOW_CHUNK_ROWS].scales[row % SG_KNOW_CHUNK_ROWS];
		double score = (double)((float)sums[i] * scale);
		if (score < worst)
			continue;
		offer(h, row, score);
		worst = h->n == h->cap ? h->list[0].score : -INFINITY;
	}
}

/* The candidates' exact scores; the k best of them. */
static size_t settle(const struct scan *s, size_t q, size_t k, struct sg_know_ranked *ret)
{
	struct heap *h = &s->heaps[q];
	const float *query = s->queries + q * s->x->stride;
	for (size_t i = 0; i < h->n; i++) {
		const float *v = sg_know_vector(s->x, h->list[i].row);
		h->list[i].score = s->x->info.metric == SG_KNOW_L2
					   ? -sg_scan_exact_l2(v, query, s->x->stride)
					   : sg_scan_exact_dot(v, query, s->x->stride);
	}
	sort(s->x, h->list, h->n);
	size_t n = h->n < k ? h->n : k;
	memcpy(ret, h->list, n * sizeof(*ret));
	return n;
}

int sg_know_rank_vector(const struct sg_know_index *x, const uint64_t *bits, const float *vectors,
	size_t n_vectors, size_t k, bool int8, const struct sg_scan_ops *ops,
	struct sg_know_ranked *ret, size_t *ret_n, struct sg_error *err)
{
	struct scan s = {.x = x, .ops = ops, .n = n_vectors};
	uint32_t rows[SG_KNOW_SEGMENT_ROWS];
	if (int8 && (n_vectors != 1 || x->info.metric == SG_KNOW_L2))
		return sg_error_set(err, SG_EINVALID, NULL,
			"the 8-bit scan takes one query at a time, and no store of metric l2");
	int r = start_scan(&s, int8 ? 4 * k + SPARE_INT8 : k + SPARE_FLOAT, vectors, int8, err);
	for (size_t i = 0; r == 0 && i < x->n_segments; i++) {
		size_t n = rows_of(bits[i], (uint32_t)i * SG_KNOW_SEGMENT_ROWS, rows);
		if (n && int8)
			int8_segment(&s, rows, n);
		else if (n)
			float_segment(&s, rows, n);
	}
	for (size_t q = 0; r == 0 && q < n_vectors; q++)
		ret_n[q] = settle(&s, q, k, ret + q * k);
	finish_scan(&s);
	return r;
}

/* ---- text ---- */

struct query_terms {
	const struct sg_know_index *x;
	uint32_t *list; /* numbers of terms that the index knows */
	size_t n, cap;
	bool failed;
};

static void add_term(void *ctx, const char *term, size_t n)
{
	struct query_terms *q = ctx;
	uint32_t at = sg_know_names_find(&q->x->terms, term, n);
	if (at == SG_KNOW_NO_NAME)
		return;
	for (size_t i = 0; i < q->n; i++)
		if (q->list[i] == at)
			return; /* a repeated word counts once */
	if (q->n == q->cap) {
		size_t cap = q->cap ? q->cap * 2 : 16;
		uint32_t *p = realloc(q->list, cap * sizeof(*p));
		if (!p) {
			q->failed = true;
			return;
		}
		q->list = p;
		q->cap = cap;
	}
	q->list[q->n++] = at;
}

/* By bytes, so that sums are added in an order that does not depend on how terms are numbered. */
static int by_bytes(const void *a, const void *b, void *ctx)
{
	const struct sg_know_names *t = ctx;
	return strcmp(t->items[*(const uint32_t *)a].bytes, t->items[*(const uint32_t *)b].bytes);
}

static void score_term(const struct sg_know_index *x, const struct sg_know_postings *p,
	const uint64_t *bits, double *scores)
{
	double n = (double)x->documents, df = (double)p->n;
	double idf = log(1 + (n - df + 0.5) / (df + 0.5));
	double mean = (double)x->total_length / n;
	for (uint32_t i = 0; i < p->n; i++) {
		uint32_t row = p->list[i].row;
		if (!(bits[row / SG_KNOW_SEGMENT_ROWS] >> (row % SG_KNOW_SEGMENT_ROWS) & 1))
			continue;
		double tf = p->list[i].count, length = sg_know_row_at(x, row)->length;
		scores[row] += idf * tf * (BM25_K1 + 1) /
			       (tf + BM25_K1 * (1 - BM25_B + BM25_B * length / mean));
	}
}

int sg_know_rank_text(const struct sg_know_index *x, const uint64_t *bits, const char *text,
	size_t n, size_t k, struct sg_know_ranked *ret, size_t *ret_n, struct sg_error *err)
{
	struct query_terms q = {.x = x};
	size_t rows = x->n_segments * SG_KNOW_SEGMENT_ROWS;
	sg_autofree double *scores = calloc(rows + 1, sizeof(*scores));
	struct heap h = {.x = x, .list = ret, .cap = k};
	sg_know_terms(text, n, add_term, &q);
	if (!scores || q.failed) {
		free(q.list);
		return sg_error_nomem(err);
	}
	if (q.n)
		qsort_r(q.list, q.n, sizeof(*q.list), by_bytes, (void *)(uintptr_t)&x->terms);
	for (size_t i = 0; i < q.n; i++)
		score_term(x, &x->postings[q.list[i]], bits, scores);
	free(q.list);
	for (size_t row = 0; row < rows; row++)
		if (scores[row] > 0)
			offer(&h, (uint32_t)row, scores[row]);
	sort(x, ret, h.n);
	*ret_n = h.n;
	return 0;
}
