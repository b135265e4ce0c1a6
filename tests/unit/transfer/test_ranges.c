/* SPDX-License-Identifier: Apache-2.0
 *
 * Several parts of one output at a time (--ranges): what must hold of a copy holds of these, too,
 * and a source that cannot do it gives its outputs as one stream.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/crc32c.h"
#include "core/log.h"
#include "core/mem.h"
#include "tests/unit/transfer/fake_ends.h"
#include "transfer/transfer.h"

#define MIB    (1024 * UINT64_C(1024))
#define OBJECT "job-0/labels-0.json"
#define MARKER ".egress/fake/job-0.uploading"

struct rig {
    struct loop *loop;
    struct fake_source_config from;
    struct fake_sink_config to;
    struct engine_config config;
    struct fake_source *source;
    struct fake_sink *sink;
    struct engine *engine;
    unsigned seed;

    struct transfer *transfer; /* while it runs */
    unsigned turn, stop_turn;  /* of the loop; UINT32_MAX: it is not stopped */
    bool hand_over;            /* instead of cancelling */
    unsigned stop_parts;       /* handed over once so many parts were sent; 0: not */
    struct loop_task task;
    enum transfer_outcome outcome;
    struct err err;
    uint64_t bytes, resumed;
};

/* 6 parts, the last of which is not full. */
static void init(struct rig *r)
{
    struct err err = {0};
    memset(r, 0, sizeof(*r));
    r->loop = loop_new(&err);
    r->stop_turn = UINT32_MAX;
    r->from = (struct fake_source_config){.size = 6 * 8 * MIB - 1000,
                                          .tells_size = true,
                                          .ranges = true,
                                          .validator = "\"e1\"",
                                          .cut_at = -1,
                                          .state = JOB_COMPLETE};
    r->to = (struct fake_sink_config){
        .keeps_identity = true, .part_min = 5 * MIB, .late_percent = 30, .keeps_uploads = true};
    r->config = (struct engine_config){.loop = r->loop,
                                       .key_template = "{job_id}/{filename}",
                                       .program = "egress test",
                                       .memory = 64 * MIB,
                                       .concurrency = 4,
                                       .ranges = 4,
                                       .receipts = true};
}

static void on_done(void *arg, const struct transfer_result *result)
{
    struct rig *r = arg;
    r->transfer = NULL;
    r->outcome = result->outcome;
    r->err = result->err;
    r->bytes = result->bytes;
    r->resumed = result->resumed;
}

static void on_turn(void *arg)
{
    struct rig *r = arg;
    if (!r->transfer) {
        loop_stop(r->loop);
        return;
    }
    bool sent = r->stop_parts && fake_sink_calls(r->sink, "part") >= r->stop_parts;
    if (sent || (r->turn++ == r->stop_turn && r->hand_over))
        transfer_hand_over(r->transfer);
    else if (r->turn == r->stop_turn + 1)
        transfer_cancel(r->transfer);
    loop_post(r->loop, &r->task, on_turn, r);
}

/* With a new source and engine; the sink stays. */
static void run(struct rig *r)
{
    if (!r->sink)
        r->sink = fake_sink_new(r->loop, &r->to, r->seed + 1);
    fake_sink_configure(r->sink, &r->to);
    fake_source_free(r->source);
    r->source = fake_source_new(r->loop, &r->from, r->seed);
    r->config.source = fake_source_base(r->source);
    r->config.sink = fake_sink_base(r->sink);
    r->engine = engine_new(&r->config);
    r->turn = 0;
    r->transfer = transfer_start(r->engine, "job-0", on_done, r);
    loop_post(r->loop, &r->task, on_turn, r);
    loop_run(r->loop);
    engine_free(r->engine); /* all memory is given back, else it says so */
}

static void end(struct rig *r)
{
    fake_source_free(r->source);
    fake_sink_free(r->sink);
    loop_free(r->loop);
}

static void expect_stored(struct rig *r)
{
    size_t len;
    if (r->outcome != TRANSFER_STORED)
        fail_msg("seed %u: %s", r->seed, r->err.msg);
    const char *data = fake_sink_object(r->sink, OBJECT, &len);
    assert_int_equal(len, r->from.size);
    for (size_t i = 0; i < len; i += 4099)
        if ((unsigned char)data[i] != fake_byte(fake_source_version(r->source), i))
            fail_msg("seed %u: byte %zu is another", r->seed, i);
    assert_int_equal(fake_sink_uploads_open(r->sink), 0);
}

static void expect_nothing(struct rig *r)
{
    size_t len;
    bool marker = fake_sink_object(r->sink, MARKER, &len) != NULL; /* of an empty file */
    assert_int_equal(r->outcome, TRANSFER_FAILED);
    assert_int_equal(fake_sink_objects(r->sink), marker);
    assert_int_equal(fake_sink_uploads_open(r->sink), 0);
}

/* ---- */

static void test_parts_come_side_by_side(void **state)
{
    (void)state;
    static const struct {
        unsigned ranges;
        uint64_t memory;
        unsigned at_once;
    } cases[] = {
        {1, 64 * MIB, 1},  {2, 64 * MIB, 2},
        {4, 64 * MIB, 4},  {6, 48 * MIB, 5}, /* seven eighths of the memory, in parts of 8 MiB */
        {64, 32 * MIB, 3}, {64, 128 * MIB, 6},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rig r;
        init(&r);
        r.config.ranges = cases[i].ranges;
        r.config.memory = cases[i].memory;
        run(&r);
        expect_stored(&r);
        assert_int_equal(fake_source_at_once(r.source), cases[i].at_once);
        /* The first stream brings the first part, and each other part comes once. */
        assert_int_equal(fake_source_streams(r.source), cases[i].ranges == 1 ? 1 : 6);
        end(&r);
    }
}

/* One stream, where more would not be safe or not possible. */
static void test_one_stream_where_it_must_be(void **state)
{
    (void)state;
    for (int way = 0; way < 5; way++) {
        struct rig r;
        init(&r);
        if (way == 0)
            r.from.ranges = false;
        else if (way == 1)
            r.from.validator = NULL;
        else if (way == 2)
            r.from.tells_size = false;
        else if (way == 3)
            r.from.md5 = "AAAAAAAAAAAAAAAAAAAAAA=="; /* it is compared, in order, and differs */
        else
            r.from.size = 8 * MIB;
        run(&r);
        if (way == 3)
            assert_int_equal(r.err.code, ERR_INTEGRITY);
        else
            expect_stored(&r);
        assert_int_equal(fake_source_streams(r.source), 1);
        end(&r);
    }
}

static void test_a_source_that_only_says_it_has_ranges(void **state)
{
    (void)state;
    struct rig r;
    init(&r);
    r.from.ignores_offset = true;
    run(&r);
    expect_stored(&r);
    assert_int_equal(fake_sink_calls(r.sink, "begin"), 2);
    /* Four at a time, then one. */
    assert_int_equal(fake_source_streams(r.source), 5);
    end(&r);
}

static void test_goes_on_after_breaks(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 3; seed++) {
        struct rig r;
        init(&r);
        r.seed = seed;
        r.from.break_percent = 1;
        run(&r);
        expect_stored(&r);
        assert_true(fake_source_streams(r.source) > 6);
        assert_int_equal(fake_sink_calls(r.sink, "begin"), 1);
        end(&r);
    }
}

/* Every stream ends well in mid-part: what is missing is asked for again, for a while. */
static void test_ends_rather_than_ask_for_ever(void **state)
{
    (void)state;
    struct rig r;
    init(&r);
    r.from.cut_at = (int64_t)(20 * MIB);
    run(&r);
    expect_nothing(&r);
    assert_true(err_is_retryable(&r.err));
    end(&r);
}

/* Refused are those that are too many; the others do their work. */
static void test_fewer_when_the_source_wants_fewer(void **state)
{
    (void)state;
    for (unsigned most = 1; most < 4; most++) {
        struct rig r;
        init(&r);
        r.from.at_once_max = most;
        run(&r);
        expect_stored(&r);
        assert_int_equal(fake_sink_calls(r.sink, "begin"), 1);
        end(&r);
    }
}

static void test_never_two_outputs_in_one(void **state)
{
    (void)state;
    for (unsigned after = 1; after < 6; after++) {
        struct rig r;
        init(&r);
        r.from.change_after = after;
        run(&r);
        expect_stored(&r);
        assert_int_equal(fake_source_version(r.source), 1);
        assert_int_equal(fake_sink_calls(r.sink, "begin"), 2);
        end(&r);
    }
}

static void test_the_checksum_of_the_whole(void **state)
{
    (void)state;
    for (int wrong = 0; wrong < 2; wrong++) {
        struct rig r;
        char text[CRC32C_TEXT_SIZE];
        init(&r);
        unsigned char *all = xcalloc(r.from.size, 1);
        for (uint64_t i = 0; i < r.from.size; i++)
            all[i] = fake_byte(0, i);
        crc32c_format(crc32c((uint32_t)wrong, all, r.from.size), text);
        free(all);
        r.from.crc32c = text;
        r.from.md5 = "AAAAAAAAAAAAAAAAAAAAAA=="; /* with a CRC32C beside it, it is not needed */
        run(&r);
        assert_true(fake_source_at_once(r.source) == 4);
        if (wrong) {
            expect_nothing(&r);
            assert_int_equal(r.err.code, ERR_INTEGRITY);
        } else {
            expect_stored(&r);
        }
        end(&r);
    }
}

/* Whenever it is told to stop: all is undone, or it was done first; or what is handed over is what
 * the next one goes on from. */
static void test_stopped_in_any_turn(void **state)
{
    (void)state;
    for (int hand_over = 0; hand_over < 2; hand_over++) {
        unsigned stopped = 0;
        enum transfer_outcome outcome = TRANSFER_FAILED;
        for (unsigned turn = 0; outcome != TRANSFER_STORED; turn += 1 + turn / 4) {
            struct rig r;
            init(&r);
            r.from.size = 4 * 8 * MIB - 1000;
            r.seed = turn;
            r.to.late_percent = 60;
            r.hand_over = hand_over;
            r.stop_turn = turn;
            run(&r);
            outcome = r.outcome;
            uint64_t bytes = r.bytes;
            if (outcome == TRANSFER_FAILED) {
                assert_int_equal(r.err.code, ERR_CANCELLED);
                expect_nothing(&r);
                stopped++;
            }
            r.stop_turn = UINT32_MAX;
            if (outcome == TRANSFER_HANDED_OVER) {
                assert_int_equal(fake_sink_uploads_open(r.sink), 1);
                run(&r);
                assert_int_equal(r.resumed, bytes);
            } else if (outcome == TRANSFER_FAILED) {
                run(&r);
            }
            expect_stored(&r);
            end(&r);
        }
        assert_true(stopped > 3);
    }
}

/* The parts up to the first one that is missing; the next run begins there, side by side again. */
static void test_what_is_handed_over(void **state)
{
    (void)state;
    for (unsigned parts = 2; parts < 6; parts++) {
        struct rig r;
        init(&r);
        r.to.late_percent = 0; /* no time plays a part */
        r.config.ranges = 2;
        r.seed = parts;
        r.stop_parts = parts;
        run(&r);
        assert_int_equal(r.outcome, TRANSFER_HANDED_OVER);
        uint64_t bytes = r.bytes;
        assert_true(bytes >= 8 * MIB && bytes <= parts * 8 * MIB && bytes % (8 * MIB) == 0);
        r.stop_parts = 0;
        run(&r);
        expect_stored(&r);
        assert_int_equal(r.resumed, bytes);
        assert_int_equal(fake_source_streams(r.source), 6 - bytes / (8 * MIB));
        end(&r);
    }
}

static void test_random_failures(void **state)
{
    (void)state;
    unsigned good = 0, bad = 0;
    for (unsigned seed = 0; seed < 30; seed++) {
        struct rig r;
        init(&r);
        r.seed = seed;
        r.config.ranges = 2 + seed % 7;
        r.config.memory = (MIB << seed % 3) * 16;
        r.from.size = (seed * UINT64_C(7368787)) % (50 * MIB);
        r.from.break_percent = seed % 5 == 0;
        r.to.fail_percent = seed % 2 ? 15 : 0;
        r.to.keeps_uploads = false;
        run(&r);
        if (r.outcome == TRANSFER_STORED) {
            expect_stored(&r);
            good++;
        } else {
            assert_int_equal(fake_sink_uploads_open(r.sink), 0);
            bad++;
        }
        end(&r);
    }
    if (good < 5 || bad < 5)
        fail_msg("%u good, %u bad: too few of one kind", good, bad);
}

/* Several at a time share what memory there is, and none waits for ever. */
static void test_side_by_side_in_little_memory(void **state)
{
    (void)state;
    struct rig r;
    init(&r);
    r.config.memory = 16 * MIB;
    r.config.ranges = 8;
    r.from.outputs = 3;
    r.from.size = 3 * 8 * MIB;
    run(&r);
    expect_stored(&r);
    end(&r);
}

static int quiet(void **state)
{
    (void)state;
    log_init(stderr, LOG_ERROR, LOG_HUMAN);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_come_side_by_side),
        cmocka_unit_test(test_one_stream_where_it_must_be),
        cmocka_unit_test(test_a_source_that_only_says_it_has_ranges),
        cmocka_unit_test(test_goes_on_after_breaks),
        cmocka_unit_test(test_ends_rather_than_ask_for_ever),
        cmocka_unit_test(test_fewer_when_the_source_wants_fewer),
        cmocka_unit_test(test_never_two_outputs_in_one),
        cmocka_unit_test(test_the_checksum_of_the_whole),
        cmocka_unit_test(test_stopped_in_any_turn),
        cmocka_unit_test(test_what_is_handed_over),
        cmocka_unit_test(test_random_failures),
        cmocka_unit_test(test_side_by_side_in_little_memory),
    };
    return cmocka_run_group_tests(tests, quiet, NULL);
}
