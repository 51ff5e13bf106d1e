/* Shared by the verbs about evidence: see evidence.h. */
#include "cli/evidence.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/reader.h"
#include "base/cleanup.h"
#include "base/file.h"

int sg_evidence_open(struct sg_evidence *e, const char *state_dir, struct sg_error *err)
{
	*e = (struct sg_evidence){0};
	int r = sg_store_open(&e->store, state_dir, 0, false, true, err);
	if (r == 0)
		r = sg_txn_begin(e->store, false, &e->txn, err);
	if (r == 0)
		r = sg_audit_head_read(e->store, e->txn, &e->head, err);
	if (r > 0)
		r = sg_error_set(err, SG_ENOTFOUND, NULL, "%s has no audit log yet", state_dir);
	if (r < 0)
		sg_evidence_close(e);
	return r;
}

void sg_evidence_close(struct sg_evidence *e)
{
	sg_txn_abort(e->txn);
	sg_store_close(e->store);
	*e = (struct sg_evidence){0};
}

void sg_evidence_files_finish(struct sg_evidence_files *f)
{
	for (size_t i = 0; i < f->n; i++)
		free(f->path[i]);
	free(f->path);
	*f = (struct sg_evidence_files){0};
}

/* Takes over path. */
static int add(struct sg_evidence_files *f, char *path)
{
	char **more = path ? realloc(f->path, (f->n + 1) * sizeof(*more)) : NULL;
	if (!more) {
		free(path);
		return -1;
	}
	f->path = more;
	f->path[f->n++] = path;
	return 0;
}

int sg_evidence_list(
	const struct sg_audit_head *head, struct sg_evidence_files *ret, struct sg_error *err)
{
	struct sg_evidence_files f = {0};
	sg_autofree uint64_t *first = NULL;
	size_t n = 0;
	int r = sg_audit_archives(head->path, &first, &n, err), failed = 0;
	if (r < 0)
		return r;
	for (size_t i = 0; !failed && i < n; i++)
		failed = add(&f, sg_audit_archive_path(head->path, first[i]));
	/* Between the rename and the new file of a rotation there is no current one. */
	if (!failed && (f.n == 0 || access(head->path, F_OK) == 0))
		failed = add(&f, strdup(head->path));
	if (failed) {
		sg_evidence_files_finish(&f);
		return sg_error_nomem(err);
	}
	*ret = f;
	return 0;
}

static int read_stdin(char **ret, size_t *ret_len, struct sg_error *err)
{
	sg_autobuf b = SG_BUF_INIT(SG_EVIDENCE_INPUT_MAX);
	char chunk[4096];
	ssize_t n;
	while ((n = read(STDIN_FILENO, chunk, sizeof(chunk))) > 0)
		sg_buf_add(&b, chunk, (size_t)n);
	if (n < 0)
		return sg_error_errno(err, errno, "cannot read standard input");
	*ret_len = b.len;
	*ret = sg_buf_take(&b);
	return *ret ? 0
		    : sg_error_set(err, SG_ELIMIT, NULL, "standard input: more than %u bytes",
			      SG_EVIDENCE_INPUT_MAX);
}

int sg_evidence_input(const char *path, char **ret, size_t *ret_len, struct sg_error *err)
{
	if (strcmp(path, "-") == 0)
		return read_stdin(ret, ret_len, err);
	return sg_file_read(path, SG_EVIDENCE_INPUT_MAX, ret, ret_len, err);
}
