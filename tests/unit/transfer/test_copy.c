/* SPDX-License-Identifier: Apache-2.0
 *
 * The copy between a source and a sink in memory: every size, known or not, with pauses, breaks,
 * failures and cancellation at random. What must hold each time: the object is right or not there,
 * no upload is left open, all memory is given back (part_pool_free checks), and it ends.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <openssl/evp.h>

#include "core/crc32c.h"
#include "core/log.h"
#include "core/text.h"
#include "tests/unit/transfer/fake_ends.h"
#include "transfer/copy.h"

#define MIB (1024 * UINT64_C(1024))
static const char KEY[] = "dir/key";

struct run {
    struct loop *loop;
    struct fake_source *source;
    struct fake_sink *sink;
    struct part_pool *pool;
    struct source_job job;
    struct source_output output;
    char name[16];
    struct copy *copy;
    struct loop_timer cancel_timer;
    struct loop_task task; /* comes once in every turn of the loop, until it has cancelled */
    unsigned cancel_turn;  /* 0: none */
    const char *cancel_on; /* operation of the sink that has begun, or NULL */
    bool tried_before;
    bool watching;
    bool ended, good, cancelling;
    char content_type[40];
    struct copy_result result;
    struct err err;
};

static struct fake_source_config a_source(uint64_t size, bool tells_size)
{
    return (struct fake_source_config){.size = size,
                                       .tells_size = tells_size,
                                       .ranges = true,
                                       .validator = "\"e1\"",
                                       .cut_at = -1};
}

static struct fake_sink_config a_sink(void)
{
    return (struct fake_sink_config){
        .late_percent = 30, .keeps_identity = true, .part_min = 5 * MIB};
}

static void on_done(void *arg, const struct copy_result *result, const struct err *err)
{
    struct run *r = arg;
    assert_false(r->ended || r->cancelling);
    r->ended = true;
    r->copy = NULL;
    r->good = result != NULL;
    r->err = err ? *err : (struct err){0};
    if (result) {
        r->result = *result;
        snprintf(r->content_type, sizeof(r->content_type), "%s", result->content_type);
    }
    loop_stop(r->loop);
}

static void start(struct run *r, const struct fake_source_config *source,
                  const struct fake_sink_config *sink, uint64_t memory, unsigned seed)
{
    struct err err = {0};
    memset(r, 0, sizeof(*r));
    r->loop = loop_new(&err);
    r->source = fake_source_new(r->loop, source, seed);
    r->sink = fake_sink_new(r->loop, sink, seed + 1);
    r->pool = part_pool_new(r->loop, memory);
    r->output = (struct source_output){r->name, -1};
    memcpy(r->name, "labels.json", 12);
    r->job = (struct source_job){.id = "job-1", .n_outputs = 1, .outputs = &r->output};
}

static void cancel_it(void *arg)
{
    struct run *r = arg;
    r->cancelling = true;
    if (r->copy)
        copy_cancel(r->copy);
    r->cancelling = false;
}

/* Cancels at a turn of the loop, which unlike a time is the same on every machine. */
static void watch(void *arg)
{
    struct run *r = arg;
    r->watching = false;
    if (r->ended) {
        loop_stop(r->loop);
    } else if (r->cancel_on ? fake_sink_calls(r->sink, r->cancel_on) > 0 : --r->cancel_turn == 0) {
        cancel_it(r);
    } else {
        r->watching = true;
        loop_post(r->loop, &r->task, watch, r);
    }
}

static void go(struct run *r, bool force, bool look, int64_t cancel_after_ms)
{
    struct copy_request rq = {
        .loop = r->loop,
        .source = fake_source_base(r->source),
        .sink = fake_sink_base(r->sink),
        .pool = r->pool,
        .job = &r->job,
        .key = KEY,
        .force = force,
        .look = look,
        .tried_before = r->tried_before,
    };
    r->ended = false;
    r->copy = copy_start(&rq, on_done, r);
    if (cancel_after_ms >= 0)
        loop_timer_start(r->loop, &r->cancel_timer, cancel_after_ms, cancel_it, r);
    r->watching = r->cancel_turn || r->cancel_on;
    if (r->watching)
        loop_post(r->loop, &r->task, watch, r);
    loop_run(r->loop);
    if (r->watching)
        loop_run(r->loop);
    loop_timer_stop(r->loop, &r->cancel_timer);
    assert_true(r->ended);
    assert_int_equal(fake_sink_uploads_open(r->sink), 0);
}

static void end(struct run *r)
{
    part_pool_free(r->pool);
    fake_source_free(r->source);
    fake_sink_free(r->sink);
    loop_free(r->loop);
}

static void check_object(struct run *r, uint64_t size)
{
    size_t len;
    const char *data = fake_sink_object(r->sink, KEY, &len);
    unsigned version = fake_source_version(r->source);
    assert_non_null(data);
    assert_int_equal(len, size);
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)data[i] != fake_byte(version, i))
            fail_msg("byte %zu of %zu is wrong", i, len);
    assert_int_equal(r->result.crc32c, crc32c(0, data, len));
}

static void test_every_size_known_and_not(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {
        0,           1,       4095,        512 * 1024 - 1, 512 * 1024,   512 * 1024 + 1, 5 * MIB,
        8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 16 * MIB,       24 * MIB + 5, 40 * MIB + 1};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (unsigned known = 0; known < 2; known++) {
            struct run r;
            struct fake_source_config source = a_source(sizes[i], known);
            struct fake_sink_config sink = a_sink();
            start(&r, &source, &sink, 32 * MIB, (unsigned)i);
            go(&r, false, false, -1);
            if (!r.good)
                fail_msg("%llu bytes: %s", (unsigned long long)sizes[i], r.err.msg);
            check_object(&r, sizes[i]);
            assert_int_equal(fake_sink_calls(r.sink, "begin"), sizes[i] > 8 * MIB);
            end(&r);
        }
    }
}

static void test_one_buffer_is_enough(void **state)
{
    (void)state;
    struct run r;
    struct fake_source_config source = a_source(30 * MIB, true);
    struct fake_sink_config sink = a_sink();
    start(&r, &source, &sink, 16 * MIB, 1);
    assert_true(part_pool_try(r.pool, 6 * MIB)); /* somebody else's: room for one part is left */
    go(&r, false, false, -1);
    assert_true(r.good);
    check_object(&r, 30 * MIB);
    part_pool_release(r.pool, 6 * MIB, SHARE_LARGE);
    end(&r);
}

static void poll_idle(void *arg)
{
    struct run *r = arg;
    uint64_t received;
    int64_t size;
    copy_progress(r->copy, &received, &size);
    if (received >= 40 * MIB && part_pool_try(r->pool, 32 * MIB)) {
        part_pool_release(r->pool, 32 * MIB, SHARE_LARGE);
        copy_cancel(r->copy);
    } else {
        loop_timer_start(r->loop, &r->cancel_timer, 5, poll_idle, r);
    }
}

/* Of the buffers that a late sink made it take, a source that stalls leaves it three at most. */
static void test_a_stalled_copy_gives_back_what_it_does_not_use(void **state)
{
    (void)state;
    struct run r;
    struct loop_timer deadline = {0};
    struct fake_source_config source = a_source(80 * MIB, true);
    struct fake_sink_config sink = a_sink();
    source.stall_at = 40 * MIB;
    sink.late_percent = 100;
    sink.late_ms = 600;
    start(&r, &source, &sink, 64 * MIB, 1);
    loop_timer_start(r.loop, &r.cancel_timer, 5, poll_idle, &r); /* not before it has begun */
    loop_timer_start(r.loop, &deadline, 20 * 1000, cancel_it, &r);
    go(&r, false, false, -1);
    assert_true(deadline.armed); /* it was not this that ended it */
    loop_timer_stop(r.loop, &deadline);
    assert_int_equal(r.err.code, ERR_CANCELLED);
    end(&r);
}

/* Parts that grow need large buffers while the others still hold theirs. */
static void test_copies_that_grow_side_by_side(void **state)
{
    (void)state;
    enum { COPIES = 6 };
    struct run runs[COPIES];
    char keys[COPIES][8];
    struct fake_sink_config sink = a_sink();
    sink.parts_max = 20; /* two parts of each size: the third is larger */
    start(&runs[0], &(struct fake_source_config){.cut_at = -1}, &sink, 64 * MIB, 1);
    for (unsigned i = 0; i < COPIES; i++) {
        struct fake_source_config source = a_source((17 + 6 * i) * MIB, i == 0);
        struct run *r = &runs[i];
        if (i > 0)
            *r = runs[0];
        else
            fake_source_free(r->source);
        r->source = fake_source_new(r->loop, &source, i);
        r->output = (struct source_output){r->name, -1};
        r->job.outputs = &r->output;
        snprintf(keys[i], sizeof(keys[i]), "k%u", i);
        struct copy_request rq = {.loop = r->loop,
                                  .source = fake_source_base(r->source),
                                  .sink = fake_sink_base(r->sink),
                                  .pool = r->pool,
                                  .job = &r->job,
                                  .key = keys[i]};
        r->copy = copy_start(&rq, on_done, r);
    }
    for (bool all = false; !all;) { /* each completion stops the loop */
        loop_run(runs[0].loop);
        all = true;
        for (unsigned i = 0; i < COPIES; i++)
            all &= runs[i].ended;
    }
    for (unsigned i = 0; i < COPIES; i++) {
        size_t len;
        fake_sink_object(runs[0].sink, keys[i], &len);
        assert_int_equal(len, (17 + 6 * i) * MIB);
        if (i > 0)
            fake_source_free(runs[i].source);
    }
    end(&runs[0]);
}

static void test_goes_on_after_breaks(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 2; seed++) {
        struct run r;
        struct fake_source_config source = a_source(9 * MIB, seed % 2);
        struct fake_sink_config sink = a_sink();
        source.break_percent = 1;
        start(&r, &source, &sink, 32 * MIB, seed);
        go(&r, false, false, -1);
        if (!r.good)
            fail_msg("seed %u: %s", seed, r.err.msg);
        assert_true(fake_source_streams(r.source) > 1);
        check_object(&r, 9 * MIB);
        end(&r);
    }
}

/* The output is another one, or the source says so only by its validator, or it takes no notice of
 * where it was to go on. */
static void test_begins_anew_rather_than_mix(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct run r;
        uint64_t size = i == 3 ? 10 * MIB : 3 * MIB;
        struct fake_source_config source = a_source(size, i != 2);
        struct fake_sink_config sink = a_sink();
        source.break_percent = 1;
        source.change_after = i != 2;
        source.change_unseen = i == 1;
        source.ignores_offset = i == 2;
        start(&r, &source, &sink, 32 * MIB, 3);
        go(&r, false, false, -1);
        assert_true(r.good);
        assert_int_equal(fake_source_version(r.source), i != 2);
        assert_true(fake_source_streams(r.source) > 1);
        check_object(&r, size);
        end(&r);
    }
}

/* One that breaks before its first byte: what was said of it may be another output's. */
static void test_what_was_said_before_the_first_byte(void **state)
{
    (void)state;
    for (unsigned large = 0; large < 2; large++) {
        struct run r;
        uint64_t size = large ? 9 * MIB : 1000;
        struct fake_source_config source = a_source(size, true);
        struct fake_sink_config sink = a_sink();
        source.break_at_open = 1;
        source.change_after = 1;
        start(&r, &source, &sink, 32 * MIB, 3);
        go(&r, false, false, -1);
        assert_true(r.good);
        assert_int_equal(fake_source_version(r.source), 1);
        assert_string_equal(r.content_type, "text/plain");
        check_object(&r, size);
        end(&r);
    }
}

static void test_ends_rather_than_wait_for_hours(void **state)
{
    (void)state;
    struct run r;
    struct fake_source_config source = a_source(1000, true);
    struct fake_sink_config sink = a_sink();
    source.break_at_open = 1;
    source.retry_after_ms = 3600 * 1000;
    start(&r, &source, &sink, 32 * MIB, 3);
    go(&r, false, false, 5000);
    assert_int_equal(r.err.code, ERR_NETWORK);
    assert_int_equal(r.err.retry_after_ms, 3600 * 1000); /* who tries again learns of it */
    end(&r);
}

static void test_cancelled_between_two_streams(void **state)
{
    (void)state;
    struct run r;
    struct fake_source_config source = a_source(1000, true);
    struct fake_sink_config sink = a_sink();
    source.break_at_open = 4;
    start(&r, &source, &sink, 32 * MIB, 3);
    go(&r, false, false, 30);
    assert_int_equal(r.err.code, ERR_CANCELLED);
    assert_int_equal(fake_source_streams(r.source), 1);
    end(&r);
}

static void test_cancelled_while_it_begins_anew(void **state)
{
    (void)state;
    struct run r;
    struct fake_source_config source = a_source(10 * MIB, true);
    struct fake_sink_config sink = a_sink();
    source.ranges = false;
    source.cut_at = 9 * MIB;
    sink.late_percent = 100;
    sink.late_ms = 100;
    start(&r, &source, &sink, 32 * MIB, 3);
    r.cancel_on = "abort";
    go(&r, false, false, -1);
    assert_int_equal(r.err.code, ERR_CANCELLED);
    assert_int_equal(fake_source_streams(r.source), 1);
    end(&r);
}

static void test_a_source_that_brings_nothing(void **state)
{
    (void)state;
    struct run r;
    struct fake_source_config source = a_source(1000, true);
    struct fake_sink_config sink = a_sink();
    source.break_at_open = 1000;
    start(&r, &source, &sink, 32 * MIB, 3);
    go(&r, false, false, 20 * 1000);
    assert_int_equal(r.err.code, ERR_NETWORK);
    assert_int_equal(fake_source_streams(r.source), 4);
    end(&r);
}

static void test_without_ranges_begins_anew_a_few_times(void **state)
{
    (void)state;
    struct run r;
    struct fake_source_config source = a_source(20 * MIB, true);
    struct fake_sink_config sink = a_sink();
    source.ranges = false;
    source.break_percent = 10;
    start(&r, &source, &sink, 32 * MIB, 3);
    go(&r, false, false, -1);
    assert_false(r.good);
    assert_int_equal(r.err.code, ERR_NETWORK);
    assert_in_range(fake_source_streams(r.source), 4, 16); /* 4 beginnings, some stalled */
    assert_int_equal(fake_sink_objects(r.sink), 0);
    end(&r);
}

static void test_short_and_long_bodies_leave_nothing(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct run r;
        uint64_t size = i % 2 ? 3 * MIB : 20 * MIB;
        struct fake_source_config source = a_source(size, true);
        struct fake_sink_config sink = a_sink();
        if (i < 2)
            source.cut_at = (int64_t)size - 1;
        else
            source.extra = 1;
        source.ranges = false;
        start(&r, &source, &sink, 32 * MIB, i);
        go(&r, false, false, -1);
        assert_false(r.good);
        assert_int_equal(r.err.code, ERR_INTEGRITY);
        assert_int_equal(fake_sink_objects(r.sink), 0);
        end(&r);
    }
}

static void test_checksum_of_the_source(void **state)
{
    (void)state;
    char right[CRC32C_TEXT_SIZE], right_md5[32];
    unsigned char raw[EVP_MAX_MD_SIZE];
    uint64_t size = 17 * MIB;
    unsigned char *all = malloc(size);
    assert_non_null(all);
    for (uint64_t i = 0; i < size; i++)
        all[i] = fake_byte(0, i);
    crc32c_format(crc32c(0, all, size), right);
    assert_int_equal(EVP_Digest(all, size, raw, NULL, EVP_md5(), NULL), 1);
    text_base64(raw, 16, right_md5);
    free(all);
    for (unsigned lie = 0; lie < 4; lie++) {
        struct run r;
        struct fake_source_config source = a_source(size, true);
        struct fake_sink_config sink = a_sink();
        source.crc32c = lie == 1 ? "AAAAAA==" : lie == 2 ? "not base64" : right;
        source.md5 = lie == 3 ? "AAAAAAAAAAAAAAAAAAAAAA==" : right_md5;
        start(&r, &source, &sink, 32 * MIB, 5);
        go(&r, false, false, -1);
        assert_int_equal(r.good, lie == 0);
        if (lie) {
            assert_int_equal(r.err.code, lie == 2 ? ERR_PROTOCOL : ERR_INTEGRITY);
            assert_int_equal(fake_sink_objects(r.sink), 0);
        }
        end(&r);
    }
}

static void test_too_large_is_refused_before_anything_is_stored(void **state)
{
    (void)state;
    struct run r;
    struct fake_source_config source = a_source(UINT64_C(1) << 40, true);
    struct fake_sink_config sink = a_sink();
    start(&r, &source, &sink, 32 * MIB, 5);
    go(&r, false, false, -1);
    assert_int_equal(r.err.code, ERR_TOO_LARGE);
    assert_non_null(strstr(r.err.msg, "--memory"));
    assert_int_equal(fake_sink_calls(r.sink, "begin"), 0);
    end(&r);
}

/* What lies under the key already: whose, and what becomes of it without and with force. */
static void test_a_taken_key(void **state)
{
    (void)state;
    static const struct {
        const char *source, *job;
        bool identity, force;
        enum err_code code; /* ERR_NONE: it works */
        bool already;
    } cases[] = {
        {"fake", "job-1", true, false, ERR_NONE, true},
        {"fake", "job-1", true, true, ERR_NONE, false},
        {"fake", "job-2", true, false, ERR_CONFLICT, false},
        {"fake", "job-2", true, true, ERR_CONFLICT, false},
        {"other", "job-1", true, false, ERR_CONFLICT, false},
        {"", "", true, false, ERR_CONFLICT, false},
        {"", "", true, true, ERR_NONE, false},
        {"", "", false, false, ERR_CONFLICT, false}, /* a directory, with other bytes */
        {"", "", false, true, ERR_NONE, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (unsigned large = 0; large < 2; large++) {
            struct run r;
            size_t len;
            struct fake_source_config source = a_source(large ? 10 * MIB : 1000, true);
            struct fake_sink_config sink = a_sink();
            sink.keeps_identity = cases[i].identity;
            start(&r, &source, &sink, 32 * MIB, (unsigned)i);
            fake_sink_place(r.sink, KEY, "what was there", cases[i].source, cases[i].job);
            go(&r, cases[i].force, cases[i].force, -1);
            if (r.good != (cases[i].code == ERR_NONE) || r.err.code != cases[i].code)
                fail_msg("case %zu, large %u: %s", i, large, r.err.msg);
            if (r.good)
                assert_int_equal(r.result.already, cases[i].already);
            const char *data = fake_sink_object(r.sink, KEY, &len);
            if (r.good && !cases[i].already)
                check_object(&r, source.size);
            else
                assert_string_equal(data, "what was there");
            end(&r);
        }
    }
}

static void too_long(void *arg)
{
    (void)arg;
    fail_msg("it does not end");
}

/* It is found while the output arrives, or stands still, and uploads that nobody has written down
 * are removed: neither waits for the output. */
static void test_stored_by_another_while_it_arrives(void **state)
{
    (void)state;
    for (unsigned tried = 0; tried < 2; tried++) {
        struct run r;
        struct loop_timer timer = {0};
        struct fake_source_config source = a_source(20 * MIB, true);
        struct fake_sink_config sink = a_sink();
        source.stall_at = MIB;
        start(&r, &source, &sink, 64 * MIB, 1);
        fake_sink_place(r.sink, KEY, "old", "fake", "job-1");
        r.tried_before = tried;
        loop_timer_start(r.loop, &timer, 20 * 1000, too_long, NULL);
        go(&r, false, false, -1);
        loop_timer_stop(r.loop, &timer);
        assert_true(r.good && r.result.already);
        assert_int_equal(fake_sink_calls(r.sink, "abort_unnamed"), tried);
        end(&r);
    }
}

static void test_same_bytes_in_a_directory_are_accepted(void **state)
{
    (void)state;
    struct run r;
    struct fake_source_config source = a_source(20 * MIB, false);
    struct fake_sink_config sink = a_sink();
    sink.keeps_identity = false;
    start(&r, &source, &sink, 32 * MIB, 5);
    go(&r, false, false, -1);
    assert_true(r.good);
    go(&r, false, false, -1);
    assert_true(r.good);
    check_object(&r, 20 * MIB);
    end(&r);
}

static void test_random_failures_and_cancellation(void **state)
{
    (void)state;
    unsigned good = 0, bad = 0;
    for (unsigned seed = 0; seed < 80; seed++) {
        struct run r;
        struct fake_source_config source =
            a_source(seed * UINT64_C(1037399) % (24 * MIB), seed & 1);
        struct fake_sink_config sink = a_sink();
        source.ranges = seed % 3;
        source.break_percent = seed % 40 == 1;
        sink.fail_percent = seed % 4 == 0 ? 25 : 0;
        start(&r, &source, &sink, 16 * MIB, seed);
        r.cancel_turn = seed % 3 == 0 ? seed * 7 + 1 : 0;
        go(&r, false, seed % 2, -1);
        if (r.good) {
            check_object(&r, source.size);
            good++;
        } else {
            assert_int_equal(fake_sink_objects(r.sink), 0);
            bad++;
        }
        end(&r);
    }
    if (good < 15 || bad < 15)
        fail_msg("%u good, %u bad: too few of one kind", good, bad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_size_known_and_not),
        cmocka_unit_test(test_one_buffer_is_enough),
        cmocka_unit_test(test_a_stalled_copy_gives_back_what_it_does_not_use),
        cmocka_unit_test(test_copies_that_grow_side_by_side),
        cmocka_unit_test(test_goes_on_after_breaks),
        cmocka_unit_test(test_begins_anew_rather_than_mix),
        cmocka_unit_test(test_what_was_said_before_the_first_byte),
        cmocka_unit_test(test_ends_rather_than_wait_for_hours),
        cmocka_unit_test(test_cancelled_between_two_streams),
        cmocka_unit_test(test_cancelled_while_it_begins_anew),
        cmocka_unit_test(test_a_source_that_brings_nothing),
        cmocka_unit_test(test_without_ranges_begins_anew_a_few_times),
        cmocka_unit_test(test_short_and_long_bodies_leave_nothing),
        cmocka_unit_test(test_checksum_of_the_source),
        cmocka_unit_test(test_too_large_is_refused_before_anything_is_stored),
        cmocka_unit_test(test_a_taken_key),
        cmocka_unit_test(test_stored_by_another_while_it_arrives),
        cmocka_unit_test(test_same_bytes_in_a_directory_are_accepted),
        cmocka_unit_test(test_random_failures_and_cancellation),
    };
    log_init(stderr, LOG_ERROR, LOG_HUMAN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
