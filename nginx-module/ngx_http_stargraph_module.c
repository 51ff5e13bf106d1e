
/*
 * ngx_http_stargraph_module: nginx as the edge of a Stargraph core.
 *
 * A request to a server with "stargraph_client_auth on" reaches the core with
 * the verified client certificate in X-Client-Cert-*, and with nothing in it
 * that the client itself said about that; or it does not reach the core.
 *
 * That is decided in the POST_READ phase, before any rewrite or return, for
 * every request.  Requests that nginx refuses earlier (a malformed header, for
 * instance) may still be sent somewhere by error_page; they skip POST_READ, so
 * the PREACCESS phase decides for whatever arrives there undecided.
 *
 * The directives are described in README.md.
 */


#include "ngx_http_stargraph.h"


typedef struct {
    char                         *name;
    size_t                        offset;        /* in the identity */
} ngx_http_stargraph_header_t;


static ngx_int_t ngx_http_stargraph_post_read_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_stargraph_preaccess_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_stargraph_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_stargraph_refused_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_stargraph_add_variables(ngx_conf_t *cf);
static ngx_int_t ngx_http_stargraph_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_stargraph_init_process(ngx_cycle_t *cycle);
static void *ngx_http_stargraph_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_stargraph_create_srv_conf(ngx_conf_t *cf);
static char *ngx_http_stargraph_merge_srv_conf(ngx_conf_t *cf, void *parent,
    void *child);
static char *ngx_http_stargraph_client_auth(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static char *ngx_http_stargraph_report(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_stargraph_crl(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


static ngx_command_t  ngx_http_stargraph_commands[] = {

    { ngx_string("stargraph_client_auth"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_CONF_FLAG,
      ngx_http_stargraph_client_auth,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_stargraph_srv_conf_t, enable),
      NULL },

    { ngx_string("stargraph_report"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_CONF_TAKE1,
      ngx_http_stargraph_report,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_stargraph_srv_conf_t, report),
      NULL },

    { ngx_string("stargraph_mac_key"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_CONF_TAKE1,
      ngx_http_stargraph_mac_key,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("stargraph_crl"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_CONF_TAKE1,
      ngx_http_stargraph_crl,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_stargraph_srv_conf_t, crl_file),
      NULL },

    { ngx_string("stargraph_connections"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_CONF_TAKE1,
      ngx_http_stargraph_connections,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_stargraph_module_ctx = {
    ngx_http_stargraph_add_variables,      /* preconfiguration */
    ngx_http_stargraph_init,               /* postconfiguration */

    ngx_http_stargraph_create_main_conf,   /* create main configuration */
    NULL,                                  /* init main configuration */

    ngx_http_stargraph_create_srv_conf,    /* create server configuration */
    ngx_http_stargraph_merge_srv_conf,     /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_stargraph_module = {
    NGX_MODULE_V1,
    &ngx_http_stargraph_module_ctx,        /* module context */
    ngx_http_stargraph_commands,           /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_stargraph_init_process,       /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_http_stargraph_header_t  ngx_http_stargraph_headers[] = {
    { "X-Client-Cert-Subject",
      offsetof(ngx_http_stargraph_identity_t, subject) },
    { "X-Client-Cert-Issuer",
      offsetof(ngx_http_stargraph_identity_t, issuer) },
    { "X-Client-Cert-Serial",
      offsetof(ngx_http_stargraph_identity_t, serial) },
    { "X-Client-Cert-Fingerprint",
      offsetof(ngx_http_stargraph_identity_t, fingerprint) },
    { "X-Client-Cert-San",
      offsetof(ngx_http_stargraph_identity_t, san) },
    { NULL, 0 }
};


static ngx_http_variable_t  ngx_http_stargraph_vars[] = {

    { ngx_string("stargraph_subject"), NULL, ngx_http_stargraph_variable,
      offsetof(ngx_http_stargraph_identity_t, subject), 0, 0 },

    { ngx_string("stargraph_issuer"), NULL, ngx_http_stargraph_variable,
      offsetof(ngx_http_stargraph_identity_t, issuer), 0, 0 },

    { ngx_string("stargraph_serial"), NULL, ngx_http_stargraph_variable,
      offsetof(ngx_http_stargraph_identity_t, serial), 0, 0 },

    { ngx_string("stargraph_fingerprint"), NULL, ngx_http_stargraph_variable,
      offsetof(ngx_http_stargraph_identity_t, fingerprint), 0, 0 },

    { ngx_string("stargraph_san"), NULL, ngx_http_stargraph_variable,
      offsetof(ngx_http_stargraph_identity_t, san), 0, 0 },

    { ngx_string("stargraph_refused"), NULL,
      ngx_http_stargraph_refused_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


static ngx_str_t  ngx_http_stargraph_get = ngx_string("GET");
static ngx_str_t  ngx_http_stargraph_none = ngx_null_string;
static ngx_str_t  ngx_http_stargraph_report_target =
    ngx_string(NGX_HTTP_STARGRAPH_REPORT);


static void
ngx_http_stargraph_ctx_cleanup(void *data)
{
    /* only marks the context, see below */
    (void) data;
}


/*
 * The context has to outlive internal redirects, which clear r->ctx: it is
 * found again through its cleanup handler, as the realip module finds its own.
 */

static ngx_http_stargraph_ctx_t *
ngx_http_stargraph_get_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t        *cln;
    ngx_http_stargraph_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_stargraph_module);

    if (ctx) {
        return ctx;
    }

    for (cln = r->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_http_stargraph_ctx_cleanup) {
            ngx_http_set_ctx(r, cln->data, ngx_http_stargraph_module);
            return cln->data;
        }
    }

    return NULL;
}


static ngx_http_stargraph_ctx_t *
ngx_http_stargraph_create_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t        *cln;
    ngx_http_stargraph_ctx_t  *ctx;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_stargraph_ctx_t));
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_http_stargraph_ctx_cleanup;

    ctx = cln->data;
    ngx_memzero(ctx, sizeof(ngx_http_stargraph_ctx_t));

    ngx_http_set_ctx(r, ctx, ngx_http_stargraph_module);

    return ctx;
}


static ngx_int_t
ngx_http_stargraph_push_identity(ngx_http_request_t *r,
    ngx_http_stargraph_srv_conf_t *conf, ngx_http_stargraph_ctx_t *ctx,
    ngx_str_t *method, ngx_str_t *target)
{
    u_char                       *base;
    ngx_str_t                     mac, *value;
    ngx_http_stargraph_header_t  *h;

    base = (u_char *) ctx->identity;

    for (h = ngx_http_stargraph_headers; h->name; h++) {
        value = (ngx_str_t *) (base + h->offset);

        if (value->len
            && ngx_http_stargraph_push_header(r, h->name, value) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (conf->mac) {
        if (ngx_http_stargraph_mac(r, conf->mac, method, target, ctx->identity,
                                   &ctx->refused, &mac)
            != NGX_OK
            || ngx_http_stargraph_push_header(r, "X-Stargraph-Edge-Mac", &mac)
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/*
 * The request goes on as one without a body, whatever the report's location
 * says about bodies; what the client still sends of it ends with the
 * connection, or with the HTTP/2 stream.
 */

static void
ngx_http_stargraph_drop_body(ngx_http_request_t *r)
{
    r->keepalive = 0;
    r->expect_tested = 1;

    r->headers_in.content_length_n = -1;
    r->headers_in.chunked = 0;

#if (NGX_HTTP_V2)
    if (r->stream) {
        r->stream->skip_data = 1;
    }
#endif
}


/*
 * The core is told, and answers 400 when its audit record is durable.  What
 * was asked for goes nowhere: the report has a method, a target and no body
 * of its own.
 */

static ngx_int_t
ngx_http_stargraph_report_refused(ngx_http_request_t *r,
    ngx_http_stargraph_srv_conf_t *conf, ngx_http_stargraph_ctx_t *ctx)
{
    if (ngx_http_stargraph_push_header(r, "X-Stargraph-Edge-Refused",
                                       &ctx->refused)
        != NGX_OK
        || ngx_http_stargraph_push_identity(r, conf, ctx,
                                            &ngx_http_stargraph_get,
                                            &ngx_http_stargraph_report_target)
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_stargraph_drop_body(r);

    if (r->method != NGX_HTTP_HEAD) {
        r->method = NGX_HTTP_GET;
        r->method_name = ngx_http_stargraph_get;
    }

    (void) ngx_http_internal_redirect(r, &conf->report, NULL);

    ngx_http_finalize_request(r, NGX_DONE);

    return NGX_DONE;
}


static ngx_int_t
ngx_http_stargraph_refuse(ngx_http_request_t *r,
    ngx_http_stargraph_srv_conf_t *conf, ngx_http_stargraph_ctx_t *ctx)
{
    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "stargraph: request refused: %V, subject \"%V\"",
                  &ctx->refused, &ctx->identity->subject);

    if (conf->report.len) {
        return ngx_http_stargraph_report_refused(r, conf, ctx);
    }

    return NGX_HTTP_BAD_REQUEST;
}


/* NGX_DECLINED: the request may go on; else it has been or is to be ended */

static ngx_int_t
ngx_http_stargraph_decide(ngx_http_request_t *r,
    ngx_http_stargraph_srv_conf_t *conf)
{
    char                           *reason;
    ngx_int_t                       rc;
    ngx_http_stargraph_ctx_t       *ctx;
    ngx_http_stargraph_identity_t  *id;

    ctx = ngx_http_stargraph_create_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (r->http_version < NGX_HTTP_VERSION_10) {
        ngx_str_set(&ctx->refused, "HTTP/0.9");
        return NGX_HTTP_BAD_REQUEST;
    }

    /* first of all, whatever the answer will be and whoever will give it */

    if (ngx_http_stargraph_scan_headers(r, conf->drop_underscores,
                                        &ctx->refused)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    id = NULL;

    rc = ngx_http_stargraph_identity_get(r, conf, &id, &reason);

    if (rc != NGX_OK) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "stargraph: request refused: %s, subject \"%V\"",
                      reason, id ? &id->subject : &ngx_http_stargraph_none);

        ctx->refused.data = (u_char *) reason;
        ctx->refused.len = ngx_strlen(reason);
        r->keepalive = 0;

        return rc;
    }

    ctx->identity = id;

    if (ctx->refused.len) {
        return ngx_http_stargraph_refuse(r, conf, ctx);
    }

    if (ngx_http_stargraph_push_identity(r, conf, ctx, &r->method_name,
                                         &r->unparsed_uri)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_stargraph_post_read_handler(ngx_http_request_t *r)
{
    ngx_http_stargraph_srv_conf_t  *conf;

    conf = ngx_http_get_module_srv_conf(r, ngx_http_stargraph_module);

    if (!conf->enable) {
        return NGX_DECLINED;
    }

    return ngx_http_stargraph_decide(r, conf);
}


static ngx_int_t
ngx_http_stargraph_preaccess_handler(ngx_http_request_t *r)
{
    ngx_http_stargraph_srv_conf_t  *conf;

    conf = ngx_http_get_module_srv_conf(r, ngx_http_stargraph_module);

    if (!conf->enable || ngx_http_stargraph_get_ctx(r)) {
        return NGX_DECLINED;
    }

    return ngx_http_stargraph_decide(r, conf);
}


static ngx_int_t
ngx_http_stargraph_set_variable(ngx_http_variable_value_t *v, ngx_str_t *value)
{
    if (value->len == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    v->data = value->data;
    v->len = value->len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_http_stargraph_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_stargraph_ctx_t  *ctx;

    ctx = ngx_http_stargraph_get_ctx(r);

    if (ctx == NULL || ctx->identity == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    return ngx_http_stargraph_set_variable(v,
                          (ngx_str_t *) ((u_char *) ctx->identity + data));
}


static ngx_int_t
ngx_http_stargraph_refused_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_stargraph_ctx_t  *ctx;

    (void) data;

    ctx = ngx_http_stargraph_get_ctx(r);

    return ngx_http_stargraph_set_variable(v, ctx ? &ctx->refused
                                                  : &ngx_http_stargraph_none);
}


static ngx_int_t
ngx_http_stargraph_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_stargraph_vars; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_stargraph_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt        *h;
    ngx_http_core_main_conf_t  *cmcf;

    if (ngx_http_stargraph_check_servers(cf) != NGX_OK) {
        return NGX_ERROR;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_POST_READ_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_stargraph_post_read_handler;

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PREACCESS_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_stargraph_preaccess_handler;

    return NGX_OK;
}


static ngx_int_t
ngx_http_stargraph_init_process(ngx_cycle_t *cycle)
{
    ngx_http_stargraph_identity_init_process();

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    return ngx_http_stargraph_crl_init_process(cycle);
}


static void *
ngx_http_stargraph_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_stargraph_main_conf_t  *smcf;

    smcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_stargraph_main_conf_t));
    if (smcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&smcf->crls, cf->pool, 2,
                       sizeof(ngx_http_stargraph_crl_t *))
        != NGX_OK)
    {
        return NULL;
    }

    return smcf;
}


static void *
ngx_http_stargraph_create_srv_conf(ngx_conf_t *cf)
{
    ngx_http_stargraph_srv_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_http_stargraph_srv_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    conf->enable = NGX_CONF_UNSET;
    conf->connections = NGX_CONF_UNSET_UINT;

    return conf;
}


static char *
ngx_http_stargraph_merge_srv_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_stargraph_srv_conf_t *prev = parent;
    ngx_http_stargraph_srv_conf_t *conf = child;

    (void) cf;

    if (conf->enable == NGX_CONF_UNSET) {
        conf->enable_place = prev->enable_place;
    }

    ngx_conf_merge_value(conf->enable, prev->enable, 0);

    if (conf->report.data == NULL) {
        conf->report_place = prev->report_place;
    }

    ngx_conf_merge_str_value(conf->report, prev->report, "");

    if (conf->crl_file.data == NULL) {
        conf->crl_place = prev->crl_place;
    }

    ngx_conf_merge_str_value(conf->crl_file, prev->crl_file, "");

    if (conf->connections == NGX_CONF_UNSET_UINT) {
        conf->connections_place = prev->connections_place;
        conf->zone = prev->zone;
    }

    ngx_conf_merge_uint_value(conf->connections, prev->connections, 0);

    if (conf->mac == NULL) {
        conf->mac = prev->mac;
        conf->mac_place = prev->mac_place;
    }

    return NGX_CONF_OK;
}


static void
ngx_http_stargraph_place(ngx_conf_t *cf, ngx_http_stargraph_place_t *place)
{
    place->file = cf->conf_file->file.name.data;
    place->line = cf->conf_file->line;
}


static char *
ngx_http_stargraph_client_auth(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_stargraph_srv_conf_t  *sgcf = conf;

    ngx_http_stargraph_place(cf, &sgcf->enable_place);

    return ngx_conf_set_flag_slot(cf, cmd, conf);
}


static char *
ngx_http_stargraph_report(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_stargraph_srv_conf_t  *sgcf = conf;

    ngx_str_t  *value;

    value = cf->args->elts;

    if (value[1].len == 0 || value[1].data[0] != '/') {
        return "needs the URI of an internal location";
    }

    ngx_http_stargraph_place(cf, &sgcf->report_place);

    return ngx_conf_set_str_slot(cf, cmd, conf);
}


static char *
ngx_http_stargraph_crl(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_stargraph_srv_conf_t  *sgcf = conf;

    char  *rc;

    ngx_http_stargraph_place(cf, &sgcf->crl_place);

    rc = ngx_conf_set_str_slot(cf, cmd, conf);

    if (rc == NGX_CONF_OK
        && ngx_conf_full_name(cf->cycle, &sgcf->crl_file, 1) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    return rc;
}
