/* The resident copy: read from the store's segments, each part hashed as it is read; after a write
 * only the segments with another version are read again. */
#include "knowledge/index.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "base/json.h"

int sg_know_id_order(const struct sg_know_index *x, uint32_t a, uint32_t b)
{
	const struct sg_know_row *p = sg_know_row_at(x, a), *q = sg_know_row_at(x, b);
	size_t n = p->id_len < q->id_len ? p->id_len : q->id_len;
	int c = memcmp(p->id, q->id, n);
	return c ? c : (p->id_len > q->id_len) - (p->id_len < q->id_len);
}

/* ---- memory ---- */

static void *map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	(void)madvise(p, bytes, MADV_HUGEPAGE); /* fewer misses of the address cache */
	return p;
}

static size_t chunk_elements(const struct sg_know_index *x)
{
	return (size_t)SG_KNOW_CHUNK_ROWS * x->stride;
}

static void free_chunks(struct sg_know_index *x)
{
	for (size_t i = 0; i < x->n_chunks; i++) {
		struct sg_know_chunk *c = &x->chunks[i];
		if (c->vectors)
			(void)munmap(c->vectors, chunk_elements(x) * sizeof(float));
		if (c->codes)
			(void)munmap(c->codes, chunk_elements(x));
		free(c->scales);
		free(c->norms);
	}
	free(x->chunks);
}

static void clear(struct sg_know_index *x)
{
	struct sg_know_index *next = x->next;
	for (size_t i = 0; i < x->n_segments; i++) {
		free(x->segments[i].side);
		free(x->segments[i].rows);
	}
	free(x->segments);
	free_chunks(x);
	for (size_t i = 0; i < x->n_columns; i++) {
		free(x->columns[i].codes);
		sg_know_names_finish(&x->columns[i].values);
	}
	free(x->columns);
	for (size_t i = 0; i < x->terms.n && i < x->cap_postings; i++)
		free(x->postings[i].list);
	free(x->postings);
	sg_know_names_finish(&x->keys);
	sg_know_names_finish(&x->terms);
	memset(x, 0, sizeof(*x));
	x->next = next;
}

static int add_chunk(struct sg_know_index *x, struct sg_error *err)
{
	struct sg_know_chunk *p = realloc(x->chunks, (x->n_chunks + 1) * sizeof(*p));
	if (!p)
		return sg_error_nomem(err);
	x->chunks = p;
	struct sg_know_chunk *c = &p[x->n_chunks++];
	c->vectors = map(chunk_elements(x) * sizeof(float));
	c->codes = map(chunk_elements(x));
	c->scales = calloc(SG_KNOW_CHUNK_ROWS, sizeof(float));
	c->norms = calloc(SG_KNOW_CHUNK_ROWS, sizeof(float));
	return c->vectors && c->codes && c->scales && c->norms ? 0 : sg_error_nomem(err);
}

static int add_segment(struct sg_know_index *x, struct sg_error *err)
{
	if (x->n_segments == x->cap_segments) {
		size_t cap = x->cap_segments ? x->cap_segments * 2 : 64;
		struct sg_know_segment *p = realloc(x->segments, cap * sizeof(*p));
		if (!p)
			return sg_error_nomem(err);
		x->segments = p;
		x->cap_segments = cap;
	}
	x->segments[x->n_segments++] = (struct sg_know_segment){0};
	size_t rows = x->n_segments * SG_KNOW_SEGMENT_ROWS;
	while (x->stride && x->n_chunks * SG_KNOW_CHUNK_ROWS < rows) {
		int r = add_chunk(x, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- metadata ---- */

static int column_of(struct sg_know_index *x, const char *key, struct sg_know_column **ret)
{
	uint32_t at = sg_know_names_add(&x->keys, key, strlen(key));
	if (at == SG_KNOW_NO_NAME)
		return -1;
	if (at >= x->n_columns) {
		struct sg_know_column *p = realloc(x->columns, ((size_t)at + 1) * sizeof(*p));
		if (!p)
			return -1;
		memset(&p[at], 0, sizeof(*p));
		x->columns = p;
		x->n_columns = (size_t)at + 1;
	}
	struct sg_know_column *c = &x->columns[at];
	size_t need = x->n_segments * SG_KNOW_SEGMENT_ROWS;
	if (c->cap < need) {
		size_t cap = c->cap * 2 > need ? c->cap * 2 : need;
		uint32_t *codes = realloc(c->codes, cap * sizeof(*codes));
		if (!codes)
			return -1;
		memset(codes + c->cap, 0, (cap - c->cap) * sizeof(*codes));
		x->bytes += (cap - c->cap) * sizeof(*codes);
		c->codes = codes;
		c->cap = cap;
	}
	*ret = c;
	return 0;
}

/* One type byte and the value; numbers as doubles. */
static size_t value_key(const json_t *v, char *room, size_t size)
{
	if (json_is_string(v)) {
		size_t n = json_string_length(v);
		n = n < size - 1 ? n : size - 1;
		room[0] = 's';
		memcpy(room + 1, json_string_value(v), n);
		return n + 1;
	}
	if (json_is_boolean(v)) {
		room[0] = json_is_true(v) ? 't' : 'f';
		return 1;
	}
	double d = json_number_value(v);
	d = d == 0 ? 0 : d; /* one zero */
	room[0] = 'n';
	memcpy(room + 1, &d, sizeof(d));
	return 1 + sizeof(d);
}

static int set_metadata(
	struct sg_know_index *x, uint32_t row, const struct sg_know_row *r, struct sg_error *err)
{
	char room[SG_KNOW_META_MAX + 1];
	json_auto_t *meta = NULL;
	const char *key;
	json_t *v;
	if (r->meta_len == 2) /* {} */
		return 0;
	if (sg_json_parse(r->meta, r->meta_len, &meta, NULL) < 0 || !json_is_object(meta))
		return sg_know_corrupt(err, x->info.name, row / SG_KNOW_SEGMENT_ROWS,
			"the metadata of one of its rows does not parse");
	json_object_foreach (meta, key, v) {
		struct sg_know_column *c;
		if (column_of(x, key, &c) < 0)
			return sg_error_nomem(err);
		uint64_t before = c->values.bytes;
		uint32_t code =
			sg_know_names_add(&c->values, room, value_key(v, room, sizeof(room)));
		if (code == SG_KNOW_NO_NAME)
			return sg_error_nomem(err);
		x->bytes += c->values.bytes - before;
		c->codes[row] = code + 1;
	}
	return 0;
}

static void unset_metadata(struct sg_know_index *x, uint32_t row)
{
	for (size_t i = 0; i < x->n_columns; i++)
		if (row < x->columns[i].cap)
			x->columns[i].codes[row] = 0;
}

/* ---- terms ---- */

static struct sg_know_postings *postings_of(struct sg_know_index *x, const uint8_t *term, size_t n)
{
	uint32_t at = sg_know_names_add(&x->terms, term, n);
	if (at == SG_KNOW_NO_NAME)
		return NULL;
	if (at >= x->cap_postings) {
		size_t cap = x->cap_postings ? x->cap_postings * 2 : 1024;
		struct sg_know_postings *p = realloc(x->postings, cap * sizeof(*p));
		if (!p)
			return NULL;
		memset(p + x->cap_postings, 0, (cap - x->cap_postings) * sizeof(*p));
		x->postings = p;
		x->cap_postings = cap;
	}
	return &x->postings[at];
}

/* Place of the row in the list, or where it belongs. */
static uint32_t find_posting(const struct sg_know_postings *p, uint32_t row)
{
	uint32_t lo = 0, hi = p->n;
	if (hi && p->list[hi - 1].row < row)
		return hi;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (p->list[mid].row < row)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int add_posting(
	struct sg_know_index *x, struct sg_know_postings *p, uint32_t row, uint32_t count)
{
	if (p->n == p->cap) {
		uint32_t cap = p->cap ? p->cap * 2 : 4;
		struct sg_know_posting *list = realloc(p->list, cap * sizeof(*list));
		if (!list)
			return -1;
		x->bytes += (cap - p->cap) * sizeof(*list);
		p->list = list;
		p->cap = cap;
	}
	uint32_t at = find_posting(p, row);
	memmove(p->list + at + 1, p->list + at, (p->n - at) * sizeof(*p->list));
	p->list[at] = (struct sg_know_posting){row, count};
	p->n++;
	return 0;
}

static int add_terms(
	struct sg_know_index *x, uint32_t row, const struct sg_know_row *r, struct sg_error *err)
{
	const uint8_t *p = r->terms;
	for (unsigned i = 0; i < r->n_terms; i++, p += 3U + p[0]) {
		struct sg_know_postings *list = postings_of(x, p + 1, p[0]);
		uint32_t count = p[1 + p[0]] | (uint32_t)p[2 + p[0]] << 8;
		if (!list || add_posting(x, list, row, count) < 0)
			return sg_error_nomem(err);
	}
	x->documents++;
	x->total_length += r->length;
	return 0;
}

static void remove_terms(struct sg_know_index *x, uint32_t row, const struct sg_know_row *r)
{
	const uint8_t *p = r->terms;
	for (unsigned i = 0; i < r->n_terms; i++, p += 3U + p[0]) {
		uint32_t term = sg_know_names_find(&x->terms, p + 1, p[0]);
		if (term == SG_KNOW_NO_NAME || term >= x->cap_postings)
			continue;
		struct sg_know_postings *list = &x->postings[term];
		uint32_t at = find_posting(list, row);
		if (at == list->n || list->list[at].row != row)
			continue;
		memmove(list->list + at, list->list + at + 1,
			(list->n - at - 1) * sizeof(*list->list));
		list->n--;
	}
	x->documents--;
	x->total_length -= r->length;
}

/* ---- segments ---- */

static void set_vector(struct sg_know_index *x, uint32_t row, const float *from)
{
	const struct sg_know_chunk *c = &x->chunks[row / SG_KNOW_CHUNK_ROWS];
	size_t at = row % SG_KNOW_CHUNK_ROWS;
	float *to = c->vectors + at * x->stride;
	if (memcmp(to, from, x->stride * sizeof(float)) == 0)
		return;
	memcpy(to, from, x->stride * sizeof(float));
	sg_scan_quantize(to, x->stride, c->codes + at * x->stride, &c->scales[at]);
	c->norms[at] = (float)sg_scan_exact_dot(to, to, x->stride);
}

static bool same_row(const struct sg_know_row *a, struct sg_span b)
{
	size_t n = (size_t)(a->terms + a->terms_len - (const uint8_t *)(a->id - 2));
	return n == b.len && memcmp(a->id - 2, b.data, n) == 0;
}

/* Brings one row from what the segment held to what it holds. */
static int set_row(struct sg_know_index *x, uint32_t row, struct sg_know_segment *old, bool was,
	struct sg_span bytes, struct sg_know_row *ret, struct sg_error *err)
{
	const struct sg_know_row *before = was ? &old->rows[row % SG_KNOW_SEGMENT_ROWS] : NULL;
	if (bytes.len) {
		int r = sg_know_row_parse(bytes, ret, x->info.name, err);
		if (r < 0)
			return r;
	}
	if (before && same_row(before, bytes))
		return 0;
	if (before) {
		remove_terms(x, row, before);
		unset_metadata(x, row);
	}
	if (!bytes.len)
		return 0;
	int r = add_terms(x, row, ret, err);
	return r < 0 ? r : set_metadata(x, row, ret, err);
}

static int fill_segment(struct sg_know_index *x, const struct sg_know_dir *d,
	struct sg_know_segment *n, const float *vectors, struct sg_error *err)
{
	struct sg_span rows[SG_KNOW_SEGMENT_ROWS];
	struct sg_know_segment *old = &x->segments[d->segment];
	int r = sg_know_side_split(SG_SPAN(n->side, n->bytes), rows, x->info.name, err);
	for (int i = 0; r == 0 && i < SG_KNOW_SEGMENT_ROWS; i++) {
		uint32_t row = d->segment * SG_KNOW_SEGMENT_ROWS + (uint32_t)i;
		if ((d->alive >> i & 1) != (rows[i].len > 0))
			return sg_know_corrupt(err, x->info.name, d->segment,
				"its directory entry names other rows than it has");
		r = set_row(x, row, old, old->alive >> i & 1, rows[i], &n->rows[i], err);
		if (r == 0 && x->stride)
			set_vector(x, row, vectors + (size_t)i * x->stride);
	}
	return r;
}

static int load_segment(struct sg_know_index *x, struct sg_txn *t, const struct sg_know_dir *d,
	struct sg_error *err)
{
	const float *vectors;
	struct sg_span side;
	struct sg_know_segment n = {.version = d->version, .alive = d->alive};
	int r = sg_know_segment_read(t, &x->info, d, &vectors, &side, err);
	if (r < 0)
		return r;
	n.side = malloc(side.len);
	n.rows = calloc(SG_KNOW_SEGMENT_ROWS, sizeof(*n.rows));
	n.bytes = side.len;
	if (!n.side || !n.rows) {
		free(n.side);
		free(n.rows);
		return sg_error_nomem(err);
	}
	memcpy(n.side, side.data, side.len);
	r = fill_segment(x, d, &n, vectors, err);
	struct sg_know_segment *old = &x->segments[d->segment];
	if (!old->side)
		x->bytes += SG_KNOW_SEGMENT_ROWS * (sizeof(*n.rows) + x->stride * 5);
	x->bytes += n.bytes - old->bytes;
	free(old->side);
	free(old->rows);
	*old = n;
	return r;
}

struct load {
	struct sg_know_indexes *all;
	struct sg_know_index *x;
	struct sg_txn *t;
	struct sg_sha256 *sum;
};

uint64_t sg_know_indexes_bytes(const struct sg_know_indexes *x)
{
	uint64_t bytes = 0;
	for (const struct sg_know_index *i = x->list; i; i = i->next)
		bytes += i->bytes + i->terms.bytes;
	return bytes;
}

static void sum_entry(struct sg_sha256 *sum, const struct sg_know_dir *d)
{
	uint8_t b[12];
	sg_know_put32(b, d->segment);
	sg_know_put64(b + 4, d->alive);
	sg_sha256_update(sum, b, sizeof(b));
	sg_sha256_update(sum, d->vectors_sha, sizeof(d->vectors_sha));
	sg_sha256_update(sum, d->side_sha, sizeof(d->side_sha));
}

static int each_segment(void *ctx, const struct sg_know_dir *d, struct sg_error *err)
{
	struct load *l = ctx;
	struct sg_know_index *x = l->x;
	int r = 0;
	sum_entry(l->sum, d);
	if (d->segment >= x->n_segments)
		r = add_segment(x, err);
	if (r < 0 ||
		(x->segments[d->segment].side && x->segments[d->segment].version == d->version))
		return r;
	r = load_segment(x, l->t, d, err);
	if (r == 0 && sg_know_indexes_bytes(l->all) > l->all->limit)
		return sg_error_set(err, SG_ELIMIT, "resident-bytes",
			"the indexes of the stores need more than %llu bytes of memory "
			"(limits.resident_bytes)",
			(unsigned long long)l->all->limit);
	return r;
}

static size_t distinct_values(const struct sg_know_index *x)
{
	size_t n = x->terms.n;
	for (size_t i = 0; i < x->n_columns; i++)
		n += x->columns[i].values.n;
	return n;
}

/* The digest of what is searched: the tuple that made the vectors, and every segment's hashes. */
static void begin_digest(struct sg_sha256 *sum, const struct sg_know_info *s)
{
	char text[512];
	int n = snprintf(text, sizeof(text), "stargraph-index-v1\n%s\n%s\n%s\n%s\n%s\n%d\n",
		sg_know_provider_name(s->provider), sg_know_metric_name(s->metric),
		s->drift.model_id, s->drift.revision, s->drift.content_sha256, s->drift.dims);
	sg_sha256_update(sum, text, (size_t)n);
}

static int load(struct sg_know_indexes *all, struct sg_know_index *x, struct sg_txn *t,
	const struct sg_know_info *s, struct sg_error *err)
{
	uint8_t digest[SG_SHA256_BYTES];
	struct load l = {.all = all, .x = x, .t = t, .sum = sg_sha256_create()};
	bool first = !x->n_segments;
	if (!l.sum)
		return sg_error_nomem(err);
	x->loaded = false; /* until all of it is read */
	x->info = *s;
	x->stride = s->drift.dims ? sg_know_stride(s) : 0;
	begin_digest(l.sum, s);
	int r = sg_know_dir_each(t, s, each_segment, &l, err);
	sg_sha256_final(l.sum, digest);
	sg_sha256_destroy(l.sum);
	if (r == 0 && x->documents != s->items)
		r = sg_know_corrupt(
			err, s->name, 0, "it has another number of documents than it says");
	if (r < 0)
		return r;
	sg_hex_encode(digest, sizeof(digest), x->digest);
	if (first)
		x->values_at_load = distinct_values(x);
	x->loaded = true;
	return 0;
}

static struct sg_know_index *find(struct sg_know_indexes *x, const struct sg_know_info *s)
{
	for (struct sg_know_index *i = x->list; i; i = i->next)
		if (i->info.id == s->id)
			return i;
	return NULL;
}

/* Values and terms that nothing holds any more stay until the copy is made anew. */
static bool stale(const struct sg_know_index *x, const struct sg_know_info *s)
{
	return x->info.created_us != s->created_us || x->info.drift.dims != s->drift.dims ||
	       x->info.rows > s->rows || distinct_values(x) > 2 * x->values_at_load + 100000;
}

int sg_know_index_at(struct sg_know_indexes *all, struct sg_txn *t, const struct sg_know_info *s,
	struct sg_know_index **ret, struct sg_error *err)
{
	struct sg_know_index *x = find(all, s);
	if (!x) {
		x = calloc(1, sizeof(*x));
		if (!x)
			return sg_error_nomem(err);
		x->info.id = s->id;
		x->next = all->list;
		all->list = x;
	}
	if (x->loaded && x->info.generation == s->generation &&
		x->info.created_us == s->created_us) {
		*ret = x;
		return 0;
	}
	if (x->loaded && stale(x, s))
		clear(x);
	int r = load(all, x, t, s, err);
	if (r < 0) {
		clear(x);
		x->info.id = s->id;
		return r;
	}
	*ret = x;
	return 0;
}

int sg_know_indexes_create(struct sg_know_indexes **ret, uint64_t limit, struct sg_error *err)
{
	struct sg_know_indexes *x = calloc(1, sizeof(*x));
	if (!x)
		return sg_error_nomem(err);
	x->limit = limit ? limit : SG_KNOW_RESIDENT_BYTES;
	*ret = x;
	return 0;
}

void sg_know_indexes_destroy(struct sg_know_indexes *x)
{
	if (!x)
		return;
	while (x->list) {
		struct sg_know_index *next = x->list->next;
		clear(x->list);
		free(x->list);
		x->list = next;
	}
	free(x);
}
