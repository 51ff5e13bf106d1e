/* The state of one verification, shared by its files. */
#ifndef SG_AUDIT_VERIFY_INTERNAL_H
#define SG_AUDIT_VERIFY_INTERNAL_H

#include "audit/check.h"
#include "audit/scan.h"
#include "audit/verify.h"

#define SG_ORIGINAL_ID_MAX 129U

struct sg_verify {
	struct sg_scan scan;
	struct sg_audit_report rep;
	const struct sg_audit_verify_options *o;
	uint64_t next;		  /* sequence that the next line must have */
	uint64_t file_line;	  /* lines seen of the file at hand */
	char prev[SG_SHA256_HEX]; /* hash that the next line must name */
	bool started, seen_head, live;
	struct sg_check_tree tree;
	struct sg_check_note kept; /* the checkpoint from outside; size 0 = none */
	bool seen_kept;
	/* the key that the log tells is in force */
	bool have_key, pinned;
	uint8_t key[SG_ED25519_KEY];
	/* a log of the Python original's */
	bool original;
	char kid[SG_SHA256_HEX], log_id[SG_ORIGINAL_ID_MAX];
	const char *anchor; /* a checkpoint's token kept from it; NULL = none */
	bool seen_anchor;
};

/* Fills in the report; returns 1. */
int sg_verify_bad(struct sg_verify *v, const char *cause, uint64_t line, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* The log's records about itself: keys, checkpoints, key rotations, rotations. Called before the
 * line joins the tree. Positive outcome 1: it does not verify. */
bool sg_verify_is_own(const struct sg_scan_line *l);
int sg_verify_own(struct sg_verify *v, const struct sg_scan_line *l);
/* The first line there is has sequence > 0: can it stand at a beginning? Then the tree is seeded
 * and the order goes on from it. */
bool sg_verify_begin(struct sg_verify *v, const struct sg_scan_line *l, uint64_t seq);

/* The Python original's chained logs: every line signed. is: by the first line. line: positive
 * outcome 1: it does not verify. SG_EINVALID: no key to check the signatures with. */
bool sg_verify_original_is(const struct sg_scan_line *l);
int sg_verify_original_line(
	struct sg_verify *v, const struct sg_scan_line *l, uint64_t *ret_seq, struct sg_error *err);
void sg_verify_original_describe(struct sg_verify *v);

#endif
