/* doctor: are the declared language models there? */
#include "cli/doctor.h"
#include "llm/llm.h"

#define PROBE_US 2000000

/* One that does not answer is no reason not to start: it may come up later, and a graph that needs
 * it says so by name. */
static void look(struct sg_doctor *d, const struct sg_llm *l)
{
	struct sg_error err;
	const char *where = l->socket ? l->socket : l->url;
	int r = sg_llm_probe(l, PROBE_US, &err);
	if (r == 0)
		sg_doctor_say(d, "llm.endpoint", SG_DOCTOR_OK, NULL, "%s: %s has the model %s",
			l->name, where, l->model);
	else if (r > 0)
		sg_doctor_say(d, "llm.endpoint", SG_DOCTOR_NOTE,
			"compare the model with what GET /v1/models of the server lists",
			"%s: %s answers, and does not list the model %s", l->name, where, l->model);
	else
		sg_doctor_say(d, "llm.endpoint", SG_DOCTOR_NOTE,
			"start the model server, or correct its url", "%s", err.text);
}

void sg_doctor_llms(struct sg_doctor *d)
{
	struct sg_llms *l = NULL;
	struct sg_error err;
	size_t n;
	if (sg_llms_create(&l, json_object_get(d->config->file, "llm"), &err) < 0) {
		sg_doctor_say(d, "llm.endpoint", SG_DOCTOR_FAIL,
			"correct the [[llm]] (docs/reference/llm.md)", "%s", err.text);
		return;
	}
	const char *const *names = sg_llms_names(l, &n);
	if (n == 0)
		sg_doctor_say(d, "llm.endpoint", SG_DOCTOR_OK, NULL, "none is declared");
	for (size_t i = 0; i < n; i++)
		look(d, sg_llms_find(l, names[i]));
	sg_llms_destroy(l);
}
