/* BLAKE3, plain hashing with 32 bytes of output (https://github.com/BLAKE3-team/BLAKE3-specs, the
 * paper of 2020). Here because packs that the original signed carry BLAKE3 tree hashes and Debian
 * 12 has no library for it. Portable, one block at a time. */
#ifndef SG_PACK_BLAKE3_H
#define SG_PACK_BLAKE3_H

#include <stddef.h>
#include <stdint.h>

#define SG_BLAKE3_BYTES 32
#define SG_BLAKE3_CHUNK 1024
#define SG_BLAKE3_BLOCK 64
#define SG_BLAKE3_MAX_DEPTH 54 /* 2^54 chunks of 2^10 bytes: all of 2^64 */

struct sg_blake3 {
	uint32_t stack[SG_BLAKE3_MAX_DEPTH][8]; /* roots of finished subtrees, largest first */
	size_t n_stack;
	uint32_t cv[8];	 /* of the chunk being read */
	uint64_t chunks; /* finished so far */
	uint8_t block[SG_BLAKE3_BLOCK];
	size_t n_block;	   /* bytes in block */
	unsigned n_blocks; /* blocks of this chunk already compressed */
};

void sg_blake3_init(struct sg_blake3 *h);
void sg_blake3_update(struct sg_blake3 *h, const void *data, size_t n);
/* h is left as it was: more may be added and another digest taken. */
void sg_blake3_final(const struct sg_blake3 *h, uint8_t ret_digest[SG_BLAKE3_BYTES]);

#endif
