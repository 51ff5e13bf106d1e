/* Addresses of endpoints: only those that cannot be anywhere but on this host. */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

#include "llm/internal.h"

#define DEFAULT_PATH "/v1"
#define PATH_LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._~/-"

bool sg_llm_is_local(const struct sockaddr *a, size_t size)
{
	if (a->sa_family == AF_UNIX)
		return true;
	if (a->sa_family == AF_INET && size >= sizeof(struct sockaddr_in)) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)a;
		return ntohl(v4->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	}
	if (a->sa_family == AF_INET6 && size >= sizeof(struct sockaddr_in6)) {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)a;
		return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
	}
	return false;
}

static bool is_loopback(const char *host)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	char bare[INET6_ADDRSTRLEN] = "";
	size_t n = strlen(host);
	if (inet_pton(AF_INET, host, &v4.sin_addr) == 1)
		return sg_llm_is_local((struct sockaddr *)&v4, sizeof(v4));
	if (n < 3 || n - 2 >= sizeof(bare) || host[0] != '[' || host[n - 1] != ']')
		return false;
	memcpy(bare, host + 1, n - 2);
	return inet_pton(AF_INET6, bare, &v6.sin6_addr) == 1 &&
	       sg_llm_is_local((struct sockaddr *)&v6, sizeof(v6));
}

/* The parts of a URL, as curl itself would read it. */
struct parts {
	char *scheme, *host, *port, *path, *zone, *query, *fragment; /* curl's; NULL = none */
};

static void free_parts(struct parts *p)
{
	curl_free(p->scheme);
	curl_free(p->host);
	curl_free(p->port);
	curl_free(p->path);
	curl_free(p->zone);
	curl_free(p->query);
	curl_free(p->fragment);
}

static int split(const char *url, struct parts *ret, struct sg_error *err)
{
	CURLU *u = curl_url();
	if (!u)
		return sg_error_nomem(err);
	CURLUcode c = curl_url_set(u, CURLUPART_URL, url, CURLU_DISALLOW_USER);
	if (c != CURLUE_OK) {
		curl_url_cleanup(u);
		return sg_error_set(
			err, SG_EINVALID, NULL, "url: \"%.200s\": %s", url, curl_url_strerror(c));
	}
	(void)curl_url_get(u, CURLUPART_SCHEME, &ret->scheme, 0);
	(void)curl_url_get(u, CURLUPART_HOST, &ret->host, 0);
	(void)curl_url_get(u, CURLUPART_PORT, &ret->port, CURLU_DEFAULT_PORT);
	(void)curl_url_get(u, CURLUPART_PATH, &ret->path, 0);
	(void)curl_url_get(u, CURLUPART_ZONEID, &ret->zone, 0);
	(void)curl_url_get(u, CURLUPART_QUERY, &ret->query, 0);
	(void)curl_url_get(u, CURLUPART_FRAGMENT, &ret->fragment, 0);
	curl_url_cleanup(u);
	return 0;
}

static int check_parts(const struct parts *p, const char *url, struct sg_error *err)
{
	if (!p->scheme || strcmp(p->scheme, "http") != 0)
		return sg_error_set(err, SG_EREFUSED, "llm-address",
			"url: \"%.200s\": only http, which does not leave this host, and "
			"unix:/path are spoken",
			url);
	if (!p->host || !p->port || !p->path)
		return sg_error_nomem(err);
	if (p->zone || (strcasecmp(p->host, "localhost") != 0 && !is_loopback(p->host)))
		return sg_error_set(err, SG_EREFUSED, "llm-address",
			"url: \"%.200s\" is not on this host: write a loopback address "
			"(127.0.0.1, [::1]), localhost or unix:/path; no name is looked up",
			url);
	if (p->query || p->fragment || strspn(p->path, PATH_LETTERS) != strlen(p->path))
		return sg_error_set(err, SG_EINVALID, NULL,
			"url: \"%.200s\": what follows the address is a plain path, such "
			"as " DEFAULT_PATH,
			url);
	return 0;
}

static int from_http(struct sg_llm *l, const char *url, struct sg_error *err)
{
	struct parts p = {0};
	int r = split(url, &p, err);
	if (r == 0)
		r = check_parts(&p, url, err);
	if (r == 0) {
		size_t n = strlen(p.path);
		while (n && p.path[n - 1] == '/')
			n--;
		l->pinned = strcasecmp(p.host, "localhost") == 0;
		l->port = (int)strtol(p.port, NULL, 10);
		if (asprintf(&l->url, "http://%s:%d%.*s", l->pinned ? "localhost" : p.host, l->port,
			    n ? (int)n : (int)strlen(DEFAULT_PATH),
			    n ? p.path : DEFAULT_PATH) < 0) {
			l->url = NULL;
			r = sg_error_nomem(err);
		}
	}
	free_parts(&p);
	return r;
}

int sg_llm_address(struct sg_llm *l, const char *url, struct sg_error *err)
{
	static const size_t longest = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;
	if (strncmp(url, "unix:", 5) != 0)
		return from_http(l, url, err);
	const char *path = url + 5;
	if (*path != '/' || strlen(path) > longest)
		return sg_error_set(err, SG_EINVALID, NULL,
			"url: \"%.200s\": unix: is followed by an absolute path of at most %zu "
			"bytes",
			url, longest);
	l->socket = strdup(path);
	l->url = strdup("http://localhost" DEFAULT_PATH);
	return l->socket && l->url ? 0 : sg_error_nomem(err);
}
