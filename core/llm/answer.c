/* The body of a chat completion taken apart: whatever a server sends becomes an answer or an error
 * of a kind. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"
#include "llm/internal.h"

void sg_llm_answer_finish(struct sg_llm_answer *a)
{
	free(a->text);
	*a = (struct sg_llm_answer){0};
}

static int bad(struct sg_error *err, const char *what)
{
	return sg_error_set(err, SG_EINVALID, "llm-response",
		"its response is not a chat completion: %.300s", what);
}

static void copy_text(char *to, size_t size, const json_t *from)
{
	const char *s = json_string_value(from);
	(void)snprintf(to, size, "%s", s ? s : "");
	sg_utf8_mend(to);
}

static int64_t count_of(const json_t *usage, const char *key)
{
	int64_t n = sg_json_int(usage, key, -1);
	return n >= 0 ? n : -1;
}

static int check_finish(const struct sg_llm_answer *a, const json_t *message, struct sg_error *err)
{
	const char *refusal = sg_json_text(message, "refusal");
	char quoted[SG_LLM_QUOTED];
	(void)snprintf(quoted, sizeof(quoted), "%s", refusal ? refusal : "");
	sg_utf8_mend(quoted);
	if (strcmp(a->finish_reason, "length") == 0)
		return sg_error_set(err, SG_EINVALID, "llm-cut",
			"the answer was cut off (finish_reason length); raise max_tokens");
	if (strcmp(a->finish_reason, "content_filter") == 0 || (refusal && *refusal))
		return sg_error_set(err, SG_EINVALID, "llm-refused",
			"the endpoint refused to answer%s%s", *quoted ? ": " : "", quoted);
	return 0;
}

static int take(const json_t *body, struct sg_llm_answer *a, struct sg_error *err)
{
	const json_t *choice = json_array_get(json_object_get(body, "choices"), 0);
	const json_t *message = json_object_get(choice, "message"),
		     *content = json_object_get(message, "content"),
		     *usage = json_object_get(body, "usage");
	if (!json_is_object(body))
		return bad(err, "no object");
	if (!json_is_object(choice))
		return bad(err, "no choices[0]");
	copy_text(a->model, sizeof(a->model), json_object_get(body, "model"));
	copy_text(a->finish_reason, sizeof(a->finish_reason),
		json_object_get(choice, "finish_reason"));
	a->prompt_tokens = count_of(usage, "prompt_tokens");
	a->completion_tokens = count_of(usage, "completion_tokens");
	int r = check_finish(a, message, err);
	if (r < 0)
		return r;
	if (!json_is_string(content))
		return bad(err, "choices[0].message.content is no text");
	a->len = json_string_length(content);
	a->text = strndup(json_string_value(content), a->len);
	return a->text ? 0 : sg_error_nomem(err);
}

int sg_llm_answer_parse(const char *data, size_t n, struct sg_llm_answer *ret, struct sg_error *err)
{
	json_auto_t *body = NULL;
	struct sg_error why;
	struct sg_llm_answer a = {0};
	if (sg_json_parse(data, n, &body, &why) < 0) {
		sg_utf8_mend(why.text);
		return bad(err, why.text);
	}
	int r = take(body, &a, err);
	if (r < 0)
		sg_llm_answer_finish(&a);
	else
		*ret = a;
	return r;
}
