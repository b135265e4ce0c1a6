/* SPDX-License-Identifier: Apache-2.0
 *
 * dispatcher: see dispatcher.h. Here: its life, claims, the end.
 */
#include "schedule/dispatcher.h"

#include <stdlib.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "schedule/dispatcher_private.h"
#include "schedule/verdict.h"

enum {
    ATTEMPTS_MAX = 16,
    BACKOFF_MIN_MS = 10 * 1000,
    BACKOFF_MAX_MS = 3600 * 1000,
    UNKNOWN_DELAY_MS = 60 * 1000,
    PROBE_PAUSE_MAX_MS = 60 * 1000, /* so much later than the other side is back, at most */
    REST_MS = 2,                    /* see dispatcher_wake() */
    DUE_MIN_MS = 10,                /* what the journal said was due is so by then */
    DUE_MAX_MS = 60 * 1000,         /* the wall clock may be set */
};

/* ---- requests ---- */

static void on_answered(void *arg)
{
    struct dispatcher_ask *ask = arg;
    struct dispatcher *d = ask->d;
    d->asked--;
    ask->fn(ask->arg);
    dispatcher_end_if_idle(d);
}

/* On the journal's thread. */
static void on_journal(struct journal_request *request)
{
    struct dispatcher_ask *ask = request->arg;
    loop_post(ask->d->config.loop, &ask->task, on_answered, ask);
}

void dispatcher_ask(struct dispatcher *d, struct dispatcher_ask *ask,
                    struct journal_request *request, enum journal_kind kind, void (*fn)(void *arg),
                    void *arg)
{
    ask->d = d;
    ask->fn = fn;
    ask->arg = arg;
    *request = (struct journal_request){.kind = kind, .done = on_journal, .arg = ask};
    d->asked++;
    journal_submit(d->config.journal, request);
}

int64_t dispatcher_retry_ms(unsigned failed_before)
{
    return verdict_backoff_ms(DISPATCHER_RETRY_MIN_MS, DISPATCHER_RETRY_MAX_MS, failed_before, 0);
}

/* ---- the end ---- */

static void tell_end(void *arg)
{
    const struct dispatcher *d = arg;
    d->config.on_end(d->config.arg, d->err.code == ERR_NONE ? NULL : &d->err);
}

void dispatcher_end_if_idle(struct dispatcher *d)
{
    if (!d->draining || d->ended || d->asked || d->n_jobs || d->sync || expiry_busy(d->expiry))
        return;
    d->ended = true;
    loop_timer_stop(d->config.loop, &d->drain_timer);
    loop_post(d->config.loop, &d->end_task, tell_end, d);
}

static void drain_step(void *arg)
{
    struct dispatcher *d = arg;
    if (d->handed_over) {
        d->gave_up = true;
        dispatcher_jobs_cancel(d);
        return;
    }
    d->handed_over = true;
    dispatcher_jobs_hand_over(d);
    loop_timer_start(d->config.loop, &d->drain_timer, d->config.drain_ms - d->config.drain_ms / 2,
                     drain_step, d);
}

void dispatcher_drain(struct dispatcher *d)
{
    if (d->draining)
        return;
    d->draining = true;
    loop_timer_stop(d->config.loop, &d->due);
    loop_timer_stop(d->config.loop, &d->rest);
    loop_timer_start(d->config.loop, &d->drain_timer, d->config.drain_ms / 2, drain_step, d);
    dispatcher_sync_stop(d);
    expiry_stop(d->expiry);
    dispatcher_jobs_release(d);
    dispatcher_end_if_idle(d);
}

void dispatcher_fail(struct dispatcher *d, const struct err *err)
{
    if (d->err.code == ERR_NONE)
        d->err = *err;
    dispatcher_drain(d);
}

/* ---- claims ---- */

static void on_due(void *arg)
{
    struct dispatcher *d = arg;
    d->look = true;
    dispatcher_claim(d);
}

void dispatcher_claim_in(struct dispatcher *d, int64_t ms)
{
    if (d->draining || (d->due.armed && d->due.due_ms <= clock_mono_ms() + ms))
        return;
    loop_timer_start(d->config.loop, &d->due, ms, on_due, d);
}

static void claim_failed(struct dispatcher *d, const struct err *err)
{
    if (err->code == ERR_CONFIG) {
        dispatcher_fail(d, err);
        return;
    }
    int64_t ms = dispatcher_retry_ms(d->claims_failed);
    if (d->claims_failed++ == 0)
        log_event(LOG_WARN, LOG_FIELDS(LOG_TEXT("error", err_name(err->code))),
                  "no jobs can be taken out of the journal for now, trying again: %s", err->msg);
    d->look = true;
    d->claim_after_ms = clock_mono_ms() + ms;
    dispatcher_claim_in(d, ms);
}

static void on_claimed(void *arg)
{
    struct dispatcher *d = arg;
    const struct journal_claim *c = &d->claim;
    d->claiming = false;
    if (c->request.err.code != ERR_NONE) {
        claim_failed(d, &c->request.err);
        return;
    }
    if (d->claims_failed)
        log_info("jobs can be taken out of the journal again, after %u failed attempts",
                 d->claims_failed);
    d->claims_failed = 0;
    for (unsigned i = 0; i < c->n; i++)
        dispatcher_begin(d, &c->jobs[i]);
    if (c->n == c->max)
        d->look = true;
    if (c->due_ms && !c->paused) {
        int64_t ms = c->due_ms - clock_wall_ms();
        dispatcher_claim_in(d, ms < DUE_MIN_MS ? DUE_MIN_MS : ms > DUE_MAX_MS ? DUE_MAX_MS : ms);
    }
    if (!d->breaker.open) /* else one was asked for, and it says nothing of others */
        expiry_backlog(d->expiry, c->n == c->max || c->paused);
    dispatcher_claim(d);
}

/* As many as there are places, one claim at a time: what becomes free meanwhile goes together into
 * the next one, and so do the requests for details. Places are the engine's slots and
 * DISPATCHER_AHEAD more, whose jobs line up for a slot by their expiry. So order suffers little:
 * each job that ends gives its place to the soonest to expire of the journal, which goes to the
 * head of that line; it is begun one slot later than it would be without the line. (Taking many at
 * a time once half of the places are free would save requests, but would keep an urgent job waiting
 * for all that time.) */
void dispatcher_claim(struct dispatcher *d)
{
    int64_t now_ms = clock_mono_ms(), not_before_ms = breaker_next_ms(&d->breaker);
    if (d->draining || d->claiming || !d->look || d->n_jobs == d->places ||
        not_before_ms == INT64_MAX)
        return;
    if (not_before_ms < d->claim_after_ms)
        not_before_ms = d->claim_after_ms;
    if (now_ms < not_before_ms) {
        dispatcher_claim_in(d, not_before_ms - now_ms);
        return;
    }
    d->claiming = true;
    d->look = false;
    d->claim.max = d->breaker.open ? 1 : d->places - d->n_jobs;
    dispatcher_ask(d, &d->claim_ask, &d->claim.request, JOURNAL_CLAIM, on_claimed, d);
}

static void look(struct dispatcher *d)
{
    d->look = true;
    expiry_unasked(d->expiry);
    dispatcher_claim(d);
}

static void on_rested(void *arg);

static void on_woken(void *arg)
{
    struct dispatcher *d = arg;
    atomic_store(&d->news, false);
    look(d);
    if (!d->draining)
        loop_timer_start(d->config.loop, &d->rest, REST_MS, on_rested, d);
}

/* What came meanwhile has not posted anything; what comes from here on does. What comes in between
 * may do both, which is one look more. */
static void on_rested(void *arg)
{
    struct dispatcher *d = arg;
    atomic_store(&d->woken, false);
    if (atomic_exchange(&d->news, false))
        dispatcher_wake(d);
}

/* Webhooks come in by the thousand a second: after each look the loop is left alone for REST_MS, or
 * it would be woken for every one of them. */
void dispatcher_wake(struct dispatcher *d)
{
    atomic_store(&d->news, true);
    if (!atomic_exchange(&d->woken, true))
        loop_post(d->config.loop, &d->wake_task, on_woken, d);
}

/* ---- life ---- */

static void set_defaults(struct dispatcher_config *config)
{
    if (!config->attempts_max)
        config->attempts_max = ATTEMPTS_MAX;
    if (!config->backoff_min_ms)
        config->backoff_min_ms = BACKOFF_MIN_MS;
    if (!config->backoff_max_ms)
        config->backoff_max_ms = BACKOFF_MAX_MS;
    if (!config->unknown_delay_ms)
        config->unknown_delay_ms = UNKNOWN_DELAY_MS;
}

struct dispatcher *dispatcher_start(const struct dispatcher_config *config)
{
    struct dispatcher *d = xcalloc(1, sizeof(*d));
    d->config = *config;
    set_defaults(&d->config);
    d->places = config->concurrency + DISPATCHER_AHEAD;
    d->claim.jobs = xcalloc(d->places, sizeof(d->claim.jobs[0]));
    int64_t max_ms = d->config.backoff_max_ms;
    d->breaker.pause_min_ms = d->config.backoff_min_ms;
    d->breaker.pause_max_ms = max_ms < PROBE_PAUSE_MAX_MS ? max_ms : PROBE_PAUSE_MAX_MS;
    d->counts.seconds_to_expiry_min = -1;
    d->plot.began_s = clock_wall_ms() / 1000;
    d->expiry = expiry_new(d);
    d->look = true;
    dispatcher_sync_schedule(d);
    dispatcher_claim(d);
    return d;
}

void dispatcher_counts(const struct dispatcher *d, struct dispatcher_counts *counts)
{
    *counts = d->counts;
    counts->running = d->n_jobs;
    if (d->sync_timer.armed)
        counts->next_sync_ms = clock_wall_ms() + d->sync_timer.due_ms - clock_mono_ms();
}

void dispatcher_free(struct dispatcher *d)
{
    if (!d)
        return;
    CHECK(d->ended);
    expiry_free(d->expiry);
    free(d->claim.jobs);
    free(d);
}
