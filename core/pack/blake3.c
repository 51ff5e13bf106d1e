/* BLAKE3 as its paper describes it: chunks of 1024 bytes, each a chain of 64-byte blocks, joined
 * into a binary tree whose left subtrees are complete. */
#include "pack/blake3.h"

#include <string.h>

enum { CHUNK_START = 1, CHUNK_END = 2, PARENT = 4, ROOT = 8 };

static const uint32_t iv[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f,
	0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

static const uint8_t permutation[16] = {2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8};

static uint32_t rotate(uint32_t x, unsigned n)
{
	return x >> n | x << (32 - n);
}

static uint32_t load32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void quarter(uint32_t *v, int a, int b, int c, int d, uint32_t x, uint32_t y)
{
	v[a] += v[b] + x;
	v[d] = rotate(v[d] ^ v[a], 16);
	v[c] += v[d];
	v[b] = rotate(v[b] ^ v[c], 12);
	v[a] += v[b] + y;
	v[d] = rotate(v[d] ^ v[a], 8);
	v[c] += v[d];
	v[b] = rotate(v[b] ^ v[c], 7);
}

static void round_(uint32_t v[16], const uint32_t m[16])
{
	quarter(v, 0, 4, 8, 12, m[0], m[1]);
	quarter(v, 1, 5, 9, 13, m[2], m[3]);
	quarter(v, 2, 6, 10, 14, m[4], m[5]);
	quarter(v, 3, 7, 11, 15, m[6], m[7]);
	quarter(v, 0, 5, 10, 15, m[8], m[9]);
	quarter(v, 1, 6, 11, 12, m[10], m[11]);
	quarter(v, 2, 7, 8, 13, m[12], m[13]);
	quarter(v, 3, 4, 9, 14, m[14], m[15]);
}

/* The first half of the output, which is the chaining value and, at the root, the digest. */
static void compress(const uint32_t cv[8], const uint32_t block[16], uint64_t counter, uint32_t len,
	uint32_t flags, uint32_t ret[8])
{
	uint32_t v[16], m[16], next[16];
	memcpy(v, cv, 32);
	memcpy(v + 8, iv, 16);
	v[12] = (uint32_t)counter;
	v[13] = (uint32_t)(counter >> 32);
	v[14] = len;
	v[15] = flags;
	memcpy(m, block, sizeof(m));
	for (int r = 0; r < 7; r++) {
		round_(v, m);
		for (int i = 0; i < 16; i++)
			next[i] = m[permutation[i]];
		memcpy(m, next, sizeof(m));
	}
	for (int i = 0; i < 8; i++)
		ret[i] = v[i] ^ v[i + 8];
}

static void compress_block(
	const struct sg_blake3 *h, uint32_t flags, uint64_t counter, uint32_t ret[8])
{
	uint8_t padded[SG_BLAKE3_BLOCK] = {0};
	uint32_t m[16];
	memcpy(padded, h->block, h->n_block);
	for (int i = 0; i < 16; i++)
		m[i] = load32(padded + 4 * i);
	if (h->n_blocks == 0)
		flags |= CHUNK_START;
	compress(h->cv, m, counter, (uint32_t)h->n_block, flags, ret);
}

static void join(const uint32_t left[8], const uint32_t right[8], uint32_t flags, uint32_t ret[8])
{
	uint32_t m[16];
	memcpy(m, left, 32);
	memcpy(m + 8, right, 32);
	compress(iv, m, 0, SG_BLAKE3_BLOCK, PARENT | flags, ret);
}

static void start_chunk(struct sg_blake3 *h)
{
	memcpy(h->cv, iv, sizeof(h->cv));
	h->n_block = 0;
	h->n_blocks = 0;
}

void sg_blake3_init(struct sg_blake3 *h)
{
	h->n_stack = 0;
	h->chunks = 0;
	start_chunk(h);
}

/* A finished chunk closes one subtree for every trailing zero bit of the new count. */
static void finish_chunk(struct sg_blake3 *h)
{
	uint32_t cv[8];
	compress_block(h, CHUNK_END, h->chunks, cv);
	h->chunks++;
	for (uint64_t n = h->chunks; !(n & 1); n >>= 1)
		join(h->stack[--h->n_stack], cv, 0, cv);
	memcpy(h->stack[h->n_stack++], cv, sizeof(cv));
	start_chunk(h);
}

/* A full block waits until more comes: only then is it known not to be the last. */
static void make_room(struct sg_blake3 *h)
{
	if (h->n_block < SG_BLAKE3_BLOCK)
		return;
	if (h->n_blocks == SG_BLAKE3_CHUNK / SG_BLAKE3_BLOCK - 1) {
		finish_chunk(h);
		return;
	}
	compress_block(h, 0, h->chunks, h->cv);
	h->n_blocks++;
	h->n_block = 0;
}

void sg_blake3_update(struct sg_blake3 *h, const void *data, size_t n)
{
	const uint8_t *p = data;
	while (n) {
		make_room(h);
		size_t take = SG_BLAKE3_BLOCK - h->n_block;
		if (take > n)
			take = n;
		memcpy(h->block + h->n_block, p, take);
		h->n_block += take;
		p += take;
		n -= take;
	}
}

void sg_blake3_final(const struct sg_blake3 *h, uint8_t ret_digest[SG_BLAKE3_BYTES])
{
	uint32_t cv[8];
	compress_block(h, h->n_stack ? CHUNK_END : CHUNK_END | ROOT, h->chunks, cv);
	for (size_t i = h->n_stack; i > 0; i--)
		join(h->stack[i - 1], cv, i == 1 ? ROOT : 0, cv);
	for (int i = 0; i < 8; i++)
		for (int k = 0; k < 4; k++)
			ret_digest[4 * i + k] = (uint8_t)(cv[i] >> (8 * k));
}
