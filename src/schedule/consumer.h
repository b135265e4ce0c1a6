/* SPDX-License-Identifier: Apache-2.0
 *
 * consumer: one message of a queue -> a transfer -> what becomes of the message. The same for the
 * Lambda function and for `egress worker`, which differ only in how a finished message is taken
 * out.
 *
 *   stored, stored before          -> CONSUMED
 *   handed over                    -> the job is sent again; CONSUMED once the queue has it
 *   not worth another try          -> CONSUMED (logged as an error: failed, expired, conflict, ...)
 *   no such job                    -> the first time: LATER, after unknown_delay_s; then CONSUMED
 *   no job in it                   -> LATER without a transfer: left to the dead-letter queue
 *   anything worth another try     -> LATER: hidden for a backoff that grows with its receives
 *
 * Loop's thread. Harmless under duplicates: a job that is under way in this process is waited for
 * and not begun twice.
 *
 *     struct consumer *consumer = consumer_new(&config);
 *     consumer_start(consumer, message, on_done, me);
 *     loop_run(loop);
 *     consumer_free(consumer);
 */
#ifndef EGRESS_SCHEDULE_CONSUMER_H
#define EGRESS_SCHEDULE_CONSUMER_H

#include "queue/sqs.h"
#include "transfer/transfer.h"

struct consumer;
struct consumption; /* a message under way */

struct consumer_config { /* everything borrowed: outlives the consumer */
    struct loop *loop;
    struct engine *engine;
    struct queue_sqs *queue; /* NULL: none to hide messages in or to send to (tests, `invoke`) */
    int unknown_delay_s;     /* 0: 60 */
    int backoff_min_s, backoff_max_s; /* 0: 30, 3600; doubled by each receive, with jitter */
};

enum consumer_verdict { CONSUMED, CONSUME_LATER };

struct consumer_result { /* valid during the completion */
    const char *message_id;
    const char *handle;
    enum consumer_verdict verdict;
    const struct transfer_result *transfer; /* NULL: there was none */
    struct err err;  /* why LATER, or why it failed for good; else ERR_NONE */
    int64_t sent_ms; /* of the message */
    int again_s;     /* LATER: when it comes again; 0: when the queue says */
};
typedef void consumer_done_fn(void *arg, const struct consumer_result *result);

struct consumer *consumer_new(const struct consumer_config *config);
void consumer_free(struct consumer *consumer); /* nothing may be under way; NULL is fine */

/* What is needed of the message is copied. One completion, from the loop. */
struct consumption *consumer_start(struct consumer *consumer, const struct sqs_message *message,
                                   consumer_done_fn *done, void *arg);
/* Asks the transfer to hand over soon (transfer_hand_over()). */
void consumer_hand_over(struct consumption *consumption);
/* Asks it to end at once. The message is LATER, at once again. */
void consumer_cancel(struct consumption *consumption);

#endif
