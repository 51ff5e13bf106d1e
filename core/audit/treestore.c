/* The tree and the store: nodes over full blocks are kept, the rest is made from the lines. */
#include <string.h>

#include "audit/internal.h"
#include "base/cleanup.h"

#define COMMIT_BLOCKS 4096U /* completed blocks of one transaction while catching up */

static int put_block(
	struct sg_txn *t, uint64_t index, const struct sg_tree_hash *h, struct sg_error *err)
{
	uint8_t key[8];
	sg_be64(index, key);
	return sg_txn_put(t, SG_TABLE_AUDIT_TREE, SG_SPAN(key, sizeof(key)),
		SG_SPAN(h->b, sizeof(h->b)), true, err);
}

int sg_audit_tree_add(
	struct sg_audit *a, struct sg_txn *t, const char *line, size_t n, struct sg_error *err)
{
	struct sg_tree_hash leaf, block;
	sg_tree_leaf(line, n, &leaf);
	if (!sg_tree_push(&a->now.tree, &leaf, &block))
		return 0;
	return put_block(t, a->now.tree.size / SG_TREE_BLOCK - 1, &block, err);
}

static int corrupt(uint64_t seq, struct sg_error *err)
{
	return sg_error_set(err, SG_ECORRUPT, "audit-store",
		"the store has no audit record %llu; restore a backup", (unsigned long long)seq);
}

/* The stored nodes, up to as many whole blocks as the head covers. */
static int load_blocks(struct sg_txn *t, struct sg_tree *tree, uint64_t lines, struct sg_error *err)
{
	sg_autocursor *c = NULL;
	struct sg_span k, v;
	struct sg_tree_hash h;
	int r = sg_cursor_open(t, SG_TABLE_AUDIT_TREE, &c, err);
	if (r == 0)
		r = sg_cursor_seek(c, SG_SEEK_FIRST, &k, &v, err);
	while (r == 0 && lines - tree->size >= SG_TREE_BLOCK) {
		if (k.len != 8 || v.len != sizeof(h.b) ||
			sg_be64_read(k.data) != tree->size / SG_TREE_BLOCK)
			return sg_error_set(err, SG_ECORRUPT, "audit-store",
				"the store's audit tree is damaged; restore a backup");
		memcpy(h.b, v.data, sizeof(h.b));
		sg_tree_push_block(tree, &h);
		r = sg_cursor_seek(c, SG_SEEK_NEXT, &k, &v, err);
	}
	return r < 0 ? r : 0;
}

/* Lines from tree.size up to the head, at most COMMIT_BLOCKS blocks of them, completed blocks into
 * t. */
static int add_lines(struct sg_audit *a, struct sg_txn *t, struct sg_error *err)
{
	struct sg_span v;
	uint8_t key[8];
	uint64_t to = a->now.next;
	if (to - a->now.tree.size > (uint64_t)COMMIT_BLOCKS * SG_TREE_BLOCK)
		to = a->now.tree.size + (uint64_t)COMMIT_BLOCKS * SG_TREE_BLOCK;
	while (a->now.tree.size < to) {
		sg_be64(a->now.tree.size, key);
		int r = sg_txn_get(t, SG_TABLE_AUDIT, SG_SPAN(key, sizeof(key)), &v, err);
		if (r > 0)
			return corrupt(a->now.tree.size, err);
		if (r == 0)
			r = sg_audit_tree_add(a, t, v.data, v.len, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The last signed checkpoint lies one line behind the size it covers. */
static int load_signed(struct sg_audit *a, struct sg_txn *t, struct sg_error *err)
{
	sg_autocursor *c = NULL;
	struct sg_span k, v;
	int r = sg_cursor_open(t, SG_TABLE_AUDIT_NOTE, &c, err);
	if (r == 0)
		r = sg_cursor_seek(c, SG_SEEK_LAST, &k, &v, err);
	if (r == 0 && k.len == 8)
		a->now.signed_size = sg_be64_read(k.data) + 1;
	return r < 0 ? r : 0;
}

int sg_audit_tree_load(struct sg_audit *a, struct sg_error *err)
{
	sg_autotxn *t = NULL;
	int r = sg_txn_begin(a->store, false, &t, err);
	if (r == 0)
		r = load_signed(a, t, err);
	if (r == 0)
		r = load_blocks(t, &a->now.tree, a->now.next, err);
	sg_txn_abort(sg_steal(t));
	while (r == 0 && a->now.tree.size < a->now.next) {
		r = sg_txn_begin(a->store, true, &t, err);
		if (r == 0)
			r = add_lines(a, t, err);
		if (r == 0)
			r = sg_txn_commit(sg_steal(t), err);
	}
	return r;
}
