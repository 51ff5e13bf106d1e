/* The head of the chain as it lies in the store: one line of text under META "audit.head":
 * sequence, hash, bytes of the current file, sequence of its first line, name of the file. */
#include <errno.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "audit/internal.h"
#include "base/cleanup.h"

#define HEAD_KEY "audit.head"
#define HEAD_MAX (SG_AUDIT_PATH_MAX + 160)

static int malformed(struct sg_error *err)
{
	return sg_error_set(err, SG_ECORRUPT, "audit-store",
		"the store's audit head is malformed; restore a backup");
}

int sg_audit_head_get(
	struct sg_txn *t, struct sg_audit_chain *ret, char *ret_name, struct sg_error *err)
{
	struct sg_span v;
	int r = sg_txn_get(t, SG_TABLE_META, SG_KEY_TEXT(HEAD_KEY), &v, err);
	if (r)
		return r;
	char text[HEAD_MAX], hex[SG_SHA256_HEX] = "";
	struct sg_audit_chain c = {0};
	uint64_t seq = 0;
	int at = 0;
	if (v.len >= sizeof(text))
		return malformed(err);
	memcpy(text, v.data, v.len);
	text[v.len] = '\0';
	int n = sscanf(text, "%" SCNu64 " %64s %" SCNu64 " %" SCNu64 " %n", &seq, hex, &c.offset,
		&c.first, &at);
	if (n != 4 || sg_hex_decode(hex, strlen(hex), c.last, sizeof(c.last)) < 0 ||
		c.first > seq || at == 0 || !text[at] || strlen(text + at) >= SG_AUDIT_PATH_MAX)
		return malformed(err);
	c.next = seq + 1;
	*ret = c;
	if (ret_name)
		memcpy(ret_name, text + at, strlen(text + at) + 1);
	return 0;
}

int sg_audit_head_put(
	struct sg_txn *t, const struct sg_audit_chain *c, const char *name, struct sg_error *err)
{
	char text[HEAD_MAX], hex[SG_SHA256_HEX];
	sg_hex_encode(c->last, sizeof(c->last), hex);
	(void)snprintf(text, sizeof(text), "%" PRIu64 " %s %" PRIu64 " %" PRIu64 " %s", c->next - 1,
		hex, c->offset, c->first, name);
	return sg_txn_put(t, SG_TABLE_META, SG_KEY_TEXT(HEAD_KEY), SG_KEY_TEXT(text), false, err);
}

/* The absolute directory of path, caller frees; NULL with errno. */
static char *directory_of(const char *path)
{
	sg_autofree char *copy = strdup(path);
	return copy ? realpath(dirname(copy), NULL) : NULL;
}

int sg_audit_head_name(struct sg_store *s, const char *path, char **ret, struct sg_error *err)
{
	sg_autofree char *copy = strdup(path);
	sg_autofree char *ours = directory_of(sg_store_path(s));
	sg_autofree char *dir = directory_of(path);
	if (!copy || !ours || !dir)
		return sg_error_errno(err, errno, "cannot resolve %s", path);
	const char *base = basename(copy);
	char *name = NULL;
	if (strcmp(ours, dir) == 0)
		name = strdup(base);
	else if (asprintf(&name, "%s/%s", dir, base) < 0)
		name = NULL;
	if (!name)
		return sg_error_nomem(err);
	if (strlen(name) >= SG_AUDIT_PATH_MAX || strchr(name, '\n')) {
		free(name);
		return sg_error_set(err, SG_EINVALID, NULL, "audit log: the path is too long");
	}
	*ret = name;
	return 0;
}

int sg_audit_head_read(
	struct sg_store *s, struct sg_txn *t, struct sg_audit_head *ret, struct sg_error *err)
{
	struct sg_audit_chain c;
	char name[SG_AUDIT_PATH_MAX];
	int r = sg_audit_head_get(t, &c, name, err);
	if (r)
		return r;
	sg_autofree char *copy = strdup(sg_store_path(s));
	if (!copy)
		return sg_error_nomem(err);
	struct sg_audit_head h = {.seq = c.next - 1, .first = c.first, .bytes = c.offset};
	sg_hex_encode(c.last, sizeof(c.last), h.hash);
	int n = name[0] == '/' ? snprintf(h.path, sizeof(h.path), "%s", name)
			       : snprintf(h.path, sizeof(h.path), "%s/%s", dirname(copy), name);
	if (n < 0 || (size_t)n >= sizeof(h.path))
		return malformed(err);
	*ret = h;
	return 0;
}
