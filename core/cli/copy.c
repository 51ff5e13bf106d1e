/* Copies of a state directory's files: see copy.h. */
#include "cli/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"

#define CHUNK (1U << 20)

int sg_copy_create(const char *path, int *ret_fd, struct sg_error *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return sg_error_errno(err, errno, "cannot create %s", path);
	*ret_fd = fd;
	return 0;
}

int sg_copy_finish(int fd, const char *path, struct sg_error *err)
{
	if (fsync(fd) < 0)
		return sg_error_errno(err, errno, "cannot sync %s", path);
	return 0;
}

/* At most `most` bytes of from. */
static int copy_bytes(const char *from, const char *to, uint64_t most, struct sg_error *err)
{
	sg_autofree char *buf = malloc(CHUNK);
	sg_autoclose int in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	sg_autoclose int out = -1;
	if (in < 0)
		return sg_error_errno(err, errno, "cannot open %s", from);
	int r = buf ? sg_copy_create(to, &out, err) : sg_error_nomem(err);
	while (r == 0 && most > 0) {
		ssize_t n = read(in, buf, most < CHUNK ? most : CHUNK);
		if (n < 0)
			r = sg_error_errno(err, errno, "cannot read %s", from);
		if (n <= 0)
			break;
		most -= (uint64_t)n;
		int w = sg_write_all(out, buf, (size_t)n);
		if (w < 0)
			r = sg_error_errno(err, -w, "cannot write %s", to);
	}
	return r < 0 ? r : sg_copy_finish(out, to, err);
}

static int copy_file(
	const char *from, const char *dest, const char *name, uint64_t most, struct sg_error *err)
{
	sg_autofree char *to = NULL;
	if (asprintf(&to, "%s/%s", dest, name) < 0)
		return sg_error_nomem(err);
	return copy_bytes(from, to, most, err);
}

/* The archives older than the copy's head whole, of the head's own file as much as it says. That
 * file may have become an archive since. */
int sg_copy_log(const struct sg_audit_head *head, const char *dest, struct sg_error *err)
{
	struct sg_evidence_files f = {0};
	sg_autofree char *copy = strdup(head->path);
	sg_autofree char *current = NULL;
	char archive[32];
	if (!copy)
		return sg_error_nomem(err);
	const char *base = basename(copy);
	(void)snprintf(archive, sizeof(archive), "%012" PRIu64, head->first);
	int r = sg_evidence_list(head, &f, err);
	for (size_t i = 0; r == 0 && i < f.n; i++) {
		const char *name = strrchr(f.path[i], '/') + 1;
		const char *dot = strcmp(name, base) == 0 ? NULL : strrchr(name, '.');
		if (dot && strtoull(dot + 1, NULL, 10) < head->first)
			r = copy_file(f.path[i], dest, name, UINT64_MAX, err);
		else if ((dot && strcmp(dot + 1, archive) == 0) || (!dot && !current)) {
			free(current);
			current = strdup(f.path[i]);
			if (dot)
				break;
		}
	}
	if (r == 0 && current)
		r = copy_file(current, dest, base, head->bytes, err);
	sg_evidence_files_finish(&f);
	return r;
}

int sg_copy_file(const char *from, const char *to, struct sg_error *err)
{
	return copy_bytes(from, to, UINT64_MAX, err);
}
