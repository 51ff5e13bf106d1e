/* The verifier: separate code that shares nothing with the writer but base's parser and hash. */
#ifndef SG_AUDIT_VERIFY_H
#define SG_AUDIT_VERIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct sg_audit_report {
	uint64_t lines;
	uint64_t bytes;
	char head[65];	   /* hash of the last line */
	uint64_t bad_line; /* from 1; 0 = none */
	char cause[32];	   /* "ok", "edited", "removed", "reordered", "duplicate", "truncated",
			    * "torn-last-line", "malformed", … */
	char text[512];
};

struct sg_audit_verify_options {
	const char *head; /* 64 hex digits that line head_seq must have; NULL = the chain only */
	uint64_t head_seq;
	unsigned wait_ms; /* a server is writing: how long to wait at the end for the head to appear
			   */
};

/* Streams the file. Without a head an edit of the very last line, or a cut at a line's end, cannot
 * show. Lines after the head are checked too. Positive outcome 1: it does not verify, *ret says
 * where and why. Errors: SG_ENOTFOUND, SG_EINVALID (no regular file), SG_EIO. */
int sg_audit_verify(const char *path, const struct sg_audit_verify_options *o,
	struct sg_audit_report *ret, struct sg_error *err);

/* Streams the file. expect_head NULL = the chain only; else truncation is found too. Positive
 * outcome 1: it does not verify, *ret says where and why. */
int sg_audit_verify_file(const char *path, const char *expect_head, int64_t expect_seq,
	struct sg_audit_report *ret, struct sg_error *err);

#endif
