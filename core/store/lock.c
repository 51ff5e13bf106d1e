/* One owner of a state directory: an flock on state_dir/lock whose text is the owner's pid. */
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/file.h"

static long holder(int fd)
{
	char text[32] = "";
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	return n > 0 ? strtol(text, NULL, 10) : 0;
}

static int take(int fd, const char *dir, struct sg_error *err)
{
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno != EWOULDBLOCK)
		return sg_error_errno(err, errno, "cannot lock %s/lock", dir);
	return sg_error_set(err, SG_ECONFLICT, "state-locked",
		"%s is in use by process %ld: one process owns a state directory", dir, holder(fd));
}

static int write_pid(int fd, const char *dir, struct sg_error *err)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
	int r = ftruncate(fd, 0) < 0 ? -errno : sg_write_all(fd, text, (size_t)n);
	return r < 0 ? sg_error_errno(err, -r, "cannot write %s/lock", dir) : 0;
}

int sg_store_lock(const char *dir, int *ret_fd, struct sg_error *err)
{
	sg_autofree char *path = NULL;
	if (asprintf(&path, "%s/lock", dir) < 0)
		return sg_error_nomem(err);
	sg_autoclose int fd =
		open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
	if (fd < 0)
		return sg_error_errno(err, errno, "cannot open %s", path);
	struct stat st;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return sg_error_set(err, SG_EREFUSED, NULL, "%s is not a regular file", path);
	int r = take(fd, dir, err);
	if (r == 0)
		r = write_pid(fd, dir, err);
	if (r < 0)
		return r;
	*ret_fd = fd;
	fd = -1;
	return 0;
}
