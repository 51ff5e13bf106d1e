/* Asking a person on the terminal what a run waits for. */
#ifndef SG_CLI_ASK_H
#define SG_CLI_ASK_H

#include <jansson.h>

#include "base/error.h"

/* waiting: the row's JSON. The payload's open_questions are asked one by one ({"slot_answers":…}),
 * else the prompt alone ({"answer":…}). Positive outcome 1: end of input, no answer. */
int sg_ask(const char *waiting, json_t **ret_answer, struct sg_error *err);

#endif
