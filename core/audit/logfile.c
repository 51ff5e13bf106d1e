/* The one descriptor of the log file: opened with every check, checked again before each append. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/internal.h"
#include "base/cleanup.h"
#include "base/file.h"

static int check_stat(const char *path, const struct stat *st, struct sg_error *err)
{
	if (!S_ISREG(st->st_mode))
		return sg_error_set(
			err, SG_EREFUSED, "audit-file", "audit log %s is not a regular file", path);
	if (st->st_uid != geteuid())
		return sg_error_set(err, SG_EREFUSED, "audit-file",
			"audit log %s belongs to uid %u, not to uid %u who runs this", path,
			(unsigned)st->st_uid, (unsigned)geteuid());
	if ((st->st_mode & 07777) != 0600)
		return sg_error_set(err, SG_EREFUSED, "audit-file",
			"audit log %s has mode %04o; it must be 0600", path,
			(unsigned)st->st_mode & 07777U);
	if (st->st_nlink != 1)
		return sg_error_set(err, SG_EREFUSED, "audit-file",
			"audit log %s has %u hard links; it must have exactly one", path,
			(unsigned)st->st_nlink);
	return 0;
}

static int open_or_create(const char *path, bool *ret_created)
{
	int flags = O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK;
	int fd = open(path, flags);
	*ret_created = false;
	if (fd >= 0 || errno != ENOENT)
		return fd;
	*ret_created = true;
	fd = open(path, flags | O_CREAT | O_EXCL, 0600);
	if (fd >= 0)
		(void)fchmod(fd, 0600); /* whatever the umask takes away; checked below */
	return fd;
}

int sg_audit_file_open(struct sg_audit *a, struct sg_error *err)
{
	bool created;
	struct stat st;
	sg_autoclose int fd = open_or_create(a->path, &created);
	if (fd < 0 && errno == ELOOP)
		return sg_error_set(
			err, SG_EREFUSED, "audit-file", "audit log %s is a symbolic link", a->path);
	if (fd < 0)
		return sg_error_errno(err, errno, "cannot open the audit log %s", a->path);
	if (fstat(fd, &st) < 0)
		return sg_error_errno(err, errno, "cannot look at the audit log %s", a->path);
	int r = check_stat(a->path, &st, err);
	if (r == 0 && created)
		r = sg_file_sync_dir(a->path, err);
	if (r < 0)
		return r;
	a->dev = st.st_dev;
	a->ino = st.st_ino;
	a->fd = fd;
	fd = -1;
	return 0;
}

int sg_audit_file_check(const struct sg_audit *a, struct sg_error *err)
{
	struct stat st, named;
	if (fstat(a->fd, &st) < 0)
		return sg_error_errno(err, errno, "cannot look at the audit log %s", a->path);
	if (lstat(a->path, &named) < 0 || named.st_dev != a->dev || named.st_ino != a->ino)
		return sg_error_set(err, SG_EREFUSED, "audit-file",
			"audit log %s was replaced or removed while in use", a->path);
	int r = check_stat(a->path, &st, err);
	if (r < 0)
		return r;
	if ((uint64_t)st.st_size != a->durable.offset)
		return sg_error_set(err, SG_EREFUSED, "audit-file",
			"audit log %s is %lld bytes long, not the %llu written: somebody else "
			"writes to it",
			a->path, (long long)st.st_size, (unsigned long long)a->durable.offset);
	return 0;
}

int sg_audit_file_append(const struct sg_audit *a, const void *data, size_t n, struct sg_error *err)
{
	struct stat st;
	if (fstat(a->fd, &st) < 0)
		return sg_error_errno(err, errno, "cannot look at the audit log %s", a->path);
	int r = sg_write_all(a->fd, data, n);
	if (r < 0) {
		(void)sg_error_errno(err, -r, "cannot append to the audit log %s", a->path);
		if (ftruncate(a->fd, st.st_size) < 0)
			return sg_error_set(err, SG_EIO, NULL,
				"audit log %s: a failed append could not be taken back", a->path);
		return r == -ENOSPC || r == -EDQUOT ? -SG_ENOSPACE : -SG_EIO;
	}
	if (fdatasync(a->fd) < 0)
		return sg_error_set(err, SG_EIO, NULL, "cannot sync the audit log %s: %s", a->path,
			strerror(errno));
	return 0;
}
