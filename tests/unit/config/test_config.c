/* stargraph.toml: precedence, profiles, unknown keys, grants, what is printed. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "config/config.h"
#include "config/keys.h"

static char dir[] = "/tmp/sg-config-XXXXXX";
static char toml_path[64];

static int setup(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	(void)snprintf(toml_path, sizeof(toml_path), "%s/s.toml", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	(void)unlink(toml_path);
	return rmdir(dir);
}

static int load(struct sg_config *c, const char *toml, const struct sg_config_flag *flags, size_t n,
	char *const *env, struct sg_error *err)
{
	assert_int_equal(sg_file_write_atomic(toml_path, toml, strlen(toml), 0600, NULL), 0);
	return sg_config_load(c, toml_path, flags, n, env, err);
}

static void assert_bad(const char *toml, const char *text)
{
	struct sg_config c;
	struct sg_error err = {0};
	int r = load(&c, toml, NULL, 0, NULL, &err);
	if (r != -SG_EINVALID || !strstr(err.text, text))
		print_message("%s\n  gives %d: %s\n  wanted: %s\n", toml, r, err.text, text);
	assert_int_equal(r, -SG_EINVALID);
	assert_non_null(strstr(err.text, text));
}

/* The guide's section 7, word for word. */
static void the_guides_example_loads(void **state)
{
	(void)state;
	struct sg_config c;
	static char *const env[] = {"TZ=UTC", "HF_HUB_OFFLINE=1", "HF_HOME=/srv/stargraph/models",
		"STARGRAPH_PROFILE=cleared", NULL};
	static const struct sg_config_flag flags[] = {
		{"profile", "cleared"}, {"port", "443"}, {"tls-require-client-cert", NULL}};
	assert_int_equal(load(&c,
				 "[serve.cleared]\n"
				 "auth_provider = \"mtls\"\n"
				 "tls_cert = \"/etc/stargraph/server.crt\"\n"
				 "tls_key = \"/etc/stargraph/server.key\"\n"
				 "tls_ca_cert = \"/etc/stargraph/client-ca.crt\"\n"
				 "state_dir = \"/srv/stargraph/state\"\n"
				 "audit_path = \"/srv/stargraph/state/stargraph.audit.jsonl\"\n",
				 flags, 3, env, NULL),
		0);
	assert_int_equal(c.profile, SG_PROFILE_CLEARED);
	assert_string_equal(c.auth_provider, "mtls");
	assert_string_equal(c.tls_cert, "/etc/stargraph/server.crt");
	assert_int_equal(c.port, 443);
	assert_string_equal(c.host, "0.0.0.0");
	assert_string_equal(c.socket_path, "");
	assert_true(c.tls_require_client_cert);
	assert_true(c.hf_offline);
	assert_string_equal(c.hf_home, "/srv/stargraph/models");
	assert_string_equal(c.audit_path, "/srv/stargraph/state/stargraph.audit.jsonl");
	assert_string_equal(c.tz, "UTC");
	assert_int_equal(c.workers, 1);
	sg_config_finish(&c);
}

static void defaults_need_no_file(void **state)
{
	(void)state;
	struct sg_config c;
	assert_int_equal(load(&c, "", NULL, 0, NULL, NULL), 0);
	assert_int_equal(c.profile, SG_PROFILE_OSS_DEFAULT);
	assert_string_equal(c.auth_provider, "anonymous");
	assert_string_equal(c.host, "127.0.0.1");
	assert_int_equal(c.port, 8000);
	assert_string_equal(c.socket_path, "");
	assert_int_equal(c.socket_mode, 0660);
	assert_string_equal(c.state_dir, "/var/lib/stargraph");
	assert_string_equal(c.audit_path, "/var/lib/stargraph/stargraph.audit.jsonl");
	assert_int_equal(c.limits.join_product, 100000);
	sg_config_finish(&c);
	static char *const env[] = {"STARGRAPH_PROFILE=cleared", NULL};
	assert_int_equal(load(&c, "", NULL, 0, env, NULL), 0);
	assert_string_equal(c.auth_provider, "mtls");
	assert_int_equal(c.port, 0);
	assert_string_equal(c.socket_path, "/run/stargraph/core.sock");
	sg_config_finish(&c);
}

static void a_named_file_must_exist(void **state)
{
	(void)state;
	struct sg_config c;
	struct sg_error err = {0};
	assert_int_equal(
		sg_config_load(&c, "/nonexistent.toml", NULL, 0, NULL, &err), -SG_ENOTFOUND);
}

static void environment_beats_flag_beats_file_beats_default(void **state)
{
	(void)state;
	struct sg_config c;
	static char *const env[] = {"HF_HOME=/env", NULL};
	static const struct sg_config_flag flags[] = {{"model.hf_home", "/flag"}, {"port", "1"},
		{"serve.port", "2"}, {"graph", "a.yaml"}, {"graph", "b"}};
	static const char toml[] = "[serve]\nport = 3\nhost = \"::1\"\nstate_dir = \"/s\"\n"
				   "graphs = [\"/file\"]\n"
				   "[serve.oss-default]\nstate_dir = \"/p\"\n"
				   "[serve.cleared]\nstate_dir = \"/other\"\n"
				   "[model]\nhf_home = \"/file\"\n";
	assert_int_equal(load(&c, toml, flags, SG_ARRAY_LEN(flags), env, NULL), 0);
	assert_string_equal(c.hf_home, "/env");
	assert_int_equal(c.port, 2); /* the last flag */
	assert_string_equal(c.host, "::1");
	assert_string_equal(c.state_dir, "/p"); /* the profile's own section */
	assert_int_equal(c.n_graphs, 2);
	assert_string_equal(c.graphs[0], "a.yaml");
	assert_string_equal(c.graphs[1], "b");
	sg_config_finish(&c);
	assert_int_equal(load(&c, toml, NULL, 0, NULL, NULL), 0);
	assert_string_equal(c.hf_home, "/file");
	assert_int_equal(c.port, 3);
	sg_config_finish(&c);
}

static void profiles_must_agree_and_be_spelt_right(void **state)
{
	(void)state;
	static const struct {
		const char *toml, *flag;
		char *env;
		int code;
		const char *text;
	} cases[] = {
		{"", "cleared", "STARGRAPH_PROFILE=oss-default", -SG_EREFUSED,
			"environment STARGRAPH_PROFILE says profile \"oss-default\" but flag "
			"--profile says \"cleared\""},
		{"[serve]\nprofile = \"cleared\"\n", "oss-default", NULL, -SG_EREFUSED,
			"flag --profile says profile \"oss-default\" but"},
		{"[serve]\nprofile = \"cleared\"\n", NULL, "STARGRAPH_PROFILE=oss-default",
			-SG_EREFUSED, "they must agree"},
		{"", "clearedd", NULL, -SG_EINVALID,
			"flag --profile: unknown profile \"clearedd\"; did you mean \"cleared\"?"},
		{"", NULL, "STARGRAPH_PROFILE=Cleared", -SG_EINVALID, "did you mean \"cleared\"?"},
		{"[serve]\nprofile = \"clared\"\n", NULL, NULL, -SG_EINVALID,
			":2:11: unknown profile \"clared\"; did you mean \"cleared\"?"},
		{"[serve.cleared]\nprofile = \"cleared\"\n", NULL, NULL, -SG_EINVALID,
			":2:1: profile belongs in [serve]"},
	};
	for (size_t i = 0; i < SG_ARRAY_LEN(cases); i++) {
		struct sg_config c;
		struct sg_error err = {0};
		const struct sg_config_flag flag = {"profile", cases[i].flag};
		char *const env[] = {cases[i].env, NULL};
		int r = load(&c, cases[i].toml, &flag, cases[i].flag ? 1 : 0, env, &err);
		assert_int_equal(r, cases[i].code);
		if (!strstr(err.text, cases[i].text))
			print_message("%s\n", err.text);
		assert_non_null(strstr(err.text, cases[i].text));
	}
	struct sg_config c;
	char *const env[] = {"STARGRAPH_PROFILE=", NULL}; /* empty = unset */
	static const struct sg_config_flag flag = {"profile", "cleared"};
	assert_int_equal(load(&c, "[serve]\nprofile = \"cleared\"\n", &flag, 1, env, NULL), 0);
	assert_int_equal(c.profile, SG_PROFILE_CLEARED);
	sg_config_finish(&c);
}

static void unknown_keys_are_errors_with_place_and_nearest(void **state)
{
	(void)state;
	assert_bad("[serve.cleared]\ntls_crt = \"/x\"\n",
		"s.toml:2:1: unknown key \"tls_crt\" in [serve.cleared]; did you mean \"tls_c");
	assert_bad("[serve.clearedd]\nport = 1\n",
		"unknown key \"clearedd\" in [serve]; did you mean \"cleared\"?");
	assert_bad(
		"[sreve]\nport = 1\n", ":1:2: unknown section \"sreve\"; did you mean \"serve\"?");
	assert_bad("prot = 1\n", "unknown key \"prot\"");
	assert_bad("[serve]\n\"x/port\" = 1\n", "unknown key \"x/port\" in [serve]");
	assert_bad("[limits]\nbody = 1\n", "unknown key \"body\" in [limits]");
	assert_bad("[serve.cleared.cleared]\nport = 1\n",
		"unknown key \"cleared\" in [serve.cleared]");
	assert_bad("[serve.oss-default]\ngrant = []\n",
		"unknown key \"grant\" in [serve.oss-default]");
	/* The other profile's section is held to the same. */
	assert_bad("[serve]\nprofile = \"oss-default\"\n[serve.cleared]\nporrt = 1\n",
		":4:1: unknown key \"porrt\" in [serve.cleared]; did you mean \"port\"?");
	assert_bad("[packs]\nalow = []\n",
		":1:1: [packs]: at /: unknown property \"alow\"; did you mean \"allow\"?");
}

static void values_are_held_to_their_types(void **state)
{
	(void)state;
	assert_bad("[serve]\nport = \"443\"\n", ":2:8: port must be an integer from 0 to 65535");
	assert_bad("[serve]\nport = 65536\n", "port must be an integer from 0 to 65535");
	assert_bad("[serve]\nworkers = 0\n", "workers must be an integer from 1 to 4096");
	assert_bad("[serve]\nxfcc = 1\n", "xfcc must be true or false");
	assert_bad("[serve]\nhost = 1\n", "host must be a string");
	assert_bad("[serve]\nstate_dir = \"state\"\n", "state_dir must be an absolute path");
	assert_bad("[serve]\ngraphs = [\"x\"]\n", "graphs must be absolute paths in a file");
	assert_bad("[serve]\nedge_users = \"root\"\n", "edge_users must be a list of strings");
	assert_bad("[serve]\nedge_users = [33]\n", "edge_users must be a list of strings");
	assert_bad("[serve]\nsocket_mode = \"0999\"\n", "socket_mode must be permission bits");
	assert_bad("[serve]\nsocket_mode = 660\n", "socket_mode must be permission bits");
	assert_bad("[serve]\ndeny_fingerprints = [\"ab\"]\n", "is not a SHA-256 fingerprint");
	assert_bad("[serve]\nauth_provider = \"mtsl\"\n", "did you mean \"mtls\"?");
	assert_bad("serve = 1\n", "\"serve\" must be a table");
	assert_bad("[serve]\ncleared = 1\n", "\"cleared\" must be a table");
	assert_bad("[limits]\nfacts = 0\n", "facts must be an integer from 1 to 1000000");
	assert_bad("[log]\nlog_level = \"loud\"\n", "unknown log_level \"loud\"");
	assert_bad(
		"[packs]\nallow = \"x\"\n", ":2:9: [packs]: at /allow: expected array, got string");
}

static void broken_toml_is_never_ignored(void **state)
{
	(void)state;
	assert_bad("[serve\n", "s.toml:1:");
	assert_bad("port = \n", "s.toml:1:");
	assert_bad("[!x]\n", "s.toml:1:2: "); /* toml++ itself aborts on this */
	assert_bad("[\xef\xba\xbfx]\n", "s.toml:1:2: ");
	assert_bad("[serve]\nport = 1\nport = 2\n", "s.toml:3:");
	assert_bad("[serve]\nhost = 1979-05-27\n", ":2:8: dates and times are not used here");
	assert_bad("[serve]\nport = inf\n", "infinities and NaN are not allowed");
	assert_bad("[serve]\nhost = \"a\\u0000b\"\n", "a NUL character in text");
	assert_bad("[serve]\nhost = \"\xff\"\n", "s.toml:2:");
}

static void hostile_nesting_is_refused(void **state)
{
	(void)state;
	char toml[4096] = "x = ";
	memset(toml + 4, '[', 2000);
	assert_bad(toml, "s.toml:1:");
	memset(toml + 4 + 100, ']', 100);
	toml[4 + 200] = '\0';
	assert_bad(toml, "nested too deeply");
}

static void modes_and_fingerprints_have_one_form(void **state)
{
	(void)state;
	struct sg_config c;
	assert_int_equal(
		load(&c,
			"[serve]\nsocket_mode = 0o600\ndeny_fingerprints = "
			"[\"AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:"
			"11:22:33:44:55:66:77:88:99\"]\n",
			NULL, 0, NULL, NULL),
		0);
	assert_int_equal(c.socket_mode, 0600);
	assert_int_equal(c.n_deny_fingerprints, 1);
	assert_string_equal(c.deny_fingerprints[0],
		"aabbccddeeff00112233445566778899aabbccddeeff00112233445566778899");
	sg_config_finish(&c);
}

static void grants_are_read_under_cleared_only(void **state)
{
	(void)state;
	static const char toml[] =
		"[[serve.cleared.grant]]\nsubject = \"CN=Ana,O=Lab\"\n"
		"capabilities = [\"runs:start\", \"runs:read:all\"]\n"
		"[[serve.cleared.grant]]\nsan = \"URI:spiffe://lab/bob\"\ncapabilities = [\"*\"]\n";
	static char *const env[] = {"STARGRAPH_PROFILE=cleared", NULL};
	struct sg_config c;
	assert_int_equal(load(&c, toml, NULL, 0, env, NULL), 0);
	assert_int_equal(c.n_grants, 2);
	assert_string_equal(c.grants[0].subject, "CN=Ana,O=Lab");
	assert_null(c.grants[0].san);
	assert_int_equal(c.grants[0].n_capabilities, 2);
	assert_string_equal(c.grants[0].capabilities[1], "runs:read:all");
	assert_string_equal(c.grants[1].san, "URI:spiffe://lab/bob");
	sg_config_finish(&c);
	assert_int_equal(load(&c, toml, NULL, 0, NULL, NULL), 0);
	assert_int_equal(c.n_grants, 0);
	sg_config_finish(&c);
}

static void bad_grants_are_refused(void **state)
{
	(void)state;
#define GRANT "[[serve.cleared.grant]]\n"
	assert_bad(GRANT "capabilities = [\"a\"]\n", "exactly one of subject, san, fingerprint");
	assert_bad(GRANT "subject = \"a\"\nsan = \"DNS:a\"\ncapabilities = [\"a\"]\n",
		"exactly one of subject, san, fingerprint");
	assert_bad(GRANT "subject = \"CN=a\"\n", "required property \"capabilities\" is missing");
	assert_bad(GRANT "subject = \"CN=a\"\ncapabilities = []\n", "number of items");
	assert_bad(GRANT "subject = \"CN=a\"\ncapabilities = [\"Runs Read\"]\n", "not of the form");
	assert_bad(GRANT "san = \"spiffe://x\"\ncapabilities = [\"a\"]\n", "URI: or DNS:");
	assert_bad(GRANT "fingerprint = \"xyz\"\ncapabilities = [\"a\"]\n", "not a SHA-256");
	assert_bad(
		GRANT "subjcet = \"CN=a\"\ncapabilities = [\"a\"]\n", "did you mean \"subject\"?");
	assert_bad("[serve.cleared]\ngrant = 1\n", "grants are a list");
#undef GRANT
}

static void flags_are_held_to_their_types_too(void **state)
{
	(void)state;
	static const struct {
		struct sg_config_flag flag;
		const char *text;
	} cases[] = {
		{{"port", "80x"}, "flag --port: port must be an integer"},
		{{"port", NULL}, "flag --port: a value is missing"},
		{{"port", " 80"}, "flag --port: port must be an integer"},
		{{"tls-require-client-cert", "maybe"}, "must be true or false"},
		{{"nope", "1"}, "unknown setting \"nope\""},
		{{"serve.nope", "1"}, "unknown setting \"serve.nope\""},
	};
	for (size_t i = 0; i < SG_ARRAY_LEN(cases); i++) {
		struct sg_config c;
		struct sg_error err = {0};
		assert_int_equal(load(&c, "", &cases[i].flag, 1, NULL, &err), -SG_EINVALID);
		assert_non_null(strstr(err.text, cases[i].text));
	}
	struct sg_config c;
	struct sg_error err = {0};
	static char *const env[] = {"HF_HUB_OFFLINE=perhaps", NULL};
	assert_int_equal(load(&c, "", NULL, 0, env, &err), -SG_EINVALID);
	assert_non_null(strstr(err.text, "environment HF_HUB_OFFLINE"));
}

static void flags_are_taken_out_of_argv(void **state)
{
	(void)state;
	char *argv[] = {"serve", "--port", "443", "graph.yaml", "--tls-require-client-cert",
		"--own", "--config=/c", "-i", "k=v", "--state-dir=/s", "--", "--port", NULL};
	int argc = (int)SG_ARRAY_LEN(argv) - 1;
	struct sg_config_flag flags[8];
	size_t n;
	const char *config;
	assert_int_equal(sg_config_take_flags(&argc, argv, flags, 8, &n, &config, NULL), 0);
	assert_int_equal(n, 3);
	assert_string_equal(flags[0].key, "port");
	assert_string_equal(flags[0].value, "443");
	assert_null(flags[1].value);
	assert_string_equal(flags[2].value, "/s");
	assert_string_equal(config, "/c");
	static const char *const left[] = {
		"serve", "graph.yaml", "--own", "-i", "k=v", "--", "--port"};
	assert_int_equal(argc, SG_ARRAY_LEN(left));
	for (size_t i = 0; i < SG_ARRAY_LEN(left); i++)
		assert_string_equal(argv[i], left[i]);
	assert_null(argv[argc]);
	char *cut[] = {"serve", "--port", NULL};
	argc = 2;
	assert_int_equal(
		sg_config_take_flags(&argc, cut, flags, 8, &n, &config, NULL), -SG_EINVALID);
	assert_string_equal(sg_config_suggest_flag("tls-certt"), "tls-cert");
}

static char *printed(const struct sg_config *c, bool json)
{
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);
	assert_int_equal(sg_config_print(c, f, json), 0);
	assert_int_equal(fclose(f), 0);
	return text;
}

static void every_value_is_printed_with_its_origin(void **state)
{
	(void)state;
	struct sg_config c;
	static char *const env[] = {"HF_HOME=/env", NULL};
	static const struct sg_config_flag flags[] = {{"port", "81"}};
	assert_int_equal(load(&c, "[serve]\n\nhost = \"::1\"\n", flags, 1, env, NULL), 0);
	sg_autofree char *text = printed(&c, false);
	assert_non_null(strstr(text, "serve.port = 81  # flag --port\n"));
	assert_non_null(strstr(text, "model.hf_home = \"/env\"  # environment HF_HOME\n"));
	assert_non_null(strstr(text, "/s.toml:3\n"));
	assert_non_null(strstr(text, "serve.workers = 1  # default\n"));
	sg_autofree char *json = printed(&c, true);
	json_auto_t *v = json_loads(json, 0, NULL);
	const json_t *settings = json_object_get(v, "settings");
	assert_int_equal(json_object_size(settings), sg_n_keys);
	assert_string_equal(json_string_value(json_object_get(
				    json_object_get(settings, "serve.port"), "origin")),
		"flag --port");
	sg_config_finish(&c);
}

static void the_table_is_sound(void **state)
{
	(void)state;
	for (size_t i = 0; i < sg_n_keys; i++) {
		const struct sg_key *k = &sg_keys[i];
		assert_ptr_equal(sg_key_find(k->section, k->name), k); /* no name twice */
		if (k->flag)
			assert_ptr_equal(sg_key_by_flag(k->flag), k);
		assert_non_null(k->help);
		for (int p = 0; p < 2; p++) {
			json_auto_t *v = json_loads(k->fallback[p], JSON_DECODE_ANY, NULL);
			json_auto_t *out = NULL;
			assert_non_null(v);
			assert_int_equal(sg_key_from_json(k, v, &out, NULL), 0);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_guides_example_loads),
		cmocka_unit_test(defaults_need_no_file),
		cmocka_unit_test(a_named_file_must_exist),
		cmocka_unit_test(environment_beats_flag_beats_file_beats_default),
		cmocka_unit_test(profiles_must_agree_and_be_spelt_right),
		cmocka_unit_test(unknown_keys_are_errors_with_place_and_nearest),
		cmocka_unit_test(values_are_held_to_their_types),
		cmocka_unit_test(broken_toml_is_never_ignored),
		cmocka_unit_test(hostile_nesting_is_refused),
		cmocka_unit_test(modes_and_fingerprints_have_one_form),
		cmocka_unit_test(grants_are_read_under_cleared_only),
		cmocka_unit_test(bad_grants_are_refused),
		cmocka_unit_test(flags_are_held_to_their_types_too),
		cmocka_unit_test(flags_are_taken_out_of_argv),
		cmocka_unit_test(every_value_is_printed_with_its_origin),
		cmocka_unit_test(the_table_is_sound),
	};
	return cmocka_run_group_tests_name("config", tests, setup, teardown);
}
