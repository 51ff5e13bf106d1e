/* doctor: the configuration file, the state directory and the room on its disk. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/doctor.h"

#define LOW_BYTES (1ULL << 30)

static void from_error(
	struct sg_doctor *d, const char *id, const char *fix, const struct sg_error *err)
{
	sg_doctor_say(d, id, SG_DOCTOR_FAIL, fix, "%s", err->text);
}

static void config_file(struct sg_doctor *d)
{
	const char *path = d->config->file_path;
	if (!*path) {
		sg_doctor_say(d, "config.file", SG_DOCTOR_WARN,
			"write " SG_CONFIG_DEFAULT_PATH ", or pass --config",
			"no configuration file: only defaults, flags and environment are in force");
		return;
	}
	struct sg_error err;
	if (sg_config_check_file_mode("configuration", path, false, NULL, &err) < 0)
		from_error(d, "config.file", "chown root, chmod go-w", &err);
	else
		sg_doctor_say(d, "config.file", SG_DOCTOR_OK, NULL, "%s", path);
}

static void config_profile(struct sg_doctor *d)
{
	if (d->config->profile != SG_PROFILE_CLEARED)
		sg_doctor_say(d, "config.profile", SG_DOCTOR_WARN,
			"set STARGRAPH_PROFILE=cleared for a governed host",
			"the profile is %s: everybody on this host may do everything",
			d->config->profile_name);
	else
		sg_doctor_say(d, "config.profile", SG_DOCTOR_OK, NULL, "cleared");
}

static void config_gates(struct sg_doctor *d)
{
	struct sg_error err;
	if (sg_config_gates(d->config, &err) < 0)
		from_error(d, "config.gates", "serve would refuse to start: do what the text says",
			&err);
	else
		sg_doctor_say(
			d, "config.gates", SG_DOCTOR_OK, NULL, "serve's start gates would pass");
}

static void filesystem(struct sg_doctor *d, const char *id, const char *dir)
{
	struct sg_error err;
	if (sg_config_check_filesystem(dir, d->config->profile, &err) < 0)
		from_error(d, id, "move it to a local ext4, xfs, btrfs, zfs or f2fs", &err);
	else
		sg_doctor_say(d, id, SG_DOCTOR_OK, NULL, "%s is on a local filesystem", dir);
}

static void state_mode(struct sg_doctor *d, const char *dir)
{
	struct stat st;
	if (stat(dir, &st) < 0) {
		sg_doctor_say(d, "state.mode", SG_DOCTOR_FAIL,
			"install -d -m 0700 -o stargraph -g stargraph DIR", "%s: %s", dir,
			strerror(errno));
		return;
	}
	if (!S_ISDIR(st.st_mode) || (st.st_mode & 077))
		sg_doctor_say(d, "state.mode", SG_DOCTOR_FAIL, "chmod 0700",
			"%s has mode %04o: others can look inside", dir,
			(unsigned)(st.st_mode & 07777));
	else
		sg_doctor_say(d, "state.mode", SG_DOCTOR_OK, NULL, "%s has mode %04o", dir,
			(unsigned)(st.st_mode & 07777));
	if (st.st_uid == 0)
		sg_doctor_say(d, "state.owner", SG_DOCTOR_WARN, "chown stargraph:stargraph",
			"%s belongs to root", dir);
	else
		sg_doctor_say(d, "state.owner", SG_DOCTOR_OK, NULL, "%s belongs to uid %u", dir,
			(unsigned)st.st_uid);
	if (access(dir, W_OK | X_OK) < 0)
		sg_doctor_say(d, "state.writable", SG_DOCTOR_FAIL,
			"mount it read-write and give it to the service user", "%s: %s", dir,
			strerror(errno));
	else
		sg_doctor_say(d, "state.writable", SG_DOCTOR_OK, NULL, "%s can be written", dir);
}

static void disk(struct sg_doctor *d, const char *dir)
{
	struct statvfs v;
	if (statvfs(dir, &v) < 0)
		return; /* state.mode has said why */
	unsigned long long free_bytes = (unsigned long long)v.f_bavail * v.f_frsize;
	unsigned long long all = (unsigned long long)v.f_blocks * v.f_frsize;
	bool low = free_bytes < LOW_BYTES || (all && free_bytes < all / 20);
	sg_doctor_say(d, "disk.space", low ? SG_DOCTOR_WARN : SG_DOCTOR_OK,
		low ? "make room, or set retention" : NULL, "%llu MiB of %llu MiB are free",
		free_bytes >> 20, all >> 20);
	bool few = v.f_files && v.f_favail < 1000;
	sg_doctor_say(d, "disk.inodes", few ? SG_DOCTOR_WARN : SG_DOCTOR_OK,
		few ? "remove files" : NULL, "%llu files can be made",
		(unsigned long long)v.f_favail);
}

void sg_doctor_files(struct sg_doctor *d)
{
	const char *state = d->config->state_dir, *audit = d->config->audit_path;
	config_file(d);
	config_profile(d);
	config_gates(d);
	filesystem(d, "state.filesystem", state);
	sg_autofree char *audit_dir = strdup(audit && *audit ? audit : state);
	char *slash = audit_dir && audit && *audit ? strrchr(audit_dir, '/') : NULL;
	if (slash)
		*slash = '\0';
	filesystem(d, "audit.filesystem", audit_dir && *audit_dir ? audit_dir : "/");
	state_mode(d, state);
	disk(d, state);
}
