/* Every wrong thing is refused at load, with its place and the nearest right word. */
#include "graph_fixture.h"

#include <stdlib.h>

#define HEAD "ir_version: \"1.0.0\"\nid: \"run:t\"\n"
#define NODES "nodes:\n  - {id: work, kind: echo}\n  - {id: stop, kind: halt}\n"
#define STATE "state_schema: {message: str, risk: int, flag: bool, score: float, items: list}\n"
#define RULE HEAD NODES STATE "rules:\n  - id: r\n"
#define THEN RULE "    when: {node: work}\n    then:\n"

static const struct {
	const char *text, *says;
} rows[] = {
	/* the document */
	{"", "a graph is a mapping"},
	{"[]", "a graph is a mapping"},
	{"just text", "a graph is a mapping"},
	{"ir_version: \"1.0.0\"\nid: x\n", "needs the key \"nodes\""},
	{"ir_version: \"1.0.0\"\nnodes: []\n", "needs the key \"id\""},
	{HEAD "nodes: []\n", "at least one node"},
	{"ir_version: 1.0\nid: x\nnodes: [{id: a, kind: echo}]\n", "\"ir_version\" must be a text"},
	{"ir_version: \"1.0\"\nid: x\nnodes: [{id: a, kind: echo}]\n", "MAJOR.MINOR.PATCH"},
	{"ir_version: \"2.0.0\"\nid: x\nnodes: [{id: a, kind: echo}]\n", "IR version 1"},
	{"ir_version: \"1.0.0\"\nid: \"a b\"\nnodes: [{id: a, kind: echo}]\n",
		"g.yaml:2:5: the graph's id"},
	{HEAD NODES "ruels: []\n", "g.yaml:6:1: unknown key \"ruels\"; did you mean \"rules\"?"},
	{HEAD NODES "state_class: \"m:C\"\n", "state_class names a Python class"},
	{HEAD NODES "id: \"again\"\n", "g.yaml:6"},
	{HEAD "nodes:\n\t- {id: a}\n", "g.yaml:4"},
	{HEAD NODES "checkpoints: {every: never}\n", "the only value is node-exit"},
	{HEAD NODES "lm: {model: m, args: [--x]}\n", "may not give arguments"},
	{HEAD NODES "lm: {model: m, host: 10.0.0.1}\n", "on this host only"},
	{HEAD NODES "lm: {provider: openai, model: m}\n", "only provider"},
	{HEAD NODES "lm: {provider: sglang}\n", "needs the key \"model\""},
	/* nodes */
	{HEAD "nodes:\n  - {id: a, knd: echo}\n",
		"g.yaml:4:13: unknown key \"knd\"; did you mean \"kind\"?"},
	{HEAD "nodes:\n  - {id: a, kind: ehco}\n",
		"g.yaml:4:19: unknown kind \"ehco\"; did you mean \"echo\"?"},
	{HEAD "nodes:\n  - {id: a, kind: frobnicate}\n", "there are: echo, halt"},
	{HEAD "nodes:\n  - {id: a, kind: \"my.mod:Cls\"}\n", "is a Python class"},
	{HEAD "nodes:\n  - {id: a, kind: dspy}\n", "belongs to the Python original"},
	{HEAD "nodes:\n  - {id: A, kind: echo}\n", "must be lower-case"},
	{HEAD "nodes:\n  - {id: \"\", kind: echo}\n", "must be lower-case"},
	{HEAD "nodes:\n  - {id: \"12\", kind: echo}\n", "reads as a number"},
	{HEAD "nodes:\n  - {id: 12, kind: echo}\n", "\"id\" must be a text"},
	{HEAD "nodes:\n  - {id: a, kind: echo}\n  - {id: a, kind: halt}\n",
		"declared twice, first on line 4"},
	{HEAD "nodes:\n  - {id: a, kind: echo, config: {x: 1}}\n", "g.yaml:4:"},
	{HEAD "nodes:\n  - {id: a, kind: template, config: {templat: x, out: y}}\n", "template"},
	{HEAD "nodes:\n  - {id: a, kind: template}\n", "template"},
	{HEAD "nodes:\n  - {id: a, kind: template, config: {template: 3, out: y}}\n",
		"g.yaml:4:48"},
	{HEAD "nodes:\n  - {id: a, kind: echo, spec: x.yaml}\n", "only a node of kind subgraph"},
	{HEAD "nodes:\n  - {id: a, kind: subgraph}\n", "needs `spec`"},
	{HEAD "nodes:\n  - {id: a, kind: subgraph, spec: no-such-file.yaml}\n", "no graph file"},
	{HEAD "nodes:\n  - {id: a, kind: subgraph, spec: {tool: x}}\n", "\"spec\" must be a text"},
	{HEAD "nodes: {a: {kind: echo}}\n", "\"nodes\" must be a list"},
	{HEAD "nodes: [echo]\n", "a node must be a mapping"},
	/* state */
	{HEAD NODES "state_schema: {m: string}\n", "g.yaml:6:19: unknown type \"string\""},
	{HEAD NODES "state_schema: {m: strr}\n", "did you mean \"str\"?"},
	{HEAD NODES "state_schema: {m: set}\n", "reducer: union"},
	{HEAD NODES "state_schema: {m: frozenset}\n", "has no order"},
	{HEAD NODES "state_schema: {\"9m\": str}\n", "cannot name a state field"},
	{HEAD NODES "state_schema: {m: {type: int, default: \"3\"}}\n", "not of the type int"},
	{HEAD NODES "state_schema: {m: {type: int, reducer: apend}}\n", "did you mean \"append\"?"},
	{HEAD NODES "state_schema: {m: {type: int, reducer: append}}\n",
		"does not work on the type int"},
	{HEAD NODES "state_schema: {m: {type: list, route: true}}\n", "cannot be seen by rules"},
	{HEAD NODES "state_schema: {m: {typ: int}}\n",
		"unknown key \"typ\"; did you mean \"type\"?"},
	{HEAD NODES "state_schema: {m: 3}\n", "a state field must be a mapping"},
	{HEAD NODES "state_schema: text\n", "must be a mapping of field"},
	{HEAD NODES "state_schema: [{type: str}]\n", "needs a name"},
	{HEAD NODES "state_schema: [{name: a, type: str}, {name: a, type: str}]\n",
		"declared twice"},
	/* rules */
	{RULE "    when: {node: wrok}\n    then: [{kind: halt}]\n",
		"g.yaml:9:18: no node \"wrok\"; did you mean \"work\"?"},
	{RULE "    when: \"(node-id (id wrok))\"\n    then: [{kind: halt}]\n", "no node \"wrok\""},
	{RULE "    when: \"?n <- (node-id (id ~wrok))\"\n    then: [{kind: halt}]\n",
		"no node \"wrok\""},
	{RULE "    when: \"(node-id (id work|stpo))\"\n    then: [{kind: halt}]\n",
		"no node \"stpo\""},
	{RULE "    when: {rsik: 3}\n    then: [{kind: halt}]\n",
		"g.yaml:9:12: no state field \"rsik\"; did you mean \"risk\"?"},
	{RULE "    when: {risk: many}\n    then: [{kind: halt}]\n", "could never be true"},
	{RULE "    when: {risk: 3.5}\n    then: [{kind: halt}]\n", "could never be true"},
	{RULE "    when: {flag: maybe}\n    then: [{kind: halt}]\n", "could never be true"},
	{RULE "    when: {message: yes}\n    then: [{kind: halt}]\n", "put the word in quotes"},
	{RULE "    when: {items: x}\n    then: [{kind: halt}]\n",
		"rules do not see the field items"},
	{RULE "    when: {message: [a]}\n    then: [{kind: halt}]\n",
		"must be a text, a number or a truth value"},
	{RULE "    when: {message: null}\n    then: [{kind: halt}]\n",
		"must be a text, a number or a truth value"},
	{RULE "    when: {}\n    then: [{kind: halt}]\n", "when is empty"},
	{RULE "    when: [x]\n    then: [{kind: halt}]\n", "must be CLIPS patterns"},
	{RULE "    when: {node: 3}\n    then: [{kind: halt}]\n", "node must be a node id"},
	{RULE "    when: {node: work}\n", "has no action"},
	{RULE "    when: {node: work}\n    then: []\n", "has no action"},
	{RULE "    when: {node: work}\n    the: []\n",
		"unknown key \"the\"; did you mean \"then\"?"},
	{RULE "    then: [{kind: halt}]\n    node_id: nope\n", "no node \"nope\""},
	{RULE "    then: [{kind: halt}]\n  - {id: r, then: [{kind: halt}]}\n",
		"declared twice, first on line 8"},
	{RULE "    then: [{kind: halt}]\n  - {id: R, then: [{kind: halt}]}\n",
		"must be lower-case"},
	{RULE "    then: [halt]\n", "an action is a mapping"},
	{RULE "    when: {node: stop}\n    then: [{kind: goto, target: work}]\n",
		"would lead away from stop"},
	{RULE "    when: \"(node-id (id stop)) (risk)\"\n    then: [{kind: retry, target: work}]\n",
		"would lead away from stop"},
	/* actions */
	{THEN "      - {kind: gotoo, target: work}\n",
		"g.yaml:11:16: unknown action \"gotoo\"; did you mean \"goto\"?"},
	{THEN "      - {kind: goto, targt: work}\n",
		"unknown key \"targt\"; did you mean \"target\"?"},
	{THEN "      - {kind: goto, target: wrok}\n",
		"g.yaml:11:30: no node \"wrok\"; did you mean \"work\"?"},
	{THEN "      - {kind: goto}\n", "needs the key \"target\""},
	{THEN "      - {target: work}\n", "a mapping with a kind"},
	{THEN "      - {kind: halt, reason: 3}\n", "\"reason\" must be a text"},
	{THEN "      - {kind: retry, target: work, backoff_ms: -1}\n", "backoff_ms must be"},
	{THEN "      - {kind: retry, target: work, backoff_ms: 99999999999}\n",
		"backoff_ms must be"},
	{THEN "      - {kind: retry, target: work, backoff_ms: soon}\n", "must be a whole number"},
	{THEN "      - {kind: parallel, targets: []}\n", "at least one node"},
	{THEN "      - {kind: parallel, targets: [work, wrok]}\n", "no node \"wrok\""},
	{THEN "      - {kind: parallel, targets: [work, work]}\n", "named twice"},
	{THEN "      - {kind: parallel, targets: [work], join: nope}\n", "no node \"nope\""},
	{THEN "      - {kind: parallel, targets: [work], strategy: al}\n", "did you mean \"all\"?"},
	{THEN "      - {kind: parallel, targets: [work], strategy: \"quorum:2\"}\n",
		"N from 1 to 1"},
	{THEN "      - {kind: parallel, targets: [work], strategy: \"quorum:x\"}\n",
		"N from 1 to 1"},
	{THEN "      - {kind: assert, fact: \"9 x\"}\n", "cannot name a fact"},
	{THEN "      - {kind: assert, fact: f, slots: \"{\"}\n", "text of a JSON object"},
	{THEN "      - {kind: assert, fact: f, slots: \"[1]\"}\n", "text of a JSON object"},
	{THEN "      - {kind: assert, fact: f, slots: '{\"a b\": 1}'}\n", "cannot name a slot"},
	{THEN "      - {kind: assert, fact: f, slots: {a: [1]}}\n", "must be a scalar"},
	{THEN "      - {kind: assert, fact: f, slots: {a: \"{nope}\"}}\n",
		"{nope} is no state field"},
	{THEN "      - {kind: assert, fact: f, slots: {a: \"{message\"}}\n", "without its }"},
	{THEN "      - {kind: interrupt}\n", "needs the key \"prompt\""},
	{THEN "      - {kind: interrupt, prompt: p, timeout: soon}\n", "not a duration"},
	{THEN "      - {kind: interrupt, prompt: p, timeout: -3}\n", "longer than 0"},
	{THEN "      - {kind: interrupt, prompt: p, on_timeout: stop}\n", "goto:<node>"},
	{THEN "      - {kind: interrupt, prompt: p, on_timeout: \"goto:nope\"}\n",
		"no node \"nope\""},
	{THEN "      - {kind: interrupt, prompt: p, interrupt_payload: 3}\n", "must be a mapping"},
	/* the other sections */
	{HEAD NODES "parallel: [{targets: [work, nope]}]\n", "no node \"nope\""},
	{HEAD NODES "parallel: [{targets: [work]}, {targets: [work]}]\n",
		"two parallel blocks begin at"},
	{HEAD NODES "parallel: [{targets: [work], joint: stop}]\n", "did you mean \"join\"?"},
	{HEAD NODES "governance: [{id: P}]\n", "not a pack id"},
	{HEAD NODES "governance: [{id: p}, {id: p}]\n", "mounted twice"},
	{HEAD NODES "governance: [{id: p, requires: {api: \"1\"}}]\n", "unknown key \"api\""},
	{HEAD NODES "migrate: [{from_hash: abc, to_hash: def}]\n", "64 hex digits"},
	{HEAD NODES "tools: [{id: std.web_search}]\n", "no tool \"std.web_search\""},
	{HEAD NODES "skills: [{id: s}]\n", "no skill \"s\""},
	{HEAD NODES "stores: [{name: kv, provider: memory}]\n", "no store \"kv\""},
	/* the authoring format */
	{"id: x\nnodes: {}\n", "g.yaml:2:8: authoring: nodes must be a mapping"},
	{"id: X\nnodes: {a: {kind: echo}}\n", "authoring: id must be"},
	{"id: x\nnode: {a: {kind: echo}}\n",
		"authoring: unknown key \"node\"; did you mean \"nodes\"?"},
	{"id: x\nnodes: {a: echo}\n", "must be a mapping with a kind"},
	{"id: x\nnodes: {a: {template: x}}\n", "has no kind"},
	{"id: x\nnodes: {a: {kind: ehco}}\n",
		"authoring: unknown kind \"ehco\"; did you mean \"echo\"?"},
	{"id: x\nnodes: {a: {kind: template, templat: x, out: y}}\n", "g.yaml:2:"},
	{"id: x\nnodes: {a: {kind: echo, spec: y}}\n", "only a node of kind subgraph"},
	{"id: x\nnodes: {a: {kind: echo}}\nroutes: {b: a}\n",
		"g.yaml:3:10: authoring: a route from no node \"b\""},
	{"id: x\nnodes: {work: {kind: echo}}\nroutes: {work: wrok}\n",
		"g.yaml:3:16: authoring: no node \"wrok\"; did you mean \"work\"?"},
	{"id: x\nnodes: {a: {kind: echo}}\nroutes: {a: {pass: done}}\n",
		"add verdict: {type: str, route: true}"},
	{"id: x\nstate: {verdict: str}\nnodes: {a: {kind: echo}}\nroutes: {a: {pass: done}}\n",
		"add verdict"},
	{"id: x\nstate: {verdict: {type: str, route: true}}\nnodes: {a: {kind: echo}}\nroutes: {a: "
	 "{pass: nope}}\n",
		"no node \"nope\""},
	{"id: x\nnodes: {a: {kind: echo}}\nroutes: {a: [b]}\n", "a target or a mapping"},
	{"id: x\nnodes: {a: {kind: echo}}\nroutes: {a: {}}\n", "authoring:"},
	{"id: x\nstate: {m: strr}\nnodes: {a: {kind: echo}}\n",
		"g.yaml:2:12: authoring: unknown type \"strr\""},
	{"id: x\nstate: {m: {type: str, routed: true}}\nnodes: {a: {kind: echo}}\n",
		"did you mean \"route\"?"},
};

/* All of them, before failing: a change of wording touches many. */
static void test_rows(void **state SG_UNUSED)
{
	int wrong = 0;
	for (size_t i = 0; i < SG_ARRAY_LEN(rows); i++) {
		struct sg_graph *g = NULL;
		struct sg_error err = {0};
		bool loaded = load(&g, rows[i].text, &err) == 0;
		if (!loaded && strstr(err.text, rows[i].says) &&
			strncmp(err.text, "g.yaml:", 7) == 0 && !strchr(err.text, '\n'))
			continue;
		print_error("%s\n  says: %s\n  not:  %s\n", rows[i].text,
			loaded ? "(loaded)" : err.text, rows[i].says);
		sg_graph_destroy(g);
		wrong++;
	}
	assert_int_equal(wrong, 0);
}

/* A name out of the file cannot make lines of its own or fill the screen. */
static void test_hostile_names(void **state SG_UNUSED)
{
	static char text[200000];
	size_t n = (size_t)snprintf(text, sizeof(text), HEAD "nodes:\n  - {id: a, kind: \"");
	memset(text + n, 'x', 150000);
	strcpy(text + n + 150000, "\"}\n");
	must_refuse(text, "unknown kind");
	must_refuse(HEAD "nodes:\n  - {id: a, kind: \"x\\ny\\x1b[2J\"}\n", "x y [2J");
}

static void test_too_many(void **state SG_UNUSED)
{
	struct sg_graph_limits limits = {.nodes = 2, .rules = 1};
	struct sg_error err = {0};
	struct sg_graph *g = NULL;
	const char *text =
		HEAD "nodes: [{id: a, kind: echo}, {id: b, kind: echo}, {id: c, kind: echo}]\n";
	assert_true(sg_graph_load_text(
			    &g, "g.yaml", text, strlen(text), fixture_kinds, 6, &limits, &err) < 0);
	assert_non_null(strstr(err.text, "3 nodes; the limit is 2"));
}

static void write_file(const char *dir, const char *name, const char *text)
{
	char path[300];
	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static int load_path(const char *dir, const char *name, struct sg_graph **ret, struct sg_error *err)
{
	char path[300];
	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	return sg_graph_load(ret, path, fixture_kinds, 6, NULL, err);
}

static void test_subgraphs(void **state SG_UNUSED)
{
	char dir[] = "/tmp/sg-graph-XXXXXX", sub[64];
	struct sg_error err = {0};
	struct sg_graph *g = NULL;
	assert_non_null(mkdtemp(dir));
	write_file(dir, "child.yaml",
		HEAD "nodes: [{id: c, kind: halt}]\nstate_schema: {q: str, n: int}\n");
	write_file(dir, "good.yaml",
		HEAD "state_schema: {message: str}\nnodes:\n"
		     "  - {id: s, kind: subgraph, spec: child.yaml, config: {inputs: {q: message}, "
		     "outputs: {message: q}}}\n");
	if (load_path(dir, "good.yaml", &g, &err) != 0)
		fail_msg("%s", err.text);
	assert_string_equal(g->nodes[0].subgraph->nodes[0].id, "c");
	sg_graph_destroy(g);
	write_file(dir, "bad.yaml",
		HEAD
		"state_schema: {message: str}\nnodes:\n"
		"  - {id: s, kind: subgraph, spec: child.yaml, config: {inputs: {n: message}}}\n");
	assert_true(load_path(dir, "bad.yaml", &g, &err) < 0);
	assert_non_null(
		strstr(err.text, "bad.yaml:5:68: inputs: n is of type int, message of type str"));
	write_file(dir, "loop.yaml", HEAD "nodes: [{id: s, kind: subgraph, spec: loop2.yaml}]\n");
	write_file(dir, "loop2.yaml", HEAD "nodes: [{id: s, kind: subgraph, spec: ./loop.yaml}]\n");
	assert_true(load_path(dir, "loop.yaml", &g, &err) < 0);
	assert_non_null(strstr(err.text, "loop2.yaml:3:39: the subgraphs lead back to"));
	write_file(dir, "broken.yaml",
		HEAD "nodes: [{id: s, kind: subgraph, spec: broken-child.yaml}]\n");
	write_file(dir, "broken-child.yaml", HEAD "nodes: [{id: s, kind: nope}]\n");
	assert_true(load_path(dir, "broken.yaml", &g, &err) < 0);
	assert_non_null(strstr(err.text, "broken-child.yaml:3:23: unknown kind"));
	for (int i = 0; i < 10; i++) {
		char name[32], text[200];
		(void)snprintf(name, sizeof(name), "deep%d.yaml", i);
		(void)snprintf(text, sizeof(text),
			HEAD "nodes: [{id: s, kind: subgraph, spec: deep%d.yaml}]\n", i + 1);
		write_file(dir, name, text);
	}
	write_file(dir, "deep10.yaml", HEAD "nodes: [{id: s, kind: halt}]\n");
	assert_true(load_path(dir, "deep0.yaml", &g, &err) < 0);
	assert_non_null(strstr(err.text, "nested more than 8 deep"));
	(void)snprintf(sub, sizeof(sub), "rm -r %s", dir);
	assert_int_equal(system(sub), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_hostile_names),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_subgraphs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
