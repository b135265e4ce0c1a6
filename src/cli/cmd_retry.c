/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_retry: `egress retry`, `egress pause` and `egress resume`: what a running daemon is told.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "cli/cli.h"
#include "cli/control.h"
#include "core/job_id.h"
#include "core/text.h"

enum { RETRY_BODY_MAX = 1024 * 1024 };

static int tell(const struct command_context *ctx, const char *path, const char *body,
                struct buf *answer, struct err *err)
{
    struct control *control = control_open(ctx->settings, err);
    if (!control)
        return -1;
    int rc = control_call(control, "POST", path, body, answer, err);
    control_close(control);
    return rc;
}

static int write_retry(const struct command_context *ctx, struct buf *body, struct err *err)
{
    bool dead = settings_on(ctx->settings, SET_DEAD);
    if (dead == (ctx->n_operands > 0))
        return err_set(err, ERR_USAGE, "expected either JOB_IDs or --dead");
    if (dead) {
        buf_str_append(body, "{\"dead\":true}");
        return 0;
    }
    for (int i = 0; i < ctx->n_operands; i++) {
        if (!job_id_is_valid(ctx->operands[i]))
            return err_set(err, ERR_USAGE,
                           "%.64s: no job id; expected a letter or digit, then letters, digits, - "
                           "or _",
                           ctx->operands[i]);
        buf_printf(body, "%s\"%s\"", i ? "," : "{\"jobs\":[", ctx->operands[i]);
    }
    buf_str_append(body, "]}");
    return buf_overflowed(body) ? err_set(err, ERR_USAGE, "too many jobs for one call") : 0;
}

static int64_t count_of(const json_t *root, const char *name)
{
    return json_integer_value(json_object_get(root, name));
}

int cmd_retry(const struct command_context *ctx)
{
    struct err err = {0};
    struct buf body = BUF_INIT(RETRY_BODY_MAX), answer = BUF_INIT(CONTROL_ANSWER_MAX);
    int status = STATUS_OK;
    if (write_retry(ctx, &body, &err) < 0 ||
        tell(ctx, "/api/retry", buf_str(&body), &answer, &err) < 0) {
        status = cli_fail(ctx, &err);
    } else if (settings_on(ctx->settings, SET_JSON)) {
        puts(buf_str(&answer));
    } else {
        json_t *root = json_loads(buf_str(&answer), 0, NULL);
        printf("%" PRId64 " to be tried again, %" PRId64 " unchanged (ready, running or stored), "
               "%" PRId64 " not in the journal\n",
               count_of(root, "retried"), count_of(root, "unchanged"), count_of(root, "unknown"));
        if (count_of(root, "unknown") > 0)
            status = STATUS_NEVER;
        json_decref(root);
    }
    buf_release(&body);
    buf_release(&answer);
    return status;
}

static int pause_or_resume(const struct command_context *ctx, const char *path, const char *said)
{
    struct err err = {0};
    struct buf answer = BUF_INIT(CONTROL_ANSWER_MAX);
    int rc = tell(ctx, path, NULL, &answer, &err);
    buf_release(&answer);
    if (rc < 0)
        return cli_fail(ctx, &err);
    puts(said);
    return STATUS_OK;
}

int cmd_pause(const struct command_context *ctx)
{
    return pause_or_resume(ctx, "/api/pause",
                           "paused: webhooks are taken, no further transfer is begun");
}

int cmd_resume(const struct command_context *ctx)
{
    return pause_or_resume(ctx, "/api/resume", "resumed");
}
