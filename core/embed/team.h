/* What the team and the embedder share. Internal to embed. */
#ifndef SG_EMBED_TEAM_H
#define SG_EMBED_TEAM_H

#include "base/error.h"
#include "embed/embed.h"
#include "embed/forward.h"

const struct sg_plan *sg_embedder_plan(const struct sg_embedder *e);

/* 1..SG_EMBED_MAX_TOKENS ids, each in the vocabulary; SG_EINVALID otherwise. */
int sg_embed_check_text(const struct sg_embed_text *t, struct sg_error *err);

#endif
