/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/sink_s3.h"

#include <stdlib.h>
#include <string.h>

#include "aws/s3_error.h"
#include "core/mem.h"
#include "core/random.h"
#include "core/text.h"
#include "sink/sink_s3_private.h"

enum { CREATE_GRACE_MS = 5000 };

struct sink_s3 *sink_s3_of(struct sink *sink)
{
    return (struct sink_s3 *)(void *)sink;
}

char *sink_s3_key(const struct sink_s3 *s, const char *key)
{
    return xprintf("%s%s", s->prefix, key);
}

struct sink_op *sink_s3_op_new(struct sink_s3 *s, sink_done_fn *done, void *arg)
{
    struct sink_op *op = xcalloc(1, sizeof(*op));
    op->sink = s;
    op->done = done;
    op->arg = arg;
    return op;
}

void sink_s3_op_end(struct sink_op *op, const struct err *err)
{
    if (op->ends_upload && sink_s3_lost_begin(op, err))
        return;
    loop_timer_stop(op->sink->loop, &op->timer);
    op->done(op->arg, err);
    sink_s3_lost_release(op);
    if (op->upload_out)
        sink_s3_upload_free(op->upload);
    free(op->key);
    free(op->bare_etag);
    free(op);
}

void sink_s3_plain_done(void *arg, const struct err *err)
{
    sink_s3_op_end(arg, err);
}

void sink_s3_new_attempt(char out[S3_ATTEMPT_SIZE])
{
    snprintf(out, S3_ATTEMPT_SIZE, "%016llx%016llx", (unsigned long long)random_u64(),
             (unsigned long long)random_u64());
}

/* `key` and `attempt` are borrowed. */
struct s3_object sink_s3_describe(const struct sink_object *o, const char *key, const char *attempt)
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
        sink_s3_op_end(op, err);
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
    sink_s3_op_end(op, NULL);
}

static struct sink_op *stat_start(struct sink *sink, const char *key, struct sink_stat *out,
                                  sink_done_fn *done, void *arg)
{
    struct sink_op *op = sink_s3_op_new(sink_s3_of(sink), done, arg);
    op->key = sink_s3_key(op->sink, key);
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

/* It is there, as op->info describes it. */
static void end_stored(struct sink_op *op)
{
    if (op->etag_out)
        memcpy(op->etag_out, op->info.etag, S3_ETAG_SIZE);
    sink_s3_op_end(op, NULL);
}

static void look_done(void *arg, const struct err *err)
{
    struct sink_op *op = arg;
    struct err e = op->refusal;
    if (!err && is_ours(op)) {
        end_stored(op);
        return;
    }
    if (!err && !op->cancelled && e.code == ERR_EXISTS && try_bare_etag(op))
        return;
    if (err && err->code != ERR_NOT_FOUND) {
        e = *err;
        err_prefix(&e, "whether %.160s was stored is not known", op->key);
    } else if (op->upload && (s3_error_conflict(&e) || s3_error_upload_gone(&e))) {
        e.code = ERR_SPENT;
    } else if (!err && s3_error_conflict(&e)) {
        e.code = ERR_EXISTS;
    } else if (err && e.code == ERR_EXISTS && op->object->condition == SINK_IF_MATCH) {
        e = *err;
    } else if (err && e.code == ERR_EXISTS) {
        err_set(&e, ERR_PROTOCOL,
                "%.200s is taken and then is not there: something else writes or deletes it",
                op->key);
    }
    sink_s3_op_end(op, &e);
}

/* The answer may have got lost, or be that to a repetition: the object's metadata tells whether it
 * is this very attempt's. */
static void look(struct sink_op *op, const struct err *refusal)
{
    op->refusal = *refusal;
    memset(&op->info, 0, sizeof(op->info));
    op->call = s3_head(op->sink->s3, op->key, &op->info, look_done, op);
}

static bool is_inconclusive(const struct err *err)
{
    return err->code == ERR_EXISTS || err->code == ERR_NETWORK || err->code == ERR_TIMEOUT ||
           err->code == ERR_PROTOCOL || s3_error_upload_gone(err);
}

void sink_s3_stored_or_not(void *arg, const struct err *err)
{
    struct sink_op *op = arg;
    op->call = NULL;
    if (err && is_inconclusive(err) && !op->cancelled) {
        look(op, err);
        return;
    }
    if (!err && op->etag_out)
        memcpy(op->etag_out, op->etag, S3_ETAG_SIZE);
    sink_s3_op_end(op, err);
}

struct s3_object sink_s3_described(const struct sink_op *op)
{
    struct s3_object o = sink_s3_describe(op->object, op->key, op->attempt);
    if (op->bare_etag)
        o.if_match = op->bare_etag;
    if (!op->sink->conditions) {
        o.if_none_match = false;
        o.if_match = NULL;
    }
    return o;
}

/* ---- a look before ---- */

static void looked_before(void *arg, const struct err *err)
{
    struct sink_op *op = arg;
    const struct sink_object *o = op->object;
    bool as_seen = o->condition == SINK_IF_ABSENT
                       ? err && err->code == ERR_NOT_FOUND
                       : !err && o->if_match && strcmp(op->info.etag, o->if_match) == 0;
    struct err refusal = {0};
    op->call = NULL;
    if (!err && is_ours(op)) { /* another process went on with this upload */
        end_stored(op);
    } else if (as_seen && !op->cancelled) {
        op->send(op);
    } else if (err) {
        sink_s3_op_end(op, err);
    } else if (op->cancelled) {
        err_set(&refusal, ERR_CANCELLED, "cancelled");
        sink_s3_op_end(op, &refusal);
    } else {
        struct buf where = BUF_INIT(4096);
        s3_locate(op->sink->s3, op->key, &where);
        err_set(&refusal, ERR_EXISTS, "%.180s is taken", buf_str(&where));
        buf_release(&where);
        sink_s3_op_end(op, &refusal);
    }
}

void sink_s3_store(struct sink_op *op)
{
    bool large = op->upload != NULL;
    if (op->object->condition != SINK_ALWAYS && (large || !op->sink->conditions))
        op->call = s3_head(op->sink->s3, op->key, &op->info, looked_before, op);
    else
        op->send(op);
}

/* ---- put ---- */

static void put_send(struct sink_op *op)
{
    struct s3_object o = sink_s3_described(op);
    op->call = s3_put(op->sink->s3, &o, op->data, (size_t)op->size, op->crc32c, op->etag,
                      sink_s3_stored_or_not, op);
}

static struct sink_op *put_start(struct sink *sink, const struct sink_object *object,
                                 const void *data, size_t len, uint32_t crc32c, char etag_out[128],
                                 sink_done_fn *done, void *arg)
{
    struct sink_op *op = sink_s3_op_new(sink_s3_of(sink), done, arg);
    op->key = sink_s3_key(op->sink, object->key);
    op->object = object;
    op->data = data;
    op->size = len;
    op->crc32c = crc32c;
    op->etag_out = etag_out;
    op->send = put_send;
    sink_s3_new_attempt(op->attempt);
    sink_s3_store(op);
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
    struct sink_op *op = sink_s3_op_new(sink_s3_of(sink), done, arg);
    op->key = sink_s3_key(op->sink, key);
    op->on_data = on_data;
    op->call = s3_get(op->sink->s3, op->key, read_data, sink_s3_plain_done, op);
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
    struct sink_op *op = sink_s3_op_new(sink_s3_of(sink), done, arg);
    op->key = sink_s3_key(op->sink, prefix);
    op->each = each;
    op->call = s3_list(op->sink->s3, op->key, list_each, sink_s3_plain_done, op);
    return op;
}

static void remove_done(void *arg, const struct err *err)
{
    sink_s3_op_end(arg, err && err->code == ERR_NOT_FOUND ? NULL : err);
}

static void remove_send(struct sink_op *op)
{
    const char *etag = op->sink->conditions && *op->etag ? op->etag : NULL;
    op->call = s3_delete(op->sink->s3, op->key, etag, remove_done, op);
}

static void remove_looked(void *arg, const struct err *err)
{
    struct sink_op *op = arg;
    op->call = NULL;
    if (err || op->cancelled || strcmp(op->info.etag, op->etag) != 0)
        remove_done(op, err);
    else
        remove_send(op);
}

static struct sink_op *remove_start(struct sink *sink, const char *key, const char *etag,
                                    sink_done_fn *done, void *arg)
{
    struct sink_op *op = sink_s3_op_new(sink_s3_of(sink), done, arg);
    op->key = sink_s3_key(op->sink, key);
    snprintf(op->etag, sizeof(op->etag), "%s", etag);
    if (*etag && !op->sink->conditions)
        op->call = s3_head(op->sink->s3, op->key, &op->info, remove_looked, op);
    else
        remove_send(op);
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
    if (op->upload_out && !op->reopening) /* begin: see sink_s3.h */
        loop_timer_start(op->sink->loop, &op->timer, CREATE_GRACE_MS, end_call, op);
    else if (op->call)
        s3_cancel(op->call);
    else if (op->timer.armed)
        loop_timer_start(op->sink->loop, &op->timer, 0, sink_s3_abort_again, op);
}

static void locate(const struct sink *sink, const char *key, struct buf *out)
{
    const struct sink_s3 *s = (const struct sink_s3 *)(const void *)sink;
    char *full = sink_s3_key(s, key);
    s3_locate(s->s3, full, out);
    free(full);
}

static void sink_free(struct sink *sink)
{
    struct sink_s3 *s = sink_s3_of(sink);
    s3_free(s->s3);
    free(s->prefix);
    free(s);
}

static const struct sink_ops ops = {
    .name = "s3",
    .stat = stat_start,
    .put = put_start,
    .begin = sink_s3_begin,
    .put_part = sink_s3_part,
    .complete = sink_s3_complete,
    .abort = sink_s3_abort,
    .upload_free = sink_s3_upload_free,
    .remove = remove_start,
    .upload_name = sink_s3_upload_name,
    .reopen = sink_s3_reopen,
    .list_unfinished = sink_s3_list_unfinished,
    .abort_unfinished = sink_s3_abort_unfinished,
    .abort_unnamed = sink_s3_abort_unnamed,
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
    s->base.limits = (struct sink_limits){
        .part_min = S3_PART_MIN,
        .part_max = S3_PART_MAX,
        .parts_max = config->parts_max ? config->parts_max : S3_PARTS_MAX,
        .keeps_identity = true,
        .equal_parts = config->equal_parts,
        .lists_cheaply = true,
    };
    s->conditions = !config->no_conditions;
    s->loop = loop;
    s->s3 = s3;
    s->prefix = xprintf("%s%s", prefix, len && prefix[len - 1] != '/' ? "/" : "");
    return &s->base;
}
