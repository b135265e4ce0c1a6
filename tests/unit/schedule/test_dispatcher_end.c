/* SPDX-License-Identifier: Apache-2.0
 *
 * A dispatcher that comes to an end: drained, with a full disk, with a damaged journal.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <sqlite3.h>

#include "core/clock.h"
#include "tests/unit/schedule/dispatcher_rig.h"

/* ---- the end ---- */

static bool part_is_sent(struct rig *r)
{
    return fake_sink_calls(r->sink, "part") > 0;
}

static bool is_opened(struct rig *r)
{
    return fake_source_streams(r->source) > 0;
}

static void idle(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    rig_start(&r);
    rig_run_ms(&r, 20);
    rig_end(&r);
    /* Before its first claim was answered; and without any time. */
    rig_accept(&r, "a", 0);
    r.config.drain_ms = 0;
    rig_start(&r);
    rig_end(&r);
    assert_int_equal(rig_state(&r, "a"), JOURNAL_READY);
    assert_int_equal(r.err.code, ERR_NONE);
    rig_free(&r);
}

/* A large output is handed over at half time, and the next run goes on from there. */
static void handed_over(void **state)
{
    (void)state;
    struct rig r;
    struct journal_get get;
    rig_init(&r);
    r.from.size = 64 << 20;
    r.from.stall_at = 30 << 20;
    r.config.drain_ms = 300;
    rig_start(&r);
    rig_accept(&r, "a", 0);
    dispatcher_wake(r.dispatcher);
    rig_run(&r, part_is_sent);
    dispatcher_drain(r.dispatcher);
    int64_t began_ms = clock_mono_ms();
    rig_run(&r, rig_ended);
    assert_true(clock_mono_ms() - began_ms >= 150);
    assert_int_equal(rig_counts(&r).handed_over, 1);
    assert_int_equal(rig_logged("\"outcome\":\"handed over\""), 1);
    rig_end(&r);
    rig_get(&r, "a", &get);
    assert_int_equal(get.row.state, JOURNAL_READY);
    assert_int_equal(get.row.attempts, 0);
    journal_get_release(&get);
    assert_int_equal(rig_reopen(&r), 0);
    r.from.stall_at = 0;
    rig_start(&r);
    rig_run(&r, rig_none_under_way);
    assert_int_equal(rig_state(&r, "a"), JOURNAL_STORED);
    struct dispatcher_counts counts = rig_counts(&r);
    assert_in_range(counts.bytes, 1, (64 << 20) - 1);
    struct dispatcher_slot slots[DISPATCHER_SLOTS];
    uint64_t plotted = 0;
    for (size_t i = 0, n = dispatcher_throughput(r.dispatcher, slots); i < n; i++)
        plotted += slots[i].bytes;
    assert_int_equal(plotted, counts.bytes); /* only what came now */
    rig_end(&r);
    rig_free(&r);
}

/* Nothing to hand over, and an operation that does not end: cancelled at half time, or at the end
 * of it. */
static void told_to_end(void **state)
{
    (void)state;
    for (int late = 0; late < 2; late++) {
        struct rig r;
        rig_init(&r);
        r.from.size = 64 << 20;
        if (late)
            r.to.held = "part";
        else
            r.from.stall_at = 100;
        r.config.drain_ms = 200;
        rig_start(&r);
        rig_accept(&r, "a", 0);
        dispatcher_wake(r.dispatcher);
        if (late)
            rig_run(&r, part_is_sent);
        else
            rig_run(&r, is_opened);
        int64_t began_ms = clock_mono_ms();
        dispatcher_drain(r.dispatcher);
        dispatcher_drain(r.dispatcher);
        rig_run(&r, rig_ended);
        assert_true(clock_mono_ms() - began_ms >= 100);
        assert_int_equal(rig_counts(&r).failed, 0);
        assert_int_equal(rig_logged("job a: stopped, and left for the next start"), 1);
        rig_end(&r);
        assert_int_equal(rig_state(&r, "a"), JOURNAL_READY);
        rig_free(&r);
    }
}

/* Drained at some moment or other, again and again: no job is lost, none is stored twice. */
static void drained_at_any_time(void **state)
{
    (void)state;
    enum { JOBS = 60 };
    struct rig r;
    rig_init(&r);
    r.to.late_percent = 50;
    r.to.late_ms = 5;
    rig_open(&r);
    rig_accept_many(&r, JOBS);
    for (int64_t ms = 0; ms < 30; ms += 3) {
        rig_start(&r);
        rig_run_ms(&r, ms);
        rig_end(&r);
        assert_int_equal(rig_jobs(&r, JOURNAL_RUNNING), 0);
        assert_int_equal(rig_jobs(&r, JOURNAL_READY) + rig_jobs(&r, JOURNAL_STORED), JOBS);
    }
    rig_start(&r);
    rig_run(&r, rig_none_under_way);
    rig_end(&r);
    assert_int_equal(rig_jobs(&r, JOURNAL_STORED), JOBS);
    rig_free(&r);
}

/* ---- the disk ---- */

static bool told_of_settles(struct rig *r)
{
    (void)r;
    return rig_logged("cannot be written down for now") > 0;
}

static void disk_full(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    r.to.late_percent = 100;
    r.to.late_ms = 100;
    rig_open(&r);
    rig_accept_many(&r, 2);
    rig_start(&r);
    while (rig_counts(&r).running < 2)
        rig_run_ms(&r, 1);
    rig_fill_disk();
    rig_run(&r, told_of_settles);
    rig_run_ms(&r, 50);
    assert_int_equal(rig_counts(&r).running, 2);
    assert_int_equal(rig_counts(&r).stored, 0);
    rig_free_disk();
    rig_run(&r, rig_none_under_way);
    assert_int_equal(rig_counts(&r).stored, 2);
    assert_int_equal(rig_logged("cannot be written down for now"), 1);
    assert_int_equal(rig_logged("is written down again"), 1);
    rig_end(&r);
    assert_int_equal(r.err.code, ERR_NONE);
    rig_free(&r);
}

/* Claims need the disk, too. */
static void nothing_can_be_claimed(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    rig_open(&r);
    rig_accept_many(&r, 2);
    rig_fill_disk();
    rig_start(&r);
    while (!rig_logged("no jobs can be taken out of the journal for now"))
        rig_run_ms(&r, 1);
    rig_free_disk();
    rig_run(&r, rig_none_under_way);
    assert_int_equal(rig_counts(&r).stored, 2);
    assert_int_equal(rig_logged("jobs can be taken out of the journal again"), 1);
    rig_end(&r);
    rig_free(&r);
}

/* It ends all the same; after a restart the job is found stored. */
static void drained_with_a_full_disk(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    r.to.late_percent = 100;
    r.to.late_ms = 100;
    r.config.drain_ms = 200;
    rig_open(&r);
    rig_accept_many(&r, 1);
    rig_start(&r);
    while (rig_counts(&r).running < 1)
        rig_run_ms(&r, 1);
    rig_fill_disk();
    rig_run(&r, told_of_settles);
    int64_t began_ms = clock_mono_ms();
    dispatcher_drain(r.dispatcher);
    rig_run(&r, rig_ended);
    assert_in_range(clock_mono_ms() - began_ms, 200, 5000);
    assert_int_equal(rig_logged("what became of job job-000 is not in the journal"), 1);
    rig_end(&r);
    assert_int_equal(r.err.code, ERR_NONE);
    rig_free_disk();
    assert_int_equal(rig_reopen(&r), 1);
    rig_start(&r);
    rig_run(&r, rig_none_under_way);
    assert_int_equal(rig_counts(&r).already, 1);
    rig_end(&r);
    rig_free(&r);
}

/* ---- the journal itself ---- */

static void damage(struct rig *r)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(r->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_busy_timeout(db, 5000), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "UPDATE jobs SET attempts = -1", NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void damaged(void **state)
{
    (void)state;
    for (int under_way = 0; under_way < 2; under_way++) {
        struct rig r;
        rig_init(&r);
        r.to.late_percent = 100;
        r.to.late_ms = 200;
        rig_open(&r);
        rig_accept_many(&r, 2);
        if (!under_way)
            damage(&r);
        rig_start(&r);
        while (under_way && rig_counts(&r).running < 2)
            rig_run_ms(&r, 1);
        if (under_way)
            damage(&r);
        rig_run(&r, rig_ended);
        assert_int_equal(r.err.code, ERR_CONFIG);
        assert_non_null(strstr(r.err.msg, r.path));
        rig_end(&r);
        rig_free(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idle),
        cmocka_unit_test(handed_over),
        cmocka_unit_test(told_to_end),
        cmocka_unit_test(drained_at_any_time),
        cmocka_unit_test(disk_full),
        cmocka_unit_test(nothing_can_be_claimed),
        cmocka_unit_test(drained_with_a_full_disk),
        cmocka_unit_test(damaged),
    };
    return cmocka_run_group_tests(tests, rig_group, NULL);
}
