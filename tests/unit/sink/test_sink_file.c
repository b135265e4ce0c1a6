/* SPDX-License-Identifier: Apache-2.0
 *
 * The directory sink's operations: whole objects, parts, completing, aborting, reading, cancelling.
 */
#include "file_rig.h"

#include <sys/resource.h>

static void test_limits(void **state)
{
    struct rig *rig = *state;
    const struct sink_limits *limits = &rig->sink->limits;
    assert_string_equal(rig->sink->ops->name, "file");
    assert_int_equal(limits->part_min, 1);
    assert_true(limits->part_max == (uint64_t)5 << 30);
    assert_int_equal(limits->parts_max, 10000);
    assert_false(limits->keeps_identity);
}

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

/* ---- reading, cancelling ---- */

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_limits),
        TEST(test_put_makes_directories),
        TEST(test_put_of_nothing),
        TEST(test_parts_in_any_order_at_once),
        TEST(test_nothing_is_visible_before_complete),
        TEST(test_wrong_size_is_no_object),
        TEST(test_complete_of_a_taken_key),
        TEST(test_abort_waits_for_parts),
        TEST(test_upload_freed_without_an_end_leaves_nothing),
        TEST(test_too_large_a_file),
        TEST(test_read_stops_when_told),
        TEST(test_cancel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
