/* The verifier's reader: lines of a file, and the two fields that the chain hangs on. */
#ifndef SG_AUDIT_SCAN_H
#define SG_AUDIT_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define SG_SCAN_LINE_MAX (65U << 20) /* longer "lines" are no log */

struct sg_scan {
	int fd;
	const char *path; /* borrowed, for errors */
	char *buf;
	size_t cap, from, to; /* unread bytes: buf[from..to) */
	uint64_t offset;      /* in the file, of buf[from] */
	bool eof;
	unsigned wait_ms; /* at the end of the file: how long to wait for more, in all */
};

struct sg_scan_line {
	const char *data; /* without newline; valid until the next call */
	size_t len;
	uint64_t offset; /* of its first byte */
	bool torn;	 /* the file ends without a newline here */
};

int sg_scan_open(struct sg_scan *s, const char *path, struct sg_error *err);
void sg_scan_close(struct sg_scan *s);
/* Positive outcome 1: the end of the file. */
int sg_scan_next(struct sg_scan *s, struct sg_scan_line *ret, struct sg_error *err);

/* {"seq":N,"prev":"<64 hex>","ts":"… … }: false when the line does not begin and end so. ret_prev
 * points at the 64 digits. */
bool sg_scan_chain(const struct sg_scan_line *l, uint64_t *ret_seq, const char **ret_prev);

/* Steps over this literal text, or over a decimal number of at most 18 digits without leading
 * zeros; false and nothing changed but *p when it does not stand there. */
bool sg_scan_text(const char **p, const char *end, const char *text, size_t n);
#define SG_SCAN_TEXT(p, end, text) sg_scan_text(p, end, text, sizeof(text) - 1)
bool sg_scan_number(const char **p, const char *end, uint64_t *ret);

#endif
