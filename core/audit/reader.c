/* Reading beside the writer: see reader.h. */
#include "audit/reader.h"

#include <stdlib.h>
#include <string.h>

#include "audit/internal.h"
#include "base/cleanup.h"

int sg_audit_line_get(struct sg_txn *t, uint64_t seq, struct sg_span *ret, struct sg_error *err)
{
	uint8_t key[8];
	sg_be64(seq, key);
	return sg_txn_get(t, SG_TABLE_AUDIT, SG_SPAN(key, sizeof(key)), ret, err);
}

static int latest_note(struct sg_txn *t, uint64_t *ret_size, struct sg_error *err)
{
	sg_autocursor *c = NULL;
	struct sg_span k, v;
	int r = sg_cursor_open(t, SG_TABLE_AUDIT_NOTE, &c, err);
	if (r == 0)
		r = sg_cursor_seek(c, SG_SEEK_LAST, &k, &v, err);
	if (r == 0 && k.len == 8)
		*ret_size = sg_be64_read(k.data);
	return r;
}

int sg_audit_note_get(
	struct sg_txn *t, uint64_t size, char **ret_note, uint64_t *ret_size, struct sg_error *err)
{
	uint8_t key[8];
	struct sg_span v;
	int r = size ? 0 : latest_note(t, &size, err);
	if (r)
		return r;
	sg_be64(size, key);
	r = sg_txn_get(t, SG_TABLE_AUDIT_NOTE, SG_SPAN(key, sizeof(key)), &v, err);
	if (r)
		return r;
	char *note = strndup(v.data, v.len);
	if (!note)
		return sg_error_nomem(err);
	*ret_note = note;
	*ret_size = size;
	return 0;
}

static int missing(uint64_t seq, struct sg_error *err)
{
	return sg_error_set(err, SG_ENOTFOUND, NULL, "the store has no audit record %llu",
		(unsigned long long)seq);
}

static int load_leaves(struct sg_audit_nodes *n, uint64_t block, struct sg_error *err)
{
	struct sg_span v;
	if (n->n && n->block == block)
		return 0;
	for (n->n = 0; n->n < SG_TREE_BLOCK; n->n++) {
		int r = sg_audit_line_get(n->txn, block * SG_TREE_BLOCK + n->n, &v, err);
		if (r < 0)
			return r;
		if (r > 0)
			break;
		sg_tree_leaf(v.data, v.len, &n->leaf[n->n]);
	}
	n->block = block;
	return 0;
}

/* A subtree inside the block at hand. */
static int small_node(struct sg_audit_nodes *n, unsigned level, uint64_t index,
	struct sg_tree_hash *ret, struct sg_error *err)
{
	size_t at = (size_t)(index << level) % SG_TREE_BLOCK, count = (size_t)1 << level;
	struct sg_tree_hash h[SG_TREE_BLOCK];
	if (at + count > n->n)
		return missing(n->block * SG_TREE_BLOCK + n->n, err);
	memcpy(h, n->leaf + at, count * sizeof(h[0]));
	for (; count > 1; count /= 2)
		for (size_t i = 0; i < count / 2; i++)
			sg_tree_join(&h[2 * i], &h[2 * i + 1], &h[i]);
	*ret = h[0];
	return 0;
}

static int node(
	void *ctx, unsigned level, uint64_t index, struct sg_tree_hash *ret, struct sg_error *err)
{
	struct sg_audit_nodes *n = ctx;
	struct sg_tree_hash a, b;
	struct sg_span v;
	uint8_t key[8];
	int r;
	if (level < SG_TREE_LEVEL) {
		r = load_leaves(n, (index << level) / SG_TREE_BLOCK, err);
		return r < 0 ? r : small_node(n, level, index, ret, err);
	}
	if (level == SG_TREE_LEVEL) {
		sg_be64(index, key);
		r = sg_txn_get(n->txn, SG_TABLE_AUDIT_TREE, SG_SPAN(key, sizeof(key)), &v, err);
		if (r > 0 || (r == 0 && v.len != sizeof(ret->b)))
			return missing(index * SG_TREE_BLOCK, err);
		if (r == 0)
			memcpy(ret->b, v.data, sizeof(ret->b));
		return r;
	}
	r = node(ctx, level - 1, 2 * index, &a, err);
	if (r == 0)
		r = node(ctx, level - 1, 2 * index + 1, &b, err);
	if (r == 0)
		sg_tree_join(&a, &b, ret);
	return r;
}

void sg_audit_nodes_init(struct sg_audit_nodes *n, struct sg_txn *t)
{
	n->source = (struct sg_tree_source){.node = node, .ctx = n};
	n->txn = t;
	n->block = 0;
	n->n = 0;
}

int sg_audit_relocate(struct sg_store *s, const char *name, struct sg_error *err)
{
	sg_autotxn *t = NULL;
	struct sg_audit_chain c;
	int r = sg_txn_begin(s, true, &t, err);
	if (r == 0)
		r = sg_audit_head_get(t, &c, NULL, err);
	if (r == 0)
		r = sg_audit_head_put(t, &c, name, err);
	return r ? (r < 0 ? r : 0) : sg_txn_commit(sg_steal(t), err);
}

/* After {"seq":N,"prev":" */
static bool names(struct sg_span line, const char hex[SG_SHA256_HEX])
{
	const char *at = memmem(line.data, line.len < 40 ? line.len : 40, "\"prev\":\"", 8);
	size_t left = at ? line.len - (size_t)(at - (const char *)line.data) : 0;
	return left > 8 + 64 && memcmp(at + 8, hex, 64) == 0;
}

int sg_audit_check_store(struct sg_txn *t, uint64_t *ret_seq, struct sg_error *err)
{
	sg_autocursor *c = NULL;
	struct sg_span k, v;
	struct sg_audit_chain head;
	uint8_t digest[SG_SHA256_BYTES] = {0};
	char hex[SG_SHA256_HEX];
	uint64_t seq = 0;
	int r = sg_audit_head_get(t, &head, NULL, err);
	if (r)
		return r < 0 ? r : 0;
	r = sg_audit_kept_get(t, &seq, digest, err);
	if (r >= 0)
		r = sg_cursor_open(t, SG_TABLE_AUDIT, &c, err);
	if (r == 0)
		r = sg_cursor_seek(c, SG_SEEK_FIRST, &k, &v, err);
	for (; r == 0; seq++) {
		sg_hex_encode(digest, sizeof(digest), hex);
		*ret_seq = seq;
		if (k.len != 8 || sg_be64_read(k.data) != seq || !names(v, hex))
			return 1;
		sg_sha256(v.data, v.len, digest);
		r = sg_cursor_seek(c, SG_SEEK_NEXT, &k, &v, err);
	}
	if (r < 0)
		return r;
	return seq != head.next || memcmp(digest, head.last, sizeof(digest)) != 0;
}
