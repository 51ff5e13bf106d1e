
/*
 * What nginx -t refuses or warns of, beyond the syntax: whatever would make
 * the module check less than its directives promise.  Most of it can only be
 * known when the whole http block has been read, so each message carries the
 * place of the directive it is about.
 */


#include "ngx_http_stargraph.h"


/* the core's address in the guide: warned of even where the module is unused */
#define NGX_HTTP_STARGRAPH_GUIDE_ADDR  "127.0.0.1:8000"


typedef struct {
    ngx_array_t                   cores;     /* ngx_http_upstream_srv_conf_t * */
    ngx_uint_t                    collect;   /* else warn */
    ngx_http_core_srv_conf_t     *server;
    ngx_log_t                    *log;
} ngx_http_stargraph_lint_t;


extern ngx_module_t  ngx_http_proxy_module;


static ngx_int_t
ngx_http_stargraph_mistake(ngx_conf_t *cf, char *what,
    ngx_http_stargraph_place_t *place)
{
    ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "%s in %s:%ui", what,
                  place->file, place->line);

    return NGX_ERROR;
}


/* does every address the server listens on speak TLS? */

static ngx_int_t
ngx_http_stargraph_check_listen(ngx_conf_t *cf,
    ngx_http_core_srv_conf_t *cscf, ngx_http_stargraph_srv_conf_t *conf)
{
    ngx_uint_t                   p, a, s;
    ngx_http_conf_addr_t        *addr;
    ngx_http_conf_port_t        *port;
    ngx_http_core_srv_conf_t   **server;
    ngx_http_core_main_conf_t   *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    if (cmcf->ports == NULL) {
        return NGX_OK;
    }

    port = cmcf->ports->elts;

    for (p = 0; p < cmcf->ports->nelts; p++) {
        addr = port[p].addrs.elts;

        for (a = 0; a < port[p].addrs.nelts; a++) {
            server = addr[a].servers.elts;

            for (s = 0; s < addr[a].servers.nelts; s++) {

                if (server[s] != cscf || addr[a].opt.ssl) {
                    continue;
                }

                ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                              "\"stargraph_client_auth\" is on, but the "
                              "server listens without ssl on %V in %s:%ui",
                              &addr[a].opt.addr_text, conf->enable_place.file,
                              conf->enable_place.line);
                return NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}


static ngx_http_core_loc_conf_t *
ngx_http_stargraph_find_exact(ngx_http_location_tree_node_t *node,
    ngx_str_t *uri)
{
    size_t      len, n;
    u_char     *p;
    ngx_int_t   rc;

    p = uri->data;
    len = uri->len;

    while (node) {
        n = ngx_min(len, (size_t) node->len);

        rc = ngx_filename_cmp(p, node->name, n);

        if (rc != 0) {
            node = (rc < 0) ? node->left : node->right;
            continue;
        }

        if (len > (size_t) node->len) {
            node = node->tree;
            p += n;
            len -= n;
            continue;
        }

        if (len == (size_t) node->len) {
            return node->exact;
        }

        node = node->left;
    }

    return NULL;
}


static ngx_int_t
ngx_http_stargraph_check_report(ngx_conf_t *cf,
    ngx_http_core_srv_conf_t *cscf, ngx_http_stargraph_srv_conf_t *conf)
{
    ngx_http_core_loc_conf_t  *clcf, *root;

    if (conf->report.len == 0) {
        return NGX_OK;
    }

    root = cscf->ctx->loc_conf[ngx_http_core_module.ctx_index];
    clcf = ngx_http_stargraph_find_exact(root->static_locations, &conf->report);

    if (clcf == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"stargraph_report\" needs a \"location = %V\" "
                      "in the same server in %s:%ui", &conf->report,
                      conf->report_place.file, conf->report_place.line);
        return NGX_ERROR;
    }

    if (!clcf->internal) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"stargraph_report\": the location \"%V\" must be "
                      "\"internal\" in %s:%ui", &conf->report,
                      conf->report_place.file, conf->report_place.line);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_stargraph_check_on(ngx_conf_t *cf, ngx_http_core_srv_conf_t *cscf,
    ngx_http_stargraph_srv_conf_t *conf)
{
    ngx_http_ssl_srv_conf_t  *sscf;

    if (ngx_http_stargraph_check_listen(cf, cscf, conf) != NGX_OK) {
        return NGX_ERROR;
    }

    sscf = cscf->ctx->srv_conf[ngx_http_ssl_module.ctx_index];

    if (sscf->ssl.ctx == NULL || sscf->certificates == NULL) {
        return ngx_http_stargraph_mistake(cf,
                   "\"stargraph_client_auth\" is on, "
                   "but there is no \"ssl_certificate\"", &conf->enable_place);
    }

    if (sscf->verify != 1) {
        return ngx_http_stargraph_mistake(cf,
                   "\"stargraph_client_auth\" is on, "
                   "but \"ssl_verify_client\" is not", &conf->enable_place);
    }

    if (sscf->early_data) {
        return ngx_http_stargraph_mistake(cf,
                   "\"stargraph_client_auth\" is on, but so is "
                   "\"ssl_early_data\", which can be replayed",
                   &conf->enable_place);
    }

    conf->ssl_ctx = sscf->ssl.ctx;

    /*
     * nginx drops names with underscores before anybody sees them; ours have
     * to be seen to be refused, and the others are then dropped by us
     */

    conf->drop_underscores = !cscf->underscores_in_headers;
    cscf->underscores_in_headers = 1;

    if (ngx_http_stargraph_check_report(cf, cscf, conf) != NGX_OK
        || ngx_http_stargraph_identity_server(cf, conf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (conf->crl_file.len) {
        return ngx_http_stargraph_crl_server(cf, conf);
    }

    return NGX_OK;
}


/* a directive that stands in a server where nothing would heed it */

static ngx_int_t
ngx_http_stargraph_check_off(ngx_conf_t *cf,
    ngx_http_stargraph_srv_conf_t *conf)
{
    ngx_http_conf_ctx_t            *ctx;
    ngx_http_stargraph_srv_conf_t  *main;

    ctx = cf->ctx;
    main = ctx->srv_conf[ngx_http_stargraph_module.ctx_index];

    if (conf->report_place.line != main->report_place.line) {
        return ngx_http_stargraph_mistake(cf,
                   "\"stargraph_report\" without "
                   "\"stargraph_client_auth on\"", &conf->report_place);
    }

    if (conf->mac_place.line != main->mac_place.line) {
        return ngx_http_stargraph_mistake(cf,
                   "\"stargraph_mac_key\" without "
                   "\"stargraph_client_auth on\"", &conf->mac_place);
    }

    if (conf->connections_place.line != main->connections_place.line) {
        return ngx_http_stargraph_mistake(cf,
                   "\"stargraph_connections\" without "
                   "\"stargraph_client_auth on\"", &conf->connections_place);
    }

    if (conf->crl_place.line != main->crl_place.line) {
        return ngx_http_stargraph_mistake(cf,
                   "\"stargraph_crl\" without "
                   "\"stargraph_client_auth on\"", &conf->crl_place);
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_http_stargraph_same_server(ngx_http_upstream_srv_conf_t *one,
    ngx_http_upstream_srv_conf_t *two)
{
    ngx_uint_t                   i, j, m, n;
    ngx_http_upstream_server_t  *a, *b;

    if (one == two) {
        return 1;
    }

    if (one->servers == NULL || two->servers == NULL) {
        return 0;
    }

    a = one->servers->elts;
    b = two->servers->elts;

    for (i = 0; i < one->servers->nelts; i++) {
        for (j = 0; j < two->servers->nelts; j++) {
            for (m = 0; m < a[i].naddrs; m++) {
                for (n = 0; n < b[j].naddrs; n++) {
                    if (ngx_cmp_sockaddr(a[i].addrs[m].sockaddr,
                                         a[i].addrs[m].socklen,
                                         b[j].addrs[n].sockaddr,
                                         b[j].addrs[n].socklen, 1)
                        == NGX_OK)
                    {
                        return 1;
                    }
                }
            }
        }
    }

    return 0;
}


static ngx_uint_t
ngx_http_stargraph_is_guide(ngx_http_upstream_srv_conf_t *uscf)
{
    ngx_uint_t                   i, n;
    ngx_http_upstream_server_t  *server;

    if (uscf->servers == NULL) {
        return 0;
    }

    server = uscf->servers->elts;

    for (i = 0; i < uscf->servers->nelts; i++) {
        for (n = 0; n < server[i].naddrs; n++) {
            if (server[i].addrs[n].name.len
                == sizeof(NGX_HTTP_STARGRAPH_GUIDE_ADDR) - 1
                && ngx_strncmp(server[i].addrs[n].name.data,
                               NGX_HTTP_STARGRAPH_GUIDE_ADDR,
                               sizeof(NGX_HTTP_STARGRAPH_GUIDE_ADDR) - 1)
                   == 0)
            {
                return 1;
            }
        }
    }

    return 0;
}


static ngx_int_t
ngx_http_stargraph_lint_proxy(ngx_http_stargraph_lint_t *lint,
    ngx_http_core_loc_conf_t *clcf, void **loc_conf)
{
    ngx_uint_t                      i, core;
    ngx_http_upstream_conf_t       *plcf;
    ngx_http_upstream_srv_conf_t   *uscf, **known;

    if (loc_conf == NULL) {
        return NGX_OK;
    }

    /* the proxy module's private structure begins with this public one */

    plcf = loc_conf[ngx_http_proxy_module.ctx_index];
    uscf = plcf ? plcf->upstream : NULL;

    if (uscf == NULL) {
        return NGX_OK;
    }

    if (lint->collect) {
        known = ngx_array_push(&lint->cores);
        if (known == NULL) {
            return NGX_ERROR;
        }

        *known = uscf;
        return NGX_OK;
    }

    core = ngx_http_stargraph_is_guide(uscf);
    known = lint->cores.elts;

    for (i = 0; i < lint->cores.nelts && !core; i++) {
        core = ngx_http_stargraph_same_server(uscf, known[i]);
    }

    if (core) {
        ngx_log_error(NGX_LOG_WARN, lint->log, 0,
                      "the location \"%V\" reaches the Stargraph core at "
                      "\"%V\" without \"stargraph_client_auth on\" in the "
                      "server in %s:%ui", &clcf->name, &uscf->host,
                      lint->server->file_name, lint->server->line);
    }

    return NGX_OK;
}


static ngx_int_t ngx_http_stargraph_lint_location(
    ngx_http_stargraph_lint_t *lint, ngx_http_core_loc_conf_t *clcf);


static ngx_int_t
ngx_http_stargraph_lint_tree(ngx_http_stargraph_lint_t *lint,
    ngx_http_location_tree_node_t *node)
{
    if (node == NULL) {
        return NGX_OK;
    }

    if (ngx_http_stargraph_lint_location(lint, node->exact) != NGX_OK
        || ngx_http_stargraph_lint_location(lint, node->inclusive) != NGX_OK
        || ngx_http_stargraph_lint_tree(lint, node->left) != NGX_OK
        || ngx_http_stargraph_lint_tree(lint, node->tree) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_stargraph_lint_tree(lint, node->right);
}


static ngx_int_t
ngx_http_stargraph_lint_list(ngx_http_stargraph_lint_t *lint,
    ngx_http_core_loc_conf_t **clcfp)
{
    for ( /* void */ ; clcfp && *clcfp; clcfp++) {
        if (ngx_http_stargraph_lint_location(lint, *clcfp) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_stargraph_lint_location(ngx_http_stargraph_lint_t *lint,
    ngx_http_core_loc_conf_t *clcf)
{
    if (clcf == NULL) {
        return NGX_OK;
    }

    if (ngx_http_stargraph_lint_proxy(lint, clcf, clcf->loc_conf) != NGX_OK
        || ngx_http_stargraph_lint_proxy(lint, clcf,
                                         clcf->limit_except_loc_conf)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

#if (NGX_PCRE)
    if (ngx_http_stargraph_lint_list(lint, clcf->regex_locations) != NGX_OK) {
        return NGX_ERROR;
    }
#endif

    return ngx_http_stargraph_lint_tree(lint, clcf->static_locations);
}


/* warns of a server block that proxies to the core, but not through us */

static ngx_int_t
ngx_http_stargraph_lint(ngx_conf_t *cf, ngx_http_core_main_conf_t *cmcf)
{
    ngx_uint_t                       s, pass;
    ngx_http_core_loc_conf_t        *clcf;
    ngx_http_core_srv_conf_t       **cscfp;
    ngx_http_stargraph_lint_t        lint;
    ngx_http_stargraph_srv_conf_t   *conf;

    if (ngx_array_init(&lint.cores, cf->temp_pool, 4, sizeof(void *))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    lint.log = cf->log;
    cscfp = cmcf->servers.elts;

    for (pass = 0; pass < 2; pass++) {
        lint.collect = (pass == 0);

        for (s = 0; s < cmcf->servers.nelts; s++) {
            conf = cscfp[s]->ctx->srv_conf[ngx_http_stargraph_module.ctx_index];

            if (lint.collect != (ngx_uint_t) conf->enable) {
                continue;
            }

            lint.server = cscfp[s];
            clcf = cscfp[s]->ctx->loc_conf[ngx_http_core_module.ctx_index];

            if (ngx_http_stargraph_lint_location(&lint, clcf) != NGX_OK
                || ngx_http_stargraph_lint_list(&lint,
                                                cscfp[s]->named_locations)
                   != NGX_OK)
            {
                return NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_stargraph_check_servers(ngx_conf_t *cf)
{
    ngx_int_t                        rc;
    ngx_uint_t                       s;
    ngx_http_core_srv_conf_t       **cscfp;
    ngx_http_core_main_conf_t       *cmcf;
    ngx_http_stargraph_srv_conf_t   *conf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);
    cscfp = cmcf->servers.elts;

    for (s = 0; s < cmcf->servers.nelts; s++) {
        conf = cscfp[s]->ctx->srv_conf[ngx_http_stargraph_module.ctx_index];

        rc = conf->enable ? ngx_http_stargraph_check_on(cf, cscfp[s], conf)
                          : ngx_http_stargraph_check_off(cf, conf);

        if (rc != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return ngx_http_stargraph_lint(cf, cmcf);
}
