/* See draw.h: from a graph to a file or the terminal. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "cli/draw.h"

#define MAX_DRAWING (64U << 20)

int sg_draw_write(const struct sg_graph *g, const struct sg_run_row *run,
	const struct sg_checkpoint *steps, size_t n_steps, const struct sg_draw_target *to,
	struct sg_error *err)
{
	struct draw_graph *d = NULL;
	sg_autobuf b = SG_BUF_INIT(MAX_DRAWING);
	int rc = sg_draw_make(&d, g, run, steps, n_steps, err);
	if (rc == 0)
		rc = sg_draw_layout(d, err);
	if (rc == 0 && to->svg)
		sg_draw_svg(d, run, &b);
	else if (rc == 0)
		sg_draw_text(d, run, &b);
	sg_draw_destroy(d);
	if (rc < 0)
		return rc;
	if (b.failed)
		return sg_error_set(err, SG_ELIMIT, NULL, "the drawing is too large");
	if (to->path)
		return sg_file_write_atomic(to->path, b.data, b.len, 0644, err);
	return fputs(b.data, stdout) < 0 ? sg_error_set(err, SG_EIO, NULL, "cannot write") : 0;
}

int sg_draw_format(const char *text, struct sg_draw_target *ret)
{
	ret->wanted = true;
	ret->svg = strcmp(text, "svg") == 0;
	return ret->svg || strcmp(text, "text") == 0 ? 0 : -SG_EINVALID;
}
