/* The verifier's signed notes: see check.h. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "audit/check.h"
#include "base/base64.h"

#define TYPE_SIGNATURE 0x01
#define TYPE_COSIGNATURE 0x04
#define NAME_MAX_LEN 250U

static const char dash[] = "\xe2\x80\x94 "; /* U+2014 and a space */

static int invalid(struct sg_error *err, const char *what)
{
	return sg_error_set(err, SG_EINVALID, NULL, "checkpoint: %s", what);
}

static void key_id(const char *name, size_t name_len, uint8_t type,
	const uint8_t key[SG_ED25519_KEY], uint8_t ret[4])
{
	uint8_t buf[NAME_MAX_LEN + 2 + SG_ED25519_KEY], digest[SG_SHA256_BYTES];
	memcpy(buf, name, name_len);
	buf[name_len] = '\n';
	buf[name_len + 1] = type;
	memcpy(buf + name_len + 2, key, SG_ED25519_KEY);
	sg_sha256(buf, name_len + 2 + SG_ED25519_KEY, digest);
	memcpy(ret, digest, 4);
}

/* The next line of [*at, end), without its newline; NULL when there is no whole one. */
static const char *next_line(const char **at, const char *end, size_t *ret_len)
{
	const char *line = *at;
	const char *nl = memchr(line, '\n', (size_t)(end - line));
	if (!nl)
		return NULL;
	*ret_len = (size_t)(nl - line);
	*at = nl + 1;
	return line;
}

static bool read_size(const char *s, size_t n, uint64_t *ret)
{
	uint64_t v = 0;
	if (n == 0 || n > 18 || (s[0] == '0' && n > 1))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		v = v * 10 + (uint64_t)(s[i] - '0');
	}
	*ret = v;
	return true;
}

static bool read_root(const char *s, size_t n, sg_check_hash ret)
{
	return sg_base64_decode(s, n, ret, SG_SHA256_BYTES) == SG_SHA256_BYTES;
}

bool sg_check_signature_line(const char *line, size_t n, struct sg_check_signature *ret)
{
	size_t d = sizeof(dash) - 1;
	if (n <= d || memcmp(line, dash, d) != 0)
		return false;
	const char *name = line + d;
	const char *space = memchr(name, ' ', n - d);
	if (!space || space == name || space - name > (long)NAME_MAX_LEN)
		return false;
	struct sg_check_signature s = {.name = name, .name_len = (size_t)(space - name)};
	const char *code = space + 1;
	int len = sg_base64_decode(code, n - (size_t)(code - line), s.bytes, sizeof(s.bytes));
	if (len < 4 + (int)SG_ED25519_SIGNATURE)
		return false;
	s.len = (size_t)len;
	*ret = s;
	return true;
}

static int parse_text(struct sg_check_note *note, struct sg_error *err)
{
	const char *at = note->text, *end = note->text + note->text_len;
	size_t n = 0;
	const char *line = next_line(&at, end, &note->origin_len);
	if (!line || note->origin_len == 0 || note->origin_len > NAME_MAX_LEN)
		return invalid(err, "no origin line");
	note->origin = line;
	line = next_line(&at, end, &n);
	if (!line || !read_size(line, n, &note->size))
		return invalid(err, "the second line is no tree size");
	line = next_line(&at, end, &n);
	if (!line || !read_root(line, n, note->root))
		return invalid(err, "the third line is no root hash");
	if (at < end) {
		note->extension = at;
		note->extension_len = (size_t)(end - at);
	}
	return 0;
}

static int parse_signatures(
	struct sg_check_note *note, const char *at, const char *end, struct sg_error *err)
{
	while (at < end) {
		size_t n = 0;
		const char *line = next_line(&at, end, &n);
		if (!line || note->n_signatures == SG_CHECK_SIGNATURES)
			return invalid(err, "too many signatures, or one without an end");
		/* Signatures of kinds that are not known here are skipped, as the format asks. */
		if (sg_check_signature_line(line, n, &note->signature[note->n_signatures]))
			note->n_signatures++;
		else if (n < sizeof(dash) || memcmp(line, dash, sizeof(dash) - 1) != 0)
			return invalid(err, "a line among the signatures is none");
	}
	return 0;
}

int sg_check_note_parse(const char *text, size_t n, struct sg_check_note *ret, struct sg_error *err)
{
	struct sg_check_note note = {.text = text};
	if (n > SG_CHECK_NOTE_MAX || memchr(text, '\0', n))
		return invalid(err, "too long, or not text");
	/* The text ends at the last empty line. */
	const char *blank = NULL;
	for (const char *p = text; (p = memmem(p, n - (size_t)(p - text), "\n\n", 2)); p++)
		blank = p;
	if (!blank)
		return invalid(err, "no empty line before the signatures");
	note.text_len = (size_t)(blank + 1 - text);
	int r = parse_text(&note, err);
	if (r == 0)
		r = parse_signatures(&note, blank + 2, text + n, err);
	if (r == 0)
		*ret = note;
	return r;
}

int sg_check_note_line(const char *line, size_t n, struct sg_check_note *ret, struct sg_error *err)
{
	struct sg_check_note note = {.origin = line};
	const char *end = line + n;
	const char *size = memchr(line, ' ', n);
	const char *root = size ? memchr(size + 1, ' ', (size_t)(end - size - 1)) : NULL;
	if (!root || size == line)
		return invalid(err, "the line is not \"origin size root\"");
	note.origin_len = (size_t)(size - line);
	const char *rest = memchr(root + 1, ' ', (size_t)(end - root - 1));
	size_t root_len = (size_t)((rest ? rest : end) - root - 1);
	if (!read_size(size + 1, (size_t)(root - size - 1), &note.size) ||
		!read_root(root + 1, root_len, note.root))
		return invalid(err, "the line is not \"origin size root\"");
	*ret = note;
	return 0;
}

enum sg_check_verdict sg_check_note_signed(
	const struct sg_check_note *note, const uint8_t key[SG_ED25519_KEY])
{
	uint8_t id[4];
	for (size_t i = 0; i < note->n_signatures; i++) {
		const struct sg_check_signature *s = &note->signature[i];
		if (s->len != 4 + SG_ED25519_SIGNATURE || s->name_len != note->origin_len ||
			memcmp(s->name, note->origin, s->name_len) != 0)
			continue;
		key_id(s->name, s->name_len, TYPE_SIGNATURE, key, id);
		if (memcmp(id, s->bytes, sizeof(id)) != 0)
			continue;
		bool good = sg_ed25519_verify(key, note->text, note->text_len, s->bytes + 4);
		return good ? SG_CHECK_GOOD : SG_CHECK_BAD;
	}
	return SG_CHECK_ABSENT;
}

enum sg_check_verdict sg_check_note_cosigned(const struct sg_check_note *note,
	const struct sg_check_signature *s, const uint8_t key[SG_ED25519_KEY], uint64_t *ret_time)
{
	uint8_t id[4];
	uint64_t time = 0;
	char message[SG_CHECK_NOTE_MAX + 64];
	if (s->len != sizeof(s->bytes) || note->text_len > SG_CHECK_NOTE_MAX)
		return SG_CHECK_ABSENT;
	key_id(s->name, s->name_len, TYPE_COSIGNATURE, key, id);
	if (memcmp(id, s->bytes, sizeof(id)) != 0)
		return SG_CHECK_ABSENT;
	for (int i = 4; i < 12; i++)
		time = time << 8 | s->bytes[i];
	int n = snprintf(message, sizeof(message), "cosignature/v1\ntime %" PRIu64 "\n%.*s", time,
		(int)note->text_len, note->text);
	if (n < 0 || (size_t)n >= sizeof(message) ||
		!sg_ed25519_verify(key, message, (size_t)n, s->bytes + 12))
		return SG_CHECK_BAD;
	*ret_time = time;
	return SG_CHECK_GOOD;
}

int sg_check_vkey(const char *text, size_t n, uint8_t *ret_type, uint8_t ret_key[SG_ED25519_KEY],
	struct sg_error *err)
{
	const char *plus = memchr(text, '+', n);
	uint8_t raw[1 + SG_ED25519_KEY], id[4], want[4];
	size_t name_len = plus ? (size_t)(plus - text) : 0;
	if (!plus || name_len == 0 || name_len > NAME_MAX_LEN || n - name_len < 10 ||
		plus[9] != '+' || sg_hex_decode(plus + 1, 8, id, sizeof(id)) < 0 ||
		sg_base64_decode(plus + 10, n - name_len - 10, raw, sizeof(raw)) !=
			(int)sizeof(raw))
		return sg_error_set(
			err, SG_EINVALID, NULL, "not a verifier key of the form name+id+base64");
	key_id(text, name_len, raw[0], raw + 1, want);
	if (memcmp(id, want, sizeof(id)) != 0)
		return sg_error_set(
			err, SG_EINVALID, NULL, "the verifier key's id does not fit its key");
	*ret_type = raw[0];
	memcpy(ret_key, raw + 1, SG_ED25519_KEY);
	return 0;
}
