/* SPDX-License-Identifier: Apache-2.0
 *
 * aws_bench: a scripted server in front of which clients of AWS's JSON services are put. For unit
 * tests (cmocka).
 *
 *     struct aws_bench b;
 *     aws_bench_open(&b, answers, 2);
 *     struct queue_sqs *queue = aws_bench_queue(&b);
 *     queue_sqs_send(queue, "job-1", 0, aws_bench_done, &b);
 *     aws_bench_ok(&b);
 *     queue_sqs_free(queue);
 *     aws_bench_close(&b, 1);
 */
#ifndef EGRESS_TESTS_AWS_BENCH_H
#define EGRESS_TESTS_AWS_BENCH_H

#include <stddef.h>

#include "aws/credentials.h"
#include "queue/sqs.h"
#include "tests/unit/scripted_http.h"

#define AWS_BENCH_QUEUE_URL "https://sqs.eu-west-1.amazonaws.com/123456789012/jobs"

struct aws_bench {
    struct scripted_http *server;
    struct loop *loop;
    struct credentials *credentials;
    int dones;      /* of aws_bench_done() */
    int wanted;     /* of them, to stop at; 0: 1 */
    struct err err; /* of the last; ERR_NONE: it worked */
};

/* A group's set-up: credentials in the environment, two attempts a request. */
int aws_bench_set_up(void **state);

void aws_bench_open(struct aws_bench *b, const struct scripted_answer *answers, size_t n);
/* A queue at AWS_BENCH_QUEUE_URL whose endpoint is the server. The caller frees it. */
struct queue_sqs *aws_bench_queue(struct aws_bench *b);
/* Ends all but the server's memory of what it was asked: n_requests. */
void aws_bench_stop(struct aws_bench *b, size_t n_requests);
void aws_bench_free(struct aws_bench *b);
void aws_bench_close(struct aws_bench *b, size_t n_requests); /* both */

/* A completion, with the bench as arg. */
void aws_bench_done(void *arg, const struct err *err);
/* Run until the wanted completions have come; the last of them well, or with this. */
void aws_bench_ok(struct aws_bench *b);
void aws_bench_fails(struct aws_bench *b, enum err_code code, const char *says);

/* Request i (from 0) has this text in it. */
void aws_bench_sent(const struct aws_bench *b, size_t i, const char *text);

#endif
