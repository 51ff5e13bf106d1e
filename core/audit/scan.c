/* The verifier's reader: one buffer, no copy of lines, no allocation a line. */
#include "audit/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

#define CHUNK (1U << 20)
#define POLL_MS 20U

int sg_scan_open(struct sg_scan *s, const char *path, struct sg_error *err)
{
	struct stat st;
	sg_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT)
		return sg_error_set(err, SG_ENOTFOUND, NULL, "%s: no such file", path);
	if (fd < 0)
		return sg_error_errno(err, errno, "cannot open %s", path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return sg_error_set(err, SG_EINVALID, NULL, "%s is not a regular file", path);
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	*s = (struct sg_scan){.path = path, .cap = 2U * CHUNK};
	s->buf = malloc(s->cap);
	if (!s->buf)
		return sg_error_nomem(err);
	s->fd = fd;
	fd = -1;
	return 0;
}

void sg_scan_close(struct sg_scan *s)
{
	if (!s->buf)
		return;
	(void)close(s->fd);
	free(s->buf);
	s->buf = NULL;
}

/* Room for another chunk behind the unread bytes. */
static int make_room(struct sg_scan *s, struct sg_error *err)
{
	size_t unread = s->to - s->from;
	if (unread >= SG_SCAN_LINE_MAX)
		return sg_error_set(err, SG_ELIMIT, NULL, "%s: a line of more than %u bytes",
			s->path, SG_SCAN_LINE_MAX);
	if (s->from && s->cap - s->to < CHUNK) {
		memmove(s->buf, s->buf + s->from, unread);
		s->from = 0;
		s->to = unread;
	}
	if (s->cap - s->to >= CHUNK)
		return 0;
	char *more = realloc(s->buf, 2 * s->cap);
	if (!more)
		return sg_error_nomem(err);
	s->buf = more;
	s->cap *= 2;
	return 0;
}

static int fill(struct sg_scan *s, struct sg_error *err)
{
	int r = make_room(s, err);
	if (r < 0)
		return r;
	for (;;) {
		ssize_t n = read(s->fd, s->buf + s->to, CHUNK);
		if (n > 0) {
			s->to += (size_t)n;
			return 0;
		}
		if (n < 0 && errno != EINTR)
			return sg_error_errno(err, errno, "cannot read %s", s->path);
		if (n == 0 && s->wait_ms < POLL_MS) {
			s->eof = true;
			return 0;
		}
		if (n == 0) {
			(void)usleep(POLL_MS * 1000);
			s->wait_ms -= POLL_MS;
		}
	}
}

static void take(struct sg_scan *s, size_t len, bool torn, struct sg_scan_line *ret)
{
	*ret = (struct sg_scan_line){
		.data = s->buf + s->from, .len = len, .offset = s->offset, .torn = torn};
	s->from += len + !torn;
	s->offset += len + !torn;
}

int sg_scan_next(struct sg_scan *s, struct sg_scan_line *ret, struct sg_error *err)
{
	size_t looked = 0;
	for (;;) {
		const char *at = s->buf + s->from;
		const char *nl = memchr(at + looked, '\n', s->to - s->from - looked);
		if (nl) {
			take(s, (size_t)(nl - at), false, ret);
			return 0;
		}
		looked = s->to - s->from;
		if (s->eof && looked == 0)
			return 1;
		if (s->eof) {
			take(s, looked, true, ret);
			return 0;
		}
		int r = fill(s, err);
		if (r < 0)
			return r;
	}
}

bool sg_scan_text(const char **p, const char *end, const char *text, size_t n)
{
	if ((size_t)(end - *p) < n || memcmp(*p, text, n) != 0)
		return false;
	*p += n;
	return true;
}

bool sg_scan_number(const char **p, const char *end, uint64_t *ret)
{
	const char *from = *p;
	uint64_t v = 0;
	while (*p < end && **p >= '0' && **p <= '9' && *p - from < 18)
		v = v * 10 + (uint64_t)(*(*p)++ - '0');
	*ret = v;
	return *p > from && (*from != '0' || *p == from + 1);
}

bool sg_scan_chain(const struct sg_scan_line *l, uint64_t *ret_seq, const char **ret_prev)
{
	const char *p = l->data, *end = l->data + l->len;
	if (!SG_SCAN_TEXT(&p, end, "{\"seq\":") || !sg_scan_number(&p, end, ret_seq) ||
		!SG_SCAN_TEXT(&p, end, ",\"prev\":\"") || end - p < 64)
		return false;
	*ret_prev = p;
	p += 64;
	return SG_SCAN_TEXT(&p, end, "\",\"ts\":\"") && end - p >= 2 && end[-1] == '}' &&
	       end[-2] == '}';
}
