/* doctor: the model's files and their hashes. */
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "cli/doctor.h"
#include "embed/embed.h"

void sg_doctor_model(struct sg_doctor *d)
{
	const struct sg_config *c = d->config;
	struct sg_error err;
	sg_autofree char *dir = NULL;
	if (!*c->model_path && !*c->hf_home) {
		sg_doctor_say(d, "model.found", SG_DOCTOR_WARN,
			"set HF_HOME or model.hf_home when graphs embed",
			"no model is configured: graphs that embed are refused");
		return;
	}
	if (sg_model_find(*c->model_path ? c->model_path : NULL, c->hf_home, &dir, &err) < 0) {
		sg_doctor_say(d, "model.found", SG_DOCTOR_FAIL,
			"re-extract models/ from the bundle and verify the manifest", "%s: %s",
			err.kind, err.text);
		return;
	}
	sg_doctor_say(d, "model.found", SG_DOCTOR_OK, NULL, "%s", dir);
	struct sg_embedder *e = NULL;
	if (sg_embedder_load(&e, dir, c->kernel, false, &err) < 0) {
		sg_doctor_say(d, "model.hashes", SG_DOCTOR_FAIL,
			"re-extract models/ from the bundle; never edit its files", "%s: %s",
			err.kind, err.text);
		return;
	}
	const struct sg_model_info *info = sg_embedder_info(e);
	sg_doctor_say(d, "model.hashes", SG_DOCTOR_OK, NULL, "weights %.16s…, tokenizer %.16s…",
		info->weights_sha256, info->tokenizer_sha256);
	sg_doctor_say(d, "model.kernel", SG_DOCTOR_OK, NULL, "%s, %zu MiB repacked", info->kernel,
		info->repacked_bytes >> 20);
	sg_embedder_destroy(e);
	if (!*c->hf_manifest) {
		sg_doctor_say(d, "model.manifest", SG_DOCTOR_WARN, "set model.hf_manifest",
			"no manifest is configured; the pins inside the program are checked all "
			"the "
			"same");
		return;
	}
	size_t files = 0;
	if (sg_model_verify_manifest(c->hf_manifest, c->hf_home, dir, &files, &err) < 0)
		sg_doctor_say(d, "model.manifest", SG_DOCTOR_FAIL,
			"re-extract models/ from the bundle", "%s", err.text);
	else
		sg_doctor_say(
			d, "model.manifest", SG_DOCTOR_OK, NULL, "%s verifies", c->hf_manifest);
}
