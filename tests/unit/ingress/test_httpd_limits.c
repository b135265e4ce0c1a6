/* SPDX-License-Identifier: Apache-2.0
 *
 * httpd: what takes too long, and what is too much. Times are short here, and tests wait for what
 * has to happen, up to many times as long.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "ingress/httpd_private.h"
#include "tests/unit/ingress/httpd_bench.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"

enum { PATIENT_MS = 20000 };

static struct httpd_counts counts_of(const struct httpd_bench *b)
{
    struct httpd_counts counts;
    httpd_counts(b->httpd, &counts);
    return counts;
}

/* ---- time -------------------------------------------------------------------------------------
 */

/* Sends a byte every few milliseconds; how long it took until the server said something or hung
 * up. */
static int64_t drip(int fd, const char *begin, const char *more)
{
    int64_t begun_ms = clock_mono_ms();
    bench_send(fd, begin);
    for (size_t i = 0; clock_mono_ms() - begun_ms < PATIENT_MS; i = (i + 1) % strlen(more)) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, 5) == 1)
            return clock_mono_ms() - begun_ms;
        (void)send(fd, more + i, 1, MSG_NOSIGNAL);
    }
    fail_msg("a client that drips goes on for ever");
    return 0;
}

static void clients_that_drip(void **state)
{
    (void)state;
    static const char *const begins[] = {
        "",
        "GET / HTTP/1.1\r\nHost: x\r\nX-A: ",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n8000\r\n",
    };
    struct httpd_bench *b = httpd_bench_start(&(struct httpd_config){.request_timeout_ms = 300});
    for (size_t i = 0; i < sizeof(begins) / sizeof(begins[0]); i++) {
        int fd = bench_connect(b);
        int64_t took_ms = drip(fd, begins[i], "aaaaaaaa");
        assert_true(took_ms >= 200);
        char *answer = bench_answer(fd);
        assert_non_null(strstr(answer, "HTTP/1.1 408 Request Timeout\r\n"));
        assert_non_null(strstr(answer, "\r\n\r\n{\"status\":\"rejected\",\"error\":\"timeout\","));
        assert_int_equal(answer[strlen(answer) - 1], '}');
        free(answer);
        assert_true(bench_ended(fd, PATIENT_MS));
        close(fd);
    }
    assert_int_equal(counts_of(b).timed_out, 4);
    httpd_bench_stop(b);
}

static void a_silent_client(void **state)
{
    (void)state;
    struct httpd_bench *b = httpd_bench_start(&(struct httpd_config){.request_timeout_ms = 100});
    int fd = bench_connect(b);
    char *answer = bench_answer(fd);
    assert_non_null(strstr(answer, "HTTP/1.1 408 "));
    free(answer);
    close(fd);
    httpd_bench_stop(b);
}

static void between_requests(void **state)
{
    (void)state;
    struct httpd_bench *b = httpd_bench_start(
        &(struct httpd_config){.request_timeout_ms = 30000, .idle_timeout_ms = 200});
    int idle = bench_connect(b), dripping = bench_connect(b);
    assert_int_equal(bench_status(idle, GET("/")), 200);
    assert_int_equal(bench_status(dripping, GET("/")), 200);
    assert_true(drip(dripping, "", "G") < PATIENT_MS);
    assert_true(bench_ended(dripping, PATIENT_MS)); /* without a word: it was nothing yet */
    assert_true(bench_ended(idle, PATIENT_MS));
    assert_int_equal(counts_of(b).timed_out, 0);
    close(idle);
    close(dripping);
    httpd_bench_stop(b);
}

static void a_request_that_waits_for_its_answer_has_time(void **state)
{
    (void)state;
    struct httpd_bench *b = httpd_bench_start(
        &(struct httpd_config){.request_timeout_ms = 100, .idle_timeout_ms = 100});
    atomic_store(&b->hold, true);
    int fd = bench_connect(b);
    bench_send(fd, GET("/slow"));
    bench_wait_kept(b, 1);
    bench_sleep(600);
    bench_let_go(b);
    char *answer = bench_answer(fd);
    assert_non_null(strstr(answer, "GET /slow"));
    free(answer);
    close(fd);
    httpd_bench_stop(b);
}

static void a_client_that_does_not_read(void **state)
{
    (void)state;
    struct httpd_bench *b = httpd_bench_start(&(struct httpd_config){.request_timeout_ms = 300});
    b->answer_size = (size_t)32 * 1024 * 1024; /* more than sockets take */
    int fd = bench_connect(b);
    bench_send(fd, GET("/large"));
    for (int i = 0; i < 2000 && (counts_of(b).connections < 1 || counts_of(b).open > 0); i++)
        bench_sleep(10);
    assert_int_equal(counts_of(b).open, 0);
    assert_int_equal(counts_of(b).timed_out, 1);
    close(fd);
    httpd_bench_stop(b);
}

/* Requests that become whole just when their time is over: answered, or told 408, never both, and
 * nothing hangs. */
static void just_at_the_end_of_its_time(void **state)
{
    (void)state;
    struct httpd_bench *b =
        httpd_bench_start(&(struct httpd_config){.request_timeout_ms = 60, .idle_timeout_ms = 60});
    for (int i = 0; i < 60; i++) {
        int fd = bench_connect(b);
        bench_send(fd, "GET / HTTP/1.1\r\nHost:");
        bench_sleep(50 + i % 20);
        bench_send(fd, " x\r\n\r\n");
        char *answer = bench_answer(fd);
        assert_true(strstr(answer, "HTTP/1.1 200 ") || strstr(answer, "HTTP/1.1 408 ") || !*answer);
        free(answer);
        assert_true(bench_ended(fd, PATIENT_MS));
        close(fd);
    }
    httpd_bench_stop(b);
}

/* ---- number -----------------------------------------------------------------------------------
 */

static void no_more_connections_than_that(void **state)
{
    (void)state;
    struct httpd_bench *b = httpd_bench_start(&(struct httpd_config){.connections_max = 3});
    int fds[3];
    for (int i = 0; i < 3; i++) {
        fds[i] = bench_connect(b);
        assert_int_equal(bench_status(fds[i], GET("/")), 200);
    }
    for (int i = 0; i < 5; i++) {
        int fd = bench_connect(b);
        assert_true(bench_ended(fd, PATIENT_MS));
        close(fd);
    }
    assert_int_equal(counts_of(b).refused_connections, 5);
    assert_int_equal(bench_status(fds[1], GET("/")), 200);
    close(fds[0]);
    for (int i = 0; i < 2000 && counts_of(b).open > 2; i++)
        bench_sleep(10);
    fds[0] = bench_connect(b);
    assert_int_equal(bench_status(fds[0], GET("/")), 200);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    httpd_bench_stop(b);
}

static void loopback_is_not_limited(void **state)
{
    (void)state;
    struct httpd_bench *b =
        httpd_bench_start(&(struct httpd_config){.per_client_max = 1, .rate = 0.001, .burst = 1});
    int fds[5];
    for (int i = 0; i < 5; i++) {
        fds[i] = bench_connect(b);
        assert_int_equal(bench_status(fds[i], GET("/")), 200);
    }
    for (int i = 0; i < 5; i++)
        close(fds[i]);
    httpd_bench_stop(b);
}

struct known {
    const char *address;
    const char *same_as; /* NULL: not limited */
};

static bool key_of(const char *address, unsigned char key[HTTPD_CLIENT_KEY])
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, address, &v4.sin_addr) == 1)
        return httpd_client_key((const struct sockaddr *)&v4, key);
    assert_int_equal(inet_pton(AF_INET6, address, &v6.sin6_addr), 1);
    return httpd_client_key((const struct sockaddr *)&v6, key);
}

static void who_is_the_same_client(void **state)
{
    (void)state;
    static const struct known known[] = {
        {"127.0.0.1", NULL},
        {"127.9.9.9", NULL},
        {"::1", NULL},
        {"::ffff:127.0.0.1", NULL},
        {"::ffff:192.0.2.7", "192.0.2.7"},
        {"192.0.2.8", "192.0.2.8"},
        {"2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff"},
        {"fe80::1", "fe80::2"},
    };
    unsigned char key[HTTPD_CLIENT_KEY], other[HTTPD_CLIENT_KEY];
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        assert_int_equal(key_of(known[i].address, key), known[i].same_as != NULL);
        if (known[i].same_as) {
            assert_true(key_of(known[i].same_as, other));
            assert_memory_equal(key, other, HTTPD_CLIENT_KEY);
        }
    }
    assert_true(key_of("2001:db8:1:2::1", key));
    assert_true(key_of("2001:db8:1:3::1", other));
    assert_memory_not_equal(key, other, HTTPD_CLIENT_KEY);
    const struct sockaddr_un local = {.sun_family = AF_UNIX};
    assert_false(httpd_client_key((const struct sockaddr *)&local, key));
}

static void buckets(void **state)
{
    (void)state;
    const struct httpd_config config = {.rate = 2, .burst = 3, .connections_max = 10};
    struct httpd_clients *clients = httpd_clients_new(&config);
    unsigned char key[HTTPD_CLIENT_KEY];
    assert_true(key_of("192.0.2.1", key));
    struct httpd_client *client = httpd_client_enter(clients, key);
    int64_t now = clock_mono_ms() + 1000;
    for (int i = 0; i < 3; i++)
        assert_int_equal(httpd_client_take(clients, client, now), 0);
    assert_int_equal(httpd_client_take(clients, client, now), 500);
    assert_int_equal(httpd_client_take(clients, client, now + 400), 100);
    assert_int_equal(httpd_client_take(clients, client, now + 500), 0);
    assert_int_equal(httpd_client_take(clients, client, now + 500), 500);
    /* To hang up and call again does not help. */
    httpd_client_leave(clients, client);
    client = httpd_client_enter(clients, key);
    assert_int_equal(httpd_client_take(clients, client, now + 500), 500);
    /* Nor is more saved up than that. */
    now += 3600 * 1000;
    for (int i = 0; i < 3; i++)
        assert_int_equal(httpd_client_take(clients, client, now), 0);
    assert_int_not_equal(httpd_client_take(clients, client, now), 0);
    httpd_client_leave(clients, client);
    httpd_clients_free(clients);
}

static void connections_of_a_client(void **state)
{
    (void)state;
    const struct httpd_config config = {.per_client_max = 2, .connections_max = 10};
    struct httpd_clients *clients = httpd_clients_new(&config);
    unsigned char key[HTTPD_CLIENT_KEY], other[HTTPD_CLIENT_KEY];
    assert_true(key_of("192.0.2.1", key));
    assert_true(key_of("192.0.2.2", other));
    assert_false(httpd_client_is_full(clients, key));
    struct httpd_client *one = httpd_client_enter(clients, key);
    assert_false(httpd_client_is_full(clients, key));
    assert_ptr_equal(httpd_client_enter(clients, key), one);
    assert_true(httpd_client_is_full(clients, key));
    assert_false(httpd_client_is_full(clients, other));
    httpd_client_leave(clients, one);
    assert_false(httpd_client_is_full(clients, key));
    httpd_client_leave(clients, one);
    httpd_clients_free(clients);
}

/* Many more addresses than are remembered; one that stays is not forgotten for them. */
static void more_clients_than_are_remembered(void **state)
{
    (void)state;
    const struct httpd_config config = {.rate = 1, .burst = 1, .connections_max = 10};
    struct httpd_clients *clients = httpd_clients_new(&config);
    unsigned char key[HTTPD_CLIENT_KEY];
    assert_true(key_of("192.0.2.1", key));
    int64_t now = clock_mono_ms() + 3600 * 1000;
    struct httpd_client *stays = httpd_client_enter(clients, key);
    assert_int_equal(httpd_client_take(clients, stays, now), 0);
    for (int round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 50000; i++) {
            struct sockaddr_in to = {.sin_family = AF_INET,
                                     .sin_addr.s_addr = htonl(10u << 24 | i)};
            assert_true(httpd_client_key((const struct sockaddr *)&to, key));
            struct httpd_client *passes = httpd_client_enter(clients, key);
            assert_ptr_not_equal(passes, stays);
            assert_int_equal(httpd_client_take(clients, passes, now), 0);
            httpd_client_leave(clients, passes);
        }
    }
    assert_int_equal(httpd_client_take(clients, stays, now), 1000);
    httpd_client_leave(clients, stays);
    httpd_clients_free(clients);
}

int main(void)
{
    log_init(stderr, LOG_ERROR, LOG_HUMAN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clients_that_drip),
        cmocka_unit_test(a_silent_client),
        cmocka_unit_test(between_requests),
        cmocka_unit_test(a_request_that_waits_for_its_answer_has_time),
        cmocka_unit_test(a_client_that_does_not_read),
        cmocka_unit_test(just_at_the_end_of_its_time),
        cmocka_unit_test(no_more_connections_than_that),
        cmocka_unit_test(loopback_is_not_limited),
        cmocka_unit_test(who_is_the_same_client),
        cmocka_unit_test(buckets),
        cmocka_unit_test(connections_of_a_client),
        cmocka_unit_test(more_clients_than_are_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
