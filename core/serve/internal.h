/* Shared by the files of serve that know h2o: the server, its doors and connections. */
#ifndef SG_SERVE_INTERNAL_H
#define SG_SERVE_INTERNAL_H

#include <h2o.h>
#include <h2o/http1.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "api/api.h"
#include "base/error.h"
#include "config/config.h"
#include "run/run.h"
#include "serve/head.h"
#include "serve/identity.h"
#include "serve/mac.h"
#include "serve/peer.h"
#include "serve/serve.h"
#include "serve/tls.h"
#include "trigger/trigger.h"

/* Times after which a connection is cut, in milliseconds. */
#define SG_SERVE_IDLE_MS 75000	    /* kept alive without a request */
#define SG_SERVE_REQUEST_MS 30000   /* from a request's first byte to its last */
#define SG_SERVE_WRITE_MS 60000	    /* one write that the client does not take */
#define SG_SERVE_HANDSHAKE_MS 10000 /* TLS */
#define SG_SERVE_LINGER_MS 2000	    /* reading on after our last byte, so that it is not reset */
#define SG_SERVE_SWEEP_MS 250	    /* how often all of these are looked at */
#define SG_SERVE_DRAIN_MS 10000	    /* SIGTERM: most that requests in flight get */
#define SG_SERVE_MAX_LINGER 256	    /* connections lingering at once */
#define SG_SERVE_HEARTBEAT_MS 15000 /* a comment line on a silent event stream */
#define SG_SERVE_STREAM_MS 5	    /* how often a full WebSocket is looked at */
#define SG_SERVE_STREAM_BUFFER (1U << 20) /* bytes that a stream keeps at most */

enum sg_door_kind { SG_DOOR_UNIX, SG_DOOR_LOOPBACK, SG_DOOR_DIRECT, SG_DOORS };
extern const char *const sg_door_names[SG_DOORS];

struct sg_server;
struct sg_stream;

struct sg_door {
	struct sg_server *server;
	enum sg_door_kind kind;
	h2o_socket_t *listener; /* NULL = closed */
	unsigned connections;
	int64_t complained_us; /* when the cap was last logged */
	bool lent;	       /* the socket is systemd's: its file stays */
};

/* One connection, owned by its socket: freed when the socket closes. */
struct sg_conn {
	struct sg_conn *prev, *next;
	struct sg_server *server;
	struct sg_door *door;
	h2o_socket_t *sock;
	int fd, linger_fd; /* linger_fd: a duplicate that outlives the socket, or -1 */
	bool edge;	   /* the peer's uid is one of edge_users */
	bool handshaking, busy, upgraded;
	struct sg_principal *fixed; /* anonymous or nobody; NULL = from each request */
	struct sg_tls *tls;	    /* reference */
	struct sg_tls_peer peer;
	struct sg_principal *principal; /* direct door: of peer, under generation */
	unsigned generation;
	int64_t since_us;   /* of the handshake, or of the first byte of a request */
	int64_t writing_us; /* since when the write of write_mark bytes stands still */
	size_t write_mark;
};

struct sg_linger {
	struct sg_linger *prev, *next;
	struct sg_server *server;
	h2o_socket_t *sock;
	int64_t since_us;
	size_t eaten;
};

/* Whom a set of identity headers was found to be: an edge sends the same ones again and again. */
#define SG_SERVE_KNOWN 64
struct sg_known {
	char *headers; /* owned, len bytes; NULL = empty */
	size_t len;
	unsigned generation; /* of the grants that were asked */
	struct sg_principal *principal;
};

struct sg_server {
	h2o_globalconf_t global;
	h2o_context_t ctx;
	h2o_loop_t *loop;
	h2o_hostconf_t *hosts[2];
	h2o_accept_ctx_t accept;
	h2o_timeout_t sweep_timeout;
	h2o_timeout_t stream_timeout; /* of a WebSocket that could take more */
	h2o_timeout_entry_t sweep_entry;
	struct sg_door doors[SG_DOORS];
	struct sg_conn conns;	  /* anchor of the ring */
	struct sg_linger lingers; /* anchor of the ring */
	unsigned n_lingers;
	bool disk_full; /* it has been said */

	const struct sg_serve_options *options;
	struct sg_config *config; /* owned, replaced by a reload */
	struct sg_mounts *mounts; /* rule packs */
	struct sg_tools *tools;	  /* declared in the configuration */
	struct sg_llms *llms;	  /* likewise */
	struct sg_engine *engine;
	struct sg_embedder *embedder;
	struct sg_triggers *triggers;
	struct sg_api *api;
	struct sg_grants *grants;
	unsigned generation;		       /* counts reloads of grants and TLS */
	struct sg_known known[SG_SERVE_KNOWN]; /* by hash of the headers */
	struct sg_edge_users edge_users;
	struct sg_mac *mac; /* NULL = not asked for */
	struct sg_tls *tls; /* NULL = no direct door */
	struct stat config_stat, config_stat_seen;

	int signal_fd;
	h2o_socket_t *signal_sock, *engine_sock;
	bool draining, done;
	bool stepped; /* the engine had its turn in this one of the loop */
	int64_t drain_until_us;
	int64_t watchdog_us, watchdog_next_us; /* 0 = systemd asks for none */
	struct sg_stream *streams;	       /* all that are open or being asked for */
};

static inline struct sg_conn *sg_conn_of(h2o_req_t *req)
{
	return req->conn->callbacks->get_socket(req->conn)->on_close.data;
}

/* activation.c: the listening socket that systemd passed for socket_path. Positive outcome 1: none
 * was passed. SG_EREFUSED: it is not the configured one. */
int sg_activation_take(const char *socket_path, int *ret_fd, struct sg_error *err);

/* door.c */
int sg_doors_open(struct sg_server *s, struct sg_error *err);
void sg_doors_close(struct sg_server *s);
void sg_conn_cut(struct sg_conn *c); /* its callbacks see an error soon */
void sg_conn_linger(struct sg_conn *c);
void sg_conns_sweep(struct sg_server *s, int64_t now_us);
void sg_conns_half_close_idle(struct sg_server *s);
void sg_conns_cut_all(struct sg_server *s);
/* The TLS context's callbacks into the door; after every sg_tls_create. */
void sg_door_attach_tls(struct sg_tls *t);

/* handler.c */
void sg_handler_setup(struct sg_server *s);

/* admit.c: who asks, a reference. Positive outcome 1: refused, *ret_status, err->kind and err->text
 * say how; *ret is set if it is known who was refused. */
int sg_admit(struct sg_conn *c, const struct sg_head *h, struct sg_principal **ret, int *ret_status,
	struct sg_error *err);

void sg_known_finish(struct sg_server *s);

/* reload.c */
int sg_reload(struct sg_server *s, struct sg_error *err);
void sg_reload_remember(struct sg_server *s);
void sg_reload_watch(struct sg_server *s);

#endif
