/* Any bytes as an evidence file whose closing hash fits: it is read or refused, and what is read is
 * checked and replayed without a crash, with or without a key. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "evidence/evidence.h"

static int replay(void *ctx, const struct sg_recording *rec, struct sg_replay_result *ret,
	struct sg_error *err)
{
	return sg_replay(ctx, rec, ret, err);
}

static void check(const struct sg_evidence_content *c, const uint8_t *key, size_t n_keys)
{
	const struct sg_engine_options o = {0};
	struct sg_replayer *p = NULL;
	struct sg_evidence_report rep = {.replay = {.identical = true}};
	struct sg_error err = {0};
	if (sg_replayer_create(&p, &o, &err) < 0)
		abort();
	int r = sg_evidence_verify(c, key, n_keys, replay, p, &rep, &err);
	if (r < 0 ? !err.text[0] : !rep.cause || rep.verified != (strcmp(rep.cause, "ok") == 0))
		abort();
	if (r == 0 && rep.verified && n_keys && !rep.pinned)
		abort();
	json_t *text = json_string(rep.text), *told = sg_replay_json(c->rec, &rep.replay);
	if (r == 0 && (!text || (rep.replay.axis && !told)))
		abort();
	json_decref(text);
	json_decref(told);
	sg_replayer_destroy(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t key[SG_ED25519_KEY] = {0x58, 0x66};
	struct sg_evidence_content c = {0};
	struct sg_error err = {0};
	char hash[SG_SHA256_HEX];
	sg_autobuf b = SG_BUF_INIT(SG_EVIDENCE_MAX);
	sg_sha256_hex(data, size, hash);
	sg_buf_add(&b, data, size);
	sg_buf_adds(&b, "{\"sha256\":\"");
	sg_buf_adds(&b, hash);
	sg_buf_adds(&b, "\"}\n");
	if (sg_evidence_read(b.data, b.len, &c, &err) < 0) {
		if (strcmp(err.kind, size ? "malformed" : "altered") != 0)
			abort();
		return 0;
	}
	check(&c, NULL, 0);
	check(&c, key, 1);
	sg_evidence_content_finish(&c);
	return 0;
}
