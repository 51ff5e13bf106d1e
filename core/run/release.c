/* Which program writes this store: version and SHA-256 of the executable, kept under META
 * "release". When another one opens it, an upgrade or a rollback has happened, and that is an audit
 * record: release_changed, with both. */
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "run/internal.h"

#define KEY "release"
#define OTHER_MAX 512

static int put_change(struct sg_engine *e, const char *from, const char *to, struct sg_error *err)
{
	json_t *payload = json_pack("{s:s, s:s}", "from", from, "to", to);
	sg_autobuf text = SG_BUF_INIT(4096);
	int r = payload ? sg_json_canonical(payload, &text, err) : sg_error_nomem(err);
	json_decref(payload);
	if (r < 0)
		return r;
	return sg_batch_event(e, NULL, sg_clock_utc_us(), "system", "release_changed", -1,
		       text.data, text.len, NULL, NULL)
		       ? 0
		       : sg_error_nomem(err);
}

int sg_release_note(struct sg_engine *e, struct sg_error *err)
{
	char hash[SG_SHA256_HEX], now[OTHER_MAX], before[OTHER_MAX] = "";
	struct sg_span v;
	sg_autotxn *t = NULL;
	int r = sg_sha256_file("/proc/self/exe", hash, err);
	if (r == 0)
		r = sg_txn_begin(e->store, false, &t, err);
	if (r < 0)
		return r;
	(void)snprintf(now, sizeof(now), "%s sha256:%s", SG_VERSION, hash);
	r = sg_txn_get(t, SG_TABLE_META, SG_KEY_TEXT(KEY), &v, err);
	if (r < 0)
		return r;
	if (r == 0 && v.len < sizeof(before))
		memcpy(before, v.data, v.len);
	if (strcmp(before, now) == 0)
		return 0;
	r = *before ? put_change(e, before, now, err) : 0;
	if (r == 0 && sg_batch_put(e, NULL, SG_TABLE_META, SG_KEY_TEXT(KEY), SG_KEY_TEXT(now)) < 0)
		r = sg_error_nomem(err);
	sg_engine_kick(e);
	return r;
}
