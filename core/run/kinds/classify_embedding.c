/* classify_embedding: a text (or a vector) gets the label of the labelled examples it is nearest
 * to. Per label the mean of its k best cosines; the label with the greatest mean wins, ties go to
 * the label named first. The examples are embedded once, when the graph is loaded. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "embed/embed.h"
#include "run/kinds.h"
#include "run/vectors.h"

#define MAX_LABELS 256
#define DEFAULT_K 3

struct example {
	int label;
	float vector[SG_EMBED_DIM];
};
struct classifier {
	const char **labels; /* borrowed from the configuration, in order of first mention */
	size_t n_labels;
	struct example *examples;
	size_t n_examples;
	size_t k;
	const char *input, *out, *confidence;
	bool from_vector;
};

static void release(void *data)
{
	struct classifier *c = data;
	if (!c)
		return;
	free(c->labels);
	free(c->examples);
	free(c);
}

static int label_index(struct classifier *c, const char *label)
{
	for (size_t i = 0; i < c->n_labels; i++)
		if (strcmp(c->labels[i], label) == 0)
			return (int)i;
	if (c->n_labels == MAX_LABELS)
		return -1;
	c->labels[c->n_labels] = label;
	return (int)c->n_labels++;
}

static int embed_example(const struct sg_kind_load *l, struct sg_embed_scratch *scratch,
	const json_t *text, float *ret_vector, struct sg_error *err)
{
	struct sg_tokens tokens;
	int r = sg_tokenize(sg_embedder_tokenizer(l->embedder), json_string_value(text),
		json_string_length(text), SG_EMBED_MAX_TOKENS, &tokens, err);
	if (r < 0)
		return r;
	r = sg_embed_ids(l->embedder, scratch, tokens.ids, tokens.n, ret_vector, err);
	sg_tokens_finish(&tokens);
	return r;
}

static int embed_examples(struct classifier *c, const struct sg_kind_load *l,
	const json_t *examples, struct sg_error *err)
{
	struct sg_embed_scratch *scratch = sg_embed_scratch_create(l->embedder);
	if (!scratch)
		return sg_error_nomem(err);
	int r = 0;
	size_t i;
	const json_t *one;
	json_array_foreach (examples, i, one) {
		struct example *e = &c->examples[i];
		e->label = label_index(c, json_string_value(json_object_get(one, "label")));
		r = e->label < 0 ? sg_error_set(err, SG_ELIMIT, NULL,
					   "config.examples: more than %d labels", MAX_LABELS)
				 : embed_example(l, scratch, json_object_get(one, "text"),
					   e->vector, err);
		if (r < 0) {
			(void)sg_error_prefix(err, "config.examples[%zu]", i);
			break;
		}
	}
	sg_embed_scratch_destroy(scratch);
	return r;
}

static int fill(const struct sg_kind_load *l, void *data, struct sg_error *err)
{
	struct classifier *c = data;
	const json_t *config = l->node->config, *examples = json_object_get(config, "examples");
	const json_t *k = json_object_get(config, "k");
	const struct sg_field *input =
		sg_kind_need_field(l, "input", SG_TYPE_BIT(SG_STR) | SG_TYPE_BIT(SG_LIST), err);
	if (!input || !sg_kind_need_field(l, "out", SG_TYPE_BIT(SG_STR), err))
		return -err->code;
	c->confidence = json_string_value(json_object_get(config, "confidence"));
	if (c->confidence && !sg_kind_need_field(l, "confidence", SG_TYPE_BIT(SG_FLOAT), err))
		return -err->code;
	c->input = input->name;
	c->from_vector = input->type == SG_LIST;
	c->out = json_string_value(json_object_get(config, "out"));
	c->k = k ? (size_t)json_integer_value(k) : DEFAULT_K;
	struct sg_kind_load examples_need = *l;
	examples_need.recorded = false; /* the examples are embedded here, also for a replay */
	int r = sg_vector_need_model(&examples_need, err);
	if (r < 0)
		return r;
	c->n_examples = json_array_size(examples);
	c->labels = calloc(MAX_LABELS, sizeof(*c->labels));
	c->examples = calloc(c->n_examples, sizeof(*c->examples));
	if (!c->labels || !c->examples)
		return sg_error_nomem(err);
	return embed_examples(c, l, examples, err);
}

static int prepare(const struct sg_kind_load *l, void **ret_data, struct sg_error *err)
{
	return sg_kind_make(l, sizeof(struct classifier), fill, release, ret_data, err);
}

static int descending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? 1 : x > y ? -1 : 0;
}

/* Mean of the label's k best cosines; -2 when it has no example. */
static double score(const struct classifier *c, int label, const float *v, double *room)
{
	size_t n = 0;
	for (size_t i = 0; i < c->n_examples; i++)
		if (c->examples[i].label == label)
			room[n++] = sg_vector_dot(c->examples[i].vector, v);
	if (!n)
		return -2;
	qsort(room, n, sizeof(*room), descending);
	size_t k = c->k < n ? c->k : n;
	double sum = 0;
	for (size_t i = 0; i < k; i++)
		sum += room[i];
	return sum / (double)k;
}

static int classify(struct sg_exec *x, const float *v, struct sg_error *err)
{
	const struct classifier *c = x->data;
	sg_autofree double *room = malloc(c->n_examples * sizeof(*room));
	if (!room)
		return sg_error_nomem(err);
	size_t best = 0;
	double best_score = -3;
	for (size_t i = 0; i < c->n_labels; i++) {
		double s = score(c, (int)i, v, room);
		if (s > best_score) {
			best = i;
			best_score = s;
		}
	}
	x->update = json_pack("{s:s}", c->out, c->labels[best]);
	if (!x->update || (c->confidence && json_object_set_new(x->update, c->confidence,
						    json_real(best_score)) < 0))
		return sg_error_nomem(err);
	return SG_EXEC_DONE;
}

static int apply(struct sg_exec *x, const json_t *record, struct sg_error *err)
{
	float vector[SG_EMBED_DIM];
	int r = sg_exec_embedding_read(record, vector, err);
	return r < 0 ? r : classify(x, vector, err);
}

static int execute(struct sg_exec *x, struct sg_error *err)
{
	const struct classifier *c = x->data;
	const json_t *in = json_object_get(x->state, c->input);
	if (!c->from_vector) {
		if (!json_is_string(in))
			return sg_error_set(err, SG_EINVALID, "embed-input",
				"the state field \"%s\" holds no text", c->input);
		return sg_exec_embed(x, json_string_value(in), json_string_length(in), err);
	}
	float v[SG_EMBED_DIM];
	int r = sg_vector_parse(in, v, err);
	if (r < 0) {
		(void)sg_error_prefix(err, "state field \"%s\"", c->input);
		return r;
	}
	return classify(x, v, err);
}

const struct sg_node_kind sg_kind_classify_embedding = {
	.spec = {.name = "classify_embedding",
		.file_key = "examples_file",
		.value_key = "examples",
		.config_schema =
			"{\"type\":\"object\",\"required\":[\"input\",\"out\",\"examples\"],"
			"\"additionalProperties\":false,\"properties\":{"
			"\"input\":{\"type\":\"string\"},\"out\":{\"type\":\"string\"},"
			"\"confidence\":{\"type\":\"string\"},"
			"\"k\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":4096},"
			"\"examples\":{\"type\":\"array\",\"minItems\":1,\"maxItems\":4096,"
			"\"items\":{\"type\":\"object\",\"required\":[\"label\",\"text\"],"
			"\"additionalProperties\":false,\"properties\":{"
			"\"label\":{\"type\":\"string\",\"minLength\":1},"
			"\"text\":{\"type\":\"string\"}}}}}}"},
	.prepare = prepare,
	.release = release,
	.execute = execute,
	.apply = apply,
	.elsewhere = true,
	.embeds = true,
};
