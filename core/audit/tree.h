/* The Merkle tree over the lines (RFC 6962 section 2.1, SHA-256): building and proving.
 *
 * A leaf is one line without its newline. The writer keeps only the compact range (one node for
 * each bit of the size) and stores the node over every full block of SG_TREE_BLOCK lines; from
 * those and the lines of one or two blocks every proof is made.
 */
#ifndef SG_AUDIT_TREE_H
#define SG_AUDIT_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"

#define SG_TREE_LEVEL 8U /* of the stored nodes */
#define SG_TREE_BLOCK (1U << SG_TREE_LEVEL)
#define SG_TREE_PROOF_MAX 128U /* hashes of one proof of a tree of less than 2^63 leaves */

struct sg_tree_hash {
	uint8_t b[SG_SHA256_BYTES];
};

struct sg_tree {
	uint64_t size;
	struct sg_tree_hash node[64]; /* one for each set bit of size, the largest subtree first */
};

void sg_tree_leaf(const void *line, size_t n, struct sg_tree_hash *ret);
void sg_tree_join(const struct sg_tree_hash *left, const struct sg_tree_hash *right,
	struct sg_tree_hash *ret);
/* Adds a leaf. True: this one completed a block; *ret_block is the node over it. */
bool sg_tree_push(
	struct sg_tree *t, const struct sg_tree_hash *leaf, struct sg_tree_hash *ret_block);
/* Adds the node of a whole block; size must be a multiple of the block. */
void sg_tree_push_block(struct sg_tree *t, const struct sg_tree_hash *block);
void sg_tree_root(const struct sg_tree *t, struct sg_tree_hash *ret);
unsigned sg_tree_count(const struct sg_tree *t); /* nodes in use */

/* Where nodes come from: the node that covers leaves [index << level, (index + 1) << level). */
struct sg_tree_source {
	int (*node)(void *ctx, unsigned level, uint64_t index, struct sg_tree_hash *ret,
		struct sg_error *err);
	void *ctx;
};

/* Root of the first n leaves. */
int sg_tree_root_at(
	const struct sg_tree_source *s, uint64_t n, struct sg_tree_hash *ret, struct sg_error *err);
/* Audit path of leaf m in the tree of n leaves, m < n, from the leaf's sibling upwards. */
int sg_tree_prove_leaf(const struct sg_tree_source *s, uint64_t m, uint64_t n,
	struct sg_tree_hash ret[SG_TREE_PROOF_MAX], size_t *ret_n, struct sg_error *err);
/* That the tree of m leaves is a prefix of the tree of n leaves, 0 < m <= n. */
int sg_tree_prove_growth(const struct sg_tree_source *s, uint64_t m, uint64_t n,
	struct sg_tree_hash ret[SG_TREE_PROOF_MAX], size_t *ret_n, struct sg_error *err);

#endif
