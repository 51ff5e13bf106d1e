/* LD_PRELOAD: a host that is not as this one. Each variable that is set replaces one answer. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static const char *given(const char *name)
{
	return getenv(name);
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
	int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
	int r = real(id, ts);
	if (id == CLOCK_REALTIME && given("FAKE_TIME"))
		ts->tv_sec = atol(given("FAKE_TIME"));
	return r;
}

int adjtimex(struct timex *t)
{
	memset(t, 0, sizeof(*t));
	t->status = given("FAKE_UNSYNC") ? STA_UNSYNC : 0;
	return TIME_OK;
}

long sysconf(int name)
{
	long (*real)(int) = dlsym(RTLD_NEXT, "sysconf");
	if (name == _SC_PHYS_PAGES && given("FAKE_PAGES"))
		return atol(given("FAKE_PAGES"));
	return real(name);
}

int uname(struct utsname *u)
{
	int (*real)(struct utsname *) = dlsym(RTLD_NEXT, "uname");
	int r = real(u);
	if (given("FAKE_RELEASE"))
		strncpy(u->release, given("FAKE_RELEASE"), sizeof(u->release) - 1);
	return r;
}

int access(const char *path, int mode)
{
	int (*real)(const char *, int) = dlsym(RTLD_NEXT, "access");
	if (given("FAKE_RELEASE") && strcmp(path, "/sys/kernel/security") == 0)
		return -1;
	return real(path, mode);
}

static int answer(int r, struct statvfs *v)
{
	if (given("FAKE_FREE"))
		v->f_bavail = (fsblkcnt_t)atol(given("FAKE_FREE"));
	if (given("FAKE_INODES")) {
		v->f_files = 1000000;
		v->f_favail = (fsfilcnt_t)atol(given("FAKE_INODES"));
	}
	return r;
}

int statvfs(const char *path, struct statvfs *v)
{
	int (*real)(const char *, struct statvfs *) = dlsym(RTLD_NEXT, "statvfs");
	return answer(real(path, v), v);
}

int statvfs64(const char *path, struct statvfs64 *v)
{
	return statvfs(path, (struct statvfs *)v);
}
