/* SPDX-License-Identifier: Apache-2.0
 *
 * dispatcher: what `egress serve` does with the jobs of its journal: claims them as long as there
 * are free slots, gives each to the engine, and writes down what became of it. Also asks for expiry
 * dates, in batches, once more jobs wait than can be begun, and runs sync now and then.
 *
 *   stored, stored before           -> JOURNAL_DONE
 *   handed over, told to stop       -> JOURNAL_RELEASE
 *   no such job                     -> the first time LATER, after unknown_delay_ms; then NEVER
 *   will never be stored            -> JOURNAL_NEVER (failed, expired, conflict, ...)
 *   anything else, refusals and a
 *   wrong set-up included           -> JOURNAL_LATER: a backoff that grows with the attempts, with
 *                                      jitter; DEAD after attempts_max
 *
 * Where the set-up fails and not the job (nothing can be reached, we are refused, the disk is
 * full), several in a row end the ordinary way: then one job at a time is begun, with growing
 * pauses of up to a minute, until one is stored (breaker.h). Failures of that kind count
 * towards attempts_max only while other jobs are stored: an outage of a day makes no job DEAD.
 *
 * Loop's thread, except dispatcher_wake(). The journal's completions come back by loop_post().
 *
 *     struct dispatcher *d = dispatcher_start(&config);
 *     loop_run(loop);               on_end calls loop_stop(); a signal calls dispatcher_drain()
 *     dispatcher_free(d);
 */
#ifndef EGRESS_SCHEDULE_DISPATCHER_H
#define EGRESS_SCHEDULE_DISPATCHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "queue/journal.h"
#include "transfer/transfer.h"

struct dispatcher;

struct dispatcher_config { /* everything borrowed: outlives the dispatcher */
    struct loop *loop;
    struct engine *engine;
    struct source *source; /* the engine's: for expiry dates and sync */
    struct sink *sink;     /* the engine's: for sync, and to name where things are */
    bool receipts;         /* the engine's; false: to sync, all that finished may be missing */
    struct journal *journal;
    unsigned
        concurrency; /* of the engine; some more are begun ahead, so that lookups go together */
    unsigned attempts_max;                  /* 0: 16 */
    int64_t backoff_min_ms, backoff_max_ms; /* 0: 10 s, 1 h; doubled by each attempt */
    int64_t unknown_delay_ms;               /* 0: 60 s */
    int64_t sync_every_ms; /* 0: never. The first one begins a minute after the start, or after
                              that time if it is less */
    int64_t drain_ms;      /* what is under way may take so long once it is to end */
    /* Once: nothing is under way any more, and the journal has all of it. err: why it could not go
     * on (the journal fails); NULL: it was drained. */
    void (*on_end)(void *arg, const struct err *err);
    void *arg;
};

struct dispatcher *dispatcher_start(const struct dispatcher_config *config);
void dispatcher_free(struct dispatcher *d); /* after on_end; NULL is fine */

/* There may be something to claim: a job was accepted or retried, a pause has ended. A hint: many
 * in a row cost one look; once it drains, none. Any thread, as long as the loop runs. */
void dispatcher_wake(struct dispatcher *d);

/* Runs sync now, whatever sync_every_ms says; false: one is under way, or it is draining. */
bool dispatcher_sync(struct dispatcher *d);

/* Claims no more, and puts back what moves no data yet. What is under way is asked to hand over
 * after half of drain_ms, and to end after all of it. What the journal has still not taken then is
 * left: such a job is tried again after the next start, which finds it stored. */
void dispatcher_drain(struct dispatcher *d);

struct dispatcher_counts { /* since the start */
    uint64_t stored, already, handed_over, failed, later, dead;
    uint64_t bytes;
    uint64_t syncs, syncs_failed, repaired; /* repaired: jobs that sync put into the journal */
    int64_t last_sync_ms, next_sync_ms;     /* Unix time; 0: none */
    double seconds_to_expiry_min;           /* left when stored; the least so far; -1: none yet */
    unsigned running;                       /* begun and not ended */
};
void dispatcher_counts(const struct dispatcher *d, struct dispatcher_counts *counts);

/* What is under way. */
struct dispatcher_running {
    const char *job;
    int64_t started_ms, expires_ms; /* Unix time; 0: not known */
    unsigned attempts;              /* that failed before this one */
    struct transfer_progress progress;
};
void dispatcher_each_running(const struct dispatcher *d,
                             void (*each)(void *arg, const struct dispatcher_running *running),
                             void *arg);

/* What was moved, by time: for a plot. Slots of DISPATCHER_SLOT_S seconds, the latest
 * DISPATCHER_SLOTS of them. */
enum { DISPATCHER_SLOT_S = 10, DISPATCHER_SLOTS = 360 };
struct dispatcher_slot {
    int64_t began_s;         /* Unix time, a multiple of DISPATCHER_SLOT_S */
    uint64_t bytes;          /* that arrived from the source */
    uint32_t stored, failed; /* jobs */
};
/* Oldest first; returns how many. */
size_t dispatcher_throughput(const struct dispatcher *d,
                             struct dispatcher_slot out[DISPATCHER_SLOTS]);

#endif
