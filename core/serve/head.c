/* Reads a request head strictly. Policy: what two parsers could read differently is refused. */
#include "serve/head.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"

static const char *const edge_names[SG_EDGE_HEADERS] = {
	[SG_EDGE_SUBJECT] = "x-client-cert-subject",
	[SG_EDGE_ISSUER] = "x-client-cert-issuer",
	[SG_EDGE_SERIAL] = "x-client-cert-serial",
	[SG_EDGE_FINGERPRINT] = "x-client-cert-fingerprint",
	[SG_EDGE_SAN] = "x-client-cert-san",
	[SG_EDGE_REFUSED] = "x-stargraph-edge-refused",
	[SG_EDGE_MAC] = "x-stargraph-edge-mac",
	[SG_EDGE_XFCC] = "x-forwarded-client-cert",
};

#define SQUEEZED 24 /* characters of a name that are looked at */

/* Beginnings of names that some proxy somewhere uses for a client's certificate, of letters and
 * digits alone: one rule with the nginx module (ngx_http_stargraph_headers.c). */
static const char *const aliases[] = {
	"xclientcert",
	"xforwardedclientcert",
	"xstargraphedge",
	"clientcert", /* RFC 9440 */
	"xforwardedtlsclient",
	"xsslclient",
	"xsslcert",
	"xclientdn",
	"xclientverify",
	"xamznmtls",
	"xarrclientcert",
	"sslclient",
};

/* Headers whose value lists names of headers, which a proxy would drop or add. */
static const char *const listings[] = {"connection", "proxy-connection", "trailer"};

struct counts {
	unsigned host, length, encoding;
	bool http10;
};

static int bad(struct sg_error *err, const char *what)
{
	return sg_error_set(err, SG_EINVALID, "malformed-request", "malformed request: %s", what);
}

static bool is_token(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool same(struct sg_text t, const char *word)
{
	return strlen(word) == t.len && strncasecmp(t.data, word, t.len) == 0;
}

/* "_X-Client.Cert-SUBJECT" is one: case and everything but letters and digits is ignored. */
static bool is_alias(struct sg_text name)
{
	char squeezed[SQUEEZED];
	size_t n = 0;
	for (size_t i = 0; i < name.len && n < sizeof(squeezed); i++) {
		char c = name.data[i];
		c = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')))
			continue;
		if (n == 0 && c != 'x' && c != 'c' && c != 's')
			return false;
		squeezed[n++] = c;
	}
	for (size_t i = 0; i < SG_ARRAY_LEN(aliases); i++) {
		size_t len = strlen(aliases[i]);
		if (n >= len && memcmp(squeezed, aliases[i], len) == 0)
			return true;
	}
	return false;
}

static void note_alias(struct sg_head *h, struct sg_text name)
{
	h->identity = true;
	if (!*h->alias)
		(void)snprintf(h->alias, sizeof(h->alias), "%.*s", (int)name.len, name.data);
}

static int read_request_line(
	struct sg_text line, struct sg_head *h, struct counts *k, struct sg_error *err)
{
	const char *end = line.data + line.len;
	const char *sp = memchr(line.data, ' ', line.len);
	if (!sp || sp == line.data)
		return bad(err, "the request line");
	h->method = (struct sg_text){line.data, (size_t)(sp - line.data)};
	const char *target = sp + 1;
	sp = memchr(target, ' ', (size_t)(end - target));
	if (!sp)
		return bad(err, "the request line");
	h->target = (struct sg_text){target, (size_t)(sp - target)};
	struct sg_text version = {sp + 1, (size_t)(end - sp - 1)};
	k->http10 = version.len == 8 && memcmp(version.data, "HTTP/1.0", 8) == 0;
	if (!k->http10 && !(version.len == 8 && memcmp(version.data, "HTTP/1.1", 8) == 0))
		return bad(err, "the protocol version");
	for (size_t i = 0; i < h->method.len; i++)
		if (!is_token((unsigned char)h->method.data[i]))
			return bad(err, "the method");
	for (size_t i = 0; i < h->target.len; i++) {
		unsigned char c = (unsigned char)h->target.data[i];
		if (c <= 0x20 || c >= 0x7f || c == '#')
			return bad(err, "a character in the request target");
	}
	return h->target.len && h->target.data[0] == '/' ? 0 : bad(err, "the request target");
}

static int read_framing(
	struct sg_text name, struct sg_text value, struct counts *k, struct sg_error *err)
{
	if (same(name, "host")) {
		k->host++;
		for (size_t i = 0; i < value.len; i++)
			if ((unsigned char)value.data[i] <= 0x20 || strchr(",/@", value.data[i]))
				return bad(err, "the Host");
	} else if (same(name, "content-length")) {
		k->length++;
		for (size_t i = 0; i < value.len; i++)
			if (value.data[i] < '0' || value.data[i] > '9')
				return bad(err, "Content-Length");
		if (value.len == 0 || value.len > 18)
			return bad(err, "Content-Length");
	} else if (same(name, "transfer-encoding")) {
		k->encoding++;
		if (!same(value, "chunked"))
			return bad(err, "Transfer-Encoding");
	}
	return 0;
}

/* A header listed in Connection would be dropped by a proxy behind us, or was meant to be. */
static void read_listing(struct sg_head *h, struct sg_text value)
{
	const char *p = value.data, *end = value.data + value.len;
	while (p < end) {
		while (p < end && (*p == ' ' || *p == '\t' || *p == ','))
			p++;
		const char *start = p;
		while (p < end && *p != ',')
			p++;
		struct sg_text word = {start, (size_t)(p - start)};
		if (word.len && is_alias(word))
			note_alias(h, word);
	}
}

static void read_identity(struct sg_head *h, struct sg_text name, struct sg_text value)
{
	for (size_t i = 0; i < SG_ARRAY_LEN(listings); i++)
		if (same(name, listings[i])) {
			read_listing(h, value);
			return;
		}
	if (!is_alias(name))
		return;
	h->identity = true;
	for (size_t i = 0; i < SG_EDGE_HEADERS; i++)
		if (same(name, edge_names[i]) && !h->edge[i].data) {
			h->edge[i] = value;
			return;
		}
	note_alias(h, name);
}

static int read_field(
	struct sg_text line, struct sg_head *h, struct counts *k, struct sg_error *err)
{
	if (line.data[0] == ' ' || line.data[0] == '\t')
		return bad(err, "a folded line");
	const char *colon = memchr(line.data, ':', line.len);
	if (!colon || colon == line.data)
		return bad(err, "a header without a name");
	struct sg_text name = {line.data, (size_t)(colon - line.data)};
	for (size_t i = 0; i < name.len; i++)
		if (!is_token((unsigned char)name.data[i]))
			return bad(err, "a character in a header name");
	struct sg_text value = {colon + 1, line.len - name.len - 1};
	while (value.len && (*value.data == ' ' || *value.data == '\t'))
		value.data++, value.len--;
	while (value.len && (value.data[value.len - 1] == ' ' || value.data[value.len - 1] == '\t'))
		value.len--;
	for (size_t i = 0; i < value.len; i++) {
		unsigned char c = (unsigned char)value.data[i];
		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return bad(err, "a control character in a header");
	}
	int r = read_framing(name, value, k, err);
	if (r == 0)
		read_identity(h, name, value);
	return r;
}

static int check_counts(const struct counts *k, struct sg_error *err)
{
	if (k->host > 1 || (k->host == 0 && !k->http10))
		return bad(err, "exactly one Host is needed");
	if (k->length > 1)
		return bad(err, "Content-Length twice");
	if (k->encoding > 1 || (k->encoding && k->length))
		return bad(err, "Transfer-Encoding beside Content-Length");
	if (k->encoding && k->http10)
		return bad(err, "Transfer-Encoding in HTTP/1.0");
	return 0;
}

int sg_head_read(const char *data, size_t n, struct sg_head *ret, struct sg_error *err)
{
	struct sg_head h = {0};
	struct counts k = {0};
	const char *p = data, *end = data + n;
	for (bool first = true;; first = false) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		if (!nl || nl == p || nl[-1] != '\r')
			return bad(err, "a line that does not end in CR LF");
		struct sg_text line = {p, (size_t)(nl - 1 - p)};
		p = nl + 1;
		if (p - data > (ptrdiff_t)SG_HEAD_MAX)
			return sg_error_set(err, SG_ELIMIT, "head-too-large",
				"request line and header fields are larger than %u bytes",
				SG_HEAD_MAX);
		if (line.len == 0 && !first)
			break;
		int r = first ? read_request_line(line, &h, &k, err)
			      : read_field(line, &h, &k, err);
		if (r < 0)
			return r;
	}
	int r = check_counts(&k, err);
	if (r == 0)
		*ret = h;
	return r;
}
