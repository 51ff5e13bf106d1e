/* Which model directory a verb uses when it is not given one. */
#ifndef SG_CLI_MODEL_DIR_H
#define SG_CLI_MODEL_DIR_H

#include "base/error.h"

/* HF_HOME, else $XDG_CACHE_HOME/huggingface, else ~/.cache/huggingface: Hugging Face's own order.
 * NULL when none can be told. Caller frees. */
char *sg_cli_hf_home(void);

/* explicit_dir (may be NULL), else the model below sg_cli_hf_home(). Errors as sg_model_find.
 * Caller frees *ret_dir. */
int sg_cli_find_model(const char *explicit_dir, char **ret_dir, struct sg_error *err);

#endif
