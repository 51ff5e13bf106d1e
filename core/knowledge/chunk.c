/* Cutting a text into pieces that the model can read whole.
 *
 * Tokens of a text are those of its words, so the pieces' counts add up. A text is taken apart into
 * sentences (a blank line, a heading, or a full stop and white space ends one), and sentences are
 * put together while they fit. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "embed/unicode.h"
#include "knowledge/source.h"

#define MAX_PIECES (SG_KNOW_MAX_CHUNKS * 16)

struct piece {
	size_t from, to; /* bytes of the text */
	size_t tokens;
};

struct cut {
	const struct sg_tokenizer *t;
	const char *text;
	size_t n, max;
	struct piece *list; /* owned */
	size_t n_list, cap;
};

static bool is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

static int count(const struct cut *c, size_t from, size_t to, size_t *ret, struct sg_error *err)
{
	struct sg_tokens tokens;
	int r = sg_tokenize(c->t, c->text + from, to - from, 0, &tokens, err);
	if (r < 0)
		return r;
	*ret = tokens.n - 2; /* without [CLS] and [SEP] */
	sg_tokens_finish(&tokens);
	return 0;
}

static int add(struct cut *c, size_t from, size_t to, size_t tokens, struct sg_error *err)
{
	if (c->n_list == MAX_PIECES)
		return sg_error_set(
			err, SG_ELIMIT, NULL, "a text of more than %d sentences", MAX_PIECES);
	if (c->n_list == c->cap) {
		size_t cap = c->cap ? c->cap * 2 : 32;
		struct piece *p = realloc(c->list, cap * sizeof(*p));
		if (!p)
			return sg_error_nomem(err);
		c->list = p;
		c->cap = cap;
	}
	c->list[c->n_list++] = (struct piece){from, to, tokens};
	return 0;
}

/* A run of characters without white space that has too many tokens: halves of it, at characters. */
static int add_long_word(struct cut *c, size_t from, size_t to, struct sg_error *err)
{
	size_t tokens;
	int r = count(c, from, to, &tokens, err);
	if (r < 0 || tokens <= c->max)
		return r < 0 ? r : add(c, from, to, tokens, err);
	size_t mid = from + (to - from) / 2;
	while (mid > from && sg_utf8_tail((uint8_t)c->text[mid]))
		mid--;
	if (mid == from) /* one character: more tokens than a piece may have cannot be */
		return add(c, from, to, c->max, err);
	r = add_long_word(c, from, mid, err);
	return r < 0 ? r : add_long_word(c, mid, to, err);
}

static size_t word_end(const struct cut *c, size_t at, size_t to)
{
	while (at < to && !is_space(c->text[at]))
		at++;
	while (at < to && is_space(c->text[at]))
		at++;
	return at;
}

/* A sentence that does not fit: as many words together as do. */
static int add_words(struct cut *c, size_t from, size_t to, struct sg_error *err)
{
	size_t begin = from, sum = 0;
	while (from < to) {
		size_t end = word_end(c, from, to), tokens;
		int r = count(c, from, end, &tokens, err);
		if (r == 0 && sum && sum + tokens > c->max) {
			r = add(c, begin, from, sum, err);
			begin = from;
			sum = 0;
		}
		if (r == 0 && tokens > c->max) {
			r = add_long_word(c, from, end, err);
			begin = end;
			tokens = 0;
		}
		if (r < 0)
			return r;
		sum += tokens;
		from = end;
	}
	return begin < to && sum ? add(c, begin, to, sum, err) : 0;
}

static int add_sentence(struct cut *c, size_t from, size_t to, struct sg_error *err)
{
	size_t tokens;
	int r = count(c, from, to, &tokens, err);
	if (r < 0 || tokens > c->max)
		return r < 0 ? r : add_words(c, from, to, err);
	return tokens ? add(c, from, to, tokens, err) : 0;
}

/* Just behind the end of the sentence that begins at `at`, and the white space after it. */
static size_t sentence_end(const struct cut *c, size_t at)
{
	bool heading = c->text[at] == '#';
	for (; at < c->n; at++) {
		char ch = c->text[at];
		char next = at + 1 < c->n ? c->text[at + 1] : '\n';
		if (ch == '\n' && (heading || next == '\n' || next == '#'))
			break;
		if ((ch == '.' || ch == '!' || ch == '?') && is_space(next))
			break;
	}
	at += at < c->n;
	while (at < c->n && is_space(c->text[at]))
		at++;
	return at;
}

static size_t trimmed(const char *text, size_t from, size_t to)
{
	while (to > from && is_space(text[to - 1]))
		to--;
	return to;
}

/* Puts neighbours together while they fit, and tells them. */
static int tell(const struct cut *c, size_t overlap,
	int (*each)(void *ctx, const char *piece, size_t n), void *ctx)
{
	size_t i = 0, told = 0;
	while (i < c->n_list) {
		size_t first = i, sum = c->list[i].tokens;
		while (++i < c->n_list && sum + c->list[i].tokens <= c->max)
			sum += c->list[i].tokens;
		/* what comes before, as far as it fits as well */
		size_t before = 0;
		while (first > told && before + c->list[first - 1].tokens <= overlap &&
			sum + c->list[first - 1].tokens <= c->max) {
			before += c->list[--first].tokens;
			sum += c->list[first].tokens;
		}
		size_t from = c->list[first].from;
		size_t to = trimmed(c->text, from, c->list[i - 1].to);
		int r = each(ctx, c->text + from, to - from);
		if (r != 0)
			return r;
		told = first + 1; /* each piece begins behind the beginning of the one before */
	}
	return 0;
}

int sg_know_chunk(const struct sg_tokenizer *t, const char *text, size_t n, size_t max_tokens,
	size_t overlap, int (*each)(void *ctx, const char *piece, size_t n), void *ctx,
	struct sg_error *err)
{
	struct cut c = {.t = t, .text = text, .n = n, .max = max_tokens};
	int r = 0;
	if (max_tokens < 1 || max_tokens > SG_KNOW_CHUNK_TOKENS || overlap >= max_tokens)
		return sg_error_set(err, SG_EINVALID, NULL,
			"chunks have 1 to %d tokens, and overlap by fewer", SG_KNOW_CHUNK_TOKENS);
	for (size_t at = 0; r == 0 && at < n;) {
		size_t end = sentence_end(&c, at);
		r = add_sentence(&c, at, end, err);
		at = end;
	}
	if (r == 0)
		r = c.n_list ? tell(&c, overlap, each, ctx) : each(ctx, text, n);
	free(c.list);
	return r;
}
