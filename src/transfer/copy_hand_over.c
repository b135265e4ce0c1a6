/* SPDX-License-Identifier: Apache-2.0
 *
 * copy_hand_over: stopping in mid-upload so that another process goes on, and knowing when to.
 *
 * Nothing is undone: what is under way to the store is waited for (until the deadline), the bytes
 * of the part that is being filled are let go, and how far it is is written down once more.
 */
#include "core/buf.h"
#include "core/clock.h"
#include "core/log.h"
#include "transfer/copy_private.h"

static int64_t stop_ms(const struct copy *c)
{
    return c->rq.deadline ? c->rq.deadline->stop_ms : 0;
}

/* Whether another process could go on with what this one has stored. */
static bool can_be_gone_on_with(const struct copy *c)
{
    return c->rq.record && c->rq.sink->ops->reopen && c->validator && c->ranges &&
           !c->layout.single;
}

bool copy_has_time(const struct copy *c)
{
    return stop_ms(c) == 0 || !can_be_gone_on_with(c) || clock_mono_ms() + c->part_ms < stop_ms(c);
}

void copy_part_took(struct copy *c, const struct part *p)
{
    int64_t took_ms = clock_mono_ms() - p->sent_ms;
    int64_t faded_ms = c->part_ms - c->part_ms / 4;
    c->part_ms = took_ms > faded_ms ? took_ms : faded_ms;
    c->stored_bytes += p->len;
    copy_ranges_stored(c, p->number);
    c->progressed |= p->number == c->first_number;
}

/* How long the whole output takes at the pace it had so far; 0: not known. */
static int64_t whole_ms(const struct copy *c)
{
    int64_t spent_ms = clock_mono_ms() - c->began_ms;
    uint64_t brought = c->received - c->began_at;
    if (c->size < 0 || brought == 0)
        return 0;
    return (int64_t)((double)c->size / (double)brought * (double)spent_ms);
}

static void go_on(void *arg)
{
    copy_go_on(arg);
}

static void fail_slow(struct copy *c, int64_t spent_ms, int64_t run_ms)
{
    struct buf of = BUF_INIT(64);
    if (c->size >= 0)
        buf_printf(&of, " of %lld", (long long)c->size);
    err_set(
        &c->err, ERR_DEADLINE,
        "%llu%s bytes arrived in %lld ms, which is too slow for the %lld s that a run may take, "
        "and the rest cannot be fetched in another (its source serves no ranges, or receipts "
        "are off); egress worker and egress fetch have no such limit",
        (unsigned long long)c->received, buf_str(&of), (long long)spent_ms,
        (long long)(run_ms + 999) / 1000);
    buf_release(&of);
}

/* It cannot be finished in time, and there is nothing to hand over. */
static void fail_late(struct copy *c)
{
    const struct copy_deadline *d = c->rq.deadline;
    int64_t run_ms = stop_ms(c) ? d->stop_ms - d->began_ms : 0;
    int64_t spent_ms = c->began_ms ? clock_mono_ms() - c->began_ms : 0;
    bool had_most = spent_ms > run_ms - run_ms / 8;
    if (run_ms == 0)
        err_set(&c->err, ERR_CANCELLED, "stopped before a part of it was stored");
    else if (c->opened && !can_be_gone_on_with(c) && (whole_ms(c) > run_ms || had_most))
        fail_slow(c, spent_ms, run_ms);
    else
        err_set(&c->err, ERR_TIMEOUT, "the time of this run was up before a part was stored");
    copy_set_state(c, COPY_ABORT);
    loop_timer_start(c->rq.loop, &c->timer, 0, go_on, c); /* completes from the loop */
}

void copy_hand_over(struct copy *c)
{
    switch (c->state) {
    case COPY_PARTS:
    case COPY_DRAIN:
    case COPY_RECORD:
        if (!can_be_gone_on_with(c)) {
            fail_late(c);
            return;
        }
        break;
    case COPY_REOPEN: /* what an earlier one has stored stays */
        break;
    case COPY_PUBLISH: /* it ends by itself, unless it would begin anew */
    case COPY_ABORT:
        copy_cancel(c);
        return;
    case COPY_SETTLE:
    case COPY_HAND_OVER:
    case COPY_DONE:
        return;
    default:
        fail_late(c);
        return;
    }
    copy_set_state(c, COPY_HAND_OVER);
    loop_timer_start(c->rq.loop, &c->timer, 0, go_on, c); /* completes from the loop */
}

bool copy_keep_left(struct copy *c)
{
    enum err_code code = c->err.code;
    bool passing = code == ERR_NETWORK || code == ERR_TIMEOUT ||
                   (code == ERR_HTTP && err_is_retryable(&c->err));
    if (!c->rq.resume || !passing || (c->state != COPY_PARTS && c->state != COPY_DRAIN))
        return false;
    copy_set_state(c, COPY_HAND_OVER);
    loop_timer_start(c->rq.loop, &c->timer, 0, go_on, c); /* completes from the loop */
    return true;
}

void copy_hand_over_step(struct copy *c)
{
    if (!c->leaving) {
        c->leaving = true;
        part_pool_cancel(&c->claim);
        if (c->stream)
            c->rq.source->ops->cancel(c->stream);
        copy_ranges_cancel(c);
        if (c->op)
            c->rq.sink->ops->cancel(c->op);
    }
    if (c->hurried && !c->winding) {
        c->winding = true;
        for (struct part *p = c->parts; p; p = p->next)
            if (p->op)
                c->rq.sink->ops->cancel(p->op);
    }
    if (c->stream || c->claiming || c->op || c->in_flight || c->recording || copy_ranges_busy(c))
        return;
    if (c->progressed && !c->record_last) {
        c->record_last = true;
        if (copy_record(c, true))
            return; /* copy_go_on() follows */
    }
    if (!c->progressed && c->err.code == ERR_NONE)
        err_set(&c->err, stop_ms(c) ? ERR_TIMEOUT : ERR_CANCELLED,
                "stopped before a %spart of it was stored", c->rq.resume ? "further " : "");
    else if (c->lost && c->err.code == ERR_NONE) /* or it might be handed over for ever */
        err_set(&c->err, stop_ms(c) ? ERR_TIMEOUT : ERR_CANCELLED,
                "stopped; it was begun anew, as what an earlier run had stored was of no use");
    if (!c->progressed && !c->rq.resume) { /* nothing to go on with: undone */
        copy_set_state(c, COPY_ABORT);
        copy_wind_down(c);
        return;
    }
    c->result.handed_over = c->err.code == ERR_NONE;
    if (c->lanes)
        c->stored_bytes = copy_ranges_stored_bytes(c);
    c->result.size = c->result.resumed + c->stored_bytes;
    copy_finish(c);
}

void copy_tick(struct copy *c)
{
    int64_t now_ms = clock_mono_ms();
    const struct copy_deadline *d = c->rq.deadline;
    if (stop_ms(c) == 0)
        return;
    int64_t run_ms = d->stop_ms - d->began_ms;
    bool up = now_ms >= d->stop_ms;
    if (up && c->state == COPY_HAND_OVER)
        copy_cancel(c); /* parts are waited for no longer */
    else if (up || (c->state == COPY_PARTS && !copy_has_time(c)))
        copy_hand_over(c);
    else if (c->opened && !can_be_gone_on_with(c) && now_ms - c->began_ms > run_ms / 8 &&
             whole_ms(c) > run_ms + run_ms / 4 && c->state < COPY_DRAIN)
        fail_late(c);
}
