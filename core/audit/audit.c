/* The chain: sequence, previous hash, head. One object, owned by the writer thread. */
#include "audit/audit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "audit/internal.h"
#include "base/cleanup.h"
#include "base/clock.h"

uint64_t sg_audit_next(const struct sg_audit *a)
{
	return a->now.next;
}

int sg_audit_put_head(struct sg_audit *a, struct sg_txn *t, struct sg_error *err)
{
	if (a->now.next == 0)
		return 0;
	int r = sg_audit_sign_due(a) ? sg_audit_sign(a, t, err) : 0;
	if (r == 0)
		r = sg_audit_retain_some(a, t, err);
	return r < 0 ? r : sg_audit_head_put(t, &a->now, a->name, err);
}

/* The line in a->line: into the store, the tree and the lines for the file. */
static int put_line(struct sg_audit *a, struct sg_txn *t, struct sg_error *err)
{
	uint8_t key[8];
	sg_be64(a->now.next, key);
	size_t before = a->pending.len;
	sg_buf_add(&a->pending, a->line.data, a->line.len);
	sg_buf_addc(&a->pending, '\n');
	if (a->pending.failed)
		return sg_error_set(err, SG_ELIMIT, NULL,
			"more than %u bytes of audit records in one batch", SG_AUDIT_BATCH_MAX);
	int r = sg_txn_put(t, SG_TABLE_AUDIT, SG_SPAN(key, sizeof(key)),
		SG_SPAN(a->line.data, a->line.len), true, err);
	if (r == 0)
		r = sg_audit_tree_add(a, t, a->line.data, a->line.len, err);
	if (r < 0)
		a->pending.len = before;
	return r;
}

int sg_audit_put(
	struct sg_audit *a, struct sg_txn *t, const struct sg_audit_event *e, struct sg_error *err)
{
	sg_autobuf clean = SG_BUF_INIT(SG_AUDIT_LINE_MAX);
	struct sg_audit_event event = *e;
	int r = e->payload ? sg_audit_redact(a, e->payload, &clean, &event.payload, err) : 0;
	if (r == 0)
		r = sg_audit_line(&a->line, a->now.next, a->now.last, &event, err);
	if (r == 0)
		r = put_line(a, t, err);
	if (r < 0)
		return r;
	sg_sha256(a->line.data, a->line.len, a->now.last);
	a->now.next++;
	a->now.offset += a->line.len + 1;
	if (a->every_us && !a->unsigned_since_us)
		a->unsigned_since_us = sg_clock_monotonic_us();
	return 0;
}

void sg_audit_rollback(struct sg_audit *a)
{
	a->now = a->durable;
	sg_buf_reset(&a->pending);
}

static int append_pending(struct sg_audit *a, struct sg_error *err)
{
	if (a->pending.len == 0)
		return 0;
	int r = sg_audit_file_check(a, err);
	if (r == 0)
		r = sg_audit_file_append(a, a->pending.data, a->pending.len, err);
	if (r < 0) {
		a->failed = r != -SG_ENOSPACE;
		return r;
	}
	a->durable = a->now;
	sg_buf_reset(&a->pending);
	return 0;
}

int sg_audit_flush(struct sg_audit *a, struct sg_error *err)
{
	if (a->failed)
		return sg_error_set(err, SG_EIO, "audit-failed",
			"audit log %s: an earlier write failed; nothing is written until a restart",
			a->path);
	int r = append_pending(a, err);
	if (r == 0 && sg_audit_rotate_due(a)) {
		r = sg_audit_rotate(a, err);
		a->failed |= r < 0;
		if (r ==
			-SG_ENOSPACE) /* the batch is durable: the caller must not write it again */
			r = -SG_EIO;
	}
	return r;
}

int sg_audit_write_alone(struct sg_audit *a, const struct sg_audit_event *e, struct sg_error *err)
{
	sg_autotxn *t = NULL;
	int r = sg_txn_begin(a->store, true, &t, err);
	if (r == 0)
		r = sg_audit_put(a, t, e, err);
	if (r == 0)
		r = sg_audit_put_head(a, t, err);
	if (r == 0)
		r = sg_txn_commit(sg_steal(t), err);
	if (r < 0) {
		sg_audit_rollback(a);
		return r;
	}
	return append_pending(a, err);
}

struct sg_audit_event sg_audit_own_event(const char *type, const char *payload)
{
	return (struct sg_audit_event){
		.ts_us = sg_clock_utc_us(),
		.actor = "system",
		.type = type,
		.step = -1,
		.payload = payload,
		.confidence = 1.0,
	};
}

static int genesis(struct sg_audit *a, struct sg_error *err)
{
	char payload[160];
	struct stat st;
	if (fstat(a->fd, &st) < 0 || st.st_size != 0)
		return sg_error_set(err, SG_EREFUSED, "audit-mismatch",
			"audit log %s has lines, but the store has none: it belongs to another "
			"state directory; move it away or restore its store",
			a->path);
	(void)snprintf(payload, sizeof(payload),
		"{\"format\":\"stargraph-audit-v1\",\"install\":\"%s\"}",
		sg_store_install_id(a->store));
	struct sg_audit_event e = sg_audit_own_event("genesis", payload);
	a->file_since_us = e.ts_us;
	return sg_audit_write_alone(a, &e, err);
}

static int record_repair(struct sg_audit *a, size_t lines, struct sg_error *err)
{
	char payload[128];
	(void)snprintf(payload, sizeof(payload), "{\"first\":%" PRIu64 ",\"lines\":%zu}",
		a->now.next - lines, lines);
	struct sg_audit_event e = sg_audit_own_event("audit_repaired", payload);
	return sg_audit_write_alone(a, &e, err);
}

static int read_head(struct sg_audit *a, struct sg_error *err)
{
	sg_autotxn *t = NULL;
	int r = sg_txn_begin(a->store, false, &t, err);
	if (r == 0)
		r = sg_audit_head_get(t, &a->now, NULL, err);
	if (r == 0) {
		uint8_t before[SG_SHA256_BYTES];
		int kept = sg_audit_kept_get(t, &a->now.kept, before, err);
		r = kept < 0 ? kept : 0;
	}
	a->durable = a->now;
	return r;
}

static int start(struct sg_audit *a, size_t *ret_repaired, struct sg_error *err)
{
	size_t repaired = 0;
	int r = read_head(a, err);
	if (r > 0)
		return genesis(a, err);
	if (r == 0)
		r = sg_audit_rotate_resume(a, err);
	if (r == 0)
		r = sg_audit_reconcile(a, &repaired, err);
	if (r == 0)
		r = sg_audit_tree_load(a, err);
	a->durable = a->now;
	if (r == 0 && repaired)
		r = record_repair(a, repaired, err);
	if (r == 0)
		r = sg_audit_file_age(a, err);
	if (r == 0)
		*ret_repaired = repaired;
	return r;
}

int sg_audit_open(struct sg_audit **ret, struct sg_store *s, const char *path, size_t *ret_repaired,
	struct sg_error *err)
{
	struct sg_audit *a = calloc(1, sizeof(*a));
	if (!a)
		return sg_error_nomem(err);
	a->store = s;
	a->fd = -1;
	a->line = SG_BUF_INIT(SG_AUDIT_LINE_MAX);
	a->pending = SG_BUF_INIT(SG_AUDIT_BATCH_MAX);
	a->path = strdup(path);
	int r = a->path ? sg_audit_file_open(a, err) : sg_error_nomem(err);
	if (r == 0)
		r = sg_audit_head_name(s, path, &a->name, err);
	if (r == 0)
		r = start(a, ret_repaired, err);
	if (r < 0) {
		sg_audit_close(a);
		return r;
	}
	*ret = a;
	return 0;
}

void sg_audit_close(struct sg_audit *a)
{
	if (!a)
		return;
	if (a->fd >= 0)
		(void)close(a->fd);
	sg_buf_finish(&a->pending);
	sg_buf_finish(&a->line);
	sg_signer_destroy(a->signer);
	json_decref(a->redact);
	free(a->origin);
	free(a->path);
	free(a->name);
	free(a);
}
