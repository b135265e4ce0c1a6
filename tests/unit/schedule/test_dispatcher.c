/* SPDX-License-Identifier: Apache-2.0
 *
 * Jobs of a journal: what becomes of each, in which order, and what is told of them.
 */
#include <pthread.h>
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

enum { HOUR_MS = 3600 * 1000 };

/* ---- stored ---- */

static void stored_and_written_down(void **state)
{
    (void)state;
    struct rig r;
    struct journal_get get;
    struct dispatcher_slot slots[DISPATCHER_SLOTS];
    rig_init(&r);
    struct source_job listed[] = {{.id = "b", .expires_ms = clock_wall_ms() + HOUR_MS}};
    r.from.listed = listed;
    r.from.n_listed = 1;
    rig_start(&r);
    assert_int_equal(rig_accept(&r, "a", 0), JOURNAL_NEW);
    assert_int_equal(rig_accept(&r, "b", 0), JOURNAL_NEW);
    dispatcher_wake(r.dispatcher);
    rig_run(&r, rig_none_under_way);
    rig_get(&r, "b", &get);
    assert_int_equal(get.row.state, JOURNAL_STORED);
    assert_int_equal(get.row.bytes, 5000);
    assert_int_equal(get.row.expires_ms, listed[0].expires_ms);
    assert_string_equal(get.row.objects, "[{\"key\":\"b\",\"location\":\"fake:b\",\"size\":5000}]");
    journal_get_release(&get);
    struct dispatcher_counts counts = rig_counts(&r);
    assert_int_equal(counts.stored, 2);
    assert_int_equal(counts.bytes, 10000);
    assert_true(counts.seconds_to_expiry_min > 3500 && counts.seconds_to_expiry_min <= 3600);
    assert_int_equal(counts.next_sync_ms, 0);
    size_t n = dispatcher_throughput(r.dispatcher, slots);
    assert_in_range(n, 1, 2); /* the test may have run across a boundary */
    assert_int_equal(slots[0].bytes + (n > 1 ? slots[1].bytes : 0), 10000);
    assert_int_equal(slots[0].stored + (n > 1 ? slots[1].stored : 0), 2);
    assert_int_equal(rig_logged("\"outcome\":\"stored\""), 2);
    assert_non_null(strstr(rig_log(), "job b: stored, 4.9 KiB in "));
    rig_end(&r);
    assert_int_equal(r.err.code, ERR_NONE);
    /* Another journal, the same destination. */
    rig_forget(&r);
    rig_accept(&r, "b", 0);
    rig_start(&r);
    rig_run(&r, rig_none_under_way);
    rig_get(&r, "b", &get);
    assert_int_equal(get.row.state, JOURNAL_STORED);
    assert_int_equal(get.row.bytes, 5000);
    assert_non_null(get.row.objects);
    journal_get_release(&get);
    assert_int_equal(rig_counts(&r).already, 1);
    assert_int_equal(rig_counts(&r).bytes, 0);
    assert_int_equal(fake_source_described(r.source), 2);
    rig_end(&r);
    rig_free(&r);
}

static void objects_that_fit(void **state)
{
    (void)state;
    struct rig r;
    struct journal_get get;
    rig_init(&r);
    r.key_template = "{job_id}/an-output-with-quite-a-long-key-so-that-not-all-of-them-fit/"
                     "{filename}";
    r.from.outputs = 200;
    rig_start(&r);
    rig_accept(&r, "a", 0);
    dispatcher_wake(r.dispatcher);
    rig_run(&r, rig_none_under_way);
    rig_get(&r, "a", &get);
    assert_int_equal(get.row.state, JOURNAL_STORED);
    assert_int_equal(get.row.bytes, 200 * 5000);
    size_t len = strlen(get.row.objects);
    assert_in_range(len, JOURNAL_OBJECTS_MAX - 300, JOURNAL_OBJECTS_MAX);
    assert_string_equal(get.row.objects + len - strlen("\"size\":5000}]"), "\"size\":5000}]");
    journal_get_release(&get);
    rig_end(&r);
    rig_free(&r);
}

static void the_same_job_many_times(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    r.to.late_percent = 50;
    rig_start(&r);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(rig_accept(&r, "a", 0), i ? JOURNAL_KNOWN : JOURNAL_NEW);
        dispatcher_wake(r.dispatcher);
        dispatcher_wake(r.dispatcher);
    }
    rig_run(&r, rig_none_under_way);
    assert_int_equal(rig_accept(&r, "a", 0), JOURNAL_STORED_BEFORE);
    dispatcher_wake(r.dispatcher);
    rig_run_ms(&r, 20);
    assert_int_equal(fake_source_described(r.source), 1);
    assert_int_equal(fake_source_streams(r.source), 1);
    assert_int_equal(rig_counts(&r).stored, 1);
    rig_end(&r);
    rig_free(&r);
}

static void *wake_often(void *arg)
{
    struct rig *r = arg;
    for (int64_t until_ms = clock_mono_ms() + 50; clock_mono_ms() < until_ms;)
        dispatcher_wake(r->dispatcher);
    return NULL;
}

/* As many as there are webhooks; paused, each look is one request to the journal. */
static void the_loop_is_not_woken_each_time(void **state)
{
    (void)state;
    struct rig r;
    struct journal_stats before = {0}, after = {0};
    pthread_t thread;
    before.request.kind = after.request.kind = JOURNAL_STATS;
    rig_init(&r);
    rig_open(&r);
    rig_pause(&r, true);
    rig_start(&r);
    rig_run_ms(&r, 20);
    rig_ask(&r, &before.request);
    int64_t began_ms = clock_mono_ms();
    assert_int_equal(pthread_create(&thread, NULL, wake_often, &r), 0);
    rig_run_ms(&r, 60);
    assert_int_equal(pthread_join(thread, NULL), 0);
    rig_run_ms(&r, 5);
    rig_ask(&r, &after.request);
    uint64_t looks = after.requests - before.requests;
    assert_in_range(looks, 2, clock_mono_ms() - began_ms + 2);
    rig_pause(&r, false);
    rig_accept(&r, "a", 0);
    dispatcher_wake(r.dispatcher); /* while it rests, perhaps */
    rig_run(&r, rig_none_under_way);
    assert_int_equal(rig_counts(&r).stored, 1);
    rig_end(&r);
    rig_free(&r);
}

/* ---- order ---- */

/* In which order the jobs were stored: of each its number, by the log. */
static size_t stored_order(unsigned *numbers, size_t max)
{
    size_t n = 0;
    for (const char *at = rig_log(); (at = strstr(at, ": stored, ")); at++) {
        assert_true(n < max);
        numbers[n++] = (unsigned)strtoul(at - 3, NULL, 10);
    }
    return n;
}

static bool three_stored(struct rig *r)
{
    return rig_counts(r).stored >= 3;
}

/* More than are begun ahead; the engine knows when they expire from their details. One that expires
 * before all others and comes late has to wait for a place and for the journal's answer, but not
 * for those that were begun ahead of it. */
static void soonest_to_expire_first(void **state)
{
    (void)state;
    enum { JOBS = 110, URGENT = 999, SOON = 40 };
    struct rig r;
    struct source_job listed[JOBS + 1] = {0};
    unsigned order[JOBS + 1];
    int64_t now_ms = clock_wall_ms();
    rig_init(&r);
    r.config.concurrency = 1;
    r.no_receipts = true;
    r.to.late_percent = 100; /* longer than a commit takes, as transfers are */
    r.to.late_ms = 6;
    r.from.listed = listed;
    r.from.n_listed = JOBS + 1;
    rig_open(&r);
    for (unsigned i = 0; i < JOBS; i++) {
        unsigned number = (i * 37) % JOBS; /* all of them, mixed */
        snprintf(listed[i].id, sizeof(listed[i].id), "job-%03u", number);
        listed[i].expires_ms = now_ms + HOUR_MS + (int64_t)number * 1000;
    }
    rig_accept_all(&r, listed, JOBS);
    snprintf(listed[JOBS].id, sizeof(listed[JOBS].id), "job-%d", URGENT);
    listed[JOBS].expires_ms = now_ms + HOUR_MS / 2;
    rig_start(&r);
    rig_run(&r, three_stored);
    size_t before = rig_counts(&r).stored;
    rig_accept(&r, listed[JOBS].id, listed[JOBS].expires_ms);
    dispatcher_wake(r.dispatcher);
    rig_run(&r, rig_none_under_way);
    assert_int_equal(stored_order(order, JOBS + 1), JOBS + 1);
    size_t urgent = 0;
    while (order[urgent] != URGENT)
        urgent++;
    assert_in_range(urgent, before, before + SOON);
    for (unsigned i = 0, expected = 0; i < JOBS + 1; i++)
        if (i != urgent)
            assert_int_equal(order[i], expected++);
    rig_end(&r);
    rig_free(&r);
}

/* ---- expiry ---- */

static bool all_known(struct rig *r)
{
    struct journal_get get;
    bool known = true;
    for (unsigned i = 0; i < r->mark && known; i++) {
        char id[16];
        snprintf(id, sizeof(id), "job-%03u", i);
        rig_get(r, id, &get);
        known = get.row.expires_ms == 1000000000000000 + i;
        journal_get_release(&get);
    }
    return known;
}

static bool all_described(struct rig *r)
{
    return fake_source_described(r->source) >= 250;
}

static void asked_when_jobs_have_to_wait(void **state)
{
    (void)state;
    enum { JOBS = 250 };
    struct rig r;
    struct source_job listed[JOBS] = {0};
    for (unsigned i = 0; i < JOBS; i++) {
        snprintf(listed[i].id, sizeof(listed[i].id), "job-%03u", i);
        listed[i].expires_ms = 1000000000000000 + i;
    }
    rig_init(&r);
    r.from.listed = listed;
    r.from.n_listed = JOBS;
    r.to.held = "read"; /* all that are begun stop there */
    rig_open(&r);
    rig_accept_many(&r, JOBS);
    rig_start(&r);
    r.mark = JOBS;
    rig_run(&r, all_known);
    rig_run_ms(&r, 30);
    assert_int_equal(fake_source_described(r.source), JOBS); /* each once */
    assert_int_equal(rig_counts(&r).running, r.config.concurrency + 100);
    /* Those that move nothing yet are put back at once. */
    int64_t began_ms = clock_mono_ms();
    rig_end(&r);
    assert_true(clock_mono_ms() - began_ms < r.config.drain_ms / 2);
    assert_int_equal(rig_jobs(&r, JOURNAL_READY), JOBS);
    rig_free(&r);
}

/* Also where the answer is a date of no sense. */
static void asked_once_whatever_the_answer(void **state)
{
    (void)state;
    enum { JOBS = 250 };
    struct rig r;
    struct source_job listed[JOBS] = {0};
    for (unsigned i = 0; i < JOBS; i++) {
        snprintf(listed[i].id, sizeof(listed[i].id), "job-%03u", i);
        listed[i].expires_ms = -62135596800000; /* of the year 1 */
    }
    rig_init(&r);
    r.from.listed = listed;
    r.from.n_listed = JOBS;
    r.to.held = "read";
    rig_open(&r);
    rig_accept_many(&r, JOBS);
    rig_start(&r);
    rig_run(&r, all_described);
    rig_run_ms(&r, 100);
    assert_int_equal(fake_source_described(r.source), JOBS);
    rig_end(&r);
    rig_free(&r);
}

static void not_asked_when_all_are_begun(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    rig_open(&r);
    rig_accept_many(&r, 20);
    rig_start(&r);
    rig_run(&r, rig_none_under_way);
    rig_run_ms(&r, 20);
    assert_int_equal(fake_source_described(r.source), 20);
    rig_end(&r);
    rig_free(&r);
}

static bool four_batches(struct rig *r)
{
    return fake_source_described(r->source) >= 400;
}

/* A Platform that fails is asked again, less and less often, and in the end it answers. */
static void asked_again(void **state)
{
    (void)state;
    enum { JOBS = 120 };
    struct rig r;
    struct source_job listed[JOBS] = {0};
    for (unsigned i = 0; i < JOBS; i++) {
        snprintf(listed[i].id, sizeof(listed[i].id), "job-%03u", i);
        listed[i].expires_ms = 1000000000000000 + i;
    }
    rig_init(&r);
    r.to.held = "read";
    err_set(&r.from.describe_err, ERR_NETWORK, "no way");
    rig_open(&r);
    rig_accept_many(&r, JOBS);
    rig_start(&r);
    int64_t began_ms = clock_mono_ms();
    rig_run(&r, four_batches);
    assert_true(clock_mono_ms() - began_ms >= 10 + 20 + 40); /* the lower halves of the backoffs */
    assert_int_equal(rig_counts(&r).later, 0);               /* no job has failed by it */
    r.from.describe_err = (struct err){0};
    r.from.listed = listed;
    r.from.n_listed = JOBS;
    fake_source_configure(r.source, &r.from);
    r.mark = JOBS;
    rig_run(&r, all_known);
    rig_end(&r);
    rig_free(&r);
}

/* ---- failures ---- */

static void tried_again_until_dead(void **state)
{
    (void)state;
    struct rig r;
    struct journal_get get;
    rig_init(&r);
    r.from.state = JOB_UNDERWAY;
    r.config.attempts_max = 4;
    rig_start(&r);
    rig_accept(&r, "a", 0);
    dispatcher_wake(r.dispatcher);
    rig_run(&r, rig_none_under_way);
    rig_get(&r, "a", &get);
    assert_int_equal(get.row.state, JOURNAL_DEAD);
    assert_int_equal(get.row.attempts, 4);
    assert_string_equal(get.row.error_name, "pending");
    int64_t claimed_ms = get.history[0].at_ms, least_ms = 5;
    unsigned claims = 0;
    for (unsigned i = 0; i < get.n_history; i++) {
        if (strcmp(get.history[i].what, "claimed") != 0)
            continue;
        if (claims++) /* the lower half of 20, 40, 80 ms */
            assert_true(get.history[i].at_ms - claimed_ms >= (least_ms *= 2));
        claimed_ms = get.history[i].at_ms;
    }
    assert_int_equal(claims, 4);
    journal_get_release(&get);
    assert_int_equal(rig_counts(&r).later, 3);
    assert_int_equal(rig_counts(&r).dead, 1);
    assert_int_equal(rig_logged("job a: again in 0."), 3);
    assert_int_equal(rig_logged("job a: given up after 4 attempts: "), 1);
    /* Until somebody wants it tried again. */
    const char *const jobs[] = {"a"};
    struct journal_retry retry = {.request.kind = JOURNAL_RETRY, .jobs = jobs, .n = 1};
    r.from.state = JOB_COMPLETE;
    fake_source_configure(r.source, &r.from);
    rig_ask(&r, &retry.request);
    assert_int_equal(retry.retried, 1);
    dispatcher_wake(r.dispatcher);
    rig_run(&r, rig_none_under_way);
    assert_int_equal(rig_state(&r, "a"), JOURNAL_STORED);
    rig_end(&r);
    rig_free(&r);
}

static void failed_for_good(void **state)
{
    (void)state;
    static const struct {
        enum err_code describe;
        enum job_state state;
        bool expired;
        unsigned later;
        const char *error;
    } cases[] = {
        {ERR_NONE, JOB_FAILED, false, 0, "failed"},
        {ERR_NONE, JOB_COMPLETE, true, 0, "expired"},
        {ERR_TOO_LARGE, JOB_COMPLETE, false, 0, "too_large"},
        {ERR_JOB_UNKNOWN, JOB_COMPLETE, false, 1, "unknown_job"}, /* asked once more */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rig r;
        struct journal_get get;
        rig_init(&r);
        r.from.state = cases[i].state;
        r.from.expired = cases[i].expired;
        if (cases[i].describe)
            err_set(&r.from.describe_err, cases[i].describe, "as the test wants");
        rig_start(&r);
        rig_accept(&r, "a", 0);
        dispatcher_wake(r.dispatcher);
        rig_run(&r, rig_none_under_way);
        rig_get(&r, "a", &get);
        assert_int_equal(get.row.state, JOURNAL_FAILED);
        assert_string_equal(get.row.error_name, cases[i].error);
        assert_non_null(get.row.error);
        journal_get_release(&get);
        assert_int_equal(rig_counts(&r).failed, 1);
        assert_int_equal(rig_counts(&r).later, cases[i].later);
        assert_int_equal(rig_logged("job a: failed for good: "), 1);
        rig_end(&r);
        rig_free(&r);
    }
}

/* ---- pause ---- */

static void paused(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    rig_open(&r);
    rig_pause(&r, true);
    rig_accept(&r, "a", 0);
    rig_start(&r);
    dispatcher_wake(r.dispatcher);
    rig_run_ms(&r, 50);
    assert_int_equal(rig_state(&r, "a"), JOURNAL_READY);
    rig_pause(&r, false);
    dispatcher_wake(r.dispatcher);
    rig_run(&r, rig_none_under_way);
    assert_int_equal(rig_state(&r, "a"), JOURNAL_STORED);
    rig_end(&r);
    rig_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stored_and_written_down),
        cmocka_unit_test(objects_that_fit),
        cmocka_unit_test(the_same_job_many_times),
        cmocka_unit_test(the_loop_is_not_woken_each_time),
        cmocka_unit_test(soonest_to_expire_first),
        cmocka_unit_test(asked_when_jobs_have_to_wait),
        cmocka_unit_test(asked_once_whatever_the_answer),
        cmocka_unit_test(not_asked_when_all_are_begun),
        cmocka_unit_test(asked_again),
        cmocka_unit_test(tried_again_until_dead),
        cmocka_unit_test(failed_for_good),
        cmocka_unit_test(paused),
    };
    return cmocka_run_group_tests(tests, rig_group, NULL);
}
