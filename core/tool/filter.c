/* The system calls that a tool does not get, as a BPF program made once by libseccomp.
 *
 * A deny list: a tool may be any program, so what it may do on its own files is left to Landlock
 * and the limits. What is denied reaches other processes, the network, the kernel's rarely walked
 * paths, or a way out of the process group that the call is killed by. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "tool/internal.h"

static const char *const denied[] = {
	/* network: socketpair stays, it reaches nobody */
	"socket",
	"bind",
	"connect",
	"listen",
	"accept",
	"accept4",
	/* other processes */
	"ptrace",
	"process_vm_readv",
	"process_vm_writev",
	"process_madvise",
	"process_mrelease",
	"pidfd_getfd",
	"kcmp",
	"setns",
	"unshare",
	"setsid",
	"setpgid",
	"setpriority",
	/* the kernel */
	"io_uring_setup",
	"io_uring_enter",
	"io_uring_register",
	"bpf",
	"perf_event_open",
	"userfaultfd",
	"add_key",
	"request_key",
	"keyctl",
	"init_module",
	"finit_module",
	"delete_module",
	"kexec_load",
	"kexec_file_load",
	"reboot",
	"swapon",
	"swapoff",
	"acct",
	"quotactl",
	"quotactl_fd",
	"syslog",
	"vhangup",
	"nfsservctl",
	"lookup_dcookie",
	"fanotify_init",
	"personality",
	"iopl",
	"ioperm",
	"modify_ldt",
	"memfd_secret",
	/* the file tree */
	"mount",
	"umount",
	"umount2",
	"pivot_root",
	"chroot",
	"open_tree",
	"move_mount",
	"fsopen",
	"fsconfig",
	"fsmount",
	"fspick",
	"mount_setattr",
	"name_to_handle_at",
	"open_by_handle_at",
	"mknod",
	"mknodat",
	/* the clock and the host */
	"settimeofday",
	"clock_settime",
	"clock_settime64",
	"adjtimex",
	"clock_adjtime",
	"stime",
	"sethostname",
	"setdomainname",
};

static int deny(scmp_filter_ctx f, const char *name)
{
	int nr = seccomp_syscall_resolve_name(name);
	if (nr == __NR_SCMP_ERROR)
		return 0; /* this architecture or library has no such call */
	int r = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), nr, 0);
	return r == -EDOM || r == -EFAULT ? 0 : r;
}

static int add_rules(scmp_filter_ctx f)
{
	/* clone3's flags lie in memory: the C library falls back to clone when it is not there. */
	int r = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	const uint64_t spaces = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWNS |
				CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
	for (uint64_t bit = 1; r == 0 && bit; bit <<= 1)
		if (bit & spaces)
			r = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
				SCMP_A0(SCMP_CMP_MASKED_EQ, bit, bit));
	if (r == 0)
		r = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socketpair), 1,
			SCMP_A0(SCMP_CMP_NE, AF_UNIX));
	if (r == 0)
		r = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(prctl), 1,
			SCMP_A0(SCMP_CMP_EQ, PR_SET_PDEATHSIG));
	for (size_t i = 0; r == 0 && i < SG_ARRAY_LEN(denied); i++)
		r = deny(f, denied[i]);
	return r;
}

/* The program's bytes, by way of a descriptor: the library has no other way before 2.6. */
static int export_program(scmp_filter_ctx f, struct sock_fprog *p)
{
	struct stat st;
	sg_autoclose int fd = memfd_create("filter", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	int r = seccomp_export_bpf(f, fd);
	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0)
		return -errno;
	size_t n = (size_t)st.st_size;
	p->filter = malloc(n + 1);
	if (!p->filter)
		return -ENOMEM;
	if (pread(fd, p->filter, n, 0) != (ssize_t)n)
		return -EIO;
	p->len = (unsigned short)(n / sizeof(struct sock_filter));
	return 0;
}

int sg_filter_create(struct sock_fprog **ret, struct sg_error *err)
{
	struct sock_fprog *p = calloc(1, sizeof(*p));
	scmp_filter_ctx f = p ? seccomp_init(SCMP_ACT_ALLOW) : NULL;
	int r = f ? add_rules(f) : -ENOMEM;
	if (r == 0)
		r = export_program(f, p);
	if (f)
		seccomp_release(f);
	if (r < 0) {
		sg_filter_destroy(p);
		return sg_error_errno(err, -r, "cannot make the tools' system call filter");
	}
	*ret = p;
	return 0;
}

void sg_filter_destroy(struct sock_fprog *f)
{
	if (f)
		free(f->filter);
	free(f);
}
