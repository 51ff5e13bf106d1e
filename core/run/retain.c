/* Retention: runs that have ended leave the store by age and by count.
 *
 * The loop looks through the runs, the oldest first and a few at a time, and gives the writer a
 * slice of ids; the writer looks at each again (a fork may have come), removes it and puts one
 * audit record of what went into the same transaction. One slice is under way at a time, so what
 * else waits for the disk waits for a millisecond or two of it. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "run/internal.h"
#include "run/remove.h"

#define PASS_US 1000000LL     /* between two looks at least */
#define PASS_SHARE 50	      /* and so many times what the last one took */
#define SLICE_US 2000LL	      /* between two slices: others have the disk too */
#define READERS_US 10000000LL /* between two looks for readers that died */
#define EVENT_TYPE "runs_removed"

/* ---- on the writer's thread ---- */

struct removal {
	struct sg_txn *t;
	struct retention *k;
	size_t budget;
	json_t *ids;
};

static int remove_one(struct removal *r, const char *run_id, struct sg_error *err)
{
	struct sg_run_row row;
	int rc = sg_run_get(r->t, run_id, &row, err);
	if (rc == 1 || rc == -SG_ECORRUPT)
		return 0; /* a damaged one stays, for `store check` to name */
	if (rc < 0)
		return rc;
	rc = sg_run_removable(r->t, &row, err);
	if (rc == 1) {
		rc = json_array_append_new(r->ids, json_string(run_id)) < 0
			     ? sg_error_nomem(err)
			     : sg_run_remove(r->t, &row, &r->budget, err);
		r->k->n_removed++;
		r->k->rest = rc == 1;
	}
	sg_run_row_finish(&row);
	return rc < 0 ? rc : 0;
}

static int put_event(struct removal *r, struct sg_error *err)
{
	sg_autobuf text = SG_BUF_INIT(64 * 1024);
	json_t *payload = json_pack("{s:{s:I, s:I}, s:O}", "keep", "runs", (json_int_t)r->k->runs,
		"seconds", (json_int_t)r->k->seconds, "run_ids", r->ids);
	int rc = payload ? sg_json_canonical(payload, &text, err) : sg_error_nomem(err);
	json_decref(payload);
	if (rc < 0)
		return rc;
	const struct sg_audit_event ev = {.ts_us = sg_clock_utc_us(),
		.actor = "system",
		.type = EVENT_TYPE,
		.step = -1,
		.payload = text.data,
		.confidence = 1.0};
	return sg_audit_put(r->k->writer->audit, r->t, &ev, err);
}

static int remove_slice(struct removal *r, struct sg_error *err)
{
	char going[SG_RUN_ID_TEXT];
	int rc = sg_run_remove_going(r->t, going, err);
	if (rc == 0) {
		rc = sg_run_remove_rest(r->t, going, &r->budget, err);
		r->k->rest = rc == 1;
	}
	for (size_t i = 0; rc >= 0 && i < r->k->n && r->budget && !r->k->rest; i++)
		rc = remove_one(r, r->k->ids[i], err);
	if (rc >= 0 && json_array_size(r->ids))
		rc = put_event(r, err);
	return rc < 0 ? rc : 0;
}

/* Perhaps more than once for one slice: a full disk rolls back. */
static int on_writer(void *arg, struct sg_txn *t, struct sg_error *err)
{
	struct retention *k = arg;
	struct removal r = {.t = t, .k = k, .budget = SG_RUN_KEEP_RECORDS, .ids = json_array()};
	k->n_removed = 0;
	k->rest = false;
	int rc = r.ids ? remove_slice(&r, err) : sg_error_nomem(err);
	json_decref(r.ids);
	return rc;
}

/* ---- on the loop's thread ---- */

static void on_durable(void *ctx, const struct sg_error *err)
{
	struct sg_engine *e = ctx;
	struct retention *k = &e->retention;
	k->busy = false;
	k->n = 0;
	if (err)
		return; /* the engine has failed */
	e->stats.runs_removed += k->n_removed;
	k->due_us = sg_clock_monotonic_us() + SLICE_US;
}

/* To the writer: the slice, or what is left of a run. */
static void submit(struct sg_engine *e)
{
	struct retention *k = &e->retention;
	struct watcher *w = calloc(1, sizeof(*w));
	if (!w || sg_batch_call(e, NULL, on_writer, k, NULL) < 0) {
		free(w);
		k->n = 0;
		return;
	}
	w->ctx = e;
	w->wait_cb = on_durable;
	sg_watcher_link(e, w, &e->gather->acks);
	k->busy = true;
	sg_engine_kick(e);
}

/* One entry of the listing: 1 = it is to go. */
static int consider(struct sg_engine *e, struct sg_txn *t, const char *run_id, bool over,
	int64_t cutoff_us, struct sg_error *err)
{
	struct sg_run_row row;
	if (sg_run_find(e, run_id))
		return 0; /* something of it is under way */
	int rc = sg_run_get(t, run_id, &row, err);
	if (rc == 1 || rc == -SG_ECORRUPT)
		return 0;
	if (rc < 0)
		return rc;
	rc = over || row.finished_us < cutoff_us ? sg_run_removable(t, &row, err) : 0;
	sg_run_row_finish(&row);
	return rc;
}

static void remember(struct retention *k, struct sg_span key)
{
	k->at_len = key.len < sizeof(k->at) ? key.len : sizeof(k->at);
	memcpy(k->at, key.data, k->at_len);
}

/* The oldest runs from where the pass stands. Positive outcome 1: the pass is at its end. */
static int pick(struct sg_engine *e, struct sg_txn *t, struct sg_error *err)
{
	struct retention *k = &e->retention;
	sg_autocursor *c = NULL;
	uint64_t total = 0;
	struct sg_span key = SG_SPAN(k->at, k->at_len);
	int64_t cutoff = k->seconds ? sg_clock_utc_us() - k->seconds * 1000000 : INT64_MIN;
	int rc = sg_txn_count(t, SG_TABLE_RUN_BY_TIME, &total, err);
	if (rc == 0)
		rc = sg_cursor_open(t, SG_TABLE_RUN_BY_TIME, &c, err);
	if (rc == 0)
		rc = sg_cursor_seek(c, k->at_len ? SG_SEEK_GE : SG_SEEK_FIRST, &key, NULL, err);
	for (int scanned = 0; rc == 0; scanned++) {
		char id[SG_RUN_ID_TEXT] = "";
		bool over = k->runs && total > (uint64_t)k->runs + k->n;
		if (key.len <= 8 || key.len - 8 >= sizeof(id))
			return sg_error_set(
				err, SG_ECORRUPT, NULL, "the index of runs is malformed");
		if (!over && (int64_t)sg_be64_read(key.data) >= cutoff)
			return 1;
		remember(k, key);
		if (k->n == SG_RUN_KEEP_SLICE || scanned == SG_RUN_KEEP_SCAN)
			return 0;
		memcpy(id, (const uint8_t *)key.data + 8, key.len - 8);
		rc = consider(e, t, id, over, cutoff, err);
		if (rc == 1)
			memcpy(k->ids[k->n++], id, sizeof(id));
		if (rc >= 0)
			rc = sg_cursor_seek(c, SG_SEEK_NEXT, &key, NULL, err);
	}
	return rc;
}

static void end_pass(struct retention *k, int64_t now)
{
	int64_t pause = k->spent_us * PASS_SHARE;
	k->due_us = k->runs || k->seconds ? now + (pause > PASS_US ? pause : PASS_US) : 0;
	k->at_len = 0;
	k->spent_us = 0;
}

/* Readers that died keep pages from being used again. */
static void clear_readers(struct sg_engine *e, int64_t now)
{
	int dead = 0;
	if (now < e->readers_us)
		return;
	e->readers_us = now + READERS_US;
	if (sg_store_reader_check(e->store, &dead, NULL) == 0)
		e->stats.readers_cleared += (uint64_t)dead;
}

static int64_t next_look(const struct sg_engine *e)
{
	const struct retention *k = &e->retention;
	return k->due_us && !k->busy && !e->failed && !e->stopping &&
			       !atomic_load(&e->writer.no_space)
		       ? k->due_us
		       : -1;
}

int64_t sg_retention_next(const struct sg_engine *e)
{
	int64_t look = next_look(e);
	if (e->failed || e->stopping)
		return -1;
	return look >= 0 && look < e->readers_us ? look : e->readers_us;
}

void sg_retention_fire(struct sg_engine *e)
{
	struct retention *k = &e->retention;
	int64_t due = next_look(e), now = sg_clock_monotonic_us();
	sg_autotxn *t = NULL;
	if (!e->failed && !e->stopping)
		clear_readers(e, now);
	if (due < 0 || due > now)
		return;
	if (k->rest) {
		submit(e);
		return;
	}
	int rc = sg_txn_begin(e->store, false, &t, NULL);
	if (rc == 0)
		rc = pick(e, t, NULL);
	int64_t after = sg_clock_monotonic_us();
	k->spent_us += after - now;
	if (k->n)
		submit(e);
	if (rc != 0)
		end_pass(k, after);
	else if (!k->busy)
		k->due_us = after + SLICE_US;
}

bool sg_retention_takes(const struct sg_engine *e, struct sg_span run_id)
{
	for (size_t i = 0; i < e->retention.n; i++)
		if (strlen(e->retention.ids[i]) == run_id.len &&
			memcmp(e->retention.ids[i], run_id.data, run_id.len) == 0)
			return true;
	return false;
}

int sg_retention_resume(struct sg_engine *e, struct sg_txn *t, struct sg_error *err)
{
	char going[SG_RUN_ID_TEXT];
	int rc = sg_run_remove_going(t, going, err);
	if (rc < 0)
		return rc;
	e->retention.rest = rc == 0;
	if (rc == 0 && !e->retention.due_us)
		e->retention.due_us = sg_clock_monotonic_us();
	return 0;
}

void sg_engine_keep(struct sg_engine *e, int64_t runs, int64_t seconds)
{
	struct retention *k = &e->retention;
	k->runs = runs;
	k->seconds = seconds;
	if ((runs || seconds) && !k->due_us) {
		k->due_us = sg_clock_monotonic_us();
		sg_engine_kick(e);
	}
}
