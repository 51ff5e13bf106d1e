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

static const struct sg_query stream_query[] = {
	{"last_event_id", SG_QUERY_TEXT, .description = "resume after this event; as the header"},
};

#define JSON "application/json"
#define NO_BODY "{\"type\":\"object\",\"additionalProperties\":false}"
/* Texts, or token ids: what is in a list is looked at by the handlers. */
#define INPUTS "{\"type\":[\"string\",\"array\"],\"minLength\":1,\"minItems\":1}"
#define TEXTS "{\"type\":[\"string\",\"array\"],\"minLength\":1,\"minItems\":1,\"maxItems\":256}"

const struct sg_route sg_routes[] = {
	{"GET", "/v1/health", NULL, "health", "Is it up?", .success = 200, .success_type = JSON,
		.success_schema = "Up", .handle = sg_route_v1_health},
	{"GET", "/health", "", "healthComponents", "Is it up, by component", .success = 200,
		.success_type = JSON, .success_schema = "Health", .handle = sg_route_health},
	{"POST", "/v1/runs", "runs:start", "startRun",
		"Start a run; answered when it is durable, or with Prefer: wait=N when it settles",
		.body_schema =
			"{\"type\":\"object\",\"properties\":{"
			"\"graph_id\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":256},"
			"\"params\":{\"type\":\"object\"},"
			"\"idempotency_key\":{\"type\":[\"string\",\"null\"]}},"
			"\"required\":[\"graph_id\"],\"additionalProperties\":false}",
		.success = 202, .success_type = JSON, .success_schema = "RunHandle",
		.errors = "404 409", .waits = true, .keyed = true, .effect = true,
		.handle = sg_route_start_run},
	{"GET", "/v1/runs", "runs:read", "listRuns", "Runs, newest first", .query = page_query,
		.n_query = SG_ARRAY_LEN(page_query), .success = 200, .success_type = JSON,
		.success_schema = "RunPage", .handle = sg_route_list_runs},
	{"GET", "/v1/runs/{run_id}", "runs:read", "getRun", "One run", .success = 200,
		.success_type = JSON, .success_schema = "Run", .errors = "404",
		.handle = sg_route_get_run},
	{"POST", "/v1/runs/{run_id}/respond", "runs:respond", "respondRun",
		"Answer the question a run waits at",
		.body_schema = "{\"type\":\"object\",\"properties\":{"
			       "\"response\":{\"type\":\"object\"}},"
			       "\"required\":[\"response\"],\"additionalProperties\":false}",
		.success = 200, .success_type = JSON, .success_schema = "Run", .errors = "404 409",
		.waits = true, .effect = true, .handle = sg_route_respond},
	{"GET", "/v1/graphs", "runs:read", "listGraphs", "The graphs that are loaded",
		.success = 200, .success_type = JSON, .success_schema = "Graphs",
		.handle = sg_route_graphs},
	{"GET", "/v1/registry/{kind}", "runs:read", "listRegistry",
		"What graphs may use: tools, stores or skills", .success = 200,
		.success_type = JSON, .success_schema = "Registry", .errors = "404",
		.handle = sg_route_registry},
	{"POST", "/v1/runs/{run_id}/cancel", "runs:cancel", "cancelRun",
		"Cancel a run at its next step", .body_schema = NO_BODY, .body_optional = true,
		.success = 200, .success_type = JSON, .success_schema = "Run", .errors = "404 409",
		.effect = true, .handle = sg_route_cancel},
	{"POST", "/v1/runs/{run_id}/pause", "runs:pause", "pauseRun",
		"Pause a run at its next step", .body_schema = NO_BODY, .body_optional = true,
		.success = 200, .success_type = JSON, .success_schema = "Run", .errors = "404 409",
		.effect = true, .handle = sg_route_pause},
	{"POST", "/v1/runs/{run_id}/resume", "runs:resume", "resumeRun",
		"Resume a paused run from its last checkpoint", .body_schema = NO_BODY,
		.body_optional = true, .success = 202, .success_type = JSON,
		.success_schema = "RunHandle", .errors = "404 409", .effect = true,
		.handle = sg_route_resume},
	{"POST", "/v1/runs/{run_id}/replay", "runs:read", "replayRun",
		"Execute a run again from its record and compare every step",
		.body_schema = NO_BODY, .body_optional = true, .success = 200, .success_type = JSON,
		.success_schema = "Replay", .errors = "404", .handle = sg_route_replay},
	{"GET", "/v1/runs/{run_id}/diff/{other_id}", "runs:read", "diffRuns",
		"Where two runs part: axis, rule, and a JSON Patch a step", .success = 200,
		.success_type = JSON, .success_schema = "Diff", .errors = "404",
		.handle = sg_route_diff},
	{"POST", "/v1/runs/{run_id}/counterfactual", "counterfactual:run", "forkRun",
		"Fork a run at a step with a mutation; answered when the fork is durable",
		.body_schema =
			"{\"type\":\"object\",\"properties\":{"
			"\"step\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":4294967295},"
			"\"mutation\":{\"type\":\"object\"},"
			"\"inherit_answers\":{\"type\":\"boolean\"}},"
			"\"required\":[\"step\",\"mutation\"],\"additionalProperties\":false}",
		.success = 202, .success_type = JSON, .success_schema = "Fork", .errors = "404",
		.effect = true, .handle = sg_route_counterfactual},
	{"GET", "/v1/runs/{run_id}/stream", "runs:read", "streamRun",
		"A run's events: server-sent, or WebSocket on upgrade", .query = stream_query,
		.n_query = SG_ARRAY_LEN(stream_query), .success = 200,
		.success_type = "text/event-stream", .success_schema = "Event", .errors = "404",
		.handle = sg_route_stream},
	{"GET", "/v1/runs/{run_id}/artifacts", "artifacts:read", "listArtifacts",
		"What a run has kept, in step order", .success = 200, .success_type = JSON,
		.success_schema = "Artifacts", .errors = "404", .handle = sg_route_run_artifacts},
	{"GET", "/v1/artifacts/{artifact_id}", "artifacts:read", "getArtifact",
		"The bytes of an artifact, with their content type", .success = 200,
		.success_type = "*/*", .errors = "404", .handle = sg_route_artifact},
	{"GET", "/metrics", "metrics:read", "metrics", "Prometheus metrics", .success = 200,
		.success_type = "text/plain", .handle = sg_route_metrics},
	{"GET", "/openapi.json", "", "openapi", "This document", .success = 200,
		.success_type = JSON, .handle = sg_route_openapi},
	{"POST", "/v1/embeddings", "embeddings:create", "createEmbeddings",
		"Embeddings in OpenAI's shape",
		.body_schema = "{\"type\":\"object\",\"properties\":{\"input\":" INPUTS
			       ",\"model\":{\"type\":\"string\"},\"encoding_format\":{"
			       "\"enum\":[\"float\",\"base64\"]},\"dimensions\":{\"const\":384},"
			       "\"truncate\":{\"type\":\"boolean\"},"
			       "\"user\":{\"type\":\"string\"}},\"required\":[\"input\"],"
			       "\"additionalProperties\":false}",
		.success = 200, .success_type = JSON, .success_schema = "Embeddings", .texts = true,
		.handle = sg_route_embeddings},
	{"POST", "/embed", "embeddings:create", "embed",
		"Embeddings in text-embeddings-inference's shape",
		.body_schema = "{\"type\":\"object\",\"properties\":{\"inputs\":" INPUTS
			       ",\"normalize\":{\"const\":true},\"truncate\":{\"type\":"
			       "\"boolean\"}},\"required\":[\"inputs\"],"
			       "\"additionalProperties\":false}",
		.success = 200, .success_type = JSON, .success_schema = "Vectors", .texts = true,
		.handle = sg_route_embed},
	{"POST", "/tokenize", "embeddings:create", "tokenize",
		"The tokens of texts: id, text, place",
		.body_schema = "{\"type\":\"object\",\"properties\":{\"inputs\":" TEXTS
			       ",\"add_special_tokens\":{\"type\":\"boolean\"}},"
			       "\"required\":[\"inputs\"],\"additionalProperties\":false}",
		.success = 200, .success_type = JSON, .success_schema = "Tokens", .texts = true,
		.handle = sg_route_tokenize},
	{"GET", "/info", "embeddings:create", "info", "The embedding model", .success = 200,
		.success_type = JSON, .success_schema = "Model", .handle = sg_route_info},
	{"GET", "/v1/stores", "", "listStores", "The knowledge stores that one may read",
		.success = 200, .success_type = JSON, .success_schema = "Stores",
		.handle = sg_route_stores},
	{"GET", "/v1/stores/{name}", "", "getStore", "One knowledge store; needs db.{name}:read",
		.success = 200, .success_type = JSON, .success_schema = "Store", .errors = "404",
		.handle = sg_route_store},
	{"POST", "/v1/stores/{name}/documents", "", "writeDocuments",
		"Write and delete documents; needs db.{name}:write; answered when it is durable",
		.body_schema =
			"{\"type\":\"object\",\"properties\":{\"documents\":{\"type\":\"array\","
			"\"maxItems\":256,\"items\":{\"type\":\"object\",\"required\":[\"id\","
			"\"text\"],\"additionalProperties\":false,\"properties\":{"
			"\"id\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":380},"
			"\"text\":{\"type\":\"string\"},\"metadata\":{\"type\":\"object\"}}}},"
			"\"delete\":{\"type\":\"array\",\"maxItems\":256,\"items\":{"
			"\"type\":\"string\",\"minLength\":1}}},\"additionalProperties\":false}",
		.success = 200, .success_type = JSON, .success_schema = "Written", .errors = "404",
		.effect = true, .handle = sg_route_documents},
	{"POST", "/v1/stores/{name}/search", "", "searchStore",
		"Search a store; needs db.{name}:read",
		.body_schema =
			"{\"type\":\"object\",\"properties\":{"
			"\"query\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":65536},"
			"\"mode\":{\"enum\":[\"vector\",\"text\",\"hybrid\"]},"
			"\"k\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000},"
			"\"filter\":{\"type\":\"object\"},\"int8\":{\"type\":\"boolean\"},"
			"\"text\":{\"type\":\"boolean\"}},\"required\":[\"query\"],"
			"\"additionalProperties\":false}",
		.success = 200, .success_type = JSON, .success_schema = "Hits", .errors = "404",
		.handle = sg_route_search},
	{"GET", "/v1/triggers", "runs:read", "listTriggers", "The triggers that are declared",
		.success = 200, .success_type = JSON, .success_schema = "Triggers",
		.handle = sg_route_triggers},
	{"POST", "/v1/triggers/{trigger_id}", "", "fireTrigger",
		"A webhook (with its signature), or a manual trigger (needs runs:start)",
		.body_schema = "{\"type\":\"object\"}", .body_optional = true, .raw = true,
		.success = 202, .success_type = JSON, .success_schema = "RunHandle",
		.errors = "404 409", .effect = true, .handle = sg_route_fire_trigger},
};

const size_t sg_n_routes = SG_ARRAY_LEN(sg_routes);
