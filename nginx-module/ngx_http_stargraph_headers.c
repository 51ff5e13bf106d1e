
/*
 * The request's header list.  Nothing that a client says about its own
 * identity may reach the core: every alias of the identity headers is unlinked
 * here, whatever becomes of the request afterwards.
 *
 * An alias is a name that equals one of ours when letter case and everything
 * but letters and digits is ignored: "X_Client.Cert-SUBJECT" is one.  Names
 * that merely begin like ours count too.  So do tokens of Connection,
 * Proxy-Connection and Trailer, which ask proxies to drop or to add a header.
 */


#include "ngx_http_stargraph.h"


#define NGX_HTTP_STARGRAPH_SQUEEZED  24


static ngx_str_t  ngx_http_stargraph_aliases[] = {
    ngx_string("xclientcert"),
    ngx_string("xforwardedclientcert"),
    ngx_string("xstargraphedge"),
    ngx_string("clientcert"),                /* RFC 9440 */

    /* what other proxies call the same; the core refuses them too */

    ngx_string("xforwardedtlsclient"),
    ngx_string("xsslclient"),
    ngx_string("xsslcert"),
    ngx_string("xclientdn"),
    ngx_string("xclientverify"),
    ngx_string("xamznmtls"),
    ngx_string("xarrclientcert"),
    ngx_string("sslclient"),
    ngx_null_string
};


static ngx_str_t  ngx_http_stargraph_listing[] = {
    ngx_string("connection"),
    ngx_string("proxy-connection"),
    ngx_string("trailer"),
    ngx_null_string
};


static ngx_uint_t
ngx_http_stargraph_is_alias(u_char *p, size_t len)
{
    u_char      c, name[NGX_HTTP_STARGRAPH_SQUEEZED];
    size_t      i, n;
    ngx_str_t  *alias;

    n = 0;

    for (i = 0; i < len && n < sizeof(name); i++) {
        c = ngx_tolower(p[i]);

        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {

            if (n == 0 && c != 'x' && c != 'c' && c != 's') {
                return 0;
            }

            name[n++] = c;
        }
    }

    for (alias = ngx_http_stargraph_aliases; alias->len; alias++) {
        if (n >= alias->len && ngx_memcmp(name, alias->data, alias->len) == 0) {
            return 1;
        }
    }

    return 0;
}


static ngx_uint_t
ngx_http_stargraph_lists_alias(ngx_table_elt_t *h, ngx_str_t *token)
{
    u_char     *p, *start, *end;
    ngx_str_t  *name;

    for (name = ngx_http_stargraph_listing; name->len; name++) {
        if (h->key.len == name->len
            && ngx_strncasecmp(h->key.data, name->data, name->len) == 0)
        {
            break;
        }
    }

    if (name->len == 0) {
        return 0;
    }

    end = h->value.data + h->value.len;

    for (start = h->value.data; start < end; start = p + 1) {

        for (p = start; p < end && *p != ','; p++) { /* void */ }

        if (ngx_http_stargraph_is_alias(start, p - start)) {

            while (*start == ' ' || *start == '\t') {
                start++;
            }

            token->data = start;
            token->len = p - start;
            return 1;
        }
    }

    return 0;
}


static ngx_int_t
ngx_http_stargraph_set_reason(ngx_http_request_t *r, char *what,
    ngx_str_t *name, ngx_str_t *reason)
{
    u_char  *p, *last;

    if (reason->len) {
        /* the first one is enough */
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, NGX_HTTP_STARGRAPH_REASON_MAX);
    if (p == NULL) {
        return NGX_ERROR;
    }

    last = ngx_snprintf(p, NGX_HTTP_STARGRAPH_REASON_MAX, "%s %V", what, name);

    reason->data = p;
    reason->len = last - p;

    for ( /* void */ ; p < last; p++) {
        if (*p < 0x20 || *p > 0x7e || *p == '"') {
            *p = '?';
        }
    }

    return NGX_OK;
}


/*
 * NGX_OK: the header stays; NGX_DECLINED: it has to go.
 *
 * A Connection header that lists an alias goes as a whole: the request is
 * refused anyway.
 */

static ngx_int_t
ngx_http_stargraph_judge(ngx_http_request_t *r, ngx_table_elt_t *h,
    ngx_uint_t drop_underscores, ngx_str_t *reason)
{
    ngx_int_t  rc;
    ngx_str_t  token;

    if (ngx_http_stargraph_is_alias(h->key.data, h->key.len)) {
        rc = ngx_http_stargraph_set_reason(r, "client sent header", &h->key,
                                           reason);

    } else if (ngx_http_stargraph_lists_alias(h, &token)) {
        rc = ngx_http_stargraph_set_reason(r, "client listed header", &token,
                                           reason);

    } else if (drop_underscores
               && ngx_strlchr(h->key.data, h->key.data + h->key.len, '_'))
    {
        rc = NGX_OK;

    } else {
        return NGX_OK;
    }

    return (rc == NGX_OK) ? NGX_DECLINED : NGX_ERROR;
}


/*
 * Takes element i out of its part.  Elements never move, because
 * r->headers_in.host and others point at them; a part is cut in two instead.
 */

static ngx_int_t
ngx_http_stargraph_unlink(ngx_http_request_t *r, ngx_list_part_t *part,
    ngx_uint_t i)
{
    ngx_list_t       *list;
    ngx_list_part_t  *tail;
    ngx_table_elt_t  *h;

    list = &r->headers_in.headers;
    h = part->elts;

    if (i == 0) {
        part->elts = h + 1;
        part->nelts--;
        return NGX_OK;
    }

    if (i == part->nelts - 1) {
        part->nelts--;
        return NGX_OK;
    }

    tail = ngx_palloc(r->pool, sizeof(ngx_list_part_t));
    if (tail == NULL) {
        return NGX_ERROR;
    }

    tail->elts = h + i + 1;
    tail->nelts = part->nelts - i - 1;
    tail->next = part->next;

    part->nelts = i;
    part->next = tail;

    if (list->last == part) {
        list->last = tail;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_stargraph_scan_headers(ngx_http_request_t *r,
    ngx_uint_t drop_underscores, ngx_str_t *reason)
{
    ngx_int_t         rc;
    ngx_uint_t        i, unlinked;
    ngx_list_t       *list;
    ngx_list_part_t  *part, *prev;
    ngx_table_elt_t  *h;

    list = &r->headers_in.headers;
    unlinked = 0;
    prev = NULL;

    if (list->last == NULL) {
        /* a request line that nginx could not read: there is no list yet */

        return ngx_list_init(list, r->pool, 8, sizeof(ngx_table_elt_t));
    }

    for (part = &list->part; part; part = part->next) {

        i = 0;

        while (i < part->nelts) {
            h = part->elts;

            rc = ngx_http_stargraph_judge(r, &h[i], drop_underscores, reason);

            if (rc == NGX_ERROR) {
                return NGX_ERROR;
            }

            if (rc == NGX_OK) {
                i++;
                continue;
            }

            if (ngx_http_stargraph_unlink(r, part, i) != NGX_OK) {
                return NGX_ERROR;
            }

            unlinked = 1;
        }

        if (part->nelts == 0 && prev) {
            /* loops over lists expect an empty part nowhere but in front */

            prev->next = part->next;

            if (list->last == part) {
                list->last = prev;
            }

        } else {
            prev = part;
        }
    }

    if (!unlinked) {
        return NGX_OK;
    }

    if (list->last->nelts == 0) {
        return ngx_list_init(list, r->pool, 8, sizeof(ngx_table_elt_t));
    }

    /* the last part may be shorter than it was: the next push opens another */

    list->nalloc = list->last->nelts;

    return NGX_OK;
}


ngx_int_t
ngx_http_stargraph_push_header(ngx_http_request_t *r, char *name,
    ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_in.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->key.data = (u_char *) name;
    h->key.len = ngx_strlen(name);
    h->value = *value;

    h->lowcase_key = ngx_pnalloc(r->pool, h->key.len);
    if (h->lowcase_key == NULL) {
        return NGX_ERROR;
    }

    h->hash = ngx_hash_strlow(h->lowcase_key, h->key.data, h->key.len);

    return NGX_OK;
}
