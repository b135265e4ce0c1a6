/* SPDX-License-Identifier: Apache-2.0
 *
 * Jobs in a queue: what messages say, and which requests what is asked for becomes.
 */
#include "queue/sqs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/aws_bench.h"

#define ALL_TEN                                                                                    \
    "{\"Successful\":[{\"Id\":\"0\"},{\"Id\":\"1\"},{\"Id\":\"2\"},{\"Id\":\"3\"},"                \
    "{\"Id\":\"4\"},{\"Id\":\"5\"},{\"Id\":\"6\"},{\"Id\":\"7\"},{\"Id\":\"8\"},{\"Id\":\"9\"}]}"

static void test_messages(void **state)
{
    (void)state;
    static const struct {
        const char *body, *job, *says;
    } cases[] = {
        {"{\"id\":\"016f6063-51a1-4948-a827-ce4c31ec53ed\"}",
         "016f6063-51a1-4948-a827-ce4c31ec53ed", NULL},
        {" {\"id\":\"a\",\"hops\":3}\n", "a", NULL},
        {"{\"id\":\"a\",\"event\":\"job_complete\",\"msg\":\"m\"}", "a", NULL},
        {"{\"id\":\"a\",\"event\":\"job_failed\"}", NULL, "job_failed"},
        {"", NULL, "is not JSON"},
        {"a", NULL, "is not JSON"},
        {"{\"id\":\"a\"}x", NULL, "is not JSON"},
        {"{\"id\":\"a\",\"id\":\"b\"}", NULL, "is not JSON"},
        {"\"a\"", NULL, "not an object"},
        {"[]", NULL, "not an object"},
        {"{}", NULL, "no \"id\""},
        {"{\"id\":7}", NULL, "no \"id\""},
        {"{\"id\":\"\"}", NULL, "is not a job id"},
        {"{\"id\":\"../x\"}", NULL, "is not a job id"},
        {"{\"id\":\"a\\u0000b\"}", NULL, "is not JSON"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err err = {0};
        char job[JOB_ID_MAX + 1] = "untouched";
        int rc = queue_sqs_parse(cases[i].body, strlen(cases[i].body), job, &err);
        assert_int_equal(rc, cases[i].job ? 0 : -1);
        assert_string_equal(job, cases[i].job ? cases[i].job : "untouched");
        if (rc < 0) {
            assert_int_equal(err.code, ERR_INPUT);
            if (!strstr(err.msg, cases[i].says))
                fail_msg("%s: %s", cases[i].body, err.msg);
        }
    }
    char *large = calloc(1, 70000), job[JOB_ID_MAX + 1];
    struct err err = {0};
    assert_int_equal(queue_sqs_parse(large, 70000, job, &err), -1);
    assert_int_equal(err.code, ERR_TOO_LARGE);
    free(large);
    struct buf text = BUF_INIT(256);
    queue_sqs_format("a-1", &text);
    assert_int_equal(queue_sqs_parse(text.data, text.len, job, &err), 0);
    assert_string_equal(job, "a-1");
    buf_release(&text);
}

/* What is asked for in one turn goes ten at a time, each kind by itself. */
static void test_batches(void **state)
{
    (void)state;
    static const struct scripted_answer answers[] = {
        {"200 OK\r\n", ALL_TEN},
        {"200 OK\r\n", ALL_TEN},
        {"200 OK\r\n", ALL_TEN},
        {"200 OK\r\n", "{\"Failed\":[{\"Id\":\"0\",\"Code\":\"ReceiptHandleIsInvalid\"}]}"},
    };
    struct aws_bench b;
    char job[16];
    aws_bench_open(&b, answers, 4);
    struct queue_sqs *queue = aws_bench_queue(&b);
    b.wanted = 15;
    for (int i = 0; i < 12; i++) {
        snprintf(job, sizeof(job), "job-%d", i);
        queue_sqs_send(queue, job, i, aws_bench_done, &b);
        if (i < 3)
            queue_sqs_hide(queue, job, 5, aws_bench_done, &b);
    }
    aws_bench_ok(&b);
    assert_int_equal(b.dones, 15);
    b.wanted = 0;
    queue_sqs_delete(queue, "gone", aws_bench_done, &b); /* which is no error */
    aws_bench_ok(&b);
    queue_sqs_free(queue);
    aws_bench_stop(&b, 4);
    /* Which connection is served first is nobody's business. */
    int seen = 0;
    for (size_t i = 0; i < 3; i++) {
        const char *rq = scripted_http_request(b.server, i);
        seen |= strstr(rq, "\"Id\":\"9\"") && strstr(rq, "job-9\\\"}\",\"DelaySeconds\":9") ? 1 : 0;
        seen |= strstr(rq, "\\\"job-10") && strstr(rq, "\\\"job-11") ? 2 : 0;
        seen |= strstr(rq, "{\"Id\":\"2\",\"ReceiptHandle\":\"job-2\",\"VisibilityTimeout\":5}]}")
                    ? 4
                    : 0;
    }
    assert_int_equal(seen, 7);
    aws_bench_free(&b);
}

static void test_each_has_its_result(void **state)
{
    (void)state;
    static const struct scripted_answer answers[] = {
        {"200 OK\r\n", "{\"Successful\":[{\"Id\":\"0\"}],\"Failed\":[{\"Id\":\"1\",\"Code\":"
                       "\"AccessDenied\",\"SenderFault\":true}]}"},
    };
    struct aws_bench b;
    aws_bench_open(&b, answers, 1);
    struct queue_sqs *queue = aws_bench_queue(&b);
    b.wanted = 2;
    queue_sqs_send(queue, "job-1", 0, aws_bench_done, &b);
    queue_sqs_send(queue, "job-2", 0, aws_bench_done, &b);
    aws_bench_fails(&b, ERR_AUTH, "sqs:SendMessage to");
    assert_int_equal(b.dones, 2);
    queue_sqs_free(queue);
    aws_bench_close(&b, 1);
}

struct ends {
    struct aws_bench b;
    unsigned ok, cancelled;
    unsigned wanted;
    struct queue_sqs *queue;
    struct queue_sqs_op *later; /* cancelled by the first completion */
};

static void on_end(void *arg, const struct err *err)
{
    struct ends *e = arg;
    if (err)
        assert_int_equal(err->code, ERR_CANCELLED);
    e->ok += !err;
    e->cancelled += err != NULL;
    if (e->later) {
        struct queue_sqs_op *op = e->later;
        e->later = NULL;
        queue_sqs_cancel(op);
    }
    if (e->ok + e->cancelled == e->wanted)
        loop_stop(e->b.loop);
}

/* Before the request, while it is under way, all of it, and from within a completion. */
static void test_cancel(void **state)
{
    (void)state;
    static const struct scripted_answer answers[] = {
        {"200 OK\r\n", ALL_TEN},
        {"200 OK\r\n", ALL_TEN},
        {NULL, "", SCRIPTED_HOLD},
    };
    struct ends e = {.wanted = 3};
    aws_bench_open(&e.b, answers, 3);
    e.queue = aws_bench_queue(&e.b);
    struct queue_sqs_op *ops[3];
    for (int i = 0; i < 3; i++)
        ops[i] = queue_sqs_delete(e.queue, "h", on_end, &e);
    queue_sqs_cancel(ops[2]);
    queue_sqs_cancel(ops[1]);
    queue_sqs_cancel(ops[1]);
    loop_run(e.b.loop);
    assert_int_equal(e.ok, 1);
    assert_int_equal(e.cancelled, 2);
    e.wanted = 5;
    queue_sqs_send(e.queue, "a", 0, on_end, &e);
    e.later = queue_sqs_send(e.queue, "b", 0, on_end, &e);
    loop_run(e.b.loop);
    assert_int_equal(e.ok, 2);
    assert_int_equal(e.cancelled, 3);
    /* Nothing answers: the request ends when the last of those who wait is cancelled. */
    e.wanted = 6;
    for (int i = 0; i < 2; i++)
        ops[i] = queue_sqs_hide(e.queue, "h", 1, on_end, &e);
    e.later = ops[0];
    queue_sqs_cancel(queue_sqs_receive(e.queue, 1, 0, 0, NULL, on_end, &e));
    loop_run(e.b.loop); /* until the receive, which is cancelled first, has ended */
    e.wanted = 8;
    queue_sqs_cancel(ops[1]);
    loop_run(e.b.loop);
    assert_int_equal(e.ok, 2);
    assert_int_equal(e.cancelled, 6);
    queue_sqs_free(e.queue);
    credentials_free(e.b.credentials);
    loop_free(e.b.loop);
    assert_in_range(scripted_http_stop(e.b.server), 2, 3);
    aws_bench_free(&e.b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_each_has_its_result),
        cmocka_unit_test(test_cancel),
    };
    return cmocka_run_group_tests(tests, aws_bench_set_up, NULL);
}
