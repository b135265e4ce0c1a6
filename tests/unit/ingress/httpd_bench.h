/* SPDX-License-Identifier: Apache-2.0
 *
 * httpd_bench: a running HTTP server and raw clients of it, for unit tests.
 *
 *     struct httpd_bench *b = httpd_bench_start(&(struct httpd_config){.body_max = 100});
 *     int fd = bench_connect(b);
 *     bench_send(fd, "GET /x HTTP/1.1\r\nHost: x\r\n\r\n");
 *     char *answer = bench_answer(fd);
 *     httpd_bench_stop(b);
 */
#ifndef EGRESS_TESTS_HTTPD_BENCH_H
#define EGRESS_TESTS_HTTPD_BENCH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "ingress/httpd.h"

enum { BENCH_KEPT_MAX = 1024 };

struct httpd_bench {
    struct httpd *httpd;
    char address[HTTPD_ADDRESS_SIZE];
    size_t answer_size; /* 0: it tells what was asked; else so many bytes */
    atomic_bool hold;   /* requests are kept until bench_let_go() */
    pthread_mutex_t lock;
    pthread_cond_t came;
    struct httpd_request *kept[BENCH_KEPT_MAX]; /* under the lock */
    size_t n_kept;
};

/* What is 0 in config has a value that does not come into play. Requests are answered from inside
 * on_request: with "METHOD PATH|BODY|QUERY a|HEADER X-A|PEER", or with answer_size bytes. */
struct httpd_bench *httpd_bench_start(const struct httpd_config *config);
void httpd_bench_stop(struct httpd_bench *b);

/* Waits until so many requests are kept. */
void bench_wait_kept(struct httpd_bench *b, size_t n);
/* Answers all that are kept, from this thread. */
void bench_let_go(struct httpd_bench *b);

int bench_connect(const struct httpd_bench *b);
void bench_send(int fd, const char *text);
/* Up to the end of one answer, whose Content-Length says where that is; "" at the end of the
 * stream. Caller frees. Fails the test after 20 s. */
char *bench_answer(int fd);
/* Whether the stream ends here, cleanly or reset, before ms have passed. */
bool bench_ended(int fd, int ms);
/* One request, one answer: its status. */
int bench_status(int fd, const char *request);
void bench_sleep(int ms);

#endif
