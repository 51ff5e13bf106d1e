/* LD_PRELOAD: every statfs says what SG_FAKE_FS (a number) says, as if the directory were there.
 * No NFS or SMB client is needed to show that such a directory is refused. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>

static int fake(unsigned long *type)
{
	const char *text = getenv("SG_FAKE_FS");
	if (!text)
		return -1;
	*type = strtoul(text, NULL, 0);
	return 0;
}

#define SHIM(fn, arg_type, buf_type) \
	int fn(arg_type arg, struct buf_type *buf); \
	int fn(arg_type arg, struct buf_type *buf) \
	{ \
		int (*real)(arg_type, struct buf_type *) = \
			(int (*)(arg_type, struct buf_type *))dlsym(RTLD_NEXT, #fn); \
		int r = real(arg, buf); \
		unsigned long type; \
		if (r == 0 && fake(&type) == 0) \
			buf->f_type = (__typeof__(buf->f_type))type; \
		return r; \
	}

SHIM(statfs, const char *, statfs)
SHIM(fstatfs, int, statfs)
SHIM(statfs64, const char *, statfs64)
SHIM(fstatfs64, int, statfs64)
