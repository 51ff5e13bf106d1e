
/*
 * Stargraph's edge for nginx: the parts of ngx_http_stargraph_module and what
 * they owe one another.
 *
 *   ngx_http_stargraph_module.c    directives, phases, variables
 *   ngx_http_stargraph_config.c    what nginx -t refuses or warns of
 *   ngx_http_stargraph_headers.c   the request's header list: aliases out,
 *                                  verified identity in
 *   ngx_http_stargraph_identity.c  the verified certificate, once a connection
 *   ngx_http_stargraph_crl.c       the revocation list, watched and re-read
 *   ngx_http_stargraph_mac.c       the per-request MAC
 *   ngx_http_stargraph_limit.c     connections of one subject, counted
 */


#ifndef _NGX_HTTP_STARGRAPH_H_INCLUDED_
#define _NGX_HTTP_STARGRAPH_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* the longest subject, issuer or SAN text that is passed on, in bytes */
#define NGX_HTTP_STARGRAPH_TEXT_MAX    16384

/* the longest reason that is reported to the core, in bytes */
#define NGX_HTTP_STARGRAPH_REASON_MAX  160

/* the longest serial number (RFC 5280 allows 20 octets), in bytes */
#define NGX_HTTP_STARGRAPH_SERIAL_MAX  30

/* what the MAC covers for a report, whatever the internal location is called */
#define NGX_HTTP_STARGRAPH_REPORT      "/edge/refused"


typedef struct ngx_http_stargraph_crl_s  ngx_http_stargraph_crl_t;
typedef struct ngx_http_stargraph_subject_s  ngx_http_stargraph_subject_t;


/* a serial number as bytes that sort: length, sign, then the number */

typedef struct {
    u_char                        data[2 + NGX_HTTP_STARGRAPH_SERIAL_MAX];
} ngx_http_stargraph_serial_t;


/* where a directive stood, for errors that are found after parsing */

typedef struct {
    u_char                       *file;
    ngx_uint_t                    line;
} ngx_http_stargraph_place_t;


typedef struct {
    ngx_flag_t                    enable;
    ngx_str_t                     report;
    ngx_str_t                     crl_file;

    EVP_MAC_CTX                  *mac;           /* keyed; NULL: no MAC */

    ngx_uint_t                    connections;   /* of one subject; 0: any */
    ngx_shm_zone_t               *zone;          /* where they are counted */

    ngx_http_stargraph_place_t    enable_place;
    ngx_http_stargraph_place_t    report_place;
    ngx_http_stargraph_place_t    crl_place;
    ngx_http_stargraph_place_t    mac_place;
    ngx_http_stargraph_place_t    connections_place;

    ngx_http_stargraph_crl_t     *crl;           /* NULL: none configured */
    SSL_CTX                      *ssl_ctx;       /* of this very server */

    unsigned                      drop_underscores:1;
} ngx_http_stargraph_srv_conf_t;


/* who the peer of one TLS connection is; lives as long as its SSL object */

typedef struct {
    ngx_str_t                     subject;       /* RFC 4514; may be empty */
    ngx_str_t                     issuer;
    ngx_str_t                     serial;        /* lowercase hex */
    ngx_str_t                     fingerprint;   /* SHA-256 of the DER, hex */
    ngx_str_t                     san;           /* "URI:...,DNS:..." */

    time_t                        not_after;

    /* as verified, leaf first; the last one of several is the trust anchor */
    STACK_OF(X509)               *chain;

    /* the answer of the CRL with this generation; 0: never asked */
    ngx_uint_t                    crl_generation;
    ngx_flag_t                    crl_revoked;

    ngx_int_t                     status;        /* NGX_OK or an HTTP status */
    char                         *reason;        /* when it is not NGX_OK */

    /* where this connection is counted, and in which zone; NULL: it is not */
    ngx_http_stargraph_subject_t *counted;
    ngx_shm_zone_t               *zone;

    ngx_http_stargraph_srv_conf_t *conf;
    ngx_connection_t             *connection;    /* the real one, also in h2 */
    ngx_queue_t                   queue;         /* all of this worker */
    ngx_pool_t                   *pool;
} ngx_http_stargraph_identity_t;


/* what became of one request */

typedef struct {
    ngx_http_stargraph_identity_t *identity;     /* NULL: refused */
    ngx_str_t                     refused;       /* the reason, "" if not */
} ngx_http_stargraph_ctx_t;


typedef struct {
    ngx_array_t                   crls;          /* ngx_http_stargraph_crl_t * */
} ngx_http_stargraph_main_conf_t;


/*
 * ngx_http_stargraph_config.c
 *
 * check_servers: what can only be known when the whole http block is read.
 * Every mistake is logged with file and line of the directive; NGX_ERROR.
 */

ngx_int_t ngx_http_stargraph_check_servers(ngx_conf_t *cf);

/*
 * ngx_http_stargraph_headers.c
 *
 * scan: unlinks every alias of an identity header.  If there was one, *reason
 * is set to what is reported (allocated from r->pool), else left alone.
 * With drop_underscores other names with an underscore go too, silently, as
 * nginx itself would have done.  NGX_ERROR: out of memory.
 *
 * push: appends a header; name must be static.
 */

ngx_int_t ngx_http_stargraph_scan_headers(ngx_http_request_t *r,
    ngx_uint_t drop_underscores, ngx_str_t *reason);
ngx_int_t ngx_http_stargraph_push_header(ngx_http_request_t *r, char *name,
    ngx_str_t *value);

/*
 * ngx_http_stargraph_identity.c
 *
 * server: prepares the server's SSL_CTX, so that a bad certificate is refused
 * by a TLS alert.
 *
 * get: the verified peer of the request's connection, cached on it and checked
 * again (server, expiry, revocation) at every call.  NGX_OK and *id, or the
 * HTTP status to answer with and why in *reason.
 *
 * recheck: closes this worker's connections whose certificate is on the CRL.
 */

ngx_int_t ngx_http_stargraph_identity_server(ngx_conf_t *cf,
    ngx_http_stargraph_srv_conf_t *conf);
ngx_int_t ngx_http_stargraph_identity_get(ngx_http_request_t *r,
    ngx_http_stargraph_srv_conf_t *conf, ngx_http_stargraph_identity_t **id,
    char **reason);
void ngx_http_stargraph_identity_recheck(ngx_http_stargraph_crl_t *crl);
void ngx_http_stargraph_identity_init_process(void);

/*
 * ngx_http_stargraph_crl.c
 *
 * server: loads the list at configuration time and registers it.
 *
 * check: NGX_OK, or the HTTP status to answer with and why in *reason.
 *
 * verify_error: for the TLS handshake, an X509_V_ERR_ code or X509_V_OK.
 */

ngx_int_t ngx_http_stargraph_crl_server(ngx_conf_t *cf,
    ngx_http_stargraph_srv_conf_t *conf);
ngx_int_t ngx_http_stargraph_crl_init_process(ngx_cycle_t *cycle);
ngx_int_t ngx_http_stargraph_crl_check(ngx_http_stargraph_crl_t *crl,
    ngx_http_stargraph_identity_t *id, char **reason);
int ngx_http_stargraph_crl_verify_error(ngx_http_stargraph_crl_t *crl,
    X509 *cert);

/*
 * ngx_http_stargraph_mac.c
 *
 * mac: the value of X-Stargraph-Edge-Mac, allocated from r->pool.  The method,
 * the target and "refused" as the core will see them.
 */

char *ngx_http_stargraph_mac_key(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
ngx_int_t ngx_http_stargraph_mac(ngx_http_request_t *r, EVP_MAC_CTX *key,
    ngx_str_t *method, ngx_str_t *target, ngx_http_stargraph_identity_t *id,
    ngx_str_t *refused, ngx_str_t *mac);

/*
 * ngx_http_stargraph_limit.c
 *
 * acquire: counts the connection, once.  NGX_OK, or the HTTP status to answer
 * with and why in *reason.  Only where the server has a limit.
 *
 * release: it is gone.
 */

char *ngx_http_stargraph_connections(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
ngx_int_t ngx_http_stargraph_limit_acquire(
    ngx_http_stargraph_srv_conf_t *conf, ngx_http_stargraph_identity_t *id,
    char **reason);
void ngx_http_stargraph_limit_release(ngx_http_stargraph_identity_t *id);


extern ngx_module_t  ngx_http_stargraph_module;


#endif /* _NGX_HTTP_STARGRAPH_H_INCLUDED_ */
