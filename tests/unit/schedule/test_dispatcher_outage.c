/* SPDX-License-Identifier: Apache-2.0
 *
 * An outage, and sync: what a dispatcher does while all that it tries fails, and what it finds that
 * was missed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/clock.h"
#include "tests/unit/schedule/dispatcher_rig.h"
#include "transfer/receipt.h"

/* ---- an outage ---- */

static bool all_stored(struct rig *r)
{
    return rig_counts(r).stored + rig_counts(r).already == r->mark;
}

static bool breaker_is_open(struct rig *r)
{
    (void)r;
    return rig_logged("jobs in a row have failed for no fault of theirs") > 0;
}

static bool many_probes(struct rig *r)
{
    return fake_source_described(r->source) >= r->mark;
}

static void outage(void **state)
{
    (void)state;
    enum { JOBS = 40, PROBES = 6 };
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
    r.mark = JOBS + PROBES;
    rig_run(&r, many_probes);
    /* From there on one at a time, with pauses of at least 50 ms. */
    r.mark += PROBES;
    int64_t began_ms = clock_mono_ms();
    rig_run(&r, many_probes);
    assert_true(clock_mono_ms() - began_ms >= (PROBES - 1) * 50);
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
    r.config.drain_ms = 0;
    rig_open(&r);
    rig_accept_many(&r, 6);
    rig_start(&r);
    rig_run(&r, breaker_is_open);
    r.from.describe_err = (struct err){0};
    r.from.size = 80 << 20;
    r.from.stall_at = 66 << 20;
    fake_source_configure(r.source, &r.from);
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
    rig_run(&r, rig_none_under_way);
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
    rig_run(&r, rig_none_under_way);
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
    rig_fill_disk();
    dispatcher_sync(r.dispatcher);
    r.mark = 2;
    rig_run(&r, synced);
    rig_free_disk();
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outage),
        cmocka_unit_test(refused),
        cmocka_unit_test(a_probe_that_takes_long),
        cmocka_unit_test(sync_repairs),
        cmocka_unit_test(sync_now_and_then),
        cmocka_unit_test(sync_that_fails),
    };
    return cmocka_run_group_tests(tests, rig_group, NULL);
}
