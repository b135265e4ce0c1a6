/* SPDX-License-Identifier: Apache-2.0
 *
 * Uploads that nothing can finish any more: a copy begins a new one, and not for ever.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/transfer/fake_ends.h"
#include "transfer/copy.h"

#define MIB (1024 * UINT64_C(1024))

struct run {
    struct loop *loop;
    struct fake_source *source;
    struct fake_sink *sink;
    struct copy *copy; /* while it runs */
    struct copy_result result;
    struct err err;
    /* Called in each round of the loop. */
    void (*watch)(struct run *r);
    struct loop_task task;
};

static void on_done(void *arg, const struct copy_result *result, const struct err *err)
{
    struct run *r = arg;
    r->copy = NULL;
    if (result)
        r->result = *result;
    if (err)
        r->err = *err;
    if (!r->watch)
        loop_stop(r->loop);
}

static void each_round(void *arg)
{
    struct run *r = arg;
    if (r->copy) {
        r->watch(r);
        loop_post(r->loop, &r->task, each_round, r);
    } else {
        loop_stop(r->loop);
    }
}

static struct receipt_io *record(void *arg, const struct receipt_upload *upload, char etag[128],
                                 sink_done_fn *done, void *done_arg)
{
    const struct run *r = arg;
    struct sink *sink = fake_sink_base(r->sink);
    char program[] = "test", source[] = "fake";
    if (!upload)
        return receipt_remove(sink, source, "job-1", etag, done, done_arg);
    const struct receipt receipt = {.state = RECEIPT_UPLOADING,
                                    .source = source,
                                    .job = "job-1",
                                    .program = program,
                                    .upload = (struct receipt_upload *)upload};
    return receipt_write(sink, &receipt, true, etag, done, done_arg);
}

/* Copies 20 MiB; `there`: the job that the key belongs to, or NULL. */
static void copy_while(struct run *r, void (*watch)(struct run *r),
                       const struct fake_sink_config *sink, const char *there, bool force)
{
    static const struct fake_source_config source = {
        .size = 20 * MIB, .tells_size = true, .ranges = true, .validator = "v", .cut_at = -1};
    struct err err = {0};
    char name[] = "out";
    struct source_output output = {name, -1};
    struct source_job job = {.id = "job-1", .n_outputs = 1, .outputs = &output};
    memset(r, 0, sizeof(*r));
    r->loop = loop_new(&err);
    r->source = fake_source_new(r->loop, &source, 1);
    r->sink = fake_sink_new(r->loop, sink, 2);
    struct part_pool *pool = part_pool_new(r->loop, 32 * MIB);
    if (there)
        fake_sink_place(r->sink, "k", "old", "fake", there);
    struct copy_request rq = {
        .loop = r->loop,
        .source = fake_source_base(r->source),
        .sink = fake_sink_base(r->sink),
        .pool = pool,
        .job = &job,
        .key = "k",
        .force = force,
        .look = force,
        .record = sink->keeps_uploads ? record : NULL,
        .record_arg = r,
    };
    r->copy = copy_start(&rq, on_done, r);
    r->watch = watch;
    if (watch)
        loop_post(r->loop, &r->task, each_round, r);
    loop_run(r->loop);
    assert_int_equal(fake_sink_uploads_open(r->sink), 0);
    part_pool_free(pool);
}

static void copy(struct run *r, const struct fake_sink_config *sink, const char *there, bool force)
{
    copy_while(r, NULL, sink, there, force);
}

static void end(struct run *r)
{
    fake_source_free(r->source);
    fake_sink_free(r->sink);
    loop_free(r->loop);
}

static void test_begins_a_new_upload(void **state)
{
    (void)state;
    static const char *const operations[] = {"complete", "part"};
    for (unsigned i = 0; i < 4; i++) {
        struct run r;
        size_t len;
        bool force = i >= 2;
        struct fake_sink_config sink = {.keeps_identity = true,
                                        .part_min = 5 * MIB,
                                        .spent = operations[i % 2],
                                        .spent_times = 2};
        copy(&r, &sink, force ? "job-1" : NULL, force);
        if (r.err.code != ERR_NONE)
            fail_msg("%s: %s", sink.spent, r.err.msg);
        const char *data = fake_sink_object(r.sink, "k", &len);
        assert_int_equal(len, 20 * MIB);
        for (size_t at = 0; at < len; at += 4099)
            assert_int_equal((unsigned char)data[at], fake_byte(0, at));
        assert_int_equal(r.result.size, 20 * MIB);
        /* Parts that were sent at once all hear of it; it counts as one. */
        assert_in_range(fake_sink_calls(r.sink, "begin"), 2, 3);
        assert_int_equal(fake_sink_calls(r.sink, "begin"), fake_source_streams(r.source));
        assert_int_equal(fake_sink_calls(r.sink, "abort"), fake_sink_calls(r.sink, "begin") - 1);
        /* Each time the key is looked at anew. */
        assert_int_equal(fake_sink_calls(r.sink, "stat"), fake_sink_calls(r.sink, "begin"));
        end(&r);
    }
}

static void test_gives_up(void **state)
{
    (void)state;
    struct run r;
    size_t len;
    struct fake_sink_config sink = {
        .keeps_identity = true, .part_min = 5 * MIB, .spent = "complete", .spent_times = 99};
    copy(&r, &sink, NULL, false);
    assert_int_equal(r.err.code, ERR_SPENT);
    assert_true(err_is_retryable(&r.err));
    assert_int_equal(fake_sink_calls(r.sink, "begin"), 3);
    assert_int_equal(fake_sink_calls(r.sink, "abort"), 3);
    assert_null(fake_sink_object(r.sink, "k", &len));
    end(&r);
}

static void cancel_at_the_end(struct run *r)
{
    if (fake_sink_calls(r->sink, "complete") == 1 && fake_sink_calls(r->sink, "abort") == 0)
        copy_cancel(r->copy);
}

static void hand_over_at_the_end(struct run *r)
{
    if (fake_sink_calls(r->sink, "complete") == 1 && fake_sink_calls(r->sink, "abort") == 0)
        copy_hand_over(r->copy);
}

static void hand_over_the_abort(struct run *r)
{
    if (fake_sink_calls(r->sink, "abort") == 1)
        copy_hand_over(r->copy);
}

/* Publishing is not broken off; but who was told to stop does not fetch everything once more. */
static void test_not_anew_when_told_to_stop(void **state)
{
    (void)state;
    void (*const watches[])(struct run *) = {cancel_at_the_end, hand_over_at_the_end,
                                             hand_over_the_abort};
    for (size_t i = 0; i < sizeof(watches) / sizeof(watches[0]); i++) {
        struct run r;
        size_t len;
        const struct fake_sink_config sink = {.keeps_identity = true,
                                              .part_min = 5 * MIB,
                                              .late_percent = 100,
                                              .late_ms = 50,
                                              .spent = "complete",
                                              .spent_times = 1};
        copy_while(&r, watches[i], &sink, NULL, false);
        assert_true(r.err.code == ERR_SPENT || r.err.code == ERR_CANCELLED);
        assert_int_equal(fake_sink_calls(r.sink, "begin"), 1);
        assert_int_equal(fake_source_streams(r.source), 1);
        assert_null(fake_sink_object(r.sink, "k", &len));
        end(&r);
    }
}

/* The second upload has no part yet. */
static void hand_over_what_is_empty(struct run *r)
{
    struct fake_sink_config held = {
        .keeps_identity = true, .part_min = 5 * MIB, .keeps_uploads = true, .held = "part"};
    if (fake_sink_calls(r->sink, "abort") == 0)
        return;
    fake_sink_configure(r->sink, &held);
    if (fake_sink_calls(r->sink, "begin") < 2 || fake_sink_calls(r->sink, "part") < 4)
        return;
    copy_hand_over(r->copy);
    copy_cancel(r->copy);
}

static void test_what_was_stored_before_is_not_handed_over(void **state)
{
    (void)state;
    struct run r;
    const struct fake_sink_config sink = {.keeps_identity = true,
                                          .part_min = 5 * MIB,
                                          .keeps_uploads = true,
                                          .spent = "complete",
                                          .spent_times = 1};
    copy_while(&r, hand_over_what_is_empty, &sink, NULL, false);
    assert_false(r.result.handed_over);
    assert_int_equal(r.err.code, ERR_CANCELLED);
    end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_begins_a_new_upload),
        cmocka_unit_test(test_gives_up),
        cmocka_unit_test(test_not_anew_when_told_to_stop),
        cmocka_unit_test(test_what_was_stored_before_is_not_handed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
