/* The filesystem gate: state and audit log must lie where locks, fsync and mmap mean what LMDB
 * and an auditor expect. Decided by the magic number of the opened directory (fstatfs(2)),
 * never by its path.
 *
 * AFP has no driver in Linux: it is mounted through FUSE (afpfs-ng), so it shows up, and is
 * refused, as "fuse (fuse.afpfs)"; so are sshfs, s3fs, virtiofs and every other FUSE filesystem. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "base/cleanup.h"
#include "config/filesystem.h"

#define FUSE_MAGIC 0x65735546U

/* Numbers from linux/magic.h and, where a driver keeps its own there, from that driver. */
static const struct sg_filesystem table[] = {
	{0x0000ef53, "ext4", SG_FS_LOCAL}, /* ext2 and ext3 have the same number */
	{0x58465342, "xfs", SG_FS_LOCAL},
	{0x9123683e, "btrfs", SG_FS_LOCAL},
	{0x2fc12fc1, "zfs", SG_FS_LOCAL},
	{0xf2f52010, "f2fs", SG_FS_LOCAL},
	{0x794c7630, "overlay", SG_FS_LOCAL},
	{0x01021994, "tmpfs", SG_FS_MEMORY},
	{0x00006969, "nfs", SG_FS_NETWORK},
	{0x0000517b, "smb", SG_FS_NETWORK},
	{0xff534d42, "cifs", SG_FS_NETWORK},
	{0xfe534d42, "smb2", SG_FS_NETWORK},
	{0x5346414f, "afs", SG_FS_NETWORK},
	{0x6b414653, "afs", SG_FS_NETWORK},
	{0x01021997, "9p", SG_FS_NETWORK},
	{0x00c36400, "ceph", SG_FS_NETWORK},
	{0x73757245, "coda", SG_FS_NETWORK},
	{0x0000564c, "ncp", SG_FS_NETWORK},
	{0x0bd00bd0, "lustre", SG_FS_NETWORK},
	{0x47504653, "gpfs", SG_FS_NETWORK},
	{0x19830326, "beegfs", SG_FS_NETWORK},
	{0x20030528, "orangefs", SG_FS_NETWORK},
	{0x01161970, "gfs2", SG_FS_NETWORK},
	{0x7461636f, "ocfs2", SG_FS_NETWORK},
	{0xaad7aaea, "panfs", SG_FS_NETWORK},
	{0x786f4256, "vboxsf", SG_FS_NETWORK},
	{0xbacbacbc, "vmhgfs", SG_FS_NETWORK},
	{FUSE_MAGIC, "fuse", SG_FS_NETWORK},
	{0x858458f6, "ramfs", SG_FS_OTHER},
	{0x00004d44, "vfat", SG_FS_OTHER},
	{0x2011bab0, "exfat", SG_FS_OTHER},
	{0x5346544e, "ntfs", SG_FS_OTHER},
	{0x7366746e, "ntfs3", SG_FS_OTHER},
	{0x0000f15f, "ecryptfs", SG_FS_OTHER},
	{0x52654973, "reiserfs", SG_FS_OTHER},
	{0x3153464a, "jfs", SG_FS_OTHER},
	{0x00003434, "nilfs2", SG_FS_OTHER},
	{0xca451a4e, "bcachefs", SG_FS_OTHER},
	{0x00009660, "iso9660", SG_FS_OTHER},
	{0x73717368, "squashfs", SG_FS_OTHER},
	{0x00009fa0, "proc", SG_FS_OTHER},
	{0x62656572, "sysfs", SG_FS_OTHER},
	{0x958458f6, "hugetlbfs", SG_FS_OTHER},
};

struct sg_filesystem sg_filesystem_of(uint32_t magic)
{
	for (size_t i = 0; i < SG_ARRAY_LEN(table); i++)
		if (table[i].magic == magic)
			return table[i];
	return (struct sg_filesystem){magic, "unknown", SG_FS_OTHER};
}

bool sg_filesystem_accepted(struct sg_filesystem fs, enum sg_profile profile)
{
	return fs.use == SG_FS_LOCAL ||
	       (fs.use == SG_FS_MEMORY && profile == SG_PROFILE_OSS_DEFAULT);
}

/* The type that /proc/self/mountinfo gives a device: it alone tells FUSE filesystems apart. */
static void mount_type(dev_t dev, char *ret, size_t size)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char line[4096], want[32];
	(void)snprintf(want, sizeof(want), "%u:%u", major(dev), minor(dev));
	while (f && fgets(line, sizeof(line), f)) {
		char at[32], type[64];
		const char *dash = strstr(line, " - ");
		if (dash && sscanf(line, "%*d %*d %31s", at) == 1 && strcmp(at, want) == 0 &&
			sscanf(dash, " - %63s", type) == 1)
			(void)snprintf(ret, size, " (%s)", type);
	}
	if (f)
		(void)fclose(f);
}

static int refuse(int fd, const char *dir, struct sg_filesystem fs, enum sg_profile profile,
	struct sg_error *err)
{
	char type[72] = "";
	struct stat st;
	if (fs.magic == FUSE_MAGIC && fstat(fd, &st) == 0)
		mount_type(st.st_dev, type, sizeof(type));
	return sg_error_set(err, SG_EREFUSED, "FilesystemRefused",
		"nfs/smb refused at bootstrap: %s lies on %s%s (magic 0x%x)%s; move it to a local "
		"ext4, xfs, btrfs, zfs, f2fs or overlay filesystem",
		dir, fs.name, type, fs.magic,
		fs.use == SG_FS_MEMORY && profile == SG_PROFILE_CLEARED
			? ", which forgets everything and which cleared refuses"
			: "");
}

int sg_config_check_filesystem(const char *dir, enum sg_profile profile, struct sg_error *err)
{
	sg_autoclose int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return sg_error_set(err, SG_ENOTFOUND, NULL, "%s: no such directory", dir);
	if (fd < 0)
		return sg_error_errno(err, errno, "cannot open directory %s", dir);
	struct statfs s;
	if (fstatfs(fd, &s) < 0)
		return sg_error_errno(err, errno, "cannot tell the filesystem of %s", dir);
	struct sg_filesystem fs = sg_filesystem_of((uint32_t)s.f_type);
	if (sg_filesystem_accepted(fs, profile))
		return 0;
	return refuse(fd, dir, fs, profile, err);
}
