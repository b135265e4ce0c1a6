/* SPDX-License-Identifier: Apache-2.0 */
#include "transfer/receipt_io.h"

#include <stdlib.h>
#include <string.h>

#include "core/crc32c.h"
#include "core/log.h"
#include "core/mem.h"

struct receipt_io {
    struct sink *sink;
    struct sink_op *op;
    sink_done_fn *done;
    void *arg;
    char *key; /* owned */
    struct buf text;
    /* of a writing */
    char *marker; /* owned; NULL: none is to be put or removed */
    bool uploading;
    struct sink_object object;
    char *etag; /* borrowed, or NULL */
    bool too_large;
    /* of a reading */
    const char *source; /* borrowed: a literal of the source */
    char job[JOB_ID_MAX + 1];
    struct receipt *out;
};

static struct receipt_io *new_io(struct sink *sink, const char *source, const char *job,
                                 sink_done_fn *done, void *arg)
{
    struct receipt_io *io = xcalloc(1, sizeof(*io));
    io->sink = sink;
    io->done = done;
    io->arg = arg;
    io->key = receipt_key(source, job);
    io->text = BUF_INIT(RECEIPT_BYTES_MAX);
    return io;
}

static void finish(struct receipt_io *io, const struct err *err)
{
    io->done(io->arg, err);
    buf_release(&io->text);
    free(io->key);
    free(io->marker);
    free(io);
}

static int on_data(void *arg, const void *data, size_t len)
{
    struct receipt_io *io = arg;
    io->too_large |= buf_append(&io->text, data, len) < 0;
    return io->too_large ? -1 : 0;
}

static void on_read(void *arg, const struct err *err)
{
    struct receipt_io *io = arg;
    struct err why = {0};
    if (io->too_large)
        err_set(&why, ERR_INPUT, "%s is over %d bytes: no receipt", io->key, RECEIPT_BYTES_MAX);
    else if (err)
        why = *err;
    else
        (void)!receipt_parse(buf_str(&io->text), io->text.len, io->source, io->job, io->out, &why);
    finish(io, why.code == ERR_NONE ? NULL : &why);
}

struct receipt_io *receipt_read(struct sink *sink, const char *source, const char *job,
                                struct receipt *out, sink_done_fn *done, void *arg)
{
    struct receipt_io *io = new_io(sink, source, job, done, arg);
    io->source = source;
    memcpy(io->job, job, strlen(job) + 1);
    io->out = out;
    io->op = sink->ops->read(sink, io->key, on_data, on_read, io);
    return io;
}

static void on_unmarked(void *arg, const struct err *err)
{
    struct receipt_io *io = arg;
    /* It only says that the receipt should be read. Deleting may not be allowed. */
    if (err)
        log_debug("%s stays: %s", io->marker, err->msg);
    finish(io, NULL);
}

static void on_written(void *arg, const struct err *err)
{
    struct receipt_io *io = arg;
    if (err || !io->marker || io->uploading)
        finish(io, err);
    else
        io->op = io->sink->ops->remove(io->sink, io->marker, "", on_unmarked, io);
}

static void write_text(struct receipt_io *io)
{
    io->object = (struct sink_object){
        .key = io->key, .content_type = "application/json", .condition = SINK_ALWAYS};
    io->op =
        io->sink->ops->put(io->sink, &io->object, buf_str(&io->text), io->text.len,
                           crc32c(0, buf_str(&io->text), io->text.len), io->etag, on_written, io);
}

static void on_marked(void *arg, const struct err *err)
{
    struct receipt_io *io = arg;
    if (err)
        finish(io, err);
    else
        write_text(io);
}

struct receipt_io *receipt_write(struct sink *sink, const struct receipt *receipt, bool marked,
                                 char etag[128], sink_done_fn *done, void *arg)
{
    struct receipt_io *io = new_io(sink, receipt->source, receipt->job, done, arg);
    struct err err = {0};
    /* transfer keeps the texts in it short. */
    CHECK(receipt_format(receipt, &io->text, &err) == 0);
    io->uploading = receipt->state == RECEIPT_UPLOADING;
    io->etag = etag;
    if (io->uploading != marked)
        io->marker = receipt_marker_key(receipt->source, receipt->job);
    if (io->uploading && io->marker) {
        io->object = (struct sink_object){.key = io->marker, .condition = SINK_ALWAYS};
        io->op = sink->ops->put(sink, &io->object, "", 0, 0, NULL, on_marked, io);
    } else {
        write_text(io);
    }
    return io;
}

static void on_removed(void *arg, const struct err *err)
{
    finish(arg, err);
}

struct receipt_io *receipt_remove(struct sink *sink, const char *source, const char *job,
                                  const char *etag, sink_done_fn *done, void *arg)
{
    struct receipt_io *io = new_io(sink, source, job, done, arg);
    io->op = sink->ops->remove(sink, io->key, etag, on_removed, io);
    return io;
}

void receipt_io_cancel(struct receipt_io *io)
{
    io->sink->ops->cancel(io->op);
}
