/* Shared by the verbs about evidence: see evidence.h. */
#include "cli/evidence.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

static int add(struct sg_evidence_files *f, const char *dir, const char *name)
{
	char **more = realloc(f->path, (f->n + 1) * sizeof(*more));
	if (!more)
		return -1;
	f->path = more;
	if (asprintf(&f->path[f->n], "%s/%s", dir, name) < 0)
		return -1;
	f->n++;
	return 0;
}

/* "<base>.<12 digits or more>" */
static bool is_archive(const char *name, const char *base)
{
	size_t n = strlen(base);
	if (strncmp(name, base, n) != 0 || name[n] != '.')
		return false;
	const char *digits = name + n + 1;
	size_t k = strspn(digits, "0123456789");
	return k >= 12 && k <= 18 && digits[k] == '\0';
}

static int by_sequence(const void *a, const void *b)
{
	const char *x = strrchr(*(char *const *)a, '.'), *y = strrchr(*(char *const *)b, '.');
	uint64_t m = strtoull(x + 1, NULL, 10), n = strtoull(y + 1, NULL, 10);
	return (m > n) - (m < n);
}

int sg_evidence_list(
	const struct sg_audit_head *head, struct sg_evidence_files *ret, struct sg_error *err)
{
	struct sg_evidence_files f = {0};
	sg_autofree char *dir_copy = strdup(head->path);
	sg_autofree char *base_copy = strdup(head->path);
	if (!dir_copy || !base_copy)
		return sg_error_nomem(err);
	const char *dir = dirname(dir_copy), *base = basename(base_copy);
	DIR *d = opendir(dir);
	if (!d)
		return sg_error_errno(err, errno, "cannot read %s", dir);
	int failed = 0;
	for (const struct dirent *e; !failed && (e = readdir(d));)
		if (is_archive(e->d_name, base))
			failed = add(&f, dir, e->d_name);
	(void)closedir(d);
	if (!failed && f.n)
		qsort(f.path, f.n, sizeof(*f.path), by_sequence);
	/* Between the rename and the new file of a rotation there is no current one. */
	if (!failed && (f.n == 0 || access(head->path, F_OK) == 0))
		failed = add(&f, dir, base);
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
