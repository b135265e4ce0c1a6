/* SPDX-License-Identifier: Apache-2.0
 *
 * test_journal: what becomes of a job: each request, each move, in which order, and what is told.
 */
#include "journal_rig.h"

static const int64_t HOUR_MS = 3600 * 1000;

static void a_new_job_is_ready(void **state)
{
    struct rig *rig = *state;
    open_journal(rig);
    int64_t before_ms = clock_wall_ms();
    assert_int_equal(accept_job(rig, "a", 0), JOURNAL_NEW);
    assert_int_equal(accept_job(rig, "a", 5), JOURNAL_KNOWN);
    struct journal_job job = row(rig, "a");
    assert_int_equal(job.state, JOURNAL_READY);
    assert_int_equal(job.origin, JOURNAL_BY_WEBHOOK);
    assert_in_range(job.received_ms, before_ms, clock_wall_ms());
    assert_int_equal(job.expires_ms, 0);
    assert_int_equal(job.attempts, 0);
    struct journal_get gone = get(rig, "b");
    assert_false(gone.found);
    assert_int_equal(witness(rig, "SELECT count(*) FROM jobs"), 1);
}

static void it_is_there_after_a_restart(void **state)
{
    struct rig *rig = *state;
    open_journal(rig);
    accept_job(rig, "a", 0);
    accept_job(rig, "b", 0);
    accept_job(rig, "c", 0);
    assert_claims(rig, "a");
    settle(rig, "a", JOURNAL_DONE);
    assert_claims(rig, "b");
    open_again(rig);
    assert_int_equal(rig->recovered, 1);
    assert_state(rig, "a", JOURNAL_STORED);
    assert_state(rig, "b", JOURNAL_READY);
    assert_state(rig, "c", JOURNAL_READY);
    assert_int_equal(stats(rig).jobs[JOURNAL_READY], 2);
    assert_int_equal(stats(rig).jobs[JOURNAL_STORED], 1);
    assert_claims(rig, "b");
}

static void soonest_to_expire_is_claimed_first(void **state)
{
    struct rig *rig = *state;
    int64_t now_ms = clock_wall_ms();
    open_journal(rig);
    accept_job(rig, "unknown", 0); /* is taken to have three days */
    accept_job(rig, "later", now_ms + 4 * DAY_MS);
    accept_job(rig, "soon", now_ms + 2 * DAY_MS);
    accept_job(rig, "gone", now_ms - DAY_MS);
    struct journal_claim rq = claim(rig, 10);
    assert_int_equal(rq.n, 4);
    assert_string_equal(claimed[0].id, "gone");
    assert_string_equal(claimed[1].id, "soon");
    assert_string_equal(claimed[2].id, "unknown");
    assert_string_equal(claimed[3].id, "later");
    assert_int_equal(claimed[1].expires_ms, now_ms + 2 * DAY_MS);
    assert_int_equal(claim(rig, 10).n, 0);
}

static void what_a_try_ends_in(void **state)
{
    struct rig *rig = *state;
    static const char objects[] = "[{\"key\":\"k\",\"location\":\"s3://b/k\",\"size\":7}]";
    open_journal(rig);
    accept_job(rig, "a", 0);
    assert_claims(rig, "a");
    struct journal_settle done = {.job = "a",
                                  .verdict = JOURNAL_DONE,
                                  .bytes = 7,
                                  .expires_ms = 12345,
                                  .objects = (char *)(uintptr_t)objects};
    run(rig, &done.request, JOURNAL_SETTLE);
    assert_done(&done.request);
    assert_int_equal(done.state, JOURNAL_STORED);
    struct journal_get a = get(rig, "a");
    assert_string_equal(a.row.objects, objects);
    assert_int_equal(a.row.bytes, 7);
    assert_int_equal(a.row.expires_ms, 12345);
    assert_true(a.row.ended_ms >= a.row.claimed_ms && a.row.claimed_ms >= a.row.received_ms);
    journal_get_release(&a);
    assert_int_equal(accept_job(rig, "a", 0), JOURNAL_STORED_BEFORE);
    assert_state(rig, "a", JOURNAL_STORED);

    accept_job(rig, "b", 0);
    assert_claims(rig, "b");
    assert_int_equal(settle(rig, "b", JOURNAL_NEVER), JOURNAL_FAILED);
    struct journal_get b = get(rig, "b");
    assert_string_equal(b.row.error_name, "network");
    assert_string_equal(b.row.error, "it broke");
    journal_get_release(&b);
    assert_int_equal(accept_job(rig, "b", 99), JOURNAL_AGAIN);
    assert_state(rig, "b", JOURNAL_READY);
    assert_int_equal(row(rig, "b").expires_ms, 99);
    assert_string_equal(row(rig, "b").error_name, "");

    assert_claims(rig, "b");
    assert_int_equal(settle(rig, "b", JOURNAL_RELEASE), JOURNAL_READY);
    assert_int_equal(row(rig, "b").attempts, 0);
}

static void later_comes_again_and_ends(void **state)
{
    struct rig *rig = *state;
    open_journal(rig);
    accept_job(rig, "a", 0);
    for (unsigned i = 1; i <= 3; i++) {
        struct journal_settle rq = {.job = "a", .verdict = JOURNAL_LATER, .attempts_max = 3};
        err_set(&rq.why, ERR_TIMEOUT, "try %u", i);
        assert_claims(rig, "a");
        run(rig, &rq.request, JOURNAL_SETTLE);
        assert_int_equal(rq.state, i < 3 ? JOURNAL_WAITING : JOURNAL_DEAD);
        assert_int_equal(row(rig, "a").attempts, i);
    }
    assert_int_equal(claim(rig, 1).n, 0);

    accept_job(rig, "b", 0);
    assert_claims(rig, "b");
    int64_t before_ms = clock_wall_ms();
    settle(rig, "b", JOURNAL_LATER);
    assert_in_range(row(rig, "b").next_ms, before_ms + HOUR_MS, clock_wall_ms() + HOUR_MS);
    struct journal_claim rq = claim(rig, 1);
    assert_int_equal(rq.n, 0);
    assert_int_equal(rq.due_ms, row(rig, "b").next_ms);
}

/* One that was put off while the clock was years ahead. */
static void a_clock_that_jumps_back_puts_nothing_off_for_ever(void **state)
{
    struct rig *rig = *state;
    char sql[160];
    open_journal(rig);
    accept_job(rig, "a", 0);
    assert_claims(rig, "a");
    struct journal_settle rq = {
        .job = "a", .verdict = JOURNAL_LATER, .attempts_max = 3, .delay_ms = 400 * DAY_MS};
    run(rig, &rq.request, JOURNAL_SETTLE);
    int64_t next_ms = row(rig, "a").next_ms;
    assert_in_range(next_ms, clock_wall_ms() + DAY_MS - HOUR_MS, clock_wall_ms() + DAY_MS);
    assert_int_equal(claim(rig, 1).n, 0);
    long long far_ms = next_ms + 400 * DAY_MS;
    snprintf(sql, sizeof(sql), "UPDATE jobs SET next_ms = %lld, place_ms = %lld", far_ms, far_ms);
    witness(rig, sql);
    assert_claims(rig, "a");
}

static void retrying(void **state)
{
    struct rig *rig = *state;
    static const char *const ids[] = {"dead", "failed", "waiting", "stored", "ready", "nobody"};
    static const enum journal_verdict verdicts[] = {JOURNAL_LATER, JOURNAL_NEVER, JOURNAL_LATER,
                                                    JOURNAL_DONE, JOURNAL_RELEASE};
    open_journal(rig);
    for (int i = 0; i < 5; i++) {
        struct journal_settle rq = {
            .verdict = verdicts[i], .attempts_max = i ? 9 : 1, .delay_ms = HOUR_MS};
        snprintf(rq.job, sizeof(rq.job), "%s", ids[i]);
        accept_job(rig, ids[i], i + 1);
        assert_claims(rig, ids[i]);
        run(rig, &rq.request, JOURNAL_SETTLE);
        assert_done(&rq.request);
    }
    assert_state(rig, "dead", JOURNAL_DEAD);
    struct journal_retry rq = {.jobs = ids, .n = 6};
    run(rig, &rq.request, JOURNAL_RETRY);
    assert_done(&rq.request);
    assert_int_equal(rq.retried, 3);
    assert_int_equal(rq.unchanged, 2);
    assert_int_equal(rq.unknown, 1);
    for (int i = 0; i < 5; i += i == 2 ? 2 : 1) {
        assert_state(rig, ids[i], JOURNAL_READY);
        assert_int_equal(row(rig, ids[i]).attempts, 0);
        assert_int_equal(row(rig, ids[i]).ended_ms, 0);
    }
    assert_state(rig, "stored", JOURNAL_STORED);
}

static void retrying_all_that_died(void **state)
{
    struct rig *rig = *state;
    enum { N = 600 };
    open_journal(rig);
    accept_many(rig, "job-%d", N);
    witness(rig, "UPDATE jobs SET state = 5, place_ms = received_ms, ended_ms = received_ms");
    open_again(rig);
    assert_int_equal(stats(rig).jobs[JOURNAL_DEAD], N);
    struct journal_retry rq = {0};
    run(rig, &rq.request, JOURNAL_RETRY);
    assert_done(&rq.request);
    assert_int_equal(rq.retried, N);
    assert_int_equal(stats(rig).jobs[JOURNAL_READY], N);
    assert_int_equal(stats(rig).jobs[JOURNAL_DEAD], 0);
    assert_int_equal(witness(rig, "SELECT count(*) FROM jobs WHERE state = 1"), N);
}

static void a_pause_is_remembered(void **state)
{
    struct rig *rig = *state;
    struct journal_pause pause = {.paused = true};
    open_journal(rig);
    accept_job(rig, "a", 0);
    run(rig, &pause.request, JOURNAL_PAUSE);
    assert_done(&pause.request);
    for (int i = 0; i < 2; i++) {
        assert_true(claim(rig, 1).paused);
        assert_int_equal(claim(rig, 1).n, 0);
        assert_true(stats(rig).paused);
        open_again(rig);
    }
    pause.paused = false;
    run(rig, &pause.request, JOURNAL_PAUSE);
    assert_claims(rig, "a");
}

static void expiry_is_asked_for_once(void **state)
{
    struct rig *rig = *state;
    char jobs[4][JOB_ID_MAX + 1];
    open_journal(rig);
    accept_job(rig, "a", 0);
    accept_job(rig, "known", 77);
    witness(rig, "UPDATE jobs SET received_ms = received_ms - 10 WHERE id = 'a'");
    accept_job(rig, "b", 0);
    accept_job(rig, "c", 0);
    struct journal_look_up rq = {.max = 2, .jobs = jobs};
    run(rig, &rq.request, JOURNAL_LOOK_UP);
    assert_int_equal(rq.n, 2);
    assert_string_equal(jobs[0], "a");
    rq.max = 4;
    char first[2][JOB_ID_MAX + 1];
    memcpy(first, jobs, sizeof(first));
    run(rig, &rq.request, JOURNAL_LOOK_UP);
    assert_int_equal(rq.n, 1);

    int64_t expires_ms[] = {-1, clock_wall_ms() + HOUR_MS};
    struct journal_expiry learned = {
        .n = 2, .jobs = (const char(*)[JOB_ID_MAX + 1]) first, .expires_ms = expires_ms};
    run(rig, &learned.request, JOURNAL_EXPIRY);
    assert_done(&learned.request);
    run(rig, &rq.request, JOURNAL_LOOK_UP);
    assert_int_equal(rq.n, 1);
    assert_string_equal(jobs[0], "a");
    assert_claims(rig, "known");
    assert_claims(rig, first[1]); /* before those with a guess */
    struct journal_stats s = stats(rig);
    assert_int_equal(s.near_expiry, 2);
    assert_int_equal(s.soonest_ms, 77);
    assert_int_equal(s.oldest_ms, row(rig, "a").received_ms);
}

static void history_is_kept_and_bounded(void **state)
{
    struct rig *rig = *state;
    open_journal(rig);
    accept_job(rig, "a", 0);
    accept_job(rig, "a", 0);
    assert_claims(rig, "a");
    settle(rig, "a", JOURNAL_NEVER);
    accept_job(rig, "a", 0);
    assert_claims(rig, "a");
    open_again(rig);
    static const char *const expected[] = {"received", "claimed", "failed",
                                           "received", "claimed", "recovered"};
    struct journal_get rq = get(rig, "a");
    assert_int_equal(rq.n_history, 6);
    for (int i = 0; i < 6; i++)
        assert_string_equal(rq.history[i].what, expected[i]);
    assert_string_equal(rq.history[2].text, "it broke");
    assert_null(rq.history[1].text);
    journal_get_release(&rq);

    for (int i = 0; i < 30; i++) {
        assert_claims(rig, "a");
        settle(rig, "a", JOURNAL_RELEASE);
        rq = get(rig, "a");
        if (8 + 2 * i <= JOURNAL_HISTORY_MAX)
            assert_int_equal(rq.n_history, 8 + 2 * i);
        else
            assert_in_range(rq.n_history, JOURNAL_HISTORY_MAX - 1, JOURNAL_HISTORY_MAX);
        assert_string_equal(rq.history[rq.n_history - 1].what, "released");
        journal_get_release(&rq);
    }
    assert_true(witness(rig, "SELECT count(*) FROM history") <= JOURNAL_HISTORY_MAX);
}

static void what_may_not_be_fails_alone(void **state)
{
    struct rig *rig = *state;
    open_journal(rig);
    accept_job(rig, "a", 0);
    struct journal_settle rq = try_settle(rig, "a", JOURNAL_DONE);
    assert_failed(&rq.request, ERR_INTERNAL, "job a is ready");
    rq = try_settle(rig, "nobody", JOURNAL_DONE);
    assert_failed(&rq.request, ERR_INTERNAL, "job nobody is not in the journal");
    struct journal_accept bad = try_accept(rig, "../a", 0);
    assert_failed(&bad.request, ERR_INTERNAL, "job id");
    assert_claims(rig, "a");
    assert_int_equal(settle(rig, "a", JOURNAL_DONE), JOURNAL_STORED);
    rq = try_settle(rig, "a", JOURNAL_LATER);
    assert_failed(&rq.request, ERR_INTERNAL, "job a is stored");
    assert_state(rig, "a", JOURNAL_STORED);
}

static void a_full_queue_takes_no_more(void **state)
{
    struct rig *rig = *state;
    rig->config.queue_max = 2;
    open_journal(rig);
    accept_job(rig, "a", 0);
    accept_job(rig, "b", 0);
    struct journal_accept rq = try_accept(rig, "c", 0);
    assert_failed(&rq.request, ERR_IO, "--queue-max");
    assert_int_equal(accept_job(rig, "b", 0), JOURNAL_KNOWN);
    assert_claims(rig, "a");
    settle(rig, "a", JOURNAL_NEVER);
    assert_int_equal(accept_job(rig, "c", 0), JOURNAL_NEW);
    rq = try_accept(rig, "a", 0);
    assert_failed(&rq.request, ERR_IO, "2 jobs are unfinished");
    assert_state(rig, "a", JOURNAL_FAILED);
}

/* ---- what sync names ---- */

static enum journal_accepted accept_by_sync(struct rig *rig, const char *id, int64_t unstored_ms)
{
    struct journal_accept rq = {
        .origin = JOURNAL_BY_SYNC, .expires_ms = 77, .unstored_ms = unstored_ms};
    snprintf(rq.job, sizeof(rq.job), "%s", id);
    run(rig, &rq.request, JOURNAL_ACCEPT);
    assert_done(&rq.request);
    return rq.accepted;
}

static void end_as(struct rig *rig, const char *id, enum journal_verdict verdict, unsigned max,
                   enum err_code code)
{
    struct journal_settle rq = {.verdict = verdict, .attempts_max = max};
    snprintf(rq.job, sizeof(rq.job), "%s", id);
    err_set(&rq.why, code, "it broke");
    accept_job(rig, id, 0);
    assert_claims(rig, id);
    run(rig, &rq.request, JOURNAL_SETTLE);
    assert_done(&rq.request);
}

/* As long as its output is there sync names it, time and again: no news. */
static void sync_does_not_begin_anew_what_failed_for_good(void **state)
{
    struct rig *rig = *state;
    open_journal(rig);
    end_as(rig, "failed", JOURNAL_NEVER, 1, ERR_CONFLICT);
    end_as(rig, "dead", JOURNAL_LATER, 1, ERR_NETWORK);
    for (int i = 0; i < 2; i++) {
        int64_t unstored_ms = i ? clock_wall_ms() + HOUR_MS : 0;
        assert_int_equal(accept_by_sync(rig, "failed", unstored_ms), JOURNAL_KNOWN);
        assert_int_equal(accept_by_sync(rig, "dead", unstored_ms), JOURNAL_KNOWN);
    }
    assert_state(rig, "failed", JOURNAL_FAILED);
    assert_state(rig, "dead", JOURNAL_DEAD);
    assert_string_equal(row(rig, "failed").error_name, "conflict");
    assert_int_equal(accept_job(rig, "failed", 0), JOURNAL_AGAIN); /* a webhook does */
    assert_int_equal(accept_job(rig, "dead", 0), JOURNAL_AGAIN);
}

/* It was not there when it was asked for, and now it is. */
static void sync_begins_anew_what_was_not_known(void **state)
{
    struct rig *rig = *state;
    open_journal(rig);
    end_as(rig, "a", JOURNAL_NEVER, 1, ERR_JOB_UNKNOWN);
    end_as(rig, "b", JOURNAL_LATER, 1, ERR_JOB_UNKNOWN);
    assert_int_equal(accept_by_sync(rig, "a", clock_wall_ms()), JOURNAL_AGAIN);
    assert_int_equal(accept_by_sync(rig, "b", 0), JOURNAL_AGAIN);
    struct journal_job job = row(rig, "a");
    assert_int_equal(job.state, JOURNAL_READY);
    assert_int_equal(job.origin, JOURNAL_BY_SYNC);
    assert_int_equal(job.expires_ms, 77);
    assert_int_equal(job.attempts, 0);
    assert_string_equal(job.error_name, "");
}

static void sync_begins_anew_what_is_stored_no_more(void **state)
{
    struct rig *rig = *state;
    int64_t began_ms = clock_wall_ms(), later_ms = began_ms + HOUR_MS;
    open_journal(rig);
    accept_job(rig, "a", 0);
    assert_claims(rig, "a");
    assert_int_equal(accept_by_sync(rig, "a", later_ms), JOURNAL_KNOWN); /* it is under way */
    settle(rig, "a", JOURNAL_DONE);
    assert_int_equal(accept_by_sync(rig, "a", 0), JOURNAL_STORED_BEFORE);
    /* One that began before the receipt was written may have missed it. */
    assert_int_equal(accept_by_sync(rig, "a", began_ms), JOURNAL_STORED_BEFORE);
    assert_state(rig, "a", JOURNAL_STORED);
    assert_int_equal(accept_by_sync(rig, "a", later_ms), JOURNAL_AGAIN);
    assert_state(rig, "a", JOURNAL_READY);
    assert_int_equal(accept_by_sync(rig, "a", later_ms), JOURNAL_KNOWN);
    assert_int_equal(claim(rig, 1).n, 1);
    assert_false(claimed[0].tried); /* what its former life has left is not to be looked for */
}

/* ---- ready for more ---- */

static void it_says_when_it_takes_no_more(void **state)
{
    struct rig *rig = *state;
    rig->config.queue_max = 1;
    open_journal(rig);
    assert_true(journal_takes(rig->journal));
    accept_job(rig, "a", 0);
    (void)stats(rig); /* a round later */
    assert_false(journal_takes(rig->journal));
    open_again(rig);
    assert_false(journal_takes(rig->journal));
    assert_claims(rig, "a");
    settle(rig, "a", JOURNAL_DONE);
    (void)stats(rig);
    assert_true(journal_takes(rig->journal));
}

static void names_of_states(void **state)
{
    (void)state;
    for (int s = 0; s < JOURNAL_STATES; s++)
        assert_int_equal(journal_state_parse(journal_state_name((enum journal_state)s)), s);
    assert_int_equal(journal_state_parse("lost"), JOURNAL_STATES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_new_job_is_ready),
        TEST(it_is_there_after_a_restart),
        TEST(soonest_to_expire_is_claimed_first),
        TEST(what_a_try_ends_in),
        TEST(later_comes_again_and_ends),
        TEST(a_clock_that_jumps_back_puts_nothing_off_for_ever),
        TEST(retrying),
        TEST(retrying_all_that_died),
        TEST(a_pause_is_remembered),
        TEST(expiry_is_asked_for_once),
        TEST(history_is_kept_and_bounded),
        TEST(what_may_not_be_fails_alone),
        TEST(a_full_queue_takes_no_more),
        TEST(sync_does_not_begin_anew_what_failed_for_good),
        TEST(sync_begins_anew_what_was_not_known),
        TEST(sync_begins_anew_what_is_stored_no_more),
        TEST(it_says_when_it_takes_no_more),
        cmocka_unit_test(names_of_states),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
