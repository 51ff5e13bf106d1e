/* Trust: a static allow-list, and pins of keys seen first (trust on first use).
 *
 * A pin is the original's record, <pins_dir>/<key_id>.json with key_id, fingerprint and first_seen.
 * Another key under a known key_id is drift and refused under every profile. */
#include "pack/trust.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "pack/keys.h"

#define KEY_FILE_MAX 16384U

void sg_pack_trust_finish(struct sg_pack_trust *t)
{
	free(t->keys);
	free(t->pins_dir);
	*t = (struct sg_pack_trust){0};
}

/* "/etc/keys/ops-1.pub.pem" -> "ops-1" */
static void id_of_path(const char *path, char ret_id[65])
{
	const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	size_t n = strlen(base);
	if (n > 4 && strcmp(base + n - 4, ".pem") == 0)
		n -= 4;
	if (n > 4 && strncmp(base + n - 4, ".pub", 4) == 0)
		n -= 4;
	(void)snprintf(ret_id, 65, "%.*s", (int)(n > 64 ? 64 : n), base);
}

static int load_key(struct sg_pack_key *ret, const char *path, struct sg_error *err)
{
	sg_autofree char *pem = NULL;
	size_t n;
	int r = sg_file_read(path, KEY_FILE_MAX, &pem, &n, err);
	if (r == 0)
		r = sg_pack_public_key(ret, pem, n, path, err);
	if (r == 0)
		id_of_path(path, ret->id);
	return r;
}

int sg_pack_trust_load(struct sg_pack_trust *ret, char *const *allow, size_t n_allow,
	const char *pins_dir, struct sg_error *err)
{
	struct sg_pack_trust t = {0};
	if (n_allow > SG_PACK_MAX_KEYS)
		return sg_error_set(
			err, SG_ELIMIT, NULL, "more than %u allowed pack keys", SG_PACK_MAX_KEYS);
	t.keys = calloc(n_allow + 1, sizeof(*t.keys));
	t.pins_dir = pins_dir ? strdup(pins_dir) : NULL;
	int r = t.keys && (t.pins_dir || !pins_dir) ? 0 : sg_error_nomem(err);
	for (size_t i = 0; r == 0 && i < n_allow; i++) {
		r = load_key(&t.keys[i], allow[i], err);
		t.n_keys = i + 1;
	}
	if (r < 0) {
		sg_pack_trust_finish(&t);
		return r;
	}
	*ret = t;
	return 0;
}

static int check_allowed_files(char *const *allow, size_t n, struct sg_error *err)
{
	for (size_t i = 0; i < n; i++) {
		if (allow[i][0] != '/')
			return sg_error_set(err, SG_EINVALID, NULL,
				"[packs] allow: \"%.128s\" is not an absolute path", allow[i]);
		int r = sg_config_check_file_mode("pack key", allow[i], false, NULL, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int sg_pack_trust_from_config(
	struct sg_pack_trust *ret, const struct sg_config *c, struct sg_error *err)
{
	const json_t *list = sg_json_pointer(c->file, "/packs/allow");
	size_t n = json_array_size(list);
	sg_autofree char **allow = calloc(n + 1, sizeof(*allow));
	sg_autofree char *pins = NULL;
	if (!allow)
		return sg_error_nomem(err);
	for (size_t i = 0; i < n; i++) /* borrowed; load only reads them */
		allow[i] = (char *)(uintptr_t)json_string_value(json_array_get(list, i));
	if (c->profile == SG_PROFILE_OSS_DEFAULT &&
		asprintf(&pins, "%s/trusted_keys", c->state_dir) < 0) {
		pins = NULL;
		return sg_error_nomem(err);
	}
	int r = check_allowed_files(allow, n, err);
	return r < 0 ? r : sg_pack_trust_load(ret, allow, n, pins, err);
}

/* -- pins ----------------------------------------------------------------------------------- */

static int pin_path(const struct sg_pack_trust *t, const char *key_id, char *ret, size_t size,
	struct sg_error *err)
{
	if (!t->pins_dir)
		return sg_error_set(err, SG_EREFUSED, NULL,
			"keys are not pinned under this profile: name them in [packs] allow");
	if (!sg_pack_key_id_ok(key_id))
		return sg_error_set(err, SG_EINVALID, NULL, "\"%.64s\" is not a key id", key_id);
	if ((size_t)snprintf(ret, size, "%s/%s.json", t->pins_dir, key_id) >= size)
		return sg_error_set(err, SG_ELIMIT, NULL, "%s: the path is too long", t->pins_dir);
	return 0;
}

/* 1 and the fingerprint, or 0 when there is no pin. */
static int read_pin(const struct sg_pack_trust *t, const char *key_id,
	char ret_fingerprint[SG_SHA256_HEX], struct sg_error *err)
{
	char path[4096];
	sg_autofree char *text = NULL;
	size_t n;
	struct sg_error why = {0};
	int r = pin_path(t, key_id, path, sizeof(path), err);
	if (r < 0)
		return r;
	r = sg_file_read(path, KEY_FILE_MAX, &text, &n, &why);
	if (r == -SG_ENOTFOUND)
		return 0;
	json_auto_t *v = NULL;
	if (r == 0)
		r = sg_json_parse(text, n, &v, &why);
	const char *fp = json_string_value(json_object_get(v, "fingerprint"));
	if (r < 0 || !fp || strlen(fp) != 64)
		return sg_pack_refuse(err, "record-corrupt", "%s: %s", path,
			r < 0 ? why.text : "no fingerprint in it");
	(void)snprintf(ret_fingerprint, SG_SHA256_HEX, "%s", fp);
	return 1;
}

static int drift(const char *key_id, const char *pinned, const char *now, struct sg_error *err)
{
	return sg_pack_refuse(err, "fingerprint-mismatch",
		"key %s was pinned with fingerprint %s and is %s now", key_id, pinned, now);
}

static int write_pin(
	const struct sg_pack *p, const char *path, const char *dir, struct sg_error *err)
{
	char when[SG_TIME_TEXT];
	sg_time_format(sg_clock_utc_us(), when);
	json_auto_t *v = json_pack("{s:s,s:s,s:s}", "key_id", p->key_id, "fingerprint",
		p->key_fingerprint, "first_seen", when);
	sg_autobuf b = SG_BUF_INIT(4096);
	if (!v || sg_json_canonical(v, &b, NULL) < 0)
		return sg_error_nomem(err);
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return sg_error_errno(err, errno, "cannot make %s", dir);
	return sg_file_write_atomic(path, b.data, b.len, 0600, err);
}

int sg_pack_pin(const struct sg_pack *p, const struct sg_pack_trust *trust, struct sg_error *err)
{
	char path[4096], pinned[SG_SHA256_HEX];
	int r = pin_path(trust, p->key_id, path, sizeof(path), err);
	if (r == 0)
		r = read_pin(trust, p->key_id, pinned, err);
	if (r < 0)
		return r;
	if (r == 1 && strcmp(pinned, p->key_fingerprint) != 0)
		return drift(p->key_id, pinned, p->key_fingerprint, err);
	return r == 1 ? 0 : write_pin(p, path, trust->pins_dir, err);
}

int sg_pack_unpin(const char *key_id, const struct sg_pack_trust *trust, struct sg_error *err)
{
	char path[4096];
	int r = pin_path(trust, key_id, path, sizeof(path), err);
	if (r < 0)
		return r;
	if (unlink(path) == 0)
		return sg_file_sync_dir(path, err);
	if (errno == ENOENT)
		return sg_error_set(err, SG_ENOTFOUND, NULL, "key %s is not pinned", key_id);
	return sg_error_errno(err, errno, "cannot remove %s", path);
}

/* -- judging -------------------------------------------------------------------------------- */

static const char *fails(const struct sg_pack_key *k, const struct sg_pack_token *t)
{
	return sg_pack_signature_fails(k->public_key, t->signed_text, t->signed_len, t->signature);
}

static int judge_sidecar(const struct sg_pack_tree *tree, const struct sg_pack_token *token,
	struct sg_pack_key *ret, struct sg_error *err)
{
	char name[80];
	(void)snprintf(name, sizeof(name), "%s.pub.pem", token->key_id);
	const struct sg_pack_file *f = sg_pack_tree_find(tree, name);
	struct sg_error why = {0};
	if (!f)
		return sg_pack_refuse(err, "untrusted-key",
			"key %s is not known here and %s is not in the pack", token->key_id, name);
	if (f->len > KEY_FILE_MAX || sg_pack_public_key(ret, f->data, f->len, name, &why) < 0)
		return sg_pack_refuse(err, "not-ed25519", "%s", why.text);
	(void)snprintf(ret->id, sizeof(ret->id), "%s", token->key_id);
	const char *reason = fails(ret, token);
	return reason ? sg_pack_refuse(err, reason, "under the pack's own key %s", token->key_id)
		      : 0;
}

static int judge_first_use(const struct sg_pack_trust *trust, const struct sg_pack_key *key,
	enum sg_pack_standing *ret_standing, struct sg_error *err)
{
	char pinned[SG_SHA256_HEX];
	int r = read_pin(trust, key->id, pinned, err);
	if (r < 0)
		return r;
	if (r == 1 && strcmp(pinned, key->fingerprint) != 0)
		return drift(key->id, pinned, key->fingerprint, err);
	*ret_standing = r == 1 ? SG_PACK_PINNED : SG_PACK_UNPINNED;
	return 0;
}

int sg_pack_judge(const struct sg_pack_trust *trust, const struct sg_pack_tree *tree,
	const struct sg_pack_token *token, struct sg_pack_key *ret_key,
	enum sg_pack_standing *ret_standing, struct sg_error *err)
{
	const char *reason = NULL;
	for (size_t i = 0; i < trust->n_keys; i++) {
		const char *why = fails(&trust->keys[i], token);
		if (!why) {
			*ret_key = trust->keys[i];
			*ret_standing = SG_PACK_ALLOWED;
			return 0;
		}
		if (strcmp(trust->keys[i].id, token->key_id) == 0)
			reason = why;
	}
	if (reason) /* a known key_id with another key is never a first use */
		return sg_pack_refuse(err, reason, "under the allowed key %s", token->key_id);
	struct sg_pack_key key;
	int r = judge_sidecar(tree, token, &key, err);
	if (r == 0 && !trust->pins_dir && !trust->any_key)
		r = sg_pack_refuse(
			err, "untrusted-key", "key %s is not on the allow-list", token->key_id);
	if (r == 0 && !trust->pins_dir)
		*ret_standing = SG_PACK_UNPINNED;
	else if (r == 0)
		r = judge_first_use(trust, &key, ret_standing, err);
	if (r == 0)
		*ret_key = key;
	return r;
}
