/* Retention: of the rotated files the newest keep_files stay, with their lines in the store; older
 * ones are removed after a rotation. Lines go a few in each later transaction, so that no commit
 * waits for a whole file's worth of them.
 *
 * The store remembers under META "audit.kept" the first line it still has and the hash of the line
 * before, so that what is kept checks out from there on, and a line that is missing behind it is
 * still found. It begins at a whole block of the tree: every kept record can be proved. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/internal.h"
#include "audit/reader.h"
#include "base/cleanup.h"

#define KEPT_KEY "audit.kept"
#define LINES_A_COMMIT 512U /* removed in one transaction */

int sg_audit_kept_get(struct sg_txn *t, uint64_t *ret_seq, uint8_t ret_before[SG_SHA256_BYTES],
	struct sg_error *err)
{
	struct sg_span v;
	char text[128], hex[SG_SHA256_HEX] = "";
	int r = sg_txn_get(t, SG_TABLE_META, SG_KEY_TEXT(KEPT_KEY), &v, err);
	if (r)
		return r;
	if (v.len < sizeof(text)) {
		memcpy(text, v.data, v.len);
		text[v.len] = '\0';
		if (sscanf(text, "%" SCNu64 " %64s", ret_seq, hex) == 2 &&
			sg_hex_decode(hex, strlen(hex), ret_before, SG_SHA256_BYTES) == 0)
			return 0;
	}
	return sg_error_set(err, SG_ECORRUPT, "audit-store",
		"the store's record of the first line kept is malformed; restore a backup");
}

/* The hash that line seq names as its predecessor's goes with it. */
static int kept_put(struct sg_txn *t, uint64_t seq, struct sg_error *err)
{
	static const char mark[] = "\"prev\":\"";
	struct sg_span line;
	uint8_t key[8];
	char text[128];
	sg_be64(seq, key);
	int r = sg_txn_get(t, SG_TABLE_AUDIT, SG_SPAN(key, sizeof(key)), &line, err);
	const char *at = r == 0 ? memmem(line.data, line.len, mark, sizeof(mark) - 1) : NULL;
	if (r < 0)
		return r;
	if (!at || line.len - (size_t)(at - (const char *)line.data) < sizeof(mark) + 64)
		return sg_error_set(err, SG_ECORRUPT, "audit-store",
			"the store has no audit record %" PRIu64 "; restore a backup", seq);
	(void)snprintf(text, sizeof(text), "%" PRIu64 " %.64s", seq, at + sizeof(mark) - 1);
	return sg_txn_put(t, SG_TABLE_META, SG_KEY_TEXT(KEPT_KEY), SG_KEY_TEXT(text), false, err);
}

int sg_audit_retain_some(struct sg_audit *a, struct sg_txn *t, struct sg_error *err)
{
	uint64_t to = a->now.kept + LINES_A_COMMIT;
	uint8_t key[8];
	if (a->now.kept >= a->prune_to)
		return 0;
	if (to > a->prune_to)
		to = a->prune_to;
	int r = kept_put(t, to, err);
	for (; r >= 0 && a->now.kept < to; a->now.kept++) {
		sg_be64(a->now.kept, key);
		r = sg_txn_del(t, SG_TABLE_AUDIT, SG_SPAN(key, sizeof(key)), err);
	}
	return r < 0 ? r : 0;
}

/* "<base>.<12 to 18 digits>": the sequence of its first line. */
static bool is_archive(const char *name, const char *base, uint64_t *ret_first)
{
	size_t n = strlen(base);
	if (strncmp(name, base, n) != 0 || name[n] != '.')
		return false;
	const char *digits = name + n + 1;
	size_t k = strspn(digits, "0123456789");
	if (k < 12 || k > 18 || digits[k])
		return false;
	*ret_first = strtoull(digits, NULL, 10);
	return true;
}

static int oldest_first(const void *a, const void *b)
{
	uint64_t m = *(const uint64_t *)a, n = *(const uint64_t *)b;
	return (m > n) - (m < n);
}

int sg_audit_archives(const char *path, uint64_t **ret, size_t *ret_n, struct sg_error *err)
{
	sg_autofree char *dir_copy = strdup(path);
	sg_autofree char *base_copy = strdup(path);
	uint64_t *first = NULL;
	size_t n = 0;
	DIR *d = dir_copy && base_copy ? opendir(dirname(dir_copy)) : NULL;
	if (!d)
		return sg_error_errno(err, errno, "cannot read the directory of %s", path);
	const char *base = basename(base_copy);
	for (const struct dirent *e; (e = readdir(d));) {
		uint64_t seq;
		if (!is_archive(e->d_name, base, &seq))
			continue;
		uint64_t *more = realloc(first, (n + 1) * sizeof(*first));
		if (!more) {
			free(first);
			(void)closedir(d);
			return sg_error_nomem(err);
		}
		first = more;
		first[n++] = seq;
	}
	(void)closedir(d);
	if (n)
		qsort(first, n, sizeof(*first), oldest_first);
	*ret = first;
	*ret_n = n;
	return 0;
}

static int remove_archive(const struct sg_audit *a, uint64_t first, struct sg_error *err)
{
	sg_autofree char *path = sg_audit_archive_path(a->path, first);
	if (!path)
		return sg_error_nomem(err);
	if (unlink(path) < 0 && errno != ENOENT)
		return sg_error_errno(err, errno, "cannot remove the old audit log %s", path);
	return 0;
}

int sg_audit_retain(struct sg_audit *a, struct sg_error *err)
{
	sg_autofree uint64_t *first = NULL;
	size_t n = 0, gone = 0;
	if (!a->keep_files)
		return 0;
	int r = sg_audit_archives(a->path, &first, &n, err);
	/* Oldest first: whenever this is cut off, what is left is the end of the log, whole. */
	while (r == 0 && n - gone > a->keep_files)
		r = remove_archive(a, first[gone++], err);
	if (r == 0 && n)
		a->prune_to = first[gone] / SG_TREE_BLOCK * SG_TREE_BLOCK;
	return r;
}
