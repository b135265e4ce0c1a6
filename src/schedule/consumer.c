/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule/consumer.h"

#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "schedule/verdict.h"

enum {
    UNKNOWN_DELAY_S = 60,
    BACKOFF_MIN_S = 30,
    BACKOFF_MAX_S = 3600,
    HELD_MAX_S = SQS_HIDE_MAX_S - 15 * 60,
    BEAT_MAX_MS = 5 * 60 * 1000,
};

enum phase {
    RUNNING,   /* its transfer is under way */
    FOLLOWING, /* another message's is, of the same job */
    SETTLING,  /* the queue is told, or is about to be */
};

struct consumption {
    struct consumer *consumer;
    struct consumption *next;
    consumer_done_fn *done;
    void *arg;

    char *message_id, *handle; /* owned */
    char job[JOB_ID_MAX + 1];
    unsigned receives;
    int64_t sent_ms, came_ms; /* the latter of clock_mono_ms() */

    enum phase phase;
    struct transfer *transfer;  /* RUNNING */
    struct consumption *leader; /* FOLLOWING */
    struct queue_sqs_op *beat;  /* hides it anew; the verdict waits for its end */
    bool stopped;               /* it was asked to end or to hand over */
    bool cancelled;

    bool has_transfer;
    struct transfer_result result;
    enum consumer_verdict verdict;
    struct err err;
    int again_s; /* LATER: to be hidden for, or -1 */
    bool resend; /* handed over, and not sent again yet */
    struct loop_task task;
};

struct consumer {
    struct consumer_config config;
    struct consumption *all; /* under way */
    struct loop_timer beat_timer;
    bool beats_fail; /* told once */
};

static void settle(struct consumption *c);

/* ---- verdicts ---- */

static int backoff_s(const struct consumption *c, int retry_after_ms)
{
    const struct consumer_config *config = &c->consumer->config;
    int64_t ms = verdict_backoff_ms((int64_t)config->backoff_min_s * 1000,
                                    (int64_t)config->backoff_max_s * 1000,
                                    c->receives ? c->receives - 1 : 0, retry_after_ms);
    return ms / 1000 > SQS_HIDE_MAX_S ? SQS_HIDE_MAX_S : (int)(ms / 1000);
}

static void later(struct consumption *c, int again_s)
{
    c->verdict = CONSUME_LATER;
    c->again_s = again_s;
}

/* Nothing that comes again by itself cures these, but a setting does, or `egress worker`: where the
 * queue gives up, in its dead-letter queue, somebody sees them. */
static bool is_curable(enum err_code code)
{
    return code == ERR_TOO_LARGE || code == ERR_DEADLINE;
}

static void judge_failure(struct consumption *c)
{
    switch (verdict_of(&c->err, c->stopped, c->receives <= 1)) {
    case VERDICT_NEVER:
        c->verdict = CONSUMED;
        if (is_curable(c->err.code))
            later(c, backoff_s(c, c->err.retry_after_ms));
        break;
    case VERDICT_LATER:
        later(c, backoff_s(c, c->err.retry_after_ms));
        break;
    case VERDICT_UNKNOWN:
        later(c, c->consumer->config.unknown_delay_s);
        break;
    case VERDICT_AT_ONCE:
        later(c, 0);
        break;
    }
}

static void on_transfer(void *arg, const struct transfer_result *result)
{
    struct consumption *c = arg;
    c->transfer = NULL;
    c->has_transfer = true;
    c->result = *result;
    c->result.job = c->job;
    c->result.receipt = NULL;
    c->verdict = CONSUMED;
    if (result->outcome == TRANSFER_HANDED_OVER) {
        c->resend = true;
    } else if (result->outcome == TRANSFER_FAILED) {
        c->err = result->err;
        judge_failure(c);
    }
    settle(c);
}

/* ---- ends ---- */

static void settle_task(void *arg)
{
    settle(arg);
}

static void settle_soon(struct consumption *c)
{
    c->phase = SETTLING;
    c->leader = NULL;
    if (!c->beat) /* else its end settles it */
        loop_post(c->consumer->config.loop, &c->task, settle_task, c);
}

static void run(struct consumption *c)
{
    c->phase = RUNNING;
    c->leader = NULL;
    c->transfer = transfer_start(c->consumer->config.engine, c->job, on_transfer, c);
}

/* Those that waited for it share its verdict; but nobody told them to stop. */
static void release_followers(const struct consumption *c)
{
    struct consumption *next_leader = NULL;
    for (struct consumption *f = c->consumer->all; f; f = f->next) {
        if (f->phase != FOLLOWING || f->leader != c)
            continue;
        if (!c->cancelled || c->verdict == CONSUMED) {
            f->has_transfer = c->has_transfer;
            f->result = c->result;
            f->result.job = f->job;
            f->verdict = c->verdict;
            f->err = c->err;
            f->again_s = c->again_s;
            settle_soon(f);
        } else if (next_leader) {
            f->leader = next_leader;
        } else {
            next_leader = f;
            run(f);
        }
    }
}

static void finish(struct consumption *c)
{
    struct consumer *consumer = c->consumer;
    struct consumption **at = &consumer->all;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    if (!consumer->all)
        loop_timer_stop(consumer->config.loop, &consumer->beat_timer);
    release_followers(c);
    const struct consumer_result result = {
        .message_id = c->message_id,
        .handle = c->handle,
        .job = c->job,
        .receives = c->receives,
        .verdict = c->verdict,
        .transfer = c->has_transfer ? &c->result : NULL,
        .err = c->err,
        .sent_ms = c->sent_ms,
        .again_s = c->again_s,
    };
    c->done(c->arg, &result);
    free(c->message_id);
    free(c->handle);
    free(c);
}

static void on_hidden(void *arg, const struct err *err)
{
    struct consumption *c = arg;
    if (err) {
        log_event(LOG_WARN, LOG_FIELDS(LOG_TEXT("message", c->message_id)),
                  "it comes again when the queue says: %s", err->msg);
        c->again_s = -1;
    }
    finish(c);
}

static void on_sent(void *arg, const struct err *err)
{
    struct consumption *c = arg;
    if (err) { /* this message coming again does the same */
        later(c, -1);
        c->err = *err;
        err_prefix(&c->err, "handed over, and not put into the queue anew");
    }
    finish(c);
}

/* What SQS lets it be hidden for from now on: its 12 hours count from the receipt. */
static int hide_max_s(const struct consumption *c)
{
    int64_t left_s = SQS_HIDE_MAX_S - 1 - (clock_mono_ms() - c->came_ms) / 1000;
    return left_s < 0 ? 0 : (int)left_s;
}

/* Tells the queue what was decided, then the caller. */
static void settle(struct consumption *c)
{
    struct queue_sqs *queue = c->consumer->config.queue;
    c->phase = SETTLING;
    if (c->beat) /* or it would be hidden for as long as that says */
        return;
    if (c->resend && !queue) {
        later(c, -1);
        finish(c);
    } else if (c->resend) {
        c->resend = false;
        queue_sqs_send(queue, c->job, 0, on_sent, c);
    } else if (queue && c->verdict == CONSUME_LATER && c->again_s >= 0) {
        int max_s = hide_max_s(c);
        if (c->again_s > max_s)
            c->again_s = max_s;
        queue_sqs_hide(queue, c->handle, c->again_s, on_hidden, c);
    } else {
        if (!queue)
            c->again_s = -1;
        finish(c);
    }
}

/* ---- as long as it is under way ---- */

static void on_beat(void *arg, const struct err *err)
{
    struct consumption *c = arg;
    struct consumer *consumer = c->consumer;
    c->beat = NULL;
    if (err && !consumer->beats_fail)
        log_event(LOG_WARN, LOG_FIELDS(LOG_TEXT("message", c->message_id), LOG_TEXT("job", c->job)),
                  "a message under way could not be kept hidden, so another may take it too: %s",
                  err->msg);
    consumer->beats_fail = err != NULL;
    if (c->phase == SETTLING)
        settle(c);
}

static void beat(void *arg);

static void arm_beat(struct consumer *consumer)
{
    int64_t ms = (int64_t)consumer->config.visibility_s * 1000 / 3;
    loop_timer_start(consumer->config.loop, &consumer->beat_timer,
                     ms > BEAT_MAX_MS ? BEAT_MAX_MS : ms, beat, consumer);
}

static void beat(void *arg)
{
    struct consumer *consumer = arg;
    const struct consumer_config *config = &consumer->config;
    int64_t now_ms = clock_mono_ms();
    for (struct consumption *c = consumer->all; c; c = c->next) {
        if (c->phase == SETTLING)
            continue;
        if (!c->stopped && now_ms - c->came_ms >= (int64_t)config->held_max_s * 1000)
            consumer_hand_over(c);
        int max_s = hide_max_s(c);
        if (!c->beat && max_s > 0)
            c->beat = queue_sqs_hide(config->queue, c->handle,
                                     config->visibility_s < max_s ? config->visibility_s : max_s,
                                     on_beat, c);
    }
    arm_beat(consumer);
}

/* ---- what callers do ---- */

struct consumer *consumer_new(const struct consumer_config *config)
{
    struct consumer *consumer = xcalloc(1, sizeof(*consumer));
    consumer->config = *config;
    struct consumer_config *own = &consumer->config;
    if (!own->unknown_delay_s)
        own->unknown_delay_s = UNKNOWN_DELAY_S;
    if (!own->backoff_min_s)
        own->backoff_min_s = BACKOFF_MIN_S;
    if (!own->backoff_max_s)
        own->backoff_max_s = BACKOFF_MAX_S;
    if (!own->held_max_s)
        own->held_max_s = HELD_MAX_S;
    return consumer;
}

void consumer_free(struct consumer *consumer)
{
    if (!consumer)
        return;
    CHECK(!consumer->all);
    free(consumer);
}

/* The message whose verdict another of the same job will share. One that was told to stop, and has
 * stopped, is none: nothing was decided about the job. Nor is one that was handed over: the other
 * may be what was sent in its place. */
static struct consumption *find_leader(const struct consumer *consumer, const char *job)
{
    struct consumption *settling = NULL;
    for (struct consumption *c = consumer->all; c; c = c->next) {
        if (c->phase == FOLLOWING || strcmp(c->job, job) != 0)
            continue;
        if (c->phase == RUNNING)
            return c;
        bool handed_over = c->has_transfer && c->result.outcome == TRANSFER_HANDED_OVER;
        if (!c->cancelled && !handed_over)
            settling = c;
    }
    return settling;
}

struct consumption *consumer_start(struct consumer *consumer, const struct sqs_message *message,
                                   consumer_done_fn *done, void *arg)
{
    struct consumption *c = xcalloc(1, sizeof(*c));
    c->consumer = consumer;
    c->done = done;
    c->arg = arg;
    c->message_id = xstrdup(message->id);
    c->handle = xstrdup(message->handle);
    c->receives = message->receives;
    c->sent_ms = message->sent_ms;
    c->came_ms = clock_mono_ms();
    if (queue_sqs_parse(message->body, message->body_len, c->job, &c->err) < 0) {
        later(c, -1);
        settle_soon(c);
    } else if ((c->leader = find_leader(consumer, c->job))) {
        c->phase = FOLLOWING;
    } else {
        run(c);
    }
    c->next = consumer->all;
    consumer->all = c;
    if (consumer->config.queue && consumer->config.visibility_s && !consumer->beat_timer.armed)
        arm_beat(consumer);
    return c;
}

void consumer_hand_over(struct consumption *c)
{
    struct consumption *who = c->phase == FOLLOWING ? c->leader : c;
    c->stopped = true;
    who->stopped = true;
    if (who->phase == RUNNING)
        transfer_hand_over(who->transfer);
}

void consumer_cancel(struct consumption *c)
{
    if (c->cancelled)
        return;
    c->cancelled = c->stopped = true;
    if (c->phase == RUNNING) {
        transfer_cancel(c->transfer);
    } else if (c->phase == FOLLOWING) {
        err_set(&c->err, ERR_CANCELLED, "cancelled");
        later(c, 0);
        settle_soon(c);
    }
}
