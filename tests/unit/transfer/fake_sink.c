/* SPDX-License-Identifier: Apache-2.0
 *
 * fake_sink: see fake_ends.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/crc32c.h"
#include "core/mem.h"
#include "tests/unit/transfer/fake_ends.h"

enum { OBJECTS_MAX = 1000, PARTS_KEPT = 256, UPLOADS_KEPT = 1024 };

struct stored {
    char *key, *data;
    size_t len;
    char source[32], job[129];
    unsigned version;
};

enum kind { STAT, PUT, BEGIN, PART, COMPLETE, ABORT, READ, LIST, REMOVE, REOPEN, UNNAMED, KINDS };
static const char *const kind_names[] = {"stat",     "put",    "begin",        "part",
                                         "complete", "abort",  "read",         "list",
                                         "remove",   "reopen", "abort_unnamed"};

struct fake_sink {
    struct sink base;
    struct sink_ops ops;
    struct loop *loop;
    struct fake_sink_config config;
    unsigned seed, uploads_open, versions;
    unsigned calls[KINDS];
    struct stored objects[OBJECTS_MAX];
    unsigned n_objects;
    struct sink_upload *kept[UPLOADS_KEPT]; /* by number - 1 */
    unsigned n_kept;
};

struct sink_upload {
    struct fake_sink *sink;
    const struct sink_object *object;
    struct {
        char *data;
        size_t len;
        uint64_t offset;
    } parts[PARTS_KEPT];
    bool ended;
    char id[16];
};

struct sink_op {
    struct fake_sink *sink;
    enum kind kind;
    sink_done_fn *done;
    void *arg;
    bool cancelled, held;
    struct loop_task task;
    struct loop_timer timer;
    /* by kind */
    char *key;
    struct sink_stat *stat_out;
    const struct sink_object *object;
    const char *data;
    size_t len;
    uint32_t crc32c, number;
    uint64_t offset, size;
    char *etag;
    struct sink_upload *upload, **upload_out;
    int (*on_data)(void *arg, const void *data, size_t len);
    void (*each)(void *arg, const char *key);
    sink_part_fn *part;
    char id[16];
};

static struct stored *find(struct fake_sink *s, const char *key)
{
    for (unsigned i = 0; i < s->n_objects; i++)
        if (strcmp(s->objects[i].key, key) == 0)
            return &s->objects[i];
    return NULL;
}

static void etag_of(const struct stored *o, char etag[128])
{
    snprintf(etag, 128, "\"v%u\"", o->version);
}

static int store(struct fake_sink *s, const struct sink_object *object, const char *data,
                 size_t len, char *etag_out, struct err *err)
{
    struct stored *o = find(s, object->key);
    char etag[128] = "";
    if (o)
        etag_of(o, etag);
    bool same = o && !s->config.keeps_identity && o->len == len && memcmp(o->data, data, len) == 0;
    if (object->condition == SINK_IF_ABSENT && o && !same)
        return err_set(err, ERR_EXISTS, "%s exists", object->key);
    if (object->condition == SINK_IF_MATCH && (!o || strcmp(etag, object->if_match) != 0))
        return err_set(err, ERR_EXISTS, "%s is another", object->key);
    if (!o) {
        CHECK(s->n_objects < OBJECTS_MAX);
        o = &s->objects[s->n_objects++];
        o->key = xstrdup(object->key);
    }
    free(o->data);
    o->data = xcalloc(1, len + 1);
    memcpy(o->data, data, len);
    o->len = len;
    o->version = ++s->versions;
    bool named = object->identity.job && s->config.keeps_identity;
    snprintf(o->source, sizeof(o->source), "%s", named ? object->identity.source : "");
    snprintf(o->job, sizeof(o->job), "%s", named ? object->identity.job : "");
    if (etag_out)
        etag_of(o, etag_out);
    return 0;
}

static void free_parts(struct sink_upload *u)
{
    for (unsigned i = 0; i < PARTS_KEPT; i++)
        free(u->parts[i].data);
    memset(u->parts, 0, sizeof(u->parts));
}

static int complete(struct sink_op *op, struct err *err)
{
    struct sink_upload *u = op->upload;
    char *whole = xcalloc(1, op->size + 1);
    uint64_t at = 0;
    for (unsigned i = 1; i <= op->number; i++) {
        CHECK(u->parts[i].data && u->parts[i].offset == at);
        CHECK(i == op->number || u->parts[i].len >= op->sink->config.part_min);
        memcpy(whole + at, u->parts[i].data, u->parts[i].len);
        at += u->parts[i].len;
    }
    CHECK(at == op->size && crc32c(0, whole, at) == op->crc32c);
    struct sink_object object = *u->object;
    if (op->sink->config.careless)
        object.condition = SINK_ALWAYS;
    int rc = store(op->sink, &object, whole, at, op->etag, err);
    free(whole);
    if (rc == 0) {
        u->ended = true;
        op->sink->uploads_open--;
    }
    return rc;
}

static int reopen(struct sink_op *op, struct err *err)
{
    struct fake_sink *s = op->sink;
    for (unsigned i = 0; i < s->n_kept; i++) {
        struct sink_upload *u = s->kept[i];
        if (!u || u->ended || strcmp(u->id, op->id) != 0)
            continue;
        u->object = op->object;
        for (unsigned n = 1; n < PARTS_KEPT; n++)
            if (u->parts[n].data)
                op->part(op->arg, n, u->parts[n].len, NULL);
        *op->upload_out = u;
        return 0;
    }
    return err_set(err, ERR_NOT_FOUND, "upload %s is gone", op->id);
}

static int perform(struct sink_op *op, struct err *err)
{
    struct fake_sink *s = op->sink;
    struct stored *o = op->key ? find(s, op->key) : NULL;
    switch (op->kind) {
    case STAT:
        *op->stat_out = (struct sink_stat){.exists = o != NULL};
        if (o) {
            op->stat_out->size = o->len;
            etag_of(o, op->stat_out->etag);
            memcpy(op->stat_out->source, o->source, sizeof(o->source));
            memcpy(op->stat_out->job, o->job, sizeof(o->job));
        }
        return 0;
    case PUT:
        CHECK(crc32c(0, op->data, op->len) == op->crc32c);
        return store(s, op->object, op->data, op->len, op->etag, err);
    case BEGIN:
        *op->upload_out = xcalloc(1, sizeof(struct sink_upload));
        **op->upload_out = (struct sink_upload){.sink = s, .object = op->object};
        s->uploads_open++;
        if (s->config.keeps_uploads) {
            CHECK(s->n_kept < UPLOADS_KEPT);
            s->kept[s->n_kept++] = *op->upload_out;
            snprintf((*op->upload_out)->id, sizeof((*op->upload_out)->id), "u%u", s->n_kept);
        }
        return 0;
    case REOPEN:
        return reopen(op, err);
    case REMOVE:
        if (o && *op->id) {
            char etag[128];
            etag_of(o, etag);
            if (strcmp(op->id, etag) != 0)
                return err_set(err, ERR_EXISTS, "%s is another", op->key);
        }
        if (o) {
            free(o->key);
            free(o->data);
            *o = s->objects[--s->n_objects];
            s->objects[s->n_objects] = (struct stored){0};
        }
        return 0;
    case PART:
        CHECK(crc32c(0, op->data, op->len) == op->crc32c && op->number < PARTS_KEPT);
        free(op->upload->parts[op->number].data);
        op->upload->parts[op->number].data = xcalloc(1, op->len);
        memcpy(op->upload->parts[op->number].data, op->data, op->len);
        op->upload->parts[op->number].len = op->len;
        op->upload->parts[op->number].offset = op->offset;
        return 0;
    case COMPLETE:
        return complete(op, err);
    case ABORT:
        CHECK(!op->upload->ended);
        op->upload->ended = true;
        s->uploads_open--;
        return 0;
    case READ:
        if (!o)
            return err_set(err, ERR_NOT_FOUND, "%s is not there", op->key);
        return op->on_data(op->arg, o->data, o->len) < 0 ? err_set(err, ERR_CANCELLED, "cancelled")
                                                         : 0;
    case LIST:
        for (unsigned i = 0; i < s->n_objects; i++)
            if (strncmp(s->objects[i].key, op->key, strlen(op->key)) == 0)
                op->each(op->arg, s->objects[i].key);
        return 0;
    default:
        return 0;
    }
}

static bool is(enum kind kind, const char *name)
{
    return name && strcmp(kind_names[kind], name) == 0;
}

static void run(void *arg)
{
    struct sink_op *op = arg;
    struct fake_sink *s = op->sink;
    struct err err = {0};
    int rc;
    if (op->cancelled)
        rc = err_set(&err, ERR_CANCELLED, "cancelled");
    else if (is(op->kind, s->config.refused))
        rc = err_set(&err, ERR_AUTH, "%s is refused", kind_names[op->kind]);
    else if (is(op->kind, s->config.spent) && s->config.spent_times && s->config.spent_times--)
        rc = err_set(&err, ERR_SPENT, "%s is too late", kind_names[op->kind]);
    else if (op->kind != ABORT && (unsigned)rand_r(&s->seed) % 100 < s->config.fail_percent)
        rc = err_set(&err, ERR_NETWORK, "%s broke", kind_names[op->kind]);
    else
        rc = perform(op, &err);
    op->done(op->arg, rc < 0 ? &err : NULL);
    free(op->key);
    free(op);
}

static struct sink_op *start(struct fake_sink *s, struct sink_op op)
{
    struct sink_op *copy = xcalloc(1, sizeof(*copy));
    *copy = op;
    copy->sink = s;
    s->calls[op.kind]++;
    copy->held = is(op.kind, s->config.held);
    if (copy->held)
        return copy;
    if ((unsigned)rand_r(&s->seed) % 100 < s->config.late_percent)
        loop_timer_start(s->loop, &copy->timer,
                         (unsigned)rand_r(&s->seed) % (s->config.late_ms ? s->config.late_ms : 3),
                         run, copy);
    else
        loop_post(s->loop, &copy->task, run, copy);
    return copy;
}

static struct sink_op *op_stat(struct sink *base, const char *key, struct sink_stat *out,
                               sink_done_fn *done, void *arg)
{
    return start((struct fake_sink *)base,
                 (struct sink_op){
                     .kind = STAT, .key = xstrdup(key), .stat_out = out, .done = done, .arg = arg});
}

static struct sink_op *op_put(struct sink *base, const struct sink_object *object, const void *data,
                              size_t len, uint32_t crc, char etag[128], sink_done_fn *done,
                              void *arg)
{
    return start((struct fake_sink *)base, (struct sink_op){.kind = PUT,
                                                            .object = object,
                                                            .data = data,
                                                            .len = len,
                                                            .crc32c = crc,
                                                            .etag = etag,
                                                            .done = done,
                                                            .arg = arg});
}

static struct sink_op *op_begin(struct sink *base, const struct sink_object *object,
                                struct sink_upload **out, sink_done_fn *done, void *arg)
{
    return start((struct fake_sink *)base,
                 (struct sink_op){
                     .kind = BEGIN, .object = object, .upload_out = out, .done = done, .arg = arg});
}

static struct sink_op *op_part(struct sink_upload *u, uint32_t number, uint64_t offset,
                               const void *data, size_t len, uint32_t crc, sink_done_fn *done,
                               void *arg)
{
    return start(u->sink, (struct sink_op){.kind = PART,
                                           .upload = u,
                                           .number = number,
                                           .offset = offset,
                                           .data = data,
                                           .len = len,
                                           .crc32c = crc,
                                           .done = done,
                                           .arg = arg});
}

static struct sink_op *op_complete(struct sink_upload *u, uint32_t n, uint64_t size, uint32_t crc,
                                   char etag[128], sink_done_fn *done, void *arg)
{
    return start(u->sink, (struct sink_op){.kind = COMPLETE,
                                           .upload = u,
                                           .number = n,
                                           .size = size,
                                           .crc32c = crc,
                                           .etag = etag,
                                           .done = done,
                                           .arg = arg});
}

static struct sink_op *op_abort(struct sink_upload *u, sink_done_fn *done, void *arg)
{
    return start(u->sink, (struct sink_op){.kind = ABORT, .upload = u, .done = done, .arg = arg});
}

static void upload_free(struct sink_upload *u)
{
    if (!u->ended && u->sink->config.keeps_uploads)
        return;
    for (unsigned i = 0; i < u->sink->n_kept; i++)
        if (u->sink->kept[i] == u)
            u->sink->kept[i] = NULL;
    free_parts(u);
    free(u);
}

static struct sink_upload_name upload_name(const struct sink_upload *u)
{
    return (struct sink_upload_name){u->id, "attempt"};
}

static struct sink_op *op_reopen(struct sink *base, const struct sink_object *object,
                                 const struct sink_upload_name *name, struct sink_upload **out,
                                 sink_part_fn *part, sink_done_fn *done, void *arg)
{
    struct sink_op op = {.kind = REOPEN,
                         .object = object,
                         .upload_out = out,
                         .part = part,
                         .done = done,
                         .arg = arg};
    snprintf(op.id, sizeof(op.id), "%s", name->id);
    return start((struct fake_sink *)base, op);
}

static struct sink_op *op_abort_unnamed(struct sink *base, const char *key, sink_done_fn *done,
                                        void *arg)
{
    return start((struct fake_sink *)base,
                 (struct sink_op){.kind = UNNAMED, .key = xstrdup(key), .done = done, .arg = arg});
}

static struct sink_op *op_remove(struct sink *base, const char *key, const char *etag,
                                 sink_done_fn *done, void *arg)
{
    struct sink_op op = {.kind = REMOVE, .key = xstrdup(key), .done = done, .arg = arg};
    snprintf(op.id, sizeof(op.id), "%s", etag);
    return start((struct fake_sink *)base, op);
}

static struct sink_op *op_read(struct sink *base, const char *key,
                               int (*on_data)(void *arg, const void *data, size_t len),
                               sink_done_fn *done, void *arg)
{
    return start(
        (struct fake_sink *)base,
        (struct sink_op){
            .kind = READ, .key = xstrdup(key), .on_data = on_data, .done = done, .arg = arg});
}

static struct sink_op *op_list(struct sink *base, const char *prefix,
                               void (*each)(void *arg, const char *key), sink_done_fn *done,
                               void *arg)
{
    return start((struct fake_sink *)base,
                 (struct sink_op){
                     .kind = LIST, .key = xstrdup(prefix), .each = each, .done = done, .arg = arg});
}

static void cancel(struct sink_op *op)
{
    op->cancelled = true;
    if (op->held)
        loop_post(op->sink->loop, &op->task, run, op);
    op->held = false;
}

static void locate(const struct sink *base, const char *key, struct buf *out)
{
    (void)base;
    buf_printf(out, "fake:%s", key);
}

struct fake_sink *fake_sink_new(struct loop *loop, const struct fake_sink_config *config,
                                unsigned seed)
{
    struct fake_sink *s = xcalloc(1, sizeof(*s));
    s->loop = loop;
    s->config = *config;
    s->seed = seed;
    s->ops = (struct sink_ops){
        .name = "fake",
        .stat = op_stat,
        .put = op_put,
        .begin = op_begin,
        .put_part = op_part,
        .complete = op_complete,
        .abort = op_abort,
        .upload_free = upload_free,
        .read = op_read,
        .list = op_list,
        .abort_unnamed = op_abort_unnamed,
        .cancel = cancel,
        .locate = locate,
    };
    if (config->keeps_uploads) {
        s->ops.upload_name = upload_name;
        s->ops.reopen = op_reopen;
        s->ops.remove = op_remove;
    }
    s->base.ops = &s->ops;
    s->base.limits = (struct sink_limits){
        .part_min = config->part_min,
        .part_max = UINT64_C(5) << 30,
        .parts_max = config->parts_max ? config->parts_max : 10000,
        .keeps_identity = config->keeps_identity,
        .lists_cheaply = config->lists_cheaply,
    };
    return s;
}

struct sink *fake_sink_base(struct fake_sink *s)
{
    return &s->base;
}

void fake_sink_configure(struct fake_sink *s, const struct fake_sink_config *config)
{
    s->config = *config;
}

const char *fake_sink_object(struct fake_sink *s, const char *key, size_t *len)
{
    struct stored *o = find(s, key);
    *len = o ? o->len : 0;
    return o ? o->data : NULL;
}

void fake_sink_place(struct fake_sink *s, const char *key, const char *data, const char *source,
                     const char *job)
{
    struct err err = {0};
    struct sink_object object = {
        .key = key, .identity = {source, job, ""}, .condition = SINK_ALWAYS};
    CHECK(store(s, &object, data, strlen(data), NULL, &err) == 0);
}

unsigned fake_sink_uploads_open(const struct fake_sink *s)
{
    return s->uploads_open;
}

unsigned fake_sink_objects(const struct fake_sink *s)
{
    return s->n_objects;
}

unsigned fake_sink_calls(const struct fake_sink *s, const char *operation)
{
    for (unsigned kind = 0; kind < KINDS; kind++)
        if (is((enum kind)kind, operation))
            return s->calls[kind];
    check_failed("the operation is known", __FILE__, __LINE__);
}

void fake_sink_free(struct fake_sink *s)
{
    for (unsigned i = 0; i < s->n_objects; i++) {
        free(s->objects[i].key);
        free(s->objects[i].data);
    }
    for (unsigned i = 0; i < s->n_kept; i++) {
        if (!s->kept[i])
            continue;
        free_parts(s->kept[i]);
        free(s->kept[i]);
    }
    free(s);
}
