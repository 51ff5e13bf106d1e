/* The tokenizer's insides, shared by its loader and its loop. */
#ifndef SG_EMBED_TOKENIZER_H
#define SG_EMBED_TOKENIZER_H

#include "embed/embed.h"
#include "embed/vocab.h"

#define SG_TOKENIZER_MAX_SPECIALS 16
#define SG_TOKENIZER_MAX_SPECIAL_BYTES 32
#define SG_TOKENIZER_WORD_CHARS 100 /* longer words are [UNK]: characters after normalizing */

/* A token matched as written in the text, before any normalizing. Starts with '['. */
struct sg_special {
	char text[SG_TOKENIZER_MAX_SPECIAL_BYTES];
	uint8_t n; /* bytes */
	int32_t id;
};

struct sg_tokenizer {
	struct sg_vocab vocab;
	struct sg_special special[SG_TOKENIZER_MAX_SPECIALS]; /* longest first */
	size_t specials;
	int32_t cls, sep, unk;
	/* By first byte: the lowercase byte when it is a word's, else one of enum ascii_class. */
	uint8_t ascii[256];
};

/* The contents of a tokenizer.json. Errors name the field. Caller destroys (model.h). */
int sg_tokenizer_parse(struct sg_tokenizer **ret, const char *text, size_t n, struct sg_error *err);

/* vocab.txt: line n is the token with id n. SG_EINVALID names the line. */
int sg_tokenizer_check_vocab(
	const struct sg_tokenizer *t, const char *text, size_t n, struct sg_error *err);

/* Fills ascii[] from the Unicode tables; the rest is the loader's. */
void sg_tokenizer_init_ascii(struct sg_tokenizer *t);

#endif
