
/*
 * Who the peer of a TLS connection is.  The certificate is read once a
 * connection and kept as ex_data of its SSL object; what may change while the
 * connection lives (the server asked for, expiry, revocation) is checked at
 * every request.
 *
 * A resumed session proves only that its certificate was verified by whoever
 * made the session, which need not have been this server (CVE-2025-23419).  So
 * the certificate of a resumed session is verified anew, against this server's
 * own CAs, before it is believed.
 */


#include "ngx_http_stargraph.h"


static int ngx_http_stargraph_verify(int ok, X509_STORE_CTX *store);
static ngx_http_stargraph_identity_t *ngx_http_stargraph_identity_create(
    ngx_connection_t *c, ngx_http_stargraph_srv_conf_t *conf);
static void ngx_http_stargraph_identity_free(void *parent, void *ptr,
    CRYPTO_EX_DATA *ad, int index, long argl, void *argp);


static int          ngx_http_stargraph_ssl_index = -1;
static int          ngx_http_stargraph_ctx_index = -1;

static ngx_queue_t  ngx_http_stargraph_identities;


void
ngx_http_stargraph_identity_init_process(void)
{
    ngx_queue_init(&ngx_http_stargraph_identities);
}


ngx_int_t
ngx_http_stargraph_identity_server(ngx_conf_t *cf,
    ngx_http_stargraph_srv_conf_t *conf)
{
    if (ngx_http_stargraph_ssl_index == -1) {
        ngx_http_stargraph_ssl_index = SSL_get_ex_new_index(0, NULL, NULL,
                                             NULL,
                                             ngx_http_stargraph_identity_free);
    }

    if (ngx_http_stargraph_ctx_index == -1) {
        ngx_http_stargraph_ctx_index = SSL_CTX_get_ex_new_index(0, NULL, NULL,
                                                                NULL, NULL);
    }

    if (ngx_http_stargraph_ssl_index == -1
        || ngx_http_stargraph_ctx_index == -1
        || SSL_CTX_set_ex_data(conf->ssl_ctx, ngx_http_stargraph_ctx_index,
                               conf)
           == 0
        || SSL_CTX_set_min_proto_version(conf->ssl_ctx, TLS1_2_VERSION) == 0)
    {
        ngx_ssl_error(NGX_LOG_EMERG, cf->log, 0,
                      "stargraph: the server's SSL_CTX cannot be prepared");
        return NGX_ERROR;
    }

    /* nginx's own callback accepts all and answers 400 after the handshake */

    SSL_CTX_set_verify(conf->ssl_ctx,
                       SSL_VERIFY_PEER|SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                       ngx_http_stargraph_verify);

    return NGX_OK;
}


static size_t
ngx_http_stargraph_subject(X509 *cert, u_char *buf, size_t size)
{
    int     len;
    BIO    *bio;
    size_t  n;

    bio = BIO_new(BIO_s_mem());
    if (bio == NULL) {
        return 0;
    }

    len = -1;

    if (X509_NAME_print_ex(bio, X509_get_subject_name(cert), 0,
                           XN_FLAG_RFC2253)
        >= 0)
    {
        len = BIO_read(bio, buf, size);
    }

    n = (len > 0) ? len : 0;

    BIO_free(bio);

    return n;
}


/* Called for each certificate of the chain: a 0 becomes a TLS alert. */

static int
ngx_http_stargraph_verify(int ok, X509_STORE_CTX *store)
{
    int                             err;
    X509                           *cert, *leaf;
    u_char                          subject[256];
    size_t                          len;
    ngx_str_t                       name;
    ngx_ssl_conn_t                 *ssl;
    ngx_connection_t               *c;
    STACK_OF(X509)                 *chain;
    ngx_http_stargraph_srv_conf_t  *conf;

    ssl = X509_STORE_CTX_get_ex_data(store,
                                     SSL_get_ex_data_X509_STORE_CTX_idx());
    conf = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl),
                               ngx_http_stargraph_ctx_index);
    c = ngx_ssl_get_connection(ssl);

    if (conf == NULL || c == NULL) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
        return 0;
    }

    if (ok && conf->crl) {
        cert = X509_STORE_CTX_get_current_cert(store);
        chain = X509_STORE_CTX_get0_chain(store);

        /* nobody revokes a trust anchor but the operator */

        if (X509_STORE_CTX_get_error_depth(store) < sk_X509_num(chain) - 1
            || sk_X509_num(chain) == 1)
        {
            err = ngx_http_stargraph_crl_verify_error(conf->crl, cert);

            if (err != X509_V_OK) {
                X509_STORE_CTX_set_error(store, err);
                ok = 0;
            }
        }
    }

    if (!ok) {
        err = X509_STORE_CTX_get_error(store);
        leaf = X509_STORE_CTX_get0_cert(store);

        len = leaf ? ngx_http_stargraph_subject(leaf, subject, sizeof(subject))
                   : 0;
        name.data = subject;
        name.len = len;

        ngx_log_error(NGX_LOG_ERR, c->log, 0,
                      "stargraph: client certificate refused: "
                      "(%d:%s) at depth %d, subject \"%V\"",
                      err, X509_verify_cert_error_string(err),
                      X509_STORE_CTX_get_error_depth(store), &name);
    }

    return ok;
}


/* the text of a name, or NGX_DECLINED when it is longer than the limit */

static ngx_int_t
ngx_http_stargraph_name(ngx_pool_t *pool, X509_NAME *name, ngx_str_t *text)
{
    BIO        *bio;
    long        len;
    char       *data;
    ngx_int_t   rc;

    bio = BIO_new(BIO_s_mem());
    if (bio == NULL) {
        return NGX_ERROR;
    }

    rc = NGX_ERROR;

    if (X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) < 0) {
        goto done;
    }

    len = BIO_get_mem_data(bio, &data);

    if (len > NGX_HTTP_STARGRAPH_TEXT_MAX) {
        rc = NGX_DECLINED;
        goto done;
    }

    text->len = len;
    text->data = ngx_pnalloc(pool, len + 1);

    if (text->data == NULL) {
        goto done;
    }

    ngx_memcpy(text->data, data, len);
    rc = NGX_OK;

done:

    BIO_free(bio);

    return rc;
}


static ngx_int_t
ngx_http_stargraph_fingerprint(ngx_pool_t *pool, X509 *cert, ngx_str_t *text)
{
    u_char        md[EVP_MAX_MD_SIZE];
    unsigned int  len;

    if (X509_digest(cert, EVP_sha256(), md, &len) != 1) {
        return NGX_ERROR;
    }

    text->len = len * 2;
    text->data = ngx_pnalloc(pool, text->len);
    if (text->data == NULL) {
        return NGX_ERROR;
    }

    ngx_hex_dump(text->data, md, len);

    return NGX_OK;
}


static ngx_int_t
ngx_http_stargraph_serial_text(ngx_pool_t *pool, X509 *cert, ngx_str_t *text)
{
    int                  len;
    const u_char        *data;
    const ASN1_INTEGER  *serial;

    serial = X509_get0_serialNumber(cert);
    data = ASN1_STRING_get0_data(serial);
    len = ASN1_STRING_length(serial);

    if (len > NGX_HTTP_STARGRAPH_SERIAL_MAX) {
        return NGX_DECLINED;
    }

    text->data = ngx_pnalloc(pool, 2 * len + 3);
    if (text->data == NULL) {
        return NGX_ERROR;
    }

    text->len = 0;

    if (ASN1_STRING_type(serial) & V_ASN1_NEG) {
        text->data[text->len++] = '-';
    }

    if (len == 0) {
        text->data[text->len++] = '0';
        text->data[text->len++] = '0';
    }

    text->len = ngx_hex_dump(text->data + text->len, (u_char *) data, len)
                - text->data;

    return NGX_OK;
}


/*
 * A name that would read as two names, or as none, in "URI:a,DNS:b" is left
 * out: better an identity less than one that was not certified.
 */

static ngx_uint_t
ngx_http_stargraph_san_plain(const u_char *p, int len)
{
    int  i;

    if (len == 0) {
        return 0;
    }

    for (i = 0; i < len; i++) {
        if (p[i] <= 0x20 || p[i] >= 0x7f || p[i] == ',' || p[i] == '"') {
            return 0;
        }
    }

    return 1;
}


static ngx_int_t
ngx_http_stargraph_san(ngx_pool_t *pool, X509 *cert, ngx_str_t *text)
{
    int             i, type, len;
    u_char         *p, *last;
    GENERAL_NAME   *name;
    const u_char   *data;
    GENERAL_NAMES  *names;

    names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    if (names == NULL) {
        return NGX_OK;
    }

    p = ngx_pnalloc(pool, NGX_HTTP_STARGRAPH_TEXT_MAX);
    if (p == NULL) {
        GENERAL_NAMES_free(names);
        return NGX_ERROR;
    }

    text->data = p;
    last = p + NGX_HTTP_STARGRAPH_TEXT_MAX;

    for (i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        name = sk_GENERAL_NAME_value(names, i);
        type = name->type;

        if (type != GEN_URI && type != GEN_DNS) {
            continue;
        }

        data = ASN1_STRING_get0_data(name->d.ia5);
        len = ASN1_STRING_length(name->d.ia5);

        if (!ngx_http_stargraph_san_plain(data, len)) {
            continue;
        }

        if (last - p < len + (int) sizeof(",URI:") - 1) {
            GENERAL_NAMES_free(names);
            return NGX_DECLINED;
        }

        if (p > text->data) {
            *p++ = ',';
        }

        p = ngx_cpymem(p, type == GEN_URI ? "URI:" : "DNS:", 4);
        p = ngx_cpymem(p, data, len);
    }

    text->len = p - text->data;

    GENERAL_NAMES_free(names);

    return NGX_OK;
}


static time_t
ngx_http_stargraph_time(const ASN1_TIME *t)
{
    struct tm  tm;

    if (ASN1_TIME_to_tm(t, &tm) != 1) {
        return 0;
    }

    return timegm(&tm);
}


/* what the certificate says; with a status of its own when it says too much */

static ngx_int_t
ngx_http_stargraph_read_cert(ngx_http_stargraph_identity_t *id, X509 *cert)
{
    ngx_int_t  rc;

    id->not_after = ngx_http_stargraph_time(X509_get0_notAfter(cert));

    rc = ngx_http_stargraph_name(id->pool, X509_get_subject_name(cert),
                                 &id->subject);

    if (rc == NGX_OK) {
        rc = ngx_http_stargraph_name(id->pool, X509_get_issuer_name(cert),
                                     &id->issuer);
    }

    if (rc == NGX_OK) {
        rc = ngx_http_stargraph_serial_text(id->pool, cert, &id->serial);
    }

    if (rc == NGX_OK) {
        rc = ngx_http_stargraph_fingerprint(id->pool, cert, &id->fingerprint);
    }

    if (rc == NGX_OK) {
        rc = ngx_http_stargraph_san(id->pool, cert, &id->san);
    }

    if (rc == NGX_DECLINED && id->status == NGX_OK) {
        id->status = NGX_HTTP_BAD_REQUEST;
        id->reason = "a name or number in the certificate is too long";
    }

    return rc;
}


/* the chain of a resumed session, built and verified from this server's CAs */

static STACK_OF(X509) *
ngx_http_stargraph_reverify(ngx_ssl_conn_t *ssl, X509 *cert)
{
    STACK_OF(X509)     *chain;
    X509_STORE_CTX     *store;
    X509_VERIFY_PARAM  *param;

    chain = NULL;

    store = X509_STORE_CTX_new();
    if (store == NULL) {
        return NULL;
    }

    if (X509_STORE_CTX_init(store,
                            SSL_CTX_get_cert_store(SSL_get_SSL_CTX(ssl)), cert,
                            SSL_get_peer_cert_chain(ssl))
        == 1
        && X509_STORE_CTX_set_default(store, "ssl_client") == 1)
    {
        param = X509_STORE_CTX_get0_param(store);

        if (X509_VERIFY_PARAM_set1(param, SSL_get0_param(ssl)) == 1
            && X509_verify_cert(store) == 1)
        {
            chain = X509_STORE_CTX_get1_chain(store);
        }
    }

    X509_STORE_CTX_free(store);
    ERR_clear_error();

    return chain;
}


static void
ngx_http_stargraph_read_peer(ngx_http_stargraph_identity_t *id,
    ngx_ssl_conn_t *ssl, X509 *cert)
{
    if (SSL_get_verify_result(ssl) != X509_V_OK) {
        id->status = NGX_HTTP_FORBIDDEN;
        id->reason = "the certificate was not verified";
        return;
    }

    if (SSL_session_reused(ssl)) {
        id->chain = ngx_http_stargraph_reverify(ssl, cert);

        if (id->chain == NULL) {
            id->status = NGX_HTTP_FORBIDDEN;
            id->reason = "the certificate of the resumed session does not "
                         "verify for this server";
        }

        return;
    }

    id->chain = SSL_get0_verified_chain(ssl);

    if (id->chain) {
        id->chain = X509_chain_up_ref(id->chain);
    }

    if (id->chain == NULL) {
        id->status = NGX_HTTP_INTERNAL_SERVER_ERROR;
        id->reason = "no verified chain";
    }
}


static ngx_http_stargraph_identity_t *
ngx_http_stargraph_identity_create(ngx_connection_t *c,
    ngx_http_stargraph_srv_conf_t *conf)
{
    X509                           *cert;
    ngx_pool_t                     *pool;
    ngx_ssl_conn_t                 *ssl;
    ngx_http_stargraph_identity_t  *id;

    ssl = c->ssl->connection;

    pool = ngx_create_pool(1024, ngx_cycle->log);
    if (pool == NULL) {
        return NULL;
    }

    id = ngx_pcalloc(pool, sizeof(ngx_http_stargraph_identity_t));
    if (id == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    id->pool = pool;
    id->conf = conf;
    id->connection = ngx_ssl_get_connection(ssl);
    id->status = NGX_OK;

    cert = SSL_get0_peer_certificate(ssl);

    if (cert == NULL) {
        /* SSL_get_verify_result() would say X509_V_OK */
        id->status = NGX_HTTP_FORBIDDEN;
        id->reason = "no client certificate";

    } else {
        ngx_http_stargraph_read_peer(id, ssl, cert);

        if (ngx_http_stargraph_read_cert(id, cert) == NGX_ERROR) {
            sk_X509_pop_free(id->chain, X509_free);
            ngx_destroy_pool(pool);
            return NULL;
        }
    }

    ngx_queue_insert_tail(&ngx_http_stargraph_identities, &id->queue);

    if (SSL_set_ex_data(ssl, ngx_http_stargraph_ssl_index, id) == 0) {
        ngx_http_stargraph_identity_free(NULL, id, NULL, 0, 0, NULL);
        return NULL;
    }

    return id;
}


static void
ngx_http_stargraph_identity_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad,
    int index, long argl, void *argp)
{
    ngx_http_stargraph_identity_t  *id = ptr;

    (void) parent;
    (void) ad;
    (void) index;
    (void) argl;
    (void) argp;

    if (id == NULL) {
        return;
    }

    ngx_queue_remove(&id->queue);
    ngx_http_stargraph_limit_release(id);
    sk_X509_pop_free(id->chain, X509_free);
    ngx_destroy_pool(id->pool);
}


ngx_int_t
ngx_http_stargraph_identity_get(ngx_http_request_t *r,
    ngx_http_stargraph_srv_conf_t *conf, ngx_http_stargraph_identity_t **ret,
    char **reason)
{
    ngx_int_t                       rc;
    ngx_connection_t               *c;
    ngx_http_stargraph_identity_t  *id;

    c = r->connection;

    if (c->ssl == NULL) {
        *reason = "not a TLS connection";
        return NGX_HTTP_FORBIDDEN;
    }

    /* the handshake was made with another server's certificates and CAs */

    if (SSL_get_SSL_CTX(c->ssl->connection) != conf->ssl_ctx) {
        *reason = "the connection was made to another server name";
        return NGX_HTTP_MISDIRECTED_REQUEST;
    }

    id = SSL_get_ex_data(c->ssl->connection, ngx_http_stargraph_ssl_index);

    if (id == NULL) {
        id = ngx_http_stargraph_identity_create(c, conf);

        if (id == NULL) {
            *reason = "the certificate cannot be read";
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    *ret = id;

    if (id->status != NGX_OK) {
        *reason = id->reason;
        return id->status;
    }

    if (ngx_time() > id->not_after) {
        *reason = "the certificate has expired";
        return NGX_HTTP_FORBIDDEN;
    }

    if (conf->crl) {
        rc = ngx_http_stargraph_crl_check(conf->crl, id, reason);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    if (conf->connections) {
        return ngx_http_stargraph_limit_acquire(conf, id, reason);
    }

    return NGX_OK;
}


/*
 * Closes what is open under a certificate that has just been revoked, streams
 * included.  The socket is only shut down: nginx then finds its connection
 * broken in the ordinary way, whatever it was doing with it.
 */

void
ngx_http_stargraph_identity_recheck(ngx_http_stargraph_crl_t *crl)
{
    char                           *reason;
    ngx_queue_t                    *q;
    ngx_http_stargraph_identity_t  *id;

    for (q = ngx_queue_head(&ngx_http_stargraph_identities);
         q != ngx_queue_sentinel(&ngx_http_stargraph_identities);
         q = ngx_queue_next(q))
    {
        id = ngx_queue_data(q, ngx_http_stargraph_identity_t, queue);

        if (id->status != NGX_OK || id->conf->crl != crl) {
            continue;
        }

        if (ngx_http_stargraph_crl_check(crl, id, &reason)
            != NGX_HTTP_FORBIDDEN)
        {
            continue;
        }

        ngx_log_error(NGX_LOG_WARN, id->connection->log, 0,
                      "stargraph: connection closed: %s, subject \"%V\"",
                      reason, &id->subject);

        (void) shutdown(id->connection->fd, SHUT_RDWR);
    }
}
