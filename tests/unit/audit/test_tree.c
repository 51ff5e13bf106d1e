/* The Merkle tree and signed notes, against public vectors, and writer against verifier. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "audit/check.h"
#include "audit/note.h"
#include "audit/tree.h"
#include "base/base64.h"
#include "base/cleanup.h"

/* The inputs and roots of the Certificate Transparency project's own tests (RFC 6962). */
static const struct {
	const char *data;
	size_t len;
	const char *root;
} vectors[] = {
	{"", 0, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"},
	{"\x00", 1, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"},
	{"\x10", 1, "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"},
	{"\x20\x21", 2, "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"},
	{"\x30\x31", 2, "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"},
	{"\x40\x41\x42\x43", 4, "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"},
	{"\x50\x51\x52\x53\x54\x55\x56\x57", 8,
		"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"},
	{"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f", 16,
		"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"},
};

static void roots_are_those_of_rfc_6962(void **state)
{
	(void)state;
	struct sg_tree t = {0};
	struct sg_check_tree c = {0};
	struct sg_tree_hash h, block;
	char hex[SG_SHA256_HEX];
	sg_tree_root(&t, &h);
	sg_hex_encode(h.b, 32, hex);
	assert_string_equal(
		hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	for (size_t i = 0; i < SG_ARRAY_LEN(vectors); i++) {
		sg_check_hash root;
		sg_tree_leaf(vectors[i].data, vectors[i].len, &h);
		assert_false(sg_tree_push(&t, &h, &block));
		sg_check_tree_add(&c, vectors[i].data, vectors[i].len);
		sg_tree_root(&t, &h);
		sg_check_tree_root(&c, root);
		sg_hex_encode(h.b, 32, hex);
		assert_string_equal(hex, vectors[i].root);
		assert_memory_equal(h.b, root, 32);
	}
}

enum { LEAVES = 530 };

/* Nodes straight from the leaves. */
static int node_of(
	void *ctx, unsigned level, uint64_t index, struct sg_tree_hash *ret, struct sg_error *err)
{
	const struct sg_tree_hash *leaves = ctx;
	if (level == 0) {
		*ret = leaves[index];
		return 0;
	}
	struct sg_tree_hash a, b;
	(void)node_of(ctx, level - 1, 2 * index, &a, err);
	(void)node_of(ctx, level - 1, 2 * index + 1, &b, err);
	sg_tree_join(&a, &b, ret);
	return 0;
}

static void make_leaves(struct sg_tree_hash *leaves)
{
	for (uint32_t i = 0; i < LEAVES; i++)
		sg_tree_leaf(&i, sizeof(i), &leaves[i]);
}

static void every_inclusion_proof_verifies_and_no_other(void **state)
{
	(void)state;
	struct sg_tree_hash leaves[LEAVES], proof[SG_TREE_PROOF_MAX], root;
	make_leaves(leaves);
	struct sg_tree_source s = {node_of, leaves};
	for (uint64_t n = 1; n <= 70; n++) {
		assert_int_equal(sg_tree_root_at(&s, n, &root, NULL), 0);
		for (uint64_t m = 0; m < n; m++) {
			size_t k;
			assert_int_equal(sg_tree_prove_leaf(&s, m, n, proof, &k, NULL), 0);
			const sg_check_hash *p = (const sg_check_hash *)proof;
			assert_true(sg_check_inclusion(leaves[m].b, m, n, p, k, root.b));
			assert_false(sg_check_inclusion(leaves[m + 1].b, m, n, p, k, root.b));
			assert_false(sg_check_inclusion(leaves[m].b, m + 1, n, p, k, root.b));
			assert_false(k && sg_check_inclusion(leaves[m].b, m, n, p, k - 1, root.b));
			assert_false(sg_check_inclusion(leaves[m].b, m, n, p, k + 1, root.b));
			proof[k / 2].b[3] ^= 1;
			assert_true(k == 0 || !sg_check_inclusion(leaves[m].b, m, n, p, k, root.b));
		}
	}
	size_t k;
	assert_true(sg_tree_prove_leaf(&s, 5, 5, proof, &k, NULL) < 0);
}

static void every_growth_proof_verifies_and_no_other(void **state)
{
	(void)state;
	struct sg_tree_hash leaves[LEAVES], proof[SG_TREE_PROOF_MAX], old, root;
	make_leaves(leaves);
	struct sg_tree_source s = {node_of, leaves};
	for (uint64_t n = 1; n <= 70; n++) {
		(void)sg_tree_root_at(&s, n, &root, NULL);
		for (uint64_t m = 1; m <= n; m++) {
			size_t k;
			(void)sg_tree_root_at(&s, m, &old, NULL);
			assert_int_equal(sg_tree_prove_growth(&s, m, n, proof, &k, NULL), 0);
			const sg_check_hash *p = (const sg_check_hash *)proof;
			assert_true(sg_check_growth(m, old.b, n, root.b, p, k));
			assert_false(sg_check_growth(m, leaves[0].b, n, root.b, p, k) && m > 1);
			assert_false(sg_check_growth(m, old.b, n, leaves[1].b, p, k));
			assert_false(k && sg_check_growth(m, old.b, n, root.b, p, k - 1));
			if (k) {
				proof[k / 2].b[9] ^= 4;
				assert_false(sg_check_growth(m, old.b, n, root.b, p, k));
			}
		}
	}
}

static void the_compact_range_agrees_with_the_whole(void **state)
{
	(void)state;
	struct sg_tree_hash leaves[LEAVES], root, want, block;
	make_leaves(leaves);
	struct sg_tree_source s = {node_of, leaves};
	struct sg_tree t = {0}, from_blocks = {0};
	for (uint64_t n = 0; n < LEAVES; n++) {
		(void)sg_tree_root_at(&s, n, &want, NULL);
		sg_tree_root(&t, &root);
		assert_memory_equal(root.b, want.b, 32);
		bool done = sg_tree_push(&t, &leaves[n], &block);
		assert_int_equal(done, (n + 1) % SG_TREE_BLOCK == 0);
		if (done)
			sg_tree_push_block(&from_blocks, &block);
	}
	assert_int_equal(from_blocks.size, 512);
	(void)sg_tree_root_at(&s, 512, &want, NULL);
	sg_tree_root(&from_blocks, &root);
	assert_memory_equal(root.b, want.b, 32);
}

/* The key pair and note of golang.org/x/mod/sumdb/note's documentation. */
#define PETER "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
#define PETER_SIGNATURE \
	"x08go/ZJkuBS9UG/" \
	"SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="

static void a_published_signature_verifies(void **state)
{
	(void)state;
	static const char text[] = "If you think cryptography is the answer to your problem,\n"
				   "then you don't know what your problem is.\n";
	static const char line[] = "\xe2\x80\x94 PeterNeumann " PETER_SIGNATURE;
	uint8_t type, key[32];
	struct sg_check_signature s;
	assert_int_equal(sg_check_vkey(PETER, strlen(PETER), &type, key, NULL), 0);
	assert_int_equal(type, 1);
	assert_true(sg_check_signature_line(line, strlen(line), &s));
	assert_memory_equal(s.bytes, "\xc7\x4f\x20\xa3", 4);
	assert_true(sg_ed25519_verify(key, text, strlen(text), s.bytes + 4));
	assert_false(sg_ed25519_verify(key, text, strlen(text) - 1, s.bytes + 4));
	sg_autobuf b = SG_BUF_INIT(1000);
	sg_note_add_vkey(&b, "PeterNeumann", SG_NOTE_TYPE_SIGNATURE, key);
	assert_string_equal(b.data, PETER);
}

/* The example checkpoint of c2sp.org/tlog-checkpoint and tlog-cosignature. */
static void the_published_checkpoint_is_read(void **state)
{
	(void)state;
	static const char note[] =
		"example.com/behind-the-sofa\n20852163\n"
		"CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
		"\xe2\x80\x94 example.com/behind-the-sofa "
		"Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+"
		"xeMcTOAYQ8=\n"
		"\xe2\x80\x94 witness.example.com/w1 "
		"jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/"
		"zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";
	struct sg_check_note n;
	struct sg_error err = {0};
	if (sg_check_note_parse(note, strlen(note), &n, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(n.size, 20852163);
	assert_int_equal(n.n_signatures, 2);
	assert_int_equal(n.signature[0].len, 68);
	assert_int_equal(n.signature[1].len, 76);
	assert_null(n.extension);
}

static void malformed_notes_are_refused(void **state)
{
	(void)state;
	static const char root[] = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
	static const char *const wrong[] = {"", "\n", "\n\n", "a\n1\n\n", "a\n01\n%s\n\n",
		"a\n-1\n%s\n\n", "a\n1\n%s", "a\n1\n%s\n", "a\n1\nAAAA\n\n", "\n1\n%s\n\n",
		"a\n1\n%s\n\nno signature\n", "a\n1\n%s\n\n\xe2\x80\x94 a AAAA",
		"a\n99999999999999999999\n%s\n\n"};
	for (size_t i = 0; i < SG_ARRAY_LEN(wrong); i++) {
		char text[200];
		struct sg_check_note n;
		const char *at = strstr(wrong[i], "%s");
		if (at)
			(void)snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - wrong[i]),
				wrong[i], root, at + 2);
		else
			(void)snprintf(text, sizeof(text), "%s", wrong[i]);
		if (sg_check_note_parse(text, strlen(text), &n, NULL) != -SG_EINVALID)
			fail_msg("case %zu was taken", i);
	}
	uint8_t type, key[32];
	static const char off[] =
		"PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
	assert_int_equal(sg_check_vkey(off, strlen(off), &type, key, NULL), -SG_EINVALID);
	assert_int_equal(sg_check_vkey("+", 1, &type, key, NULL), -SG_EINVALID);
}

static void a_signed_checkpoint_verifies_under_its_key_only(void **state)
{
	(void)state;
	static const uint8_t seed[32] = {1}, other_seed[32] = {2};
	struct sg_signer *key, *other;
	struct sg_tree t = {0};
	struct sg_check_note n;
	assert_int_equal(sg_signer_from_seed(&key, seed, NULL), 0);
	assert_int_equal(sg_signer_from_seed(&other, other_seed, NULL), 0);
	sg_autobuf b = SG_BUF_INIT(SG_NOTE_MAX);
	sg_note_add_checkpoint(&b, "stargraph/x", &t);
	assert_int_equal(sg_note_sign(&b, b.len, "stargraph/x", key, NULL), 0);
	assert_int_equal(sg_check_note_parse(b.data, b.len, &n, NULL), 0);
	assert_int_equal(sg_check_note_signed(&n, sg_signer_public(key)), SG_CHECK_GOOD);
	assert_int_equal(sg_check_note_signed(&n, sg_signer_public(other)), SG_CHECK_ABSENT);
	b.data[12] = '1'; /* the size: the signature is over another text now */
	assert_int_equal(sg_check_note_parse(b.data, b.len, &n, NULL), 0);
	assert_int_equal(sg_check_note_signed(&n, sg_signer_public(key)), SG_CHECK_BAD);
	sg_signer_destroy(key);
	sg_signer_destroy(other);
}

static void base64_is_strict(void **state)
{
	(void)state;
	uint8_t out[8];
	assert_int_equal(sg_base64_decode("Zm9v", 4, out, 8), 3);
	assert_int_equal(sg_base64_decode("Zm8=", 4, out, 8), 2);
	assert_int_equal(sg_base64_decode("", 0, out, 8), 0);
	static const char *const wrong[] = {
		"Zm9", "Zm9=", "Zm8 ", "Zm8\n", "====", "Z===", "Zm-_", "Zm9v\n", " Zm9v", "Zh=="};
	for (size_t i = 0; i < SG_ARRAY_LEN(wrong); i++)
		if (sg_base64_decode(wrong[i], strlen(wrong[i]), out, 8) >= 0)
			fail_msg("\"%s\" was taken", wrong[i]);
	assert_true(sg_base64_decode("Zm9vZm9vZm9v", 12, out, 8) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(roots_are_those_of_rfc_6962),
		cmocka_unit_test(every_inclusion_proof_verifies_and_no_other),
		cmocka_unit_test(every_growth_proof_verifies_and_no_other),
		cmocka_unit_test(the_compact_range_agrees_with_the_whole),
		cmocka_unit_test(a_published_signature_verifies),
		cmocka_unit_test(the_published_checkpoint_is_read),
		cmocka_unit_test(malformed_notes_are_refused),
		cmocka_unit_test(a_signed_checkpoint_verifies_under_its_key_only),
		cmocka_unit_test(base64_is_strict),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
