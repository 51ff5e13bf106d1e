/* What the model's normalizer makes of each code point, and strict UTF-8.
 *
 * The tables come from the pinned `tokenizers` package (gen_unicode.py): cleaning, the white space
 * around Chinese characters, NFD, the removal of nonspacing marks, lowercase, and where words are
 * split, in one entry a code point.
 */
#ifndef SG_EMBED_UNICODE_H
#define SG_EMBED_UNICODE_H

#include <stddef.h>
#include <stdint.h>

/* Kinds of entry. */
enum {
	SG_UC_DROP,	/* removed before anything else sees it */
	SG_UC_BREAK,	/* removed, but ends a run of combining marks (a mark of class 0) */
	SG_UC_SPACE,	/* separates words */
	SG_UC_ISOLATED, /* a word of its own: punctuation, Chinese */
	SG_UC_WORD,	/* part of a word */
	SG_UC_SEQ,	/* several entries, none of them SG_UC_SEQ or SG_UC_HANGUL */
	SG_UC_HANGUL,	/* a syllable: two or three WORD jamo */
};

/* class:8 kind:3 char:21. char 0 = the code point itself; of a SEQ: index << 4 | count. class is
 * the canonical combining class of a mark that is kept, else 0. */
extern const uint8_t sg_unicode_stage1[8704];
extern const uint32_t sg_unicode_stage2[20736];
extern const uint32_t sg_unicode_sequences[91];

static inline uint32_t sg_uc_entry(uint32_t c)
{
	return sg_unicode_stage2[(uint32_t)sg_unicode_stage1[c >> 7] << 7 | (c & 127)];
}

static inline unsigned sg_uc_kind(uint32_t entry)
{
	return entry >> 21 & 7;
}

static inline unsigned sg_uc_class(uint32_t entry)
{
	return entry >> 24;
}

static inline uint32_t sg_uc_char(uint32_t entry)
{
	return entry & 0x1fffff;
}

static inline int sg_utf8_tail(uint8_t c)
{
	return (c & 0xc0) == 0x80;
}

/* Decodes the character at p < end (Unicode table 3-7: no overlong forms, no surrogates). Returns
 * its width in bytes, 0 when it is not UTF-8. */
static inline size_t sg_utf8_decode(const uint8_t *p, const uint8_t *end, uint32_t *ret_c)
{
	size_t left = (size_t)(end - p);
	uint8_t a = p[0];
	if (a < 0x80) {
		*ret_c = a;
		return 1;
	}
	if (a < 0xc2 || left < 2 || !sg_utf8_tail(p[1]))
		return 0;
	if (a < 0xe0) {
		*ret_c = (a & 0x1fU) << 6 | (p[1] & 0x3fU);
		return 2;
	}
	if (left < 3 || !sg_utf8_tail(p[2]))
		return 0;
	if (a < 0xf0) {
		*ret_c = (a & 0x0fU) << 12 | (p[1] & 0x3fU) << 6 | (p[2] & 0x3fU);
		return *ret_c < 0x800 || (*ret_c >> 11) == 0x1b ? 0 : 3;
	}
	if (a > 0xf4 || left < 4 || !sg_utf8_tail(p[3]))
		return 0;
	*ret_c = (a & 0x07U) << 18 | (p[1] & 0x3fU) << 12 | (p[2] & 0x3fU) << 6 | (p[3] & 0x3fU);
	return *ret_c < 0x10000 || *ret_c > 0x10ffff ? 0 : 4;
}

/* Writes c (a scalar value) to p, which has room for 4 bytes; returns the width. */
static inline size_t sg_utf8_encode(uint32_t c, uint8_t *p)
{
	if (c < 0x80) {
		p[0] = (uint8_t)c;
		return 1;
	}
	if (c < 0x800) {
		p[0] = (uint8_t)(0xc0 | c >> 6);
		p[1] = (uint8_t)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		p[0] = (uint8_t)(0xe0 | c >> 12);
		p[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
		p[2] = (uint8_t)(0x80 | (c & 0x3f));
		return 3;
	}
	p[0] = (uint8_t)(0xf0 | c >> 18);
	p[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
	p[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
	p[3] = (uint8_t)(0x80 | (c & 0x3f));
	return 4;
}

#endif
