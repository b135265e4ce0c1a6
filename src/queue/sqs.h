/* SPDX-License-Identifier: Apache-2.0
 *
 * sqs: jobs in an SQS queue. What a message says (a job id and nothing else: all state is in the
 * receipt) and what is done with one; the calls themselves are aws/sqs_api.
 *
 * Every operation is a start and exactly one completion, which comes from the loop and never from
 * inside the start; the handle is for queue_sqs_cancel() until then. Loop's thread. Delivery is at
 * least once and in no order. Limits: SQS developer guide, "Quotas".
 *
 *     struct queue_sqs *queue = queue_sqs_new(loop, &config, &err);
 *     queue_sqs_send(queue, "016f6063-51a1-4948-a827-ce4c31ec53ed", 0, on_sent, me);
 *     queue_sqs_receive(queue, 10, 20, 900, on_message, on_received, me);
 *     loop_run(loop);
 *     queue_sqs_free(queue);
 */
#ifndef EGRESS_QUEUE_SQS_H
#define EGRESS_QUEUE_SQS_H

#include <stddef.h>
#include <stdint.h>

#include "aws/sqs_api.h" /* struct sqs_message */
#include "core/buf.h"
#include "core/err.h"
#include "core/job_id.h"
#include "net/loop.h"

struct queue_sqs;
struct queue_sqs_op;

typedef void queue_sqs_done_fn(void *arg, const struct err *err); /* err NULL: it worked */

struct queue_sqs_config {
    const char *url; /* "https://sqs.REGION.amazonaws.com/ACCOUNT/NAME", or http of a test server */
    const char *region;              /* when the URL names none; NULL: us-east-1 */
    const char *endpoint_url;        /* NULL: where the URL leads */
    struct credentials *credentials; /* borrowed: outlives the queue */
};

/* NULL (ERR_USAGE): the URL is none of a queue. */
struct queue_sqs *queue_sqs_new(struct loop *loop, const struct queue_sqs_config *config,
                                struct err *err);
void queue_sqs_free(struct queue_sqs *queue); /* nothing may be under way; NULL is fine */

/* "{"id":"JOB"}" <-> the job. The body of a webhook will do as well. -1 (ERR_INPUT,
 * ERR_TOO_LARGE): names what was wrong. Pure. */
void queue_sqs_format(const char *job_id, struct buf *out);
int queue_sqs_parse(const void *body, size_t len, char job[JOB_ID_MAX + 1],
                    struct err *err) MUST_CHECK;

/* Puts a job into the queue, to be seen after delay_s (0 to 900). What is sent, deleted or hidden
 * in one turn of the loop goes together (10 a request); each completes when SQS has it, or with
 * what SQS said of it (sqs_api.h). */
struct queue_sqs_op *queue_sqs_send(struct queue_sqs *queue, const char *job_id, int delay_s,
                                    queue_sqs_done_fn *done, void *arg);

/* Waits up to wait_s (0 to 20) for up to max (1 to 10) messages, and hides them for visibility_s.
 * each() gets every one, borrowed for the call. One attempt: when to try again is the caller's. */
typedef void queue_sqs_message_fn(void *arg, const struct sqs_message *message);
struct queue_sqs_op *queue_sqs_receive(struct queue_sqs *queue, int max, int wait_s,
                                       int visibility_s, queue_sqs_message_fn *each,
                                       queue_sqs_done_fn *done, void *arg);

/* The message is done with. One that is gone is no error. handle: copied. */
struct queue_sqs_op *queue_sqs_delete(struct queue_sqs *queue, const char *handle,
                                      queue_sqs_done_fn *done, void *arg);
/* It comes again in visibility_s (0 to 43200) from now. ERR_NOT_FOUND: it is another's by now. */
struct queue_sqs_op *queue_sqs_hide(struct queue_sqs *queue, const char *handle, int visibility_s,
                                    queue_sqs_done_fn *done, void *arg);

/* Its completion comes soon, with ERR_CANCELLED or its result; it may be done all the same. */
void queue_sqs_cancel(struct queue_sqs_op *op);

#endif
