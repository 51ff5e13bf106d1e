/* stargraph.toml, flags and environment: what is in force, and where each value came from.
 *
 * Precedence: environment > flag > file > default; but where two of them name different profiles
 * the start is refused. The file is --config, else /etc/stargraph/stargraph.toml if it exists,
 * never one from the working directory. Unknown keys are errors that name the nearest known key.
 * The table of keys in config.c is the one place that knows names, types, defaults and limits;
 * `stargraph config` and docs/reference/configuration are printed from it.
 */
#ifndef SG_CONFIG_CONFIG_H
#define SG_CONFIG_CONFIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/error.h"

enum sg_profile { SG_PROFILE_OSS_DEFAULT, SG_PROFILE_CLEARED };

/* One [[serve.cleared.grant]]. Exactly one of subject, san, fingerprint is set. */
struct sg_grant {
	char *subject;	   /* RFC 4514 text, compared as a parsed name by serve */
	char *san;	   /* "URI:spiffe://…" or "DNS:…" */
	char *fingerprint; /* 64 lowercase hex digits, SHA-256 of the certificate's DER */
	char **capabilities;
	size_t n_capabilities;
};

struct sg_config {
	enum sg_profile profile;
	char *profile_name; /* "cleared" or "oss-default" */
	/* [serve.<profile>] */
	char *auth_provider; /* "mtls" (cleared), "anonymous" (oss-default on loopback) */
	char *tls_cert, *tls_key, *tls_ca_cert, *tls_crl;
	bool tls_require_client_cert;
	char *state_dir, *audit_path;
	char *host;	   /* "127.0.0.1" */
	int port;	   /* 0 = no TCP door */
	char *socket_path; /* "" = no unix door */
	mode_t socket_mode;
	char **edge_users; /* who may be the edge: user names or numeric uids */
	size_t n_edge_users;
	char *edge_mac_key; /* path of the MAC key, "" = none */
	bool xfcc;	    /* read Envoy's x-forwarded-client-cert instead of X-Client-Cert-* */
	char **deny_fingerprints;
	size_t n_deny_fingerprints;
	struct sg_grant *grants;
	size_t n_grants;
	char **graphs; /* files, or directories of *.yaml */
	size_t n_graphs;
	int workers;
	bool allow_side_effects;
	/* [model] */
	char *hf_home;	  /* where all-MiniLM-L6-v2/ or models--… lies; "" = none configured */
	char *model_path; /* explicit directory, wins over hf_home */
	bool hf_offline;
	char *hf_manifest;
	char *kernel; /* "auto", "reference", "blas", "avx2", "avx512", "bf16" */
	int embed_workers;
	/* [limits]: every limit has a name here, a default, and a clear error when it is reached */
	struct {
		int64_t body_bytes, connections, subject_requests, queue, nodes, steps, facts,
			firings, join_product, rule_ms, text_bytes, run_seconds, node_seconds,
			state_bytes, resident_bytes, runs_in_flight, forks_per_minute;
	} limits;
	/* [keep]: 0 = everything */
	struct {
		int64_t runs, seconds;
	} keep;
	/* [log] */
	char *log_format, *log_level;
	/* The sections that other modules read themselves ([packs], …): one row each in sections.c,
	 * checked against its schema when the file is loaded. */
	json_t *file;	 /* the whole parsed file, owned; {} when there is none */
	char *file_path; /* "" when there is none */
	char *tz;      /* TZ of the environment, "" when unset; everything recorded is UTC anyway */
	void *origins; /* where each value came from */
};

/* Does a granted capability cover a needed one? The same; or "db.*:read" for any "db.<name>:read",
 * and likewise for write. */
bool sg_capability_covers(const char *granted, const char *need);

/* Puts "file:line:column" of an RFC 6901 pointer into the file before the error's text; returns the
 * error's code. */
int sg_config_locate(const struct sg_config *c, const char *pointer, struct sg_error *err);

#define SG_CONFIG_DEFAULT_PATH "/etc/stargraph/stargraph.toml"

/* A flag given on the command line: its dotted key or CLI name is known to the table. */
struct sg_config_flag {
	const char *key;   /* "serve.port", "profile", … */
	const char *value; /* text; NULL for a switch that is on */
};

/* config_path NULL = the default path if it exists. env is environ-like. Every error is
 * SG_EREFUSED or SG_EINVALID with file, line, column where it has them. */
int sg_config_load(struct sg_config *ret, const char *config_path,
	const struct sg_config_flag *flags, size_t n_flags, char *const *env, struct sg_error *err);
void sg_config_finish(struct sg_config *c);
/* `stargraph config`: one "key = value  # origin" a line, or JSON. */
int sg_config_print(const struct sg_config *c, FILE *out, bool json);

/* The same for a support bundle, without contents: numbers, switches, words out of a fixed choice
 * and the table's paths as they are; of all else only type and size. New; NULL when out of memory.
 */
json_t *sg_config_outline(const struct sg_config *c);

/* docs/reference/configuration.md's tables, from the table of keys. */
int sg_config_print_reference(FILE *out);

#define SG_CONFIG_MAX_FLAGS 128

/* Takes the table's flags (--port 443, --port=443, --tls-require-client-cert) and --config out of
 * argv, in place; what is left is for the verb's own getopt_long. The results borrow argv's text;
 * *ret_config is NULL without --config. SG_EINVALID when a value is missing. */
int sg_config_take_flags(int *argc, char **argv, struct sg_config_flag *ret_flags, size_t room,
	size_t *ret_n, const char **ret_config, struct sg_error *err);
/* The nearest flag of the table to a mistyped one (without "--"), or NULL. Static text. */
const char *sg_config_suggest_flag(const char *name);

/* The start gates that need no network, in the guide's order: workers, side effects and
 * authentication under cleared, mode of the configuration file, filesystem of state and audit
 * directory, TLS files, doors. Each with its own message; SG_EREFUSED. */
int sg_config_gates(const struct sg_config *c, struct sg_error *err);

/* The filesystem gate alone: by fstatfs of the opened directory. Message starts
 * "nfs/smb refused at bootstrap:". SG_ENOTFOUND when there is no such directory. */
int sg_config_check_filesystem(const char *dir, enum sg_profile profile, struct sg_error *err);

/* A file the start depends on: regular, owned by root or the service user, not writable by group or
 * others; a secret one 0600. SG_EREFUSED with a message that starts with `what` and the path. On
 * success *ret_fd (may be NULL) is the opened descriptor, the caller's to close. */
int sg_config_check_file_mode(
	const char *what, const char *path, bool secret, int *ret_fd, struct sg_error *err);

/* 127.0.0.0/8, ::1, ::ffff:127.x, "localhost". */
bool sg_config_is_loopback(const char *host);

#endif
