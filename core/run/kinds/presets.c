/* reason, summarize, classify, extract, judge, plan: the questions that are asked most, with their
 * instructions, the form of their answers and the state fields that these become. The model never
 * says where the run goes: rules do, over the fields. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/pystr.h"
#include "run/chat.h"

#define MAX_LABELS 256
#define TEXT SG_TYPE_BIT(SG_STR)
#define SCORE (SG_TYPE_BIT(SG_STR) | SG_TYPE_BIT(SG_FLOAT))

/* A state field that a kind writes. */
struct output {
	const char *field, *member; /* member: of the answer */
	unsigned types;
	bool optional; /* written where the graph has the field */
};

struct preset {
	const char *kind;
	const char *input; /* the field that is read, unless config.input says another */
	const char *instructions;
	const char *schema; /* what the answer must fit; NULL = made from the configuration */
	struct output outputs[4];
};

#define OBJECT(required, properties) \
	"{\"type\":\"object\",\"required\":[" required "],\"properties\":{" properties "}}"
/* A model may write a number as a text. */
#define NUMBER "{\"type\":[\"number\",\"string\"]}"

static const struct preset presets[] = {
	{"reason", "question",
		"Answer the question. Work it out step by step in \"analysis\" first, then give "
		"the "
		"answer: precise, complete, and without anything made up.",
		OBJECT("\"analysis\",\"answer\"",
			"\"analysis\":{\"type\":\"string\"},\"answer\":{\"type\":\"string\"}"),
		{{"answer", "answer", TEXT, false}, {"rationale", "analysis", TEXT, true}}},
	{"summarize", "text",
		"Summarize the text, briefly and faithfully. Keep the important facts and numbers; "
		"add nothing that it does not say.",
		OBJECT("\"summary\"", "\"summary\":{\"type\":\"string\"}"),
		{{"summary", "summary", TEXT, false}}},
	{"classify", "text",
		"Decide which one of the labels fits the text. Give the label as it is written, "
		"and "
		"your confidence from 0 to 1. The labels are: ",
		OBJECT("\"confidence\",\"label\"",
			"\"confidence\":" NUMBER ",\"label\":{\"type\":\"string\"}"),
		{{"verdict", "label", TEXT, false}, {"confidence", "confidence", SCORE, true}}},
	{"extract", "text",
		"Take the fields out of the text. Their values are what the text says, in its own "
		"words; do not infer or invent any.",
		NULL, {{0}}},
	{"judge", "content",
		"Judge whether the content meets the rubric. Give your rationale first, then a "
		"score "
		"from 0 to 1 and the verdict: \"pass\" or \"fail\". The rubric is:\n",
		OBJECT("\"rationale\",\"score\",\"verdict\"",
			"\"rationale\":{\"type\":\"string\"},\"score\":" NUMBER
			",\"verdict\":{\"type\":\"string\"}"),
		{{"verdict", "verdict", TEXT, false}, {"score", "score", SCORE, true},
			{"rationale", "rationale", TEXT, true}}},
	{"plan", "goal",
		"Break the goal into a short list of tasks in the order in which they are to be "
		"done. Each is concrete, small enough for one step, and can be checked by itself.",
		OBJECT("\"tasks\"",
			"\"tasks\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}}"),
		{{"tasks", "tasks", SG_TYPE_BIT(SG_LIST), false}}},
};

struct data {
	struct sg_chat chat;
	const struct preset *preset;
	struct sg_buf system; /* the instructions */
	unsigned present;     /* bit i: outputs[i] is a field of the graph */
	unsigned as_number;   /* bit i: it is a float */
};

static void release(void *arg)
{
	struct data *d = arg;
	if (!d)
		return;
	sg_chat_finish(&d->chat);
	sg_buf_finish(&d->system);
	free(d);
}

static const struct preset *preset_of(const char *kind)
{
	const struct preset *p = presets;
	while (strcmp(p->kind, kind) != 0) /* one of them: the table of kinds names no other */
		p++;
	return p;
}

/* ---- when the graph is loaded ---- */

static int check_output(
	const struct sg_kind_load *l, struct data *d, size_t i, struct sg_error *err)
{
	const struct output *o = &d->preset->outputs[i];
	const struct sg_field *f = sg_graph_find_field(l->graph, o->field);
	if (!f)
		return o->optional ? 0
				   : sg_error_set(err, SG_EINVALID, NULL,
					     "kind %s writes the state field \"%s\", which the "
					     "graph does not have",
					     l->node->kind, o->field);
	if (!(o->types & SG_TYPE_BIT(f->type)))
		return sg_error_set(err, SG_EINVALID, NULL,
			"kind %s writes the state field \"%s\", whose type %s does not fit",
			l->node->kind, o->field, sg_field_type_name(f->type));
	d->present |= 1U << i;
	if (f->type == SG_FLOAT)
		d->as_number |= 1U << i;
	return 0;
}

static const char *const extract_types[][2] = {{"str", "string"}, {"int", "integer"},
	{"float", "number"}, {"bool", "boolean"}, {"list", "array"}};

static int add_extract_field(const struct sg_kind_load *l, const char *name, const char *type,
	json_t *properties, struct sg_error *err)
{
	const struct sg_field *f = sg_graph_find_field(l->graph, name);
	size_t i = 0;
	while (i < SG_ARRAY_LEN(extract_types) && strcmp(extract_types[i][0], type) != 0)
		i++;
	if (!f)
		return sg_kind_unknown_field(l->graph, "fields", name, err);
	if (i == SG_ARRAY_LEN(extract_types))
		return sg_error_set(err, SG_EINVALID, NULL,
			"config.fields.%.64s: unknown type \"%.40s\"; there are str, int, float, "
			"bool "
			"and list",
			name, type);
	if (strcmp(sg_field_type_name(f->type), type) != 0)
		return sg_error_set(err, SG_EINVALID, NULL,
			"config.fields.%.64s: it is to be %s, and the state field is %s", name,
			type, sg_field_type_name(f->type));
	json_t *schema = json_pack("{s:s}", "type", extract_types[i][1]);
	if (schema && f->type == SG_LIST)
		(void)json_object_set_new(schema, "items", json_pack("{s:s}", "type", "string"));
	return json_object_set_new(properties, name, schema) < 0 ? sg_error_nomem(err) : 0;
}

static int extract_schema(const struct sg_kind_load *l, struct data *d, struct sg_error *err)
{
	json_t *required = json_array(), *properties = json_object(), *v;
	const char *name;
	d->chat.schema = json_pack("{s:s, s:o, s:o, s:b}", "type", "object", "required", required,
		"properties", properties, "additionalProperties", 0);
	if (!d->chat.schema)
		return sg_error_nomem(err);
	json_object_foreach (json_object_get(l->node->config, "fields"), name, v) {
		int r = add_extract_field(l, name, json_string_value(v), properties, err);
		if (r < 0)
			return r;
		if (json_array_append_new(required, json_string(name)) < 0)
			return sg_error_nomem(err);
	}
	return 0;
}

static int check_labels(const json_t *labels, struct data *d, struct sg_error *err)
{
	size_t i, k;
	const json_t *a, *b;
	json_array_foreach (labels, i, a) {
		json_array_foreach (labels, k, b)
			if (k < i && strcasecmp(json_string_value(a), json_string_value(b)) == 0)
				return sg_error_set(err, SG_EINVALID, NULL,
					"config.labels: \"%.64s\" is there twice; upper and lower "
					"case are the same",
					json_string_value(a));
		sg_buf_addf(&d->system, "%s%s", i ? ", " : "", json_string_value(a));
	}
	return 0;
}

/* What the model is shown: the same as what is accepted, and stricter, so that a server which holds
 * a model to a schema makes it right. */
static int shown_schema(struct data *d, const json_t *labels, struct sg_error *err)
{
	json_t *shown = json_deep_copy(d->chat.schema),
	       *properties = json_object_get(shown, "properties");
	json_t *score = json_pack("{s:s, s:i, s:i}", "type", "number", "minimum", 0, "maximum", 1);
	d->chat.shown = shown;
	(void)json_object_set_new(shown, "additionalProperties", json_false());
	if (json_object_get(properties, "confidence"))
		(void)json_object_set(properties, "confidence", score);
	if (json_object_get(properties, "score"))
		(void)json_object_set(properties, "score", score);
	if (labels)
		(void)json_object_set_new(properties, "label", json_pack("{s:O}", "enum", labels));
	if (json_object_get(properties, "verdict"))
		(void)json_object_set_new(
			properties, "verdict", json_pack("{s:[s, s]}", "enum", "pass", "fail"));
	json_decref(score);
	return shown && score ? 0 : sg_error_nomem(err);
}

static int make_schema(const struct sg_kind_load *l, struct data *d, struct sg_error *err)
{
	const char *text = d->preset->schema;
	if (!text)
		return extract_schema(l, d, err);
	int r = sg_json_parse(text, strlen(text), &d->chat.schema, err);
	return r < 0 ? r : shown_schema(d, json_object_get(l->node->config, "labels"), err);
}

static int make_system(const struct sg_kind_load *l, struct data *d, struct sg_error *err)
{
	const json_t *config = l->node->config;
	const char *own = json_string_value(json_object_get(config, "instructions"));
	const char *rubric = json_string_value(json_object_get(config, "rubric"));
	int r = 0;
	d->system = SG_BUF_INIT(SG_CHAT_MAX_PROMPT);
	sg_buf_adds(&d->system, d->preset->instructions);
	if (json_object_get(config, "labels"))
		r = check_labels(json_object_get(config, "labels"), d, err);
	if (rubric)
		sg_buf_adds(&d->system, rubric);
	if (own) { /* instead of all that */
		sg_buf_reset(&d->system);
		sg_buf_adds(&d->system, own);
	}
	return r == 0 && d->system.failed ? sg_error_nomem(err) : r;
}

static int check_input(const struct sg_kind_load *l, const struct preset *p, struct sg_error *err)
{
	const char *name = json_string_value(json_object_get(l->node->config, "input"));
	name = name ? name : p->input;
	return sg_graph_find_field(l->graph, name)
		       ? 0
		       : sg_kind_unknown_field(l->graph, "input", name, err);
}

static int fill(const struct sg_kind_load *l, void *data, struct sg_error *err)
{
	struct data *d = data;
	d->preset = preset_of(l->node->kind);
	int r = check_input(l, d->preset, err);
	for (size_t i = 0; r == 0 && d->preset->outputs[i].field; i++)
		r = check_output(l, d, i, err);
	if (r == 0)
		r = make_system(l, d, err);
	if (r == 0)
		r = make_schema(l, d, err);
	return r < 0 ? r : sg_chat_prepare(l, &d->chat, err);
}

static int prepare(const struct sg_kind_load *l, void **ret_data, struct sg_error *err)
{
	return sg_kind_make(l, sizeof(struct data), fill, release, ret_data, err);
}

/* ---- a run ---- */

static int execute(struct sg_exec *x, struct sg_error *err)
{
	const struct data *d = x->data;
	const char *field = json_string_value(json_object_get(x->node->config, "input"));
	const json_t *v = json_object_get(x->state, field ? field : d->preset->input);
	sg_autobuf prompt = SG_BUF_INIT(SG_CHAT_MAX_PROMPT);
	sg_pystr(v ? v : json_null(), &prompt);
	if (prompt.failed)
		return sg_error_set(err, SG_ELIMIT, "llm-request",
			"the input is larger than %u bytes", SG_CHAT_MAX_PROMPT);
	return sg_chat_ask(x, &d->chat, &d->system, &prompt, NULL, err);
}

/* Without the white space around it and the full stop behind it, as the label is spelled. */
static const char *same_label(const json_t *answer, const json_t *labels)
{
	const char *s = json_string_value(answer);
	size_t i;
	const json_t *one;
	s += strspn(s, " \t\r\n");
	size_t n = strlen(s);
	while (n && strchr(" \t\r\n.", s[n - 1]))
		n--;
	json_array_foreach (labels, i, one) {
		const char *label = json_string_value(one);
		if (strlen(label) == n && strncasecmp(label, s, n) == 0)
			return label;
	}
	return NULL;
}

static int verdict(const struct sg_exec *x, const json_t *v, json_t **ret, struct sg_error *err)
{
	const json_t *labels = json_object_get(x->node->config, "labels");
	json_auto_t *own = labels ? NULL : json_pack("[s, s]", "pass", "fail");
	const char *label = same_label(v, labels ? labels : own);
	if (!label)
		return sg_error_set(err, SG_EINVALID, "llm-label",
			"the answer \"%.100s\" is none of the labels", json_string_value(v));
	*ret = json_string(label);
	return 0;
}

/* From 0 to 1, as a text unless the field is a float: rules compare texts in the original. */
static int score(const json_t *v, bool as_number, json_t **ret, struct sg_error *err)
{
	json_auto_t *number = NULL;
	sg_autobuf text = SG_BUF_INIT(64);
	if (json_is_string(v) &&
		sg_json_parse(json_string_value(v), json_string_length(v), &number, NULL) == 0)
		v = number;
	if (!json_is_number(v))
		return sg_error_set(err, SG_EINVALID, "llm-schema",
			"the answer's score or confidence is no number");
	double d = json_number_value(v);
	json_auto_t *clamped = json_real(d < 0 ? 0 : d > 1 ? 1 : d);
	sg_pystr(clamped, &text);
	*ret = as_number ? json_incref(clamped) : json_string(text.data);
	return 0;
}

static int put_output(struct sg_exec *x, const struct data *d, size_t i, const json_t *answer,
	struct sg_error *err)
{
	const struct output *o = &d->preset->outputs[i];
	json_t *v = json_object_get(answer, o->member), *value = NULL;
	int r = 0;
	if (!(d->present & 1U << i))
		return 0;
	if (strcmp(o->field, "verdict") == 0)
		r = verdict(x, v, &value, err);
	else if (o->types == SCORE)
		r = score(v, d->as_number & 1U << i, &value, err);
	else
		value = json_incref(v);
	return r < 0 ? r : sg_chat_put(x, o->field, value, err);
}

static int put_all(struct sg_exec *x, const struct data *d, json_t *answer, struct sg_error *err)
{
	const char *name;
	json_t *v;
	int r = 0;
	for (size_t i = 0; r == 0 && d->preset->outputs[i].field; i++)
		r = put_output(x, d, i, answer, err);
	if (!d->preset->schema) /* extract: what fits its schema are its fields */
		json_object_foreach (answer, name, v)
			if (r == 0)
				r = sg_chat_put(x, name, json_incref(v), err);
	return r;
}

static int apply(struct sg_exec *x, const json_t *record, struct sg_error *err)
{
	const struct data *d = x->data;
	json_auto_t *answer = NULL;
	int r = sg_chat_read(x, &d->chat, record, &answer, err);
	if (r != 0)
		return r < 0 ? r : 0;
	r = put_all(x, d, answer, err);
	if (r < 0)
		r = sg_chat_reject(x, err);
	else
		r = sg_chat_done(x, err);
	return r < 0 ? r : 0;
}

#define SHARED \
	SG_CHAT_PROPERTIES ",\"input\":{\"type\":\"string\",\"minLength\":1}," \
			   "\"instructions\":{\"type\":\"string\",\"minLength\":1}"
#define PRESET(id, more) \
	const struct sg_node_kind sg_kind_##id = { \
		.spec = {.name = #id, .config_schema = "{\"type\":\"object\"," more "}}"}, \
		.prepare = prepare, \
		.release = release, \
		.execute = execute, \
		.apply = apply, \
		.store = sg_chat_store, \
		.effects = sg_chat_effects, \
		.cancel = sg_exec_offload_cancel, \
		.elsewhere = true, \
		.outside = true, \
		.asks = true, \
	}
#define PLAIN "\"additionalProperties\":false,\"properties\":{" SHARED

PRESET(reason, PLAIN);
PRESET(summarize, PLAIN);
PRESET(plan, PLAIN);
PRESET(classify,
	"\"required\":[\"labels\"]," PLAIN
	",\"labels\":{\"type\":\"array\",\"minItems\":2,\"maxItems\":256,\"items\":{\"type\":"
	"\"string\",\"minLength\":1,\"maxLength\":200}}");
PRESET(extract, "\"required\":[\"fields\"]," PLAIN
		",\"fields\":{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}}");
PRESET(judge,
	"\"required\":[\"rubric\"]," PLAIN ",\"rubric\":{\"type\":\"string\",\"minLength\":1}");
