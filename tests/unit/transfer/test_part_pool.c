/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/mem.h"
#include "transfer/part_pool.h"

struct claimant {
    struct part_claim claim;
    struct part_pool *pool;
    int told;
    bool granted;
};

static struct loop *loop;
static struct part_pool *pool;

static int set_up(void **state)
{
    (void)state;
    struct err err = {0};
    loop = loop_new(&err);
    pool = part_pool_new(loop, 100);
    return loop ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    part_pool_free(pool);
    loop_free(loop);
    return 0;
}

static void on_claim(void *arg, bool granted)
{
    struct claimant *c = arg;
    c->told++;
    c->granted = granted;
}

static void stop(void *arg)
{
    (void)arg;
    loop_stop(loop);
}

/* Lets everything posted so far run. */
static void settle(void)
{
    struct loop_task task;
    loop_post(loop, &task, stop, NULL);
    loop_run(loop);
}

static void claim_small(struct claimant *c, uint64_t bytes)
{
    c->told = 0;
    part_pool_claim_small(pool, &c->claim, bytes, on_claim, c);
}

static void claim_large(struct claimant *c, uint64_t bytes, uint64_t carry)
{
    c->told = 0;
    part_pool_claim_large(pool, &c->claim, bytes, carry, on_claim, c);
}

static void test_tells_from_the_loop_only(void **state)
{
    (void)state;
    struct claimant a = {0};
    claim_small(&a, 10);
    assert_int_equal(a.told, 0);
    settle();
    assert_int_equal(a.told, 1);
    assert_true(a.granted);
    part_pool_release(pool, 10, SHARE_SMALL);
}

static void test_small_shares_take_half_at_most(void **state)
{
    (void)state;
    struct claimant a = {0}, b = {0}, c = {0};
    claim_small(&a, 30);
    claim_small(&b, 20);
    claim_small(&c, 1);
    settle();
    assert_true(a.told && b.told && !c.told);
    assert_false(part_pool_is_wanted(pool)); /* nobody but small ones could help */
    part_pool_release(pool, 20, SHARE_SMALL);
    settle();
    assert_true(c.told && c.granted);
    part_pool_release(pool, 31, SHARE_SMALL);
}

static void test_large_shares_leave_room_for_small_ones(void **state)
{
    (void)state;
    struct claimant a = {0}, b = {0}, c = {0};
    claim_large(&a, 50, 0);
    claim_large(&b, 50, 0);
    claim_small(&c, 10);
    settle();
    assert_true(a.told && !b.told && c.told); /* an eighth is for small ones */
    assert_false(part_pool_try(pool, 1));     /* b waits */
    part_pool_release(pool, 50, SHARE_LARGE);
    settle();
    assert_true(b.told);
    assert_true(part_pool_try(pool, 38)); /* 88 of 100 */
    assert_false(part_pool_try(pool, 1));
    part_pool_release(pool, 88, SHARE_LARGE);
    part_pool_release(pool, 10, SHARE_SMALL);
}

/* Everybody holds a small share and wants a large one: one after the other gets it. */
static void test_small_shares_that_grow_do_not_lock_up(void **state)
{
    (void)state;
    struct claimant all[10] = {0};
    for (int i = 0; i < 10; i++)
        claim_small(&all[i], 5);
    settle();
    for (int i = 0; i < 10; i++) {
        assert_true(all[i].granted);
        claim_large(&all[i], 45, 5);
    }
    for (int i = 0; i < 10; i++) {
        settle();
        assert_true(all[i].told && all[i].granted);
        part_pool_release(pool, 50, SHARE_LARGE);
    }
}

static void test_try_never_overtakes(void **state)
{
    (void)state;
    struct claimant a = {0};
    assert_true(part_pool_try(pool, 60));
    claim_large(&a, 50, 0);
    assert_true(part_pool_is_wanted(pool));
    assert_false(part_pool_try(pool, 1));
    part_pool_release(pool, 60, SHARE_LARGE);
    settle();
    assert_true(a.granted);
    part_pool_release(pool, 50, SHARE_LARGE);
}

static void test_cancel(void **state)
{
    (void)state;
    struct claimant a = {0}, b = {0}, c = {0};
    assert_true(part_pool_try(pool, 60));
    claim_large(&a, 50, 0);
    claim_large(&b, 20, 0);
    part_pool_cancel(&a.claim);
    settle();
    assert_true(a.told == 1 && !a.granted);
    assert_true(b.told && b.granted); /* it fitted once a was out of its way */
    part_pool_cancel(&b.claim);       /* idle: nothing comes */
    claim_small(&c, 30);
    part_pool_cancel(&c.claim); /* not enough was free */
    settle();
    assert_true(b.told == 1 && c.told == 1 && !c.granted);
    part_pool_release(pool, 80, SHARE_LARGE);
}

static void test_cancel_of_what_is_granted_already(void **state)
{
    (void)state;
    struct claimant a = {0};
    claim_small(&a, 50);
    part_pool_cancel(&a.claim);
    settle();
    assert_true(a.told == 1 && a.granted);
    part_pool_release(pool, 50, SHARE_SMALL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_tells_from_the_loop_only, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_small_shares_take_half_at_most, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_large_shares_leave_room_for_small_ones, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_small_shares_that_grow_do_not_lock_up, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_try_never_overtakes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cancel, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cancel_of_what_is_granted_already, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
