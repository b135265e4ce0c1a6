/* SPDX-License-Identifier: Apache-2.0
 *
 * One request, one answer: methods, headers, bodies, caps, errors, and what is no answer at all.
 */
#include "net/http.h"

#include <dirent.h>
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

/* ---- requests ---- */

static void test_get(void **state)
{
    (void)state;
    static const struct scripted_answer answers[] = {{"200 OK\r\nETag: \"e\"\r\n", "hello"}};
    static const struct http_header headers[] = {{"X-One", "1", false}, {"X-Empty", "", false}};
    struct http_bench *b = bench_new(answers, 1);
    b->rq.headers = headers;
    b->rq.n_headers = COUNT(headers);
    bench_go(b, "/a%2Fb/../c%20d?x=1&y");
    bench_succeeded(b, 200);
    assert_string_equal(b->body, "hello");
    assert_int_equal(b->content_length, 5);
    bench_stop(b, 1);
    assert_true(strstr(b->url, "/a%2Fb/../c%20d?x=1&y") != NULL);
    /* The path as it was written: a signature stands on it. */
    assert_ptr_equal(strstr(scripted_http_request(b->server, 0), "GET /a%2Fb/../c%20d?x=1&y HTTP"),
                     scripted_http_request(b->server, 0));
    assert_true(bench_asked(b, 0, "\r\nHost: 127.0.0.1:"));
    assert_true(bench_asked(b, 0, "\r\nUser-Agent: bench/1\r\n"));
    assert_true(bench_asked(b, 0, "\r\nX-One: 1\r\n"));
    assert_true(bench_asked(b, 0, "\r\nX-Empty:\r\n"));
    assert_false(bench_asked(b, 0, "Expect:"));
    assert_false(bench_asked(b, 0, "Accept-Encoding"));
    assert_false(bench_asked(b, 0, "Content-Length"));
    bench_free(b, 1);
}

static void test_head(void **state)
{
    (void)state;
    static const struct scripted_answer answers[] = {
        {"200 OK\r\nContent-Length: 123456789012\r\n", "", SCRIPTED_KEEP},
        {"200 OK\r\n", "after it"},
    };
    struct http_bench *b = bench_new(answers, 2);
    b->rq.method = "HEAD";
    bench_go(b, "/");
    bench_succeeded(b, 200);
    assert_true(b->content_length == 123456789012);
    assert_int_equal(b->body_len, 0);
    b->rq.method = "GET";
    bench_go(b, "/");
    assert_string_equal(b->body, "after it");
    bench_free(b, 2);
}

static void test_request_bodies(void **state)
{
    static const struct {
        const char *method;
        const char *body; /* NULL: none */
        bool has_body;
        const char *length; /* in the request; NULL: no such header */
    } cases[] = {
        {"PUT", "some bytes", true, "\r\nContent-Length: 10\r\n"},
        {"PUT", "some bytes", false, "\r\nContent-Length: 10\r\n"},
        {"PUT", NULL, true, "\r\nContent-Length: 0\r\n"},
        {"POST", "{}", true, "\r\nContent-Length: 2\r\n"},
        {"POST", NULL, true, "\r\nContent-Length: 0\r\n"},
        {"POST", NULL, false, NULL},
        {"DELETE", NULL, false, NULL},
    };
    (void)state;
    static const struct scripted_answer answer = {"200 OK\r\n", "done"};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct http_bench *b = bench_new(&answer, 1);
        b->rq.method = cases[i].method;
        b->rq.body = cases[i].body;
        b->rq.body_len = cases[i].body ? strlen(cases[i].body) : 0;
        b->rq.has_body = cases[i].has_body;
        bench_go(b, "/");
        bench_succeeded(b, 200);
        assert_string_equal(b->body, "done");
        bench_stop(b, 1);
        const char *request = scripted_http_request(b->server, 0);
        assert_memory_equal(request, cases[i].method, strlen(cases[i].method));
        if (cases[i].length)
            assert_true(bench_asked(b, 0, cases[i].length));
        else
            assert_false(bench_asked(b, 0, "Content-Length"));
        assert_false(bench_asked(b, 0, "Transfer-Encoding"));
        assert_false(bench_asked(b, 0, "Content-Type"));
        assert_string_equal(strstr(request, "\r\n\r\n") + 4, cases[i].body ? cases[i].body : "");
        bench_free(b, 1);
    }
}

/* Over all buffers on the way; the letters tell a repeated or lost piece. */
static char *letters(size_t len)
{
    char *text = xcalloc(1, len + 1);
    uint32_t x = 1;
    for (size_t i = 0; i < len; i++) {
        x = x * 1664525 + 1013904223;
        text[i] = (char)('a' + (x >> 24) % 26);
    }
    return text;
}

static void test_large_bodies(void **state)
{
    (void)state;
    enum { LEN = 700 * 1000 };
    char *up = letters(LEN), *down = letters(LEN - 1);
    struct scripted_answer answer = {"200 OK\r\n", down};
    struct http_bench *b = bench_new(&answer, 1);
    b->rq.method = "PUT";
    b->rq.body = up;
    b->rq.body_len = LEN;
    b->rq.max_body = LEN;
    bench_go(b, "/");
    bench_succeeded(b, 200);
    assert_string_equal(b->body, down);
    bench_stop(b, 1);
    assert_string_equal(strstr(scripted_http_request(b->server, 0), "\r\n\r\n") + 4, up);
    bench_free(b, 1);
    free(up);
    free(down);
}

/* ---- headers of the answer ---- */

static void look_up(struct http_bench *b, const struct http_response *rsp)
{
    bench_succeeded(b, 200);
    assert_string_equal(http_response_header(rsp, "X-Name"), "value with spaces");
    assert_string_equal(http_response_header(rsp, "x-nAME"), "value with spaces");
    assert_string_equal(http_response_header(rsp, "x-joined"), "one, two, three");
    assert_string_equal(http_response_header(rsp, "X-Empty"), "");
    assert_string_equal(http_response_header(rsp, "X-Colon"), "a:b: c");
    assert_null(http_response_header(rsp, "X-Nam"));
    assert_null(http_response_header(rsp, "X-Interim"));
    assert_null(http_response_header(rsp, "X-Trailer"));
    assert_null(http_response_header(rsp, ""));
}

static void test_answer_headers(void **state)
{
    (void)state;
    static const struct scripted_answer answers[] = {
        {"100 Continue\r\nX-Interim: 1\r\n\r\n"
         "HTTP/1.1 103 Early Hints\r\nX-Interim: 2\r\n\r\n"
         "HTTP/1.1 200 OK\r\nX-Name: \t value with spaces \t \r\nX-Joined: one\r\nX-Empty:\r\n"
         "x-JOINED: two\r\nX-Colon: a:b: c\r\n: nameless\r\nX-Joined: three\r\n"
         "Transfer-Encoding: chunked\r\n",
         "5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nX-Trailer: 1\r\nX-Name: other\r\n\r\n",
         SCRIPTED_DRIP},
    };
    struct http_bench *b = bench_new(answers, 1);
    b->at_done = look_up;
    bench_go(b, "/");
    bench_succeeded(b, 200);
    assert_string_equal(b->body, "hello world");
    assert_int_equal(b->content_length, -1);
    bench_free(b, 1);
}

static void test_header_cap(void **state)
{
    (void)state;
    struct buf head = BUF_INIT(256 * 1024);
    buf_str_append(&head, "200 OK\r\n");
    for (int i = 0; head.len < 60 * 1024; i++)
        buf_printf(&head, "X-%d: %0500d\r\n", i, 0);
    char *fits = xstrdup(buf_str(&head));
    for (int i = 0; head.len < 70 * 1024; i++)
        buf_printf(&head, "Y-%d: %0500d\r\n", i, 0);
    struct scripted_answer answers[] = {{fits, ""}, {buf_str(&head), ""}};
    struct http_bench *b = bench_new(answers, 2);
    bench_go(b, "/");
    bench_succeeded(b, 200);
    bench_go(b, "/");
    bench_failed(b, ERR_PROTOCOL, "header is over 64 KiB");
    assert_false(b->answered);
    bench_free(b, 2);
    buf_release(&head);
    free(fits);
}

/* Answers that announce an answer, without end. */
static void test_interim_answers_are_bounded(void **state)
{
    (void)state;
    struct buf head = BUF_INIT(256 * 1024);
    buf_str_append(&head, "100 Continue\r\n\r\n");
    while (head.len < 70 * 1024)
        buf_str_append(&head, "HTTP/1.1 102 Processing\r\nX-Interim: 1\r\n\r\n");
    buf_str_append(&head, "HTTP/1.1 200 OK\r\n");
    struct scripted_answer answer = {buf_str(&head), ""};
    struct http_bench *b = bench_new(&answer, 1);
    bench_go(b, "/");
    bench_failed(b, ERR_PROTOCOL, "header is over 64 KiB");
    bench_free(b, 1);
    buf_release(&head);
}

/* ---- bodies of the answer ---- */

static void test_body_cap(void **state)
{
    (void)state;
    static const struct scripted_answer answers[] = {
        {"200 OK\r\n", "12345678"},
        {"200 OK\r\n", "123456789"},
        {"200 OK\r\nTransfer-Encoding: chunked\r\n", "8\r\n12345678\r\n1\r\n9\r\n0\r\n\r\n",
         SCRIPTED_DRIP},
        {"200 OK\r\n", "1"},
        {"200 OK\r\n", ""},
    };
    struct http_bench *b = bench_new(answers, COUNT(answers));
    b->rq.max_body = 8;
    bench_go(b, "/");
    bench_succeeded(b, 200);
    assert_string_equal(b->body, "12345678");
    for (int i = 0; i < 2; i++) {
        bench_go(b, "/");
        bench_failed(b, ERR_PROTOCOL, "over 8 bytes");
    }
    b->rq.max_body = 0;
    bench_go(b, "/");
    bench_failed(b, ERR_PROTOCOL, "over 0 bytes");
    bench_go(b, "/");
    bench_succeeded(b, 200);
    assert_int_equal(b->content_length, 0);
    bench_free(b, COUNT(answers));
}

static void test_error_bodies(void **state)
{
    (void)state;
    char *long_body = letters(100 * 1000);
    struct scripted_answer answers[] = {
        {"404 Not Found\r\nX-Name: 1\r\n", "<no such thing>"},
        {"403 Forbidden\r\n", long_body},
        {"400 Bad Request\r\nContent-Length: 100\r\n", "cut off"},
        {"304 Not Modified\r\nContent-Length: 5\r\n", ""},
    };
    struct http_bench *b = bench_new(answers, COUNT(answers));
    b->rq.max_body = 3; /* of a success */
    bench_stream(b);    /* nor is on_data for errors */
    bench_go(b, "/what?secret=s3cr3t");
    bench_failed(b, ERR_HTTP, "/what answered 404");
    assert_int_equal(b->err.http_status, 404);
    assert_int_equal(b->status, 404);
    assert_string_equal(b->body, "<no such thing>");
    bench_go(b, "/");
    assert_int_equal(b->err.http_status, 403);
    assert_int_equal(b->body_len, 64 * 1024);
    assert_memory_equal(b->body, long_body, b->body_len);
    b->rq.flags = HTTP_NO_RETRY; /* half a reason is none */
    bench_go(b, "/");
    bench_failed(b, ERR_NETWORK, "broke off");
    b->rq.flags = 0;
    bench_go(b, "/");
    assert_int_equal(b->err.http_status, 304);
    assert_int_equal(b->n_head, 0);
    assert_int_equal(b->data.len, 0);
    bench_free(b, COUNT(answers));
    free(long_body);
}

static void test_no_content(void **state)
{
    (void)state;
    static const struct scripted_answer answers[] = {
        {"204 No Content\r\n", "", SCRIPTED_KEEP},
        {"204 No Content\r\n", "", SCRIPTED_KEEP},
    };
    struct http_bench *b = bench_new(answers, 2);
    bench_go(b, "/");
    bench_succeeded(b, 204);
    assert_int_equal(b->body_len, 0);
    bench_stream(b);
    bench_go(b, "/");
    bench_succeeded(b, 204);
    assert_int_equal(b->n_head, 1);
    assert_int_equal(b->data.len, 0);
    bench_free(b, 2);
}

/* ---- what is no answer ---- */

static void test_garbage(void **state)
{
    static const struct {
        const char *bytes;
        enum err_code code;
        const char *text;
    } cases[] = {
        {"SSH-2.0-OpenSSH_9.2\r\n", ERR_PROTOCOL, "does not speak HTTP"},
        {"<html>not HTTP</html>", ERR_PROTOCOL, "does not speak HTTP"},
        {"HTTP/1.1 banana\r\n\r\n", ERR_PROTOCOL, "does not speak HTTP"},
        {"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello", ERR_PROTOCOL, "does not speak HTTP"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}\n", ERR_PROTOCOL,
         "more than one length"},
        {"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n", ERR_PROTOCOL, "does not speak HTTP"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", ERR_NETWORK, "broke off"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", ERR_NETWORK, "broke off"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello", ERR_NETWORK, ""},
        {"", ERR_NETWORK, "broke off"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct scripted_answer answer = {cases[i].bytes, "", SCRIPTED_RAW};
        struct http_bench *b = bench_new(&answer, 1);
        b->rq.flags = HTTP_NO_RETRY;
        bench_go(b, "/place");
        bench_failed(b, cases[i].code, cases[i].text);
        bench_failed(b, cases[i].code, "/place");
        bench_free(b, 1);
    }
}

static void test_bad_urls(void **state)
{
    static const char *const urls[] = {"",
                                       "ftp://127.0.0.1/",
                                       "http://",
                                       "http://127.0.0.1:99999/",
                                       "http://user:s3cr3t@127.0.0.1/?s3cr3t",
                                       "http://a b/"};
    (void)state;
    struct http_bench *b = bench_new(NULL, 0);
    for (size_t i = 0; i < COUNT(urls); i++) {
        bench_go(b, urls[i]);
        bench_failed(b, ERR_INPUT, "URL");
        assert_null(strstr(b->err.msg, "s3cr3t"));
        assert_false(b->answered);
    }
    bench_free(b, 0);
}

static void test_line_breaks_stay_out_of_headers(void **state)
{
    static const char *const values[] = {"a\r\nX-Evil: 1", "a\nb", "a\rb"};
    (void)state;
    struct http_bench *b = bench_new(NULL, 0);
    for (size_t i = 0; i < COUNT(values); i++) {
        struct http_header header = {"X-Name", values[i], false};
        b->rq.headers = &header;
        b->rq.n_headers = 1;
        bench_go(b, "/");
        bench_failed(b, ERR_INPUT, "X-Name");
        assert_null(strstr(b->err.msg, "Evil"));
    }
    bench_free(b, 0);
}

/* Whatever goes wrong, the message has neither the query nor a header of the request. */
static void test_messages_keep_secrets(void **state)
{
    (void)state;
    static const struct scripted_answer answers[] = {
        {"403 Forbidden\r\n", "s3cr3t"},
        {NULL, NULL},
        {NULL, NULL, SCRIPTED_RESET},
        {"garbage", "", SCRIPTED_RAW},
        {"200 OK\r\nContent-Length: 100\r\n", "s3cr3t"},
        {"200 OK\r\n", "more than three bytes"},
        {"302 Found\r\n", ""},
        {"HTTP/1.1 302 Found\r\nLocation: ftp://u:s3cr3t@127.0.0.1/?s3cr3t\r\n\r\n", "",
         SCRIPTED_RAW},
        {NULL, NULL, SCRIPTED_HOLD},
    };
    static const struct http_header header = {"Authorization", "Bearer s3cr3t", true};
    struct http_bench *b = bench_new(answers, COUNT(answers));
    b->rq.headers = &header;
    b->rq.n_headers = 1;
    b->rq.flags = HTTP_NO_RETRY | HTTP_FOLLOW;
    b->rq.max_body = 3;
    for (size_t i = 0; i < COUNT(answers); i++) {
        bench_go(b, "/bucket/key?X-Amz-Signature=s3cr3t");
        assert_true(b->failed);
        assert_true(strstr(b->err.msg, "127.0.0.1") != NULL);
        assert_null(strstr(b->err.msg, "s3cr3t"));
    }
    bench_free(b, COUNT(answers));
}

/* ---- many ---- */

static size_t open_files(void)
{
    size_t n = 0;
    DIR *dir = opendir("/proc/self/fd");
    if (!dir)
        skip();
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

enum { MANY = 2000 };

static size_t many_left;

static void one_more(struct http_bench *b, const struct http_response *rsp)
{
    (void)rsp;
    if (--many_left)
        bench_start(b, "/");
}

static void test_connections_do_not_pile_up(void **state)
{
    (void)state;
    struct scripted_answer *answers = xcalloc(MANY + 2, sizeof(answers[0]));
    static const unsigned flags[] = {SCRIPTED_KEEP, SCRIPTED_KEEP, 0, SCRIPTED_CLOSE};
    for (size_t i = 0; i < MANY + 2; i++)
        answers[i] = (struct scripted_answer){"200 OK\r\n", "x", i < 2 ? 0 : flags[i % 4]};
    struct http_bench *b = bench_new(answers, MANY + 2);
    bench_go(b, "/");
    bench_go(b, "/");
    size_t before = open_files();
    b->at_done = one_more;
    many_left = MANY;
    bench_start(b, "/");
    bench_run(b);
    assert_int_equal(many_left, 0);
    bench_succeeded(b, 200);
    assert_true(open_files() <= before + 2); /* a kept connection, and the server's end of it */
    bench_free(b, MANY + 2);
    free(answers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get),
        cmocka_unit_test(test_head),
        cmocka_unit_test(test_request_bodies),
        cmocka_unit_test(test_large_bodies),
        cmocka_unit_test(test_answer_headers),
        cmocka_unit_test(test_header_cap),
        cmocka_unit_test(test_interim_answers_are_bounded),
        cmocka_unit_test(test_body_cap),
        cmocka_unit_test(test_error_bodies),
        cmocka_unit_test(test_no_content),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_bad_urls),
        cmocka_unit_test(test_line_breaks_stay_out_of_headers),
        cmocka_unit_test(test_messages_keep_secrets),
        cmocka_unit_test(test_connections_do_not_pile_up),
    };
    return cmocka_run_group_tests(tests, bench_init, NULL);
}
