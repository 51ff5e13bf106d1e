/* Socket activation: the unix socket may come from systemd (sd_listen_fds(3)) instead of being made
 * here, so that a restart refuses nobody: clients wait in the socket's backlog. */
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

#include "serve/internal.h"

int sg_activation_take(const char *socket_path, int *ret_fd, struct sg_error *err)
{
	int n = sd_listen_fds(1);
	if (n <= 0)
		return 1;
	int fd = SD_LISTEN_FDS_START;
	if (n > 1)
		return sg_error_set(err, SG_EREFUSED, "activation",
			"systemd passes %d sockets; one is expected, for socket_path", n);
	if (sd_is_socket_unix(fd, SOCK_STREAM, 1, socket_path, 0) <= 0)
		return sg_error_set(err, SG_EREFUSED, "activation",
			"the socket that systemd passes does not listen at socket_path %s: make "
			"ListenStream= and socket_path the same",
			socket_path && *socket_path ? socket_path : "(none)");
	*ret_fd = fd;
	return 0;
}
