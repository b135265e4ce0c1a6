/* SPDX-License-Identifier: Apache-2.0
 *
 * control: one request to the daemon that runs with a journal, over the socket beside it. Blocks
 * for as long as the answer takes, CONTROL_MS at most. Main thread.
 *
 *     struct control *control = control_open(ctx->settings, &err);
 *     struct buf answer = BUF_INIT(CONTROL_ANSWER_MAX);
 *     if (control_call(control, "GET", "/api/status", NULL, &answer, &err) < 0)
 *         return cli_fail(ctx, &err);
 *     control_close(control);
 */
#ifndef EGRESS_CLI_CONTROL_H
#define EGRESS_CLI_CONTROL_H

#include "core/buf.h"
#include "core/err.h"
#include "core/settings.h"

enum { CONTROL_ANSWER_MAX = 16 * 1024 * 1024, CONTROL_MS = 30 * 1000 };

struct control;

/* NULL: no place for a journal is known. */
struct control *control_open(const struct settings *settings, struct err *err);
void control_close(struct control *control); /* NULL is fine */

/* body: JSON, or NULL. *answer is what came with a 2xx. -1: ERR_CONFIG when no daemon is there;
 * else what the daemon said, with err->http_status. */
int control_call(struct control *control, const char *method, const char *path, const char *body,
                 struct buf *answer, struct err *err) MUST_CHECK;

#endif
