/* See pack_audit.h. */
#include "cli/pack_audit.h"

#include <errno.h>
#include <sys/stat.h>

#include "audit/audit.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "store/store.h"

static int put(struct sg_store *s, const char *log, const char *type, const char *payload,
	struct sg_error *err)
{
	struct sg_audit *a = NULL;
	size_t repaired = 0;
	const struct sg_audit_event e = {.ts_us = sg_clock_utc_us(),
		.actor = "cli",
		.type = type,
		.step = -1,
		.payload = payload,
		.source = "pack",
		.confidence = 1.0};
	int r = sg_audit_open(&a, s, log, &repaired, err);
	if (r == 0)
		r = sg_audit_write_alone(a, &e, err);
	sg_audit_close(a);
	return r;
}

static int locked(const struct sg_config *c, const char *type, const char *payload,
	int (*do_it)(void *ctx, struct sg_error *err), void *ctx, struct sg_error *err)
{
	sg_autoclose int lock = -1;
	struct sg_store *s = NULL;
	if (mkdir(c->state_dir, 0700) < 0 && errno != EEXIST)
		return sg_error_errno(err, errno, "cannot make %s", c->state_dir);
	int r = sg_store_lock(c->state_dir, &lock, err);
	if (r == 0)
		r = do_it(ctx, err);
	if (r == 0)
		r = sg_store_open(&s, c->state_dir, 0, true, false, err);
	if (r == 0)
		r = put(s, c->audit_path, type, payload, err);
	sg_store_close(s);
	return r;
}

int sg_cli_pack_audited(const struct sg_cli_flags *flags, const char *type, const char *key_id,
	const char *fingerprint, int (*do_it)(void *ctx, struct sg_error *err), void *ctx,
	struct sg_error *err)
{
	struct sg_config c;
	sg_autobuf text = SG_BUF_INIT(4096);
	json_auto_t *payload =
		json_pack("{s:s, s:s*}", "key_id", key_id, "fingerprint", fingerprint);
	int r = payload ? sg_json_canonical(payload, &text, err) : sg_error_nomem(err);
	if (r == 0)
		r = sg_cli_load_config(flags, &c, err);
	if (r < 0)
		return r;
	r = locked(&c, type, text.data, do_it, ctx, err);
	sg_config_finish(&c);
	return r;
}
