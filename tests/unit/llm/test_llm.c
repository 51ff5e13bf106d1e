/* Chat endpoints, the well-behaved and the hostile: where a call may go, what it brings back, and
 * what a server cannot make it do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "llm/internal.h"
#include "tmpdir.h"

#define OK_HEAD "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
#define GOOD \
	"{\"model\":\"m-1\",\"choices\":[{\"finish_reason\":\"stop\",\"message\":{\"role\":" \
	"\"assistant\",\"content\":\"h\\u00e9llo\"}}],\"usage\":{\"prompt_tokens\":3," \
	"\"completion_tokens\":2}}"

static char dir[256];

static int set_up(void **state)
{
	int r = tmp_setup(state);
	if (r == 0)
		(void)snprintf(dir, sizeof(dir), "%s", (char *)*state);
	return r;
}

/* ---- a server that says one thing, again and again if wanted, to one client ---- */

struct server {
	int fd;
	int port;
	char url[300];
	const char *head, *body; /* written once, then `again` until the client has gone */
	const char *again;
	int pause_ms;	 /* between two of again; also before body */
	char got[65536]; /* the request */
	size_t n_got;
	pthread_t thread;
};

static bool send_all(int fd, const char *s)
{
	size_t n = strlen(s);
	while (n) {
		ssize_t k = send(fd, s, n, MSG_NOSIGNAL);
		if (k <= 0)
			return false;
		s += k;
		n -= (size_t)k;
	}
	return true;
}

static bool has_all(const struct server *v)
{
	const char *end = strstr(v->got, "\r\n\r\n"), *length = strstr(v->got, "Content-Length: ");
	size_t want = length ? strtoul(length + 16, NULL, 10) : 0;
	return end && v->n_got >= (size_t)(end + 4 - v->got) + want;
}

static void *serve(void *arg)
{
	struct server *v = arg;
	int c = accept(v->fd, NULL, NULL);
	if (c < 0)
		return NULL;
	while (!has_all(v) && v->n_got < sizeof(v->got) - 1) {
		ssize_t k = recv(c, v->got + v->n_got, sizeof(v->got) - 1 - v->n_got, 0);
		if (k <= 0)
			break;
		v->n_got += (size_t)k;
	}
	bool there = !v->head || send_all(c, v->head);
	there = there && (!v->body || send_all(c, v->body));
	for (int i = 0; there && v->again && i < 2000000; i++) {
		if (v->pause_ms)
			(void)usleep((useconds_t)v->pause_ms * 1000);
		there = send_all(c, v->again);
	}
	(void)close(c);
	return NULL;
}

static void start(struct server *v, bool on_unix)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_un u = {.sun_family = AF_UNIX};
	socklen_t n = sizeof(a);
	v->fd = socket(on_unix ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(v->fd >= 0);
	if (on_unix) {
		(void)snprintf(u.sun_path, sizeof(u.sun_path), "%.90s/llm.sock", dir);
		(void)snprintf(v->url, sizeof(v->url), "unix:%s", u.sun_path);
		(void)unlink(u.sun_path);
		assert_int_equal(bind(v->fd, (struct sockaddr *)&u, sizeof(u)), 0);
	} else {
		assert_int_equal(bind(v->fd, (struct sockaddr *)&a, sizeof(a)), 0);
		assert_int_equal(getsockname(v->fd, (struct sockaddr *)&a, &n), 0);
		v->port = ntohs(a.sin_port);
		(void)snprintf(v->url, sizeof(v->url), "http://127.0.0.1:%d", v->port);
	}
	assert_int_equal(listen(v->fd, 4), 0);
	assert_int_equal(pthread_create(&v->thread, NULL, serve, v), 0);
}

static void stop(struct server *v)
{
	(void)shutdown(v->fd, SHUT_RDWR);
	(void)pthread_join(v->thread, NULL);
	(void)close(v->fd);
}

static struct sg_llms *declare(const char *url, const char *more)
{
	struct sg_error err = {0};
	struct sg_llms *l = NULL;
	json_t *all = json_pack("[{s:s, s:s, s:s}]", "name", "l", "url", url, "model", "m");
	json_t *extra = json_loads(more, 0, NULL);
	assert_non_null(all);
	assert_non_null(extra);
	assert_int_equal(json_object_update(json_array_get(all, 0), extra), 0);
	if (sg_llms_create(&l, all, &err) < 0)
		fail_msg("%s", err.text);
	json_decref(all);
	json_decref(extra);
	return l;
}

static int call(const char *url, const char *more, int64_t timeout_us, int cancel_fd,
	struct sg_llm_answer *ret, struct sg_error *err)
{
	struct sg_llms *l = declare(url, more);
	const struct sg_llm_call c = {.llm = sg_llms_find(l, "l"),
		.body = "{\"a\":1}",
		.body_len = 7,
		.timeout_us = timeout_us,
		.cancel_fd = cancel_fd};
	int r = sg_llm_chat(&c, ret, err);
	sg_llms_destroy(l);
	return r;
}

static void expect_failure(struct server *v, const char *kind, const char *text)
{
	struct sg_llm_answer a = {0};
	struct sg_error err = {0};
	start(v, false);
	int r = call(v->url, "{\"response_bytes\":65536}", 3000000, -1, &a, &err);
	stop(v);
	if (r == 0)
		fail_msg("an answer, to: %s%s", v->head, v->body);
	assert_string_equal(err.kind, kind);
	if (!strstr(err.text, text))
		fail_msg("\"%s\" is not in: %s", text, err.text);
	assert_null(a.text);
}

/* ---- the well-behaved ---- */

static void answers(bool on_unix)
{
	struct server v = {.head = OK_HEAD "Connection: close\r\n\r\n", .body = GOOD};
	struct sg_llm_answer a = {0};
	struct sg_error err = {0};
	start(&v, on_unix);
	int r = call(v.url, "{}", 0, -1, &a, &err);
	stop(&v);
	if (r < 0)
		fail_msg("%s", err.text);
	assert_string_equal(a.text, "h\u00e9llo");
	assert_int_equal(a.len, 6);
	assert_string_equal(a.model, "m-1");
	assert_string_equal(a.finish_reason, "stop");
	assert_int_equal(a.prompt_tokens, 3);
	assert_int_equal(a.completion_tokens, 2);
	assert_non_null(strstr(v.got, "POST /v1/chat/completions HTTP/1.1\r\n"));
	assert_non_null(strstr(v.got, "Content-Type: application/json\r\n"));
	assert_null(strstr(v.got, "Accept-Encoding"));
	assert_null(strstr(v.got, "Authorization"));
	assert_non_null(strstr(v.got, "\r\n\r\n{\"a\":1}"));
	sg_llm_answer_finish(&a);
}

static void test_an_answer_over_loopback(void **state)
{
	(void)state;
	answers(false);
}

static void test_an_answer_over_a_unix_socket(void **state)
{
	(void)state;
	answers(true);
}

static void test_chunks_and_a_name_for_loopback(void **state)
{
	(void)state;
	char url[64];
	struct server v = {.head = OK_HEAD "Transfer-Encoding: chunked\r\n\r\n",
		.body = "5\r\n{\"cho\r\n3f\r\nices\":[{\"message\":{\"content\":\"abc\"}}],\"x\":"
			"\"aaaaaaaaaaaaaaaaaa\"}\r\n0\r\n\r\n"};
	struct sg_llm_answer a = {0};
	struct sg_error err = {0};
	start(&v, false);
	(void)snprintf(url, sizeof(url), "http://LocalHost:%d/api/v1/", v.port);
	int r = call(url, "{}", 3000000, -1, &a, &err);
	stop(&v);
	if (r < 0)
		fail_msg("%s", err.text);
	assert_string_equal(a.text, "abc");
	assert_int_equal(a.prompt_tokens, -1);
	assert_non_null(strstr(v.got, "POST /api/v1/chat/completions"));
	sg_llm_answer_finish(&a);
}

static void test_the_key_is_sent_and_never_told(void **state)
{
	(void)state;
	char path[300], more[400];
	struct server v = {.head = "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"};
	struct sg_llm_answer a = {0};
	struct sg_error err = {0};
	(void)snprintf(path, sizeof(path), "%s/key", dir);
	tmp_write(path, "sk-secret\n", 10);
	assert_int_equal(chmod(path, 0600), 0);
	(void)snprintf(more, sizeof(more), "{\"api_key_file\":\"%s\"}", path);
	start(&v, false);
	assert_true(call(v.url, more, 3000000, -1, &a, &err) < 0);
	stop(&v);
	assert_non_null(strstr(v.got, "Authorization: Bearer sk-secret\r\n"));
	assert_string_equal(err.kind, "llm-http");
	assert_null(strstr(err.text, "secret"));
}

static void test_the_proxies_of_the_environment_are_not_used(void **state)
{
	(void)state;
	static const char *const names[] = {"http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"};
	struct server v = {.head = OK_HEAD "Connection: close\r\n\r\n", .body = GOOD};
	struct sg_llm_answer a = {0};
	struct sg_error err = {0};
	for (size_t i = 0; i < SG_ARRAY_LEN(names); i++)
		assert_int_equal(setenv(names[i], "http://127.0.0.1:1/", 1), 0);
	start(&v, false);
	int r = call(v.url, "{}", 3000000, -1, &a, &err);
	stop(&v);
	for (size_t i = 0; i < SG_ARRAY_LEN(names); i++)
		(void)unsetenv(names[i]);
	if (r < 0)
		fail_msg("%s", err.text);
	sg_llm_answer_finish(&a);
}

static void test_the_probe_looks_for_the_model(void **state)
{
	(void)state;
	struct server v = {.head = OK_HEAD "Connection: close\r\n\r\n",
		.body = "{\"data\":[{\"id\":\"other\"},{\"id\":\"m\"}]}"};
	struct sg_error err = {0};
	start(&v, false);
	struct sg_llms *l = declare(v.url, "{}");
	assert_int_equal(sg_llm_probe(sg_llms_find(l, "l"), 2000000, &err), 0);
	sg_llms_destroy(l);
	stop(&v);
	assert_non_null(strstr(v.got, "GET /v1/models "));
	v = (struct server){.head = OK_HEAD "Connection: close\r\n\r\n", .body = "{\"data\":[]}"};
	start(&v, false);
	l = declare(v.url, "{}");
	assert_int_equal(sg_llm_probe(sg_llms_find(l, "l"), 2000000, &err), 1);
	sg_llms_destroy(l);
	stop(&v);
}

/* ---- where it may go ---- */

static void test_only_addresses_of_this_host(void **state)
{
	(void)state;
	static const char *const refused[] = {"http://10.0.0.1/", "http://example.org/v1",
		"http://0.0.0.0:80/", "http://[::]/", "http://[::ffff:127.0.0.1]/",
		"http://128.0.0.1/", "http://localhost.example.org/", "http://127.0.0.1.nip.io/",
		"https://127.0.0.1/", "ftp://127.0.0.1/", "file:///etc/passwd",
		"http://127.0.0.1@10.0.0.1/", "http://10.0.0.1#@127.0.0.1/",
		"http://[fe80::1%25lo]/", "http://[::1%25eth0]/", "http://3232235777/",
		"127.0.0.1:80", "", "http://", "http://127.0.0.1/v1?x=http://a",
		"http://127.0.0.1/#a", "http://127.0.0.1/a b", "http://127.0.0.1:99999/",
		"unix:relative", "unix:", "http://127.0.0.1/\r\nX: y"};
	for (size_t i = 0; i < SG_ARRAY_LEN(refused); i++) {
		struct sg_llms *l = NULL;
		struct sg_error err = {0};
		json_t *all = json_pack(
			"[{s:s, s:s, s:s}]", "name", "l", "url", refused[i], "model", "m");
		if (sg_llms_create(&l, all, &err) >= 0)
			fail_msg("accepted: %s", refused[i]);
		assert_true(err.code == SG_EREFUSED || err.code == SG_EINVALID);
		assert_non_null(strstr(err.text, "[[llm]] l: url:"));
		json_decref(all);
	}
}

static void test_what_is_accepted_is_written_out(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
		{"http://127.0.0.1:8080", "http://127.0.0.1:8080/v1"},
		{"http://127.9.9.9/", "http://127.9.9.9:80/v1"},
		{"http://[::1]:9/api/v2/", "http://[::1]:9/api/v2"},
		{"http://localhost:1/v1", "http://localhost:1/v1"},
		{"http://2130706433:7/", "http://127.0.0.1:7/v1"},
		{"unix:/run/x.sock", "http://localhost/v1"},
	};
	for (size_t i = 0; i < SG_ARRAY_LEN(rows); i++) {
		struct sg_llms *l = declare(rows[i][0], "{}");
		assert_string_equal(sg_llms_find(l, "l")->url, rows[i][1]);
		sg_llms_destroy(l);
	}
}

static void test_a_declaration_that_is_wrong(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
		{"[{\"name\":\"a\",\"url\":\"unix:/x\",\"model\":\"m\"},{\"name\":\"a\",\"url\":"
		 "\"unix:/x\",\"model\":\"m\"}]",
			"declared twice"},
		{"[{\"name\":\"A b\",\"url\":\"unix:/x\",\"model\":\"m\"}]", "a name is of"},
		{"[{\"name\":\"a\",\"url\":\"unix:/x\",\"model\":\"m\",\"api_key_file\":\"k\"}]",
			"not an absolute path"},
		{"[{\"name\":\"a\",\"url\":\"unix:/x\",\"model\":\"m\",\"api_key_file\":"
		 "\"/nowhere/key\"}]",
			"/nowhere/key"},
	};
	for (size_t i = 0; i < SG_ARRAY_LEN(rows); i++) {
		struct sg_llms *l = NULL;
		struct sg_error err = {0};
		json_t *all = json_loads(rows[i][0], 0, NULL);
		assert_true(sg_llms_create(&l, all, &err) < 0);
		if (!strstr(err.text, rows[i][1]))
			fail_msg("%s", err.text);
		json_decref(all);
	}
}

static void test_a_key_file_that_others_can_read(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		mode_t mode;
		const char *said;
	} rows[] = {{"good\n", 0640, "chmod 600"}, {"two words\n", 0600, "one line"},
		{"\n", 0600, "one line"}, {"a\nb\n", 0600, "one line"}};
	char path[300];
	(void)snprintf(path, sizeof(path), "%s/key", dir);
	for (size_t i = 0; i < SG_ARRAY_LEN(rows); i++) {
		struct sg_llms *l = NULL;
		struct sg_error err = {0};
		tmp_write(path, rows[i].text, strlen(rows[i].text));
		assert_int_equal(chmod(path, rows[i].mode), 0);
		json_t *all = json_pack("[{s:s, s:s, s:s, s:s}]", "name", "l", "url", "unix:/x",
			"model", "m", "api_key_file", path);
		assert_true(sg_llms_create(&l, all, &err) < 0);
		if (!strstr(err.text, rows[i].said))
			fail_msg("%s", err.text);
		json_decref(all);
	}
}

static void test_a_redirect_is_not_followed(void **state)
{
	(void)state;
	struct server there = {.head = OK_HEAD "Connection: close\r\n\r\n", .body = GOOD};
	char head[512];
	start(&there, false);
	(void)snprintf(head, sizeof(head),
		"HTTP/1.1 307 Go\r\nLocation: %s/v1/chat/completions\r\nContent-Length: 0\r\n\r\n",
		there.url);
	struct server v = {.head = head};
	expect_failure(&v, "llm-http", "answered 307 (a redirect is not followed)");
	stop(&there);
	assert_int_equal(there.n_got, 0);
}

static void test_nobody_is_there(void **state)
{
	(void)state;
	struct sg_llm_answer a = {0};
	struct sg_error err = {0};
	assert_true(call("unix:/nowhere/llm.sock", "{}", 3000000, -1, &a, &err) < 0);
	assert_string_equal(err.kind, "llm-connect");
	assert_non_null(strstr(err.text, "unix:/nowhere/llm.sock"));
	assert_true(call("http://127.0.0.1:1", "{}", 3000000, -1, &a, &err) < 0);
	assert_string_equal(err.kind, "llm-connect");
}

/* ---- the hostile ---- */

static void test_a_body_without_end(void **state)
{
	(void)state;
	struct server v = {.head = OK_HEAD "\r\n", .again = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
	expect_failure(&v, "llm-response-limit", "larger than 65536 bytes");
	v = (struct server){.head = OK_HEAD "Transfer-Encoding: chunked\r\n\r\n",
		.again = "10\r\naaaaaaaaaaaaaaaa\r\n"};
	expect_failure(&v, "llm-response-limit", "larger than 65536 bytes");
	v = (struct server){.head = OK_HEAD "Content-Length: 99999999999\r\n\r\n"};
	expect_failure(&v, "llm-response-limit", "larger than 65536 bytes");
}

static void test_headers_without_end(void **state)
{
	(void)state;
	struct server v = {.head = "HTTP/1.1 200 OK\r\n", .again = "X-Header: aaaaaaaaaaaaaaa\r\n"};
	expect_failure(&v, "llm-response-limit", "headers");
	v = (struct server){.again = "HTTP/1.1 100 Continue\r\n\r\n"};
	expect_failure(&v, "llm-response-limit", "headers");
	v = (struct server){
		.head = "HTTP/1.1 200 OK\r\nX: ", .again = "aaaaaaaaaaaaaaaaaaaaaaaaaa"};
	start(&v, false);
	struct sg_llm_answer a = {0};
	struct sg_error err = {0};
	assert_true(call(v.url, "{}", 3000000, -1, &a, &err) < 0); /* curl's own limit of a line */
	stop(&v);
	assert_true(strcmp(err.kind, "llm-protocol") == 0 ||
		    strcmp(err.kind, "llm-response-limit") == 0 || err.code == SG_ENOMEM);
}

static void test_a_slow_drip_ends_at_the_deadline(void **state)
{
	(void)state;
	struct server v = {
		.head = OK_HEAD "Content-Length: 60000\r\n\r\n", .again = "a", .pause_ms = 20};
	struct sg_llm_answer a = {0};
	struct sg_error err = {0};
	start(&v, false);
	int64_t before = sg_clock_monotonic_us();
	assert_true(call(v.url, "{}", 300000, -1, &a, &err) < 0);
	int64_t took = sg_clock_monotonic_us() - before;
	stop(&v);
	assert_string_equal(err.kind, "llm-timeout");
	assert_true(took >= 290000);
	assert_true(took < 20000000);
}

static void test_silence_ends_at_the_deadline(void **state)
{
	(void)state;
	struct server v = {.again = "", .pause_ms = 10};
	struct sg_llm_answer a = {0};
	struct sg_error err = {0};
	start(&v, false);
	assert_true(call(v.url, "{}", 200000, -1, &a, &err) < 0);
	assert_string_equal(err.kind, "llm-timeout");
	v.again = "x"; /* it sees that nobody listens */
	stop(&v);
}

static void test_a_call_is_cancelled(void **state)
{
	(void)state;
	struct server v = {
		.head = OK_HEAD "Content-Length: 60000\r\n\r\n", .again = "a", .pause_ms = 20};
	struct sg_llm_answer a = {0};
	struct sg_error err = {0};
	sg_autoclose int stop_fd = eventfd(1, EFD_CLOEXEC);
	start(&v, false);
	int64_t before = sg_clock_monotonic_us();
	assert_true(call(v.url, "{}", 60000000, stop_fd, &a, &err) < 0);
	assert_true(sg_clock_monotonic_us() - before < 20000000);
	assert_string_equal(err.kind, "llm-cancelled");
	/* It was accepted or not: the next connection is what the server's thread may wait for. */
	stop(&v);
}

static void test_what_is_not_http(void **state)
{
	(void)state;
	struct server v = {.head = "hello there, no HTTP at all\r\n\r\n"};
	expect_failure(&v, "llm-protocol", "HTTP/0.9");
	v = (struct server){.head = ""};
	expect_failure(&v, "llm-protocol", "");
	v = (struct server){.head = OK_HEAD "Content-Length: 100\r\n\r\n", .body = "{\"choices\":"};
	expect_failure(&v, "llm-protocol", "");
	v = (struct server){
		.head = OK_HEAD "Transfer-Encoding: chunked\r\n\r\n", .body = "zz\r\nab"};
	expect_failure(&v, "llm-protocol", "");
	v = (struct server){.head = OK_HEAD "Transfer-Encoding: chunked\r\n\r\n",
		.body = "ffffffffffffffffff\r\nab"};
	expect_failure(&v, "llm-protocol", "");
	v = (struct server){
		.head = OK_HEAD "Transfer-Encoding: chunked\r\n\r\n", .body = "5\r\nab"};
	expect_failure(&v, "llm-protocol", "");
	v = (struct server){.head = OK_HEAD "Transfer-Encoding: gzip\r\n\r\n", .body = "ab"};
	expect_failure(&v, "llm-protocol", "");
	v = (struct server){.head = "HTTP/1.1 999 \x80\xff\r\n\r\n"};
	expect_failure(&v, "llm-http", "999");
}

static void test_a_packed_body_is_not_unpacked(void **state)
{
	(void)state;
	struct server v = {.head = OK_HEAD "Content-Encoding: gzip\r\nConnection: close\r\n\r\n",
		.body = GOOD};
	expect_failure(&v, "llm-protocol", "packed");
}

static void test_what_the_endpoint_says_of_an_error(void **state)
{
	(void)state;
	struct server v = {.head = "HTTP/1.1 500 No\r\nConnection: close\r\n\r\n",
		.body = "{\"error\":{\"message\":\"out of\\nmemory\"}}"};
	expect_failure(&v, "llm-http", "answered 500: out of memory");
	v = (struct server){.head = "HTTP/1.1 400 No\r\nConnection: close\r\n\r\n",
		.body = "{\"error\":\"no\"}"};
	expect_failure(&v, "llm-http", "answered 400: no");
	v = (struct server){.head = "HTTP/1.1 204 None\r\n\r\n"};
	expect_failure(&v, "llm-http", "answered 204");
}

static void test_bodies_that_are_no_answer(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
		{"", "llm-response"},
		{"not json", "llm-response"},
		{"[]", "llm-response"},
		{"{}", "llm-response"},
		{"{\"choices\":[]}", "llm-response"},
		{"{\"choices\":[{}]}", "llm-response"},
		{"{\"choices\":[{\"message\":{\"content\":null}}]}", "llm-response"},
		{"{\"choices\":[{\"message\":{\"content\":[\"a\"]}}]}", "llm-response"},
		{"{\"choices\":[{\"message\":{\"content\":\"a\\u0000b\"}}]}", "llm-response"},
		{"{\"choices\":[{\"message\":{\"content\":\"\xff\xfe\"}}]}", "llm-response"},
		{"{\"choices\":[{\"message\":{\"content\":\"a\"}}],\"choices\":[]}",
			"llm-response"},
		{"{\"choices\":[{\"message\":{\"content\":\"a\"},\"finish_reason\":\"length\"}]}",
			"llm-cut"},
		{"{\"choices\":[{\"message\":{\"content\":\"\"},\"finish_reason\":"
		 "\"content_filter\"}]}",
			"llm-refused"},
		{"{\"choices\":[{\"message\":{\"content\":null,\"refusal\":\"I will not\"}}]}",
			"llm-refused"},
	};
	for (size_t i = 0; i < SG_ARRAY_LEN(rows); i++) {
		struct sg_llm_answer a = {0};
		struct sg_error err = {0};
		int r = sg_llm_answer_parse(rows[i][0], strlen(rows[i][0]), &a, &err);
		if (r >= 0 || strcmp(err.kind, rows[i][1]) != 0)
			fail_msg("%s: %s", rows[i][0], err.kind);
		assert_null(a.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_answer_over_loopback),
		cmocka_unit_test(test_an_answer_over_a_unix_socket),
		cmocka_unit_test(test_chunks_and_a_name_for_loopback),
		cmocka_unit_test(test_the_key_is_sent_and_never_told),
		cmocka_unit_test(test_the_proxies_of_the_environment_are_not_used),
		cmocka_unit_test(test_the_probe_looks_for_the_model),
		cmocka_unit_test(test_only_addresses_of_this_host),
		cmocka_unit_test(test_what_is_accepted_is_written_out),
		cmocka_unit_test(test_a_declaration_that_is_wrong),
		cmocka_unit_test(test_a_key_file_that_others_can_read),
		cmocka_unit_test(test_a_redirect_is_not_followed),
		cmocka_unit_test(test_nobody_is_there),
		cmocka_unit_test(test_a_body_without_end),
		cmocka_unit_test(test_headers_without_end),
		cmocka_unit_test(test_a_slow_drip_ends_at_the_deadline),
		cmocka_unit_test(test_silence_ends_at_the_deadline),
		cmocka_unit_test(test_a_call_is_cancelled),
		cmocka_unit_test(test_what_is_not_http),
		cmocka_unit_test(test_a_packed_body_is_not_unpacked),
		cmocka_unit_test(test_what_the_endpoint_says_of_an_error),
		cmocka_unit_test(test_bodies_that_are_no_answer),
	};
	return cmocka_run_group_tests(tests, set_up, tmp_teardown);
}
