/* The fast way in for JSON as clients write it: Jansson takes every byte of a text through a
 * function call (45 MB/s here), and a body of 8 KB was a sixth of what its run cost.
 *
 * It takes only what it is sure about. Anything else (an error, \u, an integer of 19 digits, deep
 * nesting) gives NULL and the whole text goes to Jansson, who decides and words the error. So there
 * is one meaning of JSON here, Jansson's; tests and fuzz_json hold the two against each other. */
#include "base/json_read.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"

#define NUMBER_MAX 64  /* characters of a number */
#define SAFE_DIGITS 18 /* any integer of so many fits 64 bit */
#define UNESCAPED_MAX (64U << 20)

struct reader {
	const char *p, *end;
	unsigned depth;
	struct sg_buf text; /* of the last string that had escapes */
};

static json_t *read_value(struct reader *r);

static void skip_space(struct reader *r)
{
	while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' || *r->p == '\t' || *r->p == '\r'))
		r->p++;
}

/* Skips white space and this character, if it is the next one. */
static bool take(struct reader *r, char c)
{
	skip_space(r);
	if (r->p == r->end || *r->p != c)
		return false;
	r->p++;
	return true;
}

#define EACH_BYTE(c) (0x0101010101010101ULL * (c))

/* To the next quote, backslash or control character; *ret_high: a byte of 0x80 or above was met.
 * The first test of eight bytes may call one special that is not; the second looks at each. */
static const char *plain_end(const char *p, const char *end, bool *ret_high)
{
	uint64_t high = 0, w;
	for (; end - p >= 8; p += 8) {
		memcpy(&w, p, sizeof(w));
		uint64_t quote = w ^ EACH_BYTE('"'), slash = w ^ EACH_BYTE('\\');
		uint64_t hit = ((w - EACH_BYTE(0x20)) & ~w) | ((quote - EACH_BYTE(1)) & ~quote) |
			       ((slash - EACH_BYTE(1)) & ~slash);
		if (hit & EACH_BYTE(0x80))
			break;
		high |= w;
	}
	for (; p < end && (unsigned char)*p >= 0x20 && *p != '"' && *p != '\\'; p++)
		high |= (unsigned char)*p;
	*ret_high |= (high & EACH_BYTE(0x80)) != 0;
	return p;
}

static char unescaped(char c)
{
	switch (c) {
	case '"':
	case '\\':
	case '/': return c;
	case 'b': return '\b';
	case 'f': return '\f';
	case 'n': return '\n';
	case 'r': return '\r';
	case 't': return '\t';
	default: return '\0';
	}
}

/* The rest of a string after its first backslash, into r->text, which holds what stood before. */
static bool read_escaped(struct reader *r, bool *ret_high)
{
	while (r->p < r->end && *r->p == '\\') {
		char c = r->end - r->p > 1 ? unescaped(r->p[1]) : '\0';
		if (!c)
			return false;
		sg_buf_addc(&r->text, c);
		r->p += 2;
		const char *from = r->p;
		r->p = plain_end(r->p, r->end, ret_high);
		sg_buf_add(&r->text, from, (size_t)(r->p - from));
	}
	return !r->text.failed;
}

/* After the opening quote. The bytes are the input's or r->text's: valid until the next string. */
static bool read_text(struct reader *r, const char **ret, size_t *ret_len, bool *ret_high)
{
	const char *from = r->p;
	*ret_high = false;
	r->p = plain_end(r->p, r->end, ret_high);
	*ret = from;
	*ret_len = (size_t)(r->p - from);
	if (r->p < r->end && *r->p == '\\') {
		sg_buf_reset(&r->text);
		sg_buf_add(&r->text, from, (size_t)(r->p - from));
		if (!read_escaped(r, ret_high))
			return false;
		*ret = r->text.data;
		*ret_len = r->text.len;
	}
	if (r->p == r->end || *r->p != '"')
		return false;
	r->p++;
	return true;
}

static json_t *read_string(struct reader *r)
{
	const char *s;
	size_t n;
	bool high;
	if (!read_text(r, &s, &n, &high))
		return NULL;
	return high ? json_stringn(s, n) : json_stringn_nocheck(s, n);
}

static size_t digits(const char *p, const char *end)
{
	const char *from = p;
	while (p < end && *p >= '0' && *p <= '9')
		p++;
	return (size_t)(p - from);
}

/* From the fraction or exponent on: the length of both together, 0 when malformed. */
static size_t real_tail(const char *from, const char *end)
{
	const char *p = from;
	if (p < end && *p == '.') {
		size_t n = digits(++p, end);
		if (!n)
			return 0;
		p += n;
	}
	if (p < end && (*p == 'e' || *p == 'E')) {
		p++;
		if (p < end && (*p == '+' || *p == '-'))
			p++;
		size_t n = digits(p, end);
		if (!n)
			return 0;
		p += n;
	}
	return (size_t)(p - from);
}

static json_t *read_real(struct reader *r, const char *from, const char *tail)
{
	char text[NUMBER_MAX];
	size_t n = real_tail(tail, r->end), len = (size_t)(tail - from) + n;
	if (!n || len >= sizeof(text))
		return NULL;
	memcpy(text, from, len);
	text[len] = '\0';
	double v = strtod(text, NULL);
	r->p = tail + n;
	return isfinite(v) ? json_real(v) : NULL;
}

static json_t *read_number(struct reader *r)
{
	const char *from = r->p, *p = from + (*from == '-');
	size_t n = digits(p, r->end);
	if (n == 0 || n > SAFE_DIGITS || (n > 1 && *p == '0'))
		return NULL;
	const char *end = p + n;
	if (end < r->end && (*end == '.' || *end == 'e' || *end == 'E'))
		return read_real(r, from, end);
	json_int_t v = 0;
	for (; p < end; p++)
		v = v * 10 + (*p - '0');
	r->p = end;
	return json_integer(*from == '-' ? -v : v);
}

static json_t *read_word(struct reader *r, const char *word, json_t *value)
{
	size_t n = strlen(word);
	if ((size_t)(r->end - r->p) < n || memcmp(r->p, word, n) != 0)
		return NULL;
	r->p += n;
	return value;
}

/* The member after which a comma or the end follows. A key that is there already is Jansson's to
 * refuse; its text is copied before the value's strings use r->text. */
static bool read_member(struct reader *r, json_t *object)
{
	const char *s;
	size_t n;
	bool high;
	char copy[256];
	if (!take(r, '"') || !read_text(r, &s, &n, &high) || high || n >= sizeof(copy))
		return false;
	memcpy(copy, s, n);
	if (!take(r, ':') || json_object_getn(object, copy, n))
		return false;
	skip_space(r);
	return json_object_setn_new_nocheck(object, copy, n, read_value(r)) == 0;
}

static bool read_members(struct reader *r, json_t *object)
{
	if (take(r, '}'))
		return true;
	do {
		if (!read_member(r, object))
			return false;
	} while (take(r, ','));
	return take(r, '}');
}

static bool read_elements(struct reader *r, json_t *array)
{
	if (take(r, ']'))
		return true;
	do {
		skip_space(r);
		if (json_array_append_new(array, read_value(r)) < 0)
			return false;
	} while (take(r, ','));
	return take(r, ']');
}

static json_t *read_container(struct reader *r)
{
	bool object = *r->p++ == '{';
	if (++r->depth > SG_JSON_MAX_DEPTH)
		return NULL;
	json_t *v = object ? json_object() : json_array();
	if (!v || !(object ? read_members(r, v) : read_elements(r, v))) {
		json_decref(v);
		return NULL;
	}
	r->depth--;
	return v;
}

static json_t *read_value(struct reader *r)
{
	if (r->p == r->end)
		return NULL;
	switch (*r->p) {
	case '{':
	case '[': return read_container(r);
	case '"': r->p++; return read_string(r);
	case 't': return read_word(r, "true", json_true());
	case 'f': return read_word(r, "false", json_false());
	case 'n': return read_word(r, "null", json_null());
	default: return read_number(r);
	}
}

json_t *sg_json_read(const char *text, size_t n)
{
	struct reader r = {.p = text, .end = text + n, .text = SG_BUF_INIT(UNESCAPED_MAX)};
	skip_space(&r);
	json_t *v = read_value(&r);
	skip_space(&r);
	if (v && r.p != r.end) {
		json_decref(v);
		v = NULL;
	}
	sg_buf_finish(&r.text);
	return v;
}
