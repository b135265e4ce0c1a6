/* SPDX-License-Identifier: Apache-2.0
 *
 * conn: one connection of a client, plain or TLS, and the request that has come on it. Blocking;
 * the connection's thread.
 *
 *     struct conn conn = {.fd = fd, .tls = tls};
 *     while (conn_request(&conn) == 0) {
 *         while ((n = conn_take(&conn, NULL, SIZE_MAX)) > 0) ...       its body, thrown away
 *         conn_answer(&conn, "200 OK", "", "");
 *     }
 *     conn_close(&conn);
 */
#ifndef EGRESS_BENCH_CONN_H
#define EGRESS_BENCH_CONN_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HEAD_MAX = 16384, TARGET_MAX = 2048 };

struct conn {
    int fd;                /* owned */
    SSL *tls;              /* owned; NULL: plain */
    char in[HEAD_MAX + 1]; /* read and not yet taken: the head, and what came with it */
    size_t filled;

    /* the request */
    char method[16], target[TARGET_MAX];
    const char *query; /* in target, behind the '?'; "" without one */
    uint64_t body_left;
    bool aws_chunked; /* the body is in S3's own chunks */
    char range[64], if_range[128];
};

/* Waits for the next request and reads its head. -1: there is none, or none that can be served. */
int conn_request(struct conn *c);
/* The next bytes of the body, len at most; out NULL: thrown away, as cheaply as the kernel can. 0
 * at its end, -1 when the connection is broken. */
long conn_take(struct conn *c, char *out, size_t len);
int conn_send(struct conn *c, const char *data, size_t len); /* 0 or -1 */
/* headers: lines with their ends. */
int conn_answer(struct conn *c, const char *status, const char *headers, const char *body);
void conn_close(struct conn *c);

void sleep_ms(int64_t ms);

#endif
