/* SPDX-License-Identifier: Apache-2.0
 *
 * What is stored against its receipts: each verdict, hostile receipts, and cancelling at any
 * moment. The sink is one in memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/crc32c.h"
#include "core/log.h"
#include "tests/unit/transfer/fake_ends.h"
#include "transfer/receipt.h"
#include "transfer/verify.h"

enum { SEEN_MAX = 128 };

struct seen {
    char job[32], key[32], message[200];
    enum verify_status status;
    enum err_code code;
    bool compared;
    uint64_t size;
};

struct rig {
    struct loop *loop;
    struct fake_sink_config to;
    struct fake_sink *sink;
    struct verify *verify;
    struct seen seen[SEEN_MAX];
    unsigned n_seen, ends;
    struct err end_err;
    struct loop_task task; /* comes once in every turn of the loop */
    unsigned turn, cancel_turn;
};

static void init(struct rig *r)
{
    struct err err = {0};
    memset(r, 0, sizeof(*r));
    r->loop = loop_new(&err);
    r->to = (struct fake_sink_config){.keeps_identity = true, .part_min = 1};
    r->sink = fake_sink_new(r->loop, &r->to, 1);
    r->cancel_turn = UINT32_MAX;
}

static void end(struct rig *r)
{
    fake_sink_free(r->sink);
    loop_free(r->loop);
}

/* A receipt that says of each key that it holds `said`. */
static void place_receipt(struct rig *r, const char *job, const char *const *keys, size_t n,
                          const char *said, bool has_crc32c)
{
    struct receipt_output outputs[4];
    struct buf text = BUF_INIT(RECEIPT_BYTES_MAX);
    struct err err = {0};
    for (size_t i = 0; i < n; i++)
        outputs[i] = (struct receipt_output){.name = (char *)"",
                                             .key = (char *)(uintptr_t)keys[i],
                                             .size = strlen(said),
                                             .has_crc32c = has_crc32c,
                                             .crc32c = crc32c(0, said, strlen(said))};
    struct receipt receipt = {.source = (char *)"fake",
                              .n_outputs = n,
                              .outputs = outputs,
                              .stored_ms = 1579532982000,
                              .program = (char *)"egress test"};
    snprintf(receipt.job, sizeof(receipt.job), "%s", job);
    assert_int_equal(receipt_format(&receipt, &text, &err), 0);
    char *key = receipt_key("fake", job);
    fake_sink_place(r->sink, key, buf_str(&text), "", "");
    free(key);
    buf_release(&text);
}

static void place(struct rig *r, const char *job, const char *key, const char *said,
                  const char *stored)
{
    place_receipt(r, job, &key, 1, said, true);
    if (stored)
        fake_sink_place(r->sink, key, stored, "fake", job);
}

static void on_object(void *arg, const struct verify_result *result)
{
    struct rig *r = arg;
    assert_int_equal(r->ends, 0);
    assert_true(r->n_seen < SEEN_MAX);
    struct seen *s = &r->seen[r->n_seen++];
    snprintf(s->job, sizeof(s->job), "%s", result->job);
    snprintf(s->key, sizeof(s->key), "%s", result->key);
    snprintf(s->message, sizeof(s->message), "%s", result->message);
    s->status = result->status;
    s->code = result->err ? result->err->code : ERR_NONE;
    s->compared = result->compared;
    s->size = result->size;
    assert_int_equal(result->err != NULL, result->status == VERIFY_UNKNOWN);
    assert_int_equal(*result->message == '\0', result->status == VERIFY_OK);
}

static void on_end(void *arg, const struct err *err)
{
    struct rig *r = arg;
    r->ends++;
    if (err)
        r->end_err = *err;
}

static void on_turn(void *arg)
{
    struct rig *r = arg;
    if (r->turn++ == r->cancel_turn) {
        unsigned ends = r->ends;
        verify_cancel(r->verify);
        verify_cancel(r->verify);
        assert_int_equal(r->ends, ends); /* from the loop, not from here */
    }
    if (r->ends)
        loop_stop(r->loop);
    else
        loop_post(r->loop, &r->task, on_turn, r);
}

static void run(struct rig *r, bool quick, unsigned concurrency)
{
    struct verify_config config = {.sink = fake_sink_base(r->sink),
                                   .source = "fake",
                                   .concurrency = concurrency,
                                   .quick = quick,
                                   .on_object = on_object,
                                   .on_end = on_end,
                                   .arg = r};
    fake_sink_configure(r->sink, &r->to);
    r->n_seen = r->ends = r->turn = 0;
    loop_post(r->loop, &r->task, on_turn, r); /* turn 0 is before the verify's first */
    r->verify = verify_start(r->loop, &config);
    loop_run(r->loop);
    assert_int_equal(r->ends, 1);
    verify_free(r->verify);
}

static const struct seen *seen_of(const struct rig *r, const char *job)
{
    for (unsigned i = 0; i < r->n_seen; i++)
        if (strcmp(r->seen[i].job, job) == 0)
            return &r->seen[i];
    fail_msg("nothing was told of %s", job);
    return NULL;
}

static void expect(const struct rig *r, const char *job, enum verify_status status, const char *key)
{
    const struct seen *s = seen_of(r, job);
    if (s->status != status || strcmp(s->key, key) != 0)
        fail_msg("%s: status %d, key %s, %s", job, s->status, s->key, s->message);
}

static void test_nothing_is_stored(void **state)
{
    (void)state;
    struct rig r;
    init(&r);
    run(&r, false, 4);
    assert_int_equal(r.n_seen, 0);
    assert_int_equal(r.end_err.code, ERR_NONE);
    end(&r);
}

static void test_each_verdict(void **state)
{
    (void)state;
    for (unsigned quick = 0; quick < 2; quick++) {
        struct rig r;
        init(&r);
        place(&r, "job-ok", "k/ok", "these bytes", "these bytes");
        place(&r, "job-empty", "k/empty", "", "");
        place(&r, "job-missing", "k/missing", "these bytes", NULL);
        place(&r, "job-longer", "k/longer", "these bytes", "these bytes, and more");
        place(&r, "job-other", "k/other", "these bytes", "those bytes");
        const char *no_crc = "k/no-crc";
        place_receipt(&r, "job-no-crc", &no_crc, 1, "these bytes", false);
        fake_sink_place(r.sink, no_crc, "those bytes", "", "");
        run(&r, quick, 3);
        assert_int_equal(r.end_err.code, ERR_NONE);
        assert_int_equal(r.n_seen, 6);
        expect(&r, "job-ok", VERIFY_OK, "k/ok");
        expect(&r, "job-empty", VERIFY_OK, "k/empty");
        expect(&r, "job-missing", VERIFY_MISSING, "k/missing");
        expect(&r, "job-longer", VERIFY_DIFFERENT, "k/longer");
        expect(&r, "job-no-crc", VERIFY_OK, "k/no-crc"); /* the size is all there is to compare */
        /* This store keeps no checksum: only reading finds it. */
        expect(&r, "job-other", quick ? VERIFY_OK : VERIFY_DIFFERENT, "k/other");
        assert_int_equal(seen_of(&r, "job-ok")->compared, !quick);
        assert_int_equal(seen_of(&r, "job-ok")->size, 11);
        assert_int_equal(seen_of(&r, "job-longer")->size, 21);
        end(&r);
    }
}

static void test_receipts_that_are_none(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "{",
        "[]",
        "\xff",
        "{\"version\":2}",
        /* leads out of where objects are; or to a receipt */
        "{\"version\":1,\"state\":\"stored\",\"source\":\"fake\",\"job\":\"job-x\",\"outputs\":"
        "[{\"name\":\"\",\"key\":\"\",\"size\":1}],\"stored\":\"2020-01-20T15:09:42.000Z\","
        "\"program\":\"p\"}",
        "{\"version\":1,\"state\":\"stored\",\"source\":\"fake\",\"job\":\"job-x\",\"outputs\":"
        "[{\"name\":\"\",\"key\":\"k\",\"size\":-1}],\"stored\":\"2020-01-20T15:09:42.000Z\","
        "\"program\":\"p\"}",
        "{\"version\":1,\"state\":\"stored\",\"source\":\"fake\",\"job\":\"job-y\",\"outputs\":"
        "[{\"name\":\"\",\"key\":\"k\",\"size\":1}],\"stored\":\"2020-01-20T15:09:42.000Z\","
        "\"program\":\"p\"}",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct rig r;
        init(&r);
        fake_sink_place(r.sink, ".egress/fake/job-x.json", texts[i], "", "");
        place(&r, "job-ok", "k/ok", "these bytes", "these bytes");
        run(&r, false, 1);
        assert_int_equal(r.n_seen, 2);
        expect(&r, "job-x", VERIFY_UNKNOWN, "");
        assert_int_equal(seen_of(&r, "job-x")->code, ERR_INPUT);
        expect(&r, "job-ok", VERIFY_OK, "k/ok");
        end(&r);
    }
}

static void test_what_is_no_receipt_is_left_alone(void **state)
{
    (void)state;
    static const char *const keys[] = {".egress/fake/readme.txt", ".egress/fake/.json",
                                       ".egress/fake/sub/job-1.json", ".egress/other/job-1.json",
                                       "job-1.json"};
    struct rig r;
    init(&r);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        fake_sink_place(r.sink, keys[i], "{", "", "");
    run(&r, false, 4);
    assert_int_equal(r.n_seen, 0);
    assert_int_equal(r.end_err.code, ERR_NONE);
    end(&r);
}

static void test_several_outputs(void **state)
{
    (void)state;
    static const char *const keys[] = {"k/0", "k/1", "k/2"};
    struct rig r;
    init(&r);
    place_receipt(&r, "job-1", keys, 3, "these bytes", true);
    fake_sink_place(r.sink, "k/0", "these bytes", "", "");
    fake_sink_place(r.sink, "k/2", "these", "", "");
    run(&r, false, 2);
    assert_int_equal(r.n_seen, 3);
    for (unsigned i = 0; i < 3; i++)
        assert_string_equal(r.seen[i].key, keys[i]);
    assert_int_equal(r.seen[0].status, VERIFY_OK);
    assert_int_equal(r.seen[1].status, VERIFY_MISSING);
    assert_int_equal(r.seen[2].status, VERIFY_DIFFERENT);
    end(&r);
}

static void test_many_receipts_are_each_told_once(void **state)
{
    (void)state;
    static const unsigned concurrencies[] = {1, 7, 100};
    for (unsigned c = 0; c < 3; c++) {
        struct rig r;
        init(&r);
        r.to.late_percent = 50;
        for (unsigned i = 0; i < 60; i++) {
            char job[16], key[16];
            snprintf(job, sizeof(job), "job-%u", i);
            snprintf(key, sizeof(key), "k/%u", i);
            place(&r, job, key, "these bytes", "these bytes");
        }
        run(&r, false, concurrencies[c]);
        assert_int_equal(r.n_seen, 60);
        for (unsigned i = 0; i < 60; i++)
            assert_int_equal(r.seen[i].status, VERIFY_OK);
        assert_int_equal(fake_sink_calls(r.sink, "read"), 120);
        end(&r);
    }
}

static void test_a_store_that_refuses(void **state)
{
    (void)state;
    struct rig r;
    init(&r);
    place(&r, "job-1", "k/1", "these bytes", "these bytes");
    r.to.refused = "list";
    run(&r, false, 2);
    assert_int_equal(r.end_err.code, ERR_AUTH);
    assert_int_equal(r.n_seen, 0);
    r.to.refused = "read";
    r.end_err = (struct err){0};
    run(&r, false, 2);
    assert_int_equal(r.end_err.code, ERR_NONE); /* told for the one receipt */
    expect(&r, "job-1", VERIFY_UNKNOWN, "");
    r.to.refused = "stat";
    run(&r, true, 2);
    expect(&r, "job-1", VERIFY_UNKNOWN, "k/1");
    assert_int_equal(seen_of(&r, "job-1")->code, ERR_AUTH);
    end(&r);
}

/* At every turn of the loop there is. */
static void test_cancelled_at_any_moment(void **state)
{
    (void)state;
    unsigned cut_short = 0, turns = 1;
    for (unsigned turn = 0; turn < turns; turn++) {
        struct rig r;
        init(&r);
        for (unsigned i = 0; i < 5; i++) {
            char job[16], key[16];
            snprintf(job, sizeof(job), "job-%u", i);
            snprintf(key, sizeof(key), "k/%u", i);
            place(&r, job, key, "these bytes", "these bytes");
        }
        r.cancel_turn = turn;
        run(&r, turn % 2, 2);
        if (turn + 1 < r.turn)
            turns = turn + 2;
        if (turn == 0)
            assert_int_equal(fake_sink_calls(r.sink, "list"), 0);
        for (unsigned i = 0; i < r.n_seen; i++)
            assert_int_equal(r.seen[i].status, VERIFY_OK);
        if (r.n_seen < 5) {
            assert_int_equal(r.end_err.code, ERR_CANCELLED);
            cut_short++;
        }
        end(&r);
    }
    assert_true(cut_short >= 5);
}

static void test_cancelled_while_the_sink_does_not_answer(void **state)
{
    (void)state;
    static const char *const operations[] = {"list", "read", "stat"};
    for (unsigned i = 0; i < 3; i++) {
        struct rig r;
        init(&r);
        place(&r, "job-1", "k/1", "these bytes", "these bytes");
        r.to.held = operations[i];
        r.cancel_turn = 50;
        run(&r, true, 2);
        assert_int_equal(r.end_err.code, ERR_CANCELLED);
        assert_int_equal(r.n_seen, 0);
        end(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_stored),
        cmocka_unit_test(test_each_verdict),
        cmocka_unit_test(test_receipts_that_are_none),
        cmocka_unit_test(test_what_is_no_receipt_is_left_alone),
        cmocka_unit_test(test_several_outputs),
        cmocka_unit_test(test_many_receipts_are_each_told_once),
        cmocka_unit_test(test_a_store_that_refuses),
        cmocka_unit_test(test_cancelled_at_any_moment),
        cmocka_unit_test(test_cancelled_while_the_sink_does_not_answer),
    };
    log_init(stderr, LOG_ERROR, LOG_HUMAN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
