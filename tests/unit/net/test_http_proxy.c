/* SPDX-License-Identifier: Apache-2.0
 *
 * A proxy that the environment names: used, left out for who is in no_proxy, and no way round the
 * rules for redirects.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "tests/unit/net/http_bench.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct http_bench *behind_proxy(const struct scripted_answer *answers, size_t n)
{
    struct http_bench *b = bench_new(answers, n);
    struct http_options options = bench_options();
    struct err err = {0};
    setenv("http_proxy", scripted_http_url(b->server), 1);
    setenv("https_proxy", scripted_http_url(b->server), 1);
    setenv("no_proxy", "", 1);
    assert_int_equal(http_init(&options, &err), 0);
    b->rq.flags = HTTP_FOLLOW | HTTP_NO_RETRY;
    return b;
}

static void test_request_goes_to_the_proxy(void **state)
{
    (void)state;
    static const struct scripted_answer answer = {"200 OK\r\n", "by proxy"};
    struct http_bench *b = behind_proxy(&answer, 1);
    bench_go(b, "http://store.invalid/a?b");
    bench_succeeded(b, 200);
    assert_string_equal(b->body, "by proxy");
    bench_stop(b, 1);
    assert_true(bench_asked(b, 0, "GET http://store.invalid/a?b HTTP/1.1\r\n"));
    bench_free(b, 1);
}

/* Who we are goes to the proxy, not to what is behind it. */
static void test_authorization(void **state)
{
    (void)state;
    static const struct scripted_answer answers[] = {
        {"200 OK\r\n", ""}, {"200 OK\r\n", ""}, {"407 No\r\n", ""}, {"407 No\r\n", ""}};
    static const char *const urls[] = {"http://store.invalid/", "http://127.0.0.1:%s/",
                                       "http://store.invalid/", "https://store.invalid/"};
    /* "a%3a" and "p@ss" */
    static const char wanted[] = "Proxy-Authorization: Basic YSUzYTpwQHNz\r\n";
    struct http_bench *b = behind_proxy(answers, COUNT(answers));
    const char *port = strrchr(scripted_http_url(b->server), ':') + 1;
    char proxy[64];
    snprintf(proxy, sizeof(proxy), "http://a%%253a:p%%40ss@127.0.0.1:%s", port);
    setenv("http_proxy", proxy, 1);
    setenv("https_proxy", proxy, 1);
    setenv("no_proxy", "127.0.0.1", 1);
    for (size_t i = 0; i < COUNT(urls); i++) {
        char url[64];
        snprintf(url, sizeof(url), urls[i], port);
        bench_go(b, url);
        assert_true(b->failed == (i >= 2));
        assert_null(strstr(b->err.msg, "p@ss"));
    }
    bench_stop(b, COUNT(urls));
    for (size_t i = 0; i < COUNT(urls); i++)
        if (bench_asked(b, i, wanted) != (i != 1))
            fail_msg("%s", scripted_http_request(b->server, i));
    bench_free(b, COUNT(urls));
}

static void test_no_proxy(void **state)
{
    (void)state;
    static const struct scripted_answer answer = {"200 OK\r\n", ""};
    struct http_bench *b = behind_proxy(&answer, 1);
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("no_proxy", "127.0.0.1", 1);
    bench_go(b, "/direct");
    bench_succeeded(b, 200);
    bench_stop(b, 1);
    assert_true(bench_asked(b, 0, "GET /direct HTTP/1.1\r\n"));
    bench_free(b, 1);
}

/* The proxy's own address is a local one: that says nothing about the target. */
static void test_redirects(void **state)
{
    (void)state;
    static const struct scripted_answer answers[] = {
        {"302 Found\r\nLocation: http://other.invalid/\r\n", ""},
        {"302 Found\r\nLocation: http://127.0.0.1:1/\r\n", ""},
    };
    static const struct http_header secret = {"Authorization", "s3cr3t", true};
    struct http_bench *b = behind_proxy(answers, 2);
    b->rq.headers = &secret;
    b->rq.n_headers = 1;
    bench_go(b, "http://store.invalid/");
    bench_failed(b, ERR_PROTOCOL, "redirected to the local address 127.0.0.1");
    bench_stop(b, 2);
    assert_true(bench_asked(b, 0, "s3cr3t"));
    assert_true(bench_asked(b, 1, "GET http://other.invalid/"));
    assert_false(bench_asked(b, 1, "s3cr3t"));
    bench_free(b, 2);
}

/* https goes through a tunnel: the proxy sees neither path nor headers, and its refusal is not
 * taken for the store's answer. */
static void test_tunnel(void **state)
{
    (void)state;
    static const struct scripted_answer answer = {"407 Proxy Authentication Required\r\n", "no"};
    static const struct http_header secret = {"Authorization", "s3cr3t", true};
    struct http_bench *b = behind_proxy(&answer, 1);
    b->rq.headers = &secret;
    b->rq.n_headers = 1;
    bench_go(b, "https://store.invalid/a?X-Amz-Signature=s3cr3t");
    assert_true(b->failed);
    assert_false(b->answered);
    assert_int_equal(b->err.http_status, 0);
    assert_non_null(strstr(b->err.msg, "407"));
    bench_stop(b, 1);
    assert_true(bench_asked(b, 0, "CONNECT store.invalid:443 HTTP/1.1\r\n"));
    assert_false(bench_asked(b, 0, "s3cr3t"));
    bench_free(b, 1);
}

static void test_proxy_password_stays_secret(void **state)
{
    static const char *const proxies[] = {
        "http://user:s3cr3t@127.0.0.1:1",      /* nobody there */
        "http://user:s3cr3t@127.0.0.1:999999", /* no URL */
        "user:s3cr3t@127.0.0.1:999999",        "http://user:s3cr3t@no such host/",
        "gopher://user:s3cr3t@127.0.0.1/",
    };
    (void)state;
    struct http_bench *b = behind_proxy(NULL, 0);
    for (size_t i = 0; i < sizeof(proxies) / sizeof(proxies[0]); i++) {
        setenv("http_proxy", proxies[i], 1);
        bench_go(b, "http://store.invalid/");
        assert_true(b->failed);
        if (strstr(b->err.msg, "s3cr3t"))
            fail_msg("%s", b->err.msg);
        if (i == 1)
            bench_failed(b, ERR_CONFIG, "http_proxy");
    }
    bench_free(b, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_goes_to_the_proxy),
        cmocka_unit_test(test_authorization),
        cmocka_unit_test(test_no_proxy),
        cmocka_unit_test(test_redirects),
        cmocka_unit_test(test_tunnel),
        cmocka_unit_test(test_proxy_password_stays_secret),
    };
    return cmocka_run_group_tests(tests, bench_init, NULL);
}
