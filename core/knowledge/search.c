/* One search: the index at the transaction's state, filter, rank, hits. */
#include "knowledge/search.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/suggest.h"
#include "knowledge/doc.h"
#include "knowledge/index.h"

static const char *const modes[] = {"vector", "text", "hybrid"};

int sg_know_mode_parse(const char *name, enum sg_know_mode *ret, struct sg_error *err)
{
	for (size_t i = 0; name && i < SG_ARRAY_LEN(modes); i++)
		if (strcmp(name, modes[i]) == 0) {
			*ret = (enum sg_know_mode)i;
			return 0;
		}
	return sg_error_set(err, SG_EINVALID, NULL,
		"no search mode \"%.40s\"; there are vector, text and hybrid", name ? name : "");
}

/* The bits of rows that may be found; one word a segment, owned. */
static int candidates(
	const struct sg_know_index *x, const json_t *filter, uint64_t **ret, struct sg_error *err)
{
	uint64_t *bits = malloc((x->n_segments + 1) * sizeof(*bits));
	if (!bits)
		return sg_error_nomem(err);
	for (size_t i = 0; i < x->n_segments; i++)
		bits[i] = x->segments[i].alive;
	int r = filter ? sg_know_filter_apply(x, filter, bits, err) : 0;
	if (r < 0) {
		free(bits);
		return r;
	}
	*ret = bits;
	return 0;
}

static int hit(const struct sg_know_index *x, struct sg_txn *t, const struct sg_know_ranked *r,
	bool with_text, json_t *hits, struct sg_error *err)
{
	const struct sg_know_row *row = sg_know_row_at(x, r->row);
	json_t *meta = NULL;
	struct sg_span text;
	if (sg_json_parse(row->meta, row->meta_len, &meta, NULL) < 0)
		return sg_know_corrupt(err, x->info.name, r->row / SG_KNOW_SEGMENT_ROWS,
			"the metadata of one of its rows does not parse");
	json_t *h = json_pack("{s:s%, s:f, s:s, s:o, s:s}", "id", row->id, row->id_len, "score",
		r->score, "source", x->info.name, "metadata", meta, "index_sha256", x->digest);
	if (!h || json_array_append_new(hits, h) < 0)
		return sg_error_nomem(err);
	if (!with_text)
		return 0;
	int e = sg_know_text(t, &x->info, r->row, &text, err);
	if (e < 0)
		return e;
	return json_object_set_new(h, "text", json_stringn(text.data, text.len)) < 0
		       ? sg_error_nomem(err)
		       : 0;
}

static int hits_of(const struct sg_know_index *x, struct sg_txn *t,
	const struct sg_know_ranked *list, size_t n, bool with_text, json_t **ret,
	struct sg_error *err)
{
	json_auto_t *hits = json_array();
	if (!hits)
		return sg_error_nomem(err);
	for (size_t i = 0; i < n; i++) {
		int r = hit(x, t, &list[i], with_text, hits, err);
		if (r < 0)
			return r;
	}
	*ret = json_incref(hits);
	return 0;
}

static int branch(const struct sg_know_index *x, struct sg_txn *t, const struct sg_know_query *q,
	const uint64_t *bits, bool text, size_t k, bool with_text, json_t **ret,
	struct sg_error *err)
{
	size_t n = 0;
	int r;
	sg_autofree struct sg_know_ranked *list = malloc(k * sizeof(*list));
	if (!list)
		return sg_error_nomem(err);
	if (text) {
		r = sg_know_rank_text(x, bits, q->text, q->text_len, k, list, &n, err);
	} else {
		const struct sg_scan_ops *ops = sg_scan_select(q->kernel);
		if (!ops)
			return sg_error_set(err, SG_EINVALID, NULL,
				"no scan kernel \"%.32s\" on this CPU", q->kernel);
		r = sg_know_rank_vector(x, bits, q->vector, 1, k, q->int8, ops, list, &n, err);
	}
	return r < 0 ? r : hits_of(x, t, list, n, with_text, ret, err);
}

static int check_query(const struct sg_know_query *q, struct sg_error *err)
{
	if (q->k < 1 || q->k > SG_KNOW_MAX_K)
		return sg_error_set(err, SG_EINVALID, NULL, "k is 1 to %d", SG_KNOW_MAX_K);
	if (q->mode != SG_KNOW_MODE_VECTOR && (!q->text || q->text_len > SG_KNOW_QUERY_MAX))
		return sg_error_set(err, SG_EINVALID, NULL,
			"a search of mode %s wants a text of at most %d bytes", modes[q->mode],
			SG_KNOW_QUERY_MAX);
	if (q->mode != SG_KNOW_MODE_TEXT && !q->vector)
		return sg_error_set(err, SG_EINVALID, NULL, "a search of mode %s wants a vector",
			modes[q->mode]);
	return sg_know_check_filter(q->filter, err);
}

static int open_index(struct sg_know_indexes *all, struct sg_txn *t, const char *store,
	bool vectors, struct sg_know_index **ret, struct sg_error *err)
{
	struct sg_know_info s;
	unsigned providers = vectors ? SG_KNOW_BIT(SG_KNOW_VECTOR) : SG_KNOW_HAS_DOCS;
	int r = sg_know_open_as(t, store, providers, &s, err);
	return r < 0 ? r : sg_know_index_at(all, t, &s, ret, err);
}

static int hybrid(const struct sg_know_index *x, struct sg_txn *t, const struct sg_know_query *q,
	const uint64_t *bits, json_t **ret, struct sg_error *err)
{
	json_t *lists[2] = {NULL, NULL};
	int r = branch(x, t, q, bits, false, q->k, q->with_text, &lists[0], err);
	if (r == 0)
		r = branch(x, t, q, bits, true, q->k, q->with_text, &lists[1], err);
	if (r == 0)
		r = sg_know_fuse(lists, 2, q->k, ret, err);
	json_decref(lists[0]);
	json_decref(lists[1]);
	return r;
}

int sg_know_search(struct sg_know_indexes *all, struct sg_txn *t, const struct sg_know_query *q,
	json_t **ret_hits, struct sg_error *err)
{
	struct sg_know_index *x;
	uint64_t *bits = NULL;
	int r = check_query(q, err);
	if (r == 0)
		r = open_index(all, t, q->store, q->mode != SG_KNOW_MODE_TEXT, &x, err);
	if (r == 0)
		r = candidates(x, q->filter, &bits, err);
	if (r < 0)
		return r;
	r = q->mode == SG_KNOW_MODE_HYBRID ? hybrid(x, t, q, bits, ret_hits, err)
					   : branch(x, t, q, bits, q->mode == SG_KNOW_MODE_TEXT,
						     q->k, q->with_text, ret_hits, err);
	free(bits);
	return r;
}

/* ---- fusion ---- */

struct fused {
	const char *id;
	json_t *first;	/* borrowed */
	double *parts;	/* [lists] */
	size_t n, last; /* parts; 1 + the list that gave the last of them */
	double score;
};

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static int by_score(const void *a, const void *b)
{
	const struct fused *x = a, *y = b;
	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	return strcmp(x->id, y->id);
}

static int gather(json_t *const *lists, size_t n, struct fused *f, double *parts, size_t *ret_n)
{
	json_auto_t *index = json_object();
	size_t count = 0;
	for (size_t l = 0; index && l < n; l++) {
		size_t rank;
		json_t *hit_;
		json_array_foreach (lists[l], rank, hit_) {
			const char *id = json_string_value(json_object_get(hit_, "id"));
			const json_t *at = json_object_get(index, id);
			size_t i = at ? (size_t)json_integer_value(at) : count;
			if (!at) {
				f[count] = (struct fused){
					.id = id, .first = hit_, .parts = parts + count * n};
				if (json_object_set_new(
					    index, id, json_integer((json_int_t)count++)) < 0)
					return -1;
			}
			/* An id counts once a list, at its best rank. */
			if (f[i].last == l + 1)
				continue;
			f[i].last = l + 1;
			f[i].parts[f[i].n++] = 1.0 / (SG_KNOW_RRF_K + (double)rank + 1);
		}
	}
	*ret_n = count;
	return index ? 0 : -1;
}

static json_t *fused_hit(const struct fused *f)
{
	json_t *h = json_copy(f->first);
	if (h && json_object_set_new(h, "score", json_real(f->score)) < 0) {
		json_decref(h);
		return NULL;
	}
	return h;
}

int sg_know_fuse(json_t *const *lists, size_t n, size_t k, json_t **ret, struct sg_error *err)
{
	size_t total = 0, count = 0;
	for (size_t i = 0; i < n; i++)
		total += json_array_size(lists[i]);
	sg_autofree struct fused *f = calloc(total + 1, sizeof(*f));
	sg_autofree double *parts = calloc(total * n + 1, sizeof(*parts));
	json_auto_t *out = json_array();
	if (!f || !parts || !out || gather(lists, n, f, parts, &count) < 0)
		return sg_error_nomem(err);
	for (size_t i = 0; i < count; i++) {
		qsort(f[i].parts, f[i].n, sizeof(double), ascending);
		for (size_t p = 0; p < f[i].n; p++)
			f[i].score += f[i].parts[p];
	}
	qsort(f, count, sizeof(*f), by_score);
	for (size_t i = 0; i < count && i < k; i++)
		if (json_array_append_new(out, fused_hit(&f[i])) < 0)
			return sg_error_nomem(err);
	*ret = json_incref(out);
	return 0;
}

/* ---- many at once ---- */

int sg_know_search_batch(struct sg_know_indexes *all, struct sg_txn *t, const char *store,
	const float *vectors, size_t n, size_t k, json_t **ret_lists, struct sg_error *err)
{
	struct sg_know_index *x;
	uint64_t *bits = NULL;
	if (k < 1 || k > SG_KNOW_MAX_K || n < 1 || n > 4096)
		return sg_error_set(
			err, SG_EINVALID, NULL, "1 to 4096 queries, k of 1 to %d", SG_KNOW_MAX_K);
	int r = open_index(all, t, store, true, &x, err);
	if (r == 0)
		r = candidates(x, NULL, &bits, err);
	if (r < 0)
		return r;
	sg_autofree struct sg_know_ranked *list = malloc(n * k * sizeof(*list));
	sg_autofree size_t *counts = calloc(n, sizeof(*counts));
	json_auto_t *out = json_array();
	r = list && counts && out ? sg_know_rank_vector(x, bits, vectors, n, k, false,
					    sg_scan_select(NULL), list, counts, err)
				  : sg_error_nomem(err);
	free(bits);
	for (size_t i = 0; r == 0 && i < n; i++) {
		json_t *hits = NULL;
		r = hits_of(x, t, list + i * k, counts[i], false, &hits, err);
		if (r == 0 && json_array_append_new(out, hits) < 0)
			r = sg_error_nomem(err);
	}
	if (r == 0)
		*ret_lists = json_incref(out);
	return r;
}
