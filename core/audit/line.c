/* The line writer: a fixed key order, no intermediate tree. */
#include <stdio.h>
#include <string.h>

#include "audit/internal.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/utf8.h"

/* A JSON string of whatever bytes: what is not UTF-8 becomes U+FFFD, so that a hostile name can
 * never make a line unreadable. NULL is null. */
static void add_string(struct sg_buf *b, const char *s)
{
	if (!s) {
		sg_buf_adds(b, "null");
		return;
	}
	size_t n = strlen(s);
	if (sg_utf8_valid(s, n)) {
		sg_buf_add_json_string(b, s, n);
		return;
	}
	sg_autobuf clean = SG_BUF_INIT(SG_AUDIT_LINE_MAX);
	for (size_t i = 0, step; i < n; i += step) {
		step = sg_utf8_length(s + i, n - i);
		if (step)
			sg_buf_add(&clean, s + i, step);
		else
			sg_buf_adds(&clean, "\xef\xbf\xbd");
		step += step == 0;
	}
	b->failed |= clean.failed;
	sg_buf_add_json_string(b, clean.data ? clean.data : "", clean.len);
}

static void add_key_string(struct sg_buf *b, const char *key, const char *value)
{
	sg_buf_adds(b, key);
	add_string(b, value);
}

static void add_u64(struct sg_buf *b, uint64_t v)
{
	char tmp[20];
	size_t at = sizeof(tmp);
	do {
		tmp[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	sg_buf_add(b, tmp + at, sizeof(tmp) - at);
}

static void add_step(struct sg_buf *b, int64_t step)
{
	sg_buf_adds(b, ",\"step\":");
	if (step < 0)
		sg_buf_adds(b, "null");
	else
		add_u64(b, (uint64_t)step);
}

static void add_provenance(struct sg_buf *b, const struct sg_audit_event *e, const char *ts)
{
	char confidence[32] = "1";
	double c = e->confidence;
	if (!(c >= 0.0 && c <= 1.0))
		c = 0.0; /* NaN included: JSON has no word for it */
	if (c < 1.0)
		(void)sg_json_number(c, confidence);
	add_key_string(b, ",\"provenance\":{\"origin\":", e->origin ? e->origin : "engine");
	add_key_string(b, ",\"source\":", e->source ? e->source : "stargraph");
	add_key_string(b, ",\"run_id\":", e->run_id);
	add_step(b, e->step);
	sg_buf_adds(b, ",\"confidence\":");
	sg_buf_adds(b, confidence);
	sg_buf_adds(b, ",\"timestamp\":\"");
	sg_buf_adds(b, ts);
	sg_buf_adds(b, "\"}}");
}

int sg_audit_line(struct sg_buf *out, uint64_t seq, const uint8_t prev[SG_SHA256_BYTES],
	const struct sg_audit_event *e, struct sg_error *err)
{
	const char *payload = e->payload ? e->payload : "{}";
	size_t n = strlen(payload);
	if (payload[0] != '{' || payload[n - 1] != '}' || memchr(payload, '\n', n))
		return sg_error_set(err, SG_EINVALID, NULL,
			"audit record %s: the payload is not an object in canonical form", e->type);
	char ts[SG_TIME_TEXT], hex[SG_SHA256_HEX];
	sg_time_format(e->ts_us, ts);
	sg_hex_encode(prev, SG_SHA256_BYTES, hex);
	sg_buf_reset(out);
	sg_buf_adds(out, "{\"seq\":");
	add_u64(out, seq);
	sg_buf_adds(out, ",\"prev\":\"");
	sg_buf_adds(out, hex);
	sg_buf_adds(out, "\",\"ts\":\"");
	sg_buf_adds(out, ts);
	add_key_string(out, "\",\"actor\":", e->actor);
	add_key_string(out, ",\"type\":", e->type);
	add_key_string(out, ",\"run\":", e->run_id);
	add_step(out, e->step);
	sg_buf_adds(out, ",\"payload\":");
	sg_buf_add(out, payload, n);
	add_provenance(out, e, ts);
	if (out->failed)
		return sg_error_set(err, SG_ELIMIT, NULL, "audit record %s: more than %u bytes",
			e->type, SG_AUDIT_LINE_MAX);
	return 0;
}
