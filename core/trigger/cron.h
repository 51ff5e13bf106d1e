/* Cron expressions, in UTC: "minute hour day-of-month month day-of-week", or six fields with the
 * second first. Each field: "*", numbers, ranges a-b, steps "/n", lists with commas; months and
 * days of the week also by their English three letters; Sunday is 0 or 7. As Debian's cron has it,
 * where both day fields are restricted (neither begins with "*") a day that fits one of them fits.
 */
#ifndef SG_TRIGGER_CRON_H
#define SG_TRIGGER_CRON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct sg_cron {
	uint64_t seconds, minutes; /* bit n: n is in the set */
	uint32_t hours, days, months, weekdays;
	bool either_day; /* day of month or day of week */
};

/* SG_EINVALID names the field that cannot be read, or says that no date fits (30 February). */
int sg_cron_parse(const char *text, struct sg_cron *ret, struct sg_error *err);
/* The first tick after, and the last tick before, a time: Unix seconds. -1 = none within the years
 * that are looked at (a leap day's distance). */
int64_t sg_cron_next(const struct sg_cron *c, int64_t after);
int64_t sg_cron_previous(const struct sg_cron *c, int64_t before);

#endif
