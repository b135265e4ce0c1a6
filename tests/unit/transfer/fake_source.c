/* SPDX-License-Identifier: Apache-2.0
 *
 * fake_source: see fake_ends.h.
 */
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"
#include "tests/unit/transfer/fake_ends.h"

enum { CHUNK_MAX = 40 * 1000 };

struct fake_source {
    struct source base;
    struct loop *loop;
    struct fake_source_config config;
    unsigned seed, streams, open, open_most, version, described;
    struct { /* a list under way; done NULL: none */
        void (*each)(void *arg, const struct source_job *job);
        source_done_fn *done;
        void *arg;
        size_t next;
        bool cancelled, posted;
        struct loop_task task;
    } listing;
};

struct source_stream {
    struct fake_source *source;
    struct source_events events;
    void *arg;
    uint64_t at, end;
    unsigned number; /* from 1 */
    bool opened, paused, cancelled, posted, one_too_many;
    struct loop_task task;
};

unsigned char fake_byte(unsigned version, uint64_t i)
{
    return (unsigned char)((i * 31 + (i >> 8) * 7 + (i >> 16)) ^ version * 85);
}

static unsigned dice(struct fake_source *s)
{
    return (unsigned)rand_r(&s->seed) % 100;
}

static void end(struct source_stream *st, enum err_code code, const char *msg)
{
    struct err err = {0};
    if (code != ERR_NONE)
        err_set(&err, code, "%s", msg);
    if (code == ERR_NETWORK)
        err.retry_after_ms = st->source->config.retry_after_ms;
    st->source->open--;
    st->events.on_end(st->arg, code == ERR_NONE ? NULL : &err);
    free(st);
}

static void step(void *arg);

static void again(struct source_stream *st)
{
    if (st->posted)
        return;
    st->posted = true;
    loop_post(st->source->loop, &st->task, step, st);
}

static bool open_it(struct source_stream *st)
{
    struct fake_source *s = st->source;
    struct err err = {0};
    struct source_meta meta = {
        .offset = st->at,
        .size = s->config.tells_size ? (int64_t)s->config.size : -1,
        .content_type = s->version ? "text/plain" : "application/json",
        .validator = s->version && s->config.validator ? "\"other\"" : s->config.validator,
        .ranges = s->config.ranges,
        .crc32c = s->config.crc32c,
        .md5 = s->config.md5,
    };
    st->opened = true;
    if (st->events.on_open(st->arg, &meta, &err) == 0)
        return true;
    end(st, err.code, err.msg);
    return false;
}

static void step(void *arg)
{
    struct source_stream *st = arg;
    struct fake_source *s = st->source;
    static unsigned char chunk[CHUNK_MAX];
    st->posted = false;
    if (st->cancelled) {
        end(st, ERR_CANCELLED, "cancelled");
        return;
    }
    if (st->paused || (!st->opened && !open_it(st)))
        return;
    if (s->config.break_at_open >= st->number || st->one_too_many) {
        end(st, ERR_NETWORK, "broke off");
        return;
    }
    if (s->config.stall_at && st->at >= s->config.stall_at)
        return;
    uint64_t total = s->config.size + s->config.extra;
    if (s->config.cut_at >= 0 && (uint64_t)s->config.cut_at < total)
        total = (uint64_t)s->config.cut_at;
    if (st->end < total)
        total = st->end;
    if (st->at >= total) {
        end(st, ERR_NONE, "");
        return;
    }
    if (dice(s) < s->config.break_percent) {
        end(st, ERR_NETWORK, "broke off");
        return;
    }
    size_t n = 1 + (size_t)rand_r(&s->seed) % CHUNK_MAX;
    if (n > total - st->at)
        n = (size_t)(total - st->at);
    for (size_t i = 0; i < n; i++)
        chunk[i] = fake_byte(s->version, st->at + i);
    size_t taken = st->events.on_data(st->arg, chunk, n);
    if (taken == SOURCE_PAUSE)
        taken = 0;
    st->at += taken;
    st->paused = taken < n;
    again(st);
}

static struct source_stream *open_stream(struct source *base, const struct source_job *job,
                                         size_t index, const struct source_range *range,
                                         const struct source_events *events, void *arg)
{
    struct fake_source *s = (struct fake_source *)base;
    struct source_stream *st = xcalloc(1, sizeof(*st));
    (void)job;
    (void)index;
    *st = (struct source_stream){.source = s, .events = *events, .arg = arg, .at = range->offset};
    st->end = range->len ? range->offset + range->len : UINT64_MAX;
    if (s->config.change_after && s->streams == s->config.change_after) {
        s->version++;
        if (!s->config.change_unseen)
            st->at = 0;
    }
    if (!s->config.ranges || s->config.ignores_offset)
        st->at = 0;
    if (st->at != range->offset)
        st->end = UINT64_MAX;
    st->number = ++s->streams;
    st->one_too_many = s->config.at_once_max && s->open == s->config.at_once_max;
    if (++s->open > s->open_most)
        s->open_most = s->open;
    again(st);
    return st;
}

static void resume(struct source_stream *st)
{
    st->paused = false;
    again(st);
}

static void cancel(struct source_stream *st)
{
    st->cancelled = true;
    again(st);
}

struct describing {
    struct loop_task task;
    struct fake_source *source;
    struct source_job *job;
    source_done_fn *done;
    void *arg;
    char id[JOB_ID_MAX + 1];
};

static void described(void *arg)
{
    struct describing *d = arg;
    struct fake_source *s = d->source;
    if (s->config.describe_err.code == ERR_NONE) {
        memcpy(d->job->id, d->id, sizeof(d->id));
        d->job->name = xstrdup("a job");
        d->job->state = s->config.state;
        d->job->state_text = xstrdup("STATE");
        d->job->expired = s->config.expired;
        for (size_t i = 0; i < s->config.n_listed; i++)
            if (strcmp(s->config.listed[i].id, d->id) == 0)
                d->job->expires_ms = s->config.listed[i].expires_ms;
        d->job->n_outputs = s->config.outputs < 0 ? 0
                            : s->config.outputs   ? (size_t)s->config.outputs
                                                  : 1;
        d->job->outputs = xcalloc(d->job->n_outputs + 1, sizeof(d->job->outputs[0]));
        for (size_t i = 0; i < d->job->n_outputs; i++)
            d->job->outputs[i] = (struct source_output){xprintf("labels-%zu.json", i), -1};
    }
    d->done(d->arg, s->config.describe_err.code == ERR_NONE ? NULL : &s->config.describe_err);
    free(d);
}

static void describe(struct source *base, const char *job_id, struct source_job *job,
                     source_done_fn *done, void *arg)
{
    struct describing *d = xcalloc(1, sizeof(*d));
    *d = (struct describing){
        .source = (struct fake_source *)base, .job = job, .done = done, .arg = arg};
    memcpy(d->id, job_id, strlen(job_id) + 1);
    d->source->described++;
    loop_post(d->source->loop, &d->task, described, d);
}

/* Its completion is on its way already. */
static void describe_cancel(struct source *base, const struct source_job *job)
{
    (void)base;
    (void)job;
}

static void list_step(void *arg);

static void list_again(struct fake_source *s)
{
    if (s->listing.posted)
        return;
    s->listing.posted = true;
    loop_post(s->loop, &s->listing.task, list_step, s);
}

/* A few jobs a turn of the loop, as pages would bring them. */
static void list_step(void *arg)
{
    struct fake_source *s = arg;
    struct err cancelled = {.code = ERR_CANCELLED}, *err = NULL;
    s->listing.posted = false;
    for (int i = 0; i < 3 && s->listing.next < s->config.n_listed && !s->listing.cancelled; i++)
        s->listing.each(s->listing.arg, &s->config.listed[s->listing.next++]);
    if (s->listing.cancelled)
        err = &cancelled;
    else if (s->listing.next < s->config.n_listed || s->config.list_held) {
        if (s->listing.next < s->config.n_listed)
            list_again(s);
        return;
    } else if (s->config.list_err.code != ERR_NONE) {
        err = &s->config.list_err;
    }
    source_done_fn *done = s->listing.done;
    s->listing.done = NULL;
    done(s->listing.arg, err);
}

static void list(struct source *base, int64_t since_ms,
                 void (*each)(void *arg, const struct source_job *job), source_done_fn *done,
                 void *arg)
{
    struct fake_source *s = (struct fake_source *)base;
    (void)since_ms;
    CHECK(!s->listing.done);
    s->listing.each = each;
    s->listing.done = done;
    s->listing.arg = arg;
    s->listing.next = 0;
    s->listing.cancelled = false;
    list_again(s);
}

static void list_cancel(struct source *base)
{
    struct fake_source *s = (struct fake_source *)base;
    if (!s->listing.done)
        return;
    s->listing.cancelled = true;
    list_again(s);
}

struct extending {
    struct loop_task task;
    source_done_fn *done;
    void *arg;
};

static void extended(void *arg)
{
    struct extending *x = arg;
    x->done(x->arg, NULL);
    free(x);
}

static void extend(struct source *base, const char *job_id, int days, int64_t *expires_ms,
                   source_done_fn *done, void *arg)
{
    struct fake_source *s = (struct fake_source *)base;
    struct extending *x = xcalloc(1, sizeof(*x));
    (void)job_id;
    *x = (struct extending){.done = done, .arg = arg};
    *expires_ms = clock_wall_ms() + (int64_t)days * 24 * 3600 * 1000;
    loop_post(s->loop, &x->task, extended, x);
}

static void free_base(struct source *base)
{
    free(base);
}

struct fake_source *fake_source_new(struct loop *loop, const struct fake_source_config *config,
                                    unsigned seed)
{
    static const struct source_ops ops = {
        .name = "fake",
        .describe = describe,
        .describe_cancel = describe_cancel,
        .open = open_stream,
        .resume = resume,
        .cancel = cancel,
        .list = list,
        .list_cancel = list_cancel,
        .extend = extend,
        .free = free_base,
    };
    struct fake_source *s = xcalloc(1, sizeof(*s));
    *s = (struct fake_source){.base.ops = &ops, .loop = loop, .config = *config, .seed = seed};
    return s;
}

struct source *fake_source_base(struct fake_source *s)
{
    return &s->base;
}

void fake_source_configure(struct fake_source *s, const struct fake_source_config *config)
{
    s->config = *config;
}

unsigned fake_source_streams(const struct fake_source *s)
{
    return s->streams;
}

unsigned fake_source_at_once(const struct fake_source *s)
{
    return s->open_most;
}

unsigned fake_source_described(const struct fake_source *s)
{
    return s->described;
}

unsigned fake_source_version(const struct fake_source *s)
{
    return s->version;
}

void fake_source_free(struct fake_source *s)
{
    free(s);
}
