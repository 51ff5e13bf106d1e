
/*
 * X-Stargraph-Edge-Mac: proof, per request, that it was this edge that wrote
 * the identity headers.  HMAC-SHA256 over the time, a nonce, the method, the
 * raw target and the headers; the body is not covered.
 */


#include "ngx_http_stargraph.h"

#include <openssl/core_names.h>


#define NGX_HTTP_STARGRAPH_KEY_LEN    32
#define NGX_HTTP_STARGRAPH_NONCE_LEN  16
#define NGX_HTTP_STARGRAPH_MAC_LEN    32


static void
ngx_http_stargraph_mac_cleanup(void *data)
{
    EVP_MAC_CTX_free(data);
}


static ngx_int_t
ngx_http_stargraph_parse_key(u_char *hex, u_char *key)
{
    ngx_int_t   n;
    ngx_uint_t  i;

    for (i = 0; i < NGX_HTTP_STARGRAPH_KEY_LEN; i++) {
        n = ngx_hextoi(hex + 2 * i, 2);
        if (n == NGX_ERROR) {
            return NGX_ERROR;
        }

        key[i] = (u_char) n;
    }

    return NGX_OK;
}


/* returns what is wrong with the file, or NULL */

static char *
ngx_http_stargraph_read_key(ngx_str_t *name, u_char *key, ngx_err_t *err)
{
    char             *rc;
    u_char            buf[2 * NGX_HTTP_STARGRAPH_KEY_LEN + 2];
    ssize_t           n;
    ngx_fd_t          fd;
    ngx_file_info_t   fi;

    fd = ngx_open_file(name->data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);
    if (fd == NGX_INVALID_FILE) {
        *err = ngx_errno;
        return "cannot be opened";
    }

    rc = NULL;
    *err = 0;

    if (ngx_fd_info(fd, &fi) == NGX_FILE_ERROR || !ngx_is_file(&fi)) {
        rc = "is not a regular file";

    } else if (ngx_file_access(&fi) & 0077) {
        rc = "must have mode 0600: group or others have access";

    } else {
        n = ngx_read_fd(fd, buf, sizeof(buf));

        if (n == 2 * NGX_HTTP_STARGRAPH_KEY_LEN + 1
            && buf[n - 1] == '\n')
        {
            n--;
        }

        if (n != 2 * NGX_HTTP_STARGRAPH_KEY_LEN
            || ngx_http_stargraph_parse_key(buf, key) != NGX_OK)
        {
            rc = "must hold 64 hexadecimal digits and nothing else";
        }
    }

    (void) ngx_close_file(fd);
    ngx_explicit_memzero(buf, sizeof(buf));

    return rc;
}


static EVP_MAC_CTX *
ngx_http_stargraph_mac_create(u_char *key)
{
    EVP_MAC      *hmac;
    OSSL_PARAM    params[2];
    EVP_MAC_CTX  *ctx;

    hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    ctx = EVP_MAC_CTX_new(hmac);
    EVP_MAC_free(hmac);

    params[0] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
                                                 "SHA256", 0);
    params[1] = OSSL_PARAM_construct_end();

    if (ctx
        && EVP_MAC_init(ctx, key, NGX_HTTP_STARGRAPH_KEY_LEN, params) != 1)
    {
        EVP_MAC_CTX_free(ctx);
        return NULL;
    }

    return ctx;
}


char *
ngx_http_stargraph_mac_key(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_stargraph_srv_conf_t  *sgcf = conf;

    char                *what;
    u_char               key[NGX_HTTP_STARGRAPH_KEY_LEN];
    ngx_err_t            err;
    ngx_str_t           *value;
    ngx_pool_cleanup_t  *cln;

    (void) cmd;

    if (sgcf->mac) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_conf_full_name(cf->cycle, &value[1], 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    what = ngx_http_stargraph_read_key(&value[1], key, &err);

    if (what) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, err, "key file \"%V\" %s",
                           &value[1], what);
        return NGX_CONF_ERROR;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NGX_CONF_ERROR;
    }

    sgcf->mac = ngx_http_stargraph_mac_create(key);

    ngx_explicit_memzero(key, sizeof(key));

    if (sgcf->mac == NULL) {
        return "cannot be used: no HMAC";
    }

    cln->handler = ngx_http_stargraph_mac_cleanup;
    cln->data = sgcf->mac;

    sgcf->mac_place.file = cf->conf_file->file.name.data;
    sgcf->mac_place.line = cf->conf_file->line;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_stargraph_mac_line(EVP_MAC_CTX *ctx, ngx_str_t *line)
{
    return EVP_MAC_update(ctx, line->data, line->len) == 1
           && EVP_MAC_update(ctx, (u_char *) "\n", 1) == 1;
}


ngx_int_t
ngx_http_stargraph_mac(ngx_http_request_t *r, EVP_MAC_CTX *key,
    ngx_str_t *method, ngx_str_t *target, ngx_http_stargraph_identity_t *id,
    ngx_str_t *refused, ngx_str_t *mac)
{
    u_char       *p, nonce[NGX_HTTP_STARGRAPH_NONCE_LEN];
    u_char        md[NGX_HTTP_STARGRAPH_MAC_LEN];
    u_char        head[NGX_TIME_T_LEN + 2 * NGX_HTTP_STARGRAPH_NONCE_LEN + 32];
    u_char        hex[2 * NGX_HTTP_STARGRAPH_NONCE_LEN];
    size_t        len;
    ngx_int_t     ok;
    ngx_str_t     first;
    EVP_MAC_CTX  *ctx;

    if (RAND_bytes(nonce, sizeof(nonce)) != 1) {
        return NGX_ERROR;
    }

    ngx_hex_dump(hex, nonce, sizeof(nonce));

    first.data = head;
    first.len = ngx_snprintf(head, sizeof(head), "stargraph-edge-v1\n%T\n%*s",
                             ngx_time(), sizeof(hex), hex)
                - head;

    ctx = EVP_MAC_CTX_dup(key);
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    ok = ngx_http_stargraph_mac_line(ctx, &first)
         && ngx_http_stargraph_mac_line(ctx, method)
         && ngx_http_stargraph_mac_line(ctx, target)
         && ngx_http_stargraph_mac_line(ctx, &id->subject)
         && ngx_http_stargraph_mac_line(ctx, &id->issuer)
         && ngx_http_stargraph_mac_line(ctx, &id->serial)
         && ngx_http_stargraph_mac_line(ctx, &id->fingerprint)
         && ngx_http_stargraph_mac_line(ctx, &id->san)
         && ngx_http_stargraph_mac_line(ctx, refused)
         && EVP_MAC_final(ctx, md, &len, sizeof(md)) == 1
         && len == sizeof(md);

    EVP_MAC_CTX_free(ctx);

    if (!ok) {
        return NGX_ERROR;
    }

    len = sizeof("v1 t= n= mac=") - 1 + NGX_TIME_T_LEN + sizeof(hex)
          + 2 * sizeof(md);

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    mac->data = p;
    p = ngx_sprintf(p, "v1 t=%T n=%*s mac=", ngx_time(), sizeof(hex), hex);
    p = ngx_hex_dump(p, md, sizeof(md));
    mac->len = p - mac->data;

    return NGX_OK;
}
