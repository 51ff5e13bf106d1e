/* Errors as values. Truncation of a long text is accepted: an error must never fail itself. */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

static const char *const code_names[] = {
	[0] = "ok",
	[SG_EINVALID] = "invalid",
	[SG_EREFUSED] = "refused",
	[SG_EDENIED] = "denied",
	[SG_ENOTFOUND] = "not-found",
	[SG_ECONFLICT] = "conflict",
	[SG_ELIMIT] = "limit",
	[SG_EBUSY] = "busy",
	[SG_ETIMEOUT] = "timeout",
	[SG_ENOSPACE] = "no-space",
	[SG_EIO] = "io",
	[SG_ECORRUPT] = "corrupt",
	[SG_ENOMEM] = "out-of-memory",
	[SG_EINTERNAL] = "internal",
};

const char *sg_code_name(int code)
{
	if (code < 0)
		code = -code;
	if (code >= (int)(sizeof(code_names) / sizeof(code_names[0])))
		return "unknown";
	return code_names[code];
}

static int set_va(
	struct sg_error *err, enum sg_code code, const char *kind, const char *fmt, va_list ap)
{
	if (!err)
		return -(int)code;
	err->code = (int)code;
	(void)snprintf(err->kind, sizeof(err->kind), "%s", kind ? kind : sg_code_name((int)code));
	(void)vsnprintf(err->text, sizeof(err->text), fmt, ap);
	sg_utf8_mend(err->text);
	return -(int)code;
}

int sg_error_set(struct sg_error *err, enum sg_code code, const char *kind, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int r = set_va(err, code, kind, fmt, ap);
	va_end(ap);
	return r;
}

int sg_error_errno(struct sg_error *err, int errnum, const char *fmt, ...)
{
	enum sg_code code = SG_EIO;
	if (errnum == ENOSPC || errnum == EDQUOT)
		code = SG_ENOSPACE;
	else if (errnum == ENOMEM)
		code = SG_ENOMEM;
	va_list ap;
	va_start(ap, fmt);
	int r = set_va(err, code, NULL, fmt, ap);
	va_end(ap);
	if (err) {
		size_t n = strlen(err->text);
		(void)snprintf(err->text + n, sizeof(err->text) - n, ": %s", strerror(errnum));
	}
	return r;
}

int sg_error_prefix(struct sg_error *err, const char *fmt, ...)
{
	if (!err)
		return -SG_EINTERNAL;
	char old[sizeof(err->text)];
	memcpy(old, err->text, sizeof(old));
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	size_t n = strlen(err->text);
	(void)snprintf(err->text + n, sizeof(err->text) - n, ": %s", old);
	sg_utf8_mend(err->text);
	return -err->code;
}

int sg_error_nomem(struct sg_error *err)
{
	return sg_error_set(err, SG_ENOMEM, NULL, "out of memory");
}
