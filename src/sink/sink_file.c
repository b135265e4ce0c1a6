/* SPDX-License-Identifier: Apache-2.0
 *
 * sink_file: see sink_file.h. Every operation is a job for a helper thread and what follows on the
 * loop.
 */
#include "sink/sink_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"
#include "sink/file_identity.h"
#include "sink/file_list.h"
#include "sink/file_path.h"
#include "sink/file_temp.h"
#include "sink/file_worker.h"

enum { THREADS = 4, READ_BLOCK = 256 * 1024, LIST_KEYS_MAX = 64 * 1024 + PATH_MAX };

struct file_sink {
    struct sink base;
    char *root;                   /* owned; absolute, without '/' at its end; never changes */
    struct file_workers *workers; /* owned */
    unsigned under_way;           /* operations */
    bool swept;
};

struct sink_upload {
    struct file_sink *sink;           /* borrowed: outlives the upload */
    const struct sink_object *object; /* borrowed, see sink.h */
    struct file_temp temp;            /* changed by begin, complete and abort, which are alone */
    unsigned parts_under_way;
    uint64_t bytes;          /* of parts that are written */
    struct sink_op *waiting; /* complete or abort, until no part is under way */
};

/* One operation. Helper and loop look at it in turn; only `cancelled` is for both at once. */
struct sink_op {
    struct file_job job;
    struct file_sink *sink; /* borrowed: outlives the operation */
    /* Helper's thread. True: there is something to deliver, and then more to do. */
    bool (*work)(struct sink_op *op);
    /* Loop's thread: hands over what work has brought. */
    void (*deliver)(struct sink_op *op);
    sink_done_fn *done;
    void *arg;
    atomic_bool cancelled;
    bool more;
    struct err err;

    char *key; /* owned; or the prefix; or NULL */
    const struct sink_object *object;
    const void *data;
    size_t len;
    uint64_t offset; /* of a part; size of the whole for complete */
    bool sweep;
    char etag[FILE_ETAG_SIZE];
    char *etag_out;
    struct sink_stat stat, *stat_out;
    struct sink_upload *upload, **upload_out;

    int fd; /* owned; of read */
    char *block;
    int (*on_data)(void *arg, const void *data, size_t len);
    struct file_list *list; /* owned */
    struct buf keys;
    void (*each)(void *arg, const char *key);
};

/* ---- the way of an operation ---- */

static bool work_part(struct sink_op *op);
static bool work_abort(struct sink_op *op);
static void submit(struct sink_op *op);

static void op_free(struct sink_op *op)
{
    CHECK(op->fd < 0 && !op->list);
    buf_release(&op->keys);
    free(op->block);
    free(op->key);
    free(op);
}

static void run(void *arg)
{
    struct sink_op *op = arg;
    op->more = false;
    if (atomic_load(&op->cancelled))
        err_set(&op->err, ERR_CANCELLED, "cancelled before it was done");
    else
        op->more = op->work(op);
    if (op->more)
        return;
    if (op->fd >= 0)
        close(op->fd);
    op->fd = -1;
    file_list_free(op->list);
    op->list = NULL;
}

static void end(struct sink_op *op)
{
    bool ok = op->err.code == ERR_NONE;
    struct err err = op->err;
    struct sink_upload *upload = op->upload;
    sink_done_fn *done = op->done;
    void *done_arg = op->arg;
    if (ok && op->stat_out)
        *op->stat_out = op->stat;
    if (ok && op->etag_out)
        memcpy(op->etag_out, op->etag, FILE_ETAG_SIZE);
    if (op->upload_out) {
        if (ok)
            *op->upload_out = upload;
        else
            free(upload);
    } else if (op->work == work_part) {
        upload->parts_under_way--;
        upload->bytes += ok ? op->len : 0;
        if (upload->parts_under_way == 0 && upload->waiting) {
            submit(upload->waiting);
            upload->waiting = NULL;
        }
    }
    op->sink->under_way--;
    op_free(op);
    done(done_arg, ok ? NULL : &err);
}

static void after_run(void *arg)
{
    struct sink_op *op = arg;
    if (!op->more) {
        end(op);
        return;
    }
    op->deliver(op);
    submit(op);
}

static void submit(struct sink_op *op)
{
    file_workers_submit(op->sink->workers, &op->job, run, after_run, op);
}

static struct sink_op *op_new(struct file_sink *sink, bool (*work)(struct sink_op *op),
                              sink_done_fn *done, void *arg)
{
    struct sink_op *op = xcalloc(1, sizeof(*op));
    op->sink = sink;
    op->work = work;
    op->done = done;
    op->arg = arg;
    op->fd = -1;
    atomic_init(&op->cancelled, false);
    sink->under_way++;
    return op;
}

static void cancel(struct sink_op *op)
{
    if (op->work != work_abort)
        atomic_store(&op->cancelled, true);
}

/* ---- looking, reading, listing ---- */

static int not_a_file(const struct sink_op *op, struct err *err)
{
    return err_set(err, ERR_CONFLICT,
                   "\"%.160s\" in %.200s is a directory, a symbolic link or a device, not a file; "
                   "move it away or choose another --key",
                   op->key, op->sink->root);
}

static int look(struct sink_op *op, const char *key, struct stat *st)
{
    const char *root = op->sink->root;
    if (file_key_check(root, key, &op->err) < 0)
        return -1;
    int parent = file_parent_open(root, key, false, &op->err);
    if (parent < 0)
        return -1;
    int failed = fstatat(parent, file_key_name(key), st, AT_SYMLINK_NOFOLLOW) < 0 ? errno : 0;
    close(parent);
    if (failed == ENOENT)
        return err_set(&op->err, ERR_NOT_FOUND, "\"%.160s\" is not in %.300s", key, root);
    return failed ? file_fail(&op->err, failed, "cannot look at \"%.160s\" in %.200s", key, root)
                  : 0;
}

static int open_key(struct sink_op *op, struct err *err)
{
    struct stat st;
    const char *root = op->sink->root;
    if (file_key_check(root, op->key, err) < 0)
        return -1;
    int parent = file_parent_open(root, op->key, false, err);
    if (parent < 0)
        return -1;
    int fd = openat(parent, file_key_name(op->key), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    int failed = errno;
    close(parent);
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        return fd;
    if (fd >= 0 || failed == ELOOP) {
        if (fd >= 0)
            close(fd);
        return not_a_file(op, err);
    }
    if (failed == ENOENT)
        return err_set(err, ERR_NOT_FOUND, "\"%.160s\" is not in %.300s", op->key, root);
    return file_fail(err, failed, "cannot open \"%.160s\" in %.200s", op->key, root);
}

static bool work_stat(struct sink_op *op)
{
    struct stat st;
    if (look(op, op->key, &st) < 0) {
        if (op->err.code == ERR_NOT_FOUND)
            op->err = (struct err){0};
        return false;
    }
    if (!S_ISREG(st.st_mode)) {
        not_a_file(op, &op->err);
        return false;
    }
    op->stat.exists = true;
    op->stat.size = (uint64_t)st.st_size;
    op->stat.modified_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
    file_etag(&st, op->stat.etag);
    struct err unreadable = {0};
    int fd = open_key(op, &unreadable); /* then whose it is, is not known */
    if (fd >= 0) {
        file_identity_read(fd, op->stat.source, sizeof(op->stat.source), op->stat.job,
                           sizeof(op->stat.job));
        close(fd);
    }
    return false;
}

static bool work_read(struct sink_op *op)
{
    ssize_t n;
    if (op->fd < 0 && (op->fd = open_key(op, &op->err)) < 0)
        return false;
    if (!op->block)
        op->block = xcalloc(1, READ_BLOCK);
    do {
        n = read(op->fd, op->block, READ_BLOCK);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        file_fail(&op->err, errno, "cannot read \"%.160s\" in %.200s", op->key, op->sink->root);
    op->len = n > 0 ? (size_t)n : 0;
    return n > 0;
}

static void deliver_block(struct sink_op *op)
{
    if (op->on_data(op->arg, op->block, op->len) < 0)
        cancel(op);
}

static bool work_list(struct sink_op *op)
{
    bool more = false;
    if (!op->list)
        op->list = file_list_new(op->sink->root, op->key);
    buf_clear(&op->keys);
    if (file_list_next(op->list, &op->keys, &more, &op->err) < 0)
        return false;
    return more || op->keys.len > 0;
}

static void deliver_keys(struct sink_op *op)
{
    const char *end_of_keys = op->keys.data + op->keys.len;
    for (const char *key = op->keys.data; key < end_of_keys; key += strlen(key) + 1)
        op->each(op->arg, key);
}

static struct sink_op *start_stat(struct sink *base, const char *key, struct sink_stat *out,
                                  sink_done_fn *done, void *arg)
{
    struct sink_op *op = op_new((struct file_sink *)base, work_stat, done, arg);
    op->key = xstrdup(key);
    op->stat_out = out;
    submit(op);
    return op;
}

static struct sink_op *start_read(struct sink *base, const char *key,
                                  int (*on_data)(void *arg, const void *data, size_t len),
                                  sink_done_fn *done, void *arg)
{
    struct sink_op *op = op_new((struct file_sink *)base, work_read, done, arg);
    op->key = xstrdup(key);
    op->on_data = on_data;
    op->deliver = deliver_block;
    submit(op);
    return op;
}

static struct sink_op *start_list(struct sink *base, const char *prefix,
                                  void (*each)(void *arg, const char *key), sink_done_fn *done,
                                  void *arg)
{
    struct sink_op *op = op_new((struct file_sink *)base, work_list, done, arg);
    op->key = xstrdup(prefix);
    op->keys = BUF_INIT(LIST_KEYS_MAX);
    op->each = each;
    op->deliver = deliver_keys;
    submit(op);
    return op;
}

/* ---- storing ---- */

/* What can be known to go wrong before a byte is written. */
static int check_before(struct sink_op *op)
{
    struct stat st;
    if (op->sweep)
        file_temp_sweep(op->sink->root);
    if (look(op, op->object->key, &st) < 0 && op->err.code != ERR_NOT_FOUND)
        return -1;
    op->err = (struct err){0};
    return 0;
}

static bool work_put(struct sink_op *op)
{
    const char *root = op->sink->root;
    struct file_temp temp = FILE_TEMP_INIT;
    struct err ignored = {0};
    if (check_before(op) < 0 || file_temp_create(root, &temp, &op->err) < 0)
        return false;
    if (file_temp_write(&temp, root, op->data, op->len, 0, &op->err) < 0 ||
        file_temp_publish(root, &temp, op->object, &op->cancelled, op->etag, &op->err) < 0)
        (void)file_temp_drop(root, &temp, &ignored); /* the first error is the one to tell */
    return false;
}

static bool work_begin(struct sink_op *op)
{
    if (check_before(op) == 0)
        (void)file_temp_create(op->sink->root, &op->upload->temp, &op->err);
    return false;
}

static bool work_part(struct sink_op *op)
{
    (void)file_temp_write(&op->upload->temp, op->sink->root, op->data, op->len, op->offset,
                          &op->err);
    return false;
}

static bool work_complete(struct sink_op *op)
{
    struct sink_upload *upload = op->upload;
    struct stat st;
    const char *root = op->sink->root;
    if (fstat(upload->temp.fd, &st) < 0)
        file_fail(&op->err, errno, "cannot look at a file in %.250s", root);
    else if ((uint64_t)st.st_size != op->offset || upload->bytes < op->offset)
        err_set(&op->err, ERR_INTEGRITY,
                "\"%.160s\" in %.200s: %llu bytes were written, %llu are expected",
                upload->object->key, root, (unsigned long long)upload->bytes,
                (unsigned long long)op->offset);
    else
        (void)file_temp_publish(root, &upload->temp, upload->object, &op->cancelled, op->etag,
                                &op->err);
    return false;
}

static bool work_abort(struct sink_op *op)
{
    (void)file_temp_drop(op->sink->root, &op->upload->temp, &op->err);
    return false;
}

static bool first_time(struct file_sink *sink)
{
    bool first = !sink->swept;
    sink->swept = true;
    return first;
}

static struct sink_op *start_put(struct sink *base, const struct sink_object *object,
                                 const void *data, size_t len, uint32_t crc32c,
                                 char etag_out[FILE_ETAG_SIZE], sink_done_fn *done, void *arg)
{
    (void)crc32c; /* a file has no place for it; receipts keep it */
    struct sink_op *op = op_new((struct file_sink *)base, work_put, done, arg);
    op->object = object;
    op->data = data;
    op->len = len;
    op->etag_out = etag_out;
    op->sweep = first_time(op->sink);
    submit(op);
    return op;
}

static struct sink_op *start_begin(struct sink *base, const struct sink_object *object,
                                   struct sink_upload **out, sink_done_fn *done, void *arg)
{
    struct sink_op *op = op_new((struct file_sink *)base, work_begin, done, arg);
    op->upload = xcalloc(1, sizeof(*op->upload));
    op->upload->sink = op->sink;
    op->upload->object = object;
    op->upload->temp = FILE_TEMP_INIT;
    op->upload_out = out;
    op->object = object;
    op->sweep = first_time(op->sink);
    submit(op);
    return op;
}

/* Parts never run beside complete or abort, which close the file. */
static struct sink_op *submit_alone(struct sink_op *op)
{
    CHECK(!op->upload->waiting);
    if (op->upload->parts_under_way > 0)
        op->upload->waiting = op;
    else
        submit(op);
    return op;
}

static struct sink_op *start_part(struct sink_upload *upload, uint32_t number, uint64_t offset,
                                  const void *data, size_t len, uint32_t crc32c, sink_done_fn *done,
                                  void *arg)
{
    (void)number, (void)crc32c; /* the offset says where it belongs */
    struct sink_op *op = op_new(upload->sink, work_part, done, arg);
    op->upload = upload;
    op->offset = offset;
    op->data = data;
    op->len = len;
    upload->parts_under_way++;
    submit(op);
    return op;
}

static struct sink_op *start_complete(struct sink_upload *upload, uint32_t n_parts, uint64_t size,
                                      uint32_t crc32c, char etag_out[FILE_ETAG_SIZE],
                                      sink_done_fn *done, void *arg)
{
    (void)n_parts, (void)crc32c;
    struct sink_op *op = op_new(upload->sink, work_complete, done, arg);
    op->upload = upload;
    op->offset = size;
    op->etag_out = etag_out;
    return submit_alone(op);
}

static struct sink_op *start_abort(struct sink_upload *upload, sink_done_fn *done, void *arg)
{
    struct sink_op *op = op_new(upload->sink, work_abort, done, arg);
    op->upload = upload;
    return submit_alone(op);
}

static void upload_free(struct sink_upload *upload)
{
    struct err ignored = {0};
    CHECK(upload->parts_under_way == 0 && !upload->waiting);
    /* Has nothing to do after complete or abort. */
    (void)file_temp_drop(upload->sink->root, &upload->temp, &ignored);
    free(upload);
}

/* ---- the sink itself ---- */

static void locate(const struct sink *base, const char *key, struct buf *out)
{
    const struct file_sink *sink = (const struct file_sink *)base;
    buf_printf(out, "%s/%s", strcmp(sink->root, "/") == 0 ? "" : sink->root, key);
}

static void sink_free(struct sink *base)
{
    struct file_sink *sink = (struct file_sink *)base;
    CHECK(sink->under_way == 0);
    file_workers_free(sink->workers);
    free(sink->root);
    free(sink);
}

static const struct sink_ops ops = {
    .name = "file",
    .stat = start_stat,
    .put = start_put,
    .begin = start_begin,
    .put_part = start_part,
    .complete = start_complete,
    .abort = start_abort,
    .upload_free = upload_free,
    .read = start_read,
    .list = start_list,
    .cancel = cancel,
    .locate = locate,
    .free = sink_free,
};

/* Absolute, without "./" in front and '/' behind; the caller frees. */
static char *absolute(const char *directory, struct err *err)
{
    while (directory[0] == '.' && directory[1] == '/')
        directory += 2 + strspn(directory + 2, "/");
    size_t len = strlen(directory);
    while (len > 1 && directory[len - 1] == '/')
        len--;
    if (directory[0] == '/')
        return xstrndup(directory, len);
    char here[PATH_MAX];
    if (!getcwd(here, sizeof(here))) {
        file_fail(err, errno, "cannot find the current directory");
        return NULL;
    }
    if (len == 0 || strcmp(directory, ".") == 0)
        return xstrdup(here);
    return xprintf("%s/%.*s", strcmp(here, "/") == 0 ? "" : here, (int)len, directory);
}

/* Only what cannot become right by itself: a missing directory is made later. */
static int check_root(const char *root, struct err *err)
{
    struct stat st;
    int missing = stat(root, &st) < 0 ? errno : 0;
    if (missing == ENOENT) {
        const char *slash = strrchr(root, '/');
        char *above = xstrndup(root, slash == root ? 1 : (size_t)(slash - root));
        int above_missing = stat(above, &st) < 0 ? errno : 0;
        free(above);
        if (above_missing)
            return err_set(err, ERR_DESTINATION,
                           "%.350s does not exist, nor does the directory above it; create it or "
                           "choose another directory",
                           root);
    } else if (missing) {
        int failed = file_fail(err, missing, "cannot use %.300s as destination", root);
        err->code = ERR_DESTINATION;
        return failed;
    }
    if (!S_ISDIR(st.st_mode))
        return err_set(err, ERR_DESTINATION,
                       "cannot store in %.350s: it is no directory; choose a directory", root);
    return 0;
}

struct sink *sink_file_new(struct loop *loop, const char *directory, struct err *err)
{
    if (directory[0] == '\0') {
        err_set(err, ERR_DESTINATION, "the destination is an empty path; name a directory");
        return NULL;
    }
    char *root = absolute(directory, err);
    if (!root)
        return NULL;
    struct file_workers *workers = NULL;
    if (check_root(root, err) == 0)
        workers = file_workers_new(loop, THREADS, err);
    if (!workers) {
        free(root);
        return NULL;
    }
    struct file_sink *sink = xcalloc(1, sizeof(*sink));
    sink->base.ops = &ops;
    sink->base.limits =
        (struct sink_limits){.part_min = 1, .part_max = (uint64_t)5 << 30, .parts_max = 10000};
    sink->root = root;
    sink->workers = workers;
    return &sink->base;
}
