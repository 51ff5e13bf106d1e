/* Any bytes as a node's CLIPS expression: it is refused with one line, or it gives a value or a
 * named error within its limits; it reads nothing outside, and the environment decides as before.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "rules/rules.h"

static const struct sg_rules_field fields[] = {
	{"n", SG_SLOT_INTEGER}, {"s", SG_SLOT_STRING}, {"f", SG_SLOT_FLOAT}, {"b", SG_SLOT_BOOL}};

static void compute(struct sg_rules *r)
{
	struct sg_error err = {0};
	json_t *update = json_object();
	json_t *state =
		json_pack("{s:i, s:s, s:f, s:b}", "n", 3, "s", "text (exit)", "f", 0.5, "b", 1);
	int e = sg_rules_compute(r, "x", state, update, &err);
	if (e < 0 ? !err.code || strchr(err.text, '\n') != NULL : json_object_size(update) != 1)
		abort();
	json_object_clear(update);
	if (sg_rules_compute(r, "known", state, update, &err) < 0 ||
		json_integer_value(json_object_get(update, "v")) != 4)
		abort();
	json_decref(update);
	json_decref(state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	sg_autofree char *text = strndup((const char *)data, size);
	const struct sg_rules_expression all[] = {
		{"known", "v", "(+ ?n 1)", "g:1"}, {"x", "v", text, "g:2"}};
	const struct sg_rules_spec spec = {
		.fields = fields, .n_fields = 4, .expressions = all, .n_expressions = 2};
	struct sg_rules *r = NULL;
	struct sg_error err = {0};
	if (sg_rules_create(&r, &spec, &err) < 0) {
		if (!err.code || strchr(err.text, '\n'))
			abort();
		return 0;
	}
	compute(r);
	sg_rules_destroy(r);
	return 0;
}
