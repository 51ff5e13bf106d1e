/* Text to ids, exactly as Hugging Face's tokenizers: special tokens as written, BertNormalizer,
 * BertPreTokenizer, WordPiece, [CLS] … [SEP], truncation on the right.
 *
 * One pass over the bytes, one word in a fixed buffer, one allocation a text. ASCII takes a short
 * cut through a table; all else goes through the Unicode tables, which say what a code point
 * becomes. Only runs of combining marks that survive need more: NFD sorts them by class, which is
 * done while they are put into the word.
 */
#include "embed/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "embed/unicode.h"

enum ascii_class { ASCII_DROP, ASCII_SPACE, ASCII_ISOLATED, ASCII_NOT, ASCII_WORD };

#define WORD_BYTES (4 * SG_TOKENIZER_WORD_CHARS)

/* Where the word's bytes come from; kept only when spans are wanted. Byte offsets in the text. */
struct trace {
	size_t from, to;	   /* of the character being read */
	size_t word_from, word_to; /* of the word's characters, kept or not */
	struct sg_token_span *spans;
	struct {
		size_t from, to;
	} origin[WORD_BYTES + 4]; /* of each byte of word.text */
};

/* The word being gathered. Characters beyond the limit are counted, not kept. */
struct word {
	size_t chars, bytes;
	size_t marks; /* combining marks at its end, already in order */
	uint8_t text[WORD_BYTES + 4];
	uint8_t mark_class[SG_TOKENIZER_WORD_CHARS];
	uint8_t mark_bytes[SG_TOKENIZER_WORD_CHARS];
	struct trace *trace; /* NULL: spans are not wanted */
};

struct job {
	const struct sg_tokenizer *t;
	int32_t *ids; /* owned, room for keep + 2 */
	size_t keep;  /* most tokens kept, [CLS] and [SEP] aside */
	size_t n;     /* tokens found, kept or not, [CLS] and [SEP] aside */
	struct word w;
};

void sg_tokenizer_init_ascii(struct sg_tokenizer *t)
{
	for (uint32_t c = 0; c < 256; c++) {
		uint32_t e = sg_uc_entry(c), mapped = sg_uc_char(e) ? sg_uc_char(e) : c;
		switch (c < 128 ? sg_uc_kind(e) : SG_UC_SEQ) {
		case SG_UC_DROP: t->ascii[c] = ASCII_DROP; break;
		case SG_UC_SPACE: t->ascii[c] = ASCII_SPACE; break;
		case SG_UC_ISOLATED: t->ascii[c] = ASCII_ISOLATED; break;
		case SG_UC_WORD: t->ascii[c] = (uint8_t)mapped; break;
		default: t->ascii[c] = ASCII_NOT; break;
		}
	}
}

static inline void emit(struct job *j, int32_t id)
{
	if (j->n < j->keep)
		j->ids[1 + j->n] = id;
	j->n++;
}

static void emit_at(struct job *j, int32_t id, size_t from, size_t to)
{
	if (j->w.trace && j->n < j->keep)
		j->w.trace->spans[1 + j->n] = (struct sg_token_span){.from = from, .to = to};
	emit(j, id);
}

/* The pieces of a word that may not fit whole, or whose spans are wanted. */
static void emit_pieces(struct job *j)
{
	const struct trace *t = j->w.trace;
	int32_t pieces[WORD_BYTES];
	uint16_t ends[WORD_BYTES];
	size_t n = sg_vocab_cut(&j->t->vocab, j->w.text, j->w.bytes, pieces, ends);
	if (!n)
		emit_at(j, j->t->unk, t ? t->word_from : 0, t ? t->word_to : 0);
	for (size_t i = 0; i < n; i++) {
		size_t first = i ? ends[i - 1] : 0;
		emit_at(j, pieces[i], t ? t->origin[first].from : 0,
			t ? t->origin[ends[i] - 1].to : 0);
	}
}

/* width bytes of the word, from at on, come from the character being read. */
static void note_origin(struct word *w, size_t at, size_t width)
{
	struct trace *t = w->trace;
	if (w->chars == 0)
		t->word_from = t->from;
	t->word_to = t->to;
	for (size_t i = at; i < at + width; i++) {
		t->origin[i].from = t->from;
		t->origin[i].to = t->to;
	}
}

static inline void end_word(struct job *j)
{
	struct word *w = &j->w;
	if (!w->chars)
		return;
	if (w->chars > SG_TOKENIZER_WORD_CHARS) {
		emit_at(j, j->t->unk, w->trace ? w->trace->word_from : 0,
			w->trace ? w->trace->word_to : 0);
	} else if (j->n + w->bytes <= j->keep && !w->trace) {
		int32_t *out = &j->ids[1 + j->n];
		size_t n = sg_vocab_cut(&j->t->vocab, w->text, w->bytes, out, NULL);
		if (!n)
			out[n++] = j->t->unk;
		j->n += n;
	} else {
		emit_pieces(j);
	}
	w->chars = w->bytes = w->marks = 0;
}

static inline void add_char(struct word *w, uint32_t c)
{
	size_t width = 0;
	if (w->chars < SG_TOKENIZER_WORD_CHARS)
		width = sg_utf8_encode(c, w->text + w->bytes);
	if (w->trace)
		note_origin(w, w->bytes, width);
	w->bytes += width;
	w->chars++;
	w->marks = 0;
}

/* Inserts a mark behind those of its class or a lower one (canonical ordering, Unicode 3.11). */
static void add_mark(struct word *w, uint32_t c, uint8_t class)
{
	if (w->chars >= SG_TOKENIZER_WORD_CHARS) {
		if (w->trace)
			note_origin(w, 0, 0);
		w->chars++;
		return;
	}
	uint8_t enc[4], width = (uint8_t)sg_utf8_encode(c, enc);
	size_t i = w->marks, at = w->bytes;
	while (i > 0 && w->mark_class[i - 1] > class)
		at -= w->mark_bytes[--i];
	memmove(w->text + at + width, w->text + at, w->bytes - at);
	if (w->trace) {
		memmove(w->trace->origin + at + width, w->trace->origin + at,
			(w->bytes - at) * sizeof(w->trace->origin[0]));
		note_origin(w, at, width);
	}
	w->chars++;
	memcpy(w->text + at, enc, width);
	memmove(w->mark_class + i + 1, w->mark_class + i, w->marks - i);
	memmove(w->mark_bytes + i + 1, w->mark_bytes + i, w->marks - i);
	w->mark_class[i] = class;
	w->mark_bytes[i] = width;
	w->marks++;
	w->bytes += width;
}

static void isolated(struct job *j, uint32_t c)
{
	end_word(j);
	add_char(&j->w, c);
	end_word(j);
}

static void hangul(struct word *w, uint32_t c)
{
	uint32_t s = c - 0xac00;
	add_char(w, 0x1100 + s / 588);
	add_char(w, 0x1161 + s % 588 / 28);
	if (s % 28)
		add_char(w, 0x11a7 + s % 28);
}

static inline void entry(struct job *j, uint32_t e, uint32_t self)
{
	uint32_t c = sg_uc_char(e) ? sg_uc_char(e) : self;
	switch (sg_uc_kind(e)) {
	case SG_UC_DROP: break;
	case SG_UC_BREAK: j->w.marks = 0; break;
	case SG_UC_SPACE: end_word(j); break;
	case SG_UC_ISOLATED: isolated(j, c); break;
	default:
		if (sg_uc_class(e))
			add_mark(&j->w, c, (uint8_t)sg_uc_class(e));
		else
			add_char(&j->w, c);
	}
}

static void code_point(struct job *j, uint32_t c)
{
	uint32_t e = sg_uc_entry(c);
	if (sg_uc_kind(e) == SG_UC_HANGUL) {
		hangul(&j->w, c);
	} else if (sg_uc_kind(e) == SG_UC_SEQ) {
		const uint32_t *s = &sg_unicode_sequences[sg_uc_char(e) >> 4];
		for (uint32_t i = 0; i < (sg_uc_char(e) & 15); i++)
			entry(j, s[i], 0);
	} else {
		entry(j, e, c);
	}
}

/* Letters and digits from p on; returns where they end. */
static inline const uint8_t *ascii_word(struct job *j, const uint8_t *p, const uint8_t *end)
{
	struct word *w = &j->w;
	const uint8_t *ascii = j->t->ascii;
	if (w->trace) { /* one at a time */
		add_char(w, ascii[*p]);
		return p + 1;
	}
	if (w->chars >= SG_TOKENIZER_WORD_CHARS) {
		for (; p < end && ascii[*p] >= ASCII_WORD; p++)
			w->chars++;
		return p;
	}
	const uint8_t *start = p;
	size_t room = SG_TOKENIZER_WORD_CHARS - w->chars;
	const uint8_t *stop = (size_t)(end - p) > room ? p + room : end;
	uint8_t *out = w->text + w->bytes;
	for (uint8_t a; p < stop && (a = ascii[*p]) >= ASCII_WORD; p++)
		*out++ = a;
	w->chars += (size_t)(p - start);
	w->bytes += (size_t)(p - start);
	w->marks = 0;
	return p;
}

/* The special token written at p, or NULL. Its text is unmistakable: none contains another '['. */
static const struct sg_special *special_at(
	const struct sg_tokenizer *t, const uint8_t *p, const uint8_t *end)
{
	for (size_t i = 0; i < t->specials; i++) {
		const struct sg_special *s = &t->special[i];
		if ((size_t)(end - p) >= s->n && memcmp(p, s->text, s->n) == 0)
			return s;
	}
	return NULL;
}

/* One ASCII character that stands alone, or a special token; returns what follows it. */
static const uint8_t *ascii_isolated(struct job *j, const uint8_t *p, const uint8_t *end)
{
	const struct sg_special *s = *p == '[' ? special_at(j->t, p, end) : NULL;
	if (!s) {
		isolated(j, *p);
		return p + 1;
	}
	end_word(j);
	emit_at(j, s->id, j->w.trace ? j->w.trace->from : 0,
		j->w.trace ? j->w.trace->from + s->n : 0);
	return p + s->n;
}

static void read_at(struct trace *t, size_t from, size_t width)
{
	t->from = from;
	t->to = from + width;
}

/* Returns NULL at the end of the text, or the place where it is not UTF-8. */
static const uint8_t *run(struct job *j, const uint8_t *p, const uint8_t *end)
{
	const uint8_t *start = p;
	while (p < end) {
		if (j->w.trace)
			read_at(j->w.trace, (size_t)(p - start), 1);
		switch (j->t->ascii[*p]) {
		case ASCII_DROP: p++; break;
		case ASCII_SPACE:
			end_word(j);
			p++;
			break;
		case ASCII_ISOLATED: p = ascii_isolated(j, p, end); break;
		case ASCII_NOT: {
			uint32_t c = 0;
			size_t width = sg_utf8_decode(p, end, &c);
			if (!width)
				return p;
			if (j->w.trace)
				read_at(j->w.trace, (size_t)(p - start), width);
			code_point(j, c);
			p += width;
			break;
		}
		default: p = ascii_word(j, p, end); break;
		}
	}
	end_word(j);
	return NULL;
}

/* The ids of a text, room for them and, when trace is given, for its spans allocated here. */
static int tokenize(const struct sg_tokenizer *t, const char *text, size_t n, size_t max_tokens,
	struct trace *trace, struct sg_tokens *ret, struct sg_error *err)
{
	if (n > SG_TOKENIZE_MAX_BYTES)
		return sg_error_set(err, SG_ELIMIT, NULL,
			"text of %zu bytes, the limit (SG_TOKENIZE_MAX_BYTES) is %zu", n,
			(size_t)SG_TOKENIZE_MAX_BYTES);
	if (max_tokens == 1)
		return sg_error_set(
			err, SG_EINVALID, NULL, "max_tokens 1 leaves no room for [CLS] and [SEP]");
	struct job j = {.t = t, .keep = n, .w.trace = trace};
	if (max_tokens && max_tokens - 2 < n)
		j.keep = max_tokens - 2;
	sg_autofree int32_t *ids = j.ids = malloc((j.keep + 2) * sizeof(*ids));
	if (trace)
		trace->spans = calloc(j.keep + 2, sizeof(*trace->spans));
	if (!ids || (trace && !trace->spans))
		return sg_error_nomem(err);
	const uint8_t *start = (const uint8_t *)text;
	const uint8_t *bad = n ? run(&j, start, start + n) : NULL;
	if (bad)
		return sg_error_set(
			err, SG_EINVALID, NULL, "invalid UTF-8 at byte %zu", (size_t)(bad - start));
	size_t kept = j.n < j.keep ? j.n : j.keep;
	ids[0] = t->cls;
	ids[1 + kept] = t->sep;
	ret->ids = sg_steal(ids);
	ret->n = kept + 2;
	ret->dropped = j.n - kept;
	ret->truncated = ret->dropped > 0;
	return 0;
}

int sg_tokenize(const struct sg_tokenizer *t, const char *text, size_t n, size_t max_tokens,
	struct sg_tokens *ret, struct sg_error *err)
{
	return tokenize(t, text, n, max_tokens, NULL, ret, err);
}

static size_t characters(const char *text, size_t from, size_t to)
{
	size_t n = 0;
	for (size_t i = from; i < to; i++)
		n += !sg_utf8_tail((uint8_t)text[i]);
	return n;
}

/* Characters from bytes. A span seldom starts before the one before it (marks change places). */
static void count_characters(const char *text, struct sg_token_span *spans, size_t n)
{
	size_t byte = 0, character = 0;
	for (size_t i = 1; i + 1 < n; i++) {
		struct sg_token_span *s = &spans[i];
		if (s->from < byte)
			byte = character = 0;
		character += characters(text, byte, s->from);
		byte = s->from;
		s->start = character;
		s->stop = character + characters(text, s->from, s->to);
	}
	spans[0].framing = spans[n - 1].framing = true;
}

int sg_tokenize_spans(const struct sg_tokenizer *t, const char *text, size_t n, size_t max_tokens,
	struct sg_tokens *ret, struct sg_token_span **ret_spans, struct sg_error *err)
{
	struct trace trace = {0};
	struct sg_tokens tokens;
	int r = tokenize(t, text, n, max_tokens, &trace, &tokens, err);
	if (r < 0) {
		free(trace.spans);
		return r;
	}
	trace.spans[tokens.n - 1] = (struct sg_token_span){0};
	count_characters(text, trace.spans, tokens.n);
	*ret = tokens;
	*ret_spans = trace.spans;
	return 0;
}

void sg_tokens_finish(struct sg_tokens *t)
{
	free(t->ids);
	t->ids = NULL;
	t->n = 0;
}
