/* Values and facts as text: Python's str() for the slot `value`, CLIPS's own form for the record.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/internal.h"

static void add_integer(struct sg_buf *out, long long v)
{
	char text[24], *p = text + sizeof(text);
	unsigned long long rest = v < 0 ? 0ULL - (unsigned long long)v : (unsigned long long)v;
	do
		*--p = (char)('0' + rest % 10);
	while (rest /= 10);
	if (v < 0)
		*--p = '-';
	sg_buf_add(out, p, (size_t)(text + sizeof(text) - p));
}

/* repr(float): the shortest digits that read back the same, exponent outside 1e-4 … 1e16. */
static void python_float(double v, struct sg_buf *out)
{
	char digits[40];
	if (!isfinite(v)) {
		sg_buf_adds(out, isnan(v) ? "nan" : v > 0 ? "inf" : "-inf");
		return;
	}
	for (int precision = 14; precision <= 16; precision++) {
		(void)snprintf(digits, sizeof(digits), "%.*e", precision, v);
		if (strtod(digits, NULL) == v)
			break;
	}
	char *e = strchr(digits, 'e');
	int exponent = atoi(e + 1);
	char *last = e - 1; /* digits look like -d.ddd…e±xx */
	while (*last == '0')
		last--;
	const char *first = digits[0] == '-' ? digits + 1 : digits;
	int n = (int)(last - first); /* digits without the point; "d." alone gives 1 */
	n = n < 1 ? 1 : n;
	if (exponent < -4 || exponent >= 16) {
		sg_buf_add(out, digits, (size_t)((*last == '.' ? last : last + 1) - digits));
		sg_buf_addf(out, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
		return;
	}
	int decimals = n - 1 - exponent;
	sg_buf_addf(out, "%.*f", decimals < 1 ? 1 : decimals, v);
}

void sg_text_python(const json_t *v, struct sg_buf *out)
{
	if (json_is_string(v))
		sg_buf_add(out, json_string_value(v), json_string_length(v));
	else if (json_is_integer(v))
		add_integer(out, json_integer_value(v));
	else if (json_is_real(v))
		python_float(json_real_value(v), out);
	else
		sg_buf_adds(out, json_is_true(v) ? "True" : json_is_false(v) ? "False" : "None");
}

static void add_quoted(struct sg_buf *out, const char *s)
{
	sg_buf_addc(out, '"');
	for (;;) {
		size_t n = strcspn(s, "\"\\");
		sg_buf_add(out, s, n);
		if (!s[n])
			break;
		sg_buf_addc(out, '\\');
		sg_buf_addc(out, s[n]);
		s += n + 1;
	}
	sg_buf_addc(out, '"');
}

static void add_value(struct sg_buf *out, int type, const void *value)
{
	char number[40];
	switch (type) {
	case STRING: add_quoted(out, ValueToString(value)); break;
	case SYMBOL:
	case INSTANCE_NAME: sg_buf_adds(out, ValueToString(value)); break;
	case INTEGER: add_integer(out, ValueToLong(value)); break;
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
	add_quoted(out, text);
	sg_buf_addc(out, ')');
}

/* A mirrored fact of this step: its last six slots are the step's provenance. */
static bool has_provenance(const struct sg_rules *r, const struct fact *f)
{
	if (f->whichDeftemplate->numberOfSlots != 8 || !r->provenance.text.len)
		return false;
	for (int i = 0; i < 6; i++)
		if (f->theProposition.theFields[2 + i].value != r->provenance.symbols[i])
			return false;
	return true;
}

void sg_text_fact(const struct sg_rules *r, const struct fact *f, struct sg_buf *out)
{
	const struct field *field = f->theProposition.theFields;
	sg_buf_addc(out, '(');
	sg_buf_adds(out, ValueToString(f->whichDeftemplate->header.name));
	if (f->whichDeftemplate->implied) {
		add_multifield(out, field->value);
		sg_buf_addc(out, ')');
		return;
	}
	if (has_provenance(r, f)) {
		sg_buf_adds(out, " (value ");
		add_value(out, field[0].type, field[0].value);
		sg_buf_adds(out, ") (typed ");
		add_value(out, field[1].type, field[1].value);
		sg_buf_addc(out, ')');
		sg_buf_add(out, r->provenance.text.data, r->provenance.text.len);
		return;
	}
	for (const struct templateSlot *s = f->whichDeftemplate->slotList; s;
		s = s->next, field++) {
		sg_buf_adds(out, " (");
		sg_buf_adds(out, ValueToString(s->slotName));
		if (s->multislot) {
			add_multifield(out, field->value);
		} else {
			sg_buf_addc(out, ' ');
			add_value(out, field->type, field->value);
		}
		sg_buf_addc(out, ')');
	}
	sg_buf_addc(out, ')');
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
