/* Questions of an interrupt, on the terminal. */
#include "cli/ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

#define MAX_LINE 65536

/* One line without its newline, or NULL at the end of input. */
static const char *read_line(char line[MAX_LINE])
{
	(void)fputs("> ", stdout);
	(void)fflush(stdout);
	if (!fgets(line, MAX_LINE, stdin))
		return NULL;
	line[strcspn(line, "\r\n")] = '\0';
	return line;
}

/* Text where the schema wants text, else JSON. */
static json_t *value_of(const char *line, const json_t *schema)
{
	const char *type = json_string_value(json_object_get(schema, "type"));
	json_t *v = NULL;
	if (!type || strcmp(type, "string") == 0)
		return json_string(line);
	return sg_json_parse(line, strlen(line), &v, NULL) < 0 ? NULL : v;
}

/* 0, or 1 at the end of input. */
static int ask_one(const json_t *q, json_t *answers)
{
	char line[MAX_LINE];
	const char *slot = json_string_value(json_object_get(q, "slot")),
		   *prompt = json_string_value(json_object_get(q, "prompt")),
		   *kind = json_string_value(json_object_get(q, "kind"));
	bool required = kind && strcmp(kind, "required") == 0;
	if (!slot)
		return 0;
	for (;;) {
		(void)printf("  %s%s: %s\n", slot, required ? "" : " (blank to skip)",
			prompt ? prompt : "");
		if (!read_line(line))
			return 1;
		if (!*line && !required)
			return 0;
		json_t *v = *line ? value_of(line, json_object_get(q, "schema")) : NULL;
		if (v && json_object_set_new(answers, slot, v) == 0)
			return 0;
		(void)puts("  that does not fit; try again");
	}
}

static int ask(const json_t *waiting, json_t **ret_answer)
{
	char line[MAX_LINE];
	size_t i;
	const json_t *q,
		*questions = json_object_get(json_object_get(waiting, "payload"), "open_questions");
	(void)printf("%s\n", json_string_value(json_object_get(waiting, "prompt")));
	if (!json_array_size(questions)) {
		const char *text = read_line(line);
		*ret_answer = text ? json_pack("{s:s}", "answer", text) : NULL;
		return text ? 0 : 1;
	}
	json_t *answers = json_object();
	json_array_foreach (questions, i, q)
		if (ask_one(q, answers) != 0) {
			json_decref(answers);
			return 1;
		}
	*ret_answer = json_pack("{s:o}", "slot_answers", answers);
	return 0;
}

int sg_ask(const char *waiting, json_t **ret_answer, struct sg_error *err)
{
	json_t *w = NULL;
	int r = sg_json_parse(waiting, strlen(waiting), &w, err);
	if (r < 0)
		return r;
	r = ask(w, ret_answer);
	json_decref(w);
	return r == 0 && !*ret_answer ? sg_error_nomem(err) : r;
}
