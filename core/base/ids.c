/* Run identifiers. The one static here is what makes text order creation order: the last
 * (milliseconds, counter) pair handed out, advanced atomically and never backwards, even when the
 * clock is. */
#include "base/ids.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"

static _Atomic uint64_t last_stamp; /* milliseconds << 16 | counter */

static uint64_t next_stamp(void)
{
	uint64_t now = (uint64_t)(sg_clock_utc_us() / 1000) << 16;
	uint64_t old = atomic_load(&last_stamp);
	uint64_t stamp;
	do {
		stamp = now > old ? now : old + 1;
	} while (!atomic_compare_exchange_weak(&last_stamp, &old, stamp));
	return stamp;
}

int sg_run_id_make(bool fork, char ret_id[SG_RUN_ID_TEXT], struct sg_error *err)
{
	uint8_t r[6];
	/* Up to 256 bytes getrandom is neither cut short nor interrupted once seeded. */
	if (getrandom(r, sizeof(r), 0) != (ssize_t)sizeof(r))
		return sg_error_errno(err, errno, "no randomness for a run id");
	(void)snprintf(ret_id, SG_RUN_ID_TEXT, "%s%016" PRIx64 "%02x%02x%02x%02x%02x%02x",
		fork ? "cf-" : "run-", next_stamp(), r[0], r[1], r[2], r[3], r[4], r[5]);
	return 0;
}

bool sg_id_valid(const char *id)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789_.-";
	size_t n = strspn(id, allowed);
	return n >= 1 && n <= 64 && id[n] == '\0';
}
