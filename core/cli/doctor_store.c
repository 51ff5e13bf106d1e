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

static void audit_file(struct sg_doctor *d)
{
	const char *path = d->config->audit_path;
	struct stat st;
	if (lstat(path, &st) < 0) {
		sg_doctor_say(d, "audit.file", errno == ENOENT ? SG_DOCTOR_OK : SG_DOCTOR_FAIL,
			errno == ENOENT ? NULL : "run doctor as the service user", "%s: %s", path,
			errno == ENOENT ? "not there yet" : strerror(errno));
		return;
	}
	bool odd = !S_ISREG(st.st_mode) || st.st_nlink != 1 || (st.st_mode & 077);
	sg_doctor_say(d, "audit.file", odd ? SG_DOCTOR_FAIL : SG_DOCTOR_OK,
		odd ? "it must be one regular file with mode 0600 and no other name" : NULL,
		"%s: mode %04o, %lu name%s, %lld bytes", path, (unsigned)(st.st_mode & 07777),
		(unsigned long)st.st_nlink, st.st_nlink == 1 ? "" : "s", (long long)st.st_size);
	struct sg_audit_report report;
	struct sg_error err;
	const struct sg_audit_verify_options o = {.wait_ms = 500};
	int r = sg_audit_verify((const char *const *)&path, 1, &o, &report, &err);
	if (r < 0)
		sg_doctor_say(d, "audit.chain", SG_DOCTOR_FAIL, "run doctor as the service user",
			"%s", err.text);
	else if (r > 0)
		sg_doctor_say(d, "audit.chain", SG_DOCTOR_FAIL,
			"keep the file as evidence and compare it with the last backup", "%s",
			report.text);
	else
		sg_doctor_say(d, "audit.chain", SG_DOCTOR_OK, NULL, "%llu lines verify",
			(unsigned long long)report.lines);
}

void sg_doctor_store(struct sg_doctor *d)
{
	lock(d);
	format(d);
	audit_file(d);
}
