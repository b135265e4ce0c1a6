/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule/sync.h"

#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"
#include "schedule/spread.h"
#include "transfer/receipt_io.h"

enum { READ_AT_A_TIME = 16 };

/* Why a job does not count; the two low bits of its entry in `left_out`. */
enum reason { FAILED, EXPIRED, OLDER };

/* What lies in the destination of a job. */
enum { HAS_RECEIPT = 1, HAS_MARKER = 2, UNDER_WAY = 4 };

/* A receipt beside a marker. */
struct doubtful {
    size_t index; /* of the job */
    struct receipt receipt;
    struct receipt_io *io; /* while it is read */
};

struct sync {
    struct sync_config config;
    struct loop *loop;
    struct sync_job *jobs; /* owned; n of them: at first all that count, in the end the missing */
    size_t n, size;
    unsigned char *has; /* owned; of each job, once all are there */
    uint64_t *left_out; /* owned; n_left_out of them: a hash of the id, and the reason */
    size_t n_left_out, left_out_size;
    struct sync_counts counts;
    char *prefix;              /* owned; of the receipts' keys */
    struct doubtful *doubtful; /* owned; n_doubtful of them */
    size_t n_doubtful;
    struct spread *reading;
    struct sink_op *op;
    bool listing;
    bool cancelled;
    struct err err; /* the first */
    struct loop_task task;
};

/* ---- order ---- */

static int by_id(const void *a, const void *b)
{
    return strcmp(((const struct sync_job *)a)->id, ((const struct sync_job *)b)->id);
}

static int compare(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int by_expiry(const void *a, const void *b)
{
    const struct sync_job *x = a, *y = b;
    if (x->under_way != y->under_way)
        return x->under_way ? 1 : -1;
    if (!x->expires_ms != !y->expires_ms)
        return x->expires_ms ? -1 : 1;
    int order = compare(x->expires_ms, y->expires_ms);
    order = order ? order : compare(x->completed_ms, y->completed_ms);
    return order ? order : by_id(a, b);
}

static void free_id(struct sync_job *job)
{
    free((char *)job->id);
    job->id = NULL;
}

/* ---- the end ---- */

static void keep_missing(struct sync *s)
{
    size_t missing = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (s->has[i] == HAS_RECEIPT) {
            free_id(&s->jobs[i]);
            continue;
        }
        s->jobs[i].under_way = s->has[i] & UNDER_WAY;
        s->counts.under_way += s->jobs[i].under_way;
        s->jobs[missing++] = s->jobs[i];
    }
    s->counts.stored = s->n - missing;
    s->counts.missing = s->n = missing;
    if (s->n > 1)
        qsort(s->jobs, s->n, sizeof(s->jobs[0]), by_expiry);
}

static void finish(struct sync *s)
{
    if (s->cancelled && s->err.code == ERR_NONE)
        err_set(&s->err, ERR_CANCELLED, "cancelled");
    if (s->err.code == ERR_NONE)
        keep_missing(s);
    s->config.on_end(s->config.arg, s->err.code == ERR_NONE ? NULL : &s->err);
}

/* ---- receipts that may be of an upload which was never finished ---- */

static void stop_reading(struct sync *s)
{
    spread_stop(s->reading);
    for (size_t i = 0; i < s->n_doubtful; i++)
        if (s->doubtful[i].io)
            receipt_io_cancel(s->doubtful[i].io);
}

static void read_one(void *arg, size_t index, struct spread_slot *slot)
{
    struct sync *s = arg;
    struct doubtful *d = &s->doubtful[index];
    d->io = receipt_read(s->config.sink, s->config.source->ops->name, s->jobs[d->index].id,
                         &d->receipt, spread_done, slot);
}

/* By the clocks of two machines. */
static bool is_recent(int64_t unix_ms)
{
    return llabs(clock_wall_ms() - unix_ms) < SYNC_UNDER_WAY_MS;
}

static void on_read(void *arg, size_t index, const struct err *err)
{
    struct sync *s = arg;
    struct doubtful *d = &s->doubtful[index];
    d->io = NULL;
    if (!err && d->receipt.state == RECEIPT_STORED)
        s->has[d->index] = HAS_RECEIPT;
    else if (!err && s->config.tell_under_way && is_recent(d->receipt.upload->written_ms))
        s->has[d->index] |= UNDER_WAY;
    receipt_release(&d->receipt);
    /* One that is gone, or is none: what is wrong with it, the transfer says. */
    bool settled = !err || err->code == ERR_NOT_FOUND || err->code == ERR_INPUT;
    if (settled || s->err.code != ERR_NONE || s->cancelled)
        return;
    s->err = *err;
    stop_reading(s);
}

static void on_all_read(void *arg)
{
    finish(arg);
}

static void read_doubtful(struct sync *s)
{
    for (size_t i = 0; i < s->n; i++)
        s->n_doubtful += s->has[i] == (HAS_RECEIPT | HAS_MARKER);
    s->doubtful = xcalloc(s->n_doubtful, sizeof(s->doubtful[0]));
    for (size_t i = 0, k = 0; i < s->n; i++)
        if (s->has[i] == (HAS_RECEIPT | HAS_MARKER))
            s->doubtful[k++].index = i;
    struct spread_config config = {
        .n = s->n_doubtful,
        .at_a_time = READ_AT_A_TIME,
        .start = read_one,
        .on_each = on_read,
        .on_end = on_all_read,
        .arg = s,
    };
    s->reading = spread_start(s->loop, &config);
}

/* ---- the list of receipts ---- */

static void on_key(void *arg, const char *key)
{
    struct sync *s = arg;
    const char *source = s->config.source->ops->name;
    char id[JOB_ID_MAX + 1];
    unsigned char what;
    if (receipt_key_job(key, source, id))
        what = HAS_RECEIPT;
    else if (receipt_marker_job(key, source, id))
        what = HAS_MARKER;
    else
        return;
    struct sync_job wanted = {.id = id};
    const struct sync_job *job = bsearch(&wanted, s->jobs, s->n, sizeof(s->jobs[0]), by_id);
    if (job)
        s->has[job - s->jobs] |= what;
}

static void on_receipts(void *arg, const struct err *err)
{
    struct sync *s = arg;
    s->op = NULL;
    if (err)
        s->err = *err;
    if (err || s->cancelled)
        finish(s);
    else
        read_doubtful(s);
}

/* ---- the source's list ---- */

/* Only to be counted, each once. FNV-1a: who makes two ids collide has miscounted himself. */
static void leave_out(struct sync *s, const char *id, enum reason reason)
{
    uint64_t hash = 0xcbf29ce484222325;
    for (; *id; id++)
        hash = (hash ^ (unsigned char)*id) * 0x100000001b3;
    if (s->n_left_out == s->left_out_size) {
        s->left_out_size = s->left_out_size ? 2 * s->left_out_size : 256;
        s->left_out = xrealloc(s->left_out, s->left_out_size * sizeof(s->left_out[0]));
    }
    s->left_out[s->n_left_out++] = (hash & ~(uint64_t)3) | reason;
}

static void take_in(struct sync *s, const struct source_job *job)
{
    if (s->n == s->size) {
        s->size = s->size ? 2 * s->size : 256;
        s->jobs = xrealloc(s->jobs, s->size * sizeof(s->jobs[0]));
    }
    s->jobs[s->n++] = (struct sync_job){
        .id = xstrdup(job->id), .expires_ms = job->expires_ms, .completed_ms = job->completed_ms};
}

static void on_job(void *arg, const struct source_job *job)
{
    struct sync *s = arg;
    if (s->err.code != ERR_NONE)
        return;
    s->counts.listed++;
    if (job->state == JOB_FAILED) {
        leave_out(s, job->id, FAILED);
    } else if (job->expired) {
        leave_out(s, job->id, EXPIRED);
    } else if (job->completed_ms && job->completed_ms < s->config.since_ms) {
        leave_out(s, job->id, OLDER);
    } else if (s->n < SYNC_JOBS_MAX) {
        take_in(s, job);
    } else {
        err_set(&s->err, ERR_TOO_LARGE,
                "over %d finished jobs at a time; expected fewer: leave out the older ones "
                "(--since)",
                SYNC_JOBS_MAX);
        s->config.source->ops->list_cancel(s->config.source);
    }
}

static void drop_copies(struct sync *s)
{
    size_t n = s->n > 0;
    if (s->n > 1)
        qsort(s->jobs, s->n, sizeof(s->jobs[0]), by_id);
    for (size_t i = 1; i < s->n; i++) {
        if (by_id(&s->jobs[i], &s->jobs[n - 1]) == 0)
            free_id(&s->jobs[i]);
        else
            s->jobs[n++] = s->jobs[i];
    }
    s->n = n;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void count(struct sync *s)
{
    struct sync_counts *c = &s->counts;
    size_t *counts[] = {[FAILED] = &c->failed, [EXPIRED] = &c->expired, [OLDER] = &c->older};
    if (s->n_left_out)
        qsort(s->left_out, s->n_left_out, sizeof(s->left_out[0]), by_number);
    for (size_t i = 0; i < s->n_left_out; i++)
        if (i == 0 || s->left_out[i] != s->left_out[i - 1])
            ++*counts[s->left_out[i] & 3];
    c->listed = s->n + c->failed + c->expired + c->older;
    free(s->left_out);
    s->left_out = NULL;
}

static void on_listed(void *arg, const struct err *err)
{
    struct sync *s = arg;
    s->listing = false;
    if (err && s->err.code == ERR_NONE)
        s->err = *err;
    if (s->err.code != ERR_NONE || s->cancelled) {
        finish(s);
        return;
    }
    drop_copies(s);
    count(s);
    s->has = xcalloc(s->n, 1);
    if (!s->config.sink || s->n == 0)
        finish(s);
    else
        s->op = s->config.sink->ops->list(s->config.sink, s->prefix, on_key, on_receipts, s);
}

static void begin(void *arg)
{
    struct sync *s = arg;
    if (s->cancelled) {
        finish(s);
        return;
    }
    s->listing = true;
    s->config.source->ops->list(s->config.source, s->config.since_ms, on_job, on_listed, s);
}

/* ---- from outside ---- */

struct sync *sync_start(struct loop *loop, const struct sync_config *config)
{
    struct sync *s = xcalloc(1, sizeof(*s));
    s->config = *config;
    s->loop = loop;
    s->prefix = receipt_prefix(config->source->ops->name);
    loop_post(loop, &s->task, begin, s);
    return s;
}

void sync_cancel(struct sync *s)
{
    if (s->cancelled)
        return;
    s->cancelled = true;
    if (s->listing)
        s->config.source->ops->list_cancel(s->config.source);
    if (s->op)
        s->config.sink->ops->cancel(s->op);
    if (s->reading)
        stop_reading(s);
}

const struct sync_job *sync_missing(const struct sync *s, size_t *n)
{
    *n = s->n;
    return s->jobs;
}

void sync_counts(const struct sync *s, struct sync_counts *counts)
{
    *counts = s->counts;
}

void sync_free(struct sync *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++)
        free_id(&s->jobs[i]);
    free(s->jobs);
    free(s->has);
    free(s->left_out);
    free(s->prefix);
    free(s->doubtful);
    spread_free(s->reading);
    free(s);
}
