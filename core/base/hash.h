/* SHA-256 (FIPS 180-4), HMAC-SHA256 (RFC 2104) and hex, over OpenSSL. */
#ifndef SG_BASE_HASH_H
#define SG_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define SG_SHA256_BYTES 32
#define SG_SHA256_HEX 65 /* 64 lowercase hex digits and the NUL */

/* One shot. Cannot fail for in-memory data (aborts if OpenSSL has no SHA-256 at all). */
void sg_sha256(const void *data, size_t n, uint8_t ret_digest[SG_SHA256_BYTES]);
/* Of a followed by b. */
void sg_sha256_pair(
	const void *a, size_t na, const void *b, size_t nb, uint8_t ret_digest[SG_SHA256_BYTES]);
void sg_sha256_hex(const void *data, size_t n, char ret_hex[SG_SHA256_HEX]);

/* Incremental; one object, one thread. */
struct sg_sha256;
struct sg_sha256 *sg_sha256_create(void); /* NULL when out of memory */
void sg_sha256_update(struct sg_sha256 *h, const void *data, size_t n);
void sg_sha256_final(struct sg_sha256 *h, uint8_t ret_digest[SG_SHA256_BYTES]); /* and restarts */
void sg_sha256_destroy(struct sg_sha256 *h);					/* NULL is fine */

/* Hash of a whole file, streamed. Errors: SG_ENOTFOUND (no such file), SG_EIO. */
int sg_sha256_file(const char *path, char ret_hex[SG_SHA256_HEX], struct sg_error *err);

/* Is mac the HMAC-SHA256 of data under key? In constant time. */
bool sg_hmac_sha256_is(const void *key, size_t key_len, const void *data, size_t n,
	const uint8_t mac[SG_SHA256_BYTES]);

/* ret_hex holds 2n digits and a NUL. */
void sg_hex_encode(const uint8_t *data, size_t n, char *ret_hex);
/* Exactly 2n hex digits of either case; -SG_EINVALID otherwise. */
int sg_hex_decode(const char *hex, size_t hex_len, uint8_t *ret_data, size_t n);

#endif
