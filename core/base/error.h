/* Errors as values: what failed, in words a person can act on.
 *
 * Policy (after dbus-broker): a function returns 0 on success, a positive value for an outcome it
 * documents, and a negative sg_code on error, having described it in *err. Errors are forwarded
 * unchanged or with sg_error_prefix(); outputs named ret_* are untouched on error. Library code
 * never logs and never exits.
 */
#ifndef SG_BASE_ERROR_H
#define SG_BASE_ERROR_H

#include <stddef.h>

/* What the caller may do about it. The negative of these is returned. */
enum sg_code {
	SG_EINVALID = 1, /* the input is wrong: fix it (HTTP 422, exit 2) */
	SG_EREFUSED,	 /* a gate or policy says no (exit 2) */
	SG_EDENIED,	 /* the actor lacks the grant (HTTP 403) */
	SG_ENOTFOUND,	 /* no such thing (HTTP 404) */
	SG_ECONFLICT,	 /* the thing is in another state (HTTP 409) */
	SG_ELIMIT,	 /* a named limit was reached */
	SG_EBUSY,	 /* try again: a queue is full (HTTP 429 or 503) */
	SG_ETIMEOUT,
	SG_ENOSPACE, /* disk or map full */
	SG_EIO,	     /* the system call's errno is in the text */
	SG_ECORRUPT, /* stored data does not check out */
	SG_ENOMEM,
	SG_EINTERNAL, /* a bug here */
};

struct sg_error {
	int code;      /* an sg_code, 0 when unset */
	char kind[64]; /* stable class name, e.g. "LocalEntryNotFoundError"; programs match on it */
	char text[1024]; /* one line: what, where, what to do */
};

/* Sets *err (may be NULL) and returns -code. kind NULL = the code's own name. */
int sg_error_set(struct sg_error *err, enum sg_code code, const char *kind, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* As sg_error_set with SG_EIO (SG_ENOSPACE for ENOSPC/EDQUOT), ": strerror(errnum)" appended. */
int sg_error_errno(struct sg_error *err, int errnum, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Puts "prefix: " before the text; returns -err->code. */
int sg_error_prefix(struct sg_error *err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

int sg_error_nomem(struct sg_error *err);

/* "invalid", "refused", … the default kind of a code. Static. */
const char *sg_code_name(int code);

#endif
