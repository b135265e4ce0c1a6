/* SPDX-License-Identifier: Apache-2.0
 *
 * doctor_file: whether a directory can do what sink_file wants of it. Each check is a job for a
 * helper thread: where the disk hangs, its time runs out like any other's.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/random.h"
#include "core/text.h"
#include "doctor/doctor_part.h"
#include "sink/file_identity.h"
#include "sink/file_path.h"
#include "sink/file_temp.h"
#include "sink/file_worker.h"
#include "sink/sink_file.h"

#define SPACE_LOW ((uint64_t)1 << 30)

enum { HAVE_ROOT = 1, HAVE_TEMP = 2, HAVE_OBJECT = 4 };

enum { TEXT_MAX = 1024, ADVICE_MAX = 512 };

/* Ours, in the order in which they are removed. */
enum { DOCTOR_DIR, TEMP_DIR, OWN_DIR, ROOT_DIR, DIRS };

static const char mine[] = "written by egress doctor", theirs[] = "written by egress doctor again";

struct directory {
    struct doctor *d;
    struct file_workers *workers; /* owned */
    struct file_job job;
    void (*check)(struct directory *p); /* the one under way */
    bool hangs;

    /* what the check found: set by the helper, told by the loop */
    enum doctor_status status;
    char text[TEXT_MAX];
    const char *advice; /* literal, or NULL */
    struct err err;

    char *root;       /* owned; absolute */
    char *dirs[DIRS]; /* owned; paths */
    bool made[DIRS];  /* it was not there before */
    char *key;        /* owned; of the probe */
    struct file_temp temp;
    bool opened, published;
};

/* ---- what a check says ---- */

static void found(struct directory *p, enum doctor_status status, const char *advice,
                  const char *fmt, ...) PRINTF_LIKE(4, 5);
static void found(struct directory *p, enum doctor_status status, const char *advice,
                  const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(p->text, sizeof(p->text), fmt, args);
    va_end(args);
    p->status = status;
    p->advice = advice;
}

static void failed(struct directory *p, const struct err *err)
{
    p->status = DOCTOR_FAIL;
    p->err = *err;
}

static void failed_errno(struct directory *p, int errnum, const char *what)
{
    struct err err = {0};
    file_fail(&err, errnum, "%s in %.300s does not work", what, p->root);
    failed(p, &err);
}

static void run_helper(void *arg)
{
    struct directory *p = arg;
    p->check(p);
}

static void on_checked(void *arg)
{
    struct directory *p = arg;
    if (p->hangs)
        return;
    if (p->status == DOCTOR_FAIL)
        doctor_fail(p->d, &p->err, NULL);
    else if (p->status == DOCTOR_WARN)
        doctor_warn(p->d, p->advice, "%s", p->text);
    else
        doctor_ok(p->d, "%s", p->text);
}

static void start(struct directory *p, void (*check)(struct directory *p))
{
    struct err err = {0};
    if (!p->workers)
        p->workers = file_workers_new(doctor_loop(p->d), 1, &err);
    if (!p->workers) {
        doctor_fail(p->d, &err, NULL);
        return;
    }
    p->check = check;
    file_workers_submit(p->workers, &p->job, run_helper, on_checked, p);
}

/* ---- checks: on the helper ---- */

/* As fetch finds the directory, or finds fault with it. */
static int find_root(struct directory *p, struct err *err)
{
    struct buf root = BUF_INIT(8192);
    struct sink *sink = sink_file_new(doctor_loop(p->d), doctor_destination(p->d)->path, err);
    if (!sink)
        return -1;
    sink->ops->locate(sink, "", &root);
    sink->ops->free(sink);
    p->root = buf_take(&root);
    size_t len = strlen(p->root);
    if (len > 1 && p->root[len - 1] == '/')
        p->root[len - 1] = '\0';
    return 0;
}

static void check_root(struct directory *p)
{
    static const char *const names[DIRS] = {FILE_OWN_DIR "/doctor", FILE_TEMP_DIR, FILE_OWN_DIR,
                                            "."};
    struct err err = {0};
    struct stat st;
    if (find_root(p, &err) < 0) {
        failed(p, &err);
        return;
    }
    for (int i = 0; i < DIRS; i++) {
        p->dirs[i] = i == ROOT_DIR ? xstrdup(p->root) : xprintf("%s/%s", p->root, names[i]);
        p->made[i] = lstat(p->dirs[i], &st) < 0 && errno == ENOENT;
    }
    int fd = file_root_open(p->root, true, &err);
    if (fd < 0) {
        p->made[ROOT_DIR] = false;
        failed(p, &err);
        return;
    }
    close(fd);
    p->opened = true;
    found(p, DOCTOR_OK, NULL, "%s %s", p->root,
          p->made[ROOT_DIR] ? "is made when the first output is stored" : "is there");
}

static void check_space(struct directory *p)
{
    struct statvfs fs;
    char text[TEXT_SIZE_MAX];
    if (statvfs(p->root, &fs) < 0) {
        failed_errno(p, errno, "statvfs");
        return;
    }
    uint64_t space = (uint64_t)fs.f_bavail * fs.f_frsize;
    text_format_size(space, text);
    if (fs.f_files > 0 && fs.f_favail == 0)
        found(p, DOCTOR_WARN, "remove files, or choose another directory",
              "%s, but no further file can be made (inodes)", text);
    else if (space < SPACE_LOW)
        found(p, DOCTOR_WARN, "make room, or choose another directory", "%s", text);
    else
        found(p, DOCTOR_OK, NULL, "%s", text);
}

static void check_write(struct directory *p)
{
    struct err err = {0};
    if (file_temp_create(p->root, &p->temp, &err) < 0 ||
        file_temp_write(&p->temp, p->root, mine, sizeof(mine), 0, &err) < 0)
        failed(p, &err);
    else
        found(p, DOCTOR_OK, NULL, "allowed");
}

static void check_sync(struct directory *p)
{
    int64_t began_ms = clock_mono_ms();
    int dir = open(p->dirs[TEMP_DIR], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0 || fsync(p->temp.fd) < 0 || file_dir_sync(dir) < 0)
        failed_errno(p, errno, "fsync");
    else
        found(p, DOCTOR_OK, NULL, "a file and its directory are on the disk after %lld ms",
              (long long)(clock_mono_ms() - began_ms));
    if (dir >= 0)
        close(dir);
}

static void check_attributes(struct directory *p)
{
    const struct sink_identity identity = {.source = "doctor", .job = "probe", .output = "probe"};
    char source[32], job[32];
    file_identity_write(p->temp.fd, &identity);
    file_identity_read(p->temp.fd, source, sizeof(source), job, sizeof(job));
    if (strcmp(source, identity.source) == 0 && strcmp(job, identity.job) == 0)
        found(p, DOCTOR_OK, NULL, "kept: a file says whose output it is");
    else
        found(p, DOCTOR_WARN, "nothing needs to be done; keep receipts on",
              "not kept here: a file does not say whose output it is, so one that is there "
              "already is compared byte by byte");
}

/* A place for the probe, made as a transfer makes the folders of a key. */
static int make_place(struct directory *p, struct err *err)
{
    int dir = file_parent_open(p->root, p->key, true, err);
    if (dir >= 0)
        close(dir);
    return dir < 0 ? -1 : 0;
}

static void check_links(struct directory *p)
{
    struct err err = {0};
    if (make_place(p, &err) < 0) {
        failed(p, &err);
        return;
    }
    char *from = xprintf("%s/%s", p->dirs[TEMP_DIR], p->temp.name);
    char *to = xprintf("%s/%s-link", p->root, p->key);
    int errnum = link(from, to) < 0 ? errno : 0;
    if (!errnum)
        unlink(to);
    if (!errnum)
        found(p, DOCTOR_OK, NULL, "there are");
    else if (errnum == EPERM || errnum == EOPNOTSUPP || errnum == ENOSYS || errnum == EMLINK)
        found(p, DOCTOR_OK, NULL, "there are none; a rename that does not overwrite has to do");
    else
        failed_errno(p, errnum, "link");
    free(from);
    free(to);
}

static int publish(struct directory *p, struct err *err)
{
    const struct sink_object object = {.key = p->key, .condition = SINK_IF_ABSENT};
    const atomic_bool cancelled = false;
    char etag[FILE_ETAG_SIZE];
    return file_temp_publish(p->root, &p->temp, &object, &cancelled, etag, err);
}

static void check_publish(struct directory *p)
{
    struct err err = {0};
    char *path = xprintf("%s/%s", p->root, p->key), back[sizeof(mine)] = "";
    if (publish(p, &err) == 0) {
        p->published = true;
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, back, sizeof(back));
        if (n < 0)
            failed_errno(p, errno, "reading");
        else if (n != sizeof(mine) || memcmp(back, mine, sizeof(mine)) != 0)
            err_set(&err, ERR_INTEGRITY, "what came back of %.300s is not what was written", path);
        else
            found(p, DOCTOR_OK, NULL, "a file appears whole, with what was written");
        if (fd >= 0)
            close(fd);
    }
    if (err.code != ERR_NONE)
        failed(p, &err);
    free(path);
}

static void check_absent(struct directory *p)
{
    struct err err = {0};
    if (file_temp_create(p->root, &p->temp, &err) == 0 &&
        file_temp_write(&p->temp, p->root, theirs, sizeof(theirs), 0, &err) == 0 &&
        publish(p, &err) == 0)
        err_set(&err, ERR_DESTINATION,
                "a file that is there is overwritten by link(2) in %.250s: choose a directory on "
                "another file system",
                p->root);
    if (err.code == ERR_EXISTS)
        found(p, DOCTOR_OK, NULL, "a file that is there is not overwritten");
    else
        failed(p, &err);
}

/* Folders that others have put something into by now stay. */
static void check_clean(struct directory *p)
{
    struct err err = {0};
    (void)!file_temp_drop(p->root, &p->temp, &err);
    char *path = xprintf("%s/%s", p->root, p->key);
    if (p->published && unlink(path) < 0 && errno != ENOENT && err.code == ERR_NONE)
        file_fail(&err, errno, "cannot remove %.300s", path);
    for (int i = 0; i < DIRS; i++)
        if (p->made[i] && rmdir(p->dirs[i]) < 0 && errno != ENOENT && errno != ENOTEMPTY &&
            errno != EEXIST && err.code == ERR_NONE)
            file_fail(&err, errno, "cannot remove %.300s", p->dirs[i]);
    free(path);
    if (err.code != ERR_NONE)
        found(p, DOCTOR_WARN, "remove it by hand", "%s", err.msg);
    else
        found(p, DOCTOR_OK, NULL, "the probes are removed");
}

/* ---- steps: on the loop ---- */

#define RUN(check)                                                                                 \
    static void run_##check(struct doctor *d, void *part)                                          \
    {                                                                                              \
        (void)d;                                                                                   \
        start(part, check);                                                                        \
    }
RUN(check_root)
RUN(check_space)
RUN(check_write)
RUN(check_sync)
RUN(check_attributes)
RUN(check_links)
RUN(check_publish)
RUN(check_absent)

static void run_check_clean(struct doctor *d, void *part)
{
    const struct directory *p = part;
    if (p->opened)
        start(part, check_clean);
    else
        doctor_nothing(d);
}

/* ---- life ---- */

static void *open_directory(struct doctor *d)
{
    struct directory *p = xcalloc(1, sizeof(*p));
    p->d = d;
    p->temp = FILE_TEMP_INIT;
    p->key = xprintf(FILE_OWN_DIR "/doctor/%016llx", (unsigned long long)random_u64());
    return p;
}

/* What the helper is doing cannot be broken off: it is soon done, or hangs in the kernel. */
static void cancel_directory(void *part, bool late)
{
    struct directory *p = part;
    struct err err = {0};
    if (!late)
        return;
    p->hangs = true;
    doctor_hangs(p->d);
    err_set(&err, ERR_TIMEOUT,
            "%.300s: the file system does not answer; what doctor wrote there may be left "
            "in " FILE_OWN_DIR,
            doctor_to(p->d));
    doctor_fail(p->d, &err, "check the disk, or the network mount and its server");
}

static void close_directory(void *part)
{
    struct directory *p = part;
    file_workers_free(p->workers);
    for (int i = 0; i < DIRS; i++)
        free(p->dirs[i]);
    free(p->root);
    free(p->key);
    free(p);
}

static const struct doctor_step steps[] = {
    {.name = "directory", .run = run_check_root, .gives = HAVE_ROOT},
    {.name = "free space", .run = run_check_space, .needs = HAVE_ROOT},
    {.name = "write", .run = run_check_write, .needs = HAVE_ROOT, .gives = HAVE_TEMP},
    {.name = "sync", .run = run_check_sync, .needs = HAVE_TEMP},
    {.name = "extended attributes", .run = run_check_attributes, .needs = HAVE_TEMP},
    {.name = "hard links", .run = run_check_links, .needs = HAVE_TEMP},
    {.name = "store", .run = run_check_publish, .needs = HAVE_TEMP, .gives = HAVE_OBJECT},
    {.name = "store if absent", .run = run_check_absent, .needs = HAVE_OBJECT},
    {.name = "clean up", .run = run_check_clean, .always = true},
};

const struct doctor_part doctor_file = {
    steps, sizeof(steps) / sizeof(steps[0]), open_directory, cancel_directory, close_directory,
};
