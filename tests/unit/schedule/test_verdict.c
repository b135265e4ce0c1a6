/* SPDX-License-Identifier: Apache-2.0
 *
 * What a failure means, how long a backoff is, and when the breaker opens and closes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "schedule/breaker.h"
#include "schedule/verdict.h"

static void verdicts(void **state)
{
    (void)state;
    static const struct {
        enum err_code code;
        int http_status;
        bool stopped, first;
        enum verdict verdict;
        bool of_setup;
    } cases[] = {
        {ERR_NETWORK, 0, false, true, VERDICT_LATER, true},
        {ERR_NETWORK, 0, true, true, VERDICT_AT_ONCE, true},
        {ERR_CANCELLED, 0, true, false, VERDICT_AT_ONCE, false},
        {ERR_HTTP, 503, false, false, VERDICT_LATER, true},
        {ERR_HTTP, 407, false, false, VERDICT_LATER, true},
        {ERR_AUTH, 0, false, false, VERDICT_LATER, true},
        {ERR_AUTH, 0, true, false, VERDICT_LATER, true},
        {ERR_CONFIG, 0, false, false, VERDICT_LATER, true},
        {ERR_DESTINATION, 0, false, false, VERDICT_LATER, true},
        {ERR_IO, 0, false, false, VERDICT_LATER, true},
        {ERR_INTERNAL, 0, false, false, VERDICT_LATER, false},
        {ERR_INTEGRITY, 0, false, false, VERDICT_LATER, false},
        {ERR_JOB_PENDING, 0, false, false, VERDICT_LATER, false},
        {ERR_JOB_UNKNOWN, 0, false, true, VERDICT_UNKNOWN, false},
        {ERR_JOB_UNKNOWN, 0, false, false, VERDICT_NEVER, false},
        {ERR_JOB_FAILED, 0, true, true, VERDICT_NEVER, false},
        {ERR_JOB_EXPIRED, 0, false, true, VERDICT_NEVER, false},
        {ERR_CONFLICT, 0, false, true, VERDICT_NEVER, false},
        {ERR_TOO_LARGE, 0, false, true, VERDICT_NEVER, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err err = {.code = cases[i].code, .http_status = cases[i].http_status};
        assert_int_equal(verdict_of(&err, cases[i].stopped, cases[i].first), cases[i].verdict);
        assert_int_equal(verdict_is_of_setup(&err), cases[i].of_setup);
    }
}

static void backoffs(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        assert_in_range(verdict_backoff_ms(10, 100, 0, 0), 5, 10);
        assert_in_range(verdict_backoff_ms(10, 100, 2, 0), 20, 40);
        assert_in_range(verdict_backoff_ms(10, 100, 4, 0), 50, 100);
        assert_in_range(verdict_backoff_ms(10, 100, UINT32_MAX, 0), 50, 100);
        assert_in_range(verdict_backoff_ms(1, 1, 0, 0), 1, 1);
        assert_int_equal(verdict_backoff_ms(10, 100, 0, 5000), 5000);
    }
}

static void breaker_opens_and_closes(void **state)
{
    (void)state;
    struct breaker b = {.pause_min_ms = 10, .pause_max_ms = 100};
    for (int i = 1; i < BREAKER_ROW; i++)
        assert_int_equal(breaker_end(&b, BREAKER_SETUP, breaker_begin(&b), 0, 0), BREAKER_SAME);
    assert_int_equal(breaker_next_ms(&b), 0);
    assert_int_equal(breaker_end(&b, BREAKER_SETUP, false, 0, 1000), BREAKER_OPENED);
    assert_in_range(breaker_next_ms(&b), 1005, 1010);
    /* One that was under way before changes nothing. */
    assert_int_equal(breaker_end(&b, BREAKER_SETUP, false, 0, 2000), BREAKER_SAME);
    assert_in_range(breaker_next_ms(&b), 1005, 1010);
    for (int i = 0; i < 10; i++) {
        static const int64_t most_ms[] = {20, 40, 80, 100};
        int64_t pause_ms = most_ms[i < 3 ? i : 3];
        bool probe = breaker_begin(&b);
        assert_true(probe);
        assert_true(breaker_next_ms(&b) == INT64_MAX);
        assert_int_equal(breaker_end(&b, BREAKER_SETUP, probe, 0, 3000), BREAKER_SAME);
        assert_in_range(breaker_next_ms(&b), 3000 + pause_ms / 2, 3000 + pause_ms);
    }
    assert_true(breaker_begin(&b));
    assert_int_equal(breaker_end(&b, BREAKER_SETUP, true, 7000, 3000), BREAKER_SAME);
    assert_int_equal(breaker_next_ms(&b), 10000); /* as the other side asked */
    /* What says nothing leaves it open, and the next one may come at once. */
    assert_true(breaker_begin(&b));
    assert_int_equal(breaker_end(&b, BREAKER_OTHER, true, 0, 20000), BREAKER_SAME);
    assert_true(breaker_next_ms(&b) <= 20000);
    assert_true(breaker_begin(&b));
    assert_int_equal(breaker_end(&b, BREAKER_STORED, true, 0, 20000), BREAKER_CLOSED);
    assert_int_equal(breaker_next_ms(&b), 0);
    assert_false(breaker_begin(&b));
}

static void breaker_counts_a_row(void **state)
{
    (void)state;
    struct breaker b = {.pause_min_ms = 10, .pause_max_ms = 100};
    for (int i = 0; i < 100; i++) {
        enum breaker_reason why = i % BREAKER_ROW == 0 ? BREAKER_STORED : BREAKER_SETUP;
        assert_int_equal(breaker_end(&b, why, false, 0, i), BREAKER_SAME);
    }
    for (int i = 0; i < 100; i++)
        assert_int_equal(breaker_end(&b, BREAKER_OTHER, false, 0, i), BREAKER_SAME);
    assert_int_equal(breaker_end(&b, BREAKER_SETUP, false, 0, 0), BREAKER_OPENED);
    /* Closed by one that was under way while the probe still is. */
    bool probe = breaker_begin(&b);
    assert_int_equal(breaker_end(&b, BREAKER_STORED, false, 0, 0), BREAKER_CLOSED);
    assert_int_equal(breaker_end(&b, BREAKER_SETUP, probe, 0, 0), BREAKER_SAME);
    assert_int_equal(breaker_next_ms(&b), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts),
        cmocka_unit_test(backoffs),
        cmocka_unit_test(breaker_opens_and_closes),
        cmocka_unit_test(breaker_counts_a_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
