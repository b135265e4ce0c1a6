/* SPDX-License-Identifier: Apache-2.0
 *
 * copy_look: what is under the key, before anything is stored there and when it was found taken.
 */
#include <string.h>

#include "transfer/copy_private.h"

static bool is_ours(const struct copy *c)
{
    return strcmp(c->stat.source, c->rq.source->ops->name) == 0 &&
           strcmp(c->stat.job, c->rq.job->id) == 0;
}

static void take_existing(struct copy *c)
{
    c->already = true;
    c->result.size = c->stat.size;
    c->result.has_crc32c = c->stat.has_crc32c;
    c->result.crc32c = c->stat.crc32c;
    memcpy(c->result.etag, c->stat.etag, sizeof(c->result.etag));
    copy_set_state(c, COPY_ABORT);
    copy_drop_left(c);
}

static void fail_conflict(struct copy *c)
{
    struct buf where = BUF_INIT(4096);
    struct err err = {0};
    c->rq.sink->ops->locate(c->rq.sink, c->rq.key, &where);
    if (c->stat.job[0])
        err_set(&err, ERR_CONFLICT,
                "%s holds the output of another job (%s); a --key with {job_id} in it keeps them "
                "apart",
                buf_str(&where), c->stat.job);
    else
        err_set(&err, ERR_CONFLICT,
                "%s exists and is not this job's output; move it, choose another --key, or replace "
                "it with --force",
                buf_str(&where));
    buf_release(&where);
    copy_fail(c, &err);
}

static void fail_changed_hands(struct copy *c)
{
    struct err err = {0};
    err_set(&err, ERR_PROTOCOL, "the key changed hands while the output was being stored");
    copy_fail(c, &err);
}

static void on_looked(void *arg, const struct err *err)
{
    struct copy *c = arg;
    c->op = NULL;
    bool unnamed = !c->stat.job[0];
    if (c->state == COPY_ABORT) {
        copy_wind_down(c);
        return;
    }
    if (err) {
        copy_fail(c, err);
        return;
    }
    c->looked = true;
    c->object.condition = SINK_IF_ABSENT;
    if (c->stat.exists) {
        bool ours = is_ours(c);
        bool compares = !c->rq.sink->limits.keeps_identity;
        if (c->rq.force && (ours || unnamed)) {
            c->object.condition = SINK_IF_MATCH;
            c->object.if_match = c->stat.etag;
        } else if (ours) {
            take_existing(c);
            return;
        } else if (!unnamed || !compares) {
            fail_conflict(c);
            return;
        } /* else the sink compares the bytes when they are published */
    }
    if (c->opened) {
        copy_need_upload(c);
    } else if (c->rq.resume) {
        copy_set_state(c, COPY_REOPEN);
        copy_reopen(c);
    } else {
        copy_set_state(c, COPY_GATHER);
        copy_open_stream(c);
    }
}

void copy_look(struct copy *c)
{
    copy_set_state(c, COPY_LOOK);
    memset(&c->stat, 0, sizeof(c->stat));
    c->op = c->rq.sink->ops->stat(c->rq.sink, c->rq.key, &c->stat, on_looked, c);
}

static void on_settled(void *arg, const struct err *err)
{
    struct copy *c = arg;
    c->op = NULL;
    if (c->state == COPY_ABORT)
        copy_wind_down(c);
    else if (err)
        copy_fail(c, err);
    else if (c->stat.exists && is_ours(c) && !c->rq.force)
        take_existing(c);
    else if (!c->stat.exists || c->rq.force)
        fail_changed_hands(c);
    else
        fail_conflict(c);
}

void copy_settle(struct copy *c)
{
    copy_set_state(c, COPY_SETTLE);
    memset(&c->stat, 0, sizeof(c->stat));
    c->op = c->rq.sink->ops->stat(c->rq.sink, c->rq.key, &c->stat, on_settled, c);
}
