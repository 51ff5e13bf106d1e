/* Peers of local sockets, as the kernel sees them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "serve/peer.h"

static void users_are_resolved(void **state)
{
	(void)state;
	char *names[] = {(char *)"root", (char *)"1234", (char *)"nobody"};
	struct sg_config c = {.edge_users = names, .n_edge_users = 3};
	struct sg_edge_users u;
	struct sg_error err;
	assert_int_equal(sg_edge_users_resolve(&u, &c, &err), 0);
	assert_true(sg_edge_users_have(&u, 0) && sg_edge_users_have(&u, 1234));
	assert_false(sg_edge_users_have(&u, 1));
	sg_edge_users_finish(&u);
	names[1] = (char *)"no-such-user";
	assert_int_equal(sg_edge_users_resolve(&u, &c, &err), -SG_EREFUSED);
	assert_non_null(strstr(err.text, "no-such-user"));
	names[1] = (char *)"12x";
	assert_int_equal(sg_edge_users_resolve(&u, &c, &err), -SG_EREFUSED);
}

static void unix_peers(void **state)
{
	(void)state;
	int pair[2];
	uid_t uid = 99;
	struct sg_error err;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(sg_peer_unix(pair[0], &uid, &err), 0);
	assert_int_equal(uid, getuid());
	assert_true(sg_peer_unix(-1, &uid, &err) < 0);
	close(pair[0]);
	close(pair[1]);
}

static int listener(int family, struct sockaddr_storage *a, socklen_t *len)
{
	memset(a, 0, sizeof(*a));
	a->ss_family = (sa_family_t)family;
	if (family == AF_INET)
		((struct sockaddr_in *)a)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		((struct sockaddr_in6 *)a)->sin6_addr = in6addr_loopback;
	*len = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
	int fd = socket(family, SOCK_STREAM, 0);
	if (fd < 0 || bind(fd, (void *)a, *len) < 0 || listen(fd, 4) < 0 ||
		getsockname(fd, (void *)a, len) < 0)
		return -1;
	return fd;
}

/* A child of another uid connects, says "x", and closes when told to; -1 = cannot. */
static pid_t connect_as(
	uid_t uid, const struct sockaddr_storage *a, socklen_t len, const int hold[2])
{
	pid_t pid = fork();
	if (pid != 0)
		return pid;
	char c;
	int fd = socket(a->ss_family, SOCK_STREAM, 0);
	if (setuid(uid) < 0)
		_exit(2);
	fd = fd >= 0 ? (close(fd), socket(a->ss_family, SOCK_STREAM, 0)) : -1;
	if (connect(fd, (const void *)a, len) < 0 || write(fd, "x", 1) != 1)
		_exit(3);
	if (hold) {
		close(hold[1]);
		(void)!read(hold[0], &c, 1);
	}
	_exit(0);
}

static void loopback(int family, uid_t uid, bool closes, int want)
{
	struct sockaddr_storage a;
	socklen_t len;
	int hold[2];
	char c;
	struct sg_error err = {0};
	sg_autoclose int l = listener(family, &a, &len);
	if (l < 0) {
		print_message("no IPv6 here\n");
		return;
	}
	assert_int_equal(pipe(hold), 0);
	pid_t pid = connect_as(uid, &a, len, closes ? NULL : hold);
	sg_autoclose int fd = accept(l, NULL, NULL);
	assert_int_equal(read(fd, &c, 1), 1);
	if (closes)
		assert_int_equal(read(fd, &c, 1), 0); /* its end is gone */
	uid_t got = 0;
	int r = sg_peer_loopback(fd, &got, &err);
	close(hold[1]);
	close(hold[0]);
	(void)waitpid(pid, NULL, 0);
	if (r < 0) {
		print_message("sock_diag: %s\n", err.text);
		skip();
	}
	assert_int_equal(r, want);
	if (want == 0)
		assert_int_equal(got, uid);
}

static void loopback_peers(void **state)
{
	(void)state;
	uid_t other = getuid() == 0 ? 4321 : getuid();
	loopback(AF_INET, other, false, 0);
	loopback(AF_INET6, other, false, 0);
	if (getuid() != 0)
		return;
	loopback(AF_INET, 0, false, 1);	    /* root is nobody */
	loopback(AF_INET, 65534, false, 1); /* so is the overflow user */
	loopback(AF_INET, other, true, 1);  /* and who has left */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(users_are_resolved),
		cmocka_unit_test(unix_peers),
		cmocka_unit_test(loopback_peers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
