/* GET /v1/health, the only route that answers without an identity, and GET /health. */
#include "api/internal.h"

#include <string.h>

/* The guide's words: exactly this body. */
void sg_route_v1_health(struct sg_call *c)
{
	static const char body[] = "{\"status\":\"ok\"}";
	sg_call_reply(c, 200, "application/json", body, sizeof(body) - 1, NULL, 0);
}

/* The original's per-component view, of the components that exist here. A process whose store or
 * audit fails stops serving, so what answers is well. */
void sg_route_health(struct sg_call *c)
{
	const struct sg_graph *const *graphs;
	sg_autobuf b = SG_BUF_INIT(1024);
	sg_buf_addf(&b,
		"{\"status\":\"ok\",\"components\":{"
		"\"store\":{\"status\":\"ok\",\"detail\":\"LMDB open\"},"
		"\"audit\":{\"status\":\"ok\",\"detail\":\"log open\"},"
		"\"rules\":{\"status\":\"ok\",\"detail\":\"CLIPS prepared\"},"
		"\"graphs\":{\"status\":\"ok\",\"detail\":\"%zu loaded\"}}}",
		sg_engine_graphs(c->api->engine, &graphs));
	sg_call_json(c, 200, &b);
}
