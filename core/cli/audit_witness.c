/* audit cosign, import-cosignature: witnesses (c2sp.org/tlog-cosignature). A witness signs that it
 * saw the checkpoint; the lines are kept in DIR/cosignatures/<size>, beside the store, so that they
 * may be taken in while a server runs. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "audit/check.h"
#include "audit/note.h"
#include "base/base64.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "cli/audit.h"

/* The three lines that are signed: of a note its text, of a one-line checkpoint the same. */
static int text_of(const char *input, size_t n, struct sg_buf *out, struct sg_error *err)
{
	struct sg_check_note note;
	if (strstr(input, "\n\n")) {
		int r = sg_check_note_parse(input, n, &note, err);
		if (r == 0)
			sg_buf_add(out, note.text, note.text_len);
		return r;
	}
	int r = sg_check_note_line(input, strcspn(input, "\n"), &note, err);
	if (r < 0)
		return r;
	sg_buf_addf(out, "%.*s\n%" PRIu64 "\n", (int)note.origin_len, note.origin, note.size);
	sg_base64_add(out, note.root, sizeof(note.root));
	sg_buf_addc(out, '\n');
	return out->failed ? sg_error_nomem(err) : 0;
}

static int cosign(const struct sg_audit_arguments *a, struct sg_buf *line, struct sg_error *err)
{
	sg_autofree char *input = NULL;
	sg_autobuf text = SG_BUF_INIT(SG_EVIDENCE_INPUT_MAX);
	struct sg_signer *key = NULL;
	size_t n = 0;
	int r = sg_evidence_input(a->n_rest ? a->rest[0] : "-", &input, &n, err);
	if (r == 0)
		r = text_of(input, n, &text, err);
	if (r == 0)
		r = sg_signer_load(&key, a->key, err);
	if (r == 0)
		r = sg_note_cosign(text.data, text.len, a->name, key,
			(uint64_t)(sg_clock_utc_us() / 1000000), line, err);
	sg_autobuf vkey = SG_BUF_INIT(1024);
	if (r == 0)
		sg_note_add_vkey(&vkey, a->name, SG_NOTE_TYPE_COSIGNATURE, sg_signer_public(key));
	if (r == 0 && !vkey.failed)
		(void)fprintf(stderr, "witness %s\n", vkey.data);
	sg_signer_destroy(key);
	return r;
}

int sg_audit_cli_cosign(int argc, char **argv)
{
	struct sg_audit_arguments a;
	struct sg_error err = {0};
	sg_autobuf line = SG_BUF_INIT(SG_EVIDENCE_INPUT_MAX);
	int code = sg_audit_cli_parse(argc, argv, &a);
	if (code)
		return code;
	if (!a.key || !a.name || !sg_note_name_valid(a.name) || a.n_rest > 1)
		return sg_cli_usage(
			&sg_verb_audit, "cosign needs --key and a --name without spaces and '+'");
	if (cosign(&a, &line, &err) < 0)
		return sg_cli_fail(&err);
	return fputs(line.data, stdout) < 0 ? SG_EXIT_FAILED : SG_EXIT_DONE;
}

static int make_directory(const char *path, const char *beside, struct sg_error *err)
{
	struct stat st;
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return sg_error_errno(err, errno, "cannot make %s", path);
	/* Root imports for the service: the directory is the service's. */
	if (geteuid() == 0 && stat(beside, &st) == 0)
		(void)!lchown(path, st.st_uid, st.st_gid);
	return 0;
}

static int keep(const char *state_dir, uint64_t size, const char *line, struct sg_error *err)
{
	sg_autofree char *dir = NULL;
	sg_autofree char *path = NULL;
	sg_autofree char *have = NULL;
	size_t n = 0;
	if (asprintf(&dir, "%s/cosignatures", state_dir) < 0 ||
		asprintf(&path, "%s/%" PRIu64, dir, size) < 0)
		return sg_error_nomem(err);
	int r = make_directory(dir, state_dir, err);
	if (r < 0)
		return r;
	sg_autoclose int lock = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lock < 0 || flock(lock, LOCK_EX) < 0)
		return sg_error_errno(err, errno, "cannot lock %s", dir);
	r = sg_file_read(path, SG_EVIDENCE_INPUT_MAX, &have, &n, err);
	if (r < 0 && r != -SG_ENOTFOUND)
		return r;
	if (have && strstr(have, line))
		return 0;
	sg_autobuf all = SG_BUF_INIT(2 * SG_EVIDENCE_INPUT_MAX);
	sg_buf_add(&all, have, n);
	sg_buf_adds(&all, line);
	if (all.failed)
		return sg_error_nomem(err);
	return sg_file_write_atomic(path, all.data, all.len, 0600, err);
}

static int check_and_keep(const struct sg_evidence *e, const struct sg_audit_arguments *a,
	const char *line, const uint8_t key[SG_ED25519_KEY], uint64_t *ret_size,
	struct sg_error *err)
{
	struct sg_check_signature s;
	struct sg_check_note note;
	sg_autobuf b = SG_BUF_INIT(SG_EVIDENCE_INPUT_MAX);
	uint64_t time, size;
	int r = sg_audit_cli_note(e, a->state_dir, (uint64_t)a->size, &b, &size, err);
	if (r == 0)
		r = sg_check_note_parse(b.data, b.len, &note, err);
	if (r < 0)
		return r;
	if (!sg_check_signature_line(line, strcspn(line, "\n"), &s) ||
		sg_check_note_cosigned(&note, &s, key, &time) != SG_CHECK_GOOD)
		return sg_error_set(err, SG_ECORRUPT, "cosignature",
			"the line is not that witness's cosignature of the checkpoint of size "
			"%" PRIu64,
			size);
	*ret_size = size;
	return keep(a->state_dir, size, line, err);
}

int sg_audit_cli_import(int argc, char **argv)
{
	struct sg_audit_arguments a;
	struct sg_evidence e;
	struct sg_error err = {0};
	sg_autofree char *line = NULL;
	uint8_t key[SG_ED25519_KEY], type;
	uint64_t size = 0;
	size_t n = 0;
	int code = sg_audit_cli_parse(argc, argv, &a);
	if (code)
		return code;
	if (!a.state_dir || a.n_witnesses != 1)
		return sg_cli_usage(
			&sg_verb_audit, "import-cosignature needs --state-dir and one --witness");
	if (sg_check_vkey(a.witness[0], strlen(a.witness[0]), &type, key, &err) < 0 ||
		sg_evidence_input(a.n_rest ? a.rest[0] : "-", &line, &n, &err) < 0 ||
		sg_evidence_open(&e, a.state_dir, &err) < 0)
		return sg_cli_fail(&err);
	int r = check_and_keep(&e, &a, line, key, &size, &err);
	sg_evidence_close(&e);
	if (r < 0)
		return sg_cli_fail(&err);
	(void)printf("kept for the checkpoint of size %" PRIu64 "\n", size);
	return SG_EXIT_DONE;
}
