/* The vocabulary's trie. A slot packs key:27 (node << 8 | byte), child:20, id + 1:17; zero is an
 * empty slot, which no used one equals because the roots have tables of their own. */
#include "embed/vocab.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define ID_BITS 17
#define CHILD_BITS 20

static inline uint32_t slot_key(uint64_t slot)
{
	return (uint32_t)(slot >> (ID_BITS + CHILD_BITS));
}

static inline uint32_t slot_child(uint64_t slot)
{
	return (uint32_t)(slot >> ID_BITS) & ((1U << CHILD_BITS) - 1);
}

static inline int32_t slot_id(uint64_t slot)
{
	return (int32_t)(slot & ((1U << ID_BITS) - 1)) - 1;
}

static inline uint64_t make_slot(uint32_t key, uint32_t child)
{
	return (uint64_t)key << (ID_BITS + CHILD_BITS) | (uint64_t)child << ID_BITS;
}

static inline uint32_t place(const struct sg_vocab *v, uint32_t key)
{
	return (key * 0x9e3779b1U) >> v->shift;
}

/* The slot of key, or the empty one where it belongs. */
static inline uint64_t *probe(const struct sg_vocab *v, uint32_t key)
{
	uint32_t i = place(v, key);
	while (v->slots[i] && slot_key(v->slots[i]) != key)
		i = (i + 1) & v->mask;
	return &v->slots[i];
}

static int set_slots(struct sg_vocab *v, unsigned bits)
{
	uint64_t *slots = calloc((size_t)1 << bits, sizeof(*slots));
	if (!slots)
		return -SG_ENOMEM;
	v->slots = slots;
	v->mask = (1U << bits) - 1;
	v->shift = 32 - bits;
	return 0;
}

int sg_vocab_init(struct sg_vocab *v, size_t tokens)
{
	unsigned bits = 8;
	while (bits < 22 && ((size_t)1 << bits) < tokens * 5)
		bits++;
	*v = (struct sg_vocab){.nodes = 2};
	return set_slots(v, bits);
}

void sg_vocab_finish(struct sg_vocab *v)
{
	free(v->slots);
	v->slots = NULL;
}

static int grow(struct sg_vocab *v)
{
	struct sg_vocab old = *v;
	int r = set_slots(v, 32 - old.shift + 1);
	if (r < 0)
		return r;
	for (size_t i = 0; i <= old.mask; i++)
		if (old.slots[i])
			*probe(v, slot_key(old.slots[i])) = old.slots[i];
	free(old.slots);
	return 0;
}

/* The slot that leads from node by byte, made when missing. */
static int step(struct sg_vocab *v, uint32_t node, uint8_t byte, uint64_t **ret_slot)
{
	uint32_t key = node << 8 | byte;
	uint64_t *slot = node < 2 ? &v->first[node][byte] : probe(v, key);
	if (!*slot) {
		if (v->nodes >= SG_VOCAB_MAX_NODES)
			return -SG_ELIMIT;
		if (node >= 2 && ++v->used > v->mask / 4 * 3) {
			int r = grow(v);
			if (r < 0)
				return r;
			slot = probe(v, key);
		}
		*slot = make_slot(key, v->nodes++);
	}
	*ret_slot = slot;
	return 0;
}

int sg_vocab_add(struct sg_vocab *v, const char *token, size_t n, uint32_t id)
{
	if (n == 0)
		return -SG_EINVALID;
	if (n > SG_VOCAB_MAX_TOKEN_BYTES || id >= SG_VOCAB_MAX_IDS)
		return -SG_ELIMIT;
	uint32_t node = 0;
	if (n > 2 && memcmp(token, "##", 2) == 0) {
		node = 1;
		token += 2;
		n -= 2;
	}
	uint64_t *slot = NULL;
	for (size_t i = 0; i < n; i++) {
		int r = step(v, node, (uint8_t)token[i], &slot);
		if (r < 0)
			return r;
		node = slot_child(*slot);
	}
	if (slot_id(*slot) >= 0)
		return -SG_ECONFLICT;
	*slot |= id + 1;
	return 0;
}

/* Longest entry under root that s starts with: its bytes (0 = none) and id. */
static inline size_t longest(
	const struct sg_vocab *v, unsigned root, const uint8_t *s, size_t n, int32_t *ret_id)
{
	size_t best = 0;
	uint64_t slot = v->first[root][s[0]];
	for (size_t i = 1; slot; i++) {
		int32_t id = slot_id(slot);
		if (id >= 0) {
			best = i;
			*ret_id = id;
		}
		if (i == n)
			break;
		slot = *probe(v, slot_child(slot) << 8 | s[i]);
	}
	return best;
}

size_t sg_vocab_cut(const struct sg_vocab *v, const uint8_t *word, size_t n, int32_t *ret_ids,
	uint16_t *ret_ends)
{
	size_t at = longest(v, 0, word, n, &ret_ids[0]);
	if (!at)
		return 0;
	size_t pieces = 1;
	if (ret_ends)
		ret_ends[0] = (uint16_t)at;
	while (at < n) {
		size_t took = longest(v, 1, word + at, n - at, &ret_ids[pieces]);
		if (!took)
			return 0;
		at += took;
		if (ret_ends)
			ret_ends[pieces] = (uint16_t)at;
		pieces++;
	}
	return pieces;
}

int32_t sg_vocab_id(const struct sg_vocab *v, const char *token, size_t n)
{
	unsigned root = n > 2 && memcmp(token, "##", 2) == 0;
	int32_t id = -1;
	token += 2 * root;
	n -= 2 * root;
	return n && longest(v, root, (const uint8_t *)token, n, &id) == n ? id : -1;
}
