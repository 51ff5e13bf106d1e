/* Credentials to principals: grants add up, names are compared parsed, the deny list, xfcc. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "serve/identity.h"
#include "serve/xfcc.h"

#define FP "aa0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static char *caps_a[] = {(char *)"runs:start", (char *)"runs:read"};
static char *caps_b[] = {(char *)"runs:read", (char *)"risk:approve"};
static char *caps_c[] = {(char *)"metrics:read"};
static struct sg_grant grants[] = {
	{.subject = (char *)" cn = alice , O=Test", .capabilities = caps_a, .n_capabilities = 2},
	{.san = (char *)"URI:spiffe://test/w", .capabilities = caps_b, .n_capabilities = 2},
	{.fingerprint = (char *)"AA:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:"
				"15:16:17:18:19:1A:1B:1C:1D:1E:1F",
		.capabilities = caps_c,
		.n_capabilities = 1},
};

static struct sg_config config(void)
{
	return (struct sg_config){
		.profile = SG_PROFILE_CLEARED, .grants = grants, .n_grants = SG_ARRAY_LEN(grants)};
}

static bool may(const struct sg_principal *p, const char *name)
{
	for (size_t i = 0; i < p->id.n_capabilities; i++)
		if (strcmp(p->id.capabilities[i], name) == 0)
			return true;
	return false;
}

static struct sg_grants *compiled(const struct sg_config *c)
{
	struct sg_grants *g = NULL;
	struct sg_error err;
	if (sg_grants_create(&g, c, &err) < 0)
		fail_msg("%s", err.text);
	return g;
}

static struct sg_principal *resolve(struct sg_grants *g, struct sg_credentials c)
{
	struct sg_principal *p = NULL;
	struct sg_error err;
	if (sg_grants_resolve(g, &c, "unix", &p, &err) < 0)
		fail_msg("%s: %s", err.kind, err.text);
	return p;
}

static void nobody(struct sg_grants *g, struct sg_credentials c, const char *kind)
{
	struct sg_principal *p = NULL;
	struct sg_error err = {0};
	assert_int_equal(sg_grants_resolve(g, &c, "unix", &p, &err), -SG_EDENIED);
	assert_string_equal(err.kind, kind);
	assert_null(p);
}

static void grants_add_up(void **state)
{
	(void)state;
	struct sg_config c = config();
	struct sg_grants *g = compiled(&c);
	struct sg_principal *p = resolve(g, (struct sg_credentials){.subject = "CN=alice,O=Test"});
	assert_string_equal(p->id.actor, "CN=alice,O=Test");
	assert_int_equal(p->id.n_capabilities, 2);
	sg_principal_unref(p);
	p = resolve(g, (struct sg_credentials){.subject = "CN=alice,O=Test",
			       .serial = "0A",
			       .fingerprint = FP,
			       .san = "DNS:w,URI:spiffe://test/w"});
	assert_true(may(p, "runs:start") && may(p, "risk:approve") && may(p, "metrics:read"));
	assert_int_equal(p->id.n_capabilities, 4);
	assert_string_equal(p->id.serial, "0a");
	sg_principal_unref(p);
	sg_grants_destroy(g);
}

static void near_misses_give_nothing(void **state)
{
	(void)state;
	struct sg_config c = config();
	struct sg_grants *g = compiled(&c);
	const struct sg_credentials cases[] = {
		{.subject = "CN=Alice,O=Test"},
		{.subject = "O=Test,CN=alice"},
		{.subject = "CN=alice"},
		{.subject = "CN=alice\\,O\\=Test"},
		{.subject = "CN=x", .san = "URI:spiffe://test/w2"},
		{.subject = "CN=x", .san = "URI:spiffe://test/"},
		{.subject = "CN=x", .san = "DNS:URI:spiffe://test/w"},
		{.subject = "CN=URI:spiffe://test/w"},
		{.subject = "CN=x",
			.fingerprint =
				"ab"
				"0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"},
	};
	for (size_t i = 0; i < SG_ARRAY_LEN(cases); i++) {
		struct sg_principal *p = resolve(g, cases[i]);
		assert_int_equal(p->id.n_capabilities, 0);
		sg_principal_unref(p);
	}
	sg_grants_destroy(g);
}

static void names_that_are_nobody(void **state)
{
	(void)state;
	struct sg_config c = config();
	struct sg_grants *g = compiled(&c);
	nobody(g, (struct sg_credentials){0}, "missing_client_cert");
	nobody(g, (struct sg_credentials){.subject = "", .serial = "01"}, "invalid_client_cert");
	nobody(g, (struct sg_credentials){.subject = "", .san = "DNS:a"}, "invalid_client_cert");
	nobody(g, (struct sg_credentials){.subject = "CN=a\\00"}, "invalid_client_cert");
	nobody(g, (struct sg_credentials){.subject = "alice"}, "invalid_client_cert");
	nobody(g, (struct sg_credentials){.subject = "CN=a", .fingerprint = "aa"},
		"invalid_client_cert");
	nobody(g, (struct sg_credentials){.subject = "CN=a", .serial = "0g"},
		"invalid_client_cert");
	struct sg_principal *p = resolve(
		g, (struct sg_credentials){.subject = "", .san = "DNS:x,URI:spiffe://test/w"});
	assert_string_equal(p->id.actor, "URI:spiffe://test/w");
	assert_true(may(p, "risk:approve"));
	sg_principal_unref(p);
	sg_grants_destroy(g);
}

static void denied_fingerprints(void **state)
{
	(void)state;
	char *deny[] = {(char *)FP};
	struct sg_config c = config();
	c.deny_fingerprints = deny;
	c.n_deny_fingerprints = 1;
	struct sg_grants *g = compiled(&c);
	nobody(g, (struct sg_credentials){.subject = "CN=alice,O=Test", .fingerprint = FP},
		"certificate-denied");
	sg_principal_unref(resolve(g, (struct sg_credentials){.subject = "CN=alice,O=Test"}));
	sg_grants_destroy(g);
}

static void bad_configuration_is_named(void **state)
{
	(void)state;
	struct sg_grants *g = NULL;
	struct sg_error err;
	struct sg_grant bad[] = {{.subject = (char *)"alice"}};
	struct sg_config c = {.profile = SG_PROFILE_CLEARED, .grants = bad, .n_grants = 1};
	assert_true(sg_grants_create(&g, &c, &err) < 0);
	assert_non_null(strstr(err.text, "alice"));
	char *deny[] = {(char *)"12"};
	c = (struct sg_config){.deny_fingerprints = deny, .n_deny_fingerprints = 1};
	assert_true(sg_grants_create(&g, &c, &err) < 0);
	assert_non_null(strstr(err.text, "deny"));
}

static void principals_outlive_a_reload(void **state)
{
	(void)state;
	struct sg_config c = config();
	struct sg_grants *g = compiled(&c);
	struct sg_principal *p = resolve(g, (struct sg_credentials){.subject = "CN=alice,O=Test"});
	struct sg_principal *q = resolve(g, (struct sg_credentials){.subject = "CN=alice,O=Test"});
	assert_ptr_equal(p, q);
	sg_principal_unref(q);
	sg_grants_destroy(g);
	assert_true(may(p, "runs:start"));
	sg_principal_unref(p);
}

static void xfcc_is_read(void **state)
{
	(void)state;
	struct sg_xfcc x;
	struct sg_error err;
	static const char text[] = "By=spiffe://core;Hash=" FP
				   ";Subject=\"CN=a\\, \\\"b\\\",O=T\";URI=spiffe://x;URI=;"
				   "DNS=a.b;DNS=c";
	if (sg_xfcc_parse(text, strlen(text), &x, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(x.subject, "CN=a\\, \\\"b\\\",O=T");
	assert_string_equal(x.fingerprint, FP);
	assert_string_equal(x.san, "URI:spiffe://x,DNS:a.b,DNS:c");
	sg_xfcc_finish(&x);
}

static void xfcc_is_strict(void **state)
{
	static const char *const texts[] = {"", ";", "Subject", "Subject=", "Subject=CN=a",
		"Subject=\"CN=a", "Subject=\"CN=a\\", "Subject=\"CN=a\";",
		"Subject=\"CN=a\";Subject=\"CN=b\"", "Subject=\"CN=a\",Subject=\"CN=b\"",
		"Hash=\"" FP "\"", "Hash=00", "Hash=" FP ";Hash=" FP, "Nope=1", "subject=\"CN=a\"",
		"URI=a,b", "URI=\"a,DNS:b\"", "DNS=a b", " Subject=\"CN=a\"", "Subject=\"CN=a\" ",
		"Subject =\"CN=a\"", "Subject=\"CN=a\"x"};
	(void)state;
	for (size_t i = 0; i < SG_ARRAY_LEN(texts); i++) {
		struct sg_xfcc x;
		struct sg_error err = {0};
		if (sg_xfcc_parse(texts[i], strlen(texts[i]), &x, &err) == 0)
			fail_msg("accepted: %s", texts[i]);
		assert_string_equal(err.kind, "invalid-xfcc");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grants_add_up),
		cmocka_unit_test(near_misses_give_nothing),
		cmocka_unit_test(names_that_are_nobody),
		cmocka_unit_test(denied_fingerprints),
		cmocka_unit_test(bad_configuration_is_named),
		cmocka_unit_test(principals_outlive_a_reload),
		cmocka_unit_test(xfcc_is_read),
		cmocka_unit_test(xfcc_is_strict),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
