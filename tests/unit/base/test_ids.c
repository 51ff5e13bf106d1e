/* Identifiers and suggestions. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/ids.h"
#include "base/suggest.h"

static void run_ids_sort_as_they_were_made(void **state)
{
	(void)state;
	char last[SG_RUN_ID_TEXT] = "", id[SG_RUN_ID_TEXT];
	/* More than 65,536 in a row: the counter must carry into the milliseconds. */
	for (int i = 0; i < 200000; i++) {
		assert_int_equal(sg_run_id_make(false, id, NULL), 0);
		assert_true(strcmp(last, id) < 0);
		memcpy(last, id, sizeof(last));
	}
	assert_int_equal(strlen(id), 32);
	assert_int_equal(strncmp(id, "run-", 4), 0);
	assert_int_equal(strspn(id + 4, "0123456789abcdef"), 28);
	assert_int_equal(sg_run_id_make(true, id, NULL), 0);
	assert_int_equal(strncmp(id, "cf-", 3), 0);
	assert_int_equal(strlen(id), 31);
	assert_true(sg_id_valid(id));
}

static void ids_are_plain_and_short(void **state)
{
	(void)state;
	assert_true(sg_id_valid("a"));
	assert_true(sg_id_valid("Node_1.x-y"));
	assert_true(
		sg_id_valid("0123456789012345678901234567890123456789012345678901234567890123"));
	assert_false(
		sg_id_valid("01234567890123456789012345678901234567890123456789012345678901234"));
	static const char *const bad[] = {
		"", " ", "a b", "a/b", "a:b", "a\n", "\xc3\xa9", "a;", "a\"b"};
	for (size_t i = 0; i < SG_ARRAY_LEN(bad); i++)
		assert_false(sg_id_valid(bad[i]));
}

static void the_nearest_word_is_suggested(void **state)
{
	(void)state;
	static const char *const known[] = {"cleared", "oss-default", "state_dir", "serve"};
#define NEAR(w) sg_suggest(w, known, SG_ARRAY_LEN(known))
	assert_string_equal(NEAR("clearedd"), "cleared");
	assert_string_equal(NEAR("claered"), "cleared"); /* a swap costs one */
	assert_string_equal(NEAR("state-dir"), "state_dir");
	assert_string_equal(NEAR("serv"), "serve");
#undef NEAR
}

static void far_words_get_no_suggestion(void **state)
{
	(void)state;
	static const char *const known[] = {"cleared", "oss-default"};
	assert_null(sg_suggest("oss", known, 2));
	assert_null(sg_suggest("", known, 2));
	assert_null(sg_suggest("zz", known, 2));
	char long_word[100];
	memset(long_word, 'c', 99);
	long_word[99] = '\0';
	assert_null(sg_suggest(long_word, known, 2));
	assert_null(sg_suggest("cleared", NULL, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(run_ids_sort_as_they_were_made),
		cmocka_unit_test(ids_are_plain_and_short),
		cmocka_unit_test(the_nearest_word_is_suggested),
		cmocka_unit_test(far_words_get_no_suggestion),
	};
	return cmocka_run_group_tests_name("ids", tests, NULL, NULL);
}
