/* What a revocation list costs a request: the module's own check, called a million times on one
 * certificate, first as a kept-alive connection does it (the list is the one it was checked
 * against), then as its first request after each new list does (a search). The module's file is
 * taken whole; what it wants of nginx and does not use here is a stub.
 *
 *   crl_check CA CRL CERT      one JSON line: load_ms, cached_ns, searched_ns
 */
#include "../../../nginx-module/ngx_http_stargraph_crl.c"

#include <stdlib.h>

volatile ngx_time_t *ngx_cached_time;
volatile ngx_msec_t ngx_current_msec;
ngx_rbtree_t ngx_event_timer_rbtree;
ngx_module_t ngx_http_module, ngx_http_stargraph_module;

void *ngx_alloc(size_t size, ngx_log_t *log)
{
	(void)log;
	return malloc(size);
}

void *ngx_calloc(size_t size, ngx_log_t *log)
{
	(void)log;
	return calloc(1, size);
}

#define STUB(type, name, args) \
	type name args \
	{ \
		abort(); \
	}
STUB(void *, ngx_array_push, (ngx_array_t * a))
STUB(ngx_pool_cleanup_t *, ngx_pool_cleanup_add, (ngx_pool_t * p, size_t n))
STUB(void, ngx_rbtree_insert, (ngx_rbtree_t * t, ngx_rbtree_node_t *n))
STUB(void, ngx_rbtree_delete, (ngx_rbtree_t * t, ngx_rbtree_node_t *n))
STUB(void, ngx_http_stargraph_identity_recheck, (ngx_http_stargraph_crl_t * c))
STUB(void, ngx_log_error_core,
	(ngx_uint_t level, ngx_log_t *log, ngx_err_t err, const char *fmt, ...))

#define CALLS 1000000

static double now_ns(void)
{
	struct timespec ts;
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

/* ns a call; with a new list before each, when searched */
static double time_check(
	ngx_http_stargraph_crl_t *crl, ngx_http_stargraph_identity_t *id, ngx_uint_t searched)
{
	char *reason;
	double from = now_ns();
	for (int i = 0; i < CALLS; i++) {
		crl->generation += searched;
		if (ngx_http_stargraph_crl_check(crl, id, &reason) != NGX_OK)
			exit(1);
		__asm__ volatile("" ::: "memory");
	}
	return (now_ns() - from) / CALLS;
}

int main(int argc, char **argv)
{
	static volatile ngx_time_t now;
	static ngx_http_stargraph_crl_t crl;
	static ngx_http_stargraph_identity_t id;
	ngx_cached_time = &now;
	now.sec = time(NULL);
	crl.ssl_ctx = SSL_CTX_new(TLS_server_method());
	if (argc != 4 || !crl.ssl_ctx ||
		SSL_CTX_load_verify_locations(crl.ssl_ctx, argv[1], NULL) != 1)
		return 2;
	crl.path.data = (u_char *)argv[2];
	crl.path.len = strlen(argv[2]);
	double from = now_ns();
	if (ngx_http_stargraph_crl_load(&crl, NULL) != NGX_OK) {
		(void)fprintf(stderr, "crl_check: %s\n", crl.error);
		return 1;
	}
	double load = now_ns() - from;
	BIO *bio = BIO_new_file(argv[3], "r");
	X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	id.chain = sk_X509_new_null();
	if (!cert || sk_X509_push(id.chain, cert) == 0)
		return 1;
	(void)time_check(&crl, &id, 0);
	double cached = time_check(&crl, &id, 0), searched = time_check(&crl, &id, 1);
	(void)printf("{\"load_ms\":%.1f,\"cached_ns\":%.1f,\"searched_ns\":%.1f,\"entries\":%lu}\n",
		load / 1e6, cached, searched, (unsigned long)crl.lists->lists[0].nserials);
	return 0;
}
