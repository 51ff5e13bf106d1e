/* Scope cleanup for local owners, and the few macros used everywhere. */
#ifndef SG_BASE_CLEANUP_H
#define SG_BASE_CLEANUP_H

#include <stdlib.h>
#include <unistd.h>

#define SG_CLEANUP(fn) __attribute__((cleanup(fn)))
#define SG_UNUSED __attribute__((unused))
#define SG_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

static inline void sg_free_ptr(void *p)
{
	free(*(void **)p);
}
/* sg_autofree char *s = strdup(…); */
#define sg_autofree SG_CLEANUP(sg_free_ptr)

static inline void sg_close_ptr(const int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}
/* sg_autoclose int fd = open(…); -1 is no descriptor. */
#define sg_autoclose SG_CLEANUP(sg_close_ptr)

/* Gives up ownership: returns the pointer and clears the variable. */
#define sg_steal(p) \
	__extension__({ \
		__typeof__(p) sg_steal_v = (p); \
		(p) = NULL; \
		sg_steal_v; \
	})

#endif
