/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/s3_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/http.h"
#include "sink/sink_s3.h"

int s3_bench_set_up(void **state)
{
    (void)state;
    struct err err = {0};
    struct http_options options = {.connect_timeout_ms = 5000,
                                   .stall_timeout_ms = 20000,
                                   .max_attempts = 2,
                                   .user_agent = "egress/test"};
    setenv("AWS_ACCESS_KEY_ID", "AKIATEST", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
    unsetenv("AWS_SESSION_TOKEN");
    unsetenv("AWS_PROFILE");
    unsetenv("http_proxy");
    return http_init(&options, &err);
}

void s3_bench_open(struct s3_bench *b, const struct scripted_answer *answers, size_t n)
{
    struct err err = {0};
    b->seen = BUF_INIT(64 * 1024);
    b->server = scripted_http_start(answers, n);
    b->loop = loop_new(&err);
    b->credentials = credentials_new(b->loop, &(struct credentials_config){0}, &err);
    assert_non_null(b->credentials);
    b->config.bucket = "buck";
    b->config.endpoint_url = scripted_http_url(b->server);
    b->config.credentials = b->credentials;
    b->s3 = s3_new(b->loop, &b->config, &err);
    b->sink = sink_s3_new(b->loop, &b->config, &err);
    assert_non_null(b->s3);
    assert_non_null(b->sink);
}

void s3_bench_stop(struct s3_bench *b, size_t n_requests)
{
    b->sink->ops->free(b->sink);
    s3_free(b->s3);
    credentials_free(b->credentials);
    loop_free(b->loop);
    assert_int_equal(scripted_http_stop(b->server), n_requests);
}

void s3_bench_free(struct s3_bench *b)
{
    scripted_http_free(b->server);
    buf_release(&b->seen);
}

void s3_bench_close(struct s3_bench *b, size_t n_requests)
{
    s3_bench_stop(b, n_requests);
    s3_bench_free(b);
}

void s3_bench_done(void *arg, const struct err *err)
{
    struct s3_bench *b = arg;
    b->err = err ? *err : (struct err){0};
    loop_stop(b->loop);
}

void s3_bench_key(void *arg, const char *key)
{
    struct s3_bench *b = arg;
    buf_printf(&b->seen, "%s|", key);
    if (b->stop_early)
        s3_cancel(b->call);
}

int s3_bench_data(void *arg, const void *data, size_t len)
{
    struct s3_bench *b = arg;
    buf_append(&b->seen, data, len);
    return b->stop_early ? -1 : 0;
}

void s3_bench_ok(struct s3_bench *b)
{
    loop_run(b->loop);
    if (b->err.code != ERR_NONE)
        fail_msg("%s: %s", err_name(b->err.code), b->err.msg);
}

void s3_bench_fails(struct s3_bench *b, enum err_code code, const char *says)
{
    loop_run(b->loop);
    if (b->err.code != code || !strstr(b->err.msg, says))
        fail_msg("expected %s \"%s\", got %s: %s", err_name(code), says, err_name(b->err.code),
                 b->err.msg);
}

void s3_bench_sent(const struct s3_bench *b, size_t i, const char *text)
{
    if (!strstr(scripted_http_request(b->server, i), text))
        fail_msg("\"%s\" is not in request %zu: %s", text, i, scripted_http_request(b->server, i));
}

void s3_bench_not_sent(const struct s3_bench *b, size_t i, const char *text)
{
    if (strstr(scripted_http_request(b->server, i), text))
        fail_msg("\"%s\" is in request %zu: %s", text, i, scripted_http_request(b->server, i));
}
