/* YAML 1.1 scalars by PyYAML's regular expressions (yaml/resolver.py, 6.0), matched by hand.
 *
 * Differences, all refusals: integers outside 64 bit, infinities and NaN (they never enter state),
 * the merge key and the lone "=". Timestamps stay strings. */
#include "config/yaml_scalar.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"

#define DEC "0123456789"
#define DEC_ "0123456789_"

static bool one_of(const char *text, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(text, words[i]) == 0)
			return true;
	return false;
}

static bool is_null(const char *text)
{
	static const char *const words[] = {"", "~", "null", "Null", "NULL"};
	return one_of(text, words, SG_ARRAY_LEN(words));
}

static bool is_true(const char *text)
{
	static const char *const words[] = {
		"yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"};
	return one_of(text, words, SG_ARRAY_LEN(words));
}

static bool is_false(const char *text)
{
	static const char *const words[] = {
		"no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"};
	return one_of(text, words, SG_ARRAY_LEN(words));
}

/* (?::[0-5]?[0-9])+ from p; returns what follows, or NULL when there is no group. */
static const char *sixties(const char *p)
{
	bool any = false;
	while (*p == ':') {
		size_t d = strspn(p + 1, DEC);
		if (d == 0 || d > 2 || (d == 2 && p[1] > '5'))
			return NULL;
		p += 1 + d;
		any = true;
	}
	return any ? p : NULL;
}

enum int_form { NOT_INT, DECIMAL, BINARY, OCTAL, HEX, SIXTIES };

static enum int_form int_form(const char *p)
{
	p += *p == '-' || *p == '+';
	if (p[0] == '0' && p[1] == 'b')
		return p[2] && !p[2 + strspn(p + 2, "01_")] ? BINARY : NOT_INT;
	if (p[0] == '0' && p[1] == 'x')
		return p[2] && !p[2 + strspn(p + 2, DEC_ "abcdefABCDEF")] ? HEX : NOT_INT;
	if (p[0] == '0')
		return !p[1] ? DECIMAL : !p[strspn(p, "01234567_")] ? OCTAL : NOT_INT;
	if (*p < '1' || *p > '9')
		return NOT_INT;
	p += strspn(p, DEC_);
	if (!*p)
		return DECIMAL;
	p = sixties(p);
	return p && !*p ? SIXTIES : NOT_INT;
}

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return (c | 0x20) - 'a' + 10;
}

static json_t *make_int(const char *p, enum int_form form, const char **ret_why)
{
	static const uint64_t bases[] = {
		[DECIMAL] = 10, [BINARY] = 2, [OCTAL] = 8, [HEX] = 16, [SIXTIES] = 10};
	bool negative = *p == '-', over = false, digits = false;
	p += *p == '-' || *p == '+';
	if (form == BINARY || form == HEX)
		p += 2;
	uint64_t v = 0, group = 0;
	for (; *p; p++) {
		if (*p == '_')
			continue;
		if (*p == ':') {
			v = group;
			group = 0;
			over |= __builtin_mul_overflow(v, 60U, &v);
			for (; p[1] >= '0' && p[1] <= '9'; p++)
				group = group * 10 + (uint64_t)(p[1] - '0');
			over |= __builtin_add_overflow(v, group, &group);
			continue;
		}
		digits = true;
		over |= __builtin_mul_overflow(group, bases[form], &group);
		over |= __builtin_add_overflow(group, (uint64_t)digit_value(*p), &group);
	}
	uint64_t most = (uint64_t)INT64_MAX + negative;
	*ret_why = !digits		  ? "a number without digits"
		   : over || group > most ? "an integer outside 64 bit; write it as a quoted string"
					  : "out of memory";
	if (!digits || over || group > most)
		return NULL;
	return json_integer(negative ? (json_int_t)(0 - group) : (json_int_t)group);
}

static const char *exponent(const char *p)
{
	if (*p != 'e' && *p != 'E')
		return p;
	if (p[1] != '-' && p[1] != '+')
		return p;
	size_t d = strspn(p + 2, DEC);
	return d ? p + 2 + d : p;
}

static bool is_special_float(const char *text)
{
	static const char *const words[] = {".inf", ".Inf", ".INF", "-.inf", "-.Inf", "-.INF",
		"+.inf", "+.Inf", "+.INF", ".nan", ".NaN", ".NAN"};
	return one_of(text, words, SG_ARRAY_LEN(words));
}

static bool is_float(const char *text)
{
	const char *p = text;
	if (*p == '.' && p[1] >= '0' && p[1] <= '9')
		return !*exponent(p + 1 + strspn(p + 1, DEC_));
	p += *p == '-' || *p == '+';
	if (*p < '0' || *p > '9')
		return false;
	p += strspn(p, DEC_);
	if (*p == ':') {
		p = sixties(p);
		return p && *p == '.' && !p[1 + strspn(p + 1, DEC_)];
	}
	return *p == '.' && !*exponent(p + 1 + strspn(p + 1, DEC_));
}

/* Like PyYAML: parts from the last to the first, each times its power of 60. */
static double float_value(char *p)
{
	bool negative = *p == '-';
	p += *p == '-' || *p == '+';
	double v = 0, base = 1;
	for (;;) {
		char *colon = strrchr(p, ':');
		v += strtod(colon ? colon + 1 : p, NULL) * base;
		if (!colon)
			break;
		*colon = '\0';
		base *= 60;
	}
	return negative ? -v : v;
}

static json_t *make_float(const char *text, size_t n, const char **ret_why)
{
	sg_autofree char *copy = malloc(n + 1);
	*ret_why = "out of memory";
	if (!copy)
		return NULL;
	char *w = copy;
	for (const char *p = text; *p; p++)
		if (*p != '_')
			*w++ = *p;
	*w = '\0';
	double v = float_value(copy);
	if (!isfinite(v)) {
		*ret_why = "a number too large for a double";
		return NULL;
	}
	return json_real(v);
}

static json_t *make_string(const char *text, size_t n, const char **ret_why)
{
	*ret_why = "not valid UTF-8, or out of memory";
	return json_stringn(text, n);
}

static json_t *plain(const char *text, size_t n, const char **ret_why)
{
	enum int_form form = int_form(text);
	*ret_why = "out of memory";
	if (is_null(text))
		return json_null();
	if (is_true(text) || is_false(text))
		return json_boolean(is_true(text));
	if (is_float(text))
		return make_float(text, n, ret_why);
	if (form != NOT_INT)
		return make_int(text, form, ret_why);
	if (is_special_float(text)) {
		*ret_why = "infinities and NaN are not allowed; quote it if text is meant";
		return NULL;
	}
	if (strcmp(text, "<<") == 0 || strcmp(text, "=") == 0) {
		*ret_why = "merge keys (<<) and \"=\" are not supported; quote it if text is meant";
		return NULL;
	}
	return make_string(text, n, ret_why);
}

static json_t *tagged_bool(const char *text, const char **ret_why)
{
	static const char *const words[] = {"yes", "true", "on", "no", "false", "off"};
	for (size_t i = 0; i < SG_ARRAY_LEN(words); i++)
		if (strcasecmp(text, words[i]) == 0)
			return json_boolean(i < 3);
	*ret_why = "not a boolean";
	return NULL;
}

json_t *sg_yaml_scalar(const char *tag, const char *text, size_t n, const char **ret_why)
{
	if (!tag)
		return plain(text, n, ret_why);
	if (strcmp(tag, "str") == 0)
		return make_string(text, n, ret_why);
	if (strcmp(tag, "bool") == 0)
		return tagged_bool(text, ret_why);
	enum int_form form = int_form(text);
	if (strcmp(tag, "int") == 0 && form != NOT_INT)
		return make_int(text, form, ret_why);
	if (strcmp(tag, "float") == 0 && (is_float(text) || form == DECIMAL))
		return make_float(text, n, ret_why);
	if (strcmp(tag, "null") == 0 && is_null(text))
		return json_null();
	*ret_why = "the text does not fit its tag";
	return NULL;
}
