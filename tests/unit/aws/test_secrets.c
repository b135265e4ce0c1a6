/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading a secret, over real sockets from a scripted server.
 */
#include "aws/secrets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/aws_bench.h"

#define ARN "arn:aws:secretsmanager:eu-west-1:123456789012:secret:token-AbCdEf"

struct bench {
    struct aws_bench b;
    struct buf value;
};

static void on_secret(void *arg, const void *data, size_t len, const struct err *err)
{
    struct bench *t = arg;
    if (!err)
        buf_append(&t->value, data, len);
    aws_bench_done(&t->b, err);
}

static struct secrets *new_secrets(struct bench *t, const char *id, const char *endpoint,
                                   struct err *err)
{
    const struct secrets_config config = {
        .id = id, .endpoint_url = endpoint, .credentials = t->b.credentials};
    return secrets_new(t->b.loop, &config, err);
}

static void open_bench(struct bench *t, const struct scripted_answer *answers, size_t n)
{
    *t = (struct bench){.value = BUF_INIT(4096)};
    aws_bench_open(&t->b, answers, n);
}

static void test_values(void **state)
{
    (void)state;
    static const struct scripted_answer answers[] = {
        {"200 OK\r\n", "{\"Name\":\"token\",\"SecretString\":\"t\\u00f6ken\\n\"}"},
        {"200 OK\r\n", "{\"SecretBinary\":\"AAECAw==\"}"},
        {"200 OK\r\n", "{\"SecretBinary\":\"AAECAw=\"}"},
        {"200 OK\r\n", "{\"SecretString\":7}"},
        {"200 OK\r\n", "[]"},
        {"200 OK\r\n", "hunter2"},
        {"400 Bad Request\r\n",
         "{\"__type\":\"ResourceNotFoundException\",\"Message\":\"can't find it\"}"},
        {"400 Bad Request\r\n",
         "{\"__type\":\"AccessDeniedException\",\"Message\":\"Access to KMS is not allowed\"}"},
        {"400 Bad Request\r\n", "{\"__type\":\"ThrottlingException\"}"},
        {"200 OK\r\n", "{\"SecretString\":\"\"}"},
    };
    struct bench t;
    struct err err = {0};
    open_bench(&t, answers, 10);
    struct secrets *s = new_secrets(&t, ARN, scripted_http_url(t.b.server), &err);
    assert_non_null(s);
    secrets_get(s, on_secret, &t);
    aws_bench_ok(&t.b);
    assert_string_equal(buf_str(&t.value), "t\xc3\xb6ken\n");
    buf_clear(&t.value);
    secrets_get(s, on_secret, &t);
    aws_bench_ok(&t.b);
    assert_int_equal(t.value.len, 4);
    assert_memory_equal(t.value.data, "\0\1\2\3", 4);
    for (int i = 0; i < 4; i++) {
        secrets_get(s, on_secret, &t);
        aws_bench_fails(&t.b, ERR_PROTOCOL, "secret " ARN);
        assert_null(strstr(t.b.err.msg, "hunter2"));
    }
    secrets_get(s, on_secret, &t);
    aws_bench_fails(&t.b, ERR_CONFIG, "there is no such secret");
    secrets_get(s, on_secret, &t);
    aws_bench_fails(&t.b, ERR_AUTH, "allow secretsmanager:GetSecretValue");
    buf_clear(&t.value);
    secrets_get(s, on_secret, &t); /* the throttled one is sent again */
    aws_bench_ok(&t.b);
    assert_int_equal(t.value.len, 0);
    secrets_get(s, on_secret, &t);
    secrets_cancel(s);
    aws_bench_fails(&t.b, ERR_CANCELLED, "");
    secrets_cancel(s);
    secrets_free(s);
    aws_bench_stop(&t.b, 10);
    aws_bench_sent(&t.b, 0, "X-Amz-Target: secretsmanager.GetSecretValue\r\n");
    aws_bench_sent(&t.b, 0, "Content-Type: application/x-amz-json-1.1\r\n");
    aws_bench_sent(&t.b, 0, "/eu-west-1/secretsmanager/aws4_request");
    aws_bench_sent(&t.b, 0, "{\"SecretId\":\"" ARN "\"}");
    aws_bench_free(&t.b);
    buf_release(&t.value);
}

static void test_ids(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "a b",
        "a\"b",
        "arn:aws:s3:::bucket",
        "arn:aws:secretsmanager::1:secret:x",
        "arn:aws:secretsmanager:eu-west-1:1:other:x",
        "arn:aws:secretsmanager",
        "arn:",
    };
    static const struct scripted_answer answers[] = {
        {"200 OK\r\n", "{\"SecretString\":\"1\"}"},
        {"200 OK\r\n", "{\"SecretString\":\"2\"}"},
    };
    struct bench t;
    struct err err = {0};
    open_bench(&t, answers, 2);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        err = (struct err){0};
        assert_null(new_secrets(&t, bad[i], NULL, &err));
        assert_int_equal(err.code, ERR_USAGE);
        assert_non_null(strstr(err.msg, "expected"));
    }
    /* A name, and the endpoint out of the environment: its own variable first. */
    setenv("AWS_ENDPOINT_URL", scripted_http_url(t.b.server), 1);
    for (int i = 0; i < 2; i++) {
        struct secrets *s = new_secrets(&t, "prod/token", NULL, &err);
        secrets_get(s, on_secret, &t);
        aws_bench_ok(&t.b);
        secrets_free(s);
        setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", scripted_http_url(t.b.server), 1);
        setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9", 1);
    }
    unsetenv("AWS_ENDPOINT_URL");
    unsetenv("AWS_ENDPOINT_URL_SECRETS_MANAGER");
    assert_string_equal(buf_str(&t.value), "12");
    aws_bench_stop(&t.b, 2);
    aws_bench_sent(&t.b, 0, "/us-east-1/secretsmanager/aws4_request");
    aws_bench_free(&t.b);
    buf_release(&t.value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_ids),
    };
    return cmocka_run_group_tests(tests, aws_bench_set_up, NULL);
}
