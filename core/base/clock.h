/* Time. Everything recorded is UTC: RFC 3339 with microseconds and Z, whatever TZ says. */
#ifndef SG_BASE_CLOCK_H
#define SG_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#define SG_TIME_TEXT 28 /* "2026-11-24T06:02:09.123456Z" and the NUL */

int64_t sg_clock_utc_us(void);	     /* microseconds since 1970-01-01T00:00:00Z */
int64_t sg_clock_monotonic_us(void); /* for durations and deadlines inside one process */
int64_t sg_clock_thread_us(void);    /* processor time of the calling thread */

/* us from year 0001 to 9999; outside it is clamped. */
void sg_time_format(int64_t us, char ret_text[SG_TIME_TEXT]);
/* Accepts 0 to 6 fraction digits and Z or +hh:mm. -SG_EINVALID otherwise. */
int sg_time_parse(const char *text, size_t n, int64_t *ret_us);

#endif
