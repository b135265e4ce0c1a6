/* SPDX-License-Identifier: Apache-2.0
 *
 * sink_s3_lost: removes uploads of ours whose ids got lost.
 *
 * Where the answer to CreateMultipartUpload does not arrive, the request is repeated, and the store
 * may then hold two uploads of which one has a name. Nothing in a listing says who began an upload,
 * and another process may be storing the same job. So this is done last, when the upload that has a
 * name is completed or aborted, or when none has got a name, and one is taken for ours if
 * - it is of this very key, and begun while our request was being repeated (by the store's clock),
 * - and it has no part to this day: what another process began then has got some since.
 * One that was slower than our whole transfer finds its upload gone, and begins a new one
 * (ERR_SPENT): no harm comes to what it stores. Where no answer got lost nothing is asked.
 *
 * The same for a job that was tried before by a process that may have died between the answer and
 * writing it down: then since when is not known, and all without a part are taken for ours.
 */
#include <stdlib.h>
#include <string.h>

#include "aws/s3_error.h"
#include "core/log.h"
#include "core/mem.h"
#include "sink/sink_s3_private.h"

enum {
    SLACK_MS = 2000, /* dates are to the second, and a store has more than one clock */
    LOST_MAX = 64,   /* many times what could be ours */
};

static void next(struct sink_op *op);

void sink_s3_lost_release(struct sink_op *op)
{
    for (size_t i = 0; i < op->n_lost; i++)
        free(op->lost[i]);
    free(op->lost);
}

static void leave(const struct sink_op *op, const struct err *err)
{
    struct buf where = BUF_INIT(4096);
    s3_locate(op->sink->s3, op->upload->key, &where);
    log_warn("%s: an upload may be left there that nobody can finish; egress sweep undoes it: %s",
             buf_str(&where), err->msg);
    buf_release(&where);
}

/* With the one at the end of the list. */
static void done_with(struct sink_op *op, const struct err *err)
{
    if (err && !s3_error_upload_gone(err))
        leave(op, err);
    free(op->lost[--op->n_lost]);
    next(op);
}

static void on_aborted(void *arg, const struct err *err)
{
    done_with(arg, err);
}

static void on_part(void *arg, uint32_t number, uint64_t size, const char *etag,
                    const uint32_t *crc32c)
{
    (void)number;
    (void)size;
    (void)etag;
    (void)crc32c;
    struct sink_op *op = arg;
    op->lost_in_use = true;
}

static void on_parts(void *arg, const struct err *err)
{
    struct sink_op *op = arg;
    if (err || op->lost_in_use)
        done_with(op, err);
    else
        op->call = s3_abort_upload(op->sink->s3, op->upload->key, op->lost[op->n_lost - 1],
                                   on_aborted, op);
}

static void next(struct sink_op *op)
{
    op->call = NULL;
    op->lost_in_use = false;
    if (op->n_lost && !op->cancelled)
        op->call = s3_list_parts(op->sink->s3, op->upload->key, op->lost[op->n_lost - 1], on_part,
                                 on_parts, op);
    else
        sink_s3_op_end(op, op->refusal.code == ERR_NONE ? NULL : &op->refusal);
}

static void on_upload(void *arg, const char *key, const char *id, int64_t started_ms)
{
    struct sink_op *op = arg;
    const struct sink_upload *upload = op->upload;
    if (op->n_lost == LOST_MAX || strcmp(key, upload->key) != 0 ||
        (upload->id && strcmp(id, upload->id) == 0) ||
        started_ms < upload->created.from_ms - SLACK_MS ||
        started_ms > upload->created.to_ms + SLACK_MS)
        return;
    op->lost = xrealloc(op->lost, (op->n_lost + 1) * sizeof(op->lost[0]));
    op->lost[op->n_lost++] = xstrdup(id);
}

static void on_uploads(void *arg, const struct err *err)
{
    struct sink_op *op = arg;
    if (err)
        leave(op, err);
    next(op);
}

bool sink_s3_lost_begin(struct sink_op *op, const struct err *err)
{
    struct sink_upload *upload = op->upload;
    bool completing = op->object != NULL;
    if (!upload->created.lost || op->cancelled || (completing && err)) /* else an abort follows */
        return false;
    upload->created.lost = 0;
    op->ends_upload = false;
    op->refusal = err ? *err : (struct err){0};
    op->call = s3_list_uploads(op->sink->s3, upload->key, on_upload, on_uploads, op);
    return true;
}

void sink_s3_lost_suspect(struct sink_upload *upload)
{
    upload->created.lost++;
    upload->created.from_ms = 0;
    upload->created.to_ms = INT64_MAX / 2; /* no sum with it overflows */
}

struct sink_op *sink_s3_abort_unnamed(struct sink *sink, const char *key, sink_done_fn *done,
                                      void *arg)
{
    struct sink_op *op = sink_s3_op_new(sink_s3_of(sink), done, arg);
    op->upload = xcalloc(1, sizeof(*op->upload)); /* has no name itself */
    op->upload->sink = op->sink;
    op->upload->key = sink_s3_key(op->sink, key);
    op->upload_out = &op->upload; /* freed with the op */
    sink_s3_lost_suspect(op->upload);
    CHECK(sink_s3_lost_begin(op, NULL));
    return op;
}
