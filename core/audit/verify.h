/* The verifier: separate code that shares nothing with the writer but base's parser and hash. */
#ifndef SG_AUDIT_VERIFY_H
#define SG_AUDIT_VERIFY_H

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

/* Streams the file. expect_head NULL = the chain only; else truncation is found too. Positive
 * outcome 1: it does not verify, *ret says where and why. */
int sg_audit_verify_file(const char *path, const char *expect_head, int64_t expect_seq,
	struct sg_audit_report *ret, struct sg_error *err);

#endif
