/* Any text as the url of an [[llm]]: refused, or an address that cannot be anywhere but here. */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "llm/internal.h"

static void check_http(const struct sg_llm *l)
{
	static const char head[] = "http://";
	char host[64] = "";
	struct in_addr v4;
	struct in6_addr v6;
	if (strncmp(l->url, head, sizeof(head) - 1) != 0 || l->port < 0 || l->port > 65535)
		abort();
	const char *s = l->url + sizeof(head) - 1;
	bool six = *s == '[';
	size_t n = six ? strcspn(s + 1, "]") : strcspn(s, ":/");
	if (n >= sizeof(host))
		abort();
	memcpy(host, s + six, n);
	if (strcmp(host, "localhost") == 0 && l->pinned)
		return;
	if (six ? inet_pton(AF_INET6, host, &v6) != 1 || !IN6_IS_ADDR_LOOPBACK(&v6)
		: inet_pton(AF_INET, host, &v4) != 1 || ntohl(v4.s_addr) >> 24 != 127)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size);
	struct sg_llm l = {0};
	struct sg_error err = {0};
	int r = sg_llm_address(&l, text, &err);
	if (r < 0 && !err.text[0])
		abort();
	if (r == 0 && !l.socket)
		check_http(&l);
	if (r == 0 && l.socket && *l.socket != '/')
		abort();
	free(l.url);
	free(l.socket);
	free(text);
	return 0;
}
