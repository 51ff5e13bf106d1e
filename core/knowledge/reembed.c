/* Re-embedding in place, a segment a transaction. The store's row says which tuple it goes to and
 * which segment is next, so that an interrupted migration goes on where it stopped; until it is
 * done, no model may search or write the store. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "knowledge/doc.h"
#include "knowledge/internal.h"

struct texts {
	const char *text[SG_KNOW_SEGMENT_ROWS];
	size_t len[SG_KNOW_SEGMENT_ROWS];
	int row[SG_KNOW_SEGMENT_ROWS];
	size_t n;
};

static int read_texts(struct sg_txn *t, const struct sg_know_info *s, const struct sg_know_dir *d,
	struct texts *ret, struct sg_error *err)
{
	ret->n = 0;
	for (int i = 0; i < SG_KNOW_SEGMENT_ROWS; i++) {
		struct sg_span text;
		if (!(d->alive >> i & 1))
			continue;
		int r = sg_know_text(
			t, s, d->segment * SG_KNOW_SEGMENT_ROWS + (uint32_t)i, &text, err);
		if (r < 0)
			return r;
		ret->text[ret->n] = text.data;
		ret->len[ret->n] = text.len;
		ret->row[ret->n++] = i;
	}
	return 0;
}

static int segment(struct sg_txn *t, struct sg_know_info *s, struct sg_know_dir *d,
	sg_know_embed embed, void *ctx, struct sg_error *err)
{
	struct texts texts;
	struct sg_span side;
	const float *old;
	size_t stride = sg_know_stride(s), dims = (size_t)s->drift.dims;
	sg_autofree float *to = calloc(SG_KNOW_SEGMENT_ROWS * stride, sizeof(*to));
	sg_autofree float *made = calloc(SG_KNOW_SEGMENT_ROWS * dims, sizeof(*made));
	sg_autofree void *kept = NULL;
	if (!to || !made)
		return sg_error_nomem(err);
	int r = sg_know_segment_read(t, s, d, &old, &side, err);
	if (r == 0)
		r = read_texts(t, s, d, &texts, err);
	if (r == 0 && texts.n)
		r = embed(ctx, texts.text, texts.len, texts.n, made, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < texts.n; i++)
		memcpy(to + (size_t)texts.row[i] * stride, made + i * dims, dims * sizeof(*to));
	/* The write may move the page that side points into. */
	if (!(kept = malloc(side.len)))
		return sg_error_nomem(err);
	memcpy(kept, side.data, side.len);
	d->version = s->generation;
	return sg_know_segment_write(t, s, d, to, SG_SPAN(kept, side.len), err);
}

int sg_know_reembed_step(struct sg_txn *t, const char *name, const struct sg_know_drift *now,
	sg_know_embed embed, void *ctx, uint32_t *ret_done, uint32_t *ret_total,
	struct sg_error *err)
{
	struct sg_know_info s;
	struct sg_know_dir d;
	int r = sg_know_open_as(t, name, SG_KNOW_BIT(SG_KNOW_VECTOR), &s, err);
	if (r < 0)
		return r;
	uint32_t total = (s.rows + SG_KNOW_SEGMENT_ROWS - 1) / SG_KNOW_SEGMENT_ROWS;
	if (now->dims != s.drift.dims)
		return sg_error_set(err, SG_EINVALID, NULL,
			"store \"%s\" has %d dimensions, the model %d: make another store", name,
			s.drift.dims, now->dims);
	if (!s.migrating || !sg_know_same_drift(&s.target, now)) {
		s.migrating = true;
		s.target = *now;
		s.next_segment = 0;
	}
	s.generation++;
	if (s.next_segment < total) {
		r = sg_know_dir_get(t, &s, s.next_segment, &d, err);
		if (r > 0)
			r = sg_know_corrupt(err, name, s.next_segment, "it is missing");
		if (r == 0)
			r = segment(t, &s, &d, embed, ctx, err);
		if (r < 0)
			return r;
		s.next_segment++;
	}
	*ret_done = s.next_segment;
	*ret_total = total;
	bool more = s.next_segment < total;
	if (!more) {
		s.drift = s.target;
		s.migrating = false;
		s.next_segment = 0;
		memset(&s.target, 0, sizeof(s.target));
	}
	r = sg_know_save(t, &s, err);
	return r < 0 ? r : more;
}
