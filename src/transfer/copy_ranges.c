/* SPDX-License-Identifier: Apache-2.0
 *
 * copy_ranges: several parts of one output at a time, each by a request of its own (--ranges).
 *
 * It begins when the stream that was opened first has shown what there is (a strong validator, a
 * length, ranges) and fills a part. That stream is the first lane until its part is full, then it
 * is cancelled. A lane has one part at a time, and asks for its bytes only once its buffer is
 * there: nothing is ever paused, and whoever holds a buffer can fill it. What a lane cannot bring
 * any more another one takes over; the copy fails with the last of them. A source that does not
 * serve ranges after all is read anew, as one stream.
 */
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/mem.h"
#include "transfer/copy_private.h"

struct lane {
    struct copy *copy;
    struct part *part;            /* being filled; NULL: idle */
    struct source_stream *stream; /* own; NULL: none, or the copy's */
    bool first;                   /* the copy's stream fills the part */
    bool cut;                     /* the stream has been asked to end: the part is full */
    bool retired;                 /* brings nothing any more; its part is to be taken over */
    uint64_t had;                 /* of the part, when the stream was opened */
    int stalls;                   /* streams in a row that brought nothing */
    struct loop_timer timer;
};

static bool is_leaving(const struct copy *c)
{
    return c->state == COPY_ABORT || c->state == COPY_HAND_OVER;
}

static bool is_full(const struct part *p)
{
    return p->len == p->want;
}

/* Only the CRC32C can be put together from parts that arrive in any order. */
static bool can_be_checked(const struct digest *d)
{
    return d->want_crc32c || (!d->want_md5 && !d->want_sha256);
}

bool copy_ranges_due(const struct copy *c)
{
    return c->rq.ranges > 1 && !c->one_stream && c->state == COPY_PARTS && c->filling &&
           c->size >= 0 && c->validator && c->ranges && can_be_checked(&c->digest) &&
           c->filling->number < plan_part_count(&c->layout, (uint64_t)c->size);
}

void copy_ranges_start(struct copy *c)
{
    c->n_lanes = c->rq.ranges;
    c->n_parts = plan_part_count(&c->layout, (uint64_t)c->size);
    CHECK(c->n_crcs == c->filling->number - 1);
    log_debug("%s: from part %u of %u on, %u at a time", c->rq.key, c->filling->number, c->n_parts,
              c->n_lanes);
    c->lanes = xcalloc(c->n_lanes, sizeof(c->lanes[0]));
    c->fates = xcalloc(c->n_parts, sizeof(c->fates[0]));
    c->crcs = xrealloc(c->crcs, c->n_parts * sizeof(c->crcs[0]));
    c->crcs_size = c->n_parts;
    for (unsigned i = 0; i < c->n_lanes; i++)
        c->lanes[i].copy = c;
    for (uint32_t n = 1; n < c->filling->number; n++)
        c->fates[n - 1] = PART_STORED;
    for (struct part *p = c->parts; p; p = p->next)
        if (p->op)
            c->fates[p->number - 1] = PART_SENT;
    c->lanes[0].first = true;
    c->lanes[0].part = c->filling;
    c->lanes[0].had = c->filling->len;
    c->filling->taken = true;
    c->filling = NULL;
    digest_only_crc32c(&c->digest);
    (void)copy_ranges_go_on(c);
}

void copy_ranges_release(struct copy *c)
{
    free(c->lanes);
    free(c->fates);
    c->lanes = NULL;
    c->fates = NULL;
    c->n_lanes = 0;
}

void copy_ranges_stored(struct copy *c, uint32_t number)
{
    if (c->fates)
        c->fates[number - 1] = PART_STORED;
}

uint64_t copy_ranges_stored_bytes(const struct copy *c)
{
    uint64_t offset, len, bytes = 0;
    for (uint32_t n = c->first_number; n <= c->n_parts && c->fates[n - 1] == PART_STORED; n++) {
        CHECK(plan_part(&c->layout, n, &offset, &len));
        bytes += len;
    }
    return bytes;
}

void copy_ranges_cancel(struct copy *c)
{
    for (struct lane *l = c->lanes; l < c->lanes + c->n_lanes; l++) {
        loop_timer_stop(c->rq.loop, &l->timer);
        if (l->stream && !l->cut)
            c->rq.source->ops->cancel(l->stream);
        l->cut = true;
    }
}

bool copy_ranges_busy(const struct copy *c)
{
    for (const struct lane *l = c->lanes; l < c->lanes + c->n_lanes; l++)
        if (l->stream)
            return true;
    return false;
}

/* ---- a lane ---- */

static void open_lane(struct lane *l);

static void reopen(void *arg)
{
    open_lane(arg);
}

/* The part is full: its CRC32C is put where it belongs, and it is sent. */
static void send_part(struct lane *l)
{
    struct copy *c = l->copy;
    struct part *p = l->part;
    uint64_t offset, len;
    l->part = NULL;
    p->taken = false;
    c->crcs[p->number - 1] = p->crc32c;
    c->fates[p->number - 1] = PART_SENT;
    while (c->n_crcs < c->n_parts && c->fates[c->n_crcs] != PART_ABSENT) {
        CHECK(plan_part(&c->layout, c->n_crcs + 1, &offset, &len));
        digest_part(&c->digest, c->crcs[c->n_crcs++], len);
    }
    copy_put_part(c, p);
    (void)copy_record(c, false);
}

/* Whether another lane is left that could do the work of this one. */
static bool is_last(const struct lane *l)
{
    const struct copy *c = l->copy;
    for (const struct lane *other = c->lanes; other < c->lanes + c->n_lanes; other++)
        if (other != l && !other->retired)
            return false;
    return true;
}

static void broken(struct lane *l, const struct err *err)
{
    struct copy *c = l->copy;
    int64_t delay_ms;
    l->stalls = l->part->len > l->had ? 0 : l->stalls + 1;
    if (c->changed && err_is_retryable(err)) {
        copy_start_over(c, err);
    } else if (copy_may_reopen(c, l->stalls, err, &delay_ms)) {
        log_info("%s: part %u goes on from its byte %llu: %s", c->rq.key, l->part->number,
                 (unsigned long long)l->part->len, err->msg);
        loop_timer_start(c->rq.loop, &l->timer, delay_ms, reopen, l);
    } else if (err_is_retryable(err) && !is_last(l)) {
        log_info("%s: one request less at a time: %s", c->rq.key, err->msg);
        l->retired = true;
        copy_go_on(c);
    } else {
        copy_fail(c, err);
    }
}

static void ended(struct lane *l, const struct err *err)
{
    struct copy *c = l->copy;
    struct err why = {0};
    l->stream = NULL;
    l->first = l->cut = false;
    if (is_leaving(c)) {
        copy_go_on(c);
    } else if (is_full(l->part)) {
        send_part(l);
        l->stalls = 0;
        copy_go_on(c);
    } else if (err) {
        broken(l, err);
    } else {
        err_set(&why, ERR_INTEGRITY, "a part of the output ended after %llu of %llu bytes",
                (unsigned long long)l->part->len, (unsigned long long)l->part->want);
        broken(l, &why);
    }
}

/* What follows a full part is another lane's: the stream is to end. */
static size_t take(struct lane *l, struct source_stream *stream, const void *data, size_t len)
{
    struct copy *c = l->copy;
    if (is_leaving(c))
        return len;
    size_t taken = copy_pour(c, l->part, data, len);
    if (is_full(l->part) && (taken < len || l->first) && !l->cut) {
        l->cut = true;
        c->rq.source->ops->cancel(stream);
    }
    return taken;
}

static int on_open(void *arg, const struct source_meta *meta, struct err *err)
{
    struct lane *l = arg;
    struct copy *c = l->copy;
    if (is_leaving(c))
        return err_set(err, ERR_CANCELLED, "cancelled");
    bool same = meta->validator && strcmp(meta->validator, c->validator) == 0;
    if (!same || meta->offset != l->part->offset + l->part->len) {
        c->changed = true;
        c->one_stream |= same; /* what it says of ranges is not so */
        return err_set(err, ERR_NETWORK,
                       same ? "the source does not serve ranges"
                            : "the output has changed since it was begun");
    }
    if (meta->size >= 0 && meta->size != c->size)
        return err_set(err, ERR_INTEGRITY, "the output had %lld bytes, now it has %lld",
                       (long long)c->size, (long long)meta->size);
    return 0;
}

static size_t on_data(void *arg, const void *data, size_t len)
{
    struct lane *l = arg;
    return take(l, l->stream, data, len);
}

static void *room(void *arg, size_t *len)
{
    struct lane *l = arg;
    return is_leaving(l->copy) ? NULL : copy_part_room(l->part, len);
}

static void on_end(void *arg, const struct err *err)
{
    ended(arg, err);
}

static void open_lane(struct lane *l)
{
    static const struct source_events events = {
        .on_open = on_open, .on_data = on_data, .room = room, .on_end = on_end};
    struct copy *c = l->copy;
    struct source_range range = {
        .offset = l->part->offset + l->part->len,
        .len = l->part->want - l->part->len,
        .validator = c->validator,
    };
    l->had = l->part->len;
    l->stream = c->rq.source->ops->open(c->rq.source, c->rq.job, c->rq.index, &range, &events, l);
}

size_t copy_ranges_first_data(struct copy *c, const void *data, size_t len)
{
    return take(&c->lanes[0], c->stream, data, len);
}

void copy_ranges_first_ended(struct copy *c, const struct err *err)
{
    ended(&c->lanes[0], err);
}

/* ---- who does what ---- */

/* The part of a lane that has been given up, or NULL. */
static struct part *left_behind(struct copy *c)
{
    for (struct lane *l = c->lanes; l < c->lanes + c->n_lanes; l++) {
        struct part *p = l->part;
        if (!l->retired || !p)
            continue;
        l->part = NULL;
        return p;
    }
    return NULL;
}

/* A part for an idle lane; NULL: none for now, or the copy has failed. */
static struct part *next_part(struct copy *c)
{
    uint64_t offset, len;
    struct part *p = left_behind(c);
    if (p || c->next_number > c->n_parts)
        return p;
    CHECK(plan_part(&c->layout, c->next_number, &offset, &len));
    p = copy_spare_part(c);
    if (!p)
        return NULL;
    copy_begin_part(c, p, offset, len);
    p->taken = true;
    return p;
}

bool copy_ranges_go_on(struct copy *c)
{
    struct err err = {0};
    if (c->n_crcs == c->n_parts) {
        c->ended = true;
        if (digest_check(&c->digest, &err) == 0)
            return true;
        copy_fail(c, &err);
        return false;
    }
    if (!copy_has_time(c)) {
        copy_hand_over(c);
        return false;
    }
    for (unsigned i = 0; i < c->n_lanes; i++) {
        struct lane *l = &c->lanes[i];
        if (l->part || l->retired)
            continue;
        l->part = next_part(c);
        if (!l->part) /* for the others neither */
            return false;
        l->stalls = 0;
        open_lane(l);
    }
    return false;
}
