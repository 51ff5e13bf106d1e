
/*
 * The certificate revocation list, kept by each worker for itself: loaded at
 * configuration time, looked at every second, read again when it has changed.
 * The file holds one CRL for each CA that issues client certificates, PEM or
 * one in DER.  Replace it by rename(2).
 *
 * It fails closed: while the file is missing, unreadable, malformed, not
 * signed by a CA of the server, older than the one before, or past its
 * nextUpdate, nobody is let in.
 */


#include "ngx_http_stargraph.h"


/* the largest file that is read, in bytes */
#define NGX_HTTP_STARGRAPH_CRL_SIZE_MAX  (64 * 1024 * 1024)

/* the most CRLs in one file */
#define NGX_HTTP_STARGRAPH_CRL_MAX       16

/* how often the file is looked at, in milliseconds */
#define NGX_HTTP_STARGRAPH_CRL_INTERVAL  1000


/* what one issuer revoked */

typedef struct {
    X509_NAME                    *issuer;
    time_t                        this_update;
    ngx_uint_t                    nserials;
    ngx_http_stargraph_serial_t  *serials;       /* sorted */
} ngx_http_stargraph_list_t;


typedef struct {
    ngx_uint_t                    nlists;
    ngx_http_stargraph_list_t     lists[NGX_HTTP_STARGRAPH_CRL_MAX];
    time_t                        next_update;   /* the earliest of them */
} ngx_http_stargraph_lists_t;


struct ngx_http_stargraph_crl_s {
    ngx_connection_t              dumb;          /* events expect one */
    ngx_event_t                   timer;

    ngx_str_t                     path;
    SSL_CTX                      *ssl_ctx;       /* whose CAs sign it */

    ngx_http_stargraph_lists_t   *lists;
    char                         *error;         /* why all is refused, NULL */
    ngx_uint_t                    generation;    /* counts loads, from 1 */

    ngx_file_info_t               seen;          /* the file as last read */
    ngx_flag_t                    expired;       /* said so already */
};


static void
ngx_http_stargraph_lists_free(ngx_http_stargraph_lists_t *lists)
{
    ngx_uint_t  i;

    if (lists == NULL) {
        return;
    }

    for (i = 0; i < lists->nlists; i++) {
        X509_NAME_free(lists->lists[i].issuer);
        ngx_free(lists->lists[i].serials);
    }

    ngx_free(lists);
}


static ngx_int_t
ngx_http_stargraph_serial(const ASN1_INTEGER *number,
    ngx_http_stargraph_serial_t *serial)
{
    int  len;

    len = ASN1_STRING_length(number);

    if (len < 0 || len > NGX_HTTP_STARGRAPH_SERIAL_MAX) {
        return NGX_ERROR;
    }

    ngx_memzero(serial, sizeof(ngx_http_stargraph_serial_t));
    serial->data[0] = (u_char) len;
    serial->data[1] = (ASN1_STRING_type(number) & V_ASN1_NEG) ? 1 : 0;
    ngx_memcpy(&serial->data[2], ASN1_STRING_get0_data(number), len);

    return NGX_OK;
}


static int ngx_libc_cdecl
ngx_http_stargraph_cmp_serials(const void *one, const void *two)
{
    return ngx_memcmp(one, two, sizeof(ngx_http_stargraph_serial_t));
}


static ngx_uint_t
ngx_http_stargraph_listed(ngx_http_stargraph_list_t *list,
    ngx_http_stargraph_serial_t *serial)
{
    int         rc;
    ngx_uint_t  low, high, mid;

    low = 0;
    high = list->nserials;

    while (low < high) {
        mid = low + (high - low) / 2;
        rc = ngx_http_stargraph_cmp_serials(serial, &list->serials[mid]);

        if (rc == 0) {
            return 1;
        }

        if (rc < 0) {
            high = mid;

        } else {
            low = mid + 1;
        }
    }

    return 0;
}


static ngx_http_stargraph_list_t *
ngx_http_stargraph_find_list(ngx_http_stargraph_lists_t *lists,
    X509_NAME *issuer)
{
    ngx_uint_t  i;

    for (i = 0; i < lists->nlists; i++) {
        if (X509_NAME_cmp(lists->lists[i].issuer, issuer) == 0) {
            return &lists->lists[i];
        }
    }

    return NULL;
}


static int
ngx_http_stargraph_cert_error(ngx_http_stargraph_lists_t *lists, X509 *cert)
{
    ngx_http_stargraph_list_t    *list;
    ngx_http_stargraph_serial_t   serial;

    list = ngx_http_stargraph_find_list(lists, X509_get_issuer_name(cert));
    if (list == NULL) {
        return X509_V_ERR_UNABLE_TO_GET_CRL;
    }

    if (ngx_http_stargraph_serial(X509_get0_serialNumber(cert), &serial)
        != NGX_OK
        || ngx_http_stargraph_listed(list, &serial))
    {
        return X509_V_ERR_CERT_REVOKED;
    }

    return X509_V_OK;
}


/* is it signed by a CA that this server trusts, and that may sign CRLs? */

static ngx_uint_t
ngx_http_stargraph_crl_signed(SSL_CTX *ctx, X509_CRL *crl)
{
    int                    i;
    X509                  *ca;
    X509_NAME             *issuer;
    STACK_OF(X509_OBJECT) *objects;

    issuer = X509_CRL_get_issuer(crl);
    objects = X509_STORE_get0_objects(SSL_CTX_get_cert_store(ctx));

    for (i = 0; i < sk_X509_OBJECT_num(objects); i++) {
        ca = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));

        if (ca == NULL
            || X509_NAME_cmp(X509_get_subject_name(ca), issuer) != 0
            || !(X509_get_key_usage(ca) & KU_CRL_SIGN))
        {
            continue;
        }

        if (X509_CRL_verify(crl, X509_get0_pubkey(ca)) == 1) {
            return 1;
        }
    }

    return 0;
}


static time_t
ngx_http_stargraph_crl_time(const ASN1_TIME *t)
{
    struct tm  tm;

    if (t == NULL || ASN1_TIME_to_tm(t, &tm) != 1) {
        return -1;
    }

    return timegm(&tm);
}


static char *
ngx_http_stargraph_copy_serials(ngx_http_stargraph_list_t *list, X509_CRL *crl,
    ngx_log_t *log)
{
    int                     i, n;
    X509_REVOKED           *revoked;
    STACK_OF(X509_REVOKED) *entries;

    entries = X509_CRL_get_REVOKED(crl);
    n = entries ? sk_X509_REVOKED_num(entries) : 0;

    list->serials = ngx_alloc((n + 1) * sizeof(ngx_http_stargraph_serial_t),
                              log);
    if (list->serials == NULL) {
        return "no memory";
    }

    for (i = 0; i < n; i++) {
        revoked = sk_X509_REVOKED_value(entries, i);

        if (ngx_http_stargraph_serial(X509_REVOKED_get0_serialNumber(revoked),
                                      &list->serials[i])
            != NGX_OK)
        {
            return "a serial number is too long";
        }
    }

    list->nserials = n;

    ngx_qsort(list->serials, n, sizeof(ngx_http_stargraph_serial_t),
              ngx_http_stargraph_cmp_serials);

    return NULL;
}


/* returns what is wrong with the CRL, or NULL */

static char *
ngx_http_stargraph_add_list(ngx_http_stargraph_crl_t *sgcrl,
    ngx_http_stargraph_lists_t *lists, X509_CRL *crl, ngx_log_t *log)
{
    time_t                      next;
    ngx_http_stargraph_list_t  *list, *old;

    if (lists->nlists == NGX_HTTP_STARGRAPH_CRL_MAX) {
        return "more than 16 CRLs in the file";
    }

    if (X509_CRL_get_ext_by_critical(crl, 1, -1) >= 0) {
        return "a critical extension (partitioned, indirect or delta CRL)";
    }

    if (!ngx_http_stargraph_crl_signed(sgcrl->ssl_ctx, crl)) {
        return "not signed by a CA of ssl_client_certificate";
    }

    if (ngx_http_stargraph_find_list(lists, X509_CRL_get_issuer(crl))) {
        return "two CRLs of one issuer";
    }

    list = &lists->lists[lists->nlists];

    list->this_update = ngx_http_stargraph_crl_time(
                                              X509_CRL_get0_lastUpdate(crl));
    next = ngx_http_stargraph_crl_time(X509_CRL_get0_nextUpdate(crl));

    if (list->this_update == -1 || next == -1) {
        return "no thisUpdate or no nextUpdate";
    }

    if (list->this_update > time(NULL)) {
        return "not yet valid";
    }

    if (next <= time(NULL)) {
        return "expired";
    }

    old = sgcrl->lists ? ngx_http_stargraph_find_list(sgcrl->lists,
                                                 X509_CRL_get_issuer(crl))
                       : NULL;

    if (old && list->this_update < old->this_update) {
        return "older than the one it replaces";
    }

    list->issuer = X509_NAME_dup(X509_CRL_get_issuer(crl));
    if (list->issuer == NULL) {
        return "no memory";
    }

    lists->nlists++;

    if (lists->nlists == 1 || next < lists->next_update) {
        lists->next_update = next;
    }

    return ngx_http_stargraph_copy_serials(list, crl, log);
}


static char *
ngx_http_stargraph_parse_crls(ngx_http_stargraph_crl_t *sgcrl,
    ngx_http_stargraph_lists_t *lists, u_char *data, size_t len,
    ngx_log_t *log)
{
    BIO           *bio;
    char          *error;
    X509_CRL      *crl;
    ngx_uint_t     pem;
    unsigned long  n;

    bio = BIO_new_mem_buf(data, (int) len);
    if (bio == NULL) {
        return "no memory";
    }

    pem = (len == 0 || data[0] != 0x30);
    error = NULL;

    for ( ;; ) {
        ERR_clear_error();

        crl = pem ? PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL)
                  : d2i_X509_CRL_bio(bio, NULL);

        if (crl == NULL) {
            n = ERR_peek_last_error();

            if (lists->nlists == 0
                || (pem && ERR_GET_REASON(n) != PEM_R_NO_START_LINE))
            {
                error = "malformed";
            }

            break;
        }

        error = ngx_http_stargraph_add_list(sgcrl, lists, crl, log);
        X509_CRL_free(crl);

        if (error || !pem) {
            break;
        }
    }

    ERR_clear_error();
    BIO_free(bio);

    return error;
}


static char *
ngx_http_stargraph_read_file(ngx_http_stargraph_crl_t *sgcrl, u_char **data,
    size_t *len, ngx_log_t *log)
{
    char       *error;
    off_t       size;
    ssize_t     n;
    ngx_fd_t    fd;

    fd = ngx_open_file(sgcrl->path.data, NGX_FILE_RDONLY|NGX_FILE_NONBLOCK,
                       NGX_FILE_OPEN, 0);
    if (fd == NGX_INVALID_FILE) {
        return "cannot be opened";
    }

    error = NULL;
    *data = NULL;

    if (ngx_fd_info(fd, &sgcrl->seen) == NGX_FILE_ERROR
        || !ngx_is_file(&sgcrl->seen))
    {
        error = "not a regular file";
        goto done;
    }

    size = ngx_file_size(&sgcrl->seen);

    if (size == 0 || size > NGX_HTTP_STARGRAPH_CRL_SIZE_MAX) {
        error = "empty, or larger than 64 MiB";
        goto done;
    }

    *data = ngx_alloc(size, log);
    if (*data == NULL) {
        error = "no memory";
        goto done;
    }

    for (*len = 0; *len < (size_t) size; *len += n) {
        n = ngx_read_fd(fd, *data + *len, size - *len);

        if (n <= 0) {
            error = "cannot be read";
            break;
        }
    }

done:

    (void) ngx_close_file(fd);

    return error;
}


/* NGX_OK, or NGX_ERROR and the reason in crl->error: all is refused then */

static ngx_int_t
ngx_http_stargraph_crl_load(ngx_http_stargraph_crl_t *sgcrl, ngx_log_t *log)
{
    char                        *error;
    u_char                      *data;
    size_t                       len;
    ngx_http_stargraph_lists_t  *lists;

    ngx_memzero(&sgcrl->seen, sizeof(ngx_file_info_t));

    data = NULL;

    lists = ngx_calloc(sizeof(ngx_http_stargraph_lists_t), log);

    error = lists ? ngx_http_stargraph_read_file(sgcrl, &data, &len, log)
                  : "no memory";

    if (error == NULL) {
        error = ngx_http_stargraph_parse_crls(sgcrl, lists, data, len, log);
    }

    ngx_free(data);

    sgcrl->error = error;

    if (error) {
        ngx_http_stargraph_lists_free(lists);
        return NGX_ERROR;
    }

    ngx_http_stargraph_lists_free(sgcrl->lists);
    sgcrl->lists = lists;
    sgcrl->generation++;
    sgcrl->expired = 0;

    return NGX_OK;
}


static ngx_uint_t
ngx_http_stargraph_crl_changed(ngx_http_stargraph_crl_t *sgcrl)
{
    ngx_file_info_t   now, *seen;

    seen = &sgcrl->seen;

    if (ngx_file_info(sgcrl->path.data, &now) == NGX_FILE_ERROR) {
        return 1;
    }

    return now.st_ino != seen->st_ino
           || now.st_dev != seen->st_dev
           || now.st_size != seen->st_size
           || now.st_mtim.tv_sec != seen->st_mtim.tv_sec
           || now.st_mtim.tv_nsec != seen->st_mtim.tv_nsec
           || now.st_ctim.tv_sec != seen->st_ctim.tv_sec
           || now.st_ctim.tv_nsec != seen->st_ctim.tv_nsec;
}


static void
ngx_http_stargraph_crl_watch(ngx_event_t *ev)
{
    char                      *before;
    ngx_connection_t          *c = ev->data;
    ngx_http_stargraph_crl_t  *sgcrl;

    sgcrl = c->data;

    ngx_add_timer(&sgcrl->timer, NGX_HTTP_STARGRAPH_CRL_INTERVAL);

    if (sgcrl->lists && ngx_time() >= sgcrl->lists->next_update
        && !sgcrl->expired)
    {
        sgcrl->expired = 1;
        ngx_log_error(NGX_LOG_CRIT, ev->log, 0,
                      "stargraph: CRL \"%V\" has expired: "
                      "every client is refused until there is a new one",
                      &sgcrl->path);
    }

    if (!ngx_http_stargraph_crl_changed(sgcrl)) {
        return;
    }

    before = sgcrl->error;

    if (ngx_http_stargraph_crl_load(sgcrl, ev->log) == NGX_OK) {
        ngx_log_error(NGX_LOG_NOTICE, ev->log, 0,
                      "stargraph: CRL \"%V\" read again", &sgcrl->path);

        ngx_http_stargraph_identity_recheck(sgcrl);
        return;
    }

    if (before == NULL || ngx_strcmp(before, sgcrl->error) != 0) {
        ngx_log_error(NGX_LOG_CRIT, ev->log, 0,
                      "stargraph: CRL \"%V\": %s: "
                      "every client is refused until this is mended",
                      &sgcrl->path, sgcrl->error);
    }
}


static void
ngx_http_stargraph_crl_cleanup(void *data)
{
    ngx_http_stargraph_crl_t  *sgcrl = data;

    ngx_http_stargraph_lists_free(sgcrl->lists);
}


ngx_int_t
ngx_http_stargraph_crl_server(ngx_conf_t *cf,
    ngx_http_stargraph_srv_conf_t *conf)
{
    ngx_pool_cleanup_t              *cln;
    ngx_http_stargraph_crl_t        *sgcrl, **slot;
    ngx_http_stargraph_main_conf_t  *smcf;

    smcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_stargraph_module);

    cln = ngx_pool_cleanup_add(cf->pool, sizeof(ngx_http_stargraph_crl_t));
    slot = ngx_array_push(&smcf->crls);

    if (cln == NULL || slot == NULL) {
        return NGX_ERROR;
    }

    sgcrl = cln->data;
    ngx_memzero(sgcrl, sizeof(ngx_http_stargraph_crl_t));
    cln->handler = ngx_http_stargraph_crl_cleanup;

    sgcrl->path = conf->crl_file;
    sgcrl->ssl_ctx = conf->ssl_ctx;
    sgcrl->timer.handler = ngx_http_stargraph_crl_watch;
    sgcrl->timer.data = &sgcrl->dumb;
    sgcrl->dumb.data = sgcrl;
    sgcrl->dumb.fd = (ngx_socket_t) -1;
    sgcrl->timer.cancelable = 1;

    if (ngx_http_stargraph_crl_load(sgcrl, cf->log) != NGX_OK) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"stargraph_crl\" file \"%V\": %s in %s:%ui",
                      &sgcrl->path, sgcrl->error, conf->crl_place.file,
                      conf->crl_place.line);
        return NGX_ERROR;
    }

    *slot = sgcrl;
    conf->crl = sgcrl;

    return NGX_OK;
}


ngx_int_t
ngx_http_stargraph_crl_init_process(ngx_cycle_t *cycle)
{
    ngx_uint_t                       i;
    ngx_http_stargraph_crl_t       **crls;
    ngx_http_stargraph_main_conf_t  *smcf;

    smcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_stargraph_module);
    if (smcf == NULL) {
        return NGX_OK;
    }

    crls = smcf->crls.elts;

    for (i = 0; i < smcf->crls.nelts; i++) {
        crls[i]->timer.log = cycle->log;
        ngx_add_timer(&crls[i]->timer, NGX_HTTP_STARGRAPH_CRL_INTERVAL);
    }

    return NGX_OK;
}


static char *
ngx_http_stargraph_crl_closed(ngx_http_stargraph_crl_t *sgcrl)
{
    if (sgcrl->error) {
        return "the revocation list cannot be used";
    }

    if (ngx_time() >= sgcrl->lists->next_update) {
        return "the revocation list has expired";
    }

    return NULL;
}


int
ngx_http_stargraph_crl_verify_error(ngx_http_stargraph_crl_t *sgcrl,
    X509 *cert)
{
    if (ngx_http_stargraph_crl_closed(sgcrl)) {
        return sgcrl->error ? X509_V_ERR_UNABLE_TO_GET_CRL
                            : X509_V_ERR_CRL_HAS_EXPIRED;
    }

    return ngx_http_stargraph_cert_error(sgcrl->lists, cert);
}


ngx_int_t
ngx_http_stargraph_crl_check(ngx_http_stargraph_crl_t *sgcrl,
    ngx_http_stargraph_identity_t *id, char **reason)
{
    int  i, n;

    *reason = ngx_http_stargraph_crl_closed(sgcrl);

    if (*reason) {
        return NGX_HTTP_SERVICE_UNAVAILABLE;
    }

    if (id->crl_generation != sgcrl->generation) {
        id->crl_generation = sgcrl->generation;
        id->crl_revoked = 0;

        n = sk_X509_num(id->chain);

        /* the trust anchor is the operator's own choice */

        for (i = 0; i == 0 || i < n - 1; i++) {
            if (ngx_http_stargraph_cert_error(sgcrl->lists,
                                              sk_X509_value(id->chain, i))
                != X509_V_OK)
            {
                id->crl_revoked = 1;
                break;
            }
        }
    }

    if (id->crl_revoked) {
        *reason = "the certificate has been revoked";
        return NGX_HTTP_FORBIDDEN;
    }

    return NGX_OK;
}
