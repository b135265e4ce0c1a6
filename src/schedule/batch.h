/* SPDX-License-Identifier: Apache-2.0
 *
 * batch: runs a list of jobs through an engine, with enough of them begun ahead that receipts and
 * details are asked for while others move data. Of a long list the receipts are listed meanwhile
 * (lacking.h). Loop's thread.
 *
 *     struct batch_config config = {.engine = engine, .ids = ids, .n = n, .lookahead = 128,
 *                                   .on_start = on_start, .on_done = on_done, .on_end = on_end};
 *     struct batch *batch = batch_start(loop, &config);
 *     loop_run(loop);            on_end calls loop_stop()
 *     batch_free(batch);
 */
#ifndef EGRESS_SCHEDULE_BATCH_H
#define EGRESS_SCHEDULE_BATCH_H

#include <stddef.h>

#include "transfer/transfer.h"

struct batch;

struct batch_config { /* everything borrowed: outlives the batch */
    struct engine *engine;
    char *const *ids; /* n well-formed job ids, each once */
    size_t n;
    unsigned lookahead; /* jobs begun at a time, at least 1 */
    /* index: of the job in ids. The transfer is there until on_done. */
    void (*on_start)(void *arg, size_t index, const struct transfer *transfer);
    void (*on_done)(void *arg, size_t index, const struct transfer_result *result);
    void (*on_end)(void *arg); /* once, from the loop: nothing is under way any more */
    void *arg;
};

struct batch *batch_start(struct loop *loop, const struct batch_config *config);
/* Begins no more, and asks what is under way to end. on_end comes when it has. */
void batch_cancel(struct batch *batch);
void batch_free(struct batch *batch); /* after on_end; NULL is fine */

#endif
