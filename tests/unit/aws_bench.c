/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/aws_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/http.h"

int aws_bench_set_up(void **state)
{
    (void)state;
    struct err err = {0};
    struct http_options options = {.connect_timeout_ms = 5000,
                                   .stall_timeout_ms = 20000,
                                   .max_attempts = 2,
                                   .user_agent = "egress/test"};
    setenv("AWS_ACCESS_KEY_ID", "AKIATEST", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
    static const char *const names[] = {"AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ENDPOINT_URL",
                                        "AWS_ENDPOINT_URL_SECRETS_MANAGER", "http_proxy"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        unsetenv(names[i]);
    return http_init(&options, &err);
}

void aws_bench_open(struct aws_bench *b, const struct scripted_answer *answers, size_t n)
{
    struct err err = {0};
    *b = (struct aws_bench){0};
    b->server = scripted_http_start(answers, n);
    b->loop = loop_new(&err);
    b->credentials = credentials_new(b->loop, &(struct credentials_config){0}, &err);
    assert_non_null(b->credentials);
}

struct queue_sqs *aws_bench_queue(struct aws_bench *b)
{
    struct err err = {0};
    const struct queue_sqs_config config = {
        .url = AWS_BENCH_QUEUE_URL,
        .endpoint_url = scripted_http_url(b->server),
        .credentials = b->credentials,
    };
    struct queue_sqs *queue = queue_sqs_new(b->loop, &config, &err);
    assert_non_null(queue);
    return queue;
}

void aws_bench_stop(struct aws_bench *b, size_t n_requests)
{
    credentials_free(b->credentials);
    loop_free(b->loop);
    assert_int_equal(scripted_http_stop(b->server), n_requests);
}

void aws_bench_free(struct aws_bench *b)
{
    scripted_http_free(b->server);
}

void aws_bench_close(struct aws_bench *b, size_t n_requests)
{
    aws_bench_stop(b, n_requests);
    aws_bench_free(b);
}

void aws_bench_done(void *arg, const struct err *err)
{
    struct aws_bench *b = arg;
    b->err = err ? *err : (struct err){0};
    if (++b->dones >= b->wanted)
        loop_stop(b->loop);
}

void aws_bench_ok(struct aws_bench *b)
{
    loop_run(b->loop);
    assert_string_equal(b->err.msg, "");
    assert_int_equal(b->err.code, ERR_NONE);
}

void aws_bench_fails(struct aws_bench *b, enum err_code code, const char *says)
{
    loop_run(b->loop);
    assert_int_equal(b->err.code, code);
    if (!strstr(b->err.msg, says))
        fail_msg("\"%s\" does not say \"%s\"", b->err.msg, says);
}

void aws_bench_sent(const struct aws_bench *b, size_t i, const char *text)
{
    const char *request = scripted_http_request(b->server, i);
    if (!strstr(request, text))
        fail_msg("no \"%s\" in:\n%s", text, request);
}
