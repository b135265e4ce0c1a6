/* SPDX-License-Identifier: Apache-2.0
 *
 * Drives the directory sink through a real loop on real files, and looks at the directory itself.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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

static void on_done(void *arg, const struct err *err)
{
    struct answer *a = arg;
    a->calls++;
    a->err = err ? *err : (struct err){0};
    if (--a->rig->pending == 0)
        loop_stop(a->rig->loop);
}

static struct answer *expect(struct rig *rig, struct answer *a)
{
    *a = (struct answer){.rig = rig, .body = BUF_INIT(64 * 1024 * 1024)};
    rig->pending++;
    return a;
}

static void run(struct rig *rig)
{
    loop_run(rig->loop);
    assert_int_equal(rig->pending, 0);
}

static void open_sink(struct rig *rig, const char *directory)
{
    struct err err = {0};
    rig->sink = sink_file_new(rig->loop, directory, &err);
    if (!rig->sink)
        fail_msg("%s", err.msg);
}

static int set_up(void **state)
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

static void shell(const char *format, const char *path)
{
    char command[2 * PATH_SIZE];
    assert_true((size_t)snprintf(command, sizeof(command), format, path) < sizeof(command));
    assert_int_equal(system(command), 0);
}

static int tear_down(void **state)
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

static const char *path_of(const struct rig *rig, const char *key)
{
    static char path[4 * PATH_SIZE];
    snprintf(path, sizeof(path), "%s/%s", rig->out, key);
    return path;
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static void assert_file(const struct rig *rig, const char *key, const char *text)
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

static bool is_there(const struct rig *rig, const char *key)
{
    struct stat st;
    return lstat(path_of(rig, key), &st) == 0;
}

static int temp_files(const struct rig *rig)
{
    int n = 0;
    DIR *dir = opendir(path_of(rig, ".egress/tmp"));
    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return dir ? n - 2 : 0;
}

static struct answer put(struct rig *rig, const char *key, enum sink_condition condition,
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

static void assert_ok(struct answer a)
{
    if (a.err.code != ERR_NONE)
        fail_msg("%s: %s", err_name(a.err.code), a.err.msg);
}

static void assert_err(struct answer a, enum err_code code, const char *in_message)
{
    if (a.err.code != code || !strstr(a.err.msg, in_message))
        fail_msg("expected %s with \"%s\", got %s: %s", err_name(code), in_message,
                 err_name(a.err.code), a.err.msg);
}

static struct answer stat_key(struct rig *rig, const char *key)
{
    struct answer a;
    rig->sink->ops->stat(rig->sink, key, &expect(rig, &a)->stat, on_done, &a);
    run(rig);
    return a;
}

static int on_data(void *arg, const void *data, size_t len)
{
    struct answer *a = arg;
    if (len > a->largest_block)
        a->largest_block = len;
    buf_append(&a->body, data, len);
    return a->stop_after > 0 && --a->stop_after == 0 ? -1 : 0;
}

static struct answer read_key(struct rig *rig, const char *key, int stop_after)
{
    struct answer a;
    expect(rig, &a)->stop_after = stop_after;
    rig->sink->ops->read(rig->sink, key, on_data, on_done, &a);
    run(rig);
    return a;
}

static void on_key(void *arg, const char *key)
{
    struct answer *a = arg;
    buf_printf(&a->body, "%s\n", key);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The keys, sorted, a space between. */
static const char *list(struct rig *rig, const char *prefix)
{
    static char sorted[4096];
    char *keys[256], *rest = NULL;
    size_t n = 0, at = 0;
    struct answer a;
    rig->sink->ops->list(rig->sink, prefix, on_key, on_done, expect(rig, &a));
    run(rig);
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

static struct sink_upload *begin(struct rig *rig, const struct sink_object *object)
{
    struct sink_upload *upload = NULL;
    struct answer a;
    rig->sink->ops->begin(rig->sink, object, &upload, on_done, expect(rig, &a));
    run(rig);
    assert_ok(a);
    assert_non_null(upload);
    return upload;
}

static struct answer complete(struct rig *rig, struct sink_upload *upload, uint64_t size)
{
    struct answer a;
    rig->sink->ops->complete(upload, 1, size, 0, expect(rig, &a)->etag, on_done, &a);
    run(rig);
    return a;
}

static struct answer write_part(struct rig *rig, struct sink_upload *upload, uint64_t offset,
                                const char *text)
{
    struct answer a;
    rig->sink->ops->put_part(upload, 1, offset, text, strlen(text), 0, on_done, expect(rig, &a));
    run(rig);
    return a;
}

static void abort_upload(struct rig *rig, struct sink_upload *upload)
{
    struct answer a;
    rig->sink->ops->abort(upload, on_done, expect(rig, &a));
    run(rig);
    assert_ok(a);
    rig->sink->ops->upload_free(upload);
}

/* ---- whole objects ---- */

static void test_put_makes_directories(void **state)
{
    struct rig *rig = *state;
    mode_t before = umask(027);
    struct answer a = put(rig, "a/b c/é+%~.json", SINK_IF_ABSENT, NULL, "hello");
    umask(before);
    assert_ok(a);
    assert_file(rig, "a/b c/é+%~.json", "hello");
    struct stat st;
    assert_int_equal(stat(path_of(rig, "a/b c/é+%~.json"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(st.st_nlink, 1);
    assert_int_equal(stat(path_of(rig, "a"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0750);
    assert_int_equal(stat(path_of(rig, ".egress"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(temp_files(rig), 0);

    struct answer s = stat_key(rig, "a/b c/é+%~.json");
    assert_ok(s);
    assert_true(s.stat.exists);
    assert_int_equal(s.stat.size, 5);
    assert_string_equal(s.stat.etag, a.etag);
    assert_true(s.stat.modified_ms > 1500000000000);
    assert_string_equal(s.stat.job, "");
}

static void test_put_of_nothing(void **state)
{
    struct rig *rig = *state;
    assert_ok(put(rig, "empty", SINK_IF_ABSENT, NULL, ""));
    assert_true(stat_key(rig, "empty").stat.exists);
    assert_int_equal(stat_key(rig, "empty").stat.size, 0);
    assert_ok(put(rig, "empty", SINK_IF_ABSENT, NULL, ""));
    assert_err(put(rig, "empty", SINK_IF_ABSENT, NULL, "x"), ERR_EXISTS, "other content");
}

static void test_taken_key(void **state)
{
    struct rig *rig = *state;
    struct answer first = put(rig, "k", SINK_IF_ABSENT, NULL, "one");
    assert_ok(first);
    struct answer same = put(rig, "k", SINK_IF_ABSENT, NULL, "one");
    assert_ok(same);
    assert_string_equal(same.etag, first.etag);
    assert_err(put(rig, "k", SINK_IF_ABSENT, NULL, "two"), ERR_EXISTS, "--force");
    assert_err(put(rig, "k", SINK_IF_ABSENT, NULL, "longer"), ERR_EXISTS, rig->out);
    assert_file(rig, "k", "one");
    assert_int_equal(temp_files(rig), 0);

    assert_int_equal(mkdir(path_of(rig, "dir"), 0777), 0);
    assert_err(put(rig, "dir", SINK_IF_ABSENT, NULL, "one"), ERR_EXISTS, "dir");
    assert_err(put(rig, "dir", SINK_ALWAYS, NULL, "one"), ERR_CONFLICT, "is a directory");
    assert_int_equal(mkfifo(path_of(rig, "fifo"), 0666), 0);
    assert_err(put(rig, "fifo", SINK_IF_ABSENT, NULL, ""), ERR_EXISTS, "fifo");
    assert_int_equal(symlink("k", path_of(rig, "link")), 0);
    assert_err(put(rig, "link", SINK_IF_ABSENT, NULL, "one"), ERR_EXISTS, "link");
    assert_int_equal(temp_files(rig), 0);
}

static void test_replacing(void **state)
{
    struct rig *rig = *state;
    struct answer one = put(rig, "r", SINK_ALWAYS, NULL, "one");
    assert_ok(one);
    struct answer two = put(rig, "r", SINK_ALWAYS, NULL, "two");
    assert_ok(two);
    assert_string_not_equal(one.etag, two.etag);
    assert_err(put(rig, "r", SINK_IF_MATCH, one.etag, "three"), ERR_EXISTS, "\"r\"");
    assert_file(rig, "r", "two");
    assert_ok(put(rig, "r", SINK_IF_MATCH, two.etag, "three"));
    assert_file(rig, "r", "three");
    assert_err(put(rig, "gone", SINK_IF_MATCH, two.etag, "x"), ERR_NOT_FOUND, "gone");
    assert_err(put(rig, "r", SINK_IF_MATCH, NULL, "x"), ERR_EXISTS, "\"r\"");
    assert_false(is_there(rig, "gone"));
    assert_int_equal(temp_files(rig), 0);
}

/* Starts MANY puts of different bytes to one key at once; how many worked. */
static int race(struct rig *rig, const char *key, enum sink_condition condition, const char *etag,
                enum err_code loser)
{
    struct sink_object object = {.key = key, .condition = condition, .if_match = etag};
    struct answer a[MANY];
    char text[MANY][16];
    int won = 0;
    for (int i = 0; i < MANY; i++) {
        snprintf(text[i], sizeof(text[i]), "writer %02d", i);
        rig->sink->ops->put(rig->sink, &object, text[i], strlen(text[i]), 0, NULL, on_done,
                            expect(rig, &a[i]));
    }
    run(rig);
    for (int i = 0; i < MANY; i++) {
        if (a[i].err.code == ERR_NONE) {
            won++;
            assert_file(rig, key, text[i]);
        } else {
            assert_int_equal(a[i].err.code, loser);
        }
    }
    return won;
}

static void test_exactly_one_wins(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(race(rig, "deep/er/race", SINK_IF_ABSENT, NULL, ERR_EXISTS), 1);
    struct answer now = stat_key(rig, "deep/er/race");
    assert_int_equal(race(rig, "deep/er/race", SINK_IF_MATCH, now.stat.etag, ERR_EXISTS), 1);
    assert_int_equal(temp_files(rig), 0);
}

/* A file system without hard links, which a test cannot count on finding: linkat() of this program
 * says what such a one says. All else is real. */
static bool no_hard_links;
extern long syscall(long number, ...);

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    if (!no_hard_links)
        return (int)syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
    errno = EPERM;
    return -1;
}

static void test_without_hard_links(void **state)
{
    struct rig *rig = *state;
    no_hard_links = true;
    int won = race(rig, "a/k", SINK_IF_ABSENT, NULL, ERR_EXISTS);
    struct answer first = put(rig, "b", SINK_IF_ABSENT, NULL, "one");
    struct answer same = put(rig, "b", SINK_IF_ABSENT, NULL, "one");
    struct answer other = put(rig, "b", SINK_IF_ABSENT, NULL, "two");
    no_hard_links = false;
    assert_int_equal(won, 1);
    assert_ok(first);
    assert_ok(same);
    assert_err(other, ERR_EXISTS, "other content");
    assert_file(rig, "b", "one");
    assert_int_equal(temp_files(rig), 0);
}

/* ---- large objects ---- */

static void test_parts_in_any_order_at_once(void **state)
{
    struct rig *rig = *state;
    enum { PART = 300 * 1000 + 7, PARTS = 11, LAST = 5 };
    struct sink_object object = {.key = "big/object"};
    struct sink_upload *upload = begin(rig, &object);
    const size_t total = (size_t)PART * (PARTS - 1) + LAST;
    char *data = xcalloc(1, total);
    for (size_t i = 0; i < total; i++)
        data[i] = (char)(i * 2654435761u >> 13);
    struct answer part[PARTS], done;
    for (int i = PARTS - 1; i >= 0; i--) {
        int n = i % 2 ? i : PARTS - 1 - i; /* neither up nor down */
        size_t offset = (size_t)n * PART;
        size_t len = total - offset < PART ? total - offset : PART;
        rig->sink->ops->put_part(upload, (uint32_t)n + 1, offset, data + offset, len, 0, on_done,
                                 expect(rig, &part[n]));
    }
    /* Given while parts are under way, it waits for them. */
    rig->sink->ops->complete(upload, PARTS, total, 0, expect(rig, &done)->etag, on_done, &done);
    assert_false(is_there(rig, "big"));
    run(rig);
    for (int i = 0; i < PARTS; i++)
        assert_ok(part[i]);
    assert_ok(done);
    rig->sink->ops->upload_free(upload);

    struct answer back = read_key(rig, "big/object", 0);
    assert_ok(back);
    assert_int_equal(back.body.len, total);
    assert_memory_equal(back.body.data, data, total);
    assert_int_equal(back.largest_block, 256 * 1024);
    assert_string_equal(stat_key(rig, "big/object").stat.etag, done.etag);
    assert_int_equal(temp_files(rig), 0);
    buf_release(&back.body);
    free(data);
}

static void test_nothing_is_visible_before_complete(void **state)
{
    struct rig *rig = *state;
    struct sink_object object = {.key = "x/y"};
    struct sink_upload *upload = begin(rig, &object);
    assert_ok(write_part(rig, upload, 0, "half"));
    assert_int_equal(temp_files(rig), 1);
    assert_false(is_there(rig, "x"));
    assert_string_equal(list(rig, ""), "");
    assert_string_equal(list(rig, ".egress"), "");
    abort_upload(rig, upload);
    assert_int_equal(temp_files(rig), 0);
    assert_false(is_there(rig, "x"));
}

static void test_wrong_size_is_no_object(void **state)
{
    struct rig *rig = *state;
    struct sink_object object = {.key = "short"};
    struct sink_upload *upload = begin(rig, &object);
    assert_ok(write_part(rig, upload, 0, "1234"));
    assert_err(complete(rig, upload, 5), ERR_INTEGRITY, "4 bytes");
    assert_err(complete(rig, upload, 3), ERR_INTEGRITY, "3 are expected");
    /* A hole has the right size in the file system's eyes. */
    assert_ok(write_part(rig, upload, 8, "5678"));
    assert_err(complete(rig, upload, 12), ERR_INTEGRITY, "8 bytes");
    assert_false(is_there(rig, "short"));
    assert_ok(write_part(rig, upload, 4, "...."));
    assert_ok(complete(rig, upload, 12));
    assert_file(rig, "short", "1234....5678");
    rig->sink->ops->upload_free(upload);
}

static void test_complete_of_a_taken_key(void **state)
{
    struct rig *rig = *state;
    struct sink_object object = {.key = "t"};
    assert_ok(put(rig, "t", SINK_IF_ABSENT, NULL, "bytes"));
    struct sink_upload *same = begin(rig, &object), *other = begin(rig, &object);
    assert_ok(write_part(rig, same, 0, "bytes"));
    assert_ok(write_part(rig, other, 0, "BYTES"));
    assert_ok(complete(rig, same, 5));
    assert_err(complete(rig, other, 5), ERR_EXISTS, "other content");
    rig->sink->ops->upload_free(same);
    abort_upload(rig, other);
    assert_file(rig, "t", "bytes");
    assert_int_equal(temp_files(rig), 0);
}

static void test_abort_waits_for_parts(void **state)
{
    struct rig *rig = *state;
    struct sink_object object = {.key = "never"};
    struct sink_upload *upload = begin(rig, &object);
    struct answer part[MANY], done;
    for (int i = 0; i < MANY; i++)
        rig->sink->ops->put_part(upload, (uint32_t)i + 1, (uint64_t)i, "x", 1, 0, on_done,
                                 expect(rig, &part[i]));
    rig->sink->ops->abort(upload, on_done, expect(rig, &done));
    run(rig);
    for (int i = 0; i < MANY; i++)
        assert_ok(part[i]);
    assert_ok(done);
    rig->sink->ops->upload_free(upload);
    assert_int_equal(temp_files(rig), 0);
    assert_false(is_there(rig, "never"));
}

static void test_upload_freed_without_an_end_leaves_nothing(void **state)
{
    struct rig *rig = *state;
    struct sink_object object = {.key = "u"};
    rig->sink->ops->upload_free(begin(rig, &object));
    assert_int_equal(temp_files(rig), 0);
}

static void test_too_large_a_file(void **state)
{
    struct rig *rig = *state;
    struct sink_object object = {.key = "large"};
    struct sink_upload *upload = begin(rig, &object);
    struct rlimit before, limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 4;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    struct answer a = write_part(rig, upload, 0, "12345678"); /* SIGXFSZ would end the test */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_err(a, ERR_DESTINATION, "ulimit -f");
    abort_upload(rig, upload);
    assert_int_equal(temp_files(rig), 0);
}

/* ---- keys ---- */

static void test_hostile_keys(void **state)
{
    struct rig *rig = *state;
    static char long_name[300], long_key[4200], deep[300];
    memset(long_name, 'n', 256);
    memset(long_key, 'k', sizeof(long_key) - 1);
    for (size_t i = 200; i < sizeof(long_key) - 1; i += 200)
        long_key[i] = '/';
    for (size_t i = 0; i < 2 * 128; i += 2)
        memcpy(deep + i, "d/", 3);
    deep[2 * 128] = 'd';
    const char *keys[] = {"/etc/passwd", "..",
                          "../x",        "a/../../x",
                          "a/..",        "./a",
                          "a/./b",       "a//b",
                          "a/",          "a\nb",
                          "a\x1b[2J",    "a\x7f",
                          "\xc2\x9b",    "\xff",
                          "a\xc0\xafz",  ".egress",
                          ".egress/tmp", ".egress/tmp/x",
                          ".Egress",     ".EGRESS/TMP/x",
                          long_name,     long_key,
                          deep,          "",
                          "a\tb/c"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        struct sink_object object = {.key = keys[i]};
        struct sink_upload *upload = NULL;
        struct answer b;
        rig->sink->ops->begin(rig->sink, &object, &upload, on_done, expect(rig, &b));
        run(rig);
        assert_null(upload);
        assert_err(b, ERR_INPUT, "cannot be a path");
        assert_err(put(rig, keys[i], SINK_ALWAYS, NULL, "x"), ERR_INPUT, "choose another --key");
        assert_err(stat_key(rig, keys[i]), ERR_INPUT, "it has");
        assert_err(read_key(rig, keys[i], 0), ERR_INPUT, "it has");
    }
    assert_false(is_there(rig, "."));
    assert_false(is_there(rig, "../x"));
}

static void test_odd_but_good_keys(void **state)
{
    struct rig *rig = *state;
    char name[256];
    memset(name, 'n', 255);
    name[255] = '\0';
    const char *keys[] = {
        "...",          "..a/b..",   ".hidden", "-rf",        "a b/ c ",
        "$(x)`'\"",     "日本/語",   name,      ".egress2/x", ".egress/voxel51/job.json",
        ".egress/tmpx", "%2e%2e/%2f"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        assert_ok(put(rig, keys[i], SINK_IF_ABSENT, NULL, "x"));
        assert_file(rig, keys[i], "x");
    }
}

static void test_symbolic_links_are_not_followed(void **state)
{
    struct rig *rig = *state;
    char outside[PATH_SIZE + 16];
    assert_ok(put(rig, "first", SINK_IF_ABSENT, NULL, "x"));
    snprintf(outside, sizeof(outside), "%s/outside", rig->dir);
    assert_int_equal(mkdir(outside, 0777), 0);
    assert_int_equal(symlink(outside, path_of(rig, "out")), 0);
    assert_err(put(rig, "out/x", SINK_IF_ABSENT, NULL, "x"), ERR_INPUT, "symbolic link \"out\"");
    assert_err(put(rig, "out/y/x", SINK_ALWAYS, NULL, "x"), ERR_INPUT, "symbolic link");
    assert_int_equal(rmdir(outside), 0); /* still empty */
    assert_err(stat_key(rig, "out/x"), ERR_INPUT, "symbolic link");
    assert_int_equal(symlink("/etc/passwd", path_of(rig, "pw")), 0);
    assert_err(stat_key(rig, "pw"), ERR_CONFLICT, "not a file");
    assert_err(read_key(rig, "pw", 0), ERR_CONFLICT, "not a file");
    assert_ok(put(rig, "pw", SINK_ALWAYS, NULL, "mine"));
    assert_file(rig, "pw", "mine");
    assert_string_equal(list(rig, ""), "first pw");
}

static void test_file_where_a_directory_is_needed(void **state)
{
    struct rig *rig = *state;
    struct sink_object object = {.key = "f/g/h"};
    struct sink_upload *upload = NULL;
    struct answer a;
    assert_ok(put(rig, "f", SINK_IF_ABSENT, NULL, "x"));
    rig->sink->ops->begin(rig->sink, &object, &upload, on_done, expect(rig, &a));
    run(rig);
    assert_err(a, ERR_CONFLICT, "needs a directory \"f\"");
    assert_null(upload);
    assert_int_equal(temp_files(rig), 0);
}

/* ---- the destination ---- */

static void assert_no_sink(struct rig *rig, const char *directory, const char *in_message)
{
    struct err err = {0};
    assert_null(sink_file_new(rig->loop, directory, &err));
    assert_err((struct answer){.err = err}, ERR_DESTINATION, in_message);
}

static void test_destinations_that_cannot_be(void **state)
{
    struct rig *rig = *state;
    char path[PATH_SIZE + 32];
    assert_no_sink(rig, "", "empty path");
    snprintf(path, sizeof(path), "%s/none/out", rig->dir);
    assert_no_sink(rig, path, "nor does the directory above it");
    snprintf(path, sizeof(path), "%s/file", rig->dir);
    write_file(path, "x");
    assert_no_sink(rig, path, "no directory");
    snprintf(path, sizeof(path), "%s/file/out", rig->dir);
    assert_no_sink(rig, path, "Not a directory");
}

static void test_reading_makes_no_directory(void **state)
{
    struct rig *rig = *state;
    assert_false(stat_key(rig, "a").stat.exists);
    assert_err(read_key(rig, "a/b", 0), ERR_NOT_FOUND, "out");
    assert_string_equal(list(rig, ""), "");
    assert_false(is_there(rig, "."));
}

static void test_linked_and_relative_destinations(void **state)
{
    struct rig *rig = *state;
    char link[PATH_SIZE + 32], here[PATH_SIZE], wanted[3 * PATH_SIZE];
    assert_ok(put(rig, "a", SINK_IF_ABSENT, NULL, "x"));
    rig->sink->ops->free(rig->sink);
    snprintf(link, sizeof(link), "%s/link", rig->dir);
    assert_int_equal(symlink("out", link), 0);
    open_sink(rig, link);
    assert_ok(put(rig, "b", SINK_IF_ABSENT, NULL, "y"));
    assert_file(rig, "b", "y");
    rig->sink->ops->free(rig->sink);

    assert_non_null(getcwd(here, sizeof(here)));
    assert_int_equal(chdir(rig->dir), 0);
    open_sink(rig, ".//out//");
    assert_int_equal(chdir(here), 0);
    assert_ok(put(rig, "c", SINK_IF_ABSENT, NULL, "z"));
    assert_file(rig, "c", "z");
    struct buf where = BUF_INIT(PATH_SIZE * 2);
    rig->sink->ops->locate(rig->sink, "c", &where);
    snprintf(wanted, sizeof(wanted), "%s/c", rig->out);
    assert_string_equal(buf_str(&where), wanted);
    buf_release(&where);
}

static void test_directory_gone_in_between(void **state)
{
    struct rig *rig = *state;
    struct sink_object object = {.key = "k"};
    struct sink_upload *upload = begin(rig, &object);
    assert_ok(write_part(rig, upload, 0, "x"));
    shell("rm -rf -- '%s'", rig->out);
    struct answer a = complete(rig, upload, 1);
    assert_int_not_equal(a.err.code, ERR_NONE);
    rig->sink->ops->upload_free(upload);
    assert_false(is_there(rig, "k"));
}

/* ---- what crashes have left ---- */

static void test_sweep(void **state)
{
    struct rig *rig = *state;
    char host[65] = "", name[PATH_SIZE];
    assert_ok(put(rig, "a", SINK_IF_ABSENT, NULL, "x"));
    rig->sink->ops->free(rig->sink);
    gethostname(host, sizeof(host) - 1);
    for (char *p = host; *p; p++)
        *p = *p == '.' || *p == '/' ? '_' : *p;
    const char *form[] = {"%s-1-2", "%s-3-4", "not-%s-1-2", "old-%s-1-2"};
    for (int i = 0; i < 4; i++) {
        char own[160];
        snprintf(own, sizeof(own), form[i], host);
        snprintf(name, sizeof(name), ".egress/tmp/%s", own);
        write_file(path_of(rig, name), "left");
        if (i == 3)
            shell("touch -d '2 days ago' '%s'", path_of(rig, name));
    }
    assert_int_equal(temp_files(rig), 4);
    snprintf(name, sizeof(name), ".egress/tmp/%s-3-4", host);
    int held = open(path_of(rig, name), O_RDWR);
    assert_int_equal(flock(held, LOCK_EX), 0);

    open_sink(rig, rig->out);
    assert_string_equal(list(rig, ""), "a");
    assert_int_equal(temp_files(rig), 4); /* looking removes nothing */
    struct sink_object object = {.key = "b"};
    struct sink_upload *upload = begin(rig, &object);
    assert_int_equal(temp_files(rig), 3); /* the held one, the other host's new one, our own */
    assert_true(is_there(rig, name));
    snprintf(name, sizeof(name), ".egress/tmp/not-%s-1-2", host);
    assert_true(is_there(rig, name));
    close(held);

    /* A second sink (as another process) leaves what the first one writes. */
    struct sink *first = rig->sink;
    open_sink(rig, rig->out);
    assert_ok(put(rig, "c", SINK_IF_ABSENT, NULL, "x"));
    assert_int_equal(temp_files(rig), 2);
    rig->sink->ops->free(rig->sink);
    rig->sink = first;
    assert_ok(write_part(rig, upload, 0, "x"));
    assert_ok(complete(rig, upload, 1));
    rig->sink->ops->upload_free(upload);
    assert_file(rig, "b", "x");
}

/* ---- reading, listing, cancelling ---- */

static void test_read_stops_when_told(void **state)
{
    struct rig *rig = *state;
    size_t len = 1000 * 1000;
    char *text = xcalloc(1, len + 1);
    memset(text, 't', len);
    assert_ok(put(rig, "r", SINK_IF_ABSENT, NULL, text));
    free(text);
    struct answer a = read_key(rig, "r", 2);
    assert_err(a, ERR_CANCELLED, "");
    assert_int_equal(a.body.len, 2 * 256 * 1024);
    buf_release(&a.body);
    assert_ok(put(rig, "none", SINK_IF_ABSENT, NULL, ""));
    a = read_key(rig, "none", 0);
    assert_ok(a);
    assert_int_equal(a.body.len, 0);
    assert_err(read_key(rig, "missing", 0), ERR_NOT_FOUND, "missing");
}

static void test_list(void **state)
{
    struct rig *rig = *state;
    const char *keys[] = {"a/1", "a/2", "a/b/3", "ab", "b", ".egress/voxel51/j.json", ".egressive"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        assert_ok(put(rig, keys[i], SINK_IF_ABSENT, NULL, "x"));
    write_file(path_of(rig, "a/bad\nname"), "x");
    assert_string_equal(list(rig, ""), ".egressive a/1 a/2 a/b/3 ab b");
    assert_string_equal(list(rig, "a"), "a/1 a/2 a/b/3 ab");
    assert_string_equal(list(rig, "a/"), "a/1 a/2 a/b/3");
    assert_string_equal(list(rig, "a/b"), "a/b/3");
    assert_string_equal(list(rig, "a/b/3"), "a/b/3");
    assert_string_equal(list(rig, "a/x/y"), "");
    assert_string_equal(list(rig, ".egress/"), ".egress/voxel51/j.json");
    assert_string_equal(list(rig, ".egress/voxel51/"), ".egress/voxel51/j.json");
    assert_string_equal(list(rig, ".egress"), ".egress/voxel51/j.json .egressive");
    assert_string_equal(list(rig, ".e"), ".egressive");
    struct answer bad;
    rig->sink->ops->list(rig->sink, "../", on_key, on_done, expect(rig, &bad));
    run(rig);
    assert_err(bad, ERR_INPUT, "..");
}

static void test_list_of_many_comes_in_pieces(void **state)
{
    struct rig *rig = *state;
    enum { FILES = 3000 };
    assert_ok(put(rig, "many/first", SINK_IF_ABSENT, NULL, "x"));
    for (int i = 0; i < FILES; i++) {
        char key[32];
        snprintf(key, sizeof(key), "many/%06d", i);
        write_file(path_of(rig, key), "");
    }
    struct answer a;
    rig->sink->ops->list(rig->sink, "many/", on_key, on_done, expect(rig, &a));
    run(rig);
    assert_ok(a);
    assert_int_equal(a.body.len, FILES * strlen("many/000000\n") + strlen("many/first\n"));
    buf_release(&a.body);
}

static void cancel_self(void *arg, const char *key)
{
    struct answer *a = arg;
    on_key(arg, key);
    a->rig->sink->ops->cancel(a->op);
}

static void test_cancel(void **state)
{
    struct rig *rig = *state;
    struct sink_object object = {.key = "c"};
    struct answer puts[MANY], listing;
    int stored = 0;
    for (int i = 0; i < MANY; i++) {
        puts[i].op = rig->sink->ops->put(rig->sink, &object, "x", 1, 0, NULL, on_done,
                                         expect(rig, &puts[i]));
    }
    struct sink_op *last = rig->sink->ops->put(rig->sink, &object, "other", 5, 0, NULL, on_done,
                                               expect(rig, &listing));
    rig->sink->ops->cancel(last);
    run(rig);
    for (int i = 0; i < MANY; i++)
        stored += puts[i].err.code == ERR_NONE;
    assert_int_equal(stored, MANY);
    assert_true(listing.err.code == ERR_CANCELLED || listing.err.code == ERR_EXISTS);
    assert_int_equal(temp_files(rig), 0);
    assert_file(rig, "c", "x");

    listing.op = rig->sink->ops->list(rig->sink, "", cancel_self, on_done, expect(rig, &listing));
    run(rig);
    assert_err(listing, ERR_CANCELLED, "");
    assert_string_equal(buf_str(&listing.body), "c\n");
    buf_release(&listing.body);
}

static void test_limits(void **state)
{
    struct rig *rig = *state;
    const struct sink_limits *limits = &rig->sink->ops->limits;
    assert_string_equal(rig->sink->ops->name, "file");
    assert_int_equal(limits->part_min, 1);
    assert_true(limits->part_max == (uint64_t)5 << 30);
    assert_int_equal(limits->parts_max, 10000);
    assert_false(limits->keeps_identity);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_limits),
        TEST(test_put_makes_directories),
        TEST(test_put_of_nothing),
        TEST(test_taken_key),
        TEST(test_replacing),
        TEST(test_exactly_one_wins),
        TEST(test_without_hard_links),
        TEST(test_parts_in_any_order_at_once),
        TEST(test_nothing_is_visible_before_complete),
        TEST(test_wrong_size_is_no_object),
        TEST(test_complete_of_a_taken_key),
        TEST(test_abort_waits_for_parts),
        TEST(test_upload_freed_without_an_end_leaves_nothing),
        TEST(test_too_large_a_file),
        TEST(test_hostile_keys),
        TEST(test_odd_but_good_keys),
        TEST(test_symbolic_links_are_not_followed),
        TEST(test_file_where_a_directory_is_needed),
        TEST(test_destinations_that_cannot_be),
        TEST(test_reading_makes_no_directory),
        TEST(test_linked_and_relative_destinations),
        TEST(test_directory_gone_in_between),
        TEST(test_sweep),
        TEST(test_read_stops_when_told),
        TEST(test_list),
        TEST(test_list_of_many_comes_in_pieces),
        TEST(test_cancel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
