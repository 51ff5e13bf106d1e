/* Compression of checkpoint bodies: see body.h. */
#include "checkpoint/body.h"

#include <stdlib.h>

#include "checkpoint/record.h"

/* 0: it does not fit into `most`. A delta works on a copy of the table (16 KiB), since making one
 * costs several times that. */
static int compress_into(
	struct sg_span body, const LZ4_stream_t *dictionary, struct sg_buf *out, size_t most)
{
	LZ4_stream_t stream;
	char *room = sg_buf_reserve(out, most);
	if (!room)
		return 0;
	if (dictionary)
		stream = *dictionary;
	else
		LZ4_initStream(&stream, sizeof(stream));
	int n = LZ4_compress_fast_continue(&stream, body.data, room, (int)body.len, (int)most, 1);
	if (n > 0)
		out->len += (size_t)n;
	return n;
}

enum sg_body_form sg_body_pack(
	struct sg_span body, const LZ4_stream_t *dictionary, struct sg_buf *out)
{
	if (body.len >= SG_BODY_COMPRESS_MIN && body.len < SG_RECORD_MAX) {
		if (dictionary && body.len <= SG_BODY_DELTA_MAX &&
			compress_into(body, dictionary, out, body.len / 4) > 0)
			return SG_BODY_DELTA;
		if (compress_into(body, NULL, out, body.len - body.len / 8) > 0)
			return SG_BODY_LZ4;
	}
	sg_buf_add(out, body.data, body.len);
	return SG_BODY_PLAIN;
}

int sg_body_unpack(enum sg_body_form form, struct sg_span packed, struct sg_span base,
	size_t body_len, char **ret, struct sg_error *err)
{
	if (body_len > SG_RECORD_MAX || packed.len > SG_RECORD_MAX || base.len > SG_RECORD_MAX)
		return sg_error_set(err, SG_ECORRUPT, NULL, "a body of impossible length");
	char *text = malloc(body_len + 1);
	if (!text)
		return sg_error_nomem(err);
	int n = -1;
	if (form == SG_BODY_PLAIN && packed.len == body_len) {
		memcpy(text, packed.data, body_len);
		n = (int)body_len;
	} else if (form == SG_BODY_LZ4) {
		n = LZ4_decompress_safe(packed.data, text, (int)packed.len, (int)body_len);
	} else if (form == SG_BODY_DELTA) {
		n = LZ4_decompress_safe_usingDict(packed.data, text, (int)packed.len, (int)body_len,
			base.data, (int)base.len);
	}
	if (n < 0 || (size_t)n != body_len) {
		free(text);
		return sg_error_set(err, SG_ECORRUPT, NULL, "a body that does not unpack");
	}
	text[body_len] = '\0';
	*ret = text;
	return 0;
}
