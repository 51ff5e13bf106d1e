/* The table of routes: what exists, who may, what goes in, what comes out. */
#include "api/internal.h"

#include "base/cleanup.h"

static const struct sg_query page_query[] = {
	{"status", SG_QUERY_STATUS, .description = "only runs in this status"},
	{"since", SG_QUERY_TIME, .description = "started at or after"},
	{"until", SG_QUERY_TIME, .description = "started before"},
	{"trigger_source", SG_QUERY_TEXT, .description = "only runs of this trigger"},
	{"graph_id", SG_QUERY_TEXT, .description = "only runs of this graph"},
	{"limit", SG_QUERY_INTEGER, 1, SG_API_MAX_PAGE, 100, "rows of the page"},
	{"offset", SG_QUERY_INTEGER, 0, 1000000000, 0,
		"rows to skip; costs as much as reading them"},
	{"cursor", SG_QUERY_TEXT, .description = "the cursor of the page before: keyed, any depth"},
};

#define JSON "application/json"

const struct sg_route sg_routes[] = {
	{"GET", "/v1/health", NULL, "health", "Is it up?", .success = 200, .success_type = JSON,
		.success_schema = "{\"type\":\"object\",\"required\":[\"status\"]}",
		.handle = sg_route_v1_health},
	{"GET", "/health", NULL, "healthComponents", "Is it up, by component", .success = 200,
		.success_type = JSON,
		.success_schema = "{\"type\":\"object\",\"required\":[\"status\",\"components\"]}",
		.handle = sg_route_health},
	{"POST", "/v1/runs", "runs:start", "startRun",
		"Start a run; answered when it is durable, or with Prefer: wait=N when it settles",
		.body_schema =
			"{\"type\":\"object\",\"properties\":{"
			"\"graph_id\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":256},"
			"\"params\":{\"type\":\"object\"},"
			"\"idempotency_key\":{\"type\":[\"string\",\"null\"]}},"
			"\"required\":[\"graph_id\"],\"additionalProperties\":false}",
		.success = 202, .success_type = JSON,
		.success_schema = "{\"type\":\"object\",\"required\":[\"run_id\",\"status\"]}",
		.errors = "404 409", .handle = sg_route_start_run},
	{"GET", "/v1/runs", "runs:read", "listRuns", "Runs, newest first", .query = page_query,
		.n_query = SG_ARRAY_LEN(page_query), .success = 200, .success_type = JSON,
		.success_schema =
			"{\"type\":\"object\",\"required\":[\"items\",\"total\",\"limit\","
			"\"offset\"]}",
		.handle = sg_route_list_runs},
	{"GET", "/v1/runs/{run_id}", "runs:read", "getRun", "One run", .success = 200,
		.success_type = JSON,
		.success_schema = "{\"type\":\"object\",\"required\":[\"run_id\",\"status\"]}",
		.errors = "404", .handle = sg_route_get_run},
	{"POST", "/v1/runs/{run_id}/respond", "runs:respond", "respondRun",
		"Answer the question a run waits at",
		.body_schema = "{\"type\":\"object\",\"properties\":{"
			       "\"response\":{\"type\":\"object\"}},"
			       "\"required\":[\"response\"],\"additionalProperties\":false}",
		.success = 200, .success_type = JSON,
		.success_schema = "{\"type\":\"object\",\"required\":[\"run_id\",\"status\"]}",
		.errors = "404 409", .handle = sg_route_respond},
	{"GET", "/v1/graphs", "runs:read", "listGraphs", "The graphs that are loaded",
		.success = 200, .success_type = JSON, .success_schema = "{\"type\":\"array\"}",
		.handle = sg_route_graphs},
};

const size_t sg_n_routes = SG_ARRAY_LEN(sg_routes);
