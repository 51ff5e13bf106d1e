/* Lines of a descriptor, bounded. */
#include "cli/lines.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

void sg_lines_init(struct sg_lines *l, int fd, const char *name, size_t max_line)
{
	*l = (struct sg_lines){
		.fd = fd, .name = name, .buf = SG_BUF_INIT(max_line + SG_LINES_CHUNK)};
}

void sg_lines_finish(struct sg_lines *l)
{
	sg_buf_finish(&l->buf);
}

/* Moves what is left to the front and reads one chunk behind it. */
static int fill(struct sg_lines *l, struct sg_error *err)
{
	if (l->at) {
		memmove(l->buf.data, l->buf.data + l->at, l->buf.len - l->at);
		l->buf.len -= l->at;
		l->at = 0;
	}
	char *room = sg_buf_reserve(&l->buf, SG_LINES_CHUNK);
	if (!room)
		return sg_error_set(err, SG_ELIMIT, NULL, "%s line %llu: longer than %zu bytes",
			l->name, (unsigned long long)l->number + 1, l->buf.limit - SG_LINES_CHUNK);
	ssize_t n;
	do
		n = read(l->fd, room, SG_LINES_CHUNK);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return sg_error_errno(err, errno, "cannot read %s", l->name);
	l->buf.len += (size_t)n;
	l->at_end = n == 0;
	return 0;
}

int sg_lines_next(
	struct sg_lines *l, char **ret_line, size_t *ret_len, bool *ret_ended, struct sg_error *err)
{
	size_t seen = 0;
	char *nl = NULL;
	for (;;) {
		size_t have = l->buf.len - l->at;
		if (have > seen)
			nl = memchr(l->buf.data + l->at + seen, '\n', have - seen);
		if (nl || l->at_end)
			break;
		seen = have;
		int r = fill(l, err);
		if (r < 0)
			return r;
	}
	if (l->at == l->buf.len)
		return 0;
	char *line = l->buf.data + l->at;
	size_t len = nl ? (size_t)(nl - line) : l->buf.len - l->at;
	line[len] = '\0'; /* the '\n', or the buffer's terminator */
	l->at += len + (nl != NULL);
	l->bytes += len + (nl != NULL);
	l->number++;
	*ret_line = line;
	*ret_len = len;
	if (ret_ended)
		*ret_ended = nl != NULL;
	return 1;
}
