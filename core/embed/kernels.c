/* Which kernel runs: by name, or the fastest one that this CPU has. */
#include "embed/kernels.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

/* Fastest first; "auto" takes the first usable one that is not asked for by name only. */
static const struct sg_kernel *const kernels[] = {
	&sg_kernel_avx512,
	&sg_kernel_avx2,
	&sg_kernel_blas,
	&sg_kernel_reference,
	&sg_kernel_bf16,
	&sg_kernel_bf16_emulated,
};

const struct sg_vecops *sg_vecops_best(void)
{
	if (__builtin_cpu_supports("avx512f"))
		return &sg_vecops_avx512;
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
		return &sg_vecops_avx2;
	return &sg_vecops_base;
}

static int no_such(const char *name, struct sg_error *err)
{
	char names[256] = "auto";
	size_t n = strlen(names);
	for (size_t i = 0; i < SG_ARRAY_LEN(kernels) && n < sizeof(names); i++)
		n += (size_t)snprintf(names + n, sizeof(names) - n, ", %s", kernels[i]->name);
	return sg_error_set(
		err, SG_EINVALID, NULL, "no kernel \"%.32s\"; there are %s", name, names);
}

static int automatic(const struct sg_kernel **ret)
{
	for (size_t i = 0; i < SG_ARRAY_LEN(kernels); i++) {
		if (kernels[i]->on_request || !kernels[i]->usable())
			continue;
		*ret = kernels[i];
		return 0;
	}
	return -SG_EINTERNAL; /* the reference runs everywhere */
}

int sg_kernel_select(const struct sg_kernel **ret, const char *name, struct sg_error *err)
{
	if (!name || strcmp(name, "auto") == 0)
		return automatic(ret);
	for (size_t i = 0; i < SG_ARRAY_LEN(kernels); i++) {
		if (strcmp(kernels[i]->name, name) != 0)
			continue;
		if (!kernels[i]->usable())
			return sg_error_set(err, SG_EREFUSED, NULL,
				"kernel \"%s\" needs %s, which this CPU lacks", name,
				kernels[i]->needs);
		*ret = kernels[i];
		return 0;
	}
	return no_such(name, err);
}
