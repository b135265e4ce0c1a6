/* SPDX-License-Identifier: Apache-2.0
 *
 * A list of jobs through an engine: how many are begun ahead, and that each is told once and the
 * end once, however it comes about.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/log.h"
#include "schedule/batch.h"
#include "schedule/lacking.h"
#include "tests/unit/transfer/fake_ends.h"

enum { JOBS_MAX = 40, MANY = 3 * LACKING_JOBS_MIN };

struct rig {
    struct loop *loop;
    struct fake_source *source;
    struct fake_sink *sink;
    struct engine *engine;
    struct batch *batch;
    char names[MANY][16], *ids[MANY];
    unsigned starts[MANY], dones[MANY];
    unsigned begun, ended, stored, cancelled, under_way_most, ends;
    unsigned cancel_at; /* after so many are done, from inside on_done; 0: not */
};

static void init(struct rig *r, enum job_state state)
{
    struct err err = {0};
    struct fake_source_config from = {.size = 5000,
                                      .tells_size = true,
                                      .ranges = true,
                                      .validator = "\"e1\"",
                                      .cut_at = -1,
                                      .state = state};
    struct fake_sink_config to = {
        .keeps_identity = true, .lists_cheaply = true, .part_min = 5 << 20, .late_percent = 30};
    memset(r, 0, sizeof(*r));
    r->loop = loop_new(&err);
    r->source = fake_source_new(r->loop, &from, 1);
    r->sink = fake_sink_new(r->loop, &to, 2);
    struct engine_config config = {.loop = r->loop,
                                   .source = fake_source_base(r->source),
                                   .sink = fake_sink_base(r->sink),
                                   .key_template = "{job_id}",
                                   .program = "egress test",
                                   .memory = 16 << 20,
                                   .concurrency = 2,
                                   .receipts = true};
    r->engine = engine_new(&config);
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(r->names[i], sizeof(r->names[i]), "job-%u", i);
        r->ids[i] = r->names[i];
    }
}

static void end(struct rig *r)
{
    batch_free(r->batch);
    engine_free(r->engine);
    fake_source_free(r->source);
    fake_sink_free(r->sink);
    loop_free(r->loop);
}

static void on_start(void *arg, size_t index, const struct transfer *transfer)
{
    struct rig *r = arg;
    struct transfer_progress p;
    transfer_progress(transfer, &p);
    assert_string_equal(p.job, r->ids[index]);
    assert_int_equal(index, r->begun); /* in their order */
    r->starts[index]++;
    r->begun++;
    if (r->begun - r->ended > r->under_way_most)
        r->under_way_most = r->begun - r->ended;
}

static void on_done(void *arg, size_t index, const struct transfer_result *result)
{
    struct rig *r = arg;
    assert_int_equal(r->ends, 0);
    assert_int_equal(r->starts[index], 1);
    assert_string_equal(result->job, r->ids[index]);
    r->dones[index]++;
    r->ended++;
    r->stored += result->outcome == TRANSFER_STORED;
    r->cancelled += result->outcome == TRANSFER_FAILED && result->err.code == ERR_CANCELLED;
    if (r->ended == r->cancel_at)
        batch_cancel(r->batch);
}

static void on_end(void *arg)
{
    struct rig *r = arg;
    r->ends++;
    loop_stop(r->loop);
}

static void start(struct rig *r, size_t n, unsigned lookahead)
{
    static struct batch_config config;
    config = (struct batch_config){.engine = r->engine,
                                   .ids = r->ids,
                                   .n = n,
                                   .lookahead = lookahead,
                                   .on_start = on_start,
                                   .on_done = on_done,
                                   .on_end = on_end,
                                   .arg = r};
    r->batch = batch_start(r->loop, &config);
    assert_int_equal(r->ends, 0);
}

/* Runs to the end, and then on, in case a second one comes. */
static void finish(struct rig *r)
{
    struct loop_timer timer = {0};
    loop_run(r->loop);
    loop_timer_start(r->loop, &timer, 20, on_end, r);
    loop_run(r->loop);
    assert_int_equal(r->ends, 2); /* the batch's and the timer's */
    assert_int_equal(r->begun, r->ended);
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(r->starts[i], r->dones[i]);
}

static void test_no_jobs(void **state)
{
    (void)state;
    struct rig r;
    init(&r, JOB_COMPLETE);
    start(&r, 0, 4);
    finish(&r);
    assert_int_equal(r.begun, 0);
    end(&r);
}

static void test_lookahead(void **state)
{
    (void)state;
    static const unsigned lookaheads[] = {1, 3, JOBS_MAX, 1000};
    for (unsigned i = 0; i < 4; i++) {
        struct rig r;
        init(&r, JOB_COMPLETE);
        start(&r, JOBS_MAX, lookaheads[i]);
        finish(&r);
        assert_int_equal(r.stored, JOBS_MAX);
        assert_int_equal(r.under_way_most, lookaheads[i] < JOBS_MAX ? lookaheads[i] : JOBS_MAX);
        assert_int_equal(fake_sink_objects(r.sink), 2 * JOBS_MAX);
        end(&r);
    }
}

static void test_those_that_fail_do_not_stop_the_others(void **state)
{
    (void)state;
    struct rig r;
    init(&r, JOB_FAILED);
    start(&r, JOBS_MAX, 5);
    finish(&r);
    assert_int_equal(r.ended, JOBS_MAX);
    assert_int_equal(r.stored, 0);
    end(&r);
}

static void test_cancelled_before_it_began(void **state)
{
    (void)state;
    struct rig r;
    init(&r, JOB_COMPLETE);
    start(&r, JOBS_MAX, 5);
    batch_cancel(r.batch);
    finish(&r);
    assert_int_equal(r.begun, 0);
    end(&r);
}

static void test_cancelled_from_a_completion(void **state)
{
    (void)state;
    for (unsigned at = 1; at <= JOBS_MAX; at += 3) {
        struct rig r;
        init(&r, JOB_COMPLETE);
        r.cancel_at = at;
        start(&r, JOBS_MAX, 6);
        finish(&r);
        assert_true(r.begun >= at && r.begun <= at + 6);
        assert_int_equal(r.stored + r.cancelled, r.begun);
        end(&r);
    }
}

static void cancel_now(void *arg)
{
    struct rig *r = arg;
    batch_cancel(r->batch);
    batch_cancel(r->batch);
}

static void test_cancelled_at_some_time(void **state)
{
    (void)state;
    unsigned cancelled = 0;
    for (int64_t ms = 0; ms < 12; ms++) {
        struct rig r;
        struct loop_timer timer = {0};
        init(&r, JOB_COMPLETE);
        start(&r, JOBS_MAX, 8);
        loop_timer_start(r.loop, &timer, ms, cancel_now, &r);
        finish(&r);
        loop_timer_stop(r.loop, &timer);
        assert_int_equal(r.stored + r.cancelled, r.begun);
        cancelled += r.cancelled;
        end(&r);
    }
    assert_true(cancelled > 0); /* at 0 ms eight have been begun and none can have ended */
}

/* Again with the same destination. */
static void start_again(struct rig *r)
{
    batch_free(r->batch);
    memset(r->starts, 0, sizeof(r->starts));
    memset(r->dones, 0, sizeof(r->dones));
    r->begun = r->ended = r->stored = r->ends = 0;
    start(r, MANY, 5);
}

static void test_receipts_of_many_are_listed(void **state)
{
    (void)state;
    struct rig r;
    init(&r, JOB_COMPLETE);
    start(&r, MANY, 5);
    finish(&r);
    assert_int_equal(r.stored, MANY);
    assert_int_equal(fake_sink_calls(r.sink, "list"), 1);
    unsigned reads = fake_sink_calls(r.sink, "read"); /* of those begun before the list was there */
    assert_in_range(reads, 5, LACKING_JOBS_MIN);
    start_again(&r);
    finish(&r);
    assert_int_equal(r.stored, 0);
    assert_int_equal(fake_sink_calls(r.sink, "read") - reads, MANY);
    assert_int_equal(fake_sink_objects(r.sink), 2 * MANY);
    end(&r);
}

static void test_a_list_that_does_not_come(void **state)
{
    (void)state;
    static const struct fake_sink_config sinks[] = {
        {.lists_cheaply = true, .keeps_identity = true, .part_min = 5 << 20, .refused = "list"},
        {.lists_cheaply = true, .keeps_identity = true, .part_min = 5 << 20, .held = "list"},
    };
    for (size_t i = 0; i < 2; i++) {
        struct rig r;
        init(&r, JOB_COMPLETE);
        fake_sink_configure(r.sink, &sinks[i]);
        start(&r, MANY, 5);
        finish(&r);
        assert_int_equal(r.stored, MANY);
        assert_int_equal(fake_sink_calls(r.sink, "read"), MANY);
        end(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_jobs),
        cmocka_unit_test(test_lookahead),
        cmocka_unit_test(test_those_that_fail_do_not_stop_the_others),
        cmocka_unit_test(test_cancelled_before_it_began),
        cmocka_unit_test(test_cancelled_from_a_completion),
        cmocka_unit_test(test_cancelled_at_some_time),
        cmocka_unit_test(test_receipts_of_many_are_listed),
        cmocka_unit_test(test_a_list_that_does_not_come),
    };
    log_init(stderr, LOG_ERROR, LOG_HUMAN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
