/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule/worker.h"

#include <inttypes.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/text.h"
#include "schedule/verdict.h"

enum {
    RETRY_MIN_MS = 1000,
    RETRY_MAX_MS = 60 * 1000,
    EMPTY_MIN_MS = 500, /* of an answer without messages: some servers know no long polls */
    FAILURES_MAX = 5,   /* in a row, of one that is to end when the queue is empty */
    LAST_CALL_MS = 500,
};

struct slot {
    struct worker *worker;
    bool busy;
    struct consumption *consumption; /* NULL: it has ended */
    int64_t began_ms;                /* of clock_mono_ms() */
};

struct worker {
    struct worker_config config;
    struct slot *slots; /* owned; config.concurrency of them */
    unsigned busy;
    struct queue_sqs_op *receive; /* NULL: none under way */
    unsigned received;            /* by it */
    int64_t asked_ms;             /* when it began; of clock_mono_ms() */
    bool reached;                 /* the queue, ever */
    unsigned failures;            /* in a row */
    struct loop_timer timer;      /* the next attempt; then, the steps of draining */
    struct loop_timer last_call;  /* for the receive under way, when there is nothing else */
    bool draining, handed_over, ended;
    struct err err; /* what to end with */
    struct loop_task end_task;
    struct worker_counts counts;
};

static void poll_queue(struct worker *w);

/* ---- the end ---- */

static void tell_end(void *arg)
{
    const struct worker *w = arg;
    w->config.on_end(w->config.arg, w->err.code == ERR_NONE ? NULL : &w->err);
}

static void cancel_receive(void *arg)
{
    const struct worker *w = arg;
    if (w->receive)
        queue_sqs_cancel(w->receive);
}

/* A receive is cancelled last, and not in a hurry: what SQS answers on a connection that is closed
 * stays hidden for the whole visibility timeout, and that may be what was just handed over. */
static void end_if_idle(struct worker *w)
{
    if (!w->draining || w->busy || w->ended)
        return;
    if (w->receive) {
        if (!w->last_call.armed)
            loop_timer_start(w->config.loop, &w->last_call, LAST_CALL_MS, cancel_receive, w);
        return;
    }
    w->ended = true;
    loop_timer_stop(w->config.loop, &w->last_call);
    loop_timer_stop(w->config.loop, &w->timer);
    loop_post(w->config.loop, &w->end_task, tell_end, w);
}

static void drain_step(void *arg)
{
    struct worker *w = arg;
    void (*ask)(struct consumption *) = w->handed_over ? consumer_cancel : consumer_hand_over;
    for (unsigned i = 0; i < w->config.concurrency; i++)
        if (w->slots[i].consumption)
            ask(w->slots[i].consumption);
    if (w->handed_over)
        return;
    w->handed_over = true;
    loop_timer_start(w->config.loop, &w->timer, w->config.drain_ms - w->config.drain_ms / 2,
                     drain_step, w);
}

void worker_drain(struct worker *w)
{
    if (w->draining)
        return;
    w->draining = true;
    loop_timer_start(w->config.loop, &w->timer, w->config.drain_ms / 2, drain_step, w);
    end_if_idle(w);
}

/* ---- a message ---- */

static const char *count(struct worker *w, const struct consumer_result *r)
{
    struct worker_counts *n = &w->counts;
    n->messages++;
    if (r->transfer)
        n->bytes += r->transfer->bytes - r->transfer->resumed;
    if (r->verdict == CONSUME_LATER) {
        n->later++;
        return "later";
    }
    switch (r->transfer ? r->transfer->outcome : TRANSFER_FAILED) {
    case TRANSFER_STORED:
        n->stored++;
        return "stored";
    case TRANSFER_ALREADY:
        n->already++;
        return "already stored";
    case TRANSFER_HANDED_OVER:
        n->handed_over++;
        return "handed over";
    case TRANSFER_FAILED:
        break;
    }
    n->failed++;
    return "failed";
}

/* "job x" or "a message": what the line is about. */
static void log_result(const struct consumer_result *r, const char *outcome, int64_t duration_ms)
{
    uint64_t bytes = r->transfer ? r->transfer->bytes : 0;
    char size[TEXT_SIZE_MAX], again[48] = "when the queue says";
    const struct log_field *fields = LOG_FIELDS(
        LOG_TEXT("message", r->message_id), LOG_TEXT("job", r->job), LOG_TEXT("outcome", outcome),
        LOG_TEXT("error", err_name(r->err.code)), LOG_NUM("bytes", bytes),
        LOG_NUM("resumed_bytes", r->transfer ? r->transfer->resumed : 0),
        LOG_NUM("duration_ms", duration_ms), LOG_NUM("receives", r->receives));
    if (r->again_s >= 0)
        snprintf(again, sizeof(again), "in %d s", r->again_s);
    if (r->verdict == CONSUME_LATER)
        log_event(LOG_WARN, fields, "%s%s: again %s: %s", *r->job ? "job " : "message ",
                  *r->job ? r->job : r->message_id, again, r->err.msg);
    else if (r->err.code != ERR_NONE)
        log_event(LOG_ERROR, fields, "job %s: failed for good: %s", r->job, r->err.msg);
    else
        log_event(LOG_INFO, fields, "job %s: %s, %s in %.1f s", r->job, outcome,
                  text_format_size(bytes, size), (double)duration_ms / 1000);
}

static void release_slot(struct slot *slot)
{
    struct worker *w = slot->worker;
    slot->busy = false;
    w->busy--;
    end_if_idle(w);
    poll_queue(w);
}

static void on_deleted(void *arg, const struct err *err)
{
    if (err)
        log_warn("a message that is done with stays in the queue and will come again: %s",
                 err->msg);
    release_slot(arg);
}

static void on_given_back(void *arg, const struct err *err)
{
    if (err)
        log_warn("a message that came too late comes again when the queue says: %s", err->msg);
    release_slot(arg);
}

static void on_consumed(void *arg, const struct consumer_result *r)
{
    struct slot *slot = arg;
    struct worker *w = slot->worker;
    slot->consumption = NULL;
    log_result(r, count(w, r), clock_mono_ms() - slot->began_ms);
    if (r->verdict == CONSUMED)
        queue_sqs_delete(w->config.queue, r->handle, on_deleted, slot);
    else
        release_slot(slot);
}

/* ---- receiving ---- */

static void on_message(void *arg, const struct sqs_message *message)
{
    struct worker *w = arg;
    struct slot *slot = w->slots;
    w->received++;
    if (w->busy == w->config.concurrency) /* more than was asked for: it will come again */
        return;
    while (slot->busy)
        slot++;
    w->busy++;
    slot->busy = true;
    if (w->draining) { /* given back */
        queue_sqs_hide(w->config.queue, message->handle, 0, on_given_back, slot);
        return;
    }
    slot->began_ms = clock_mono_ms();
    slot->consumption = consumer_start(w->config.consumer, message, on_consumed, slot);
}

static void timer_due(void *arg)
{
    poll_queue(arg);
}

/* Said once, however often it fails. */
static void on_failure(struct worker *w, const struct err *err)
{
    bool hopeless = (!w->reached && !err_is_retryable(err)) ||
                    (w->config.until_empty && w->failures + 1 >= FAILURES_MAX);
    if (hopeless) {
        w->err = *err;
        worker_drain(w);
        return;
    }
    int64_t ms = verdict_backoff_ms(RETRY_MIN_MS, RETRY_MAX_MS, w->failures, err->retry_after_ms);
    if (w->failures++ == 0)
        log_event(LOG_WARN, LOG_FIELDS(LOG_TEXT("error", err_name(err->code))),
                  "no messages can be taken for now, trying again: %s", err->msg);
    else
        log_debug("no messages yet, again in %" PRId64 " ms: %s", ms, err->msg);
    loop_timer_start(w->config.loop, &w->timer, ms, timer_due, w);
}

static void on_received(void *arg, const struct err *err)
{
    struct worker *w = arg;
    w->receive = NULL;
    if (w->draining) {
        end_if_idle(w);
    } else if (err) {
        on_failure(w, err);
    } else {
        if (w->failures)
            log_info("messages can be taken again, after %u failed attempts", w->failures);
        w->failures = 0;
        w->reached = true;
        if (w->received == 0 && w->config.until_empty && w->busy == 0)
            worker_drain(w);
        else if (w->received == 0 && clock_mono_ms() - w->asked_ms < EMPTY_MIN_MS)
            loop_timer_start(w->config.loop, &w->timer, RETRY_MIN_MS, timer_due, w);
        poll_queue(w);
    }
}

static void poll_queue(struct worker *w)
{
    unsigned room = w->config.concurrency - w->busy;
    if (w->draining || w->receive || w->timer.armed || room == 0)
        return;
    w->received = 0;
    w->asked_ms = clock_mono_ms();
    w->receive =
        queue_sqs_receive(w->config.queue, room < SQS_BATCH_MAX ? (int)room : SQS_BATCH_MAX,
                          w->config.wait_s, w->config.visibility_s, on_message, on_received, w);
}

/* ---- life ---- */

struct worker *worker_start(const struct worker_config *config)
{
    struct worker *w = xcalloc(1, sizeof(*w));
    w->config = *config;
    w->slots = xcalloc(config->concurrency, sizeof(w->slots[0]));
    for (unsigned i = 0; i < config->concurrency; i++)
        w->slots[i].worker = w;
    poll_queue(w);
    return w;
}

void worker_counts(const struct worker *w, struct worker_counts *counts)
{
    *counts = w->counts;
}

void worker_free(struct worker *w)
{
    if (!w)
        return;
    free(w->slots);
    free(w);
}
