/* Writing documents: inserts, replacements and deletions, gathered by segment and written once. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "embed/unicode.h"
#include "knowledge/internal.h"
#include "knowledge/scan.h"

/* ---- what a document must be ---- */

static bool utf8_valid(const char *text, size_t n)
{
	const uint8_t *p = (const uint8_t *)text, *end = p + n;
	uint32_t c;
	for (size_t w; p < end; p += w)
		if ((w = sg_utf8_decode(p, end, &c)) == 0)
			return false;
	return true;
}

static int check_metadata(const json_t *meta, struct sg_error *err)
{
	const char *key;
	json_t *v;
	if (!json_is_object(meta))
		return sg_error_set(err, SG_EINVALID, NULL, "metadata is not an object");
	if (json_object_size(meta) > SG_KNOW_META_KEYS)
		return sg_error_set(err, SG_EINVALID, NULL, "metadata has more than %d members",
			SG_KNOW_META_KEYS);
	json_object_foreach ((json_t *)meta, key, v)
		if (!json_is_string(v) && !json_is_number(v) && !json_is_boolean(v))
			return sg_error_set(err, SG_EINVALID, NULL,
				"metadata \"%.64s\" is not a string, number or boolean", key);
	return 0;
}

static int check_id(const char *id, struct sg_error *err)
{
	size_t n = id ? strlen(id) : 0;
	if (!n || n > SG_KNOW_ID_MAX || !utf8_valid(id, n))
		return sg_error_set(err, SG_EINVALID, NULL,
			"a document id is UTF-8 of 1 to %d bytes", SG_KNOW_ID_MAX);
	return 0;
}

int sg_know_check_doc(const struct sg_know_doc *d, struct sg_error *err)
{
	int r = check_id(d->id, err);
	if (r < 0)
		return r;
	if (d->text_len > SG_KNOW_TEXT_MAX)
		return sg_error_set(err, SG_ELIMIT, NULL,
			"document \"%.80s\": more than %u bytes of text", d->id, SG_KNOW_TEXT_MAX);
	if (!utf8_valid(d->text, d->text_len))
		return sg_error_set(
			err, SG_EINVALID, NULL, "document \"%.80s\": its text is not UTF-8", d->id);
	r = d->metadata ? check_metadata(d->metadata, err) : 0;
	return r < 0 ? sg_error_prefix(err, "document \"%.80s\"", d->id) : 0;
}

static int print_metadata(const struct sg_know_doc *d, struct sg_buf *b, struct sg_error *err)
{
	if (!d->metadata) {
		sg_buf_adds(b, "{}");
		return b->failed ? sg_error_nomem(err) : 0;
	}
	int r = sg_json_canonical(d->metadata, b, err);
	if (r == -SG_ELIMIT)
		return sg_error_set(err, SG_ELIMIT, NULL,
			"document \"%.80s\": more than %d bytes of metadata", d->id,
			SG_KNOW_META_MAX);
	return r;
}

static void hash_of(const struct sg_know_doc *d, const struct sg_buf *meta, uint8_t *ret)
{
	uint8_t sums[2 * SG_SHA256_BYTES];
	sg_sha256(d->text, d->text_len, sums);
	sg_sha256(meta->data, meta->len, sums + SG_SHA256_BYTES);
	sg_sha256(sums, sizeof(sums), ret);
}

int sg_know_doc_hash(
	const struct sg_know_doc *d, uint8_t ret[SG_SHA256_BYTES], struct sg_error *err)
{
	sg_autobuf meta = SG_BUF_INIT(SG_KNOW_META_MAX);
	int r = print_metadata(d, &meta, err);
	if (r == 0)
		hash_of(d, &meta, ret);
	return r;
}

/* ---- the id table ---- */

struct id_entry {
	uint32_t row;
	uint8_t hash[SG_SHA256_BYTES];
};

static struct sg_span id_key(const struct sg_know_info *s, const char *id, uint8_t *room)
{
	size_t n = strlen(id);
	sg_know_key(s, 0, room);
	memcpy(room + 4, id, n);
	return SG_SPAN(room, 4 + n);
}

static int id_get(struct sg_txn *t, const struct sg_know_info *s, const char *id,
	struct id_entry *ret, struct sg_error *err)
{
	uint8_t key[4 + SG_KNOW_ID_MAX];
	struct sg_span v;
	if (strlen(id) > SG_KNOW_ID_MAX)
		return 1;
	int r = sg_txn_get(t, SG_TABLE_KNOW_ID, id_key(s, id, key), &v, err);
	if (r != 0)
		return r;
	if (v.len != 4 + SG_SHA256_BYTES || sg_know_get32(v.data) >= s->rows)
		return sg_know_corrupt(err, s->name, 0, "an entry of its ids is damaged");
	ret->row = sg_know_get32(v.data);
	memcpy(ret->hash, (const uint8_t *)v.data + 4, SG_SHA256_BYTES);
	return 0;
}

int sg_know_has(struct sg_txn *t, const struct sg_know_info *s, const char *id,
	const uint8_t hash[SG_SHA256_BYTES], struct sg_error *err)
{
	struct id_entry e;
	int r = id_get(t, s, id, &e, err);
	if (r < 0)
		return r;
	return r == 0 && memcmp(e.hash, hash, SG_SHA256_BYTES) == 0;
}

/* ---- segments being changed ---- */

struct opened {
	struct sg_know_dir dir;
	float *vectors;			  /* owned; NULL without */
	char *rows[SG_KNOW_SEGMENT_ROWS]; /* owned; NULL = no document */
	size_t lens[SG_KNOW_SEGMENT_ROWS];
};

struct write {
	struct sg_txn *t;
	struct sg_know_info s;
	struct opened **open; /* sorted by nothing; few */
	size_t n, cap;
	uint32_t hole_from;   /* no hole in the segments before */
	uint32_t rows_before; /* when the write began: what the directory knows */
	struct sg_know_counts counts;
};

static void free_opened(struct opened *o)
{
	if (!o)
		return;
	for (int i = 0; i < SG_KNOW_SEGMENT_ROWS; i++)
		free(o->rows[i]);
	free(o->vectors);
	free(o);
}

static void finish(struct write *w)
{
	for (size_t i = 0; i < w->n; i++)
		free_opened(w->open[i]);
	free((void *)w->open);
}

static int fill(struct write *w, struct opened *o, struct sg_error *err)
{
	const float *vectors;
	struct sg_span side, rows[SG_KNOW_SEGMENT_ROWS];
	int r = sg_know_segment_read(w->t, &w->s, &o->dir, &vectors, &side, err);
	if (r == 0)
		r = sg_know_side_split(side, rows, w->s.name, err);
	if (r < 0)
		return r;
	if (o->vectors)
		memcpy(o->vectors, vectors,
			SG_KNOW_SEGMENT_ROWS * sg_know_stride(&w->s) * sizeof(float));
	for (int i = 0; i < SG_KNOW_SEGMENT_ROWS; i++) {
		if (!rows[i].len)
			continue;
		if (!(o->rows[i] = malloc(rows[i].len)))
			return sg_error_nomem(err);
		memcpy(o->rows[i], rows[i].data, rows[i].len);
		o->lens[i] = rows[i].len;
	}
	return 0;
}

static int make_opened(struct write *w, uint32_t segment, struct opened **ret, struct sg_error *err)
{
	struct opened *o = calloc(1, sizeof(*o));
	if (!o)
		return sg_error_nomem(err);
	if (w->s.drift.dims && !(o->vectors = calloc(SG_KNOW_SEGMENT_ROWS * sg_know_stride(&w->s),
					 sizeof(float)))) {
		free(o);
		return sg_error_nomem(err);
	}
	int r = sg_know_dir_get(w->t, &w->s, segment, &o->dir, err);
	if (r == 0)
		r = fill(w, o, err);
	if (r < 0) {
		free_opened(o);
		return r;
	}
	o->dir.segment = segment;
	*ret = o;
	return 0;
}

static int open_segment(
	struct write *w, uint32_t segment, struct opened **ret, struct sg_error *err)
{
	for (size_t i = w->n; i-- > 0;)
		if (w->open[i]->dir.segment == segment) {
			*ret = w->open[i];
			return 0;
		}
	if (w->n == w->cap) {
		size_t cap = w->cap ? w->cap * 2 : 16;
		struct opened **p = realloc((void *)w->open, cap * sizeof(struct opened *));
		if (!p)
			return sg_error_nomem(err);
		w->open = p;
		w->cap = cap;
	}
	int r = make_opened(w, segment, &w->open[w->n], err);
	if (r < 0)
		return r;
	*ret = w->open[w->n++];
	return 0;
}

static int flush_one(struct write *w, struct opened *o, struct sg_error *err)
{
	sg_autobuf side = SG_BUF_INIT(256U << 20);
	for (int i = 0; i < SG_KNOW_SEGMENT_ROWS; i++) {
		uint8_t n[4];
		sg_know_put32(n, (uint32_t)o->lens[i]);
		sg_buf_add(&side, n, 4);
		sg_buf_add(&side, o->rows[i], o->lens[i]);
	}
	if (side.failed)
		return sg_error_nomem(err);
	o->dir.version = w->s.generation;
	return sg_know_segment_write(
		w->t, &w->s, &o->dir, o->vectors, SG_SPAN(side.data, side.len), err);
}

static int flush(struct write *w, struct sg_error *err)
{
	if (!w->n)
		return 0;
	w->s.generation++;
	for (size_t i = 0; i < w->n; i++) {
		int r = flush_one(w, w->open[i], err);
		if (r < 0)
			return r;
	}
	return sg_know_save(w->t, &w->s, err);
}

/* ---- rows ---- */

static int first_hole(void *ctx, const struct sg_know_dir *d, struct sg_error *err)
{
	struct write *w = ctx;
	(void)err;
	uint32_t last = w->s.rows - d->segment * SG_KNOW_SEGMENT_ROWS;
	uint64_t all = last >= SG_KNOW_SEGMENT_ROWS ? UINT64_MAX : (1ULL << last) - 1;
	uint64_t alive = d->alive;
	for (size_t i = 0; i < w->n; i++)
		if (w->open[i]->dir.segment == d->segment)
			alive = w->open[i]->dir.alive;
	if (d->segment < w->hole_from || (alive & all) == all)
		return 0;
	w->hole_from = d->segment;
	return 1 + __builtin_ctzll(~alive);
}

/* A row that holds no document: the first hole, else a new one at the end. */
static int take_row(struct write *w, uint32_t *ret, struct sg_error *err)
{
	if (w->s.items < w->s.rows) {
		/* A segment that this write began is not in the directory yet. */
		for (size_t i = 0; i < w->n; i++) {
			const struct sg_know_dir *d = &w->open[i]->dir;
			uint32_t begin = d->segment * SG_KNOW_SEGMENT_ROWS;
			int bit = d->alive == UINT64_MAX ? 64 : __builtin_ctzll(~d->alive);
			if (bit < 64 && begin + (uint32_t)bit < w->s.rows) {
				*ret = begin + (uint32_t)bit;
				return 0;
			}
		}
		struct sg_know_info before = w->s;
		before.rows = w->rows_before;
		int r = sg_know_dir_each(w->t, &before, first_hole, w, err);
		if (r > 0) {
			*ret = w->hole_from * SG_KNOW_SEGMENT_ROWS + (uint32_t)(r - 1);
			return 0;
		}
		if (r < 0)
			return r;
	}
	if (w->s.rows >= SG_KNOW_MAX_ROWS)
		return sg_error_set(err, SG_ELIMIT, NULL, "store \"%s\" has %u rows, the limit",
			w->s.name, SG_KNOW_MAX_ROWS);
	*ret = w->s.rows++;
	return 0;
}

static int put_vector(
	const struct write *w, const struct sg_know_doc *d, float *to, struct sg_error *err)
{
	size_t dims = (size_t)w->s.drift.dims;
	double norm = 0;
	if (!d->vector)
		return sg_error_set(
			err, SG_EINVALID, NULL, "document \"%.80s\" has no vector", d->id);
	for (size_t i = 0; i < dims; i++)
		norm += (double)d->vector[i] * (double)d->vector[i];
	if (!isfinite(norm) || (w->s.metric == SG_KNOW_COSINE && norm == 0))
		return sg_error_set(err, SG_EINVALID, NULL,
			"document \"%.80s\": a vector that is %s", d->id,
			norm == 0 ? "zero has no direction" : "not finite");
	double scale = w->s.metric == SG_KNOW_COSINE && fabs(norm - 1) > 1e-6 ? 1 / sqrt(norm) : 1;
	for (size_t i = 0; i < dims; i++)
		to[i] = (float)(d->vector[i] * scale);
	return 0;
}

static int put_text(
	struct write *w, uint32_t row, const struct sg_know_doc *d, struct sg_error *err)
{
	uint8_t key[SG_KNOW_KEY_BYTES];
	sg_autobuf b = SG_BUF_INIT(SG_KNOW_TEXT_MAX + SG_SHA256_BYTES);
	uint8_t sum[SG_SHA256_BYTES];
	sg_know_key(&w->s, row, key);
	sg_sha256_pair(key, sizeof(key), d->text, d->text_len, sum);
	sg_buf_add(&b, sum, sizeof(sum));
	sg_buf_add(&b, d->text, d->text_len);
	if (b.failed)
		return sg_error_nomem(err);
	return sg_txn_put(w->t, SG_TABLE_KNOW_DOC, SG_SPAN(key, sizeof(key)),
		SG_SPAN(b.data, b.len), false, err);
}

static int put_id(
	struct write *w, const char *id, uint32_t row, const uint8_t *hash, struct sg_error *err)
{
	uint8_t key[4 + SG_KNOW_ID_MAX], v[4 + SG_SHA256_BYTES];
	sg_know_put32(v, row);
	memcpy(v + 4, hash, SG_SHA256_BYTES);
	return sg_txn_put(
		w->t, SG_TABLE_KNOW_ID, id_key(&w->s, id, key), SG_SPAN(v, sizeof(v)), false, err);
}

static int write_row(struct write *w, uint32_t row, const struct sg_know_doc *d,
	const struct sg_buf *meta, const uint8_t *hash, struct sg_error *err)
{
	struct opened *o = NULL;
	int at = (int)(row % SG_KNOW_SEGMENT_ROWS);
	int r = open_segment(w, row / SG_KNOW_SEGMENT_ROWS, &o, err);
	if (r == 0 && o->vectors)
		r = put_vector(w, d, o->vectors + (size_t)at * sg_know_stride(&w->s), err);
	if (r < 0)
		return r;
	sg_autobuf b = SG_BUF_INIT(16U << 20);
	const struct sg_span text = {d->text, d->text_len};
	sg_know_row_encode(&b, d->id, SG_SPAN(meta->data, meta->len), &text, err);
	if (b.failed)
		return sg_error_nomem(err);
	free(o->rows[at]);
	o->lens[at] = b.len;
	o->rows[at] = sg_buf_take(&b);
	o->dir.alive |= 1ULL << at;
	r = put_text(w, row, d, err);
	return r < 0 ? r : put_id(w, d->id, row, hash, err);
}

static int put_one(struct write *w, const struct sg_know_doc *d, struct sg_error *err)
{
	uint8_t hash[SG_SHA256_BYTES];
	struct id_entry old;
	uint32_t row;
	sg_autobuf meta = SG_BUF_INIT(SG_KNOW_META_MAX);
	int r = sg_know_check_doc(d, err);
	if (r == 0)
		r = print_metadata(d, &meta, err);
	if (r < 0)
		return r;
	hash_of(d, &meta, hash);
	r = id_get(w->t, &w->s, d->id, &old, err);
	if (r < 0)
		return r;
	if (r == 0 && memcmp(old.hash, hash, sizeof(hash)) == 0) {
		w->counts.unchanged++;
		return 0;
	}
	bool is_new = r > 0;
	row = is_new ? 0 : old.row;
	r = is_new ? take_row(w, &row, err) : 0;
	if (r == 0)
		r = write_row(w, row, d, &meta, hash, err);
	if (r < 0)
		return r;
	w->s.items += is_new;
	w->counts.added += is_new;
	w->counts.updated += !is_new;
	return 0;
}

static void add_counts(struct sg_know_counts *to, const struct sg_know_counts *c)
{
	if (!to)
		return;
	to->added += c->added;
	to->updated += c->updated;
	to->unchanged += c->unchanged;
	to->deleted += c->deleted;
}

int sg_know_put(struct sg_txn *t, const char *name, const struct sg_know_doc *docs, size_t n,
	struct sg_know_counts *counts, struct sg_error *err)
{
	struct write w = {.t = t};
	if (n > SG_KNOW_WRITE_DOCS)
		return sg_error_set(err, SG_ELIMIT, NULL, "more than %d documents in one write",
			SG_KNOW_WRITE_DOCS);
	int r = sg_know_open_as(t, name, SG_KNOW_HAS_DOCS, &w.s, err);
	w.rows_before = w.s.rows;
	for (size_t i = 0; r == 0 && i < n; i++)
		r = put_one(&w, &docs[i], err);
	if (r == 0)
		r = flush(&w, err);
	if (r == 0)
		add_counts(counts, &w.counts);
	finish(&w);
	return r;
}

static int delete_one(struct write *w, const char *id, struct sg_error *err)
{
	uint8_t key[4 + SG_KNOW_ID_MAX], row_key[SG_KNOW_KEY_BYTES];
	struct id_entry e;
	struct opened *o = NULL;
	int r = id_get(w->t, &w->s, id, &e, err);
	if (r != 0)
		return r < 0 ? r : 0;
	r = open_segment(w, e.row / SG_KNOW_SEGMENT_ROWS, &o, err);
	if (r < 0)
		return r;
	int at = (int)(e.row % SG_KNOW_SEGMENT_ROWS);
	free(o->rows[at]);
	o->rows[at] = NULL;
	o->lens[at] = 0;
	o->dir.alive &= ~(1ULL << at);
	if (o->vectors)
		memset(o->vectors + (size_t)at * sg_know_stride(&w->s), 0,
			sg_know_stride(&w->s) * sizeof(float));
	sg_know_key(&w->s, e.row, row_key);
	r = sg_txn_del(w->t, SG_TABLE_KNOW_ID, id_key(&w->s, id, key), err);
	if (r >= 0)
		r = sg_txn_del(w->t, SG_TABLE_KNOW_DOC, SG_SPAN(row_key, sizeof(row_key)), err);
	if (r < 0)
		return r;
	w->s.items--;
	w->counts.deleted++;
	return 0;
}

int sg_know_delete(struct sg_txn *t, const char *name, const char *const *ids, size_t n,
	struct sg_know_counts *counts, struct sg_error *err)
{
	struct write w = {.t = t};
	if (n > SG_KNOW_WRITE_DOCS)
		return sg_error_set(err, SG_ELIMIT, NULL, "more than %d documents in one write",
			SG_KNOW_WRITE_DOCS);
	int r = sg_know_open_as(t, name, SG_KNOW_HAS_DOCS, &w.s, err);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = delete_one(&w, ids[i], err);
	if (r == 0)
		r = flush(&w, err);
	if (r == 0)
		add_counts(counts, &w.counts);
	finish(&w);
	return r;
}
