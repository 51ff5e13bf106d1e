/* The x-forwarded-client-cert parser. */
#include "serve/xfcc.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/hash.h"

struct pair {
	const char *key, *value;
	size_t key_len, value_len;
	bool quoted;
};

struct seen {
	bool by, hash, cert, chain, subject;
};

static int bad(struct sg_error *err, const char *what, size_t at)
{
	return sg_error_set(err, SG_EINVALID, "invalid-xfcc",
		"x-forwarded-client-cert, byte %zu: %s", at, what);
}

/* The content between the quotes; a backslash takes the next character along. */
static int read_quoted(const char *s, size_t n, size_t *pos, struct pair *p, struct sg_error *err)
{
	size_t start = ++*pos;
	while (*pos < n && s[*pos] != '"')
		*pos += s[*pos] == '\\' ? 2 : 1;
	if (*pos >= n)
		return bad(err, "a quote is not closed", start);
	p->value = s + start;
	p->value_len = *pos - start;
	p->quoted = true;
	(*pos)++;
	return 0;
}

static int read_pair(const char *s, size_t n, size_t *pos, struct pair *p, struct sg_error *err)
{
	size_t start = *pos;
	while (*pos < n && isalpha((unsigned char)s[*pos]))
		(*pos)++;
	*p = (struct pair){.key = s + start, .key_len = *pos - start};
	if (p->key_len == 0 || *pos == n || s[*pos] != '=')
		return bad(err, "a key and '=' expected", start);
	(*pos)++;
	if (*pos < n && s[*pos] == '"')
		return read_quoted(s, n, pos, p, err);
	p->value = s + *pos;
	while (*pos < n && !strchr(",;\"\\", s[*pos]))
		(*pos)++;
	p->value_len = (size_t)(s + *pos - p->value);
	return 0;
}

static bool is(const struct pair *p, const char *key)
{
	return strlen(key) == p->key_len && memcmp(p->key, key, p->key_len) == 0;
}

static bool once(bool *seen)
{
	bool first = !*seen;
	*seen = true;
	return first;
}

/* One SAN item: what our comma list can carry unambiguously. */
static int take_san(
	struct sg_buf *san, const char *type, const struct pair *p, size_t at, struct sg_error *err)
{
	for (size_t i = 0; i < p->value_len; i++)
		if (p->value[i] <= ' ' || p->value[i] >= 0x7f || strchr(",;\"\\", p->value[i]))
			return bad(err, "a character that no SAN may have here", at);
	sg_buf_adds(san, san->len ? "," : "");
	sg_buf_adds(san, type);
	sg_buf_add(san, p->value, p->value_len);
	return 0;
}

static int take_hash(struct sg_buf *hash, const struct pair *p, size_t at, struct sg_error *err)
{
	uint8_t digest[SG_SHA256_BYTES];
	char hex[SG_SHA256_HEX];
	if (p->quoted || sg_hex_decode(p->value, p->value_len, digest, sizeof(digest)) < 0)
		return bad(err, "Hash must be 64 hex digits", at);
	sg_hex_encode(digest, sizeof(digest), hex);
	sg_buf_adds(hash, hex);
	return 0;
}

int sg_xfcc_parse(const char *text, size_t n, struct sg_xfcc *ret, struct sg_error *err)
{
	if (n > SG_XFCC_MAX)
		return bad(err, "the header is too long", n);
	sg_autobuf subject = SG_BUF_INIT(SG_XFCC_MAX);
	sg_autobuf hash = SG_BUF_INIT(SG_SHA256_HEX);
	sg_autobuf san = SG_BUF_INIT(2 * SG_XFCC_MAX);
	struct seen seen = {0};
	for (size_t pos = 0;;) {
		struct pair p;
		size_t at = pos;
		int r = read_pair(text, n, &pos, &p, err);
		if (r < 0)
			return r;
		if (is(&p, "Subject") && once(&seen.subject) && p.quoted)
			sg_buf_add(&subject, p.value, p.value_len);
		else if (is(&p, "Hash") && once(&seen.hash))
			r = take_hash(&hash, &p, at, err);
		else if (is(&p, "URI"))
			r = p.value_len ? take_san(&san, "URI:", &p, at, err) : 0;
		else if (is(&p, "DNS"))
			r = p.value_len ? take_san(&san, "DNS:", &p, at, err) : 0;
		else if (!(is(&p, "By") && once(&seen.by)) &&
			 !(is(&p, "Cert") && once(&seen.cert)) &&
			 !(is(&p, "Chain") && once(&seen.chain)))
			return bad(err,
				"a key that is unknown, repeated or not quoted as it must be", at);
		if (r < 0)
			return r;
		if (pos == n)
			break;
		if (text[pos] != ';')
			return bad(err, text[pos] == ',' ? "more than one element" : "';' expected",
				pos);
		pos++;
	}
	struct sg_xfcc x = {sg_buf_take(&subject), sg_buf_take(&hash), sg_buf_take(&san)};
	if (!x.subject || !x.fingerprint || !x.san) {
		sg_xfcc_finish(&x);
		return sg_error_nomem(err);
	}
	*ret = x;
	return 0;
}

void sg_xfcc_finish(struct sg_xfcc *x)
{
	free(x->subject);
	free(x->fingerprint);
	free(x->san);
	*x = (struct sg_xfcc){0};
}
