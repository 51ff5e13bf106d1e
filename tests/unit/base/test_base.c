/* Errors, buffers, hashes, hex and UTC time. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/hash.h"

static void error_carries_kind_text_and_code(void **state)
{
	(void)state;
	struct sg_error err = {0};
	assert_int_equal(sg_error_set(&err, SG_EREFUSED, "Kind", "no %d", 7), -SG_EREFUSED);
	assert_string_equal(err.kind, "Kind");
	assert_int_equal(sg_error_prefix(&err, "file %s", "x"), -SG_EREFUSED);
	assert_string_equal(err.text, "file x: no 7");
	assert_int_equal(sg_error_errno(&err, ENOSPC, "write"), -SG_ENOSPACE);
	assert_int_equal(sg_error_set(NULL, SG_EIO, NULL, "unheard"), -SG_EIO);
}

static void an_error_is_utf8_wherever_it_was_cut(void **state)
{
	(void)state;
	struct sg_error err = {0};
	(void)sg_error_set(&err, SG_EIO, NULL, "%.3s, %.4s", "a\u00e9\u00e9", "a\u00e9\u00e9");
	assert_string_equal(err.text, "a\u00e9, a\u00e9?");
	(void)sg_error_set(&err, SG_EIO, NULL, "\xff\xc0\xaf\xf0\x9f\x98");
	assert_string_equal(err.text, "??????");
}

static void buffer_stops_at_its_limit(void **state)
{
	(void)state;
	sg_autobuf b = SG_BUF_INIT(8);
	sg_buf_adds(&b, "12345678");
	assert_false(b.failed);
	assert_string_equal(b.data, "12345678");
	sg_buf_addc(&b, '9');
	assert_true(b.failed);
	assert_null(b.data);
	sg_buf_adds(&b, "x");
	assert_true(b.failed);
}

static void json_strings_are_escaped_as_rfc8785_asks(void **state)
{
	(void)state;
	sg_autobuf b = SG_BUF_INIT(256);
	sg_buf_add_json_string(&b, "\x01\"\\\n\x7f/\xc3\xa9", 8);
	assert_string_equal(b.data, "\"\\u0001\\\"\\\\\\n\x7f/\xc3\xa9\"");
}

static void sha256_matches_fips_vectors(void **state)
{
	(void)state;
	char hex[SG_SHA256_HEX];
	sg_sha256_hex("abc", 3, hex);
	assert_string_equal(
		hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	sg_sha256_hex(NULL, 0, hex);
	assert_string_equal(
		hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

/* RFC 4231, test case 2. */
static void hmac_matches_its_vector(void **state)
{
	static const char key[] = "Jefe", text[] = "what do ya want for nothing?";
	uint8_t mac[SG_SHA256_BYTES];
	(void)state;
	assert_int_equal(sg_hex_decode("5bdcc146bf60754e6a042426089575c7"
				       "5a003f089d2739839dec58b964ec3843",
				 64, mac, sizeof(mac)),
		0);
	assert_true(sg_hmac_sha256_is(key, 4, text, sizeof(text) - 1, mac));
	assert_false(sg_hmac_sha256_is(key, 3, text, sizeof(text) - 1, mac));
	mac[31] ^= 1;
	assert_false(sg_hmac_sha256_is(key, 4, text, sizeof(text) - 1, mac));
}

static void hex_decodes_only_exact_hex(void **state)
{
	(void)state;
	uint8_t d[2];
	assert_int_equal(sg_hex_decode("0aFf", 4, d, 2), 0);
	assert_int_equal(d[0], 10);
	assert_int_equal(d[1], 255);
	assert_int_equal(sg_hex_decode("0aF", 3, d, 2), -SG_EINVALID);
	assert_int_equal(sg_hex_decode("0aFg", 4, d, 2), -SG_EINVALID);
}

static void times_are_utc_and_round_trip(void **state)
{
	(void)state;
	setenv("TZ", "Pacific/Chatham", 1);
	char text[SG_TIME_TEXT];
	sg_time_format(0, text);
	assert_string_equal(text, "1970-01-01T00:00:00.000000Z");
	int64_t us;
	assert_int_equal(sg_time_parse("2024-02-29T23:59:59.5Z", 22, &us), 0);
	sg_time_format(us, text);
	assert_string_equal(text, "2024-02-29T23:59:59.500000Z");
	assert_int_equal(sg_time_parse("2024-03-01T01:29:59+01:30", 25, &us), 0);
	sg_time_format(us, text);
	assert_string_equal(text, "2024-02-29T23:59:59.000000Z");
	assert_int_equal(sg_time_parse("2023-02-29T00:00:00Z", 20, &us), -SG_EINVALID);
	assert_int_equal(sg_time_parse("2023-02-28T00:00:00", 19, &us), -SG_EINVALID);
	sg_time_format(-1, text);
	assert_string_equal(text, "1969-12-31T23:59:59.999999Z");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(error_carries_kind_text_and_code),
		cmocka_unit_test(an_error_is_utf8_wherever_it_was_cut),
		cmocka_unit_test(buffer_stops_at_its_limit),
		cmocka_unit_test(json_strings_are_escaped_as_rfc8785_asks),
		cmocka_unit_test(sha256_matches_fips_vectors),
		cmocka_unit_test(hmac_matches_its_vector),
		cmocka_unit_test(hex_decodes_only_exact_hex),
		cmocka_unit_test(times_are_utc_and_round_trip),
	};
	return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
