/* Byte strings numbered from 0 in the order they were first seen: a hash table that only grows. */
#ifndef SG_KNOWLEDGE_NAMES_H
#define SG_KNOWLEDGE_NAMES_H

#include <stddef.h>
#include <stdint.h>

#define SG_KNOW_NO_NAME UINT32_MAX

struct sg_know_names {
	struct {
		char *bytes; /* owned */
		uint32_t len;
	} * items;
	uint32_t *slots; /* item + 1, 0 = free */
	size_t n, cap, n_slots;
	uint64_t seed;
	uint64_t bytes; /* of memory, about */
};

void sg_know_names_finish(struct sg_know_names *t);
/* SG_KNOW_NO_NAME when it is not there. */
uint32_t sg_know_names_find(const struct sg_know_names *t, const void *bytes, size_t len);
/* Its number, new or old; SG_KNOW_NO_NAME when out of memory. */
uint32_t sg_know_names_add(struct sg_know_names *t, const void *bytes, size_t len);

#endif
