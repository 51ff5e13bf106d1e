/* doctor: who may be the edge, the doors, the grants, and one real request through each door. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "cli/doctor.h"
#include "serve/identity.h"
#include "store/store.h"

#define ANSWER_MS 2000

static void users(struct sg_doctor *d)
{
	const struct sg_config *c = d->config;
	if (c->n_edge_users == 0) {
		sg_doctor_say(d, "edge.users", *c->tls_cert ? SG_DOCTOR_OK : SG_DOCTOR_WARN,
			*c->tls_cert ? NULL : "set edge_users to the user nginx or Envoy runs as",
			"nobody on this host may be the edge");
		return;
	}
	const char *missing = NULL;
	bool web = false;
	for (size_t i = 0; i < c->n_edge_users; i++) {
		const char *name = c->edge_users[i];
		web = web || strcmp(name, "www-data") == 0;
		if (strspn(name, "0123456789") != strlen(name) && !getpwnam(name))
			missing = name;
	}
	if (missing)
		sg_doctor_say(d, "edge.users", SG_DOCTOR_FAIL, "create the user, or name another",
			"edge_users names \"%s\", which this host does not know", missing);
	else if (web)
		sg_doctor_say(d, "edge.users", SG_DOCTOR_WARN,
			"run the edge under a user of its own (stargraph-edge)",
			"www-data may be the edge: so may every web program of this host");
	else
		sg_doctor_say(d, "edge.users", SG_DOCTOR_OK, NULL, "%zu users may be the edge",
			c->n_edge_users);
}

static void mac_key(struct sg_doctor *d)
{
	const char *path = d->config->edge_mac_key;
	struct sg_error err;
	if (!*path)
		sg_doctor_say(d, "edge.mac", SG_DOCTOR_OK, NULL,
			"no per-request MAC: the peer's uid proves the edge");
	else if (sg_config_check_file_mode("MAC key", path, true, NULL, &err) < 0)
		sg_doctor_say(d, "edge.mac", SG_DOCTOR_FAIL, "chmod 0600", "%s", err.text);
	else
		sg_doctor_say(d, "edge.mac", SG_DOCTOR_OK, NULL, "%s has a safe mode", path);
}

static void headers(struct sg_doctor *d)
{
	if (d->config->xfcc)
		sg_doctor_say(d, "edge.headers", SG_DOCTOR_OK, NULL,
			"identity comes in x-forwarded-client-cert; X-Client-Cert-* is refused");
	else
		sg_doctor_say(d, "edge.headers", SG_DOCTOR_OK, NULL,
			"identity comes in X-Client-Cert-*; an edge that sends only the subject "
			"(the "
			"guide's nginx block) lacks deny list and CRL re-check");
}

static void grants(struct sg_doctor *d)
{
	struct sg_grants *g = NULL;
	struct sg_error err;
	if (sg_grants_create(&g, d->config, &err) < 0)
		sg_doctor_say(d, "grants.parse", SG_DOCTOR_FAIL,
			"write the subject as RFC 4514 has it", "%s", err.text);
	else
		sg_doctor_say(d, "grants.parse", SG_DOCTOR_OK, NULL,
			"%zu grants, %zu denied "
			"fingerprints",
			d->config->n_grants, d->config->n_deny_fingerprints);
	sg_grants_destroy(g);
	if (d->config->profile == SG_PROFILE_CLEARED && d->config->n_grants == 0)
		sg_doctor_say(d, "grants.any", SG_DOCTOR_NOTE, "add a [[serve.cleared.grant]]",
			"nothing is granted: every request but health gets 403");
	else
		sg_doctor_say(d, "grants.any", SG_DOCTOR_OK, NULL, "somebody may do something");
}

static void socket_dir(struct sg_doctor *d)
{
	const char *path = d->config->socket_path;
	if (!*path)
		return;
	sg_autofree char *dir = strdup(path);
	char *slash = dir ? strrchr(dir, '/') : NULL;
	struct stat st;
	if (!slash)
		return;
	*slash = '\0';
	if (stat(*dir ? dir : "/", &st) < 0)
		sg_doctor_say(d, "door.directory", SG_DOCTOR_NOTE,
			"the unit makes it (RuntimeDirectory=stargraph)", "%s: %s", dir,
			strerror(errno));
	else if (st.st_mode & S_IWOTH)
		sg_doctor_say(d, "door.directory", SG_DOCTOR_FAIL, "chmod o-w",
			"%s can be written by everybody: a socket there can be squatted", dir);
	else
		sg_doctor_say(
			d, "door.directory", SG_DOCTOR_OK, NULL, "%s is not for everybody", dir);
}

/* Sends GET /v1/health and looks for the answer. 0 answered well, 1 not listening, 3 connected and
 * not a word, 2 anything else. */
static int ask(int fd, const struct sockaddr *sa, socklen_t len)
{
	static const char request[] =
		"GET /v1/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
	if (connect(fd, sa, len) < 0)
		return errno == ECONNREFUSED || errno == ENOENT ? 1 : 2;
	if (sg_write_all(fd, request, sizeof(request) - 1) < 0)
		return 2;
	char answer[4096];
	size_t n = 0;
	struct pollfd p = {.fd = fd, .events = POLLIN};
	while (n < sizeof(answer) - 1 && poll(&p, 1, ANSWER_MS) > 0) {
		ssize_t got = recv(fd, answer + n, sizeof(answer) - 1 - n, 0);
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	answer[n] = '\0';
	if (n == 0)
		return 3;
	return strncmp(answer, "HTTP/1.1 200", 12) == 0 && strstr(answer, "{\"status\":\"ok\"}")
		       ? 0
		       : 2;
}

static void report(struct sg_doctor *d, const char *id, int r, const char *where)
{
	if (r == 0)
		sg_doctor_say(d, id, SG_DOCTOR_OK, NULL, "%s answers /v1/health", where);
	else if (r == 1)
		sg_doctor_say(d, id, SG_DOCTOR_OK, NULL, "%s: nothing listens; free for the start",
			where);
	else
		sg_doctor_say(d, id, SG_DOCTOR_WARN,
			"something else listens there, or doctor's user may not connect",
			"%s does not answer /v1/health as the core does", where);
}

/* With no server running, a socket that listens in silence is the socket unit's: connections wait
 * there for the start. */
static bool server_runs(const struct sg_doctor *d)
{
	struct sg_error err;
	sg_autoclose int fd = -1;
	return sg_store_lock(d->config->state_dir, &fd, &err) == -SG_ECONFLICT;
}

static void unix_door(struct sg_doctor *d)
{
	const char *path = d->config->socket_path;
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	if (!*path || strlen(path) >= sizeof(sa.sun_path))
		return;
	memcpy(sa.sun_path, path, strlen(path));
	sg_autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r = ask(fd, (struct sockaddr *)&sa, sizeof(sa));
	if (r == 3 && !server_runs(d))
		sg_doctor_say(d, "door.unix", SG_DOCTOR_NOTE, NULL,
			"%s: listens and waits for a server (stargraph.socket)", path);
	else
		report(d, "door.unix", r, path);
}

static void tcp_door(struct sg_doctor *d)
{
	const struct sg_config *c = d->config;
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)c->port)};
	if (c->port == 0 || *c->tls_cert || inet_pton(AF_INET, c->host, &sa.sin_addr) != 1)
		return;
	char where[128];
	(void)snprintf(where, sizeof(where), "%s:%d", c->host, c->port);
	sg_autoclose int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	report(d, "door.tcp", ask(fd, (struct sockaddr *)&sa, sizeof(sa)), where);
}

static void graphs(struct sg_doctor *d)
{
	const struct sg_config *c = d->config;
	const char *missing = NULL;
	for (size_t i = 0; i < c->n_graphs; i++)
		if (access(c->graphs[i], R_OK) < 0)
			missing = c->graphs[i];
	if (missing)
		sg_doctor_say(d, "graphs.found", SG_DOCTOR_FAIL, "put it there, or correct graphs",
			"%s cannot be read", missing);
	else if (c->n_graphs == 0)
		sg_doctor_say(d, "graphs.found", SG_DOCTOR_NOTE, "set graphs in stargraph.toml",
			"no graph is configured: there is nothing to run");
	else
		sg_doctor_say(d, "graphs.found", SG_DOCTOR_OK, NULL, "%zu files or directories",
			c->n_graphs);
}

void sg_doctor_edge(struct sg_doctor *d)
{
	users(d);
	mac_key(d);
	headers(d);
	grants(d);
	socket_dir(d);
	unix_door(d);
	tcp_door(d);
	graphs(d);
}
