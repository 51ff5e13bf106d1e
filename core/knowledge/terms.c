/* The words of a text, as the text index counts them.
 *
 * Characters are normalized by the model's own tables (lower case, accents off); a word is a run of
 * letters and digits, a Chinese character is a word of its own. English plural endings are taken
 * off (Harman's S-stemmer), words that carry no meaning are left out. No locale, no dictionary: the
 * same terms everywhere. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "embed/unicode.h"
#include "knowledge/internal.h"
#include "knowledge/stem.h"

/* Sorted. */
static const char *const empty_words[] = {"a", "about", "an", "and", "are", "as", "at", "be",
	"been", "but", "by", "can", "do", "for", "from", "has", "have", "how", "if", "in", "into",
	"is", "it", "its", "like", "may", "me", "my", "no", "not", "of", "on", "or", "our", "so",
	"such", "than", "that", "the", "their", "them", "then", "there", "these", "they", "this",
	"to", "was", "we", "were", "what", "when", "which", "will", "with", "you", "your"};

struct word {
	char text[SG_KNOW_TERM_MAX + 1];
	size_t n;
	void (*each)(void *ctx, const char *term, size_t n);
	void *ctx;
};

static int compare(const void *key, const void *entry)
{
	return strcmp(key, *(const char *const *)entry);
}

static void end_word(struct word *w)
{
	if (!w->n)
		return;
	w->text[w->n] = '\0';
	if (!bsearch(w->text, empty_words, SG_ARRAY_LEN(empty_words), sizeof(*empty_words),
		    compare)) {
		w->n = sg_know_stem(w->text, w->n);
		w->text[w->n] = '\0';
		w->each(w->ctx, w->text, w->n);
	}
	w->n = 0;
}

/* A word longer than the limit is cut: its beginning is the term. */
static void add_char(struct word *w, uint32_t c)
{
	uint8_t utf8[4];
	size_t n = sg_utf8_encode(c, utf8);
	if (w->n + n > SG_KNOW_TERM_MAX)
		return;
	memcpy(w->text + w->n, utf8, n);
	w->n += n;
}

/* Chinese characters are words; other isolated characters (punctuation) only separate. */
static bool is_ideograph(uint32_t c)
{
	return (c >= 0x3400 && c <= 0x9fff) || (c >= 0xf900 && c <= 0xfaff) ||
	       (c >= 0x20000 && c <= 0x2fa1f);
}

static void entry(struct word *w, uint32_t c, uint32_t e)
{
	uint32_t ch = sg_uc_char(e) ? sg_uc_char(e) : c;
	switch (sg_uc_kind(e)) {
	case SG_UC_DROP:
	case SG_UC_BREAK: break;
	case SG_UC_WORD:
	case SG_UC_HANGUL: add_char(w, ch); break;
	case SG_UC_ISOLATED:
		end_word(w);
		if (is_ideograph(ch)) {
			add_char(w, ch);
			end_word(w);
		}
		break;
	default: end_word(w);
	}
}

void sg_know_terms(
	const char *text, size_t n, void (*each)(void *ctx, const char *term, size_t n), void *ctx)
{
	const uint8_t *p = (const uint8_t *)text, *end = p + n;
	struct word w = {.each = each, .ctx = ctx};
	while (p < end) {
		uint32_t c;
		size_t width = sg_utf8_decode(p, end, &c);
		if (!width) { /* not UTF-8: a separator */
			end_word(&w);
			p++;
			continue;
		}
		p += width;
		uint32_t e = sg_uc_entry(c);
		if (sg_uc_kind(e) != SG_UC_SEQ) {
			entry(&w, c, e);
			continue;
		}
		for (uint32_t i = 0; i < (sg_uc_char(e) & 15); i++)
			entry(&w, c, sg_unicode_sequences[(sg_uc_char(e) >> 4) + i]);
	}
	end_word(&w);
}
