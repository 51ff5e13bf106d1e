/* How long: as pydantic reads a timedelta, from 1 µs to 10 years. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/graph.h"

#define TEN_YEARS_S (10.0 * 366 * 86400)

/* A number at *p; moves behind it. False when there is none. */
static bool number(const char **p, double *ret)
{
	char *end;
	if (!isdigit((unsigned char)**p))
		return false;
	*ret = strtod(*p, &end);
	if (strspn(*p, "0123456789.") != (size_t)(end - *p))
		return false;
	*p = end;
	return true;
}

static bool iso(const char *p, double *ret)
{
	static const struct {
		char unit;
		bool time;
		double seconds;
	} units[] = {{'W', false, 604800}, {'D', false, 86400}, {'H', true, 3600}, {'M', true, 60},
		{'S', true, 1}};
	bool time = false, any = false;
	size_t next = 0;
	double total = 0;
	for (p++; *p; p++) {
		double v;
		if (*p == 'T' && !time) {
			time = true;
			p++;
		}
		if (!number(&p, &v))
			return false;
		while (next < 5 && !(units[next].unit == *p && units[next].time == time))
			next++;
		if (next == 5)
			return false;
		total += v * units[next++].seconds;
		any = true;
	}
	*ret = total;
	return any;
}

/* "[D day[s], ]HH:MM:SS[.ffffff]" */
static bool clock_form(const char *p, double *ret)
{
	int days = 0, used = 0, h, m;
	double s;
	if (sscanf(p, "%d day%n", &days, &used) == 1 && used) {
		p += used;
		p += *p == 's';
		p += *p == ',';
		p += strspn(p, " ");
	}
	used = 0;
	if (sscanf(p, "%2d:%2d:%lf%n", &h, &m, &s, &used) != 3 || p[used] || days < 0 || h < 0 ||
		m < 0 || m > 59 || !(s >= 0 && s < 60))
		return false;
	*ret = days * 86400.0 + h * 3600.0 + m * 60.0 + s;
	return true;
}

int sg_graph_duration(const json_t *v, int64_t *ret_us, struct sg_error *err)
{
	double s = 0;
	const char *text = json_string_value(v);
	bool ok = json_is_number(v);
	if (ok)
		s = json_number_value(v);
	else if (text && *text == 'P')
		ok = iso(text, &s);
	else if (text)
		ok = clock_form(text, &s);
	if (!ok)
		return sg_error_set(err, SG_EINVALID, NULL,
			"not a duration: write seconds (90), ISO 8601 (PT1M30S) or HH:MM:SS "
			"(00:01:30)");
	if (!(s >= 1e-6 && s <= TEN_YEARS_S))
		return sg_error_set(err, SG_EINVALID, NULL,
			"a duration must be longer than 0 and at most ten years");
	*ret_us = llround(s * 1e6);
	return 0;
}
