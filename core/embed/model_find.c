/* Where the model lies: the guide's plain layout, and the Hugging Face hub's. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "embed/embed.h"

#define NAME "all-MiniLM-L6-v2"
#define HUB "hub/models--sentence-transformers--" NAME
#define MAX_PLACES_TEXT 600 /* bytes of the error that list places */

static bool has_weights(const char *dir)
{
	sg_autofree char *path = NULL;
	if (asprintf(&path, "%s/model.safetensors", dir) < 0) {
		path = NULL;
		return false;
	}
	return access(path, F_OK) == 0;
}

/* Takes dir when the weights are there (*ret_dir set), else notes it as a place looked at. */
static bool look(char *dir, struct sg_buf *places, char **ret_dir)
{
	if (has_weights(dir)) {
		*ret_dir = dir;
		return true;
	}
	if (places->len + strlen(dir) < MAX_PLACES_TEXT)
		sg_buf_addf(places, "%s%s", places->len ? ", " : "", dir);
	free(dir);
	return false;
}

static bool plain_name(const char *name)
{
	return name[0] && name[0] != '.' && !strchr(name, '/');
}

/* The revision that refs/main names; NULL when there is none. Caller frees. */
static char *main_revision(const char *hub)
{
	sg_autofree char *path = NULL, *text = NULL;
	if (asprintf(&path, "%s/refs/main", hub) < 0) {
		path = NULL;
		return NULL;
	}
	size_t n;
	if (sg_file_read(path, 128, &text, &n, NULL) < 0)
		return NULL;
	text[strcspn(text, " \r\n")] = '\0';
	return plain_name(text) ? sg_steal(text) : NULL;
}

static void close_dir(DIR **d)
{
	if (*d)
		(void)closedir(*d);
}

/* The only snapshot below hub, when there is exactly one; else NULL. Caller frees. */
static char *only_snapshot(const char *hub)
{
	sg_autofree char *path = NULL, *found = NULL;
	if (asprintf(&path, "%s/snapshots", hub) < 0) {
		path = NULL;
		return NULL;
	}
	DIR *d SG_CLEANUP(close_dir) = opendir(path);
	for (const struct dirent *e; d && (e = readdir(d));) {
		if (!plain_name(e->d_name))
			continue;
		if (found)
			return NULL;
		found = strdup(e->d_name);
	}
	return sg_steal(found);
}

static char *join(const char *a, const char *b, const char *c)
{
	char *path;
	return asprintf(&path, "%s/%s%s", a, b, c) < 0 ? NULL : path;
}

/* Returns whether found; looked-at places go to places. */
static bool look_in_hub(const char *root, struct sg_buf *places, char **ret_dir)
{
	sg_autofree char *hub = join(root, HUB, "");
	if (!hub)
		return false;
	sg_autofree char *revision = main_revision(hub);
	if (!revision)
		revision = only_snapshot(hub);
	char *dir = join(hub, "snapshots/", revision ? revision : "…");
	return dir && look(dir, places, ret_dir);
}

int sg_model_find(
	const char *explicit_path, const char *hf_home, char **ret_dir, struct sg_error *err)
{
	sg_autobuf places = SG_BUF_INIT(4096);
	bool given = explicit_path && explicit_path[0];
	if (given) {
		char *dir = strdup(explicit_path);
		if (!dir)
			return sg_error_nomem(err);
		if (look(dir, &places, ret_dir))
			return 0;
	} else if (hf_home && hf_home[0]) {
		char *dir = join(hf_home, NAME, "");
		if (!dir)
			return sg_error_nomem(err);
		if (look(dir, &places, ret_dir) || look_in_hub(hf_home, &places, ret_dir))
			return 0;
	} else {
		sg_buf_adds(&places, "nowhere: neither a model path nor HF_HOME is given");
	}
	return sg_error_set(err, SG_EREFUSED, "LocalEntryNotFoundError",
		"LocalEntryNotFoundError: weights not staged: no model.safetensors in %s; "
		"re-extract models/ and verify the manifest (sha256sum -c hf_manifest.sha256)",
		places.data ? places.data : "");
}
