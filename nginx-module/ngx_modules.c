
/*
 * What nginx looks up in a dynamic module; its own build would generate this.
 */


#include <ngx_config.h>
#include <ngx_core.h>


extern ngx_module_t  ngx_http_stargraph_module;

extern ngx_module_t  *ngx_modules[];
extern char          *ngx_module_names[];
extern char          *ngx_module_order[];


ngx_module_t *ngx_modules[] = {
    &ngx_http_stargraph_module,
    NULL
};

char *ngx_module_names[] = {
    "ngx_http_stargraph_module",
    NULL
};

char *ngx_module_order[] = {
    NULL
};
