/* Reload: the new configuration is read and checked completely before anything changes; what does
 * not hold leaves the old one in force. Files of TLS are watched and re-read by themselves. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "run/mounts.h"
#include "run/pack_diff.h"
#include "serve/internal.h"

struct fresh {
	struct sg_config *config;
	struct sg_grants *grants;
	struct sg_edge_users users;
	struct sg_mac *mac;
	struct sg_tls *tls;
};

static void fresh_finish(struct fresh *f)
{
	sg_grants_destroy(f->grants);
	sg_edge_users_finish(&f->users);
	sg_mac_destroy(f->mac);
	sg_tls_unref(f->tls);
	if (f->config)
		sg_config_finish(f->config);
	free(f->config);
}

static bool same_section(const struct sg_config *a, const struct sg_config *b, const char *name)
{
	const json_t *x = json_object_get(a->file, name), *y = json_object_get(b->file, name);
	return x && y ? json_equal(x, y) : x == y;
}

/* What is bound at start cannot change under a running server. */
static int check_fixed(
	const struct sg_config *now, const struct sg_config *then, struct sg_error *err)
{
	const char *what = NULL;
	if (now->profile != then->profile)
		what = "profile";
	else if (strcmp(now->auth_provider, then->auth_provider) != 0)
		what = "auth_provider";
	else if (strcmp(now->state_dir, then->state_dir) != 0)
		what = "state_dir";
	else if (strcmp(now->audit_path, then->audit_path) != 0)
		what = "audit_path";
	else if (strcmp(now->socket_path, then->socket_path) != 0)
		what = "socket_path";
	else if (strcmp(now->host, then->host) != 0 || now->port != then->port)
		what = "host or port";
	else if (!*now->tls_cert != !*then->tls_cert)
		what = "tls_cert (opening or closing the direct door)";
	else if (!same_section(now, then, "trigger"))
		what = "[[trigger]]";
	else if (!same_section(now, then, "tool"))
		what = "[[tool]]";
	else if (!same_section(now, then, "llm"))
		what = "[[llm]]";
	else if (!same_section(now, then, "store"))
		what = "[[store]]";
	return what ? sg_error_set(err, SG_EREFUSED, NULL, "%s changed: needs a restart", what) : 0;
}

static int read_fresh(struct sg_server *s, struct fresh *f, struct sg_error *err)
{
	const struct sg_serve_options *o = s->options;
	f->config = calloc(1, sizeof(*f->config));
	if (!f->config)
		return sg_error_nomem(err);
	int r = sg_config_load(f->config, o->config_path, o->flags, o->n_flags, o->env, err);
	if (r < 0) {
		free(sg_steal(f->config));
		return r;
	}
	r = check_fixed(f->config, s->config, err);
	if (r == 0)
		r = sg_config_gates(f->config, err);
	if (r == 0)
		r = sg_grants_create(&f->grants, f->config, err);
	if (r == 0)
		r = sg_edge_users_resolve(&f->users, f->config, err);
	if (r == 0 && *f->config->edge_mac_key)
		r = sg_mac_create(&f->mac, f->config->edge_mac_key, err);
	if (r == 0 && *f->config->tls_cert)
		r = sg_tls_create(&f->tls, f->config, err);
	return r;
}

#define SWAP(a, b) \
	do { \
		__typeof__(a) swap_v = (a); \
		(a) = (b); \
		(b) = swap_v; \
	} while (0)

static void note_refused(struct sg_server *s, const struct sg_error *why)
{
	struct sg_error ignored;
	json_t *payload = json_pack("{s:s, s:s}", "class", why->kind, "reason", why->text);
	sg_log(SG_LOG_ERROR, "the rule packs stay as they are: %s", why->text);
	(void)sg_engine_audit(
		s->engine, "system", "pack_refused", NULL, payload, NULL, NULL, &ignored);
	json_decref(payload);
}

/* Packs by themselves, and last: a pack that is refused keeps nothing else of a reload back. */
static void renew_packs(struct sg_server *s)
{
	struct sg_mounts *fresh = NULL;
	struct sg_error why = {0};
	json_auto_t *changes = NULL;
	size_t i;
	json_t *one;
	int r = sg_mounts_from_config(&fresh, s->config, &why);
	if (r == 0)
		r = sg_engine_remount(s->engine, fresh, "system", &changes, &why);
	if (r < 0) {
		sg_mounts_destroy(fresh);
		note_refused(s, &why);
		return;
	}
	SWAP(s->mounts, fresh);
	sg_mounts_destroy(fresh);
	json_array_foreach (changes, i, one) {
		sg_autofree char *line = sg_pack_diff_line(one);
		sg_log(SG_LOG_INFO, "rule pack %s", line ? line : "");
	}
}

int sg_reload(struct sg_server *s, struct sg_error *err)
{
	SG_CLEANUP(fresh_finish) struct fresh f = {0};
	int r = read_fresh(s, &f, err);
	if (r < 0)
		return r;
	if (f.tls)
		sg_door_attach_tls(f.tls);
	SWAP(s->config, f.config);
	SWAP(s->grants, f.grants);
	SWAP(s->edge_users, f.users);
	SWAP(s->mac, f.mac);
	SWAP(s->tls, f.tls);
	s->generation++;
	s->global.max_request_entity_size = (size_t)s->config->limits.body_bytes;
	sg_api_reconfigure(s->api, s->config);
	sg_engine_keep(s->engine, s->config->keep.runs, s->config->keep.seconds);
	renew_packs(s);
	return 0;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static const char *config_path(const struct sg_server *s)
{
	return s->options->config_path ? s->options->config_path : SG_CONFIG_DEFAULT_PATH;
}

/* To be called before the file is read: a change while it is read is a change. */
void sg_reload_remember(struct sg_server *s)
{
	if (stat(config_path(s), &s->config_stat) < 0)
		memset(&s->config_stat, 0, sizeof(s->config_stat));
	s->config_stat_seen = s->config_stat;
}

/* The file changed and has stood still for one sweep: nobody is in the middle of writing it. */
static bool config_changed(struct sg_server *s)
{
	struct stat st = {0};
	if (stat(config_path(s), &st) < 0)
		return false;
	bool still = same_file(&st, &s->config_stat_seen);
	s->config_stat_seen = st;
	if (!still || same_file(&st, &s->config_stat))
		return false;
	s->config_stat = st;
	return true;
}

/* Certificates, CA and CRL without a reload of anything else. A CRL that cannot be used any more
 * denies everybody: failing closed. */
static void renew_tls(struct sg_server *s)
{
	struct sg_error err;
	struct sg_tls *t;
	if (!s->tls || !sg_tls_changed(s->tls))
		return;
	if (sg_tls_create(&t, s->config, &err) < 0) {
		if (sg_tls_complain(s->tls))
			sg_log(SG_LOG_ERROR, "direct door: %s%s", err.text,
				*s->config->tls_crl ? "; denying everybody until it can be read"
						    : "");
		if (*s->config->tls_crl)
			sg_tls_fail_closed(s->tls, "the revocation list cannot be read");
		return;
	}
	sg_door_attach_tls(t);
	sg_tls_unref(s->tls);
	s->tls = t;
	s->generation++;
	sg_log(SG_LOG_INFO, "direct door: certificates and revocation list re-read");
}

void sg_reload_watch(struct sg_server *s)
{
	struct sg_error err;
	renew_tls(s);
	if (!config_changed(s))
		return;
	if (sg_reload(s, &err) < 0)
		sg_log(SG_LOG_ERROR, "%s changed but is refused, the old one stays: %s",
			config_path(s), err.text);
	else
		sg_log(SG_LOG_INFO, "%s changed: configuration reloaded", config_path(s));
}
