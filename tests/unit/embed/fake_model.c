/* A made-up model directory of the right shape, for tests that damage it. */
#include "fake_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/file.h"

#define VOCAB 30522

static char *join(const char *dir, const char *name)
{
	char *path;
	assert_true(asprintf(&path, "%s/%s", dir, name) > 0);
	return path;
}

void fake_write(const char *dir, const char *name, const void *data, size_t n)
{
	sg_autofree char *path = join(dir, name);
	struct sg_error err = {0};
	if (sg_file_write_atomic(path, data, n, 0644, &err) < 0)
		fail_msg("%s", err.text);
}

void fake_writes(const char *dir, const char *name, const char *text)
{
	fake_write(dir, name, text, strlen(text));
}

char *fake_read(const char *dir, const char *name)
{
	sg_autofree char *path = join(dir, name);
	char *data;
	size_t n;
	struct sg_error err = {0};
	if (sg_file_read(path, 64 << 20, &data, &n, &err) < 0)
		fail_msg("%s", err.text);
	return data;
}

void fake_edit(const char *dir, const char *name, const char *from, const char *to)
{
	sg_autofree char *text = fake_read(dir, name);
	char *at = strstr(text, from);
	assert_non_null(at);
	sg_autobuf b = SG_BUF_INIT(64 << 20);
	sg_buf_add(&b, text, (size_t)(at - text));
	sg_buf_adds(&b, to);
	sg_buf_adds(&b, at + strlen(from));
	fake_write(dir, name, b.data, b.len);
}

/* Words that the tests use; every other id is "w<id>". */
static const struct {
	int id;
	const char *token;
} words[] = {{0, "[PAD]"}, {100, "[UNK]"}, {101, "[CLS]"}, {102, "[SEP]"}, {103, "[MASK]"},
	{200, "hello"}, {201, "hel"}, {202, "##lo"}, {203, "##l"}, {204, "!"}, {205, "e"},
	{206, "["}, {207, "#"}, {208, "\xe4\xb8\xad"}, {209, "cls"}, {210, "]"}, {211, "a"},
	{212, "##a"}, {213, "a\xf0\x9d\x85\xa5\xe3\x80\xae"}};

static void token(int id, char text[32])
{
	(void)snprintf(text, 32, "w%d", id);
	for (size_t i = 0; i < SG_ARRAY_LEN(words); i++)
		if (words[i].id == id)
			(void)snprintf(text, 32, "%s", words[i].token);
}

static void write_tokenizer(const char *dir)
{
	sg_autobuf json = SG_BUF_INIT(8 << 20);
	sg_autobuf txt = SG_BUF_INIT(8 << 20);
	char text[32];
	sg_buf_adds(&json, "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,"
			   "\"added_tokens\":[");
	for (size_t i = 0; i < 5; i++)
		sg_buf_addf(&json,
			"%s{\"id\":%d,\"special\":true,\"content\":\"%s\",\"single_word\":false,"
			"\"lstrip\":false,\"rstrip\":false,\"normalized\":false}",
			i ? "," : "", words[i].id, words[i].token);
	sg_buf_adds(&json,
		"],\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":true,"
		"\"handle_chinese_chars\":true,\"strip_accents\":null,\"lowercase\":true},"
		"\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},\"post_processor\":{\"type\":"
		"\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"[CLS]\",\"type_"
		"id\":"
		"0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"SpecialToken\":{\"id\":\"[SEP]"
		"\","
		"\"type_id\":0}}],\"special_tokens\":{\"[CLS]\":{\"id\":\"[CLS]\",\"ids\":[101]},"
		"\"[SEP]\":{\"id\":\"[SEP]\",\"ids\":[102]}}},\"model\":{\"type\":\"WordPiece\","
		"\"unk_token\":\"[UNK]\",\"continuing_subword_prefix\":\"##\","
		"\"max_input_chars_per_word\":100,\"vocab\":{");
	for (int id = 0; id < VOCAB; id++) {
		token(id, text);
		sg_buf_addf(&json, "%s\"%s\":%d", id ? "," : "", text, id);
		sg_buf_addf(&txt, "%s\n", text);
	}
	sg_buf_adds(&json, "}}}");
	assert_false(json.failed || txt.failed);
	fake_write(dir, "tokenizer.json", json.data, json.len);
	fake_write(dir, "vocab.txt", txt.data, txt.len);
}

char *fake_model_create(void)
{
	char pattern[] = "/tmp/sg-fake-model.XXXXXX";
	assert_non_null(mkdtemp(pattern));
	char *dir = strdup(pattern);
	sg_autofree char *pooling = join(dir, "1_Pooling");
	assert_int_equal(mkdir(pooling, 0755), 0);
	fake_writes(dir, "config.json",
		"{\"model_type\":\"bert\",\"hidden_act\":\"gelu\",\"hidden_size\":384,"
		"\"intermediate_size\":1536,\"layer_norm_eps\":1e-12,"
		"\"max_position_embeddings\":512,\"num_attention_heads\":12,"
		"\"num_hidden_layers\":6,\"type_vocab_size\":2,\"vocab_size\":30522}");
	fake_writes(dir, "sentence_bert_config.json",
		"{\"max_seq_length\":256,\"do_lower_case\":false}");
	fake_writes(dir, "1_Pooling/config.json",
		"{\"word_embedding_dimension\":384,\"pooling_mode_cls_token\":false,"
		"\"pooling_mode_mean_tokens\":true,\"pooling_mode_max_tokens\":false,"
		"\"pooling_mode_mean_sqrt_len_tokens\":false}");
	fake_writes(dir, "modules.json",
		"[{\"path\":\"\",\"type\":\"sentence_transformers.models.Transformer\"},"
		"{\"path\":\"1_Pooling\",\"type\":\"sentence_transformers.models.Pooling\"},"
		"{\"path\":\"2_Normalize\",\"type\":\"sentence_transformers.models.Normalize\"}]");
	write_tokenizer(dir);
	return dir;
}

void fake_model_remove(char *dir)
{
	static const char *const files[] = {"config.json", "sentence_bert_config.json",
		"1_Pooling/config.json", "modules.json", "tokenizer.json", "vocab.txt",
		"model.safetensors", "manifest", "1_Pooling"};
	for (size_t i = 0; i < SG_ARRAY_LEN(files); i++) {
		sg_autofree char *path = join(dir, files[i]);
		(void)remove(path);
	}
	assert_int_equal(rmdir(dir), 0);
	free(dir);
}

static const struct {
	const char *name;
	int rows, cols;
} top[] = {{"embeddings.word_embeddings.weight", 30522, 384},
	{"embeddings.position_embeddings.weight", 512, 384},
	{"embeddings.token_type_embeddings.weight", 2, 384},
	{"embeddings.LayerNorm.weight", 384, 0}, {"embeddings.LayerNorm.bias", 384, 0}},
  layer[] = {{"attention.self.query", 384, 384}, {"attention.self.key", 384, 384},
	  {"attention.self.value", 384, 384}, {"attention.output.dense", 384, 384},
	  {"attention.output.LayerNorm", 384, 0}, {"intermediate.dense", 1536, 384},
	  {"output.dense", 384, 1536}, {"output.LayerNorm", 384, 0}};

static void tensor(struct sg_buf *b, size_t *at, const char *name, int rows, int cols)
{
	size_t bytes = 4 * (size_t)rows * (size_t)(cols ? cols : 1);
	sg_buf_addf(
		b, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[%d", b->len > 1 ? "," : "", name, rows);
	if (cols)
		sg_buf_addf(b, ",%d", cols);
	sg_buf_addf(b, "],\"data_offsets\":[%zu,%zu]}", *at, *at + bytes);
	*at += bytes;
}

size_t fake_header(struct sg_buf *ret)
{
	size_t at = 0;
	char name[128];
	sg_buf_addc(ret, '{');
	for (size_t i = 0; i < SG_ARRAY_LEN(top); i++)
		tensor(ret, &at, top[i].name, top[i].rows, top[i].cols);
	for (int l = 0; l < 6; l++)
		for (size_t i = 0; i < SG_ARRAY_LEN(layer); i++) {
			(void)snprintf(
				name, sizeof(name), "encoder.layer.%d.%s.weight", l, layer[i].name);
			tensor(ret, &at, name, layer[i].rows, layer[i].cols);
			(void)snprintf(
				name, sizeof(name), "encoder.layer.%d.%s.bias", l, layer[i].name);
			tensor(ret, &at, name, layer[i].rows, 0);
		}
	sg_buf_addc(ret, '}');
	while (ret->len % 8)
		sg_buf_addc(ret, ' ');
	return at;
}
