/* The table. A new key is one row here and one field in config.h. */
#include "config/keys.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

static const char *const profiles[] = {"oss-default", "cleared", NULL};
static const char *const auth_providers[] = {"mtls", "anonymous", NULL};
static const char *const kernels[] = {"auto", "reference", "blas", "avx2", "avx512", "bf16", NULL};
static const char *const log_formats[] = {"text", "json", NULL};
static const char *const log_levels[] = {"error", "warning", "info", "debug", NULL};

#define AT(field) .offset = offsetof(struct sg_config, field)
#define LIST(field, count) AT(field), .count_offset = offsetof(struct sg_config, count)
#define BOTH(text) .fallback = {text, text}
#define LIMIT(field, def, lo, hi, text) \
	{ \
		"limits", #field, SG_KEY_INT, AT(limits.field), \
			.wide = true, BOTH(def), .min = (lo), .max = (hi), .help = text \
	}

#define GIB (1LL << 30)

const struct sg_key sg_keys[] = {
	{"serve", "profile", SG_KEY_TEXT, AT(profile_name), .flag = "profile",
		.env = "STARGRAPH_PROFILE", BOTH("\"oss-default\""), .choices = profiles,
		.help = "`cleared` denies everything that is not granted and refuses every "
			"convenience; `oss-default` is for one's own machine. Only in `[serve]`."},
	{"serve", "auth_provider", SG_KEY_TEXT, AT(auth_provider), .flag = "auth-provider",
		.fallback = {"\"anonymous\"", "\"mtls\""}, .choices = auth_providers,
		.help = "Who vouches for the caller: a client certificate, or nobody "
			"(`anonymous`, refused under `cleared`)."},
	{"serve", "tls_cert", SG_KEY_PATH, AT(tls_cert), .flag = "tls-cert", BOTH("\"\""),
		.help = "Server certificate chain, PEM. Setting it opens the direct door: the TCP "
			"port speaks mTLS."},
	{"serve", "tls_key", SG_KEY_PATH, AT(tls_key), .flag = "tls-key", BOTH("\"\""),
		.help = "Private key of `tls_cert`, PEM, not encrypted, mode 0600."},
	{"serve", "tls_ca_cert", SG_KEY_PATH, AT(tls_ca_cert), .flag = "tls-ca-cert", BOTH("\"\""),
		.help = "CA bundle that client certificates must chain to, PEM."},
	{"serve", "tls_crl", SG_KEY_PATH, AT(tls_crl), .flag = "tls-crl", BOTH("\"\""),
		.help = "Certificate revocation list of that CA, PEM."},
	{"serve", "tls_require_client_cert", SG_KEY_BOOL, AT(tls_require_client_cert),
		.flag = "tls-require-client-cert", .fallback = {"false", "true"},
		.help = "Refuse a TLS client without a certificate. Always on under `cleared`."},
	{"serve", "state_dir", SG_KEY_PATH, AT(state_dir), .flag = "state-dir",
		BOTH("\"/var/lib/stargraph\""),
		.help = "The database, its lock and the admin socket; a local filesystem."},
	{"serve", "audit_path", SG_KEY_PATH, AT(audit_path), .flag = "audit-path", BOTH("\"\""),
		.help = "The audit log; empty means `stargraph.audit.jsonl` in `state_dir`."},
	{"serve", "host", SG_KEY_TEXT, AT(host), .flag = "host", BOTH("\"\""),
		.help = "Numeric address of the TCP door; empty means 127.0.0.1, or 0.0.0.0 for "
			"the direct door. Plain HTTP is refused anywhere but on loopback."},
	{"serve", "port", SG_KEY_INT, AT(port), .flag = "port", .fallback = {"8000", "0"},
		.max = 65535, .help = "TCP port; 0 means no TCP door, or 443 for the direct door."},
	{"serve", "socket_path", SG_KEY_PATH, AT(socket_path), .flag = "socket",
		.fallback = {"\"\"", "\"/run/stargraph/core.sock\""},
		.help = "Unix socket for the edge; empty means none. Its default is not used when "
			"`tls_cert` opens the direct door."},
	{"serve", "socket_mode", SG_KEY_MODE, AT(socket_mode), BOTH("\"0660\""),
		.help = "Permission bits of that socket."},
	{"serve", "edge_users", SG_KEY_WORDS, LIST(edge_users, n_edge_users), BOTH("[]"),
		.help = "Users (names or numeric uids) whose processes may act as the edge."},
	{"serve", "edge_mac_key", SG_KEY_PATH, AT(edge_mac_key), BOTH("\"\""),
		.help = "File with 64 hex digits, mode 0600: the edge must sign every request."},
	{"serve", "xfcc", SG_KEY_BOOL, AT(xfcc), BOTH("false"),
		.help = "Read Envoy's `x-forwarded-client-cert` instead of `X-Client-Cert-*`."},
	{"serve", "deny_fingerprints", SG_KEY_WORDS, LIST(deny_fingerprints, n_deny_fingerprints),
		BOTH("[]"),
		.help = "SHA-256 fingerprints of client certificates that are refused."},
	{"serve", "graphs", SG_KEY_WORDS, LIST(graphs, n_graphs), .flag = "graph", BOTH("[]"),
		.help = "Graph files, or directories of `*.yaml`, that can be started."},
	{"serve", "workers", SG_KEY_INT, AT(workers), .flag = "workers", BOTH("1"), .min = 1,
		.max = 4096,
		.help = "One. The single-process invariant (locked Decision #5) refuses more."},
	{"serve", "allow_side_effects", SG_KEY_BOOL, AT(allow_side_effects),
		.flag = "allow-side-effects", BOTH("false"),
		.help = "Let replay-unsafe tools run; refused under `cleared`."},

	{"model", "model_path", SG_KEY_PATH, AT(model_path), .flag = "model", BOTH("\"\""),
		.help = "Directory of the embedding model itself; wins over `hf_home`."},
	{"model", "hf_home", SG_KEY_PATH, AT(hf_home), .env = "HF_HOME", BOTH("\"\""),
		.help = "Directory that holds `all-MiniLM-L6-v2/`, or the hub's layout."},
	{"model", "hf_offline", SG_KEY_BOOL, AT(hf_offline), .env = "HF_HUB_OFFLINE", BOTH("true"),
		.help = "Accepted for the guide's sake. Nothing is ever downloaded either way."},
	{"model", "hf_manifest", SG_KEY_PATH, AT(hf_manifest), BOTH("\"\""),
		.help = "`hf_manifest.sha256` of the bundle, checked besides the pinned hashes."},
	{"model", "kernel", SG_KEY_TEXT, AT(kernel), BOTH("\"auto\""), .choices = kernels,
		.help = "Arithmetic path of the embedder; `auto` picks by CPU."},
	{"model", "embed_workers", SG_KEY_INT, AT(embed_workers), BOTH("0"), .max = 64,
		.help = "Embedding threads; 0 means one a processor."},

	LIMIT(body_bytes, "1048576", 1024, GIB, "Bytes of a request body."),
	LIMIT(connections, "1024", 1, 65536, "Open connections."),
	LIMIT(subject_requests, "512", 1, 65536,
		"Unanswered requests of one subject, streams included."),
	LIMIT(queue, "1024", 1, 65536, "Requests waiting for the writer or the embedder."),
	LIMIT(nodes, "10000", 1, 1000000, "Nodes of a graph."),
	LIMIT(steps, "10000", 1, 10000000, "Steps of a run."),
	LIMIT(facts, "10000", 1, 1000000, "Facts alive in one step."),
	LIMIT(firings, "10000", 1, 10000000, "Rule firings in one step."),
	LIMIT(join_product, "100000", 1, 1000000000,
		"Product of the live facts matching each pattern of one rule."),
	LIMIT(rule_ms, "20", 1, 600000, "Milliseconds that the rules of one step may take."),
	LIMIT(text_bytes, "1048576", 1, GIB, "Bytes of one text to embed."),
	LIMIT(run_seconds, "3600", 1, 31536000,
		"Seconds a run may execute, time spent waiting for a person not counted."),
	LIMIT(node_seconds, "300", 1, 31536000,
		"Seconds that one node may work outside of the server's own thread."),
	LIMIT(state_bytes, "1048576", 1024, GIB, "Bytes of a run's state as canonical JSON."),
	LIMIT(resident_bytes, "4294967296", 1048576, 1024 * GIB,
		"Bytes of memory that the indexes of all knowledge stores may take."),
	LIMIT(forks_per_minute, "1", 1, 60000, "Counterfactual forks of one actor in a minute."),
	LIMIT(runs_in_flight, "4096", 1, 1000000, "Runs that are neither finished nor waiting."),

	{"keep", "runs", SG_KEY_INT, AT(keep.runs), .wide = true, BOTH("0"), .max = 1000000000000,
		.help = "So many runs are stored at most; beyond them the oldest that have ended "
			"are removed; 0 = no such limit."},
	{"keep", "seconds", SG_KEY_INT, AT(keep.seconds), .wide = true, BOTH("0"),
		.max = 3153600000,
		.help = "A run is removed when it ended so long ago; 0 = never for its age."},

	{"log", "log_format", SG_KEY_TEXT, AT(log_format), .flag = "log-format", BOTH("\"text\""),
		.choices = log_formats, .help = "Form of the operator's log on standard error."},
	{"log", "log_level", SG_KEY_TEXT, AT(log_level), .flag = "log-level", BOTH("\"info\""),
		.choices = log_levels, .help = "The least severe level that is logged."},
};

const size_t sg_n_keys = SG_ARRAY_LEN(sg_keys);

const struct sg_key *sg_key_find(const char *section, const char *name)
{
	for (size_t i = 0; i < sg_n_keys; i++)
		if (strcmp(sg_keys[i].section, section) == 0 && strcmp(sg_keys[i].name, name) == 0)
			return &sg_keys[i];
	return NULL;
}

const struct sg_key *sg_key_by_flag(const char *flag)
{
	for (size_t i = 0; i < sg_n_keys; i++)
		if (sg_keys[i].flag && strcmp(sg_keys[i].flag, flag) == 0)
			return &sg_keys[i];
	return NULL;
}

const struct sg_key *sg_key_by_any(const char *dotted_or_flag)
{
	const char *dot = strchr(dotted_or_flag, '.');
	char section[32];
	if (!dot)
		return sg_key_by_flag(dotted_or_flag);
	(void)snprintf(
		section, sizeof(section), "%.*s", (int)(dot - dotted_or_flag), dotted_or_flag);
	return sg_key_find(section, dot + 1);
}

size_t sg_key_names(const char *section, const char **ret_names, size_t room)
{
	size_t n = 0;
	for (size_t i = 0; i < sg_n_keys && n < room; i++)
		if (strcmp(sg_keys[i].section, section) == 0)
			ret_names[n++] = sg_keys[i].name;
	return n;
}
