/* stargraph restore: a backup in place of a state directory.
 *
 * The backup is verified first. What it replaces is moved aside, never deleted. The log then opens
 * a new epoch with a record that names both heads, and every run that had not ended is paused: its
 * effects may have happened after the backup. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/reader.h"
#include "audit/verify.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "checkpoint/checkpoint.h"
#include "cli/cli.h"
#include "cli/copy.h"

#define EPOCH_KEY "epoch"

struct restore {
	const char *state_dir, *backup;
	bool force, replaces;
	struct sg_audit_head head, old; /* of the backup; of what is replaced */
	char log[SG_AUDIT_PATH_MAX];	/* where the log will lie */
	uint64_t paused, epoch;
};

static void ignore(void *ctx, const char *what)
{
	(void)ctx;
	(void)fprintf(stderr, "damaged: %s\n", what);
}

/* Every record of the backup's store, and its chain up to the head. */
static int check_store(const struct sg_evidence *e, struct sg_error *err)
{
	struct sg_check_counts n = {0};
	uint64_t seq = 0;
	int r = sg_checkpoint_check(e->txn, ignore, NULL, &n, err);
	if (r == 0)
		r = sg_audit_check_store(e->txn, &seq, err);
	if (r == 0 && n.bad == 0)
		return 0;
	if (r < 0)
		return r;
	if (r > 0)
		return sg_error_set(err, SG_ECORRUPT, "backup",
			"the backup's audit chain breaks at record %" PRIu64, seq);
	return sg_error_set(
		err, SG_ECORRUPT, "backup", "the backup has %" PRIu64 " damaged records", n.bad);
}

/* The backup's files: as far as they go they must hold. What they lack the store has. */
static int check_log(const struct restore *x, struct sg_error *err)
{
	struct sg_evidence_files f = {0};
	struct sg_audit_report rep = {0};
	struct sg_audit_verify_options o = {0};
	int r = sg_evidence_list(&x->head, &f, err);
	if (r == 0)
		r = sg_audit_verify((const char *const *)f.path, f.n, &o, &rep, err);
	sg_evidence_files_finish(&f);
	if (r <= 0)
		return r;
	if (strcmp(rep.cause, "torn-last-line") == 0 || strcmp(rep.cause, "truncated") == 0)
		return 0;
	return sg_error_set(
		err, SG_ECORRUPT, "backup", "the backup's audit log does not verify: %s", rep.text);
}

static int check_backup(struct restore *x, struct sg_error *err)
{
	struct sg_evidence e;
	int r = sg_evidence_open(&e, x->backup, err);
	if (r < 0)
		return r;
	x->head = e.head;
	r = check_store(&e, err);
	sg_evidence_close(&e);
	return r < 0 ? r : check_log(x, err);
}

static int read_epoch(struct sg_txn *t, uint64_t *ret, struct sg_error *err)
{
	struct sg_span v;
	char text[24] = "0";
	int r = sg_txn_get(t, SG_TABLE_META, SG_KEY_TEXT(EPOCH_KEY), &v, err);
	if (r < 0)
		return r;
	if (r == 0)
		(void)snprintf(text, sizeof(text), "%.*s", (int)v.len, (const char *)v.data);
	*ret = strtoull(text, NULL, 10);
	return 0;
}

/* An older head than the one in place, or one that cannot be read, needs --force. */
static int check_replaced(struct restore *x, struct sg_error *err)
{
	struct sg_evidence e;
	struct sg_error why = {0};
	int r = sg_evidence_open(&e, x->state_dir, &why);
	if (r == -SG_ENOTFOUND)
		return 0;
	if (r < 0)
		return x->force ? 0
				: sg_error_set(err, SG_EREFUSED, "restore",
					  "what is to be replaced cannot be read (%s); --force "
					  "replaces it all the same",
					  why.text);
	x->old = e.head;
	x->replaces = true;
	r = read_epoch(e.txn, &x->epoch, err);
	sg_evidence_close(&e);
	if (r < 0)
		return r;
	if (x->old.seq > x->head.seq && !x->force)
		return sg_error_set(err, SG_EREFUSED, "restore",
			"the backup ends with record %" PRIu64
			", the log it would replace with record "
			"%" PRIu64
			": the records between would be lost; --force replaces it all the "
			"same",
			x->head.seq, x->old.seq);
	return 0;
}

static int set_log_path(struct restore *x, struct sg_error *err)
{
	sg_autofree char *copy = strdup(x->head.path);
	if (!copy)
		return sg_error_nomem(err);
	int n = x->replaces
			? snprintf(x->log, sizeof(x->log), "%s", x->old.path)
			: snprintf(x->log, sizeof(x->log), "%s/%s", x->state_dir, basename(copy));
	return n < 0 || (size_t)n >= sizeof(x->log)
		       ? sg_error_set(err, SG_EINVALID, NULL, "the log's path is too long")
		       : 0;
}

static int move_into(const char *path, const char *dir, struct sg_error *err)
{
	sg_autofree char *to = NULL;
	if (asprintf(&to, "%s/%s", dir, strrchr(path, '/') + 1) < 0)
		return sg_error_nomem(err);
	if (rename(path, to) < 0 && errno != ENOENT)
		return sg_error_errno(err, errno, "cannot move %s to %s", path, to);
	return 0;
}

/* Store and log go to DIR/replaced-<time>. */
static int move_aside(const struct restore *x, struct sg_error *err)
{
	sg_autofree char *dir = NULL;
	sg_autofree char *store = NULL;
	sg_autofree char *lock = NULL;
	struct sg_audit_head old = x->old;
	struct sg_evidence_files f = {0};
	char ts[SG_TIME_TEXT];
	sg_time_format(sg_clock_utc_us(), ts);
	if (asprintf(&dir, "%s/replaced-%s", x->state_dir, ts) < 0 ||
		asprintf(&store, "%s/%s", x->state_dir, SG_STORE_FILE) < 0 ||
		asprintf(&lock, "%s-lock", store) < 0)
		return sg_error_nomem(err);
	if (access(store, F_OK) < 0)
		return 0;
	if (mkdir(dir, 0700) < 0)
		return sg_error_errno(err, errno, "cannot make %s", dir);
	memcpy(old.path, x->log, sizeof(old.path));
	int r = sg_evidence_list(&old, &f, err);
	for (size_t i = 0; r == 0 && i < f.n; i++)
		r = move_into(f.path[i], dir, err);
	if (r == 0)
		r = move_into(store, dir, err);
	if (r == 0)
		r = move_into(lock, dir, err);
	sg_evidence_files_finish(&f);
	return r;
}

/* Every file of the backup's log under the name that the log has here. */
static int copy_log_files(const struct restore *x, struct sg_error *err)
{
	struct sg_evidence_files f = {0};
	int r = sg_evidence_list(&x->head, &f, err);
	size_t n = strlen(x->head.path);
	for (size_t i = 0; r == 0 && i < f.n; i++) {
		sg_autofree char *to = NULL;
		if (access(f.path[i], F_OK) < 0)
			continue;
		if (asprintf(&to, "%s%s", x->log, f.path[i] + n) < 0)
			r = sg_error_nomem(err);
		else
			r = sg_copy_file(f.path[i], to, err);
	}
	sg_evidence_files_finish(&f);
	return r;
}

static int copy_back(const struct restore *x, struct sg_error *err)
{
	sg_autofree char *from = NULL;
	sg_autofree char *to = NULL;
	if (asprintf(&from, "%s/%s", x->backup, SG_STORE_FILE) < 0 ||
		asprintf(&to, "%s/%s", x->state_dir, SG_STORE_FILE) < 0)
		return sg_error_nomem(err);
	int r = copy_log_files(x, err);
	if (r == 0)
		r = sg_copy_file(from, to, err);
	return r < 0 ? r : sg_file_sync_dir(to, err);
}

static int pause_run(struct restore *x, struct sg_txn *t, const char *run_id, struct sg_error *err)
{
	struct sg_run_row row = {0};
	int r = sg_run_get(t, run_id, &row, err);
	if (r)
		return r < 0 ? r : 0;
	if (row.status <= SG_RUN_WAITING) {
		row.status = SG_RUN_PAUSED;
		row.updated_us = sg_clock_utc_us();
		r = sg_run_put(t, &row, err);
		x->paused++;
	}
	sg_run_row_finish(&row);
	return r;
}

static int pause_runs(struct restore *x, struct sg_txn *t, struct sg_error *err)
{
	sg_autocursor *c = NULL;
	struct sg_span key;
	int r = sg_cursor_open(t, SG_TABLE_LIVE, &c, err);
	if (r == 0)
		r = sg_cursor_seek(c, SG_SEEK_FIRST, &key, NULL, err);
	while (r == 0) {
		char run_id[SG_RUN_ID_TEXT] = "";
		if (key.len < sizeof(run_id))
			memcpy(run_id, key.data, key.len);
		r = pause_run(x, t, run_id, err);
		if (r == 0)
			r = sg_cursor_seek(c, SG_SEEK_NEXT, &key, NULL, err);
	}
	return r < 0 ? r : 0;
}

/* One more than the backup's and than what it replaces. */
static int next_epoch(struct restore *x, struct sg_txn *t, struct sg_error *err)
{
	char text[24];
	uint64_t before = 0;
	int r = read_epoch(t, &before, err);
	if (r < 0)
		return r;
	x->epoch = (before > x->epoch ? before : x->epoch) + 1;
	(void)snprintf(text, sizeof(text), "%" PRIu64, x->epoch);
	return sg_txn_put(t, SG_TABLE_META, SG_KEY_TEXT(EPOCH_KEY), SG_KEY_TEXT(text), false, err);
}

static int put_record(
	const struct restore *x, struct sg_audit *a, struct sg_txn *t, struct sg_error *err)
{
	char payload[512], old[160] = "null";
	if (x->replaces)
		(void)snprintf(old, sizeof(old), "{\"hash\":\"%s\",\"seq\":%" PRIu64 "}",
			x->old.hash, x->old.seq);
	(void)snprintf(payload, sizeof(payload),
		"{\"epoch\":%" PRIu64 ",\"paused_runs\":%" PRIu64 ",\"replaced\":%s,"
		"\"restored\":{\"hash\":\"%s\",\"seq\":%" PRIu64 "}}",
		x->epoch, x->paused, old, x->head.hash, x->head.seq);
	struct sg_audit_event e = {
		.ts_us = sg_clock_utc_us(),
		.actor = "system",
		.type = "epoch_opened",
		.step = -1,
		.payload = payload,
		.source = "restore",
		.confidence = 1.0,
	};
	return sg_audit_put(a, t, &e, err);
}

/* Pauses the runs and opens the epoch, in one transaction. */
static int open_epoch(struct restore *x, struct sg_error *err)
{
	struct sg_store *s = NULL;
	struct sg_audit *a = NULL;
	struct sg_txn *t = NULL;
	size_t repaired = 0;
	int r = sg_store_open(&s, x->state_dir, 0, false, false, err);
	if (r == 0)
		r = sg_audit_open(&a, s, x->log, &repaired, err);
	if (r == 0)
		r = sg_txn_begin(s, true, &t, err);
	if (r == 0)
		r = pause_runs(x, t, err);
	if (r == 0)
		r = next_epoch(x, t, err);
	if (r == 0)
		r = put_record(x, a, t, err);
	if (r == 0)
		r = sg_audit_put_head(a, t, err);
	if (r == 0)
		r = sg_txn_commit(sg_steal(t), err);
	if (r == 0)
		r = sg_audit_flush(a, err);
	sg_txn_abort(t);
	sg_audit_close(a);
	sg_store_close(s);
	return r;
}

static int restore(struct restore *x, struct sg_error *err)
{
	sg_autoclose int lock = -1;
	if (mkdir(x->state_dir, 0700) < 0 && errno != EEXIST)
		return sg_error_errno(err, errno, "cannot make %s", x->state_dir);
	int r = sg_store_lock(x->state_dir, &lock, err);
	if (r == 0)
		r = check_backup(x, err);
	if (r == 0)
		r = check_replaced(x, err);
	if (r == 0)
		r = set_log_path(x, err);
	if (r == 0)
		r = move_aside(x, err);
	if (r == 0)
		r = copy_back(x, err);
	return r < 0 ? r : open_epoch(x, err);
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {{"state-dir", required_argument, NULL, 's'},
		{"force", no_argument, NULL, 'f'}, {0}};
	struct restore x = {0};
	struct sg_error err = {0};
	int o;
	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (o) {
		case 's': x.state_dir = optarg; break;
		case 'f': x.force = true; break;
		default:
			return sg_cli_usage(
				&sg_verb_restore, "unknown option %s", argv[optind - 1]);
		}
	}
	if (optind + 1 != argc || !x.state_dir)
		return sg_cli_usage(&sg_verb_restore, "needs --state-dir and one backup");
	x.backup = argv[optind];
	if (restore(&x, &err) < 0)
		return sg_cli_fail(&err);
	(void)printf("%s: restored to head %" PRIu64 ":%s, epoch %" PRIu64 ", %" PRIu64
		     " runs paused\n",
		x.state_dir, x.head.seq, x.head.hash, x.epoch, x.paused);
	return SG_EXIT_DONE;
}

const struct sg_verb sg_verb_restore = {
	.name = "restore",
	.summary = "put a backup in place of a state directory",
	.usage = "usage: stargraph restore --state-dir DIR BACKUP [--force]\n\n"
		 "Verifies the backup first; refuses one whose head is older than what it "
		 "replaces,\n"
		 "unless --force. What is replaced is kept in DIR/replaced-<time>. Runs that had "
		 "not\n"
		 "ended are paused until somebody resumes them. No server may run on DIR.\n"
		 "Exit codes: 0 restored, 4 the backup does not verify, 2 refused.\n",
	.run = run,
};
