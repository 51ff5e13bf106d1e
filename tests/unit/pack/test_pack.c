/* Packs: BLAKE3 and Ed25519 against public vectors, packs that the Python original signed, tokens
 * that must be refused, pins. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/ed25519.h"
#include "base/file.h"
#include "pack/blake3.h"
#include "pack/pack.h"
#include "pack/strict.h"
#include "pack/token.h"
#include "tmpdir.h"

#define HERE SG_SOURCE_ROOT "/tests/unit/pack/"

/* The first 32 bytes of the official test vectors: input byte i is i % 251. */
static const struct {
	size_t n;
	const char *hex;
} blake3_vectors[] = {
	{0, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"},
	{1, "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213"},
	{1023, "10108970eeda3eb932baac1428c7a2163b0e924c9a9e25b35bba72b28f70bd11"},
	{1024, "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7"},
	{1025, "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444"},
	{2048, "e776b6028c7cd22a4d0ba182a8bf62205d2ef576467e838ed6f2529b85fba24a"},
	{2049, "5f4d72f40d7a5f82b15ca2b2e44b1de3c2ef86c426c95c1af0b6879522563030"},
	{3072, "b98cb0ff3623be03326b373de6b9095218513e64f1ee2edd2525c7ad1e5cffd2"},
	{3073, "7124b49501012f81cc7f11ca069ec9226cecb8a2c850cfe644e327d22d3e1cd3"},
	{4096, "015094013f57a5277b59d8475c0501042c0b642e531b0a1c8f58d2163229e969"},
	{4097, "9b4052b38f1c5fc8b1f9ff7ac7b27cd242487b3d890d15c96a1c25b8aa0fb995"},
	{5121, "628bd2cb2004694adaab7bbd778a25df25c47b9d4155a55f8fbd79f2fe154cff"},
	{6144, "3e2e5b74e048f3add6d21faab3f83aa44d3b2278afb83b80b3c35164ebeca205"},
	{7168, "61da957ec2499a95d6b8023e2b0e604ec7f6b50e80a9678b89d2628e99ada77a"},
};

static void blake3_matches_its_vectors(void **state)
{
	(void)state;
	uint8_t in[8192], digest[SG_BLAKE3_BYTES];
	char hex[65];
	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t)(i % 251);
	for (size_t i = 0; i < SG_ARRAY_LEN(blake3_vectors); i++) {
		/* In one piece, and in pieces that straddle every boundary. */
		for (size_t step = blake3_vectors[i].n + 1; step; step = step > 61 ? 61 : 0) {
			struct sg_blake3 h;
			sg_blake3_init(&h);
			for (size_t at = 0; at < blake3_vectors[i].n; at += step) {
				size_t left = blake3_vectors[i].n - at;
				sg_blake3_update(&h, in + at, left < step ? left : step);
			}
			sg_blake3_final(&h, digest);
			sg_hex_encode(digest, sizeof(digest), hex);
			assert_string_equal(hex, blake3_vectors[i].hex);
		}
	}
}

static size_t unhex(const char *hex, uint8_t *ret, size_t room)
{
	size_t n = strcmp(hex, "-") == 0 ? 0 : strlen(hex) / 2;
	assert_true(n <= room);
	assert_int_equal(sg_hex_decode(hex, 2 * n, ret, n), 0);
	return n;
}

static void ed25519_passes_wycheproof(void **state)
{
	(void)state;
	static char line[16384], pk[128], msg[8192], sig[1024];
	uint8_t key[32], message[4096], signature[512];
	FILE *f = fopen(HERE "wycheproof_ed25519.txt", "re");
	int seen[2] = {0};
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		int id;
		char result[16];
		if (*line == '#')
			continue;
		assert_int_equal(
			sscanf(line, "%d %15s %127s %8191s %1023s", &id, result, pk, msg, sig), 5);
		assert_int_equal(unhex(pk, key, sizeof(key)), 32);
		size_t n = unhex(msg, message, sizeof(message));
		bool ok = unhex(sig, signature, sizeof(signature)) == SG_ED25519_SIGNATURE &&
			  !sg_pack_signature_fails(key, message, n, signature);
		bool want = strcmp(result, "valid") == 0;
		if (ok != want)
			print_message("tcId %d\n", id);
		assert_int_equal(ok, want);
		seen[want]++;
	}
	(void)fclose(f);
	assert_true(seen[0] > 50 && seen[1] > 50);
}

static void points_of_small_order_are_no_keys(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000080",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"};
	/* With R of small order and S = 0 such a key would verify any message. */
	uint8_t signature[64] = {1}, key[32];
	for (size_t i = 0; i < SG_ARRAY_LEN(bad); i++) {
		(void)unhex(bad[i], key, sizeof(key));
		assert_false(sg_pack_point_ok(key));
		assert_string_equal(
			sg_pack_signature_fails(key, "any", 3, signature), "key-small-order");
	}
}

static int load(const char *dir, const char *allow, const char *pins, struct sg_pack **ret,
	struct sg_error *err)
{
	struct sg_pack_trust trust;
	char *paths[] = {(char *)(uintptr_t)allow};
	int r = sg_pack_trust_load(&trust, paths, allow ? 1 : 0, pins, err);
	if (r == 0)
		r = sg_pack_load(ret, dir, &trust, err);
	sg_pack_trust_finish(&trust);
	return r;
}

/* Made by the original's sign_pack; a/b sorts before a.txt there. */
static void packs_that_the_original_signed_verify(void **state)
{
	(void)state;
	static const char *const dirs[] = {
		HERE "fixtures/by-original-blake3", HERE "fixtures/by-original-sha256"};
	for (size_t i = 0; i < SG_ARRAY_LEN(dirs); i++) {
		struct sg_pack *p = NULL;
		struct sg_error err = {0};
		sg_autofree char *key = tmp_path(dirs[i], "fixture-1.pub.pem");
		int r = load(dirs[i], key, NULL, &p, &err);
		if (r < 0)
			print_message("%s\n", err.text);
		assert_int_equal(r, 0);
		assert_string_equal(p->id, "fixture.pack");
		assert_string_equal(p->version, "1.0");
		assert_string_equal(p->key_id, "fixture-1");
		assert_int_equal(p->signed_hash, i == 0 ? SG_PACK_BLAKE3 : SG_PACK_SHA256);
		assert_int_equal(p->standing, SG_PACK_ALLOWED);
		assert_string_equal(p->tree_sha256,
			"92280e1e8f0c33077f723688e292a6dc187a0bac52bac38b10fcd6976f2ad8e3");
		assert_non_null(strstr(p->rules, "(defrule fixture"));
		sg_pack_destroy(p);
	}
}

/* A key, a pack and its pieces in a directory of the test's own. */
struct site {
	const char *dir;
	char *pack, *key, *pub;
};

static void put(const char *dir, const char *name, const char *text)
{
	sg_autofree char *path = tmp_path(dir, name);
	assert_int_equal(sg_file_write_atomic(path, text, strlen(text), 0644, NULL), 0);
}

static struct site make_site(void **state)
{
	struct site s = {.dir = *state};
	char id[65];
	s.pack = tmp_path(s.dir, "pack");
	s.key = tmp_path(s.dir, "ops.key.pem");
	s.pub = tmp_path(s.dir, "ops.pub.pem");
	assert_int_equal(sg_pack_keygen(s.dir, "ops", id, NULL), 0);
	assert_string_equal(id, "ops");
	assert_int_equal(mkdir(s.pack, 0755), 0);
	put(s.pack, "manifest.yaml", "id: demo\nversion: \"2\"\n");
	put(s.pack, "rules.clp", "(defrule r =>)\n");
	assert_int_equal(sg_pack_sign(s.pack, s.key, "ops", SG_PACK_SHA256, 1700000000, NULL), 0);
	return s;
}

static void free_site(struct site *s)
{
	free(s->pack);
	free(s->key);
	free(s->pub);
}

static void assert_refused(const struct site *s, const char *pins, const char *text)
{
	struct sg_pack *p = NULL;
	struct sg_error err = {0};
	int r = load(s->pack, pins ? NULL : s->pub, pins, &p, &err);
	if (r == 0 || !strstr(err.text, text))
		print_message("%d %s\n", r, err.text);
	assert_true(r < 0);
	assert_null(p);
	assert_non_null(strstr(err.text, text));
}

static void every_change_of_the_tree_is_seen(void **state)
{
	struct site s = make_site(state);
	struct sg_pack *p = NULL;
	assert_int_equal(load(s.pack, s.pub, NULL, &p, NULL), 0);
	sg_pack_destroy(p);
	put(s.pack, "rules.clp", "(defrule r2 =>)\n");
	assert_refused(&s, NULL, "pack signature verification failed: tree-hash-mismatch: ");
	put(s.pack, "rules.clp", "(defrule r =>)\n");
	put(s.pack, "extra.clp", "");
	assert_refused(&s, NULL, "tree-hash-mismatch");
	sg_autofree char *extra = tmp_path(s.pack, "extra.clp");
	assert_int_equal(unlink(extra), 0);
	assert_int_equal(symlink("rules.clp", extra), 0);
	assert_refused(&s, NULL, "regular files and directories only");
	assert_int_equal(unlink(extra), 0);
	put(s.pack, "other.pub.pem", "is no part of it\n");
	assert_int_equal(load(s.pack, s.pub, NULL, &p, NULL), 0);
	sg_pack_destroy(p);
	sg_autofree char *jwt = tmp_path(s.pack, "manifest.jwt");
	assert_int_equal(unlink(jwt), 0);
	assert_refused(&s, NULL, "unsigned: manifest.jwt is missing");
	free_site(&s);
}

/* Signs header.payload as they stand and puts the token into the pack. */
static void put_token(const struct site *s, const char *header, const char *payload)
{
	struct sg_signer *k = NULL;
	uint8_t sig[SG_ED25519_SIGNATURE];
	char token[4096];
	sg_autofree char *h = sg_base64url(header, strlen(header));
	sg_autofree char *p = sg_base64url(payload, strlen(payload));
	int n = snprintf(token, sizeof(token), "%s.%s", h, p);
	assert_int_equal(sg_signer_load(&k, s->key, NULL), 0);
	assert_int_equal(sg_signer_sign(k, token, (size_t)n, sig, NULL), 0);
	sg_signer_destroy(k);
	sg_autofree char *s64 = sg_base64url(sig, sizeof(sig));
	(void)snprintf(token + n, sizeof(token) - (size_t)n, ".%s", s64);
	put(s->pack, "manifest.jwt", token);
}

#define GOOD_HEADER "{\"alg\":\"EdDSA\",\"kid\":\"ops\",\"typ\":\"JWT\"}"

static const struct {
	const char *header, *reason;
} headers[] = {
	{"{\"alg\":\"none\",\"kid\":\"ops\",\"typ\":\"JWT\"}", "alg-not-eddsa"},
	{"{\"alg\":\"HS256\",\"kid\":\"ops\",\"typ\":\"JWT\"}", "alg-not-eddsa"},
	{"{\"alg\":\"RS256\",\"kid\":\"ops\",\"typ\":\"JWT\"}", "alg-not-eddsa"},
	{"{\"alg\":\"ES256\",\"kid\":\"ops\",\"typ\":\"JWT\"}", "alg-not-eddsa"},
	{"{\"alg\":\"eddsa\",\"kid\":\"ops\",\"typ\":\"JWT\"}", "alg-not-eddsa"},
	{"{\"kid\":\"ops\",\"typ\":\"JWT\"}", "alg-not-eddsa"},
	{"{\"alg\":\"EdDSA\",\"kid\":\"ops\",\"typ\":\"JWT\",\"x5c\":[]}", "x5c-rejected"},
	{"{\"alg\":\"EdDSA\",\"kid\":\"ops\",\"typ\":\"JWT\",\"jwk\":{}}", "jwk-rejected"},
	{"{\"alg\":\"EdDSA\",\"kid\":\"ops\",\"typ\":\"JWT\",\"jku\":\"x\"}", "jku-rejected"},
	{"{\"alg\":\"EdDSA\",\"kid\":\"ops\",\"typ\":\"JWT\",\"crit\":[]}", "crit-rejected"},
	{"{\"alg\":\"EdDSA\",\"kid\":\"ops\",\"typ\":\"JWT\",\"z\":1}", "header-key-rejected"},
	{"{\"alg\":\"EdDSA\",\"alg\":\"none\",\"kid\":\"ops\",\"typ\":\"JWT\"}",
		"header-unparseable"},
	{"{\"alg\":\"EdDSA\",\"kid\":\"ops\",\"typ\":\"JWS\"}", "typ-not-jwt"},
	{"{\"alg\":\"EdDSA\",\"kid\":\"ops\"}", "typ-not-jwt"},
	{"{\"alg\":\"EdDSA\",\"typ\":\"JWT\"}", "kid-missing"},
	{"{\"alg\":\"EdDSA\",\"kid\":\"../../etc/x\",\"typ\":\"JWT\"}", "kid-missing"},
	{"{\"alg\":\"EdDSA\",\"kid\":\"other\",\"typ\":\"JWT\"}", "key-id-mismatch"},
	{"[]", "token-malformed"},
	{"", "header-unparseable"},
	{GOOD_HEADER " {}", "header-unparseable"},
};

static void forbidden_headers_are_refused_by_name(void **state)
{
	struct site s = make_site(state);
	char payload[256], want[128];
	(void)snprintf(payload, sizeof(payload),
		"{\"alg\":\"SHA-256\",\"iat\":1,\"key_id\":\"ops\",\"tree_hash\":\"%064d\"}", 0);
	for (size_t i = 0; i < SG_ARRAY_LEN(headers); i++) {
		put_token(&s, headers[i].header, payload);
		(void)snprintf(want, sizeof(want),
			"pack signature verification failed: %s: ", headers[i].reason);
		assert_refused(&s, NULL, want);
	}
	put_token(&s, GOOD_HEADER, payload); /* good but for the hash */
	assert_refused(&s, NULL, "tree-hash-mismatch");
	static const char *const payloads[] = {"{}", "[]", "{\"alg\":\"SHA-256\",\"iat\":1}",
		"{\"alg\":\"MD5\",\"iat\":1,\"key_id\":\"ops\",\"tree_hash\":"
		"\"0000000000000000000000000000000000000000000000000000000000000000\"}",
		"{\"alg\":\"SHA-256\",\"iat\":\"1\",\"key_id\":\"ops\",\"tree_hash\":"
		"\"0000000000000000000000000000000000000000000000000000000000000000\"}",
		"{\"alg\":\"SHA-256\",\"iat\":1,\"key_id\":\"ops\",\"tree_hash\":\"00\"}"};
	for (size_t i = 0; i < SG_ARRAY_LEN(payloads); i++) {
		put_token(&s, GOOD_HEADER, payloads[i]);
		assert_refused(&s, NULL, "pack signature verification failed: ");
	}
	free_site(&s);
}

static void altered_tokens_are_refused(void **state)
{
	struct site s = make_site(state);
	sg_autofree char *path = tmp_path(s.pack, "manifest.jwt");
	sg_autofree char *good = NULL;
	size_t n;
	char bad[4096];
	assert_int_equal(sg_file_read(path, 4000, &good, &n, NULL), 0);
	static const char *const tails[] = {"\n", " ", "=", "A", "AAAA", ".x"};
	for (size_t i = 0; i < SG_ARRAY_LEN(tails); i++) {
		(void)snprintf(bad, sizeof(bad), "%s%s", good, tails[i]);
		put(s.pack, "manifest.jwt", bad);
		assert_refused(&s, NULL, "token-malformed");
	}
	for (size_t i = 0; i < n; i++) { /* any one character changed */
		memcpy(bad, good, n + 1);
		bad[i] = bad[i] == 'A' ? 'B' : 'A';
		put(s.pack, "manifest.jwt", bad);
		assert_refused(&s, NULL, "pack signature verification failed: ");
	}
	put(s.pack, "manifest.jwt", "");
	assert_refused(&s, NULL, "token-malformed");
	memset(bad, 'A', sizeof(bad) - 1);
	bad[sizeof(bad) - 1] = '\0';
	put(s.pack, "manifest.jwt", bad);
	assert_refused(&s, NULL, "token-malformed");
	free_site(&s);
}

static void another_key_is_not_trusted(void **state)
{
	struct site s = make_site(state);
	char id[65];
	sg_autofree char *key = tmp_path(s.dir, "evil.key.pem");
	assert_int_equal(sg_pack_keygen(s.dir, "evil", id, NULL), 0);
	assert_int_equal(sg_pack_keygen(s.dir, "evil", id, NULL), -SG_ECONFLICT);
	assert_int_equal(sg_pack_sign(s.pack, key, "evil", SG_PACK_BLAKE3, 1, NULL), 0);
	assert_refused(&s, NULL, "untrusted-key: key evil is not on the allow-list");
	/* Under the trusted key's name: never taken for a first use, pins or not. */
	assert_int_equal(sg_pack_sign(s.pack, key, "ops", SG_PACK_BLAKE3, 1, NULL), 0);
	assert_refused(&s, NULL, "signature-invalid: under the allowed key ops");
	assert_int_equal(sg_pack_sign(s.pack, key, "../x", SG_PACK_BLAKE3, 1, NULL), -SG_EINVALID);
	assert_int_equal(chmod(key, 0644), 0);
	assert_int_equal(sg_pack_sign(s.pack, key, "evil", SG_PACK_BLAKE3, 1, NULL), -SG_EREFUSED);
	free_site(&s);
}

static void first_use_is_pinned_and_drift_refused(void **state)
{
	struct site s = make_site(state);
	sg_autofree char *pins = tmp_path(s.dir, "trusted_keys");
	struct sg_pack_trust trust;
	struct sg_pack *p = NULL;
	assert_int_equal(sg_pack_trust_load(&trust, NULL, 0, pins, NULL), 0);
	assert_int_equal(sg_pack_load(&p, s.pack, &trust, NULL), 0);
	assert_int_equal(p->standing, SG_PACK_UNPINNED);
	assert_int_equal(sg_pack_pin(p, &trust, NULL), 0);
	assert_int_equal(sg_pack_pin(p, &trust, NULL), 0);
	sg_pack_destroy(p);
	assert_int_equal(sg_pack_load(&p, s.pack, &trust, NULL), 0);
	assert_int_equal(p->standing, SG_PACK_PINNED);
	sg_pack_destroy(p);
	char id[65];
	sg_autofree char *key = tmp_path(s.dir, "evil.key.pem");
	assert_int_equal(sg_pack_keygen(s.dir, "evil", id, NULL), 0);
	assert_int_equal(sg_pack_sign(s.pack, key, "ops", SG_PACK_SHA256, 1, NULL), 0);
	assert_refused(&s, pins, "pack signature verification failed: fingerprint-mismatch: ");
	put(pins, "ops.json", "{");
	assert_refused(&s, pins, "record-corrupt");
	assert_int_equal(sg_pack_unpin("ops", &trust, NULL), 0);
	assert_int_equal(sg_pack_unpin("ops", &trust, NULL), -SG_ENOTFOUND);
	assert_int_equal(sg_pack_unpin("../ops", &trust, NULL), -SG_EINVALID);
	sg_pack_trust_finish(&trust);
	free_site(&s);
}

static const struct {
	const char *manifest, *text;
} manifests[] = {
	{"id: demo\n", "/manifest.yaml:1:1: at /: required property \"version\" is missing"},
	{"id: demo\nversion: 1.0\n", "/manifest.yaml:2:10: at /version: expected string"},
	{"id: demo\nversion: \"1\"\nprovide: []\n", "did you mean \"provides\"?"},
	{"id: \"a b\"\nversion: \"1\"\n", "at /id: only letters"},
	{"id: demo\nversion: \"1\"\nrequires: {api_version: \"2\"}\n",
		"pack demo requires api_version \"2\"; this stargraph has \"1\""},
	{"id: demo\nversion: \"1\"\nrequires: {stargraph_facts_version: \"0.9\"}\n",
		"requires stargraph_facts_version \"0.9\""},
	{"id: [\n", "/manifest.yaml:2:1: "},
};

static int64_t cpu_us(void)
{
	struct timespec t;
	assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t), 0);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* The bar is 5 ms a pack; measured as processor time, so that a loaded machine does not matter. */
static void loading_is_quick(void **state)
{
	struct site s = make_site(state);
	int64_t start = cpu_us();
	for (int i = 0; i < 20; i++) {
		struct sg_pack *p = NULL;
		assert_int_equal(load(s.pack, s.pub, NULL, &p, NULL), 0);
		sg_pack_destroy(p);
	}
	int64_t each = (cpu_us() - start) / 20;
	print_message("verify and load: %lld us of processor time\n", (long long)each);
	assert_true(each < 5000);
	free_site(&s);
}

static void broken_manifests_are_neither_signed_nor_loaded(void **state)
{
	struct site s = make_site(state);
	for (size_t i = 0; i < SG_ARRAY_LEN(manifests); i++) {
		struct sg_error err = {0};
		put(s.pack, "manifest.yaml", manifests[i].manifest);
		assert_true(sg_pack_sign(s.pack, s.key, "ops", SG_PACK_SHA256, 1, &err) < 0);
		if (!strstr(err.text, manifests[i].text))
			print_message("%s\n", err.text);
		assert_non_null(strstr(err.text, manifests[i].text));
	}
	struct sg_error err = {0};
	assert_int_equal(
		sg_pack_sign("/nonexistent", s.key, "ops", SG_PACK_SHA256, 1, &err), -SG_ENOTFOUND);
	free_site(&s);
}

int main(void)
{
#define WITH_DIR(f) cmocka_unit_test_setup_teardown(f, tmp_setup, tmp_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blake3_matches_its_vectors),
		cmocka_unit_test(ed25519_passes_wycheproof),
		cmocka_unit_test(points_of_small_order_are_no_keys),
		cmocka_unit_test(packs_that_the_original_signed_verify),
		WITH_DIR(every_change_of_the_tree_is_seen),
		WITH_DIR(forbidden_headers_are_refused_by_name),
		WITH_DIR(altered_tokens_are_refused),
		WITH_DIR(another_key_is_not_trusted),
		WITH_DIR(first_use_is_pinned_and_drift_refused),
		WITH_DIR(loading_is_quick),
		WITH_DIR(broken_manifests_are_neither_signed_nor_loaded),
	};
	return cmocka_run_group_tests_name("pack", tests, NULL, NULL);
}
