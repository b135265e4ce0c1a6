/* SPDX-License-Identifier: Apache-2.0
 *
 * httpd: whole requests in, one answer each out, whoever gives it and whenever; and what comes of
 * requests that are none. Over real sockets.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/buf.h"
#include "core/log.h"
#include "core/mem.h"
#include "tests/unit/ingress/httpd_bench.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"

static const struct httpd_config plain = {0};

static void says(char *answer, const char *text)
{
    if (!strstr(answer, text))
        fail_msg("\"%s\" has no \"%s\"", answer, text);
    free(answer);
}

static struct httpd_counts counts_of(const struct httpd_bench *b)
{
    struct httpd_counts counts;
    httpd_counts(b->httpd, &counts);
    return counts;
}

/* What happens on the server's thread becomes visible soon, not at once. */
static void wait_open(const struct httpd_bench *b, unsigned open)
{
    for (int i = 0; i < 2000 && counts_of(b).open != open; i++)
        bench_sleep(10);
    assert_int_equal(counts_of(b).open, open);
}

static void what_a_request_brings(void **state)
{
    (void)state;
    struct httpd_bench *b = httpd_bench_start(&plain);
    int fd = bench_connect(b);
    bench_send(fd, "POST /a%20b/c?x=1&a=v%26%2f+w&a=2 HTTP/1.1\r\nhost: x\r\nX-A: 1st\r\n"
                   "x-a: 2nd\r\nContent-Length: 5\r\n\r\nhello");
    char *answer = bench_answer(fd);
    assert_non_null(strstr(answer, "HTTP/1.1 200 OK\r\n"));
    assert_non_null(strstr(answer, "X-Bench: yes\r\n"));
    assert_non_null(strstr(answer, "Content-Type: text/plain\r\n"));
    says(answer, "\r\n\r\nPOST /a b/c|hello|v&/ w|1st|127.0.0.1");
    bench_send(fd, GET("/"));
    says(bench_answer(fd), "\r\n\r\nGET /||(none)|(none)|127.0.0.1");
    close(fd);
    wait_open(b, 0);
    assert_int_equal(counts_of(b).connections, 1);
    assert_int_equal(counts_of(b).requests, 2);
    httpd_bench_stop(b);
}

static void chunked_bodies(void **state)
{
    (void)state;
    struct httpd_bench *b = httpd_bench_start(&plain);
    int fd = bench_connect(b);
    bench_send(fd, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n"
                   "2\r\nab\r\n3;x=y\r\ncde\r\n0\r\nTrailer: t\r\n\r\n" GET("/2"));
    says(bench_answer(fd), "POST /|abcde|");
    says(bench_answer(fd), "GET /2||");
    close(fd);
    httpd_bench_stop(b);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    struct httpd_bench *b = httpd_bench_start(&plain);
    atomic_store(&b->hold, true);
    int fd = bench_connect(b);
    bench_send(fd,
               GET("/1") "POST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi" GET("/3"));
    const char *expected[] = {"GET /1||", "POST /2|hi|", "GET /3||"};
    for (int i = 0; i < 3; i++) {
        bench_wait_kept(b, 1); /* one at a time */
        bench_let_go(b);
        says(bench_answer(fd), expected[i]);
    }
    close(fd);
    httpd_bench_stop(b);
}

static void http_1_0_and_close(void **state)
{
    (void)state;
    struct httpd_bench *b = httpd_bench_start(&plain);
    const char *requests[] = {"GET / HTTP/1.0\r\n\r\n",
                              "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"};
    for (int i = 0; i < 2; i++) {
        int fd = bench_connect(b);
        assert_int_equal(bench_status(fd, requests[i]), 200);
        assert_true(bench_ended(fd, 5000));
        close(fd);
    }
    httpd_bench_stop(b);
}

static void a_client_that_has_closed_its_half_gets_its_answer(void **state)
{
    (void)state;
    for (int later = 0; later < 2; later++) {
        struct httpd_bench *b = httpd_bench_start(&plain);
        atomic_store(&b->hold, later);
        int fd = bench_connect(b);
        bench_send(fd, GET("/half"));
        shutdown(fd, SHUT_WR);
        if (later) {
            bench_wait_kept(b, 1);
            bench_let_go(b);
        }
        says(bench_answer(fd), "GET /half");
        assert_true(bench_ended(fd, 5000));
        close(fd);
        httpd_bench_stop(b);
    }
}

static void reset(int fd)
{
    struct linger none = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
    close(fd);
}

static void clients_that_are_gone_before_their_answer(void **state)
{
    (void)state;
    struct httpd_bench *b = httpd_bench_start(&plain);
    atomic_store(&b->hold, true);
    int gone[20];
    for (int i = 0; i < 20; i++) {
        gone[i] = bench_connect(b);
        bench_send(gone[i], GET("/gone"));
    }
    bench_wait_kept(b, 20);
    for (int i = 0; i < 20; i++)
        i % 2 ? reset(gone[i]) : (void)close(gone[i]);
    bench_let_go(b);
    wait_open(b, 0);
    atomic_store(&b->hold, false);
    int fd = bench_connect(b);
    assert_int_equal(bench_status(fd, GET("/")), 200);
    reset(fd);
    wait_open(b, 0);
    httpd_bench_stop(b);
}

/* Where libmicrohttpd's epoll mode stalls, and around it. */
static void so_many_at_once(void **state)
{
    (void)state;
    static const int sizes[] = {1, 127, 128, 129, 256, 512};
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        struct httpd_bench *b = httpd_bench_start(&plain);
        int fds[512], n = sizes[s];
        for (int i = 0; i < n; i++)
            fds[i] = bench_connect(b);
        for (int later = 0; later < 2; later++) {
            atomic_store(&b->hold, later);
            for (int i = 0; i < n; i++)
                bench_send(fds[i], GET("/many"));
            if (later) {
                bench_wait_kept(b, (size_t)n);
                bench_let_go(b);
            }
            for (int i = 0; i < n; i++)
                says(bench_answer(fds[i]), "GET /many");
        }
        assert_int_equal(counts_of(b).open, n);
        for (int i = 0; i < n; i++)
            close(fds[i]);
        wait_open(b, 0);
        httpd_bench_stop(b);
    }
}

struct bad {
    const char *request;
    int status;
};

static void requests_that_are_none(void **state)
{
    (void)state;
    static const struct bad bad[] = {
        {"GET /\r\n\r\n", 400},
        {"GET / HTTP/1.1x\r\nHost: x\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n\r\n", 400}, /* no Host */
        {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
        {"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505},
        {"GET /a%00b HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET /?a=1%00 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: x\r\nBad Name: y\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n\r\nhello", 400},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nhello", 400},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5x\r\n\r\nhello", 400},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", 413},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
         "0\r\n\r\n",
         400},
        {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
         "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         400},
        {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
    };
    struct httpd_bench *b = httpd_bench_start(&plain);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int fd = bench_connect(b);
        int status = bench_status(fd, bad[i].request);
        if (status != bad[i].status)
            fail_msg("%d, not %d, for %s", status, bad[i].status, bad[i].request);
        /* libmicrohttpd 0.9.75 says the head twice when Content-Length is no number. */
        int rest = 0;
        while (rest < 1000 && !bench_ended(fd, 5000))
            rest++;
        if (rest == 1000)
            fail_msg("the connection lives on after %s", bad[i].request);
        close(fd);
    }
    wait_open(b, 0);
    assert_int_equal(counts_of(b).malformed, sizeof(bad) / sizeof(bad[0]));
    httpd_bench_stop(b);
}

/* libmicrohttpd closes without a word. */
static void what_is_not_even_a_line_of_http(void **state)
{
    (void)state;
    static const char *const noise[] = {
        "GARBAGE\r\n\r\n",
        "\x16\x03\x01\x02\x01\x01\x01\x01\xfc\x03\x03\n\n", /* as TLS begins */
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\xff\xfe\xfd\n",
    };
    struct httpd_bench *b = httpd_bench_start(&plain);
    for (size_t i = 0; i < sizeof(noise) / sizeof(noise[0]); i++) {
        int fd = bench_connect(b);
        bench_send(fd, noise[i]);
        free(bench_answer(fd));
        assert_true(bench_ended(fd, 5000));
        close(fd);
    }
    int fd = bench_connect(b);
    assert_int_equal(bench_status(fd, GET("/")), 200);
    close(fd);
    httpd_bench_stop(b);
}

static char *request_of(const char *head, size_t n, const char *tail)
{
    struct buf text = BUF_INIT(n + 1024);
    buf_str_append(&text, head);
    for (size_t i = 0; i < n; i++)
        buf_byte(&text, 'y');
    buf_str_append(&text, tail);
    return buf_take(&text);
}

static void heads_that_are_too_large(void **state)
{
    (void)state;
    struct httpd_bench *b = httpd_bench_start(&plain);
    char *header = request_of("GET / HTTP/1.1\r\nHost: x\r\nX-A: ", 40000, "\r\n\r\n");
    char *url = request_of("GET /", 40000, " HTTP/1.1\r\nHost: x\r\n\r\n");
    int fd = bench_connect(b);
    assert_int_equal(bench_status(fd, header), 431);
    close(fd);
    fd = bench_connect(b);
    assert_int_equal(bench_status(fd, url), 414);
    close(fd);
    free(header);
    free(url);
    header = request_of("GET / HTTP/1.1\r\nHost: x\r\nX-A: ", 4000, "\r\n\r\n");
    fd = bench_connect(b);
    assert_int_equal(bench_status(fd, header), 200);
    close(fd);
    free(header);
    httpd_bench_stop(b);
}

static void bodies_up_to_the_cap(void **state)
{
    (void)state;
    struct httpd_bench *b = httpd_bench_start(&(struct httpd_config){.body_max = 5000});
    char *fits = request_of("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n", 5000, "");
    char *over = request_of("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5001\r\n\r\n", 5001, "");
    char *chunks_fit =
        request_of("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1388\r\n", 5000,
                   "\r\n0\r\n\r\n");
    char *chunks_over =
        request_of("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1389\r\n", 5001,
                   "\r\n0\r\n\r\n");
    int fd = bench_connect(b); /* one for all: what is refused is read to its end */
    assert_int_equal(bench_status(fd, fits), 200);
    assert_int_equal(bench_status(fd, over), 413);
    assert_int_equal(bench_status(fd, chunks_fit), 200);
    assert_int_equal(bench_status(fd, chunks_over), 413);
    bench_send(fd, over);
    says(bench_answer(fd), "\r\n\r\n{\"status\":\"rejected\",\"error\":\"too_large\","
                           "\"message\":\"the body is too long\"}");
    bench_send(fd, GET("/after"));
    says(bench_answer(fd), "GET /after||");
    assert_int_equal(
        bench_status(fd, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999\r\n\r\n"), 413);
    assert_true(bench_ended(fd, 5000)); /* of that one the body is not waited for */
    close(fd);
    fd = bench_connect(b);
    assert_int_equal(bench_status(fd, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5001\r\n"
                                      "Expect: 100-continue\r\n\r\n"),
                     413);
    close(fd);
    free(fits);
    free(over);
    free(chunks_fit);
    free(chunks_over);
    httpd_bench_stop(b);
}

static void a_body_without_an_end(void **state)
{
    (void)state;
    struct httpd_bench *b = httpd_bench_start(&plain);
    char *chunk = request_of("1000\r\n", 0x1000, "\r\n");
    int fd = bench_connect(b), n = 0;
    bench_send(fd, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    while (n < 100000 && send(fd, chunk, strlen(chunk), MSG_NOSIGNAL) > 0)
        n++;
    assert_true(n < 100000);
    close(fd);
    wait_open(b, 0);
    assert_int_equal(counts_of(b).malformed, 1);
    free(chunk);
    httpd_bench_stop(b);
}

static void continue_is_said(void **state)
{
    (void)state;
    struct httpd_bench *b = httpd_bench_start(&plain);
    int fd = bench_connect(b);
    bench_send(fd, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
                   "Expect: 100-continue\r\n\r\n");
    says(bench_answer(fd), "HTTP/1.1 100 Continue");
    bench_send(fd, "ok");
    says(bench_answer(fd), "POST /|ok|");
    close(fd);
    httpd_bench_stop(b);
}

static void a_drain(void **state)
{
    (void)state;
    struct httpd_bench *b = httpd_bench_start(&plain);
    atomic_store(&b->hold, true);
    int waiting = bench_connect(b), idle = bench_connect(b);
    bench_send(waiting, GET("/waiting"));
    bench_wait_kept(b, 1);
    httpd_quiesce(b->httpd);
    httpd_quiesce(b->httpd); /* once is enough */
    int late = 0;            /* the server's thread lets go of the socket when it has woken up */
    for (int i = 0; i < 2000 && (late = bench_connect(b)) >= 0; i++)
        close(late);
    assert_int_equal(late, -1);
    assert_int_equal(errno, ECONNREFUSED);
    bench_let_go(b);
    says(bench_answer(waiting), "Connection: close\r\n");
    assert_true(bench_ended(waiting, 5000));
    atomic_store(&b->hold, false);
    bench_send(idle, GET("/one-more"));
    char *answer = bench_answer(idle);
    assert_non_null(strstr(answer, "GET /one-more"));
    says(answer, "Connection: close\r\n");
    assert_true(bench_ended(idle, 5000));
    close(waiting);
    close(idle);
    httpd_bench_stop(b);
}

static void *let_go_soon(void *arg)
{
    bench_sleep(100);
    bench_let_go(arg);
    return NULL;
}

static void the_end_waits_for_answers(void **state)
{
    (void)state;
    struct httpd_bench *b = httpd_bench_start(&plain);
    atomic_store(&b->hold, true);
    int fd = bench_connect(b), silent = bench_connect(b);
    bench_send(fd, GET("/last"));
    bench_wait_kept(b, 1);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, let_go_soon, b), 0);
    httpd_stop(b->httpd);
    b->httpd = NULL;
    pthread_join(thread, NULL);
    httpd_bench_stop(b);
    says(bench_answer(fd), "GET /last");
    assert_true(bench_ended(fd, 5000));
    assert_true(bench_ended(silent, 5000));
    close(fd);
    close(silent);
}

static void sockets_that_do_not_listen(void **state)
{
    (void)state;
    struct err err = {0};
    int before = dup(0);
    close(before);
    struct httpd_config config = {.fd = socket(AF_INET, SOCK_STREAM, 0), .body_max = 1};
    assert_null(httpd_start(&config, &err));
    assert_int_equal(err.code, ERR_CONFIG);
    config.fd = open("/dev/null", O_RDONLY);
    assert_null(httpd_start(&config, &err));
    assert_int_equal(err.code, ERR_CONFIG);
    int after = dup(0);
    assert_int_equal(before, after); /* both were taken */
    close(after);
}

int main(void)
{
    log_init(stderr, LOG_ERROR, LOG_HUMAN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_request_brings),
        cmocka_unit_test(chunked_bodies),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(http_1_0_and_close),
        cmocka_unit_test(a_client_that_has_closed_its_half_gets_its_answer),
        cmocka_unit_test(clients_that_are_gone_before_their_answer),
        cmocka_unit_test(so_many_at_once),
        cmocka_unit_test(requests_that_are_none),
        cmocka_unit_test(what_is_not_even_a_line_of_http),
        cmocka_unit_test(heads_that_are_too_large),
        cmocka_unit_test(bodies_up_to_the_cap),
        cmocka_unit_test(a_body_without_an_end),
        cmocka_unit_test(continue_is_said),
        cmocka_unit_test(a_drain),
        cmocka_unit_test(the_end_waits_for_answers),
        cmocka_unit_test(sockets_that_do_not_listen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
