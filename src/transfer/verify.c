/* SPDX-License-Identifier: Apache-2.0 */
#include "transfer/verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/crc32c.h"
#include "core/mem.h"
#include "transfer/receipt_io.h"

struct checker {
    struct verify *v;
    bool busy;
    char job[JOB_ID_MAX + 1];
    struct receipt receipt;
    struct receipt_io *io;
    size_t index; /* of the output being compared */
    struct sink_stat stat;
    struct sink_op *op;
    uint64_t read_bytes;
    uint32_t crc32c;
};

struct verify {
    struct verify_config config;
    struct checker *checkers; /* owned; config.concurrency of them */
    unsigned busy;
    char **jobs; /* owned; found, the first `next` of them handed out */
    size_t n_jobs, next, jobs_size;
    struct sink_op *listing;
    char *prefix; /* owned; of the receipts' keys */
    bool cancelled;
    struct err err;
    uint64_t bytes;
    struct loop_task task;
};

static void compare_next(struct checker *c);

static void end_if_idle(struct verify *v)
{
    if (v->busy || v->listing)
        return;
    if (v->cancelled && v->err.code == ERR_NONE)
        err_set(&v->err, ERR_CANCELLED, "cancelled");
    v->config.on_end(v->config.arg, v->err.code == ERR_NONE ? NULL : &v->err);
}

static void tell(struct checker *c, enum verify_status status, bool compared, const char *message,
                 const struct err *err)
{
    bool named = c->index < c->receipt.n_outputs;
    struct verify_result result = {
        .job = c->job,
        .key = named ? c->receipt.outputs[c->index].key : "",
        .status = status,
        .size = c->stat.size,
        .compared = compared,
        .message = message,
        .err = err,
    };
    c->v->config.on_object(c->v->config.arg, &result);
}

/* ---- one object ---- */

static void judge(struct checker *c, uint64_t size, bool has_crc32c, uint32_t crc, bool compared)
{
    const struct receipt_output *o = &c->receipt.outputs[c->index];
    char msg[160] = "", want[CRC32C_TEXT_SIZE], got[CRC32C_TEXT_SIZE];
    if (size != o->size) {
        snprintf(msg, sizeof(msg), "has %llu bytes, the receipt says %llu",
                 (unsigned long long)size, (unsigned long long)o->size);
    } else if (has_crc32c && o->has_crc32c && crc != o->crc32c) {
        crc32c_format(o->crc32c, want);
        crc32c_format(crc, got);
        snprintf(msg, sizeof(msg), "has CRC32C %s, the receipt says %s", got, want);
    }
    tell(c, *msg ? VERIFY_DIFFERENT : VERIFY_OK, compared, msg, NULL);
    c->index++;
    compare_next(c);
}

static int on_data(void *arg, const void *data, size_t len)
{
    struct checker *c = arg;
    c->crc32c = crc32c(c->crc32c, data, len);
    c->read_bytes += len;
    c->v->bytes += len;
    return c->v->cancelled ? -1 : 0;
}

static void on_unreadable(struct checker *c, const struct err *err)
{
    if (err->code == ERR_NOT_FOUND)
        tell(c, VERIFY_MISSING, false, "is not there", NULL);
    else if (!c->v->cancelled)
        tell(c, VERIFY_UNKNOWN, false, err->msg, err);
    c->index++;
    compare_next(c);
}

static void on_read(void *arg, const struct err *err)
{
    struct checker *c = arg;
    c->op = NULL;
    c->stat.size = c->read_bytes;
    if (err)
        on_unreadable(c, err);
    else
        judge(c, c->read_bytes, true, c->crc32c, true);
}

static void on_stat(void *arg, const struct err *err)
{
    struct checker *c = arg;
    c->op = NULL;
    struct err missing = {.code = ERR_NOT_FOUND};
    if (err || !c->stat.exists)
        on_unreadable(c, err ? err : &missing);
    else
        judge(c, c->stat.size, c->stat.has_crc32c, c->stat.crc32c, false);
}

/* ---- one receipt ---- */

static void start_checker(struct checker *c);

static void compare_next(struct checker *c)
{
    struct verify *v = c->v;
    if (c->index >= c->receipt.n_outputs || v->cancelled) {
        receipt_release(&c->receipt);
        c->busy = false;
        v->busy--;
        start_checker(c);
        end_if_idle(v);
        return;
    }
    const char *key = c->receipt.outputs[c->index].key;
    struct sink *sink = v->config.sink;
    memset(&c->stat, 0, sizeof(c->stat));
    c->read_bytes = 0;
    c->crc32c = 0;
    c->op = v->config.quick ? sink->ops->stat(sink, key, &c->stat, on_stat, c)
                            : sink->ops->read(sink, key, on_data, on_read, c);
}

static void on_receipt(void *arg, const struct err *err)
{
    struct checker *c = arg;
    c->io = NULL;
    /* Of what is still being uploaded nothing is promised yet. */
    c->index = c->receipt.state == RECEIPT_UPLOADING ? c->receipt.n_outputs : 0;
    /* One that went away between the listing and now is nobody's difference. */
    if (err && err->code != ERR_NOT_FOUND && !c->v->cancelled)
        tell(c, VERIFY_UNKNOWN, false, err->msg, err);
    compare_next(c);
}

static void start_checker(struct checker *c)
{
    struct verify *v = c->v;
    if (c->busy || v->cancelled || v->next == v->n_jobs)
        return;
    char *job = v->jobs[v->next];
    v->jobs[v->next++] = NULL;
    memcpy(c->job, job, strlen(job) + 1);
    free(job);
    c->busy = true;
    v->busy++;
    memset(&c->receipt, 0, sizeof(c->receipt));
    c->io = receipt_read(v->config.sink, v->config.source, c->job, &c->receipt, on_receipt, c);
}

/* ---- the list of receipts ---- */

static void on_key(void *arg, const char *key)
{
    struct verify *v = arg;
    char job[JOB_ID_MAX + 1];
    if (!receipt_key_job(key, v->config.source, job))
        return;
    if (v->n_jobs == v->jobs_size) {
        v->jobs_size = v->jobs_size ? 2 * v->jobs_size : 256;
        v->jobs = xrealloc(v->jobs, v->jobs_size * sizeof(v->jobs[0]));
    }
    v->jobs[v->n_jobs++] = xstrdup(job);
}

static void on_listed(void *arg, const struct err *err)
{
    struct verify *v = arg;
    v->listing = NULL;
    if (err)
        v->err = *err;
    for (unsigned i = 0; i < v->config.concurrency; i++)
        start_checker(&v->checkers[i]);
    end_if_idle(v);
}

static void begin(void *arg)
{
    struct verify *v = arg;
    if (v->cancelled) {
        end_if_idle(v);
        return;
    }
    v->listing = v->config.sink->ops->list(v->config.sink, v->prefix, on_key, on_listed, v);
}

struct verify *verify_start(struct loop *loop, const struct verify_config *config)
{
    struct verify *v = xcalloc(1, sizeof(*v));
    v->config = *config;
    v->prefix = xprintf(".egress/%s/", config->source);
    v->checkers = xcalloc(config->concurrency, sizeof(v->checkers[0]));
    for (unsigned i = 0; i < config->concurrency; i++)
        v->checkers[i].v = v;
    loop_post(loop, &v->task, begin, v);
    return v;
}

void verify_cancel(struct verify *v)
{
    if (v->cancelled)
        return;
    v->cancelled = true;
    if (v->listing)
        v->config.sink->ops->cancel(v->listing);
    for (unsigned i = 0; i < v->config.concurrency; i++) {
        if (v->checkers[i].io)
            receipt_io_cancel(v->checkers[i].io);
        if (v->checkers[i].op)
            v->config.sink->ops->cancel(v->checkers[i].op);
    }
}

uint64_t verify_bytes(const struct verify *v)
{
    return v->bytes;
}

size_t verify_receipts(const struct verify *v)
{
    return v->n_jobs;
}

void verify_free(struct verify *v)
{
    if (!v)
        return;
    for (size_t i = v->next; i < v->n_jobs; i++)
        free(v->jobs[i]);
    free(v->jobs);
    free(v->prefix);
    free(v->checkers);
    free(v);
}
