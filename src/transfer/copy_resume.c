/* SPDX-License-Identifier: Apache-2.0
 *
 * copy_resume: what is written down of an upload, and going on with one that another process began.
 *
 * Written before the first part is sent (so that no upload is unknown), and again every two
 * seconds: the CRC32C of each part sent, without which the whole's is not known. Which parts
 * arrived the store tells.
 */
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/crc32c.h"
#include "core/log.h"
#include "core/mem.h"
#include "transfer/copy_private.h"

enum { RECORD_MS = 2000 }; /* so much work is lost at most, besides what is in flight */

void copy_release_record(struct copy *c)
{
    free(c->crcs);
    free(c->stored);
    c->crcs = NULL;
    c->stored = NULL;
    c->n_crcs = c->crcs_size = c->n_recorded = 0;
}

void copy_keep_crc(struct copy *c, uint32_t crc32c)
{
    if (c->n_crcs == c->crcs_size) {
        c->crcs_size = c->crcs_size ? 2 * c->crcs_size : 64;
        c->crcs = xrealloc(c->crcs, c->crcs_size * sizeof(c->crcs[0]));
    }
    c->crcs[c->n_crcs++] = crc32c;
}

static void on_recorded(void *arg, const struct err *err)
{
    struct copy *c = arg;
    c->recording = NULL;
    if (err && c->state == COPY_RECORD)
        copy_fail(c, err);
    else if (err && c->record_last)
        c->err = *err;
    else if (err && c->state != COPY_ABORT)
        log_warn("%s: how far it is could not be written down: %s", c->rq.key, err->msg);
    copy_go_on(c);
}

bool copy_record(struct copy *c, bool now)
{
    /* Without a validator nobody can go on with it. */
    if (!c->rq.record || !c->rq.sink->ops->reopen || !c->validator || !c->upload || c->recording)
        return false;
    uint32_t fresh = c->n_crcs - c->n_recorded;
    int64_t age_ms = clock_mono_ms() - c->recorded_ms;
    if (!now && (fresh == 0 || age_ms < RECORD_MS))
        return false;
    struct sink_upload_name name = c->rq.sink->ops->upload_name(c->upload);
    struct receipt_upload upload = {
        .key = (char *)c->rq.key,
        .id = (char *)name.id,
        .attempt = (char *)name.attempt,
        .layout = c->layout,
        .validator = c->validator,
        .content_type = c->content_type,
        .content_encoding = c->content_encoding,
        .started_ms = c->begun_ms,
        .written_ms = clock_wall_ms(),
        .hops = (c->rq.resume ? c->rq.resume->hops : 0) + (c->record_last ? 1 : 0),
        .n_crcs = c->n_crcs,
        .crcs = c->crcs,
    };
    c->n_recorded = c->n_crcs;
    c->recorded_ms = clock_mono_ms();
    c->recording = c->rq.record(c->rq.record_arg, &upload, c->record_etag, on_recorded, c);
    return true;
}

static void on_forgotten(void *arg, const struct err *err)
{
    struct copy *c = arg;
    c->recording = NULL;
    /* It names an upload that is gone: the next run sees that. Deleting may not be allowed. */
    if (err)
        log_debug("%s: its record stays: %s", c->rq.key, err->msg);
    copy_wind_down(c);
}

bool copy_forget(struct copy *c)
{
    if (!*c->record_etag)
        return false;
    c->recording = c->rq.record(c->rq.record_arg, NULL, c->record_etag, on_forgotten, c);
    *c->record_etag = '\0';
    return true;
}

/* ---- going on ---- */

static void on_part(void *arg, uint32_t number, uint64_t size, const uint32_t *crc32c)
{
    struct copy *c = arg;
    if (number > c->rq.resume->n_crcs)
        return;
    /* What the store kept is not what was sent: as if it were not there. */
    if (!crc32c || *crc32c == c->rq.resume->crcs[number - 1])
        c->stored[number - 1] = size;
}

/* Takes over the parts from 1 on that are there without a gap, in their planned sizes. */
static void take_over(struct copy *c)
{
    const struct receipt_upload *from = c->rq.resume;
    uint64_t offset, len;
    c->layout = from->layout;
    c->size = from->layout.size;
    c->begun_ms = from->started_ms;
    for (uint32_t n = 1; n <= from->n_crcs && plan_part(&c->layout, n, &offset, &len); n++) {
        if (c->stored[n - 1] != len)
            break;
        digest_part(&c->digest, from->crcs[n - 1], len);
        copy_keep_crc(c, from->crcs[n - 1]);
        c->received = offset + len;
        c->next_number = n + 1;
    }
    c->n_recorded = c->n_crcs;
    c->first_number = c->next_number;
    c->result.resumed = c->received;
    /* The first buffer of an upload is had as ever; one in its middle like one that grows. */
    CHECK(plan_part(&c->layout, 1, &offset, &len));
    c->part_bytes = c->next_number == 1 ? len : 0;
    free(c->stored);
    c->stored = NULL;
}

static void on_reopened(void *arg, const struct err *err)
{
    struct copy *c = arg;
    c->op = NULL;
    if (c->state == COPY_ABORT || c->state == COPY_HAND_OVER) {
        copy_go_on(c);
        return;
    }
    if (err && err->code == ERR_NOT_FOUND) { /* it was undone, or completed and then looked at */
        log_warn("%s: begun anew: the upload that an earlier run has left is gone", c->rq.key);
        c->rq.resume = NULL;
        c->lost = true;
        copy_set_state(c, COPY_GATHER);
        copy_open_stream(c);
        return;
    }
    if (err) {
        copy_fail(c, err);
        return;
    }
    take_over(c);
    log_info("%s: goes on from byte %llu, which an earlier run had stored", c->rq.key,
             (unsigned long long)c->received);
    c->opened = c->resumed = true;
    c->ranges = true; /* until the source says otherwise */
    c->began_at = c->received;
    copy_set_state(c, COPY_PARTS);
    if (c->size >= 0 && c->received == (uint64_t)c->size) {
        c->ended = true;
        copy_go_on(c);
    } else {
        copy_open_stream(c);
    }
}

void copy_reopen(struct copy *c)
{
    const struct receipt_upload *from = c->rq.resume;
    struct sink_upload_name name = {from->id, from->attempt};
    c->validator = xstrdup(from->validator);
    c->content_type = xstrdup(from->content_type);
    c->content_encoding = xstrdup(from->content_encoding);
    c->object.content_type = c->content_type;
    c->object.content_encoding = c->content_encoding;
    c->stored = xcalloc(from->n_crcs, sizeof(c->stored[0]));
    c->op =
        c->rq.sink->ops->reopen(c->rq.sink, &c->object, &name, &c->upload, on_part, on_reopened, c);
}

static void on_unnamed_dropped(void *arg, const struct err *err)
{
    struct copy *c = arg;
    (void)err; /* logged by the sink */
    c->op = NULL;
    copy_wind_down(c);
}

static void drop_unnamed(struct copy *c)
{
    const struct sink_ops *ops = c->rq.sink->ops;
    if (!c->rq.tried_before || !ops->abort_unnamed) {
        copy_wind_down(c);
        return;
    }
    copy_stop_all(c); /* the output may be arriving, or wait for room in a buffer */
    c->op = ops->abort_unnamed(c->rq.sink, c->rq.key, on_unnamed_dropped, c);
}

static void on_dropped(void *arg, const struct err *err)
{
    struct copy *c = arg;
    c->op = NULL;
    if (err)
        log_warn("%s: an upload that an earlier run has left stays (egress sweep removes it): %s",
                 c->rq.key, err->msg);
    drop_unnamed(c);
}

void copy_drop_left(struct copy *c)
{
    if (c->upload) { /* its own end does all that */
        copy_wind_down(c);
        return;
    }
    if (!c->rq.resume) {
        drop_unnamed(c);
        return;
    }
    copy_stop_all(c);
    c->op =
        c->rq.sink->ops->abort_unfinished(c->rq.sink, c->rq.key, c->rq.resume->id, on_dropped, c);
}
