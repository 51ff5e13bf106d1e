/* stargraph store import and add: JSON lines, text and Markdown files and folders into a store. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/suggest.h"
#include "cli/ingest.h"
#include "cli/lines.h"
#include "cli/progress.h"
#include "cli/store_verbs.h"

#define LINE_BYTES (16U << 20) /* of one JSON line */
#define FILE_BYTES (64U << 20) /* of one text file */
#define MAX_FILES 10000000     /* of one import */
#define MAX_FOLDERS 64	       /* below one another */

struct file {
	char *path;	    /* to open */
	const char *id;	    /* in path, or all of it */
	const char *folder; /* name of the folder it was found in; NULL: named by itself */
	uint64_t bytes;
	bool lines;
};

struct import {
	struct sg_ingest *ingest;
	struct file *files; /* owned */
	size_t n, cap;
	char **folders; /* owned: the names of those imported */
	size_t n_folders;
	const char *folder;   /* that is walked */
	uint64_t total, done; /* bytes */
	struct sg_progress progress;
};

static bool ends(const char *name, const char *with)
{
	size_t n = strlen(name), m = strlen(with);
	return n > m && strcmp(name + n - m, with) == 0;
}

static bool is_lines(const char *name)
{
	return ends(name, ".jsonl") || ends(name, ".ndjson") || strcmp(name, "-") == 0;
}

static bool is_text(const char *name)
{
	return ends(name, ".md") || ends(name, ".markdown") || ends(name, ".txt");
}

static void free_files(struct import *m)
{
	for (size_t i = 0; i < m->n; i++)
		free(m->files[i].path);
	free(m->files);
	for (size_t i = 0; i < m->n_folders; i++)
		free(m->folders[i]);
	free(m->folders);
}

static int add_file(struct import *m, const char *path, size_t id_at, uint64_t bytes, bool lines,
	struct sg_error *err)
{
	if (m->n == MAX_FILES)
		return sg_error_set(err, SG_ELIMIT, NULL, "more than %d files", MAX_FILES);
	if (m->n == m->cap) {
		size_t cap = m->cap ? m->cap * 2 : 64;
		struct file *p = realloc(m->files, cap * sizeof(*p));
		if (!p)
			return sg_error_nomem(err);
		m->files = p;
		m->cap = cap;
	}
	char *copy = strdup(path);
	if (!copy)
		return sg_error_nomem(err);
	m->files[m->n++] = (struct file){copy, copy + id_at, m->folder, bytes, lines};
	m->total += bytes;
	return 0;
}

static int visible(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

static int add_folder(
	struct import *m, const char *path, size_t id_at, int depth, struct sg_error *err);

/* Symbolic links are not followed: what is outside the folder is not in it. */
static int add_entry(
	struct import *m, const char *path, size_t id_at, int depth, struct sg_error *err)
{
	struct stat st;
	if (lstat(path, &st) < 0)
		return sg_error_errno(err, errno, "cannot look at %s", path);
	if (S_ISDIR(st.st_mode))
		return add_folder(m, path, id_at, depth + 1, err);
	if (!S_ISREG(st.st_mode) || !is_text(path))
		return 0;
	return add_file(m, path, id_at, (uint64_t)st.st_size, false, err);
}

static int add_folder(
	struct import *m, const char *path, size_t id_at, int depth, struct sg_error *err)
{
	struct dirent **names;
	int r = 0, n;
	if (depth > MAX_FOLDERS)
		return sg_error_set(err, SG_ELIMIT, NULL, "%s: more than %d folders in one another",
			path, MAX_FOLDERS);
	n = scandir(path, &names, visible, alphasort);
	if (n < 0)
		return sg_error_errno(err, errno, "cannot read the folder %s", path);
	for (int i = 0; i < n; i++) {
		sg_autofree char *entry = NULL;
		if (r == 0 && asprintf(&entry, "%s/%s", path, names[i]->d_name) < 0)
			r = sg_error_nomem(err);
		if (r == 0)
			r = add_entry(m, entry, id_at, depth, err);
		free(names[i]);
	}
	free(names);
	return r;
}

/* Its files are known by the folder's own name, wherever it lies and however it was written. */
static int add_top_folder(struct import *m, const char *path, struct sg_error *err)
{
	size_t n = strlen(path);
	while (n > 1 && path[n - 1] == '/')
		n--;
	sg_autofree char *clean = strndup(path, n);
	sg_autofree char *real = realpath(path, NULL);
	if (!clean || !real)
		return sg_error_errno(err, errno, "cannot look at %s", path);
	char **more = realloc(m->folders, (m->n_folders + 1) * sizeof(*more));
	char *name = strdup(strrchr(real, '/') + 1);
	if (more)
		m->folders = more;
	if (!more || !name) {
		free(name);
		return sg_error_nomem(err);
	}
	m->folder = m->folders[m->n_folders++] = name;
	int r = add_folder(m, clean, n + 1, 0, err);
	m->folder = NULL;
	return r;
}

static int add_path(struct import *m, const char *path, struct sg_error *err)
{
	struct stat st;
	if (strcmp(path, "-") == 0)
		return add_file(m, path, 0, 0, true, err);
	if (stat(path, &st) < 0) {
		(void)sg_error_errno(err, errno, "cannot open %s", path);
		err->code = SG_EINVALID;
		return -SG_EINVALID;
	}
	if (S_ISDIR(st.st_mode))
		return add_top_folder(m, path, err);
	if (is_lines(path))
		return add_file(m, path, 0, (uint64_t)st.st_size, true, err);
	if (!is_text(path))
		return sg_error_set(err, SG_EINVALID, NULL,
			"%s: not .jsonl, .ndjson, .md, .markdown or .txt", path);
	const char *slash = strrchr(path, '/');
	return add_file(
		m, path, slash ? (size_t)(slash + 1 - path) : 0, (uint64_t)st.st_size, false, err);
}

/* ---- JSON lines ---- */

static int check_members(const json_t *o, struct sg_error *err)
{
	static const char *const known[] = {"id", "metadata", "text"};
	const char *key;
	const json_t *v;
	if (!json_is_object(o))
		return sg_error_set(err, SG_EINVALID, NULL, "not an object");
	json_object_foreach ((json_t *)o, key, v) {
		bool ok = false;
		for (size_t i = 0; i < SG_ARRAY_LEN(known); i++)
			ok = ok || strcmp(key, known[i]) == 0;
		const char *near = ok ? NULL : sg_suggest(key, known, SG_ARRAY_LEN(known));
		if (!ok)
			return sg_error_set(err, SG_EINVALID, NULL,
				"unknown member \"%.40s\"%s%s%s", key,
				near ? "; did you mean \"" : "", near ? near : "",
				near ? "\"?" : "");
	}
	if (!json_is_string(json_object_get(o, "id")) ||
		!json_is_string(json_object_get(o, "text")))
		return sg_error_set(
			err, SG_EINVALID, NULL, "\"id\" and \"text\" must be there, as strings");
	return 0;
}

static int add_line(struct sg_ingest *i, const char *line, size_t n, struct sg_error *err)
{
	json_auto_t *o = NULL;
	int r = sg_json_parse(line, n, &o, err);
	if (r == 0)
		r = check_members(o, err);
	if (r < 0)
		return r;
	const json_t *text = json_object_get(o, "text");
	return sg_ingest_add(i, json_string_value(json_object_get(o, "id")),
		json_string_value(text), json_string_length(text), json_object_get(o, "metadata"),
		err);
}

static void show(struct import *m, uint64_t more)
{
	const struct sg_ingest_counts *c = sg_ingest_counts(m->ingest);
	sg_progress_show(&m->progress, m->done + more, c->sources, c->tokens);
}

static int import_lines(struct import *m, const struct file *f, struct sg_error *err)
{
	struct sg_lines in SG_CLEANUP(sg_lines_finish);
	bool is_stdin = strcmp(f->path, "-") == 0;
	sg_autoclose int own = is_stdin ? -1 : open(f->path, O_RDONLY | O_CLOEXEC);
	char *line;
	size_t n;
	int r;
	sg_lines_init(&in, is_stdin ? STDIN_FILENO : own, is_stdin ? "input" : f->path, LINE_BYTES);
	if (!is_stdin && own < 0)
		return sg_error_errno(err, errno, "cannot open %s", f->path);
	while ((r = sg_lines_next(&in, &line, &n, NULL, err)) > 0) {
		if (!n)
			continue;
		r = add_line(m->ingest, line, n, err);
		if (r < 0)
			return sg_error_prefix(
				err, "%s line %llu", in.name, (unsigned long long)in.number);
		show(m, in.bytes);
	}
	return r;
}

/* ---- text files ---- */

/* The first heading of a Markdown file. */
static json_t *title_of(const char *text, size_t n)
{
	const char *p = text, *end = text + n;
	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		const char *stop = nl ? nl : end;
		if (*p == '#') {
			while (p < stop && (*p == '#' || *p == ' '))
				p++;
			while (stop > p && (stop[-1] == ' ' || stop[-1] == '\r'))
				stop--;
			return stop > p && stop - p < 1024 ? json_stringn(p, (size_t)(stop - p))
							   : NULL;
		}
		p = stop + 1;
	}
	return NULL;
}

static int import_text(struct import *m, const struct file *f, struct sg_error *err)
{
	sg_autofree char *text = NULL;
	size_t n;
	int r = sg_file_read(f->path, FILE_BYTES, &text, &n, err);
	if (r < 0)
		return r;
	json_auto_t *meta = json_pack("{s:s}", "path", f->id);
	json_t *title = ends(f->path, ".txt") ? NULL : title_of(text, n);
	if (!meta || (title && json_object_set_new(meta, "title", title) < 0) ||
		(f->folder && json_object_set_new(meta, "folder", json_string(f->folder)) < 0))
		return sg_error_set(err, SG_EINVALID, NULL, "%s: its name is not UTF-8", f->path);
	r = sg_ingest_add(m->ingest, f->id, text, n, meta, err);
	return r < 0 ? sg_error_prefix(err, "%s", f->path) : 0;
}

static int import_all(struct import *m, struct sg_error *err)
{
	for (size_t i = 0; i < m->n; i++) {
		const struct file *f = &m->files[i];
		int r = f->lines ? import_lines(m, f, err) : import_text(m, f, err);
		if (r < 0) {
			/* What came before is kept; its error is the one told. */
			(void)sg_ingest_finish(m->ingest, &(struct sg_error){0});
			return r;
		}
		m->done += f->bytes;
		show(m, 0);
	}
	return sg_ingest_finish(m->ingest, err);
}

/* ---- --prune ---- */

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool imported_now(const struct import *m, const char *folder)
{
	for (size_t i = 0; i < m->n_folders; i++)
		if (strcmp(m->folders[i], folder) == 0)
			return true;
	return false;
}

/* 1: one of the folders that are imported now made this source. A JSON line's id may look like a
 * path as well, and another folder's files are not missing here. */
static int from_folder(struct sg_txn *t, const char *store, const struct import *m,
	const char *name, struct sg_error *err)
{
	struct sg_know_info info;
	struct sg_know_source source;
	char id[SG_KNOW_ID_MAX + 1];
	json_auto_t *doc = NULL;
	int r = sg_know_open(t, store, &info, err);
	if (r == 0)
		r = sg_know_source_get(t, &info, name, &source, err);
	if (r != 0)
		return r < 0 ? r : 0;
	sg_know_chunk_id(name, 0, source.chunks, id);
	r = sg_know_get(t, store, id, &doc, err);
	if (r != 0)
		return r < 0 ? r : 0;
	const json_t *meta = json_object_get(doc, "metadata");
	const char *folder = sg_json_text(meta, "folder");
	return folder && strcmp(sg_json_text_or_empty(meta, "path"), name) == 0 &&
	       imported_now(m, folder);
}

/* Deletes sources that came from one of these folders and are no longer among its files. */
static int prune(struct import *m, struct sg_store *s, const char *store,
	struct sg_know_counts *counts, struct sg_error *err)
{
	sg_autofree const char **kept = calloc(m->n + 1, sizeof(*kept));
	sg_autotxn *t = NULL;
	json_auto_t *sources = NULL;
	size_t i, n = 0;
	const json_t *id;
	if (!kept)
		return sg_error_nomem(err);
	for (i = 0; i < m->n; i++)
		if (!m->files[i].lines)
			kept[n++] = m->files[i].id;
	qsort((void *)kept, n, sizeof(*kept), by_name);
	int r = sg_txn_begin(s, true, &t, err);
	if (r == 0)
		r = sg_know_sources(t, store, &sources, err);
	if (r < 0)
		return r;
	json_array_foreach (sources, i, id) {
		const char *name = json_string_value(id);
		if (!is_text(name) || bsearch(&name, (const void *)kept, n, sizeof(*kept), by_name))
			continue;
		r = from_folder(t, store, m, name, err);
		if (r == 1)
			r = sg_know_source_delete(t, store, name, counts, err);
		if (r < 0)
			return r;
	}
	return sg_txn_commit(sg_steal(t), err);
}

/* ---- the actions ---- */

static int tell(const struct sg_store_args *a, const struct sg_ingest_counts *c,
	const struct sg_know_counts *pruned)
{
	uint64_t deleted = c->documents.deleted + pruned->deleted;
	const char *form = a->json ? "{\"sources\":%llu,\"unchanged\":%llu,\"added\":%llu,"
				     "\"updated\":%llu,\"deleted\":%llu,\"tokens\":%llu}\n"
				   : "%llu sources, %llu unchanged; documents: %llu added, %llu "
				     "updated, %llu deleted; %llu tokens embedded\n";
	(void)printf(form, (unsigned long long)c->sources, (unsigned long long)c->unchanged_sources,
		(unsigned long long)c->documents.added, (unsigned long long)c->documents.updated,
		(unsigned long long)deleted, (unsigned long long)c->tokens);
	return SG_EXIT_DONE;
}

static int open_ingest(const struct sg_store_args *a, struct sg_store_session *s,
	struct sg_ingest **ret, struct sg_error *err)
{
	struct sg_know_info info;
	int r = sg_store_session_open(s, a->state_dir, false, err);
	if (r == 0)
		r = sg_store_session_model(s, a, &info, false, err);
	const struct sg_ingest_options o = {.store = a->words[0],
		.embedder = s->embedder,
		.workers = a->workers,
		.chunk_tokens = (size_t)a->chunk_tokens,
		.overlap = (size_t)a->overlap};
	return r < 0 ? r : sg_ingest_create(ret, s->store, &o, err);
}

int sg_store_import(const struct sg_store_args *a)
{
	struct sg_store_session s = {.lock_fd = -1};
	struct import m = {0};
	struct sg_know_counts pruned = {0};
	struct sg_error err = {0};
	int r = 0;
	for (int i = 1; r == 0 && i < a->n_words; i++)
		r = add_path(&m, a->words[i], &err);
	if (r == 0)
		r = open_ingest(a, &s, &m.ingest, &err);
	if (r == 0) {
		sg_progress_init(&m.progress, "import", m.total);
		r = import_all(&m, &err);
		sg_progress_finish(&m.progress);
	}
	if (r == 0 && a->prune)
		r = prune(&m, s.store, a->words[0], &pruned, &err);
	int code = r < 0 ? sg_cli_fail(&err) : tell(a, sg_ingest_counts(m.ingest), &pruned);
	sg_ingest_destroy(m.ingest);
	sg_store_session_close(&s);
	free_files(&m);
	return code;
}

static int add_one(const struct sg_store_args *a, struct sg_ingest *i, struct sg_error *err)
{
	sg_autofree char *data = NULL;
	json_auto_t *meta = NULL;
	const char *text = a->text;
	size_t n = text ? strlen(text) : 0;
	int r = a->file ? sg_file_read(a->file, FILE_BYTES, &data, &n, err) : 0;
	if (r == 0 && a->metadata) {
		r = sg_json_parse(a->metadata, strlen(a->metadata), &meta, err);
		if (r < 0)
			(void)sg_error_prefix(err, "--metadata");
	}
	if (r == 0)
		r = sg_ingest_add(i, a->id, data ? data : text, n, meta, err);
	return r < 0 ? r : sg_ingest_finish(i, err);
}

int sg_store_add(const struct sg_store_args *a)
{
	struct sg_store_session s = {.lock_fd = -1};
	struct sg_ingest *i = NULL;
	struct sg_error err = {0};
	if (!a->id || !a->text == !a->file)
		return sg_cli_usage(&sg_verb_store, "add takes --id and one of --text and --file");
	int r = open_ingest(a, &s, &i, &err);
	if (r == 0)
		r = add_one(a, i, &err);
	const struct sg_know_counts none = {0};
	int code = r < 0 ? sg_cli_fail(&err) : tell(a, sg_ingest_counts(i), &none);
	sg_ingest_destroy(i);
	sg_store_session_close(&s);
	return code;
}
