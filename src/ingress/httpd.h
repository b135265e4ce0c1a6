/* SPDX-License-Identifier: Apache-2.0
 *
 * httpd: an HTTP/1.1 server on one listening socket (TCP or Unix): whole requests in, one answer
 * each out, at once or later from any thread. The only user of libmicrohttpd in egress.
 *
 * One thread of its own, with poll: libmicrohttpd's epoll mode stalls at exactly 128 ready
 * connections (measured with 0.9.75). A request that is answered later is suspended and costs
 * nothing meanwhile. What it takes care of: caps on headers, body and connections, requests that
 * do not arrive in time, rates by client address, clients that are gone. Bad requests are answered
 * by it (400, 408, 413, 414, 431, 429 with Retry-After, 503) and counted.
 *
 *     struct httpd_config config = {.fd = fd, .body_max = 64 * 1024, .on_request = on_request};
 *     struct httpd *httpd = httpd_start(&config, &err);
 *     void on_request(void *arg, struct httpd_request *rq)
 *     {
 *         httpd_answer(rq, &(struct httpd_answer){.status = 200, .body = "{}", .len = 2});
 *     }
 *     httpd_stop(httpd);
 */
#ifndef EGRESS_INGRESS_HTTPD_H
#define EGRESS_INGRESS_HTTPD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

struct httpd;
struct httpd_request; /* one request, until its answer was given */

struct httpd_config {
    int fd; /* a listening socket, non-blocking; taken, also on failure */
    size_t body_max;
    unsigned connections_max;
    unsigned per_client_max; /* connections of one client address; 0: no limit */
    /* From a request's first line to its last byte, and as long again for its answer; for a
     * connection's first request from when it was opened. */
    int64_t request_timeout_ms;
    int64_t idle_timeout_ms; /* between requests, until the next one's first line is whole */
    /* Requests a second of one client address (IPv6: its /64), and how many at once; rate 0: no
     * limit. Clients at a loopback address or on a Unix socket are not limited, in connections
     * neither, and those behind a proxy are not told apart: the limits are per peer address. */
    double rate, burst;
    /* On the server's thread, once a request is whole. Exactly one httpd_answer() for each. */
    void (*on_request)(void *arg, struct httpd_request *rq);
    void *arg;
};

struct httpd *httpd_start(const struct httpd_config *config, struct err *err);
/* Takes no new connections; those that are open are closed after their next answer. The listening
 * socket is closed (its number stays taken until httpd_stop()). Any thread. */
void httpd_quiesce(struct httpd *httpd);
/* Waits until what on_request was given has been answered and sent, so whoever answers has to be
 * alive; requests that become whole meanwhile are answered with 503. Not from inside on_request.
 * NULL is fine. */
void httpd_stop(struct httpd *httpd);

/* ---- a request: valid until its answer ---- */

const char *httpd_method(const struct httpd_request *rq);
const char *httpd_path(const struct httpd_request *rq); /* decoded, without the query */
/* Value of the first of that name, or NULL. The name of a header in any case. */
const char *httpd_header(const struct httpd_request *rq, const char *name);
const char *httpd_query(const struct httpd_request *rq, const char *name); /* decoded */
/* NUL-terminated behind *len bytes. */
const char *httpd_body(const struct httpd_request *rq, size_t *len);
const char *httpd_peer(const struct httpd_request *rq); /* "127.0.0.1", "::1", "unix" */

struct httpd_answer {
    int status;
    const char *content_type; /* NULL: application/json */
    const char *body;         /* copied */
    size_t len;
    const char *const *headers; /* pairs "Name", "value", ..., ended by NULL; or NULL */
};

/* Any thread; from inside on_request, or later. The request is gone after it. */
void httpd_answer(struct httpd_request *rq, const struct httpd_answer *answer);

struct httpd_counts { /* since the start; any thread */
    uint64_t connections, requests, refused_connections, timed_out, rate_limited, malformed;
    unsigned open;
};
void httpd_counts(const struct httpd *httpd, struct httpd_counts *counts);

/* ---- listening ---- */

/* "127.0.0.1:8080", "[::1]:8080", ":8080" (all addresses), "unix:PATH". A listening, non-blocking,
 * close-on-exec socket, or -1 (ERR_USAGE: the form; ERR_IO: the system refuses, and why;
 * ERR_CONFIG: somebody listens on the Unix socket, or the path is something else). `what` stands in
 * messages: "--listen". A Unix socket is made with mode 0600; one that nobody listens on is
 * replaced. */
int httpd_listen(const char *address, const char *what, struct err *err) MUST_CHECK;
/* Where a listening socket is: "127.0.0.1:8080". For ports that the system chose. */
enum { HTTPD_ADDRESS_SIZE = 128 };
const char *httpd_address(int fd, char out[HTTPD_ADDRESS_SIZE]);
/* Whether only this machine can reach it. */
bool httpd_is_local(int fd);

#endif
