/* doctor: the store and the audit file, looked at beside a running server. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/verify.h"
#include "base/cleanup.h"
#include "cli/doctor.h"
#include "cli/evidence.h"
#include "store/store.h"

static void lock(struct sg_doctor *d)
{
	struct sg_error err;
	int fd = -1;
	int r = sg_store_lock(d->config->state_dir, &fd, &err);
	if (r == -SG_ECONFLICT)
		sg_doctor_say(d, "store.lock", SG_DOCTOR_OK, NULL, "a server runs: %s", err.text);
	else if (r < 0)
		sg_doctor_say(d, "store.lock", SG_DOCTOR_FAIL, "run doctor as the service user",
			"%s", err.text);
	else
		sg_doctor_say(d, "store.lock", SG_DOCTOR_OK, NULL, "no server runs");
	if (fd >= 0)
		(void)close(fd);
}

static void format(struct sg_doctor *d)
{
	struct sg_store *s = NULL;
	struct sg_error err;
	int r = sg_store_open(&s, d->config->state_dir, 0, false, true, &err);
	if (r == -SG_ENOTFOUND) {
		sg_doctor_say(d, "store.format", SG_DOCTOR_OK, NULL,
			"no store yet: the first start makes one");
		return;
	}
	if (r < 0) {
		sg_doctor_say(d, "store.format", SG_DOCTOR_FAIL,
			"a newer store needs the newer release; a damaged one a restore", "%s",
			err.text);
		return;
	}
	struct sg_txn *t = NULL;
	uint64_t runs = 0, lines = 0;
	if (sg_txn_begin(s, false, &t, &err) == 0) {
		(void)sg_txn_count(t, SG_TABLE_RUN, &runs, &err);
		(void)sg_txn_count(t, SG_TABLE_AUDIT, &lines, &err);
		sg_txn_abort(t);
	}
	sg_store_close(s);
	sg_doctor_say(d, "store.format", SG_DOCTOR_OK, NULL, "opens; %llu runs, %llu audit lines",
		(unsigned long long)runs, (unsigned long long)lines);
}

/* The log's head as the store has it. 1: there is no store, or no log in it, yet. */
static int read_head(const char *state_dir, struct sg_audit_head *ret, struct sg_error *err)
{
	struct sg_evidence e;
	int r = sg_evidence_open(&e, state_dir, err);
	if (r == -SG_ENOTFOUND)
		return 1;
	if (r < 0)
		return r;
	*ret = e.head;
	sg_evidence_close(&e);
	return 0;
}

/* The file ends before the store's head: it is completed from there. */
static bool is_behind(const struct sg_audit_report *r)
{
	return strcmp(r->cause, "truncated") == 0 || strcmp(r->cause, "torn-last-line") == 0;
}

static void chain(struct sg_doctor *d, int r, const struct sg_audit_report *report,
	const struct sg_error *err)
{
	if (r < 0)
		sg_doctor_say(d, "audit.chain", SG_DOCTOR_FAIL, "run doctor as the service user",
			"%s", err->text);
	else if (r > 0)
		sg_doctor_say(d, "audit.chain", SG_DOCTOR_FAIL,
			"keep the file as evidence and compare it with the last backup", "%s",
			report->text);
	else
		sg_doctor_say(d, "audit.chain", SG_DOCTOR_OK, NULL, "%llu lines verify",
			(unsigned long long)report->lines);
}

static bool same_file(const char *a, const char *b)
{
	struct stat x, y;
	return strcmp(a, b) == 0 || (stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev &&
					    x.st_ino == y.st_ino);
}

/* Does the file go on to where the store says? */
static void head(struct sg_doctor *d, int have, const struct sg_audit_head *h, bool there,
	bool behind, const struct sg_error *err)
{
	const char *path = d->config->audit_path;
	if (have < 0)
		sg_doctor_say(d, "audit.head", SG_DOCTOR_FAIL,
			"do what store.format says; until then nobody can compare them", "%s",
			err->text);
	else if (have > 0 && there)
		sg_doctor_say(d, "audit.head", SG_DOCTOR_FAIL,
			"restore the backup that has both, or move the file away",
			"%s is there, and no store that it belongs to", path);
	else if (have > 0)
		sg_doctor_say(d, "audit.head", SG_DOCTOR_OK, NULL, "no log yet");
	else if (!same_file(path, h->path))
		sg_doctor_say(d, "audit.head", SG_DOCTOR_FAIL,
			"set audit_path to that file, or move it here",
			"the store's log is %s, audit_path says %s", h->path, path);
	else if (behind || !there)
		sg_doctor_say(d, "audit.head", SG_DOCTOR_NOTE,
			"the next start completes the file from the store",
			"the file ends before record %llu, the store's head",
			(unsigned long long)h->seq);
	else
		sg_doctor_say(d, "audit.head", SG_DOCTOR_OK, NULL, "record %llu, %.16s…",
			(unsigned long long)h->seq, h->hash);
}

static void audit_file(struct sg_doctor *d)
{
	const char *path = d->config->audit_path;
	struct sg_audit_head h = {0};
	struct sg_error err = {0}, why = {0};
	int have = read_head(d->config->state_dir, &h, &why);
	struct stat st;
	if (lstat(path, &st) < 0) {
		sg_doctor_say(d, "audit.file", errno == ENOENT ? SG_DOCTOR_OK : SG_DOCTOR_FAIL,
			errno == ENOENT ? NULL : "run doctor as the service user", "%s: %s", path,
			errno == ENOENT ? "not there yet" : strerror(errno));
		head(d, have, &h, false, false, &why);
		return;
	}
	bool odd = !S_ISREG(st.st_mode) || st.st_nlink != 1 || (st.st_mode & 077);
	sg_doctor_say(d, "audit.file", odd ? SG_DOCTOR_FAIL : SG_DOCTOR_OK,
		odd ? "it must be one regular file with mode 0600 and no other name" : NULL,
		"%s: mode %04o, %lu name%s, %lld bytes", path, (unsigned)(st.st_mode & 07777),
		(unsigned long)st.st_nlink, st.st_nlink == 1 ? "" : "s", (long long)st.st_size);
	struct sg_audit_report report = {0};
	const struct sg_audit_verify_options o = {
		.wait_ms = 500, .head = have == 0 ? h.hash : NULL, .head_seq = h.seq};
	int r = sg_audit_verify((const char *const *)&path, 1, &o, &report, &err);
	bool behind = r > 0 && have == 0 && is_behind(&report);
	chain(d, behind ? 0 : r, &report, &err);
	head(d, have, &h, true, behind, &why);
}

void sg_doctor_store(struct sg_doctor *d)
{
	lock(d);
	format(d);
	audit_file(d);
}
