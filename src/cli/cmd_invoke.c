/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_invoke: `egress invoke`: one webhook event, answered as the Lambda function will answer it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "assemble/assemble.h"
#include "cli/cli.h"
#include "cli/interrupt.h"
#include "core/log.h"
#include "ingress/accept.h"
#include "lambda/job_answer.h"

/* What is longer than accept takes is read far enough to be refused as such. */
enum { EVENT_FILE_MAX = 6 * 1024 * 1024 };

struct invocation {
    struct assembly assembly;
    struct transfer *transfer;
    struct answer *answer;
    int status;
};

static int read_file(const char *path, struct buf *out, struct err *err)
{
    bool standard_input = strcmp(path, "-") == 0;
    const char *name = standard_input ? "standard input" : path;
    FILE *in = standard_input ? stdin : fopen(path, "rb");
    if (!in)
        return err_set_errno(err, ERR_USAGE, errno, "%s", name);
    char block[16 * 1024];
    size_t n;
    while (!buf_overflowed(out) && (n = fread(block, 1, sizeof(block), in)) > 0)
        buf_append(out, block, n);
    int failed = ferror(in) ? errno : 0;
    if (!standard_input)
        fclose(in);
    if (failed)
        return err_set_errno(err, ERR_USAGE, failed, "%s", name);
    return 0;
}

static void on_done(void *arg, const struct transfer_result *r)
{
    struct invocation *in = arg;
    in->transfer = NULL;
    if (r->outcome == TRANSFER_FAILED) {
        log_event(LOG_ERROR,
                  LOG_FIELDS(LOG_TEXT("job", r->job), LOG_TEXT("error", err_name(r->err.code))),
                  "job %s: %s", r->job, r->err.msg);
        in->status = err_exit_status(&r->err);
    } else {
        in->status = STATUS_OK;
    }
    job_answer(in->answer, in->assembly.sink, r);
    loop_stop(in->assembly.loop);
}

static void cancel(void *arg)
{
    struct invocation *in = arg;
    if (in->transfer)
        transfer_cancel(in->transfer);
}

static int transfer_job(const struct command_context *ctx, const char *job, struct answer *answer)
{
    struct err err = {0};
    struct invocation in = {.answer = answer};
    struct interrupt interrupt;
    if (assemble(&in.assembly, ctx->settings, ASSEMBLE_ENGINE, &err) < 0 ||
        interrupt_on(&interrupt, in.assembly.loop, cancel, &in, &err) < 0) {
        answer_failed(answer, job, &err);
        assembly_release(&in.assembly);
        return cli_fail(ctx, &err);
    }
    in.transfer = transfer_start(in.assembly.engine, job, on_done, &in);
    loop_run(in.assembly.loop);
    interrupt_off(&interrupt);
    assembly_release(&in.assembly);
    return interrupt_status(&interrupt, in.status);
}

int cmd_invoke(const struct command_context *ctx)
{
    struct err err = {0};
    struct buf data = BUF_INIT(EVENT_FILE_MAX);
    struct event event = {0};
    struct answer answer = {0};
    int status = STATUS_NEVER; /* a refused event will be refused again */
    if (read_file(ctx->operands[0], &data, &err) < 0) {
        buf_release(&data);
        return cli_fail(ctx, &err);
    }
    if (accept_proxy_event(buf_str(&data), data.len, &event, &answer)) {
        status = transfer_job(ctx, event.id, &answer);
        event_release(&event);
    }
    struct buf text = BUF_INIT(ANSWER_TEXT_MAX);
    answer_format_proxy(&answer, &text);
    puts(buf_str(&text));
    buf_release(&text);
    answer_release(&answer);
    buf_release(&data);
    return status;
}
