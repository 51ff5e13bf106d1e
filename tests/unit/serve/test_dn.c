/* Distinguished names: RFC 4514's examples, what the doors print, and what must be refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "serve/dn.h"

static char *canonical_n(const char *text, size_t n, struct sg_error *err)
{
	sg_autobuf b = SG_BUF_INIT(SG_DN_MAX_TEXT + 1);
	return sg_dn_canonical(text, n, &b, err) < 0 ? NULL : sg_buf_take(&b);
}

static void becomes(const char *text, const char *want)
{
	struct sg_error err = {0};
	sg_autofree char *got = canonical_n(text, strlen(text), &err);
	if (!got)
		fail_msg("%s: %s", text, err.text);
	assert_string_equal(got, want);
	sg_autofree char *again = canonical_n(got, strlen(got), &err);
	assert_non_null(again);
	assert_string_equal(again, got); /* canonical text is its own canonical text */
}

static void refused_n(const char *text, size_t n, const char *kind)
{
	struct sg_error err = {0};
	sg_autofree char *got = canonical_n(text, n, &err);
	if (got)
		fail_msg("%s was accepted as %s", text, got);
	assert_string_equal(err.kind, kind);
}

static void refused(const char *text, const char *kind)
{
	refused_n(text, strlen(text), kind);
}

static void rfc4514_examples(void **state)
{
	(void)state;
	becomes("UID=jsmith,DC=example,DC=net", "UID=jsmith,DC=example,DC=net");
	becomes("OU=Sales+CN=J.  Smith,DC=example,DC=net",
		"OU=Sales+CN=J.  Smith,DC=example,DC=net");
	becomes("CN=James \\\"Jim\\\" Smith\\, III,DC=example,DC=net",
		"CN=James \\\"Jim\\\" Smith\\, III,DC=example,DC=net");
	becomes("CN=Before\\0dAfter,DC=example,DC=net", "CN=Before\\0DAfter,DC=example,DC=net");
	becomes("1.3.6.1.4.1.1466.0=#04024869", "1.3.6.1.4.1.1466.0=#04024869");
	becomes("CN=Lu\\C4\\8Di\\C4\\87", "CN=Lu\xc4\x8di\xc4\x87");
}

static void types_have_one_spelling(void **state)
{
	(void)state;
	becomes("cn=alice,o=Example", "CN=alice,O=Example");
	becomes("commonName=alice", "CN=alice");
	becomes("2.5.4.3=alice", "CN=alice");
	becomes("OID.2.5.4.3=alice", "CN=alice");
	becomes("EMAILADDRESS=a@b.c,street=Main", "emailAddress=a@b.c,STREET=Main");
	becomes("userId=u", "UID=u");
	/* BoringSSL does not name it and prints DER; OpenSSL names it */
	becomes("2.5.4.97=#0C0756415448552D31", "organizationIdentifier=VATHU-1");
	becomes("organizationIdentifier=VATHU-1", "organizationIdentifier=VATHU-1");
	/* a type that only OpenSSL's own list knows: text and DER are one name */
	becomes("1.3.6.1.4.1.99999.1=#130161", "1.3.6.1.4.1.99999.1=#0C0161");
	becomes("1.3.6.1.4.1.99999.1=a", "1.3.6.1.4.1.99999.1=#0C0161");
}

static void white_space_and_order(void **state)
{
	(void)state;
	becomes(" CN = alice , O = Example Corp ", "CN=alice,O=Example Corp");
	becomes("CN=\\ alice\\ ", "CN=\\ alice\\ ");
	becomes("CN=a\\ ", "CN=a\\ ");
	becomes("CN=\\ ", "CN=\\ ");
	becomes("CN=", "CN=");
	becomes("CN=\\#1", "CN=\\#1");
	becomes("CN=a#1=b", "CN=a#1=b");
	becomes("UID=7+CN=x,O=y", "UID=7+CN=x,O=y");
	becomes("CN=x+UID=7,O=y", "UID=7+CN=x,O=y"); /* a set has no order */
	becomes("CN=b+CN=a", "CN=a+CN=b");
}

static void invisible_characters_are_shown(void **state)
{
	(void)state;
	becomes("CN=a\xe2\x80\xae"
		"b",
		"CN=a\\E2\\80\\AEb"); /* right-to-left override */
	becomes("CN=a\xc2\x85", "CN=a\\C2\\85");
	becomes("CN=a\\0Ab", "CN=a\\0Ab");
}

static void faults_are_refused(void **state)
{
	(void)state;
	refused("", "empty-subject");
	refused("   ", "empty-subject");
	refused("alice", "invalid-subject");
	refused("CN", "invalid-subject");
	refused("=alice", "invalid-subject");
	refused("CN=alice,", "invalid-subject");
	refused("CN=alice,,O=x", "invalid-subject");
	refused("CN=alice+", "invalid-subject");
	refused("CN=\"alice\"", "invalid-subject");
	refused("CN=a;O=b", "invalid-subject");
	refused("CN=a<b", "invalid-subject");
	refused("CN=a\\", "invalid-subject");
	refused("CN=a\\4", "invalid-subject");
	refused("CN=a\\zz", "invalid-subject");
	refused("CN=#", "invalid-subject");
	refused("CN=#0", "invalid-subject");
	refused("CN=#0C05616263", "invalid-subject"); /* length beyond the end */
	refused("CN=#0C016162", "invalid-subject");   /* bytes left over */
	refused("CN=#0C0161 x", "invalid-subject");
	refused("CN=\xff", "invalid-subject");
	refused("CN=\xc0\x80", "invalid-subject");     /* overlong */
	refused("CN=\\ED\\A0\\80", "invalid-subject"); /* a surrogate */
	refused("nosuchtype=a", "invalid-subject");
	refused("1.2.3.=a", "invalid-subject");
	refused("/CN=alice/O=x", "invalid-subject"); /* OpenSSL's own old form */
}

static void nul_is_refused(void **state)
{
	(void)state;
	refused("CN=alice\\00.evil", "nul-in-subject");
	refused_n("CN=a\0b", 6, "nul-in-subject");
	refused("CN=#0C03610062", "nul-in-subject");
}

static void length_is_bounded(void **state)
{
	(void)state;
	sg_autofree char *big = malloc(70000);
	memset(big, 'a', 70000);
	memcpy(big, "CN=", 3);
	sg_autofree char *fits = canonical_n(big, SG_DN_MAX_TEXT, NULL);
	assert_non_null(fits);
	refused_n(big, SG_DN_MAX_TEXT + 1, "subject-too-long");
	refused_n(big, 65536, "subject-too-long");
	sg_autobuf many = SG_BUF_INIT(4096);
	for (int i = 0; i < SG_DN_MAX_ATTRIBUTES + 1; i++)
		sg_buf_adds(&many, i ? ",C=x" : "C=x");
	refused_n(many.data, many.len, "subject-too-long");
}

static void add(X509_NAME *n, const char *type, int asn1, const char *value, int len, int set)
{
	assert_int_equal(X509_NAME_add_entry_by_txt(
				 n, type, asn1, (const unsigned char *)value, len, -1, set),
		1);
}

/* What nginx and the direct door make of one certificate must be one text. */
static void x509_and_text_agree(void **state)
{
	(void)state;
	struct sg_error err;
	X509_NAME *n = X509_NAME_new();
	add(n, "C", V_ASN1_PRINTABLESTRING, "HU", -1, 0);
	add(n, "O", V_ASN1_UTF8STRING, "K\xc3\xb6z, Kft.", -1, 0);
	add(n, "OU", V_ASN1_T61STRING, "R\xe9gi", -1, 0);
	add(n, "organizationIdentifier", V_ASN1_UTF8STRING, "VATHU-1", -1, 0);
	add(n, "CN", V_ASN1_BMPSTRING, "\0A\0l", 4, 0);
	add(n, "UID", V_ASN1_UTF8STRING, " x ", -1, -1);
	sg_autobuf direct = SG_BUF_INIT(SG_DN_MAX_TEXT + 1);
	assert_int_equal(sg_dn_of_x509(n, &direct, &err), 0);
	assert_string_equal(direct.data, "UID=\\ x\\ +CN=Al,organizationIdentifier=VATHU-1,"
					 "OU=R\xc3\xa9gi,O=K\xc3\xb6z\\, Kft.,C=HU");
	BIO *bio = BIO_new(BIO_s_mem());
	X509_NAME_print_ex(bio, n, 0, XN_FLAG_RFC2253); /* as nginx prints $ssl_client_s_dn */
	char *text;
	long len = BIO_get_mem_data(bio, &text);
	sg_autofree char *edge = canonical_n(text, (size_t)len, &err);
	assert_non_null(edge);
	assert_string_equal(edge, direct.data);
	BIO_free(bio);
	X509_NAME_free(n);
}

static void x509_faults(void **state)
{
	(void)state;
	struct sg_error err;
	X509_NAME *n = X509_NAME_new();
	sg_autobuf b = SG_BUF_INIT(SG_DN_MAX_TEXT + 1);
	assert_true(sg_dn_of_x509(n, &b, &err) < 0);
	assert_string_equal(err.kind, "empty-subject");
	add(n, "CN", V_ASN1_UTF8STRING, "alice\0.evil", 11, 0);
	assert_true(sg_dn_of_x509(n, &b, &err) < 0);
	assert_string_equal(err.kind, "nul-in-subject");
	assert_int_equal(b.len, 0);
	X509_NAME_free(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rfc4514_examples),
		cmocka_unit_test(types_have_one_spelling),
		cmocka_unit_test(white_space_and_order),
		cmocka_unit_test(invisible_characters_are_shown),
		cmocka_unit_test(faults_are_refused),
		cmocka_unit_test(nul_is_refused),
		cmocka_unit_test(length_is_bounded),
		cmocka_unit_test(x509_and_text_agree),
		cmocka_unit_test(x509_faults),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
