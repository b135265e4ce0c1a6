/* SPDX-License-Identifier: Apache-2.0
 *
 * json: why a JSON text was refused, in our own words and without quoting the text. Any thread.
 *
 *     json_error_t why;
 *     json_t *root = json_loadb(data, len, JSON_REJECT_DUPLICATES, &why);
 *     if (!root)
 *         return json_refused(err, "body", &why);
 */
#ifndef EGRESS_CORE_JSON_H
#define EGRESS_CORE_JSON_H

#include "core/err.h"

struct json_error_t; /* jansson's */

/* Sets ERR_INPUT "WHAT is not JSON: REASON (line L, byte P)". Returns -1. */
int json_refused(struct err *err, const char *what, const struct json_error_t *why);

#endif
