/* A growing byte buffer with a limit: see buf.h for the policy. */
#include "base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sg_buf_finish(struct sg_buf *b)
{
	free(b->data);
	b->data = NULL;
	b->len = b->cap = 0;
}

void sg_buf_reset(struct sg_buf *b)
{
	b->len = 0;
	b->failed = false;
	if (b->data)
		b->data[0] = '\0';
}

static void fail(struct sg_buf *b)
{
	sg_buf_finish(b);
	b->failed = true;
}

void sg_buf_add_clips_string(struct sg_buf *b, const char *s)
{
	sg_buf_addc(b, '"');
	for (;;) {
		size_t n = strcspn(s, "\"\\");
		sg_buf_add(b, s, n);
		if (!s[n])
			break;
		sg_buf_addc(b, '\\');
		sg_buf_addc(b, s[n]);
		s += n + 1;
	}
	sg_buf_addc(b, '"');
}

char *sg_buf_reserve(struct sg_buf *b, size_t n)
{
	if (b->failed)
		return NULL;
	if (n > b->limit || b->len > b->limit - n) {
		fail(b);
		return NULL;
	}
	size_t need = b->len + n + 1;
	if (need > b->cap) {
		size_t cap = b->cap ? b->cap : 64;
		while (cap < need)
			cap += cap;
		char *p = realloc(b->data, cap);
		if (!p) {
			fail(b);
			return NULL;
		}
		b->data = p;
		b->cap = cap;
	}
	return b->data + b->len;
}

void sg_buf_add_growing(struct sg_buf *b, const void *data, size_t n)
{
	char *p = sg_buf_reserve(b, n);
	if (!p)
		return;
	if (n)
		memcpy(p, data, n);
	b->len += n;
	b->data[b->len] = '\0';
}

void sg_buf_addf(struct sg_buf *b, const char *fmt, ...)
{
	va_list ap;
	if (b->failed)
		return;
	size_t room = b->cap - b->len; /* mostly enough: then formatted once */
	va_start(ap, fmt);
	int n = vsnprintf(room ? b->data + b->len : NULL, room, fmt, ap);
	va_end(ap);
	if (n < 0) {
		fail(b);
		return;
	}
	char *p = sg_buf_reserve(b, (size_t)n);
	if (!p)
		return;
	if ((size_t)n >= room) {
		va_start(ap, fmt);
		(void)vsnprintf(p, (size_t)n + 1, fmt, ap);
		va_end(ap);
	}
	b->len += (size_t)n;
}

/* Of a character that has one: quote, backslash, or below 0x20. */
static const char *escape_of(unsigned char c, char tmp[8])
{
	switch (c) {
	case '"': return "\\\"";
	case '\\': return "\\\\";
	case '\b': return "\\b";
	case '\t': return "\\t";
	case '\n': return "\\n";
	case '\f': return "\\f";
	case '\r': return "\\r";
	default: break;
	}
	(void)snprintf(tmp, 8, "\\u%04x", c);
	return tmp;
}

#define EACH_BYTE(c) (0x0101010101010101ULL * (c))

/* Is one of eight bytes below 0x20, a quote or a backslash? May say yes for a byte of 0x80 and
 * above that stands after one that is; never no for one that is. */
static bool any_escaped(const char *s)
{
	uint64_t w;
	memcpy(&w, s, sizeof(w));
	uint64_t quote = w ^ EACH_BYTE('"'), slash = w ^ EACH_BYTE('\\');
	uint64_t hit = (w - EACH_BYTE(0x20)) & ~w;
	hit |= (quote - EACH_BYTE(1)) & ~quote;
	hit |= (slash - EACH_BYTE(1)) & ~slash;
	return (hit & EACH_BYTE(0x80)) != 0;
}

void sg_buf_add_json_escaped(struct sg_buf *b, const char *s, size_t n)
{
	size_t from = 0, i = 0;
	while (i < n) {
		if (n - i >= 8 && !any_escaped(s + i)) {
			i += 8;
			continue;
		}
		for (size_t end = n - i < 8 ? n : i + 8; i < end; i++) {
			unsigned char c = (unsigned char)s[i];
			char tmp[8];
			if (c >= 0x20 && c != '"' && c != '\\')
				continue;
			const char *esc = escape_of(c, tmp);
			sg_buf_add(b, s + from, i - from);
			sg_buf_adds(b, esc);
			from = i + 1;
		}
	}
	sg_buf_add(b, s + from, n - from);
}

void sg_buf_add_json_string(struct sg_buf *b, const char *s, size_t n)
{
	sg_buf_addc(b, '"');
	sg_buf_add_json_escaped(b, s, n);
	sg_buf_addc(b, '"');
}

char *sg_buf_take(struct sg_buf *b)
{
	if (!sg_buf_reserve(b, 0))
		return NULL;
	b->data[b->len] = '\0';
	char *p = b->data;
	b->data = NULL;
	b->len = b->cap = 0;
	return p;
}

void sg_buf_add_json_member(struct sg_buf *b, const char *key, const char *value)
{
	sg_buf_add(b, ",\"", 2);
	sg_buf_adds(b, key);
	sg_buf_add(b, "\":", 2);
	if (value)
		sg_buf_add_json_string(b, value, strlen(value));
	else
		sg_buf_adds(b, "null");
}
