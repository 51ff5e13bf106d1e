/* Rotation: the file is renamed after its first line's sequence, the next one goes on with the
 * chain.
 *
 * Order: rename, make the new file, sync the directory, then one record in one transaction that
 * also moves the head to the new file. A crash before that transaction leaves a head that speaks of
 * the old file while its archive exists already: the next start sees that and finishes. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/internal.h"
#include "audit/reader.h"
#include "base/base64.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"

#define PAYLOAD_MAX (16U << 10)

char *sg_audit_archive_path(const char *path, uint64_t first)
{
	char *s = NULL;
	return asprintf(&s, "%s.%012" PRIu64, path, first) < 0 ? NULL : s;
}

bool sg_audit_rotate_due(const struct sg_audit *a)
{
	if (a->now.next - a->now.first < 2)
		return false; /* never a file of nothing but its own first line */
	if (!sg_audit_compared(a))
		return false;
	if (a->rotate_bytes && a->now.offset >= (uint64_t)a->rotate_bytes)
		return true;
	return a->rotate_us && sg_clock_utc_us() - a->file_since_us >= a->rotate_us;
}

/* {"previous":"…","size":N,"range":[…]} */
static int announce(struct sg_audit *a, const char *archive, struct sg_error *err)
{
	sg_autobuf b = SG_BUF_INIT(PAYLOAD_MAX);
	sg_autofree char *copy = strdup(archive);
	if (!copy)
		return sg_error_nomem(err);
	const char *base = basename(copy);
	sg_buf_adds(&b, "{\"previous\":");
	sg_buf_add_json_string(&b, base, strlen(base));
	sg_buf_adds(&b, ",\"range\":[");
	for (unsigned i = 0; i < sg_tree_count(&a->now.tree); i++) {
		sg_buf_adds(&b, i ? ",\"" : "\"");
		sg_base64_add(&b, a->now.tree.node[i].b, SG_SHA256_BYTES);
		sg_buf_addc(&b, '"');
	}
	sg_buf_addf(&b, "],\"size\":%" PRIu64 "}", a->now.tree.size);
	if (b.failed)
		return sg_error_nomem(err);
	struct sg_audit_event e = sg_audit_own_event("audit_rotated", b.data);
	int r = sg_audit_write_alone(a, &e, err);
	return r < 0 ? r : sg_audit_retain(a, err);
}

static int begin_file(struct sg_audit *a, const char *archive, struct sg_error *err)
{
	(void)close(a->fd);
	a->fd = -1;
	int r = sg_audit_file_open(a, err);
	if (r == 0)
		r = sg_file_sync_dir(a->path, err);
	if (r < 0)
		return r;
	a->now.first = a->now.next;
	a->now.offset = 0;
	a->durable = a->now;
	a->file_since_us = sg_clock_utc_us();
	return announce(a, archive, err);
}

int sg_audit_rotate(struct sg_audit *a, struct sg_error *err)
{
	sg_autofree char *archive = sg_audit_archive_path(a->path, a->now.first);
	if (!archive)
		return sg_error_nomem(err);
	if (renameat2(AT_FDCWD, a->path, AT_FDCWD, archive, RENAME_NOREPLACE) < 0)
		return sg_error_errno(
			err, errno, "cannot rename the audit log %s to %s", a->path, archive);
	return begin_file(a, archive, err);
}

/* The archive in place of the current file, for its comparison with the store. */
static int open_archive(struct sg_audit *a, char *archive, struct sg_error *err)
{
	char *path = a->path;
	(void)close(a->fd);
	a->fd = -1;
	a->path = archive;
	int r = sg_audit_file_open(a, err);
	a->path = path;
	return r;
}

int sg_audit_rotate_resume(struct sg_audit *a, struct sg_error *err)
{
	struct stat st;
	size_t repaired = 0;
	sg_autofree char *archive = sg_audit_archive_path(a->path, a->now.first);
	if (!archive)
		return sg_error_nomem(err);
	if (lstat(archive, &st) < 0)
		return 0;
	if (fstat(a->fd, &st) < 0 || st.st_size != 0)
		return sg_error_set(err, SG_EREFUSED, "audit-mismatch",
			"audit log %s and %s both claim to follow record %" PRIu64
			"; keep both as evidence and restore a backup",
			a->path, archive, a->now.first);
	int r = open_archive(a, archive, err);
	if (r == 0)
		r = sg_audit_reconcile(a, &repaired, err);
	if (r == 0)
		r = sg_audit_tree_load(a, err);
	return r < 0 ? r : begin_file(a, archive, err);
}

int sg_audit_file_age(struct sg_audit *a, struct sg_error *err)
{
	static const char mark[] = "\",\"ts\":\"";
	sg_autotxn *t = NULL;
	struct sg_span line;
	uint8_t key[8];
	sg_be64(a->now.first, key);
	a->file_since_us = sg_clock_utc_us();
	int r = sg_txn_begin(a->store, false, &t, err);
	if (r == 0)
		r = sg_txn_get(t, SG_TABLE_AUDIT, SG_SPAN(key, sizeof(key)), &line, err);
	if (r)
		return r < 0 ? r : 0;
	const char *at = memmem(line.data, line.len, mark, sizeof(mark) - 1);
	size_t left = at ? line.len - (size_t)(at - (const char *)line.data) : 0;
	if (left >= sizeof(mark) - 1 + SG_TIME_TEXT - 1)
		(void)sg_time_parse(at + sizeof(mark) - 1, SG_TIME_TEXT - 1, &a->file_since_us);
	return 0;
}
