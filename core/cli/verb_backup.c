/* stargraph backup: a hot, consistent copy of a state directory.
 *
 * The store is copied inside one of its read transactions; the copy's own head says how much of the
 * log belongs to it, and exactly that is copied. A line that was committed and is not in the file
 * yet is no loss: the store has it, and a start completes the file from there. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/reader.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "cli/cli.h"
#include "cli/copy.h"

static int copy_store(const char *state_dir, const char *dest, struct sg_error *err)
{
	struct sg_store *s = NULL;
	sg_autofree char *path = NULL;
	sg_autoclose int fd = -1;
	if (asprintf(&path, "%s/%s", dest, SG_STORE_FILE) < 0)
		return sg_error_nomem(err);
	int r = sg_store_open(&s, state_dir, 0, false, true, err);
	if (r == 0)
		r = sg_copy_create(path, &fd, err);
	if (r == 0)
		r = sg_store_copy(s, fd, err);
	if (r == 0)
		r = sg_copy_finish(fd, path, err);
	sg_store_close(s);
	return r;
}

static int head_of(const char *dir, struct sg_audit_head *ret, struct sg_error *err)
{
	struct sg_evidence e;
	int r = sg_evidence_open(&e, dir, err);
	if (r < 0)
		return r;
	*ret = e.head;
	sg_evidence_close(&e);
	return 0;
}

/* The copy's head names its log beside the copy. */
static int relocate(const char *dest, const char *path, struct sg_error *err)
{
	struct sg_store *s = NULL;
	sg_autofree char *copy = strdup(path);
	int r = copy ? sg_store_open(&s, dest, 0, false, false, err) : sg_error_nomem(err);
	if (r == 0)
		r = sg_audit_relocate(s, basename(copy), err);
	sg_store_close(s);
	return r;
}

static int backup(const char *state_dir, const char *dest, struct sg_audit_head *ret_head,
	struct sg_error *err)
{
	if (mkdir(dest, 0700) < 0)
		return errno == EEXIST
			       ? sg_error_set(err, SG_ECONFLICT, NULL,
					 "%s exists already: a backup makes its directory", dest)
			       : sg_error_errno(err, errno, "cannot make %s", dest);
	int r = copy_store(state_dir, dest, err);
	if (r == 0)
		r = head_of(dest, ret_head, err);
	if (r < 0)
		return r;
	/* A log beside the store is named relative to it: look for it beside the original. */
	struct sg_audit_head source = *ret_head;
	size_t n = strlen(dest);
	if (strncmp(source.path, dest, n) == 0 && source.path[n] == '/' &&
		(size_t)snprintf(source.path, sizeof(source.path), "%s/%s", state_dir,
			ret_head->path + n + 1) >= sizeof(source.path))
		return sg_error_set(err, SG_EINVALID, NULL, "%s: the path is too long", state_dir);
	r = sg_copy_log(&source, dest, err);
	if (r == 0)
		r = relocate(dest, source.path, err);
	return r < 0 ? r : sg_file_sync_dir(dest, err);
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {{"state-dir", required_argument, NULL, 's'}, {0}};
	const char *state_dir = NULL;
	struct sg_audit_head head = {0};
	struct sg_error err = {0};
	int o;
	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (o != 's')
			return sg_cli_usage(&sg_verb_backup, "unknown option %s", argv[optind - 1]);
		state_dir = optarg;
	}
	if (optind + 1 != argc || !state_dir)
		return sg_cli_usage(&sg_verb_backup, "needs --state-dir and one destination");
	if (backup(state_dir, argv[optind], &head, &err) < 0)
		return sg_cli_fail(&err);
	(void)printf("%s: head %" PRIu64 ":%s\n", argv[optind], head.seq, head.hash);
	return SG_EXIT_DONE;
}

const struct sg_verb sg_verb_backup = {
	.name = "backup",
	.summary = "copy a state directory, consistent, beside a running server",
	.usage = "usage: stargraph backup --state-dir DIR DEST\n\n"
		 "DEST must not exist. Every step acknowledged before the backup began is in it.\n"
		 "Prints the head; keep it (or a signed checkpoint) apart from the backup.\n",
	.run = run,
};
