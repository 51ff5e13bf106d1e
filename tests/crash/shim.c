/* LD_PRELOAD: makes system calls on chosen files fail, while the file named by SG_SHIM says so.
 *
 * Its lines: "<action> <call> <part of a path>", where action is EIO, ENOSPC or KILL and call is
 * sync or write; or "clock <seconds>", which is added to CLOCK_REALTIME. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static FILE *rules(void)
{
	const char *path = getenv("SG_SHIM");
	return path ? fopen(path, "re") : NULL;
}

/* 0, or the errno to fail with. */
static int verdict(const char *call, int fd)
{
	char link[64], path[512], action[32], which[32], part[256];
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof(path) - 1);
	int result = 0;
	if (n <= 0)
		return 0;
	path[n] = '\0';
	int saved = errno;
	FILE *f = rules();
	while (f && fscanf(f, "%31s %31s %255s", action, which, part) == 3) {
		if (strcmp(which, call) != 0 || !strstr(path, part))
			continue;
		if (strcmp(action, "KILL") == 0)
			kill(getpid(), SIGKILL);
		result = strcmp(action, "ENOSPC") == 0 ? ENOSPC : EIO;
	}
	if (f)
		fclose(f);
	errno = saved;
	return result;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FAIL_IF(call, fd) \
	do { \
		int e_ = verdict(call, fd); \
		if (e_) { \
			errno = e_; \
			return -1; \
		} \
	} while (0)

int fdatasync(int fd)
{
	FAIL_IF("sync", fd);
	return REAL(fdatasync)(fd);
}

int fsync(int fd)
{
	FAIL_IF("sync", fd);
	return REAL(fsync)(fd);
}

ssize_t write(int fd, const void *data, size_t n)
{
	FAIL_IF("write", fd);
	return REAL(write)(fd, data, n);
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t at)
{
	FAIL_IF("write", fd);
	return REAL(pwrite)(fd, data, n, at);
}

ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at)
{
	FAIL_IF("write", fd);
	return REAL(pwrite64)(fd, data, n, at);
}

ssize_t writev(int fd, const struct iovec *v, int n)
{
	FAIL_IF("write", fd);
	return REAL(writev)(fd, v, n);
}

ssize_t pwritev(int fd, const struct iovec *v, int n, off_t at)
{
	FAIL_IF("write", fd);
	return REAL(pwritev)(fd, v, n, at);
}

ssize_t pwritev64(int fd, const struct iovec *v, int n, off64_t at)
{
	FAIL_IF("write", fd);
	return REAL(pwritev64)(fd, v, n, at);
}

int clock_gettime(clockid_t id, struct timespec *ret)
{
	long shift = 0;
	int r = REAL(clock_gettime)(id, ret);
	FILE *f = id == CLOCK_REALTIME ? rules() : NULL;
	if (f && fscanf(f, "clock %ld", &shift) == 1)
		ret->tv_sec += shift;
	if (f)
		fclose(f);
	return r;
}
