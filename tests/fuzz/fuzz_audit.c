/* Any bytes as an audit log, ours or the Python original's: the verifier names a cause or says ok,
 * for the whole file and without anything but memory behind it. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "audit/verify.h"

/* The key of tests/golden/original-audit, so that its lines verify up to the one that changed. */
static const uint8_t key[SG_ED25519_KEY] = {0xf2, 0x9d, 0xf8, 0x49, 0x68, 0xa3, 0x38, 0xa4, 0xc5,
	0xab, 0x0f, 0x17, 0x58, 0x75, 0xff, 0xaa, 0xe9, 0x7a, 0x54, 0x5f, 0x95, 0xd2, 0x45, 0x42,
	0x52, 0x06, 0xa7, 0x90, 0x34, 0xa6, 0x80, 0xb2};

static void check(const char *path, const struct sg_audit_verify_options *o)
{
	struct sg_audit_report rep;
	struct sg_error err = {0};
	int r = sg_audit_verify(&path, 1, o, &rep, &err);
	if (r < 0 ? !err.text[0] : (r == 0) != (strcmp(rep.cause, "ok") == 0))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[64];
	int fd = memfd_create("log", MFD_CLOEXEC);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	check(path, &(struct sg_audit_verify_options){0});
	check(path, &(struct sg_audit_verify_options){.beside = key});
	check(path, &(struct sg_audit_verify_options){.keys = key, .n_keys = 1});
	(void)close(fd);
	return 0;
}
