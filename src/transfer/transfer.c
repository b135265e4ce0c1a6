/* SPDX-License-Identifier: Apache-2.0 */
#include "transfer/transfer.h"

#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/fault_point.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/text.h"
#include "transfer/copy.h"
#include "transfer/key.h"
#include "transfer/part_pool.h"
#include "transfer/receipt_io.h"

enum { NAME_KEPT_MAX = 1024 }; /* bytes of a stranger's text that go into a receipt */

struct engine {
    struct engine_config config;
    struct part_pool *pool;         /* owned */
    unsigned moving;                /* slots taken */
    struct transfer *asking;        /* those at their receipt or their details */
    struct transfer *copying;       /* those with a copy under way */
    struct transfer *first_waiting; /* for a slot; soonest to expire first */
    struct loop_task slot_task;
    bool slot_posted;
    struct copy_deadline deadline;
    struct loop_timer timer; /* while there is a deadline */
};

enum transfer_phase {
    PHASE_RECEIPT,
    PHASE_DETAILS,
    PHASE_SLOT,
    PHASE_COPY,
    PHASE_RECORD,
    PHASE_END
};

struct transfer {
    struct engine *engine;
    transfer_done_fn *done;
    void *arg;
    char id[JOB_ID_MAX + 1];
    enum transfer_phase phase;
    bool cancelled, tried_before, has_no_receipt;
    struct source_job job;
    struct receipt receipt;
    struct receipt_io *io;        /* PHASE_RECEIPT, PHASE_RECORD */
    struct copy *copy;            /* PHASE_COPY */
    struct transfer *next_asking; /* PHASE_RECEIPT, PHASE_DETAILS */
    struct transfer *next_copying;
    struct receipt_upload *resume; /* owned; what an earlier run has left, or NULL */
    bool marked;                   /* a marker lies beside the receipt (receipt.h) */
    size_t index;                  /* of the output being copied */
    struct buf key;
    struct transfer *next_waiting; /* PHASE_SLOT */
    struct loop_task task;
    int64_t started_ms;
    struct transfer_result result;
    bool any_stored;
};

static void next_output(struct transfer *t);

struct engine *engine_new(const struct engine_config *config)
{
    struct engine *engine = xcalloc(1, sizeof(*engine));
    engine->config = *config;
    engine->pool = part_pool_new(config->loop, config->memory);
    return engine;
}

const struct engine_config *engine_configured(const struct engine *engine)
{
    return &engine->config;
}

void engine_free(struct engine *engine)
{
    if (!engine)
        return;
    CHECK(engine->moving == 0 && !engine->first_waiting);
    loop_timer_stop(engine->config.loop, &engine->timer);
    part_pool_free(engine->pool);
    free(engine);
}

static void set_phase(struct transfer *t, enum transfer_phase phase)
{
    static const char *const names[] = {"receipt", "details", "slot", "copy", "record", "end"};
    log_debug("job %s: %s", t->id, names[phase]);
    t->phase = phase;
}

static bool time_is_up(const struct engine *engine)
{
    return engine->deadline.stop_ms && clock_mono_ms() >= engine->deadline.stop_ms;
}

/* ---- slots ---- */

static void start_waiting(struct engine *engine)
{
    while (engine->first_waiting && engine->moving < engine->config.concurrency) {
        struct transfer *t = engine->first_waiting;
        engine->first_waiting = t->next_waiting;
        engine->moving++;
        t->started_ms = clock_mono_ms();
        set_phase(t, PHASE_COPY);
        next_output(t);
    }
}

static void slot_task(void *arg)
{
    struct engine *engine = arg;
    engine->slot_posted = false;
    start_waiting(engine);
}

static bool expires_sooner(const struct transfer *a, const struct transfer *b)
{
    int64_t at = a->job.expires_ms, other = b->job.expires_ms;
    return at && (!other || at < other);
}

/* Slots are given from a task, after all jobs whose details came together have lined up. */
static void wait_for_slot(struct transfer *t)
{
    struct engine *engine = t->engine;
    struct transfer **at = &engine->first_waiting;
    while (*at && !expires_sooner(t, *at))
        at = &(*at)->next_waiting;
    t->next_waiting = *at;
    *at = t;
    set_phase(t, PHASE_SLOT);
    if (engine->slot_posted)
        return;
    engine->slot_posted = true;
    loop_post(engine->config.loop, &engine->slot_task, slot_task, engine);
}

static void stop_waiting(struct transfer *t)
{
    struct transfer **at = &t->engine->first_waiting;
    while (*at != t)
        at = &(*at)->next_waiting;
    *at = t->next_waiting;
}

/* ---- the end ---- */

/* Its receipt and its details have been asked for. */
static void stop_asking(struct transfer *t)
{
    struct transfer **at = &t->engine->asking;
    while (*at && *at != t)
        at = &(*at)->next_asking;
    if (*at)
        *at = t->next_asking;
}

static void finish(struct transfer *t, enum transfer_outcome outcome)
{
    struct engine *engine = t->engine;
    bool held_slot = t->phase == PHASE_COPY || t->phase == PHASE_RECORD;
    stop_asking(t);
    set_phase(t, PHASE_END);
    t->result.job = t->id;
    t->result.outcome = outcome;
    bool stored = outcome == TRANSFER_STORED || outcome == TRANSFER_ALREADY;
    t->result.receipt = stored ? &t->receipt : NULL;
    t->result.expires_ms = t->receipt.expires_ms ? t->receipt.expires_ms : t->job.expires_ms;
    t->result.completed_ms =
        t->receipt.completed_ms ? t->receipt.completed_ms : t->job.completed_ms;
    t->result.duration_ms = held_slot ? clock_mono_ms() - t->started_ms : 0;
    if (held_slot)
        engine->moving--;
    t->done(t->arg, &t->result);
    receipt_release(&t->receipt);
    if (t->resume)
        receipt_upload_release(t->resume);
    free(t->resume);
    source_job_release(&t->job);
    buf_release(&t->key);
    free(t);
    start_waiting(engine);
}

static void fail(struct transfer *t, const struct err *err)
{
    t->result.err = *err;
    finish(t, TRANSFER_FAILED);
}

/* Before anything has begun that would have to be undone. */
static bool ended_early(struct transfer *t)
{
    struct err err = {0};
    if (time_is_up(t->engine))
        err_set(&err, ERR_TIMEOUT, "the time of this run was up before the job was begun");
    else if (t->cancelled)
        err_set(&err, ERR_CANCELLED, "cancelled");
    else
        return false;
    fail(t, &err);
    return true;
}

/* ---- the receipt, written ---- */

static void on_recorded(void *arg, const struct err *err)
{
    struct transfer *t = arg;
    t->io = NULL;
    if (err) {
        struct err why = *err;
        err_prefix(&why, "stored, but its receipt could not be written");
        fail(t, &why);
    } else {
        FAULT_POINT("transfer-receipt-written");
        finish(t, t->any_stored ? TRANSFER_STORED : TRANSFER_ALREADY);
    }
}

/* A copy of a stranger's text, cut on a character's boundary. */
static char *keep_text(const char *s)
{
    const char *end = s + strlen(s), *p = s;
    size_t n;
    while (p < end && (n = text_utf8_len(p, end)) && p + n <= s + NAME_KEPT_MAX)
        p += n;
    return xstrndup(s, (size_t)(p - s));
}

/* Who and when, in what is written of a job. */
static void fill_receipt(struct transfer *t, struct receipt *r)
{
    r->source = xstrdup(t->engine->config.source->ops->name);
    memcpy(r->job, t->id, sizeof(r->job));
    r->job_name = keep_text(t->job.name);
    r->expires_ms = t->job.expires_ms;
    r->completed_ms = t->job.completed_ms;
    r->program = xstrdup(t->engine->config.program);
}

static void record(struct transfer *t)
{
    fill_receipt(t, &t->receipt);
    t->receipt.state = RECEIPT_STORED;
    t->receipt.stored_ms = clock_wall_ms();
    set_phase(t, PHASE_RECORD);
    if (t->engine->config.receipts)
        t->io = receipt_write(t->engine->config.sink, &t->receipt, t->marked, NULL, on_recorded, t);
    else
        finish(t, t->any_stored ? TRANSFER_STORED : TRANSFER_ALREADY);
}

/* How far the upload of the present output is: copy.h, record. */
static struct receipt_io *record_upload(void *arg, const struct receipt_upload *upload,
                                        char etag[128], sink_done_fn *done, void *done_arg)
{
    struct transfer *t = arg;
    const struct engine_config *config = &t->engine->config;
    if (!upload)
        return receipt_remove(config->sink, config->source->ops->name, t->id, etag, done, done_arg);
    struct receipt r = {.state = RECEIPT_UPLOADING};
    fill_receipt(t, &r);
    r.outputs = t->receipt.outputs;
    r.n_outputs = t->receipt.n_outputs;
    r.upload = (struct receipt_upload *)upload;
    struct receipt_io *io = receipt_write(config->sink, &r, t->marked, etag, done, done_arg);
    t->marked = true;
    r.outputs = NULL; /* borrowed, like the upload */
    r.n_outputs = 0;
    r.upload = NULL;
    receipt_release(&r);
    return io;
}

/* ---- the outputs ---- */

static void add_to_receipt(struct transfer *t, const struct copy_result *result)
{
    struct receipt *r = &t->receipt;
    r->outputs = xrealloc(r->outputs, (r->n_outputs + 1) * sizeof(r->outputs[0]));
    r->outputs[r->n_outputs++] = (struct receipt_output){
        .name = keep_text(t->job.outputs[t->index].name),
        .key = xstrdup(buf_str(&t->key)),
        .size = result->size,
        .has_crc32c = result->has_crc32c,
        .crc32c = result->crc32c,
        .content_type = xstrdup(result->content_type),
        .validator = xstrdup(result->validator),
        .etag = result->etag[0] ? xstrdup(result->etag) : NULL,
    };
}

static void on_copied(void *arg, const struct copy_result *result, const struct err *err)
{
    struct transfer *t = arg;
    struct transfer **at = &t->engine->copying;
    while (*at != t)
        at = &(*at)->next_copying;
    *at = t->next_copying;
    t->copy = NULL;
    if (err) {
        fail(t, err);
        return;
    }
    if (!result->already) {
        t->result.resumed += result->resumed;
        t->result.bytes += result->size;
    }
    if (result->handed_over) {
        finish(t, TRANSFER_HANDED_OVER);
        return;
    }
    add_to_receipt(t, result);
    t->any_stored |= !result->already;
    t->index++;
    next_output(t);
}

/* Not every store honours If-None-Match, so two outputs must not be on their way to one key; nor
 * may an output be taken for another one of its job. */
static int check_key_is_free(const struct transfer *t, struct err *err)
{
    const char *key = buf_str(&t->key), *job = NULL;
    for (const struct transfer *o = t->engine->copying; o && !job; o = o->next_copying)
        if (strcmp(buf_str(&o->key), key) == 0)
            job = o->id;
    for (size_t i = 0; i < t->receipt.n_outputs && !job; i++)
        if (strcmp(t->receipt.outputs[i].key, key) == 0)
            job = t->id;
    if (!job)
        return 0;
    return err_set(err, ERR_CONFLICT,
                   "the key \"%.200s\" is also that of an output of job %s; a --key with {job_id} "
                   "and {filename} in it keeps them apart",
                   key, job);
}

/* Whether what an earlier run has left is an upload of the present output that this process can go
 * on with: it has the memory for it, and the settings still allow its layout. */
static bool can_resume(const struct transfer *t)
{
    const struct receipt_upload *u = t->resume;
    if (!u || t->index != t->receipt.n_outputs)
        return false;
    if (strcmp(u->key, buf_str(&t->key)) != 0) {
        log_warn("job %s: begun anew: what an earlier run has stored is of another key, \"%.200s\" "
                 "(egress sweep removes it)",
                 t->id, u->key);
        return false;
    }
    if (!plan_layout_suits(&u->layout, &t->engine->config.sink->limits)) {
        log_warn("job %s: begun anew: what an earlier run has stored is not cut as --part-layout "
                 "and --max-parts now want it (egress sweep removes it)",
                 t->id);
        return false;
    }
    if (plan_part_max(&u->layout) <= t->engine->config.memory / 2)
        return true;
    log_warn("job %s: begun anew: to go on with what an earlier run has stored it needs --memory "
             "%lluMiB",
             t->id, (unsigned long long)(plan_part_max(&u->layout) * 2 + 1048575) / 1048576);
    return false;
}

static void next_output(struct transfer *t)
{
    const struct engine_config *config = &t->engine->config;
    struct err err = {0};
    if (t->index == t->job.n_outputs) {
        record(t); /* even when cancelled: it is stored, and to say so takes a moment */
        return;
    }
    if (ended_early(t))
        return;
    buf_release(&t->key);
    t->key = BUF_INIT(KEY_MAX);
    if (key_expand(config->key_template, &t->job, t->index, &t->key, &err) < 0 ||
        check_key_is_free(t, &err) < 0) {
        fail(t, &err);
        return;
    }
    struct copy_request rq = {
        .loop = config->loop,
        .source = config->source,
        .sink = config->sink,
        .pool = t->engine->pool,
        .job = &t->job,
        .index = t->index,
        .key = buf_str(&t->key),
        .force = config->force,
        .tried_before = t->tried_before,
        .look = config->force || !config->receipts,
        .resume = can_resume(t) ? t->resume : NULL,
        .record = config->receipts ? record_upload : NULL,
        .record_arg = t,
        .deadline = &t->engine->deadline,
        .ranges = config->ranges,
    };
    t->copy = copy_start(&rq, on_copied, t);
    t->next_copying = t->engine->copying;
    t->engine->copying = t;
}

/* ---- the details ---- */

static int job_has_output(const struct source_job *job, struct err *err)
{
    char when[DATE_TEXT_SIZE];
    if (job->state == JOB_FAILED)
        return err_set(err, ERR_JOB_FAILED, "the job failed%s%s: it has no output",
                       job->failure ? " for a reason of " : "", job->failure ? job->failure : "");
    if (job->state != JOB_COMPLETE)
        return err_set(err, ERR_JOB_PENDING,
                       "the job is %s: its output is there when it is COMPLETE", job->state_text);
    if (job->expired && job->expires_ms) {
        date_format_iso8601(job->expires_ms, when);
        return err_set(err, ERR_JOB_EXPIRED, "the output expired at %s and is deleted", when);
    }
    if (job->expired)
        return err_set(err, ERR_JOB_EXPIRED, "the output has expired and is deleted");
    if (job->n_outputs == 0)
        return err_set(err, ERR_JOB_NO_OUTPUT, "the job is complete and has no output");
    return 0;
}

static void on_details(void *arg, const struct err *err)
{
    struct transfer *t = arg;
    struct err why = {0};
    if (ended_early(t))
        return;
    if (err || job_has_output(&t->job, &why) < 0) {
        fail(t, err ? err : &why);
        return;
    }
    stop_asking(t);
    wait_for_slot(t);
}

static void ask_details(struct transfer *t)
{
    struct source *source = t->engine->config.source;
    set_phase(t, PHASE_DETAILS);
    source->ops->describe(source, t->id, &t->job, on_details, t);
}

/* ---- the receipt, read ---- */

static void on_receipt(void *arg, const struct err *err)
{
    struct transfer *t = arg;
    t->io = NULL;
    if (ended_early(t))
        return;
    if (!err && t->receipt.state == RECEIPT_STORED) {
        finish(t, TRANSFER_ALREADY);
        return;
    }
    if (!err) {
        t->resume = t->receipt.upload;
        t->marked = true;
        t->receipt.upload = NULL;
        receipt_release(&t->receipt);
        ask_details(t);
        return;
    }
    if (err->code == ERR_INPUT) /* what a stranger has written there says nothing */
        log_warn("job %s: %s; taken as not there", t->id, err->msg);
    else if (err->code != ERR_NOT_FOUND) {
        fail(t, err);
        return;
    }
    ask_details(t);
}

static void begin(void *arg)
{
    struct transfer *t = arg;
    const struct engine_config *config = &t->engine->config;
    if (ended_early(t))
        return;
    if (config->receipts && !config->force && !t->has_no_receipt)
        t->io = receipt_read(config->sink, config->source->ops->name, t->id, &t->receipt,
                             on_receipt, t);
    else
        ask_details(t);
}

struct transfer *transfer_start(struct engine *engine, const char *job_id, transfer_done_fn *done,
                                void *arg)
{
    struct transfer *t = xcalloc(1, sizeof(*t));
    t->engine = engine;
    t->done = done;
    t->arg = arg;
    CHECK(strlen(job_id) <= JOB_ID_MAX);
    memcpy(t->id, job_id, strlen(job_id) + 1);
    t->next_asking = engine->asking;
    engine->asking = t;
    loop_post(engine->config.loop, &t->task, begin, t);
    return t;
}

void transfer_tried_before(struct transfer *t)
{
    t->tried_before = true;
}

void transfer_has_no_receipt(struct transfer *t)
{
    t->has_no_receipt = true;
}

static void end_waiting(void *arg)
{
    (void)ended_early(arg);
}

void transfer_cancel(struct transfer *t)
{
    if (t->cancelled)
        return;
    t->cancelled = true;
    if (t->phase == PHASE_RECEIPT && t->io) {
        receipt_io_cancel(t->io);
    } else if (t->phase == PHASE_DETAILS) {
        struct source *source = t->engine->config.source;
        source->ops->describe_cancel(source, &t->job);
    } else if (t->phase == PHASE_SLOT) {
        stop_waiting(t);
        loop_post(t->engine->config.loop, &t->task, end_waiting, t);
    } else if (t->phase == PHASE_COPY && t->copy) {
        copy_cancel(t->copy);
    }
}

void transfer_hand_over(struct transfer *t)
{
    if (t->phase == PHASE_COPY && t->copy && !t->cancelled)
        copy_hand_over(t->copy);
    else
        transfer_cancel(t);
}

/* ---- the deadline ---- */

enum {
    RESERVE_MIN_MS = 500, /* for the last record, and whatever the caller has to do then */
    RESERVE_MAX_MS = 10000,
    TICK_MIN_MS = 50,
    TICK_MAX_MS = 1000,
};

static int64_t share_of_run(int64_t run_ms, int64_t min_ms, int64_t max_ms)
{
    int64_t ms = run_ms / 20;
    return ms < min_ms ? min_ms : ms > max_ms ? max_ms : ms;
}

static void tick(void *arg)
{
    struct engine *engine = arg;
    const struct copy_deadline *d = &engine->deadline;
    struct transfer *t = engine->copying, *next;
    for (; t; t = t->next_copying)
        copy_tick(t->copy);
    for (t = engine->first_waiting; t && time_is_up(engine); t = next) {
        next = t->next_waiting;
        transfer_cancel(t);
    }
    for (t = engine->asking; t && time_is_up(engine); t = t->next_asking)
        transfer_cancel(t); /* completes from the loop */
    loop_timer_start(engine->config.loop, &engine->timer,
                     share_of_run(d->stop_ms - d->began_ms, TICK_MIN_MS, TICK_MAX_MS), tick,
                     engine);
}

void engine_set_deadline(struct engine *engine, int64_t mono_ms)
{
    int64_t now_ms = clock_mono_ms();
    loop_timer_stop(engine->config.loop, &engine->timer);
    engine->deadline = (struct copy_deadline){0};
    if (mono_ms == 0)
        return;
    engine->deadline.began_ms = now_ms;
    engine->deadline.stop_ms =
        mono_ms - share_of_run(mono_ms - now_ms, RESERVE_MIN_MS, RESERVE_MAX_MS);
    loop_timer_start(engine->config.loop, &engine->timer, 0, tick, engine);
}

void transfer_progress(const struct transfer *t, struct transfer_progress *progress)
{
    *progress = (struct transfer_progress){
        .job = t->id, .moving = t->phase == PHASE_COPY || t->phase == PHASE_RECORD, .size = -1};
    if (!t->copy)
        return;
    copy_progress(t->copy, &progress->received, &progress->size);
    progress->resumed = copy_resumed(t->copy);
}
