/* Declarations, ticks and their policies, webhooks, against an engine without a disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/fake_engine.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/json.h"
#include "trigger/trigger.h"

#define NOON 1795521600 /* 2026-11-24T12:00:00Z */
#define SECRET "0123456789abcdef"

static struct sg_triggers *make(struct sg_engine *e, const char *list, struct sg_error *err)
{
	struct sg_config c = {0};
	struct sg_triggers *t = NULL;
	json_t *triggers;
	assert_int_equal(sg_json_parse(list, strlen(list), &triggers, NULL), 0);
	c.file = json_pack("{s:o}", "trigger", triggers);
	c.file_path = (char *)"stargraph.toml";
	int r = sg_triggers_create(&t, e, &c, err);
	json_decref(c.file);
	return r < 0 ? NULL : t;
}

static size_t runs(struct sg_engine *e)
{
	struct sg_engine_stats s;
	sg_engine_stats(e, &s);
	return s.runs_started;
}

static struct sg_triggers *cron(struct sg_engine *e, const char *missed)
{
	char text[256];
	struct sg_error err;
	(void)snprintf(text, sizeof(text),
		"[{\"id\":\"c\",\"kind\":\"cron\",\"graph\":\"done\",\"schedule\":\"0 * * * *\","
		"\"missed\":\"%s\"}]",
		missed);
	struct sg_triggers *t = make(e, text, &err);
	assert_non_null(t);
	return t;
}

static void ticks_fire_once_and_survive_restarts(void **state)
{
	(void)state;
	struct sg_error err;
	struct sg_engine *e = fake_engine_create();
	struct sg_triggers *t = cron(e, "run_once");
	struct sg_trigger_info g;
	assert_int_equal(sg_triggers_begin(t, NOON + 5, &err), 0);
	assert_int_equal(runs(e), 0);
	assert_int_equal(sg_triggers_timeout_ms(t, (NOON + 3599) * 1000000LL), 1001);
	sg_triggers_tick(t, NOON + 3599);
	assert_int_equal(runs(e), 0);
	sg_triggers_tick(t, NOON + 3600);
	sg_triggers_tick(t, NOON + 3601);
	assert_int_equal(runs(e), 1);
	sg_triggers_get(t, 0, &g);
	assert_int_equal(g.last, NOON + 3600);
	assert_int_equal(g.next, NOON + 7200);
	sg_triggers_destroy(t);
	t = cron(e, "run_once"); /* a restart within the hour: nothing was missed */
	assert_int_equal(sg_triggers_begin(t, NOON + 3700, &err), 0);
	assert_int_equal(runs(e), 1);
	sg_triggers_tick(t, NOON + 7200);
	assert_int_equal(runs(e), 2);
	sg_triggers_destroy(t);
	fake_engine_destroy(e);
}

static void a_tick_whose_note_was_lost_is_not_doubled(void **state)
{
	(void)state;
	struct sg_error err;
	struct sg_engine *e = fake_engine_create();
	struct sg_triggers *t = cron(e, "run_all");
	assert_int_equal(sg_triggers_begin(t, NOON, &err), 0);
	sg_triggers_tick(t, NOON + 3600);
	assert_int_equal(runs(e), 1);
	sg_triggers_destroy(t);
	assert_int_equal(sg_engine_note_put(e, "trigger.c", "2026-11-24T12:00:00Z", &err), 0);
	t = cron(e, "run_all");
	assert_int_equal(sg_triggers_begin(t, NOON + 3700, &err), 0);
	assert_int_equal(runs(e), 1);
	sg_triggers_destroy(t);
	fake_engine_destroy(e);
}

static void missed_ticks_by_policy(void **state)
{
	static const struct {
		const char *policy;
		size_t runs;
		const char *record;
	} cases[] = {{"skip", 0, "trigger:c trigger missed"},
		{"run_once", 1, "trigger:c trigger fired\ntrigger:c trigger missed"},
		{"run_all", 5, "trigger:c trigger fired"}};
	(void)state;
	for (size_t i = 0; i < SG_ARRAY_LEN(cases); i++) {
		struct sg_error err;
		struct sg_engine *e = fake_engine_create();
		struct sg_triggers *t = cron(e, cases[i].policy);
		assert_int_equal(sg_triggers_begin(t, NOON, &err), 0);
		sg_triggers_destroy(t);
		t = cron(e, cases[i].policy);
		assert_int_equal(sg_triggers_begin(t, NOON + 5 * 3600 + 100, &err), 0);
		assert_int_equal(runs(e), cases[i].runs);
		assert_non_null(strstr(fake_audit(e), cases[i].record));
		sg_triggers_tick(t, NOON + 6 * 3600);
		assert_int_equal(runs(e), cases[i].runs + 1);
		sg_triggers_destroy(t);
		fake_engine_destroy(e);
	}
}

static void a_host_that_slept_has_missed_ticks(void **state)
{
	(void)state;
	struct sg_error err;
	struct sg_engine *e = fake_engine_create();
	struct sg_triggers *t = cron(e, "skip");
	assert_int_equal(sg_triggers_begin(t, NOON, &err), 0);
	sg_triggers_tick(t, NOON + 3 * 3600 + 30); /* the last one is late, the others missed */
	assert_int_equal(runs(e), 1);
	assert_non_null(strstr(fake_audit(e), "trigger:c trigger missed"));
	sg_triggers_destroy(t);
	fake_engine_destroy(e);
}

static void a_busy_engine_delays_a_tick(void **state)
{
	(void)state;
	struct sg_error err;
	struct sg_engine *e = fake_engine_create();
	struct sg_triggers *t = cron(e, "skip");
	assert_int_equal(sg_triggers_begin(t, NOON, &err), 0);
	fake_starts_busy(e, true);
	sg_triggers_tick(t, NOON + 3600);
	assert_int_equal(runs(e), 0);
	fake_starts_busy(e, false);
	sg_triggers_tick(t, NOON + 3601);
	assert_int_equal(runs(e), 1);
	sg_triggers_destroy(t);
	fake_engine_destroy(e);
}

static void bad_declarations(void **state)
{
#define DECL(kind, more) "[{\"id\":\"x\",\"kind\":\"" kind "\",\"graph\":\"done\"" more "}]"
	static const struct {
		const char *list, *word;
	} cases[] = {
		{"[{\"id\":\"x\",\"kind\":\"manual\",\"graph\":\"dome\"}]",
			"did you mean \"done\"?"},
		{"[{\"id\":\"X y\",\"kind\":\"manual\",\"graph\":\"done\"}]", "id \"X y\""},
		{"[{\"id\":\"x\",\"kind\":\"manual\",\"graph\":\"done\"},"
		 "{\"id\":\"x\",\"kind\":\"manual\",\"graph\":\"done\"}]",
			"a second trigger"},
		{DECL("cron", ""), "needs schedule"},
		{DECL("cron", ",\"schedule\":\"61 * * * *\""), "minute \"61\""},
		{DECL("cron", ",\"schedule\":\"* * * * *\",\"secret_file\":\"/x\""), "belongs to"},
		{DECL("webhook", ""), "needs secret_file"},
		{DECL("webhook", ",\"secret_file\":\"x\""), "absolute"},
		{DECL("webhook", ",\"secret_file\":\"/nonexistent\""), "/nonexistent"},
		{DECL("manual", ",\"capabilities\":[\"runs:start\"]"), "of the person"},
	};
	(void)state;
	struct sg_engine *e = fake_engine_create();
	for (size_t i = 0; i < SG_ARRAY_LEN(cases); i++) {
		struct sg_error err = {0};
		assert_null(make(e, cases[i].list, &err));
		if (!strstr(err.text, cases[i].word))
			fail_msg("%s: %s", cases[i].list, err.text);
	}
	fake_engine_destroy(e);
}

static void sign(const char *stamp, const char *body, char ret[SG_SHA256_HEX])
{
	char text[256];
	uint8_t mac[SG_SHA256_BYTES];
	int n = snprintf(text, sizeof(text), "%s.%s", stamp, body);
	(void)HMAC(
		EVP_sha256(), SECRET, (int)strlen(SECRET), (uint8_t *)text, (size_t)n, mac, NULL);
	sg_hex_encode(mac, sizeof(mac), ret);
}

static void webhooks_are_verified(void **state)
{
	(void)state;
	char path[] = "/tmp/sg-secret-XXXXXX", text[256], good[SG_SHA256_HEX], bad[SG_SHA256_HEX];
	int fd = mkstemp(path);
	assert_true(fd >= 0 && write(fd, SECRET "\n", sizeof(SECRET)) == sizeof(SECRET));
	(void)close(fd);
	struct sg_error err;
	struct sg_engine *e = fake_engine_create();
	(void)snprintf(text, sizeof(text),
		"[{\"id\":\"w\",\"kind\":\"webhook\",\"graph\":\"done\",\"secret_file\":\"%s\"}]",
		path);
	struct sg_triggers *t = make(e, text, &err);
	if (!t)
		fail_msg("%s", err.text);
	sign("1795521600", "{}", good);
	(void)strcpy(bad, good);
	bad[5] = bad[5] == 'a' ? 'b' : 'a';
	const struct {
		const char *stamp, *signature, *body, *kind;
		int64_t now;
	} cases[] = {
		{"1795521600", good, "{}", NULL, NOON},
		{"1795521600", good, "{}", NULL, NOON + 300},
		{"1795521600", good, "{}", NULL, NOON - 300},
		{"1795521600", good, "{}", "timestamp_out_of_window", NOON + 301},
		{"1795521600", good, "{}", "timestamp_out_of_window", NOON - 301},
		{"1795521601", good, "{}", "invalid_signature", NOON},
		{"1795521600", bad, "{}", "invalid_signature", NOON},
		{"1795521600", "ab", "{}", "invalid_signature", NOON},
		{"1795521600", good, "{ }", "invalid_signature", NOON},
		{"soon", good, "{}", "invalid_timestamp", NOON},
		{"99999999999999999999", good, "{}", "invalid_timestamp", NOON},
		{NULL, good, "{}", "missing_headers", NOON},
		{"1795521600", NULL, "{}", "missing_headers", NOON},
	};
	for (size_t i = 0; i < SG_ARRAY_LEN(cases); i++) {
		int r = sg_triggers_verify(t, 0, cases[i].stamp, cases[i].signature, cases[i].body,
			strlen(cases[i].body), cases[i].now, &err);
		if ((r == 0) != !cases[i].kind || (r < 0 && strcmp(err.kind, cases[i].kind) != 0))
			fail_msg("case %zu: %d %s", i, r, r < 0 ? err.kind : "");
	}
	char run_id[SG_RUN_ID_TEXT];
	assert_int_equal(sg_triggers_deliver(
				 t, 0, "1795521600", good, NULL, "CN=a", NULL, NULL, run_id, &err),
		0);
	assert_int_equal(sg_triggers_deliver(
				 t, 0, "1795521600", good, NULL, "CN=a", NULL, NULL, run_id, &err),
		1);
	sg_triggers_destroy(t);
	(void)chmod(path, 0644);
	assert_null(make(e, text, &err));
	fake_engine_destroy(e);
	(void)unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ticks_fire_once_and_survive_restarts),
		cmocka_unit_test(a_tick_whose_note_was_lost_is_not_doubled),
		cmocka_unit_test(missed_ticks_by_policy),
		cmocka_unit_test(a_host_that_slept_has_missed_ticks),
		cmocka_unit_test(a_busy_engine_delays_a_tick),
		cmocka_unit_test(bad_declarations),
		cmocka_unit_test(webhooks_are_verified),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
