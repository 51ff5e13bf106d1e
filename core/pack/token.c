/* The token: RFC 7515 compact form, RFC 8037's EdDSA and nothing else. What the header may not say
 * is refused by name, because each of these was an attack once: another algorithm, a key or a link
 * to a key inside the token, extensions. */
#include "pack/token.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/ids.h"
#include "base/json.h"

int sg_pack_refuse(struct sg_error *err, const char *reason, const char *fmt, ...)
{
	char text[768];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return sg_error_set(err, SG_EREFUSED, "PackSignatureError",
		"pack signature verification failed: %s: %s", reason, text);
}

bool sg_pack_key_id_ok(const char *id)
{
	return sg_id_valid(id) && id[0] != '.';
}

const char *sg_pack_hash_name(enum sg_pack_hash h)
{
	return h == SG_PACK_SHA256 ? "SHA-256" : "BLAKE3";
}

char *sg_base64url(const void *data, size_t n)
{
	sg_autobuf b = SG_BUF_INIT(1U << 20);
	sg_base64url_add(&b, data, n);
	return sg_buf_take(&b);
}

static int parse_part(
	const char *what, const char *text, size_t n, json_t **ret, struct sg_error *err)
{
	uint8_t raw[SG_PACK_MAX_JWT];
	struct sg_error why = {0};
	int len = sg_base64url_decode(text, n, raw, sizeof(raw));
	if (len < 0)
		return sg_pack_refuse(err, "token-malformed", "%s is not strict base64url", what);
	json_t *v = NULL;
	if (sg_json_parse((const char *)raw, (size_t)len, &v, &why) < 0)
		return sg_pack_refuse(err,
			strcmp(what, "header") == 0 ? "header-unparseable" : "payload-malformed",
			"%s: %s", what, why.text);
	if (!json_is_object(v)) {
		json_decref(v);
		return sg_pack_refuse(err, "token-malformed", "%s is not an object", what);
	}
	*ret = v;
	return 0;
}

static int refuse_header_key(const char *name, struct sg_error *err)
{
	static const char *const known[] = {
		"x5c", "jwk", "jku", "x5u", "x5t", "crit", "b64", "zip"};
	char reason[32] = "header-key-rejected";
	for (size_t i = 0; i < SG_ARRAY_LEN(known); i++)
		if (strcmp(known[i], name) == 0)
			(void)snprintf(reason, sizeof(reason), "%s-rejected", name);
	return sg_pack_refuse(err, reason,
		"the header carries \"%.32s\"; only alg, kid and typ may be there", name);
}

static int read_header(const json_t *h, struct sg_pack_token *t, struct sg_error *err)
{
	const char *alg = json_string_value(json_object_get(h, "alg"));
	const char *typ = json_string_value(json_object_get(h, "typ"));
	const char *kid = json_string_value(json_object_get(h, "kid"));
	const char *name;
	json_t *v;
	json_object_foreach ((json_t *)(uintptr_t)h, name, v) {
		if (strcmp(name, "alg") != 0 && strcmp(name, "typ") != 0 &&
			strcmp(name, "kid") != 0)
			return refuse_header_key(name, err);
	}
	if (!alg || strcmp(alg, "EdDSA") != 0)
		return sg_pack_refuse(
			err, "alg-not-eddsa", "alg is \"%.32s\"", alg ? alg : "(none)");
	if (!typ || strcmp(typ, "JWT") != 0)
		return sg_pack_refuse(err, "typ-not-jwt", "typ is \"%.32s\"", typ ? typ : "(none)");
	if (!kid || !sg_pack_key_id_ok(kid))
		return sg_pack_refuse(
			err, "kid-missing", "kid must be a plain name of up to 64 characters");
	(void)snprintf(t->key_id, sizeof(t->key_id), "%s", kid);
	return 0;
}

static bool is_hash(const char *hex)
{
	return hex && strlen(hex) == 64 && strspn(hex, "0123456789abcdef") == 64;
}

static int read_payload(const json_t *p, struct sg_pack_token *t, struct sg_error *err)
{
	const char *alg = json_string_value(json_object_get(p, "alg"));
	const char *key_id = json_string_value(json_object_get(p, "key_id"));
	const char *tree = json_string_value(json_object_get(p, "tree_hash"));
	const json_t *iat = json_object_get(p, "iat");
	if (json_object_size(p) != 4 || !alg || !key_id || !is_hash(tree) || !json_is_integer(iat))
		return sg_pack_refuse(err, "payload-malformed",
			"it must hold exactly alg, iat, key_id and tree_hash");
	if (strcmp(key_id, t->key_id) != 0)
		return sg_pack_refuse(err, "key-id-mismatch",
			"header kid \"%s\", payload key_id \"%.64s\"", t->key_id, key_id);
	bool sha = strcmp(alg, "SHA-256") == 0;
	if (!sha && strcmp(alg, "BLAKE3") != 0)
		return sg_pack_refuse(err, "payload-malformed", "tree hash \"%.32s\"", alg);
	t->hash = sha ? SG_PACK_SHA256 : SG_PACK_BLAKE3;
	t->iat = json_integer_value(iat);
	(void)snprintf(t->tree_hash, sizeof(t->tree_hash), "%s", tree);
	return 0;
}

int sg_pack_token_parse(struct sg_pack_token *ret, const char *text, size_t n, struct sg_error *err)
{
	if (n > SG_PACK_MAX_JWT)
		return sg_pack_refuse(
			err, "token-malformed", "it is longer than %u bytes", SG_PACK_MAX_JWT);
	const char *end = text + n;
	const char *one = memchr(text, '.', n);
	const char *two = one ? memchr(one + 1, '.', (size_t)(end - one - 1)) : NULL;
	if (!two)
		return sg_pack_refuse(err, "token-malformed", "not three parts");
	struct sg_pack_token t = {.signed_text = text, .signed_len = (size_t)(two - text)};
	json_auto_t *header = NULL;
	json_auto_t *payload = NULL;
	int r = parse_part("header", text, (size_t)(one - text), &header, err);
	if (r == 0)
		r = read_header(header, &t, err);
	if (r == 0)
		r = parse_part("payload", one + 1, (size_t)(two - one - 1), &payload, err);
	if (r == 0)
		r = read_payload(payload, &t, err);
	if (r < 0)
		return r;
	if (sg_base64url_decode(two + 1, (size_t)(end - two - 1), t.signature,
		    sizeof(t.signature)) != (int)sizeof(t.signature))
		return sg_pack_refuse(err, "token-malformed",
			"the signature is not 64 bytes of strict base64url, with nothing after it");
	*ret = t;
	return 0;
}

char *sg_pack_token_payload(
	const char *key_id, enum sg_pack_hash hash, const char *tree_hash, int64_t iat)
{
	json_auto_t *header =
		json_pack("{s:s,s:s,s:s}", "alg", "EdDSA", "kid", key_id, "typ", "JWT");
	json_auto_t *payload = json_pack("{s:s,s:I,s:s,s:s}", "alg", sg_pack_hash_name(hash), "iat",
		(json_int_t)iat, "key_id", key_id, "tree_hash", tree_hash);
	sg_autobuf h = SG_BUF_INIT(SG_PACK_MAX_JWT), p = SG_BUF_INIT(SG_PACK_MAX_JWT);
	if (!header || !payload || sg_json_canonical(header, &h, NULL) < 0 ||
		sg_json_canonical(payload, &p, NULL) < 0)
		return NULL;
	sg_autofree char *h64 = sg_base64url(h.data, h.len);
	sg_autofree char *p64 = sg_base64url(p.data, p.len);
	char *both = NULL;
	if (!h64 || !p64 || asprintf(&both, "%s.%s", h64, p64) < 0)
		return NULL;
	return both;
}
