/* The table of templates that rule text is checked against, and the name mangling. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "rules/internal.h"

char *sg_rules_mangle(const char *name)
{
	char *out = strdup(name);
	for (char *p = out; p && *p; p++)
		if (*p == '.')
			*p = '-';
	return out;
}

/* Words that CLIPS reads as its own at the head of a pattern, and templates of the engine whose
 * names are also possible field names. */
bool sg_rules_name_free(const char *name)
{
	static const char *const taken[] = {"and", "declare", "exists", "forall", "logical", "not",
		"object", "or", "stargraph_action", "test"};
	for (size_t i = 0; i < SG_ARRAY_LEN(taken); i++)
		if (strcmp(name, taken[i]) == 0)
			return false;
	return true;
}

struct sg_template *sg_templates_find(const struct sg_templates *t, const char *name)
{
	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->all[i].name, name) == 0)
			return &t->all[i];
	return NULL;
}

static void template_finish(struct sg_template *t)
{
	for (size_t i = 0; i < t->n_slots; i++)
		free(t->slots[i]);
	free(t->slots);
	free(t->name);
}

int sg_templates_add(struct sg_templates *t, const char *name, const char *const *slots,
	size_t n_slots, bool fixed, struct sg_error *err)
{
	struct sg_template *grown = realloc(t->all, (t->n + 1) * sizeof(*grown));
	if (!grown)
		return sg_error_nomem(err);
	t->all = grown;
	struct sg_template *one = &t->all[t->n];
	*one = (struct sg_template){.name = sg_rules_mangle(name), .fixed = fixed};
	one->slots = calloc(n_slots + 1, sizeof(*one->slots));
	bool ok = one->name && one->slots;
	for (size_t i = 0; ok && i < n_slots; i++) {
		one->slots[i] = strdup(slots[i]);
		ok = one->slots[i] != NULL;
		one->n_slots += ok;
	}
	if (!ok) {
		template_finish(one);
		return sg_error_nomem(err);
	}
	t->n++;
	return 0;
}

int sg_templates_add_slot(struct sg_template *t, const char *slot, struct sg_error *err)
{
	char **grown = realloc(t->slots, (t->n_slots + 1) * sizeof(*grown));
	char *own = grown ? strdup(slot) : NULL;
	if (grown)
		t->slots = grown;
	if (!own)
		return sg_error_nomem(err);
	t->slots[t->n_slots++] = own;
	return 0;
}

void sg_templates_finish(struct sg_templates *t)
{
	for (size_t i = 0; i < t->n; i++)
		template_finish(&t->all[i]);
	free(t->all);
	*t = (struct sg_templates){0};
}
