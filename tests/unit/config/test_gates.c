/* The gates that need no files of their own, and the table of filesystems. The rest is shown from
 * outside, with real files and a faked statfs, by tests/e2e/gates. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "base/cleanup.h"
#include "config/config.h"
#include "config/filesystem.h"

static const struct {
	uint32_t magic;
	const char *name;
	bool oss, cleared;
} filesystems[] = {
	{0xef53, "ext4", true, true},
	{0x58465342, "xfs", true, true},
	{0x9123683e, "btrfs", true, true},
	{0x2fc12fc1, "zfs", true, true},
	{0xf2f52010, "f2fs", true, true},
	{0x794c7630, "overlay", true, true},
	{0x01021994, "tmpfs", true, false},
	{0x6969, "nfs", false, false},
	{0x517b, "smb", false, false},
	{0xff534d42, "cifs", false, false},
	{0xfe534d42, "smb2", false, false},
	{0x5346414f, "afs", false, false},
	{0x6b414653, "afs", false, false},
	{0x01021997, "9p", false, false},
	{0x00c36400, "ceph", false, false},
	{0x65735546, "fuse", false, false},
	{0x0bd00bd0, "lustre", false, false},
	{0x47504653, "gpfs", false, false},
	{0x858458f6, "ramfs", false, false},
	{0x4d44, "vfat", false, false},
	{0x9fa0, "proc", false, false},
	{0, "unknown", false, false},
	{0xdeadbeef, "unknown", false, false},
};

static void filesystems_are_judged_by_magic(void **state)
{
	(void)state;
	for (size_t i = 0; i < SG_ARRAY_LEN(filesystems); i++) {
		struct sg_filesystem fs = sg_filesystem_of(filesystems[i].magic);
		assert_string_equal(fs.name, filesystems[i].name);
		assert_int_equal(
			sg_filesystem_accepted(fs, SG_PROFILE_OSS_DEFAULT), filesystems[i].oss);
		assert_int_equal(
			sg_filesystem_accepted(fs, SG_PROFILE_CLEARED), filesystems[i].cleared);
	}
}

static void directories_are_opened_and_named(void **state)
{
	(void)state;
	struct sg_error err = {0};
	assert_int_equal(
		sg_config_check_filesystem("/proc", SG_PROFILE_OSS_DEFAULT, &err), -SG_EREFUSED);
	assert_int_equal(
		strncmp(err.text, "nfs/smb refused at bootstrap: /proc lies on proc", 48), 0);
	assert_int_equal(sg_config_check_filesystem("/nonexistent", SG_PROFILE_CLEARED, &err),
		-SG_ENOTFOUND);
	assert_int_equal(
		sg_config_check_filesystem("/etc/passwd", SG_PROFILE_CLEARED, &err), -SG_EIO);
}

static const struct {
	const char *flag, *value;
	const char *profile;
	const char *text;
} refusals[] = {
	{"workers", "4", "cleared", "cleared profile rejects --workers > 1 (locked Decision #5)"},
	{"workers", "2", "oss-default", "--workers > 1 is refused under every profile"},
	{"allow-side-effects", NULL, "cleared",
		"--allow-side-effects not permitted under cleared profile"},
	{"auth-provider", "anonymous", "cleared", "auth_provider \"anonymous\" not permitted"},
	{"state-dir", "/nonexistent/sg", "cleared",
		"state directory /nonexistent/sg does not exist"},
	{"state-dir", "/proc/self", "oss-default", "nfs/smb refused at bootstrap: /proc/self"},
	{"state-dir", "/proc/nope/sg", "oss-default", "nfs/smb refused at bootstrap: /proc"},
	{"audit-path", "/sys/audit.jsonl", "oss-default", "nfs/smb refused at bootstrap: /sys"},
	{"tls-cert", "/nonexistent.crt", "oss-default", "tls_cert is set without tls_key"},
	{"tls-key", "/nonexistent.key", "oss-default", "tls_key is set without tls_cert"},
	{"tls-ca-cert", "/ca.crt", "oss-default", "tls_ca_cert is set without tls_cert"},
	{"host", "0.0.0.0", "oss-default", "plain HTTP on 0.0.0.0:8000 is refused"},
	{"host", "::", "oss-default", "plain HTTP on :::8000 is refused"},
	{"host", "192.0.2.1", "oss-default", "plain HTTP on 192.0.2.1:8000 is refused"},
	{"host", "127.0.0.1.example", "oss-default", "is not a numeric address"},
	{"port", "0", "oss-default", "no door is configured"},
};

/* A local directory for state, so that later gates are reached. */
#define LOCAL "/var/lib"

static void each_gate_refuses_in_its_own_words(void **state)
{
	(void)state;
	for (size_t i = 0; i < SG_ARRAY_LEN(refusals); i++) {
		const struct sg_config_flag flags[] = {{"profile", refusals[i].profile},
			{"state-dir", LOCAL}, {refusals[i].flag, refusals[i].value}};
		struct sg_config c;
		struct sg_error err = {0};
		assert_int_equal(sg_config_load(&c, SG_SOURCE_ROOT "/tests/unit/config/empty.toml",
					 flags, 3, NULL, &err),
			0);
		assert_int_equal(sg_config_gates(&c, &err), -SG_EREFUSED);
		if (!strstr(err.text, refusals[i].text))
			print_message("%s\n", err.text);
		assert_non_null(strstr(err.text, refusals[i].text));
		sg_config_finish(&c);
	}
}

static void ordinary_settings_pass(void **state)
{
	(void)state;
	static const struct sg_config_flag flags[] = {{"state-dir", LOCAL "/not-yet/made"}};
	struct sg_config c;
	struct sg_error err = {0};
	assert_int_equal(sg_config_load(&c, SG_SOURCE_ROOT "/tests/unit/config/empty.toml", flags,
				 1, NULL, &err),
		0);
	int r = sg_config_gates(&c, &err);
	if (r < 0)
		print_message("%s\n", err.text);
	assert_int_equal(r, 0);
	sg_config_finish(&c);
}

static void loopback_is_recognised(void **state)
{
	(void)state;
	static const char *const yes[] = {
		"127.0.0.1", "127.255.0.3", "::1", "localhost", "::ffff:127.0.0.1"};
	static const char *const no[] = {"0.0.0.0", "::", "128.0.0.1", "10.0.0.1", "localhost.", "",
		"127.1", "::ffff:10.0.0.1", "127.0.0.1 "};
	for (size_t i = 0; i < SG_ARRAY_LEN(yes); i++)
		assert_true(sg_config_is_loopback(yes[i]));
	for (size_t i = 0; i < SG_ARRAY_LEN(no); i++)
		assert_false(sg_config_is_loopback(no[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(filesystems_are_judged_by_magic),
		cmocka_unit_test(directories_are_opened_and_named),
		cmocka_unit_test(each_gate_refuses_in_its_own_words),
		cmocka_unit_test(ordinary_settings_pass),
		cmocka_unit_test(loopback_is_recognised),
	};
	return cmocka_run_group_tests_name("gates", tests, NULL, NULL);
}
