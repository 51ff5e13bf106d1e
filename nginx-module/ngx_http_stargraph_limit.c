
/*
 * How many TLS connections one subject may have open at once, over all workers
 * and all servers, idle ones included: a count for each subject in shared
 * memory.  It outlives a reload, so that connections of workers that are
 * shutting down are still counted.  A worker that is killed leaves its counts
 * behind, as it does those of nginx's own limit_conn.
 *
 * A connection is counted from its first request on; one that never makes a
 * request is ended by client_header_timeout.
 */


#include "ngx_http_stargraph.h"


/* for about 8,000 subjects at once */
#define NGX_HTTP_STARGRAPH_ZONE_SIZE  (1024 * 1024)


struct ngx_http_stargraph_subject_s {
    ngx_rbtree_node_t             node;          /* key: begin of the digest */
    u_char                        digest[32];    /* of issuer, subject, SAN */
    ngx_uint_t                    open;
};


typedef struct {
    ngx_rbtree_t                  tree;
    ngx_rbtree_node_t             sentinel;
} ngx_http_stargraph_subjects_t;


static ngx_str_t  ngx_http_stargraph_zone_name =
    ngx_string("stargraph_connections");


static void
ngx_http_stargraph_subject_insert(ngx_rbtree_node_t *temp,
    ngx_rbtree_node_t *node, ngx_rbtree_node_t *sentinel)
{
    ngx_rbtree_node_t             **p;
    ngx_http_stargraph_subject_t   *one, *two;

    for ( ;; ) {
        one = (ngx_http_stargraph_subject_t *) node;
        two = (ngx_http_stargraph_subject_t *) temp;

        p = ngx_memcmp(one->digest, two->digest, sizeof(one->digest)) < 0
            ? &temp->left : &temp->right;

        if (*p == sentinel) {
            break;
        }

        temp = *p;
    }

    *p = node;
    node->parent = temp;
    node->left = sentinel;
    node->right = sentinel;
    ngx_rbt_red(node);
}


static ngx_http_stargraph_subject_t *
ngx_http_stargraph_subject_find(ngx_http_stargraph_subjects_t *subjects,
    u_char *digest)
{
    ngx_int_t                      rc;
    ngx_rbtree_node_t             *node, *sentinel;
    ngx_http_stargraph_subject_t  *subject;

    node = subjects->tree.root;
    sentinel = subjects->tree.sentinel;

    while (node != sentinel) {
        subject = (ngx_http_stargraph_subject_t *) node;
        rc = ngx_memcmp(digest, subject->digest, sizeof(subject->digest));

        if (rc == 0) {
            return subject;
        }

        node = (rc < 0) ? node->left : node->right;
    }

    return NULL;
}


static ngx_int_t
ngx_http_stargraph_subject_digest(ngx_http_stargraph_identity_t *id,
    u_char *digest)
{
    u_char         length[4];
    EVP_MD_CTX    *md;
    ngx_int_t      ok;
    ngx_str_t     *part[3];
    ngx_uint_t     i;
    unsigned int   len;

    part[0] = &id->issuer;
    part[1] = &id->subject;
    part[2] = &id->san;

    md = EVP_MD_CTX_new();
    ok = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;

    for (i = 0; ok && i < 3; i++) {
        length[0] = (u_char) (part[i]->len >> 24);
        length[1] = (u_char) (part[i]->len >> 16);
        length[2] = (u_char) (part[i]->len >> 8);
        length[3] = (u_char) part[i]->len;

        ok = EVP_DigestUpdate(md, length, sizeof(length)) == 1
             && EVP_DigestUpdate(md, part[i]->data, part[i]->len) == 1;
    }

    ok = ok && EVP_DigestFinal_ex(md, digest, &len) == 1;
    EVP_MD_CTX_free(md);

    return ok ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_http_stargraph_limit_acquire(ngx_http_stargraph_srv_conf_t *conf,
    ngx_http_stargraph_identity_t *id, char **reason)
{
    u_char                          digest[32];
    ngx_int_t                       rc;
    ngx_slab_pool_t                *shpool;
    ngx_http_stargraph_subject_t   *subject;
    ngx_http_stargraph_subjects_t  *subjects;

    if (id->counted) {
        return NGX_OK;
    }

    if (ngx_http_stargraph_subject_digest(id, digest) != NGX_OK) {
        *reason = "no memory";
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    subjects = conf->zone->data;
    shpool = (ngx_slab_pool_t *) conf->zone->shm.addr;
    rc = NGX_OK;

    ngx_shmtx_lock(&shpool->mutex);

    subject = ngx_http_stargraph_subject_find(subjects, digest);

    if (subject == NULL) {
        subject = ngx_slab_calloc_locked(shpool, sizeof(*subject));

        if (subject == NULL) {
            *reason = "no room to count connections";
            rc = NGX_HTTP_SERVICE_UNAVAILABLE;

        } else {
            ngx_memcpy(subject->digest, digest, sizeof(digest));
            ngx_rbtree_insert(&subjects->tree, &subject->node);
        }

    } else if (subject->open >= conf->connections) {
        *reason = "too many connections of this subject";
        rc = NGX_HTTP_TOO_MANY_REQUESTS;
    }

    if (rc == NGX_OK) {
        subject->open++;
        id->counted = subject;
        id->zone = conf->zone;
    }

    ngx_shmtx_unlock(&shpool->mutex);

    return rc;
}


void
ngx_http_stargraph_limit_release(ngx_http_stargraph_identity_t *id)
{
    ngx_slab_pool_t                *shpool;
    ngx_http_stargraph_subjects_t  *subjects;

    if (id->counted == NULL) {
        return;
    }

    subjects = id->zone->data;
    shpool = (ngx_slab_pool_t *) id->zone->shm.addr;

    ngx_shmtx_lock(&shpool->mutex);

    if (--id->counted->open == 0) {
        ngx_rbtree_delete(&subjects->tree, &id->counted->node);
        ngx_slab_free_locked(shpool, id->counted);
    }

    ngx_shmtx_unlock(&shpool->mutex);

    id->counted = NULL;
}


static ngx_int_t
ngx_http_stargraph_init_zone(ngx_shm_zone_t *zone, void *data)
{
    ngx_slab_pool_t                *shpool;
    ngx_http_stargraph_subjects_t  *subjects;

    if (data) {
        zone->data = data;
        return NGX_OK;
    }

    shpool = (ngx_slab_pool_t *) zone->shm.addr;

    if (zone->shm.exists) {
        zone->data = shpool->data;
        return NGX_OK;
    }

    subjects = ngx_slab_alloc(shpool, sizeof(*subjects));
    if (subjects == NULL) {
        return NGX_ERROR;
    }

    ngx_rbtree_init(&subjects->tree, &subjects->sentinel,
                    ngx_http_stargraph_subject_insert);

    shpool->data = subjects;
    shpool->log_nomem = 0;
    zone->data = subjects;

    return NGX_OK;
}


char *
ngx_http_stargraph_connections(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_stargraph_srv_conf_t  *sgcf = conf;

    ngx_int_t   n;
    ngx_str_t  *value;

    (void) cmd;

    if (sgcf->connections != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;

    n = ngx_atoi(value[1].data, value[1].len);

    if (ngx_strcmp(value[1].data, "off") == 0) {
        n = 0;

    } else if (n <= 0 || n > 65535) {
        return "needs a number from 1 to 65535, or \"off\"";
    }

    sgcf->connections = n;
    sgcf->connections_place.file = cf->conf_file->file.name.data;
    sgcf->connections_place.line = cf->conf_file->line;

    sgcf->zone = ngx_shared_memory_add(cf, &ngx_http_stargraph_zone_name,
                                       NGX_HTTP_STARGRAPH_ZONE_SIZE,
                                       &ngx_http_stargraph_module);
    if (sgcf->zone == NULL) {
        return NGX_CONF_ERROR;
    }

    sgcf->zone->init = ngx_http_stargraph_init_zone;

    return NGX_CONF_OK;
}
