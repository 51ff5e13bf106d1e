/* Parsing limits, RFC 8785 output (its own vectors), numbers, JSON Pointer. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/json_read.h"

static json_t *parse(const char *text)
{
	json_t *v = NULL;
	struct sg_error err = {0};
	assert_int_equal(sg_json_parse(text, strlen(text), &v, &err), 0);
	return v;
}

static void assert_canonical(const char *text, const char *want)
{
	json_auto_t *v = parse(text);
	sg_autobuf b = SG_BUF_INIT(1 << 20);
	assert_int_equal(sg_json_canonical(v, &b, NULL), 0);
	assert_string_equal(b.data, want);
}

static double from_bits(uint64_t bits)
{
	double d;
	memcpy(&d, &bits, sizeof(d));
	return d;
}

/* RFC 8785 Appendix B, the finite samples. */
static const struct {
	uint64_t bits;
	const char *text;
} rfc_numbers[] = {
	{0x0000000000000000, "0"},
	{0x8000000000000000, "0"},
	{0x0000000000000001, "5e-324"},
	{0x8000000000000001, "-5e-324"},
	{0x7fefffffffffffff, "1.7976931348623157e+308"},
	{0xffefffffffffffff, "-1.7976931348623157e+308"},
	{0x4340000000000000, "9007199254740992"},
	{0xc340000000000000, "-9007199254740992"},
	{0x4430000000000000, "295147905179352830000"},
	{0x44b52d02c7e14af5, "9.999999999999997e+22"},
	{0x44b52d02c7e14af6, "1e+23"},
	{0x44b52d02c7e14af7, "1.0000000000000001e+23"},
	{0x444b1ae4d6e2ef4e, "999999999999999700000"},
	{0x444b1ae4d6e2ef4f, "999999999999999900000"},
	{0x444b1ae4d6e2ef50, "1e+21"},
	{0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"},
	{0x3eb0c6f7a0b5ed8d, "0.000001"},
	{0x41b3de4355555553, "333333333.3333332"},
	{0x41b3de4355555554, "333333333.33333325"},
	{0x41b3de4355555555, "333333333.3333333"},
	{0x41b3de4355555556, "333333333.3333334"},
	{0x41b3de4355555557, "333333333.33333343"},
	{0xbecbf647612f3696, "-0.0000033333333333333333"},
	{0x43143ff3c1cb0959, "1424953923781206.2"},
};

static void numbers_match_rfc8785_appendix_b(void **state)
{
	(void)state;
	for (size_t i = 0; i < SG_ARRAY_LEN(rfc_numbers); i++) {
		char text[32];
		size_t n = sg_json_number(from_bits(rfc_numbers[i].bits), text);
		assert_string_equal(text, rfc_numbers[i].text);
		assert_int_equal(n, strlen(text));
	}
}

static void numbers_are_shortest_where_printf_is_not(void **state)
{
	(void)state;
	/* The nearest 16-digit decimal of 2^-24 does not read back; its neighbour does. */
	static const struct {
		double v;
		const char *text;
	} cases[] = {
		{0x1p-24, "5.960464477539063e-8"},
		{0.87, "0.87"},
		{0.1 + 0.2, "0.30000000000000004"},
		{0.54722559999999998, "0.5472256"},
		{-12.5, "-12.5"},
		{1e-7, "1e-7"},
		{1.5e-7, "1.5e-7"},
		{123456789012345.6, "123456789012345.6"},
		{999999999999999.9, "999999999999999.9"},
		{0x1p-1022, "2.2250738585072014e-308"},
		{4.35, "4.35"},
		{100.0, "100"},
		{1e300, "1e+300"},
		{2e-310, "2e-310"},
	};
	for (size_t i = 0; i < SG_ARRAY_LEN(cases); i++) {
		char text[32];
		(void)sg_json_number(cases[i].v, text);
		assert_string_equal(text, cases[i].text);
	}
}

/* xorshift64: the same doubles in every run. */
static uint64_t next_random(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

static int significant_digits(const char *text)
{
	int n = 0, zeros = 0;
	for (const char *p = text; *p && *p != 'e'; p++) {
		if (*p < '0' || *p > '9' || (*p == '0' && n == 0))
			continue;
		zeros = *p == '0' ? zeros + 1 : 0;
		n++;
	}
	return n - zeros;
}

static void random_doubles_read_back_with_fewest_digits(void **state)
{
	(void)state;
	uint64_t x = 88172645463325252ULL;
	for (int i = 0; i < 200000; i++) {
		double v = from_bits(next_random(&x));
		if (i % 2)
			v = (double)(next_random(&x) % 1000000) / 1000.0;
		if (!isfinite(v) || v == 0)
			continue;
		char text[32], shorter[40];
		(void)sg_json_number(v, text);
		assert_true(strtod(text, NULL) == v);
		int n = significant_digits(text);
		if (n > 1) {
			(void)snprintf(shorter, sizeof(shorter), "%.*e", n - 2, v);
			assert_true(strtod(shorter, NULL) != v);
		}
	}
}

static void canonical_form_matches_rfc8785_section_3(void **state)
{
	(void)state;
	/* 3.2.2 and 3.2.4 */
	assert_canonical("{\"numbers\": [333333333.33333329, 1E30, 4.50, 2e-3,"
			 " 0.000000000000000000000000001],"
			 "\"string\": \"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\","
			 "\"literals\": [null, true, false]}",
		"{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,"
		"1e-27],\"string\":\"\xe2\x82\xac$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}");
	/* 3.2.3: keys in UTF-16 code unit order, so the emoji stands before U+FB33. */
	assert_canonical("{\"\\u20ac\":\"Euro Sign\",\"\\r\":\"Carriage Return\","
			 "\"\\ufb33\":\"Hebrew Letter Dalet With Dagesh\",\"1\":\"One\","
			 "\"\\ud83d\\ude00\":\"Emoji: Grinning Face\",\"\\u0080\":\"Control\","
			 "\"\\u00f6\":\"Latin Small Letter O With Diaeresis\"}",
		"{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\xc2\x80\":\"Control\","
		"\"\xc3\xb6\":\"Latin Small Letter O With Diaeresis\","
		"\"\xe2\x82\xac\":\"Euro Sign\",\"\xf0\x9f\x98\x80\":\"Emoji: Grinning Face\","
		"\"\xef\xac\xb3\":\"Hebrew Letter Dalet With Dagesh\"}");
}

static void canonical_form_of_plain_values(void **state)
{
	(void)state;
	assert_canonical("{}", "{}");
	assert_canonical("[]", "[]");
	assert_canonical(" -0.0 ", "0");
	assert_canonical("{\"b\":1,\"a\":{\"d\":[1,{\"z\":0,\"y\":1}],\"c\":\"\"},\"\":2}",
		"{\"\":2,\"a\":{\"c\":\"\",\"d\":[1,{\"y\":1,\"z\":0}]},\"b\":1}");
	assert_canonical("{\"aa\":1,\"a\":2,\"ab\":3}", "{\"a\":2,\"aa\":1,\"ab\":3}");
}

static void wide_objects_are_sorted_too(void **state)
{
	(void)state;
	json_auto_t *o = json_object();
	for (int i = 199; i >= 100; i--) {
		char key[8];
		(void)snprintf(key, sizeof(key), "k%d", i);
		json_object_set_new(o, key, json_null());
	}
	sg_autobuf b = SG_BUF_INIT(1 << 16);
	assert_int_equal(sg_json_canonical(o, &b, NULL), 0);
	assert_int_equal(strncmp(b.data, "{\"k100\":null,\"k101\":null,", 24), 0);
	assert_non_null(strstr(b.data, "\"k198\":null,\"k199\":null}"));
}

/* The original tags integers that no double holds exactly: graph/hash.py, _normalize. */
static void big_integers_are_tagged_as_the_original_does(void **state)
{
	(void)state;
	assert_canonical(
		"[9007199254740991,-9007199254740991]", "[9007199254740991,-9007199254740991]");
	assert_canonical("9007199254740992", "\"__stargraph_bigint__:9007199254740992\"");
	assert_canonical("-9223372036854775808", "\"__stargraph_bigint__:-9223372036854775808\"");
	assert_canonical("9223372036854775807", "\"__stargraph_bigint__:9223372036854775807\"");
}

static void printing_keeps_every_numbers_type(void **state)
{
	(void)state;
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"1", "1"},
		{"1.0", "1.0"},
		{"-0.0", "-0.0"},
		{"1e17", "100000000000000000.0"},
		{"1e21", "1e+21"},
		{"0.25", "0.25"},
		{"9007199254740993", "9007199254740993"},
		{"-9223372036854775808", "-9223372036854775808"},
		{"{\"b\":[2.0],\"a\":null}", "{\"a\":null,\"b\":[2.0]}"},
	};
	for (size_t i = 0; i < SG_ARRAY_LEN(cases); i++) {
		json_auto_t *v = parse(cases[i].in);
		sg_autobuf b = SG_BUF_INIT(1024);
		assert_int_equal(sg_json_print(v, &b, NULL), 0);
		assert_string_equal(b.data, cases[i].out);
		json_auto_t *again = parse(b.data);
		assert_true(json_equal(v, again));
	}
}

static void canonical_refuses_what_has_no_form(void **state)
{
	(void)state;
	struct sg_error err = {0};
	json_auto_t *deep = json_array();
	json_t *inner = deep;
	for (int i = 0; i < SG_JSON_MAX_OUTPUT_DEPTH; i++) {
		json_array_append_new(inner, json_array());
		inner = json_array_get(inner, 0);
	}
	sg_autobuf b = SG_BUF_INIT(1 << 16);
	assert_int_equal(sg_json_canonical(deep, &b, &err), -SG_EINVALID);
	sg_autobuf small = SG_BUF_INIT(4);
	json_auto_t *long_text = json_string("does not fit");
	assert_int_equal(sg_json_canonical(long_text, &small, &err), -SG_ELIMIT);
}

static void hash_is_sha256_of_the_canonical_form(void **state)
{
	(void)state;
	json_auto_t *v = parse("{\"b\":[1.0,2],\"a\":\"x\"}");
	char want[SG_SHA256_HEX], got[SG_SHA256_HEX];
	sg_sha256_hex("{\"a\":\"x\",\"b\":[1,2]}", 19, want);
	assert_int_equal(sg_json_hash(v, got, NULL), 0);
	assert_string_equal(got, want);
}

static void parser_refuses_hostile_text(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		size_t n;
	} bad[] = {
#define T(s) {s, sizeof(s) - 1}
		T(""),
		T(" "),
		T("{"),
		T("[1,]"),
		T("{\"a\":1}x"),
		T("{\"a\":1} {}"),
		T("{\"a\":1,\"a\":2}"),
		T("\"\\u0000\""),
		T("\"a\0b\""),
		T("\"\xff\""),
		T("\"\xc0\x80\""),
		T("\"\xed\xa0\x80\""),
		T("\"\\ud800\""),
		T("NaN"),
		T("-Infinity"),
		T("1e999"),
		T("9223372036854775808"),
		T("01"),
		T("+1"),
		T(".5"),
		T("'a'"),
		T("[1] // c"),
		T("\xef\xbb\xbf{}"),
		T("\"open"),
		T("\"\\"),
		T("tru"),
#undef T
	};
	for (size_t i = 0; i < SG_ARRAY_LEN(bad); i++) {
		json_t *v = (json_t *)&bad;
		struct sg_error err = {0};
		assert_int_equal(sg_json_parse(bad[i].text, bad[i].n, &v, &err), -SG_EINVALID);
		assert_ptr_equal(v, &bad); /* outputs stay untouched on failure */
		assert_non_null(strstr(err.text, "line "));
	}
}

static void parser_bounds_nesting(void **state)
{
	(void)state;
	char text[2 * SG_JSON_MAX_DEPTH + 8];
	for (int depth = SG_JSON_MAX_DEPTH; depth <= SG_JSON_MAX_DEPTH + 1; depth++) {
		memset(text, '[', (size_t)depth);
		memset(text + depth, ']', (size_t)depth);
		json_auto_t *v = NULL;
		struct sg_error err = {0};
		int r = sg_json_parse(text, 2 * (size_t)depth, &v, &err);
		assert_int_equal(r, depth > SG_JSON_MAX_DEPTH ? -SG_EINVALID : 0);
	}
	/* Brackets in strings do not nest. */
	sg_autobuf b = SG_BUF_INIT(4096);
	sg_buf_adds(&b, "[\"\\\"");
	for (int i = 0; i < 200; i++)
		sg_buf_addc(&b, '[');
	sg_buf_adds(&b, "\"]");
	json_auto_t *v = NULL;
	assert_int_equal(sg_json_parse(b.data, b.len, &v, NULL), 0);
}

/* The fast reader takes what it is sure of and never differs from Jansson: on every text below, and
 * on each with any one byte replaced. */
static void the_fast_reader_agrees_with_jansson(void **state)
{
	static const char *const texts[] = {
		"{\"graph_id\":\"run:five\",\"params\":{\"kind\":\"a\",\"n\":0.9,\"m\":-1}}",
		"[1, 2.5e-3,-0, -0.0, 1E9,123456789012345678, 0]", "\"a\\n\\t\\\"\\/\\\\ b\"",
		" {\"k\":[true,false,null,{}],\"\":[[],\"\"]} ",
		"{\"gr\xc3\xbc\xc3\x9f\":\"\xe2\x82\xac\"}", "{\"a\":1,\"a\":2}", "\"\\u00e9\"",
		"12345678901234567890", "[1,]", "01", "1.", "tru"};
	static const char bytes[] = "\"\\{}[],:0-.eE \n\x01\x7f\x80\xc3\xff";
	(void)state;
	size_t sure = 0;
	for (size_t i = 0; i < SG_ARRAY_LEN(texts); i++) {
		size_t n = strlen(texts[i]);
		for (size_t at = 0; at <= n; at++) {
			for (size_t b = 0; b < sizeof(bytes); b++) { /* the last one is NUL */
				char text[256];
				memcpy(text, texts[i], n + 1);
				text[at] = at == n ? '\0' : bytes[b];
				json_auto_t *fast = sg_json_read(text, n);
				json_auto_t *slow = json_loadb(
					text, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
				sure += fast != NULL;
				assert_true(!fast || (slow && json_equal(fast, slow)));
			}
		}
	}
	assert_true(sure > 100);
}

static void the_fast_reader_takes_what_clients_send(void **state)
{
	static const char *const sure[] = {
		"{\"a\":[1,2.5,\"x\\ny\",true,null]}", "\"\xc3\xbc\"", "0"};
	static const char *const unsure[] = {
		"", "\"\\u00fc\"", "{\"a\":1,\"a\":1}", "\"\xff\"", "1e999"};
	(void)state;
	for (size_t i = 0; i < SG_ARRAY_LEN(sure); i++) {
		json_auto_t *v = sg_json_read(sure[i], strlen(sure[i]));
		assert_non_null(v);
	}
	for (size_t i = 0; i < SG_ARRAY_LEN(unsure); i++)
		assert_null(sg_json_read(unsure[i], strlen(unsure[i])));
}

static void pointers_follow_rfc6901(void **state)
{
	(void)state;
	json_auto_t *v = parse("{\"foo\":[\"bar\",\"baz\"],\"\":0,\"a/b\":1,\"m~n\":8,\"~1\":9}");
	assert_ptr_equal(sg_json_pointer(v, ""), v);
	assert_string_equal(json_string_value(sg_json_pointer(v, "/foo/1")), "baz");
	assert_int_equal(json_integer_value(sg_json_pointer(v, "/a~1b")), 1);
	assert_int_equal(json_integer_value(sg_json_pointer(v, "/m~0n")), 8);
	assert_int_equal(json_integer_value(sg_json_pointer(v, "/~01")), 9);
	assert_true(json_is_integer(sg_json_pointer(v, "/")));
	static const char *const none[] = {"foo", "/foo/2", "/foo/-", "/foo/01", "/foo/",
		"/foo/0/x", "/m~2n", "/m~", "/nope", "/foo/99999999999999999999"};
	for (size_t i = 0; i < SG_ARRAY_LEN(none); i++)
		assert_null(sg_json_pointer(v, none[i]));
}

/* The step loop prints states: guard against an accidental tenfold slowdown, not a bench. */
static void canonical_is_fast_enough_for_the_step_loop(void **state)
{
	(void)state;
	json_auto_t *v = parse(
		"{\"id\":\"CVE-2024-3094\",\"text\":\"Malicious code was discovered in the "
		"upstream "
		"tarballs of xz, starting with version 5.6.0. Through a series of complex "
		"obfuscations, the liblzma build process extracts a prebuilt object file from a "
		"disguised test file existing in the source code.\",\"label\":\"supply-chain\","
		"\"confidence\":0.8734,\"score\":10,\"route\":\"review\",\"answers\":[true,false],"
		"\"vector\":[0.25,-0.5,0.125],\"owner\":\"analyst\",\"seen\":3,"
		"\"nested\":{\"b\":1,\"a\":\"two\"}}");
	sg_autobuf b = SG_BUF_INIT(1 << 16);
	int64_t start = sg_clock_monotonic_us();
	for (int i = 0; i < 2500; i++) {
		sg_buf_reset(&b);
		assert_int_equal(sg_json_canonical(v, &b, NULL), 0);
	}
	int64_t took = sg_clock_monotonic_us() - start;
	print_message("canonical: %zu bytes, %.2f us each\n", b.len, (double)took / 2500);
	assert_true(took < 2500 * 400);
}

static void counting_makes_the_member_and_adds_one(void **state)
{
	(void)state;
	json_auto_t *v = parse("{\"n\":41,\"text\":\"x\"}");
	sg_json_count(v, "n");
	sg_json_count(v, "new");
	sg_json_count(v, "text");
	assert_int_equal(sg_json_int(v, "n", 0), 42);
	assert_int_equal(sg_json_int(v, "new", 0), 1);
	assert_int_equal(sg_json_int(v, "text", 0), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_match_rfc8785_appendix_b),
		cmocka_unit_test(numbers_are_shortest_where_printf_is_not),
		cmocka_unit_test(random_doubles_read_back_with_fewest_digits),
		cmocka_unit_test(canonical_form_matches_rfc8785_section_3),
		cmocka_unit_test(canonical_form_of_plain_values),
		cmocka_unit_test(wide_objects_are_sorted_too),
		cmocka_unit_test(big_integers_are_tagged_as_the_original_does),
		cmocka_unit_test(printing_keeps_every_numbers_type),
		cmocka_unit_test(canonical_refuses_what_has_no_form),
		cmocka_unit_test(hash_is_sha256_of_the_canonical_form),
		cmocka_unit_test(parser_refuses_hostile_text),
		cmocka_unit_test(parser_bounds_nesting),
		cmocka_unit_test(the_fast_reader_agrees_with_jansson),
		cmocka_unit_test(the_fast_reader_takes_what_clients_send),
		cmocka_unit_test(pointers_follow_rfc6901),
		cmocka_unit_test(counting_makes_the_member_and_adds_one),
		cmocka_unit_test(canonical_is_fast_enough_for_the_step_loop),
	};
	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
