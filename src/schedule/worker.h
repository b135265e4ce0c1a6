/* SPDX-License-Identifier: Apache-2.0
 *
 * worker: takes messages out of a queue for as long as there are free slots, gives each to the
 * consumer, removes what is consumed, and logs one line for each. Loop's thread.
 *
 * A queue that cannot be reached is asked again and again, less and less often.
 *
 *     struct worker *worker = worker_start(&config);
 *     loop_run(loop);                 on_end calls loop_stop(); a signal calls worker_drain()
 *     worker_free(worker);
 */
#ifndef EGRESS_SCHEDULE_WORKER_H
#define EGRESS_SCHEDULE_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "queue/sqs.h"
#include "schedule/consumer.h"

struct worker;

struct worker_config { /* everything borrowed: outlives the worker */
    struct loop *loop;
    struct queue_sqs *queue;
    struct consumer *consumer; /* with the same visibility_s */
    unsigned concurrency;      /* messages at a time, at least 1 */
    int wait_s;                /* of each long poll */
    int visibility_s;
    bool until_empty; /* end when there is nothing left to take, and nothing under way */
    int64_t drain_ms; /* what is under way may take so long once it is to end */
    /* Once: nothing is under way any more. err: why it could not go on; NULL: it was drained, or
     * there was nothing left. */
    void (*on_end)(void *arg, const struct err *err);
    void *arg;
};

struct worker_counts {
    size_t messages; /* that came to an end */
    size_t stored, already, handed_over;
    size_t failed; /* for good */
    size_t later;  /* left to the queue */
    uint64_t bytes;
};

struct worker *worker_start(const struct worker_config *config);
/* Takes no more. What is under way is asked to hand over after half of drain_ms, and to end after
 * all of it. */
void worker_drain(struct worker *worker);
void worker_counts(const struct worker *worker, struct worker_counts *counts);
void worker_free(struct worker *worker); /* after on_end; NULL is fine */

#endif
