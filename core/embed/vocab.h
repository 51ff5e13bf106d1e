/* The WordPiece vocabulary as a byte trie: longest match first, one memory access a byte.
 *
 * Two tries share one table: words and, under a second root, the "##" continuations. Read-only
 * once built. Source: WordPiece as in BERT (Devlin 2018) and the tokenizers package's model.
 */
#ifndef SG_EMBED_VOCAB_H
#define SG_EMBED_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SG_VOCAB_MAX_IDS 100000	     /* ids fit 17 bits */
#define SG_VOCAB_MAX_TOKEN_BYTES 256 /* of one token */
#define SG_VOCAB_MAX_NODES (1U << 19)

struct sg_vocab {
	uint64_t *slots; /* owned, open addressing: node and byte -> child and id */
	uint32_t mask;	 /* slots - 1 */
	unsigned shift;
	uint32_t nodes;
	uint32_t used;
	uint64_t first[2][256]; /* the roots: 0 words, 1 continuations */
};

/* Room for about that many tokens; grows by itself. Returns -SG_ENOMEM or 0. */
int sg_vocab_init(struct sg_vocab *v, size_t tokens);
void sg_vocab_finish(struct sg_vocab *v);

/* Adds token under its id. "##x" goes to the continuations as "x". Returns 0, -SG_ENOMEM,
 * -SG_ELIMIT (id, length or nodes), -SG_ECONFLICT (there already) or -SG_EINVALID (empty). */
int sg_vocab_add(struct sg_vocab *v, const char *token, size_t n, uint32_t id);

/* Cuts a word (n bytes of UTF-8, at least one) into pieces, longest first: up to n ids to ret_ids
 * and, unless NULL, where each ends to ret_ends. Returns how many, 0 when the word cannot be cut.
 */
size_t sg_vocab_cut(const struct sg_vocab *v, const uint8_t *word, size_t n, int32_t *ret_ids,
	uint16_t *ret_ends);

/* The id of exactly this token, written as in sg_vocab_add, or -1. */
int32_t sg_vocab_id(const struct sg_vocab *v, const char *token, size_t n);

#endif
