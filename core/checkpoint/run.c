/* Run rows: one small record a run, rewritten with each step; the parameters apart, written once;
 * and an index by start time. */
#include "checkpoint/checkpoint.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "checkpoint/record.h"

#define VERSION 1U
#define TIME_KEY_MAX (8U + SG_RUN_ID_TEXT)
#define LIST_MAX 10000U /* rows of one answer */

static const char *const status_names[] = {
	[SG_RUN_PENDING] = "pending",
	[SG_RUN_RUNNING] = "running",
	[SG_RUN_WAITING] = "awaiting-input",
	[SG_RUN_PAUSED] = "paused",
	[SG_RUN_DONE] = "done",
	[SG_RUN_FAILED] = "failed",
	[SG_RUN_CANCELLED] = "cancelled",
};

const char *sg_run_status_name(enum sg_run_status s)
{
	return (size_t)s < SG_ARRAY_LEN(status_names) ? status_names[s] : "unknown";
}

int sg_run_status_parse(const char *name, enum sg_run_status *ret)
{
	for (size_t i = 0; i < SG_ARRAY_LEN(status_names); i++) {
		if (strcmp(status_names[i], name) == 0) {
			*ret = (enum sg_run_status)i;
			return 0;
		}
	}
	return -SG_EINVALID;
}

void sg_run_row_finish(struct sg_run_row *r)
{
	char **owned[] = {&r->graph_id, &r->actor, &r->trigger_source, &r->parent_run_id,
		&r->reason, &r->error_class, &r->error_cause, &r->waiting, &r->params};
	for (size_t i = 0; i < SG_ARRAY_LEN(owned); i++) {
		free(*owned[i]);
		*owned[i] = NULL;
	}
}

/* The big-endian start time sorts; before 1970 counts as 1970. */
static struct sg_span time_key(uint8_t buf[TIME_KEY_MAX], int64_t us, const char *run_id)
{
	size_t n = strlen(run_id);
	sg_be64(us > 0 ? (uint64_t)us : 0, buf);
	memcpy(buf + 8, run_id, n);
	return SG_SPAN(buf, 8 + n);
}

/* The texts of a row in stored order; params are kept apart. */
static void texts_of(const struct sg_run_row *r, const char *ret[8])
{
	ret[0] = r->graph_id;
	ret[1] = r->actor;
	ret[2] = r->trigger_source;
	ret[3] = r->parent_run_id;
	ret[4] = r->reason;
	ret[5] = r->error_class;
	ret[6] = r->error_cause;
	ret[7] = r->waiting;
}

static int put_row(struct sg_txn *t, const struct sg_run_row *r, struct sg_error *err)
{
	sg_autobuf b = SG_BUF_INIT(SG_RECORD_MAX);
	struct sg_span key = SG_KEY_TEXT(r->run_id), value;
	const char *texts[8];
	sg_record_begin(&b, SG_TABLE_RUN, key);
	sg_record_put_u64(&b, VERSION);
	sg_record_put_u64(&b, (uint64_t)r->status);
	sg_record_put_i64(&b, r->started_us);
	sg_record_put_i64(&b, r->updated_us);
	sg_record_put_i64(&b, r->finished_us);
	sg_record_put_i64(&b, r->steps);
	sg_record_put_u64(&b, r->pinned);
	if (sg_record_put_hash(&b, r->graph_hash) < 0)
		return sg_error_set(err, SG_EINVALID, NULL,
			"run %s: the graph hash is not 64 hex digits", r->run_id);
	texts_of(r, texts);
	for (size_t i = 0; i < SG_ARRAY_LEN(texts); i++)
		sg_record_put_text(&b, texts[i]);
	int e = sg_record_seal(&b, &value, err);
	return e < 0 ? e : sg_txn_put(t, SG_TABLE_RUN, key, value, false, err);
}

static int put_params(struct sg_txn *t, const struct sg_run_row *r, struct sg_error *err)
{
	if (!r->params)
		return 0;
	sg_autobuf b = SG_BUF_INIT(SG_RECORD_MAX);
	struct sg_span key = SG_KEY_TEXT(r->run_id), value;
	sg_record_begin(&b, SG_TABLE_RUN_INPUT, key);
	sg_buf_adds(&b, r->params);
	int e = sg_record_seal(&b, &value, err);
	return e < 0 ? e : sg_txn_put_new(t, SG_TABLE_RUN_INPUT, key, value, err);
}

int sg_run_put(struct sg_txn *t, const struct sg_run_row *r, struct sg_error *err)
{
	struct sg_span old;
	if (!r->run_id[0])
		return sg_error_set(err, SG_EINVALID, NULL, "a run row without a run id");
	int known = sg_txn_get(t, SG_TABLE_RUN, SG_KEY_TEXT(r->run_id), &old, err);
	if (known < 0)
		return known;
	int e = put_row(t, r, err);
	if (e < 0 || known == 0)
		return e;
	uint8_t key[TIME_KEY_MAX];
	e = put_params(t, r, err);
	return e < 0 ? e
		     : sg_txn_put(t, SG_TABLE_RUN_BY_TIME, time_key(key, r->started_us, r->run_id),
			       SG_SPAN("", 0), false, err);
}

static int read_row(
	struct sg_span key, struct sg_span value, struct sg_run_row *ret, struct sg_error *err)
{
	struct sg_record_reader r = {0};
	struct sg_run_row row = {0};
	if (key.len == 0 || key.len >= sizeof(row.run_id))
		return sg_error_set(err, SG_ECORRUPT, NULL, "a run row under an impossible key");
	memcpy(row.run_id, key.data, key.len);
	int e = sg_record_open(SG_TABLE_RUN, key, value, &r, err);
	if (e < 0) {
		(void)sg_error_prefix(err, "run %s", row.run_id);
		return e;
	}
	uint64_t version = sg_record_u64(&r);
	uint64_t status = sg_record_u64(&r);
	row.status = (enum sg_run_status)status;
	row.started_us = sg_record_i64(&r);
	row.updated_us = sg_record_i64(&r);
	row.finished_us = sg_record_i64(&r);
	row.steps = sg_record_i64(&r);
	row.pinned = sg_record_u64(&r) != 0;
	sg_record_hash(&r, row.graph_hash);
	char **to[] = {&row.graph_id, &row.actor, &row.trigger_source, &row.parent_run_id,
		&row.reason, &row.error_class, &row.error_cause, &row.waiting};
	for (size_t i = 0; i < SG_ARRAY_LEN(to); i++)
		*to[i] = sg_record_text(&r);
	if (version != VERSION || status >= SG_ARRAY_LEN(status_names) || r.bad || r.at != r.end) {
		sg_run_row_finish(&row);
		return sg_error_set(
			err, SG_ECORRUPT, NULL, "run %s: the row is malformed", row.run_id);
	}
	*ret = row;
	return 0;
}

static int read_params(struct sg_txn *t, struct sg_run_row *row, struct sg_error *err)
{
	struct sg_span key = SG_KEY_TEXT(row->run_id), value;
	struct sg_record_reader r = {0};
	int e = sg_txn_get(t, SG_TABLE_RUN_INPUT, key, &value, err);
	if (e)
		return e < 0 ? e : 0;
	e = sg_record_open(SG_TABLE_RUN_INPUT, key, value, &r, err);
	if (e < 0) {
		(void)sg_error_prefix(err, "parameters of run %s", row->run_id);
		return e;
	}
	row->params = strndup((const char *)r.at, (size_t)(r.end - r.at));
	return row->params ? 0 : sg_error_nomem(err);
}

int sg_run_row_del(struct sg_txn *t, const struct sg_run_row *r, struct sg_error *err)
{
	uint8_t key[TIME_KEY_MAX];
	int e = sg_txn_del(t, SG_TABLE_RUN, SG_KEY_TEXT(r->run_id), err);
	if (e >= 0)
		e = sg_txn_del(
			t, SG_TABLE_RUN_BY_TIME, time_key(key, r->started_us, r->run_id), err);
	return e < 0 ? e : 0;
}

bool sg_run_text_span(struct sg_span sealed, struct sg_span *ret)
{
	if (sealed.len < SG_RECORD_CHECKSUM)
		return false;
	*ret = SG_SPAN(sealed.data, sealed.len - SG_RECORD_CHECKSUM);
	return true;
}

int sg_run_text_pack(const char *run_id, const char *name, struct sg_span text, struct sg_buf *key,
	struct sg_buf *value, struct sg_span *ret_value, struct sg_error *err)
{
	sg_buf_add(key, run_id, strlen(run_id) + 1);
	sg_buf_adds(key, name);
	if (key->failed)
		return sg_error_nomem(err);
	sg_record_begin(value, SG_TABLE_RUN_INPUT, SG_SPAN(key->data, key->len));
	sg_buf_add(value, text.data, text.len);
	return sg_record_seal(value, ret_value, err);
}

int sg_run_text_get(
	struct sg_txn *t, const char *run_id, const char *name, char **ret, struct sg_error *err)
{
	sg_autobuf key = SG_BUF_INIT(SG_STORE_KEY_MAX);
	struct sg_record_reader r = {0};
	struct sg_span value;
	sg_buf_add(&key, run_id, strlen(run_id) + 1);
	sg_buf_adds(&key, name);
	if (key.failed)
		return 1;
	struct sg_span k = SG_SPAN(key.data, key.len);
	int e = sg_txn_get(t, SG_TABLE_RUN_INPUT, k, &value, err);
	if (e == 0)
		e = sg_record_open(SG_TABLE_RUN_INPUT, k, value, &r, err);
	if (e < 0)
		return sg_error_prefix(err, "run %s: %s", run_id, name);
	if (e == 0 && !(*ret = strndup((const char *)r.at, (size_t)(r.end - r.at))))
		return sg_error_nomem(err);
	return e;
}

int sg_run_get(struct sg_txn *t, const char *run_id, struct sg_run_row *ret, struct sg_error *err)
{
	struct sg_span key = SG_KEY_TEXT(run_id), value;
	struct sg_run_row row = {0};
	if (key.len == 0 || key.len >= SG_RUN_ID_TEXT)
		return 1; /* no run can be called so */
	int e = sg_txn_get(t, SG_TABLE_RUN, key, &value, err);
	if (e == 0)
		e = read_row(key, value, &row, err);
	if (e)
		return e;
	e = read_params(t, &row, err);
	if (e < 0) {
		sg_run_row_finish(&row);
		return e;
	}
	*ret = row;
	return 0;
}

int sg_run_require(
	struct sg_txn *t, const char *run_id, struct sg_run_row *ret, struct sg_error *err)
{
	int r = sg_run_get(t, run_id, ret, err);
	return r > 0 ? sg_error_set(err, SG_ENOTFOUND, NULL, "run '%s' not found", run_id) : r;
}

/* A listing in progress. */
struct listing {
	const struct sg_run_filter *f;
	struct sg_run_row *rows;
	size_t n, cap;
	uint64_t matched;
};

static void drop_rows(struct listing *l)
{
	for (size_t i = 0; i < l->n; i++)
		sg_run_row_finish(&l->rows[i]);
	free(l->rows);
	l->rows = NULL;
}

static bool same(const char *want, const char *have)
{
	return !want || (have && strcmp(want, have) == 0);
}

static bool matches(const struct sg_run_filter *f, const struct sg_run_row *r)
{
	return (f->status < 0 || f->status == (int)r->status) &&
	       same(f->trigger_source, r->trigger_source) && same(f->graph_id, r->graph_id) &&
	       same(f->actor, r->actor);
}

static bool reads_rows(const struct sg_run_filter *f)
{
	return f->status >= 0 || f->trigger_source || f->graph_id || f->actor;
}

static int keep(struct listing *l, struct sg_run_row *row, struct sg_error *err)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 16;
		struct sg_run_row *more = realloc(l->rows, cap * sizeof(*more));
		if (!more)
			return sg_error_nomem(err);
		l->rows = more;
		l->cap = cap;
	}
	l->rows[l->n++] = *row;
	*row = (struct sg_run_row){0};
	return 0;
}

/* One entry of the index: counted, and kept when it falls on the page. */
static int consider(struct sg_txn *t, struct listing *l, struct sg_span id, struct sg_error *err)
{
	struct sg_run_row row = {0};
	struct sg_span value;
	size_t limit = l->f->limit < LIST_MAX ? l->f->limit : LIST_MAX;
	bool on_page = l->matched >= l->f->offset && l->n < limit;
	if (!on_page && !reads_rows(l->f)) {
		l->matched++;
		return 0;
	}
	int e = sg_txn_get(t, SG_TABLE_RUN, id, &value, err);
	if (e > 0)
		return sg_error_set(err, SG_ECORRUPT, NULL, "run %.*s is listed but missing",
			(int)id.len, (const char *)id.data);
	if (e == 0)
		e = read_row(id, value, &row, err);
	if (e == 0 && matches(l->f, &row)) {
		l->matched++;
		if (on_page)
			e = read_params(t, &row, err);
		if (on_page && e == 0)
			e = keep(l, &row, err);
	}
	sg_run_row_finish(&row);
	return e;
}

/* The newest entry the filter can mean: at until_us, or just older than `before`. */
static int seek_start(struct sg_txn *t, struct sg_cursor *c, const struct sg_run_filter *f,
	struct sg_span *ret_key, struct sg_error *err)
{
	uint8_t buf[TIME_KEY_MAX];
	struct sg_span from = {0};
	if (f->until_us)
		from = time_key(buf, f->until_us + 1, "");
	if (f->before) {
		struct sg_run_row row = {0};
		int e = sg_run_get(t, f->before, &row, err);
		if (e)
			return e < 0 ? e
				     : sg_error_set(err, SG_EINVALID, NULL,
					       "no run %.64s to page from", f->before);
		if (!f->until_us || row.started_us <= f->until_us)
			from = time_key(buf, row.started_us, f->before);
		sg_run_row_finish(&row);
	}
	*ret_key = from;
	int e = from.data ? sg_cursor_seek(c, SG_SEEK_GE, ret_key, NULL, err) : 1;
	if (e < 0)
		return e;
	return sg_cursor_seek(c, e ? SG_SEEK_LAST : SG_SEEK_PREV, ret_key, NULL, err);
}

static int walk(struct sg_txn *t, struct listing *l, struct sg_error *err)
{
	const struct sg_run_filter *f = l->f;
	sg_autocursor *c = NULL;
	struct sg_span key;
	int e = sg_cursor_open(t, SG_TABLE_RUN_BY_TIME, &c, err);
	if (e == 0)
		e = seek_start(t, c, f, &key, err);
	while (e == 0) {
		if (key.len <= 8)
			return sg_error_set(
				err, SG_ECORRUPT, NULL, "the index of runs is malformed");
		if (f->since_us > 0 && sg_be64_read(key.data) < (uint64_t)f->since_us)
			return 0;
		e = consider(t, l, SG_SPAN((const char *)key.data + 8, key.len - 8), err);
		bool whole = !reads_rows(f) && !f->since_us && !f->until_us && !f->before;
		if (e == 0 && whole && l->n >= f->limit)
			return sg_txn_count(t, SG_TABLE_RUN_BY_TIME, &l->matched, err);
		if (e == 0)
			e = sg_cursor_seek(c, SG_SEEK_PREV, &key, NULL, err);
	}
	return e < 0 ? e : 0;
}

int sg_run_list(struct sg_txn *t, const struct sg_run_filter *f, struct sg_run_row **ret_rows,
	size_t *ret_n, uint64_t *ret_total, struct sg_error *err)
{
	struct listing l = {.f = f};
	int e = walk(t, &l, err);
	if (e < 0) {
		drop_rows(&l);
		return e;
	}
	*ret_rows = l.rows;
	*ret_n = l.n;
	*ret_total = l.matched;
	return 0;
}
