/* SPDX-License-Identifier: Apache-2.0
 *
 * What becomes of a message: each verdict, what the queue is told, duplicates, stopping.
 */
#include "schedule/consumer.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/log.h"
#include "core/mem.h"
#include "tests/unit/aws_bench.h"
#include "tests/unit/transfer/fake_ends.h"

#define DONE_0 "{\"Successful\":[{\"Id\":\"0\"}]}"

enum { ANSWERS = 12, ENDS_MAX = 8 };

struct end {
    char message[16], handle[16];
    enum consumer_verdict verdict;
    bool has_transfer;
    enum transfer_outcome outcome;
    struct err err;
    int again_s;
};

struct rig {
    struct aws_bench b;
    struct queue_sqs *queue;
    struct fake_source *source;
    struct fake_sink *sink;
    struct engine *engine;
    struct consumer *consumer;
    struct scripted_answer answers[ANSWERS];
    struct end ends[ENDS_MAX];
    unsigned n, wanted;
    struct loop_timer timer;
    struct consumption *first, *second; /* what the timer is about */
    unsigned puts, turns;
};

static const struct fake_source_config good = {.size = 5000,
                                               .tells_size = true,
                                               .ranges = true,
                                               .validator = "\"e1\"",
                                               .cut_at = -1,
                                               .state = JOB_COMPLETE};

static void set_up(struct rig *r, const struct fake_source_config *from,
                   const struct consumer_config *config, const char *answer)
{
    struct fake_sink_config to = {
        .keeps_identity = true, .keeps_uploads = true, .part_min = 5 << 20};
    *r = (struct rig){.wanted = 1};
    for (size_t i = 0; i < ANSWERS; i++)
        r->answers[i] = (struct scripted_answer){"200 OK\r\n", answer ? answer : DONE_0, 0};
    aws_bench_open(&r->b, r->answers, ANSWERS);
    r->queue = aws_bench_queue(&r->b);
    r->source = fake_source_new(r->b.loop, from, 1);
    r->sink = fake_sink_new(r->b.loop, &to, 2);
    struct engine_config engine = {.loop = r->b.loop,
                                   .source = fake_source_base(r->source),
                                   .sink = fake_sink_base(r->sink),
                                   .key_template = "{job_id}",
                                   .program = "egress test",
                                   .memory = 32 << 20,
                                   .concurrency = 4,
                                   .receipts = true};
    r->engine = engine_new(&engine);
    struct consumer_config own = *config;
    own.loop = r->b.loop;
    own.engine = r->engine;
    own.queue = r->queue;
    r->consumer = consumer_new(&own);
}

static void stop_rig(struct rig *r, size_t n_requests)
{
    consumer_free(r->consumer);
    engine_free(r->engine);
    fake_source_free(r->source);
    fake_sink_free(r->sink);
    queue_sqs_free(r->queue);
    aws_bench_stop(&r->b, n_requests);
}

static void on_done(void *arg, const struct consumer_result *result)
{
    struct rig *r = arg;
    assert_true(r->n < ENDS_MAX);
    struct end *e = &r->ends[r->n++];
    snprintf(e->message, sizeof(e->message), "%s", result->message_id);
    snprintf(e->handle, sizeof(e->handle), "%s", result->handle);
    e->verdict = result->verdict;
    e->has_transfer = result->transfer != NULL;
    if (result->transfer) {
        assert_string_equal(result->transfer->job, result->job);
        e->outcome = result->transfer->outcome;
    }
    e->err = result->err;
    e->again_s = result->again_s;
    if (r->n == r->wanted)
        loop_stop(r->b.loop);
}

static struct consumption *start(struct rig *r, const char *id, const char *body, unsigned receives)
{
    struct sqs_message message = {
        .id = id, .handle = id, .body = body, .body_len = strlen(body), .receives = receives};
    return consumer_start(r->consumer, &message, on_done, r);
}

static void sent(const struct rig *r, size_t i, const char *format, int seconds)
{
    char text[128];
    snprintf(text, sizeof(text), format, seconds);
    aws_bench_sent(&r->b, i, text);
}

/* ---- one message ---- */

static void test_verdicts(void **state)
{
    (void)state;
    static const struct {
        enum err_code fails; /* the lookup */
        enum job_state job;
        bool expired;
        unsigned receives;
        int retry_after_ms;
        enum consumer_verdict verdict;
        enum err_code err;
        int again_min, again_max; /* of LATER */
        int http_status;
    } cases[] = {
        {ERR_NONE, JOB_COMPLETE, false, 1, 0, CONSUMED, ERR_NONE, 0, 0},
        {ERR_NONE, JOB_FAILED, false, 1, 0, CONSUMED, ERR_JOB_FAILED, 0, 0},
        {ERR_NONE, JOB_COMPLETE, true, 1, 0, CONSUMED, ERR_JOB_EXPIRED, 0, 0},
        {ERR_NONE, JOB_UNDERWAY, false, 1, 0, CONSUME_LATER, ERR_JOB_PENDING, 5, 10},
        {ERR_JOB_UNKNOWN, JOB_COMPLETE, false, 1, 0, CONSUME_LATER, ERR_JOB_UNKNOWN, 7, 7},
        {ERR_JOB_UNKNOWN, JOB_COMPLETE, false, 2, 0, CONSUMED, ERR_JOB_UNKNOWN, 0, 0},
        {ERR_NETWORK, JOB_COMPLETE, false, 1, 0, CONSUME_LATER, ERR_NETWORK, 5, 10},
        {ERR_NETWORK, JOB_COMPLETE, false, 3, 0, CONSUME_LATER, ERR_NETWORK, 20, 40},
        {ERR_NETWORK, JOB_COMPLETE, false, 1000000, 0, CONSUME_LATER, ERR_NETWORK, 50, 100},
        {ERR_HTTP, JOB_COMPLETE, false, 1, 500000, CONSUME_LATER, ERR_HTTP, 500, 500},
        {ERR_HTTP, JOB_COMPLETE, false, 1, 1000000000, CONSUME_LATER, ERR_HTTP, 43000, 43200},
        /* No fault of the job: its message is kept. */
        {ERR_AUTH, JOB_COMPLETE, false, 1, 0, CONSUME_LATER, ERR_AUTH, 5, 10},
        {ERR_CONFIG, JOB_COMPLETE, false, 1, 0, CONSUME_LATER, ERR_CONFIG, 5, 10},
        {ERR_DESTINATION, JOB_COMPLETE, false, 1, 0, CONSUME_LATER, ERR_DESTINATION, 5, 10},
        {ERR_INTERNAL, JOB_COMPLETE, false, 1, 0, CONSUME_LATER, ERR_INTERNAL, 5, 10},
        {ERR_HTTP, JOB_COMPLETE, false, 1, 0, CONSUME_LATER, ERR_HTTP, 5, 10, 407},
        {ERR_CONFLICT, JOB_COMPLETE, false, 1, 0, CONSUMED, ERR_CONFLICT, 0, 0},
        /* A setting cures these, or `egress worker`. */
        {ERR_TOO_LARGE, JOB_COMPLETE, false, 1, 0, CONSUME_LATER, ERR_TOO_LARGE, 5, 10},
        {ERR_DEADLINE, JOB_COMPLETE, false, 2, 0, CONSUME_LATER, ERR_DEADLINE, 10, 20},
    };
    static const struct consumer_config config = {
        .unknown_delay_s = 7, .backoff_min_s = 10, .backoff_max_s = 100};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rig r;
        struct fake_source_config from = good;
        from.state = cases[i].job;
        from.expired = cases[i].expired;
        if (cases[i].fails)
            err_set(&from.describe_err, cases[i].fails, "as the test wants");
        from.describe_err.retry_after_ms = cases[i].retry_after_ms;
        from.describe_err.http_status = cases[i].http_status;
        set_up(&r, &from, &config, NULL);
        start(&r, "m1", "{\"id\":\"job-1\"}", cases[i].receives);
        loop_run(r.b.loop);
        const struct end *e = &r.ends[0];
        bool later = cases[i].verdict == CONSUME_LATER;
        stop_rig(&r, later ? 1 : 0);
        assert_int_equal(e->verdict, cases[i].verdict);
        assert_int_equal(e->err.code, cases[i].err);
        assert_int_equal(e->outcome, cases[i].err ? TRANSFER_FAILED : TRANSFER_STORED);
        assert_true(e->has_transfer);
        assert_string_equal(e->message, "m1");
        if (later) {
            assert_in_range(e->again_s, cases[i].again_min, cases[i].again_max);
            sent(&r, 0, "\"ReceiptHandle\":\"m1\",\"VisibilityTimeout\":%d}", e->again_s);
        }
        aws_bench_free(&r.b);
    }
}

static void test_no_job(void **state)
{
    (void)state;
    struct rig r;
    set_up(&r, &good, &(struct consumer_config){0}, NULL);
    start(&r, "m1", "{\"ID\":\"job-1\"}", 1);
    loop_run(r.b.loop);
    assert_int_equal(r.ends[0].verdict, CONSUME_LATER);
    assert_int_equal(r.ends[0].err.code, ERR_INPUT);
    assert_int_equal(r.ends[0].again_s, -1);
    assert_false(r.ends[0].has_transfer);
    stop_rig(&r, 0);
    aws_bench_free(&r.b);
}

static void test_queue_fails(void **state)
{
    (void)state;
    struct rig r;
    struct fake_source_config from = good;
    from.state = JOB_UNDERWAY;
    set_up(&r, &from, &(struct consumer_config){0},
           "{\"Failed\":[{\"Id\":\"0\",\"Code\":\"AccessDenied\"}]}");
    start(&r, "m1", "{\"id\":\"job-1\"}", 1);
    loop_run(r.b.loop);
    assert_int_equal(r.ends[0].verdict, CONSUME_LATER);
    assert_int_equal(r.ends[0].err.code, ERR_JOB_PENDING);
    assert_int_equal(r.ends[0].again_s, -1);
    stop_rig(&r, 1);
    aws_bench_free(&r.b);
}

/* ---- several of the same job ---- */

static void test_duplicates(void **state)
{
    (void)state;
    struct rig r;
    set_up(&r, &good, &(struct consumer_config){0}, NULL);
    r.wanted = 4;
    start(&r, "m1", "{\"id\":\"job-1\"}", 1);
    start(&r, "m2", "{\"id\":\"job-1\"}", 2);
    start(&r, "m3", "{\"id\":\"job-2\"}", 1);
    start(&r, "m4", "{\"id\":\"job-1\"}", 1);
    loop_run(r.b.loop);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(r.ends[i].verdict, CONSUMED);
        assert_int_equal(r.ends[i].outcome, TRANSFER_STORED);
    }
    assert_int_equal(fake_source_described(r.source), 2);
    assert_int_equal(fake_source_streams(r.source), 2);
    stop_rig(&r, 0);
    aws_bench_free(&r.b);
}

static void cancel_first(void *arg)
{
    struct rig *r = arg;
    consumer_cancel(r->first);
    consumer_cancel(r->first);
}

/* The one whose transfer it is goes; a message that waited for it begins one of its own. */
static void test_cancelled_leader(void **state)
{
    (void)state;
    struct rig r;
    set_up(&r, &good, &(struct consumer_config){0}, NULL);
    r.wanted = 3;
    r.first = start(&r, "m1", "{\"id\":\"job-1\"}", 1);
    start(&r, "m2", "{\"id\":\"job-1\"}", 1);
    start(&r, "m3", "{\"id\":\"job-1\"}", 1);
    loop_timer_start(r.b.loop, &r.timer, 0, cancel_first, &r);
    loop_run(r.b.loop);
    assert_string_equal(r.ends[0].message, "m1");
    assert_int_equal(r.ends[0].verdict, CONSUME_LATER);
    assert_int_equal(r.ends[0].err.code, ERR_CANCELLED);
    assert_int_equal(r.ends[0].again_s, 0);
    assert_int_equal(r.ends[1].outcome, TRANSFER_STORED);
    assert_int_equal(r.ends[2].outcome, TRANSFER_STORED);
    assert_int_equal(fake_source_streams(r.source), 1); /* m3 waited for m2 */
    stop_rig(&r, 1);
    sent(&r, 0, "\"ReceiptHandle\":\"m1\",\"VisibilityTimeout\":%d}", 0);
    aws_bench_free(&r.b);
}

static void test_cancelled_follower(void **state)
{
    (void)state;
    struct rig r;
    set_up(&r, &good, &(struct consumer_config){0}, NULL);
    r.wanted = 2;
    start(&r, "m1", "{\"id\":\"job-1\"}", 1);
    consumer_cancel(start(&r, "m2", "{\"id\":\"job-1\"}", 1));
    loop_run(r.b.loop);
    size_t follower = strcmp(r.ends[0].message, "m2") == 0 ? 0 : 1;
    assert_int_equal(r.ends[follower].verdict, CONSUME_LATER);
    assert_int_equal(r.ends[follower].err.code, ERR_CANCELLED);
    assert_false(r.ends[follower].has_transfer);
    assert_int_equal(r.ends[1 - follower].outcome, TRANSFER_STORED);
    stop_rig(&r, 1);
    aws_bench_free(&r.b);
}

/* ---- as long as it is under way ---- */

static void test_kept_hidden(void **state)
{
    (void)state;
    struct rig r;
    struct fake_source_config from = good;
    from.stall_at = 100;
    set_up(&r, &from, &(struct consumer_config){.visibility_s = 1, .held_max_s = 1}, NULL);
    start(&r, "m1", "{\"id\":\"job-1\"}", 1);
    loop_run(r.b.loop); /* until it has been held too long, with nothing to hand over */
    assert_int_equal(r.ends[0].verdict, CONSUME_LATER);
    assert_int_equal(r.ends[0].err.code, ERR_CANCELLED);
    assert_int_equal(r.ends[0].again_s, 0);
    consumer_free(r.consumer);
    engine_free(r.engine);
    fake_source_free(r.source);
    fake_sink_free(r.sink);
    queue_sqs_free(r.queue);
    credentials_free(r.b.credentials);
    loop_free(r.b.loop);
    size_t n = scripted_http_stop(r.b.server);
    assert_in_range(n, 2, 6);
    for (size_t i = 0; i < n; i++) /* what was decided has the last word */
        sent(&r, i, "\"ReceiptHandle\":\"m1\",\"VisibilityTimeout\":%d}", i + 1 < n ? 1 : 0);
    aws_bench_free(&r.b);
}

static void hand_over_in_mid_upload(void *arg)
{
    struct rig *r = arg;
    if (fake_sink_calls(r->sink, "part") > 0)
        consumer_hand_over(r->first);
    else
        loop_timer_start(r->b.loop, &r->timer, 5, hand_over_in_mid_upload, r);
}

static void hand_over(struct rig *r, const char *answer)
{
    struct fake_source_config from = good;
    from.size = 64 << 20;
    from.stall_at = 30 << 20;
    set_up(r, &from, &(struct consumer_config){0}, answer);
    r->wanted = 2;
    r->first = start(r, "m1", "{\"id\":\"job-1\"}", 1);
    start(r, "m2", "{\"id\":\"job-1\"}", 1);
    loop_timer_start(r->b.loop, &r->timer, 0, hand_over_in_mid_upload, r);
    loop_run(r->b.loop);
    assert_int_equal(r->ends[0].outcome, TRANSFER_HANDED_OVER);
    stop_rig(r, 1);
    aws_bench_sent(&r->b, 0, "X-Amz-Target: AmazonSQS.SendMessageBatch\r\n");
    aws_bench_sent(&r->b, 0, "{\\\"id\\\":\\\"job-1\\\"}");
    aws_bench_free(&r->b);
}

static void test_hand_over(void **state)
{
    (void)state;
    struct rig r;
    hand_over(&r, NULL);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(r.ends[i].verdict, CONSUMED);
    /* Not in the queue: then the messages that are there have to stay. */
    hand_over(&r, "{\"Failed\":[{\"Id\":\"0\",\"Code\":\"InternalError\"}]}");
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(r.ends[i].verdict, CONSUME_LATER);
        assert_int_equal(r.ends[i].again_s, -1);
        assert_non_null(strstr(r.ends[i].err.msg, "not put into the queue anew"));
    }
}

/* Hands m1 over; m2 comes a few turns after that was written down, while the queue is told. Once
 * that has answered, m2 is cancelled. */
static void take_what_was_sent(void *arg)
{
    struct rig *r = arg;
    if (r->first && fake_sink_calls(r->sink, "part") > 0) {
        r->puts = fake_sink_calls(r->sink, "put");
        consumer_hand_over(r->first);
        r->first = NULL;
    }
    if (r->puts && fake_sink_calls(r->sink, "put") > r->puts && r->turns++ == 3)
        r->second = start(r, "m2", "{\"id\":\"job-1\"}", 1);
    if (r->second && r->n == 1)
        consumer_cancel(r->second);
    else
        loop_timer_start(r->b.loop, &r->timer, 1, take_what_was_sent, r);
}

/* What was handed over may come back before SQS has said that it has it. It is not consumed along
 * with the message whose place it takes: nothing is stored yet. */
static void test_what_was_handed_over_comes_back_at_once(void **state)
{
    (void)state;
    enum { SLOW = 200 * 1000 }; /* bytes of an answer that come one by one */
    struct rig r;
    struct fake_source_config from = good;
    from.size = 64 << 20;
    from.stall_at = 30 << 20;
    set_up(&r, &from, &(struct consumer_config){0}, NULL);
    char *slow = xprintf("%*s" DONE_0, SLOW, "");
    r.answers[0] = (struct scripted_answer){"200 OK\r\n", slow, SCRIPTED_DRIP};
    r.wanted = 2;
    r.first = start(&r, "m1", "{\"id\":\"job-1\"}", 1);
    loop_timer_start(r.b.loop, &r.timer, 0, take_what_was_sent, &r);
    loop_run(r.b.loop);
    loop_timer_stop(r.b.loop, &r.timer);
    assert_string_equal(r.ends[0].message, "m1");
    assert_int_equal(r.ends[0].outcome, TRANSFER_HANDED_OVER);
    assert_int_equal(r.ends[0].verdict, CONSUMED);
    assert_int_equal(r.ends[1].verdict, CONSUME_LATER);
    stop_rig(&r, 2);
    aws_bench_free(&r.b);
    free(slow);
}

static void cancel_second(void *arg, const struct err *err)
{
    struct rig *r = arg;
    assert_null(err);
    consumer_cancel(r->second);
}

/* With the next beat in one batch, and in front of it. */
static void hide_another(void *arg)
{
    struct rig *r = arg;
    queue_sqs_hide(r->queue, "other", 1, cancel_second, r);
}

static void wait_a_little(void *arg)
{
    (void)arg;
    poll(NULL, 0, 100);
}

/* Its last beat ends in the very turn of the loop in which it is cancelled. */
static void test_cancelled_as_its_beat_ends(void **state)
{
    (void)state;
    struct rig r;
    struct fake_source_config from = good;
    from.stall_at = 100;
    set_up(&r, &from, &(struct consumer_config){.visibility_s = 1},
           "{\"Successful\":[{\"Id\":\"0\"},{\"Id\":\"1\"},{\"Id\":\"2\"}]}");
    struct loop_timer wait = {0}, hide = {0};
    r.first = start(&r, "m1", "{\"id\":\"job-1\"}", 1);
    r.second = start(&r, "m2", "{\"id\":\"job-1\"}", 1);
    loop_timer_start(r.b.loop, &wait, 250, wait_a_little, NULL); /* then both are due */
    loop_timer_start(r.b.loop, &hide, 300, hide_another, &r);    /* ... in this order */
    loop_run(r.b.loop);
    assert_string_equal(r.ends[0].message, "m2");
    r.wanted = 2;
    consumer_cancel(r.first);
    loop_run(r.b.loop);
    assert_string_equal(r.ends[1].message, "m1");
    stop_rig(&r, 3);
    aws_bench_free(&r.b);
}

static int set_up_group(void **state)
{
    log_init(stderr, LOG_ERROR, LOG_HUMAN);
    return aws_bench_set_up(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_no_job),
        cmocka_unit_test(test_queue_fails),
        cmocka_unit_test(test_duplicates),
        cmocka_unit_test(test_cancelled_leader),
        cmocka_unit_test(test_cancelled_follower),
        cmocka_unit_test(test_kept_hidden),
        cmocka_unit_test(test_hand_over),
        cmocka_unit_test(test_what_was_handed_over_comes_back_at_once),
        cmocka_unit_test(test_cancelled_as_its_beat_ends),
    };
    return cmocka_run_group_tests(tests, set_up_group, NULL);
}
