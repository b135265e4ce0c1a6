/* SPDX-License-Identifier: Apache-2.0
 *
 * One small thing for each of many: how many at a time, each told once, the end once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/mem.h"
#include "schedule/spread.h"

enum { THINGS_MAX = 100 };

struct rig {
    struct loop *loop;
    struct spread *spread;
    unsigned started[THINGS_MAX], told[THINGS_MAX];
    size_t begun, ended, most, stop_at;
    unsigned ends, seed;
};

/* Ends after a while; the odd ones badly. */
struct thing {
    struct loop_timer timer;
    struct spread_slot *slot;
    size_t index;
};

static void thing_ends(void *arg)
{
    struct thing *t = arg;
    struct err err = {.code = ERR_NETWORK};
    spread_done(t->slot, t->index % 2 ? &err : NULL);
    free(t);
}

static void start(void *arg, size_t index, struct spread_slot *slot)
{
    struct rig *r = arg;
    struct thing *t = xcalloc(1, sizeof(*t));
    t->slot = slot;
    t->index = index;
    assert_int_equal(index, r->begun++); /* in their order */
    r->started[index]++;
    if (r->begun - r->ended > r->most)
        r->most = r->begun - r->ended;
    loop_timer_start(r->loop, &t->timer, rand_r(&r->seed) % 3, thing_ends, t);
}

static void on_each(void *arg, size_t index, const struct err *err)
{
    struct rig *r = arg;
    assert_int_equal(r->ends, 0);
    assert_int_equal(err != NULL, index % 2);
    r->told[index]++;
    if (++r->ended == r->stop_at)
        spread_stop(r->spread);
}

static void on_end(void *arg)
{
    struct rig *r = arg;
    r->ends++;
    loop_stop(r->loop);
}

static void play(struct rig *r, size_t n, unsigned at_a_time, size_t stop_at)
{
    struct err err = {0};
    *r = (struct rig){.loop = loop_new(&err), .stop_at = stop_at, .seed = 1};
    struct spread_config config = {.n = n,
                                   .at_a_time = at_a_time,
                                   .start = start,
                                   .on_each = on_each,
                                   .on_end = on_end,
                                   .arg = r};
    r->spread = spread_start(r->loop, &config);
    assert_int_equal(r->begun, 0);
    loop_run(r->loop);
    struct loop_timer timer = {0};
    loop_timer_start(r->loop, &timer, 10, on_end, r);
    loop_run(r->loop);
    assert_int_equal(r->ends, 2); /* its own and the timer's */
    assert_int_equal(r->begun, r->ended);
    for (size_t i = 0; i < THINGS_MAX; i++)
        assert_true(r->started[i] == (i < r->begun) && r->told[i] == r->started[i]);
    spread_free(r->spread);
    loop_free(r->loop);
}

static void all_of_them(void **state)
{
    (void)state;
    static const unsigned widths[] = {1, 7, THINGS_MAX, 1000};
    for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); i++) {
        struct rig r;
        play(&r, THINGS_MAX, widths[i], 0);
        assert_int_equal(r.ended, THINGS_MAX);
        assert_int_equal(r.most, widths[i] < THINGS_MAX ? widths[i] : THINGS_MAX);
    }
}

static void none(void **state)
{
    (void)state;
    struct rig r;
    play(&r, 0, 4, 0);
    assert_int_equal(r.begun, 0);
    spread_free(NULL);
}

static void stopped(void **state)
{
    (void)state;
    for (size_t at = 1; at < THINGS_MAX; at += 7) {
        struct rig r;
        play(&r, THINGS_MAX, 5, at);
        assert_true(r.ended >= at && r.ended < at + 5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_them),
        cmocka_unit_test(none),
        cmocka_unit_test(stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
