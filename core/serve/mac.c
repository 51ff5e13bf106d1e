/* Verifies the edge's MAC; remembers nonces in two generations of a minute each, so that a nonce is
 * known for at least as long as its time could still be accepted. */
#include "serve/mac.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/hash.h"

#define KEY_BYTES 32
#define NONCE_HEX 32
#define GENERATION_S (2 * SG_MAC_WINDOW_S)
#define FIRST_SLOTS 1024
#define MAX_COVERED (1U << 20) /* bytes of what the MAC covers */

/* An open-addressed set of the nonces' first 64 bits; 0 marks a free slot. */
struct nonces {
	uint64_t *slots;
	size_t n, cap;
};

struct sg_mac {
	uint8_t key[KEY_BYTES];
	struct nonces now, before;
	int64_t since_s; /* when `now` began */
};

struct claim {
	struct sg_text t, nonce, mac;
	int64_t time;
};

static int read_key(const char *path, uint8_t ret[KEY_BYTES], struct sg_error *err)
{
	char hex[2 * KEY_BYTES + 2] = {0};
	struct stat st;
	sg_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) < 0)
		return sg_error_set(
			err, SG_EREFUSED, NULL, "edge_mac_key %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode) || (st.st_mode & 07777) != 0600)
		return sg_error_set(err, SG_EREFUSED, NULL,
			"edge_mac_key %s: must be a regular file of mode 0600", path);
	ssize_t n = read(fd, hex, sizeof(hex) - 1);
	if (n < 2 * KEY_BYTES || (n > 2 * KEY_BYTES && hex[2 * KEY_BYTES] != '\n') ||
		sg_hex_decode(hex, (size_t)(2 * KEY_BYTES), ret, KEY_BYTES) < 0)
		return sg_error_set(
			err, SG_EREFUSED, NULL, "edge_mac_key %s: must hold 64 hex digits", path);
	OPENSSL_cleanse(hex, sizeof(hex));
	return 0;
}

int sg_mac_create(struct sg_mac **ret, const char *path, struct sg_error *err)
{
	struct sg_mac *m = calloc(1, sizeof(*m));
	if (!m)
		return sg_error_nomem(err);
	int r = read_key(path, m->key, err);
	if (r < 0) {
		sg_mac_destroy(m);
		return r;
	}
	*ret = m;
	return 0;
}

void sg_mac_destroy(struct sg_mac *m)
{
	if (!m)
		return;
	free(m->now.slots);
	free(m->before.slots);
	OPENSSL_cleanse(m->key, sizeof(m->key));
	free(m);
}

static uint64_t *find(const struct nonces *s, uint64_t key)
{
	size_t i = (size_t)key & (s->cap - 1);
	while (s->slots[i] && s->slots[i] != key)
		i = (i + 1) & (s->cap - 1);
	return &s->slots[i];
}

static bool grow(struct nonces *s)
{
	struct nonces bigger = {.cap = s->cap ? 2 * s->cap : FIRST_SLOTS, .n = s->n};
	bigger.slots = calloc(bigger.cap, sizeof(uint64_t));
	if (!bigger.slots)
		return false;
	for (size_t i = 0; i < s->cap; i++)
		if (s->slots[i])
			*find(&bigger, s->slots[i]) = s->slots[i];
	free(s->slots);
	*s = bigger;
	return true;
}

static void turn(struct sg_mac *m, int64_t now_s)
{
	if (now_s - m->since_s < GENERATION_S && now_s >= m->since_s)
		return;
	free(m->before.slots);
	m->before = m->now;
	m->now = (struct nonces){0};
	m->since_s = now_s;
}

static int remember(struct sg_mac *m, uint64_t key, struct sg_error *err)
{
	if ((m->before.cap && *find(&m->before, key)) || (m->now.cap && *find(&m->now, key)))
		return sg_error_set(err, SG_EDENIED, "edge-mac", "edge MAC: nonce seen before");
	if (m->now.n == SG_MAC_MAX_NONCES || (2 * (m->now.n + 1) > m->now.cap && !grow(&m->now)))
		return sg_error_set(err, SG_EBUSY, "edge-mac", "edge MAC: nonce cache is full");
	*find(&m->now, key) = key;
	m->now.n++;
	return 0;
}

static bool take(const char **p, const char *end, const char *lead, struct sg_text *ret)
{
	size_t n = strlen(lead);
	if ((size_t)(end - *p) < n || memcmp(*p, lead, n) != 0)
		return false;
	const char *start = *p + n, *stop = start;
	while (stop < end && *stop != ' ')
		stop++;
	*ret = (struct sg_text){start, (size_t)(stop - start)};
	*p = stop;
	return true;
}

static bool parse(struct sg_text header, struct claim *c)
{
	const char *p = header.data, *end = p + header.len;
	if (!take(&p, end, "v1 t=", &c->t) || !take(&p, end, " n=", &c->nonce) ||
		!take(&p, end, " mac=", &c->mac) || p != end || c->t.len == 0 || c->t.len > 12 ||
		c->nonce.len != NONCE_HEX || c->mac.len != SG_SHA256_HEX - 1)
		return false;
	c->time = 0;
	for (size_t i = 0; i < c->t.len; i++) {
		if (c->t.data[i] < '0' || c->t.data[i] > '9')
			return false;
		c->time = c->time * 10 + (c->t.data[i] - '0');
	}
	return true;
}

static bool proves(const struct sg_mac *m, const struct sg_head *h, const struct claim *c)
{
	const struct sg_text parts[] = {c->t, c->nonce, h->method, h->target,
		h->edge[SG_EDGE_SUBJECT], h->edge[SG_EDGE_ISSUER], h->edge[SG_EDGE_SERIAL],
		h->edge[SG_EDGE_FINGERPRINT], h->edge[SG_EDGE_SAN], h->edge[SG_EDGE_REFUSED]};
	uint8_t given[SG_SHA256_BYTES];
	sg_autobuf b = SG_BUF_INIT(MAX_COVERED);
	sg_buf_adds(&b, "stargraph-edge-v1\n");
	for (size_t i = 0; i < SG_ARRAY_LEN(parts); i++) {
		sg_buf_add(&b, parts[i].data, parts[i].len);
		sg_buf_addc(&b, '\n');
	}
	return !b.failed && sg_hex_decode(c->mac.data, c->mac.len, given, sizeof(given)) == 0 &&
	       sg_hmac_sha256_is(m->key, KEY_BYTES, b.data, b.len, given);
}

int sg_mac_verify(struct sg_mac *m, const struct sg_head *h, int64_t now_s, struct sg_error *err)
{
	struct claim c;
	uint8_t nonce[NONCE_HEX / 2];
	uint64_t key;
	if (!h->edge[SG_EDGE_MAC].data)
		return sg_error_set(err, SG_EDENIED, "edge-mac", "edge MAC: missing");
	if (!parse(h->edge[SG_EDGE_MAC], &c) ||
		sg_hex_decode(c.nonce.data, c.nonce.len, nonce, sizeof(nonce)) < 0)
		return sg_error_set(err, SG_EDENIED, "edge-mac", "edge MAC: malformed");
	if (!proves(m, h, &c))
		return sg_error_set(err, SG_EDENIED, "edge-mac", "edge MAC: does not verify");
	if (c.time > now_s + SG_MAC_WINDOW_S || c.time < now_s - SG_MAC_WINDOW_S)
		return sg_error_set(err, SG_EDENIED, "edge-mac",
			"edge MAC: its time is more than %d seconds off", SG_MAC_WINDOW_S);
	turn(m, now_s);
	memcpy(&key, nonce, sizeof(key));
	return remember(m, key ? key : 1, err);
}
