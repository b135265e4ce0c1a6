/* SPDX-License-Identifier: Apache-2.0
 *
 * dispatcher: a job from its claim to the moment the journal has written down what became of it.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/text.h"
#include "schedule/dispatcher_private.h"
#include "schedule/verdict.h"

enum {
    TICK_MS = 1000,
    /* A probe's job waits for so many pauses: others come to be the probe before it does again, in
     * case it is the only one that fails. */
    PROBE_TURNS = 4,
    /* A large output may take hours. Of a probe that has brought so many bytes some are stored: it
     * is more than the default --memory holds. */
    PROBE_ENOUGH = 64 * 1024 * 1024,
};

struct dispatcher_job {
    struct journal_settle settle;
    struct dispatcher_ask ask;
    struct dispatcher *d;
    struct dispatcher_job *next;
    char id[JOB_ID_MAX + 1];
    unsigned attempts;         /* that failed before */
    int64_t expires_ms;        /* as the journal knows it */
    int64_t started_ms;        /* Unix time */
    int64_t began_ms;          /* clock_mono_ms() */
    struct transfer *transfer; /* NULL: it has ended, or was not begun */
    bool probe;                /* breaker.h */
    bool stopped;              /* was asked to end or to hand over */
    struct transfer_result result;
    char *objects;           /* owned; for the journal */
    unsigned settles_failed; /* in a row */
    struct loop_timer again; /* until it is settled again */
    uint64_t received;       /* of the output under way, when last looked at */
    uint64_t plotted;        /* bytes, of all outputs */
};

static void settle(struct dispatcher_job *j);

/* What the other side asked for, within what we would do by ourselves. */
static int retry_after_ms(const struct dispatcher *d, const struct err *err)
{
    int64_t max_ms = d->config.backoff_max_ms;
    return err->retry_after_ms > max_ms ? (int)max_ms : err->retry_after_ms;
}

/* ---- the breaker ---- */

static void note_end(struct dispatcher_job *j, enum breaker_reason why)
{
    const struct err *err = &j->result.err;
    struct dispatcher *d = j->d;
    int64_t now_ms = clock_mono_ms();
    unsigned probes = d->breaker.probes;
    bool probe = j->probe;
    j->probe = false;
    switch (breaker_end(&d->breaker, why, probe, retry_after_ms(d, err), now_ms)) {
    case BREAKER_OPENED:
        d->opened_ms = now_ms;
        log_event(LOG_WARN, LOG_FIELDS(LOG_TEXT("error", err_name(err->code))),
                  "%d jobs in a row have failed for no fault of theirs, so one at a time is tried "
                  "until one is stored: %s",
                  BREAKER_ROW, err->msg);
        break;
    case BREAKER_CLOSED:
        log_info("jobs are stored again, after %u that were tried alone in %.1f s", probes,
                 (double)(now_ms - d->opened_ms) / 1000);
        dispatcher_claim(d);
        break;
    case BREAKER_SAME:
        break;
    }
}

/* ---- what has arrived ---- */

static void plot_progress(struct dispatcher_job *j)
{
    struct transfer_progress p;
    transfer_progress(j->transfer, &p);
    uint64_t received = p.received - p.resumed;
    /* Less than before: another output, or begun anew. */
    uint64_t arrived = received < j->received ? received : received - j->received;
    j->received = received;
    j->plotted += arrived;
    if (arrived)
        plot_add(&j->d->plot, arrived, 0, 0);
    if (j->probe && received >= PROBE_ENOUGH)
        note_end(j, BREAKER_STORED);
}

static void tick(void *arg)
{
    struct dispatcher *d = arg;
    for (struct dispatcher_job *j = d->jobs; j; j = j->next)
        if (j->transfer)
            plot_progress(j);
    loop_timer_start(d->config.loop, &d->tick, TICK_MS, tick, d);
}

/* ---- the end of a job ---- */

static void finish(struct dispatcher_job *j)
{
    struct dispatcher *d = j->d;
    struct dispatcher_job **at = &d->jobs;
    while (*at != j)
        at = &(*at)->next;
    *at = j->next;
    d->n_jobs--;
    if (!d->jobs)
        loop_timer_stop(d->config.loop, &d->tick);
    free(j->objects);
    free(j);
    dispatcher_claim(d);
    dispatcher_end_if_idle(d);
}

static const char *count(struct dispatcher_job *j)
{
    struct dispatcher_counts *n = &j->d->counts;
    switch (j->settle.verdict) {
    case JOURNAL_DONE:
        if (j->settle.already) {
            n->already++;
            return "already stored";
        }
        n->stored++;
        plot_add(&j->d->plot, 0, 1, 0);
        return "stored";
    case JOURNAL_RELEASE:
        if (j->result.outcome == TRANSFER_HANDED_OVER) {
            n->handed_over++;
            return "handed over";
        }
        n->later++;
        return "later";
    case JOURNAL_LATER:
        if (j->settle.state != JOURNAL_DEAD) {
            n->later++;
            return "later";
        }
        n->dead++;
        plot_add(&j->d->plot, 0, 0, 1);
        return "dead";
    case JOURNAL_NEVER:
        break;
    }
    n->failed++;
    plot_add(&j->d->plot, 0, 0, 1);
    return "failed";
}

static void count_and_log(struct dispatcher_job *j)
{
    const char *outcome = count(j), *why = j->result.err.msg;
    int64_t duration_ms = clock_mono_ms() - j->began_ms;
    unsigned attempts = j->attempts + 1; /* with this one */
    char size[TEXT_SIZE_MAX];
    const struct log_field *fields =
        LOG_FIELDS(LOG_TEXT("job", j->id), LOG_TEXT("outcome", outcome),
                   LOG_TEXT("error", err_name(j->result.err.code)),
                   LOG_NUM("bytes", j->result.bytes), LOG_NUM("resumed_bytes", j->result.resumed),
                   LOG_NUM("duration_ms", duration_ms), LOG_NUM("attempts", attempts));
    if (j->settle.verdict == JOURNAL_NEVER)
        log_event(LOG_ERROR, fields, "job %s: failed for good: %s", j->id, why);
    else if (j->settle.verdict == JOURNAL_LATER && j->settle.state == JOURNAL_DEAD)
        log_event(LOG_ERROR, fields, "job %s: given up after %u attempts: %s", j->id, attempts,
                  why);
    else if (j->settle.verdict == JOURNAL_LATER)
        log_event(LOG_WARN, fields, "job %s: again in %.1f s: %s", j->id,
                  (double)j->settle.delay_ms / 1000, why);
    else if (j->result.err.code != ERR_NONE)
        log_event(LOG_INFO, fields, "job %s: stopped, and left for the next start: %s", j->id, why);
    else
        log_event(LOG_INFO, fields, "job %s: %s, %s in %.1f s", j->id, outcome,
                  text_format_size(j->result.bytes, size), (double)duration_ms / 1000);
}

/* ---- settling ---- */

static void settle_again(void *arg)
{
    settle(arg);
}

/* The place stays taken, so that no more is begun than can be written down. */
static void settle_failed(struct dispatcher_job *j, const struct err *err)
{
    struct dispatcher *d = j->d;
    const struct log_field *fields =
        LOG_FIELDS(LOG_TEXT("job", j->id), LOG_TEXT("error", err_name(err->code)));
    if (err_is_retryable(err) && !d->gave_up) {
        if (!d->settles_fail)
            log_event(LOG_WARN, fields,
                      "what became of jobs cannot be written down for now, trying again: %s",
                      err->msg);
        d->settles_fail = true;
        loop_timer_start(d->config.loop, &j->again, dispatcher_retry_ms(j->settles_failed++),
                         settle_again, j);
        return;
    }
    log_event(LOG_ERROR, fields, "what became of job %s is not in the journal: %s", j->id,
              err->msg);
    if (err->code == ERR_CONFIG)
        dispatcher_fail(d, err);
    finish(j);
}

static void on_settled(void *arg)
{
    struct dispatcher_job *j = arg;
    struct dispatcher *d = j->d;
    if (j->settle.request.err.code != ERR_NONE) {
        settle_failed(j, &j->settle.request.err);
        return;
    }
    if (d->settles_fail)
        log_info("what becomes of jobs is written down again");
    d->settles_fail = false;
    if (j->result.job) /* else it was given back before anything was begun */
        count_and_log(j);
    if (j->settle.state == JOURNAL_WAITING)
        dispatcher_claim_in(d, j->settle.delay_ms + 1);
    else if (j->settle.state == JOURNAL_READY)
        d->look = true;
    finish(j);
}

static void settle(struct dispatcher_job *j)
{
    j->settle.objects = j->objects;
    dispatcher_ask(j->d, &j->ask, &j->settle.request, JOURNAL_SETTLE, on_settled, j);
}

/* ---- what became of it ---- */

static void append_object(struct buf *out, const struct sink *sink, const struct receipt_output *o)
{
    struct buf where = BUF_INIT(8192);
    sink->ops->locate(sink, o->key, &where);
    buf_str_append(out, "{\"key\":");
    text_json_quote(out, o->key);
    buf_str_append(out, ",\"location\":");
    text_json_quote(out, buf_str(&where));
    buf_printf(out, ",\"size\":%" PRIu64 "}", o->size);
    buf_release(&where);
}

/* As many as the journal has room for. Caller frees. */
static char *format_objects(const struct sink *sink, const struct receipt *r)
{
    struct buf all = BUF_INIT(JOURNAL_OBJECTS_MAX - 1), one = BUF_INIT(JOURNAL_OBJECTS_MAX);
    buf_byte(&all, '[');
    for (size_t i = 0; i < r->n_outputs; i++) {
        buf_clear(&one);
        append_object(&one, sink, &r->outputs[i]);
        if (buf_overflowed(&one) || all.len + one.len + 2 > all.cap)
            break;
        if (i)
            buf_byte(&all, ',');
        buf_append(&all, buf_str(&one), one.len);
    }
    buf_byte(&all, ']');
    buf_release(&one);
    return buf_take(&all);
}

/* A failure of the set-up while the breaker is open is not counted: an outage may last longer than
 * attempts_max tries, and the output is still there after it. Such a job ends at the latest when
 * its output has expired. While others are stored, the same failure is taken for the job's own. */
static void later(struct dispatcher_job *j, const struct err *err)
{
    const struct dispatcher *d = j->d;
    const struct dispatcher_config *config = &d->config;
    bool of_setup = verdict_is_of_setup(err), probe = j->probe;
    if (of_setup)
        note_end(j, BREAKER_SETUP);
    j->settle.verdict = JOURNAL_LATER;
    j->settle.uncounted = d->breaker.open && of_setup;
    j->settle.delay_ms = verdict_backoff_ms(config->backoff_min_ms, config->backoff_max_ms,
                                            j->attempts, retry_after_ms(d, err));
    if (j->settle.uncounted && probe)
        j->settle.delay_ms = PROBE_TURNS * d->breaker.pause_ms;
}

static void judge_failure(struct dispatcher_job *j, const struct err *err)
{
    j->settle.why = *err;
    j->settle.attempts_max = j->d->config.attempts_max;
    switch (verdict_of(err, j->stopped, j->attempts == 0)) {
    case VERDICT_NEVER:
        j->settle.verdict = JOURNAL_NEVER;
        break;
    case VERDICT_LATER:
        later(j, err);
        break;
    case VERDICT_UNKNOWN:
        j->settle.verdict = JOURNAL_LATER;
        j->settle.delay_ms = j->d->config.unknown_delay_ms;
        break;
    case VERDICT_AT_ONCE:
        j->settle.verdict = JOURNAL_RELEASE;
        break;
    }
}

static void note_stored(struct dispatcher_job *j, const struct transfer_result *r)
{
    struct dispatcher_counts *n = &j->d->counts;
    j->settle.verdict = JOURNAL_DONE;
    j->settle.already = r->outcome == TRANSFER_ALREADY;
    j->objects = format_objects(j->d->config.sink, r->receipt);
    for (size_t i = 0; i < r->receipt->n_outputs; i++)
        j->settle.bytes += r->receipt->outputs[i].size;
    if (!j->settle.already && r->expires_ms) {
        double left_s = (double)(r->expires_ms - clock_wall_ms()) / 1000;
        left_s = left_s < 0 ? 0 : left_s;
        if (n->seconds_to_expiry_min < 0 || left_s < n->seconds_to_expiry_min)
            n->seconds_to_expiry_min = left_s;
    }
}

static void on_transfer(void *arg, const struct transfer_result *result)
{
    struct dispatcher_job *j = arg;
    uint64_t moved = result->bytes - result->resumed;
    j->transfer = NULL;
    j->result = *result;
    j->result.job = j->id;
    j->result.receipt = NULL;
    j->settle.expires_ms = result->expires_ms;
    j->d->counts.bytes += moved;
    if (moved > j->plotted) /* what came since the last tick */
        plot_add(&j->d->plot, moved - j->plotted, 0, 0);
    if (result->outcome == TRANSFER_STORED)
        note_end(j, BREAKER_STORED);
    switch (result->outcome) {
    case TRANSFER_STORED:
    case TRANSFER_ALREADY:
        note_stored(j, result);
        break;
    case TRANSFER_HANDED_OVER:
        j->settle.verdict = JOURNAL_RELEASE;
        break;
    case TRANSFER_FAILED:
        judge_failure(j, &result->err);
        break;
    }
    if (j->probe) /* and nothing was learned by it */
        note_end(j, BREAKER_OTHER);
    settle(j);
    dispatcher_claim(j->d); /* another may be the probe */
}

/* ---- what dispatcher.c asks for ---- */

void dispatcher_begin(struct dispatcher *d, const struct journal_job *claimed)
{
    struct dispatcher_job *j = xcalloc(1, sizeof(*j)), **at = &d->jobs;
    j->d = d;
    memcpy(j->id, claimed->id, sizeof(j->id));
    memcpy(j->settle.job, claimed->id, sizeof(j->settle.job));
    j->attempts = claimed->attempts;
    j->expires_ms = claimed->expires_ms;
    j->started_ms = clock_wall_ms();
    j->began_ms = clock_mono_ms();
    while (*at)
        at = &(*at)->next;
    *at = j;
    d->n_jobs++;
    if (!d->tick.armed)
        loop_timer_start(d->config.loop, &d->tick, TICK_MS, tick, d);
    /* Something may have changed while the journal was asked. */
    if (d->draining || breaker_next_ms(&d->breaker) > j->began_ms) {
        j->settle.verdict = JOURNAL_RELEASE;
        settle(j);
        return;
    }
    j->probe = breaker_begin(&d->breaker);
    j->transfer = transfer_start(d->config.engine, j->id, on_transfer, j);
}

static void stop(struct dispatcher_job *j, void (*ask)(struct transfer *transfer))
{
    j->stopped = true;
    ask(j->transfer);
}

void dispatcher_jobs_release(struct dispatcher *d)
{
    for (struct dispatcher_job *j = d->jobs; j; j = j->next) {
        struct transfer_progress p = {.moving = true};
        if (j->transfer)
            transfer_progress(j->transfer, &p);
        if (!p.moving)
            stop(j, transfer_cancel);
    }
}

void dispatcher_jobs_hand_over(struct dispatcher *d)
{
    for (struct dispatcher_job *j = d->jobs; j; j = j->next)
        if (j->transfer)
            stop(j, transfer_hand_over);
}

void dispatcher_jobs_cancel(struct dispatcher *d)
{
    struct dispatcher_job *next;
    for (struct dispatcher_job *j = d->jobs; j; j = next) {
        next = j->next;
        if (j->transfer) {
            stop(j, transfer_cancel);
        } else if (j->again.armed) {
            loop_timer_stop(d->config.loop, &j->again);
            settle_failed(j, &j->settle.request.err);
        }
    }
}

void dispatcher_each_running(const struct dispatcher *d,
                             void (*each)(void *arg, const struct dispatcher_running *running),
                             void *arg)
{
    for (const struct dispatcher_job *j = d->jobs; j; j = j->next) {
        struct dispatcher_running running = {
            .job = j->id,
            .started_ms = j->started_ms,
            .expires_ms = j->expires_ms,
            .attempts = j->attempts,
            .progress = {.job = j->id, .size = -1},
        };
        if (j->transfer)
            transfer_progress(j->transfer, &running.progress);
        each(arg, &running);
    }
}
