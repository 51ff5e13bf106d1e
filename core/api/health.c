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
 * audit fails stops serving, so what answers is well, but for a full disk, which is waited out. */
void sg_route_health(struct sg_call *c)
{
	const struct sg_graph *const *graphs;
	bool full = sg_engine_no_space(c->api->engine);
	sg_autobuf b = SG_BUF_INIT(1024);
	sg_buf_addf(&b, "{\"status\":\"%s\",\"components\":{\"store\":%s,",
		full ? "degraded" : "ok",
		full ? "{\"status\":\"full\",\"detail\":\"the disk is full; runs go on "
		       "when there is room\"}"
		     : "{\"status\":\"ok\",\"detail\":\"LMDB open\"}");
	sg_buf_addf(&b,
		"\"audit\":{\"status\":\"ok\",\"detail\":\"log open\"},"
		"\"rules\":{\"status\":\"ok\",\"detail\":\"CLIPS prepared\"},"
		"\"graphs\":{\"status\":\"ok\",\"detail\":\"%zu loaded\"}}}",
		sg_engine_graphs(c->api->engine, &graphs));
	sg_call_json(c, 200, &b);
}
