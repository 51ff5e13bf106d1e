/* Short texts by name, durable with the batch they are put in: what a part above the engine must
 * find again after a restart, such as the last tick of a trigger. */
#include <stdio.h>
#include <string.h>

#include "run/internal.h"

#define MAX_NAME 96

static int check_name(const char *name, struct sg_error *err)
{
	return strlen(name) <= MAX_NAME
		       ? 0
		       : sg_error_set(err, SG_ELIMIT, NULL, "a note's name is too long");
}

int sg_engine_note_put(
	struct sg_engine *e, const char *name, const char *text, struct sg_error *err)
{
	int r = sg_engine_check_room(e, err);
	if (r == 0)
		r = check_name(name, err);
	if (r < 0)
		return r;
	if (sg_batch_put(e, NULL, SG_TABLE_META, SG_KEY_TEXT(name), SG_KEY_TEXT(text)) < 0)
		return sg_error_nomem(err);
	sg_engine_kick(e);
	return 0;
}

int sg_engine_note_get(
	struct sg_engine *e, const char *name, char *ret, size_t size, struct sg_error *err)
{
	sg_autotxn *t = NULL;
	struct sg_span v;
	int r = sg_txn_begin(e->store, false, &t, err);
	if (r == 0)
		r = sg_txn_get(t, SG_TABLE_META, SG_KEY_TEXT(name), &v, err);
	if (r != 0)
		return r;
	if (v.len >= size)
		return sg_error_set(err, SG_ECORRUPT, NULL, "note %s is too long", name);
	(void)snprintf(ret, size, "%.*s", (int)v.len, (const char *)v.data);
	return 0;
}
