/* UTC clock and RFC 3339. Calendar arithmetic by hand (days from civil, Howard Hinnant's
 * algorithm): gmtime_r is fine too, but timegm is not in every libc and both consult no TZ only by
 * promise. */
#include "base/clock.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/error.h"

#define US 1000000LL
#define DAY_S 86400LL

static int64_t read_clock(clockid_t id)
{
	struct timespec ts = {0};
	(void)clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * US + ts.tv_nsec / 1000;
}

int64_t sg_clock_utc_us(void)
{
	return read_clock(CLOCK_REALTIME);
}

int64_t sg_clock_monotonic_us(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

int64_t sg_clock_thread_us(void)
{
	return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

static int64_t days_from_civil(int64_t y, int m, int d)
{
	y -= m <= 2;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t yoe = y - era * 400;
	int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
	return era * 146097 + doe - 719468;
}

static void civil_from_days(int64_t z, int *ret_y, int *ret_m, int *ret_d)
{
	z += 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;
	*ret_d = (int)(doy - (153 * mp + 2) / 5 + 1);
	*ret_m = (int)(mp + (mp < 10 ? 3 : -9));
	*ret_y = (int)(yoe + era * 400 + (*ret_m <= 2));
}

static int64_t clamp(int64_t us)
{
	int64_t lo = days_from_civil(1, 1, 1) * DAY_S * US;
	int64_t hi = days_from_civil(10000, 1, 1) * DAY_S * US - 1;
	if (us < lo)
		return lo;
	return us > hi ? hi : us;
}

static void put_digits(char *to, int n, unsigned v)
{
	for (int i = n - 1; i >= 0; i--, v /= 10)
		to[i] = (char)('0' + v % 10);
}

void sg_time_format(int64_t us, char ret_text[SG_TIME_TEXT])
{
	us = clamp(us);
	int64_t secs = us / US;
	int64_t frac = us % US;
	if (frac < 0) {
		frac += US;
		secs--;
	}
	int64_t days = secs / DAY_S;
	int64_t rest = secs % DAY_S;
	if (rest < 0) {
		rest += DAY_S;
		days--;
	}
	int y, m, d;
	civil_from_days(days, &y, &m, &d);
	/* By hand: every step and audit line has one, and snprintf takes a microsecond. */
	memcpy(ret_text, "0000-00-00T00:00:00.000000Z", SG_TIME_TEXT);
	put_digits(ret_text, 4, (unsigned)y);
	put_digits(ret_text + 5, 2, (unsigned)m);
	put_digits(ret_text + 8, 2, (unsigned)d);
	put_digits(ret_text + 11, 2, (unsigned)(rest / 3600));
	put_digits(ret_text + 14, 2, (unsigned)(rest / 60 % 60));
	put_digits(ret_text + 17, 2, (unsigned)(rest % 60));
	put_digits(ret_text + 20, 6, (unsigned)frac);
}

static bool digits(const char **p, const char *end, int n, int *ret)
{
	int v = 0;
	for (int i = 0; i < n; i++) {
		if (*p == end || **p < '0' || **p > '9')
			return false;
		v = v * 10 + (*(*p)++ - '0');
	}
	*ret = v;
	return true;
}

static bool lit(const char **p, const char *end, char c)
{
	if (*p == end || **p != c)
		return false;
	(*p)++;
	return true;
}

static bool fraction(const char **p, const char *end, int64_t *ret_us)
{
	*ret_us = 0;
	if (*p == end || **p != '.')
		return true;
	(*p)++;
	int64_t scale = US / 10;
	int n = 0;
	for (; *p != end && **p >= '0' && **p <= '9' && n < 6; n++, scale /= 10)
		*ret_us += (*(*p)++ - '0') * scale;
	return n > 0;
}

static bool offset(const char **p, const char *end, int64_t *ret_s)
{
	*ret_s = 0;
	if (lit(p, end, 'Z'))
		return true;
	int sign = lit(p, end, '+') ? 1 : lit(p, end, '-') ? -1 : 0;
	int h, m;
	if (!sign || !digits(p, end, 2, &h) || !lit(p, end, ':') || !digits(p, end, 2, &m))
		return false;
	*ret_s = sign * (h * 3600LL + m * 60LL);
	return h < 24 && m < 60;
}

int sg_time_parse(const char *text, size_t n, int64_t *ret_us)
{
	const char *p = text, *end = text + n;
	int y, mo, d, h, mi, s;
	int64_t frac, off;
	bool ok = digits(&p, end, 4, &y) && lit(&p, end, '-') && digits(&p, end, 2, &mo) &&
		  lit(&p, end, '-') && digits(&p, end, 2, &d) && lit(&p, end, 'T') &&
		  digits(&p, end, 2, &h) && lit(&p, end, ':') && digits(&p, end, 2, &mi) &&
		  lit(&p, end, ':') && digits(&p, end, 2, &s) && fraction(&p, end, &frac) &&
		  offset(&p, end, &off) && p == end;
	if (!ok || y < 1 || mo < 1 || mo > 12 || d < 1 || h > 23 || mi > 59 || s > 60)
		return -SG_EINVALID;
	int64_t days = days_from_civil(y, mo, d);
	int cy, cm, cd;
	civil_from_days(days, &cy, &cm, &cd);
	if (cy != y || cm != mo || cd != d)
		return -SG_EINVALID;
	*ret_us = (days * DAY_S + h * 3600LL + mi * 60LL + s - off) * US + frac;
	return 0;
}
