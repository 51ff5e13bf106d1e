/* JSON in and out: bounded parsing over Jansson, RFC 8785 output written here.
 *
 * Integers beyond ±(2^53-1) have no exact double and so no RFC 8785 form. Like the original, they
 * are hashed as the string "__stargraph_bigint__:<decimal digits>". */
#include "base/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "base/json_read.h"

#define SAFE_INTEGER 9007199254740991LL /* 2^53 - 1 */
#define BIGINT_PREFIX "__stargraph_bigint__:"

/* Where nesting first exceeds the limit, or NULL. Knows just enough JSON to skip strings; whatever
 * else is wrong is Jansson's to find. */
static const char *too_deep(const char *p, size_t n)
{
	const char *end = p + n;
	unsigned depth = 0;
	for (; p < end; p++) {
		if (*p == '"') {
			for (p++; p < end && *p != '"'; p++)
				if (*p == '\\')
					p++;
		} else if (*p == '{' || *p == '[') {
			if (++depth > SG_JSON_MAX_DEPTH)
				return p;
		} else if (*p == '}' || *p == ']') {
			if (depth)
				depth--;
		}
	}
	return NULL;
}

static int depth_error(const char *text, const char *at, struct sg_error *err)
{
	int line = 1;
	const char *start = text;
	for (const char *p = text; p < at; p++)
		if (*p == '\n') {
			line++;
			start = p + 1;
		}
	return sg_error_set(err, SG_EINVALID, NULL,
		"line %d column %d: JSON is nested deeper than %d levels", line,
		(int)(at - start) + 1, SG_JSON_MAX_DEPTH);
}

static int parse(const char *text, size_t n, size_t flags, json_t **ret_value, struct sg_error *err)
{
	json_t *v = sg_json_read(text, n);
	if (v) {
		*ret_value = v;
		return 0;
	}
	const char *deep = too_deep(text, n);
	if (deep)
		return depth_error(text, deep, err);
	json_error_t je;
	v = json_loadb(text, n, flags | JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &je);
	if (!v && json_error_code(&je) == json_error_out_of_memory)
		return sg_error_nomem(err);
	if (!v)
		return sg_error_set(err, SG_EINVALID, NULL, "line %d column %d: %s", je.line,
			je.column, je.text);
	*ret_value = v;
	return 0;
}

int sg_json_parse(const char *text, size_t n, json_t **ret_value, struct sg_error *err)
{
	return parse(text, n, 0, ret_value, err);
}

int sg_json_parse_texts(const char *text, size_t n, json_t **ret_value, struct sg_error *err)
{
	return parse(text, n, JSON_ALLOW_NUL, ret_value, err);
}

/* The digits of a decimal m * 10^-k in ECMAScript's layout (ECMA-262 Number::toString, steps 6 to
 * 10): digits without leading or trailing zeros, point = position of the decimal point. */
static size_t layout(bool negative, const char *digits, int k, int point, char ret_text[32])
{
	char *p = ret_text;
	if (negative)
		*p++ = '-';
	if (point > 0 && point <= 21 && k <= point) {
		memcpy(p, digits, (size_t)k);
		memset(p + k, '0', (size_t)(point - k));
		p += point;
	} else if (point > 0 && point <= 21) {
		memcpy(p, digits, (size_t)point);
		p[point] = '.';
		memcpy(p + point + 1, digits + point, (size_t)(k - point));
		p += k + 1;
	} else if (point > -6 && point <= 0) {
		memcpy(p, "0.00000", 7);
		memcpy(p + 2 - point, digits, (size_t)k);
		p += 2 - point + k;
	} else {
		*p++ = digits[0];
		if (k > 1) {
			*p++ = '.';
			memcpy(p, digits + 1, (size_t)k - 1);
			p += k - 1;
		}
		p += snprintf(p, 7, "e%+d", point - 1);
	}
	*p = '\0';
	return (size_t)(p - ret_text);
}

static int uint_digits(uint64_t u, char ret_digits[20])
{
	char tmp[20];
	int n = 0;
	do {
		tmp[n++] = (char)('0' + u % 10);
		u /= 10;
	} while (u);
	for (int i = 0; i < n; i++)
		ret_digits[i] = tmp[n - 1 - i];
	return n;
}

static size_t integer_text(int64_t v, char ret_text[32])
{
	char *p = ret_text;
	if (v < 0)
		*p++ = '-';
	p += uint_digits(v < 0 ? 0 - (uint64_t)v : (uint64_t)v, p);
	*p = '\0';
	return (size_t)(p - ret_text);
}

/* Most numbers met in practice (0.87, 12.5) are m / 10^k with m below 10^15: both are exact
 * doubles, so the quotient is correctly rounded and m * 10^-k reads back as v; at most 15 digits
 * are unique, so the smallest k gives the shortest form. Returns 0 when v is not such a number. */
static size_t short_decimal(double a, bool negative, char ret_text[32])
{
	static const double ten[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
		1e12, 1e13, 1e14, 1e15, 1e16};
	for (int k = 1; k < (int)SG_ARRAY_LEN(ten); k++) {
		double m = a * ten[k];
		if (m >= 1e15)
			return 0;
		uint64_t u = (uint64_t)(m + 0.5);
		if (u == 0 || (double)u / ten[k] != a)
			continue;
		char digits[20];
		int n = uint_digits(u, digits);
		return layout(negative, digits, n, n - k, ret_text);
	}
	return 0;
}

/* "d.ddde±x" of a at `precision` digits -> digits without the point, exponent of the first. */
static int split(double a, int precision, char ret_digits[20], int *ret_exponent)
{
	char text[40];
	(void)snprintf(text, sizeof(text), "%.*e", precision - 1, a);
	char *e = strchr(text, 'e');
	int n = 0;
	for (const char *p = text; p < e; p++)
		if (*p != '.')
			ret_digits[n++] = *p;
	*ret_exponent = (int)strtol(e + 1, NULL, 10);
	return n;
}

static bool reads_back(const char *digits, int n, int exponent, double a)
{
	char text[40];
	(void)snprintf(text, sizeof(text), "%.*se%d", n, digits, exponent - (n - 1));
	return strtod(text, NULL) == a;
}

/* Below a power of two doubles are twice as dense: the nearest n-digit decimal may lie below a and
 * fail to read back while the next one above does (2^-24: ...062 fails, ...063 is right). */
static void next_above(char *digits, int n, int *exponent)
{
	int i = n - 1;
	while (i >= 0 && digits[i] == '9')
		digits[i--] = '0';
	if (i >= 0) {
		digits[i]++;
		return;
	}
	digits[0] = '1';
	(*exponent)++;
}

static size_t general(double a, bool negative, char ret_text[32])
{
	int exp2;
	bool power_of_two = frexp(a, &exp2) == 0.5;
	/* 15 digits always survive a normal double, never promised for a subnormal one. */
	for (int precision = a < 0x1p-1022 ? 1 : 15;; precision++) {
		char digits[20];
		int exponent;
		int n = split(a, precision, digits, &exponent);
		bool ok = precision == 17 || reads_back(digits, n, exponent, a);
		if (!ok && power_of_two) {
			next_above(digits, n, &exponent);
			ok = reads_back(digits, n, exponent, a);
		}
		if (!ok)
			continue;
		while (n > 1 && digits[n - 1] == '0')
			n--;
		return layout(negative, digits, n, exponent + 1, ret_text);
	}
}

size_t sg_json_number(double v, char ret_text[32])
{
	if (fabs(v) <= (double)SAFE_INTEGER && v == (double)(int64_t)v)
		return integer_text((int64_t)v, ret_text);
	bool negative = v < 0;
	double a = fabs(v);
	size_t n = a > 1e-7 && a < 1e15 ? short_decimal(a, negative, ret_text) : 0;
	return n ? n : general(a, negative, ret_text);
}

/* UTF-16 code unit order over UTF-8: code point order, except that characters beyond the BMP
 * (lead byte F0 and up, surrogates D800..DFFF in UTF-16) come before U+E000..U+FFFF (EE, EF). */
static int compare_utf16(const char *a, size_t na, const char *b, size_t nb)
{
	size_t n = na < nb ? na : nb;
	for (size_t i = 0; i < n; i++) {
		unsigned char x = (unsigned char)a[i], y = (unsigned char)b[i];
		if (x == y)
			continue;
		if (x >= 0xee && y >= 0xee && (x >= 0xf0) != (y >= 0xf0))
			return x >= 0xf0 ? -1 : 1;
		return x < y ? -1 : 1;
	}
	return na < nb ? -1 : na > nb;
}

struct member {
	const char *key;
	size_t len;
	const json_t *value;
};

static int compare_members(const void *a, const void *b)
{
	const struct member *x = a, *y = b;
	return compare_utf16(x->key, x->len, y->key, y->len);
}

#define FEW_MEMBERS 24U /* sorted in place on the stack, without qsort's calls */

static void sort_members(struct member *m, size_t n)
{
	if (n > FEW_MEMBERS) {
		qsort(m, n, sizeof(*m), compare_members);
		return;
	}
	for (size_t i = 1; i < n; i++) {
		struct member x = m[i];
		size_t j = i;
		for (; j && compare_members(&m[j - 1], &x) > 0; j--)
			m[j] = m[j - 1];
		m[j] = x;
	}
}

/* What is being printed, and how: `typed` keeps a real a real and a big integer a number. */
struct writer {
	struct sg_buf *out;
	struct sg_error *err;
	bool typed;
};

static int write_value(const struct writer *w, const json_t *v, unsigned depth);

static int write_members(const struct writer *w, const struct member *m, size_t n, unsigned depth)
{
	sg_buf_addc(w->out, '{');
	for (size_t i = 0; i < n; i++) {
		if (i)
			sg_buf_addc(w->out, ',');
		sg_buf_add_json_string(w->out, m[i].key, m[i].len);
		sg_buf_addc(w->out, ':');
		int r = write_value(w, m[i].value, depth);
		if (r < 0)
			return r;
	}
	sg_buf_addc(w->out, '}');
	return 0;
}

static int write_object(const struct writer *w, const json_t *v, unsigned depth)
{
	struct member few[FEW_MEMBERS];
	sg_autofree struct member *many = NULL;
	struct member *m = few;
	size_t n = json_object_size(v);
	if (n > FEW_MEMBERS) {
		many = calloc(n, sizeof(*many));
		if (!many)
			return sg_error_nomem(w->err);
		m = many;
	}
	json_t *o = (json_t *)(uintptr_t)v; /* Jansson's iterators are not const */
	size_t i = 0;
	for (void *it = json_object_iter(o); it; it = json_object_iter_next(o, it), i++)
		m[i] = (struct member){json_object_iter_key(it), json_object_iter_key_len(it),
			json_object_iter_value(it)};
	sort_members(m, n);
	return write_members(w, m, n, depth);
}

static int write_array(const struct writer *w, const json_t *v, unsigned depth)
{
	sg_buf_addc(w->out, '[');
	for (size_t i = 0; i < json_array_size(v); i++) {
		if (i)
			sg_buf_addc(w->out, ',');
		int r = write_value(w, json_array_get(v, i), depth);
		if (r < 0)
			return r;
	}
	sg_buf_addc(w->out, ']');
	return 0;
}

static int write_real(const struct writer *w, double v)
{
	if (!isfinite(v))
		return sg_error_set(
			w->err, SG_EINVALID, NULL, "NaN and infinities have no JSON form");
	char text[32];
	size_t n = sg_json_number(v, text);
	if (w->typed && v == 0 && signbit(v))
		sg_buf_addc(w->out, '-');
	sg_buf_add(w->out, text, n);
	if (w->typed && !memchr(text, '.', n) && !memchr(text, 'e', n))
		sg_buf_add(w->out, ".0", 2);
	return 0;
}

static void write_integer(const struct writer *w, json_int_t v)
{
	char text[32];
	size_t n = integer_text(v, text);
	if (w->typed || (v >= -SAFE_INTEGER && v <= SAFE_INTEGER)) {
		sg_buf_add(w->out, text, n);
		return;
	}
	sg_buf_adds(w->out, "\"" BIGINT_PREFIX);
	sg_buf_add(w->out, text, n);
	sg_buf_addc(w->out, '"');
}

static int write_value(const struct writer *w, const json_t *v, unsigned depth)
{
	if (depth >= SG_JSON_MAX_OUTPUT_DEPTH)
		return sg_error_set(w->err, SG_EINVALID, NULL,
			"value is nested deeper than %d levels", SG_JSON_MAX_OUTPUT_DEPTH);
	switch (json_typeof(v)) {
	case JSON_OBJECT: return write_object(w, v, depth + 1);
	case JSON_ARRAY: return write_array(w, v, depth + 1);
	case JSON_STRING:
		sg_buf_add_json_string(w->out, json_string_value(v), json_string_length(v));
		return 0;
	case JSON_INTEGER: write_integer(w, json_integer_value(v)); return 0;
	case JSON_REAL: return write_real(w, json_real_value(v));
	case JSON_TRUE: sg_buf_add(w->out, "true", 4); return 0;
	case JSON_FALSE: sg_buf_add(w->out, "false", 5); return 0;
	case JSON_NULL: break;
	}
	sg_buf_add(w->out, "null", 4);
	return 0;
}

static int write_all(const struct writer *w, const json_t *value)
{
	int r = write_value(w, value, 0);
	if (r < 0)
		return r;
	if (w->out->failed)
		return sg_error_set(
			w->err, SG_ELIMIT, NULL, "JSON does not fit into %zu bytes", w->out->limit);
	return 0;
}

int sg_json_canonical(const json_t *value, struct sg_buf *out, struct sg_error *err)
{
	const struct writer w = {out, err, false};
	return write_all(&w, value);
}

int sg_json_print(const json_t *value, struct sg_buf *out, struct sg_error *err)
{
	const struct writer w = {out, err, true};
	return write_all(&w, value);
}

int sg_json_hash(const json_t *value, char *ret_hex, struct sg_error *err)
{
	sg_autobuf b = SG_BUF_INIT(SG_JSON_MAX_HASHED);
	int r = sg_json_canonical(value, &b, err);
	if (r < 0)
		return r;
	sg_sha256_hex(b.data, b.len, ret_hex);
	return 0;
}

/* Decodes one reference token in place of ~0 and ~1; false when it is malformed or too long. */
static bool token(const char **pp, char *ret, size_t size, size_t *ret_len)
{
	size_t n = 0;
	const char *p = *pp;
	for (; *p && *p != '/'; p++) {
		char c = *p;
		if (c == '~') {
			p++;
			if (*p != '0' && *p != '1')
				return false;
			c = *p == '0' ? '~' : '/';
		}
		if (n == size)
			return false;
		ret[n++] = c;
	}
	*pp = p;
	*ret_len = n;
	return true;
}

static json_t *element(const json_t *array, const char *t, size_t n)
{
	if (n == 0 || n > 9 || (t[0] == '0' && n > 1))
		return NULL;
	size_t i = 0;
	for (size_t k = 0; k < n; k++) {
		if (t[k] < '0' || t[k] > '9')
			return NULL;
		i = i * 10 + (size_t)(t[k] - '0');
	}
	return json_array_get(array, i);
}

const char *sg_json_text(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

const char *sg_json_text_or_empty(const json_t *object, const char *key)
{
	const char *s = sg_json_text(object, key);
	return s ? s : "";
}

int64_t sg_json_int(const json_t *object, const char *key, int64_t otherwise)
{
	const json_t *v = json_object_get(object, key);
	return json_is_integer(v) ? json_integer_value(v) : otherwise;
}

void sg_json_count(json_t *object, const char *key)
{
	(void)json_object_set_new(object, key, json_integer(sg_json_int(object, key, 0) + 1));
}

json_t *sg_json_pointer(const json_t *root, const char *pointer)
{
	const json_t *v = root;
	const char *p = pointer;
	while (v && *p) {
		char t[1024];
		size_t n;
		if (*p++ != '/' || !token(&p, t, sizeof(t), &n))
			return NULL;
		if (json_is_object(v))
			v = json_object_getn(v, t, n);
		else
			v = element(v, t, n);
	}
	return (json_t *)(uintptr_t)v;
}
