/* SPDX-License-Identifier: Apache-2.0
 *
 * file_rig: a directory sink on a real loop and a directory of the test's own, and short ways to do
 * one thing and wait for it. Each test looks at the directory itself, too.
 *
 *     static void test_x(void **state)
 *     {
 *         struct rig *rig = *state;
 *         assert_ok(put(rig, "a/b", SINK_IF_ABSENT, NULL, "hello"));
 *         assert_file(rig, "a/b", "hello");
 *     }
 */
#ifndef EGRESS_TESTS_UNIT_SINK_FILE_RIG_H
#define EGRESS_TESTS_UNIT_SINK_FILE_RIG_H

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/mem.h"
#include "net/loop.h"
#include "sink/sink_file.h"

enum { MANY = 16, PATH_SIZE = 512 };

struct rig {
    char dir[PATH_SIZE]; /* what the test owns; the destination is dir/out */
    char out[PATH_SIZE];
    struct loop *loop;
    struct sink *sink;
    int pending;
};

struct answer {
    struct rig *rig;
    int calls;
    struct err err; /* ERR_NONE: it worked */
    char etag[128];
    struct sink_stat stat;
    struct buf body;
    size_t largest_block;
    int stop_after; /* blocks; 0: never */
    struct sink_op *op;
};

static inline void on_done(void *arg, const struct err *err)
{
    struct answer *a = arg;
    a->calls++;
    a->err = err ? *err : (struct err){0};
    if (--a->rig->pending == 0)
        loop_stop(a->rig->loop);
}

static inline struct answer *expect(struct rig *rig, struct answer *a)
{
    *a = (struct answer){.rig = rig, .body = BUF_INIT(64 * 1024 * 1024)};
    rig->pending++;
    return a;
}

static inline void run(struct rig *rig)
{
    loop_run(rig->loop);
    assert_int_equal(rig->pending, 0);
}

static inline void open_sink(struct rig *rig, const char *directory)
{
    struct err err = {0};
    rig->sink = sink_file_new(rig->loop, directory, &err);
    if (!rig->sink)
        fail_msg("%s", err.msg);
}

static inline int set_up(void **state)
{
    struct rig *rig = xcalloc(1, sizeof(*rig));
    struct err err = {0};
    snprintf(rig->dir, sizeof(rig->dir), "%s/egress-sink-XXXXXX",
             getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    assert_non_null(mkdtemp(rig->dir));
    assert_true(snprintf(rig->out, sizeof(rig->out), "%s/out", rig->dir) < PATH_SIZE);
    rig->loop = loop_new(&err);
    assert_non_null(rig->loop);
    open_sink(rig, rig->out);
    *state = rig;
    return 0;
}

static inline void shell(const char *format, const char *path)
{
    char command[2 * PATH_SIZE];
    assert_true((size_t)snprintf(command, sizeof(command), format, path) < sizeof(command));
    assert_int_equal(system(command), 0);
}

static inline int tear_down(void **state)
{
    struct rig *rig = *state;
    if (rig->sink)
        rig->sink->ops->free(rig->sink);
    loop_free(rig->loop);
    shell("rm -rf -- '%s'", rig->dir);
    free(rig);
    return 0;
}

/* ---- short ways to do one thing and wait for it ---- */

static inline const char *path_of(const struct rig *rig, const char *key)
{
    static char path[4 * PATH_SIZE];
    snprintf(path, sizeof(path), "%s/%s", rig->out, key);
    return path;
}

static inline void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static inline void assert_file(const struct rig *rig, const char *key, const char *text)
{
    char got[256] = "";
    FILE *f = fopen(path_of(rig, key), "r");
    if (!f)
        fail_msg("%s is not there", key);
    size_t n = fread(got, 1, sizeof(got) - 1, f);
    fclose(f);
    got[n] = '\0';
    assert_string_equal(got, text);
}

static inline bool is_there(const struct rig *rig, const char *key)
{
    struct stat st;
    return lstat(path_of(rig, key), &st) == 0;
}

static inline int temp_files(const struct rig *rig)
{
    int n = 0;
    DIR *dir = opendir(path_of(rig, ".egress/tmp"));
    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return dir ? n - 2 : 0;
}

static inline struct answer put(struct rig *rig, const char *key, enum sink_condition condition,
                                const char *if_match, const char *text)
{
    struct sink_object object = {.key = key, .condition = condition, .if_match = if_match};
    struct answer a;
    rig->sink->ops->put(rig->sink, &object, text, strlen(text), 0, expect(rig, &a)->etag, on_done,
                        &a);
    assert_int_equal(a.calls, 0); /* never from inside the start */
    run(rig);
    assert_int_equal(a.calls, 1);
    return a;
}

static inline void assert_ok(struct answer a)
{
    if (a.err.code != ERR_NONE)
        fail_msg("%s: %s", err_name(a.err.code), a.err.msg);
}

static inline void assert_err(struct answer a, enum err_code code, const char *in_message)
{
    if (a.err.code != code || !strstr(a.err.msg, in_message))
        fail_msg("expected %s with \"%s\", got %s: %s", err_name(code), in_message,
                 err_name(a.err.code), a.err.msg);
}

static inline struct answer stat_key(struct rig *rig, const char *key)
{
    struct answer a;
    rig->sink->ops->stat(rig->sink, key, &expect(rig, &a)->stat, on_done, &a);
    run(rig);
    return a;
}

static inline int on_data(void *arg, const void *data, size_t len)
{
    struct answer *a = arg;
    if (len > a->largest_block)
        a->largest_block = len;
    buf_append(&a->body, data, len);
    return a->stop_after > 0 && --a->stop_after == 0 ? -1 : 0;
}

static inline struct answer read_key(struct rig *rig, const char *key, int stop_after)
{
    struct answer a;
    expect(rig, &a)->stop_after = stop_after;
    rig->sink->ops->read(rig->sink, key, on_data, on_done, &a);
    run(rig);
    return a;
}

static inline void on_key(void *arg, const char *key)
{
    struct answer *a = arg;
    buf_printf(&a->body, "%s\n", key);
}

static inline int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The keys, sorted, a space between. */
/* The caller frees the answer's body. */
static inline struct answer list_keys(struct rig *rig, const char *prefix)
{
    struct answer a;
    rig->sink->ops->list(rig->sink, prefix, on_key, on_done, expect(rig, &a));
    run(rig);
    return a;
}

static inline const char *list(struct rig *rig, const char *prefix)
{
    static char sorted[4096];
    char *keys[256], *rest = NULL;
    size_t n = 0, at = 0;
    struct answer a = list_keys(rig, prefix);
    assert_ok(a);
    char *text = buf_take(&a.body);
    for (char *key = strtok_r(text, "\n", &rest); key && n < 256; key = strtok_r(NULL, "\n", &rest))
        keys[n++] = key;
    if (n > 0)
        qsort(keys, n, sizeof(keys[0]), by_text);
    sorted[0] = '\0';
    for (size_t i = 0; i < n; i++)
        at += (size_t)snprintf(sorted + at, sizeof(sorted) - at, "%s%s", i ? " " : "", keys[i]);
    free(text);
    return sorted;
}

static inline struct sink_upload *begin(struct rig *rig, const struct sink_object *object)
{
    struct sink_upload *upload = NULL;
    struct answer a;
    rig->sink->ops->begin(rig->sink, object, &upload, on_done, expect(rig, &a));
    run(rig);
    assert_ok(a);
    assert_non_null(upload);
    return upload;
}

static inline struct answer complete(struct rig *rig, struct sink_upload *upload, uint64_t size)
{
    struct answer a;
    rig->sink->ops->complete(upload, 1, size, 0, expect(rig, &a)->etag, on_done, &a);
    run(rig);
    return a;
}

static inline struct answer write_part(struct rig *rig, struct sink_upload *upload, uint64_t offset,
                                       const char *text)
{
    struct answer a;
    rig->sink->ops->put_part(upload, 1, offset, text, strlen(text), 0, on_done, expect(rig, &a));
    run(rig);
    return a;
}

static inline void abort_upload(struct rig *rig, struct sink_upload *upload)
{
    struct answer a;
    rig->sink->ops->abort(upload, on_done, expect(rig, &a));
    run(rig);
    assert_ok(a);
    rig->sink->ops->upload_free(upload);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
