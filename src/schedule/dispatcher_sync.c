/* SPDX-License-Identifier: Apache-2.0
 *
 * dispatcher: puts what sync finds missing into the journal, now and then, or when asked.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "schedule/dispatcher_private.h"
#include "schedule/spread.h"
#include "schedule/sync.h"

enum {
    FIRST_MS = 60 * 1000,
    ACCEPTS_AT_A_TIME = 500, /* they share commits */
};

struct accepting {
    struct journal_accept accept;
    struct dispatcher_ask ask;
    struct dispatcher *d;
    struct spread_slot *slot;
};

static void log_end(const struct dispatcher *d, const struct sync_counts *c)
{
    int64_t duration_ms = clock_mono_ms() - d->sync_began_ms;
    const struct log_field *fields =
        LOG_FIELDS(LOG_TEXT("error", err_name(d->sync_err.code)), LOG_NUM("listed", c->listed),
                   LOG_NUM("stored", c->stored), LOG_NUM("missing", c->missing),
                   LOG_NUM("repaired", d->sync_new), LOG_NUM("known", d->sync_known),
                   LOG_NUM("duration_ms", duration_ms));
    if (d->sync_err.code != ERR_NONE)
        log_event(LOG_WARN, fields,
                  "sync did not come to its end, %zu jobs put into the journal: "
                  "%s",
                  d->sync_new, d->sync_err.msg);
    else
        log_event(LOG_INFO, fields,
                  "sync: %zu finished jobs, %zu without a receipt: %zu put into the journal, %zu "
                  "were in it",
                  c->listed, c->missing, d->sync_new, d->sync_known);
}

static void end_sync(struct dispatcher *d)
{
    struct sync_counts counts;
    sync_counts(d->sync, &counts);
    bool stopped = d->draining && d->sync_err.code == ERR_CANCELLED;
    if (!stopped)
        log_end(d, &counts);
    d->counts.syncs += d->sync_err.code == ERR_NONE;
    d->counts.syncs_failed += d->sync_err.code != ERR_NONE && !stopped;
    if (!stopped)
        d->counts.last_sync_ms = clock_wall_ms();
    sync_free(d->sync);
    spread_free(d->accept);
    d->sync = NULL;
    d->accept = NULL;
    dispatcher_sync_schedule(d);
    dispatcher_end_if_idle(d);
}

/* ---- into the journal ---- */

static void on_accepted(void *arg)
{
    struct accepting *a = arg;
    struct dispatcher *d = a->d;
    struct spread_slot *slot = a->slot;
    struct err err = a->accept.request.err;
    if (err.code == ERR_NONE) {
        bool taken = a->accept.accepted == JOURNAL_NEW || a->accept.accepted == JOURNAL_AGAIN;
        d->counts.repaired += taken;
        d->sync_new += taken;
        d->sync_known += !taken;
        if (taken) {
            d->look = true;
            if (a->accept.expires_ms == 0)
                expiry_unasked(d->expiry);
        }
    }
    free(a);
    spread_done(slot, err.code == ERR_NONE ? NULL : &err);
    dispatcher_claim(d);
}

static void accept_one(void *arg, size_t index, struct spread_slot *slot)
{
    struct dispatcher *d = arg;
    size_t n;
    const struct sync_job *job = &sync_missing(d->sync, &n)[index];
    struct accepting *a = xcalloc(1, sizeof(*a));
    a->d = d;
    a->slot = slot;
    a->accept.origin = JOURNAL_BY_SYNC;
    a->accept.expires_ms = job->expires_ms;
    a->accept.unstored_ms = d->config.receipts ? d->sync_wall_ms : 0;
    snprintf(a->accept.job, sizeof(a->accept.job), "%s", job->id);
    dispatcher_ask(d, &a->ask, &a->accept.request, JOURNAL_ACCEPT, on_accepted, a);
}

/* A journal that takes no more ends it; the next sync finds the rest. */
static void on_each(void *arg, size_t index, const struct err *err)
{
    struct dispatcher *d = arg;
    (void)index;
    if (!err || d->sync_err.code != ERR_NONE)
        return;
    d->sync_err = *err;
    spread_stop(d->accept);
    if (err->code == ERR_CONFIG)
        dispatcher_fail(d, err);
}

static void on_all_accepted(void *arg)
{
    end_sync(arg);
}

/* ---- what is missing ---- */

static void on_found(void *arg, const struct err *err)
{
    struct dispatcher *d = arg;
    size_t n;
    (void)sync_missing(d->sync, &n);
    if (err)
        d->sync_err = *err;
    else if (d->draining) /* it was told to end too late */
        err_set(&d->sync_err, ERR_CANCELLED, "cancelled");
    if (err || d->draining || n == 0) {
        end_sync(d);
        return;
    }
    struct spread_config config = {
        .n = n,
        .at_a_time = ACCEPTS_AT_A_TIME,
        .start = accept_one,
        .on_each = on_each,
        .on_end = on_all_accepted,
        .arg = d,
    };
    d->accept = spread_start(d->config.loop, &config);
}

bool dispatcher_sync(struct dispatcher *d)
{
    if (d->sync || d->draining)
        return false;
    loop_timer_stop(d->config.loop, &d->sync_timer);
    d->sync_began_ms = clock_mono_ms();
    d->sync_wall_ms = clock_wall_ms();
    d->sync_new = d->sync_known = 0;
    d->sync_err = (struct err){0};
    struct sync_config config = {
        .source = d->config.source,
        .sink = d->config.receipts ? d->config.sink : NULL,
        .on_end = on_found,
        .arg = d,
    };
    d->sync = sync_start(d->config.loop, &config);
    return true;
}

static void on_timer(void *arg)
{
    (void)dispatcher_sync(arg);
}

void dispatcher_sync_schedule(struct dispatcher *d)
{
    int64_t ms = d->config.sync_every_ms;
    if (ms == 0 || d->draining)
        return;
    bool first = d->counts.last_sync_ms == 0;
    loop_timer_start(d->config.loop, &d->sync_timer, first && ms > FIRST_MS ? FIRST_MS : ms,
                     on_timer, d);
}

void dispatcher_sync_stop(struct dispatcher *d)
{
    loop_timer_stop(d->config.loop, &d->sync_timer);
    if (!d->sync)
        return;
    if (d->accept) {
        if (d->sync_err.code == ERR_NONE)
            err_set(&d->sync_err, ERR_CANCELLED, "cancelled");
        spread_stop(d->accept);
    } else {
        sync_cancel(d->sync);
    }
}
