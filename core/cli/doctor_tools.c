/* doctor: can this host confine tools? */
#include <string.h>

#include "cli/doctor.h"
#include "tool/tool.h"

void sg_doctor_tools(struct sg_doctor *d)
{
	size_t n = json_array_size(json_object_get(d->config->file, "tool"));
	bool strict = d->config->profile == SG_PROFILE_CLEARED;
	char sandbox[96];
	struct sg_error err;
	int r = sg_tool_sandbox_probe(sandbox, sizeof(sandbox), &err);
	if (n == 0 || (r == 0 && !strstr(sandbox, "no-")))
		sg_doctor_say(d, "tools.sandbox", SG_DOCTOR_OK, NULL, "%zu tools; %s", n, sandbox);
	else if (r < 0)
		sg_doctor_say(d, "tools.sandbox", strict ? SG_DOCTOR_FAIL : SG_DOCTOR_WARN,
			"use a kernel with Landlock and seccomp (Debian 12's has both)",
			"%zu tools; %s", n, err.text);
	else /* the packaged unit allows no namespaces: its control group ends what is left */
		sg_doctor_say(d, "tools.sandbox", SG_DOCTOR_OK, NULL,
			"%zu tools; %s: what a killed server leaves is the service manager's to "
			"end",
			n, sandbox);
}
