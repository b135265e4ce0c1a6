/* SPDX-License-Identifier: Apache-2.0
 *
 * SQS's calls over real sockets against a scripted server: what is sent, and what each answer
 * means. That SQS would take it, moto's server tests (tests/e2e).
 */
#include "aws/sqs_api.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/aws_bench.h"

#define JSON "Content-Type: application/x-amz-json-1.0\r\n"

struct bench {
    struct aws_bench b;
    struct sqs_api *api;
    struct err results[SQS_BATCH_MAX];
    size_t n;
    struct buf seen;
};

static struct sqs_api *new_api(struct bench *t, const char *url, const char *endpoint,
                               struct err *err)
{
    const struct sqs_api_config config = {
        .queue_url = url, .endpoint_url = endpoint, .credentials = t->b.credentials};
    return sqs_api_new(t->b.loop, &config, err);
}

static void open_bench(struct bench *t, const struct scripted_answer *answers, size_t n)
{
    struct err err = {0};
    *t = (struct bench){.seen = BUF_INIT(4096)};
    aws_bench_open(&t->b, answers, n);
    t->api = new_api(t, AWS_BENCH_QUEUE_URL, scripted_http_url(t->b.server), &err);
    assert_non_null(t->api);
}

static void stop_bench(struct bench *t, size_t n_requests)
{
    sqs_api_free(t->api);
    buf_release(&t->seen);
    aws_bench_stop(&t->b, n_requests);
}

static void on_batch(void *arg, const struct err *results)
{
    struct bench *t = arg;
    memcpy(t->results, results, t->n * sizeof(results[0]));
    loop_stop(t->b.loop);
}

static void batch(struct bench *t, enum sqs_batch kind, const struct sqs_entry *entries, size_t n)
{
    t->n = n;
    sqs_api_batch(t->api, kind, entries, n, on_batch, t);
    loop_run(t->b.loop);
}

static void on_message(void *arg, const struct sqs_message *m)
{
    struct bench *t = arg;
    buf_printf(&t->seen, "%s %s ", m->id, m->handle);
    buf_append(&t->seen, m->body, m->body_len);
    buf_printf(&t->seen, " %u %lld|", m->receives, (long long)m->sent_ms);
}

static void on_received(void *arg, const struct err *err)
{
    struct bench *t = arg;
    aws_bench_done(&t->b, err);
}

static void test_batches(void **state)
{
    (void)state;
    static const struct scripted_answer answers[] = {
        {"200 OK\r\n" JSON,
         "{\"Successful\":[{\"Id\":\"1\"},{\"Id\":\"7\"},{\"Id\":\"x\"},{},3],\"Failed\":[{\"Id\":"
         "\"0\",\"Code\":\"InternalError\",\"Message\":\"oops\",\"SenderFault\":false}]}"},
        {"200 OK\r\n" JSON, "{\"Successful\":[{\"Id\":\"0\"}]}"},
        {"200 OK\r\n" JSON,
         "{\"Failed\":[{\"Id\":\"0\",\"Code\":\"ReceiptHandleIsInvalid\",\"SenderFault\":true}]}"},
        {"200 OK\r\n", "<html>"},
        {"503 Slow\r\n", ""},
        {"200 OK\r\n" JSON, "{\"Successful\":[{\"Id\":\"0\"}]}"},
        {"400 Bad\r\n" JSON, "{\"__type\":\"com.amazonaws.sqs#RequestThrottled\"}"},
        {"200 OK\r\n" JSON, "{\"Successful\":[{\"Id\":\"0\"}]}"},
    };
    struct bench t;
    open_bench(&t, answers, 8);
    batch(&t, SQS_SEND,
          (struct sqs_entry[]){{"{\"id\":\"a\"}", 0}, {"{\"id\":\"b\"}", 9}, {"c", 900}}, 3);
    assert_int_equal(t.results[0].code, ERR_HTTP);
    assert_true(err_is_retryable(&t.results[0]));
    assert_non_null(strstr(t.results[0].msg, "InternalError: oops"));
    assert_int_equal(t.results[1].code, ERR_NONE);
    assert_int_equal(t.results[2].code, ERR_PROTOCOL); /* not said */
    batch(&t, SQS_DELETE, &(struct sqs_entry){"h\"1", 0}, 1);
    assert_int_equal(t.results[0].code, ERR_NONE);
    batch(&t, SQS_HIDE, &(struct sqs_entry){"h2", 30}, 1);
    assert_int_equal(t.results[0].code, ERR_NOT_FOUND);
    batch(&t, SQS_HIDE, &(struct sqs_entry){"h2", 30}, 1);
    assert_int_equal(t.results[0].code, ERR_PROTOCOL);
    for (int i = 0; i < 2; i++) { /* sent again: 503, and what means it */
        batch(&t, SQS_HIDE, &(struct sqs_entry){"h2", 30}, 1);
        assert_string_equal(t.results[0].msg, "");
    }
    stop_bench(&t, 8);
    aws_bench_sent(&t.b, 0, "POST / HTTP/1.1\r\n");
    aws_bench_sent(&t.b, 0, "X-Amz-Target: AmazonSQS.SendMessageBatch\r\n");
    aws_bench_sent(&t.b, 0, "Content-Type: application/x-amz-json-1.0\r\n");
    aws_bench_sent(&t.b, 0,
                   "/eu-west-1/sqs/aws4_request, SignedHeaders=content-type;host;x-amz-date;"
                   "x-amz-target, Signature=");
    aws_bench_sent(&t.b, 0,
                   "{\"QueueUrl\":\"" AWS_BENCH_QUEUE_URL "\",\"Entries\":["
                   "{\"Id\":\"0\",\"MessageBody\":\"{\\\"id\\\":\\\"a\\\"}\",\"DelaySeconds\":0},"
                   "{\"Id\":\"1\",\"MessageBody\":\"{\\\"id\\\":\\\"b\\\"}\",\"DelaySeconds\":9},"
                   "{\"Id\":\"2\",\"MessageBody\":\"c\",\"DelaySeconds\":900}]}");
    aws_bench_sent(&t.b, 1, "X-Amz-Target: AmazonSQS.DeleteMessageBatch\r\n");
    aws_bench_sent(&t.b, 1, "[{\"Id\":\"0\",\"ReceiptHandle\":\"h\\\"1\"}]");
    aws_bench_sent(&t.b, 2, "X-Amz-Target: AmazonSQS.ChangeMessageVisibilityBatch\r\n");
    aws_bench_sent(&t.b, 2, "[{\"Id\":\"0\",\"ReceiptHandle\":\"h2\",\"VisibilityTimeout\":30}]");
    aws_bench_free(&t.b);
}

static void test_receive(void **state)
{
    (void)state;
    static const struct scripted_answer answers[] = {
        {"200 OK\r\n" JSON,
         "{\"Messages\":[{\"MessageId\":\"m1\",\"ReceiptHandle\":\"h1\",\"Body\":\"b1\","
         "\"Attributes\":{\"ApproximateReceiveCount\":\"3\",\"SentTimestamp\":\"1579532982000\"}},"
         "{\"MessageId\":\"m2\",\"ReceiptHandle\":\"h2\",\"Attributes\":"
         "{\"ApproximateReceiveCount\":\"-1\",\"SentTimestamp\":\"soon\"}},"
         "{\"MessageId\":\"m3\"},{\"ReceiptHandle\":\"h3\"},7,null,"
         "{\"MessageId\":\"m4\",\"ReceiptHandle\":\"h4\",\"Body\":\"a\\u0000b\"}]}"},
        {"200 OK\r\n" JSON, "{}"},
        {"200 OK\r\n" JSON, "{\"Messages\":null}"},
        {"200 OK\r\n" JSON, "{\"Messages\":{}}"},
        {"200 OK\r\n", "[]"},
        {"503 Slow\r\n", ""},
        {"200 OK\r\n", "", SCRIPTED_HOLD},
    };
    struct bench t;
    open_bench(&t, answers, 6);
    sqs_api_receive(t.api, 10, 20, 300, on_message, on_received, &t);
    aws_bench_ok(&t.b);
    static const char expected[] = "m1 h1 b1 3 1579532982000|m2 h2  1 0|m4 h4 a\0b 1 0|";
    assert_int_equal(t.seen.len, sizeof(expected) - 1);
    assert_memory_equal(t.seen.data, expected, sizeof(expected) - 1);
    for (int i = 0; i < 2; i++) {
        sqs_api_receive(t.api, 1, 0, 0, on_message, on_received, &t);
        aws_bench_ok(&t.b);
    }
    for (int i = 0; i < 2; i++) {
        sqs_api_receive(t.api, 1, 0, 0, on_message, on_received, &t);
        aws_bench_fails(&t.b, ERR_PROTOCOL, "is not what SQS gives");
    }
    sqs_api_receive(t.api, 1, 0, 0, on_message, on_received, &t); /* one attempt */
    aws_bench_fails(&t.b, ERR_HTTP, "is busy or has a fault");
    assert_true(err_is_retryable(&t.b.err));
    stop_bench(&t, 6);
    aws_bench_sent(&t.b, 0, "X-Amz-Target: AmazonSQS.ReceiveMessage\r\n");
    aws_bench_sent(&t.b, 0,
                   ",\"MaxNumberOfMessages\":10,\"WaitTimeSeconds\":20,\"VisibilityTimeout\":300,"
                   "\"AttributeNames\":[\"ApproximateReceiveCount\",\"SentTimestamp\"]}");
    aws_bench_free(&t.b);
}

static void test_cancel(void **state)
{
    (void)state;
    static const struct scripted_answer answers[] = {{NULL, "", SCRIPTED_HOLD}};
    struct bench t;
    open_bench(&t, answers, 1);
    struct sqs_api_call *call = sqs_api_receive(t.api, 1, 20, 0, on_message, on_received, &t);
    sqs_api_cancel(call);
    sqs_api_cancel(call);
    aws_bench_fails(&t.b, ERR_CANCELLED, "ReceiveMessage");
    stop_bench(&t, 0);
    aws_bench_free(&t.b);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        struct scripted_answer answer;
        enum err_code code;
        const char *says;
    } cases[] = {
        {{"400 Bad Request\r\nx-amzn-query-error: "
          "AWS.SimpleQueueService.NonExistentQueue;Sender\r\n",
          "{\"__type\":\"com.amazonaws.sqs#QueueDoesNotExist\",\"message\":\"No.\"}"},
         ERR_DESTINATION,
         "there is no such queue"},
        {{"400 Bad Request\r\nx-amzn-query-error: "
          "AWS.SimpleQueueService.NonExistentQueue;Sender\r\n",
          "{}"},
         ERR_DESTINATION,
         "there is no such queue"},
        {{"400 Bad Request\r\n", "{\"__type\":\"QueueDoesNotExist\"}"},
         ERR_DESTINATION,
         AWS_BENCH_QUEUE_URL},
        {{"404 Not Found\r\n", "{\"__type\":\"InvalidAddress\"}"}, ERR_DESTINATION, "address"},
        {{"403 Forbidden\r\n",
          "{\"__type\":\"com.amazonaws.sqs#AccessDenied\",\"Message\":\"User x may not\"}"},
         ERR_AUTH,
         "User x may not): allow sqs:ReceiveMessage to the credentials from environment"},
        {{"403 Forbidden\r\n", "{\"__type\":\"InvalidClientTokenId\"}"}, ERR_AUTH, "access key"},
        {{"403 Forbidden\r\n",
          "{\"__type\":\"com.amazon.coral.service#InvalidSignatureException\"}"},
         ERR_AUTH,
         "refuses the signature (InvalidSignatureException)"},
        {{"403 Forbidden\r\n", "{\"__type\":\"ExpiredToken\"}"}, ERR_AUTH, "has expired"},
        {{"400 Bad Request\r\nx-amzn-query-error: KMS.AccessDeniedException;Sender\r\n",
          "{\"__type\":\"com.amazonaws.sqs#KmsAccessDenied\"}"},
         ERR_AUTH,
         "kms:Decrypt"},
        {{"403 Forbidden\r\n", "{\"__type\":\"OverLimit\"}"}, ERR_HTTP, "is busy"},
        {{"400 Bad Request\r\n", "{\"__type\":\"InvalidAttributeName\",\"message\":\"a\\nb\"}"},
         ERR_HTTP,
         "InvalidAttributeName: a?b"},
        {{"404 Not Found\r\nContent-Type: text/html\r\n", "<html>"},
         ERR_DESTINATION,
         "answered 404, and not as SQS does"},
        {{"400 Bad Request\r\n", "{\"__type\":\"a b\"}"}, ERR_DESTINATION, "not as SQS does"},
        {{"301 Moved\r\nLocation: http://127.0.0.1:9/\r\n", ""}, ERR_DESTINATION, "answered 301"},
    };
    enum { N = sizeof(cases) / sizeof(cases[0]) };
    struct scripted_answer answers[N];
    struct bench t;
    for (size_t i = 0; i < N; i++)
        answers[i] = cases[i].answer;
    open_bench(&t, answers, N);
    for (size_t i = 0; i < N; i++) {
        sqs_api_receive(t.api, 1, 0, 0, on_message, on_received, &t);
        aws_bench_fails(&t.b, cases[i].code, cases[i].says);
        assert_int_equal(err_is_retryable(&t.b.err), cases[i].code == ERR_HTTP && i == 9);
    }
    stop_bench(&t, N);
    aws_bench_free(&t.b);
}

static void test_urls(void **state)
{
    (void)state;
    static const struct {
        const char *url, *region;
    } good[] = {
        {"https://sqs.eu-west-1.amazonaws.com/123456789012/jobs", "eu-west-1"},
        {"https://sqs-fips.us-gov-west-1.amazonaws.com/1/jobs", "us-gov-west-1"},
        {"https://sqs.cn-north-1.amazonaws.com.cn/1/jobs", "cn-north-1"},
        {"https://vpce-0a.sqs.eu-north-1.vpce.amazonaws.com/1/jobs", "eu-north-1"},
        {"https://sqs.us-west-2.api.aws/1/jobs", "us-west-2"},
        {"https://us-west-1.queue.amazonaws.com/1/jobs", "us-west-1"},
        {"https://queue.amazonaws.com/1/jobs", "us-east-1"},
        {"http://127.0.0.1:9324/000000000000/jobs", "us-east-1"},
        {"http://sqs.local/q", "us-east-1"},
    };
    static const char *const bad[] = {
        "",
        "jobs",
        "arn:aws:sqs:eu-west-1:1:jobs",
        "https://sqs.eu-west-1.amazonaws.com",
        "https://sqs.eu-west-1.amazonaws.com/",
        "https://sqs.eu-west-1.amazonaws.com/1/jobs/",
        "https://sqs.eu-west-1.amazonaws.com/1/jobs?x=y",
        "https://sqs.eu-west-1.amazonaws.com/1/jo%20bs",
        "https://sqs.eu-west-1.amazonaws.com/1/jobs.fifo",
        "ftp://sqs.eu-west-1.amazonaws.com/1/jobs",
    };
    enum { N = sizeof(good) / sizeof(good[0]) };
    struct scripted_answer answers[N];
    struct bench t;
    char scope[128];
    for (size_t i = 0; i < N; i++)
        answers[i] = (struct scripted_answer){"200 OK\r\n" JSON, "{}", 0};
    open_bench(&t, answers, N);
    for (size_t i = 0; i < N; i++) {
        struct err err = {0};
        sqs_api_free(t.api);
        t.api = new_api(&t, good[i].url, scripted_http_url(t.b.server), &err);
        assert_non_null(t.api);
        sqs_api_receive(t.api, 1, 0, 0, on_message, on_received, &t);
        aws_bench_ok(&t.b);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct err err = {0};
        assert_null(new_api(&t, bad[i], NULL, &err));
        assert_int_equal(err.code, ERR_USAGE);
        assert_non_null(strstr(err.msg, "expected"));
    }
    stop_bench(&t, N);
    for (size_t i = 0; i < N; i++) {
        snprintf(scope, sizeof(scope), "/%s/sqs/aws4_request", good[i].region);
        aws_bench_sent(&t.b, i, scope);
    }
    aws_bench_free(&t.b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batches), cmocka_unit_test(test_receive),
        cmocka_unit_test(test_cancel),  cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_urls),
    };
    return cmocka_run_group_tests(tests, aws_bench_set_up, NULL);
}
