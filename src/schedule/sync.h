/* SPDX-License-Identifier: Apache-2.0
 *
 * sync: what finished and is not stored. The source's finished, unexpired jobs, less those that
 * have a receipt; soonest to expire first (those of unknown expiry last). Finds only: who calls it
 * transfers them (schedule/batch) or puts them into a queue.
 *
 * The source is listed first, so that only the jobs that count are held (some 80 bytes each,
 * SYNC_JOBS_MAX of them; 8 bytes for each of the others) however many receipts there are, and a job
 * that is stored meanwhile is not missing. The receipts are listed, not read: one request a
 * thousand. One beside which a marker lies (receipt.h) may be of an upload that was never finished;
 * only those are read: some of these jobs may be under way just now. Loop's thread.
 *
 *     struct sync_config config = {.source = source, .sink = sink, .on_end = on_end, .arg = me};
 *     struct sync *sync = sync_start(loop, &config);
 *     loop_run(loop);                   on_end calls loop_stop()
 *     use(sync_missing(sync, &n));
 *     sync_free(sync);
 */
#ifndef EGRESS_SCHEDULE_SYNC_H
#define EGRESS_SCHEDULE_SYNC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/loop.h"
#include "transfer/sink.h"
#include "transfer/source.h"

struct sync;

struct sync_config { /* borrowed: outlives the sync */
    struct source *source;
    struct sink *sink;   /* NULL: no receipts are kept, and all that finished may be missing */
    int64_t since_ms;    /* jobs that completed before are left out; 0: none are */
    bool tell_under_way; /* tell those apart that somebody seems to be at: see struct sync_job */
    /* Once, when nothing is under way any more; err: it is not known what is missing. */
    void (*on_end)(void *arg, const struct err *err);
    void *arg;
};

enum {
    SYNC_JOBS_MAX = 1000000, /* more that count: ERR_TOO_LARGE */
    SYNC_UNDER_WAY_MS = 15 * 60 * 1000,
};

struct sync_counts {
    size_t listed; /* finished jobs that the source told of; so far, before on_end */
    size_t stored; /* of them: with a receipt */
    size_t expired, failed, older; /* left out */
    size_t missing;
    size_t under_way; /* of these */
};

struct sync_job {
    const char *id;
    int64_t expires_ms, completed_ms; /* Unix time; 0: not known */
    bool under_way; /* some of it was stored within SYNC_UNDER_WAY_MS: as a run of Lambda takes */
};

struct sync *sync_start(struct loop *loop, const struct sync_config *config);
void sync_cancel(struct sync *sync);
/* Soonest to expire first, those under way behind all others; until sync_free(). After on_end. */
const struct sync_job *sync_missing(const struct sync *sync, size_t *n);
void sync_counts(const struct sync *sync, struct sync_counts *counts);
void sync_free(struct sync *sync); /* after on_end; NULL is fine */

#endif
