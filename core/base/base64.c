/* Base64: see base64.h. */
#include "base/base64.h"

#include <openssl/evp.h>
#include <string.h>

#include "base/error.h"

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
