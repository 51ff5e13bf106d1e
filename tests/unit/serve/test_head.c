/* Request heads: what h2o lets through and this must not, and identity headers with their aliases.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "serve/head.h"

#define GET "GET /v1/runs?x=1 HTTP/1.1\r\nHost: core\r\n"

static struct sg_head read_ok(const char *text)
{
	struct sg_head h;
	struct sg_error err;
	if (sg_head_read(text, strlen(text), &h, &err) < 0)
		fail_msg("%s: %s", text, err.text);
	return h;
}

static void parts_are_found(void **state)
{
	(void)state;
	struct sg_head h =
		read_ok(GET "X-Client-Cert-Subject: \t CN=a b \t\r\nAccept: */*\r\n\r\nbody");
	assert_memory_equal(h.method.data, "GET", 3);
	assert_int_equal(h.target.len, strlen("/v1/runs?x=1"));
	assert_int_equal(h.edge[SG_EDGE_SUBJECT].len, strlen("CN=a b"));
	assert_true(h.identity);
	assert_string_equal(h.alias, "");
	h = read_ok(GET "\r\n");
	assert_false(h.identity);
	assert_null(h.edge[SG_EDGE_SUBJECT].data);
	read_ok("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: Chunked\r\n\r\n");
	read_ok("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 12\r\n\r\n");
	read_ok("GET / HTTP/1.0\r\n\r\n");
}

static void ambiguity_is_refused(void **state)
{
	static const char *const heads[] = {
		"",
		"\r\n" GET "\r\n",
		"GET /\r\n\r\n",
		"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
		"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
		"G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
		" / HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET * HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.1\r\n\r\n",
		GET "Host: b\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
		GET "Content-Length: 1\r\nContent-Length: 1\r\n\r\n",
		GET "Content-Length: 1, 1\r\n\r\n",
		GET "Content-Length: +1\r\n\r\n",
		GET "Content-Length: 0x1\r\n\r\n",
		GET "Content-Length:\r\n\r\n",
		GET "Content-Length: 1234567890123456789\r\n\r\n",
		GET "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		GET "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
		GET "Transfer-Encoding: gzip, chunked\r\n\r\n",
		GET "Transfer-Encoding: xchunked\r\n\r\n",
		GET "Transfer-Encoding: identity\r\n\r\n",
		"GET / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
		GET "X: a\r\n b\r\n\r\n",
		GET "\tX: a\r\n\r\n",
		GET "X : a\r\n\r\n",
		GET "X\r\n\r\n",
		GET ": a\r\n\r\n",
		GET "X: a\x01\r\n\r\n",
		GET "X: a\rb\r\n\r\n",
		GET "X: a\n\r\n",
		GET "X: a\r\n",
		"GET / HTTP/1.1\nHost: a\n\n",
		GET "X\xc3\xa9: a\r\n\r\n",
	};
	(void)state;
	for (size_t i = 0; i < SG_ARRAY_LEN(heads); i++) {
		struct sg_head h;
		struct sg_error err = {0};
		if (sg_head_read(heads[i], strlen(heads[i]), &h, &err) == 0)
			fail_msg("accepted: %s", heads[i]);
		assert_string_equal(err.kind, "malformed-request");
	}
}

static void nul_is_refused(void **state)
{
	static const char head[] = GET "X: a\0b\r\n\r\n";
	struct sg_head h;
	(void)state;
	assert_true(sg_head_read(head, sizeof(head) - 1, &h, NULL) < 0);
}

static void aliases_are_seen(void **state)
{
	static const char *const lines[] = {
		"X_Client_Cert_Subject: CN=root",
		"x-client_cert-subject: CN=root",
		"X-Client-Cert-Subject: CN=a\r\nx-client-cert-subject: CN=root",
		"X-Client-Cert: pem",
		"X-Client-Cert-Subject-Dn: CN=root",
		"X-SSL-Client-Cert: pem",
		"X-Ssl-Client-S-Dn: CN=root",
		"SSL_CLIENT_S_DN: CN=root",
		"Client-Cert: :abc:",
		"Client-Cert-Chain: :abc:",
		"X-Forwarded-Tls-Client-Cert-Info: x",
		"X_Forwarded_Client_Cert: x",
		"X-Amzn-Mtls-Clientcert-Subject: CN=root",
		"X-ARR-ClientCert: pem",
		"XClientCertSubject: CN=root",
		"_X-Client-Cert-Subject: CN=root",
		"X.Client!Cert~Subject: CN=root",
		"XSSLClientCert: pem",
		"ClientCert: pem",
		"Connection: close, X-Client-Cert-Subject",
		"Connection: close, _XClientCertSubject",
		"Proxy-Connection: X-Client-Cert-Subject",
		"Trailer: X-Client-Cert-Subject",
		"Connection: close\r\nConnection: x_client_cert_issuer",
		"X-Stargraph-Edge: 1",
	};
	(void)state;
	for (size_t i = 0; i < SG_ARRAY_LEN(lines); i++) {
		char text[512];
		(void)snprintf(text, sizeof(text), GET "%s\r\n\r\n", lines[i]);
		struct sg_head h = read_ok(text);
		if (!*h.alias || !h.identity)
			fail_msg("not seen: %s", lines[i]);
	}
}

static void other_headers_are_no_aliases(void **state)
{
	static const char *const lines[] = {"X-Client-Id: 7", "X-Client: a", "Client: a",
		"X-Forwarded-For: 1.2.3.4", "X-SSL: on", "Connection: keep-alive, Upgrade",
		"Trailer: Expires", "Xylo-Client-Cert: a", "-: a",
		"Cookie: x-client-cert-subject=1"};
	(void)state;
	for (size_t i = 0; i < SG_ARRAY_LEN(lines); i++) {
		char text[512];
		(void)snprintf(text, sizeof(text), GET "%s\r\n\r\n", lines[i]);
		struct sg_head h = read_ok(text);
		assert_false(h.identity);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_are_found),
		cmocka_unit_test(ambiguity_is_refused),
		cmocka_unit_test(nul_is_refused),
		cmocka_unit_test(aliases_are_seen),
		cmocka_unit_test(other_headers_are_no_aliases),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
