/* Small file helpers. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"

int sg_write_all(int fd, const void *data, size_t n)
{
	const char *p = data;
	while (n) {
		ssize_t w = write(fd, p, n);
		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return -errno;
		p += w;
		n -= (size_t)w;
	}
	return 0;
}

static int read_fd(int fd, const char *path, size_t size, char *data, struct sg_error *err)
{
	size_t got = 0;
	while (got < size) {
		ssize_t n = read(fd, data + got, size - got);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return sg_error_errno(err, errno, "cannot read %s", path);
		if (n == 0)
			return sg_error_set(err, SG_EIO, NULL, "%s shrank while being read", path);
		got += (size_t)n;
	}
	return 0;
}

int sg_file_read(
	const char *path, size_t max, char **ret_data, size_t *ret_len, struct sg_error *err)
{
	sg_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT)
		return sg_error_set(err, SG_ENOTFOUND, NULL, "%s: no such file", path);
	if (fd < 0)
		return sg_error_errno(err, errno, "cannot open %s", path);
	struct stat st;
	if (fstat(fd, &st) < 0)
		return sg_error_errno(err, errno, "cannot stat %s", path);
	if (!S_ISREG(st.st_mode))
		return sg_error_set(err, SG_EINVALID, NULL, "%s is not a regular file", path);
	if ((size_t)st.st_size > max)
		return sg_error_set(err, SG_ELIMIT, NULL, "%s has %lld bytes, the limit is %zu",
			path, (long long)st.st_size, max);
	size_t size = (size_t)st.st_size;
	sg_autofree char *data = malloc(size + 1);
	if (!data)
		return sg_error_nomem(err);
	int r = read_fd(fd, path, size, data, err);
	if (r < 0)
		return r;
	data[size] = '\0';
	*ret_data = sg_steal(data);
	*ret_len = size;
	return 0;
}

int sg_file_sync_dir(const char *path, struct sg_error *err)
{
	sg_autofree char *copy = strdup(path);
	if (!copy)
		return sg_error_nomem(err);
	const char *dir = dirname(copy);
	sg_autoclose int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return sg_error_errno(err, errno, "cannot sync directory %s", dir);
	return 0;
}

int sg_file_write_atomic(
	const char *path, const void *data, size_t n, mode_t mode, struct sg_error *err)
{
	sg_autofree char *tmp = NULL;
	if (asprintf(&tmp, "%s.tmp.%d", path, (int)getpid()) < 0) {
		tmp = NULL;
		return sg_error_nomem(err);
	}
	sg_autoclose int fd =
		open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return sg_error_errno(err, errno, "cannot create %s", tmp);
	int r = sg_write_all(fd, data, n);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r == 0 && rename(tmp, path) < 0)
		r = -errno;
	if (r < 0) {
		(void)unlink(tmp);
		return sg_error_errno(err, -r, "cannot write %s", path);
	}
	return sg_file_sync_dir(path, err);
}
