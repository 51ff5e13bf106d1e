/* RFC 6962 section 2.1: hashes, the compact range, proofs. */
#include "audit/tree.h"

#include <string.h>

void sg_tree_leaf(const void *line, size_t n, struct sg_tree_hash *ret)
{
	static const uint8_t leaf = 0;
	sg_sha256_pair(&leaf, 1, line, n, ret->b);
}

void sg_tree_join(
	const struct sg_tree_hash *left, const struct sg_tree_hash *right, struct sg_tree_hash *ret)
{
	uint8_t buf[1 + 2 * SG_SHA256_BYTES];
	buf[0] = 1;
	memcpy(buf + 1, left->b, SG_SHA256_BYTES);
	memcpy(buf + 1 + SG_SHA256_BYTES, right->b, SG_SHA256_BYTES);
	sg_sha256(buf, sizeof(buf), ret->b);
}

unsigned sg_tree_count(const struct sg_tree *t)
{
	return (unsigned)__builtin_popcountll(t->size);
}

static bool push(struct sg_tree *t, struct sg_tree_hash h, unsigned level, struct sg_tree_hash *ret)
{
	bool block = false;
	unsigned n = sg_tree_count(t);
	for (unsigned k = level; t->size >> k & 1; k++) {
		sg_tree_join(&t->node[n - 1], &h, &h);
		n--;
		if (k + 1 == SG_TREE_LEVEL) {
			*ret = h;
			block = true;
		}
	}
	t->node[n] = h;
	t->size += 1ULL << level;
	return block;
}

bool sg_tree_push(
	struct sg_tree *t, const struct sg_tree_hash *leaf, struct sg_tree_hash *ret_block)
{
	return push(t, *leaf, 0, ret_block);
}

void sg_tree_push_block(struct sg_tree *t, const struct sg_tree_hash *block)
{
	struct sg_tree_hash unused;
	(void)push(t, *block, SG_TREE_LEVEL, &unused);
}

void sg_tree_root(const struct sg_tree *t, struct sg_tree_hash *ret)
{
	unsigned n = sg_tree_count(t);
	if (n == 0) {
		sg_sha256("", 0, ret->b);
		return;
	}
	struct sg_tree_hash h = t->node[n - 1];
	for (unsigned i = n - 1; i > 0; i--)
		sg_tree_join(&t->node[i - 1], &h, &h);
	*ret = h;
}

/* The largest power of two smaller than n, n > 1, as its exponent. */
static unsigned split(uint64_t n)
{
	return 63U - (unsigned)__builtin_clzll(n - 1);
}

/* MTH of leaves [lo, lo + n): lo is a multiple of the power of two that is at least n. */
static int range(const struct sg_tree_source *s, uint64_t lo, uint64_t n, struct sg_tree_hash *ret,
	struct sg_error *err)
{
	if ((n & (n - 1)) == 0) {
		unsigned level = (unsigned)__builtin_ctzll(n);
		return s->node(s->ctx, level, lo >> level, ret, err);
	}
	struct sg_tree_hash left, right;
	uint64_t k = 1ULL << split(n);
	int r = range(s, lo, k, &left, err);
	if (r == 0)
		r = range(s, lo + k, n - k, &right, err);
	if (r == 0)
		sg_tree_join(&left, &right, ret);
	return r;
}

int sg_tree_root_at(
	const struct sg_tree_source *s, uint64_t n, struct sg_tree_hash *ret, struct sg_error *err)
{
	if (n == 0) {
		sg_sha256("", 0, ret->b);
		return 0;
	}
	return range(s, 0, n, ret, err);
}

/* The proof is gathered from the root downwards and told from the leaf upwards. */
static void reverse(struct sg_tree_hash *p, size_t n)
{
	for (size_t i = 0; i < n / 2; i++) {
		struct sg_tree_hash t = p[i];
		p[i] = p[n - 1 - i];
		p[n - 1 - i] = t;
	}
}

int sg_tree_prove_leaf(const struct sg_tree_source *s, uint64_t m, uint64_t n,
	struct sg_tree_hash ret[SG_TREE_PROOF_MAX], size_t *ret_n, struct sg_error *err)
{
	uint64_t lo = 0;
	size_t at = 0;
	if (m >= n)
		return sg_error_set(err, SG_EINVALID, NULL, "the tree has no such leaf");
	while (n > 1) {
		uint64_t k = 1ULL << split(n);
		bool left = m - lo < k;
		int r = left ? range(s, lo + k, n - k, &ret[at], err)
			     : range(s, lo, k, &ret[at], err);
		if (r < 0)
			return r;
		at++;
		lo += left ? 0 : k;
		n = left ? k : n - k;
	}
	reverse(ret, at);
	*ret_n = at;
	return 0;
}

int sg_tree_prove_growth(const struct sg_tree_source *s, uint64_t m, uint64_t n,
	struct sg_tree_hash ret[SG_TREE_PROOF_MAX], size_t *ret_n, struct sg_error *err)
{
	uint64_t lo = 0;
	size_t at = 0;
	bool whole = true; /* the old tree is the subtree at hand: its root is known already */
	int r = 0;
	if (m == 0 || m > n)
		return sg_error_set(err, SG_EINVALID, NULL, "the old tree is empty or larger");
	while (m != n && r == 0) {
		uint64_t k = 1ULL << split(n);
		if (m <= k) {
			r = range(s, lo + k, n - k, &ret[at++], err);
			n = k;
		} else {
			r = range(s, lo, k, &ret[at++], err);
			lo += k;
			m -= k;
			n -= k;
			whole = false;
		}
	}
	if (r == 0 && !whole)
		r = range(s, lo, m, &ret[at++], err);
	if (r < 0)
		return r;
	reverse(ret, at);
	*ret_n = at;
	return 0;
}
