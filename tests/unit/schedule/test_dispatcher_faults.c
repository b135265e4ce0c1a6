/* SPDX-License-Identifier: Apache-2.0
 *
 * A dispatcher when things go wrong or come to an end: draining, a full disk, a damaged journal, an
 * outage; and sync.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <cmocka.h>
#include <sqlite3.h>

#include "core/clock.h"
#include "tests/unit/schedule/dispatcher_rig.h"
#include "transfer/receipt.h"

static bool none_under_way(struct rig *r)
{
    return rig_counts(r).running == 0 && rig_jobs(r, JOURNAL_READY) == 0 &&
           rig_jobs(r, JOURNAL_WAITING) == 0 && rig_jobs(r, JOURNAL_RUNNING) == 0;
}

/* ---- the end ---- */

static bool part_is_sent(struct rig *r)
{
    return fake_sink_calls(r->sink, "part") > 0;
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
    rig_run(&r, none_under_way);
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
            rig_run_ms(&r, 50);
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

static bool all_stored(struct rig *r)
{
    return rig_counts(r).stored + rig_counts(r).already == r->mark;
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
    rig_run(&r, none_under_way);
    rig_end(&r);
    assert_int_equal(rig_jobs(&r, JOURNAL_STORED), JOBS);
    rig_free(&r);
}

/* ---- the disk ---- */

static struct rlimit limit_before;

static void fill_disk(void)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit_before), 0);
    limit = limit_before;
    limit.rlim_cur = 1;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void free_disk(void)
{
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit_before), 0);
}

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
    fill_disk();
    rig_run(&r, told_of_settles);
    rig_run_ms(&r, 50);
    assert_int_equal(rig_counts(&r).running, 2);
    assert_int_equal(rig_counts(&r).stored, 0);
    free_disk();
    rig_run(&r, none_under_way);
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
    fill_disk();
    rig_start(&r);
    while (!rig_logged("no jobs can be taken out of the journal for now"))
        rig_run_ms(&r, 1);
    free_disk();
    rig_run(&r, none_under_way);
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
    fill_disk();
    rig_run(&r, told_of_settles);
    int64_t began_ms = clock_mono_ms();
    dispatcher_drain(r.dispatcher);
    rig_run(&r, rig_ended);
    assert_in_range(clock_mono_ms() - began_ms, 200, 5000);
    assert_int_equal(rig_logged("what became of job job-000 is not in the journal"), 1);
    rig_end(&r);
    assert_int_equal(r.err.code, ERR_NONE);
    free_disk();
    assert_int_equal(rig_reopen(&r), 1);
    rig_start(&r);
    rig_run(&r, none_under_way);
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

/* ---- an outage ---- */

static bool breaker_is_open(struct rig *r)
{
    (void)r;
    return rig_logged("jobs in a row have failed for no fault of theirs") > 0;
}

static bool many_probes(struct rig *r)
{
    return fake_source_described(r->source) >= r->mark + 15;
}

static void outage(void **state)
{
    (void)state;
    enum { JOBS = 40 };
    struct rig r;
    struct journal_get get;
    unsigned attempts = 0;
    rig_init(&r);
    r.config.attempts_max = 2;
    err_set(&r.from.describe_err, ERR_NETWORK, "no way");
    rig_open(&r);
    rig_accept_many(&r, JOBS);
    rig_start(&r);
    rig_run(&r, breaker_is_open);
    r.mark = JOBS;
    rig_run(&r, many_probes);
    /* From there on one at a time, with pauses of at least 50 ms. */
    unsigned described = fake_source_described(r.source);
    int64_t began_ms = clock_mono_ms();
    rig_run_ms(&r, 300);
    int64_t took_ms = clock_mono_ms() - began_ms;
    assert_in_range(fake_source_described(r.source) - described, 1, took_ms / 50 + 1);
    for (unsigned i = 0; i < JOBS; i++) {
        char id[16];
        snprintf(id, sizeof(id), "job-%03u", i);
        rig_get(&r, id, &get);
        attempts += get.row.attempts;
        journal_get_release(&get);
    }
    assert_int_equal(attempts, 4); /* those that failed before it opened */
    r.from.describe_err = (struct err){0};
    fake_source_configure(r.source, &r.from);
    r.mark = JOBS;
    rig_run(&r, all_stored);
    assert_int_equal(rig_counts(&r).dead, 0);
    assert_int_equal(rig_logged("jobs in a row have failed for no fault of theirs"), 1);
    assert_int_equal(rig_logged("jobs are stored again, after "), 1);
    rig_end(&r);
    rig_free(&r);
}

/* A set-up that refuses to write: said once, and what is put right is taken up by itself. */
static void refused(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    r.to.refused = "put";
    rig_open(&r);
    rig_accept_many(&r, 10);
    rig_start(&r);
    rig_run(&r, breaker_is_open);
    rig_run_ms(&r, 100);
    assert_int_equal(rig_counts(&r).failed, 0);
    r.to.refused = NULL;
    fake_sink_configure(r.sink, &r.to);
    r.mark = 10;
    rig_run(&r, all_stored);
    rig_end(&r);
    rig_free(&r);
}

/* A large probe that is on its way lets the others begin. */
static void a_probe_that_takes_long(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    err_set(&r.from.describe_err, ERR_TIMEOUT, "no answer");
    rig_open(&r);
    rig_accept_many(&r, 6);
    rig_start(&r);
    rig_run(&r, breaker_is_open);
    r.from.describe_err = (struct err){0};
    r.from.size = 80 << 20;
    r.from.stall_at = 66 << 20;
    fake_source_configure(r.source, &r.from);
    r.config.drain_ms = 0;
    while (rig_logged("jobs are stored again, after ") == 0)
        rig_run_ms(&r, 5);
    while (rig_counts(&r).running < 6)
        rig_run_ms(&r, 5);
    rig_end(&r);
    rig_free(&r);
}

/* ---- sync ---- */

enum { LISTED = 10 };

static void list_jobs(struct rig *r, struct source_job listed[LISTED])
{
    for (unsigned i = 0; i < LISTED; i++) {
        listed[i] = (struct source_job){.state = JOB_COMPLETE, .expires_ms = 1000000 + i};
        snprintf(listed[i].id, sizeof(listed[i].id), "job-%03u", i);
    }
    r->from.listed = listed;
    r->from.n_listed = LISTED;
}

static bool synced(struct rig *r)
{
    struct dispatcher_counts counts = rig_counts(r);
    return counts.syncs + counts.syncs_failed == r->mark;
}

static void sync_repairs(void **state)
{
    (void)state;
    struct rig r;
    struct source_job listed[LISTED];
    struct journal_get get;
    rig_init(&r);
    list_jobs(&r, listed);
    rig_open(&r);
    rig_accept(&r, "job-003", 0);
    rig_accept(&r, "job-004", 0);
    for (unsigned i = 0; i < 2; i++) { /* stored by somebody else */
        char *key = receipt_key("fake", listed[i].id);
        fake_sink_place(r.sink, key, "", "", "");
        free(key);
    }
    rig_pause(&r, true);
    rig_start(&r);
    assert_true(dispatcher_sync(r.dispatcher));
    assert_false(dispatcher_sync(r.dispatcher));
    r.mark = 1;
    rig_run(&r, synced);
    struct dispatcher_counts counts = rig_counts(&r);
    assert_int_equal(counts.repaired, LISTED - 4);
    assert_true(counts.last_sync_ms > 0);
    assert_int_equal(rig_logged("\"listed\":10,\"stored\":2,\"missing\":8,\"repaired\":6,"
                                "\"known\":2"),
                     1);
    rig_get(&r, "job-009", &get);
    assert_int_equal(get.row.origin, JOURNAL_BY_SYNC);
    assert_int_equal(get.row.expires_ms, 1000009);
    journal_get_release(&get);
    rig_pause(&r, false);
    dispatcher_wake(r.dispatcher);
    rig_run(&r, none_under_way);
    assert_int_equal(rig_counts(&r).stored, LISTED - 2);
    assert_true(dispatcher_sync(r.dispatcher));
    r.mark = 2;
    rig_run(&r, synced);
    assert_int_equal(rig_counts(&r).repaired, LISTED - 4);
    rig_end(&r);
    rig_free(&r);
}

static void sync_now_and_then(void **state)
{
    (void)state;
    struct rig r;
    struct source_job listed[LISTED];
    rig_init(&r);
    list_jobs(&r, listed);
    r.config.sync_every_ms = 30;
    rig_start(&r);
    int64_t next_ms = rig_counts(&r).next_sync_ms - clock_wall_ms();
    assert_in_range(next_ms + 1000, 900, 1030);
    r.mark = 3;
    rig_run(&r, synced);
    rig_run(&r, none_under_way);
    assert_int_equal(rig_counts(&r).stored, LISTED);
    assert_int_equal(rig_counts(&r).repaired, LISTED);
    rig_end(&r);
    rig_free(&r);
}

static void sync_that_fails(void **state)
{
    (void)state;
    struct rig r;
    struct source_job listed[LISTED];
    rig_init(&r);
    list_jobs(&r, listed);
    err_set(&r.from.list_err, ERR_NETWORK, "no way");
    rig_start(&r);
    dispatcher_sync(r.dispatcher);
    r.mark = 1;
    rig_run(&r, synced);
    assert_int_equal(rig_counts(&r).syncs_failed, 1);
    assert_int_equal(rig_logged("sync did not come to its end"), 1);
    /* A journal that takes nothing. */
    r.from.list_err = (struct err){0};
    fake_source_configure(r.source, &r.from);
    fill_disk();
    dispatcher_sync(r.dispatcher);
    r.mark = 2;
    rig_run(&r, synced);
    free_disk();
    assert_int_equal(rig_counts(&r).syncs_failed, 2);
    assert_int_equal(rig_counts(&r).repaired, 0);
    /* One that does not end by itself. */
    r.from.list_held = true;
    fake_source_configure(r.source, &r.from);
    dispatcher_sync(r.dispatcher);
    rig_run_ms(&r, 20);
    rig_end(&r);
    assert_int_equal(rig_logged("sync did not come to its end"), 2);
    rig_free(&r);
}

static int set_up_group(void **state)
{
    signal(SIGXFSZ, SIG_IGN);
    return rig_group(state);
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
        cmocka_unit_test(outage),
        cmocka_unit_test(refused),
        cmocka_unit_test(a_probe_that_takes_long),
        cmocka_unit_test(sync_repairs),
        cmocka_unit_test(sync_now_and_then),
        cmocka_unit_test(sync_that_fails),
    };
    return cmocka_run_group_tests(tests, set_up_group, NULL);
}
