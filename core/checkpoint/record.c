/* The binary form of stored records: see record.h. */
#include "checkpoint/record.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

void sg_record_put_u64(struct sg_buf *b, uint64_t v)
{
	uint8_t tmp[10];
	size_t n = 0;
	while (v >= 0x80) {
		tmp[n++] = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	tmp[n++] = (uint8_t)v;
	sg_buf_add(b, tmp, n);
}

void sg_record_put_i64(struct sg_buf *b, int64_t v)
{
	sg_record_put_u64(b, (uint64_t)v << 1 ^ (uint64_t)(v >> 63));
}

void sg_record_put_text(struct sg_buf *b, const char *s)
{
	size_t n = s ? strlen(s) : 0;
	sg_record_put_u64(b, s ? n + 1 : 0);
	sg_buf_add(b, s, n);
}

int sg_record_put_hash(struct sg_buf *b, const char *hex)
{
	uint8_t raw[33] = {0};
	size_t n = strlen(hex);
	if (n && sg_hex_decode(hex, n, raw + 1, SG_SHA256_BYTES) < 0)
		return -SG_EINVALID;
	raw[0] = n != 0;
	sg_buf_add(b, raw, n ? sizeof(raw) : 1);
	return 0;
}

uint64_t sg_record_u64(struct sg_record_reader *r)
{
	uint64_t v = 0;
	for (unsigned shift = 0; shift < 64 && !r->bad && r->at < r->end; shift += 7) {
		uint8_t c = *r->at++;
		v |= (uint64_t)(c & 0x7f) << shift;
		if (!(c & 0x80))
			return v;
	}
	r->bad = true;
	return 0;
}

int64_t sg_record_i64(struct sg_record_reader *r)
{
	uint64_t v = sg_record_u64(r);
	return (int64_t)(v >> 1 ^ (0 - (v & 1)));
}

struct sg_span sg_record_bytes(struct sg_record_reader *r, uint64_t len)
{
	if (r->bad || len > (size_t)(r->end - r->at)) {
		r->bad = true;
		return SG_SPAN("", 0);
	}
	struct sg_span s = {r->at, (size_t)len};
	r->at += len;
	return s;
}

char *sg_record_text(struct sg_record_reader *r)
{
	uint64_t n = sg_record_u64(r);
	if (n == 0)
		return NULL;
	struct sg_span s = sg_record_bytes(r, n - 1);
	char *text = r->bad ? NULL : malloc(s.len + 1);
	if (!text) {
		r->bad = true;
		return NULL;
	}
	memcpy(text, s.data, s.len);
	text[s.len] = '\0';
	return text;
}

void sg_record_hash(struct sg_record_reader *r, char ret_hex[65])
{
	ret_hex[0] = '\0';
	struct sg_span there = sg_record_bytes(r, 1);
	if (r->bad || !*(const uint8_t *)there.data)
		return;
	struct sg_span raw = sg_record_bytes(r, SG_SHA256_BYTES);
	if (!r->bad)
		sg_hex_encode(raw.data, raw.len, ret_hex);
}

void sg_record_begin(struct sg_buf *b, enum sg_table table, struct sg_span key)
{
	const char *name = sg_table_name(table);
	assert(key.len <= UINT8_MAX);
	sg_buf_reset(b);
	sg_buf_add(b, name, strlen(name) + 1);
	sg_buf_addc(b, (char)key.len);
	sg_buf_add(b, key.data, key.len);
}

static int too_large(struct sg_error *err)
{
	return sg_error_set(err, SG_ELIMIT, NULL, "a record of more than %u bytes", SG_RECORD_MAX);
}

int sg_record_seal(struct sg_buf *b, struct sg_span *ret, struct sg_error *err)
{
	if (b->failed)
		return too_large(err);
	uint8_t digest[SG_SHA256_BYTES];
	size_t name = strlen(b->data) + 1;
	size_t head = name + 1 + (uint8_t)b->data[name];
	sg_sha256(b->data, b->len, digest);
	sg_buf_add(b, digest, SG_RECORD_CHECKSUM);
	if (b->failed)
		return too_large(err);
	*ret = SG_SPAN(b->data + head, b->len - head);
	return 0;
}

int sg_record_open(enum sg_table table, struct sg_span key, struct sg_span value,
	struct sg_record_reader *ret, struct sg_error *err)
{
	uint8_t digest[SG_SHA256_BYTES];
	sg_autobuf b = SG_BUF_INIT(SIZE_MAX / 2);
	if (value.len < SG_RECORD_CHECKSUM)
		return sg_error_set(err, SG_ECORRUPT, "checksum", "the record is cut short");
	size_t len = value.len - SG_RECORD_CHECKSUM;
	sg_record_begin(&b, table, key);
	sg_buf_add(&b, value.data, len);
	if (b.failed)
		return sg_error_nomem(err);
	sg_sha256(b.data, b.len, digest);
	const uint8_t *at = value.data;
	if (memcmp(digest, at + len, SG_RECORD_CHECKSUM) != 0)
		return sg_error_set(
			err, SG_ECORRUPT, "checksum", "the record's checksum does not match");
	*ret = (struct sg_record_reader){.at = at, .end = at + len};
	return 0;
}
