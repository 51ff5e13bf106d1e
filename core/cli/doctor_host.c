/* doctor: the host. Clock, time zone, limits, memory, kernel. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/doctor.h"

#define US_PER_DAY (86400LL * 1000000LL)
#define EARLIEST_US (20500LL * US_PER_DAY) /* early 2026: this program did not exist before */

static void clock_sane(struct sg_doctor *d)
{
	int64_t now = sg_clock_utc_us();
	char text[SG_TIME_TEXT];
	sg_time_format(now, text);
	if (now < EARLIEST_US)
		sg_doctor_say(d, "clock.sane", SG_DOCTOR_FAIL,
			"set the clock: every recorded time would be wrong",
			"the clock says %s, which is before this program was built", text);
	else
		sg_doctor_say(d, "clock.sane", SG_DOCTOR_OK, NULL, "UTC is %s", text);
}

static void clock_utc(struct sg_doctor *d)
{
	time_t now = time(NULL);
	struct tm tm = {0};
	(void)localtime_r(&now, &tm);
	if (tm.tm_gmtoff != 0)
		sg_doctor_say(d, "clock.utc", SG_DOCTOR_WARN, "set TZ=UTC in the unit",
			"the process time zone is %s; records are UTC anyway, operator logs of "
			"others "
			"are not",
			tm.tm_zone);
	else
		sg_doctor_say(d, "clock.utc", SG_DOCTOR_OK, NULL, "the process time zone is UTC");
}

static void clock_sync(struct sg_doctor *d)
{
	struct timex t = {0};
	int state = adjtimex(&t);
	if (state < 0 || (t.status & STA_UNSYNC))
		sg_doctor_say(d, "clock.sync", SG_DOCTOR_NOTE,
			"run chrony or systemd-timesyncd against the site's time source",
			"the kernel says the clock is not synchronised");
	else
		sg_doctor_say(d, "clock.sync", SG_DOCTOR_OK, NULL,
			"synchronised, error at most %ld ms", t.maxerror / 1000);
}

static void limit_nofile(struct sg_doctor *d)
{
	struct rlimit l = {0};
	(void)getrlimit(RLIMIT_NOFILE, &l);
	rlim_t need = (rlim_t)d->config->limits.connections + 256;
	if (l.rlim_cur < need)
		sg_doctor_say(d, "limits.nofile", SG_DOCTOR_FAIL,
			"raise LimitNOFILE in the unit, or lower limits.connections",
			"%llu open files are allowed, %llu are needed for limits.connections",
			(unsigned long long)l.rlim_cur, (unsigned long long)need);
	else
		sg_doctor_say(d, "limits.nofile", SG_DOCTOR_OK, NULL, "%llu open files are allowed",
			(unsigned long long)l.rlim_cur);
}

static void limit_core(struct sg_doctor *d)
{
	struct rlimit l = {0};
	(void)getrlimit(RLIMIT_CORE, &l);
	if (l.rlim_cur != 0)
		sg_doctor_say(d, "limits.core", SG_DOCTOR_WARN, "set LimitCORE=0 in the unit",
			"core dumps are allowed; they would hold state and keys");
	else
		sg_doctor_say(d, "limits.core", SG_DOCTOR_OK, NULL, "no core dumps");
}

static void memory(struct sg_doctor *d)
{
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
	long mib = pages / 1024 * size / 1024;
	if (mib < 512)
		sg_doctor_say(d, "host.memory", SG_DOCTOR_WARN, "give the host 512 MiB or more",
			"%ld MiB of memory; the model's weights need 200 MiB", mib);
	else
		sg_doctor_say(d, "host.memory", SG_DOCTOR_OK, NULL, "%ld MiB of memory", mib);
}

static void kernel(struct sg_doctor *d)
{
	struct utsname u = {0};
	(void)uname(&u);
	if (access("/sys/kernel/security", F_OK) < 0 && strtol(u.release, NULL, 10) < 5)
		sg_doctor_say(d, "host.kernel", SG_DOCTOR_WARN, "use Debian 12's kernel or newer",
			"Linux %s has no Landlock", u.release);
	else
		sg_doctor_say(d, "host.kernel", SG_DOCTOR_OK, NULL, "Linux %s", u.release);
}

static void user(struct sg_doctor *d)
{
	if (geteuid() == 0)
		sg_doctor_say(d, "host.user", SG_DOCTOR_WARN,
			"run the service (and doctor) as the user stargraph",
			"running as root: ownership checks say what root sees");
	else
		sg_doctor_say(d, "host.user", SG_DOCTOR_OK, NULL, "running as uid %u",
			(unsigned)geteuid());
}

void sg_doctor_host(struct sg_doctor *d)
{
	clock_sane(d);
	clock_utc(d);
	clock_sync(d);
	limit_nofile(d);
	limit_core(d);
	memory(d);
	kernel(d);
	user(d);
}
