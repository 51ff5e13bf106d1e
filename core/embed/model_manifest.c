/* The guide's hf_manifest.sha256: lines as sha256sum writes them. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"
#include "embed/embed.h"
#include "embed/model.h"

#define MAX_MANIFEST_BYTES (1U << 20)

/* What the embedder reads, so what the manifest must cover. */
static const char *const needed[] = {"config.json", "model.safetensors", "modules.json",
	"sentence_bert_config.json", "tokenizer.json", "vocab.txt", "1_Pooling/config.json"};

struct check {
	const char *manifest, *root, *dir;
	size_t line, files;
	bool covered[SG_ARRAY_LEN(needed)];
};

static int bad_line(const struct check *c, struct sg_error *err, const char *what)
{
	return sg_error_set(err, SG_EINVALID, NULL, "%s line %zu: %s", c->manifest, c->line, what);
}

/* Relative, and no ".." in it. */
static bool stays_inside(const char *path)
{
	if (path[0] == '/' || path[0] == '\0')
		return false;
	for (const char *p = path; p; p = strchr(p, '/')) {
		p += *p == '/';
		if (strncmp(p, "..", 2) == 0 && (p[2] == '/' || p[2] == '\0'))
			return false;
	}
	return true;
}

static char *join(const char *dir, const char *name)
{
	char *path;
	return asprintf(&path, "%s/%s", dir, name) < 0 ? NULL : path;
}

/* Below root, else below dir; NULL with *err set when in neither. Caller frees. */
static char *locate(const struct check *c, const char *name, struct sg_error *err)
{
	sg_autofree char *path = join(c->root, name);
	if (path && access(path, F_OK) < 0) {
		free(path);
		path = join(c->dir, name);
	}
	if (!path) {
		(void)sg_error_nomem(err);
		return NULL;
	}
	if (access(path, F_OK) == 0)
		return sg_steal(path);
	(void)sg_error_set(err, SG_EREFUSED, "LocalEntryNotFoundError",
		"LocalEntryNotFoundError: %s line %zu: %s is neither in %s nor in %s; "
		"re-extract models/",
		c->manifest, c->line, name, c->root, c->dir);
	return NULL;
}

/* Notes which of the needed files this one is: the same file, by whatever path or link. */
static void note_covered(struct check *c, const char *path)
{
	struct stat a, b;
	if (stat(path, &a) < 0)
		return;
	for (size_t i = 0; i < SG_ARRAY_LEN(needed); i++) {
		sg_autofree char *other = join(c->dir, needed[i]);
		if (other && stat(other, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino)
			c->covered[i] = true;
	}
}

const char *sg_model_manifest_line(const char *line, uint8_t ret_sha256[32], const char **ret_what)
{
	if (strlen(line) < 67 || sg_hex_decode(line, 64, ret_sha256, SG_SHA256_BYTES) < 0 ||
		line[64] != ' ' || (line[65] != ' ' && line[65] != '*')) {
		*ret_what = "not a line of sha256sum: <64 hex digits>  <path>";
		return NULL;
	}
	const char *name = line + 66;
	name += strncmp(name, "./", 2) == 0 ? 2 : 0;
	if (stays_inside(name))
		return name;
	*ret_what = "the path leaves the model's tree";
	return NULL;
}

static int check_line(struct check *c, char *line, struct sg_error *err)
{
	uint8_t want[SG_SHA256_BYTES];
	const char *what = NULL, *name = sg_model_manifest_line(line, want, &what);
	if (!name)
		return bad_line(c, err, what);
	sg_autofree char *path = locate(c, name, err);
	if (!path)
		return -err->code;
	char got[SG_SHA256_HEX], hex[SG_SHA256_HEX];
	int r = sg_sha256_file(path, got, err);
	if (r < 0)
		return r;
	sg_hex_encode(want, sizeof(want), hex);
	if (strcmp(got, hex) != 0)
		return sg_error_set(err, SG_EREFUSED, "EmbeddingModelHashMismatch",
			"EmbeddingModelHashMismatch: %s has SHA-256 %s, %s line %zu says %s", path,
			got, c->manifest, c->line, hex);
	note_covered(c, path);
	c->files++;
	return 0;
}

static int check_lines(struct check *c, char *text, size_t n, struct sg_error *err)
{
	if (memchr(text, '\0', n))
		return sg_error_set(err, SG_EINVALID, NULL, "%s: not a text file", c->manifest);
	for (char *p = text; *p;) {
		size_t len = strcspn(p, "\n");
		bool last = p[len] == '\0';
		p[len] = '\0';
		c->line++;
		if (len > 0 && p[len - 1] == '\r')
			p[len - 1] = '\0';
		int r = p[0] ? check_line(c, p, err) : 0;
		if (r < 0)
			return r;
		p += len + !last;
	}
	return 0;
}

int sg_model_verify_manifest(const char *manifest, const char *root, const char *dir,
	size_t *ret_files, struct sg_error *err)
{
	struct sg_error local;
	err = err ? err : &local;
	sg_autofree char *text = NULL;
	size_t n;
	int r = sg_file_read(manifest, MAX_MANIFEST_BYTES, &text, &n, err);
	if (r < 0)
		return r;
	struct check c = {.manifest = manifest, .root = root ? root : dir, .dir = dir};
	r = check_lines(&c, text, n, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < SG_ARRAY_LEN(needed); i++)
		if (!c.covered[i])
			return sg_error_set(err, SG_EINVALID, NULL, "%s does not list %s/%s",
				manifest, dir, needed[i]);
	*ret_files = c.files;
	return 0;
}
