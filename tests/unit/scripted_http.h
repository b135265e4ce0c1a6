/* SPDX-License-Identifier: Apache-2.0
 *
 * scripted_http: a real HTTP server on loopback that gives prepared answers, one a connection when
 * nothing else is said, and keeps what it was asked. For unit tests.
 *
 *     struct scripted_answer answers[] = {{"200 OK\r\nETag: \"e\"\r\n", ""}};
 *     struct scripted_http *server = scripted_http_start(answers, 1);
 *     ... requests to scripted_http_url(server) ...
 *     assert_int_equal(scripted_http_stop(server), 1);
 *     scripted_http_free(server);
 */
#ifndef EGRESS_TESTS_SCRIPTED_HTTP_H
#define EGRESS_TESTS_SCRIPTED_HTTP_H

#include <stddef.h>

enum scripted_flags {
    SCRIPTED_RAW = 1 << 0,   /* head and body go out as they stand */
    SCRIPTED_DRIP = 1 << 1,  /* each byte is a write of its own */
    SCRIPTED_KEEP = 1 << 2,  /* the connection takes another request afterwards */
    SCRIPTED_CLOSE = 1 << 3, /* as SCRIPTED_KEEP says in the header, but closed all the same */
    SCRIPTED_HOLD = 1 << 4,  /* the connection stays open, silent, until the client closes it */
    SCRIPTED_RESET = 1 << 5, /* the connection is reset, not closed */
    SCRIPTED_EARLY = 1 << 6, /* of the request's body nothing more is read than came with its head */
};

struct scripted_answer {
    /* Status and headers: "404 Not Found\r\nDate: ...\r\n"; Content-Length is added when missing,
     * unless there is Transfer-Encoding or the status is 204.
     * "@name@" in it becomes the value that the latest request with that header had.
     * NULL: takes the request and gives no answer. */
    const char *head;
    const char *body;
    unsigned flags; /* enum scripted_flags */
};

struct scripted_http;

/* The answers are borrowed. Requests beyond the last one get a 501. */
struct scripted_http *scripted_http_start(const struct scripted_answer *answers, size_t n);
/* The same on another IPv4 address of this machine. */
struct scripted_http *scripted_http_start_at(const char *ip, const struct scripted_answer *answers,
                                             size_t n);
const char *scripted_http_url(const struct scripted_http *server); /* "http://IP:PORT" */

/* Ends the server; returns how many requests came. A second time it only returns. */
size_t scripted_http_stop(struct scripted_http *server);
/* After the stop: request number i from 0, header and body. */
const char *scripted_http_request(const struct scripted_http *server, size_t i);
void scripted_http_free(struct scripted_http *server);

#endif
