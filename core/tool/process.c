/* One process of a tool: started in its sandbox, fed and read without blocking for longer than its
 * deadline, and killed with everything it started.
 *
 * The child shares the parent's memory until it executes (as posix_spawn does it): a fork would
 * copy the page tables of a process with a 64 GiB map and stall the loop. So the child makes system
 * calls only, with what was prepared before. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/file.h"
#include "tool/internal.h"

#define STACK 65536U
#define READ_SIZE 65536U
#define CHILD_LIKE_FORK __attribute__((no_sanitize("address", "undefined")))

struct child {
	const struct sg_tool_call *call;
	int in, out, error, parent; /* descriptors above 2; parent = a pidfd of this process */
	char **environment;
	int failed; /* out: errno */
	const char *step;
};

static int limit(int which, int64_t value)
{
	struct rlimit r = {(rlim_t)value, (rlim_t)value};
	return setrlimit((__rlimit_resource_t)which, &r);
}

static int set_limits(const struct sg_tool *t)
{
	int64_t seconds = t->timeout_us / 1000000 + 2;
	if (limit(RLIMIT_AS, t->memory_bytes) < 0 || limit(RLIMIT_CORE, 0) < 0 ||
		limit(RLIMIT_NOFILE, SG_TOOL_FILES) < 0 ||
		limit(RLIMIT_FSIZE, SG_TOOL_FILE_BYTES) < 0 ||
		limit(RLIMIT_CPU, seconds * t->processes) < 0)
		return -errno;
	/* Counted in the user namespace; without one it would count the server's own threads. */
	if (t->confinement->namespaces && limit(RLIMIT_NPROC, t->processes) < 0)
		return -errno;
	return 0;
}

/* The parent's handlers must not run here: its memory is shared. */
static void reset_signals(void)
{
	const struct sigaction plain = {.sa_handler = SIG_DFL};
	for (int s = 1; s < NSIG; s++)
		(void)sigaction(s, &plain, NULL);
}

static int prepare(struct child *c)
{
	struct pollfd parent = {.fd = c->parent, .events = POLLIN};
	c->step = "parent";
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -errno;
	if (poll(&parent, 1, 0) != 0)
		return -ESRCH; /* it died before the line above */
	c->step = "session";
	if (setsid() < 0)
		return -errno;
	reset_signals();
	c->step = "descriptors";
	if (dup2(c->in, 0) < 0 || dup2(c->out, 1) < 0 || dup2(c->error, 2) < 0)
		return -errno;
	c->step = "directory";
	if (chdir(c->call->tool->directory) < 0)
		return -errno;
	c->step = "limits";
	return set_limits(c->call->tool);
}

static CHILD_LIKE_FORK int child_main(void *arg)
{
	struct child *c = arg;
	const struct sg_tool *t = c->call->tool;
	sigset_t none;
	int r = prepare(c);
	if (r == 0)
		r = sg_sandbox_enter(t->confinement, &c->step);
	if (r == 0) {
		(void)sigemptyset(&none);
		(void)sigprocmask(SIG_SETMASK, &none, NULL);
		c->step = "execute";
		(void)execve(t->argv[0], t->argv, c->environment);
		r = -errno;
	}
	c->failed = -r;
	_exit(127);
}

/* Above the three that the child overwrites. */
static int lift(int *fd)
{
	if (*fd > 2)
		return 0;
	int up = fcntl(*fd, F_DUPFD_CLOEXEC, 3);
	if (up < 0)
		return -errno;
	(void)close(*fd);
	*fd = up;
	return 0;
}

struct pipes {
	int ends[3][2];
};

static void close_pipes(struct pipes *p)
{
	for (size_t i = 0; i < 6; i++)
		if (p->ends[i / 2][i % 2] >= 0)
			(void)close(p->ends[i / 2][i % 2]);
}

static int make_pipes(struct pipes *p)
{
	memset(p, 0xff, sizeof(*p)); /* -1 */
	for (size_t i = 0; i < 3; i++) {
		if (pipe2(p->ends[i], O_CLOEXEC) < 0 || lift(&p->ends[i][0]) < 0 ||
			lift(&p->ends[i][1]) < 0)
			return -errno;
		int ours = p->ends[i][i == 0 ? 1 : 0];
		if (fcntl(ours, F_SETFL, O_NONBLOCK) < 0)
			return -errno;
	}
	return 0;
}

static int launch(struct sg_process *p, struct child *c, struct sg_error *err)
{
	sg_autofree char *stack = aligned_alloc(16, STACK);
	int flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, pidfd = -1;
	sigset_t all, before;
	if (!stack)
		return sg_error_nomem(err);
	if (c->call->tool->confinement->namespaces)
		flags |= CLONE_NEWUSER | CLONE_NEWPID;
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	pid_t pid = clone(child_main, stack + STACK, flags, c, &pidfd);
	int why = errno;
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (pid < 0) {
		(void)sg_error_errno(
			err, why, "tool %s: cannot start a process", c->call->tool->id);
		(void)snprintf(err->kind, sizeof(err->kind), "tool-start");
		return -err->code;
	}
	p->pid = pid;
	p->pidfd = pidfd;
	if (!c->failed)
		return 0;
	return sg_error_set(err, SG_EREFUSED, "tool-start", "tool %s: cannot start %s: %s: %s",
		c->call->tool->id, c->call->tool->argv[0], c->step, strerror(c->failed));
}

#define CALL_VARIABLES 3U

/* The tool's own environment and what names the call. */
static char **environment_of(const struct sg_tool_call *c, char names[CALL_VARIABLES][256])
{
	size_t n = 0;
	while (c->tool->environment[n])
		n++;
	char **all = calloc(n + CALL_VARIABLES + 1, sizeof(*all));
	if (!all)
		return NULL;
	memcpy(all, c->tool->environment, n * sizeof(*all));
	(void)snprintf(names[0], 256, "STARGRAPH_RUN_ID=%s", c->run_id);
	(void)snprintf(names[1], 256, "STARGRAPH_NODE_ID=%s", c->node_id);
	(void)snprintf(names[2], 256, "STARGRAPH_CALL_ID=%s", c->call_id);
	for (size_t i = 0; i < CALL_VARIABLES; i++)
		all[n + i] = names[i];
	return all;
}

int sg_process_start(struct sg_process *p, const struct sg_tool_call *c, struct sg_error *err)
{
	char names[CALL_VARIABLES][256];
	struct pipes pipes;
	int64_t most = c->tool->timeout_us;
	if (c->timeout_us > 0 && c->timeout_us < most)
		most = c->timeout_us;
	*p = (struct sg_process){.pid = -1, .pidfd = -1, .in = -1, .out = -1, .error = -1};
	p->deadline_us = sg_clock_monotonic_us() + most;
	p->timeout_us = most;
	p->cancel_fd = c->cancel_fd;
	p->limit = (size_t)c->tool->output_bytes;
	p->line = SG_BUF_INIT(p->limit + 1);
	p->tool_id = c->tool->id;
	sg_autofree char **environment = environment_of(c, names);
	sg_autoclose int parent = (int)syscall(SYS_pidfd_open, getpid(), 0);
	int r = make_pipes(&pipes);
	if (r < 0 || !environment || parent < 0) {
		close_pipes(&pipes);
		return sg_error_errno(err, r < 0 ? -r : errno, "tool %s", c->tool->id);
	}
	struct child child = {.call = c,
		.in = pipes.ends[0][0],
		.out = pipes.ends[1][1],
		.error = pipes.ends[2][1],
		.parent = parent,
		.environment = environment};
	r = launch(p, &child, err);
	p->in = pipes.ends[0][1];
	p->out = pipes.ends[1][0];
	p->error = pipes.ends[2][0];
	pipes.ends[0][1] = pipes.ends[1][0] = pipes.ends[2][0] = -1;
	close_pipes(&pipes);
	return r;
}

/* ---- talking to it ---- */

static void close_end(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

void sg_process_close_stdin(struct sg_process *p)
{
	close_end(&p->in);
}

static int too_much(struct sg_process *p, const char *what, struct sg_error *err)
{
	return sg_error_set(err, SG_ELIMIT, "tool-output-limit",
		"tool %s wrote more than %zu bytes to its standard %s (output_bytes)", p->tool_id,
		p->limit, what);
}

static int read_output(struct sg_process *p, struct sg_error *err)
{
	char data[READ_SIZE];
	ssize_t n = read(p->out, data, sizeof(data));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) {
		close_end(&p->out);
		return 0;
	}
	p->seen += (size_t)n;
	if (p->seen > p->limit)
		return too_much(p, "output", err);
	sg_buf_add(&p->line, data, (size_t)n);
	return p->line.failed ? sg_error_nomem(err) : 0;
}

static int read_error(struct sg_process *p, struct sg_error *err)
{
	char data[READ_SIZE];
	ssize_t got = read(p->error, data, sizeof(data));
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (got <= 0) {
		close_end(&p->error);
		return 0;
	}
	size_t n = (size_t)got, skip = n > sizeof(p->tail) ? n - sizeof(p->tail) : 0;
	p->noise += n;
	n -= skip;
	size_t drop = p->n_tail + n > sizeof(p->tail) ? p->n_tail + n - sizeof(p->tail) : 0;
	memmove(p->tail, p->tail + drop, p->n_tail - drop);
	memcpy(p->tail + p->n_tail - drop, data + skip, n);
	p->n_tail += n - drop;
	return p->noise > p->limit ? too_much(p, "error", err) : 0;
}

/* Its leader is a zombie still, so the group's number is its own: nothing of it is left running. */
static void note_exit(struct sg_process *p)
{
	p->exited = true;
	(void)kill(-p->pid, SIGKILL);
}

static int check_time(struct sg_process *p, int *ret_ms, struct sg_error *err)
{
	int64_t left = p->deadline_us - sg_clock_monotonic_us();
	if (left <= 0)
		return sg_error_set(err, SG_ETIMEOUT, "tool-timeout",
			"tool %s did not answer within %lld ms (timeout_seconds)", p->tool_id,
			(long long)(p->timeout_us / 1000));
	*ret_ms = left > 60000000 ? 60000 : (int)((left + 999) / 1000);
	return 0;
}

/* Waits for anything and takes it. writable: also for room in its stdin. */
static int turn(struct sg_process *p, bool writable, bool *ret_room, struct sg_error *err)
{
	struct pollfd f[] = {{.fd = p->out, .events = POLLIN}, {.fd = p->error, .events = POLLIN},
		{.fd = p->exited ? -1 : p->pidfd, .events = POLLIN},
		{.fd = p->cancel_fd, .events = POLLIN},
		{.fd = writable ? p->in : -1, .events = POLLOUT}};
	int ms = 0, r = check_time(p, &ms, err);
	if (r < 0)
		return r;
	if (poll(f, SG_ARRAY_LEN(f), ms) < 0 && errno != EINTR)
		return sg_error_errno(err, errno, "tool %s: poll", p->tool_id);
	if (f[3].revents)
		return sg_error_set(
			err, SG_ECONFLICT, "tool-cancelled", "tool %s was stopped", p->tool_id);
	if (f[0].revents && (r = read_output(p, err)) < 0)
		return r;
	if (f[1].revents && (r = read_error(p, err)) < 0)
		return r;
	if (f[2].revents)
		note_exit(p);
	*ret_room = f[4].revents != 0;
	return 0;
}

int sg_process_write(struct sg_process *p, const char *data, size_t n, struct sg_error *err)
{
	while (n > 0 && p->in >= 0) {
		bool room = false;
		int r = turn(p, true, &room, err);
		if (r < 0)
			return r;
		if (p->exited && !room)
			break;
		if (!room)
			continue;
		ssize_t w = write(p->in, data, n);
		if (w < 0 && errno != EAGAIN && errno != EINTR) {
			close_end(&p->in);
			break;
		}
		data += w > 0 ? w : 0;
		n -= w > 0 ? (size_t)w : 0;
	}
	return 0;
}

/* The line that was handed out last stands at the front, up to `taken`. */
int sg_process_line(struct sg_process *p, char **ret_line, size_t *ret_n, struct sg_error *err)
{
	bool room;
	if (p->taken) {
		memmove(p->line.data, p->line.data + p->taken, p->line.len - p->taken);
		p->line.len -= p->taken;
		p->taken = 0;
	}
	size_t looked = 0;
	for (;;) {
		char *end = p->line.len > looked
				    ? memchr(p->line.data + looked, '\n', p->line.len - looked)
				    : NULL;
		if (end) {
			*end = '\0';
			*ret_line = p->line.data;
			*ret_n = (size_t)(end - p->line.data);
			p->taken = *ret_n + 1;
			return 0;
		}
		looked = p->line.len;
		if (p->out < 0)
			return 1;
		int r = turn(p, false, &room, err);
		if (r < 0)
			return r;
	}
}

int sg_process_wait(struct sg_process *p, struct sg_error *err)
{
	bool room;
	int r = 0;
	while (r == 0 && (!p->exited || p->out >= 0 || p->error >= 0))
		r = turn(p, false, &room, err);
	return r;
}

int sg_process_finish(struct sg_process *p)
{
	int status = -1;
	if (p->pid > 0) {
		(void)kill(p->pid, SIGKILL); /* before its setsid there is no group */
		(void)kill(-p->pid, SIGKILL);
		while (waitpid(p->pid, &status, __WALL) < 0 && errno == EINTR)
			continue;
	}
	p->pid = -1;
	close_end(&p->pidfd);
	close_end(&p->in);
	close_end(&p->out);
	close_end(&p->error);
	sg_buf_finish(&p->line);
	return status;
}

/* As text: what is no printable ASCII is a question mark, line ends are spaces. */
int sg_process_quote(const struct sg_process *p, struct sg_error *err)
{
	char text[SG_TOOL_STDERR + 1];
	size_t n = 0, have = strlen(err->text);
	for (size_t i = 0; i < p->n_tail; i++) {
		char c = p->tail[i];
		text[n++] = c == '\n' || c == '\t' ? ' ' : c >= ' ' && c < 127 ? c : '?';
	}
	while (n && text[n - 1] == ' ')
		n--;
	text[n] = '\0';
	const char *from = text;
	size_t room = have + 16 < sizeof(err->text) ? sizeof(err->text) - have - 16 : 0;
	if (n > room)
		from += n - room;
	if (n && room)
		(void)snprintf(err->text + have, sizeof(err->text) - have, "; stderr: %.*s",
			(int)room, from);
	return -err->code;
}
