/* SPDX-License-Identifier: Apache-2.0
 *
 * http_bench: a loop, a scripted server, and requests to it whose course is written down. A server
 * that a test starts besides is the test's. 30 seconds without an end fail the test.
 *
 *     static const struct scripted_answer answers[] = {{"200 OK\r\n", "hello"}};
 *     struct http_bench *b = bench_new(answers, 1);
 *     bench_go(b, "/path");
 *     assert_string_equal(b->body, "hello");
 *     bench_free(b, 1);
 */
#ifndef EGRESS_TESTS_HTTP_BENCH_H
#define EGRESS_TESTS_HTTP_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "net/http.h"
#include "tests/unit/scripted_http.h"

struct http_bench {
    struct loop *loop;
    struct scripted_http *server;

    /* A test changes these before it goes. GET, 64 KiB, on_done alone at first. */
    struct http_request rq;
    struct http_events events;
    void (*at_done)(struct http_bench *b, const struct http_response *rsp); /* or NULL */

    struct http_call *call; /* NULL when it has ended */
    struct loop_timer watchdog;

    /* What came. Owned; of the latest request. */
    int n_done, n_head, n_prepare;
    bool answered, failed;
    struct err err;
    int status;
    int64_t content_length;
    char *body;
    size_t body_len;
    char *url;
    struct buf data; /* what on_data took */
};

enum { BENCH_ATTEMPTS = 3, BENCH_CONNECT_MS = 2000, BENCH_STALL_MS = 1000 };

/* The figures above. */
struct http_options bench_options(void);
/* http_init() with them, and no proxy in the environment. Setup of a group of tests. */
int bench_init(void **state);

struct http_bench *bench_new(const struct scripted_answer *answers, size_t n);

/* on_head counts, on_data takes everything. */
void bench_stream(struct http_bench *b);

/* Starts the request; bench_run() waits for its end; bench_go() does both. */
void bench_start(struct http_bench *b, const char *path);
void bench_run(struct http_bench *b);
void bench_go(struct http_bench *b, const char *path);

/* Asserts that it ended with this code and that each message has `text` in it. */
void bench_failed(const struct http_bench *b, enum err_code code, const char *text);
void bench_succeeded(const struct http_bench *b, int status);

/* Ends the server and asserts how many requests it got; the bench can still be read. */
void bench_stop(struct http_bench *b, size_t n_requests);
/* After bench_stop(): whether request i, header and body, has the text. */
bool bench_asked(const struct http_bench *b, size_t i, const char *text);
/* bench_stop() if it was not yet called, and frees. */
void bench_free(struct http_bench *b, size_t n_requests);

#endif
