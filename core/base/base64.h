/* Base64: with the standard alphabet and padding (RFC 4648 section 4), over OpenSSL's EVP; and the
 * URL alphabet without padding (section 5), as JSON web signatures have it. */
#ifndef SG_BASE_BASE64_H
#define SG_BASE_BASE64_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define SG_BASE64_LEN(n) (((n) + 2) / 3 * 4) /* characters for n bytes */

void sg_base64_add(struct sg_buf *b, const void *data, size_t n);
/* Strict: whole quads, padding only at the end, no white space, no stray bits. Returns how many
 * bytes were written to ret (at most room) or -SG_EINVALID. */
int sg_base64_decode(const char *text, size_t n, uint8_t *ret, size_t room);

void sg_base64url_add(struct sg_buf *b, const void *data, size_t n);
/* Strict: no padding, no white space, no bits left over. Returns as above. */
int sg_base64url_decode(const char *text, size_t n, uint8_t *ret, size_t room);

#endif
