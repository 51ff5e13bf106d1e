/* Memory that is given back all at once: what one batch holds until it is durable. */
#ifndef SG_RUN_ARENA_H
#define SG_RUN_ARENA_H

#include <stddef.h>

#define SG_ARENA_CHUNK (32U << 10) /* bytes; the first chunk is kept over a reset */

struct sg_arena_chunk;
struct sg_arena {
	struct sg_arena_chunk *chunks; /* newest first */
	char *at, *end;
	size_t bytes; /* handed out since the last reset */
};

/* Aligned for any type; NULL when out of memory. */
void *sg_arena_alloc(struct sg_arena *a, size_t n);
/* A NUL-terminated copy; s may be NULL: NULL. */
char *sg_arena_strndup(struct sg_arena *a, const char *s, size_t n);
char *sg_arena_strdup(struct sg_arena *a, const char *s);
void sg_arena_reset(struct sg_arena *a);
void sg_arena_finish(struct sg_arena *a);

#endif
