/* verify: each way of spoiling a log has its name, and none is missed. */
#include "log.h"

#include "base/hash.h"

struct fixture {
	char *dir, *path, *text;
	size_t len;
	char head[65]; /* hash of the last line */
	uint64_t head_seq;
	int fd;
};

enum { LINES = 12 };

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct log l;
	if (!f || tmp_setup((void **)&f->dir) < 0)
		return -1;
	log_open(&l, f->dir);
	log_add(&l, LINES - 1, true);
	f->path = strdup(l.path);
	log_close(&l);
	f->text = log_read(f->path, &f->len);
	struct sg_audit_report rep;
	if (sg_audit_verify_file(f->path, NULL, 0, &rep, NULL) != 0)
		return -1;
	memcpy(f->head, rep.head, sizeof(f->head));
	f->head_seq = LINES - 1;
	free(f->path);
	f->path = log_memory_path(&f->fd);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	void *dir = f->dir;
	(void)close(f->fd);
	free(f->path);
	free(f->text);
	free(f);
	return tmp_teardown(&dir);
}

static char *line_at(char *text, int n)
{
	while (n--)
		text = strchr(text, '\n') + 1;
	return text;
}

static size_t line_len(const char *line)
{
	return (size_t)(strchr(line, '\n') + 1 - line);
}

static void expect(const struct fixture *f, const char *text, size_t n, bool head,
	const char *cause, uint64_t bad_line)
{
	struct sg_audit_report rep = {0};
	struct sg_error err = {0};
	tmp_write(f->path, text, n);
	int r = sg_audit_verify_file(
		f->path, head ? f->head : NULL, (int64_t)f->head_seq, &rep, &err);
	if (r < 0)
		fail_msg("%s", err.text);
	assert_string_equal(rep.cause, cause);
	assert_int_equal(r, strcmp(cause, "ok") != 0);
	assert_int_equal(rep.bad_line, bad_line);
}

static void a_good_log_verifies(void **state)
{
	const struct fixture *f = *state;
	expect(f, f->text, f->len, false, "ok", 0);
	expect(f, f->text, f->len, true, "ok", 0);
}

static void an_edited_line_is_named(void **state)
{
	const struct fixture *f = *state;
	for (int i = 0; i < LINES; i++) {
		sg_autofree char *t = strdup(f->text);
		char *payload = strstr(line_at(t, i), "\"confidence\":1");
		payload[13] = '0';
		expect(f, t, f->len, true, "edited", (uint64_t)i + 1);
		/* Without a head nobody can know about the last line. */
		expect(f, t, f->len, false, i + 1 < LINES ? "edited" : "ok",
			i + 1 < LINES ? (uint64_t)i + 1 : 0);
	}
	sg_autofree char *t = strdup(f->text);
	line_at(t, 4)[20] ^= 1; /* inside prev */
	expect(f, t, f->len, true, "edited", 5);
	free(t);
	t = strdup(f->text);
	line_at(t, 4)[7] = '7'; /* the sequence */
	expect(f, t, f->len, true, "edited", 5);
}

static void a_removed_line_is_named(void **state)
{
	const struct fixture *f = *state;
	for (int i = 0; i + 1 < LINES; i++) {
		sg_autofree char *t = strdup(f->text);
		char *at = line_at(t, i);
		size_t n = line_len(at);
		memmove(at, at + n, strlen(at + n) + 1);
		expect(f, t, f->len - n, true, "removed", (uint64_t)i + 1);
	}
}

static void a_reordered_line_is_named(void **state)
{
	const struct fixture *f = *state;
	for (int i = 0; i + 1 < LINES; i++) {
		sg_autofree char *t = strdup(f->text);
		char *a = line_at(t, i);
		size_t na = line_len(a), nb = line_len(a + na);
		sg_autofree char *first = strndup(a, na);
		memmove(a, a + na, nb);
		memcpy(a + nb, first, na);
		expect(f, t, f->len, true, "reordered", (uint64_t)i + 1);
	}
}

static void a_duplicated_line_is_named(void **state)
{
	const struct fixture *f = *state;
	for (int i = 0; i < LINES; i++) {
		char *at = line_at(f->text, i);
		size_t n = line_len(at), before = (size_t)(at - f->text) + n;
		sg_autofree char *t = malloc(f->len + n);
		memcpy(t, f->text, before);
		memcpy(t + before, at, n);
		memcpy(t + before + n, f->text + before, f->len - before);
		expect(f, t, f->len + n, true, "duplicate", (uint64_t)i + 2);
	}
}

static void a_truncated_log_is_named(void **state)
{
	const struct fixture *f = *state;
	size_t last = (size_t)(line_at(f->text, LINES - 1) - f->text);
	expect(f, f->text, last, true, "truncated", LINES);
	expect(f, f->text, last, false, "ok", 0);
	expect(f, f->text, 0, false, "truncated", 1);
	expect(f, f->text, f->len - 1, true, "torn-last-line", LINES);
	expect(f, f->text, last + 1, false, "torn-last-line", LINES);
}

static void what_is_no_log_is_malformed(void **state)
{
	const struct fixture *f = *state;
	expect(f, "\n", 1, false, "malformed", 1);
	expect(f, "{}\n", 3, false, "malformed", 1);
	expect(f, "\0\0\n", 3, false, "malformed", 1);
	static const char huge[] = "{\"seq\":99999999999999999999,\"prev\":\"";
	sg_autofree char *t = calloc(1, 300);
	memcpy(t, huge, sizeof(huge) - 1);
	memset(t + sizeof(huge) - 1, 'a', 300 - sizeof(huge));
	t[299] = '\n';
	expect(f, t, 300, false, "malformed", 1);
}

static void expect_found(const struct fixture *f, const char *t, size_t n, const char *what, long i)
{
	struct sg_audit_report rep = {0};
	tmp_write(f->path, t, n);
	int r = sg_audit_verify_file(f->path, f->head, (int64_t)f->head_seq, &rep, NULL);
	if (r != 1 || rep.bad_line == 0)
		fail_msg("%s %ld was missed", what, i);
}

/* Whatever a byte stands for: sequence, hash, time, actor, key, quote, digit, newline. */
static void every_byte_with_a_bit_flipped_is_found(void **state)
{
	const struct fixture *f = *state;
	sg_autofree char *t = malloc(f->len);
	for (size_t at = 0; at < f->len; at++)
		for (unsigned bit = 0; bit < 8; bit += 3) {
			memcpy(t, f->text, f->len);
			t[at] ^= (char)(1U << (bit + at) % 8);
			expect_found(f, t, f->len, "the flip in byte", (long)at);
		}
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
	case 1: {
		char c = (char)next_random(x);
		t[at] = c == t[at] ? (char)(c + 1) : c;
		return n;
	}
	case 2: memmove(t + at, t + at + 1, n - at - 1); return n - 1;
	default:
		memmove(t + at + 1, t + at, n - at);
		t[at] = (char)next_random(x);
		return n + 1;
	}
}

static void no_mutation_is_missed(void **state)
{
	const struct fixture *f = *state;
	const char *env = getenv("SG_MUTATIONS");
	long count = env ? strtol(env, NULL, 10) : 10000;
	sg_autofree char *t = malloc(f->len + 1);
	uint32_t x = 20261124;
	for (long i = 0; i < count; i++) {
		size_t n = mutate(f, t, &x);
		if (n == f->len && memcmp(t, f->text, n) == 0)
			continue;
		expect_found(f, t, n, "mutation", i);
	}
}

static void a_missing_or_special_file_is_an_error(void **state)
{
	const struct fixture *f = *state;
	struct sg_audit_report rep;
	assert_int_equal(
		sg_audit_verify_file("/nowhere/at/all", NULL, 0, &rep, NULL), -SG_ENOTFOUND);
	assert_int_equal(sg_audit_verify_file(f->dir, NULL, 0, &rep, NULL), -SG_EINVALID);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_good_log_verifies),
		T(an_edited_line_is_named),
		T(a_removed_line_is_named),
		T(a_reordered_line_is_named),
		T(a_duplicated_line_is_named),
		T(a_truncated_log_is_named),
		T(what_is_no_log_is_malformed),
		T(every_byte_with_a_bit_flipped_is_found),
		T(no_mutation_is_missed),
		T(a_missing_or_special_file_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
