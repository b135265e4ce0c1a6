/* SPDX-License-Identifier: Apache-2.0
 *
 * Exchanges one after the other on a connection, answers that come too early, and bytes that are
 * received where they belong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/mem.h"
#include "tests/unit/net/http_bench.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* What follows an answer on its connection is not taken for the next one. */
static void test_a_second_answer_is_nobodys(void **state)
{
    static const struct scripted_answer scripts[][2] = {
        {{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none"
          "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n",
          "evil", SCRIPTED_RAW | SCRIPTED_KEEP},
         {"200 OK\r\n", "two"}},
        {{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n", "\r\n",
          SCRIPTED_RAW | SCRIPTED_KEEP},
         {"200 OK\r\n", "two"}},
        {{"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\n", "evil",
          SCRIPTED_RAW | SCRIPTED_KEEP},
         {"200 OK\r\n", "two"}},
    };
    (void)state;
    for (size_t i = 0; i < 2 * COUNT(scripts); i++) {
        struct http_bench *b = bench_new(scripts[i / 2], 2);
        if (i % 2) /* received as far as the length goes, and no further */
            bench_stream(b);
        bench_go(b, "/1");
        assert_false(b->failed);
        assert_false(strstr(i % 2 ? buf_str(&b->data) : b->body, "evil"));
        bench_go(b, "/2");
        bench_succeeded(b, 200);
        assert_string_equal(i % 2 ? buf_str(&b->data) : b->body, "two");
        bench_free(b, 2);
    }
}

/* A refusal that comes before the body has gone out ends the request; the rest of the body is not
 * sent, nor is the connection used again. */
static void test_refused_early(void **state)
{
    enum { LEN = 32 * 1024 * 1024 };
    static const struct scripted_answer scripts[][2] = {
        {{"403 Forbidden\r\n", "no", SCRIPTED_EARLY | SCRIPTED_HOLD}, {"200 OK\r\n", "two"}},
        {{"403 Forbidden\r\nConnection: keep-alive\r\n", "no", SCRIPTED_EARLY | SCRIPTED_KEEP},
         {"200 OK\r\n", "two"}},
    };
    (void)state;
    char *body = xcalloc(1, LEN);
    for (size_t i = 0; i < COUNT(scripts); i++) {
        struct http_bench *b = bench_new(scripts[i], 2);
        b->rq.method = "PUT";
        b->rq.body = body;
        b->rq.body_len = LEN;
        bench_go(b, "/");
        bench_failed(b, ERR_HTTP, "403");
        assert_string_equal(b->body, "no");
        b->rq.body = NULL;
        b->rq.body_len = 0;
        b->rq.method = "GET";
        bench_go(b, "/");
        bench_succeeded(b, 200);
        assert_string_equal(b->body, "two");
        bench_free(b, 2);
    }
    free(body);
}

/* Who takes a body and breaks off has not answered. */
static void test_broken_off_while_sending(void **state)
{
    enum { LEN = 32 * 1024 * 1024 };
    static const struct scripted_answer answers[] = {{NULL, NULL, SCRIPTED_EARLY | SCRIPTED_RESET},
                                                     {NULL, NULL, SCRIPTED_EARLY}};
    (void)state;
    char *body = xcalloc(1, LEN);
    struct http_bench *b = bench_new(answers, 2);
    b->rq.method = "PUT";
    b->rq.body = body;
    b->rq.body_len = LEN;
    b->rq.flags = HTTP_NO_RETRY;
    for (int i = 0; i < 2; i++) {
        bench_go(b, "/");
        bench_failed(b, ERR_NETWORK, "PUT ");
        assert_false(b->answered);
    }
    bench_free(b, 2);
    free(body);
}

/* A blank now and then is a sign of life, of an answer that takes long. */
static void test_blanks_are_no_stall(void **state)
{
    (void)state;
    static const struct scripted_answer answer = {"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n",
                                                  "                    ",
                                                  SCRIPTED_RAW | SCRIPTED_HOLD};
    struct http_bench *b = bench_new(&answer, 1);
    b->rq.flags = HTTP_NO_RETRY;
    int64_t begun_ms = clock_mono_ms();
    bench_go(b, "/");
    bench_failed(b, ERR_TIMEOUT, "less than 64 bytes a second for 1 s");
    int64_t took_ms = clock_mono_ms() - begun_ms;
    assert_true(took_ms >= BENCH_STALL_MS - 50 && took_ms < BENCH_STALL_MS * 2);
    bench_free(b, 1);
}

/* What somebody has taken stays his, whatever has become of it: libcurl would close a connection
 * that seems dead, and its descriptor would be the next one's. */
static struct {
    struct http_bench *b;
    struct http_call *first;
    bool resumed, first_ended;
} held;

static size_t hold_then_take(void *arg, const void *data, size_t len)
{
    (void)arg;
    (void)data;
    return held.resumed ? len : HTTP_PAUSE;
}

static void first_has_ended(void *arg, const struct http_response *rsp, const struct err *err)
{
    (void)arg;
    (void)rsp;
    assert_true(held.resumed);
    assert_non_null(err);
    assert_int_equal(err->code, ERR_NETWORK);
    held.first_ended = true;
    loop_stop(held.b->loop);
}

static void start_second(void *arg)
{
    bench_start(arg, "/second");
}

static void test_a_dead_connection_is_its_owners(void **state)
{
    static const struct scripted_answer answers[] = {{"200 OK\r\nContent-Length: 10\r\n", "half"},
                                                     {"200 OK\r\n", "two"}};
    enum { LIBCURLS_PAUSE_MS = 1200 }; /* it looks for dead ones once a second */
    (void)state;
    struct http_bench *b = bench_new(answers, 2);
    memset(&held, 0, sizeof(held));
    held.b = b;
    char *url = xprintf("%s/first", scripted_http_url(b->server));
    struct http_request rq = {.method = "GET", .url = url, .flags = HTTP_NO_RETRY};
    held.first =
        http_start(b->loop, &rq,
                   &(struct http_events){.on_data = hold_then_take, .on_done = first_has_ended}, b);
    struct loop_timer timer = {0};
    loop_timer_start(b->loop, &timer, LIBCURLS_PAUSE_MS, start_second, b);
    bench_run(b);
    bench_succeeded(b, 200);
    assert_string_equal(b->body, "two");
    assert_false(held.first_ended);
    held.resumed = true;
    http_resume(held.first);
    bench_run(b);
    assert_true(held.first_ended);
    bench_free(b, 2);
    free(url);
}

/* ---- room ---- */

enum { ROOM = 300 * 1000 };

static struct {
    char *room;
    size_t had;   /* of the output */
    size_t offer; /* at most so much room */
    size_t take;  /* at most so many bytes in one on_data */
    size_t in_room, elsewhere;
    struct http_bench *b;
} place;

static void *offer_room(void *arg, size_t *len)
{
    (void)arg;
    *len = ROOM - place.had < place.offer ? ROOM - place.had : place.offer;
    return *len ? place.room + place.had : NULL;
}

static size_t take_there(void *arg, const void *data, size_t len)
{
    (void)arg;
    size_t n = len < place.take ? len : place.take;
    if (data == place.room + place.had) {
        place.in_room += n;
    } else {
        place.elsewhere += n;
        memmove(place.room + place.had, data, n);
    }
    place.had += n;
    if (n < len)
        http_resume(place.b->call);
    return n;
}

static void test_received_where_it_belongs(void **state)
{
    static const struct {
        size_t offer, take;
        bool chunked, drip;
    } cases[] = {
        {ROOM, ROOM, false, false}, {1000, 1000, false, false}, {ROOM, 777, false, false},
        {1, 1000, false, false},    {ROOM, ROOM, true, false},  {0, ROOM, false, false},
        {ROOM, ROOM, true, true},
    };
    (void)state;
    char *text = xcalloc(1, ROOM + 1);
    for (size_t i = 0; i < ROOM; i++)
        text[i] = (char)('a' + i * 7 % 25);
    struct buf chunks = BUF_INIT(2 * ROOM);
    for (size_t at = 0, n; at < ROOM; at += n) {
        n = ROOM - at < 1 + at % 5000 ? ROOM - at : 1 + at % 5000;
        buf_printf(&chunks, "%zx\r\n%.*s\r\n", n, (int)n, text + at);
    }
    buf_str_append(&chunks, "0\r\n\r\n");
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct scripted_answer answer = {
            cases[i].chunked ? "200 OK\r\nTransfer-Encoding: chunked\r\n" : "200 OK\r\n",
            cases[i].chunked ? buf_str(&chunks) : text, cases[i].drip ? SCRIPTED_DRIP : 0};
        struct http_bench *b = bench_new(&answer, 1);
        memset(&place, 0, sizeof(place));
        place.room = xcalloc(1, ROOM);
        place.offer = cases[i].offer;
        place.take = cases[i].take;
        place.b = b;
        bench_stream(b);
        b->events.room = offer_room;
        b->events.on_data = take_there;
        bench_go(b, "/");
        bench_succeeded(b, 200);
        assert_int_equal(place.had, ROOM);
        assert_memory_equal(place.room, text, ROOM);
        if (cases[i].offer == 0)
            assert_int_equal(place.in_room, 0);
        else
            assert_true(place.in_room > 0);
        if (cases[i].offer == ROOM && cases[i].take == ROOM && !cases[i].chunked)
            assert_true(place.elsewhere < ROOM / 2); /* what came with the head */
        free(place.room);
        bench_free(b, 1);
    }
    buf_release(&chunks);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_second_answer_is_nobodys),
        cmocka_unit_test(test_refused_early),
        cmocka_unit_test(test_broken_off_while_sending),
        cmocka_unit_test(test_blanks_are_no_stall),
        cmocka_unit_test(test_a_dead_connection_is_its_owners),
        cmocka_unit_test(test_received_where_it_belongs),
    };
    return cmocka_run_group_tests(tests, bench_init, NULL);
}
