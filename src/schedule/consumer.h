/* SPDX-License-Identifier: Apache-2.0
 *
 * consumer: one message of a queue -> a transfer -> what becomes of the message. The same for the
 * Lambda function and for `egress worker`, which differ only in how a finished message is taken
 * out.
 *
 *   stored, stored before          -> CONSUMED
 *   handed over                    -> the job is sent again; CONSUMED once the queue has it
 *   will never be stored           -> CONSUMED (failed, expired, conflict, ...)
 *   no such job                    -> the first time: LATER, after unknown_delay_s; then CONSUMED
 *   no job in it                   -> LATER without a transfer: left to the dead-letter queue
 *   we were told to stop it        -> LATER: at once again
 *   anything else, refusals and
 *   a wrong set-up included        -> LATER: hidden for a backoff that grows with its receives;
 *                                     too large or too slow for these settings, too
 *
 * Loop's thread. Harmless under duplicates: a job that is under way in this process is waited for
 * and not begun twice; the messages that wait share its verdict.
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
    /* What messages were hidden for when they came: as long as they are under way they are hidden
     * anew. 0: that is long enough for any of them (as it is for Lambda). */
    int visibility_s;
    /* Not longer than this after it came a message is asked to hand over. 0: 11 h 45 min, as SQS
     * hides none for more than 12 h. */
    int held_max_s;
};

enum consumer_verdict { CONSUMED, CONSUME_LATER };

struct consumer_result { /* valid during the completion */
    const char *message_id;
    const char *handle;
    const char *job; /* "": there is none in it */
    unsigned receives;
    enum consumer_verdict verdict;
    const struct transfer_result *transfer; /* NULL: there was none; its receipt is NULL */
    struct err err;  /* why LATER, or why it failed for good; else ERR_NONE */
    int64_t sent_ms; /* of the message */
    int again_s;     /* LATER: in how long it comes again; -1: when the queue says */
};
typedef void consumer_done_fn(void *arg, const struct consumer_result *result);

struct consumer *consumer_new(const struct consumer_config *config);
void consumer_free(struct consumer *consumer); /* nothing may be under way; NULL is fine */

/* What is needed of the message is copied. One completion, from the loop. */
struct consumption *consumer_start(struct consumer *consumer, const struct sqs_message *message,
                                   consumer_done_fn *done, void *arg);
/* Asks the transfer to hand over soon (transfer_hand_over()). If it has nothing to go on with, the
 * message is LATER, at once again. */
void consumer_hand_over(struct consumption *consumption);
/* Asks it to end at once. The message is LATER, at once again. */
void consumer_cancel(struct consumption *consumption);

#endif
