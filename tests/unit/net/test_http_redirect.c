/* SPDX-License-Identifier: Apache-2.0
 *
 * Redirects: what is followed, what is refused, and which headers go along.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "net/net_private.h"
#include "tests/unit/names.h"
#include "tests/unit/net/http_bench.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- the rules, by their text ---- */

static void test_targets(void **state)
{
    static const struct {
        const char *first, *current, *location;
        const char *target; /* NULL: refused */
        bool same_origin;
    } cases[] = {
        {"http://a.test/x/y?q", NULL, "z", "http://a.test/x/z", true},
        {"http://a.test/x/y?q", NULL, "/z?r=%2F", "http://a.test/z?r=%2F", true},
        {"http://a.test/x/y?q", NULL, "?r", "http://a.test/x/y?r", true},
        {"http://a.test/x/y", NULL, "//b.test/z", "http://b.test/z", false},
        {"http://a.test/", NULL, "http://A.TEST:80/z#part", NULL, true},
        {"http://a.test/", NULL, "/b c", "http://a.test/b%20c", true},
        {"http://a.test/", NULL, "http://a.test:81/", "http://a.test:81/", false},
        {"http://a.test/", NULL, "https://a.test/", "https://a.test/", false},
        {"http://a.test/", "http://b.test/x", "y", "http://b.test/y", false},
        {"http://a.test/", "http://b.test/x", "http://a.test/y", "http://a.test/y", true},
        /* never from https to http, however the scheme was written */
        {"https://a.test/", NULL, "http://a.test/", NULL, false},
        {"HTTPS://a.test/", NULL, "http://a.test/", NULL, false},
        {"http://a.test/", "https://b.test/", "http://a.test/", NULL, false},
        {"https://a.test/", NULL, "//a.test/z", "https://a.test/z", true},
        /* not to this machine from elsewhere */
        {"http://a.test/", NULL, "http://127.0.0.1/", NULL, false},
        {"http://a.test/", NULL, "http://127.1/", NULL, false},
        {"http://a.test/", NULL, "http://0x7f000001/", NULL, false},
        {"http://a.test/", NULL, "http://2130706433/", NULL, false},
        {"http://a.test/", NULL, "http://localhost:8080/", NULL, false},
        {"http://a.test/", NULL, "http://%6c%6fcalhost/", NULL, false},
        {"http://a.test/", NULL, "http://169.254.169.254/latest/", NULL, false},
        {"http://a.test/", NULL, "http://[::1]/", NULL, false},
        {"http://a.test/", NULL, "http://[::ffff:127.0.0.1]/", NULL, false},
        {"http://a.test/", NULL, "http://[fe80::1]/", NULL, false},
        {"http://a.test/", "http://127.0.0.1/", "/x", NULL, false},
        {"http://127.0.0.1/", NULL, "http://localhost/x", "http://localhost/x", false},
        /* what is none */
        {"http://a.test/", NULL, "ftp://a.test/", NULL, false},
        {"http://a.test/", NULL, "file:///etc/passwd", NULL, false},
        {"http://a.test/", NULL, "http://user:word@b.test/", NULL, false},
        {"http://a.test/", NULL, "http://", NULL, false},
        {"http://a.test/", NULL, "http://b.test:0/", NULL, false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct url first = {0};
        struct err err = {0};
        bool same_origin = false;
        assert_int_equal(url_parse(cases[i].first, &first, &err), 0);
        const char *current = cases[i].current ? cases[i].current : cases[i].first;
        char *target = redirect_target(current, &first, cases[i].location, &same_origin, &err);
        /* Libraries differ in whether they take out a port that goes without saying. */
        if (strstr(cases[i].location, ":80/")) {
            assert_non_null(target);
            assert_true(same_origin);
            assert_null(strchr(target, '#'));
        } else if (cases[i].target) {
            if (!target)
                fail_msg("%s: %s", cases[i].location, err.msg);
            assert_string_equal(target, cases[i].target);
            assert_int_equal(same_origin, cases[i].same_origin);
        } else {
            if (target)
                fail_msg("%s leads to %s", cases[i].location, target);
            assert_int_equal(err.code, ERR_PROTOCOL);
        }
        free(target);
        url_release(&first);
    }
}

static void test_addresses(void **state)
{
    (void)state;
    static const char *const local[] = {"127.0.0.1",     "127.9.9.9", "169.254.1.1",      "0.0.0.0",
                                        "::1",           "::",        "::ffff:127.0.0.1", "fe80::1",
                                        "fd00:ec2::254", ""};
    static const char *const far[] = {"192.0.2.1", "10.0.0.1", "2001:db8::1", "fd00::1"};
    for (size_t i = 0; i < COUNT(local); i++)
        assert_true(redirect_address_is_local(local[i]));
    for (size_t i = 0; i < COUNT(far); i++)
        assert_false(redirect_address_is_local(far[i]));
}

/* ---- on the wire ---- */

static const struct http_header headers[] = {
    {"Authorization", "Bearer s3cr3t", true},
    {"X-Plain", "1", false},
};

static struct http_bench *follower(const struct scripted_answer *answers, size_t n)
{
    struct http_bench *b = bench_new(answers, n);
    b->rq.flags = HTTP_FOLLOW;
    b->rq.headers = headers;
    b->rq.n_headers = COUNT(headers);
    return b;
}

static void test_same_origin_keeps_all_headers(void **state)
{
    static const char *const statuses[] = {"301 Moved", "302 Found", "303 See Other",
                                           "307 Temporary Redirect", "308 Permanent Redirect"};
    (void)state;
    for (size_t i = 0; i < COUNT(statuses); i++) {
        char *head = xprintf("%s\r\nLocation: ../c?d=e\r\n", statuses[i]);
        const struct scripted_answer answers[] = {{head, "moved"}, {"200 OK\r\n", "here"}};
        struct http_bench *b = follower(answers, 2);
        bench_stream(b);
        bench_go(b, "/a/b");
        bench_succeeded(b, 200);
        assert_int_equal(b->n_head, 1);
        assert_string_equal(buf_str(&b->data), "here"); /* nothing of the first body */
        assert_true(strstr(b->url, "/c?d=e") != NULL);
        bench_stop(b, 2);
        assert_true(bench_asked(b, 1, "GET /c?d=e HTTP/1.1\r\n"));
        assert_true(bench_asked(b, 1, "Authorization: Bearer s3cr3t\r\n"));
        assert_true(bench_asked(b, 1, "X-Plain: 1\r\n"));
        bench_free(b, 2);
        free(head);
    }
}

static void test_head_is_followed_by_head(void **state)
{
    (void)state;
    static const struct scripted_answer answers[] = {
        {"302 Found\r\nLocation: /there\r\n", ""},
        {"200 OK\r\nContent-Length: 77\r\n", ""},
    };
    struct http_bench *b = follower(answers, 2);
    b->rq.method = "HEAD";
    bench_go(b, "/");
    bench_succeeded(b, 200);
    assert_int_equal(b->content_length, 77);
    bench_stop(b, 2);
    assert_true(bench_asked(b, 1, "HEAD /there"));
    bench_free(b, 2);
}

/* Another port is another origin, and so is another name of the same machine. A way back does not
 * bring the secret back. */
static void test_other_origin_drops_secrets(void **state)
{
    (void)state;
    for (int by_name = 0; by_name <= 1; by_name++) {
        static const struct scripted_answer back = {"302 Found\r\nLocation: @X-Home@/back\r\n", ""};
        struct scripted_http *other = scripted_http_start(&back, 1);
        char *there = xprintf("302 Found\r\nLocation: http://%s:%s/there\r\n",
                              by_name ? "localhost" : "127.0.0.1",
                              strrchr(scripted_http_url(other), ':') + 1);
        const struct scripted_answer answers[] = {{there, ""}, {"200 OK\r\n", "back"}};
        struct http_bench *b = follower(answers, 2);
        struct http_header three[] = {
            headers[0], headers[1], {"X-Home", scripted_http_url(b->server), false}};
        b->rq.headers = three;
        b->rq.n_headers = COUNT(three);
        bench_go(b, "/");
        bench_succeeded(b, 200);
        assert_string_equal(b->body, "back");
        bench_stop(b, 2);
        assert_int_equal(scripted_http_stop(other), 1);
        assert_true(bench_asked(b, 0, "s3cr3t"));
        assert_null(strstr(scripted_http_request(other, 0), "s3cr3t"));
        assert_null(strstr(scripted_http_request(other, 0), "Authorization"));
        assert_non_null(strstr(scripted_http_request(other, 0), "X-Plain: 1\r\n"));
        assert_false(bench_asked(b, 1, "s3cr3t"));
        bench_free(b, 2);
        scripted_http_free(other);
        free(there);
    }
}

static void test_five_at_most(void **state)
{
    (void)state;
    static const struct scripted_answer hop = {"302 Found\r\nLocation: /next\r\n", ""};
    const struct scripted_answer enough[] = {hop, hop, hop, hop, hop, {"200 OK\r\n", "there"}};
    const struct scripted_answer round[] = {hop, hop, hop, hop, hop, hop, hop};
    struct http_bench *b = follower(enough, COUNT(enough));
    bench_go(b, "/");
    bench_succeeded(b, 200);
    bench_free(b, 6);
    b = follower(round, COUNT(round));
    bench_go(b, "/");
    bench_failed(b, ERR_PROTOCOL, "more than 5 times");
    bench_free(b, 6);
}

/* Steps of the way are no attempts: the third attempt is still there after two of them. */
static void test_retries_on_the_way(void **state)
{
    (void)state;
    static const struct scripted_answer hop = {"302 Found\r\nLocation: /next\r\n", ""};
    static const struct scripted_answer cut = {NULL, NULL};
    const struct scripted_answer answers[] = {hop, cut, hop, cut, {"200 OK\r\n", "there"}};
    struct http_bench *b = follower(answers, COUNT(answers));
    bench_go(b, "/first");
    bench_succeeded(b, 200);
    bench_stop(b, 5);
    assert_true(bench_asked(b, 0, "GET /first"));
    assert_true(bench_asked(b, 2, "GET /next")); /* where it stood, not from the beginning */
    bench_free(b, 5);
}

static void test_not_followed(void **state)
{
    (void)state;
    static const struct scripted_answer answer = {"302 Found\r\nLocation: /there\r\n", "moved"};
    static const char *const methods[] = {"GET", "POST", "PUT", "DELETE"};
    for (size_t i = 0; i < COUNT(methods); i++) {
        struct http_bench *b = follower(&answer, 1);
        b->rq.method = methods[i];
        b->rq.has_body = methods[i][0] == 'P';
        if (i == 0)
            b->rq.flags = 0; /* not asked to */
        bench_go(b, "/");
        bench_failed(b, ERR_HTTP, "answered 302");
        assert_string_equal(b->body, "moved");
        bench_free(b, 1);
    }
    static const struct scripted_answer strange[] = {
        {"302 Found\r\n", ""},
        {"300 Multiple Choices\r\nLocation: /x\r\n", ""},
        {"304 Not Modified\r\nLocation: /x\r\n", ""}};
    struct http_bench *b = follower(strange, 3);
    bench_go(b, "/");
    bench_failed(b, ERR_PROTOCOL, "without a Location");
    for (int i = 0; i < 2; i++) {
        bench_go(b, "/");
        bench_failed(b, ERR_HTTP, "answered 30");
    }
    bench_free(b, 3);
}

/* ---- to this machine, from an address that is not loopback ---- */

static void check_no_way_home(const char *ip, const char *name)
{
    static const struct scripted_answer prey_answer = {"200 OK\r\n", "prey"};
    struct scripted_http *prey = scripted_http_start(&prey_answer, 1);
    char *head = xprintf("302 Found\r\nLocation: http://%s:%s/\r\n", name,
                         strrchr(scripted_http_url(prey), ':') + 1);
    struct scripted_answer answer = {head, ""};
    struct scripted_http *first = scripted_http_start_at(ip, &answer, 1);
    struct http_bench *b = follower(NULL, 0);
    char *url = xprintf("%s/", scripted_http_url(first));
    bench_go(b, url);
    bench_failed(b, ERR_PROTOCOL, "redirected to the local address");
    assert_int_equal(scripted_http_stop(first), 1);
    assert_int_equal(scripted_http_stop(prey), 0); /* refused before it was asked anything */
    bench_free(b, 0);
    scripted_http_free(first);
    scripted_http_free(prey);
    free(head);
    free(url);
}

static void test_no_redirect_to_loopback(void **state)
{
    (void)state;
    char ip[NAME_SIZE];
    if (!own_address(ip))
        skip();
    check_no_way_home(ip, "127.0.0.1");
    check_no_way_home(ip, "localhost");
}

static void test_no_redirect_to_a_name_of_loopback(void **state)
{
    (void)state;
    char ip[NAME_SIZE], name[NAME_SIZE];
    if (!own_address(ip) || !name_of_loopback(name))
        skip();
    check_no_way_home(ip, name);
}

/* A proxy for others, or one that is not for this name, hides no address. */
static void test_proxies_elsewhere_change_nothing(void **state)
{
    (void)state;
    char ip[NAME_SIZE], name[NAME_SIZE];
    if (!own_address(ip) || !name_of_loopback(name))
        skip();
    setenv("https_proxy", "http://127.0.0.1:1", 1);
    check_no_way_home(ip, name);
    char *list = xprintf("%s, .%s", ip, name);
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("no_proxy", list, 1);
    check_no_way_home(ip, name);
    free(list);
    unsetenv("https_proxy");
    unsetenv("http_proxy");
    unsetenv("no_proxy");
}

/* ---- HTTP_PUBLIC_ONLY: the first URL, too ---- */

static void go_public(const char *host, const char *refused)
{
    static const struct scripted_answer answer = {"200 OK\r\n", "prey"};
    struct scripted_http *prey = scripted_http_start_at(refused ? "127.0.0.1" : host, &answer, 1);
    char *url = xprintf("http://%s:%s/", host, strrchr(scripted_http_url(prey), ':') + 1);
    struct http_bench *b = bench_new(NULL, 0);
    b->rq.flags = HTTP_PUBLIC_ONLY;
    bench_go(b, url);
    if (refused)
        bench_failed(b, ERR_PROTOCOL, refused);
    else
        bench_succeeded(b, 200);
    assert_int_equal(scripted_http_stop(prey), refused ? 0 : 1);
    bench_free(b, 0);
    scripted_http_free(prey);
    free(url);
}

static void test_public_only(void **state)
{
    (void)state;
    char ip[NAME_SIZE], name[NAME_SIZE];
    go_public("127.0.0.1", "leads to a local address");
    go_public("localhost", "leads to a local address");
    if (own_address(ip))
        go_public(ip, NULL);
    if (!name_of_loopback(name))
        skip();
    go_public(name, "leads to the local address 127.0.0.1");
}

/* What is local is not asked for by way of a proxy either, which would find itself there. */
static void test_public_only_by_proxy(void **state)
{
    (void)state;
    static const struct scripted_answer answers[] = {
        {"200 OK\r\n", "by proxy"},
        {"302 Found\r\nLocation: http://127.0.0.1:1/\r\n", ""},
    };
    struct http_bench *b = follower(answers, 2);
    b->rq.flags |= HTTP_PUBLIC_ONLY;
    setenv("http_proxy", scripted_http_url(b->server), 1);
    bench_go(b, "http://store.invalid/");
    bench_succeeded(b, 200);
    bench_go(b, "http://127.0.0.1:1/");
    bench_failed(b, ERR_PROTOCOL, "leads to a local address");
    bench_go(b, "http://store.invalid/");
    bench_failed(b, ERR_PROTOCOL, "redirected to the local address 127.0.0.1");
    unsetenv("http_proxy");
    bench_free(b, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_same_origin_keeps_all_headers),
        cmocka_unit_test(test_head_is_followed_by_head),
        cmocka_unit_test(test_other_origin_drops_secrets),
        cmocka_unit_test(test_five_at_most),
        cmocka_unit_test(test_retries_on_the_way),
        cmocka_unit_test(test_not_followed),
        cmocka_unit_test(test_no_redirect_to_loopback),
        cmocka_unit_test(test_no_redirect_to_a_name_of_loopback),
        cmocka_unit_test(test_proxies_elsewhere_change_nothing),
        cmocka_unit_test(test_public_only),
        cmocka_unit_test(test_public_only_by_proxy),
    };
    return cmocka_run_group_tests(tests, bench_init, NULL);
}
