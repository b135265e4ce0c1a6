/* SPDX-License-Identifier: Apache-2.0
 *
 * What is worth another attempt, after how long, and what it takes from the budget.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/clock.h"
#include "net/net_private.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct err broken = {.code = ERR_NETWORK};
static const struct err busy = {.code = ERR_HTTP, .http_status = 503};

static void test_what_is_worth_it(void **state)
{
    static const struct {
        enum err_code code;
        int status;
        bool wanted;
        int cost;
    } cases[] = {
        {ERR_NETWORK, 0, true, 14}, {ERR_TIMEOUT, 0, true, 14},   {ERR_HTTP, 500, true, 14},
        {ERR_HTTP, 502, true, 14},  {ERR_HTTP, 503, true, 5},     {ERR_HTTP, 504, true, 14},
        {ERR_HTTP, 408, true, 14},  {ERR_HTTP, 429, true, 5},     {ERR_HTTP, 501, false, 0},
        {ERR_HTTP, 400, false, 0},  {ERR_HTTP, 403, false, 0},    {ERR_HTTP, 404, false, 0},
        {ERR_HTTP, 412, false, 0},  {ERR_HTTP, 302, false, 0},    {ERR_PROTOCOL, 0, false, 0},
        {ERR_CONFIG, 0, false, 0},  {ERR_INTEGRITY, 0, false, 0}, {ERR_IO, 0, false, 0},
        {ERR_INPUT, 0, false, 0},   {ERR_CANCELLED, 0, false, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct retry_budget budget = {RETRY_BUDGET_MAX};
        struct retry_state rq = {.attempts = 1};
        struct err err = {.code = cases[i].code, .http_status = cases[i].status};
        int64_t delay_ms;
        assert_int_equal(retry_wanted(&budget, &rq, &err, 3, &delay_ms), cases[i].wanted);
        assert_int_equal(budget.tokens, RETRY_BUDGET_MAX - cases[i].cost);
        assert_int_equal(rq.last_cost, cases[i].cost);
    }
}

static void test_attempts_are_bounded(void **state)
{
    (void)state;
    struct retry_budget budget = {RETRY_BUDGET_MAX};
    int64_t delay_ms;
    for (int attempts = 1; attempts <= 5; attempts++) {
        struct retry_state rq = {.attempts = attempts};
        assert_int_equal(retry_wanted(&budget, &rq, &broken, 4, &delay_ms), attempts < 4);
    }
}

static void test_delays_grow_to_a_bound(void **state)
{
    static const struct {
        const struct err *err;
        int attempts;
        int64_t most_ms;
    } cases[] = {
        {&broken, 1, 50}, {&broken, 2, 100}, {&broken, 5, 800}, {&broken, 60, 20000},
        {&busy, 1, 1000}, {&busy, 2, 2000},  {&busy, 5, 16000}, {&busy, 6, 20000},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        int64_t longest_ms = 0;
        for (int k = 0; k < 300; k++) {
            struct retry_budget budget = {RETRY_BUDGET_MAX};
            struct retry_state rq = {.attempts = cases[i].attempts};
            int64_t delay_ms = -1;
            assert_true(retry_wanted(&budget, &rq, cases[i].err, 100, &delay_ms));
            assert_in_range(delay_ms, 0, cases[i].most_ms);
            if (delay_ms > longest_ms)
                longest_ms = delay_ms;
        }
        /* All equally likely: that 300 of them miss the upper half has a chance of 2^-300. */
        assert_true(longest_ms >= cases[i].most_ms / 2);
    }
}

static void test_retry_after_is_heeded(void **state)
{
    (void)state;
    struct retry_budget budget = {RETRY_BUDGET_MAX};
    struct retry_state rq = {.attempts = 1};
    struct err err = {.code = ERR_HTTP, .http_status = 429, .retry_after_ms = 60 * 1000};
    int64_t delay_ms;
    assert_true(retry_wanted(&budget, &rq, &err, 3, &delay_ms));
    assert_int_equal(delay_ms, 60 * 1000);
    err.retry_after_ms++; /* nothing for a request to wait for */
    int before = budget.tokens;
    assert_false(retry_wanted(&budget, &rq, &err, 3, &delay_ms));
    assert_int_equal(budget.tokens, before);
}

static void test_budget_runs_out_and_comes_back(void **state)
{
    (void)state;
    struct retry_budget budget = {RETRY_BUDGET_MAX};
    struct retry_state rq = {.attempts = 1};
    int64_t delay_ms;
    int n = 0;
    while (retry_wanted(&budget, &rq, &broken, 3, &delay_ms))
        n++;
    assert_int_equal(n, RETRY_BUDGET_MAX / 14);
    assert_true(budget.tokens >= 0);

    /* One that needed no retry gives one token, one that did what its last retry took. */
    struct retry_state plain = {.attempts = 1};
    budget.tokens = 0;
    retry_succeeded(&budget, &plain);
    assert_int_equal(budget.tokens, 1);
    for (int i = 0; i < 4; i++)
        retry_succeeded(&budget, &plain);
    struct retry_state throttled = {.attempts = 1};
    assert_false(retry_wanted(&budget, &throttled, &broken, 3, &delay_ms));
    assert_true(retry_wanted(&budget, &throttled, &busy, 3, &delay_ms));
    assert_int_equal(budget.tokens, 0);
    retry_succeeded(&budget, &throttled);
    assert_int_equal(budget.tokens, 5); /* no more than before: a busy store cannot fill it */

    budget.tokens = RETRY_BUDGET_MAX - 1;
    retry_succeeded(&budget, &rq);
    assert_int_equal(budget.tokens, RETRY_BUDGET_MAX);
}

/* A burst that met a limit is allowed for by sending fewer: it says nothing of the store's health.
 */
static void test_what_is_allowed_for_is_free(void **state)
{
    (void)state;
    struct retry_budget budget = {0};
    struct retry_state rq = {.attempts = 1, .allowed_for = true};
    int64_t delay_ms;
    assert_false(retry_wanted(&budget, &rq, &broken, 3, &delay_ms));
    assert_true(retry_wanted(&budget, &rq, &busy, 3, &delay_ms));
    assert_int_equal(rq.attempts, 0); /* as if there had been none */
    assert_int_equal(budget.tokens, 0);
    rq.attempts++;
    assert_true(retry_wanted(&budget, &rq, &busy, 3, &delay_ms));
    assert_int_equal(rq.attempts, 1); /* but that only once */
    assert_int_equal(budget.tokens, 0);
    rq.attempts = 3;
    assert_false(retry_wanted(&budget, &rq, &busy, 3, &delay_ms));
}

static void test_retry_after_values(void **state)
{
    static const struct {
        const char *value;
        int ms;
    } cases[] = {
        {"0", 0},
        {"1", 1000},
        {"120", 120 * 1000},
        {"-1", 0},
        {"1.5", 0},
        {"", 0},
        {"soon", 0},
        {"1, 2", 0},
        {"1000000", 1000 * 1000 * 1000},
        {"1000001", 1000 * 1000 * 1000},
        {"9223372036854775", 1000 * 1000 * 1000},
        {"Mon, 20 Jan 2020 15:09:42 GMT", 0},
        {"Mon, 20 Jan 9020 15:09:42 GMT", 1000 * 1000 * 1000},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_int_equal(retry_after_ms(cases[i].value), cases[i].ms);
    char date[DATE_TEXT_SIZE];
    date_format_http(clock_wall_ms() + 100 * 1000, date);
    assert_in_range(retry_after_ms(date), 50 * 1000, 100 * 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_worth_it),
        cmocka_unit_test(test_attempts_are_bounded),
        cmocka_unit_test(test_delays_grow_to_a_bound),
        cmocka_unit_test(test_retry_after_is_heeded),
        cmocka_unit_test(test_budget_runs_out_and_comes_back),
        cmocka_unit_test(test_what_is_allowed_for_is_free),
        cmocka_unit_test(test_retry_after_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
