/* SPDX-License-Identifier: Apache-2.0
 *
 * Answers taken apart: where one ends, whatever it is cut into, and what is none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "net/http1_answer.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct reading {
    struct http1_answer a;
    enum http1_piece last;
    struct buf fields, body;
    size_t used;
};

static void read_answer(struct reading *r, const char *text, size_t len, size_t step, bool is_head)
{
    *r = (struct reading){.fields = BUF_INIT(128 * 1024), .body = BUF_INIT(128 * 1024)};
    http1_answer_begin(&r->a, is_head);
    r->last = HTTP1_MORE;
    while (r->used < len && r->last == HTTP1_MORE) {
        size_t n = len - r->used < step ? len - r->used : step;
        struct http1_bytes bytes = {text + r->used, n};
        while ((r->last = http1_answer_next(&r->a, &bytes)) > HTTP1_MORE && r->last != HTTP1_END) {
            if (r->last == HTTP1_FIELD)
                buf_printf(&r->fields, "%.*s|", (int)r->a.text.len, r->a.text.data);
            if (r->last == HTTP1_BODY) {
                buf_append(&r->body, r->a.text.data, r->a.text.len);
                http1_answer_took(&r->a, &bytes, r->a.text.len);
            }
        }
        r->used += n - bytes.len;
    }
}

static void forget(struct reading *r)
{
    http1_answer_release(&r->a);
    buf_release(&r->fields);
    buf_release(&r->body);
}

static void test_good(void **state)
{
    static const struct {
        const char *text;
        int status, length;
        const char *fields, *body, *left; /* left: what belongs to no answer */
        bool is_head, keep, until_end;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP", 200, 5, "Content-Length: 5|",
         "hello", "HTTP", false, true, false},
        {"HTTP/1.1 200\nContent-Length:5\n\nhello", 200, 5, "Content-Length:5|", "hello", "", false,
         true, false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, 0, "Content-Length: 0|", "", "",
         false, true, false},
        {"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\nx", 200, 500, "content-length: 500|", "",
         "x", true, true, false},
        {"HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\nx", 204, 5, "Content-Length: 5|", "", "x",
         false, false, false},
        {"HTTP/1.1 304 No\r\nTransfer-Encoding: chunked\r\n\r\n0", 304, -1,
         "Transfer-Encoding: chunked|", "", "0", false, false, false},
        {"HTTP/1.1 200 OK\r\nConnection: close\r\nConnection: keep-alive\r\nContent-Length: "
         "0\r\n\r\n",
         200, 0, "Connection: close|Connection: keep-alive|Content-Length: 0|", "", "", false,
         false, false},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: Identity\r\nContent-Length: 1\r\n\r\n!", 200, 1,
         "Content-Length: 1|", "!", "", false, true, false},
        {"HTTP/1.1 304 No\r\nX: 1\r\n\r\n", 304, -1, "X: 1|", "", "", false, true, false},
        {"HTTP/1.1 100 Continue\r\nContent-Length: 7\r\n\r\nHTTP/1.1 103 E\r\nA: b\r\n\r\n"
         "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!",
         200, 1, "Content-Length: 1|", "!", "", false, true, false},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding:  Chunked \r\n\r\n5\r\nhello\r\n"
         "00A ; ext=\"1\"\r\n0123456789\r\n0\r\nTrailer: 1\r\n\r\nrest",
         200, -1, "Transfer-Encoding:  Chunked |", "hello0123456789", "rest", false, true, false},
        /* The chunks count, and the connection is not trusted any more: RFC 9112, 6.3. */
        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"
         "\r\n",
         200, -1, "Content-Length: 3|Transfer-Encoding: chunked|", "x", "", false, false, false},
        {"HTTP/1.1 500 No\r\nConnection: te , Close\r\nContent-Length: 1\r\n\r\n!", 500, 1,
         "Connection: te , Close|Content-Length: 1|", "!", "", false, false, false},
        {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n!", 200, 1, "Content-Length: 1|", "!", "",
         false, false, false},
        {"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\n!", 200, 1,
         "Connection: Keep-Alive|Content-Length: 1|", "!", "", false, true, false},
        {"HTTP/1.1 200 OK\r\nConnection: closed\r\n\r\nall there is", 200, -1,
         "Connection: closed|", "all there is", "", false, false, true},
        {"HTTP/1.1 200 OK\r\n: nameless\r\nEmpty:\r\nContent-Length: 0\r\n\r\n", 200, 0,
         ": nameless|Empty:|Content-Length: 0|", "", "", false, true, false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t len = strlen(cases[i].text);
        for (size_t step = 1; step <= len; step++) {
            struct reading r;
            read_answer(&r, cases[i].text, len, step, cases[i].is_head);
            if (r.last != (cases[i].until_end ? HTTP1_MORE : HTTP1_END))
                fail_msg("%s in steps of %zu: %d, %s", cases[i].text, step, r.last,
                         r.a.bad ? r.a.bad : "");
            assert_int_equal(r.a.status, cases[i].status);
            assert_int_equal(r.a.length, cases[i].length);
            assert_string_equal(buf_str(&r.fields), cases[i].fields);
            assert_string_equal(buf_str(&r.body), cases[i].body);
            assert_string_equal(cases[i].text + r.used, cases[i].left);
            assert_int_equal(r.a.keep, cases[i].keep);
            assert_true(http1_answer_may_end(&r.a));
            forget(&r);
        }
    }
}

/* Wherever it breaks off it is not taken for complete. */
static void test_cut_short(void **state)
{
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: 1\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nA: b\r\n\r\n",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(answers); i++) {
        for (size_t len = 0; len < strlen(answers[i]); len++) {
            struct reading r;
            read_answer(&r, answers[i], len, 7, false);
            assert_int_equal(r.last, HTTP1_MORE);
            assert_false(http1_answer_may_end(&r.a));
            forget(&r);
        }
    }
}

#define OK_HEAD "HTTP/1.1 200 OK\r\n"
#define CHUNKED OK_HEAD "Transfer-Encoding: chunked\r\n\r\n"

static void test_bad(void **state)
{
    static const struct {
        const char *text, *why;
        bool refused;
    } cases[] = {
        {"S", "first line", false},
        {"<html>", "first line", false},
        {"HTTP/2 200\r\n", "first line", false},
        {"HTTP/1.1  200 OK\r\n", "first line", false},
        {"HTTP/1.1 20 OK\r\n", "first line", false},
        {"HTTP/1.1 2000\r\n", "first line", false},
        {"HTTP/1.x 200 OK\r\n", "first line", false},
        {"\r\nHTTP/1.1 200 OK\r\n", "first line", false},
        {"HTTP/1.1 099 OK\r\n", "status", false},
        {"HTTP/1.1 101 Switching\r\n", "status", false},
        {OK_HEAD "no colon\r\n", "no header field", false},
        {OK_HEAD "A: b\r\n folded: c\r\n", "no header field", false},
        {OK_HEAD "\tA: b\r\n", "no header field", false},
        {OK_HEAD "Content-Length : 5\r\n", "no header field", false},
        {OK_HEAD "Content\x01Length: 5\r\n", "no header field", false},
        {OK_HEAD "Content(Length): 5\r\n", "no header field", false},
        {OK_HEAD "A: b\rContent-Length: 5\r\n", "bare CR", false},
        {OK_HEAD "Content-Length: -5\r\n", "no number", false},
        {OK_HEAD "Content-Length: +5\r\n", "no number", false},
        {OK_HEAD "Content-Length: 0x5\r\n", "no number", false},
        {OK_HEAD "Content-Length: 5 5\r\n", "no number", false},
        {OK_HEAD "Content-Length:\r\n", "no number", false},
        {OK_HEAD "Content-Length: 9223372036854775808\r\n", "no number", false},
        {OK_HEAD "Content-Length: 99999999999999999999999\r\n", "no number", false},
        {OK_HEAD "Content-Length: 5, 5\r\n", "more than one length", true},
        {OK_HEAD "Content-Length: 5\r\nContent-Length: 5\r\n", "more than one length", true},
        {OK_HEAD "Transfer-Encoding: gzip, chunked\r\n", "other than chunked", false},
        {OK_HEAD "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
         "other than chunked", false},
        {CHUNKED "\r\n", "chunk's size", false},
        {CHUNKED "-1\r\n", "chunk's size", false},
        {CHUNKED "0x5\r\n", "chunk's size", false},
        {CHUNKED "5g\r\n", "chunk's size", false},
        {CHUNKED "8000000000000000\r\n", "chunk's size", false},
        {CHUNKED "10000000000000000\r\n", "chunk's size", false},
        {CHUNKED "1\r\nab\r\n", "longer than its size", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (size_t step = 1; step < 40; step++) {
            struct reading r;
            read_answer(&r, cases[i].text, strlen(cases[i].text), step, false);
            if (r.last != HTTP1_BAD || !strstr(r.a.bad, cases[i].why))
                fail_msg("%s in steps of %zu: %d, %s", cases[i].text, step, r.last,
                         r.a.bad ? r.a.bad : "");
            assert_int_equal(r.a.refused, cases[i].refused);
            assert_false(r.a.keep);
            struct http1_bytes more = {"HTTP/1.1 200 OK\r\n\r\n", 19};
            assert_int_equal(http1_answer_next(&r.a, &more), HTTP1_BAD);
            forget(&r);
        }
    }
    static const char zero[] = "HTTP/1.1 200 OK\r\nA: b\0c\r\n";
    struct reading r;
    read_answer(&r, zero, sizeof(zero) - 1, 1, false);
    assert_int_equal(r.last, HTTP1_BAD);
    assert_string_equal(r.a.bad, "its head has a zero byte or a bare CR");
    forget(&r);
    static const char in_chunk[] = CHUNKED "3\0zz\r\nabc\r\n";
    read_answer(&r, in_chunk, sizeof(in_chunk) - 1, 1, false);
    assert_int_equal(r.last, HTTP1_BAD);
    forget(&r);
}

/* Heads and trailers are bounded, of all interim answers together; a chunk's line is, too. */
static void test_caps(void **state)
{
    static const struct {
        const char *begin, *again;
        bool ends;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\n", "X: 0123456789abcdef0123456789abcdef\r\n", false},
        {"HTTP/1.1 200 OK\r\nX: ", "0123456789abcdef0123456789abcdef", false},
        {"", "HTTP/1.1 100 Continue\r\n\r\n", false},
        {CHUNKED "0\r\n", "X: 0123456789abcdef0123456789abcdef\r\n", false},
        {CHUNKED, "0000000000000000000000000000000000000000", false},
        {CHUNKED, "1;ext=0123456789abcdef0123456789abcdef\r\nx\r\n", true},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct buf text = BUF_INIT(512 * 1024);
        buf_str_append(&text, cases[i].begin);
        while (text.len < (size_t)HTTP1_HEAD_MAX + 1024)
            buf_str_append(&text, cases[i].again);
        struct reading r;
        read_answer(&r, text.data, text.len, 1000, false);
        assert_int_equal(r.last, cases[i].ends ? HTTP1_MORE : HTTP1_BAD);
        if (!cases[i].ends) {
            assert_true(r.a.refused);
            assert_string_equal(r.a.bad, "the answer's header is over 64 KiB");
        }
        forget(&r);
        buf_release(&text);
    }
}

/* What is certain to be the body's may be received elsewhere than what may be more. */
static void test_body_left(void **state)
{
    struct http1_answer a;
    (void)state;
    http1_answer_begin(&a, false);
    assert_true(http1_answer_body_left(&a) == 0);
    struct http1_bytes bytes = {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", 42};
    while (http1_answer_next(&a, &bytes) != HTTP1_BODY)
        ;
    assert_true(http1_answer_body_left(&a) == 10);
    http1_answer_took(&a, &bytes, 2);
    assert_true(http1_answer_body_left(&a) == 8);
    assert_int_equal(bytes.len, 1);
    http1_answer_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good), cmocka_unit_test(test_cut_short), cmocka_unit_test(test_bad),
        cmocka_unit_test(test_caps), cmocka_unit_test(test_body_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
