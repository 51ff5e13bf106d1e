/* The Python original's chained logs. The golden one was written by the original's own code
 * (fathom-rules 0.5.0, ChainedAttestationLog), its private key thrown away. */
#include "log.h"

#define GOLDEN SG_SOURCE_ROOT "/tests/golden/original-audit/"
#define LOG GOLDEN "stargraph.audit.jsonl"

enum { LINES = 12 };

struct fixture {
	char *dir, *path, *text, *token;
	size_t len;
	int fd;
	uint8_t key[SG_ED25519_KEY];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	size_t n = 0;
	if (!f || tmp_setup((void **)&f->dir) < 0)
		return -1;
	f->text = log_read(LOG, &f->len);
	f->token = log_read(GOLDEN "checkpoint.token", &n);
	*state = f;
	f->path = log_memory_path(&f->fd);
	return f->path ? sg_audit_read_key(LOG ".pub.pem", f->key, NULL) : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	void *dir = f->dir;
	(void)close(f->fd);
	free(f->path);
	free(f->text);
	free(f->token);
	free(f);
	return tmp_teardown(&dir);
}

static int verify(const struct fixture *f, const char *text, size_t n, const char *token,
	struct sg_audit_report *ret)
{
	struct sg_audit_verify_options o = {.checkpoint = token, .keys = f->key, .n_keys = 1};
	const char *path = f->path;
	tmp_write(path, text, n);
	return sg_audit_verify(&path, 1, &o, ret, NULL);
}

static void expect(const struct fixture *f, const char *text, const char *cause, uint64_t line)
{
	struct sg_audit_report rep = {0};
	int r = verify(f, text, strlen(text), NULL, &rep);
	assert_string_equal(rep.cause, cause);
	assert_int_equal(rep.bad_line, line);
	assert_int_equal(r, strcmp(cause, "ok") != 0);
}

static char *line_at(char *text, int n)
{
	while (n--)
		text = strchr(text, '\n') + 1;
	return text;
}

static void the_originals_log_verifies(void **state)
{
	const struct fixture *f = *state;
	struct sg_audit_report rep = {0};
	assert_int_equal(verify(f, f->text, f->len, f->token, &rep), 0);
	assert_int_equal(rep.lines, LINES);
	assert_int_equal(rep.trust, SG_AUDIT_PINNED);
	assert_int_equal(strlen(rep.vkey), 64);
}

static void a_key_beside_the_log_is_unpinned_and_none_is_an_error(void **state)
{
	const struct fixture *f = *state;
	struct sg_audit_report rep = {0};
	struct sg_audit_verify_options o = {.beside = f->key};
	const char *path = LOG;
	assert_int_equal(sg_audit_verify(&path, 1, &o, &rep, NULL), 0);
	assert_int_equal(rep.trust, SG_AUDIT_UNPINNED);
	o.beside = NULL;
	assert_int_equal(sg_audit_verify(&path, 1, &o, &rep, NULL), -SG_EINVALID);
	uint8_t other[SG_ED25519_KEY] = {1};
	o = (struct sg_audit_verify_options){.keys = other, .n_keys = 1, .beside = f->key};
	assert_int_equal(sg_audit_verify(&path, 1, &o, &rep, NULL), 1);
	assert_string_equal(rep.cause, "wrong-key");
}

static void each_way_of_spoiling_has_its_name(void **state)
{
	const struct fixture *f = *state;
	for (int i = 1; i < LINES; i++) {
		sg_autofree char *t = strdup(f->text);
		char *payload = strstr(line_at(t, i), "\"record\":{\"");
		payload[12] ^= 1;
		expect(f, t, "edited", (uint64_t)i + 1);
		free(t);
		t = strdup(f->text);
		strstr(line_at(t, i), "\"jws\":\"eyJ")[200] ^= 1;
		expect(f, t, "bad-signature", (uint64_t)i + 1);
		free(t);
		t = strdup(f->text);
		char *at = line_at(t, i), *next = strchr(at, '\n') + 1;
		size_t n = (size_t)(next - at);
		memmove(at, next, strlen(next) + 1);
		expect(f, t, i + 1 < LINES ? "removed" : "ok", i + 1 < LINES ? (uint64_t)i + 1 : 0);
		sg_autofree char *twice = malloc(f->len + n + 1);
		size_t before = (size_t)(next - t);
		memcpy(twice, f->text, before);
		memcpy(twice + before, f->text + before - n, n);
		strcpy(twice + before + n, f->text + before);
		expect(f, twice, "duplicate", (uint64_t)i + 2);
	}
	sg_autofree char *t = strdup(f->text);
	char *a = line_at(t, 4), *b = line_at(t, 5), *c = line_at(t, 6);
	sg_autofree char *first = strndup(a, (size_t)(b - a));
	size_t second = (size_t)(c - b);
	memmove(a, b, second);
	memcpy(a + second, first, strlen(first));
	expect(f, t, "reordered", 5);
	free(t);
	t = strndup(f->text, f->len - 1);
	expect(f, t, "torn-last-line", LINES);
	expect(f, "{\"iat\":1,\"jws\":\"\"}\n", "malformed", 1);
}

static void a_cut_is_found_by_a_kept_token(void **state)
{
	const struct fixture *f = *state;
	struct sg_audit_report rep = {0};
	char *at = line_at(f->text, LINES - 2);
	size_t n = (size_t)(at - f->text);
	assert_int_equal(verify(f, f->text, n, NULL, &rep), 0);
	assert_int_equal(verify(f, f->text, n, f->token, &rep), 1);
	assert_string_equal(rep.cause, "truncated");
}

static uint32_t next_random(uint32_t *x)
{
	*x = *x * 1664525U + 1013904223U;
	return *x >> 8;
}

/* One mutation: flip a bit, replace, delete or insert a byte. */
static size_t mutate(const struct fixture *f, char *t, uint32_t *x)
{
	size_t at = next_random(x) % f->len, n = f->len;
	memcpy(t, f->text, n);
	switch (next_random(x) % 4) {
	case 0: t[at] ^= (char)(1U << next_random(x) % 8); return n;
	case 1: t[at] ^= (char)(1 + next_random(x) % 255); return n;
	case 2: memmove(t + at, t + at + 1, n - at - 1); return n - 1;
	default:
		memmove(t + at + 1, t + at, n - at);
		t[at] = (char)next_random(x);
		return n + 1;
	}
}

/* A slice of one seeded sequence; all of it with SG_LONG, or as much as SG_MUTATIONS says. A cut at
 * a line's end alone cannot show, and is none of these. */
static void no_mutation_is_missed(void **state)
{
	const struct fixture *f = *state;
	const char *env = getenv("SG_MUTATIONS"), *all = getenv("SG_LONG");
	unsigned long count = env ? strtoul(env, NULL, 10) : all && *all ? 12000 : 2500;
	sg_autofree char *t = malloc(f->len + 1);
	uint32_t x = 20261124;
	for (unsigned long i = 0; i < count; i++) {
		struct sg_audit_report rep = {0};
		size_t n = mutate(f, t, &x);
		if (verify(f, t, n, NULL, &rep) != 1 || rep.bad_line == 0)
			fail_msg("mutation %lu was missed", i);
	}
}

/* And each byte in turn, or every so many of them. */
static void no_byte_is_free(void **state)
{
	const struct fixture *f = *state;
	const char *all = getenv("SG_LONG");
	size_t step = all && *all ? 1 : 8;
	sg_autofree char *t = malloc(f->len);
	for (size_t at = 0; at < f->len; at += step) {
		struct sg_audit_report rep = {0};
		memcpy(t, f->text, f->len);
		t[at] ^= (char)(1U << at / step % 8);
		if (verify(f, t, f->len, NULL, &rep) != 1 || rep.bad_line == 0)
			fail_msg("the flip in byte %zu was missed", at);
	}
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(the_originals_log_verifies),
		T(a_key_beside_the_log_is_unpinned_and_none_is_an_error),
		T(each_way_of_spoiling_has_its_name),
		T(a_cut_is_found_by_a_kept_token),
		T(no_mutation_is_missed),
		T(no_byte_is_free),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
