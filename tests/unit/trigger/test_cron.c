/* Cron expressions: what they mean, against the calendar taken second by second, and what is none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "trigger/cron.h"

static int64_t at(const char *text)
{
	int64_t us;
	assert_int_equal(sg_time_parse(text, strlen(text), &us), 0);
	return us / 1000000;
}

static struct sg_cron parse(const char *text)
{
	struct sg_cron c;
	struct sg_error err;
	if (sg_cron_parse(text, &c, &err) < 0)
		fail_msg("%s: %s", text, err.text);
	return c;
}

static void known_ticks(void **state)
{
	static const struct {
		const char *schedule, *after, *next;
	} cases[] = {
		{"* * * * *", "2026-11-24T06:00:00Z", "2026-11-24T06:01:00Z"},
		{"*/15 * * * *", "2026-11-24T06:59:59Z", "2026-11-24T07:00:00Z"},
		{"0 2 * * *", "2026-11-24T02:00:00Z", "2026-11-25T02:00:00Z"},
		{"30 4 1,15 * fri", "2026-11-24T00:00:00Z", "2026-11-27T04:30:00Z"},
		{"0 0 1 jan *", "2026-11-24T00:00:00Z", "2027-01-01T00:00:00Z"},
		{"0 0 29 2 *", "2026-11-24T00:00:00Z", "2028-02-29T00:00:00Z"},
		{"0 0 29 feb *", "2096-03-01T00:00:00Z", "2104-02-29T00:00:00Z"},
		{"0 9 * * 1-5", "2026-11-27T09:00:00Z", "2026-11-30T09:00:00Z"},
		{"0 9 * * 7", "2026-11-24T00:00:00Z", "2026-11-29T09:00:00Z"},
		{"59 23 31 12 *", "2026-12-31T23:59:00Z", "2027-12-31T23:59:00Z"},
		{"*/10 * * * * *", "2026-11-24T06:00:51Z", "2026-11-24T06:01:00Z"},
		{"5,50 59 23 * * *", "2026-11-24T23:59:50Z", "2026-11-25T23:59:05Z"},
	};
	(void)state;
	for (size_t i = 0; i < SG_ARRAY_LEN(cases); i++) {
		struct sg_cron c = parse(cases[i].schedule);
		int64_t next = sg_cron_next(&c, at(cases[i].after));
		if (next != at(cases[i].next))
			fail_msg("%s after %s: %lld", cases[i].schedule, cases[i].after,
				(long long)next);
		assert_true(sg_cron_previous(&c, next) <= at(cases[i].after));
		assert_int_equal(sg_cron_previous(&c, next + 1), next);
	}
}

static bool fits(const struct sg_cron *c, int64_t t)
{
	struct tm tm;
	time_t when = (time_t)t;
	(void)gmtime_r(&when, &tm);
	bool date = c->days >> tm.tm_mday & 1, weekday = c->weekdays >> tm.tm_wday & 1;
	return (c->seconds >> tm.tm_sec & 1) && (c->minutes >> tm.tm_min & 1) &&
	       (c->hours >> tm.tm_hour & 1) && (c->months >> (tm.tm_mon + 1) & 1) &&
	       (c->either_day ? date || weekday : date && weekday);
}

/* Every second of three days, forwards and backwards. */
static void no_tick_is_left_out(void **state)
{
	static const char *const schedules[] = {"7,52 */17 3-22/5 * * *", "0 59 23 * * *",
		"*/7 0 0 30 11 *", "58-59 58-59 22-23 * * tue", "0 0 * 30 * wed", "* * * * * *"};
	int64_t from = at("2026-11-29T23:59:57Z"), to = from + 3 * 86400;
	(void)state;
	for (size_t i = 0; i < SG_ARRAY_LEN(schedules); i++) {
		struct sg_cron c = parse(schedules[i]);
		int64_t next = sg_cron_next(&c, from - 1), last = -1;
		for (int64_t t = from; t < to; t++) {
			if (fits(&c, t) != (t == next))
				fail_msg("%s at %lld", schedules[i], (long long)t);
			if (t != next)
				continue;
			if (last >= 0)
				assert_int_equal(sg_cron_previous(&c, t), last);
			last = t;
			next = sg_cron_next(&c, t);
		}
	}
}

static void what_is_none_is_refused(void **state)
{
	static const char *const bad[] = {"", "* * * *", "* * * * * * *", "60 * * * *",
		"* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 13 *", "* * * * 8", "a * * * *",
		"1- * * * *", "-1 * * * *", "5-1 * * * *", "*/0 * * * *", "*/ * * * *", ", * * * *",
		"1, * * * *", "1,,2 * * * *", "1;2 * * * *", "0 0 30 2 *", "0 0 31 4,6,9,11 *",
		"@daily", "99999999999999999999 * * * *", "** * * * *", "* * * foo *",
		"60 * * * * *"};
	(void)state;
	for (size_t i = 0; i < SG_ARRAY_LEN(bad); i++) {
		struct sg_cron c;
		struct sg_error err;
		if (sg_cron_parse(bad[i], &c, &err) == 0)
			fail_msg("accepted: \"%s\"", bad[i]);
		assert_memory_equal(err.text, "schedule: ", 10);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_ticks),
		cmocka_unit_test(no_tick_is_left_out),
		cmocka_unit_test(what_is_none_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
