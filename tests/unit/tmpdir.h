/* A directory of a test's own, made before and removed after it: *state is its path. */
#ifndef SG_TESTS_TMPDIR_H
#define SG_TESTS_TMPDIR_H

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static inline int tmp_setup(void **state)
{
	char name[] = "/tmp/sg-test-XXXXXX";
	if (!mkdtemp(name))
		return -1;
	*state = strdup(name);
	return *state ? 0 : -1;
}

static inline int tmp_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline int tmp_teardown(void **state)
{
	int r = nftw(*state, tmp_remove, 16, FTW_DEPTH | FTW_PHYS);
	free(*state);
	return r;
}

/* "dir/name"; caller frees. */
static inline char *tmp_path(const char *dir, const char *name)
{
	char *p = NULL;
	return asprintf(&p, "%s/%s", dir, name) < 0 ? NULL : p;
}

static inline void tmp_write(const char *path, const void *data, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || write(fd, data, n) != (ssize_t)n)
		abort();
	(void)close(fd);
}

#endif
