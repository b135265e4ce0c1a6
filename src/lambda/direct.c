/* SPDX-License-Identifier: Apache-2.0
 *
 * direct: {"id": JOB} or a webhook's bare body: one transfer, its outcome is the result.
 */
#include "core/mem.h"
#include "lambda/job_answer.h"
#include "lambda/lambda_private.h"
#include "queue/sqs.h"

static void fail_to_send(struct lambda *l, const struct err *err)
{
    struct err why = *err;
    err_prefix(&why, "handed over, and not put into the queue");
    lambda_tell(l, l->event.job, "failed", &why);
    lambda_fail(l, &why);
}

static void on_sent(void *arg, const struct err *err)
{
    struct lambda *l = arg;
    struct buf text = BUF_INIT(1024);
    if (err) {
        fail_to_send(l, err);
        return;
    }
    buf_printf(&text, "{\"status\":\"handed over\",\"job\":\"%s\"}", l->event.job);
    lambda_respond(l, buf_str(&text));
    buf_release(&text);
}

static void on_queue(struct lambda *l, const struct err *err)
{
    if (err)
        fail_to_send(l, err);
    else
        queue_sqs_send(l->assembly.queue, l->event.job, 0, on_sent, l);
}

static void on_done(struct lambda *l, const struct transfer_result *r)
{
    struct err err = r->err;
    struct answer answer = {0};
    lambda_tell_job(l, r, false);
    if (r->outcome == TRANSFER_STORED || r->outcome == TRANSFER_ALREADY) {
        job_answer(&answer, l->assembly.sink, r);
        lambda_respond(l, answer.body);
        answer_release(&answer);
    } else if (r->outcome == TRANSFER_FAILED) {
        lambda_fail(l, &err);
    } else if (settings_text(&l->settings, SET_QUEUE)) {
        lambda_assemble(l, ASSEMBLE_QUEUE, on_queue);
    } else {
        err_set(&err, ERR_TIMEOUT,
                "job %s: the time is up and a part of it is stored; invoke again to go on", r->job);
        lambda_fail(l, &err);
    }
}

void lambda_direct(struct lambda *l)
{
    lambda_transfer(l, l->event.job, on_done);
}
