/* Values and facts as text: Python's str() for the slot `value`, CLIPS's own form for the record.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pystr.h"
#include "rules/internal.h"

static void add_value(struct sg_buf *out, int type, const void *value)
{
	char number[40];
	switch (type) {
	case STRING: sg_buf_add_clips_string(out, ValueToString(value)); break;
	case SYMBOL:
	case INSTANCE_NAME: sg_buf_adds(out, ValueToString(value)); break;
	case INTEGER: sg_pystr_integer(ValueToLong(value), out); break;
	case FLOAT:
		(void)snprintf(number, sizeof(number), "%.17g", ValueToDouble(value));
		sg_buf_adds(out, number);
		if (strspn(number, "-0123456789") == strlen(number))
			sg_buf_adds(out, ".0");
		break;
	case FACT_ADDRESS:
		sg_buf_addf(out, "<Fact-%lld>", ((const struct fact *)value)->factIndex);
		break;
	default: sg_buf_adds(out, "nil"); break;
	}
}

static void add_multifield(struct sg_buf *out, const struct multifield *m)
{
	for (long i = 0; i < m->multifieldLength; i++) {
		sg_buf_addc(out, ' ');
		add_value(out, m->theFields[i].type, m->theFields[i].value);
	}
}

void sg_text_slot(const char *name, const char *text, struct sg_buf *out)
{
	sg_buf_adds(out, " (");
	sg_buf_adds(out, name);
	sg_buf_addc(out, ' ');
	sg_buf_add_clips_string(out, text);
	sg_buf_addc(out, ')');
}

void sg_text_field(const char *name, const struct field *value, struct sg_buf *out)
{
	sg_buf_adds(out, " (");
	sg_buf_adds(out, name);
	sg_buf_addc(out, ' ');
	add_value(out, value->type, value->value);
	sg_buf_addc(out, ')');
}

#define MIRROR_SLOTS 8 /* value, typed, and the six of provenance */

/* A mirrored fact of this step as it was asserted, whose text is kept; NULL for any other. */
static const struct sg_mirror *kept_mirror(const struct sg_rules *r, const struct fact *f)
{
	const struct field *field = f->theProposition.theFields;
	const struct sg_mirror *m = r->mirrors, *end = m + r->n_mirrors;
	if (!r->provenance.text.len || f->whichDeftemplate->numberOfSlots != MIRROR_SLOTS)
		return NULL;
	while (m < end && m->clips != f->whichDeftemplate)
		m++;
	if (m == end || !m->seen)
		return NULL;
	for (int i = 0; i < 2; i++)
		if (field[i].value != m->fields[i].value || field[i].type != m->fields[i].type)
			return NULL;
	for (int i = 0; i < 6; i++)
		if (field[2 + i].value != r->provenance.symbols[i])
			return NULL;
	return m;
}

static void add_fact(const struct fact *f, struct sg_buf *out)
{
	const struct field *field = f->theProposition.theFields;
	sg_buf_addc(out, '(');
	sg_buf_adds(out, ValueToString(f->whichDeftemplate->header.name));
	if (f->whichDeftemplate->implied)
		add_multifield(out, field->value);
	for (const struct templateSlot *s = f->whichDeftemplate->slotList; s;
		s = s->next, field++) {
		if (!s->multislot) {
			sg_text_field(ValueToString(s->slotName), field, out);
			continue;
		}
		sg_buf_adds(out, " (");
		sg_buf_adds(out, ValueToString(s->slotName));
		add_multifield(out, field->value);
		sg_buf_addc(out, ')');
	}
	sg_buf_addc(out, ')');
}

/* Eight bytes at a time: most facts are, and Jansson's UTF-8 check is slow. */
static bool ascii(const char *s, size_t n)
{
	uint64_t all = 0, word;
	for (; n >= sizeof(word); n -= sizeof(word), s += sizeof(word)) {
		memcpy(&word, s, sizeof(word));
		all |= word;
	}
	for (; n > 0; n--, s++)
		all |= (unsigned char)*s;
	return (all & 0x8080808080808080ULL) == 0;
}

static bool utf8(const char *s, size_t n)
{
	if (ascii(s, n))
		return true;
	json_t *checked = json_stringn(s, n);
	json_decref(checked);
	return checked != NULL;
}

int sg_text_fact(
	const struct sg_rules *r, const struct fact *f, struct sg_buf *scratch, struct sg_buf *out)
{
	const struct sg_mirror *m = kept_mirror(r, f);
	if (m) {
		sg_buf_add(out, "\"(", 2);
		sg_buf_add_json_escaped(out, m->name, strlen(m->name));
		sg_buf_add(out, m->text.data, m->text.len);
		sg_buf_add(out, r->provenance.text.data, r->provenance.text.len);
		sg_buf_addc(out, '"');
		return 0;
	}
	sg_buf_reset(scratch);
	add_fact(f, scratch);
	if (!scratch->data || !utf8(scratch->data, scratch->len))
		return 1;
	sg_buf_add_json_string(out, scratch->data, scratch->len);
	return 0;
}

static json_t *value_json(int type, const void *value)
{
	switch (type) {
	case STRING:
	case SYMBOL: return json_string(ValueToString(value));
	case INTEGER: return json_integer(ValueToLong(value));
	case FLOAT: return json_real(ValueToDouble(value));
	default: return json_null();
	}
}

json_t *sg_text_slots(const struct fact *f)
{
	json_t *out = json_object();
	const struct field *field = f->theProposition.theFields;
	for (const struct templateSlot *s = f->whichDeftemplate->slotList; out && s;
		s = s->next, field++) {
		json_t *v = NULL;
		if (s->multislot) {
			const struct multifield *m = field->value;
			v = json_array();
			for (long i = 0; v && i < m->multifieldLength; i++)
				(void)json_array_append_new(
					v, value_json(m->theFields[i].type, m->theFields[i].value));
		} else {
			v = value_json(field->type, field->value);
		}
		/* a string that is not UTF-8 cannot be JSON: the slot is left out */
		if (v)
			(void)json_object_set_new(out, ValueToString(s->slotName), v);
	}
	return out;
}
