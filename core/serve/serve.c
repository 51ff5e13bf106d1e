/* The server's life: gates, engine, doors, loop, signals, drain. */
#include "serve/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "embed/embed.h"
#include "serve/internal.h"
#include "serve/stream.h"
#include "run/mounts.h"

#define MAX_WAIT_MS 1000 /* of one turn of the loop */

/* Set by signal handlers, read by the loop. A signalfd would not do: OpenBLAS starts its threads
 * before main, with every signal unblocked. */
static volatile sig_atomic_t want_stop, want_reload;
static int wake_fd = -1;

static void on_signal(int number)
{
	const uint64_t one = 1;
	int saved = errno;
	if (number == SIGHUP)
		want_reload = 1;
	else
		want_stop = 1;
	ssize_t n = write(wake_fd, &one, sizeof(one));
	(void)n;
	errno = saved;
}

static void on_wake(h2o_socket_t *sock, const char *err)
{
	uint64_t n;
	(void)err;
	while (read(h2o_socket_get_fd(sock), &n, sizeof(n)) > 0)
		;
}

static int catch_signals(struct sg_server *s, struct sg_error *err)
{
	const struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	s->signal_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (s->signal_fd < 0)
		return sg_error_errno(err, errno, "eventfd");
	wake_fd = s->signal_fd;
	(void)signal(SIGPIPE, SIG_IGN);
	if (sigaction(SIGTERM, &sa, NULL) < 0 || sigaction(SIGINT, &sa, NULL) < 0 ||
		sigaction(SIGHUP, &sa, NULL) < 0)
		return sg_error_errno(err, errno, "sigaction");
	return 0;
}

static void setup_log(const struct sg_config *c)
{
	static const char *const levels[] = {"error", "warning", "info", "debug"};
	enum sg_log_level level = SG_LOG_INFO;
	for (size_t i = 0; i < SG_ARRAY_LEN(levels); i++)
		if (strcmp(c->log_level, levels[i]) == 0)
			level = (enum sg_log_level)i;
	sg_log_setup(level, strcmp(c->log_format, "json") == 0 ? SG_LOG_JSON : SG_LOG_TEXT);
}

/* Everything that can be wrong with identity and TLS, before anything is opened. */
static int prepare_identity(struct sg_server *s, struct sg_error *err)
{
	const struct sg_config *c = s->config;
	int r = sg_grants_create(&s->grants, c, err);
	if (r == 0)
		r = sg_edge_users_resolve(&s->edge_users, c, err);
	if (r == 0 && *c->edge_mac_key)
		r = sg_mac_create(&s->mac, c->edge_mac_key, err);
	if (r == 0 && *c->tls_cert) {
		r = sg_tls_create(&s->tls, c, err);
		if (r == 0)
			sg_door_attach_tls(s->tls);
	}
	return r;
}

/* Nothing configured: no embedder, and graphs that embed are refused when they load. */
static int prepare_model(struct sg_server *s, struct sg_error *err)
{
	const struct sg_config *c = s->config;
	sg_autofree char *dir = NULL;
	if (!*c->model_path && !*c->hf_home)
		return 0;
	int r = sg_model_find(
		*c->model_path ? c->model_path : NULL, *c->hf_home ? c->hf_home : NULL, &dir, err);
	return r < 0 ? r : sg_embedder_load(&s->embedder, dir, c->kernel, false, err);
}

/* As `run` makes its own; under cleared the gate has refused already. */
static int make_state_dir(const struct sg_config *c, struct sg_error *err)
{
	if (c->profile == SG_PROFILE_CLEARED || mkdir(c->state_dir, 0700) == 0 || errno == EEXIST)
		return 0;
	(void)sg_error_errno(err, errno, "cannot make the state directory %s", c->state_dir);
	err->code = SG_EREFUSED;
	return -SG_EREFUSED;
}

static int prepare_tools(struct sg_server *s, struct sg_error *err)
{
	const struct sg_config *c = s->config;
	const json_t *list = json_object_get(c->file, "tool");
	char directory[4096];
	struct sg_error why;
	char sandbox[96];
	(void)snprintf(directory, sizeof(directory), "%s/tools", c->state_dir);
	int r = sg_tools_create(&s->tools, list, directory, c->profile == SG_PROFILE_CLEARED, err);
	if (r == 0 && json_array_size(list) &&
		sg_tool_sandbox_probe(sandbox, sizeof(sandbox), &why) < 0)
		sg_log(SG_LOG_WARNING, "%s: tools run without it", why.text);
	return r;
}

static int prepare_llms(struct sg_server *s, struct sg_error *err)
{
	return sg_llms_create(&s->llms, json_object_get(s->config->file, "llm"), err);
}

static int prepare_engine(struct sg_server *s, struct sg_error *err)
{
	const struct sg_config *c = s->config;
	int r = make_state_dir(c, err);
	if (r == 0)
		r = sg_mounts_from_config(&s->mounts, c, err);
	if (r == 0)
		r = prepare_tools(s, err);
	if (r == 0)
		r = prepare_llms(s, err);
	if (r < 0)
		return r;
	struct sg_audit_options audit;
	sg_audit_options_read(json_object_get(c->file, "audit"), &audit);
	struct sg_store_decl stores[SG_KNOW_MAX_STORES];
	size_t n_stores = 0;
	r = sg_store_decls_read(json_object_get(c->file, "store"), stores, &n_stores, err);
	if (r < 0)
		return r;
	struct sg_engine_options o = {.state_dir = c->state_dir,
		.audit = &audit,
		.mounts = s->mounts,
		.tools = s->tools,
		.llms = s->llms,
		.audit_path = c->audit_path,
		.cleared = c->profile == SG_PROFILE_CLEARED,
		.allow_side_effects = c->allow_side_effects,
		.embedder = s->embedder,
		.embed_workers = c->embed_workers,
		.stores = stores,
		.n_stores = n_stores,
		.resident_bytes = (uint64_t)c->limits.resident_bytes,
		.limits = {.steps = c->limits.steps,
			.facts = c->limits.facts,
			.firings = c->limits.firings,
			.join_product = c->limits.join_product,
			.rule_us = c->limits.rule_ms * 1000,
			.run_us = c->limits.run_seconds * 1000000,
			.node_us = c->limits.node_seconds * 1000000,
			.state_bytes = c->limits.state_bytes,
			.runs_in_flight = c->limits.runs_in_flight,
			.queue = c->limits.queue}};
	r = sg_engine_create(&s->engine, &o, err);
	for (size_t i = 0; r == 0 && i < c->n_graphs; i++)
		r = sg_engine_load(s->engine, c->graphs[i], err);
	if (r == 0)
		r = sg_api_create(&s->api, s->engine, c, err);
	if (r == 0)
		r = sg_triggers_create(&s->triggers, s->engine, c, err);
	if (r < 0)
		return r;
	sg_api_set_embedder(s->api, s->embedder);
	sg_api_set_triggers(s->api, s->triggers);
	return 0;
}

static void on_engine(h2o_socket_t *sock, const char *err)
{
	struct sg_server *s = sock->data;
	(void)err;
	s->stepped = true;
	sg_engine_dispatch(s->engine);
}

/* h2o closes what it is given: it gets a duplicate. */
static int attach(
	struct sg_server *s, int fd, h2o_socket_cb cb, h2o_socket_t **ret, struct sg_error *err)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (copy < 0)
		return sg_error_errno(err, errno, "dup");
	*ret = h2o_evloop_socket_create(s->loop, copy, H2O_SOCKET_FLAG_DONT_READ);
	(*ret)->data = s;
	h2o_socket_read_start(*ret, cb);
	return 0;
}

static void notify_watchdog(struct sg_server *s, int64_t now)
{
	if (!s->watchdog_us || now < s->watchdog_next_us)
		return;
	(void)sd_notify(0, "WATCHDOG=1");
	s->watchdog_next_us = now + s->watchdog_us / 2;
}

static void on_sweep(h2o_timeout_entry_t *entry)
{
	struct sg_server *s = H2O_STRUCT_FROM_MEMBER(struct sg_server, sweep_entry, entry);
	int64_t now = sg_clock_monotonic_us();
	sg_conns_sweep(s, now);
	sg_streams_sweep(s, now);
	notify_watchdog(s, now);
	if (!s->draining)
		sg_reload_watch(s);
	if (sg_engine_rest(s->engine))
		(void)malloc_trim(0); /* what busy times took is not kept for ever */
	h2o_timeout_link(s->loop, &s->sweep_timeout, &s->sweep_entry);
}

static int setup_loop(struct sg_server *s, struct sg_error *err)
{
	uint64_t watchdog = 0;
	s->loop = h2o_evloop_create();
	h2o_config_init(&s->global);
	sg_handler_setup(s);
	h2o_context_init(&s->ctx, s->loop, &s->global);
	s->accept = (h2o_accept_ctx_t){.ctx = &s->ctx, .hosts = s->global.hosts};
	h2o_timeout_init(s->loop, &s->sweep_timeout, SG_SERVE_SWEEP_MS);
	h2o_timeout_init(s->loop, &s->stream_timeout, SG_SERVE_STREAM_MS);
	s->sweep_entry.cb = on_sweep;
	h2o_timeout_link(s->loop, &s->sweep_timeout, &s->sweep_entry);
	if (sd_watchdog_enabled(0, &watchdog) > 0)
		s->watchdog_us = (int64_t)watchdog;
	int r = attach(s, s->signal_fd, on_wake, &s->signal_sock, err);
	return r < 0 ? r : attach(s, sg_engine_fd(s->engine), on_engine, &s->engine_sock, err);
}

static int prepare(struct sg_server *s, struct sg_error *err)
{
	const struct sg_serve_options *o = s->options;
	s->config = calloc(1, sizeof(*s->config));
	if (!s->config)
		return sg_error_nomem(err);
	sg_reload_remember(s);
	int r = sg_config_load(s->config, o->config_path, o->flags, o->n_flags, o->env, err);
	if (r < 0) {
		free(sg_steal(s->config));
		return r;
	}
	setup_log(s->config);
	r = sg_config_gates(s->config, err);
	if (r == 0)
		r = prepare_identity(s, err);
	if (r == 0)
		r = prepare_model(s, err);
	if (r == 0)
		r = prepare_engine(s, err);
	if (r == 0)
		r = catch_signals(s, err);
	if (r == 0)
		r = setup_loop(s, err);
	if (r == 0)
		r = sg_engine_recover(s->engine, err);
	if (r == 0)
		sg_engine_keep(s->engine, s->config->keep.runs, s->config->keep.seconds);
	if (r == 0)
		r = sg_triggers_begin(s->triggers, sg_clock_utc_us() / 1000000, err);
	return r < 0 ? r : sg_doors_open(s, err);
}

static void start_drain(struct sg_server *s)
{
	want_stop = 0;
	if (s->draining) { /* asked twice: at once */
		s->drain_until_us = 0;
		return;
	}
	sg_log(SG_LOG_INFO, "stopping: finishing what was accepted");
	(void)sd_notify(0, "STOPPING=1");
	s->draining = true;
	s->drain_until_us = sg_clock_monotonic_us() + SG_SERVE_DRAIN_MS * 1000LL;
	sg_doors_close(s);
	s->ctx.shutdown_requested = 1; /* its own function arms a timer of HTTP/2 for ever */
	sg_streams_end(s);
	sg_conns_half_close_idle(s);
}

static void reload(struct sg_server *s)
{
	struct sg_error err;
	want_reload = 0;
	(void)sd_notify(0, "RELOADING=1");
	if (sg_reload(s, &err) < 0)
		sg_log(SG_LOG_ERROR, "reload refused, the old configuration stays: %s", err.text);
	else
		sg_log(SG_LOG_INFO, "configuration reloaded");
	(void)sd_notify(0, "READY=1");
}

static int shorter(int a, int b)
{
	return a < 0 ? b : b < 0 || a < b ? a : b;
}

static void note_disk(struct sg_server *s)
{
	bool full = sg_engine_no_space(s->engine);
	if (full == s->disk_full)
		return;
	s->disk_full = full;
	sg_log(full ? SG_LOG_ERROR : SG_LOG_INFO,
		full ? "the disk is full: runs wait for room, nothing new is accepted"
		     : "there is room on the disk again: runs go on");
	(void)sd_notify(0, full ? "STATUS=the disk is full" : "STATUS=serving");
}

static void turn(struct sg_server *s)
{
	int wait = shorter(sg_engine_timeout_ms(s->engine), sg_api_timeout_ms(s->api));
	wait = shorter(wait, sg_triggers_timeout_ms(s->triggers, sg_clock_utc_us()));
	s->stepped = false;
	(void)h2o_evloop_run(s->loop, shorter(wait, MAX_WAIT_MS));
	if (!s->draining)
		sg_triggers_tick(s->triggers, sg_clock_utc_us() / 1000000);
	if (!s->stepped && sg_engine_timeout_ms(s->engine) == 0)
		sg_engine_dispatch(s->engine);
	sg_api_tick(s->api);
	note_disk(s);
	if (want_stop)
		start_drain(s);
	if (want_reload && !s->draining)
		reload(s);
}

static bool drained(const struct sg_server *s)
{
	return s->draining &&
	       (s->conns.next == &s->conns || sg_clock_monotonic_us() >= s->drain_until_us);
}

/* SG_… when the store or the audit could not be written: the next start repairs. */
static int loop(struct sg_server *s, struct sg_error *err)
{
	int failed = 0;
	(void)sd_notify(0, "READY=1\nSTATUS=serving");
	while (!drained(s) && !(failed = sg_engine_failed(s->engine, err)))
		turn(s);
	sg_conns_cut_all(s);
	for (int i = 0; i < 100 && (s->conns.next != &s->conns || s->n_lingers); i++)
		(void)h2o_evloop_run(s->loop, 10);
	return failed ? -err->code : 0;
}

static void close_loop(struct sg_server *s)
{
	if (s->engine_sock)
		h2o_socket_close(s->engine_sock);
	if (s->signal_sock)
		h2o_socket_close(s->signal_sock);
	if (s->signal_fd >= 0)
		(void)close(s->signal_fd);
	if (!s->loop)
		return;
	h2o_timeout_unlink(&s->sweep_entry);
	h2o_timeout_dispose(s->loop, &s->sweep_timeout);
	h2o_timeout_dispose(s->loop, &s->stream_timeout);
	(void)h2o_evloop_run(s->loop, 0); /* frees the sockets that were closed */
	h2o_multithread_queue_t *queue = s->ctx.queue;
	h2o_context_dispose(&s->ctx);
	free(queue); /* h2o 2.2.5 takes it apart and forgets it */
	h2o_config_dispose(&s->global);
	h2o_evloop_destroy(s->loop);
}

static void finish(struct sg_server *s)
{
	sg_doors_close(s);
	sg_api_destroy(s->api);
	sg_triggers_destroy(s->triggers);
	sg_engine_destroy(s->engine);
	sg_mounts_destroy(s->mounts);
	sg_tools_destroy(s->tools);
	sg_llms_destroy(s->llms);
	close_loop(s);
	sg_embedder_destroy(s->embedder);
	sg_known_finish(s);
	sg_grants_destroy(s->grants);
	sg_edge_users_finish(&s->edge_users);
	sg_mac_destroy(s->mac);
	sg_tls_unref(s->tls);
	if (s->config)
		sg_config_finish(s->config);
	free(s->config);
}

int sg_serve(const struct sg_serve_options *o, struct sg_error *err)
{
	struct sg_server *s = calloc(1, sizeof(*s));
	if (!s)
		return sg_error_nomem(err);
	s->options = o;
	s->signal_fd = -1;
	s->conns.next = s->conns.prev = &s->conns;
	s->lingers.next = s->lingers.prev = &s->lingers;
	for (int i = 0; i < SG_DOORS; i++)
		s->doors[i] = (struct sg_door){.server = s, .kind = (enum sg_door_kind)i};
	int r = prepare(s, err);
	if (r == 0) {
		r = loop(s, err);
		sg_log(SG_LOG_INFO, "stopped");
	}
	finish(s);
	free(s);
	return r;
}
