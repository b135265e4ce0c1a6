/* SPDX-License-Identifier: Apache-2.0
 *
 * scheduled: what finished, is not stored and not under way goes into the queue, soonest to expire
 * first. Nothing is transferred here.
 */
#include <stdlib.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "lambda/lambda_private.h"
#include "schedule/spread.h"
#include "schedule/sync.h"

enum { AT_A_TIME = 100 }; /* jobs on their way into the queue: ten requests */

struct missing {
    struct lambda *l;
    struct sync *sync;
    struct spread *spread;
    const struct sync_job *jobs; /* the sync's */
    size_t n, queued;
    bool refreshed, late;
    struct loop_timer timer; /* at the deadline */
    struct err err;          /* the first */
};

static void begin(struct missing *m);

static void end(struct missing *m)
{
    struct lambda *l = m->l;
    struct sync_counts counts = {0};
    struct err err = m->err;
    struct buf text = BUF_INIT(1024);
    size_t queued = m->queued;
    loop_timer_stop(l->assembly.loop, &m->timer);
    if (m->sync)
        sync_counts(m->sync, &counts);
    spread_free(m->spread);
    sync_free(m->sync);
    free(m);
    l->missing = NULL;
    l->emf.count[EMF_REPAIRED] += queued;
    buf_printf(&text,
               "{\"status\":\"synced\",\"listed\":%zu,\"stored\":%zu,\"missing\":%zu,"
               "\"under_way\":%zu,\"queued\":%zu}",
               counts.listed, counts.stored, counts.missing, counts.under_way, queued);
    if (err.code == ERR_NONE) {
        log_event(
            LOG_INFO,
            LOG_FIELDS(LOG_TEXT("event", lambda_event_kind_name(l->event.kind)),
                       LOG_TEXT("outcome", "synced"), LOG_NUM("listed", counts.listed),
                       LOG_NUM("stored", counts.stored), LOG_NUM("missing", counts.missing),
                       LOG_NUM("under_way", counts.under_way), LOG_NUM("queued", queued),
                       LOG_NUM("duration_ms", clock_mono_ms() - l->began_ms)),
            "%zu finished jobs, %zu of them not stored (%zu under way); %zu put into the queue",
            counts.listed, counts.missing, counts.under_way, queued);
        lambda_respond(l, buf_str(&text));
    } else {
        if (counts.missing)
            err_prefix(&err, "%zu of %zu jobs that are not stored were put into the queue", queued,
                       counts.missing);
        lambda_tell(l, NULL, "failed", &err);
        lambda_fail(l, &err);
    }
    buf_release(&text);
}

/* ---- into the queue ---- */

static void send_one(void *arg, size_t index, struct spread_slot *slot)
{
    const struct missing *m = arg;
    queue_sqs_send(m->l->assembly.queue, m->jobs[index].id, 0, spread_done, slot);
}

static void on_sent_one(void *arg, size_t index, const struct err *err)
{
    struct missing *m = arg;
    (void)index;
    if (!err) {
        m->queued++;
        return;
    }
    if (m->err.code == ERR_NONE)
        m->err = *err;
    spread_stop(m->spread); /* the next schedule finds them again */
}

static void on_sent(void *arg)
{
    struct missing *m = arg;
    if (m->late && m->queued < m->n && m->err.code == ERR_NONE)
        log_warn("the time was up after %zu of %zu jobs; the next schedule finds the others",
                 m->queued, m->n);
    end(m);
}

/* ---- finding them ---- */

static void on_refreshed(struct lambda *l, bool changed)
{
    struct missing *m = l->missing;
    if (!changed) {
        end(m);
        return;
    }
    sync_free(m->sync);
    m->sync = NULL;
    m->err = (struct err){0};
    begin(m);
}

static void on_found(void *arg, const struct err *err)
{
    struct missing *m = arg;
    struct lambda *l = m->l;
    if (err) {
        m->err = *err;
        if (m->late)
            err_set(&m->err, ERR_TIMEOUT, "the time was up before all finished jobs were listed");
        if (!m->refreshed && lambda_token_refused(&m->err)) {
            m->refreshed = true;
            lambda_refresh_token(l, on_refreshed);
        } else {
            end(m);
        }
        return;
    }
    struct sync_counts counts;
    sync_counts(m->sync, &counts);
    m->jobs = sync_missing(m->sync, &m->n);
    m->n -= counts.under_way; /* the last ones */
    const struct spread_config config = {.n = m->n,
                                         .at_a_time = AT_A_TIME,
                                         .start = send_one,
                                         .on_each = on_sent_one,
                                         .on_end = on_sent,
                                         .arg = m};
    m->spread = spread_start(l->assembly.loop, &config);
}

static void on_ready(struct lambda *l, const struct err *err)
{
    struct missing *m = l->missing;
    if (err) {
        m->err = *err;
        end(m);
        return;
    }
    const struct sync_config config = {
        .source = l->assembly.source,
        .sink = settings_on(&l->settings, SET_RECEIPTS) ? l->assembly.sink : NULL,
        .tell_under_way = true,
        .on_end = on_found,
        .arg = m};
    m->sync = sync_start(l->assembly.loop, &config);
}

static void begin(struct missing *m)
{
    lambda_assemble(m->l, ASSEMBLE_SOURCE | ASSEMBLE_SINK | ASSEMBLE_QUEUE, on_ready);
}

static void time_is_up(void *arg)
{
    struct missing *m = arg;
    m->late = true;
    if (m->spread)
        spread_stop(m->spread);
    else if (m->sync)
        sync_cancel(m->sync);
}

void lambda_find_missing(struct lambda *l)
{
    struct err err = {0};
    if (!settings_text(&l->settings, SET_QUEUE)) {
        err_set(&err, ERR_CONFIG,
                "EGRESS_QUEUE is not set; expected the URL of the SQS queue that "
                "jobs are to go to");
        lambda_tell(l, NULL, "failed", &err);
        lambda_fail(l, &err);
        return;
    }
    struct missing *m = xcalloc(1, sizeof(*m));
    m->l = l;
    l->missing = m;
    if (l->deadline_ms)
        loop_timer_start(l->assembly.loop, &m->timer, l->deadline_ms - clock_mono_ms(), time_is_up,
                         m);
    begin(m);
}
