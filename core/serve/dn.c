/* Distinguished names, parsed and printed canonically. Policy: strict; what cannot be read
 * completely is refused, and nothing is folded or guessed. */
#include "serve/dn.h"

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/hash.h"

#define OID_TEXT 80
#define MAX_VALUE (4 * SG_DN_MAX_TEXT) /* bytes of one value before it is judged */

struct attribute {
	char oid[OID_TEXT]; /* dotted decimal */
	uint8_t *value;	    /* owned: UTF-8, or DER when der */
	size_t len;
	bool der; /* a value that is no character string */
	unsigned rdn;
};

struct name {
	struct attribute at[SG_DN_MAX_ATTRIBUTES];
	size_t n;
};

/* The names printed, and read whatever their case; RFC 4514's nine, then what certificates carry.
 * Fixed here, so that an OpenSSL with a longer list does not change anybody's actor. */
static const struct {
	const char *name, *oid;
} types[] = {
	{"CN", "2.5.4.3"},
	{"L", "2.5.4.7"},
	{"ST", "2.5.4.8"},
	{"O", "2.5.4.10"},
	{"OU", "2.5.4.11"},
	{"C", "2.5.4.6"},
	{"STREET", "2.5.4.9"},
	{"DC", "0.9.2342.19200300.100.1.25"},
	{"UID", "0.9.2342.19200300.100.1.1"},
	{"emailAddress", "1.2.840.113549.1.9.1"},
	{"serialNumber", "2.5.4.5"},
	{"SN", "2.5.4.4"},
	{"GN", "2.5.4.42"},
	{"title", "2.5.4.12"},
	{"description", "2.5.4.13"},
	{"businessCategory", "2.5.4.15"},
	{"postalCode", "2.5.4.17"},
	{"name", "2.5.4.41"},
	{"initials", "2.5.4.43"},
	{"generationQualifier", "2.5.4.44"},
	{"dnQualifier", "2.5.4.46"},
	{"pseudonym", "2.5.4.65"},
	{"role", "2.5.4.72"},
	{"organizationIdentifier", "2.5.4.97"},
};

static void name_finish(struct name *nm)
{
	for (size_t i = 0; i < nm->n; i++)
		free(nm->at[i].value);
	nm->n = 0;
}

static int bad(struct sg_error *err, const char *what, size_t at)
{
	return sg_error_set(err, SG_EINVALID, "invalid-subject", "subject, byte %zu: %s", at, what);
}

static int too_long(struct sg_error *err)
{
	return sg_error_set(err, SG_EINVALID, "subject-too-long",
		"subject is longer than %d bytes or has more than %d attributes", SG_DN_MAX_TEXT,
		SG_DN_MAX_ATTRIBUTES);
}

/* One UTF-8 sequence (RFC 3629). Returns its length, 0 when it is not one. */
static size_t utf8_next(const uint8_t *s, size_t n, uint32_t *ret)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t len = s[0] < 0x80	 ? 1
		     : (s[0] >> 5) == 6	 ? 2
		     : (s[0] >> 4) == 14 ? 3
		     : (s[0] >> 3) == 30 ? 4
					 : 0;
	if (len == 0 || len > n)
		return 0;
	uint32_t c = len == 1 ? s[0] : s[0] & (0x7fu >> len);
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*ret = c;
	return len;
}

/* Characters that would make one name look like another, or break a line of the audit. */
static bool invisible(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad || (c >= 0x200b && c <= 0x200f) ||
	       (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff;
}

static int check_text(const uint8_t *s, size_t n, size_t at, struct sg_error *err)
{
	for (size_t i = 0; i < n;) {
		uint32_t c;
		size_t len = utf8_next(s + i, n - i, &c);
		if (len == 0)
			return bad(err, "a value is not valid UTF-8", at);
		if (c == 0)
			return sg_error_set(err, SG_EINVALID, "nul-in-subject",
				"subject, byte %zu: a value holds a NUL character", at);
		i += len;
	}
	return 0;
}

/* Type name or dotted decimal to dotted decimal. */
static int read_type(
	const char *s, size_t n, char ret_oid[OID_TEXT], size_t at, struct sg_error *err)
{
	for (size_t i = 0; i < SG_ARRAY_LEN(types); i++)
		if (strlen(types[i].name) == n && strncasecmp(types[i].name, s, n) == 0) {
			(void)snprintf(ret_oid, OID_TEXT, "%s", types[i].oid);
			return 0;
		}
	char word[OID_TEXT];
	if (n == 0 || n >= sizeof(word))
		return bad(err, "no attribute type, or one too long", at);
	memcpy(word, s, n);
	word[n] = '\0';
	if (strncasecmp(word, "OID.", 4) == 0)
		memmove(word, word + 4, n - 3);
	ERR_set_mark();
	ASN1_OBJECT *o = OBJ_txt2obj(word, 0);
	int len = o ? OBJ_obj2txt(ret_oid, OID_TEXT, o, 1) : -1;
	ASN1_OBJECT_free(o);
	ERR_pop_to_mark();
	bool dotted = word[0] >= '0' && word[0] <= '9'; /* then it must be written canonically */
	if (len <= 0 || len >= OID_TEXT || (dotted && strcmp(word, ret_oid) != 0))
		return bad(err, "unknown attribute type", at);
	return 0;
}

static bool is_string(int tag)
{
	switch (tag) {
	case V_ASN1_UTF8STRING:
	case V_ASN1_PRINTABLESTRING:
	case V_ASN1_T61STRING:
	case V_ASN1_IA5STRING:
	case V_ASN1_VISIBLESTRING:
	case V_ASN1_UNIVERSALSTRING:
	case V_ASN1_BMPSTRING:
	case V_ASN1_NUMERICSTRING: return true;
	default: return false;
	}
}

/* Character strings become UTF-8 (T61 read as Latin-1, as every TLS library here does). */
static int take_string(struct attribute *a, const ASN1_STRING *s, size_t at, struct sg_error *err)
{
	unsigned char *utf8 = NULL;
	ERR_set_mark();
	int len = ASN1_STRING_to_UTF8(&utf8, s);
	ERR_pop_to_mark();
	if (len < 0)
		return bad(err, "a character string cannot be read", at);
	if (len > MAX_VALUE) {
		OPENSSL_free(utf8);
		return too_long(err);
	}
	a->value = malloc((size_t)len + 1);
	if (!a->value) {
		OPENSSL_free(utf8);
		return sg_error_nomem(err);
	}
	memcpy(a->value, utf8, (size_t)len);
	a->len = (size_t)len;
	a->der = false;
	OPENSSL_free(utf8);
	return check_text(a->value, a->len, at, err);
}

static int take_der(
	struct attribute *a, const uint8_t *der, size_t n, size_t at, struct sg_error *err)
{
	const unsigned char *p = der;
	ERR_set_mark();
	ASN1_TYPE *t = d2i_ASN1_TYPE(NULL, &p, (long)n);
	ERR_pop_to_mark();
	if (!t || p != der + n) {
		ASN1_TYPE_free(t);
		return bad(err, "a '#' value is not one DER element", at);
	}
	int r = 0;
	if (is_string(ASN1_TYPE_get(t))) {
		r = take_string(a, t->value.asn1_string, at, err);
	} else {
		a->value = malloc(n);
		if (a->value)
			memcpy(a->value, der, n);
		else
			r = sg_error_nomem(err);
		a->len = n;
		a->der = true;
	}
	ASN1_TYPE_free(t);
	return r;
}

/* "#0C0178": the DER of any value. Ends at a separator or at the end of the text. */
static int read_hex(struct attribute *a, const char *s, size_t n, size_t *pos, struct sg_error *err)
{
	size_t start = ++*pos;
	while (*pos < n && strchr("0123456789abcdefABCDEF", s[*pos]) && s[*pos])
		(*pos)++;
	size_t digits = *pos - start;
	if (digits == 0 || digits % 2 || digits / 2 > MAX_VALUE)
		return bad(err, "a '#' value needs pairs of hex digits", start);
	sg_autofree uint8_t *der = malloc(digits / 2);
	if (!der)
		return sg_error_nomem(err);
	(void)sg_hex_decode(s + start, digits, der, digits / 2);
	return take_der(a, der, digits / 2, start, err);
}

/* One escape after the backslash at *pos. */
static int read_escape(
	const char *s, size_t n, size_t *pos, uint8_t *ret_byte, struct sg_error *err)
{
	if (*pos + 1 >= n)
		return bad(err, "a backslash ends the text", *pos);
	char c = s[*pos + 1];
	if (c && strchr(",+\"\\<>; #=", c)) {
		*ret_byte = (uint8_t)c;
		*pos += 2;
		return 0;
	}
	if (*pos + 2 >= n || sg_hex_decode(s + *pos + 1, 2, ret_byte, 1) < 0)
		return bad(err, "an escape that RFC 4514 does not know", *pos);
	*pos += 3;
	return 0;
}

static int read_text(
	struct attribute *a, const char *s, size_t n, size_t *pos, struct sg_error *err)
{
	size_t start = *pos, len = 0, keep = 0; /* keep: length without trailing plain spaces */
	a->value = malloc(n - start + 1);
	if (!a->value)
		return sg_error_nomem(err);
	while (*pos < n && s[*pos] != ',' && s[*pos] != '+') {
		char c = s[*pos];
		if (c == '\\') {
			int r = read_escape(s, n, pos, &a->value[len], err);
			if (r < 0)
				return r;
			keep = ++len;
			continue;
		}
		if (c == '"' || c == ';' || c == '<' || c == '>')
			return bad(err, "a character that must be escaped", *pos);
		a->value[len++] = (uint8_t)c;
		if (c != ' ')
			keep = len;
		(*pos)++;
	}
	a->len = keep;
	a->der = false;
	return check_text(a->value, a->len, start, err);
}

static void skip_spaces(const char *s, size_t n, size_t *pos)
{
	while (*pos < n && s[*pos] == ' ')
		(*pos)++;
}

static int read_attribute(
	struct attribute *a, const char *s, size_t n, size_t *pos, struct sg_error *err)
{
	skip_spaces(s, n, pos);
	size_t start = *pos;
	while (*pos < n && s[*pos] != '=' && s[*pos] != ',' && s[*pos] != '+')
		(*pos)++;
	if (*pos == n || s[*pos] != '=')
		return bad(err, "an attribute without '='", start);
	size_t len = *pos - start;
	while (len > 0 && s[start + len - 1] == ' ')
		len--;
	int r = read_type(s + start, len, a->oid, start, err);
	if (r < 0)
		return r;
	(*pos)++;
	skip_spaces(s, n, pos);
	if (*pos < n && s[*pos] == '#')
		r = read_hex(a, s, n, pos, err);
	else
		r = read_text(a, s, n, pos, err);
	if (r < 0)
		return r;
	skip_spaces(s, n, pos);
	if (*pos < n && s[*pos] != ',' && s[*pos] != '+')
		return bad(err, "text after a value", *pos);
	return 0;
}

static int parse(struct name *nm, const char *s, size_t n, struct sg_error *err)
{
	size_t pos = 0;
	unsigned rdn = 0;
	skip_spaces(s, n, &pos);
	if (pos == n)
		return sg_error_set(
			err, SG_EINVALID, "empty-subject", "the subject has no attribute");
	for (;;) {
		if (nm->n == SG_DN_MAX_ATTRIBUTES)
			return too_long(err);
		struct attribute *a = &nm->at[nm->n++];
		*a = (struct attribute){.rdn = rdn};
		int r = read_attribute(a, s, n, &pos, err);
		if (r < 0)
			return r;
		if (pos == n)
			return 0;
		if (s[pos++] == ',')
			rdn++;
	}
}

static void put_escaped(struct sg_buf *b, const struct attribute *a)
{
	for (size_t i = 0; i < a->len;) {
		uint32_t c = 0;
		size_t len = utf8_next(a->value + i, a->len - i, &c);
		bool edge_space = c == ' ' && (i == 0 || i + 1 == a->len);
		if (len == 0)
			len = 1; /* cannot be: check_text has seen it */
		if (invisible(c))
			for (size_t k = 0; k < len; k++)
				sg_buf_addf(b, "\\%02X", a->value[i + k]);
		else if (edge_space || (c == '#' && i == 0) ||
			 (c < 0x80 && strchr(",+\"\\<>;", (int)c)))
			sg_buf_addf(b, "\\%c", (char)c);
		else
			sg_buf_add(b, a->value + i, len);
		i += len;
	}
}

static void put_hex(struct sg_buf *b, const uint8_t *d, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sg_buf_addf(b, "%02X", d[i]);
}

/* RFC 4514 2.4: a type in dotted decimal has its value as the hex of its DER. */
static void put_utf8_der(struct sg_buf *b, const struct attribute *a)
{
	sg_buf_adds(b, "#0C");
	if (a->len < 0x80)
		sg_buf_addf(b, "%02X", (unsigned)a->len);
	else if (a->len < 0x100)
		sg_buf_addf(b, "81%02X", (unsigned)a->len);
	else
		sg_buf_addf(b, "82%04X", (unsigned)a->len);
	put_hex(b, a->value, a->len);
}

static void put_attribute(struct sg_buf *b, const struct attribute *a)
{
	const char *type = NULL;
	for (size_t i = 0; i < SG_ARRAY_LEN(types) && !type; i++)
		if (strcmp(types[i].oid, a->oid) == 0)
			type = types[i].name;
	sg_buf_addf(b, "%s=", type ? type : a->oid);
	if (a->der) {
		sg_buf_addc(b, '#');
		put_hex(b, a->value, a->len);
	} else if (type) {
		put_escaped(b, a);
	} else {
		put_utf8_der(b, a);
	}
}

static int compare(const void *x, const void *y)
{
	const struct attribute *a = x, *b = y;
	if (a->rdn != b->rdn)
		return a->rdn < b->rdn ? -1 : 1;
	int r = strcmp(a->oid, b->oid);
	if (r == 0)
		r = memcmp(a->value, b->value, a->len < b->len ? a->len : b->len);
	return r ? r : (a->len > b->len) - (a->len < b->len);
}

static int print(struct name *nm, struct sg_buf *out, struct sg_error *err)
{
	sg_autobuf b = SG_BUF_INIT(SG_DN_MAX_TEXT);
	qsort(nm->at, nm->n, sizeof(nm->at[0]), compare);
	for (size_t i = 0; i < nm->n; i++) {
		if (i)
			sg_buf_addc(&b, nm->at[i].rdn == nm->at[i - 1].rdn ? '+' : ',');
		put_attribute(&b, &nm->at[i]);
	}
	if (b.failed)
		return too_long(err);
	sg_buf_add(out, b.data, b.len);
	return out->failed ? sg_error_nomem(err) : 0;
}

int sg_dn_canonical(const char *text, size_t n, struct sg_buf *out, struct sg_error *err)
{
	if (n > MAX_VALUE)
		return too_long(err);
	SG_CLEANUP(name_finish) struct name nm = {.n = 0};
	int r = parse(&nm, text, n, err);
	return r < 0 ? r : print(&nm, out, err);
}

static int take_entry(struct attribute *a, X509_NAME_ENTRY *e, size_t at, struct sg_error *err)
{
	ASN1_STRING *v = X509_NAME_ENTRY_get_data(e);
	if (OBJ_obj2txt(a->oid, OID_TEXT, X509_NAME_ENTRY_get_object(e), 1) >= OID_TEXT)
		return bad(err, "an attribute type too long", at);
	if (is_string(ASN1_STRING_type(v)))
		return take_string(a, v, at, err);
	ASN1_TYPE *t = ASN1_TYPE_new();
	unsigned char *der = NULL;
	int r = sg_error_nomem(NULL);
	if (t && ASN1_TYPE_set1(t, ASN1_STRING_type(v), v)) {
		int len = i2d_ASN1_TYPE(t, &der);
		if (len > 0)
			r = take_der(a, der, (size_t)len, at, err);
	}
	OPENSSL_free(der);
	ASN1_TYPE_free(t);
	return r;
}

int sg_dn_of_x509(const X509_NAME *name, struct sg_buf *out, struct sg_error *err)
{
	SG_CLEANUP(name_finish) struct name nm = {.n = 0};
	int count = X509_NAME_entry_count(name), last_set = -1;
	unsigned rdn = 0;
	if (count <= 0)
		return sg_error_set(
			err, SG_EINVALID, "empty-subject", "the subject has no attribute");
	for (int i = count - 1; i >= 0; i--) {
		X509_NAME_ENTRY *e = X509_NAME_get_entry(name, i);
		if (nm.n == SG_DN_MAX_ATTRIBUTES)
			return too_long(err);
		if (i != count - 1 && X509_NAME_ENTRY_set(e) != last_set)
			rdn++;
		last_set = X509_NAME_ENTRY_set(e);
		struct attribute *a = &nm.at[nm.n++];
		*a = (struct attribute){.rdn = rdn};
		int r = take_entry(a, e, (size_t)i, err);
		if (r < 0)
			return r;
	}
	return print(&nm, out, err);
}
