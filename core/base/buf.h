/* A growing byte buffer with a limit (after curl's dynbuf).
 *
 * Appending past the limit or out of memory sets `failed` and frees the bytes; later appends do
 * nothing. So a chain of appends needs one check at its end. The bytes are always NUL-terminated
 * when data is not NULL; the terminator is not counted in len.
 */
#ifndef SG_BASE_BUF_H
#define SG_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct sg_buf {
	char *data;   /* owned; NULL while empty */
	size_t len;   /* bytes */
	size_t cap;   /* bytes allocated */
	size_t limit; /* most bytes it may hold */
	bool failed;
};

#define SG_BUF_INIT(max_bytes) ((struct sg_buf){.limit = (max_bytes)})

void sg_buf_finish(struct sg_buf *b); /* frees; b may be all zero */
void sg_buf_reset(struct sg_buf *b);  /* len = 0, keeps the memory, clears failed */
/* sg_buf_add where there is no room left. */
void sg_buf_add_growing(struct sg_buf *b, const void *data, size_t n);
/* Inline: lines and facts are made of thousands of short pieces. */
static inline void sg_buf_add(struct sg_buf *b, const void *data, size_t n)
{
	if (n == 0 || b->cap - b->len <= n || n > b->limit - b->len) {
		sg_buf_add_growing(b, data, n);
		return;
	}
	memcpy(b->data + b->len, data, n);
	b->len += n;
	b->data[b->len] = '\0';
}
static inline void sg_buf_adds(struct sg_buf *b, const char *s)
{
	sg_buf_add(b, s, strlen(s));
}
static inline void sg_buf_addc(struct sg_buf *b, char c)
{
	sg_buf_add(b, &c, 1);
}
void sg_buf_addf(struct sg_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A JSON string with its quotes, minimal escapes as RFC 8785 3.2.2.2 asks (\b \t \n \f \r \" \\
 * \u00xx); s must be valid UTF-8. */
void sg_buf_add_json_string(struct sg_buf *b, const char *s, size_t n);
/* The inside of such a string: the same without the quotes. */
void sg_buf_add_json_escaped(struct sg_buf *b, const char *s, size_t n);
/* ,"key":"value", or ,"key":null for NULL; the key is written as it is. */
void sg_buf_add_json_member(struct sg_buf *b, const char *key, const char *value);
/* A CLIPS string with its quotes: " and \ escaped, nothing else is special in one. */
void sg_buf_add_clips_string(struct sg_buf *b, const char *s);
/* Room for n more bytes at the end, or NULL when that failed; the caller then adds to len. */
char *sg_buf_reserve(struct sg_buf *b, size_t n);
/* Takes the bytes away from the buffer (caller frees); NULL if failed or out of memory. An empty
 * buffer gives an empty string. */
char *sg_buf_take(struct sg_buf *b);

#define sg_autobuf __attribute__((cleanup(sg_buf_finish))) struct sg_buf

#endif
