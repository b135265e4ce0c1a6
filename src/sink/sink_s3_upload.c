/* SPDX-License-Identifier: Apache-2.0
 *
 * sink_s3_upload: large objects: the multipart uploads of sink_s3.
 */
#include <stdlib.h>
#include <string.h>

#include "aws/s3_error.h"
#include "core/mem.h"
#include "sink/sink_s3_private.h"

enum {
    ABORTS_MAX = 5,
    ABORT_DELAY_MS = 250, /* before the second; doubled for each further one */
};

void sink_s3_upload_free(struct sink_upload *upload)
{
    if (!upload)
        return;
    for (uint32_t i = 0; i < upload->n_parts; i++)
        free(upload->parts[i].etag);
    free(upload->parts);
    free(upload->id);
    free(upload->key);
    free(upload);
}

static void begin_failed(struct sink_op *op, const struct err *err)
{
    struct err why = *err;
    if (op->upload->created.lost && op->cancelled) {
        err_set(&why, err->code, "%s (an upload may be left there; egress sweep undoes it)",
                err->msg);
        why.http_status = err->http_status;
        why.retry_after_ms = err->retry_after_ms;
    }
    op->ends_upload = true; /* it may have been begun all the same */
    sink_s3_op_end(op, &why);
}

static void hand_over(struct sink_op *op)
{
    if (op->upload->object->tried_before)
        sink_s3_lost_suspect(op->upload);
    *op->upload_out = op->upload;
    op->upload_out = NULL;
    sink_s3_op_end(op, NULL);
}

static void begin_done(void *arg, const struct err *err)
{
    struct sink_op *op = arg;
    if (err) {
        begin_failed(op, err);
        return;
    }
    op->upload->id = op->upload->created.upload_id;
    hand_over(op);
}

struct sink_op *sink_s3_begin(struct sink *sink, const struct sink_object *object,
                              struct sink_upload **out, sink_done_fn *done, void *arg)
{
    struct sink_op *op = sink_s3_op_new(sink_s3_of(sink), done, arg);
    struct sink_upload *upload = xcalloc(1, sizeof(*upload));
    upload->sink = op->sink;
    upload->object = object;
    upload->key = sink_s3_key(op->sink, object->key);
    sink_s3_new_attempt(upload->attempt);
    op->upload = upload;
    op->upload_out = out;
    struct s3_object o = sink_s3_describe(object, upload->key, upload->attempt);
    op->call = s3_create_upload(op->sink->s3, &o, &upload->created, begin_done, op);
    return op;
}

/* crc32c: NULL when it is not known. */
static void keep_part(struct sink_upload *upload, uint32_t number, const char *etag,
                      const uint32_t *crc32c)
{
    if (number > upload->n_parts) {
        upload->parts = xrealloc(upload->parts, number * sizeof(upload->parts[0]));
        for (uint32_t i = upload->n_parts; i < number; i++)
            upload->parts[i] = (struct s3_part){0};
        upload->n_parts = number;
    }
    struct s3_part *part = &upload->parts[number - 1];
    free(part->etag);
    *part = (struct s3_part){xstrdup(etag), crc32c, crc32c ? *crc32c : 0};
}

static void part_done(void *arg, const struct err *err)
{
    struct sink_op *op = arg;
    if (!err)
        keep_part(op->upload, op->part_number, op->etag, &op->crc32c);
    else if (!err->http_status)
        op->upload->strays = true;
    struct err spent = {0};
    if (err && s3_error_upload_gone(err)) {
        spent = *err;
        spent.code = ERR_SPENT;
        err = &spent;
    }
    sink_s3_op_end(op, err);
}

struct sink_op *sink_s3_part(struct sink_upload *upload, uint32_t number, uint64_t offset,
                             const void *data, size_t len, uint32_t crc32c, sink_done_fn *done,
                             void *arg)
{
    (void)offset;
    struct sink_op *op = sink_s3_op_new(upload->sink, done, arg);
    op->upload = upload;
    op->part_number = number;
    op->crc32c = crc32c;
    op->call = s3_upload_part(upload->sink->s3, upload->key, upload->id, number, data, len, crc32c,
                              op->etag, part_done, op);
    return op;
}

static void complete_send(struct sink_op *op)
{
    struct s3_object o = sink_s3_described(op);
    struct s3_parts parts = {
        .upload_id = op->upload->id,
        .parts = op->upload->parts,
        .n = op->n_parts,
        .size = op->size,
        .crc32c = op->crc32c,
    };
    op->call = s3_complete_upload(op->sink->s3, &o, &parts, op->etag, sink_s3_stored_or_not, op);
}

struct sink_op *sink_s3_complete(struct sink_upload *upload, uint32_t n_parts, uint64_t size,
                                 uint32_t crc32c, char etag_out[128], sink_done_fn *done, void *arg)
{
    CHECK(n_parts >= 1 && n_parts <= upload->n_parts);
    for (uint32_t i = 0; i < n_parts; i++)
        CHECK(upload->parts[i].etag);
    struct sink_op *op = sink_s3_op_new(upload->sink, done, arg);
    op->key = xstrdup(upload->key);
    op->upload = upload;
    op->object = upload->object;
    op->n_parts = n_parts;
    op->size = size;
    op->crc32c = crc32c;
    op->etag_out = etag_out;
    op->ends_upload = true;
    op->send = complete_send;
    memcpy(op->attempt, upload->attempt, sizeof(op->attempt));
    sink_s3_store(op);
    return op;
}

static void abort_send(struct sink_op *op);

/* After a wait. */
void sink_s3_abort_again(void *arg)
{
    struct sink_op *op = arg;
    struct err err = {0};
    if (!op->cancelled) {
        abort_send(op);
        return;
    }
    err_set(&err, ERR_CANCELLED, "AbortMultipartUpload was cancelled");
    sink_s3_op_end(op, &err);
}

static void abort_done(void *arg, const struct err *err)
{
    struct sink_op *op = arg;
    op->call = NULL;
    if (err && s3_error_upload_gone(err)) {
        sink_s3_op_end(op, NULL);
        return;
    }
    bool again = err ? err_is_retryable(err) : op->upload->strays;
    if (again && op->tries < ABORTS_MAX && !op->cancelled)
        loop_timer_start(op->sink->loop, &op->timer, (int64_t)ABORT_DELAY_MS << (op->tries - 1),
                         sink_s3_abort_again, op);
    else
        sink_s3_op_end(op, err);
}

static void abort_send(struct sink_op *op)
{
    op->tries++;
    op->call = s3_abort_upload(op->sink->s3, op->upload->key, op->upload->id, abort_done, op);
}

struct sink_op *sink_s3_abort(struct sink_upload *upload, sink_done_fn *done, void *arg)
{
    struct sink_op *op = sink_s3_op_new(upload->sink, done, arg);
    op->upload = upload;
    op->ends_upload = true;
    abort_send(op);
    return op;
}

/* ---- uploads of other processes ---- */

struct sink_upload_name sink_s3_upload_name(const struct sink_upload *upload)
{
    return (struct sink_upload_name){upload->id, upload->attempt};
}

static void on_part(void *arg, uint32_t number, uint64_t size, const char *etag,
                    const uint32_t *crc32c)
{
    struct sink_op *op = arg;
    keep_part(op->upload, number, etag, crc32c);
    op->part(op->arg, number, size, crc32c);
}

static void reopen_done(void *arg, const struct err *err)
{
    struct sink_op *op = arg;
    struct err gone = {0};
    if (!err) {
        hand_over(op);
        return;
    }
    if (s3_error_upload_gone(err)) {
        err_set(&gone, ERR_NOT_FOUND, "%s", err->msg);
        err = &gone;
    }
    sink_s3_op_end(op, err);
}

struct sink_op *sink_s3_reopen(struct sink *sink, const struct sink_object *object,
                               const struct sink_upload_name *name, struct sink_upload **out,
                               sink_part_fn *part, sink_done_fn *done, void *arg)
{
    struct sink_op *op = sink_s3_op_new(sink_s3_of(sink), done, arg);
    struct sink_upload *upload = xcalloc(1, sizeof(*upload));
    upload->sink = op->sink;
    upload->object = object;
    upload->key = sink_s3_key(op->sink, object->key);
    upload->id = xstrdup(name->id);
    snprintf(upload->attempt, sizeof(upload->attempt), "%s", name->attempt);
    upload->strays = true; /* another process may still be sending */
    op->upload = upload;
    op->upload_out = out;
    op->part = part;
    op->reopening = true;
    op->call = s3_list_parts(op->sink->s3, upload->key, upload->id, on_part, reopen_done, op);
    return op;
}

static void on_unfinished(void *arg, const char *key, const char *id, int64_t started_ms)
{
    struct sink_op *op = arg;
    size_t len = strlen(op->sink->prefix);
    if (strncmp(key, op->sink->prefix, len) == 0 && key[len])
        op->each_unfinished(op->arg, key + len, id, started_ms);
}

struct sink_op *sink_s3_list_unfinished(struct sink *sink, sink_unfinished_fn *each,
                                        sink_done_fn *done, void *arg)
{
    struct sink_op *op = sink_s3_op_new(sink_s3_of(sink), done, arg);
    op->each_unfinished = each;
    op->call =
        s3_list_uploads(op->sink->s3, op->sink->prefix, on_unfinished, sink_s3_plain_done, op);
    return op;
}

static void unfinished_aborted(void *arg, const struct err *err)
{
    sink_s3_op_end(arg, err && s3_error_upload_gone(err) ? NULL : err);
}

struct sink_op *sink_s3_abort_unfinished(struct sink *sink, const char *key, const char *id,
                                         sink_done_fn *done, void *arg)
{
    struct sink_op *op = sink_s3_op_new(sink_s3_of(sink), done, arg);
    op->key = sink_s3_key(op->sink, key);
    op->call = s3_abort_upload(op->sink->s3, op->key, id, unfinished_aborted, op);
    return op;
}
