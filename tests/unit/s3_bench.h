/* SPDX-License-Identifier: Apache-2.0
 *
 * s3_bench: an S3 client and an S3 sink in front of a scripted server. For unit tests (cmocka).
 *
 *     struct s3_bench b = {.config = {.no_checksum = true}};
 *     s3_bench_open(&b, answers, 2);
 *     s3_head(b.s3, "k", &info, s3_bench_done, &b);
 *     s3_bench_ok(&b);
 *     s3_bench_close(&b, 2);
 */
#ifndef EGRESS_TESTS_S3_BENCH_H
#define EGRESS_TESTS_S3_BENCH_H

#include <stdbool.h>
#include <stddef.h>

#include "aws/s3.h"
#include "core/buf.h"
#include "tests/unit/scripted_http.h"
#include "transfer/sink.h"

struct s3_bench {
    struct s3_config config; /* bucket ("buck"), endpoint and credentials are filled in */
    struct scripted_http *server;
    struct loop *loop;
    struct credentials *credentials;
    struct s3 *s3;
    struct sink *sink;
    struct err err;       /* of the call that ended last */
    struct buf seen;      /* keys, each with a '|', or data, in order of arrival */
    struct s3_call *call; /* what s3_bench_key() cancels */
    bool stop_early;
};

/* A group's set-up: credentials in the environment, two attempts a request. */
int s3_bench_set_up(void **state);

void s3_bench_open(struct s3_bench *b, const struct scripted_answer *answers, size_t n);
/* Ends all but the server's memory of what it was asked: n_requests. */
void s3_bench_stop(struct s3_bench *b, size_t n_requests);
void s3_bench_free(struct s3_bench *b);
void s3_bench_close(struct s3_bench *b, size_t n_requests); /* both */

/* What calls get as callbacks, with the bench as arg. Both stop early if they are to. */
void s3_bench_done(void *arg, const struct err *err);
void s3_bench_key(void *arg, const char *key);
int s3_bench_data(void *arg, const void *data, size_t len);

/* Run until the call has ended: well, or with this error whose message has `says` in it. */
void s3_bench_ok(struct s3_bench *b);
void s3_bench_fails(struct s3_bench *b, enum err_code code, const char *says);

/* Request i (from 0) has, or has not, this text in it. */
void s3_bench_sent(const struct s3_bench *b, size_t i, const char *text);
void s3_bench_not_sent(const struct s3_bench *b, size_t i, const char *text);

#endif
