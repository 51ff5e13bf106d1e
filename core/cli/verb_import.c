/* stargraph import: the runs of a Python original's checkpoint store (SQLite) into a state
 * directory.
 *
 * The original's file is copied before anything is read, and never written. Runs go in a few at a
 * time, each batch durable with its audit records; a second import takes up where a killed one
 * stopped, because a run whose rows are here already is passed over. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "cli/cli.h"
#include "cli/copy.h"
#include "cli/import_run.h"
#include "cli/packs.h"
#include "cli/progress.h"

#define BATCH_RUNS 64U
#define MAX_GRAPHS 256U
#define SCRATCH "import-" /* state_dir/import-<pid>: the copy */

struct arguments {
	const char *state_dir, *audit_path, *source;
	struct sg_import_graph graphs[MAX_GRAPHS];
	size_t n_graphs;
	bool dry_run;
};

struct job {
	const struct arguments *a;
	struct sg_import x;
	struct sg_store *store;
	struct sg_txn *txn; /* of the batch, NULL = none is open */
	struct sg_progress progress;
	struct sg_original_counts total;
	uint64_t imported, known, refused, in_batch;
};

/* ---- the copy ---- */

/* The original holds flock(LOCK_EX) on its store while it runs. */
static int check_source(const char *path, struct sg_error *err)
{
	struct stat st;
	sg_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT
			       ? sg_error_set(err, SG_ENOTFOUND, NULL, "%s: no such file", path)
			       : sg_error_errno(err, errno, "%s", path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return sg_error_set(err, SG_EINVALID, NULL, "%s is not a regular file", path);
	if (flock(fd, LOCK_SH | LOCK_NB) < 0)
		return sg_error_set(err, SG_ECONFLICT, NULL,
			"%s is in use: stop the original's server first", path);
	return 0;
}

static void remove_copy(const char *dir)
{
	static const char *const names[] = {
		"store.sqlite", "store.sqlite-wal", "store.sqlite-shm", "store.sqlite-journal"};
	for (size_t i = 0; i < SG_ARRAY_LEN(names); i++) {
		sg_autofree char *path = NULL;
		if (asprintf(&path, "%s/%s", dir, names[i]) >= 0)
			(void)unlink(path);
	}
	(void)rmdir(dir);
}

/* Copies that killed imports left; the state directory's lock is ours. */
static void remove_old_copies(const char *state_dir)
{
	DIR *d = opendir(state_dir);
	struct dirent *e;
	while (d && (e = readdir(d))) {
		sg_autofree char *path = NULL;
		size_t n = strlen(SCRATCH);
		if (strncmp(e->d_name, SCRATCH, n) != 0 || !e->d_name[n] ||
			e->d_name[n + strspn(e->d_name + n, "0123456789")])
			continue;
		if (asprintf(&path, "%s/%s", state_dir, e->d_name) >= 0)
			remove_copy(path);
	}
	if (d)
		(void)closedir(d);
}

/* The store and its write-ahead log into dir, which is made. */
static int copy_source(const char *from, const char *dir, char **ret, struct sg_error *err)
{
	sg_autofree char *to = NULL;
	sg_autofree char *wal = NULL;
	sg_autofree char *wal_to = NULL;
	if (asprintf(&to, "%s/store.sqlite", dir) < 0 || asprintf(&wal, "%s-wal", from) < 0 ||
		asprintf(&wal_to, "%s-wal", to) < 0)
		return sg_error_nomem(err);
	if (mkdir(dir, 0700) < 0)
		return sg_error_errno(err, errno, "cannot make %s", dir);
	int r = sg_copy_file(from, to, err);
	if (r == 0 && access(wal, F_OK) == 0)
		r = sg_copy_file(wal, wal_to, err);
	if (r == 0)
		*ret = sg_steal(to);
	return r;
}

/* ---- the runs ---- */

static int begin(struct job *j, struct sg_error *err)
{
	return j->txn ? 0 : sg_txn_begin(j->store, true, &j->txn, err);
}

static int commit(struct job *j, struct sg_error *err)
{
	if (!j->txn)
		return 0;
	j->in_batch = 0;
	int r = sg_audit_put_head(j->x.audit, j->txn, err);
	if (r == 0)
		r = sg_txn_commit(sg_steal(j->txn), err);
	return r < 0 ? r : sg_audit_flush(j->x.audit, err);
}

/* A run that is not what it should be is told and left out; anything else ends the import. */
static bool of_the_run(int r, const struct sg_error *err)
{
	if (r < 0 && strcmp(err->kind, SG_ORIGINAL_NO_STORE) == 0)
		return false;
	return r == -SG_EINVALID || r == -SG_ECONFLICT || r == -SG_ELIMIT;
}

static int import_one(void *ctx, const char *run_id, struct sg_error *err)
{
	struct job *j = ctx;
	struct sg_txn *part = NULL;
	enum sg_imported what = SG_IMPORT_KNOWN;
	int r = begin(j, err);
	if (r == 0)
		r = sg_txn_begin_nested(j->txn, &part, err);
	if (r < 0)
		return r;
	r = sg_import_run(&j->x, part, run_id, &what, err);
	if (r == 0)
		r = sg_txn_commit(part, err);
	else
		sg_txn_abort(part);
	if (of_the_run(r, err)) {
		(void)fprintf(stderr, "refused: %s\n", err->text);
		j->refused++;
		return 0;
	}
	if (r < 0)
		return r;
	j->imported += what == SG_IMPORT_DONE;
	j->known += what == SG_IMPORT_KNOWN;
	sg_progress_show(&j->progress, j->x.steps, j->imported + j->known, j->x.steps);
	return ++j->in_batch >= BATCH_RUNS ? commit(j, err) : 0;
}

static int put_summary(struct job *j, struct sg_error *err)
{
	char payload[512];
	(void)snprintf(payload, sizeof(payload),
		"{\"imported\":%" PRIu64 ",\"known\":%" PRIu64 ",\"refused\":%" PRIu64
		",\"schema\":%d,\"source_sha256\":\"%s\"}",
		j->imported, j->known, j->refused, j->x.schema, j->x.source_sha256);
	struct sg_audit_event e = {.ts_us = sg_clock_utc_us(),
		.actor = "system",
		.type = "runs_imported",
		.step = -1,
		.payload = payload,
		.origin = "original",
		.source = "import",
		.confidence = 1.0};
	int r = begin(j, err);
	return r < 0 ? r : sg_audit_put(j->x.audit, j->txn, &e, err);
}

static int open_state(struct job *j, struct sg_error *err)
{
	struct sg_audit_head head;
	sg_autotxn *t = NULL;
	sg_autofree char *fresh = NULL;
	const char *path = j->a->audit_path;
	size_t repaired = 0;
	int r = sg_store_open(&j->store, j->a->state_dir, 0, true, false, err);
	if (r == 0)
		r = sg_txn_begin(j->store, false, &t, err);
	if (r == 0)
		r = sg_audit_head_read(j->store, t, &head, err);
	if (r < 0)
		return r;
	if (r == 0)
		path = head.path;
	else if (!path && asprintf(&fresh, "%s/stargraph.audit.jsonl", j->a->state_dir) < 0)
		return sg_error_nomem(err);
	sg_txn_abort(sg_steal(t));
	return sg_audit_open(&j->x.audit, j->store, path ? path : fresh, &repaired, err);
}

static int import_all(struct job *j, struct sg_error *err)
{
	int r = open_state(j, err);
	sg_progress_init(&j->progress, "importing", (uint64_t)j->total.steps);
	j->progress.items = "runs";
	j->progress.parts = "steps";
	if (r == 0)
		r = sg_original_each_run(j->x.from, import_one, j, err);
	if (r == 0 && j->imported + j->refused > 0)
		r = put_summary(j, err);
	if (r == 0)
		r = commit(j, err);
	sg_progress_finish(&j->progress);
	sg_txn_abort(j->txn);
	sg_audit_close(j->x.audit);
	sg_store_close(j->store);
	return r;
}

/* ---- what is in it ---- */

static int first_hash(void *ctx, const struct sg_original_step *s, struct sg_error *err)
{
	char *hash = ctx;
	(void)err;
	if (!*hash)
		(void)snprintf(hash, SG_SHA256_HEX, "%s", s->graph_hash);
	return 0;
}

static int list_one(void *ctx, const char *run_id, struct sg_error *err)
{
	struct job *j = ctx;
	char hash[SG_SHA256_HEX] = "";
	struct sg_original_run o = {0};
	int r = sg_original_run(j->x.from, run_id, &o, err);
	if (r == 0)
		r = sg_original_each_step(j->x.from, run_id, first_hash, hash, err);
	if (r == 0)
		(void)printf("%-38s  %-10s %5lld steps  %s%s%s\n", run_id,
			o.status ? o.status : "-", (long long)o.steps, *hash ? hash : "-",
			o.graph_id ? "  " : "", o.graph_id ? o.graph_id : "");
	sg_original_run_finish(&o);
	if (!of_the_run(r, err))
		return r;
	(void)fprintf(stderr, "refused: %s\n", err->text);
	j->refused++;
	return 0;
}

static int work(struct job *j, const char *copy, struct sg_error *err)
{
	int r = sg_sha256_file(copy, j->x.source_sha256, err);
	if (r == 0)
		r = sg_original_open(&j->x.from, copy, err);
	if (r == 0)
		r = sg_original_count(j->x.from, &j->total, err);
	j->x.schema = j->total.schema;
	if (r == 0)
		r = j->a->dry_run ? sg_original_each_run(j->x.from, list_one, j, err)
				  : import_all(j, err);
	sg_original_close(j->x.from);
	return r;
}

static int import(struct job *j, struct sg_error *err)
{
	sg_autoclose int lock = -1;
	sg_autofree char *dir = NULL;
	sg_autofree char *copy = NULL;
	int r = check_source(j->a->source, err);
	if (r < 0)
		return r;
	if (mkdir(j->a->state_dir, 0700) < 0 && errno != EEXIST)
		return sg_error_errno(err, errno, "cannot make %s", j->a->state_dir);
	r = sg_config_check_filesystem(j->a->state_dir, SG_PROFILE_OSS_DEFAULT, err);
	if (r == 0)
		r = sg_store_lock(j->a->state_dir, &lock, err);
	if (r < 0)
		return r;
	if (asprintf(&dir, "%s/" SCRATCH "%ld", j->a->state_dir, (long)getpid()) < 0)
		return sg_error_nomem(err);
	remove_old_copies(j->a->state_dir);
	r = copy_source(j->a->source, dir, &copy, err);
	if (r == 0)
		r = work(j, copy, err);
	if (r < 0 && strcmp(err->kind, SG_ORIGINAL_NO_STORE) == 0)
		(void)sg_error_prefix(err, "%s", j->a->source);
	remove_copy(dir);
	return r;
}

/* ---- the command ---- */

/* HASH=FILE */
static int add_graph(struct arguments *a, const char *text, struct sg_error *err)
{
	struct sg_import_graph *g = &a->graphs[a->n_graphs];
	if (strspn(text, "0123456789abcdef") != 64 || text[64] != '=' || !text[65])
		return sg_error_set(err, SG_EINVALID, NULL,
			"--graph takes HASH=FILE, HASH being 64 hex digits that --dry-run prints");
	if (a->n_graphs == MAX_GRAPHS)
		return sg_error_set(err, SG_EINVALID, NULL, "at most %u graphs", MAX_GRAPHS);
	memcpy(g->hash, text, 64);
	int r = sg_cli_load_graph(text + 65, &g->graph, err);
	a->n_graphs += r == 0;
	return r;
}

static int report(const struct job *j)
{
	if (j->total.pending)
		(void)fprintf(stderr,
			"%lld runs were accepted and never begun there; they are not imported: "
			"start them here\n",
			(long long)j->total.pending);
	if (!j->a->dry_run)
		(void)printf("%s: %" PRIu64 " runs imported, %" PRIu64 " here already, %" PRIu64
			     " refused\n",
			j->a->source, j->imported, j->known, j->refused);
	return j->refused ? SG_EXIT_FAILED : SG_EXIT_DONE;
}

static int run_import(const struct arguments *a)
{
	struct job j = {.a = a};
	struct sg_error err = {0};
	j.x.graphs = a->graphs;
	j.x.n_graphs = a->n_graphs;
	return import(&j, &err) < 0 ? sg_cli_fail(&err) : report(&j);
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {{"state-dir", required_argument, NULL, 's'},
		{"audit-path", required_argument, NULL, 'a'},
		{"graph", required_argument, NULL, 'g'}, {"dry-run", no_argument, NULL, 'n'}, {0}};
	struct arguments a = {0};
	struct sg_error err = {0};
	int o, r = 0, code;
	while (r == 0 && (o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (o) {
		case 's': a.state_dir = optarg; break;
		case 'a': a.audit_path = optarg; break;
		case 'g': r = add_graph(&a, optarg, &err); break;
		case 'n': a.dry_run = true; break;
		default:
			return sg_cli_usage(&sg_verb_import, "unknown option %s", argv[optind - 1]);
		}
	}
	if (r < 0)
		code = sg_cli_fail(&err);
	else if (optind + 1 != argc || !a.state_dir)
		code = sg_cli_usage(&sg_verb_import, "needs --state-dir and one SQLite file");
	else {
		a.source = argv[optind];
		code = run_import(&a);
	}
	for (size_t i = 0; i < a.n_graphs; i++)
		sg_graph_destroy(a.graphs[i].graph);
	return code;
}

const struct sg_verb sg_verb_import = {
	.name = "import",
	.summary = "take over the runs of a Python original's SQLite store",
	.usage = "usage: stargraph import --state-dir DIR [--audit-path FILE] [--graph "
		 "HASH=FILE]…\n"
		 "                        [--dry-run] STORE.sqlite\n\n"
		 "  STORE.sqlite       the original's checkpoint store; it is copied, not changed\n"
		 "  --audit-path FILE  where a state directory that is new has its log\n"
		 "  --graph HASH=FILE  the graph file that had this hash in the original\n"
		 "  --dry-run          list the runs with their hashes; import nothing\n\n"
		 "Imported runs can be listed and inspected. They are history: not continued, not\n"
		 "replayed, not forked, because the original wrote down no outside results. Every\n"
		 "run is one audit record. Importing again adds what is new. No server may run on\n"
		 "DIR. Exit codes: 0 all are here, 1 some were refused, 2 not such a store.\n",
	.run = run,
};
