/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/net/http_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"

struct http_options bench_options(void)
{
    return (struct http_options){
        .connect_timeout_ms = BENCH_CONNECT_MS,
        .stall_timeout_ms = BENCH_STALL_MS,
        .max_attempts = BENCH_ATTEMPTS,
        .user_agent = "bench/1",
    };
}

int bench_init(void **state)
{
    static const char *const proxies[] = {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy",
                                          "ALL_PROXY"};
    (void)state;
    struct err err = {0};
    struct http_options options = bench_options();
    for (size_t i = 0; i < sizeof(proxies) / sizeof(proxies[0]); i++)
        unsetenv(proxies[i]);
    return http_init(&options, &err);
}

static void forget(struct http_bench *b)
{
    free(b->body);
    free(b->url);
    b->body = b->url = NULL;
    b->body_len = 0;
    b->n_done = b->n_head = b->n_prepare = 0;
    b->answered = b->failed = false;
    b->status = 0;
    b->content_length = -2;
    memset(&b->err, 0, sizeof(b->err));
    buf_clear(&b->data);
}

static void on_done(void *arg, const struct http_response *rsp, const struct err *err)
{
    struct http_bench *b = arg;
    b->n_done++;
    b->failed = err != NULL;
    if (err)
        b->err = *err;
    b->answered = rsp != NULL;
    if (rsp) {
        b->status = rsp->status;
        b->content_length = rsp->content_length;
        b->body = xcalloc(1, rsp->body_len + 1);
        memcpy(b->body, rsp->body, rsp->body_len);
        b->body_len = rsp->body_len;
        b->url = xstrdup(rsp->url);
        assert_int_equal(rsp->body[rsp->body_len], '\0');
    }
    b->call = NULL;
    if (b->at_done)
        b->at_done(b, rsp);
    if (!b->call)
        loop_stop(b->loop);
}

static int on_head(void *arg, const struct http_response *rsp, struct err *err)
{
    struct http_bench *b = arg;
    (void)err;
    assert_true(rsp->status >= 200 && rsp->status < 300);
    b->n_head++;
    return 0;
}

static size_t on_data(void *arg, const void *data, size_t len)
{
    struct http_bench *b = arg;
    assert_int_equal(buf_append(&b->data, data, len), 0);
    return len;
}

struct http_bench *bench_new(const struct scripted_answer *answers, size_t n)
{
    struct err err = {0};
    struct http_bench *b = xcalloc(1, sizeof(*b));
    b->loop = loop_new(&err);
    assert_non_null(b->loop);
    b->server = scripted_http_start(answers, n);
    b->rq = (struct http_request){.method = "GET", .max_body = 64 * 1024};
    b->events = (struct http_events){.on_done = on_done};
    b->data = BUF_INIT(4 * 1024 * 1024);
    return b;
}

void bench_stream(struct http_bench *b)
{
    b->events.on_head = on_head;
    b->events.on_data = on_data;
}

void bench_start(struct http_bench *b, const char *path)
{
    forget(b);
    char *url = *path == '/' ? xprintf("%s%s", scripted_http_url(b->server), path) : xstrdup(path);
    b->rq.url = url;
    b->call = http_start(b->loop, &b->rq, &b->events, b);
    b->rq.url = NULL;
    free(url);
    assert_int_equal(b->n_done, 0);
}

static void too_long(void *arg)
{
    (void)arg;
    fail_msg("the request does not end");
}

void bench_run(struct http_bench *b)
{
    loop_timer_start(b->loop, &b->watchdog, 30 * 1000, too_long, b);
    loop_run(b->loop);
    loop_timer_stop(b->loop, &b->watchdog);
}

void bench_go(struct http_bench *b, const char *path)
{
    bench_start(b, path);
    bench_run(b);
    assert_int_equal(b->n_done, 1);
}

void bench_failed(const struct http_bench *b, enum err_code code, const char *text)
{
    if (!b->failed)
        fail_msg("%d, although \"%s\" was expected", b->status, text);
    if (b->err.code != code || !strstr(b->err.msg, text))
        fail_msg("%s: \"%s\", although %s: \"%s\" was expected", err_name(b->err.code), b->err.msg,
                 err_name(code), text);
}

void bench_succeeded(const struct http_bench *b, int status)
{
    if (b->failed)
        fail_msg("%s: \"%s\"", err_name(b->err.code), b->err.msg);
    assert_int_equal(b->status, status);
    assert_true(b->answered);
}

void bench_stop(struct http_bench *b, size_t n_requests)
{
    assert_int_equal(scripted_http_stop(b->server), n_requests);
}

bool bench_asked(const struct http_bench *b, size_t i, const char *text)
{
    return strstr(scripted_http_request(b->server, i), text) != NULL;
}

void bench_free(struct http_bench *b, size_t n_requests)
{
    assert_int_equal(scripted_http_stop(b->server), n_requests);
    loop_free(b->loop);
    scripted_http_free(b->server);
    forget(b);
    buf_release(&b->data);
    free(b);
}
