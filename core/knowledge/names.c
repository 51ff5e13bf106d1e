/* A hash table of byte strings, open addressing. Seeded, so that texts made to collide elsewhere do
 * not collide here; nothing observable depends on the seed. */
#include "knowledge/names.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static uint64_t mix(uint64_t a, uint64_t b)
{
	__extension__ unsigned __int128 p = (unsigned __int128)a * b;
	return (uint64_t)p ^ (uint64_t)(p >> 64);
}

static uint64_t hash(uint64_t seed, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	uint64_t h = seed ^ len, v;
	for (; len >= 8; len -= 8, p += 8) {
		memcpy(&v, p, 8);
		h = mix(h ^ v, 0x9e3779b97f4a7c15ULL);
	}
	v = 0;
	memcpy(&v, p, len);
	return mix(h ^ v, 0xd6e8feb86659fd93ULL);
}

void sg_know_names_finish(struct sg_know_names *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->items[i].bytes);
	free(t->items);
	free(t->slots);
	memset(t, 0, sizeof(*t));
}

/* The slot of the string, or the free one where it belongs. n_slots > 0. */
static size_t probe(const struct sg_know_names *t, const void *bytes, size_t len)
{
	size_t at = hash(t->seed, bytes, len) & (t->n_slots - 1);
	for (; t->slots[at]; at = (at + 1) & (t->n_slots - 1)) {
		uint32_t i = t->slots[at] - 1;
		if (t->items[i].len == len && memcmp(t->items[i].bytes, bytes, len) == 0)
			break;
	}
	return at;
}

uint32_t sg_know_names_find(const struct sg_know_names *t, const void *bytes, size_t len)
{
	if (!t->n_slots)
		return SG_KNOW_NO_NAME;
	uint32_t slot = t->slots[probe(t, bytes, len)];
	return slot ? slot - 1 : SG_KNOW_NO_NAME;
}

static bool grow(struct sg_know_names *t)
{
	size_t n_slots = t->n_slots ? t->n_slots * 2 : 64;
	uint32_t *slots = calloc(n_slots, sizeof(*slots));
	void *items = slots ? realloc(t->items, n_slots / 2 * sizeof(*t->items)) : NULL;
	if (!items) {
		free(slots);
		return false;
	}
	if (!t->seed && getrandom(&t->seed, sizeof(t->seed), 0) < 0)
		t->seed = 0x2545f4914f6cdd1dULL;
	free(t->slots);
	t->items = items;
	t->slots = slots;
	t->n_slots = n_slots;
	t->cap = n_slots / 2;
	for (size_t i = 0; i < t->n; i++)
		slots[probe(t, t->items[i].bytes, t->items[i].len)] = (uint32_t)i + 1;
	return true;
}

uint32_t sg_know_names_add(struct sg_know_names *t, const void *bytes, size_t len)
{
	if (t->n == t->cap && !grow(t))
		return SG_KNOW_NO_NAME;
	size_t at = probe(t, bytes, len);
	if (t->slots[at])
		return t->slots[at] - 1;
	char *copy = malloc(len + 1);
	if (!copy)
		return SG_KNOW_NO_NAME;
	memcpy(copy, bytes, len);
	copy[len] = '\0';
	t->items[t->n].bytes = copy;
	t->items[t->n].len = (uint32_t)len;
	t->slots[at] = (uint32_t)++t->n;
	t->bytes += len + 48;
	return (uint32_t)t->n - 1;
}
