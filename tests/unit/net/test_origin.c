/* SPDX-License-Identifier: Apache-2.0
 *
 * What is remembered of origins, and who of them may go when; without any network.
 */
#include "net/origin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/log.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct origins *origins;
static FILE *told;

static int set_up(void **state)
{
    (void)state;
    origins = origins_new();
    told = tmpfile();
    log_init(told, LOG_INFO, LOG_HUMAN);
    return told ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    origins_free(origins);
    log_init(stderr, LOG_ERROR, LOG_HUMAN);
    return fclose(told);
}

static struct origin *get(const char *text)
{
    struct url url = {0};
    struct err err = {0};
    assert_int_equal(url_parse(text, &url, &err), 0);
    struct origin *origin = origin_get(origins, &url);
    url_release(&url);
    return origin;
}

/* How many lines of the log have the text. */
static int lines_with(const char *text)
{
    char line[1000];
    int n = 0;
    rewind(told);
    while (fgets(line, sizeof(line), told))
        n += strstr(line, text) != NULL;
    return n;
}

/* ---- who is remembered ---- */

static void test_same_origin(void **state)
{
    static const char *const others[] = {"https://h.test", "http://h.test:81", "http://i.test"};
    (void)state;
    struct origin *origin = get("http://h.test/a?b");
    assert_ptr_equal(get("HTTP://H.TEST:80"), origin);
    assert_int_equal(origin->users, 2);
    origin_put(origins, origin);
    origin_put(origins, origin);
    for (size_t i = 0; i < COUNT(others); i++) {
        struct origin *other = get(others[i]);
        assert_ptr_not_equal(other, origin);
        origin_put(origins, other);
    }
}

static struct origin *number(int i)
{
    char url[40];
    snprintf(url, sizeof(url), "http://h%d.test/", i);
    return get(url);
}

static void use(int i)
{
    origin_put(origins, number(i));
}

static void spend(int i)
{
    struct origin *origin = number(i);
    origin->budget.tokens = i;
    origin_put(origins, origin);
}

static int tokens(int i)
{
    struct origin *origin = number(i);
    int tokens = origin->budget.tokens;
    origin_put(origins, origin);
    return tokens;
}

static void test_the_least_recently_used_is_forgotten(void **state)
{
    (void)state;
    for (int i = 0; i < ORIGINS_MAX; i++)
        spend(i);
    for (int i = 0; i < ORIGINS_MAX; i++)
        assert_int_equal(tokens(i), i);
    use(0); /* so 1 is the oldest */
    use(1000);
    assert_int_equal(tokens(0), 0);
    assert_int_equal(tokens(2), 2);
    assert_int_equal(tokens(1), RETRY_BUDGET_MAX);
}

static void test_who_is_in_use_is_not_forgotten(void **state)
{
    struct origin *held[2 * ORIGINS_MAX];
    (void)state;
    for (size_t i = 0; i < COUNT(held); i++) {
        held[i] = number((int)i);
        held[i]->budget.tokens = (int)i;
    }
    for (size_t i = 0; i < COUNT(held); i++)
        assert_int_equal(tokens((int)i), i);
    for (size_t i = 0; i < COUNT(held); i++)
        origin_put(origins, held[i]);
    for (int i = ORIGINS_MAX; i < 2 * ORIGINS_MAX; i++)
        assert_int_equal(tokens(i), i);
    assert_int_equal(tokens(0), RETRY_BUDGET_MAX);
}

/* ---- turns ---- */

enum { TURNS = 64 };

static struct origin_turn turns[TURNS];
static int came[TURNS], n_came; /* who was let in, in order */

static void come(void *arg)
{
    came[n_came++] = (int)((struct origin_turn *)arg - turns);
}

/* So many turns taken, none waiting. */
static struct origin *with_running(int n)
{
    struct origin *origin = get("https://h.test:8443/");
    memset(turns, 0, sizeof(turns));
    n_came = 0;
    for (int i = 0; i < n; i++)
        assert_true(turn_take(&turns[i], origin, come, &turns[i]));
    return origin;
}

static void end_all(struct origin *origin)
{
    for (int i = 0; i < TURNS; i++)
        turn_end(&turns[i], 0);
    assert_int_equal(origin->running, 0);
    assert_null(origin->first);
    origin_put(origins, origin);
}

static void test_one_burst_halves_once(void **state)
{
    (void)state;
    struct origin *origin = with_running(64);
    assert_false(turn_end(&turns[0], 503));
    assert_int_equal(origin->limit, 32);
    for (int i = 1; i < 60; i++)
        assert_true(turn_end(&turns[i], i % 2 ? 503 : 429)); /* sent before: it is allowed for */
    assert_int_equal(origin->limit, 32);
    assert_true(turn_take(&turns[0], origin, come, &turns[0]));
    assert_false(turn_end(&turns[0], 429)); /* sent since, one of five */
    assert_int_equal(origin->limit, 2);
    assert_int_equal(lines_with("https://h.test:8443 answers 503: at most 32 of 64 requests"), 1);
    assert_int_equal(lines_with("at most"), 1);
    end_all(origin);
}

/* A refusal that comes last, when the others of its burst have ended. */
static void test_the_last_of_a_burst(void **state)
{
    (void)state;
    struct origin *origin = with_running(40);
    for (int i = 0; i < 39; i++)
        turn_end(&turns[i], 200);
    turn_end(&turns[39], 503);
    assert_int_equal(origin->limit, 20);
    end_all(origin);
}

static void test_never_below_one(void **state)
{
    (void)state;
    struct origin *origin = with_running(1);
    for (int i = 0; i < 5; i++) {
        turn_end(&turns[0], 503);
        assert_int_equal(origin->limit, 1);
        assert_true(turn_take(&turns[0], origin, come, &turns[0]));
    }
    end_all(origin);
}

static void test_what_is_no_refusal(void **state)
{
    static const int statuses[] = {0, 200, 302, 404, 412, 500, 502, 504, 0};
    (void)state;
    struct origin *origin = with_running(COUNT(statuses));
    for (size_t i = 0; i < COUNT(statuses); i++)
        assert_false(turn_end(&turns[i], statuses[i]));
    assert_int_equal(origin->limit, 0);
    end_all(origin);
}

static void answer_well(struct origin *origin, int n, int status)
{
    for (int i = 0; i < n; i++) {
        assert_true(turn_take(&turns[0], origin, come, &turns[0]));
        turn_end(&turns[0], status);
    }
}

static void test_recovery(void **state)
{
    (void)state;
    struct origin *origin = with_running(6);
    turn_end(&turns[0], 503);
    for (int i = 1; i < 6; i++)
        turn_end(&turns[i], 0); /* says nothing */
    assert_int_equal(origin->limit, 3);
    answer_well(origin, TURNS_FOR_RAISE - 1, 200);
    assert_int_equal(origin->limit, 3);
    answer_well(origin, 1, 404);
    assert_int_equal(origin->limit, 4);
    answer_well(origin, 100, 500); /* not well */
    assert_int_equal(origin->limit, 4);
    answer_well(origin, 2 * TURNS_FOR_RAISE, 200);
    assert_int_equal(origin->limit, 6);
    assert_int_equal(lines_with("as before"), 0);
    answer_well(origin, TURNS_FOR_RAISE, 200);
    assert_int_equal(origin->limit, 0);
    assert_int_equal(lines_with("https://h.test:8443 takes as many requests"), 1);
    assert_int_equal(lines_with(""), 2);
    end_all(origin);
}

static void test_first_come_first_served(void **state)
{
    static const int order[] = {8, 10, 11, 12};
    (void)state;
    struct origin *origin = with_running(8);
    turn_end(&turns[7], 503);
    assert_int_equal(origin->limit, 4);
    for (int i = 8; i < 13; i++)
        assert_false(turn_take(&turns[i], origin, come, &turns[i]));
    for (int i = 0; i < 3; i++)
        turn_end(&turns[i], 200);
    assert_int_equal(n_came, 0); /* four still run */
    turn_end(&turns[9], 0);      /* does not want to wait any more */
    for (int i = 3; i < 7; i++)
        turn_end(&turns[i], 200);
    assert_int_equal(n_came, COUNT(order));
    for (size_t i = 0; i < COUNT(order); i++)
        assert_int_equal(came[i], order[i]);
    assert_int_equal(origin->running, 4);
    end_all(origin);
}

/* Who is let in and does not want to go gives the place to the next. */
static void test_a_turn_not_taken_up(void **state)
{
    (void)state;
    struct origin *origin = with_running(1);
    turn_end(&turns[0], 503);
    assert_true(turn_take(&turns[0], origin, come, &turns[0]));
    assert_false(turn_take(&turns[1], origin, come, &turns[1]));
    assert_false(turn_take(&turns[2], origin, come, &turns[2]));
    turn_end(&turns[0], 200);
    assert_int_equal(n_came, 1);
    turn_end(&turns[1], 0);
    assert_int_equal(n_came, 2);
    assert_int_equal(came[1], 2);
    end_all(origin);
}

static void test_paused_ones_do_not_count(void **state)
{
    (void)state;
    struct origin *origin = with_running(1);
    turn_end(&turns[0], 503);
    assert_true(turn_take(&turns[0], origin, come, &turns[0]));
    assert_false(turn_take(&turns[1], origin, come, &turns[1]));
    assert_false(turn_take(&turns[2], origin, come, &turns[2]));
    turn_pause(&turns[0]);
    turn_pause(&turns[0]);
    assert_int_equal(n_came, 1);
    turn_resume(&turns[0]); /* at once, whoever runs meanwhile */
    turn_resume(&turns[0]);
    assert_int_equal(origin->running, 2);
    turn_end(&turns[1], 200);
    assert_int_equal(n_came, 1);
    turn_pause(&turns[0]);
    assert_int_equal(n_came, 2);
    turn_end(&turns[0], 200); /* while paused */
    assert_int_equal(origin->running, 1);
    end_all(origin);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_same_origin),
        TEST(test_the_least_recently_used_is_forgotten),
        TEST(test_who_is_in_use_is_not_forgotten),
        TEST(test_one_burst_halves_once),
        TEST(test_the_last_of_a_burst),
        TEST(test_never_below_one),
        TEST(test_what_is_no_refusal),
        TEST(test_recovery),
        TEST(test_first_come_first_served),
        TEST(test_a_turn_not_taken_up),
        TEST(test_paused_ones_do_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
