/* Tools, the well-behaved and the hostile: what a call gives, what its sandbox keeps, what is left
 * behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "tmpdir.h"
#include "tool/tool.h"

static char dir[256];

static void write_file(const char *path, const char *text)
{
	tmp_write(path, text, strlen(text));
}

/* Declares one tool: a program and its script, and further members of its table. */
static struct sg_tools *declare(const char *program, const char *script, const char *more)
{
	char path[512], tools[512];
	struct sg_error err = {0};
	struct sg_tools *t = NULL;
	(void)snprintf(path, sizeof(path), "%s/script", dir);
	(void)snprintf(tools, sizeof(tools), "%s/tools", dir);
	write_file(path, script);
	json_t *all = json_pack("[{s:s, s:[s, s], s:s, s:i}]", "id", "t", "command", program, path,
		"side_effects", "none", "timeout_seconds", 5);
	json_t *extra = json_loads(more, 0, NULL);
	assert_non_null(all);
	assert_non_null(extra);
	assert_int_equal(json_object_update(json_array_get(all, 0), extra), 0);
	if (sg_tools_create(&t, all, tools, true, &err) < 0)
		fail_msg("%s", err.text);
	json_decref(all);
	json_decref(extra);
	return t;
}

static int call_with(struct sg_tools *t, const char *arguments, int cancel_fd, json_t **ret,
	struct sg_error *err)
{
	const struct sg_tool_call c = {.tool = sg_tools_find(t, "t"),
		.arguments = arguments,
		.run_id = "run-1",
		.node_id = "n",
		.call_id = "run-1:0",
		.cancel_fd = cancel_fd};
	return sg_tool_call(&c, ret, err);
}

/* The output's canonical text, or "kind: text" of the error. Static. */
static const char *call(const char *program, const char *script, const char *more)
{
	static char text[4096];
	struct sg_error err = {0};
	json_t *out = NULL;
	struct sg_tools *t = declare(program, script, more);
	int r = call_with(t, "{\"x\":2}", -1, &out, &err);
	if (r < 0) {
		assert_null(out);
		(void)snprintf(text, sizeof(text), "%s: %s", err.kind, err.text);
	} else {
		sg_autobuf b = SG_BUF_INIT(sizeof(text) - 1);
		assert_int_equal(sg_json_canonical(out, &b, &err), 0);
		(void)snprintf(text, sizeof(text), "%s", b.data);
	}
	json_decref(out);
	sg_tools_destroy(t);
	return text;
}

#define PY(script, more) call("/usr/bin/python3", script, more)
#define SH(script, more) call("/bin/sh", script, more)

static void assert_starts(const char *text, const char *start)
{
	if (strncmp(text, start, strlen(start)) != 0)
		fail_msg("\"%s\" does not start with \"%s\"", text, start);
}

static void a_tool_answers_in_python_and_in_shell(void **state)
{
	(void)state;
	assert_string_equal(PY("import json,sys\n"
			       "a = json.loads(sys.stdin.readline())\n"
			       "print(json.dumps({'y': a['x'] * 21}))\n",
				    "{}"),
		"{\"y\":42}");
	assert_string_equal(
		SH("read line; printf '{\"got\":%s}\\n' \"$line\"\n", "{}"), "{\"got\":{\"x\":2}}");
}

static void its_environment_is_what_is_stated(void **state)
{
	(void)state;
	assert_int_equal(setenv("SECRET_OF_THE_SERVER", "x", 1), 0);
	assert_string_equal(PY("import json,os\n"
			       "e = sorted(k for k in os.environ if k not in ('LC_CTYPE',))\n"
			       "print(json.dumps({'e': e, 'run': os.environ['STARGRAPH_RUN_ID'],"
			       " 'own': os.environ['OWN']}))\n",
				    "{\"environment\":{\"OWN\":\"1\"}}"),
		"{\"e\":[\"HOME\",\"LANG\",\"OWN\",\"PATH\",\"PYTHONDONTWRITEBYTECODE\","
		"\"STARGRAPH_CALL_ID\",\"STARGRAPH_NODE_ID\",\"STARGRAPH_RUN_ID\",\"TMPDIR\","
		"\"TZ\"],\"own\":\"1\",\"run\":\"run-1\"}");
}

static void its_descriptors_are_three(void **state)
{
	(void)state;
	int open_file = dup(0), more = eventfd(0, 0); /* not close-on-exec */
	assert_true(open_file >= 0 && more >= 0);
	assert_string_equal(PY("import json,os\n"
			       "def there(n):\n"
			       "  try: os.fstat(n); return True\n"
			       "  except OSError: return False\n"
			       "print(json.dumps({'n': [n for n in range(256) if there(n)]}))\n",
				    "{}"),
		"{\"n\":[0,1,2]}");
	(void)close(open_file);
	(void)close(more);
}

static void it_reaches_no_network(void **state)
{
	(void)state;
	static const char script[] =
		"import json,socket\n"
		"def attempt(f):\n"
		"  try: f(); return 'open'\n"
		"  except OSError as e: return e.errno\n"
		"def name():\n"
		"  socket.getaddrinfo('example.com', 80)\n"
		"print(json.dumps({'inet': attempt(lambda: socket.socket(socket.AF_INET)),\n"
		" 'inet6': attempt(lambda: socket.socket(socket.AF_INET6)),\n"
		" 'unix': attempt(lambda: socket.socket(socket.AF_UNIX)),\n"
		" 'packet': attempt(lambda: socket.socket(socket.AF_PACKET)),\n"
		" 'netlink': attempt(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)),\n"
		" 'pair': attempt(lambda: socket.socketpair()),\n"
		" 'dns': attempt(name) != 'open'}))\n";
	assert_string_equal(PY(script, "{}"),
		"{\"dns\":true,\"inet\":1,\"inet6\":1,\"netlink\":1,\"packet\":1,\"pair\":\"open\","
		"\"unix\":1}");
}

static void it_reaches_no_other_process(void **state)
{
	(void)state;
	static const char script[] =
		"import ctypes,json,os\n"
		"libc = ctypes.CDLL(None, use_errno=True)\n"
		"def sys(*a):\n"
		"  ctypes.set_errno(0)\n"
		"  return 0 if libc.syscall(*a) >= 0 else ctypes.get_errno()\n"
		"def attempt(f):\n"
		"  try: f(); return 0\n"
		"  except OSError as e: return e.errno\n"
		"print(json.dumps({'ptrace': sys(101, 16, os.getppid(), 0, 0),\n"
		" 'setsid': attempt(os.setsid), 'setpgid': attempt(lambda: os.setpgid(0, 0)),\n"
		" 'unshare': sys(272, 0x10000000), 'io_uring': sys(425, 1, 0),\n"
		" 'bpf': sys(321, 0, 0, 0), 'keyctl': sys(250, 0, 0, 0),\n"
		" 'pdeathsig': sys(157, 1, 0, 0, 0),\n"
		" 'kill': attempt(lambda: os.kill(int(open('/dev/null').read() or %d), 0)) != "
		"0}))\n";
	char text[2048];
	(void)snprintf(text, sizeof(text), script, (int)getpid());
	assert_string_equal(PY(text, "{}"),
		"{\"bpf\":1,\"io_uring\":1,\"keyctl\":1,\"kill\":true,\"pdeathsig\":1,\"ptrace\":1,"
		"\"setpgid\":1,\"setsid\":1,\"unshare\":1}");
}

static void it_reads_and_writes_only_what_is_its_own(void **state)
{
	(void)state;
	char script[2048], secret[512], more[1024];
	(void)snprintf(secret, sizeof(secret), "%s/store.mdb", dir);
	write_file(secret, "truth");
	(void)snprintf(script, sizeof(script),
		"import json,os\n"
		"def attempt(p, m):\n"
		"  try:\n"
		"    with open(p, m): return 0\n"
		"  except OSError as e: return e.errno\n"
		"print(json.dumps({'secret': attempt('%s', 'r'), 'passwd': attempt('/etc/passwd', "
		"'r'),\n"
		" 'proc': attempt('/proc/self/environ', 'r'), 'tmp': attempt('/tmp/x-sg', 'w'),\n"
		" 'own': attempt(os.environ['HOME'] + '/f', 'w'), 'null': attempt('/dev/null', "
		"'w')}))\n",
		secret);
	assert_string_equal(PY(script, "{}"),
		"{\"null\":0,\"own\":13,\"passwd\":13,\"proc\":13,\"secret\":13,\"tmp\":13}");
	(void)snprintf(
		more, sizeof(more), "{\"side_effects\":\"write\",\"read_paths\":[\"%s\"]}", secret);
	assert_string_equal(PY(script, more),
		"{\"null\":0,\"own\":0,\"passwd\":13,\"proc\":13,\"secret\":0,\"tmp\":13}");
}

static void its_limits_have_names(void **state)
{
	(void)state;
	assert_starts(PY("x = bytearray(400 << 20)\n", "{\"memory_mb\":128}"), "tool-exit: ");
	assert_non_null(
		strstr(PY("x = bytearray(400 << 20)\n", "{\"memory_mb\":128}"), "MemoryError"));
	assert_starts(SH("while :; do echo '{}'; done\n", "{\"output_bytes\":100000}"),
		"tool-output-limit: ");
	assert_starts(SH("while :; do echo flood >&2; done\n", "{\"output_bytes\":100000}"),
		"tool-output-limit: ");
	int64_t from = sg_clock_monotonic_us();
	assert_starts(SH("sleep 100\n", "{\"timeout_seconds\":1}"), "tool-timeout: ");
	assert_in_range(sg_clock_monotonic_us() - from, 900000, 3000000);
	assert_starts(SH("exec >&-; sleep 100\n", "{\"timeout_seconds\":1}"), "tool-timeout: ");
	assert_starts(SH("trap '' TERM HUP INT; while :; do :; done\n", "{\"timeout_seconds\":1}"),
		"tool-timeout: ");
}

static void bad_output_is_named(void **state)
{
	(void)state;
	assert_starts(SH("exec >&-; exit 0\n", "{}"), "tool-no-output: ");
	assert_starts(SH("exit 0\n", "{}"), "tool-no-output: ");
	assert_starts(SH("echo broken >&2; exit 3\n", "{}"),
		"tool-exit: tool t exited with 3; stderr: broken");
	assert_starts(SH("ulimit -t 0; while :; do :; done\n", "{}"), "tool-killed: ");
	assert_starts(SH("echo nonsense\n", "{}"), "tool-output: ");
	assert_starts(SH("printf '{\"a\":\\000}\\n'\n", "{}"), "tool-output: ");
	assert_starts(SH("printf '\\000\\000\\n'\n", "{}"), "tool-output: ");
	assert_starts(SH("printf '{\"a\":1}'\n", "{}"),
		"tool-output: tool t: its output ended in the middle of a line");
	assert_starts(SH("echo '{}'; echo '{}'\n", "{}"),
		"tool-output: tool t: it wrote more than one line");
	assert_starts(SH("echo '[1]'\n", "{}"), "tool-output: ");
	assert_starts(SH("echo '{\"a\":\"\\377\"}'\n", "{}"), "tool-output: ");
	assert_starts(SH("echo '{\"y\":\"text\"}'\n",
			      "{\"output\":{\"type\":\"object\",\"properties\":{\"y\":{\"type\":"
			      "\"integer\"}}}}"),
		"tool-schema: ");
	assert_starts(SH("echo '{\"a\":1}'; exit 1\n", "{}"), "tool-exit: ");
}

/* A daemon that outlives its tool would hold the pipe that this test holds the other end of. */
static void nothing_outlives_a_call(void **state)
{
	(void)state;
	char path[512], script[2048];
	struct stat st;
	(void)snprintf(path, sizeof(path), "%s/tools/t/alive", dir);
	(void)snprintf(script, sizeof(script),
		"import json,os,sys,time\n"
		"sys.stdin.readline()\n"
		"for i in range(3):\n"
		"  if os.fork() == 0:\n"
		"    try: os.setsid()\n"
		"    except OSError: pass\n"
		"    if os.fork() == 0:\n"
		"      os.close(1)\n"
		"      while True:\n"
		"        open('%s', 'w').close()\n"
		"        time.sleep(0.05)\n"
		"    os._exit(0)\n"
		"time.sleep(0.3)\n"
		"print('{}')\n",
		path);
	assert_string_equal(PY(script, "{\"side_effects\":\"write\"}"), "{}");
	assert_int_equal(unlink(path), 0); /* they lived */
	(void)usleep(400000);
	assert_int_equal(stat(path, &st), -1);
}

static void *cancel_soon(void *arg)
{
	(void)usleep(200000);
	(void)eventfd_write(*(int *)arg, 1);
	return NULL;
}

static void a_call_can_be_stopped(void **state)
{
	(void)state;
	sg_autoclose int fd = eventfd(0, EFD_CLOEXEC);
	struct sg_error err = {0};
	json_t *out = NULL;
	pthread_t thread;
	struct sg_tools *t = declare("/bin/sh", "sleep 100\n", "{}");
	assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &fd), 0);
	int64_t from = sg_clock_monotonic_us();
	assert_true(call_with(t, "{}", fd, &out, &err) < 0);
	assert_string_equal(err.kind, "tool-cancelled");
	assert_in_range(sg_clock_monotonic_us() - from, 100000, 2000000);
	(void)pthread_join(thread, NULL);
	sg_tools_destroy(t);
}

static void large_arguments_meet_a_tool_that_does_not_read(void **state)
{
	(void)state;
	struct sg_error err = {0};
	json_t *out = NULL;
	size_t n = 1 << 20;
	sg_autofree char *big = malloc(n + 16);
	assert_non_null(big);
	memcpy(big, "{\"x\":\"", 6);
	memset(big + 6, 'a', n);
	memcpy(big + 6 + n, "\"}", 3);
	struct sg_tools *t = declare("/bin/sh", "echo '{\"ok\":true}'\n", "{}");
	if (call_with(t, big, -1, &out, &err) < 0)
		fail_msg("%s", err.text);
	json_decref(out);
	sg_tools_destroy(t);
	t = declare("/bin/sh", "exec sleep 100\n", "{\"timeout_seconds\":1}");
	assert_true(call_with(t, big, -1, &out, &err) < 0);
	assert_string_equal(err.kind, "tool-timeout");
	sg_tools_destroy(t);
}

static void bad_declarations_are_refused(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"[{\"id\":\"a\",\"command\":[\"sh\"],\"side_effects\":\"none\"}]",
		"[{\"id\":\"a\",\"command\":[\"/nowhere\"],\"side_effects\":\"none\"}]",
		"[{\"id\":\"../a\",\"command\":[\"/bin/sh\"],\"side_effects\":\"none\"}]",
		"[{\"id\":\"a\",\"command\":[\"/bin/"
		"sh\"],\"side_effects\":\"read\",\"write_paths\":"
		"[\"/tmp\"]}]",
		"[{\"id\":\"a\",\"command\":[\"/bin/sh\"],\"side_effects\":\"none\",\"read_paths\":"
		"[\"etc\"]}]",
		"[{\"id\":\"a\",\"command\":[\"/bin/"
		"sh\"],\"side_effects\":\"none\",\"environment\":"
		"{\"LD_PRELOAD\":\"/x\"}}]",
		"[{\"id\":\"a\",\"command\":[\"/bin/sh\"],\"side_effects\":\"none\",\"input\":"
		"{\"pattern\":\"x\"}}]",
		"[{\"id\":\"a\",\"command\":[\"/bin/sh\"],\"side_effects\":\"none\"},"
		"{\"id\":\"a\",\"command\":[\"/bin/sh\"],\"side_effects\":\"none\"}]",
	};
	char tools[512];
	(void)snprintf(tools, sizeof(tools), "%s/tools", dir);
	for (size_t i = 0; i < SG_ARRAY_LEN(bad); i++) {
		struct sg_error err = {0};
		struct sg_tools *t = NULL;
		json_t *list = json_loads(bad[i], 0, NULL);
		assert_non_null(list);
		if (sg_tools_create(&t, list, tools, true, &err) >= 0)
			fail_msg("accepted: %s", bad[i]);
		assert_non_null(strstr(err.text, "[[tool]]"));
		json_decref(list);
	}
}

static void the_server_becomes_non_dumpable(void **state)
{
	(void)state;
	assert_string_equal(SH("echo '{}'\n", "{}"), "{}");
	assert_int_equal(prctl(PR_GET_DUMPABLE), 0);
}

static const char mcp_server[] =
	"import json,sys\n"
	"def say(m): print(json.dumps(m), flush=True)\n"
	"mode = %s\n"
	"for line in sys.stdin:\n"
	"  m = json.loads(line)\n"
	"  if 'id' not in m or 'method' not in m: continue\n"
	"  k = m['method']; r = {}\n"
	"  if k == 'initialize':\n"
	"    say({'jsonrpc':'2.0','id':'s1','method':'ping'})\n"
	"    say({'jsonrpc':'2.0','id':'s2','method':'roots/list'})\n"
	"    v = m['params']['protocolVersion'] if mode != 'version' else '1999-01-01'\n"
	"    r = {'protocolVersion': v, 'capabilities': {'tools': {}}, 'serverInfo': {}}\n"
	"  elif k == 'tools/list':\n"
	"    second = 'cursor' in m['params']\n"
	"    r = {'tools': [{'name': 'double' if second else 'other'}]}\n"
	"    if not second: r['nextCursor'] = 'p2'\n"
	"  elif k == 'tools/call':\n"
	"    say({'jsonrpc':'2.0','method':'notifications/message','params':{}})\n"
	"    x = m['params']['arguments']['x']\n"
	"    r = {'content': [{'type':'text','text':str(2*x)}]}\n"
	"    if mode == 'structured': r['structuredContent'] = {'y': 2*x}\n"
	"    if mode == 'fails': r = {'isError': True, 'content': [{'type':'text','text':'no "
	"luck'}]}\n"
	"    if mode == 'error':\n"
	"      say({'jsonrpc':'2.0','id':m['id'],'error':{'code':-1,'message':'broken'}}); "
	"continue\n"
	"    if mode == 'leaves': sys.exit(0)\n"
	"  say({'jsonrpc':'2.0','id':m['id'],'result':r})\n";

static const char *mcp(const char *mode, const char *name)
{
	char script[4096], more[256];
	(void)snprintf(script, sizeof(script), mcp_server, mode);
	(void)snprintf(more, sizeof(more), "{\"protocol\":\"mcp\",\"name\":\"%s\"}", name);
	return PY(script, more);
}

static void an_mcp_server_is_spoken_to(void **state)
{
	(void)state;
	assert_string_equal(mcp("'structured'", "double"), "{\"y\":4}");
	assert_string_equal(mcp("'text'", "double"), "{\"text\":\"4\"}");
	assert_starts(mcp("'fails'", "double"), "tool-failed: tool t says: no luck");
	assert_starts(mcp("'error'", "double"), "tool-failed: tool t: the server says: broken");
	assert_starts(mcp("'leaves'", "double"), "tool-no-output: ");
	assert_starts(mcp("'version'", "double"), "tool-protocol: ");
	assert_starts(mcp("'text'", "doubel"), "tool-protocol: tool t: the server has no tool "
					       "\"doubel\"; did you mean \"double\"?");
}

static int setup(void **state)
{
	int r = tmp_setup(state);
	(void)signal(SIGPIPE, SIG_IGN);
	if (r == 0)
		(void)snprintf(dir, sizeof(dir), "%s", (const char *)*state);
	return r;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tool_answers_in_python_and_in_shell),
		cmocka_unit_test(its_environment_is_what_is_stated),
		cmocka_unit_test(its_descriptors_are_three),
		cmocka_unit_test(it_reaches_no_network),
		cmocka_unit_test(it_reaches_no_other_process),
		cmocka_unit_test(it_reads_and_writes_only_what_is_its_own),
		cmocka_unit_test(its_limits_have_names),
		cmocka_unit_test(bad_output_is_named),
		cmocka_unit_test(nothing_outlives_a_call),
		cmocka_unit_test(a_call_can_be_stopped),
		cmocka_unit_test(large_arguments_meet_a_tool_that_does_not_read),
		cmocka_unit_test(bad_declarations_are_refused),
		cmocka_unit_test(the_server_becomes_non_dumpable),
		cmocka_unit_test(an_mcp_server_is_spoken_to),
	};
	return cmocka_run_group_tests(tests, setup, tmp_teardown);
}
