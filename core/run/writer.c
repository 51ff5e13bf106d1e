/* The writer thread: takes all batches that are queued, makes them one transaction, commits, writes
 * the audit lines, syncs, and reports. While it waits for the disk the next batches gather.
 *
 * Disk full: the transaction is rolled back and tried again until there is room; nothing of it has
 * been told to anybody. Any other failure ends the writer: every later batch gets that error. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/thread.h"
#include "run/internal.h"

static void digest_text(struct sg_sha256 *h, const char *s)
{
	sg_sha256_update(h, s ? s : "", s ? strlen(s) + 1 : 1);
}

static void digest_number(struct sg_sha256 *h, int64_t v)
{
	char text[24];
	int n = snprintf(text, sizeof(text), "%" PRId64, v);
	sg_sha256_update(h, text, (size_t)n + 1);
}

static void digest_fields(struct sg_sha256 *h, const struct sg_checkpoint *c)
{
	digest_text(h, c->run_id);
	digest_number(h, c->step);
	digest_text(h, c->branch_id);
	digest_number(h, c->parent_step_idx);
	digest_text(h, c->graph_hash);
	digest_text(h, c->runtime_hash);
	digest_text(h, c->state);
	digest_text(h, c->clips_facts);
	digest_text(h, c->last_node);
	digest_text(h, c->next_action);
	digest_number(h, c->timestamp_us);
	digest_text(h, c->parent_run_id);
	digest_text(h, c->side_effects_hash);
	digest_text(h, c->recorded);
}

void sg_checkpoint_digest(const struct sg_checkpoint *c, char ret_hex[SG_SHA256_HEX])
{
	uint8_t sum[SG_SHA256_BYTES];
	struct sg_sha256 *h = sg_sha256_create();
	memset(ret_hex, '0', SG_SHA256_HEX - 1);
	ret_hex[SG_SHA256_HEX - 1] = '\0';
	if (!h)
		return;
	digest_fields(h, c);
	sg_sha256_final(h, sum);
	sg_sha256_destroy(h);
	sg_hex_encode(sum, sizeof(sum), ret_hex);
}

static int write_row(struct sg_txn *t, const struct sg_run_row *row, struct sg_error *err)
{
	int r = sg_run_put(t, row, err);
	return r < 0 ? r : sg_txn_del(t, SG_TABLE_LIVE, SG_KEY_TEXT(row->run_id), err);
}

/* A failure that says nothing about the store as a whole is undone and told alone. */
static int call_alone(const struct item *i, struct sg_txn *t, struct sg_error *err)
{
	struct sg_txn *part = NULL;
	struct sg_write_result *result = i->call.result;
	result->status = 0;
	int r = sg_txn_begin_nested(t, &part, err);
	if (r < 0)
		return r;
	r = i->call.fn(i->call.arg, part, &result->err);
	if (r == 0)
		return sg_txn_commit(part, err);
	sg_txn_abort(part);
	if (r == -SG_ENOSPACE || r == -SG_EIO) {
		*err = result->err;
		return r;
	}
	result->status = r;
	return 0;
}

static int write_item(struct writer *w, struct sg_txn *t, struct item *i, struct sg_error *err)
{
	char hex[SG_SHA256_HEX];
	switch (i->kind) {
	case ITEM_CHECKPOINT:
		if (i->checkpoint.digest) {
			sg_checkpoint_digest(&i->checkpoint.c, hex);
			memcpy(i->checkpoint.digest, hex, SG_SHA256_HEX - 1);
		}
		return sg_checkpoint_put(t, w->cache, &i->checkpoint.c, err);
	case ITEM_EVENT:
		i->seq = sg_audit_next(w->audit);
		return sg_audit_put(w->audit, t, &i->event, err);
	case ITEM_CALL:
		return i->call.result ? call_alone(i, t, err) : i->call.fn(i->call.arg, t, err);
	case ITEM_ROW: return write_row(t, &i->row, err);
	case ITEM_PUT: return sg_txn_put(t, i->put.table, i->put.key, i->put.val, false, err);
	}
	return 0;
}

/* The index from a run to its audit lines: one entry a run and batch. */
static int put_index(struct sg_txn *t, struct batch *b, const struct slot *s, struct sg_error *err)
{
	uint8_t key[SG_RUN_ID_TEXT + 8];
	uint8_t *seqs = sg_arena_alloc(&b->arena, s->n_events * 8);
	if (!seqs)
		return sg_error_nomem(err);
	size_t n = 0, len = strlen(s->row.run_id) + 1;
	for (size_t i = 0; i < b->n && n < s->n_events; i++)
		if (b->items[i].kind == ITEM_EVENT && b->items[i].slot == s)
			sg_be64(b->items[i].seq, seqs + 8 * n++);
	memcpy(key, s->row.run_id, len);
	memcpy(key + len, seqs, 8);
	return sg_txn_put(
		t, SG_TABLE_RUN_EVENTS, SG_SPAN(key, len + 8), SG_SPAN(seqs, 8 * n), false, err);
}

static int write_slot(struct sg_txn *t, struct batch *b, const struct slot *s, struct sg_error *err)
{
	struct sg_span id = SG_KEY_TEXT(s->row.run_id);
	int r = sg_run_put(t, &s->row, err);
	if (r >= 0 && s->live_put)
		r = sg_txn_put(t, SG_TABLE_LIVE, id, SG_SPAN("", 0), false, err);
	if (r >= 0 && s->live_del)
		r = sg_txn_del(t, SG_TABLE_LIVE, id, err);
	if (r >= 0 && s->n_events)
		r = put_index(t, b, s, err);
	return r < 0 ? r : 0;
}

static int write_batch(struct writer *w, struct sg_txn *t, struct batch *b, struct sg_error *err)
{
	int r = 0;
	for (size_t i = 0; r >= 0 && i < b->n; i++)
		r = write_item(w, t, &b->items[i], err);
	for (const struct slot *s = b->slots; r >= 0 && s; s = s->next)
		r = write_slot(t, b, s, err);
	return r < 0 ? r : 0;
}

/* One transaction; 0 when it is in the store. */
static int commit(struct writer *w, struct batch *group, struct sg_error *err)
{
	struct sg_txn *t = NULL;
	int r = sg_txn_begin(w->store, true, &t, err);
	if (r < 0)
		return r;
	for (struct batch *b = group; r >= 0 && b; b = b->next)
		r = write_batch(w, t, b, err);
	if (r >= 0)
		r = sg_audit_put_head(w->audit, t, err);
	if (r < 0)
		sg_txn_abort(t);
	else
		r = sg_txn_commit(t, err);
	if (r < 0) {
		sg_audit_rollback(w->audit);
		sg_checkpoint_cache_clear(w->cache);
	}
	return r;
}

/* Waits a while for room, or for the stop. False: give up. */
static bool wait_for_room(struct writer *w)
{
	struct timespec until;
	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += SG_RUN_NO_SPACE_RETRY_MS * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000L;
	until.tv_nsec %= 1000000000L;
	atomic_store(&w->no_space, true);
	(void)eventfd_write(w->event_fd, 1);
	(void)pthread_mutex_lock(&w->lock);
	bool stop = w->stop;
	if (!stop)
		(void)pthread_cond_timedwait(&w->wake, &w->lock, &until);
	stop = w->stop;
	(void)pthread_mutex_unlock(&w->lock);
	return !stop;
}

static int write_group(struct writer *w, struct batch *group, struct sg_error *err)
{
	int r;
	while ((r = commit(w, group, err)) == -SG_ENOSPACE && wait_for_room(w))
		;
	if (r == 0)
		while ((r = sg_audit_flush(w->audit, err)) == -SG_ENOSPACE && wait_for_room(w))
			;
	if (atomic_load(&w->no_space))
		atomic_store(&w->no_space, false);
	return r;
}

/* Microseconds until the audit wants its signed checkpoint; below 0 = now. */
static int64_t until_checkpoint(const struct writer *w)
{
	int64_t due = sg_audit_due_us(w->audit);
	if (due < w->checkpoint_after_us)
		due = w->checkpoint_after_us;
	return due == INT64_MAX ? due : due - sg_clock_monotonic_us();
}

static void report(struct writer *w, struct batch *group)
{
	struct batch *last = group;
	for (struct batch *b = group; b; b = b->next) {
		b->status = w->failed;
		if (w->failed < 0)
			b->err = w->failure;
		last = b;
	}
	(void)pthread_mutex_lock(&w->lock);
	*w->done_tail = group;
	w->done_tail = &last->next;
	(void)pthread_mutex_unlock(&w->lock);
	(void)eventfd_write(w->event_fd, 1);
}

/* What a start left to be compared of a long log. A line that differs ends the engine as a failed
 * write does; an empty batch tells it. */
static void compare_log(struct writer *w)
{
	if (w->failed || sg_audit_compare_some(w->audit, &w->failure) >= 0)
		return;
	w->failed = -w->failure.code;
	struct batch *b = calloc(1, sizeof(*b));
	if (b)
		report(w, b);
}

/* With the lock held; returns with it held, after a signal or when the checkpoint is due. */
static void wait_for_work(struct writer *w)
{
	int64_t us = until_checkpoint(w);
	struct timespec until;
	if (!w->failed && !sg_audit_compared(w->audit)) {
		(void)pthread_mutex_unlock(&w->lock);
		compare_log(w);
		(void)pthread_mutex_lock(&w->lock);
		return;
	}
	if (us == INT64_MAX) {
		(void)pthread_cond_wait(&w->wake, &w->lock);
		return;
	}
	if (us > 0) {
		(void)clock_gettime(CLOCK_REALTIME, &until);
		us += until.tv_nsec / 1000;
		until.tv_sec += us / 1000000;
		until.tv_nsec = us % 1000000 * 1000;
		(void)pthread_cond_timedwait(&w->wake, &w->lock, &until);
		return;
	}
	/* A failure shows again with the next batch, which has somebody to tell it to. */
	(void)pthread_mutex_unlock(&w->lock);
	if (sg_audit_checkpoint(w->audit, NULL) < 0)
		w->checkpoint_after_us = sg_clock_monotonic_us() + SG_RUN_CHECKPOINT_RETRY_US;
	(void)pthread_mutex_lock(&w->lock);
}

static struct batch *take(struct writer *w)
{
	(void)pthread_mutex_lock(&w->lock);
	while (!w->queue && !w->stop) {
		atomic_store(&w->idle, true);
		wait_for_work(w);
	}
	atomic_store(&w->idle, false);
	struct batch *group = w->queue;
	w->queue = NULL;
	w->queue_tail = &w->queue;
	(void)pthread_mutex_unlock(&w->lock);
	return group;
}

static void *writer_main(void *arg)
{
	struct writer *w = arg;
	struct batch *group;
	while ((group = take(w))) {
		int64_t from = sg_clock_monotonic_us();
		if (!w->failed)
			w->failed = write_group(w, group, &w->failure);
		atomic_store(&w->commit_us, sg_clock_monotonic_us() - from);
		report(w, group);
		compare_log(w);
	}
	/* What was decided is durable already; without this it is only not signed yet. */
	if (!w->failed)
		(void)sg_audit_checkpoint(w->audit, NULL);
	return NULL;
}

int sg_writer_start(struct writer *w, struct sg_error *err)
{
	w->queue_tail = &w->queue;
	w->done_tail = &w->done;
	if (!(w->cache = sg_checkpoint_cache_create()))
		return sg_error_nomem(err);
	(void)pthread_mutex_init(&w->lock, NULL);
	(void)pthread_cond_init(&w->wake, NULL);
	int r = sg_thread_start(&w->thread, 0, writer_main, w);
	if (r != 0) {
		sg_checkpoint_cache_destroy(w->cache);
		return sg_error_errno(err, r, "cannot start the writer thread");
	}
	w->started = true;
	return 0;
}

void sg_writer_stop(struct writer *w)
{
	if (!w->started)
		return;
	(void)pthread_mutex_lock(&w->lock);
	w->stop = true;
	(void)pthread_cond_signal(&w->wake);
	(void)pthread_mutex_unlock(&w->lock);
	(void)pthread_join(w->thread, NULL);
	(void)pthread_cond_destroy(&w->wake);
	(void)pthread_mutex_destroy(&w->lock);
	sg_checkpoint_cache_destroy(w->cache);
	w->started = false;
}

void sg_writer_push(struct writer *w, struct batch *b)
{
	(void)pthread_mutex_lock(&w->lock);
	*w->queue_tail = b;
	w->queue_tail = &b->next;
	b->next = NULL;
	bool idle = atomic_load(&w->idle);
	(void)pthread_mutex_unlock(&w->lock);
	if (idle)
		(void)pthread_cond_signal(&w->wake);
}

struct batch *sg_writer_take_done(struct writer *w)
{
	(void)pthread_mutex_lock(&w->lock);
	struct batch *b = w->done;
	w->done = NULL;
	w->done_tail = &w->done;
	(void)pthread_mutex_unlock(&w->lock);
	return b;
}
