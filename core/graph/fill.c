/* {field} inside the texts of an assert's slots. */
#include <string.h>

#include "base/cleanup.h"
#include "base/pystr.h"
#include "graph/graph.h"

#define FILLED_MAX (1U << 20)

static const json_t *field_at(const json_t *state, const char *open, const char **ret_end)
{
	const char *end = strchr(open, '}');
	if (!end)
		return NULL;
	*ret_end = end + 1;
	sg_autofree char *name = strndup(open + 1, (size_t)(end - open - 1));
	return name ? json_object_get(state, name) : NULL;
}

static json_t *fill_text(const char *text, const json_t *state)
{
	sg_autobuf out = SG_BUF_INIT(FILLED_MAX);
	const char *end = NULL;
	if (text[0] == '{' && text[1] != '{') {
		const json_t *whole = field_at(state, text, &end);
		if (whole && !*end && !json_is_object(whole) && !json_is_array(whole))
			return json_incref((json_t *)whole);
	}
	for (const char *p = text; *p;) {
		bool twice = (*p == '{' || *p == '}') && p[1] == *p;
		const json_t *v = *p == '{' && !twice ? field_at(state, p, &end) : NULL;
		if (v) {
			sg_pystr(v, &out);
			p = end;
			continue;
		}
		sg_buf_addc(&out, *p);
		p += twice ? 2 : 1;
	}
	return out.failed ? NULL : json_stringn(out.data ? out.data : "", out.len);
}

json_t *sg_graph_fill(const json_t *slots, const json_t *state)
{
	json_t *out = json_object(), *v;
	const char *name;
	json_object_foreach ((json_t *)slots, name, v) {
		json_t *own =
			json_is_string(v) ? fill_text(json_string_value(v), state) : json_incref(v);
		if (!own || json_object_set_new(out, name, own) < 0) {
			json_decref(out);
			return NULL;
		}
	}
	return out;
}
