/* The gates that need no network, in the guide's order. Each stops the start with exit code 2
 * before any port opens. */
#include <arpa/inet.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "config/keys.h"

static int gate_workers(const struct sg_config *c, struct sg_error *err)
{
	if (c->workers == 1)
		return 0;
	return sg_error_set(err, SG_EREFUSED, "SingleProcess", "%s",
		c->profile == SG_PROFILE_CLEARED
			? "cleared profile rejects --workers > 1 (locked Decision #5)"
			: "--workers > 1 is refused under every profile (locked Decision #5): "
			  "scale with more instances");
}

static int gate_profile(const struct sg_config *c, struct sg_error *err)
{
	if (c->profile != SG_PROFILE_CLEARED)
		return 0;
	if (c->allow_side_effects)
		return sg_error_set(err, SG_EREFUSED, "ProfileViolation",
			"--allow-side-effects not permitted under cleared profile");
	if (strcmp(c->auth_provider, "mtls") != 0)
		return sg_error_set(err, SG_EREFUSED, "ProfileViolation",
			"auth_provider \"%s\" not permitted under cleared profile: it needs "
			"\"mtls\"",
			c->auth_provider);
	return 0;
}

/* Under oss-default a directory that is yet to be made is judged by the one it will be made in. */
static int gate_directory(
	const struct sg_config *c, const char *what, const char *dir, struct sg_error *err)
{
	sg_autofree char *path = strdup(dir);
	if (!path)
		return sg_error_nomem(err);
	int r = sg_config_check_filesystem(path, c->profile, err);
	while (r == -SG_ENOTFOUND && c->profile == SG_PROFILE_OSS_DEFAULT &&
		strcmp(path, "/") != 0 && strcmp(path, ".") != 0) {
		char *parent = strdup(dirname(path));
		if (!parent)
			return sg_error_nomem(err);
		free(path);
		path = parent;
		r = sg_config_check_filesystem(path, c->profile, err);
	}
	if (r == -SG_ENOTFOUND)
		return sg_error_set(err, SG_EREFUSED, NULL,
			"%s %s does not exist; make it: install -d -m 0700 %s", what, dir, dir);
	return r;
}

static int gate_private(const struct sg_config *c, struct sg_error *err)
{
	struct stat st;
	if (c->profile != SG_PROFILE_CLEARED || stat(c->state_dir, &st) < 0)
		return 0;
	if (st.st_mode & 022U)
		return sg_error_set(err, SG_EREFUSED, NULL,
			"state directory %s has mode %04o; under cleared it must not be writable "
			"by group or others",
			c->state_dir, (unsigned)(st.st_mode & 07777U));
	return 0;
}

static int gate_filesystems(const struct sg_config *c, struct sg_error *err)
{
	sg_autofree char *audit = strdup(c->audit_path);
	if (!audit)
		return sg_error_nomem(err);
	int r = gate_directory(c, "state directory", c->state_dir, err);
	if (r == 0)
		r = gate_directory(c, "audit directory", dirname(audit), err);
	return r < 0 ? r : gate_private(c, err);
}

static int gate_config_file(const struct sg_config *c, struct sg_error *err)
{
	if (c->profile != SG_PROFILE_CLEARED || !*c->file_path)
		return 0;
	return sg_config_check_file_mode("configuration", c->file_path, false, NULL, err);
}

bool sg_config_is_loopback(const char *host)
{
	struct in_addr v4;
	struct in6_addr v6;
	if (strcmp(host, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	if (inet_pton(AF_INET6, host, &v6) != 1)
		return false;
	return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
}

static bool is_address(const char *host)
{
	struct in6_addr any;
	return strcmp(host, "localhost") == 0 || inet_pton(AF_INET, host, &any) == 1 ||
	       inet_pton(AF_INET6, host, &any) == 1;
}

static int gate_doors(const struct sg_config *c, struct sg_error *err)
{
	if (!is_address(c->host))
		return sg_error_set(err, SG_EREFUSED, NULL,
			"host \"%.128s\" is not a numeric address", c->host);
	if (c->port && !*c->tls_cert && !sg_config_is_loopback(c->host))
		return sg_error_set(err, SG_EREFUSED, NULL,
			"plain HTTP on %s:%d is refused: only loopback or a unix socket may speak "
			"it; set tls_cert, or put an edge in front",
			c->host, c->port);
	if (!c->port && !*c->socket_path)
		return sg_error_set(err, SG_EREFUSED, NULL,
			"no door is configured: set socket_path, or port, or tls_cert");
	return 0;
}

int sg_config_gates(const struct sg_config *c, struct sg_error *err)
{
	static int (*const gates[])(const struct sg_config *c, struct sg_error *err) = {
		gate_workers, gate_profile, gate_config_file, gate_filesystems, sg_config_check_tls,
		gate_doors};
	for (size_t i = 0; i < SG_ARRAY_LEN(gates); i++) {
		int r = gates[i](c, err);
		if (r < 0)
			return r;
	}
	return 0;
}
