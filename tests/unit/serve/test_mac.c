/* The edge's MAC: a vector made with Python's hmac, and everything that must not pass. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <fcntl.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "serve/mac.h"

#define KEY "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define NOW 1700000000

static char *write_key(const char *text, mode_t mode)
{
	char *path = strdup("/tmp/sg-mac-XXXXXX");
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
	return path;
}

static int make(struct sg_mac **ret, const char *text, mode_t mode, struct sg_error *err)
{
	sg_autofree char *path = write_key(text, mode);
	int r = sg_mac_create(ret, path, err);
	(void)unlink(path);
	return r;
}

static struct sg_text t(const char *s)
{
	return (struct sg_text){s, strlen(s)};
}

static void sign(const char *covered, char ret_hex[SG_SHA256_HEX])
{
	uint8_t key[32], mac[32];
	assert_int_equal(sg_hex_decode(KEY, 64, key, 32), 0);
	HMAC(EVP_sha256(), key, 32, (const uint8_t *)covered, strlen(covered), mac, NULL);
	sg_hex_encode(mac, 32, ret_hex);
}

static struct sg_head request(void)
{
	struct sg_head h = {.method = t("GET"), .target = t("/v1/runs?a=1")};
	h.edge[SG_EDGE_SUBJECT] = t("CN=alice,O=Test");
	h.edge[SG_EDGE_SERIAL] = t("0a");
	return h;
}

static void header(char *ret, size_t size, long time, unsigned nonce)
{
	char covered[512], hex[SG_SHA256_HEX];
	(void)snprintf(covered, sizeof(covered),
		"stargraph-edge-v1\n%ld\n%08x000000000000000000000000\nGET\n/v1/"
		"runs?a=1\nCN=alice,O=Test\n\n0a\n\n\n\n",
		time, nonce);
	sign(covered, hex);
	(void)snprintf(
		ret, size, "v1 t=%ld n=%08x000000000000000000000000 mac=%s", time, nonce, hex);
}

static void a_known_vector_verifies(void **state)
{
	(void)state;
	struct sg_mac *m = NULL;
	struct sg_error err = {0};
	assert_int_equal(make(&m, KEY "\n", 0600, &err), 0);
	struct sg_head h = request();
	h.edge[SG_EDGE_MAC] =
		t("v1 t=1700000000 n=0123456789abcdef0123456789abcdef "
		  "mac=abeaff326e1c2f0242558819729b1997b487cd2b1b4c63a3d3e43d5b0c854d0d");
	if (sg_mac_verify(m, &h, NOW, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(sg_mac_verify(m, &h, NOW, &err), -SG_EDENIED); /* a second time */
	assert_non_null(strstr(err.text, "nonce"));
	sg_mac_destroy(m);
}

static void every_part_is_covered(void **state)
{
	(void)state;
	struct sg_mac *m = NULL;
	struct sg_error err;
	char text[256];
	assert_int_equal(make(&m, KEY, 0600, &err), 0);
	header(text, sizeof(text), NOW, 1);
	for (int part = -2; part < SG_EDGE_MAC; part++) {
		struct sg_head h = request();
		h.edge[SG_EDGE_MAC] = t(text);
		if (part == -2)
			h.method = t("PUT");
		else if (part == -1)
			h.target = t("/v1/runs?a=2");
		else
			h.edge[part] = t("x");
		assert_int_equal(sg_mac_verify(m, &h, NOW, &err), -SG_EDENIED);
		assert_non_null(strstr(err.text, "does not verify"));
	}
	struct sg_head good = request(); /* none of these used up the nonce */
	good.edge[SG_EDGE_MAC] = t(text);
	assert_int_equal(sg_mac_verify(m, &good, NOW, &err), 0);
	sg_mac_destroy(m);
}

static void malformed_headers(void **state)
{
	static const char *const texts[] = {"", "v1", "v2 t=1 n=0 mac=0",
		"v1 t= n=0123456789abcdef0123456789abcdef mac=" KEY,
		"v1 t=-1 n=0123456789abcdef0123456789abcdef mac=" KEY,
		"v1 t=1700000000000 n=0123456789abcdef0123456789abcdef mac=" KEY,
		"v1 t=1 n=0123 mac=" KEY, "v1 t=1 n=0123456789abcdef0123456789abcdeg mac=" KEY,
		"v1 t=1 n=0123456789abcdef0123456789abcdef mac=00",
		"v1 t=1 n=0123456789abcdef0123456789abcdef mac=" KEY " x"};
	(void)state;
	struct sg_mac *m = NULL;
	struct sg_error err;
	assert_int_equal(make(&m, KEY, 0600, &err), 0);
	struct sg_head h = request();
	assert_int_equal(sg_mac_verify(m, &h, NOW, &err), -SG_EDENIED);
	assert_non_null(strstr(err.text, "missing"));
	for (size_t i = 0; i < SG_ARRAY_LEN(texts); i++) {
		h.edge[SG_EDGE_MAC] = t(texts[i]);
		assert_int_equal(sg_mac_verify(m, &h, NOW, &err), -SG_EDENIED);
	}
	sg_mac_destroy(m);
}

static void time_window(void **state)
{
	(void)state;
	struct sg_mac *m = NULL;
	struct sg_error err;
	assert_int_equal(make(&m, KEY, 0600, &err), 0);
	const struct {
		long off;
		int want;
	} cases[] = {{30, 0}, {-30, 0}, {31, -SG_EDENIED}, {-31, -SG_EDENIED}};
	for (unsigned i = 0; i < SG_ARRAY_LEN(cases); i++) {
		char text[256];
		struct sg_head h = request();
		header(text, sizeof(text), NOW + cases[i].off, 100 + i);
		h.edge[SG_EDGE_MAC] = t(text);
		assert_int_equal(sg_mac_verify(m, &h, NOW, &err), cases[i].want);
	}
	sg_mac_destroy(m);
}

/* However many come, and across generations, each nonce passes once while its time holds. */
static void nonces_are_remembered(void **state)
{
	enum { MANY = 5000 };
	(void)state;
	struct sg_mac *m = NULL;
	struct sg_error err;
	char text[256];
	assert_int_equal(make(&m, KEY, 0600, &err), 0);
	struct sg_head h = request();
	for (unsigned i = 1; i < MANY; i++) {
		header(text, sizeof(text), NOW + 30, i << 16);
		h.edge[SG_EDGE_MAC] = t(text);
		assert_int_equal(sg_mac_verify(m, &h, NOW, &err), 0);
	}
	for (long later = 0; later <= 60; later += 15)
		for (unsigned i = 1; i < MANY; i += 97) {
			header(text, sizeof(text), NOW + 30, i << 16);
			h.edge[SG_EDGE_MAC] = t(text);
			assert_int_equal(sg_mac_verify(m, &h, NOW + later, &err), -SG_EDENIED);
		}
	sg_mac_destroy(m);
}

static void key_files(void **state)
{
	(void)state;
	struct sg_mac *m = NULL;
	struct sg_error err;
	assert_int_equal(make(&m, KEY, 0640, &err), -SG_EREFUSED);
	assert_non_null(strstr(err.text, "0600"));
	assert_int_equal(make(&m, "", 0600, &err), -SG_EREFUSED);
	assert_int_equal(make(&m, KEY "00", 0600, &err), -SG_EREFUSED);
	assert_int_equal(
		make(&m, "zz0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", 0600,
			&err),
		-SG_EREFUSED);
	assert_int_equal(sg_mac_create(&m, "/nonexistent", &err), -SG_EREFUSED);
	assert_int_equal(sg_mac_create(&m, "/tmp", &err), -SG_EREFUSED);
	sg_mac_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_known_vector_verifies),
		cmocka_unit_test(every_part_is_covered),
		cmocka_unit_test(malformed_headers),
		cmocka_unit_test(time_window),
		cmocka_unit_test(nonces_are_remembered),
		cmocka_unit_test(key_files),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
