/* Segments: SG_KNOW_SEGMENT_ROWS rows in two parts, and the directory that holds their hashes. */
#include <stdlib.h>
#include <string.h>

#include "knowledge/internal.h"

#define DIR_BYTES (8U + 8U + 2U * SG_SHA256_BYTES)

int sg_know_corrupt(struct sg_error *err, const char *name, uint32_t segment, const char *what)
{
	return sg_error_set(err, SG_ECORRUPT, "store-corrupt",
		"knowledge store \"%s\", segment %u: %s; restore a backup", name, segment, what);
}

static void be32(uint32_t v, uint8_t *p)
{
	for (int i = 3; i >= 0; i--, v >>= 8)
		p[i] = (uint8_t)v;
}

void sg_know_key(const struct sg_know_info *s, uint32_t number, uint8_t ret[SG_KNOW_KEY_BYTES])
{
	be32(s->id, ret);
	be32(number, ret + 4);
}

static void dir_parse(const uint8_t *p, uint32_t segment, struct sg_know_dir *ret)
{
	ret->segment = segment;
	ret->alive = sg_know_get64(p);
	ret->version = sg_know_get64(p + 8);
	memcpy(ret->vectors_sha, p + 16, SG_SHA256_BYTES);
	memcpy(ret->side_sha, p + 16 + SG_SHA256_BYTES, SG_SHA256_BYTES);
}

int sg_know_dir_get(struct sg_txn *t, const struct sg_know_info *s, uint32_t segment,
	struct sg_know_dir *ret, struct sg_error *err)
{
	uint8_t key[SG_KNOW_KEY_BYTES];
	struct sg_span v;
	sg_know_key(s, segment, key);
	int r = sg_txn_get(t, SG_TABLE_KNOW_DIR, SG_SPAN(key, sizeof(key)), &v, err);
	if (r != 0)
		return r;
	if (v.len != DIR_BYTES)
		return sg_know_corrupt(err, s->name, segment, "its directory entry is damaged");
	dir_parse(v.data, segment, ret);
	return 0;
}

int sg_know_dir_put(struct sg_txn *t, const struct sg_know_info *s, const struct sg_know_dir *d,
	struct sg_error *err)
{
	uint8_t key[SG_KNOW_KEY_BYTES], v[DIR_BYTES];
	sg_know_key(s, d->segment, key);
	sg_know_put64(v, d->alive);
	sg_know_put64(v + 8, d->version);
	memcpy(v + 16, d->vectors_sha, SG_SHA256_BYTES);
	memcpy(v + 16 + SG_SHA256_BYTES, d->side_sha, SG_SHA256_BYTES);
	return sg_txn_put(
		t, SG_TABLE_KNOW_DIR, SG_SPAN(key, sizeof(key)), SG_SPAN(v, sizeof(v)), false, err);
}

int sg_know_dir_each(struct sg_txn *t, const struct sg_know_info *s,
	int (*each)(void *ctx, const struct sg_know_dir *d, struct sg_error *err), void *ctx,
	struct sg_error *err)
{
	uint8_t key[SG_KNOW_KEY_BYTES];
	sg_autocursor *c = NULL;
	struct sg_know_dir d;
	uint32_t want = 0;
	sg_know_key(s, 0, key);
	struct sg_span k = SG_SPAN(key, sizeof(key)), v;
	int r = sg_cursor_open(t, SG_TABLE_KNOW_DIR, &c, err);
	if (r < 0)
		return r;
	for (r = sg_cursor_seek(c, SG_SEEK_GE, &k, &v, err); r == 0;
		r = sg_cursor_seek(c, SG_SEEK_NEXT, &k, &v, err), want++) {
		if (k.len != SG_KNOW_KEY_BYTES || memcmp(k.data, key, 4) != 0)
			break;
		sg_know_key(s, want, key);
		if (memcmp(k.data, key, sizeof(key)) != 0 || v.len != DIR_BYTES)
			return sg_know_corrupt(
				err, s->name, want, "its directory entry is damaged");
		dir_parse(v.data, want, &d);
		r = each(ctx, &d, err);
		if (r != 0)
			return r;
	}
	if (r < 0)
		return r;
	uint32_t segments = (s->rows + SG_KNOW_SEGMENT_ROWS - 1) / SG_KNOW_SEGMENT_ROWS;
	return want == segments ? 0 : sg_know_corrupt(err, s->name, want, "it is missing");
}

static size_t vector_bytes(const struct sg_know_info *s)
{
	return sg_know_stride(s) * sizeof(float) * SG_KNOW_SEGMENT_ROWS;
}

static int read_part(struct sg_txn *t, const struct sg_know_info *s, enum sg_table table,
	const struct sg_know_dir *d, const uint8_t *sha, struct sg_span *ret, struct sg_error *err)
{
	uint8_t key[SG_KNOW_KEY_BYTES], sum[SG_SHA256_BYTES];
	sg_know_key(s, d->segment, key);
	int r = sg_txn_get(t, table, SG_SPAN(key, sizeof(key)), ret, err);
	if (r > 0)
		return sg_know_corrupt(err, s->name, d->segment, "a part is missing");
	if (r < 0)
		return r;
	sg_sha256_pair(key, sizeof(key), ret->data, ret->len, sum);
	return memcmp(sum, sha, sizeof(sum)) == 0
		       ? 0
		       : sg_know_corrupt(err, s->name, d->segment,
				 "a part does not have the hash of its directory entry");
}

int sg_know_segment_read(struct sg_txn *t, const struct sg_know_info *s,
	const struct sg_know_dir *d, const float **ret_vectors, struct sg_span *ret_side,
	struct sg_error *err)
{
	struct sg_span v = {0}, side;
	int r = read_part(t, s, SG_TABLE_KNOW_SIDE, d, d->side_sha, &side, err);
	if (r == 0 && s->drift.dims)
		r = read_part(t, s, SG_TABLE_KNOW_VECTOR, d, d->vectors_sha, &v, err);
	if (r < 0)
		return r;
	if (v.len != vector_bytes(s) * (s->drift.dims != 0))
		return sg_know_corrupt(err, s->name, d->segment, "it has other dimensions");
	*ret_vectors = v.data;
	*ret_side = side;
	return 0;
}

static int write_part(struct sg_txn *t, enum sg_table table, const uint8_t *key,
	struct sg_span value, uint8_t *ret_sha, struct sg_error *err)
{
	sg_sha256_pair(key, SG_KNOW_KEY_BYTES, value.data, value.len, ret_sha);
	return sg_txn_put(t, table, SG_SPAN(key, SG_KNOW_KEY_BYTES), value, false, err);
}

int sg_know_segment_write(struct sg_txn *t, const struct sg_know_info *s, struct sg_know_dir *d,
	const float *vectors, struct sg_span side, struct sg_error *err)
{
	uint8_t key[SG_KNOW_KEY_BYTES];
	sg_know_key(s, d->segment, key);
	int r = write_part(t, SG_TABLE_KNOW_SIDE, key, side, d->side_sha, err);
	if (r == 0 && s->drift.dims)
		r = write_part(t, SG_TABLE_KNOW_VECTOR, key, SG_SPAN(vectors, vector_bytes(s)),
			d->vectors_sha, err);
	return r < 0 ? r : sg_know_dir_put(t, s, d, err);
}

int sg_know_side_split(struct sg_span side, struct sg_span ret[SG_KNOW_SEGMENT_ROWS],
	const char *name, struct sg_error *err)
{
	const uint8_t *p = side.data;
	size_t left = side.len;
	for (int i = 0; i < SG_KNOW_SEGMENT_ROWS; i++) {
		if (left < 4 || sg_know_get32(p) > left - 4)
			return sg_know_corrupt(err, name, 0, "a side part is cut short");
		size_t n = sg_know_get32(p);
		ret[i] = SG_SPAN(p + 4, n);
		p += 4 + n;
		left -= 4 + n;
	}
	return left == 0 ? 0 : sg_know_corrupt(err, name, 0, "a side part is too long");
}

/* Walks the terms so that whoever reads them later need not check. */
static bool terms_hold(const uint8_t *p, size_t left, unsigned n)
{
	for (; n; n--) {
		if (left < 1 || p[0] == 0 || p[0] > SG_KNOW_TERM_MAX || left < 3U + p[0])
			return false;
		left -= 3U + p[0];
		p += 3U + p[0];
	}
	return left == 0;
}

/* {u16 id length, id, u32 metadata length, metadata, u32 length, u16 terms, terms} */
int sg_know_row_parse(
	struct sg_span row, struct sg_know_row *ret, const char *name, struct sg_error *err)
{
	const uint8_t *p = row.data;
	size_t left = row.len;
	struct sg_know_row r = {0};
	if (left < 2)
		goto bad;
	r.id_len = (size_t)p[0] | (size_t)p[1] << 8;
	p += 2;
	left -= 2;
	if (r.id_len == 0 || r.id_len > SG_KNOW_ID_MAX || left < r.id_len + 4)
		goto bad;
	r.id = (const char *)p;
	p += r.id_len;
	left -= r.id_len;
	r.meta_len = sg_know_get32(p);
	p += 4;
	left -= 4;
	if (r.meta_len > SG_KNOW_META_MAX || left < r.meta_len + 6)
		goto bad;
	r.meta = (const char *)p;
	p += r.meta_len;
	r.length = sg_know_get32(p);
	r.n_terms = (uint16_t)(p[4] | p[5] << 8);
	r.terms = p + 6;
	r.terms_len = left - r.meta_len - 6;
	if (!terms_hold(r.terms, r.terms_len, r.n_terms))
		goto bad;
	*ret = r;
	return 0;
bad:
	return sg_know_corrupt(err, name, 0, "a row is damaged");
}

/* ---- encoding ---- */

struct counted {
	char *term;
	uint32_t n; /* length, then count */
	uint32_t count;
};
struct collected {
	struct counted *list;
	size_t n, cap;
	bool failed;
};

static void collect(void *ctx, const char *term, size_t n)
{
	struct collected *c = ctx;
	if (c->n == c->cap) {
		size_t cap = c->cap ? c->cap * 2 : 128;
		struct counted *p = realloc(c->list, cap * sizeof(*p));
		if (!p) {
			c->failed = true;
			return;
		}
		c->list = p;
		c->cap = cap;
	}
	char *copy = strndup(term, n);
	if (!copy) {
		c->failed = true;
		return;
	}
	c->list[c->n++] = (struct counted){copy, (uint32_t)n, 1};
}

static int by_term(const void *a, const void *b)
{
	return strcmp(((const struct counted *)a)->term, ((const struct counted *)b)->term);
}

/* Equal neighbours become one with their count. */
static size_t merge(struct collected *c)
{
	size_t n = 0;
	for (size_t i = 0; i < c->n; i++) {
		if (n && strcmp(c->list[n - 1].term, c->list[i].term) == 0) {
			c->list[n - 1].count++;
			free(c->list[i].term);
			continue;
		}
		c->list[n++] = c->list[i];
	}
	return n;
}

static void add16(struct sg_buf *b, size_t v)
{
	v = v > UINT16_MAX ? UINT16_MAX : v;
	uint8_t p[2] = {(uint8_t)v, (uint8_t)(v >> 8)};
	sg_buf_add(b, p, 2);
}

static void add32(struct sg_buf *b, size_t v)
{
	uint8_t p[4];
	sg_know_put32(p, (uint32_t)v);
	sg_buf_add(b, p, 4);
}

void sg_know_row_encode(struct sg_buf *b, const char *id, struct sg_span meta,
	const struct sg_span *text, struct sg_error *err)
{
	struct collected c = {0};
	size_t id_len = strlen(id);
	sg_know_terms(text->data, text->len, collect, &c);
	size_t length = c.n;
	if (c.n)
		qsort(c.list, c.n, sizeof(*c.list), by_term);
	c.n = merge(&c);
	add16(b, id_len);
	sg_buf_add(b, id, id_len);
	add32(b, meta.len);
	sg_buf_add(b, meta.data, meta.len);
	add32(b, length);
	size_t n = c.n > UINT16_MAX ? UINT16_MAX : c.n;
	add16(b, n);
	for (size_t i = 0; i < c.n; i++) {
		if (i < n) {
			sg_buf_addc(b, (char)c.list[i].n);
			sg_buf_add(b, c.list[i].term, c.list[i].n);
			add16(b, c.list[i].count);
		}
		free(c.list[i].term);
	}
	free(c.list);
	if (c.failed)
		b->failed = true;
	if (b->failed)
		(void)sg_error_nomem(err);
}
