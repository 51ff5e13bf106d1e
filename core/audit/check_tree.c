/* The verifier's Merkle tree: see check.h. */
#include <string.h>

#include "audit/check.h"

static void join(const sg_check_hash a, const sg_check_hash b, sg_check_hash ret)
{
	uint8_t buf[1 + 2 * SG_SHA256_BYTES] = {1};
	memcpy(buf + 1, a, SG_SHA256_BYTES);
	memcpy(buf + 1 + SG_SHA256_BYTES, b, SG_SHA256_BYTES);
	sg_sha256(buf, sizeof(buf), ret);
}

void sg_check_leaf(const void *line, size_t n, sg_check_hash ret)
{
	sg_sha256_pair("\0", 1, line, n, ret);
}

void sg_check_tree_add(struct sg_check_tree *t, const void *line, size_t n)
{
	sg_check_hash h;
	unsigned k = 0;
	sg_check_leaf(line, n, h);
	for (; t->size >> k & 1; k++)
		join(t->peak[k], h, h);
	memcpy(t->peak[k], h, sizeof(h));
	t->size++;
}

void sg_check_tree_root(const struct sg_check_tree *t, sg_check_hash ret)
{
	bool any = false;
	for (unsigned k = 0; k < 64; k++) {
		if (!(t->size >> k & 1))
			continue;
		if (any)
			join(t->peak[k], ret, ret);
		else
			memcpy(ret, t->peak[k], SG_SHA256_BYTES);
		any = true;
	}
	if (!any)
		sg_sha256("", 0, ret);
}

bool sg_check_tree_seed(
	struct sg_check_tree *t, uint64_t size, const sg_check_hash *range, size_t n)
{
	size_t at = 0;
	if ((size_t)__builtin_popcountll(size) != n)
		return false;
	t->size = size;
	for (unsigned k = 64; k-- > 0;)
		if (size >> k & 1)
			memcpy(t->peak[k], range[at++], SG_SHA256_BYTES);
	return true;
}

bool sg_check_inclusion(const sg_check_hash leaf, uint64_t index, uint64_t size,
	const sg_check_hash *proof, size_t n, const sg_check_hash root)
{
	if (index >= size)
		return false;
	uint64_t fn = index, sn = size - 1;
	sg_check_hash r;
	memcpy(r, leaf, sizeof(r));
	for (size_t i = 0; i < n; i++) {
		if (sn == 0)
			return false;
		if (fn & 1 || fn == sn) {
			join(proof[i], r, r);
			while (!(fn & 1) && fn) {
				fn >>= 1;
				sn >>= 1;
			}
		} else {
			join(r, proof[i], r);
		}
		fn >>= 1;
		sn >>= 1;
	}
	return sn == 0 && memcmp(r, root, sizeof(r)) == 0;
}

/* The loop of RFC 9162 2.1.4.2, after its first steps. */
static bool grow(uint64_t fn, uint64_t sn, const sg_check_hash first, const sg_check_hash *proof,
	size_t n, const sg_check_hash old_root, const sg_check_hash root)
{
	sg_check_hash fr, sr;
	memcpy(fr, first, sizeof(fr));
	memcpy(sr, first, sizeof(sr));
	for (size_t i = 0; i < n; i++) {
		if (sn == 0)
			return false;
		if (fn & 1 || fn == sn) {
			join(proof[i], fr, fr);
			join(proof[i], sr, sr);
			while (!(fn & 1) && fn) {
				fn >>= 1;
				sn >>= 1;
			}
		} else {
			join(sr, proof[i], sr);
		}
		fn >>= 1;
		sn >>= 1;
	}
	return sn == 0 && memcmp(fr, old_root, sizeof(fr)) == 0 &&
	       memcmp(sr, root, sizeof(sr)) == 0;
}

bool sg_check_growth(uint64_t old_size, const sg_check_hash old_root, uint64_t size,
	const sg_check_hash root, const sg_check_hash *proof, size_t n)
{
	if (old_size == 0 || old_size > size)
		return false;
	if (old_size == size)
		return n == 0 && memcmp(old_root, root, SG_SHA256_BYTES) == 0;
	uint64_t fn = old_size - 1, sn = size - 1;
	while (fn & 1) {
		fn >>= 1;
		sn >>= 1;
	}
	/* A power of two: the old root is itself the first hash of the path. */
	if ((old_size & (old_size - 1)) == 0)
		return grow(fn, sn, old_root, proof, n, old_root, root);
	return n > 0 && grow(fn, sn, proof[0], proof + 1, n - 1, old_root, root);
}
