/* Landlock, seccomp and namespaces: what the host has, what a tool gets, and how its process enters
 * them. Landlock has no library; its three system calls are made here. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "tool/internal.h"

/* Later than Debian 12's linux/landlock.h; the kernel's numbers do not change. */
#define ACCESS_TRUNCATE (1ULL << 14)  /* ABI 3 */
#define ACCESS_IOCTL_DEV (1ULL << 15) /* ABI 5 */
#define NET_BIND_TCP (1ULL << 0)      /* ABI 4 */
#define NET_CONNECT_TCP (1ULL << 1)
#define SCOPE_ABSTRACT_UNIX (1ULL << 0) /* ABI 6 */
#define SCOPE_SIGNAL (1ULL << 1)

struct ruleset_attr {
	uint64_t handled_access_fs, handled_access_net, scoped;
};

#define FILE_READ (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE)
#define READ (FILE_READ | LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITE_FILE (LANDLOCK_ACCESS_FS_WRITE_FILE | ACCESS_TRUNCATE)
#define MAKE \
	(LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | \
		LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | \
		LANDLOCK_ACCESS_FS_MAKE_SYM | LANDLOCK_ACCESS_FS_REFER)

/* Readable for every tool: the system's programs and libraries. Not /proc, /sys, /etc, /home. */
static const char *const system_paths[] = {"/usr", "/bin", "/sbin", "/lib", "/lib64",
	"/etc/alternatives", "/etc/ld.so.cache", "/etc/localtime", "/dev/urandom", "/dev/random",
	"/dev/zero"};

int sg_sandbox_landlock_abi(void)
{
	long n = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	return n > 0 ? (int)n : 0;
}

bool sg_sandbox_seccomp(void)
{
	uint32_t action = SECCOMP_RET_ERRNO;
	return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

static int leave_at_once(void *arg)
{
	(void)arg;
	_exit(0);
}

bool sg_sandbox_namespaces(void)
{
	char stack[16384] __attribute__((aligned(16)));
	int status, flags = CLONE_VM | CLONE_VFORK | CLONE_NEWUSER | CLONE_NEWPID | SIGCHLD;
	pid_t pid = clone(leave_at_once, stack + sizeof(stack), flags, NULL);
	if (pid < 0)
		return false;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	return true;
}

static uint64_t handled_fs(int abi)
{
	uint64_t all = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |
		       LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR |
		       LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
		       LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR |
		       LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |
		       LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |
		       LANDLOCK_ACCESS_FS_MAKE_SYM;
	if (abi >= 2)
		all |= LANDLOCK_ACCESS_FS_REFER;
	if (abi >= 3)
		all |= ACCESS_TRUNCATE;
	if (abi >= 5)
		all |= ACCESS_IOCTL_DEV;
	return all;
}

/* missing: is it an error when there is no such path? */
static int allow(int ruleset, uint64_t handled, const char *path, uint64_t access, bool missing,
	struct sg_error *err)
{
	struct stat st;
	sg_autoclose int fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0) {
		if (!missing && (errno == ENOENT || errno == ENOTDIR))
			return 0;
		return sg_error_errno(err, errno, "%s", path);
	}
	if (!S_ISDIR(st.st_mode))
		access &= FILE_READ | WRITE_FILE;
	struct landlock_path_beneath_attr rule = {
		.allowed_access = access & handled, .parent_fd = fd};
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		return sg_error_errno(err, errno, "landlock: %s", path);
	return 0;
}

static int add_rules(int fd, uint64_t handled, const char *const *read_paths,
	const char *const *write_paths, struct sg_error *err)
{
	int r = allow(fd, handled, "/dev/null", FILE_READ | WRITE_FILE, false, err);
	for (size_t i = 0; r == 0 && i < SG_ARRAY_LEN(system_paths); i++)
		r = allow(fd, handled, system_paths[i], READ, false, err);
	for (size_t i = 0; r == 0 && read_paths[i]; i++)
		r = allow(fd, handled, read_paths[i], READ, true, err);
	for (size_t i = 0; r == 0 && write_paths[i]; i++)
		r = allow(fd, handled, write_paths[i], READ | WRITE_FILE | MAKE, true, err);
	return r;
}

static int make_ruleset(int *ret_fd, const char *const *read_paths, const char *const *write_paths,
	struct sg_error *err)
{
	int abi = sg_sandbox_landlock_abi();
	if (abi == 0)
		return 0;
	struct ruleset_attr attr = {.handled_access_fs = handled_fs(abi)};
	size_t size = sizeof(uint64_t);
	if (abi >= 4) {
		attr.handled_access_net = NET_BIND_TCP | NET_CONNECT_TCP;
		size = 2 * sizeof(uint64_t);
	}
	if (abi >= 6) {
		attr.scoped = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL;
		size = sizeof(attr);
	}
	sg_autoclose int fd = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
	if (fd < 0)
		return sg_error_errno(err, errno, "cannot make a Landlock ruleset");
	int r = add_rules(fd, attr.handled_access_fs, read_paths, write_paths, err);
	if (r < 0)
		return r;
	*ret_fd = fd;
	fd = -1;
	return 0;
}

int sg_sandbox_create(struct sg_tool_confinement **ret, const char *const *read_paths,
	const char *const *write_paths, struct sg_error *err)
{
	struct sg_tool_confinement *c = calloc(1, sizeof(*c));
	if (!c)
		return sg_error_nomem(err);
	c->landlock_fd = -1;
	int r = make_ruleset(&c->landlock_fd, read_paths, write_paths, err);
	if (r == 0 && sg_sandbox_seccomp())
		r = sg_filter_create(&c->filter, err);
	c->namespaces = sg_sandbox_namespaces();
	if (r < 0) {
		sg_sandbox_destroy(c);
		return r;
	}
	*ret = c;
	return 0;
}

void sg_sandbox_destroy(struct sg_tool_confinement *c)
{
	if (!c)
		return;
	if (c->landlock_fd >= 0)
		(void)close(c->landlock_fd);
	sg_filter_destroy(c->filter);
	free(c);
}

/* What a server started by root, or a new user namespace, would leave the tool. */
static void drop_capabilities(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {{0}};
	for (int cap = 0; cap <= 63; cap++) /* so that executing as root gives none back */
		(void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	(void)syscall(SYS_capset, &head, none);
}

int sg_sandbox_enter(const struct sg_tool_confinement *c, const char **ret_step)
{
	drop_capabilities();
	*ret_step = "no_new_privs";
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	*ret_step = "landlock";
	if (c->landlock_fd >= 0 && syscall(SYS_landlock_restrict_self, c->landlock_fd, 0) < 0)
		return -errno;
	*ret_step = "descriptors";
	if (syscall(SYS_close_range, 3U, ~0U, 0U) < 0)
		return -errno;
	*ret_step = "seccomp";
	if (c->filter && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, c->filter, 0, 0) < 0)
		return -errno;
	return 0;
}
