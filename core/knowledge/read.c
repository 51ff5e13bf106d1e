/* Reading documents back, and checking every part of every store. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "knowledge/doc.h"
#include "knowledge/fact.h"
#include "knowledge/internal.h"
#include "knowledge/memory.h"

int sg_know_text(struct sg_txn *t, const struct sg_know_info *s, uint32_t row, struct sg_span *ret,
	struct sg_error *err)
{
	uint8_t key[SG_KNOW_KEY_BYTES], sum[SG_SHA256_BYTES];
	struct sg_span v;
	sg_know_key(s, row, key);
	int r = sg_txn_get(t, SG_TABLE_KNOW_DOC, SG_SPAN(key, sizeof(key)), &v, err);
	if (r < 0)
		return r;
	if (r > 0 || v.len < sizeof(sum))
		return sg_know_corrupt(err, s->name, row / SG_KNOW_SEGMENT_ROWS,
			"the text of one of its rows is missing");
	struct sg_span text = {(const char *)v.data + sizeof(sum), v.len - sizeof(sum)};
	sg_sha256_pair(key, sizeof(key), text.data, text.len, sum);
	if (memcmp(sum, v.data, sizeof(sum)) != 0)
		return sg_know_corrupt(err, s->name, row / SG_KNOW_SEGMENT_ROWS,
			"the text of one of its rows does not have its hash");
	*ret = text;
	return 0;
}

static int doc_json(struct sg_txn *t, const struct sg_know_info *s, uint32_t row,
	const struct sg_know_row *r, json_t **ret, struct sg_error *err)
{
	struct sg_span text;
	json_t *meta = NULL;
	int e = sg_know_text(t, s, row, &text, err);
	if (e == 0 && sg_json_parse(r->meta, r->meta_len, &meta, NULL) < 0)
		e = sg_know_corrupt(err, s->name, row / SG_KNOW_SEGMENT_ROWS,
			"the metadata of one of its rows does not parse");
	if (e < 0)
		return e;
	json_t *doc = json_pack("{s:s%, s:s%, s:o}", "id", r->id, r->id_len, "text", text.data,
		text.len, "metadata", meta);
	if (!doc)
		return sg_error_nomem(err);
	*ret = doc;
	return 0;
}

static int find_row(struct sg_txn *t, const struct sg_know_info *s, const char *id, uint32_t *ret,
	struct sg_error *err)
{
	uint8_t key[4 + SG_KNOW_ID_MAX];
	struct sg_span v;
	size_t n = strlen(id);
	if (!n || n > SG_KNOW_ID_MAX)
		return 1;
	sg_know_key(s, 0, key);
	memcpy(key + 4, id, n);
	int r = sg_txn_get(t, SG_TABLE_KNOW_ID, SG_SPAN(key, 4 + n), &v, err);
	if (r != 0)
		return r;
	if (v.len != 4 + SG_SHA256_BYTES || sg_know_get32(v.data) >= s->rows)
		return sg_know_corrupt(err, s->name, 0, "an entry of its ids is damaged");
	*ret = sg_know_get32(v.data);
	return 0;
}

int sg_know_get(
	struct sg_txn *t, const char *name, const char *id, json_t **ret, struct sg_error *err)
{
	struct sg_know_info s;
	struct sg_know_dir d;
	struct sg_know_row row;
	struct sg_span side, rows[SG_KNOW_SEGMENT_ROWS];
	const float *vectors;
	uint32_t at;
	int r = sg_know_open_as(t, name, SG_KNOW_HAS_DOCS, &s, err);
	if (r == 0)
		r = find_row(t, &s, id, &at, err);
	if (r != 0)
		return r;
	r = sg_know_dir_get(t, &s, at / SG_KNOW_SEGMENT_ROWS, &d, err);
	if (r > 0)
		r = sg_know_corrupt(err, name, at / SG_KNOW_SEGMENT_ROWS, "it is missing");
	if (r == 0)
		r = sg_know_segment_read(t, &s, &d, &vectors, &side, err);
	if (r == 0)
		r = sg_know_side_split(side, rows, name, err);
	if (r == 0)
		r = sg_know_row_parse(rows[at % SG_KNOW_SEGMENT_ROWS], &row, name, err);
	return r < 0 ? r : doc_json(t, &s, at, &row, ret, err);
}

/* ---- check ---- */

struct check {
	struct sg_txn *t;
	const struct sg_know_info *s;
	void (*report)(void *ctx, const char *what);
	void *ctx;
	uint64_t bad, items;
};

static void bad(struct check *c, const char *what)
{
	c->bad++;
	c->report(c->ctx, what);
}

static void check_row(struct check *c, uint32_t number, struct sg_span bytes)
{
	struct sg_know_row row;
	struct sg_span text;
	struct sg_error err;
	char id[SG_KNOW_ID_MAX + 1];
	uint32_t at = 0;
	int r = sg_know_row_parse(bytes, &row, c->s->name, &err);
	if (r == 0)
		r = sg_know_text(c->t, c->s, number, &text, &err);
	if (r == 0) {
		memcpy(id, row.id, row.id_len);
		id[row.id_len] = '\0';
		r = find_row(c->t, c->s, id, &at, &err);
		if (r > 0 || (r == 0 && at != number))
			r = sg_know_corrupt(&err, c->s->name, number / SG_KNOW_SEGMENT_ROWS,
				"an id does not lead to its row");
	}
	if (r < 0)
		bad(c, err.text);
	c->items++;
}

static int check_segment(void *ctx, const struct sg_know_dir *d, struct sg_error *err)
{
	struct check *c = ctx;
	struct sg_span side, rows[SG_KNOW_SEGMENT_ROWS];
	const float *vectors;
	struct sg_error here;
	(void)err;
	int r = sg_know_segment_read(c->t, c->s, d, &vectors, &side, &here);
	if (r == 0)
		r = sg_know_side_split(side, rows, c->s->name, &here);
	if (r < 0) {
		bad(c, here.text);
		c->items += (uint64_t)__builtin_popcountll(d->alive);
		return 0;
	}
	for (int i = 0; i < SG_KNOW_SEGMENT_ROWS; i++) {
		bool alive = d->alive >> i & 1;
		if (alive != (rows[i].len > 0)) {
			(void)sg_know_corrupt(&here, c->s->name, d->segment,
				"its directory entry names other rows than it has");
			bad(c, here.text);
		} else if (alive) {
			check_row(c, d->segment * SG_KNOW_SEGMENT_ROWS + (uint32_t)i, rows[i]);
		}
	}
	return 0;
}

static void check_store(struct check *c)
{
	struct sg_error err = {0};
	int r = 0;
	uint64_t before = c->items;
	if (SG_KNOW_BIT(c->s->provider) & SG_KNOW_HAS_DOCS)
		r = sg_know_dir_each(c->t, c->s, check_segment, c, &err);
	else if (c->s->provider == SG_KNOW_MEMORY)
		r = sg_know_memory_check(c->t, c->s, &c->items, &err);
	else
		r = sg_know_fact_check(c->t, c->s, &c->items, &err);
	if (r == 0 && c->items - before != c->s->items)
		r = sg_know_corrupt(
			&err, c->s->name, 0, "it does not have as many items as it says");
	if (r < 0)
		bad(c, err.text);
}

int sg_know_check(struct sg_txn *t, void (*report)(void *ctx, const char *what), void *ctx,
	uint64_t *ret_stores, uint64_t *ret_items, uint64_t *ret_bad, struct sg_error *err)
{
	sg_autofree struct sg_know_info *list = NULL;
	size_t n = 0;
	struct check c = {.t = t, .report = report, .ctx = ctx};
	int r = sg_know_list(t, &list, &n, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		c.s = &list[i];
		check_store(&c);
	}
	*ret_stores = n;
	*ret_items = c.items;
	*ret_bad = c.bad;
	return 0;
}
