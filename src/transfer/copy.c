/* SPDX-License-Identifier: Apache-2.0
 *
 * copy: see copy.h for the states. Each on_… function is a completion; copy_fail() and
 * copy_wind_down() are the one way out.
 */
#include "transfer/copy.h"

#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/fault_point.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/random.h"
#include "transfer/copy_private.h"

enum {
    STALLS_MAX = 4,     /* streams in a row that bring nothing */
    REOPENS_MAX = 1000, /* of one output: an end for a source that drips */
    RESTARTS_MAX = 3,
    SPENT_MAX = 2,
    REOPEN_DELAY_MS = 200,
    REOPEN_DELAY_MAX_MS = 5000,
    RETRY_AFTER_MAX_MS = 60 * 1000, /* a longer one is the job's business (queue) */
    VALIDATOR_MAX = 512,            /* bytes */
};

static void start_claim(struct copy *c);

void copy_set_state(struct copy *c, enum copy_state state)
{
#define TO(s) (1u << COPY_##s)
    static const struct {
        const char *name;
        unsigned next;
    } table[COPY_STATES] = {
        [COPY_CLAIM] = {"claim", TO(LOOK) | TO(GATHER) | TO(ABORT)},
        [COPY_LOOK] = {"look", TO(GATHER) | TO(REOPEN) | TO(BEGIN) | TO(ABORT)},
        [COPY_GATHER] = {"gather", TO(LOOK) | TO(BEGIN) | TO(PUBLISH) | TO(ABORT)},
        [COPY_REOPEN] = {"reopen", TO(GATHER) | TO(PARTS) | TO(HAND_OVER) | TO(ABORT)},
        [COPY_BEGIN] = {"begin", TO(RECORD) | TO(PARTS) | TO(ABORT)},
        [COPY_RECORD] = {"record", TO(PARTS) | TO(HAND_OVER) | TO(ABORT)},
        [COPY_PARTS] = {"parts", TO(DRAIN) | TO(HAND_OVER) | TO(ABORT)},
        [COPY_DRAIN] = {"drain", TO(PUBLISH) | TO(HAND_OVER) | TO(ABORT)},
        [COPY_PUBLISH] = {"publish", TO(SETTLE) | TO(ABORT)},
        [COPY_SETTLE] = {"settle", TO(ABORT)},
        [COPY_HAND_OVER] = {"hand-over", TO(ABORT) | TO(DONE)},
        [COPY_ABORT] = {"abort", TO(CLAIM) | TO(DONE)},
        [COPY_DONE] = {"done", 0},
    };
    CHECK(table[c->state].next & 1u << state);
    log_debug("%s: %s -> %s (%llu bytes)", c->rq.key, table[c->state].name, table[state].name,
              (unsigned long long)c->received);
    c->state = state;
#undef TO
}

/* ---- the source ---- */

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static int on_open_again(struct copy *c, const struct source_meta *meta, struct err *err)
{
    if (meta->offset != c->received) {
        c->changed = true;
        return err_set(err, ERR_NETWORK, "the source could not go on from byte %llu",
                       (unsigned long long)c->received);
    }
    /* Where no byte was had yet, all that was said of it may be another's too. */
    c->changed = !same_text(meta->validator, c->validator) ||
                 (c->received == 0 &&
                  (meta->size != c->size || !same_text(meta->content_type, c->content_type) ||
                   !same_text(meta->content_encoding, c->content_encoding)));
    if (c->changed)
        return err_set(err, ERR_NETWORK, "the output has changed since it was begun");
    if (c->received == 0)
        return digest_start(&c->digest, meta, err);
    if (c->size >= 0 && meta->size >= 0 && meta->size != c->size)
        return err_set(err, ERR_INTEGRITY, "the output had %lld bytes, now it has %lld",
                       (long long)c->size, (long long)meta->size);
    if (!c->resumed)
        return 0;
    /* Of what another process has stored, the CRC32C is all that is known. */
    struct source_meta known = {.crc32c = meta->crc32c};
    uint32_t crc32c = c->digest.crc32c;
    c->resumed = false;
    c->ranges = meta->ranges;
    if (digest_start(&c->digest, &known, err) < 0)
        return -1;
    c->digest.crc32c = crc32c;
    return 0;
}

static int on_open(void *arg, const struct source_meta *meta, struct err *err)
{
    struct copy *c = arg;
    if (c->state == COPY_ABORT || c->state == COPY_HAND_OVER)
        return err_set(err, ERR_CANCELLED, "cancelled");
    if (c->opened)
        return on_open_again(c, meta, err);
    if (meta->offset != 0)
        return err_set(err, ERR_PROTOCOL, "the source began at byte %llu",
                       (unsigned long long)meta->offset);
    c->size = meta->size;
    c->ranges = meta->ranges;
    free(c->validator);
    free(c->content_type);
    free(c->content_encoding);
    /* One of no sane length is kept nowhere: then nothing can be gone on with. */
    bool sane = meta->validator && strlen(meta->validator) <= VALIDATOR_MAX;
    c->validator = sane ? xstrdup(meta->validator) : NULL;
    c->content_type = xstrdup(meta->content_type);
    c->content_encoding = xstrdup(meta->content_encoding);
    c->object.content_type = c->content_type;
    c->object.content_encoding = c->content_encoding;
    if (digest_start(&c->digest, meta, err) < 0 || copy_plan(c, err) < 0)
        return -1;
    c->opened = true;
    if (!c->layout.single && c->size >= 0)
        copy_need_upload(c); /* begun while the first part arrives */
    return 0;
}

static size_t on_data(void *arg, const void *data, size_t len)
{
    struct copy *c = arg;
    if (!c->lanes && copy_ranges_due(c))
        copy_ranges_start(c);
    if (c->lanes)
        return copy_ranges_first_data(c, data, len);
    size_t taken = copy_take(c, data, len);
    c->paused = taken < len;
    return c->state == COPY_ABORT || c->state == COPY_HAND_OVER ? len : taken;
}

static void *room(void *arg, size_t *len)
{
    struct copy *c = arg;
    bool usual = c->state != COPY_ABORT && c->state != COPY_HAND_OVER && !c->lanes;
    return usual && c->filling ? copy_part_room(c->filling, len) : NULL;
}

/* Everything is here and as announced. */
static void all_received(struct copy *c)
{
    struct err err = {0};
    struct part *last = c->filling;
    if (last)
        digest_part(&c->digest, last->crc32c, last->len);
    c->ended = true;
    if (digest_check(&c->digest, &err) < 0)
        copy_fail(c, &err);
    else
        copy_go_on(c);
}

void copy_start_over(struct copy *c, const struct err *err)
{
    if (++c->restarts > RESTARTS_MAX) {
        copy_fail(c, err);
        return;
    }
    log_info("%s: begun anew: %s", c->rq.key, err->msg);
    c->restarting = true;
    copy_set_state(c, COPY_ABORT);
    copy_wind_down(c);
}

void copy_upload_failed(struct copy *c, const struct err *err)
{
    if (c->state == COPY_ABORT)
        return;
    if (err->code == ERR_SPENT && !c->stopping && c->spent++ < SPENT_MAX)
        copy_start_over(c, err);
    else
        copy_fail(c, err);
}

static void reopen(void *arg)
{
    copy_open_stream(arg);
}

bool copy_may_reopen(struct copy *c, int stalls, const struct err *err, int64_t *delay_ms)
{
    if (!err_is_retryable(err) || !c->opened || stalls >= STALLS_MAX ||
        ++c->reopens > REOPENS_MAX || err->retry_after_ms > RETRY_AFTER_MAX_MS)
        return false;
    int64_t delay = (int64_t)REOPEN_DELAY_MS << stalls;
    if (delay > REOPEN_DELAY_MAX_MS)
        delay = REOPEN_DELAY_MAX_MS;
    delay = delay / 2 + (int64_t)(random_u64() % (uint64_t)(delay / 2));
    *delay_ms = delay < err->retry_after_ms ? err->retry_after_ms : delay;
    return true;
}

static void on_broken(struct copy *c, const struct err *err)
{
    int64_t delay_ms;
    c->stalls = c->received > c->opened_at ? 0 : c->stalls + 1;
    if (!copy_may_reopen(c, c->stalls, err, &delay_ms)) {
        copy_fail(c, err);
    } else if (c->changed || (c->received > 0 && (!c->validator || !c->ranges))) {
        copy_start_over(c, err);
    } else {
        log_info("%s: goes on from byte %llu: %s", c->rq.key, (unsigned long long)c->received,
                 err->msg);
        loop_timer_start(c->rq.loop, &c->timer, delay_ms, reopen, c);
    }
}

static void on_end(void *arg, const struct err *err)
{
    struct copy *c = arg;
    c->stream = NULL;
    c->paused = false;
    struct err why = {0};
    if (c->lanes) {
        copy_ranges_first_ended(c, err);
    } else if (c->state == COPY_ABORT || c->state == COPY_HAND_OVER) {
        copy_go_on(c);
    } else if (err) {
        on_broken(c, err);
    } else if (c->size >= 0 && c->received != (uint64_t)c->size) {
        err_set(&why, ERR_INTEGRITY, "the output ended after %llu of %lld bytes",
                (unsigned long long)c->received, (long long)c->size);
        on_broken(c, &why);
    } else {
        all_received(c);
    }
}

void copy_open_stream(struct copy *c)
{
    static const struct source_events events = {
        .on_open = on_open, .on_data = on_data, .room = room, .on_end = on_end};
    c->opened_at = c->received;
    struct source_range range = {.offset = c->received,
                                 .validator = c->received ? c->validator : NULL};
    c->stream = c->rq.source->ops->open(c->rq.source, c->rq.job, c->rq.index, &range, &events, c);
}

/* ---- large outputs ---- */

static void on_begun(void *arg, const struct err *err)
{
    struct copy *c = arg;
    c->op = NULL;
    if (c->state == COPY_ABORT) {
        copy_wind_down(c);
    } else if (err) {
        copy_fail(c, err);
    } else {
        c->begun_ms = clock_wall_ms();
        FAULT_POINT("transfer-begun");
        copy_set_state(c, COPY_RECORD);
        if (!copy_record(c, true))
            copy_go_on(c);
    }
}

void copy_need_upload(struct copy *c)
{
    if (c->state != COPY_GATHER && c->state != COPY_LOOK)
        return;
    if (c->op)
        return;
    if (!c->looked) {
        copy_look(c);
        return;
    }
    copy_set_state(c, COPY_BEGIN);
    c->op = c->rq.sink->ops->begin(c->rq.sink, &c->object, &c->upload, on_begun, c);
}

/* ---- the end ---- */

static void on_published(void *arg, const struct err *err)
{
    struct copy *c = arg;
    c->op = NULL;
    if (!err) {
        FAULT_POINT("transfer-completed");
        c->published = true;
        c->result.size = c->received;
        c->result.has_crc32c = true;
        c->result.crc32c = c->digest.crc32c;
        copy_set_state(c, COPY_ABORT); /* nothing is left to undo: the way to the end */
        copy_wind_down(c);
    } else if (err->code == ERR_EXISTS) {
        copy_settle(c);
    } else {
        copy_upload_failed(c, err);
    }
}

static void publish(struct copy *c)
{
    const struct sink_ops *sink = c->rq.sink->ops;
    copy_set_state(c, COPY_PUBLISH);
    if (c->upload) {
        c->op = sink->complete(c->upload, c->next_number - 1, c->received, c->digest.crc32c,
                               c->result.etag, on_published, c);
    } else {
        struct part *p = c->filling;
        c->op = sink->put(c->rq.sink, &c->object, p ? p->data : "", p ? (size_t)p->len : 0,
                          c->digest.crc32c, c->result.etag, on_published, c);
    }
}

void copy_go_on(struct copy *c)
{
    if (c->state == COPY_ABORT) {
        copy_wind_down(c);
        return;
    }
    if (c->state == COPY_HAND_OVER) {
        copy_hand_over_step(c);
        return;
    }
    if (c->ended && c->state == COPY_GATHER) {
        publish(c);
        return;
    }
    if (c->state == COPY_RECORD && !c->recording)
        copy_set_state(c, COPY_PARTS);
    if (c->lanes && c->state == COPY_PARTS && !copy_ranges_go_on(c))
        return;
    if (c->ended && c->state == COPY_PARTS) {
        copy_send_filling(c);
        copy_set_state(c, COPY_DRAIN);
    }
    if (c->state == COPY_DRAIN && c->in_flight == 0 && !c->recording)
        publish(c);
    else if (c->paused && c->stream) {
        c->paused = false;
        c->rq.source->ops->resume(c->stream);
    }
}

void copy_fail(struct copy *c, const struct err *err)
{
    if (c->state == COPY_ABORT)
        return;
    c->err = *err;
    if (copy_keep_left(c))
        return;
    copy_set_state(c, COPY_ABORT);
    copy_wind_down(c);
}

static void on_aborted(void *arg, const struct err *err)
{
    struct copy *c = arg;
    c->op = NULL;
    if (err) {
        struct buf where = BUF_INIT(4096);
        c->rq.sink->ops->locate(c->rq.sink, c->rq.key, &where);
        log_warn("%s: an unfinished upload may be left there: %s", buf_str(&where), err->msg);
        buf_release(&where);
    }
    copy_wind_down(c);
}

static void release(struct copy *c)
{
    loop_timer_stop(c->rq.loop, &c->timer);
    copy_ranges_release(c);
    copy_free_parts(c);
    copy_release_record(c);
    digest_release(&c->digest);
    if (c->upload)
        c->rq.sink->ops->upload_free(c->upload);
    c->upload = NULL;
}

void copy_finish(struct copy *c)
{
    copy_set_state(c, COPY_DONE);
    bool good = c->published || c->already || c->result.handed_over;
    c->result.already = c->already;
    c->result.content_type = c->content_type;
    c->result.validator = c->validator;
    release(c);
    c->done(c->arg, good ? &c->result : NULL, good ? NULL : &c->err);
    free(c->validator);
    free(c->content_type);
    free(c->content_encoding);
    free(c);
}

static void restart(struct copy *c)
{
    release(c);
    c->restarting = c->winding = c->aborted = c->opened = c->ended = c->changed = c->looked =
        c->resumed = c->progressed = false;
    c->lost |= c->rq.resume != NULL;
    c->rq.resume = NULL;
    c->received = c->began_at = c->stored_bytes = c->result.resumed = 0;
    c->began_ms = 0;
    c->next_number = c->first_number = 1;
    c->size = -1;
    copy_set_state(c, COPY_CLAIM);
    start_claim(c);
}

static void cancel_all(struct copy *c)
{
    loop_timer_stop(c->rq.loop, &c->timer);
    part_pool_cancel(&c->claim);
    if (c->stream)
        c->rq.source->ops->cancel(c->stream);
    copy_ranges_cancel(c);
    for (struct part *p = c->parts; p; p = p->next)
        if (p->op)
            c->rq.sink->ops->cancel(p->op);
    if (c->op)
        c->rq.sink->ops->cancel(c->op);
    /* A record under way is waited for: it can be taken back only once it is known to be there. */
}

void copy_stop_all(struct copy *c)
{
    if (c->winding)
        return;
    c->winding = true;
    cancel_all(c);
}

/* Called in ABORT whenever something has ended: asks what is under way to end, waits until nothing
 * is, undoes the upload. */
void copy_wind_down(struct copy *c)
{
    copy_stop_all(c);
    if (c->stream || c->claiming || c->in_flight || c->op || c->recording || copy_ranges_busy(c))
        return;
    if (c->upload && !c->published && !c->aborted) {
        c->aborted = true;
        c->op = c->rq.sink->ops->abort(c->upload, on_aborted, c);
    } else if (c->aborted && !c->published && copy_forget(c)) {
        return; /* copy_wind_down() follows */
    } else if (c->restarting && c->err.code == ERR_NONE) {
        restart(c);
    } else {
        copy_finish(c);
    }
}

/* ---- the beginning ---- */

static void on_first_claim(void *arg, bool granted)
{
    struct copy *c = arg;
    c->claiming = false;
    if (granted)
        c->spare = c->claim.bytes;
    if (c->state == COPY_ABORT) {
        copy_wind_down(c);
    } else if ((c->rq.look || c->rq.resume) && !c->looked) {
        copy_look(c);
    } else {
        copy_set_state(c, COPY_GATHER);
        copy_open_stream(c);
    }
}

static void start_claim(struct copy *c)
{
    c->claiming = true;
    c->share = SHARE_SMALL;
    part_pool_claim_small(c->rq.pool, &c->claim, COPY_SCOUT_BYTES, on_first_claim, c);
}

struct copy *copy_start(const struct copy_request *request, copy_done_fn *done, void *arg)
{
    struct copy *c = xcalloc(1, sizeof(*c));
    c->rq = *request;
    c->done = done;
    c->arg = arg;
    c->size = -1;
    c->next_number = c->first_number = 1;
    c->object = (struct sink_object){
        .key = request->key,
        .identity = {request->source->ops->name, request->job->id,
                     request->job->outputs[request->index].name},
        .condition = SINK_IF_ABSENT,
        .tried_before = request->tried_before,
    };
    start_claim(c);
    return c;
}

static void go_on_due(void *arg)
{
    copy_go_on(arg);
}

void copy_cancel(struct copy *c)
{
    c->stopping = true;
    if (c->state == COPY_HAND_OVER) {
        c->hurried = true;
        loop_timer_start(c->rq.loop, &c->timer, 0, go_on_due, c);
    } else if (c->state == COPY_ABORT) { /* a restart would otherwise follow */
        if (c->err.code == ERR_NONE)
            err_set(&c->err, ERR_CANCELLED, "cancelled");
    } else if (c->state != COPY_PUBLISH) {
        /* What is being published is there or not a moment later: it is not torn. */
        err_set(&c->err, ERR_CANCELLED, "cancelled");
        copy_set_state(c, COPY_ABORT);
        loop_timer_start(c->rq.loop, &c->timer, 0, go_on_due, c); /* completes from the loop */
    }
}

void copy_progress(const struct copy *c, uint64_t *received, int64_t *size)
{
    *received = c->received;
    *size = c->size;
}

uint64_t copy_resumed(const struct copy *c)
{
    return c->result.resumed;
}
