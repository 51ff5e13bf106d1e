/* Base64: see base64.h. */
#include "base/base64.h"

#include <openssl/evp.h>
#include <string.h>

#include "base/error.h"

static const char url_alphabet[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

#define CODE_MAX (1U << 20) /* bytes of one text */

void sg_base64_add(struct sg_buf *b, const void *data, size_t n)
{
	if (n > CODE_MAX) {
		b->failed = true;
		return;
	}
	char *room = sg_buf_reserve(b, SG_BASE64_LEN(n) + 1);
	if (!room)
		return;
	b->len += (size_t)EVP_EncodeBlock((unsigned char *)room, data, (int)n);
}

int sg_base64_decode(const char *text, size_t n, uint8_t *ret, size_t room)
{
	sg_autobuf raw = SG_BUF_INIT(CODE_MAX), back = SG_BUF_INIT(2 * CODE_MAX);
	size_t pad = n >= 1 && text[n - 1] == '=';
	pad += n >= 2 && text[n - 1] == '=' && text[n - 2] == '=';
	if (n % 4 || n > CODE_MAX || memchr(text, '\n', n))
		return -SG_EINVALID;
	if (n == 0)
		return 0;
	unsigned char *out = (unsigned char *)sg_buf_reserve(&raw, n / 4 * 3);
	int len = out ? EVP_DecodeBlock(out, (const unsigned char *)text, (int)n) : -1;
	if (len < 0 || (size_t)len < pad || (size_t)len - pad > room)
		return -SG_EINVALID;
	len -= (int)pad;
	/* EVP skips white space and takes any stray bits: only what encodes back is well-formed. */
	sg_base64_add(&back, out, (size_t)len);
	if (back.failed || back.len != n || memcmp(back.data, text, n) != 0)
		return -SG_EINVALID;
	memcpy(ret, out, (size_t)len);
	return len;
}

void sg_base64url_add(struct sg_buf *b, const void *data, size_t n)
{
	const uint8_t *p = data;
	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)p[i] << 16;
		v |= i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0;
		v |= i + 2 < n ? p[i + 2] : 0;
		size_t digits = n - i >= 3 ? 4 : n - i + 1;
		for (size_t k = 0; k < digits; k++)
			sg_buf_addc(b, url_alphabet[v >> (18 - 6 * k) & 63]);
	}
}

int sg_base64url_decode(const char *text, size_t n, uint8_t *ret, size_t room)
{
	uint32_t bits = 0;
	unsigned have = 0;
	size_t len = 0;
	for (size_t i = 0; i < n; i++) {
		const char *at = text[i] ? strchr(url_alphabet, text[i]) : NULL;
		if (!at)
			return -SG_EINVALID;
		bits = bits << 6 | (uint32_t)(at - url_alphabet);
		have += 6;
		if (have < 8)
			continue;
		have -= 8;
		if (len == room)
			return -SG_EINVALID;
		ret[len++] = (uint8_t)(bits >> have);
		bits &= (1U << have) - 1;
	}
	return n % 4 == 1 || bits ? -SG_EINVALID : (int)len;
}
