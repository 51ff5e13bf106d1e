/* The model directory's files: pinned hashes, and the fields of its configuration that the forward
 * pass takes for granted. A value that differs is refused with file and field, never adapted to. */
#include "embed/model.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "embed/weights.h"

/* sentence-transformers/all-MiniLM-L6-v2. The weights' pin is the original's MINILM_SHA256. */
static const struct {
	const char *name, *sha256;
} pins[] = {
	{"model.safetensors", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"},
	{"tokenizer.json", "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"},
	{"vocab.txt", "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"},
	{"config.json", "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"},
	{"sentence_bert_config.json",
		"fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7"},
};

const char *sg_model_pin(const char *name)
{
	for (size_t i = 0; i < SG_ARRAY_LEN(pins); i++)
		if (strcmp(pins[i].name, name) == 0)
			return pins[i].sha256;
	return NULL;
}

int sg_model_missing(struct sg_error *err, const char *dir, const char *name)
{
	return sg_error_set(err, SG_EREFUSED, "LocalEntryNotFoundError",
		"LocalEntryNotFoundError: weights not staged: there is no %s/%s; re-extract "
		"models/ and verify the manifest (sha256sum -c hf_manifest.sha256)",
		dir, name);
}

int sg_model_mismatch(struct sg_error *err, const char *dir, const char *name, const char *sha256)
{
	return sg_error_set(err, SG_EREFUSED, "EmbeddingModelHashMismatch",
		"EmbeddingModelHashMismatch: %s/%s has SHA-256 %s, pinned is %s; re-extract "
		"models/ from the bundle",
		dir, name, sha256, sg_model_pin(name));
}

int sg_model_read(const char *dir, const char *name, bool unpinned, char **ret_data,
	size_t *ret_len, char *ret_sha256, struct sg_error *err)
{
	sg_autofree char *path = NULL, *data = NULL;
	size_t len = 0;
	if (asprintf(&path, "%s/%s", dir, name) < 0) {
		path = NULL;
		return sg_error_nomem(err);
	}
	int r = sg_file_read(path, SG_MODEL_MAX_JSON, &data, &len, err);
	if (r == -SG_ENOTFOUND)
		return sg_model_missing(err, dir, name);
	if (r < 0)
		return r;
	char sha[SG_SHA256_HEX];
	sg_sha256_hex(data, len, sha);
	const char *pin = sg_model_pin(name);
	if (pin && !unpinned && strcmp(pin, sha) != 0)
		return sg_model_mismatch(err, dir, name, sha);
	*ret_data = sg_steal(data);
	*ret_len = len;
	memcpy(ret_sha256, sha, sizeof(sha));
	return 0;
}

/* What one field must be. A NULL text: number is compared. */
struct field {
	const char *name, *text;
	double number;
	bool optional; /* may be absent; the value is the default then */
};

static bool matches(const struct field *f, const json_t *v)
{
	if (f->text)
		return json_is_string(v) && strcmp(json_string_value(v), f->text) == 0;
	if (json_is_boolean(v))
		return json_is_true(v) == (f->number != 0);
	return json_is_number(v) && fabs(json_number_value(v) - f->number) <= f->number * 1e-9;
}

static int check_field(
	const json_t *object, const char *file, const struct field *f, struct sg_error *err)
{
	const json_t *v = json_object_get(object, f->name);
	if (!v && f->optional)
		return 0;
	if (!v)
		return sg_error_set(
			err, SG_EINVALID, NULL, "%s: field %s is missing", file, f->name);
	if (matches(f, v))
		return 0;
	if (f->text)
		return sg_error_set(err, SG_EINVALID, NULL, "%s: field %s must be \"%s\"", file,
			f->name, f->text);
	return sg_error_set(
		err, SG_EINVALID, NULL, "%s: field %s must be %g", file, f->name, f->number);
}

static int check_object(const json_t *object, const char *file, const struct field *fields,
	size_t n, struct sg_error *err)
{
	if (!json_is_object(object))
		return sg_error_set(err, SG_EINVALID, NULL, "%s: not an object", file);
	for (size_t i = 0; i < n; i++) {
		int r = check_field(object, file, &fields[i], err);
		if (r < 0)
			return r;
	}
	return 0;
}

static const struct field config_fields[] = {
	{.name = "model_type", .text = "bert"},
	{.name = "hidden_act", .text = "gelu"},
	{.name = "hidden_size", .number = SG_BERT_HIDDEN},
	{.name = "intermediate_size", .number = SG_BERT_INTERMEDIATE},
	{.name = "layer_norm_eps", .number = SG_BERT_LN_EPS},
	{.name = "max_position_embeddings", .number = SG_BERT_POSITIONS},
	{.name = "num_attention_heads", .number = SG_BERT_HEADS},
	{.name = "num_hidden_layers", .number = SG_BERT_LAYERS},
	{.name = "position_embedding_type", .text = "absolute", .optional = true},
	{.name = "type_vocab_size", .number = SG_BERT_TYPES},
	{.name = "vocab_size", .number = SG_BERT_VOCAB},
};

/* tokenizer.json says 128; sentence-transformers takes the limit from here. */
static const struct field sentence_fields[] = {
	{.name = "max_seq_length", .number = SG_EMBED_MAX_TOKENS},
	{.name = "do_lower_case", .number = 0, .optional = true},
};

static const struct field pooling_fields[] = {
	{.name = "word_embedding_dimension", .number = SG_EMBED_DIM},
	{.name = "pooling_mode_mean_tokens", .number = 1},
	{.name = "pooling_mode_cls_token", .number = 0},
	{.name = "pooling_mode_max_tokens", .number = 0},
	{.name = "pooling_mode_mean_sqrt_len_tokens", .number = 0},
	{.name = "pooling_mode_weightedmean_tokens", .number = 0, .optional = true},
	{.name = "pooling_mode_lasttoken", .number = 0, .optional = true},
};

static const struct {
	const char *type, *path;
} module_list[] = {
	{"sentence_transformers.models.Transformer", ""},
	{"sentence_transformers.models.Pooling", "1_Pooling"},
	{"sentence_transformers.models.Normalize", "2_Normalize"},
};

static int check_module(const json_t *module, size_t i, const char *file, struct sg_error *err)
{
	const char *type = json_string_value(json_object_get(module, "type"));
	const char *path = json_string_value(json_object_get(module, "path"));
	if (!type || strcmp(type, module_list[i].type) != 0)
		return sg_error_set(err, SG_EINVALID, NULL, "%s: field %zu.type must be \"%s\"",
			file, i, module_list[i].type);
	if (!path || strcmp(path, module_list[i].path) != 0)
		return sg_error_set(err, SG_EINVALID, NULL, "%s: field %zu.path must be \"%s\"",
			file, i, module_list[i].path);
	return 0;
}

static int check_modules(const json_t *modules, const char *file, struct sg_error *err)
{
	if (json_array_size(modules) != SG_ARRAY_LEN(module_list))
		return sg_error_set(err, SG_EINVALID, NULL,
			"%s: must be a list of Transformer, Pooling and Normalize", file);
	for (size_t i = 0; i < SG_ARRAY_LEN(module_list); i++) {
		int r = check_module(json_array_get(modules, i), i, file, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Without fields: the list of modules. */
static const struct {
	const char *name;
	const struct field *fields;
	size_t n;
} configs[SG_MODEL_CONFIGS] = {
	{"config.json", config_fields, SG_ARRAY_LEN(config_fields)},
	{"sentence_bert_config.json", sentence_fields, SG_ARRAY_LEN(sentence_fields)},
	{"1_Pooling/config.json", pooling_fields, SG_ARRAY_LEN(pooling_fields)},
	{"modules.json", NULL, 0},
};

int sg_model_check_config(size_t i, const char *text, size_t n, struct sg_error *err)
{
	json_auto_t *root = NULL;
	int r = sg_json_parse(text, n, &root, err);
	if (r < 0)
		return sg_error_prefix(err, "%s", configs[i].name);
	return configs[i].fields
		       ? check_object(root, configs[i].name, configs[i].fields, configs[i].n, err)
		       : check_modules(root, configs[i].name, err);
}

int sg_model_check(const char *dir, bool unpinned, struct sg_error *err)
{
	for (size_t i = 0; i < SG_ARRAY_LEN(configs); i++) {
		sg_autofree char *text = NULL;
		size_t n;
		char sha[SG_SHA256_HEX];
		int r = sg_model_read(dir, configs[i].name, unpinned, &text, &n, sha, err);
		if (r < 0)
			return r;
		r = sg_model_check_config(i, text, n, err);
		if (r < 0)
			return sg_error_prefix(err, "%s", dir);
	}
	return 0;
}
