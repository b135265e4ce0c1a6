/* SPDX-License-Identifier: Apache-2.0
 *
 * work: an SQS batch: a transfer for each message, several at once; told to the queue as failures
 * are exactly those that are worth another try.
 */
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/text.h"
#include "lambda/lambda_private.h"
#include "schedule/consumer.h"
#include "schedule/spread.h"

enum {
    AGAIN_S = 120,        /* a batch that could not be begun */
    ANSWER_MAX = 4 << 20, /* 10,000 messages at most are in a batch */
    AT_A_TIME = 100,      /* what moves data is fewer (EGRESS_CONCURRENCY); these ask about jobs */
};

struct item { /* a message */
    struct work *work;
    const struct sqs_message *message;
    struct consumption *consumption; /* under way */
    char job[JOB_ID_MAX + 1];
    bool later;
    bool refused; /* our token was; once */
    bool told;
    bool has_transfer;
    struct transfer_result result;
    struct err err;
};

struct work {
    struct lambda *l;
    struct item *items;        /* owned; n of them */
    size_t n, next, under_way; /* next: to be begun */
    bool refreshed;
    bool late; /* nothing more is begun */
    struct loop_timer last;
    struct spread *spread; /* putting all back */
    struct err err;
};

static void end(struct work *w)
{
    struct lambda *l = w->l;
    loop_timer_stop(l->assembly.loop, &w->last);
    spread_free(w->spread);
    free(w->items);
    free(w);
    l->work = NULL;
}

/* ---- the answer ---- */

static void answer(struct work *w)
{
    struct lambda *l = w->l;
    struct buf text = BUF_INIT(ANSWER_MAX);
    bool first = true;
    buf_str_append(&text, "{\"batchItemFailures\":[");
    for (size_t i = 0; i < w->n; i++) {
        if (!w->items[i].later)
            continue;
        buf_printf(&text, "%s{\"itemIdentifier\":", first ? "" : ",");
        text_json_quote(&text, w->items[i].message->id);
        buf_byte(&text, '}');
        first = false;
    }
    buf_str_append(&text, "]}");
    end(w);
    struct err err = {0};
    if (buf_overflowed(&text)) { /* the whole batch comes again, which is harmless */
        err_set(&err, ERR_TOO_LARGE, "the names of the batch's failures do not fit into an answer");
        lambda_fail(l, &err);
    } else {
        lambda_respond(l, buf_str(&text));
    }
    buf_release(&text);
}

/* ---- outcomes ---- */

/* Two messages of one job share a transfer: it is counted once. */
static bool counted_before(const struct work *w, const struct item *item)
{
    for (const struct item *other = w->items; other < w->items + w->n; other++)
        if (other != item && other->told && other->has_transfer &&
            other->result.outcome == TRANSFER_STORED && strcmp(other->job, item->job) == 0)
            return true;
    return false;
}

static void tell(struct item *item)
{
    struct lambda *l = item->work->l;
    if (!item->has_transfer) {
        lambda_tell(l, *item->job ? item->job : NULL, item->later ? "later" : "failed", &item->err);
        l->emf.count[item->later ? EMF_LATER : EMF_FAILED]++;
    } else {
        struct transfer_result result = item->result;
        if (result.outcome == TRANSFER_STORED && counted_before(item->work, item))
            result.outcome = TRANSFER_ALREADY;
        if (item->later && result.err.code == ERR_NONE)
            err_set(&result.err, ERR_TIMEOUT, "the time was up; the message coming again goes on");
        if (item->later) /* handed over, and not put into the queue anew */
            result.outcome = TRANSFER_FAILED;
        lambda_tell_job(l, &result, item->later);
    }
    item->told = true;
}

static void begin(struct work *w);
static void start_more(struct work *w);

static void on_refreshed(struct lambda *l, bool changed)
{
    struct work *w = l->work;
    w->refreshed = true;
    if (changed) {
        begin(w);
        return;
    }
    for (size_t i = 0; i < w->n; i++)
        if (w->items[i].refused)
            tell(&w->items[i]);
    answer(w);
}

/* Nothing is under way. */
static void settle(struct work *w)
{
    for (size_t i = 0; i < w->n && !w->refreshed; i++) {
        if (w->items[i].refused) {
            lambda_refresh_token(w->l, on_refreshed);
            return;
        }
    }
    answer(w);
}

static void on_consumed(void *arg, const struct consumer_result *r)
{
    struct item *item = arg;
    struct work *w = item->work;
    item->consumption = NULL;
    item->later = r->verdict == CONSUME_LATER;
    item->err = r->err;
    item->has_transfer = r->transfer != NULL;
    memcpy(item->job, r->job, strlen(r->job) + 1);
    if (r->transfer) {
        item->result = *r->transfer;
        item->result.job = item->job;
        item->result.err = r->err;
    }
    item->refused = !w->refreshed && lambda_token_refused(&r->err);
    if (!item->refused)
        tell(item);
    w->under_way--;
    start_more(w);
}

/* ---- the start ---- */

static void last_call(void *arg)
{
    struct work *w = arg;
    w->late = true;
    secret_cancel(&w->l->platform_token);
    for (size_t i = 0; i < w->n; i++)
        if (w->items[i].consumption)
            consumer_cancel(w->items[i].consumption);
}

static void start_one(struct work *w, struct item *item)
{
    struct lambda *l = w->l;
    if (w->late) {
        err_set(&item->err, ERR_TIMEOUT, "the time was up before it was begun");
        item->later = true;
        tell(item);
        return;
    }
    w->under_way++;
    item->consumption = consumer_start(l->consumer, item->message, on_consumed, item);
}

/* All messages, or after another token was fetched those that were refused. */
static void start_more(struct work *w)
{
    for (; w->next < w->n && w->under_way < AT_A_TIME; w->next++) {
        struct item *item = &w->items[w->next];
        if (w->refreshed && !item->refused)
            continue;
        item->refused = false;
        start_one(w, item);
    }
    if (w->under_way == 0)
        settle(w);
}

static void start_all(struct work *w)
{
    struct lambda *l = w->l;
    const struct consumer_config config = {
        .loop = l->assembly.loop, .engine = l->assembly.engine, .queue = l->assembly.queue};
    if (!l->consumer)
        l->consumer = consumer_new(&config);
    engine_set_deadline(l->assembly.engine, l->deadline_ms);
    w->next = 0;
    start_more(w);
}

static void on_put_back(void *arg)
{
    struct work *w = arg;
    struct lambda *l = w->l;
    struct err err = w->err;
    end(w);
    lambda_tell(l, NULL, "failed", &err);
    lambda_fail(l, &err);
}

static void put_back(void *arg, size_t index, struct spread_slot *slot)
{
    const struct work *w = arg;
    queue_sqs_hide(w->l->assembly.queue, w->items[index].message->handle, AGAIN_S, spread_done,
                   slot);
}

static void on_put_back_one(void *arg, size_t index, const struct err *err)
{
    const struct work *w = arg;
    if (err)
        log_warn("message %s comes again when the queue says: %s", w->items[index].message->id,
                 err->msg);
}

/* It cannot be begun, and not for the messages' fault: they are to come again sooner than a queue
 * hides what may take minutes. */
static void on_ready(struct lambda *l, const struct err *err)
{
    struct work *w = l->work;
    if (!err) {
        start_all(w);
        return;
    }
    w->err = *err;
    if (!l->assembly.queue || w->refreshed) {
        on_put_back(w);
        return;
    }
    const struct spread_config config = {.n = w->n,
                                         .at_a_time = AT_A_TIME,
                                         .start = put_back,
                                         .on_each = on_put_back_one,
                                         .on_end = on_put_back,
                                         .arg = w};
    w->spread = spread_start(l->assembly.loop, &config);
}

static void on_queue(struct lambda *l, const struct err *err)
{
    if (err)
        on_ready(l, err);
    else
        lambda_assemble(l, ASSEMBLE_ENGINE, on_ready);
}

/* The queue first: it is needed to put the messages back when the rest cannot be had. */
static void begin(struct work *w)
{
    bool queue = settings_text(&w->l->settings, SET_QUEUE);
    lambda_assemble(w->l, queue ? ASSEMBLE_QUEUE : ASSEMBLE_ENGINE, queue ? on_queue : on_ready);
}

void lambda_work(struct lambda *l)
{
    struct work *w = xcalloc(1, sizeof(*w));
    w->l = l;
    w->n = l->event.n_messages;
    w->items = xcalloc(w->n, sizeof(w->items[0]));
    for (size_t i = 0; i < w->n; i++)
        w->items[i] = (struct item){.work = w, .message = &l->event.messages[i]};
    l->work = w;
    if (l->deadline_ms)
        loop_timer_start(l->assembly.loop, &w->last, l->deadline_ms - clock_mono_ms(), last_call,
                         w);
    begin(w);
}
