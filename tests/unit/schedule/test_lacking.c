/* SPDX-License-Identifier: Apache-2.0
 *
 * Which jobs have no receipt, from one list of them all; and that nothing is said to be lacking
 * while that is not known.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/log.h"
#include "schedule/lacking.h"
#include "tests/unit/transfer/fake_ends.h"
#include "transfer/receipt.h"

enum { JOBS = 20 };

struct rig {
    struct loop *loop;
    struct fake_sink *sink;
    struct lacking *lacking;
    char names[JOBS][16], *ids[JOBS];
    unsigned ends;
};

static void init(struct rig *r, const struct fake_sink_config *config)
{
    struct err err = {0};
    memset(r, 0, sizeof(*r));
    r->loop = loop_new(&err);
    r->sink = fake_sink_new(r->loop, config, 1);
    for (unsigned i = 0; i < JOBS; i++) { /* in no order */
        snprintf(r->names[i], sizeof(r->names[i]), "job-%u", i * 7 % JOBS);
        r->ids[i] = r->names[i];
    }
}

static void on_end(void *arg)
{
    struct rig *r = arg;
    r->ends++;
    loop_stop(r->loop);
}

static void start(struct rig *r)
{
    const struct lacking_config config = {.loop = r->loop,
                                          .sink = fake_sink_base(r->sink),
                                          .source = "fake",
                                          .ids = r->ids,
                                          .n = JOBS,
                                          .on_end = on_end,
                                          .arg = r};
    r->lacking = lacking_start(&config);
    assert_int_equal(r->ends, 0);
}

static unsigned known(const struct rig *r)
{
    unsigned n = 0;
    for (unsigned i = 0; i < JOBS; i++)
        n += lacking_knows(r->lacking, r->ids[i]);
    return n;
}

static void end(struct rig *r)
{
    assert_int_equal(r->ends, 1);
    lacking_free(r->lacking);
    fake_sink_free(r->sink);
    loop_free(r->loop);
}

static void place(struct rig *r, const char *key)
{
    fake_sink_place(r->sink, key, "{}", "", "");
}

static void test_those_without(void **state)
{
    (void)state;
    struct rig r;
    init(&r, &(struct fake_sink_config){.part_min = 1});
    place(&r, ".egress/fake/job-3.json");
    place(&r, ".egress/fake/job-5.uploading");
    place(&r, ".egress/fake/job-6.uploading");
    place(&r, ".egress/fake/job-6.json");
    place(&r, ".egress/other/job-7.json");
    place(&r, ".egress/fake/job-8.json.old");
    place(&r, ".egress/fake/job-99.json");
    place(&r, "job-9/output.bin");
    start(&r);
    assert_int_equal(known(&r), 0); /* before it is there */
    loop_run(r.loop);
    assert_int_equal(known(&r), JOBS - 3);
    assert_false(lacking_knows(r.lacking, "job-3"));
    assert_false(lacking_knows(r.lacking, "job-5"));
    assert_false(lacking_knows(r.lacking, "job-6"));
    assert_true(lacking_knows(r.lacking, "job-7"));
    assert_true(lacking_knows(r.lacking, "job-8"));
    assert_false(lacking_knows(r.lacking, "job-20")); /* not one of the list */
    assert_int_equal(fake_sink_calls(r.sink, "list"), 1);
    assert_int_equal(fake_sink_calls(r.sink, "read"), 0);
    end(&r);
}

static void test_many_more_receipts_than_jobs(void **state)
{
    (void)state;
    for (unsigned over = 0; over < 2; over++) {
        struct rig r;
        init(&r, &(struct fake_sink_config){.part_min = 1});
        for (unsigned i = 0; i < LACKING_KEYS_PER_JOB * JOBS + over; i++) {
            char *key = receipt_key(
                "fake", (char[]){'x', (char)('a' + i / 26), (char)('a' + i % 26), '\0'});
            place(&r, key);
            free(key);
        }
        start(&r);
        loop_run(r.loop);
        assert_int_equal(known(&r), over ? 0 : JOBS);
        end(&r);
    }
}

static void test_no_list(void **state)
{
    (void)state;
    struct rig r;
    init(&r, &(struct fake_sink_config){.part_min = 1, .refused = "list"});
    start(&r);
    loop_run(r.loop);
    assert_int_equal(known(&r), 0);
    end(&r);
}

static void test_cancelled(void **state)
{
    (void)state;
    for (unsigned held = 0; held < 2; held++) {
        struct rig r;
        init(&r, &(struct fake_sink_config){.part_min = 1, .held = held ? "list" : NULL});
        start(&r);
        lacking_cancel(r.lacking);
        lacking_cancel(r.lacking);
        loop_run(r.loop);
        assert_int_equal(known(&r), 0);
        lacking_cancel(r.lacking);
        end(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_those_without),
        cmocka_unit_test(test_many_more_receipts_than_jobs),
        cmocka_unit_test(test_no_list),
        cmocka_unit_test(test_cancelled),
    };
    log_init(stderr, LOG_ERROR, LOG_HUMAN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
