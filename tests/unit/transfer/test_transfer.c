/* SPDX-License-Identifier: Apache-2.0
 *
 * One job from its id to its receipt, between a source and a sink in memory: what each outcome
 * costs and leaves behind, and that it can be cancelled at any moment.
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
#include "core/crc32c.h"
#include "core/log.h"
#include "tests/unit/transfer/fake_ends.h"
#include "transfer/key.h"
#include "transfer/transfer.h"

#define MIB     (1024 * UINT64_C(1024))
#define RECEIPT ".egress/fake/job-0.json"
#define MARKER  ".egress/fake/job-0.uploading"
enum { JOBS_MAX = 8 };
/* A run that is long enough for a part and not for all: slower where all is slower. */
#ifdef __SANITIZE_THREAD__
enum { RUN_MS = 5000 };
#else
enum { RUN_MS = 2000 };
#endif
enum { SMALL = 60 * 1000, LARGE = 9 * 1024 * 1024 }; /* one put; two parts */

struct rig;

struct one {
    struct rig *rig;
    char id[16];
    struct transfer *transfer; /* NULL: not under way */
    unsigned ends;
    enum transfer_outcome outcome;
    struct err err;
    uint64_t bytes, resumed;
    char key[64]; /* of the receipt's first output */
    size_t outputs;
};

struct rig {
    struct loop *loop;
    struct fake_source_config from;
    struct fake_sink_config to;
    struct engine_config config;
    struct fake_source *source;
    struct fake_sink *sink;
    struct engine *engine;
    struct one jobs[JOBS_MAX];
    unsigned running, moving_most;
    bool inside_cancel;
    struct loop_task task; /* comes once in every turn of the loop */
    unsigned turn, cancel_turn;
    bool hand_over; /* instead of cancelling */
    bool tried_before;
    int64_t run_ms; /* deadline of a run; 0: none */
};

static void init(struct rig *r)
{
    struct err err = {0};
    memset(r, 0, sizeof(*r));
    r->loop = loop_new(&err);
    r->from = (struct fake_source_config){.size = SMALL,
                                          .tells_size = true,
                                          .ranges = true,
                                          .validator = "\"e1\"",
                                          .cut_at = -1,
                                          .state = JOB_COMPLETE};
    r->to = (struct fake_sink_config){.keeps_identity = true, .part_min = 5 * MIB};
    r->config = (struct engine_config){.loop = r->loop,
                                       .key_template = "{job_id}/{filename}",
                                       .program = "egress test",
                                       .memory = 32 * MIB,
                                       .concurrency = 4,
                                       .receipts = true};
}

/* Makes the source anew and the engine; the sink stays. */
static void restart(struct rig *r)
{
    engine_free(r->engine);
    fake_source_free(r->source);
    if (!r->sink)
        r->sink = fake_sink_new(r->loop, &r->to, 2);
    fake_sink_configure(r->sink, &r->to);
    r->source = fake_source_new(r->loop, &r->from, 1);
    r->config.source = fake_source_base(r->source);
    r->config.sink = fake_sink_base(r->sink);
    r->engine = engine_new(&r->config);
}

static void end(struct rig *r)
{
    assert_int_equal(fake_sink_uploads_open(r->sink), 0);
    engine_free(r->engine);
    fake_source_free(r->source);
    fake_sink_free(r->sink);
    loop_free(r->loop);
}

static void on_done(void *arg, const struct transfer_result *result)
{
    struct one *o = arg;
    assert_false(o->rig->inside_cancel);
    assert_string_equal(result->job, o->id);
    o->transfer = NULL;
    o->ends++;
    o->outcome = result->outcome;
    o->err = result->err;
    o->bytes = result->bytes;
    o->resumed = result->resumed;
    assert_int_equal(result->receipt == NULL,
                     result->outcome == TRANSFER_FAILED || result->outcome == TRANSFER_HANDED_OVER);
    if (result->receipt) {
        o->outputs = result->receipt->n_outputs;
        snprintf(o->key, sizeof(o->key), "%s", result->receipt->outputs[0].key);
    }
    o->rig->running--;
}

static void on_turn(void *arg)
{
    struct rig *r = arg;
    unsigned moving = 0;
    if (r->running == 0) {
        loop_stop(r->loop);
        return;
    }
    r->inside_cancel = true;
    for (unsigned i = 0; i < JOBS_MAX; i++) {
        struct transfer_progress p;
        if (!r->jobs[i].transfer)
            continue;
        transfer_progress(r->jobs[i].transfer, &p);
        moving += p.moving;
        if (r->turn == r->cancel_turn && r->hand_over) {
            transfer_hand_over(r->jobs[i].transfer);
            transfer_hand_over(r->jobs[i].transfer);
        } else if (r->turn == r->cancel_turn) {
            transfer_cancel(r->jobs[i].transfer);
            transfer_cancel(r->jobs[i].transfer); /* twice is once */
        }
    }
    r->inside_cancel = false;
    if (moving > r->moving_most)
        r->moving_most = moving;
    r->turn++;
    loop_post(r->loop, &r->task, on_turn, r);
}

/* Runs jobs 0 to n-1 together; cancel_turn: of the loop, UINT_MAX: none. */
static void go(struct rig *r, unsigned n, unsigned cancel_turn)
{
    restart(r);
    r->running = n;
    r->turn = 0;
    r->cancel_turn = cancel_turn;
    for (unsigned i = 0; i < n; i++) {
        struct one *o = &r->jobs[i];
        *o = (struct one){.rig = r};
        snprintf(o->id, sizeof(o->id), "job-%u", i);
        o->transfer = transfer_start(r->engine, o->id, on_done, o);
        if (r->tried_before)
            transfer_tried_before(o->transfer);
        assert_int_equal(o->ends, 0);
    }
    loop_post(r->loop, &r->task, on_turn, r);
    engine_set_deadline(r->engine, r->run_ms ? clock_mono_ms() + r->run_ms : 0);
    loop_run(r->loop);
    engine_set_deadline(r->engine, 0);
    r->cancel_turn = UINT32_MAX;
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(r->jobs[i].ends, 1);
    restart(r); /* whatever was still posted for the old ones is gone or is told */
}

static void run(struct rig *r)
{
    go(r, 1, UINT32_MAX);
}

static void expect_failed(const struct rig *r, enum err_code code)
{
    const struct one *o = &r->jobs[0];
    if (o->outcome != TRANSFER_FAILED || o->err.code != code)
        fail_msg("outcome %d, %s: %s; expected %s", o->outcome, err_name(o->err.code), o->err.msg,
                 err_name(code));
}

static void expect_object(struct rig *r, const char *key, uint64_t size)
{
    size_t len;
    const char *data = fake_sink_object(r->sink, key, &len);
    assert_non_null(data);
    assert_int_equal(len, size);
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)data[i] != fake_byte(0, i))
            fail_msg("byte %zu of %zu is wrong", i, len);
}

/* But for the marker, which stays. */
static void expect_nothing(struct rig *r)
{
    size_t len;
    unsigned markers = 0;
    for (unsigned i = 0; i < JOBS_MAX; i++) {
        char key[64];
        snprintf(key, sizeof(key), ".egress/fake/job-%u.uploading", i);
        markers += fake_sink_object(r->sink, key, &len) != NULL;
    }
    assert_int_equal(fake_sink_objects(r->sink), markers);
    assert_int_equal(fake_sink_uploads_open(r->sink), 0);
}

static void expect_receipt(struct rig *r)
{
    size_t len;
    struct err err = {0};
    struct receipt receipt;
    const char *text = fake_sink_object(r->sink, RECEIPT, &len);
    assert_non_null(text);
    if (receipt_parse(text, len, "fake", "job-0", &receipt, &err) < 0)
        fail_msg("%s", err.msg);
    for (size_t i = 0; i < receipt.n_outputs; i++) {
        const struct receipt_output *o = &receipt.outputs[i];
        size_t object_len;
        const char *object = fake_sink_object(r->sink, o->key, &object_len);
        assert_non_null(object);
        assert_int_equal(o->size, object_len);
        if (o->has_crc32c)
            assert_int_equal(o->crc32c, crc32c(0, object, object_len));
    }
    assert_string_equal(receipt.program, "egress test");
    receipt_release(&receipt);
}

static void test_stored_once_and_recognised_for_one_request(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {0, SMALL, LARGE};
    for (unsigned i = 0; i < 3; i++) {
        struct rig r;
        init(&r);
        r.from.size = sizes[i];
        run(&r);
        assert_int_equal(r.jobs[0].outcome, TRANSFER_STORED);
        assert_int_equal(r.jobs[0].bytes, sizes[i]);
        assert_string_equal(r.jobs[0].key, "job-0/labels-0.json");
        expect_object(&r, "job-0/labels-0.json", sizes[i]);
        expect_receipt(&r);
        assert_int_equal(fake_sink_calls(r.sink, "read"), 1);
        unsigned puts = fake_sink_calls(r.sink, "put"), stats = fake_sink_calls(r.sink, "stat");
        run(&r);
        assert_int_equal(r.jobs[0].outcome, TRANSFER_ALREADY);
        assert_int_equal(r.jobs[0].bytes, 0);
        assert_string_equal(r.jobs[0].key, "job-0/labels-0.json");
        assert_int_equal(fake_sink_calls(r.sink, "read"), 2);
        assert_int_equal(fake_sink_calls(r.sink, "put"), puts);
        assert_int_equal(fake_sink_calls(r.sink, "stat"), stats);
        assert_int_equal(fake_source_described(r.source), 0);
        assert_int_equal(fake_source_streams(r.source), 0);
        end(&r);
    }
}

/* What a stranger has written where the receipt belongs says nothing, whatever it is. */
static void test_a_receipt_that_is_none(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "null",
        "[]",
        "{",
        "\xff\xfe",
        "{\"version\":1}",
        "{\"version\":1,\"state\":\"uploading\",\"source\":\"fake\",\"job\":\"job-0\"}",
        /* another job's, in its place */
        "{\"version\":1,\"state\":\"stored\",\"source\":\"fake\",\"job\":\"job-1\",\"outputs\":"
        "[{\"name\":\"\",\"key\":\"k\",\"size\":1}],\"stored\":\"2020-01-20T15:09:42.000Z\","
        "\"program\":\"p\"}",
        /* one good output, one whose key is a receipt's */
        "{\"version\":1,\"state\":\"stored\",\"source\":\"fake\",\"job\":\"job-0\",\"outputs\":"
        "[{\"name\":\"\",\"key\":\"k\",\"size\":1},{\"name\":\"\",\"key\":\".egress/"
        "x\",\"size\":1}],"
        "\"stored\":\"2020-01-20T15:09:42.000Z\",\"program\":\"p\"}",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct rig r;
        init(&r);
        restart(&r);
        fake_sink_place(r.sink, RECEIPT, texts[i], "", "");
        run(&r);
        if (r.jobs[0].outcome != TRANSFER_STORED)
            fail_msg("%s: %s", texts[i], r.jobs[0].err.msg);
        assert_int_equal(r.jobs[0].outputs, 1);
        expect_object(&r, "job-0/labels-0.json", SMALL);
        expect_receipt(&r);
        end(&r);
    }
}

static void test_a_receipt_too_large_is_none(void **state)
{
    (void)state;
    struct rig r;
    char *text = malloc(RECEIPT_BYTES_MAX + 2);
    assert_non_null(text);
    memset(text, ' ', RECEIPT_BYTES_MAX + 1);
    text[RECEIPT_BYTES_MAX + 1] = '\0';
    init(&r);
    restart(&r);
    fake_sink_place(r.sink, RECEIPT, text, "", "");
    free(text);
    run(&r);
    assert_int_equal(r.jobs[0].outcome, TRANSFER_STORED);
    expect_receipt(&r);
    end(&r);
}

/* The store that cannot be read must not be taken for an empty one. */
static void test_a_receipt_that_cannot_be_read(void **state)
{
    (void)state;
    struct rig r;
    init(&r);
    r.to.refused = "read";
    run(&r);
    expect_failed(&r, ERR_AUTH);
    assert_int_equal(fake_source_described(r.source), 0);
    assert_int_equal(fake_sink_objects(r.sink), 0);
    end(&r);
}

static void test_each_state_of_a_job(void **state)
{
    (void)state;
    static const struct {
        enum job_state state;
        bool expired;
        int outputs;
        enum err_code describe, expected;
    } cases[] = {
        {JOB_UNDERWAY, false, 0, ERR_NONE, ERR_JOB_PENDING},
        {JOB_FAILED, false, 0, ERR_NONE, ERR_JOB_FAILED},
        {JOB_FAILED, true, 0, ERR_NONE, ERR_JOB_FAILED},
        {JOB_COMPLETE, true, 0, ERR_NONE, ERR_JOB_EXPIRED},
        {JOB_COMPLETE, false, -1, ERR_NONE, ERR_JOB_NO_OUTPUT},
        {JOB_COMPLETE, false, 0, ERR_JOB_UNKNOWN, ERR_JOB_UNKNOWN},
        {JOB_COMPLETE, false, 0, ERR_AUTH, ERR_AUTH},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rig r;
        init(&r);
        r.from.state = cases[i].state;
        r.from.expired = cases[i].expired;
        r.from.outputs = cases[i].outputs;
        r.from.describe_err.code = cases[i].describe;
        run(&r);
        expect_failed(&r, cases[i].expected);
        assert_int_equal(fake_source_streams(r.source), 0);
        assert_int_equal(fake_sink_objects(r.sink), 0);
        end(&r);
    }
}

static void test_the_key_is_another_jobs(void **state)
{
    (void)state;
    for (unsigned force = 0; force < 2; force++) {
        struct rig r;
        size_t len;
        init(&r);
        r.config.force = force;
        restart(&r);
        fake_sink_place(r.sink, "job-0/labels-0.json", "theirs", "fake", "job-7");
        run(&r);
        expect_failed(&r, ERR_CONFLICT);
        assert_string_equal(fake_sink_object(r.sink, "job-0/labels-0.json", &len), "theirs");
        assert_null(fake_sink_object(r.sink, RECEIPT, &len));
        end(&r);
    }
}

/* A crash between the object and its receipt: the next run finds the one and writes the other. */
static void test_stored_but_the_receipt_failed(void **state)
{
    (void)state;
    struct rig r;
    size_t len;
    init(&r);
    r.from.size = LARGE;
    r.to.refused = "put"; /* the object goes in parts */
    run(&r);
    expect_failed(&r, ERR_AUTH);
    assert_non_null(strstr(r.jobs[0].err.msg, "receipt"));
    expect_object(&r, "job-0/labels-0.json", LARGE);
    assert_null(fake_sink_object(r.sink, RECEIPT, &len));
    r.to.refused = NULL;
    run(&r);
    assert_int_equal(r.jobs[0].outcome, TRANSFER_ALREADY);
    assert_int_equal(r.jobs[0].bytes, 0);
    expect_receipt(&r);
    end(&r);
}

/* A process that died may have begun an upload and not written it down: whoever finds the output
 * stored knows of a try before, and looks for it. */
static void test_tried_before_and_stored(void **state)
{
    (void)state;
    for (unsigned tried = 0; tried < 2; tried++) {
        for (unsigned large = 0; large < 2; large++) {
            struct rig r;
            init(&r);
            r.from.size = large ? LARGE : SMALL;
            r.config.receipts = false;
            run(&r);
            assert_int_equal(r.jobs[0].outcome, TRANSFER_STORED);
            r.config.receipts = true;
            r.tried_before = tried;
            run(&r);
            assert_int_equal(r.jobs[0].outcome, TRANSFER_ALREADY);
            assert_int_equal(fake_sink_calls(r.sink, "abort_unnamed"), tried);
            expect_object(&r, "job-0/labels-0.json", r.from.size);
            end(&r);
        }
    }
}

static void test_force_reads_no_receipt_and_replaces(void **state)
{
    (void)state;
    struct rig r;
    size_t len;
    init(&r);
    r.config.force = true;
    restart(&r);
    fake_sink_place(r.sink, "job-0/labels-0.json", "as it was", "fake", "job-0");
    fake_sink_place(r.sink, RECEIPT, "as it was", "", "");
    run(&r);
    assert_int_equal(r.jobs[0].outcome, TRANSFER_STORED);
    assert_int_equal(fake_sink_calls(r.sink, "read"), 0);
    expect_object(&r, "job-0/labels-0.json", SMALL);
    expect_receipt(&r);
    assert_non_null(fake_sink_object(r.sink, RECEIPT, &len));
    end(&r);
}

static void test_without_receipts_the_object_is_asked_for(void **state)
{
    (void)state;
    struct rig r;
    init(&r);
    r.config.receipts = false;
    run(&r);
    assert_int_equal(r.jobs[0].outcome, TRANSFER_STORED);
    assert_int_equal(fake_sink_objects(r.sink), 1);
    unsigned stats = fake_sink_calls(r.sink, "stat");
    run(&r);
    assert_int_equal(r.jobs[0].outcome, TRANSFER_ALREADY);
    assert_int_equal(fake_sink_calls(r.sink, "stat"), stats + 1);
    assert_int_equal(fake_sink_calls(r.sink, "put"), 1);
    assert_int_equal(fake_sink_calls(r.sink, "read"), 0);
    assert_int_equal(fake_source_streams(r.source), 0);
    end(&r);
}

static void test_slots(void **state)
{
    (void)state;
    struct rig r;
    init(&r);
    r.config.concurrency = 2;
    r.to.late_percent = 50;
    go(&r, JOBS_MAX, UINT32_MAX);
    for (unsigned i = 0; i < JOBS_MAX; i++)
        assert_int_equal(r.jobs[i].outcome, TRANSFER_STORED);
    assert_int_equal(r.moving_most, 2);
    assert_int_equal(fake_sink_objects(r.sink), 2 * JOBS_MAX);
    end(&r);
}

/* A slot whose transfer ends before it has moved anything goes to the next one. */
static void test_slots_of_those_that_fail_at_once(void **state)
{
    (void)state;
    struct rig r;
    char long_key[KEY_MAX + 1];
    init(&r);
    memset(long_key, 'k', sizeof(long_key) - 1);
    long_key[sizeof(long_key) - 1] = '\0';
    memcpy(long_key, "{filename}", 10); /* expanded it is over the limit */
    r.config.key_template = long_key;
    r.config.concurrency = 1;
    go(&r, JOBS_MAX, UINT32_MAX);
    for (unsigned i = 0; i < JOBS_MAX; i++)
        assert_int_equal(r.jobs[i].outcome, TRANSFER_FAILED);
    end(&r);
}

/* Stores that ignore If-None-Match on Complete would let the last one win. */
static void test_two_jobs_on_their_way_to_one_key(void **state)
{
    (void)state;
    for (unsigned force = 0; force < 2; force++) {
        struct rig r;
        init(&r);
        r.config.key_template = "fixed";
        r.config.force = force;
        r.from.size = LARGE;
        r.to.careless = true;
        go(&r, 3, UINT32_MAX);
        unsigned stored = 0;
        for (unsigned i = 0; i < 3; i++) {
            stored += r.jobs[i].outcome == TRANSFER_STORED;
            if (r.jobs[i].outcome != TRANSFER_STORED)
                assert_int_equal(r.jobs[i].err.code, ERR_CONFLICT);
        }
        assert_int_equal(stored, 1);
        assert_int_equal(fake_sink_calls(r.sink, "complete"), 1);
        assert_int_equal(fake_sink_objects(r.sink), 2); /* it and its receipt */
        end(&r);
    }
}

static void test_several_outputs(void **state)
{
    (void)state;
    struct rig r;
    init(&r);
    r.from.outputs = 3;
    run(&r);
    assert_int_equal(r.jobs[0].outcome, TRANSFER_STORED);
    assert_int_equal(r.jobs[0].outputs, 3);
    assert_int_equal(r.jobs[0].bytes, 3 * SMALL);
    expect_object(&r, "job-0/labels-2.json", SMALL);
    expect_receipt(&r);
    end(&r);
}

/* The second must not be taken for stored because the first, of the same job, is. */
static void test_several_outputs_under_one_key(void **state)
{
    (void)state;
    struct rig r;
    size_t len;
    init(&r);
    r.from.outputs = 2;
    r.config.key_template = "{job_id}";
    run(&r);
    expect_failed(&r, ERR_CONFLICT);
    assert_null(fake_sink_object(r.sink, RECEIPT, &len));
    end(&r);
}

/* At every turn of the loop there is. Afterwards a new run puts everything right. */
static void test_cancelled_at_any_moment(void **state)
{
    (void)state;
    static const struct {
        uint64_t size;
        bool receipts, tells_size;
        unsigned step;
    } ways[] = {{SMALL, true, true, 1}, {SMALL, false, false, 1}, {LARGE, true, true, 149}};
    for (size_t w = 0; w < sizeof(ways) / sizeof(ways[0]); w++) {
        unsigned cancelled = 0, last = 0;
        for (unsigned turn = 0; turn <= last; turn += ways[w].step) {
            struct rig r;
            init(&r);
            r.from.size = ways[w].size;
            r.from.tells_size = ways[w].tells_size;
            r.config.receipts = ways[w].receipts;
            r.config.concurrency = 1; /* one of them waits for the slot */
            go(&r, 2, turn);
            if (turn < r.turn) /* it came to that */
                last = turn + ways[w].step;
            assert_int_equal(fake_sink_uploads_open(r.sink), 0);
            for (unsigned i = 0; i < 2; i++)
                if (r.jobs[i].outcome == TRANSFER_FAILED) {
                    assert_int_equal(r.jobs[i].err.code, ERR_CANCELLED);
                    cancelled++;
                }
            go(&r, 2, UINT32_MAX);
            assert_int_not_equal(r.jobs[0].outcome, TRANSFER_FAILED);
            assert_int_not_equal(r.jobs[1].outcome, TRANSFER_FAILED);
            expect_object(&r, "job-0/labels-0.json", ways[w].size);
            expect_object(&r, "job-1/labels-0.json", ways[w].size);
            if (ways[w].receipts)
                expect_receipt(&r);
            end(&r);
        }
        if (cancelled < 10)
            fail_msg("way %zu: cancelled %u times only", w, cancelled);
    }
}

/* A store that does not answer is no reason not to end. */
static void test_cancelled_while_the_sink_does_not_answer(void **state)
{
    (void)state;
    static const char *const operations[] = {"read", "stat", "begin", "part"};
    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
        struct rig r;
        init(&r);
        r.from.size = LARGE;
        r.to.held = operations[i];
        go(&r, 2, 3000);
        expect_failed(&r, ERR_CANCELLED);
        expect_nothing(&r);
        assert_true(fake_sink_calls(r.sink, operations[i]) > 0);
        assert_int_equal(fake_sink_calls(r.sink, "abort"), strcmp(operations[i], "part") ? 0 : 2);
        end(&r);
    }
}

/* ---- handing over ---- */

static void init_large(struct rig *r, unsigned parts)
{
    init(r);
    r->from.size = parts * 8 * MIB - 1000;
    r->to.keeps_uploads = true;
}

/* What a hand-over has left is enough for another process. */
static void expect_handed_over(struct rig *r, uint32_t hops)
{
    size_t len;
    struct err err = {0};
    struct receipt receipt;
    assert_int_equal(fake_sink_uploads_open(r->sink), 1);
    assert_non_null(fake_sink_object(r->sink, MARKER, &len));
    const char *text = fake_sink_object(r->sink, RECEIPT, &len);
    assert_non_null(text);
    assert_int_equal(receipt_parse(text, len, "fake", "job-0", &receipt, &err), 0);
    assert_int_equal(receipt.state, RECEIPT_UPLOADING);
    assert_int_equal(receipt.upload->hops, hops);
    assert_true(receipt.upload->n_crcs > 0);
    receipt_release(&receipt);
}

static void expect_stored(struct rig *r)
{
    size_t len;
    if (r->jobs[0].outcome != TRANSFER_STORED)
        fail_msg("%s", r->jobs[0].err.msg);
    expect_object(r, "job-0/labels-0.json", r->from.size);
    expect_receipt(r);
    assert_null(fake_sink_object(r->sink, MARKER, &len));
}

/* Whenever it is asked to: it is handed over with all that was stored, or it is as if it had never
 * been begun, or it was done first. */
static void test_handed_over_in_any_turn(void **state)
{
    (void)state;
    unsigned handed = 0, failed = 0;
    enum transfer_outcome outcome = TRANSFER_FAILED;
    for (unsigned turn = 0; outcome != TRANSFER_STORED; turn += 1 + turn / 5) {
        struct rig r;
        init_large(&r, 2);
        r.to.late_percent = 50;
        r.hand_over = true;
        go(&r, 1, turn);
        outcome = r.jobs[0].outcome;
        uint64_t bytes = r.jobs[0].bytes;
        if (outcome == TRANSFER_HANDED_OVER) {
            handed++;
            expect_handed_over(&r, 1);
        } else if (outcome == TRANSFER_FAILED) {
            failed++;
            expect_failed(&r, ERR_CANCELLED);
            expect_nothing(&r);
        }
        if (outcome != TRANSFER_STORED) {
            run(&r);
            expect_stored(&r);
            assert_int_equal(r.jobs[0].resumed, outcome == TRANSFER_HANDED_OVER ? bytes : 0);
        }
        end(&r);
    }
    assert_true(handed > 0 && failed > 0);
}

/* Runs of a limited length, one after the other, until it is done. */
static void test_handed_over_from_run_to_run(void **state)
{
    (void)state;
    struct rig r;
    uint64_t stored = 0;
    uint32_t hops = 0;
    init_large(&r, 20);
    r.config.memory = 16 * MIB; /* one part on its way, one being filled */
    r.to.late_percent = 100;
    r.to.late_ms = 100;
    r.run_ms = 1000;
    for (;;) {
        run(&r);
        if (r.jobs[0].outcome == TRANSFER_FAILED) {
            expect_failed(&r, ERR_TIMEOUT); /* too slow a moment for a single part */
            continue;
        }
        assert_int_equal(r.jobs[0].resumed, stored);
        if (r.jobs[0].outcome != TRANSFER_HANDED_OVER)
            break;
        assert_true(r.jobs[0].bytes > stored);
        stored = r.jobs[0].bytes;
        expect_handed_over(&r, ++hops);
    }
    expect_stored(&r);
    assert_true(hops >= 2);
    end(&r);
}

/* No run can do it: said as such, and nothing is left. */
static void test_too_slow_for_any_run(void **state)
{
    (void)state;
    for (int without = 0; without < 3; without++) {
        struct rig r;
        init_large(&r, 4);
        r.from.ranges = without != 0;
        r.from.validator = without == 1 ? NULL : "\"e1\"";
        r.config.receipts = without != 2;
        r.from.stall_at = 9 * MIB;
        r.run_ms = RUN_MS;
        run(&r);
        expect_failed(&r, ERR_DEADLINE);
        assert_false(err_is_retryable(&r.jobs[0].err));
        expect_nothing(&r);
        end(&r);
    }
}

/* A run that stores no further part has failed, but does not undo what others have stored. */
static void test_a_run_without_progress_keeps_what_there_is(void **state)
{
    (void)state;
    struct rig r;
    init_large(&r, 3);
    r.from.stall_at = 12 * MIB;
    r.run_ms = RUN_MS;
    run(&r);
    assert_int_equal(r.jobs[0].outcome, TRANSFER_HANDED_OVER);
    assert_int_equal(r.jobs[0].bytes, 8 * MIB);
    run(&r);
    expect_failed(&r, ERR_TIMEOUT);
    assert_true(err_is_retryable(&r.jobs[0].err));
    expect_handed_over(&r, 1);
    r.from.stall_at = 0;
    run(&r);
    expect_stored(&r);
    assert_int_equal(r.jobs[0].resumed, 8 * MIB);
    end(&r);
}

/* What an earlier run has stored is of no use: that is no progress, else an output that changes in
 * every run would be handed over for ever. */
static void test_begun_anew_is_no_progress(void **state)
{
    (void)state;
    struct rig r;
    init_large(&r, 3);
    r.from.stall_at = 12 * MIB;
    r.run_ms = RUN_MS;
    run(&r);
    assert_int_equal(r.jobs[0].outcome, TRANSFER_HANDED_OVER);
    r.from.validator = "\"e2\"";
    run(&r);
    expect_failed(&r, ERR_TIMEOUT);
    assert_true(err_is_retryable(&r.jobs[0].err));
    expect_handed_over(&r, 1); /* but what this one has stored is kept */
    run(&r);
    expect_failed(&r, ERR_TIMEOUT);
    r.from.stall_at = 20 * MIB;
    run(&r);
    assert_int_equal(r.jobs[0].outcome, TRANSFER_HANDED_OVER);
    r.from.stall_at = 0;
    run(&r);
    expect_stored(&r);
    assert_int_equal(r.jobs[0].resumed, 16 * MIB);
    end(&r);
}

/* A source that is down for a while costs no more than that. */
static void test_a_run_that_fails_keeps_what_there_is(void **state)
{
    (void)state;
    struct rig r;
    init_large(&r, 3);
    r.from.stall_at = 12 * MIB;
    r.run_ms = RUN_MS;
    run(&r);
    assert_int_equal(r.jobs[0].outcome, TRANSFER_HANDED_OVER);
    r.from.stall_at = 0;
    r.run_ms = 0;
    r.from.break_at_open = 100;
    run(&r);
    expect_failed(&r, ERR_NETWORK);
    expect_handed_over(&r, 1);
    r.from.break_at_open = 0;
    run(&r);
    expect_stored(&r);
    assert_int_equal(r.jobs[0].resumed, 8 * MIB);
    end(&r);
}

/* How long it waited for memory says nothing about how long it takes. */
static void test_held_up_by_another(void **state)
{
    (void)state;
    struct rig r;
    init_large(&r, 2);
    r.from.ranges = false;
    r.config.memory = 16 * MIB; /* for one of them */
    r.to.held = "part";
    r.run_ms = RUN_MS;
    go(&r, 2, UINT32_MAX);
    unsigned late = r.jobs[0].err.code == ERR_DEADLINE ? 1 : 0; /* who had to wait */
    assert_int_equal(r.jobs[1 - late].err.code, ERR_DEADLINE);
    assert_int_equal(r.jobs[late].err.code, ERR_TIMEOUT);
    end(&r);
}

static void test_no_time_left_for_a_job(void **state)
{
    (void)state;
    struct rig r;
    init(&r);
    r.config.concurrency = 1;
    r.from.stall_at = 1000;
    r.run_ms = 600;
    go(&r, 3, UINT32_MAX);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(r.jobs[i].outcome, TRANSFER_FAILED);
        assert_true(err_is_retryable(&r.jobs[i].err) || i == 0);
    }
    assert_int_equal(r.jobs[1].err.code, ERR_TIMEOUT);
    assert_int_equal(fake_sink_objects(r.sink), 0);
    end(&r);
}

/* Nor for one whose receipt does not come, which nothing else would end here. */
static void test_no_time_left_to_ask(void **state)
{
    (void)state;
    struct rig r;
    init(&r);
    r.to.held = "read";
    r.run_ms = 600;
    go(&r, 3, UINT32_MAX);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(r.jobs[i].outcome, TRANSFER_FAILED);
        assert_int_equal(r.jobs[i].err.code, ERR_TIMEOUT);
    }
    end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stored_once_and_recognised_for_one_request),
        cmocka_unit_test(test_a_receipt_that_is_none),
        cmocka_unit_test(test_a_receipt_too_large_is_none),
        cmocka_unit_test(test_a_receipt_that_cannot_be_read),
        cmocka_unit_test(test_each_state_of_a_job),
        cmocka_unit_test(test_the_key_is_another_jobs),
        cmocka_unit_test(test_stored_but_the_receipt_failed),
        cmocka_unit_test(test_tried_before_and_stored),
        cmocka_unit_test(test_force_reads_no_receipt_and_replaces),
        cmocka_unit_test(test_without_receipts_the_object_is_asked_for),
        cmocka_unit_test(test_slots),
        cmocka_unit_test(test_slots_of_those_that_fail_at_once),
        cmocka_unit_test(test_two_jobs_on_their_way_to_one_key),
        cmocka_unit_test(test_several_outputs),
        cmocka_unit_test(test_several_outputs_under_one_key),
        cmocka_unit_test(test_cancelled_at_any_moment),
        cmocka_unit_test(test_cancelled_while_the_sink_does_not_answer),
        cmocka_unit_test(test_handed_over_in_any_turn),
        cmocka_unit_test(test_handed_over_from_run_to_run),
        cmocka_unit_test(test_too_slow_for_any_run),
        cmocka_unit_test(test_a_run_without_progress_keeps_what_there_is),
        cmocka_unit_test(test_begun_anew_is_no_progress),
        cmocka_unit_test(test_a_run_that_fails_keeps_what_there_is),
        cmocka_unit_test(test_held_up_by_another),
        cmocka_unit_test(test_no_time_left_for_a_job),
        cmocka_unit_test(test_no_time_left_to_ask),
    };
    log_init(stderr, LOG_ERROR, LOG_HUMAN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
