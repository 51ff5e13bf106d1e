/* Parses cron expressions and walks their ticks, day by day. */
#include "trigger/cron.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/cleanup.h"

#define DAY_S 86400
#define MAX_DAYS (8 * 366 + 2) /* from one 29 February to the next, over a century's end */

struct field {
	const char *name;
	unsigned min, max;
	const char *names; /* three letters each, of min, min+1, …; NULL = numbers only */
};

static const struct field fields[] = {
	{"second", 0, 59, NULL},
	{"minute", 0, 59, NULL},
	{"hour", 0, 23, NULL},
	{"day of month", 1, 31, NULL},
	{"month", 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec"},
	{"day of week", 0, 7, "sunmontuewedthufrisat"},
};

/* A number or a name; NULL when there is none. */
static const char *read_value(const struct field *f, const char *p, unsigned *ret)
{
	for (size_t i = 0; f->names && i < strlen(f->names) / 3; i++)
		if (strncasecmp(f->names + 3 * i, p, 3) == 0) {
			*ret = f->min + (unsigned)i;
			return p + 3;
		}
	unsigned n = 0;
	const char *start = p;
	for (; isdigit((unsigned char)*p) && p - start < 4; p++)
		n = n * 10 + (unsigned)(*p - '0');
	*ret = n;
	return p == start ? NULL : p;
}

/* One item of a list: "*", "a", "a-b", each with "/n". */
static const char *read_item(const struct field *f, const char *p, uint64_t *set)
{
	unsigned from = f->min, to = f->max, step = 1;
	bool range = true;
	if (*p == '*') {
		p++;
	} else {
		p = read_value(f, p, &from);
		range = p && *p == '-';
		to = from;
		if (range)
			p = read_value(f, p + 1, &to);
	}
	if (p && *p == '/') {
		static const struct field any = {"", 0, 0, NULL};
		to = range ? to : f->max;
		p = read_value(&any, p + 1, &step);
	}
	if (!p || step == 0 || from < f->min || to > f->max || from > to)
		return NULL;
	for (unsigned v = from; v <= to; v += step)
		*set |= 1ULL << v;
	return p;
}

static int read_field(
	const struct field *f, const char *text, size_t n, uint64_t *ret, struct sg_error *err)
{
	const char *p = text, *end = text + n;
	*ret = 0;
	while (p && p < end) {
		p = read_item(f, p, ret);
		if (!p || p >= end)
			break;
		p = *p == ',' && p + 1 < end ? p + 1 : NULL;
	}
	return p == end && n ? 0
			     : sg_error_set(err, SG_EINVALID, NULL,
				       "schedule: %s \"%.*s\": numbers from %u to %u, *, a-b, /n "
				       "and commas",
				       f->name, (int)(n < 40 ? n : 40), text, f->min, f->max);
}

static int split(const char *text, const char *parts[6], size_t lens[6])
{
	int n = 0;
	for (const char *p = text; *(p += strspn(p, " \t"));) {
		if (n == 6)
			return 7;
		parts[n] = p;
		lens[n] = strcspn(p, " \t");
		p += lens[n++];
	}
	return n;
}

int sg_cron_parse(const char *text, struct sg_cron *ret, struct sg_error *err)
{
	const char *parts[6];
	size_t lens[6];
	uint64_t sets[6] = {1};
	int n = split(text, parts, lens), first = 6 - n;
	if (n != 5 && n != 6)
		return sg_error_set(err, SG_EINVALID, NULL,
			"schedule: five fields expected (minute hour day month weekday), or six "
			"with the second first");
	for (int i = first; i < 6; i++) {
		int r = read_field(&fields[i], parts[i - first], lens[i - first], &sets[i], err);
		if (r < 0)
			return r;
	}
	struct sg_cron c = {.seconds = sets[0],
		.minutes = sets[1],
		.hours = (uint32_t)sets[2],
		.days = (uint32_t)sets[3],
		.months = (uint32_t)sets[4],
		.weekdays = (uint32_t)((sets[5] | sets[5] >> 7) & 0x7f),
		.either_day = *parts[3 - first] != '*' && *parts[5 - first] != '*'};
	if (sg_cron_next(&c, 946684800) < 0)
		return sg_error_set(err, SG_EINVALID, NULL, "schedule: no date fits it");
	*ret = c;
	return 0;
}

static bool fits_day(const struct sg_cron *c, int64_t day)
{
	struct tm tm;
	time_t t = (time_t)(day * DAY_S);
	if (!gmtime_r(&t, &tm) || !(c->months >> (tm.tm_mon + 1) & 1))
		return false;
	bool date = c->days >> tm.tm_mday & 1, weekday = c->weekdays >> tm.tm_wday & 1;
	return c->either_day ? date || weekday : date && weekday;
}

/* The lowest (highest) n of the set that is at least (at most) from; -1 = none. */
static int at_least(uint64_t set, int from)
{
	uint64_t rest = from > 63 ? 0 : set >> from << from;
	return rest ? __builtin_ctzll(rest) : -1;
}

static int at_most(uint64_t set, int from)
{
	uint64_t rest = from < 0 ? 0 : from >= 63 ? set : set & ((1ULL << (from + 1)) - 1);
	return rest ? 63 - __builtin_clzll(rest) : -1;
}

/* The first second of a day from `from` on; -1 = none. */
static int64_t first_from(const struct sg_cron *c, int from)
{
	int hour = from / 3600, minute = from / 60 % 60, second = at_least(c->seconds, from % 60);
	if (second < 0)
		minute++;
	int h = at_least(c->hours, hour);
	int m = h == hour ? at_least(c->minutes, minute) : -1;
	if (h == hour && m < 0)
		h = at_least(c->hours, hour + 1);
	if (h < 0)
		return -1;
	if (h != hour || m < 0)
		m = at_least(c->minutes, 0);
	if (h != hour || m != from / 60 % 60 || second < 0)
		second = at_least(c->seconds, 0);
	return h * 3600 + m * 60 + second;
}

/* The last second of a day up to `to`; -1 = none. */
static int64_t last_to(const struct sg_cron *c, int to)
{
	int hour = to / 3600, minute = to / 60 % 60, second = at_most(c->seconds, to % 60);
	if (second < 0)
		minute--;
	int h = at_most(c->hours, hour);
	int m = h == hour ? at_most(c->minutes, minute) : -1;
	if (h == hour && m < 0)
		h = at_most(c->hours, hour - 1);
	if (h < 0)
		return -1;
	if (h != hour || m < 0)
		m = at_most(c->minutes, 59);
	if (h != hour || m != to / 60 % 60 || second < 0)
		second = at_most(c->seconds, 59);
	return h * 3600 + m * 60 + second;
}

int64_t sg_cron_next(const struct sg_cron *c, int64_t after)
{
	int64_t day = (after + 1) / DAY_S, from = (after + 1) % DAY_S;
	for (int i = 0; i < MAX_DAYS; i++, day++, from = 0) {
		int64_t s = fits_day(c, day) ? first_from(c, (int)from) : -1;
		if (s >= 0)
			return day * DAY_S + s;
	}
	return -1;
}

int64_t sg_cron_previous(const struct sg_cron *c, int64_t before)
{
	int64_t day = (before - 1) / DAY_S, to = (before - 1) % DAY_S;
	for (int i = 0; before > 0 && day >= 0 && i < MAX_DAYS; i++, day--, to = DAY_S - 1) {
		int64_t s = fits_day(c, day) ? last_to(c, (int)to) : -1;
		if (s >= 0)
			return day * DAY_S + s;
	}
	return -1;
}
