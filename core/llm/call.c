/* One exchange with an endpoint, over a connection of its own. */
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/utf8.h"
#include "llm/internal.h"

#define POLL_MS 1000 /* an upper bound: what happens wakes it */

struct exchange {
	const struct sg_llm *llm;
	CURL *easy;
	CURLM *multi;
	struct curl_slist *headers, *pin; /* owned */
	struct sg_buf body;
	size_t header_bytes;
	bool refused; /* a socket to somewhere else was asked for */
	char why[CURL_ERROR_SIZE];
};

static size_t take_body(char *data, size_t one, size_t n, void *arg)
{
	struct exchange *e = arg;
	sg_buf_add(&e->body, data, one * n);
	return e->body.failed ? 0 : one * n;
}

static size_t take_header(char *data, size_t one, size_t n, void *arg)
{
	struct exchange *e = arg;
	(void)data;
	e->header_bytes += one * n;
	return e->header_bytes > SG_LLM_HEADER_BYTES ? 0 : one * n;
}

/* The last word on where a connection goes. */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
	struct exchange *e = arg;
	(void)purpose;
	if (!sg_llm_is_local(&a->addr, a->addrlen)) {
		e->refused = true;
		return CURL_SOCKET_BAD;
	}
	return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

static bool add_header(struct exchange *e, const char *text)
{
	struct curl_slist *more = curl_slist_append(e->headers, text);
	if (more)
		e->headers = more;
	return more;
}

static bool add_key(struct exchange *e)
{
	char line[SG_LLM_KEY_BYTES + 64];
	if (!e->llm->key)
		return true;
	(void)snprintf(line, sizeof(line), "Authorization: Bearer %s", e->llm->key);
	bool ok = add_header(e, line);
	explicit_bzero(line, sizeof(line));
	return ok;
}

#define SET(option, value) (ok = ok && curl_easy_setopt(e->easy, option, value) == CURLE_OK)

/* Where it goes, and that it goes nowhere else. */
static bool set_route(struct exchange *e, const char *path)
{
	bool ok = true;
	char text[128];
	sg_autofree char *url = NULL;
	if (asprintf(&url, "%s%s", e->llm->url, path) < 0)
		return false;
	if (e->llm->pinned) {
		(void)snprintf(text, sizeof(text), "localhost:%d:127.0.0.1,[::1]", e->llm->port);
		ok = (e->pin = curl_slist_append(NULL, text)) != NULL;
		SET(CURLOPT_RESOLVE, e->pin);
	}
	SET(CURLOPT_URL, url);
	SET(CURLOPT_UNIX_SOCKET_PATH, e->llm->socket);
	SET(CURLOPT_PROTOCOLS_STR, "http");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_NOPROXY, "*");
	SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
	SET(CURLOPT_OPENSOCKETDATA, e);
	return ok;
}

/* What is taken from it. No Accept-Encoding is sent and nothing is unpacked. */
static bool set_intake(struct exchange *e, int64_t timeout_us)
{
	bool ok = true;
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_HTTP09_ALLOWED, 0L);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_FRESH_CONNECT, 1L);
	SET(CURLOPT_FORBID_REUSE, 1L);
	SET(CURLOPT_TIMEOUT_MS, (long)(timeout_us / 1000 + 1));
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)(timeout_us / 1000 + 1));
	SET(CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)e->llm->response_bytes);
	SET(CURLOPT_WRITEFUNCTION, take_body);
	SET(CURLOPT_WRITEDATA, e);
	SET(CURLOPT_HEADERFUNCTION, take_header);
	SET(CURLOPT_HEADERDATA, e);
	SET(CURLOPT_ERRORBUFFER, e->why);
	SET(CURLOPT_USERAGENT, "stargraph");
	return ok;
}

static bool set_up(struct exchange *e, const char *path, const struct sg_llm_call *c)
{
	bool ok = (e->easy = curl_easy_init()) && (e->multi = curl_multi_init());
	ok = ok && set_route(e, path) && set_intake(e, c->timeout_us);
	ok = ok && add_header(e, "Accept: application/json") && add_key(e);
	if (c->body) {
		ok = ok && add_header(e, "Content-Type: application/json") &&
		     add_header(e, "Expect:");
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->body_len);
		SET(CURLOPT_POSTFIELDS, c->body);
	}
	SET(CURLOPT_HTTPHEADER, e->headers);
	return ok && curl_multi_add_handle(e->multi, e->easy) == CURLM_OK;
}

static void finish(struct exchange *e)
{
	if (e->multi && e->easy)
		(void)curl_multi_remove_handle(e->multi, e->easy);
	curl_easy_cleanup(e->easy);
	(void)curl_multi_cleanup(e->multi);
	curl_slist_free_all(e->headers);
	curl_slist_free_all(e->pin);
	sg_buf_finish(&e->body);
}

static int timed_out(const struct sg_llm_call *c, struct sg_error *err)
{
	return sg_error_set(err, SG_ETIMEOUT, "llm-timeout", "llm %s: no answer within %.1f s",
		c->llm->name, (double)c->timeout_us / 1e6);
}

static int protocol(const struct exchange *e, const char *what, struct sg_error *err)
{
	char quoted[CURL_ERROR_SIZE];
	(void)snprintf(quoted, sizeof(quoted), "%s", what);
	sg_utf8_mend(quoted);
	return sg_error_set(err, SG_EIO, "llm-protocol", "llm %s: %s", e->llm->name, quoted);
}

/* A transfer that curl ended. */
static int failed(
	const struct exchange *e, const struct sg_llm_call *c, CURLcode code, struct sg_error *err)
{
	const char *why = *e->why ? e->why : curl_easy_strerror(code);
	if (e->refused)
		return sg_error_set(err, SG_EREFUSED, "llm-address",
			"llm %s: a connection that would leave this host was refused",
			e->llm->name);
	if (code == CURLE_OPERATION_TIMEDOUT)
		return timed_out(c, err);
	if (code == CURLE_OUT_OF_MEMORY)
		return sg_error_nomem(err);
	if (code == CURLE_FILESIZE_EXCEEDED || e->body.failed)
		return sg_error_set(err, SG_ELIMIT, "llm-response-limit",
			"llm %s: its response is larger than %zu bytes (response_bytes)",
			e->llm->name, e->llm->response_bytes);
	if (e->header_bytes > SG_LLM_HEADER_BYTES)
		return sg_error_set(err, SG_ELIMIT, "llm-response-limit",
			"llm %s: the headers of its response are larger than %u bytes",
			e->llm->name, SG_LLM_HEADER_BYTES);
	if (code == CURLE_COULDNT_CONNECT)
		return sg_error_set(err, SG_EIO, "llm-connect", "llm %s: cannot connect to %s%s",
			e->llm->name, e->llm->socket ? "unix:" : "",
			e->llm->socket ? e->llm->socket : e->llm->url);
	return protocol(e, why, err);
}

/* Until the transfer is over. A deadline of its own, for a clock that curl reads only when it has
 * something to do. */
static int turn(struct exchange *e, const struct sg_llm_call *c, struct sg_error *err)
{
	int64_t until = sg_clock_monotonic_us() + c->timeout_us;
	int running = 1, left;
	for (;;) {
		struct curl_waitfd stop = {.fd = c->cancel_fd, .events = CURL_WAIT_POLLIN};
		if (curl_multi_perform(e->multi, &running) != CURLM_OK)
			return protocol(e, "the transfer broke", err);
		if (!running)
			break;
		int64_t ms = (until - sg_clock_monotonic_us()) / 1000 + 1;
		if (ms <= 0)
			return timed_out(c, err);
		if (curl_multi_poll(e->multi, &stop, c->cancel_fd >= 0 ? 1 : 0,
			    ms < POLL_MS ? (int)ms : POLL_MS, NULL) != CURLM_OK)
			return protocol(e, "the transfer broke", err);
		if (c->cancel_fd >= 0 && stop.revents)
			return sg_error_set(err, SG_EBUSY, "llm-cancelled",
				"llm %s: the call was cancelled", c->llm->name);
	}
	const CURLMsg *m = curl_multi_info_read(e->multi, &left);
	if (!m || m->msg != CURLMSG_DONE)
		return protocol(e, "the transfer broke", err);
	return m->data.result == CURLE_OK ? 0 : failed(e, c, m->data.result, err);
}

/* What the endpoint itself says of an error: {"error": {"message": …}} or {"error": …}. */
static void own_words(const struct sg_buf *body, char ret[SG_LLM_QUOTED])
{
	json_auto_t *v = NULL;
	*ret = '\0';
	if (!body->data || sg_json_parse(body->data, body->len, &v, NULL) < 0)
		return;
	const json_t *error = json_object_get(v, "error");
	const char *text = json_string_value(
		json_is_object(error) ? json_object_get(error, "message") : error);
	(void)snprintf(ret, SG_LLM_QUOTED, "%s", text ? text : "");
	sg_utf8_mend(ret);
	for (char *p = ret; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = ' ';
}

static int check_status(const struct exchange *e, struct sg_error *err)
{
	long status = 0;
	char words[SG_LLM_QUOTED];
	struct curl_header *encoding = NULL;
	(void)curl_easy_getinfo(e->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200) {
		own_words(&e->body, words);
		return sg_error_set(err, SG_EIO, "llm-http", "llm %s answered %ld%s%s%s",
			e->llm->name, status,
			status >= 300 && status < 400 ? " (a redirect is not followed)" : "",
			*words ? ": " : "", words);
	}
	if (curl_easy_header(e->easy, "Content-Encoding", 0, CURLH_HEADER, -1, &encoding) ==
			CURLHE_OK &&
		strcmp(encoding->value, "identity") != 0)
		return protocol(e, "its response is packed, which was not asked for", err);
	return 0;
}

/* The response's body into e->body. */
static int exchange(
	struct exchange *e, const char *path, const struct sg_llm_call *call, struct sg_error *err)
{
	struct sg_llm_call c = *call;
	if (c.timeout_us <= 0 || c.timeout_us > c.llm->timeout_us)
		c.timeout_us = c.llm->timeout_us;
	*e = (struct exchange){.llm = c.llm, .body = SG_BUF_INIT(c.llm->response_bytes)};
	if (!set_up(e, path, &c))
		return sg_error_nomem(err);
	int r = turn(e, &c, err);
	return r < 0 ? r : check_status(e, err);
}

int sg_llm_chat(const struct sg_llm_call *c, struct sg_llm_answer *ret, struct sg_error *err)
{
	struct exchange e;
	int r = exchange(&e, "/chat/completions", c, err);
	if (r == 0) {
		r = sg_llm_answer_parse(e.body.data ? e.body.data : "", e.body.len, ret, err);
		if (r < 0)
			(void)sg_error_prefix(err, "llm %s", c->llm->name);
	}
	finish(&e);
	return r;
}

static int listed(const struct exchange *e)
{
	json_auto_t *v = NULL;
	size_t i;
	const json_t *one;
	if (e->body.data)
		(void)sg_json_parse(e->body.data, e->body.len, &v, NULL);
	json_array_foreach (json_object_get(v, "data"), i, one) {
		const char *id = sg_json_text(one, "id");
		if (id && strcmp(id, e->llm->model) == 0)
			return 0;
	}
	return 1;
}

int sg_llm_probe(const struct sg_llm *llm, int64_t timeout_us, struct sg_error *err)
{
	const struct sg_llm_call c = {.llm = llm, .timeout_us = timeout_us, .cancel_fd = -1};
	struct exchange e;
	int r = exchange(&e, "/models", &c, err);
	if (r == 0)
		r = listed(&e);
	finish(&e);
	return r;
}
