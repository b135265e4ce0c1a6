/* SPDX-License-Identifier: Apache-2.0
 *
 * copy: moves one output from its source into a sink, as a start and exactly one completion.
 *
 * Bounded memory, no temporary file: the output is cut into parts (plan.h) that are sent while the
 * next ones arrive; when no buffer is free the source is paused, and that is all the backpressure
 * there is. Nothing is visible in the sink unless every length and checksum agreed. A download that
 * breaks is gone on with where it stood if the source gives a range of the same output, otherwise
 * begun anew; both a bounded number of times.
 *
 * Loop's thread. STATES (copy_set_state() holds the table):
 *   CLAIM    waits for memory
 *   LOOK     asks the sink what is under the key
 *   GATHER   one buffer fills: a small output, or the first bytes of a larger one
 *   REOPEN   the store is asked for the parts of an upload that another process began
 *   BEGIN    the upload of a large one is begun
 *   RECORD   what another process would need to go on is written down
 *   PARTS    parts are sent while others arrive
 *   DRAIN    all has arrived; the last parts are on their way
 *   PUBLISH  the put of a small one, or the completion of a large one
 *   SETTLE   the key was taken: by whom?
 *   HAND_OVER  waits for the parts under way, then writes down how far it is
 *   ABORT    waits for what is under way, then undoes the upload
 *   DONE
 */
#ifndef EGRESS_TRANSFER_COPY_H
#define EGRESS_TRANSFER_COPY_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "net/loop.h"
#include "transfer/part_pool.h"
#include "transfer/receipt_io.h"
#include "transfer/sink.h"
#include "transfer/source.h"

struct copy;

/* When a run began and when its copies have to have stopped; both of clock_mono_ms(). */
struct copy_deadline {
    int64_t began_ms;
    int64_t stop_ms; /* 0: none */
};

struct copy_request { /* everything borrowed until the completion */
    struct loop *loop;
    struct source *source;
    struct sink *sink;
    struct part_pool *pool;
    const struct source_job *job;
    size_t index; /* of the output */
    const char *key;
    bool force;        /* replace this job's own object */
    bool tried_before; /* see sink.h */
    bool look;         /* ask what is there before anything is fetched */
    /* Parts of a large output that are fetched at a time, each by a request of its own, if the
     * source serves ranges and gives a strong validator, and as far as memory allows. 0: 1. */
    unsigned ranges;
    /* An upload of this very output to go on with, or NULL. */
    const struct receipt_upload *resume;
    /* Writes down how far an upload is: before its first part is sent, and now and then; upload
     * NULL takes it back. etag: of what was written last. As receipt_write() and receipt_remove().
     * NULL: nothing is written. */
    struct receipt_io *(*record)(void *arg, const struct receipt_upload *upload, char etag[128],
                                 sink_done_fn *done, void *done_arg);
    void *record_arg;
    const struct copy_deadline *deadline; /* may change meanwhile */
};

struct copy_result {
    uint64_t size;
    bool has_crc32c;
    uint32_t crc32c;
    char etag[128];     /* of the stored object; "" when the store has none */
    char *content_type; /* borrowed during the completion; or NULL */
    char *validator;    /* the source's; borrowed; or NULL */
    bool already;       /* this job's object was there before */
    bool handed_over;   /* not done: size is what is stored by now, and a later one with the
                           receipt_upload that was recorded goes on */
    uint64_t resumed;   /* bytes that an earlier process had stored */
};

typedef void copy_done_fn(void *arg, const struct copy_result *result, const struct err *err);

struct copy *copy_start(const struct copy_request *request, copy_done_fn *done, void *arg);
/* The completion comes with ERR_CANCELLED once everything is undone, or with the result when it
 * could no longer be stopped. */
void copy_cancel(struct copy *copy);

/* Asks it to stop soon and to leave what is stored for another to go on with. The completion comes
 * with copy_result.handed_over, with the result if that was first, or with an error when it stored
 * no part: ERR_DEADLINE when no run of this length could do it, else one worth another try. */
void copy_hand_over(struct copy *copy);
/* Looks at the deadline; to be called now and then while there is one. */
void copy_tick(struct copy *copy);

/* How far it is: bytes that have arrived (and so are stored or about to be), and of how many (-1:
 * not known). */
void copy_progress(const struct copy *copy, uint64_t *received, int64_t *size);
/* Of what was received: bytes that an earlier run had stored. */
uint64_t copy_resumed(const struct copy *copy);

#endif
