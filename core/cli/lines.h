/* Lines of a descriptor, bounded. */
#ifndef SG_CLI_LINES_H
#define SG_CLI_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

#define SG_LINES_CHUNK (256U << 10) /* bytes of one read */

struct sg_lines {
	int fd;		  /* borrowed */
	const char *name; /* for errors, borrowed */
	struct sg_buf buf;
	size_t at;	 /* start of the next line in buf */
	uint64_t number; /* of the line last returned, from 1 */
	uint64_t bytes;	 /* of all lines returned, with their ends */
	bool at_end;
};

void sg_lines_init(struct sg_lines *l, int fd, const char *name, size_t max_line);
void sg_lines_finish(struct sg_lines *l);

/* 1: a line without its end in *ret_line (valid until the next call; NUL-terminated); 0: no more.
 * SG_ELIMIT for a line over max_line bytes. ret_ended (may be NULL): whether it ended in '\n'. */
int sg_lines_next(struct sg_lines *l, char **ret_line, size_t *ret_len, bool *ret_ended,
	struct sg_error *err);

#endif
