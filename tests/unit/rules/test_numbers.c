/* Numbers with a check digit, found in texts: what is one, and what only looks like one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "rules/numbers.h"

struct row {
	const char *text;
	bool found;
};

static void check(const struct row *rows, size_t n, bool (*find)(const char *text))
{
	for (size_t i = 0; i < n; i++)
		if (find(rows[i].text) != rows[i].found)
			fail_msg("%s \"%s\"", rows[i].found ? "missed" : "found", rows[i].text);
}

static void cards(void **state SG_UNUSED)
{
	static const struct row rows[] = {/* the test numbers that the card networks publish */
		{"4111111111111111", true}, {"5555555555554444", true}, {"378282246310005", true},
		{"6011111111111117", true}, {"3530111333300000", true}, {"4222222222222", true},
		{"2223003122003222", true}, {"30569309025904", true}, {"x4111111111111111y", true},
		{"4111 1111 1111 1111", true}, {"4111-1111-1111-1111.", true},
		{"tel 4111 1111 1111 1111 7", true}, {"4111111111111112", false},
		{"4111  1111 1111 1111", false}, {"", false}, {"411111111111", false},
		{"1234567890123452", false}, {"4444444444444448", true},
		{"2222222222222222", false}, {"94111111111111111", false},
		{"41111111111111111", false}, {"411111111111111100000", false},
		{"0000000000000000", false}, {"4111111111111111-", true},
		{"7777 4111111111111111", true},
		{"4111111\xC3\xA4"
		 "111111111",
			false}};
	check(rows, SG_ARRAY_LEN(rows), sg_rules_has_card);
}

static void ibans(void **state SG_UNUSED)
{
	static const struct row rows[] = {/* the examples of the registry */
		{"DE89370400440532013000", true}, {"GB29NWBK60161331926819", true},
		{"FR1420041010050500013M02606", true}, {"NO9386011117947", true},
		{"MT84MALT011000012345MTLCAST001S", true},
		{"pay DE89 3704 0044 0532 0130 00 now", true}, {"(NO93 8601 1117 947)", true},
		{"DE89370400440532013001", false}, {"DE88370400440532013000", false},
		{"XDE89370400440532013000", false}, {"DE893704004405320130001", false},
		{"de89370400440532013000", false}, {"DE89", false}, {"", false},
		{"DE89  3704 0044 0532 0130 00", false}};
	check(rows, SG_ARRAY_LEN(rows), sg_rules_has_iban);
}

/* One wrong digit or two neighbours exchanged: what check digits are for. */
static void every_changed_digit_is_seen(void **state SG_UNUSED)
{
	const char *good = "5555555555554444";
	for (size_t i = 0; i < 16; i++)
		for (char c = '0'; c <= '9'; c++) {
			char text[17];
			memcpy(text, good, sizeof(text));
			text[i] = c;
			assert_int_equal(sg_rules_has_card(text), c == good[i]);
		}
}

/* Linear: a text of a megabyte of beginnings takes no time worth naming. */
static void long_texts(void **state SG_UNUSED)
{
	size_t n = 1U << 20;
	char *text = malloc(n + 1);
	const char *fills[] = {"4", "4 ", "4-", "A1", "DE89 ", "41111111111111 "};
	for (size_t k = 0; k < SG_ARRAY_LEN(fills); k++) {
		for (size_t i = 0; i < n; i++)
			text[i] = fills[k][i % strlen(fills[k])];
		text[n] = '\0';
		(void)sg_rules_has_card(text);
		(void)sg_rules_has_iban(text);
	}
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(cards), cmocka_unit_test(ibans),
		cmocka_unit_test(every_changed_digit_is_seen), cmocka_unit_test(long_texts)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
