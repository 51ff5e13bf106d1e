/* The shortest digits by trying 15, 16 and 17 of them: for most values the first try reads back. */
#include "base/pystr.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

void sg_pystr_integer(long long v, struct sg_buf *out)
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
	int exponent = (int)strtol(e + 1, NULL, 10);
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

void sg_pystr(const json_t *v, struct sg_buf *out)
{
	if (json_is_string(v))
		sg_buf_add(out, json_string_value(v), json_string_length(v));
	else if (json_is_integer(v))
		sg_pystr_integer(json_integer_value(v), out);
	else if (json_is_real(v))
		python_float(json_real_value(v), out);
	else if (json_is_array(v) || json_is_object(v))
		(void)sg_json_canonical(v, out, NULL);
	else
		sg_buf_adds(out, json_is_true(v) ? "True" : json_is_false(v) ? "False" : "None");
}
