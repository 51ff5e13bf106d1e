/* Bump allocation in chunks. */
#include "run/arena.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

struct sg_arena_chunk {
	struct sg_arena_chunk *next;
	size_t size;
	alignas(max_align_t) char data[];
};

static int grow(struct sg_arena *a, size_t n)
{
	size_t size = n > SG_ARENA_CHUNK ? n : SG_ARENA_CHUNK;
	struct sg_arena_chunk *c = malloc(sizeof(*c) + size);
	if (!c)
		return -1;
	c->size = size;
	c->next = a->chunks;
	a->chunks = c;
	a->at = c->data;
	a->end = c->data + size;
	return 0;
}

void *sg_arena_alloc(struct sg_arena *a, size_t n)
{
	n = (n + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
	if ((size_t)(a->end - a->at) < n && grow(a, n) < 0)
		return NULL;
	void *p = a->at;
	a->at += n;
	a->bytes += n;
	return p;
}

char *sg_arena_strndup(struct sg_arena *a, const char *s, size_t n)
{
	if (!s)
		return NULL;
	char *p = sg_arena_alloc(a, n + 1);
	if (!p)
		return NULL;
	memcpy(p, s, n);
	p[n] = '\0';
	return p;
}

char *sg_arena_strdup(struct sg_arena *a, const char *s)
{
	return s ? sg_arena_strndup(a, s, strlen(s)) : NULL;
}

void sg_arena_reset(struct sg_arena *a)
{
	struct sg_arena_chunk *keep = NULL;
	while (a->chunks) {
		struct sg_arena_chunk *c = a->chunks;
		a->chunks = c->next;
		if (!keep && c->size == SG_ARENA_CHUNK)
			keep = c;
		else
			free(c);
	}
	a->chunks = keep;
	a->bytes = 0;
	a->at = keep ? keep->data : NULL;
	a->end = keep ? keep->data + keep->size : NULL;
	if (keep)
		keep->next = NULL;
}

void sg_arena_finish(struct sg_arena *a)
{
	while (a->chunks) {
		struct sg_arena_chunk *c = a->chunks;
		a->chunks = c->next;
		free(c);
	}
	*a = (struct sg_arena){0};
}
