/* At start: does the file say what the store says?
 *
 * The store is committed first, so after a crash the file may only be behind: then it is, byte for
 * byte, a prefix of the lines in the store (a torn last line included) and is completed. Everything
 * else is somebody's doing and is refused, naming the line.
 *
 * A start must not take longer the longer the log is: the newest SG_AUDIT_START_BYTES are compared
 * before the first line is written, what lies before them while the log is in use already, a piece
 * at a time. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/internal.h"
#include "base/cleanup.h"

#define CHUNK (1U << 20)

/* A walk over the lines of the current file as the store has them. */
struct walk {
	struct sg_audit *a;
	struct sg_cursor *cursor;
	uint64_t seq;	 /* of the line at hand */
	uint64_t offset; /* where it starts in the file */
	struct sg_span line;
	struct sg_buf window; /* bytes of the file, read ahead */
	uint64_t window_at;
};

static int missing_line(const struct walk *w, struct sg_error *err)
{
	return sg_error_set(err, SG_ECORRUPT, "audit-store",
		"the store has no audit record %llu; restore a backup", (unsigned long long)w->seq);
}

static int walk_to(struct walk *w, uint64_t seq, struct sg_error *err)
{
	uint8_t key[8];
	sg_be64(seq, key);
	struct sg_span k = SG_SPAN(key, sizeof(key));
	w->seq = seq;
	int r = sg_cursor_seek(w->cursor, SG_SEEK_GE, &k, &w->line, err);
	if (r < 0)
		return r;
	if (r > 0 || k.len != 8 || sg_be64_read(k.data) != seq)
		return missing_line(w, err);
	return 0;
}

static int walk_next(struct walk *w, struct sg_error *err)
{
	struct sg_span k;
	w->offset += w->line.len + 1;
	w->seq++;
	int r = sg_cursor_seek(w->cursor, SG_SEEK_NEXT, &k, &w->line, err);
	if (r < 0)
		return r;
	if (r > 0 || k.len != 8 || sg_be64_read(k.data) != w->seq)
		return missing_line(w, err);
	return 0;
}

static int differs(const struct walk *w, struct sg_error *err)
{
	return sg_error_set(err, SG_EREFUSED, "audit-mismatch",
		"audit log %s differs from the store at line %llu (sequence %llu): it was changed "
		"outside stargraph; keep it as evidence and restore the log from a backup, or move "
		"it away to have it written anew from the store",
		w->a->path, (unsigned long long)(w->seq - w->a->now.first + 1),
		(unsigned long long)w->seq);
}

static int read_at(const struct walk *w, char *buf, size_t n, size_t *ret, struct sg_error *err)
{
	size_t got = 0;
	while (got < n) {
		ssize_t r = pread(w->a->fd, buf + got, n - got, (off_t)(w->offset + got));
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return sg_error_errno(
				err, errno, "cannot read the audit log %s", w->a->path);
		if (r == 0)
			break;
		got += (size_t)r;
	}
	*ret = got;
	return 0;
}

/* n bytes of the file at w->offset, or as many as it has; borrowed until the next call. */
static int bytes_at(struct walk *w, size_t n, struct sg_span *ret, struct sg_error *err)
{
	if (w->offset < w->window_at || w->offset + n > w->window_at + w->window.len) {
		size_t got = 0;
		sg_buf_reset(&w->window);
		char *room = sg_buf_reserve(&w->window, n > CHUNK ? n : CHUNK);
		if (!room)
			return sg_error_nomem(err);
		int r = read_at(w, room, n > CHUNK ? n : CHUNK, &got, err);
		if (r < 0)
			return r;
		w->window.len = got;
		w->window_at = w->offset;
	}
	size_t at = (size_t)(w->offset - w->window_at), have = w->window.len - at;
	*ret = SG_SPAN(w->window.data + at, have < n ? have : n);
	return 0;
}

/* *ret_have: bytes of this line that the file holds, at most all and the newline. */
static int compare_line(struct walk *w, size_t *ret_have, struct sg_error *err)
{
	size_t want = w->line.len + 1;
	struct sg_span file = {0};
	int r = bytes_at(w, want, &file, err);
	if (r < 0)
		return r;
	const char *text = file.data;
	size_t n = file.len < w->line.len ? file.len : w->line.len;
	if (memcmp(text, w->line.data, n) != 0 || (file.len == want && text[want - 1] != '\n'))
		return differs(w, err);
	*ret_have = file.len;
	return 0;
}

/* Appends the rest of the line at hand and all that follow up to the head. */
static int complete(struct walk *w, size_t have, size_t *ret_lines, struct sg_error *err)
{
	sg_autobuf out = SG_BUF_INIT(CHUNK + SG_AUDIT_LINE_MAX + 1);
	size_t lines = 0;
	for (;;) {
		size_t from = have < w->line.len ? have : w->line.len;
		sg_buf_add(&out, (const char *)w->line.data + from, w->line.len - from);
		sg_buf_addc(&out, '\n');
		lines++;
		have = 0;
		bool last = w->seq + 1 == w->a->now.next;
		if (out.failed)
			return sg_error_nomem(err);
		if (last || out.len >= CHUNK) {
			int r = sg_audit_file_append(w->a, out.data, out.len, err);
			if (r < 0)
				return r;
			sg_buf_reset(&out);
		}
		if (last)
			break;
		int r = walk_next(w, err);
		if (r < 0)
			return r;
	}
	*ret_lines = lines;
	return 0;
}

static int check_last(const struct walk *w, struct sg_error *err)
{
	uint8_t digest[SG_SHA256_BYTES];
	sg_sha256(w->line.data, w->line.len, digest);
	if (memcmp(digest, w->a->now.last, sizeof(digest)) != 0)
		return sg_error_set(err, SG_ECORRUPT, "audit-store",
			"the store's audit record %llu does not have the head's hash; restore a "
			"backup",
			(unsigned long long)w->seq);
	if (w->offset + w->line.len + 1 != w->a->now.offset)
		return sg_error_set(err, SG_ECORRUPT, "audit-store",
			"the store's audit head does not fit its records; restore a backup");
	return 0;
}

/* The walk on the first line to compare: so far before the end, if the file reaches so far. */
static int find_start(struct walk *w, uint64_t size, struct sg_error *err)
{
	const struct sg_audit_chain *now = &w->a->now;
	uint64_t offset = now->offset, seq = now->next;
	struct sg_span k;
	int r = walk_to(w, seq - 1, err);
	while (r == 0 && seq > now->first && now->offset - offset < SG_AUDIT_START_BYTES) {
		offset -= w->line.len + 1;
		if (offset > now->offset || --seq == now->first)
			break;
		r = sg_cursor_seek(w->cursor, SG_SEEK_PREV, &k, &w->line, err);
		if (r == 0 && (k.len != 8 || sg_be64_read(k.data) != seq - 1))
			r = 1;
	}
	if (r < 0)
		return r;
	if (r > 0 || seq <= now->first || offset > size) { /* the whole file, and words for it */
		w->offset = 0;
		return walk_to(w, now->first, err);
	}
	w->a->older.seq = now->first;
	w->a->older.end = seq;
	w->a->older.offset = 0;
	w->a->older.end_offset = offset;
	w->offset = offset;
	return walk_to(w, seq, err);
}

static int compare_newest(struct walk *w, uint64_t size, size_t *ret_repaired, struct sg_error *err)
{
	int r = find_start(w, size, err);
	while (r == 0) {
		size_t have = 0;
		r = compare_line(w, &have, err);
		if (r == 0 && have < w->line.len + 1)
			r = complete(w, have, ret_repaired, err);
		if (r < 0)
			return r;
		if (w->seq + 1 == w->a->now.next)
			return check_last(w, err);
		r = walk_next(w, err);
	}
	return r;
}

bool sg_audit_compared(const struct sg_audit *a)
{
	return a->older.seq == a->older.end;
}

static int compare_older(struct walk *w, struct sg_error *err)
{
	uint64_t from = w->offset;
	int r = walk_to(w, w->seq, err);
	while (r == 0) {
		size_t have = 0;
		r = compare_line(w, &have, err);
		if (r == 0 && have < w->line.len + 1)
			r = differs(w, err);
		if (r < 0)
			return r;
		if (w->seq + 1 == w->a->older.end || w->offset - from >= CHUNK / 4 * 3) {
			w->offset += w->line.len + 1;
			w->seq++;
			break;
		}
		r = walk_next(w, err);
	}
	if (r == 0 && w->seq == w->a->older.end && w->offset != w->a->older.end_offset)
		return sg_error_set(err, SG_ECORRUPT, "audit-store",
			"the store's audit head does not fit its records; restore a backup");
	return r;
}

int sg_audit_compare_some(struct sg_audit *a, struct sg_error *err)
{
	sg_autotxn *t = NULL;
	sg_autocursor *c = NULL;
	if (sg_audit_compared(a))
		return 0;
	int r = sg_txn_begin(a->store, false, &t, err);
	if (r == 0)
		r = sg_cursor_open(t, SG_TABLE_AUDIT, &c, err);
	struct walk w = {.a = a,
		.cursor = c,
		.seq = a->older.seq,
		.offset = a->older.offset,
		.window = SG_BUF_INIT(SG_AUDIT_LINE_MAX + CHUNK)};
	if (r == 0)
		r = compare_older(&w, err);
	sg_buf_finish(&w.window);
	if (r < 0)
		return r;
	a->older.seq = w.seq;
	a->older.offset = w.offset;
	return !sg_audit_compared(a);
}

int sg_audit_reconcile(struct sg_audit *a, size_t *ret_repaired, struct sg_error *err)
{
	sg_autotxn *t = NULL;
	sg_autocursor *c = NULL;
	struct stat st;
	size_t repaired = 0;
	int r = sg_txn_begin(a->store, false, &t, err);
	if (r == 0)
		r = sg_cursor_open(t, SG_TABLE_AUDIT, &c, err);
	if (r == 0 && fstat(a->fd, &st) < 0)
		r = sg_error_errno(err, errno, "cannot look at the audit log %s", a->path);
	struct walk w = {.a = a, .cursor = c, .window = SG_BUF_INIT(SG_AUDIT_LINE_MAX + CHUNK)};
	if (r == 0)
		r = compare_newest(&w, (uint64_t)st.st_size, &repaired, err);
	sg_buf_finish(&w.window);
	if (r < 0)
		return r;
	if (fstat(a->fd, &st) < 0)
		return sg_error_errno(err, errno, "cannot look at the audit log %s", a->path);
	if ((uint64_t)st.st_size != a->now.offset)
		return sg_error_set(err, SG_EREFUSED, "audit-mismatch",
			"audit log %s has %lld bytes after line %llu (sequence %llu), the last "
			"that "
			"the store knows: they are not from this state directory",
			a->path, (long long)st.st_size - (long long)a->now.offset,
			(unsigned long long)(a->now.next - a->now.first),
			(unsigned long long)a->now.next - 1);
	*ret_repaired = repaired;
	return 0;
}
