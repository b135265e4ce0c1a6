/* SPDX-License-Identifier: Apache-2.0
 *
 * What is missing: what is left out, how receipts and markers are read, in what order it comes, and
 * that the end comes once, however it comes about.
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
#include "core/log.h"
#include "core/mem.h"
#include "schedule/sync.h"
#include "tests/unit/transfer/fake_ends.h"
#include "transfer/receipt.h"

enum { JOBS_MAX = 32 };

struct rig {
    struct loop *loop;
    struct fake_source_config from;
    struct fake_sink_config to;
    struct fake_source *source;
    struct fake_sink *sink;
    struct sync *sync;
    bool tell_under_way;
    struct source_job jobs[JOBS_MAX];
    size_t n;
    struct buf missing;
    struct sync_counts counts;
    struct err err;
    unsigned ends;
};

static void init(struct rig *r)
{
    struct err err = {0};
    *r = (struct rig){.missing = BUF_INIT(64 * 1024)};
    r->loop = loop_new(&err);
    r->to = (struct fake_sink_config){.late_percent = 30, .part_min = 5 << 20};
    r->sink = fake_sink_new(r->loop, &r->to, 2);
}

static void add(struct rig *r, const char *id, int64_t expires_ms)
{
    struct source_job *job = &r->jobs[r->n++];
    *job = (struct source_job){.state = JOB_COMPLETE, .expires_ms = expires_ms};
    snprintf(job->id, sizeof(job->id), "%s", id);
}

static void put_marker(struct rig *r, const char *id)
{
    char *key = receipt_marker_key("fake", id);
    fake_sink_place(r->sink, key, "", "", "");
    free(key);
}

static void put_receipt(struct rig *r, const char *id, const char *text)
{
    char *key = receipt_key("fake", id);
    fake_sink_place(r->sink, key, text, "", "");
    free(key);
}

/* As a run leaves it that has stored the job, or that was killed in mid-upload; written_ms: of the
 * latter, when it last wrote it, or 0. */
static void put_receipt_of(struct rig *r, const char *id, enum receipt_state state,
                           int64_t written_ms)
{
    struct err err = {0};
    struct buf text = BUF_INIT(RECEIPT_BYTES_MAX);
    struct receipt_upload upload = {.key = xstrdup("k"),
                                    .id = xstrdup("u"),
                                    .attempt = xstrdup("0123456789abcdef0123456789abcdef"),
                                    .validator = xstrdup("\"v\""),
                                    .started_ms = 1579533001250,
                                    .written_ms = written_ms};
    struct sink_limits limits = {.part_min = 5 << 20, .part_max = 1 << 30, .parts_max = 10000};
    assert_int_equal(plan_layout_for(100 << 20, &limits, 64 << 20, &upload.layout, &err), 0);
    struct receipt receipt = {.state = state,
                              .source = xstrdup("fake"),
                              .stored_ms = 1579533001250,
                              .program = xstrdup("egress test")};
    snprintf(receipt.job, sizeof(receipt.job), "%s", id);
    if (state == RECEIPT_UPLOADING) {
        receipt.upload = xcalloc(1, sizeof(upload));
        *receipt.upload = upload;
    } else {
        receipt_upload_release(&upload);
        receipt.n_outputs = 1;
        receipt.outputs = xcalloc(1, sizeof(receipt.outputs[0]));
        receipt.outputs[0] = (struct receipt_output){.name = xstrdup("n"), .key = xstrdup("k")};
    }
    assert_int_equal(receipt_format(&receipt, &text, &err), 0);
    struct receipt back = {0};
    assert_int_equal(receipt_parse(buf_str(&text), text.len, "fake", id, &back, &err), 0);
    put_receipt(r, id, buf_str(&text));
    receipt_release(&back);
    receipt_release(&receipt);
    buf_release(&text);
}

static void put_receipt_in(struct rig *r, const char *id, enum receipt_state state)
{
    put_receipt_of(r, id, state, 0);
}

static void on_end(void *arg, const struct err *err)
{
    struct rig *r = arg;
    r->ends++;
    if (err)
        r->err = *err;
    loop_stop(r->loop);
}

static void start(struct rig *r, int64_t since_ms, bool receipts)
{
    r->from.listed = r->jobs;
    r->from.n_listed = r->n;
    fake_sink_configure(r->sink, &r->to);
    r->source = fake_source_new(r->loop, &r->from, 1);
    struct sync_config config = {.source = fake_source_base(r->source),
                                 .sink = receipts ? fake_sink_base(r->sink) : NULL,
                                 .since_ms = since_ms,
                                 .tell_under_way = r->tell_under_way,
                                 .on_end = on_end,
                                 .arg = r};
    r->sync = sync_start(r->loop, &config);
    assert_int_equal(r->ends, 0);
}

static void stop(void *arg)
{
    loop_stop(arg);
}

/* Runs to the end, and then on, in case a second one comes. */
static void finish(struct rig *r)
{
    struct loop_timer timer = {0};
    size_t n;
    loop_run(r->loop);
    assert_int_equal(r->ends, 1);
    loop_timer_start(r->loop, &timer, 10, stop, r->loop);
    loop_run(r->loop);
    assert_int_equal(r->ends, 1);
    sync_counts(r->sync, &r->counts);
    const struct sync_job *missing = sync_missing(r->sync, &n);
    for (size_t i = 0; i < n && r->err.code == ERR_NONE; i++)
        buf_printf(&r->missing, "%s ", missing[i].id);
    sync_free(r->sync);
}

static void end(struct rig *r)
{
    buf_release(&r->missing);
    fake_source_free(r->source);
    fake_sink_free(r->sink);
    loop_free(r->loop);
}

static void soonest_to_expire_first(void **state)
{
    (void)state;
    struct rig r;
    init(&r);
    add(&r, "unknown-2", 0);
    add(&r, "last", 9000);
    add(&r, "tie-b", 500);
    add(&r, "first", -5); /* before 1970, but known */
    add(&r, "unknown-1", 0);
    add(&r, "tie-a", 500);
    start(&r, 0, true);
    finish(&r);
    assert_string_equal(buf_str(&r.missing), "first tie-a tie-b last unknown-1 unknown-2 ");
    end(&r);
}

static void what_has_a_receipt(void **state)
{
    (void)state;
    struct rig r;
    init(&r);
    add(&r, "stored", 1);
    add(&r, "not", 2);
    add(&r, "stored-too", 3);
    add(&r, "not-too", 4);
    put_receipt(&r, "stored", "is not read");
    put_receipt(&r, "stored-too", "is not read");
    put_receipt(&r, "another", "of a job that has gone");
    fake_sink_place(r.sink, ".egress/fake/not.json.bak", "", "", "");
    fake_sink_place(r.sink, ".egress/fake/x/not.json", "", "", "");
    fake_sink_place(r.sink, ".egress/other/not.json", "", "", "");
    fake_sink_place(r.sink, "not/labels.json", "", "", "");
    start(&r, 0, true);
    finish(&r);
    assert_string_equal(buf_str(&r.missing), "not not-too ");
    assert_int_equal(r.counts.listed, 4);
    assert_int_equal(r.counts.stored, 2);
    assert_int_equal(r.counts.missing, 2);
    assert_int_equal(fake_sink_calls(r.sink, "list"), 1);
    assert_int_equal(fake_sink_calls(r.sink, "read"), 0);
    end(&r);
}

static void what_is_left_out(void **state)
{
    (void)state;
    struct rig r;
    init(&r);
    add(&r, "failed", 1);
    r.jobs[0].state = JOB_FAILED;
    add(&r, "expired", 2);
    r.jobs[1].expired = true;
    add(&r, "older", 3);
    r.jobs[2].completed_ms = 999;
    add(&r, "as-old", 4);
    r.jobs[3].completed_ms = 1000;
    add(&r, "who-knows", 5);
    start(&r, 1000, true);
    finish(&r);
    assert_string_equal(buf_str(&r.missing), "as-old who-knows ");
    assert_int_equal(r.counts.listed, 5);
    assert_true(r.counts.failed == 1 && r.counts.expired == 1 && r.counts.older == 1);
    end(&r);
}

static void what_comes_twice(void **state)
{
    (void)state;
    struct rig r;
    init(&r);
    for (int i = 0; i < 3; i++) {
        add(&r, "b", 2);
        add(&r, "a", 1);
        add(&r, "stored", 1);
        add(&r, "failed", 1);
        r.jobs[r.n - 1].state = JOB_FAILED;
        add(&r, "expired", 1);
        r.jobs[r.n - 1].expired = true;
    }
    put_receipt(&r, "stored", "");
    start(&r, 0, true);
    finish(&r);
    assert_string_equal(buf_str(&r.missing), "a b ");
    assert_true(r.counts.listed == 5 && r.counts.stored == 1 && r.counts.missing == 2);
    assert_true(r.counts.failed == 1 && r.counts.expired == 1);
    end(&r);
}

static void what_lies_beside_a_marker_is_read(void **state)
{
    (void)state;
    struct rig r;
    init(&r);
    static const char *const ids[] = {"killed", "stored", "tampered", "marker-only", "plain"};
    for (int i = 0; i < 5; i++)
        add(&r, ids[i], i + 1);
    for (int i = 0; i < 4; i++)
        put_marker(&r, ids[i]);
    put_receipt_in(&r, "killed", RECEIPT_UPLOADING);
    put_receipt_in(&r, "stored", RECEIPT_STORED);
    put_receipt(&r, "tampered", "{\"state\":\"stored\"}");
    put_receipt_in(&r, "plain", RECEIPT_STORED);
    start(&r, 0, true);
    finish(&r);
    assert_string_equal(buf_str(&r.missing), "killed tampered marker-only ");
    assert_int_equal(fake_sink_calls(r.sink, "read"), 3);
    end(&r);
}

/* Behind the others, whenever they expire; only if that was asked for. */
static void what_is_under_way_is_told_apart(void **state)
{
    (void)state;
    static const char *const ids[] = {"running", "killed", "of-an-older-version", "ahead", "new"};
    for (int told = 0; told < 2; told++) {
        struct rig r;
        init(&r);
        int64_t now_ms = clock_wall_ms();
        const int64_t written_ms[] = {now_ms - 14 * 60 * 1000, now_ms - 16 * 60 * 1000, 0,
                                      now_ms + 24 * 3600 * 1000};
        for (int i = 0; i < 5; i++)
            add(&r, ids[i], i + 1);
        for (int i = 0; i < 4; i++) {
            put_marker(&r, ids[i]);
            put_receipt_of(&r, ids[i], RECEIPT_UPLOADING, written_ms[i]);
        }
        r.tell_under_way = told;
        start(&r, 0, true);
        finish(&r);
        assert_string_equal(buf_str(&r.missing),
                            told ? "killed of-an-older-version ahead new running "
                                 : "running killed of-an-older-version ahead "
                                   "new ");
        assert_true(r.counts.missing == 5 && r.counts.under_way == (size_t)told);
        end(&r);
    }
}

static void without_receipts(void **state)
{
    (void)state;
    struct rig r;
    init(&r);
    add(&r, "a", 1);
    put_receipt(&r, "a", "");
    start(&r, 0, false);
    finish(&r);
    assert_string_equal(buf_str(&r.missing), "a ");
    assert_int_equal(fake_sink_calls(r.sink, "list"), 0);
    end(&r);
}

static void nothing_to_compare(void **state)
{
    (void)state;
    struct rig r;
    init(&r);
    start(&r, 0, true);
    finish(&r);
    assert_int_equal(r.err.code, ERR_NONE);
    assert_int_equal(fake_sink_calls(r.sink, "list"), 0);
    end(&r);
}

static void what_is_not_known_is_an_error(void **state)
{
    (void)state;
    static const char *const refused[] = {"list", "read", NULL};
    for (int i = 0; i < 3; i++) {
        struct rig r;
        init(&r);
        for (int k = 0; k < JOBS_MAX; k++) {
            char id[16];
            snprintf(id, sizeof(id), "job-%d", k);
            add(&r, id, k);
            put_marker(&r, id);
            put_receipt_in(&r, id, RECEIPT_STORED);
        }
        r.to.refused = refused[i];
        if (!refused[i])
            r.from.list_err.code = ERR_AUTH;
        start(&r, 0, true);
        finish(&r);
        assert_int_equal(r.err.code, ERR_AUTH);
        end(&r);
    }
}

static void cancel_now(void *arg)
{
    struct rig *r = arg;
    if (r->ends == 0)
        sync_cancel(r->sync);
    if (r->ends == 0)
        sync_cancel(r->sync);
}

/* Held where it cannot end by itself. */
static void cancelled(void **state)
{
    (void)state;
    for (int where = 0; where < 4; where++) {
        struct rig r;
        struct loop_timer timer = {0};
        init(&r);
        for (int k = 0; k < JOBS_MAX; k++) {
            char id[16];
            snprintf(id, sizeof(id), "job-%d", k);
            add(&r, id, k);
            put_marker(&r, id);
            put_receipt_in(&r, id, RECEIPT_STORED);
        }
        r.from.list_held = where == 1;
        r.to.held = where == 2 ? "list" : where == 3 ? "read" : NULL;
        start(&r, 0, true);
        if (where == 0)
            cancel_now(&r);
        else
            loop_timer_start(r.loop, &timer, 20, cancel_now, &r);
        finish(&r);
        assert_int_equal(r.err.code, ERR_CANCELLED);
        end(&r);
    }
}

static void cancelled_at_some_time(void **state)
{
    (void)state;
    for (int64_t ms = 0; ms < 12; ms++) {
        struct rig r;
        struct loop_timer timer = {0};
        init(&r);
        for (int k = 0; k < JOBS_MAX; k++) {
            char id[16];
            snprintf(id, sizeof(id), "job-%d", k);
            add(&r, id, k);
            put_marker(&r, id);
            put_receipt_in(&r, id, RECEIPT_UPLOADING);
        }
        start(&r, 0, true);
        loop_timer_start(r.loop, &timer, ms, cancel_now, &r);
        finish(&r);
        loop_timer_stop(r.loop, &timer);
        assert_true(r.err.code == ERR_CANCELLED || r.counts.missing == JOBS_MAX);
        end(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(soonest_to_expire_first),
        cmocka_unit_test(what_has_a_receipt),
        cmocka_unit_test(what_is_left_out),
        cmocka_unit_test(what_comes_twice),
        cmocka_unit_test(what_lies_beside_a_marker_is_read),
        cmocka_unit_test(what_is_under_way_is_told_apart),
        cmocka_unit_test(without_receipts),
        cmocka_unit_test(nothing_to_compare),
        cmocka_unit_test(what_is_not_known_is_an_error),
        cmocka_unit_test(cancelled),
        cmocka_unit_test(cancelled_at_some_time),
    };
    log_init(stderr, LOG_ERROR, LOG_HUMAN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
