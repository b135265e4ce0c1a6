/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the dispatcher share: dispatcher.c (life, claims, the end), dispatcher_job.c
 * (a job from its claim to its settled end), dispatcher_expiry.c, dispatcher_sync.c,
 * dispatcher_plot.c. All on the loop's thread, except dispatcher_wake().
 */
#ifndef EGRESS_SCHEDULE_DISPATCHER_PRIVATE_H
#define EGRESS_SCHEDULE_DISPATCHER_PRIVATE_H

#include <stdatomic.h>

#include "net/loop.h"
#include "schedule/breaker.h"
#include "schedule/dispatcher.h"

enum {
    /* Jobs begun beyond those that move data: enough that no slot waits for a receipt or for
     * details, which take a request each (or share one). See claim() for what it does to the
     * order. */
    DISPATCHER_AHEAD = 100,
    DISPATCHER_RETRY_MIN_MS = 1000, /* of what the journal refuses */
    DISPATCHER_RETRY_MAX_MS = 60 * 1000,
};

/* A request under way in the journal. Lies in the same struct as the request. */
struct dispatcher_ask {
    struct dispatcher *d;
    struct loop_task task;
    void (*fn)(void *arg);
    void *arg;
};

struct dispatcher_job;
struct expiry;

struct dispatcher_plot {
    struct dispatcher_slot slots[DISPATCHER_SLOTS]; /* by number of the slot, modulo */
    int64_t began_s;
};

struct dispatcher {
    struct dispatcher_config config;
    unsigned asked; /* requests under way in the journal */
    unsigned places;

    struct dispatcher_job *jobs; /* begun and not ended; oldest first */
    unsigned n_jobs;
    struct loop_timer tick; /* while there are jobs: what has arrived */
    struct breaker breaker;
    int64_t opened_ms; /* clock_mono_ms(): the breaker */
    bool settles_fail; /* told once */

    /* claims */
    struct journal_claim claim;
    struct dispatcher_ask claim_ask;
    bool claiming;
    bool look; /* there may be something to claim */
    unsigned claims_failed;
    int64_t claim_after_ms; /* clock_mono_ms(): not before */
    struct loop_timer due;
    atomic_bool news;  /* dispatcher_wake() was called since the last look */
    atomic_bool woken; /* the look is on its way, or the loop rests from one */
    struct loop_task wake_task;
    struct loop_timer rest;

    struct expiry *expiry; /* owned */

    /* sync */
    struct sync *sync;     /* NULL: none is under way */
    struct spread *accept; /* what it found, on its way into the journal */
    int64_t sync_began_ms; /* clock_mono_ms() */
    int64_t sync_wall_ms;  /* the same, Unix time */
    size_t sync_new, sync_known;
    struct err sync_err;
    struct loop_timer sync_timer;

    /* the end */
    bool draining, handed_over, gave_up, ended;
    struct err err; /* what to end with */
    struct loop_timer drain_timer;
    struct loop_task end_task;

    struct dispatcher_counts counts;
    struct dispatcher_plot plot;
};

/* ---- dispatcher.c ---- */

/* Sends a request to the journal; fn(arg) comes from the loop when it is done. */
void dispatcher_ask(struct dispatcher *d, struct dispatcher_ask *ask,
                    struct journal_request *request, enum journal_kind kind, void (*fn)(void *arg),
                    void *arg);
/* Claims if there may be something to claim, and room for it. */
void dispatcher_claim(struct dispatcher *d);
/* There will be something to claim in so long. */
void dispatcher_claim_in(struct dispatcher *d, int64_t ms);
/* The journal cannot go on: drains, and ends with this. The first one counts. */
void dispatcher_fail(struct dispatcher *d, const struct err *err);
void dispatcher_end_if_idle(struct dispatcher *d);
/* Until a request that the journal refused is sent again. */
int64_t dispatcher_retry_ms(unsigned failed_before);

/* ---- dispatcher_job.c ---- */

void dispatcher_begin(struct dispatcher *d, const struct journal_job *claimed);
/* Asks those that move nothing yet to end. */
void dispatcher_jobs_release(struct dispatcher *d);
void dispatcher_jobs_hand_over(struct dispatcher *d);
/* Asks all to end, and leaves what the journal refuses. */
void dispatcher_jobs_cancel(struct dispatcher *d);

/* ---- dispatcher_expiry.c ---- */

struct expiry *expiry_new(struct dispatcher *d);
void expiry_free(struct expiry *x);
/* Jobs were accepted whose expiry may not be known. */
void expiry_unasked(struct expiry *x);
/* Whether more jobs wait than could be begun. */
void expiry_backlog(struct expiry *x, bool backlog);
void expiry_stop(struct expiry *x);
bool expiry_busy(const struct expiry *x);

/* ---- dispatcher_sync.c ---- */

void dispatcher_sync_schedule(struct dispatcher *d);
void dispatcher_sync_stop(struct dispatcher *d);

/* ---- dispatcher_plot.c ---- */

void plot_add(struct dispatcher_plot *plot, uint64_t bytes, uint32_t stored, uint32_t failed);

#endif
