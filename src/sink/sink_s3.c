/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/sink_s3.h"

#include <stdlib.h>
#include <string.h>

#include "aws/s3_error.h"
#include "core/mem.h"
#include "core/random.h"
#include "core/text.h"

enum {
    CREATE_GRACE_MS = 5000,
    ABORTS_MAX = 5,
    ABORT_DELAY_MS = 250, /* before the second; doubled for each further one */
};

struct sink_s3 {
    struct sink base;
    struct loop *loop;
    struct s3 *s3;
    char *prefix; /* owned; "" or with its '/' at the end */
};

struct sink_upload {
    struct sink_s3 *sink;
    const struct sink_object *object; /* borrowed: outlives us */
    char *key;                        /* owned; with the prefix */
    char *id;                         /* owned */
    char attempt[S3_ATTEMPT_SIZE];
    char **etags; /* owned; of parts 1 to n_etags, NULL for those not stored yet */
    uint32_t n_etags;
    /* A part ended without an answer: the store may take it in even after an abort. */
    bool strays;
};

struct sink_op {
    struct sink_s3 *sink;
    struct s3_call *call; /* NULL between calls */
    struct loop_timer timer;
    bool cancelled;
    sink_done_fn *done;
    void *arg;

    /* what is being done; which are used depends on the operation */
    char *key; /* owned; with the prefix */
    struct sink_upload *upload;
    struct sink_upload **upload_out;
    struct sink_stat *stat_out;
    char *etag_out;
    char etag[S3_ETAG_SIZE];
    uint32_t part_number;
    int tries;
    int (*on_data)(void *arg, const void *data, size_t len);
    void (*each)(void *arg, const char *key);

    /* put and complete: the object as it shall be; and as it is: see look() */
    const struct sink_object *object; /* borrowed */
    const void *data;                 /* borrowed */
    uint64_t size;
    uint32_t crc32c;
    uint32_t n_parts;
    char attempt[S3_ATTEMPT_SIZE];
    void (*send)(struct sink_op *op);
    char *bare_etag; /* owned; the etag to match without its quotes, once the quoted one failed */
    struct s3_info info;
    struct err refusal;
};

static struct sink_s3 *of(struct sink *sink)
{
    return (struct sink_s3 *)(void *)sink;
}

static char *full_key(const struct sink_s3 *s, const char *key)
{
    return xprintf("%s%s", s->prefix, key);
}

static struct sink_op *op_new(struct sink_s3 *s, sink_done_fn *done, void *arg)
{
    struct sink_op *op = xcalloc(1, sizeof(*op));
    op->sink = s;
    op->done = done;
    op->arg = arg;
    return op;
}

static void op_end(struct sink_op *op, const struct err *err)
{
    loop_timer_stop(op->sink->loop, &op->timer);
    op->done(op->arg, err);
    free(op->key);
    free(op->bare_etag);
    free(op);
}

static void plain_done(void *arg, const struct err *err)
{
    op_end(arg, err);
}

static void new_attempt(char out[S3_ATTEMPT_SIZE])
{
    snprintf(out, S3_ATTEMPT_SIZE, "%016llx%016llx", (unsigned long long)random_u64(),
             (unsigned long long)random_u64());
}

/* `key` and `attempt` are borrowed. */
static struct s3_object describe(const struct sink_object *o, const char *key, const char *attempt)
{
    bool known = o->identity.job != NULL;
    return (struct s3_object){
        .key = key,
        .content_type = o->content_type,
        .content_encoding = o->content_encoding,
        .if_none_match = o->condition == SINK_IF_ABSENT,
        .if_match = o->condition != SINK_IF_MATCH ? NULL
                    : o->if_match                 ? o->if_match
                                                  : "",
        .source = known ? o->identity.source : NULL,
        .job = known ? o->identity.job : NULL,
        .output = known ? o->identity.output : NULL,
        .attempt = attempt,
    };
}

/* ---- stat ---- */

static void stat_done(void *arg, const struct err *err)
{
    struct sink_op *op = arg;
    const struct s3_info *info = &op->info;
    if (err && err->code != ERR_NOT_FOUND) {
        op_end(op, err);
        return;
    }
    struct sink_stat stat = {.exists = !err};
    if (stat.exists) {
        stat.size = info->size;
        stat.modified_ms = info->modified_ms;
        stat.has_crc32c = info->has_crc32c;
        stat.crc32c = info->crc32c;
        snprintf(stat.etag, sizeof(stat.etag), "%s", info->etag);
        if (info->source[0] && info->job[0]) {
            snprintf(stat.source, sizeof(stat.source), "%s", info->source);
            snprintf(stat.job, sizeof(stat.job), "%s", info->job);
        }
    }
    *op->stat_out = stat;
    op_end(op, NULL);
}

static struct sink_op *stat_start(struct sink *sink, const char *key, struct sink_stat *out,
                                  sink_done_fn *done, void *arg)
{
    struct sink_op *op = op_new(of(sink), done, arg);
    op->key = full_key(op->sink, key);
    op->stat_out = out;
    op->call = s3_head(op->sink->s3, op->key, &op->info, stat_done, op);
    return op;
}

/* ---- whose object is it that stands in the way? ---- */

static bool is_ours(const struct sink_op *op)
{
    const char *job = op->object->identity.job;
    return strcmp(op->info.attempt, op->attempt) == 0 &&
           strcmp(op->info.job, job ? job : "") == 0 && op->info.size == op->size;
}

/* Ceph compares If-Match with its ETags as they are without quotes, against RFC 9110. */
static bool try_bare_etag(struct sink_op *op)
{
    const char *etag = op->object->if_match;
    if (op->object->condition != SINK_IF_MATCH || op->bare_etag || strcmp(op->info.etag, etag) != 0)
        return false;
    size_t len = strlen(etag);
    if (len < 3 || etag[0] != '"' || etag[len - 1] != '"')
        return false;
    op->bare_etag = xstrndup(etag + 1, len - 2);
    op->send(op);
    return true;
}

static void look_done(void *arg, const struct err *err)
{
    struct sink_op *op = arg;
    struct err e = op->refusal;
    if (!err && is_ours(op)) {
        if (op->etag_out)
            memcpy(op->etag_out, op->info.etag, S3_ETAG_SIZE);
        op_end(op, NULL);
        return;
    }
    if (!err && !op->cancelled && e.code == ERR_EXISTS && try_bare_etag(op))
        return;
    if (err && err->code != ERR_NOT_FOUND) {
        e = *err;
        err_prefix(&e, "whether it was stored is not known");
    } else if (err && e.code == ERR_EXISTS && op->object->condition == SINK_IF_MATCH) {
        e = *err;
    } else if (err && e.code == ERR_EXISTS) {
        err_set(&e, ERR_PROTOCOL,
                "%.200s is taken and then is not there: something else writes or deletes it",
                op->key);
    }
    op_end(op, &e);
}

/* A refusal may be the answer to a repetition whose first answer was lost: the object's metadata
 * tells whether it is this very attempt's. */
static void look(struct sink_op *op, const struct err *refusal)
{
    op->refusal = *refusal;
    memset(&op->info, 0, sizeof(op->info));
    op->call = s3_head(op->sink->s3, op->key, &op->info, look_done, op);
}

static void stored_or_not(void *arg, const struct err *err)
{
    struct sink_op *op = arg;
    op->call = NULL;
    if (err && (err->code == ERR_EXISTS || s3_error_upload_gone(err)) && !op->cancelled) {
        look(op, err);
        return;
    }
    if (!err && op->etag_out)
        memcpy(op->etag_out, op->etag, S3_ETAG_SIZE);
    op_end(op, err);
}

static struct s3_object described(const struct sink_op *op)
{
    struct s3_object o = describe(op->object, op->key, op->attempt);
    if (op->bare_etag)
        o.if_match = op->bare_etag;
    return o;
}

/* ---- put ---- */

static void put_send(struct sink_op *op)
{
    struct s3_object o = described(op);
    op->call = s3_put(op->sink->s3, &o, op->data, (size_t)op->size, op->crc32c, op->etag,
                      stored_or_not, op);
}

static struct sink_op *put_start(struct sink *sink, const struct sink_object *object,
                                 const void *data, size_t len, uint32_t crc32c, char etag_out[128],
                                 sink_done_fn *done, void *arg)
{
    struct sink_op *op = op_new(of(sink), done, arg);
    op->key = full_key(op->sink, object->key);
    op->object = object;
    op->data = data;
    op->size = len;
    op->crc32c = crc32c;
    op->etag_out = etag_out;
    op->send = put_send;
    new_attempt(op->attempt);
    put_send(op);
    return op;
}

/* ---- large objects ---- */

static void upload_free(struct sink_upload *upload)
{
    if (!upload)
        return;
    for (uint32_t i = 0; i < upload->n_etags; i++)
        free(upload->etags[i]);
    free(upload->etags);
    free(upload->id);
    free(upload->key);
    free(upload);
}

static void begin_done(void *arg, const struct err *err)
{
    struct sink_op *op = arg;
    if (err)
        upload_free(op->upload);
    else
        *op->upload_out = op->upload;
    op_end(op, err);
}

static struct sink_op *begin_start(struct sink *sink, const struct sink_object *object,
                                   struct sink_upload **out, sink_done_fn *done, void *arg)
{
    struct sink_op *op = op_new(of(sink), done, arg);
    struct sink_upload *upload = xcalloc(1, sizeof(*upload));
    upload->sink = op->sink;
    upload->object = object;
    upload->key = full_key(op->sink, object->key);
    new_attempt(upload->attempt);
    op->upload = upload;
    op->upload_out = out;
    struct s3_object o = describe(object, upload->key, upload->attempt);
    op->call = s3_create_upload(op->sink->s3, &o, &upload->id, begin_done, op);
    return op;
}

static void keep_etag(struct sink_upload *upload, uint32_t number, const char *etag)
{
    if (number > upload->n_etags) {
        upload->etags = xrealloc(upload->etags, number * sizeof(upload->etags[0]));
        for (uint32_t i = upload->n_etags; i < number; i++)
            upload->etags[i] = NULL;
        upload->n_etags = number;
    }
    free(upload->etags[number - 1]);
    upload->etags[number - 1] = xstrdup(etag);
}

static void part_done(void *arg, const struct err *err)
{
    struct sink_op *op = arg;
    if (!err)
        keep_etag(op->upload, op->part_number, op->etag);
    else if (!err->http_status)
        op->upload->strays = true;
    op_end(op, err);
}

static struct sink_op *part_start(struct sink_upload *upload, uint32_t number, uint64_t offset,
                                  const void *data, size_t len, uint32_t crc32c, sink_done_fn *done,
                                  void *arg)
{
    (void)offset;
    struct sink_op *op = op_new(upload->sink, done, arg);
    op->upload = upload;
    op->part_number = number;
    op->call = s3_upload_part(upload->sink->s3, upload->key, upload->id, number, data, len, crc32c,
                              op->etag, part_done, op);
    return op;
}

static void complete_send(struct sink_op *op)
{
    struct s3_object o = described(op);
    struct s3_parts parts = {
        .upload_id = op->upload->id,
        .etags = op->upload->etags,
        .n = op->n_parts,
        .size = op->size,
        .crc32c = op->crc32c,
    };
    op->call = s3_complete_upload(op->sink->s3, &o, &parts, op->etag, stored_or_not, op);
}

static struct sink_op *complete_start(struct sink_upload *upload, uint32_t n_parts, uint64_t size,
                                      uint32_t crc32c, char etag_out[128], sink_done_fn *done,
                                      void *arg)
{
    CHECK(n_parts >= 1 && n_parts <= upload->n_etags);
    for (uint32_t i = 0; i < n_parts; i++)
        CHECK(upload->etags[i]);
    struct sink_op *op = op_new(upload->sink, done, arg);
    op->key = xstrdup(upload->key);
    op->upload = upload;
    op->object = upload->object;
    op->n_parts = n_parts;
    op->size = size;
    op->crc32c = crc32c;
    op->etag_out = etag_out;
    op->send = complete_send;
    memcpy(op->attempt, upload->attempt, sizeof(op->attempt));
    complete_send(op);
    return op;
}

static void abort_send(struct sink_op *op);

/* After a wait. */
static void abort_again(void *arg)
{
    struct sink_op *op = arg;
    struct err err = {0};
    if (!op->cancelled) {
        abort_send(op);
        return;
    }
    err_set(&err, ERR_CANCELLED, "AbortMultipartUpload was cancelled");
    op_end(op, &err);
}

static void abort_done(void *arg, const struct err *err)
{
    struct sink_op *op = arg;
    op->call = NULL;
    if (err && s3_error_upload_gone(err)) {
        op_end(op, NULL);
        return;
    }
    bool again = err ? err_is_retryable(err) : op->upload->strays;
    if (again && op->tries < ABORTS_MAX && !op->cancelled)
        loop_timer_start(op->sink->loop, &op->timer, (int64_t)ABORT_DELAY_MS << (op->tries - 1),
                         abort_again, op);
    else
        op_end(op, err);
}

static void abort_send(struct sink_op *op)
{
    op->tries++;
    op->call = s3_abort_upload(op->sink->s3, op->upload->key, op->upload->id, abort_done, op);
}

static struct sink_op *abort_start(struct sink_upload *upload, sink_done_fn *done, void *arg)
{
    struct sink_op *op = op_new(upload->sink, done, arg);
    op->upload = upload;
    abort_send(op);
    return op;
}

/* ---- read, list ---- */

static int read_data(void *arg, const void *data, size_t len)
{
    struct sink_op *op = arg;
    return op->on_data(op->arg, data, len);
}

static struct sink_op *read_start(struct sink *sink, const char *key,
                                  int (*on_data)(void *arg, const void *data, size_t len),
                                  sink_done_fn *done, void *arg)
{
    struct sink_op *op = op_new(of(sink), done, arg);
    op->key = full_key(op->sink, key);
    op->on_data = on_data;
    op->call = s3_get(op->sink->s3, op->key, read_data, plain_done, op);
    return op;
}

static void list_each(void *arg, const char *key)
{
    struct sink_op *op = arg;
    size_t len = strlen(op->sink->prefix);
    if (strncmp(key, op->sink->prefix, len) == 0 && key[len])
        op->each(op->arg, key + len);
}

static struct sink_op *list_start(struct sink *sink, const char *prefix,
                                  void (*each)(void *arg, const char *key), sink_done_fn *done,
                                  void *arg)
{
    struct sink_op *op = op_new(of(sink), done, arg);
    op->key = full_key(op->sink, prefix);
    op->each = each;
    op->call = s3_list(op->sink->s3, op->key, list_each, plain_done, op);
    return op;
}

/* ---- the rest ---- */

static void end_call(void *arg)
{
    struct sink_op *op = arg;
    s3_cancel(op->call);
}

static void cancel(struct sink_op *op)
{
    if (op->cancelled)
        return;
    op->cancelled = true;
    if (op->upload_out) /* begin: see sink_s3.h */
        loop_timer_start(op->sink->loop, &op->timer, CREATE_GRACE_MS, end_call, op);
    else if (op->call)
        s3_cancel(op->call);
    else if (op->timer.armed)
        loop_timer_start(op->sink->loop, &op->timer, 0, abort_again, op);
}

static void locate(const struct sink *sink, const char *key, struct buf *out)
{
    const struct sink_s3 *s = (const struct sink_s3 *)(const void *)sink;
    char *full = full_key(s, key);
    s3_locate(s->s3, full, out);
    free(full);
}

static void sink_free(struct sink *sink)
{
    struct sink_s3 *s = of(sink);
    s3_free(s->s3);
    free(s->prefix);
    free(s);
}

static const struct sink_ops ops = {
    .name = "s3",
    .limits =
        {
            .part_min = S3_PART_MIN,
            .part_max = S3_PART_MAX,
            .parts_max = S3_PARTS_MAX,
            .keeps_identity = true,
        },
    .stat = stat_start,
    .put = put_start,
    .begin = begin_start,
    .put_part = part_start,
    .complete = complete_start,
    .abort = abort_start,
    .upload_free = upload_free,
    .read = read_start,
    .list = list_start,
    .cancel = cancel,
    .locate = locate,
    .free = sink_free,
};

struct sink *sink_s3_new(struct loop *loop, const struct s3_config *config, struct err *err)
{
    const char *prefix = config->prefix ? config->prefix : "";
    size_t len = strlen(prefix);
    if (len >= S3_KEY_MAX || !text_is_utf8(prefix, len)) {
        err_set(err, ERR_USAGE,
                "the prefix \"%.80s\" of %zu bytes cannot begin a key: it must be UTF-8 and leave "
                "room for a name within %d bytes",
                prefix, len, (int)S3_KEY_MAX);
        return NULL;
    }
    struct s3 *s3 = s3_new(loop, config, err);
    if (!s3)
        return NULL;
    struct sink_s3 *s = xcalloc(1, sizeof(*s));
    s->base.ops = &ops;
    s->loop = loop;
    s->s3 = s3;
    s->prefix = xprintf("%s%s", prefix, len && prefix[len - 1] != '/' ? "/" : "");
    return &s->base;
}
