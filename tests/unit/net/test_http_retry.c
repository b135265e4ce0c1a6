/* SPDX-License-Identifier: Apache-2.0
 *
 * Requests that are made again, those that are not, dead connections, and time-outs.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/mem.h"
#include "tests/unit/net/http_bench.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct scripted_answer reset = {NULL, NULL, SCRIPTED_RESET};
static const struct scripted_answer closed = {NULL, NULL, 0};
static const struct scripted_answer busy = {"503 Busy\r\n", "busy"};
static const struct scripted_answer fine = {"200 OK\r\n", "fine"};

/* Gives each attempt a header with its number. */
static int number_it(void *arg, struct http_call *call, struct err *err)
{
    struct http_bench *b = arg;
    (void)err;
    char number[16];
    snprintf(number, sizeof(number), "%d", ++b->n_prepare);
    http_add_header(call, "X-Attempt", number);
    return 0;
}

static void test_second_attempt_succeeds(void **state)
{
    const struct scripted_answer *const firsts[] = {
        &busy,
        &reset,
        &closed,
        &(const struct scripted_answer){"500 Oops\r\n", ""},
        &(const struct scripted_answer){"200 OK\r\nContent-Length: 10\r\n", "cut"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(firsts); i++) {
        struct scripted_answer answers[] = {*firsts[i], fine};
        struct http_bench *b = bench_new(answers, 2);
        b->rq.method = "PUT";
        b->rq.body = "the whole body";
        b->rq.body_len = strlen(b->rq.body);
        b->events.prepare = number_it;
        bench_go(b, "/");
        bench_succeeded(b, 200);
        assert_string_equal(b->body, "fine"); /* and nothing of the first answer */
        bench_stop(b, 2);
        assert_true(bench_asked(b, 0, "X-Attempt: 1\r\n"));
        assert_true(bench_asked(b, 1, "X-Attempt: 2\r\n"));
        assert_false(bench_asked(b, 1, "X-Attempt: 1\r\n"));
        for (size_t k = 0; k < 2; k++)
            assert_string_equal(strstr(scripted_http_request(b->server, k), "\r\n\r\n") + 4,
                                "the whole body");
        bench_free(b, 2);
    }
}

static void test_attempts_are_bounded(void **state)
{
    const struct scripted_answer answers[] = {reset, reset, reset, fine};
    (void)state;
    struct http_bench *b = bench_new(answers, 4);
    b->events.prepare = number_it;
    bench_go(b, "/");
    bench_failed(b, ERR_NETWORK, "");
    assert_int_equal(b->n_prepare, BENCH_ATTEMPTS);
    assert_false(b->answered);
    bench_free(b, BENCH_ATTEMPTS);
}

static void test_no_retry_when_told(void **state)
{
    const struct scripted_answer answers[] = {busy, reset};
    (void)state;
    struct http_bench *b = bench_new(answers, 2);
    b->rq.flags = HTTP_NO_RETRY;
    bench_go(b, "/");
    bench_failed(b, ERR_HTTP, "answered 503");
    assert_string_equal(b->body, "busy");
    bench_go(b, "/");
    bench_failed(b, ERR_NETWORK, "");
    bench_free(b, 2);
}

static void test_no_retry_of_what_will_not_change(void **state)
{
    (void)state;
    static const struct scripted_answer answers[] = {
        {"404 Not Found\r\nRetry-After: 0\r\n", ""},
        {"501 No\r\n", ""},
        {"302 Found\r\n", ""},
        {"503 Busy\r\nRetry-After: 61\r\n", ""},
        {"garbage", "", SCRIPTED_RAW},
    };
    struct http_bench *b = bench_new(answers, COUNT(answers));
    for (size_t i = 0; i < COUNT(answers); i++) {
        bench_go(b, "/");
        assert_true(b->failed);
        if (b->status == 503)
            assert_int_equal(b->err.retry_after_ms, 61 * 1000); /* for whoever can wait */
    }
    bench_free(b, COUNT(answers));
}

/* Once bytes were handed over, only the caller knows from where to go on. */
static void test_no_retry_after_the_first_byte(void **state)
{
    const struct scripted_answer answers[] = {{"200 OK\r\nContent-Length: 10\r\n", "half"}, fine};
    (void)state;
    struct http_bench *b = bench_new(answers, 2);
    bench_stream(b);
    bench_go(b, "/");
    bench_failed(b, ERR_NETWORK, "broke off");
    assert_string_equal(buf_str(&b->data), "half");
    bench_free(b, 1);
}

static void test_retry_before_the_first_byte(void **state)
{
    const struct scripted_answer answers[] = {
        {"200 OK\r\nContent-Length: 10\r\n", ""}, busy, {"206 Partial Content\r\n", "all of it"}};
    (void)state;
    struct http_bench *b = bench_new(answers, 3);
    bench_stream(b);
    bench_go(b, "/");
    bench_succeeded(b, 206);
    assert_int_equal(b->n_head, 2);
    assert_string_equal(buf_str(&b->data), "all of it");
    bench_free(b, 3);
}

static void test_retry_after(void **state)
{
    (void)state;
    char date[DATE_TEXT_SIZE];
    date_format_http(clock_wall_ms() + 2500, date); /* in whole seconds */
    char *dated = xprintf("503 Busy\r\nRetry-After: %s\r\n", date);
    const struct scripted_answer answers[] = {
        {dated, ""}, fine, {"429 Slow Down\r\nRetry-After: 2\r\n", ""}, fine};
    struct http_bench *b = bench_new(answers, COUNT(answers));
    int64_t due_ms;
    assert_int_equal(date_parse_http(date, &due_ms), 0);
    bench_go(b, "/");
    bench_succeeded(b, 200);
    assert_true(clock_wall_ms() >= due_ms - 5); /* two clocks, and milliseconds cut off */
    int64_t begun_ms = clock_mono_ms();
    bench_go(b, "/");
    bench_succeeded(b, 200);
    assert_true(clock_mono_ms() - begun_ms >= 2000);
    bench_free(b, COUNT(answers));
    free(dated);
}

/* ---- kept-alive connections that are dead ---- */

static void test_dead_connection(void **state)
{
    /* Closed after the answer, although it said otherwise; or on the sight of the next request. */
    const struct scripted_answer scripts[][4] = {
        {{"200 OK\r\n", "one", SCRIPTED_CLOSE}, {"200 OK\r\n", "two"}, {NULL}, {NULL}},
        {{"200 OK\r\n", "one", SCRIPTED_KEEP}, {NULL}, {"200 OK\r\n", "two"}, {NULL}},
        {{"200 OK\r\n", "one", SCRIPTED_KEEP}, reset, {"200 OK\r\n", "two"}, {NULL}},
    };
    static const size_t n_requests[] = {2, 3, 3};
    (void)state;
    for (size_t i = 0; i < COUNT(scripts); i++) {
        struct http_bench *b = bench_new(scripts[i], COUNT(scripts[i]));
        b->rq.method = "PUT";
        b->rq.body = "the whole body";
        b->rq.body_len = strlen(b->rq.body);
        b->rq.flags = HTTP_NO_RETRY; /* it is not an attempt that failed */
        bench_go(b, "/");
        assert_string_equal(b->body, "one");
        bench_go(b, "/");
        bench_succeeded(b, 200);
        assert_string_equal(b->body, "two");
        bench_stop(b, n_requests[i]);
        assert_string_equal(
            strstr(scripted_http_request(b->server, n_requests[i] - 1), "\r\n\r\n") + 4,
            "the whole body");
        bench_free(b, n_requests[i]);
    }
}

/* ---- time-outs ---- */

static void test_stall(void **state)
{
    (void)state;
    static const struct scripted_answer answers[] = {
        {NULL, NULL, SCRIPTED_HOLD},
        {"200 OK\r\nContent-Length: 100\r\n", "half", SCRIPTED_HOLD},
    };
    struct http_bench *b = bench_new(answers, COUNT(answers));
    b->rq.flags = HTTP_NO_RETRY;
    bench_stream(b);
    for (size_t i = 0; i < COUNT(answers); i++) {
        int64_t begun_ms = clock_mono_ms();
        bench_go(b, "/place");
        bench_failed(b, ERR_TIMEOUT, "/place");
        assert_true(clock_mono_ms() - begun_ms >= BENCH_STALL_MS - 50);
    }
    bench_free(b, COUNT(answers));
}

static void test_stall_is_tried_again(void **state)
{
    const struct scripted_answer answers[] = {{NULL, NULL, SCRIPTED_HOLD}, fine};
    (void)state;
    struct http_bench *b = bench_new(answers, 2);
    bench_go(b, "/");
    bench_succeeded(b, 200);
    bench_free(b, 2);
}

static int resume_at_once(void *arg, struct http_call *call, struct err *err)
{
    (void)arg;
    (void)err;
    http_resume(call);
    return 0;
}

/* A listener that accepts nothing: what is over its queue is never connected. To go on before there
 * is a connection means nothing. */
static void test_connect_timeout(void **state)
{
    enum { FILLERS = 8 };
    (void)state;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(listener, 0), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    int fillers[FILLERS], connected = 0;
    for (int i = 0; i < FILLERS; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM, 0);
        fcntl(fillers[i], F_SETFL, O_NONBLOCK);
        if (connect(fillers[i], (struct sockaddr *)&address, len) < 0) {
            struct pollfd fd = {.fd = fillers[i], .events = POLLOUT};
            connected += poll(&fd, 1, 50) > 0;
        }
    }
    char *url = xprintf("http://127.0.0.1:%u/", (unsigned)ntohs(address.sin_port));
    struct http_bench *b = bench_new(NULL, 0);
    b->rq.flags = HTTP_NO_RETRY;
    bool full = connected < FILLERS;
    if (full) {
        int64_t begun_ms = clock_mono_ms();
        b->events.prepare = resume_at_once;
        bench_go(b, url);
        bench_failed(b, ERR_TIMEOUT, "127.0.0.1");
        assert_true(clock_mono_ms() - begun_ms >= BENCH_CONNECT_MS - 50);
    }
    bench_free(b, 0);
    free(url);
    for (int i = 0; i < FILLERS; i++)
        close(fillers[i]);
    close(listener);
    if (!full)
        skip(); /* a kernel that queues more than it was asked to */
}

static void test_nobody_listens(void **state)
{
    (void)state;
    struct http_bench *b = bench_new(NULL, 0);
    char *url = xprintf("%s/", scripted_http_url(b->server));
    scripted_http_stop(b->server);
    bench_go(b, url);
    bench_failed(b, ERR_NETWORK, "127.0.0.1");
    bench_free(b, 0);
    free(url);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_second_attempt_succeeds),
        cmocka_unit_test(test_attempts_are_bounded),
        cmocka_unit_test(test_no_retry_when_told),
        cmocka_unit_test(test_no_retry_of_what_will_not_change),
        cmocka_unit_test(test_no_retry_after_the_first_byte),
        cmocka_unit_test(test_retry_before_the_first_byte),
        cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_dead_connection),
        cmocka_unit_test(test_stall),
        cmocka_unit_test(test_stall_is_tried_again),
        cmocka_unit_test(test_connect_timeout),
        cmocka_unit_test(test_nobody_listens),
    };
    return cmocka_run_group_tests(tests, bench_init, NULL);
}
