/* SPDX-License-Identifier: Apache-2.0
 *
 * lambda_event: every shape is known for what it is, and what is broken is refused in the name of
 * the shape that it was meant to be.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/mem.h"
#include "event/event.h"
#include "ingress/lambda_event.h"

static struct lambda_event parsed(const char *data, enum lambda_event_kind kind)
{
    struct lambda_event event;
    struct err err = {0};
    if (lambda_event_parse(data, strlen(data), &event, &err) < 0)
        fail_msg("%s: %s", data, err.msg);
    assert_int_equal(event.kind, kind);
    return event;
}

static void is(const char *data, enum lambda_event_kind kind)
{
    struct lambda_event event = parsed(data, kind);
    lambda_event_release(&event);
}

static void is_direct(const char *data, const char *job)
{
    struct lambda_event event = parsed(data, LAMBDA_DIRECT);
    assert_string_equal(event.job, job);
    lambda_event_release(&event);
}

static void refused(const char *data, enum lambda_event_kind kind, const char *says)
{
    struct lambda_event event;
    struct err err = {0};
    assert_int_equal(lambda_event_parse(data, strlen(data), &event, &err), -1);
    assert_int_equal(event.kind, kind);
    assert_int_equal(err.code, ERR_INPUT);
    if (!strstr(err.msg, says))
        fail_msg("\"%s\" does not say \"%s\"", err.msg, says);
    lambda_event_release(&event);
}

static void proxy(void **state)
{
    (void)state;
    struct lambda_event event = parsed(
        "{\"httpMethod\":\"POST\",\"body\":\"e30=\",\"isBase64Encoded\":true}", LAMBDA_PROXY);
    assert_int_equal(event.request.shape, INGRESS_PROXY_V1);
    assert_string_equal(event.request.body, "{}");
    lambda_event_release(&event);
    event = parsed("{\"version\":\"2.0\",\"requestContext\":{\"http\":{\"method\":\"GET\"}},"
                   "\"queryStringParameters\":{\"token\":\"t\"}}",
                   LAMBDA_PROXY);
    assert_string_equal(event.request.method, "GET");
    assert_string_equal(event.request.query_token, "t");
    lambda_event_release(&event);
    is("{\"body\":\"{}\"}", LAMBDA_PROXY);
    is("{\"httpMethod\":\"POST\",\"body\":null,\"id\":\"x\"}", LAMBDA_PROXY);
    refused("{\"httpMethod\":\"POST\",\"body\":7}", LAMBDA_PROXY, "\"body\" is not a string");
    refused("{\"requestContext\":{\"http\":7}}", LAMBDA_PROXY, "no requestContext.http.method");
    refused("{\"requestContext\":{\"eventType\":\"CONNECT\"}}", LAMBDA_UNKNOWN, "requestContext");
}

static void a_proxy_event_of_6_mb(void **state)
{
    (void)state;
    size_t len = 6 * 1024 * 1024;
    char *filler = xcalloc(len + 1, 1);
    memset(filler, 'x', len);
    char *data = xprintf("{\"httpMethod\":\"POST\",\"body\":\"%s\"}", filler);
    struct lambda_event event;
    struct err err = {0};
    assert_int_equal(lambda_event_parse(data, strlen(data), &event, &err), -1);
    assert_int_equal(event.kind, LAMBDA_PROXY);
    assert_int_equal(err.code, ERR_TOO_LARGE);
    lambda_event_release(&event);
    free(data);
    free(filler);
}

static void sqs(void **state)
{
    (void)state;
    struct lambda_event event = parsed(
        "{\"Records\":["
        "{\"messageId\":\"m-1\",\"receiptHandle\":\"h-1\",\"body\":\"{\\\"id\\\":\\\"a\\\"}\","
        "\"attributes\":{\"ApproximateReceiveCount\":\"3\",\"SentTimestamp\":\"1579532983000\"},"
        "\"eventSource\":\"aws:sqs\",\"eventSourceARN\":\"arn:aws:sqs:us-east-1:1:q\"},"
        "{\"messageId\":\"m-2\",\"eventSource\":\"aws:sqs\",\"body\":\"a\\u0000b\","
        "\"attributes\":{\"ApproximateReceiveCount\":3,\"SentTimestamp\":\"soon\"}},"
        "{\"messageId\":\"m-3\",\"eventSource\":\"aws:sqs\",\"receiptHandle\":7,\"body\":{},"
        "\"attributes\":{\"ApproximateReceiveCount\":\"-1\",\"SentTimestamp\":\"-1\"}}]}",
        LAMBDA_SQS);
    assert_int_equal(event.n_messages, 3);
    const struct sqs_message *m = event.messages;
    assert_string_equal(m[0].id, "m-1");
    assert_string_equal(m[0].handle, "h-1");
    assert_int_equal(m[0].body_len, 10);
    assert_string_equal(m[0].body, "{\"id\":\"a\"}");
    assert_int_equal(m[0].receives, 3);
    assert_int_equal(m[0].sent_ms, 1579532983000);
    assert_string_equal(m[1].id, "m-2");
    assert_string_equal(m[1].handle, "");
    assert_int_equal(m[1].body_len, 3);
    assert_int_equal(m[1].receives, 1);
    assert_int_equal(m[1].sent_ms, 0);
    assert_string_equal(m[2].handle, "");
    assert_string_equal(m[2].body, "");
    assert_int_equal(m[2].body_len, 0);
    assert_int_equal(m[2].receives, 1);
    assert_int_equal(m[2].sent_ms, 0);
    lambda_event_release(&event);
}

static void records_of_others_and_without_a_name(void **state)
{
    (void)state;
    refused("{\"Records\":[{\"eventSource\":\"aws:s3\",\"s3\":{}}]}", LAMBDA_SQS, "not of aws:sqs");
    refused("{\"Records\":[{\"eventSource\":\"aws:sqs\",\"messageId\":\"m\"},{}]}", LAMBDA_SQS,
            "record 1");
    refused("{\"Records\":[{\"eventSource\":\"aws:sqs\",\"body\":\"\"}]}", LAMBDA_SQS,
            "no messageId");
    refused("{\"Records\":[{\"eventSource\":\"aws:sqs\",\"messageId\":\"\"}]}", LAMBDA_SQS,
            "no messageId");
    refused("{\"Records\":[{\"EventSource\":\"aws:sns\",\"Sns\":{}}]}", LAMBDA_UNKNOWN, "Records");
    refused("{\"Records\":[]}", LAMBDA_UNKNOWN, "Records");
    refused("{\"Records\":7}", LAMBDA_UNKNOWN, "Records");
}

static void schedule(void **state)
{
    (void)state;
    is("{\"version\":\"0\",\"id\":\"53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa\",\"detail-type\":"
       "\"Scheduled Event\",\"source\":\"aws.events\",\"account\":\"1\",\"detail\":{}}",
       LAMBDA_SCHEDULE);
    is("{\"id\":\"x\",\"detail-type\":\"Scheduled Event\",\"source\":\"aws.scheduler\",\"detail\":"
       "\"{}\"}",
       LAMBDA_SCHEDULE);
    refused("{\"id\":\"x\",\"detail-type\":\"Object Created\",\"source\":\"aws.s3\"}",
            LAMBDA_UNKNOWN, "detail-type");
    refused("{\"id\":\"x\",\"detail-type\":\"Scheduled Event\",\"source\":\"mine\"}",
            LAMBDA_UNKNOWN, "detail-type");
}

static void direct(void **state)
{
    (void)state;
    is_direct("{\"id\":\"job-1\"}", "job-1");
    is_direct("{\"id\":\"job-1\",\"event\":\"job_complete\",\"msg\":\"m\"}", "job-1");
    is_direct("{\"id\":\"job-1\",\"body\":\"x\"}", "job-1");
    refused("{\"id\":\"../x\"}", LAMBDA_DIRECT, "not a job id");
    refused("{\"id\":null}", LAMBDA_DIRECT, "not a job id");
    refused("{\"id\":\"a\\u0000b\"}", LAMBDA_DIRECT, "not a job id");
    refused("{\"id\":\"job-1\",\"event\":\"job_failed\"}", LAMBDA_DIRECT, "job_failed");
    refused("{\"id\":\"../x\",\"event\":\"job_complete\"}", LAMBDA_DIRECT, "not a job id");
}

static void nothing_that_is_known(void **state)
{
    (void)state;
    refused("{\"key1\":\"value1\",\"key2\":\"value2\"}", LAMBDA_UNKNOWN, "members: key1, key2)");
    refused("{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1}", LAMBDA_UNKNOWN,
            "a, b, c, d, e, ...)");
    refused("{}", LAMBDA_UNKNOWN, "it is empty");
    refused("[{\"id\":\"a\"}]", LAMBDA_UNKNOWN, "it is no object");
    refused("7", LAMBDA_UNKNOWN, "expected a proxy event");
    refused("", LAMBDA_UNKNOWN, "not JSON");
    refused("{\"id\":\"a\"", LAMBDA_UNKNOWN, "not JSON");
    refused("{\"id\":\"a\",\"id\":\"b\"}", LAMBDA_UNKNOWN, "given twice");
}

static void values_of_unknown_events_are_not_told(void **state)
{
    (void)state;
    static const char data[] = "{\"token\":\"s3cret\",\"detail\":{\"x\":\"s3cret\"}}";
    struct lambda_event event;
    struct err err = {0};
    assert_int_equal(lambda_event_parse(data, strlen(data), &event, &err), -1);
    assert_null(strstr(err.msg, "s3cret"));
    lambda_event_release(&event);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(proxy),
        cmocka_unit_test(a_proxy_event_of_6_mb),
        cmocka_unit_test(sqs),
        cmocka_unit_test(records_of_others_and_without_a_name),
        cmocka_unit_test(schedule),
        cmocka_unit_test(direct),
        cmocka_unit_test(nothing_that_is_known),
        cmocka_unit_test(values_of_unknown_events_are_not_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
