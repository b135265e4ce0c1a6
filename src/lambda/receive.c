/* SPDX-License-Identifier: Apache-2.0
 *
 * receive: a webhook: checked, put into the queue, and only then answered with 200. Without a queue
 * it is transferred at once.
 */
#include <stdlib.h>

#include "core/clock.h"
#include "core/mem.h"
#include "lambda/job_answer.h"
#include "lambda/lambda_private.h"
#include "queue/sqs.h"

enum { ANSWER_BY_MS = 25 * 1000 }; /* API Gateway gives up after 29 s */

struct receive {
    struct lambda *l;
    struct event event;
    struct queue_sqs_op *op; /* the job on its way into the queue */
    struct loop_timer timer;
    bool late;
};

static void end(struct receive *rc, struct answer *answer)
{
    struct lambda *l = rc->l;
    loop_timer_stop(l->assembly.loop, &rc->timer);
    event_release(&rc->event);
    free(rc);
    l->receive = NULL;
    lambda_respond_proxy(l, answer);
}

/* err may be NULL when it is late. */
static void unavailable(struct receive *rc, const struct err *err)
{
    struct answer answer = {0};
    struct err why = err ? *err : (struct err){0};
    const char *job = *rc->event.id ? rc->event.id : NULL;
    if (rc->late)
        err_set(&why, ERR_TIMEOUT, "there was no answer in time, and the sender waits for ours");
    lambda_tell(rc->l, job, "not accepted", &why);
    answer_unavailable(&answer, job, &why);
    end(rc, &answer);
}

static void too_late(void *arg)
{
    struct receive *rc = arg;
    rc->late = true;
    if (rc->op)
        queue_sqs_cancel(rc->op);
    else
        lambda_cancel_webhook_token(rc->l);
}

/* ---- into the queue ---- */

static void on_sent(void *arg, const struct err *err)
{
    struct receive *rc = arg;
    struct answer answer = {0};
    rc->op = NULL;
    if (err) {
        unavailable(rc, err);
        return;
    }
    lambda_tell(rc->l, rc->event.id, "queued", NULL);
    answer_queued(&answer, rc->event.id);
    end(rc, &answer);
}

static void on_queue(struct lambda *l, const struct err *err)
{
    struct receive *rc = l->receive;
    if (err || rc->late)
        unavailable(rc, err);
    else
        rc->op = queue_sqs_send(l->assembly.queue, rc->event.id, 0, on_sent, rc);
}

/* ---- or at once ---- */

static void on_transferred(struct lambda *l, const struct transfer_result *result)
{
    struct answer answer = {0};
    lambda_tell_job(l, result, false);
    job_answer(&answer, l->assembly.sink, result);
    end(l->receive, &answer);
}

/* ---- checks ---- */

static void on_checked(struct lambda *l, enum checked checked, const struct err *err)
{
    struct receive *rc = l->receive;
    const struct ingress_request *rq = &l->event.request;
    struct answer answer = {0};
    if (checked == CHECKED_WRONG) {
        lambda_tell(l, NULL, "refused", err);
        answer_unauthorized(&answer, err);
        end(rc, &answer);
    } else if (checked == CHECKED_UNKNOWN) {
        unavailable(rc, err);
    } else if (!accept_event(rq->method, rq->body, rq->body_len, &rc->event, &answer)) {
        end(rc, &answer);
    } else if (settings_text(&l->settings, SET_QUEUE)) {
        lambda_assemble(l, ASSEMBLE_QUEUE, on_queue);
    } else {
        loop_timer_stop(l->assembly.loop, &rc->timer);
        lambda_transfer(l, rc->event.id, on_transferred);
    }
}

void lambda_receive(struct lambda *l)
{
    struct receive *rc = xcalloc(1, sizeof(*rc));
    rc->l = l;
    l->receive = rc;
    int64_t left_ms = ANSWER_BY_MS, now_ms = clock_mono_ms();
    if (l->deadline_ms && l->deadline_ms - now_ms < left_ms)
        left_ms = l->deadline_ms > now_ms ? l->deadline_ms - now_ms : 0;
    loop_timer_start(l->assembly.loop, &rc->timer, left_ms, too_late, rc);
    lambda_check_webhook_token(l, on_checked);
}
