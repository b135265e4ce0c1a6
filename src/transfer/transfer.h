/* SPDX-License-Identifier: Apache-2.0
 *
 * transfer: takes one job from its id to its stored outputs and its receipt.
 *
 * The way: the receipt (a job already stored costs this one request, unless the caller knows that
 * there is none) -> the source's details ->
 * a free slot -> each output copied (copy.h) -> the receipt written. The engine holds what all
 * transfers of one loop share: source, sink, memory, slots. Details are asked for before a slot is
 * taken, so that many jobs started at once are asked about together.
 *
 * Loop's thread.
 *
 *     struct engine *engine = engine_new(&config);
 *     transfer_start(engine, "016f6063-51a1-4948-a827-ce4c31ec53ed", on_done, me);
 *     loop_run(loop);
 *     engine_free(engine);
 */
#ifndef EGRESS_TRANSFER_TRANSFER_H
#define EGRESS_TRANSFER_TRANSFER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "net/loop.h"
#include "transfer/receipt.h"
#include "transfer/sink.h"
#include "transfer/source.h"

struct engine;
struct transfer;

struct engine_config { /* all borrowed: outlive the engine */
    struct loop *loop;
    struct source *source;
    struct sink *sink;
    const char *key_template; /* checked (key.h) */
    const char *program;      /* for receipts: "egress 0.1.0" */
    uint64_t memory;          /* bytes for data on its way */
    unsigned concurrency;     /* transfers that move data at a time */
    unsigned ranges;          /* parts of one output fetched at a time; see copy.h */
    bool receipts;
    bool force; /* store again what is stored already */
};

struct engine *engine_new(const struct engine_config *config);
const struct engine_config *engine_configured(const struct engine *engine);
void engine_free(struct engine *engine); /* no transfer may be under way; NULL is fine */

enum transfer_outcome {
    TRANSFER_STORED,
    TRANSFER_ALREADY,     /* was stored before */
    TRANSFER_FAILED,      /* err says why, and err_is_retryable() whether it is worth another try */
    TRANSFER_HANDED_OVER, /* more of it is stored than before, and another transfer of the same job,
                             in whatever process, goes on from there */
};

struct transfer_result { /* valid during the completion */
    const char *job;
    enum transfer_outcome outcome;
    struct err err;                /* of TRANSFER_FAILED */
    const struct receipt *receipt; /* what is stored where; NULL when it failed */
    int64_t expires_ms;            /* of the output, Unix time; 0: not known (not asked) */
    int64_t completed_ms;          /* of the job, Unix time; 0: not known */
    uint64_t bytes;                /* stored by this transfer, with what it took over: */
    uint64_t resumed;              /* bytes that an earlier run had stored */
    int64_t duration_ms;           /* since the slot was taken */
};

typedef void transfer_done_fn(void *arg, const struct transfer_result *result);

/* The id must be well-formed (source.h). One completion, from the loop. */
struct transfer *transfer_start(struct engine *engine, const char *job_id, transfer_done_fn *done,
                                void *arg);
/* Right after the start: the job was tried before, by a process that may have died at it. What that
 * may have left in the store without a trace is looked for (an upload that was begun, and not yet
 * written down); it costs a request with each large output. */
void transfer_tried_before(struct transfer *transfer);
/* Right after the start: the job had no receipt when the caller looked, seconds ago at most, so
 * that none is asked for. Who stores it meanwhile is met at the destination. */
void transfer_has_no_receipt(struct transfer *transfer);
/* Undoes what is unfinished, then completes with ERR_CANCELLED (or its result, if that was first).
 */
void transfer_cancel(struct transfer *transfer);
/* Asks it to stop soon and to leave what it has stored for another to go on with: it completes as
 * TRANSFER_HANDED_OVER once that is written down; with its result, if that comes first; else, where
 * there is nothing to go on with (nothing stored by this one, no receipts, a source without
 * ranges), as TRANSFER_FAILED with ERR_DEADLINE or ERR_CANCELLED. Not worth another try only when
 * no run of the same length could do it. */
void transfer_hand_over(struct transfer *transfer);

/* The moment (clock_mono_ms(); 0: none) by which every transfer of the engine has completed: those
 * that cannot are handed over early enough before it. For those under way, too. */
void engine_set_deadline(struct engine *engine, int64_t mono_ms);

struct transfer_progress {
    const char *job;
    bool moving;       /* holds a slot */
    uint64_t received; /* bytes, with those that an earlier run had stored: */
    uint64_t resumed;
    int64_t size; /* of the output, or -1 */
};
void transfer_progress(const struct transfer *transfer, struct transfer_progress *progress);

#endif
