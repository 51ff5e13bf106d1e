/* GET /v1/graphs: what is loaded. */
#include "api/internal.h"

#include <string.h>

void sg_route_graphs(struct sg_call *c)
{
	const struct sg_graph *const *graphs;
	size_t n = sg_engine_graphs(c->api->engine, &graphs);
	sg_autobuf b = SG_BUF_INIT(SG_API_MAX_REPLY);
	sg_buf_addc(&b, '[');
	for (size_t i = 0; i < n; i++) {
		sg_buf_adds(&b, i ? ",{\"graph_id\":" : "{\"graph_id\":");
		sg_buf_add_json_string(&b, graphs[i]->id, strlen(graphs[i]->id));
		sg_buf_addf(&b, ",\"graph_hash\":\"%s\"}", graphs[i]->hash);
	}
	sg_buf_addc(&b, ']');
	sg_call_json(c, 200, &b);
}
