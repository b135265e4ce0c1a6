/* SPDX-License-Identifier: Apache-2.0
 *
 * spread: one small thing done for each of n, so many at a time: extending jobs, sending them to a
 * queue, reading their receipts. Loop's thread.
 *
 *     static void start(void *arg, size_t index, struct spread_slot *slot)
 *     {
 *         source->ops->extend(source, ids[index], 3, &expires[index], spread_done, slot);
 *     }
 *     struct spread_config config = {.n = n, .at_a_time = 16, .start = start, .on_end = on_end};
 *     struct spread *spread = spread_start(loop, &config);
 *     loop_run(loop);            on_end calls loop_stop()
 *     spread_free(spread);
 */
#ifndef EGRESS_SCHEDULE_SPREAD_H
#define EGRESS_SCHEDULE_SPREAD_H

#include <stddef.h>

#include "core/err.h"
#include "net/loop.h"

struct spread;
struct spread_slot;

struct spread_config {
    size_t n;
    unsigned at_a_time; /* at least 1 */
    /* Begins the thing; its completion, which comes from the loop, is spread_done(slot, err). */
    void (*start)(void *arg, size_t index, struct spread_slot *slot);
    void (*on_each)(void *arg, size_t index, const struct err *err); /* err NULL: it worked */
    void (*on_end)(void *arg); /* once, from the loop: nothing is under way any more */
    void *arg;
};

struct spread *spread_start(struct loop *loop, const struct spread_config *config);
/* Begins no more. What is under way is the caller's to cancel. */
void spread_stop(struct spread *spread);
void spread_free(struct spread *spread); /* after on_end; NULL is fine */

/* Of the type that completions have. begun: the slot that start() got. */
void spread_done(void *begun, const struct err *err);

#endif
