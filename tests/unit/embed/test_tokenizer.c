/* The tokenizer's own promises over a small made-up vocabulary; exactness against the package is
 * tests/golden/tokenizer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "embed/model.h"
#include "embed/tokenizer.h"
#include "embed/unicode.h"
#include "fake_model.h"

static struct sg_tokenizer *tok;
static char *model;

static int setup(void **state)
{
	(void)state;
	model = fake_model_create();
	char sha[65];
	struct sg_error err = {0};
	if (sg_tokenizer_load(&tok, model, true, sha, &err) < 0)
		fail_msg("%s", err.text);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sg_tokenizer_destroy(tok);
	fake_model_remove(model);
	return 0;
}

/* ids ends with -1 and leaves [CLS] and [SEP] out. */
static void check(const char *text, size_t n, size_t max, const int *ids)
{
	struct sg_tokens t;
	struct sg_error err = {0};
	if (sg_tokenize(tok, text, n, max, &t, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(t.ids[0], 101);
	assert_int_equal(t.ids[t.n - 1], 102);
	size_t i = 0;
	for (; ids[i] >= 0; i++) {
		assert_true(i + 1 < t.n - 1);
		assert_int_equal(t.ids[i + 1], ids[i]);
	}
	assert_int_equal(i, t.n - 2);
	sg_tokens_finish(&t);
	assert_null(t.ids);
}

static void test_words(void **state)
{
	(void)state;
	check(NULL, 0, 256, (const int[]){-1});
	check("hello", 5, 256, (const int[]){200, -1});
	check("HELLO!", 6, 256, (const int[]){200, 204, -1});
	check("hello\0!", 7, 256, (const int[]){200, 204, -1});
	check("helllo", 6, 0, (const int[]){201, 203, 202, -1});
	check("helx hello", 10, 0, (const int[]){100, 200, -1});
	check("\xc3\xa9", 2, 0, (const int[]){205, -1});
	check("[CLS][MASK]", 11, 0, (const int[]){101, 103, -1});
	check("[cls]", 5, 0, (const int[]){206, 209, 210, -1});
	check("hello\xe4\xb8\xadhello", 13, 0, (const int[]){200, 208, 200, -1});
	check("##a", 3, 0, (const int[]){207, 207, 211, -1});
}

static void test_long_words(void **state)
{
	(void)state;
	int ids[101];
	ids[0] = 211;
	for (size_t i = 1; i < 100; i++)
		ids[i] = 212;
	ids[100] = -1;
	char text[400];
	memset(text, 'a', sizeof(text));
	check(text, 100, 0, ids);
	check(text, 101, 0, (const int[]){100, -1});
	check(text, 400, 0, (const int[]){100, -1});
}

/* U+302E (class 224) and U+1D165 (class 216) survive the removal of marks; token 213 holds them in
 * canonical order. No token of the real vocabulary does, so only this can tell. */
static void test_marks_are_sorted(void **state)
{
	(void)state;
	check("a\xf0\x9d\x85\xa5\xe3\x80\xae", 8, 0, (const int[]){213, -1});
	check("A\xe3\x80\xae\xf0\x9d\x85\xa5", 8, 0, (const int[]){213, -1});
	/* A removed accent lets them pass, a removed mark of class 0 (U+034F) does not. */
	check("a\xe3\x80\xae\xcc\x81\xf0\x9d\x85\xa5", 10, 0, (const int[]){213, -1});
	check("a\xe3\x80\xae\xcd\x8f\xf0\x9d\x85\xa5", 10, 0, (const int[]){100, -1});
	check("a\xe3\x80\xae"
	      "e\xf0\x9d\x85\xa5",
		9, 0, (const int[]){100, -1});
}

static void test_truncation(void **state)
{
	(void)state;
	const char *text = "hello ! helllo";
	struct sg_tokens t;
	static const struct {
		size_t max, n, dropped;
	} want[] = {{0, 7, 0}, {7, 7, 0}, {8, 7, 0}, {6, 6, 1}, {4, 4, 3}, {3, 3, 4}, {2, 2, 5}};
	for (size_t i = 0; i < SG_ARRAY_LEN(want); i++) {
		assert_int_equal(sg_tokenize(tok, text, strlen(text), want[i].max, &t, NULL), 0);
		assert_int_equal(t.n, want[i].n);
		assert_int_equal(t.dropped, want[i].dropped);
		assert_int_equal(t.truncated, want[i].dropped > 0);
		assert_int_equal(t.ids[t.n - 1], 102);
		sg_tokens_finish(&t);
	}
	struct sg_error err = {0};
	assert_int_equal(sg_tokenize(tok, text, 5, 1, &t, &err), -SG_EINVALID);
}

static void test_invalid_utf8(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		size_t n, at;
	} bad[] = {{"\x80", 1, 0}, {"ab\xc3", 3, 2}, {"\xc0\x80", 2, 0}, {"\xe0\x80\x80", 3, 0},
		{"x\xed\xa0\x80", 4, 1}, {"\xf0\x80\x80\x80", 4, 0}, {"\xf4\x90\x80\x80", 4, 0},
		{"\xf5\x80\x80\x80", 4, 0}, {"\xe4\xb8", 2, 0}, {"\xf0\x9f\x98", 3, 0},
		{"\xc3\xa9\xff", 3, 2}, {"\xc3(", 2, 0}, {"hello \xfe", 7, 6}};
	for (size_t i = 0; i < SG_ARRAY_LEN(bad); i++) {
		struct sg_tokens t = {.n = 77};
		struct sg_error err = {0};
		char want[64];
		(void)snprintf(want, sizeof(want), "invalid UTF-8 at byte %zu", bad[i].at);
		assert_int_equal(
			sg_tokenize(tok, bad[i].text, bad[i].n, 256, &t, &err), -SG_EINVALID);
		assert_string_equal(err.text, want);
		assert_int_equal(t.n, 77);
	}
}

static void test_length_limit(void **state)
{
	(void)state;
	struct sg_tokens t;
	struct sg_error err = {0};
	assert_int_equal(
		sg_tokenize(tok, "", (size_t)SG_TOKENIZE_MAX_BYTES + 1, 256, &t, &err), -SG_ELIMIT);
	assert_int_equal(sg_tokenize(tok, "", SIZE_MAX, 256, &t, &err), -SG_ELIMIT);
}

static void test_every_code_point_is_safe(void **state)
{
	(void)state;
	for (uint32_t c = 0; c < 0x110000; c++) {
		uint8_t text[8];
		uint32_t back;
		if (c >= 0xd800 && c < 0xe000)
			continue;
		size_t n = sg_utf8_encode(c, text);
		assert_int_equal(sg_utf8_decode(text, text + n, &back), n);
		assert_int_equal(back, c);
		struct sg_tokens t;
		assert_int_equal(sg_tokenize(tok, (const char *)text, n, 0, &t, NULL), 0);
		assert_true(t.n <= n + 2);
		sg_tokens_finish(&t);
	}
}

/* Each damaged tokenizer.json or vocab.txt, and the field that the refusal names. */
static void test_damaged_files(void **state)
{
	(void)state;
	static const struct {
		const char *file, *from, *to, *says;
	} bad[] = {
		{"tokenizer.json", "\"1.0\"", "\"2.0\"", "/version"},
		{"tokenizer.json", "\"lowercase\":true", "\"lowercase\":false",
			"/normalizer/lowercase"},
		{"tokenizer.json", "BertPreTokenizer", "Whitespace", "/pre_tokenizer/type"},
		{"tokenizer.json", "\"strip_accents\":null", "\"strip_accents\":false",
			"/normalizer/strip_accents"},
		{"tokenizer.json", "\"lstrip\":false", "\"lstrip\":true", "/added_tokens/0/lstrip"},
		{"tokenizer.json", "\"content\":\"[PAD]\"", "\"content\":\"PAD\"",
			"/added_tokens/0/content"},
		{"tokenizer.json", "{\"id\":0,", "{\"id\":1,", "/added_tokens/0/id"},
		{"tokenizer.json", "per_word\":100", "per_word\":200", "max_input_chars_per_word"},
		{"tokenizer.json", "\"ids\":[101]", "\"ids\":[102]", "[CLS]/ids/0"},
		{"tokenizer.json", "\"w7\":7", "\"w7\":8", "id 8 stands twice"},
		{"tokenizer.json", "\"w7\":7", "\"w7\":-1", "/model/vocab/w7"},
		{"tokenizer.json", "\"w7\":7", "\"w7\":30522", "/model/vocab/w7"},
		{"tokenizer.json", "\"w7\":7", "\"w7\":\"7\"", "/model/vocab/w7"},
		{"tokenizer.json", "\"w7\":7,", "", "/model/vocab"},
		{"tokenizer.json", "\"w7\":7,", "\"w6\":7,", "duplicate"},
		{"tokenizer.json", "\"w7\":7", "\"\":7", "is empty"},
		{"tokenizer.json", "\"type_id\":0}},{\"Sequence\"", "\"type_id\":1}},{\"Sequence\"",
			"/post_processor/single"},
		{"vocab.txt", "w7\n", "w8\n", "line 8"},
		{"vocab.txt", "w7\n", "", "line 8"},
		{"vocab.txt", "w30521\n", "", "30521 lines"},
	};
	for (size_t i = 0; i < SG_ARRAY_LEN(bad); i++) {
		sg_autofree char *whole = fake_read(model, bad[i].file);
		fake_edit(model, bad[i].file, bad[i].from, bad[i].to);
		struct sg_tokenizer *t;
		struct sg_error err = {0};
		char sha[65];
		int r = sg_tokenizer_load(&t, model, true, sha, &err);
		if (r != -SG_EINVALID || !strstr(err.text, bad[i].says))
			fail_msg("%s for %s: returned %d \"%s\"", bad[i].to, bad[i].from, r,
				err.text);
		fake_writes(model, bad[i].file, whole);
	}
}

static void test_pins(void **state)
{
	(void)state;
	struct sg_tokenizer *t;
	struct sg_error err = {0};
	char sha[65];
	assert_int_equal(sg_tokenizer_load(&t, model, false, sha, &err), -SG_EREFUSED);
	assert_string_equal(err.kind, "EmbeddingModelHashMismatch");
	assert_non_null(strstr(err.text, "tokenizer.json"));
	assert_int_equal(sg_tokenizer_load(&t, "/nonexistent", true, sha, &err), -SG_EREFUSED);
	assert_string_equal(err.kind, "LocalEntryNotFoundError");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_long_words),
		cmocka_unit_test(test_marks_are_sorted),
		cmocka_unit_test(test_truncation),
		cmocka_unit_test(test_invalid_utf8),
		cmocka_unit_test(test_length_limit),
		cmocka_unit_test(test_every_code_point_is_safe),
		cmocka_unit_test(test_damaged_files),
		cmocka_unit_test(test_pins),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
