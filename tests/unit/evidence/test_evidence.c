/* An evidence file is verified by the key that was given, and every change to it is refused in
 * words of its own. */
#include "../run/harness.h"

#include <sys/stat.h>

#include "base/base64.h"
#include "base/ed25519.h"
#include "base/hash.h"
#include "evidence/evidence.h"

static const char course[] =
	"ir_version: \"1.0.0\"\nid: \"run:course\"\n"
	"state_schema: {message: str, n: int}\n"
	"nodes:\n  - {id: a, kind: passthrough}\n"
	"  - {id: gate, kind: interrupt, config: {prompt: \"well?\"}}\n"
	"  - {id: end, kind: halt}\n"
	"rules:\n  - {id: use, when: {node: a}, then: [{kind: goto, target: gate}]}\n";

static void seed_of(uint8_t fill, uint8_t ret_seed[32], uint8_t ret_public[32])
{
	struct sg_signer *s = NULL;
	memset(ret_seed, fill, 32);
	assert_int_equal(sg_signer_from_seed(&s, ret_seed, NULL), 0);
	memcpy(ret_public, sg_signer_public(s), 32);
	sg_signer_destroy(s);
}

/* PKCS #8 of an Ed25519 seed: RFC 8410. */
static char *key_file(const char *dir, const uint8_t seed[32])
{
	uint8_t der[48] = {0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70,
		0x04, 0x22, 0x04, 0x20};
	sg_autobuf b = SG_BUF_INIT(4096);
	memcpy(der + 16, seed, 32);
	sg_buf_adds(&b, "-----BEGIN PRIVATE KEY-----\n");
	sg_base64_add(&b, der, sizeof(der));
	sg_buf_adds(&b, "\n-----END PRIVATE KEY-----\n");
	char *path = tmp_path(dir, "key.pem");
	tmp_write(path, b.data, b.len);
	assert_int_equal(chmod(path, 0600), 0);
	return path;
}

/* A run with an answer, recorded and signed; its evidence. */
static void make(const char *dir, const uint8_t seed[32], struct sg_buf *out)
{
	char *key = key_file(dir, seed), id[SG_RUN_ID_TEXT];
	const struct sg_audit_options audit = {.signing_key = key};
	const struct sg_engine_options o = {.audit = &audit};
	struct sg_engine *e = open_engine(dir, &o);
	struct seen s;
	struct sg_error err = {0};
	load(e, dir, "course.yaml", course);
	run(e, "run:course", "{\"message\":\"hi\"}", &s, id);
	assert_int_equal(respond(e, id, "{\"n\":3}", &s, &err), 0);
	sg_engine_destroy(e);
	free(key);
	struct sg_store *store = NULL;
	struct sg_txn *t = NULL;
	struct sg_recording *rec = NULL;
	size_t uncovered = 1;
	if (sg_store_open(&store, dir, 0, false, true, &err) < 0 ||
		sg_txn_begin(store, false, &t, &err) < 0 ||
		sg_recording_read(t, id, &rec, &err) < 0 ||
		sg_evidence_write(t, rec, out, &uncovered, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(uncovered, 0);
	sg_recording_destroy(rec);
	sg_txn_abort(t);
	sg_store_close(store);
}

static int replay(void *ctx, const struct sg_recording *rec, struct sg_replay_result *ret,
	struct sg_error *err)
{
	return sg_replay(ctx, rec, ret, err);
}

/* The cause, "ok" when it verifies. */
static const char *verify(const char *text, size_t n, const uint8_t *keys, size_t n_keys,
	struct sg_evidence_report *r)
{
	static char cause[64];
	const struct sg_engine_options o = {0};
	struct sg_evidence_content c = {0};
	struct sg_replayer *p = NULL;
	struct sg_error err = {0};
	*r = (struct sg_evidence_report){0};
	if (sg_evidence_read(text, n, &c, &err) < 0) {
		(void)snprintf(cause, sizeof(cause), "%s", err.kind);
		return cause;
	}
	assert_int_equal(sg_replayer_create(&p, &o, &err), 0);
	if (sg_evidence_verify(&c, keys, n_keys, replay, p, r, &err) < 0)
		fail_msg("%s", err.text);
	sg_replayer_destroy(p);
	sg_evidence_content_finish(&c);
	return r->cause;
}

static void the_key_decides(void **state)
{
	uint8_t seed[32], other_seed[32], key[32], other[32];
	sg_autobuf b = SG_BUF_INIT(SG_EVIDENCE_MAX);
	struct sg_evidence_report r;
	seed_of(1, seed, key);
	seed_of(2, other_seed, other);
	make(*state, seed, &b);
	assert_string_equal(verify(b.data, b.len, key, 1, &r), "ok");
	assert_true(r.verified && r.pinned);
	assert_string_equal(verify(b.data, b.len, NULL, 0, &r), "ok");
	assert_true(r.verified && !r.pinned);
	assert_string_equal(verify(b.data, b.len, other, 1, &r), "wrong-key");
	assert_false(r.verified);
}

static void no_byte_may_change(void **state)
{
	uint8_t seed[32], key[32];
	sg_autobuf b = SG_BUF_INIT(SG_EVIDENCE_MAX);
	struct sg_evidence_report r;
	seed_of(1, seed, key);
	make(*state, seed, &b);
	for (size_t i = 0; i < b.len; i++) {
		b.data[i] ^= 1;
		if (strcmp(verify(b.data, b.len, key, 1, &r), "altered") != 0)
			fail_msg("byte %zu", i);
		b.data[i] ^= 1;
	}
	assert_string_equal(verify(b.data, b.len - 1, key, 1, &r), "altered");
	assert_string_equal(verify(b.data, 10, key, 1, &r), "altered");
}

/* With the closing hash made anew, as a forger would. */
static void seal(struct sg_buf *b)
{
	char hash[SG_SHA256_HEX];
	sg_sha256_hex(b->data, b->len, hash);
	sg_buf_addf(b, "{\"sha256\":\"%s\"}\n", hash);
}

/* Without the lines that hold `mark` (all = every one of them), or with `to` in its place. */
static void forge(const struct sg_buf *from, const char *mark, const char *to, struct sg_buf *out)
{
	const char *at = from->data;
	const char *last = strstr(from->data, "{\"sha256\":\"");
	bool done = false;
	while (last && strstr(last + 1, "\n{\"sha256\":\""))
		last = strstr(last + 1, "\n{\"sha256\":\"") + 1;
	while (at < last) {
		const char *nl = strchr(at, '\n'), *hit = strstr(at, mark);
		if (done || !hit || hit > nl) {
			sg_buf_add(out, at, (size_t)(nl + 1 - at));
		} else {
			done = true;
			if (to) {
				sg_buf_add(out, at, (size_t)(hit - at));
				sg_buf_adds(out, to);
				hit += strlen(mark);
				sg_buf_add(out, hit, (size_t)(nl + 1 - hit));
			}
		}
		at = nl + 1;
	}
	assert_true(done);
	seal(out);
}

static void a_forger_is_found(void **state)
{
	static const struct {
		const char *mark, *to, *cause;
	} forgeries[] = {
		{"\\\"type\\\":\\\"transition\\\"", NULL,
			"rule"}, /* a line dropped: the next one decides otherwise */
		{"\\\"type\\\":\\\"run_started\\\"", NULL, "line"},
		{"\\\"type\\\":\\\"result\\\"", "\\\"type\\\":\\\"error_\\\"", "line"},
		{"\"kind\":\"step\"", NULL, "outcome"}, /* the first step: the others do not fit */
		{"\"last_node\":\"gate\"", NULL, "malformed"},
		{"\"state\":\"{\\\"message\\\":\\\"hi\\\"",
			"\"state\":\"{\\\"message\\\":\\\"ho\\\"", "state"},
		{"\"actor\":\"anna\"", "\"actor\":\"bert\"", "inputs"},
		{"\"params\":\"{\\\"message\\\":\\\"hi\\\"",
			"\"params\":\"{\\\"message\\\":\\\"ho\\\"", "inputs"},
		{"passthrough", "echo", "graph"},
		{"\"status\":\"done\"", "\"status\":\"failed\"", "outcome"},
		{"\"kind\":\"graph\"", NULL, "graph"},
		{"\\\"response\\\":{\\\"n\\\":3}", "\\\"response\\\":{\\\"n\\\":4}", "line"},
	};
	uint8_t seed[32], key[32];
	sg_autobuf b = SG_BUF_INIT(SG_EVIDENCE_MAX);
	struct sg_evidence_report r;
	int bad = 0;
	seed_of(1, seed, key);
	make(*state, seed, &b);
	for (size_t i = 0; i < sizeof(forgeries) / sizeof(*forgeries); i++) {
		sg_autobuf forged = SG_BUF_INIT(SG_EVIDENCE_MAX);
		forge(&b, forgeries[i].mark, forgeries[i].to, &forged);
		const char *cause = verify(forged.data, forged.len, key, 1, &r);
		if (strcmp(cause, forgeries[i].cause) != 0)
			print_error("forgery %zu (%s): %s, not %s: %s\n", i, forgeries[i].mark,
				cause, forgeries[i].cause, r.text);
		assert_string_not_equal(cause, "ok");
		bad += strcmp(cause, forgeries[i].cause) != 0;
	}
	assert_int_equal(bad, 0);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, tmp_setup, tmp_teardown)
	const struct CMUnitTest tests[] = {
		CASE(the_key_decides),
		CASE(no_byte_may_change),
		CASE(a_forger_is_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
