/* Configuration files, where the model is looked for, and the manifest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "embed/model.h"
#include "fake_model.h"

static void test_configs(void **state)
{
	(void)state;
	static const struct {
		const char *file, *from, *to, *says;
	} bad[] = {
		{"config.json", "\"bert\"", "\"mpnet\"", "config.json: field model_type"},
		{"config.json", ":384", ":768", "config.json: field hidden_size must be 384"},
		{"config.json", "1e-12", "1e-5", "layer_norm_eps"},
		{"config.json", "\"gelu\"", "\"gelu_new\"", "hidden_act"},
		{"config.json", "\"num_hidden_layers\":6,", "", "num_hidden_layers is missing"},
		{"config.json", "30522", "\"30522\"", "vocab_size"},
		{"config.json", "{", "[", "config.json"},
		{"config.json", "{", "{\"position_embedding_type\":\"relative_key\",",
			"position_embedding_type"},
		{"sentence_bert_config.json", "256", "512", "max_seq_length must be 256"},
		{"sentence_bert_config.json", "false", "true", "do_lower_case"},
		{"1_Pooling/config.json", "\"pooling_mode_mean_tokens\":true",
			"\"pooling_mode_mean_tokens\":false", "pooling_mode_mean_tokens"},
		{"1_Pooling/config.json", "\"pooling_mode_cls_token\":false",
			"\"pooling_mode_cls_token\":true", "pooling_mode_cls_token"},
		{"modules.json", "models.Normalize", "models.Dense", "field 2.type"},
		{"modules.json", "\"1_Pooling\"", "\"../x\"", "field 1.path"},
		{"modules.json", "[{", "[{},{", "must be a list"},
		{"modules.json", "[{\"path\"", "{\"x\":[{\"path\"", "modules.json"},
	};
	char *dir = fake_model_create();
	struct sg_error err = {0};
	assert_int_equal(sg_model_check(dir, true, &err), 0);
	assert_int_equal(sg_model_check(dir, false, &err), -SG_EREFUSED);
	assert_string_equal(err.kind, "EmbeddingModelHashMismatch");
	for (size_t i = 0; i < SG_ARRAY_LEN(bad); i++) {
		sg_autofree char *whole = fake_read(dir, bad[i].file);
		fake_edit(dir, bad[i].file, bad[i].from, bad[i].to);
		int r = sg_model_check(dir, true, &err);
		if (r != -SG_EINVALID || !strstr(err.text, bad[i].says))
			fail_msg("%s: returned %d \"%s\"", bad[i].to, r, err.text);
		fake_writes(dir, bad[i].file, whole);
	}
	fake_model_remove(dir);
}

static void make_dirs(const char *root, const char *path)
{
	sg_autofree char *whole = NULL;
	assert_true(asprintf(&whole, "%s/%s", root, path) > 0);
	for (char *p = whole + strlen(root) + 1; *p; p++)
		if (*p == '/') {
			*p = '\0';
			(void)mkdir(whole, 0755);
			*p = '/';
		}
	(void)mkdir(whole, 0755);
}

static void finds(const char *explicit_path, const char *home, const char *want)
{
	sg_autofree char *dir = NULL, *path = NULL;
	struct sg_error err = {0};
	if (sg_model_find(explicit_path, home, &dir, &err) < 0)
		fail_msg("%s", err.text);
	assert_true(asprintf(&path, "%s/%s", home, want) > 0);
	assert_string_equal(dir, path);
}

static void finds_not(const char *explicit_path, const char *home, const char *says)
{
	char *dir = NULL;
	struct sg_error err = {0};
	assert_int_equal(sg_model_find(explicit_path, home, &dir, &err), -SG_EREFUSED);
	assert_string_equal(err.kind, "LocalEntryNotFoundError");
	assert_null(dir);
	if (!strstr(err.text, says))
		fail_msg("\"%s\" lacks \"%s\"", err.text, says);
}

#define HUB "hub/models--sentence-transformers--all-MiniLM-L6-v2"

static void test_find(void **state)
{
	(void)state;
	char home[] = "/tmp/sg-find.XXXXXX";
	assert_non_null(mkdtemp(home));
	finds_not(NULL, NULL, "neither a model path nor HF_HOME");
	finds_not("", "", "neither a model path nor HF_HOME");
	finds_not(NULL, home, "/all-MiniLM-L6-v2, ");
	finds_not(NULL, home, HUB);
	finds_not("/nonexistent/x", home, "/nonexistent/x");

	make_dirs(home, HUB "/snapshots/aaa");
	fake_writes(home, HUB "/snapshots/aaa/model.safetensors", "x");
	finds(NULL, home, HUB "/snapshots/aaa");
	make_dirs(home, HUB "/snapshots/bbb");
	fake_writes(home, HUB "/snapshots/bbb/model.safetensors", "x");
	finds_not(NULL, home, "snapshots/"); /* which of the two is nobody's guess */
	make_dirs(home, HUB "/refs");
	fake_writes(home, HUB "/refs/main", "bbb\n");
	finds(NULL, home, HUB "/snapshots/bbb");
	fake_writes(home, HUB "/refs/main", "../../../x");
	finds_not(NULL, home, "snapshots/");
	make_dirs(home, "all-MiniLM-L6-v2");
	fake_writes(home, "all-MiniLM-L6-v2/model.safetensors", "x");
	finds(NULL, home, "all-MiniLM-L6-v2");
	sg_autofree char *given = NULL;
	assert_true(asprintf(&given, "%s/" HUB "/snapshots/aaa", home) > 0);
	finds(given, home, HUB "/snapshots/aaa");

	static const char *const parts[] = {HUB "/snapshots/aaa/model.safetensors",
		HUB "/snapshots/bbb/model.safetensors", HUB "/refs/main",
		"all-MiniLM-L6-v2/model.safetensors", HUB "/snapshots/aaa", HUB "/snapshots/bbb",
		HUB "/snapshots", HUB "/refs", HUB, "hub", "all-MiniLM-L6-v2", ""};
	for (size_t i = 0; i < SG_ARRAY_LEN(parts); i++) {
		sg_autofree char *path = NULL;
		assert_true(asprintf(&path, "%s/%s", home, parts[i]) > 0);
		assert_int_equal(remove(path), 0);
	}
}

static const char *const files[] = {"config.json", "sentence_bert_config.json", "modules.json",
	"tokenizer.json", "vocab.txt", "model.safetensors", "1_Pooling/config.json"};

/* Writes the manifest of dir as sha256sum would, each path behind prefix. */
static void write_manifest(const char *dir, const char *prefix, size_t skip)
{
	sg_autobuf b = SG_BUF_INIT(1 << 16);
	for (size_t i = 0; i < SG_ARRAY_LEN(files); i++) {
		if (i == skip)
			continue;
		sg_autofree char *data = fake_read(dir, files[i]);
		char sha[65];
		sg_sha256_hex(data, strlen(data), sha);
		sg_buf_addf(&b, "%s  %s%s\n", sha, prefix, files[i]);
	}
	fake_write(dir, "manifest", b.data, b.len);
}

static int verify(const char *dir, const char *root, struct sg_error *err)
{
	sg_autofree char *path = NULL;
	assert_true(asprintf(&path, "%s/manifest", dir) > 0);
	size_t n = 0;
	int r = sg_model_verify_manifest(path, root, dir, &n, err);
	assert_int_equal(n, r == 0 ? SG_ARRAY_LEN(files) : 0);
	return r;
}

static void test_manifest(void **state)
{
	(void)state;
	char *dir = fake_model_create();
	fake_writes(dir, "model.safetensors", "weights");
	struct sg_error err = {0};
	/* The guide's `find .`, below the model; and below HF_HOME, here /tmp. */
	write_manifest(dir, "./", SIZE_MAX);
	assert_int_equal(verify(dir, "/nonexistent", &err), 0);
	assert_int_equal(verify(dir, NULL, &err), 0);
	sg_autofree char *prefix = NULL;
	assert_true(asprintf(&prefix, "./%s/", strrchr(dir, '/') + 1) > 0);
	write_manifest(dir, prefix, SIZE_MAX);
	assert_int_equal(verify(dir, "/tmp", &err), 0);

	assert_int_equal(verify(dir, "/nonexistent", &err), -SG_EREFUSED);
	assert_string_equal(err.kind, "LocalEntryNotFoundError");
	fake_writes(dir, "model.safetensors", "weightz");
	assert_int_equal(verify(dir, "/tmp", &err), -SG_EREFUSED);
	assert_string_equal(err.kind, "EmbeddingModelHashMismatch");
	assert_non_null(strstr(err.text, "line 6"));
	for (size_t skip = 0; skip < SG_ARRAY_LEN(files); skip++) {
		write_manifest(dir, prefix, skip);
		assert_int_equal(verify(dir, "/tmp", &err), -SG_EINVALID);
		assert_non_null(strstr(err.text, "does not list"));
		assert_non_null(strstr(err.text, files[skip]));
	}
	fake_model_remove(dir);
}

static void test_manifest_malformed(void **state)
{
	(void)state;
	char *dir = fake_model_create();
	fake_writes(dir, "model.safetensors", "weights");
#define HEX "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	static const struct {
		const char *text, *says;
	} bad[] = {{"", "does not list"}, {"x\n", "line 1"}, {HEX "\n", "line 1"},
		{HEX " config.json\n", "line 1"}, {HEX "  \n", "line 1"},
		{HEX "  ../x\n", "leaves the model"}, {HEX "  /etc/passwd\n", "leaves the model"},
		{HEX "  a/../../x\n", "leaves the model"}, {"\n\n" HEX "  ./nothing\n", "line 3"},
		{"zz" HEX "  config.json\n", "line 1"}};
	for (size_t i = 0; i < SG_ARRAY_LEN(bad); i++) {
		struct sg_error err = {0};
		fake_writes(dir, "manifest", bad[i].text);
		assert_true(verify(dir, "/tmp", &err) < 0);
		if (!strstr(err.text, bad[i].says))
			fail_msg("%s: \"%s\"", bad[i].text, err.text);
	}
	struct sg_error err = {0};
	fake_write(dir, "manifest", "a\0b\n", 4);
	assert_int_equal(verify(dir, "/tmp", &err), -SG_EINVALID);
	fake_model_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_configs),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_manifest),
		cmocka_unit_test(test_manifest_malformed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
