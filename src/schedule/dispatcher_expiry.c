/* SPDX-License-Identifier: Apache-2.0
 *
 * dispatcher: asks when the outputs of jobs expire that cannot be begun yet, since a webhook does
 * not say it: LOOK_UP (which jobs) -> describe of each -> EXPIRY (what they said). One batch at a
 * time.
 *
 * The source answers one request after the other, and transfers ask it too: so a batch is what one
 * request of the Platform takes, and after each there is a pause as long as it took. What transfers
 * ask waits for one batch at most, and half of the time for none.
 */
#include <stdlib.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "schedule/dispatcher_private.h"
#include "schedule/verdict.h"

enum { BATCH_MAX = 100, RETRY_MAX_MS = 5 * 60 * 1000 };

struct item {
    struct expiry *x;
    struct source_job job;
    bool asked; /* its describe is under way */
};

struct expiry {
    struct dispatcher *d;
    struct dispatcher_ask ask;
    struct loop_timer timer; /* until the next step; with phase IDLE: the next batch */
    enum { IDLE, LOOKING, DESCRIBING, WRITING } phase;
    bool backlog;
    bool unasked; /* there may be jobs that nobody has asked about */
    bool stopped;
    int64_t began_ms; /* of the batch; clock_mono_ms() */
    unsigned failures;
    struct err err; /* the first of this batch */
    size_t n, open, known;
    struct journal_look_up look_up;
    struct journal_expiry expiry;
    char ids[BATCH_MAX][JOB_ID_MAX + 1];
    int64_t expires_ms[BATCH_MAX];
    struct item items[BATCH_MAX];
};

static void look_up(struct expiry *x);
static void write_down(void *arg);

static void next_batch(void *arg)
{
    look_up(arg);
}

static void wait_ms(struct expiry *x, int64_t ms)
{
    x->phase = IDLE;
    if (x->stopped)
        return;
    loop_timer_start(x->d->config.loop, &x->timer, ms, next_batch, x);
}

/* ---- EXPIRY ---- */

static void on_written(void *arg)
{
    struct expiry *x = arg;
    const struct err *err = &x->expiry.request.err;
    if (err->code == ERR_CONFIG) {
        x->phase = IDLE;
        dispatcher_fail(x->d, err);
    } else if (err->code != ERR_NONE && !x->stopped) {
        loop_timer_start(x->d->config.loop, &x->timer, dispatcher_retry_ms(x->failures++),
                         write_down, x);
    } else if (x->err.code != ERR_NONE) {
        /* When some were answered it is not the Platform that fails. */
        x->failures = x->known ? 0 : x->failures;
        x->unasked = true;
        log_debug("expiry dates of %zu jobs are not known yet: %s", x->n - x->known, x->err.msg);
        wait_ms(x, verdict_backoff_ms(x->d->config.backoff_min_ms, RETRY_MAX_MS, x->failures++,
                                      x->err.retry_after_ms));
    } else {
        x->failures = 0;
        wait_ms(x, clock_mono_ms() - x->began_ms);
    }
}

static void write_down(void *arg)
{
    struct expiry *x = arg;
    x->phase = WRITING;
    x->expiry.n = (unsigned)x->n;
    x->expiry.jobs = (const char(*)[JOB_ID_MAX + 1]) x->ids;
    x->expiry.expires_ms = x->expires_ms;
    dispatcher_ask(x->d, &x->ask, &x->expiry.request, JOURNAL_EXPIRY, on_written, x);
}

/* ---- describe ---- */

/* -1: to be asked again, for it was not the job's fault (or we are to end). Of a job that the
 * source does not know, or of which it makes no sense, nothing will be known. */
static int64_t answer_of(const struct expiry *x, const struct item *item, const struct err *err)
{
    if (!err) /* a date before 1970 is none */
        return item->job.expires_ms > 0 ? item->job.expires_ms : 0;
    return x->stopped || verdict_is_of_setup(err) ? -1 : 0;
}

static void on_described(void *arg, const struct err *err)
{
    struct item *item = arg;
    struct expiry *x = item->x;
    int64_t answer = answer_of(x, item, err);
    x->expires_ms[item - x->items] = answer;
    if (answer >= 0)
        x->known++;
    else if (err && x->err.code == ERR_NONE)
        x->err = *err;
    source_job_release(&item->job);
    item->asked = false;
    if (--x->open == 0)
        write_down(x);
}

/* ---- LOOK_UP ---- */

static void on_looked_up(void *arg)
{
    struct expiry *x = arg;
    const struct err *err = &x->look_up.request.err;
    struct source *source = x->d->config.source;
    if (err->code != ERR_NONE) {
        x->phase = IDLE;
        x->unasked = true;
        if (err->code == ERR_CONFIG)
            dispatcher_fail(x->d, err);
        else
            wait_ms(x, dispatcher_retry_ms(x->failures++));
        return;
    }
    x->n = x->open = x->look_up.n;
    if (x->n == BATCH_MAX)
        x->unasked = true;
    if (x->n == 0) {
        x->phase = IDLE;
        look_up(x); /* some may have come meanwhile */
        return;
    }
    x->phase = DESCRIBING;
    for (size_t i = 0; i < x->n; i++)
        x->items[i] = (struct item){.x = x, .asked = true};
    if (x->stopped) { /* asked for nothing */
        for (size_t i = 0; i < x->n; i++)
            x->expires_ms[i] = -1;
        x->open = 0;
        write_down(x);
        return;
    }
    for (size_t i = 0; i < x->n; i++)
        source->ops->describe(source, x->ids[i], &x->items[i].job, on_described, &x->items[i]);
}

static void look_up(struct expiry *x)
{
    if (x->phase != IDLE || x->timer.armed || x->stopped || !x->backlog || !x->unasked)
        return;
    x->phase = LOOKING;
    x->unasked = false;
    x->began_ms = clock_mono_ms();
    x->err = (struct err){0};
    x->known = 0;
    x->look_up.max = BATCH_MAX;
    x->look_up.jobs = x->ids;
    dispatcher_ask(x->d, &x->ask, &x->look_up.request, JOURNAL_LOOK_UP, on_looked_up, x);
}

/* ---- what dispatcher.c asks for ---- */

struct expiry *expiry_new(struct dispatcher *d)
{
    struct expiry *x = xcalloc(1, sizeof(*x));
    x->d = d;
    x->unasked = true;
    return x;
}

void expiry_free(struct expiry *x)
{
    free(x);
}

void expiry_unasked(struct expiry *x)
{
    x->unasked = true;
    look_up(x);
}

void expiry_backlog(struct expiry *x, bool backlog)
{
    x->backlog = backlog;
    look_up(x);
}

void expiry_stop(struct expiry *x)
{
    struct source *source = x->d->config.source;
    if (x->stopped)
        return;
    x->stopped = true;
    if (x->timer.armed) {
        loop_timer_stop(x->d->config.loop, &x->timer);
        x->phase = IDLE;
    }
    if (x->phase == DESCRIBING)
        for (size_t i = 0; i < x->n; i++)
            if (x->items[i].asked)
                source->ops->describe_cancel(source, &x->items[i].job);
}

bool expiry_busy(const struct expiry *x)
{
    return x->phase != IDLE;
}
