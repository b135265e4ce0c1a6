/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/sqs.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "event/event.h"

enum { BATCH_KINDS = SQS_HIDE + 1 };

struct batch;

struct queue_sqs_op {
    struct queue_sqs *queue;
    queue_sqs_done_fn *done;
    void *arg;
    struct queue_sqs_op *next; /* of those not sent yet */

    /* one of a batch */
    enum sqs_batch kind;
    char *text; /* owned */
    int seconds;
    struct batch *batch; /* NULL: not sent yet */
    size_t place;        /* in it */

    /* a receive */
    queue_sqs_message_fn *each;
    struct sqs_api_call *call; /* NULL: one of a batch */

    bool cancelled;
    struct loop_task task; /* tells a cancelled one its end */
};

struct batch { /* a request under way */
    struct queue_sqs *queue;
    enum sqs_batch kind;
    size_t n, waiting;                       /* entries; those whose op still waits */
    struct queue_sqs_op *ops[SQS_BATCH_MAX]; /* NULL: was cancelled */
    struct sqs_api_call *call;
};

struct queue_sqs {
    struct loop *loop;
    struct sqs_api *api; /* owned */
    struct queue_sqs_op *pending[BATCH_KINDS], **last[BATCH_KINDS];
    struct loop_task task;
    bool task_posted;
};

struct queue_sqs *queue_sqs_new(struct loop *loop, const struct queue_sqs_config *config,
                                struct err *err)
{
    const struct sqs_api_config where = {
        .queue_url = config->url,
        .region = config->region,
        .endpoint_url = config->endpoint_url,
        .credentials = config->credentials,
    };
    struct sqs_api *api = sqs_api_new(loop, &where, err);
    if (!api)
        return NULL;
    struct queue_sqs *queue = xcalloc(1, sizeof(*queue));
    queue->loop = loop;
    queue->api = api;
    for (size_t i = 0; i < BATCH_KINDS; i++)
        queue->last[i] = &queue->pending[i];
    return queue;
}

void queue_sqs_free(struct queue_sqs *queue)
{
    if (!queue)
        return;
    CHECK(!queue->task_posted);
    sqs_api_free(queue->api);
    free(queue);
}

/* ---- what a message says ---- */

void queue_sqs_format(const char *job_id, struct buf *out)
{
    buf_printf(out, "{\"id\":\"%s\"}", job_id);
}

int queue_sqs_parse(const void *body, size_t len, char job[JOB_ID_MAX + 1], struct err *err)
{
    static const char expected[] = "expected {\"id\": JOB_ID}";
    json_error_t why;
    if (len > EVENT_BODY_MAX)
        return err_set(err, ERR_TOO_LARGE, "the message is %zu bytes long; expected at most %d",
                       len, EVENT_BODY_MAX);
    json_t *root = json_loadb(body, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
    if (!root)
        return json_refused(err, "the message", &why);
    const char *id = json_string_value(json_object_get(root, "id"));
    struct event event = {0};
    int rc = -1;
    if (json_object_get(root, "event")) {
        rc = event_parse(body, len, &event, err);
        id = event.id;
    } else if (!json_is_object(root)) {
        err_set(err, ERR_INPUT, "the message is JSON but not an object; %s", expected);
    } else if (!id) {
        err_set(err, ERR_INPUT, "the message has no \"id\" that is a string; %s", expected);
    } else if (!job_id_is_valid(id)) {
        err_set(err, ERR_INPUT,
                "\"%.64s\" is not a job id; expected a letter or digit, then up to %d letters, "
                "digits, - or _",
                id, JOB_ID_MAX - 1);
    } else {
        rc = 0;
    }
    if (rc == 0)
        memcpy(job, id, strlen(id) + 1);
    event_release(&event);
    json_decref(root);
    return rc;
}

/* ---- ends ---- */

static void end(struct queue_sqs_op *op, const struct err *err)
{
    op->done(op->arg, err);
    free(op->text);
    free(op);
}

static void end_cancelled(void *arg)
{
    struct err err = {0};
    err_set(&err, ERR_CANCELLED, "cancelled");
    end(arg, &err);
}

/* A message that is gone needs no deleting. */
static bool is_done(const struct batch *b, const struct err *err)
{
    return err->code == ERR_NONE || (b->kind == SQS_DELETE && err->code == ERR_NOT_FOUND);
}

static void on_batch(void *arg, const struct err *results)
{
    struct batch *b = arg;
    for (size_t i = 0; i < b->n; i++)
        if (b->ops[i]) {
            struct queue_sqs_op *op = b->ops[i];
            b->ops[i] = NULL; /* what is told may cancel others */
            end(op, is_done(b, &results[i]) ? NULL : &results[i]);
        }
    free(b);
}

/* ---- batches ---- */

static void send_batch(struct queue_sqs *queue, enum sqs_batch kind)
{
    struct sqs_entry entries[SQS_BATCH_MAX];
    struct batch *b = xcalloc(1, sizeof(*b));
    b->queue = queue;
    b->kind = kind;
    while (queue->pending[kind] && b->n < SQS_BATCH_MAX) {
        struct queue_sqs_op *op = queue->pending[kind];
        queue->pending[kind] = op->next;
        op->batch = b;
        op->place = b->n;
        entries[b->n] = (struct sqs_entry){.text = op->text, .seconds = op->seconds};
        b->ops[b->n++] = op;
    }
    if (!queue->pending[kind])
        queue->last[kind] = &queue->pending[kind];
    b->waiting = b->n;
    b->call = sqs_api_batch(queue->api, kind, entries, b->n, on_batch, b);
}

static void send_pending(void *arg)
{
    struct queue_sqs *queue = arg;
    queue->task_posted = false;
    for (unsigned kind = 0; kind < BATCH_KINDS; kind++)
        while (queue->pending[kind])
            send_batch(queue, (enum sqs_batch)kind);
}

static struct queue_sqs_op *new_op(struct queue_sqs *queue, queue_sqs_done_fn *done, void *arg)
{
    struct queue_sqs_op *op = xcalloc(1, sizeof(*op));
    op->queue = queue;
    op->done = done;
    op->arg = arg;
    return op;
}

static struct queue_sqs_op *add(struct queue_sqs *queue, enum sqs_batch kind, const char *text,
                                int seconds, queue_sqs_done_fn *done, void *arg)
{
    struct queue_sqs_op *op = new_op(queue, done, arg);
    op->kind = kind;
    op->text = xstrdup(text);
    op->seconds = seconds;
    *queue->last[kind] = op;
    queue->last[kind] = &op->next;
    if (!queue->task_posted) {
        queue->task_posted = true;
        loop_post(queue->loop, &queue->task, send_pending, queue);
    }
    return op;
}

struct queue_sqs_op *queue_sqs_send(struct queue_sqs *queue, const char *job_id, int delay_s,
                                    queue_sqs_done_fn *done, void *arg)
{
    struct buf body = BUF_INIT(1024);
    queue_sqs_format(job_id, &body);
    struct queue_sqs_op *op = add(queue, SQS_SEND, buf_str(&body), delay_s, done, arg);
    buf_release(&body);
    return op;
}

struct queue_sqs_op *queue_sqs_delete(struct queue_sqs *queue, const char *handle,
                                      queue_sqs_done_fn *done, void *arg)
{
    return add(queue, SQS_DELETE, handle, 0, done, arg);
}

struct queue_sqs_op *queue_sqs_hide(struct queue_sqs *queue, const char *handle, int visibility_s,
                                    queue_sqs_done_fn *done, void *arg)
{
    return add(queue, SQS_HIDE, handle, visibility_s, done, arg);
}

/* ---- receiving ---- */

static void on_message(void *arg, const struct sqs_message *message)
{
    const struct queue_sqs_op *op = arg;
    op->each(op->arg, message);
}

static void on_received(void *arg, const struct err *err)
{
    end(arg, err);
}

struct queue_sqs_op *queue_sqs_receive(struct queue_sqs *queue, int max, int wait_s,
                                       int visibility_s, queue_sqs_message_fn *each,
                                       queue_sqs_done_fn *done, void *arg)
{
    struct queue_sqs_op *op = new_op(queue, done, arg);
    op->each = each;
    op->call = sqs_api_receive(queue->api, max, wait_s, visibility_s, on_message, on_received, op);
    return op;
}

/* ---- cancelling ---- */

static void remove_pending(struct queue_sqs_op *op)
{
    struct queue_sqs *queue = op->queue;
    struct queue_sqs_op **at = &queue->pending[op->kind];
    while (*at != op)
        at = &(*at)->next;
    *at = op->next;
    if (!op->next)
        queue->last[op->kind] = at;
}

void queue_sqs_cancel(struct queue_sqs_op *op)
{
    struct batch *b = op->batch;
    if (op->cancelled)
        return;
    op->cancelled = true;
    if (op->call) {
        sqs_api_cancel(op->call);
    } else if (b && --b->waiting == 0) { /* the last: nobody else is waiting for the request */
        sqs_api_cancel(b->call);
    } else {
        if (b)
            b->ops[op->place] = NULL;
        else
            remove_pending(op);
        loop_post(op->queue->loop, &op->task, end_cancelled, op);
    }
}
