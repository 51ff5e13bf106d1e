/* JSON values that are checked when they are read. */
#include "knowledge/record.h"

#include <string.h>

#include "base/buf.h"
#include "base/json.h"

#define RECORD_BYTES (1U << 20)

int sg_know_record_fits(const json_t *value, size_t spare, struct sg_error *err)
{
	sg_autobuf b = SG_BUF_INIT(RECORD_BYTES - SG_SHA256_BYTES - spare);
	return sg_json_print(value, &b, err);
}

int sg_know_record_put(struct sg_txn *t, enum sg_table table, struct sg_span key,
	const json_t *value, struct sg_error *err)
{
	uint8_t sum[SG_SHA256_BYTES] = {0};
	sg_autobuf b = SG_BUF_INIT(RECORD_BYTES);
	sg_buf_add(&b, sum, sizeof(sum));
	int r = sg_json_print(value, &b, err);
	if (r < 0)
		return r;
	sg_sha256_pair(key.data, key.len, b.data + sizeof(sum), b.len - sizeof(sum), sum);
	memcpy(b.data, sum, sizeof(sum));
	return sg_txn_put(t, table, key, SG_SPAN(b.data, b.len), false, err);
}

int sg_know_record_parse(
	struct sg_span key, struct sg_span value, json_t **ret, struct sg_error *err)
{
	uint8_t sum[SG_SHA256_BYTES];
	if (value.len >= sizeof(sum)) {
		const char *text = (const char *)value.data + sizeof(sum);
		size_t n = value.len - sizeof(sum);
		sg_sha256_pair(key.data, key.len, text, n, sum);
		if (memcmp(sum, value.data, sizeof(sum)) == 0 &&
			sg_json_parse(text, n, ret, NULL) == 0)
			return 0;
	}
	return sg_error_set(err, SG_ECORRUPT, "store-corrupt",
		"a record of a knowledge store does not have its hash; restore a backup");
}

int sg_know_record_get(struct sg_txn *t, enum sg_table table, struct sg_span key, json_t **ret,
	struct sg_error *err)
{
	struct sg_span v;
	int r = sg_txn_get(t, table, key, &v, err);
	return r != 0 ? r : sg_know_record_parse(key, v, ret, err);
}
